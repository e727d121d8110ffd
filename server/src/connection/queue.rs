//! What stands between MULTI and EXEC.

use engine::exec::Queue;

/// Requests that MULTI has queued.
#[derive(Default)]
pub struct Multi {
    pub(super) queue: Queue,
    /// A request was refused: EXEC refuses the whole.
    pub spoiled: bool,
}

impl Multi {
    /// Whether EXEC may change data, or says something that replicas are told.
    pub fn may_change(&self) -> bool {
        self.queue.may_change()
    }
}
