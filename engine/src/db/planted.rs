//! Switches that plant the bugs of this room's stories. Never compiled into the product.

use std::sync::atomic::{AtomicBool, Ordering};

/// J1: a replica deletes what has expired by its own clock when it applies a record to it.
pub static REPLICA_EXPIRES_BY_ITSELF: AtomicBool = AtomicBool::new(false);

/// J5: what the journals hold counts as data, so that eviction feeds itself.
pub static JOURNAL_COUNTS_AS_DATA: AtomicBool = AtomicBool::new(false);

pub(super) fn is_on(bug: &AtomicBool) -> bool {
    bug.load(Ordering::Relaxed)
}
