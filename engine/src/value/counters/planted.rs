//! Switches that plant this type's bugs.

use std::sync::atomic::{AtomicBool, Ordering};

/// Of the counts that one command changed only the first is told.
pub static ONE_COUNT_OF_MANY_IS_TOLD: AtomicBool = AtomicBool::new(false);

/// A value as a whole is written without some of its counts: cuts, renames and copies lose them.
pub static SOME_COUNTS_ARE_LEFT_OUT: AtomicBool = AtomicBool::new(false);

pub(super) fn is_on(bug: &AtomicBool) -> bool {
    bug.load(Ordering::Relaxed)
}
