//! Who sleeps on keys of a shard, and what is said to one that does.

use super::address::ReplyTo;
use super::locks::Map;
use crate::command::shape::Pick;
use crate::command::{OwnedCall, Refusal};
use crate::resp::Output;
use crate::types::{Lsn, ShardId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who takes it decides what becomes of one who sleeps: a shard that has something for it, or its connection,
/// which has waited long enough.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Takes it; `false` when somebody else has.
    pub fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A request that may fall asleep on this shard.
pub struct Bedding {
    /// The request.
    pub call: OwnedCall,
    /// Its keys on this shard, in its order.
    pub keys: Vec<Pick>,
    /// Whether it has keys elsewhere that have to be held when something is taken.
    pub needs_others: bool,
    /// Whose it is.
    pub claim: Claim,
    /// Who waits for it.
    pub reply_to: ReplyTo,
}

/// What came of a try.
pub enum Tried {
    /// It was done.
    Done(Output),
    /// It was refused.
    Refused(Refusal),
    /// There was nothing: it sleeps, under this number.
    Asleep(u64),
}

/// What one who sleeps is told, as the value of an [`Answer`].
pub enum Woken {
    /// It was served, by this shard, whose journal has come so far.
    Served(Output, ShardId, Lsn),
    /// There was something for it, and it was refused.
    Refused(Refusal),
    /// There is something: it is to look itself.
    Look,
    /// The node is a replica now.
    RoleChanged,
    /// Somebody has something to say to its connection.
    Called,
}

/// Those who sleep.
#[derive(Default)]
pub(super) struct Sleepers {
    pub(super) all: Map<u64, Bedding>,
    /// The last number that was given.
    pub(super) last: u64,
    /// Somebody is being served just now.
    pub(super) is_serving: bool,
}
