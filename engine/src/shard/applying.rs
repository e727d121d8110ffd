//! On a replica: records of an upstream on their way into the shard, and the queue that they wait in.

use super::address::ReplyTo;
use super::arriving::Arriving;
use super::held::HeldKeys;
use super::locks::{EntryId, Wants};
use crate::journal::Global;
use crate::table::hash_with;
use crate::types::{DbIndex, Lsn, TxId, shard_of};
use crate::value::Rope;
use std::collections::VecDeque;
use std::sync::Arc;

/// Records of one upstream flow for this shard.
pub struct ApplyBatch {
    /// Who is told when it has been applied.
    pub reply_to: ReplyTo,
    /// The caller's name for it, given back in [`Applied`].
    pub unit: u64,
    /// Whole frames, encoded, all of whose keys are on this shard. They are applied as one: no reader
    /// sees some of them and not others.
    pub frames: Vec<u8>,
    /// They are items of a full sync, not records of the journal.
    pub are_items: bool,
    /// The positions that this shard has reached with it, by upstream shard.
    pub reached: Vec<(u16, Lsn)>,
    /// While a full sync runs: how far it has come. A record that does not fit is tolerated for keys
    /// beyond it.
    pub passed: Option<Arc<Passed>>,
}

/// What this shard did with a batch.
#[derive(Debug)]
pub struct Applied {
    /// The batch's name.
    pub unit: u64,
    /// A broken promise: the session must end.
    pub error: Option<String>,
    /// What keys held as of the records that put long values, one for each of them.
    pub values: Vec<PutValue>,
}

/// What a key held when a record had put a long value.
#[derive(Debug)]
pub struct PutValue {
    /// The database that the record names.
    pub db: DbIndex,
    /// The key.
    pub key: Box<[u8]>,
    /// The string, if it was one, and was put.
    pub value: Option<Rope>,
}

/// How far the items of a running full sync have come on one flow: per shard of the sender and per
/// database, the boundary in the sender's own hash order. Keys before it were sent, keys after it will
/// be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The seed of the sender's hash.
    pub seed: u64,
    /// Per shard of the sender, the boundary of each database; `u64::MAX` when all of it was sent.
    pub boundaries: Vec<Vec<u64>>,
}

impl Passed {
    /// Databases are emptied or change their numbers: what was emptied needs no more items, and swapped
    /// databases swap how far their items have come.
    pub fn note_global(&mut self, global: Global) {
        for dbs in &mut self.boundaries {
            match global {
                Global::FlushAll => dbs.fill(u64::MAX),
                Global::FlushDb(DbIndex(db)) => {
                    if let Some(boundary) = dbs.get_mut(usize::from(db)) {
                        *boundary = u64::MAX;
                    }
                }
                Global::SwapDb(one, other) => {
                    if one.index() < dbs.len() && other.index() < dbs.len() {
                        dbs.swap(one.index(), other.index());
                    }
                }
            }
        }
    }

    /// Whether the item of this key has been sent (or is known not to exist).
    pub fn contains(&self, db: DbIndex, key: &[u8]) -> bool {
        let sender = shard_of(key, self.boundaries.len() as u16);
        match self.boundaries.get(sender.index()).and_then(|dbs| dbs.get(db.index())) {
            Some(&u64::MAX) => true,
            Some(&boundary) => hash_with(self.seed, key) < boundary,
            None => false,
        }
    }
}

/// The queue of what is to be applied.
#[derive(Default)]
pub(super) struct Applying {
    pub(super) queue: VecDeque<Queued>,
    /// Keys whose items are on their way.
    pub(super) held: HeldKeys,
    /// Values that come in pieces.
    pub(super) arriving: Arriving,
    /// Of the batch that is applied: see [`Applied::values`].
    pub(super) values: Vec<PutValue>,
    /// The place of the queue's front: how many have left it so far.
    front: u64,
    /// Per upstream shard: the position that everything on this shard has reached.
    pub(super) reached: Vec<Lsn>,
}

/// A place in the queue, counted from the first that ever stood in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ApplyPlace(u64);

/// One place in the queue.
pub(super) enum Queued {
    /// A batch, whether its keys are granted.
    Batch { entry: EntryId, wants: Wants, batch: Box<ApplyBatch>, granted: bool },
    /// A transaction, whether it is armed.
    Tx { id: TxId, armed: bool },
}

impl Applying {
    /// A transaction takes its place, not armed yet.
    pub(super) fn push_tx(&mut self, id: TxId) -> ApplyPlace {
        self.push(Queued::Tx { id, armed: false })
    }

    pub(super) fn push(&mut self, queued: Queued) -> ApplyPlace {
        self.queue.push_back(queued);
        ApplyPlace(self.front + self.queue.len() as u64 - 1)
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.front += 1;
        Some(queued)
    }

    pub(super) fn at(&mut self, place: ApplyPlace) -> Option<&mut Queued> {
        self.queue.get_mut(usize::try_from(place.0.checked_sub(self.front)?).ok()?)
    }
}
