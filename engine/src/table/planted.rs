//! The planted bug of this room, to see that the model catches it. Never compiled into the product.

use std::sync::atomic::{AtomicBool, Ordering};

/// Makes every walk go over physical buckets instead of home positions: "inserting A displaces B from a
/// bucket that the walk has not reached into one that it has passed: B is never sent".
pub static WALK_GOES_BY_STORAGE: AtomicBool = AtomicBool::new(false);

pub(super) fn walk_goes_by_storage() -> bool {
    WALK_GOES_BY_STORAGE.load(Ordering::Relaxed)
}
