//! How many bytes of replies one client makes a node hold, counted on all shards while they are made.
//!
//! ```text
//!   connection: room ─┬─ its own shard, in place ──┐
//!                     ├─ batch for shard 1 ────────┤ take(bytes), take(bytes), ... refused: over
//!                     └─ part of an MGET, shard 2 ─┘
//! ```
//!
//! Whoever makes replies takes room for them as they grow; where there is none left the command ends, and
//! its connection is closed. So a client that asks for more than it may have waiting costs no more than
//! that, and one value for each shard.

use super::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A client's room for replies; clones are of the same room. The default has no bound.
#[derive(Clone, Debug, Default)]
pub struct ReplyRoom(Option<Arc<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// The bound; nothing once somebody was refused, so that one look tells of both.
    most: AtomicU64,
    made: AtomicU64,
    /// The most that anybody was refused; 0: nobody was.
    over: AtomicU64,
    /// The client has left: nobody reads what is made.
    left: AtomicBool,
}

/// Bytes of one reply that are not counted yet: below it counting would cost more than it saves, and the
/// bounds of batches and pipelines hold.
pub(crate) const UNCOUNTED_MAX: usize = 64 * 1024;

impl ReplyRoom {
    /// Room for so many bytes; 0 is no bound.
    pub fn of(most: u64) -> ReplyRoom {
        let room = ReplyRoom(Some(Arc::default()));
        room.set_most(most);
        room
    }

    /// Another bound; 0 is none.
    pub fn set_most(&self, most: u64) {
        if let Some(counts) = &self.0 {
            counts.most.store(if most == 0 { u64::MAX } else { most }, Ordering::SeqCst);
            // Whoever is refused meanwhile takes the bound away after that, or is seen here.
            if counts.over.load(Ordering::SeqCst) != 0 {
                counts.most.store(0, Ordering::SeqCst);
            }
        }
    }

    /// Takes room for bytes that were made. Refused when there is none left: the client is to be closed.
    pub fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let Some(counts) = &self.0 else { return Ok(()) };
        let made = counts.made.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        self.judge(counts, made)
    }

    /// Whether so many bytes could be held at a time; refused as by [`take`](ReplyRoom::take).
    pub fn hold(&self, bytes: usize) -> Result<(), Refusal> {
        let Some(counts) = &self.0 else { return Ok(()) };
        self.judge(counts, bytes as u64)
    }

    fn judge(&self, counts: &Counts, bytes: u64) -> Result<(), Refusal> {
        if bytes <= counts.most.load(Ordering::Relaxed) {
            return Ok(());
        }
        counts.over.fetch_max(bytes, Ordering::SeqCst);
        counts.most.store(0, Ordering::SeqCst);
        Err(Refusal::fixed("ERR the replies are larger than client-output-buffer-limit allows"))
    }

    /// As [`hold`](ReplyRoom::hold), and refused too where anybody was before. One look, for each request.
    pub fn is_open_to(&self, bytes: usize) -> bool {
        let Some(counts) = &self.0 else { return true };
        // Of no bytes at all one is asked for: there is no room for it where the bound is gone.
        bytes.max(1) as u64 <= counts.most.load(Ordering::Relaxed)
            || self.hold(bytes).is_ok_and(|()| !self.is_over())
    }

    /// Whether somebody was refused: the connection is to end.
    pub fn is_over(&self) -> bool {
        self.over_by().is_some()
    }

    /// How many bytes of replies there were, or would have been, where somebody was refused.
    pub fn over_by(&self) -> Option<u64> {
        let over = self.0.as_ref()?.over.load(Ordering::Relaxed);
        (over != 0).then_some(over)
    }

    /// The client has left: what only reads need not go on.
    pub fn leave(&self) {
        if let Some(counts) = &self.0 {
            counts.left.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has.
    pub fn is_left(&self) -> bool {
        self.0.as_ref().is_some_and(|counts| counts.left.load(Ordering::Relaxed))
    }

    /// The refusal of what nobody wants any more; nobody reads it.
    pub fn unless_left(&self) -> Result<(), Refusal> {
        if self.is_left() { Err(Refusal::fixed("ERR the client has left")) } else { Ok(()) }
    }

    /// All that was made is on its way to the client.
    pub fn give_back(&self) {
        if let Some(counts) = &self.0
            && counts.made.load(Ordering::Relaxed) != 0
        {
            counts.made.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_share_a_room_take_from_one_bound_and_the_refused_one_is_remembered() {
        let room = ReplyRoom::of(100);
        let elsewhere = room.clone();
        assert!(room.take(60).is_ok() && elsewhere.take(40).is_ok() && !room.is_over());
        room.give_back();
        assert!(elsewhere.take(100).is_ok() && room.hold(100).is_ok());
        assert!(room.take(1).is_err() && elsewhere.is_over());
        assert_eq!(elsewhere.over_by(), Some(101));
        // It does not open again.
        room.give_back();
        room.set_most(1000);
        assert!(!room.is_open_to(0) && !elsewhere.is_open_to(10) && elsewhere.is_over());
    }

    #[test]
    fn one_look_tells_whether_a_request_may_still_be_done() {
        let room = ReplyRoom::of(1);
        assert!(room.is_open_to(0) && room.is_open_to(1) && !room.is_over());
        assert!(!room.is_open_to(2) && room.is_over());
        assert!(ReplyRoom::of(0).is_open_to(usize::MAX) && ReplyRoom::default().is_open_to(5));
    }

    #[test]
    fn without_a_bound_there_is_always_room() {
        for room in [ReplyRoom::default(), ReplyRoom::of(0)] {
            assert!(room.take(usize::MAX / 2).is_ok() && room.hold(usize::MAX).is_ok());
            assert!(!room.is_over());
        }
    }
}
