//! Switches that plant the bug of a journal story, so that tests can be seen to catch it.
//!
//! Compiled only with the feature `planted-bugs`; all are off until a test turns one on. They are
//! process-wide: a test that uses one runs in a process, or under a lock, of its own.

use std::sync::atomic::{AtomicBool, Ordering};

/// J3: records are not counted while nobody keeps them, so a returning replica stands "at head".
pub static NO_COUNT_WITHOUT_READERS: AtomicBool = AtomicBool::new(false);

/// J6: a position is accepted when its history's id is known, whatever its vector says.
pub static HISTORY_BY_ID_ONLY: AtomicBool = AtomicBool::new(false);

/// J5: large values weigh nothing when the log is trimmed.
pub static LARGE_VALUES_WEIGH_NOTHING: AtomicBool = AtomicBool::new(false);

/// Values in pieces: the end of one is told, and not its beginning.
pub static VALUES_END_WITHOUT_BEGINNING: AtomicBool = AtomicBool::new(false);

/// Values in pieces: one part is never told.
pub static A_PART_IS_LOST: AtomicBool = AtomicBool::new(false);

/// Values in pieces: one part comes under another key.
pub static A_PART_NAMES_ANOTHER_KEY: AtomicBool = AtomicBool::new(false);

/// Values in pieces: whoever begins at a position in the middle of one gets the rest of it only.
pub static BEGINS_INSIDE_VALUES: AtomicBool = AtomicBool::new(false);

pub(super) fn is_on(bug: &AtomicBool) -> bool {
    bug.load(Ordering::Relaxed)
}
