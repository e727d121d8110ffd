//! On a replica: the upstream's records, applied in the order in which they arrive.
//!
//! Records come in batches whose keys are all on this shard; a frame that touches several of our
//! shards comes as a transaction (`Begin { applies: true }`), so that readers see all of it or nothing.
//! Both kinds stand in one queue and are applied strictly in its order, because positions mean
//! "everything up to here is applied" (J6) and items of a cut are labelled with them (J7):
//!
//! ```text
//!   queue: [batch: granted, applied] [tx: waits to be armed] [batch: granted, waits for its turn]
//! ```
//!
//! While no key is open a batch is applied the moment it arrives.

use super::{Answer, EntryId, Mode, ReplyTo, Shard, Wants, tx::Waiting};
use crate::db::Broken;
use crate::journal::{Decoder, Entry, Global, Record};
use crate::table::hash_with;
use crate::types::{DbIndex, Lsn, TxId, shard_of};
use std::borrow::Cow;
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
    /// Whether the item of this key has been sent (or is known not to exist).
    pub fn contains(&self, db: DbIndex, key: &[u8]) -> bool {
        let sender = shard_of(key, self.boundaries.len() as u16);
        match self.boundaries.get(sender.index()).and_then(|dbs| dbs.get(db.index())) {
            Some(&u64::MAX) => true,
            Some(&boundary) => hash_with(self.seed, key) < boundary,
            None => false,
        }
    }

    /// Whole databases change: what was emptied needs no more items, and swapped databases swap how far
    /// their items have come.
    pub fn note(&mut self, global: Global) {
        for dbs in &mut self.boundaries {
            match global {
                Global::FlushAll => dbs.fill(u64::MAX),
                Global::FlushDb(db) => {
                    if let Some(boundary) = dbs.get_mut(db.index()) {
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
}

/// The queue of what is to be applied.
#[derive(Default)]
pub(super) struct Applying {
    pub(super) queue: VecDeque<Queued>,
    /// Per upstream shard: the position that everything on this shard has reached.
    pub(super) reached: Vec<Lsn>,
}

/// One place in the queue.
pub(super) enum Queued {
    /// A batch, whether its keys are granted.
    Batch { entry: EntryId, wants: Wants, batch: Box<ApplyBatch>, granted: bool },
    /// A transaction, whether it is armed.
    Tx { id: TxId, armed: bool },
}

impl Applying {
    pub(super) fn tx(id: TxId) -> Queued {
        Queued::Tx { id, armed: false }
    }
}

impl Shard {
    /// A batch of an upstream's records arrives.
    pub(super) fn apply_arrives(&mut self, batch: Box<ApplyBatch>) {
        if self.applying.queue.is_empty() && self.locks.is_quiet() {
            return self.apply_batch(*batch);
        }
        let entry = self.new_entry();
        let wants = self.wants_of_frames(&batch.frames);
        let granted = self.locks.request(entry, &wants);
        if !granted {
            self.entries.insert(entry, Waiting::Apply);
        }
        self.applying.queue.push_back(Queued::Batch { entry, wants, batch, granted });
        self.drain_applying();
    }

    /// The keys of a waiting batch are its own now.
    pub(super) fn apply_granted(&mut self, which: EntryId) {
        for queued in &mut self.applying.queue {
            if let Queued::Batch { entry, granted, .. } = queued
                && *entry == which
            {
                *granted = true;
            }
        }
        self.drain_applying();
    }

    /// A transaction of applied records is armed on all shards.
    pub(super) fn apply_armed(&mut self, which: TxId) {
        for queued in &mut self.applying.queue {
            if let Queued::Tx { id, armed } = queued
                && *id == which
            {
                *armed = true;
            }
        }
        self.drain_applying();
    }

    fn drain_applying(&mut self) {
        loop {
            match self.applying.queue.front() {
                Some(Queued::Batch { granted: true, .. } | Queued::Tx { armed: true, .. }) => {}
                _ => return,
            }
            match self.applying.queue.pop_front() {
                Some(Queued::Batch { entry, wants, batch, .. }) => {
                    self.apply_batch(*batch);
                    self.locks.release(entry, &wants, &mut self.granted);
                }
                Some(Queued::Tx { id, .. }) => self.run_armed(id),
                None => return,
            }
        }
    }

    fn wants_of_frames(&self, frames: &[u8]) -> Wants {
        let mut keys = Vec::new();
        let mut rest = frames;
        let mut decoder = Decoder::new();
        while let Ok(Some((frame, consumed))) = decoder.next(rest) {
            for entry in frame.entries() {
                if let Entry::Record(record) = entry {
                    keys.push((self.keys.hash(record.key), Mode::Exclusive));
                }
            }
            rest = &rest[consumed..];
        }
        Wants::keys(keys)
    }

    fn apply_batch(&mut self, batch: ApplyBatch) {
        let error = self.apply_frames(&batch.frames, batch.passed.as_deref()).err();
        for (flow, lsn) in batch.reached {
            self.note_reached(flow, lsn);
        }
        let applied = Applied { unit: batch.unit, error };
        self.answer(batch.reply_to, Answer::Value(Box::new(applied)));
    }

    /// Applies whole encoded frames; what does not fit is tolerated for keys that `passed` says are
    /// still to come. It says so as of before the frames: what they change of it is noted on the way.
    pub fn apply_frames(&mut self, frames: &[u8], passed: Option<&Passed>) -> Result<(), String> {
        let mut rest = frames;
        let mut decoder = Decoder::new();
        let mut passed = passed.map(Cow::Borrowed);
        while !rest.is_empty() {
            let (frame, consumed) = decoder
                .next(rest)
                .map_err(|error| format!("a record cannot be read: {error:?}"))?
                .ok_or_else(|| "a batch ends inside a frame".to_owned())?;
            for entry in frame.entries() {
                self.apply_entry(&entry, passed.as_deref())?;
                if let (Entry::Global(global), Some(passed)) = (&entry, &mut passed) {
                    passed.to_mut().note(*global);
                }
            }
            rest = &rest[consumed..];
        }
        Ok(())
    }

    fn apply_entry(&mut self, entry: &Entry<'_>, passed: Option<&Passed>) -> Result<(), String> {
        match entry {
            Entry::Global(global) => {
                let outcome = self.keys.apply_global(*global);
                outcome.map_err(|broken| format!("{global:?} cannot be applied: {broken:?}"))
            }
            Entry::Record(record) => match self.keys.apply(record) {
                Ok(()) => Ok(()),
                Err(Broken::Missing)
                    if passed.is_some_and(|passed| !passed.contains(record.db, record.key)) =>
                {
                    Ok(())
                }
                Err(broken) => Err(describe(record, broken)),
            },
        }
    }

    /// This shard has applied everything of upstream shard `flow` that concerns it, up to `lsn`.
    pub fn note_reached(&mut self, flow: u16, lsn: Lsn) {
        let reached = &mut self.applying.reached;
        let flow = usize::from(flow);
        if reached.len() <= flow {
            reached.resize(flow + 1, Lsn(0));
        }
        reached[flow] = reached[flow].max(lsn);
    }

    /// Forgets how far upstream flows have come: another upstream, or another history.
    pub fn forget_reached(&mut self, reached: Vec<Lsn>) {
        assert!(self.applying.queue.is_empty(), "positions change only while nothing is applied");
        self.applying.reached = reached;
    }

    /// Per upstream shard, the position that this shard has reached.
    pub fn reached(&self) -> &[Lsn] {
        &self.applying.reached
    }

    /// Whether records wait to be applied.
    pub fn is_applying(&self) -> bool {
        !self.applying.queue.is_empty()
    }
}

fn describe(record: &Record<'_>, broken: Broken) -> String {
    let key = String::from_utf8_lossy(&record.key[..record.key.len().min(64)]);
    format!("a record for key '{key}' of database {} cannot be applied: {broken:?}", record.db.0)
}
