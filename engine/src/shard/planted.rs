//! Test-only switches that plant the bugs of this room's stories.
//!
//! Without the feature nothing can turn them on.

#![cfg_attr(not(feature = "planted-bugs"), allow(unreachable_pub))]

use std::sync::atomic::{AtomicBool, Ordering};

/// Frames of many-shard transactions go to the log as they conclude, in whatever order that is on
/// each shard (J2).
pub static FRAMES_IN_ORDER_OF_CONCLUSION: AtomicBool = AtomicBool::new(false);

/// Records of a key whose item is on its way in pieces are applied at once (J4): the item, when it
/// is whole, undoes them.
pub static RECORDS_DO_NOT_WAIT_FOR_THEIR_ITEM: AtomicBool = AtomicBool::new(false);

/// Values in pieces: a replica that comes back has dropped what it had of one, although its position counts it.
pub static PIECES_GO_WITH_THE_SESSION: AtomicBool = AtomicBool::new(false);

fn is_on(switch: &AtomicBool) -> bool {
    cfg!(feature = "planted-bugs") && switch.load(Ordering::Relaxed)
}

pub(super) fn frames_in_order_of_conclusion() -> bool {
    is_on(&FRAMES_IN_ORDER_OF_CONCLUSION)
}

pub(super) fn records_do_not_wait() -> bool {
    is_on(&RECORDS_DO_NOT_WAIT_FOR_THEIR_ITEM)
}

pub(super) fn pieces_go_with_the_session() -> bool {
    is_on(&PIECES_GO_WITH_THE_SESSION)
}
