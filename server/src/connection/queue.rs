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
    /// Whether EXEC may change data.
    pub fn writes(&self) -> bool {
        self.queue.writes()
    }
}
