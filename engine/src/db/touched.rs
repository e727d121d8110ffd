//! Which keys a task has touched, for those who listen: served when the task's frame stands in the log,
//! never earlier, so that nobody acts on what the log might not hold.
//!
//! What a task has made goes with its frame: a transaction's, between its hops, is its own.

use crate::journal::FrameBuilder;
use crate::pubsub::Scope;
use crate::types::{DbIndex, Millis};

/// What happened to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// It is there and was not before.
    Created,
    /// Its value was replaced or changed.
    Changed,
    /// Something in its value was changed by a command here, and nobody waits for that.
    Tended,
    /// Its deadline was set or dropped.
    Deadline,
    /// It was deleted, by whatever command.
    Deleted,
    /// It was deleted because its time had come.
    Expired,
    /// It was deleted to make room.
    Evicted,
    /// Its database is another one now.
    Swapped {
        /// What was there before.
        was: There,
        /// What is there now.
        is: There,
    },
}

/// What somebody who looks finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum There {
    /// No such key.
    Nothing,
    /// A key whose time has come, which nobody has deleted yet.
    Expired,
    /// A key.
    Something,
}

/// A key that was touched and that somebody listens to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// Its database's number.
    pub db: DbIndex,
    /// The key.
    pub key: Box<[u8]>,
    /// What happened.
    pub what: What,
}

/// What is to be said once the frame is logged.
pub(super) enum Said {
    /// PUBLISH.
    Message { scope: Scope, channel: Box<[u8]>, payload: Box<[u8]> },
    /// Something happened to a key.
    Event { db: DbIndex, key: Box<[u8]>, name: &'static str },
}

/// What a task has made so far: its records, and whom they concern.
#[derive(Default)]
pub struct Made {
    /// The records, for the log.
    pub frame: FrameBuilder,
    /// For those who listen, once the frame is logged.
    pub(super) touched: Vec<Touched>,
    /// For subscribers, once the frame is logged.
    pub(super) said: Vec<Said>,
    /// While it is put aside: the time of the task, which it keeps until its end.
    pub(super) now: Option<Millis>,
    /// Where the events of the command that runs now begin among those: it may go on in slices, between which
    /// others run.
    pub(super) begins: usize,
}

impl Made {
    /// Nothing yet, by a task that began at this time.
    pub fn since(now: Millis) -> Made {
        Made { now: Some(now), ..Made::default() }
    }

    /// Whether there is nothing to log and nobody to serve.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty() && self.touched.is_empty() && self.said.is_empty()
    }
}
