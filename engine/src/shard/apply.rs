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

use super::applying::{Applied, ApplyBatch, ApplyPlace, Passed, PutValue, Queued};
use super::arriving::{Arriving, Coming};
use super::body::{Shard, Waiting};
use super::held::{Held, HeldKeys};
use super::locks::Wants;
use super::message::Answer;
use super::planted;
use super::wanted::Mode;
use crate::db::Broken;
use crate::journal::{Deadline, Decoder, Effect, FrameEntry, Global, Payload, Record};
use crate::types::Lsn;
use crate::value::{Item, SharedValue};
use std::borrow::Cow;

impl Wants {
    /// The keys that encoded frames change, each alone; `hash` is the node's.
    pub fn of_frames(frames: &[u8], hash: impl Fn(&[u8]) -> u64) -> Wants {
        let (mut keys, mut rest, mut decoder) = (Vec::new(), frames, Decoder::new());
        while let Ok(Some((frame, used))) = decoder.next(rest) {
            for entry in frame.entries() {
                if let FrameEntry::Record(record) = entry
                    && !is_piece(&record)
                {
                    keys.push((hash(record.key), Mode::Exclusive));
                }
            }
            rest = &rest[used..];
        }
        Wants::keys(keys)
    }
}

impl Shard {
    /// A batch of an upstream's records arrives.
    pub(super) fn apply_arrives(&mut self, batch: Box<ApplyBatch>) {
        if self.applying.queue.is_empty() && self.locks.is_quiet() {
            return self.apply_batch(*batch);
        }
        let entry = self.new_entry();
        let wants = Wants::of_frames(&batch.frames, |key| self.keys.hash(key));
        let granted = self.locks.request(entry, &wants);
        let place = self.applying.push(Queued::Batch { entry, wants, batch, granted });
        if !granted {
            self.entries.insert(entry, Waiting::Apply(place));
        }
        self.drain_applying();
    }

    /// The keys of a waiting batch are its own now.
    pub(super) fn apply_granted(&mut self, place: ApplyPlace) {
        if let Some(Queued::Batch { granted, .. }) = self.applying.at(place) {
            *granted = true;
        }
        self.drain_applying();
    }

    /// A transaction of applied records is armed on all shards.
    pub(super) fn apply_armed(&mut self, place: ApplyPlace) {
        if let Some(Queued::Tx { armed, .. }) = self.applying.at(place) {
            *armed = true;
        }
        self.drain_applying();
    }

    fn drain_applying(&mut self) {
        loop {
            match self.applying.queue.front() {
                Some(Queued::Batch { granted: true, .. } | Queued::Tx { armed: true, .. }) => {}
                _ => return,
            }
            match self.applying.pop() {
                Some(Queued::Batch { entry, wants, batch, .. }) => {
                    self.apply_batch(*batch);
                    self.locks.release(entry, &wants, &mut self.granted);
                }
                Some(Queued::Tx { id, .. }) => self.run_armed(id),
                None => return,
            }
        }
    }

    fn apply_batch(&mut self, batch: ApplyBatch) {
        let outcome = match batch.are_items {
            false => self.apply_frames(&batch.frames, batch.passed.as_deref()),
            true => self.apply_items(&batch.frames, batch.passed.as_deref()),
        };
        // On a replica nothing is told: this serves whoever listens to the keys.
        self.log_frame();
        let error = outcome.err();
        for (flow, lsn) in batch.reached {
            self.note_reached(flow, lsn);
        }
        let values = self.take_values();
        let applied = Applied { unit: batch.unit, error, values };
        self.answer(batch.reply_to, Answer::Value(Box::new(applied)));
    }

    /// Applies whole encoded frames; what does not fit is tolerated for keys that `passed` says are
    /// still to come. It says so as of before the frames: what they change of it is noted on the way.
    pub fn apply_frames(&mut self, frames: &[u8], passed: Option<&Passed>) -> Result<(), String> {
        // Databases that a transaction swaps count as swapped for what it changes after that.
        let mut passed = passed.map(Cow::Borrowed);
        for_each_entry(frames, &mut |entry| {
            self.apply_entry(&entry, passed.as_deref())?;
            if let (FrameEntry::Global(global), Some(passed)) = (&entry, &mut passed) {
                passed.to_mut().note_global(*global);
            }
            Ok(())
        })
    }

    /// What the records that were applied since the last time have put: see [`Applied::values`].
    pub fn take_values(&mut self) -> Vec<PutValue> {
        std::mem::take(&mut self.applying.values)
    }

    /// Keeps what a record that puts a long value came to: nothing where it was not put (yet).
    fn keep_value(&mut self, record: &Record<'_>, is_put: bool) {
        if !record.puts_long() {
            return;
        }
        let item = || {
            let table = self.keys.table(record.db);
            table.get(self.keys.hash(record.key), record.key).map(Item::share)
        };
        let value = match if is_put { item() } else { None } {
            Some(SharedValue::Large(rope)) => Some(rope),
            _ => None,
        };
        self.applying.values.push(PutValue { db: record.db, key: record.key.into(), value });
    }

    fn apply_entry(
        &mut self,
        entry: &FrameEntry<'_>,
        passed: Option<&Passed>,
    ) -> Result<(), String> {
        match entry {
            FrameEntry::Global(global) => {
                let outcome = self.keys.apply_global(*global);
                outcome.map_err(|broken| format!("{global:?} cannot be applied: {broken:?}"))?;
                self.applying.held.note_global(*global);
                self.keys.flushes += u64::from(*global == Global::FlushAll);
                Ok(())
            }
            FrameEntry::Record(record) if is_piece(record) => {
                let taken = self.applying.arriving.take(record);
                taken.map_err(|error| named(record, &error))
            }
            FrameEntry::Record(record) => match self.apply_record(record)? {
                Ok(()) => Ok(()),
                Err(broken)
                    if broken.may_precede_item()
                        && passed.is_some_and(|passed| !passed.contains(record.db, record.key)) =>
                {
                    Ok(())
                }
                Err(broken) => Err(describe(record, broken)),
            },
        }
    }

    /// A record of the journal, unless its key is held.
    fn apply_record(&mut self, record: &Record<'_>) -> Result<Result<(), Broken>, String> {
        let mut value = match record.effect {
            Effect::PutEnd { .. } => {
                let ended = self.applying.arriving.end(record.db, record.key);
                Some(ended.map_err(|error| named(record, &error))?)
            }
            _ => None,
        };
        let is_held = self.applying.held.hold(record, &mut value)?;
        let outcome = if is_held { Ok(()) } else { self.apply_with(record, value.as_ref()) };
        self.keep_value(record, !is_held && outcome.is_ok());
        Ok(outcome)
    }

    /// A record, with the value that it is the end of.
    fn apply_with(&mut self, record: &Record<'_>, value: Option<&Coming>) -> Result<(), Broken> {
        match (&record.effect, value) {
            (Effect::PutEnd { deadline }, Some(coming)) => {
                self.keys.apply_put(record.db, record.key, coming.value(), *deadline)
            }
            _ => self.keys.apply(record),
        }
    }

    /// Items of a full sync, those that come in pieces among them.
    fn apply_items(&mut self, frames: &[u8], passed: Option<&Passed>) -> Result<(), String> {
        for_each_entry(frames, &mut |entry| {
            let FrameEntry::Record(record) = &entry else {
                return Err("an item that is none".to_owned());
            };
            let held = &mut self.applying.held;
            let taken = match &record.effect {
                Effect::PutBegin { kind, length } => {
                    held.begin(record, Coming::new(*kind, *length))
                }
                Effect::PutPart(Payload::Bytes(part)) => held.part(record, part),
                Effect::PutEnd { deadline } => match held.end(record) {
                    Ok(held) => return self.put_held(record, *deadline, held),
                    Err(error) => Err(error),
                },
                _ => return self.apply_entry(&entry, passed),
            };
            taken.map_err(|error| named(record, &error))
        })
    }

    /// A large item is whole: it stands in its place, and what happened to its key meanwhile follows.
    fn put_held(
        &mut self,
        item: &Record<'_>,
        deadline: Deadline,
        mut held: Held,
    ) -> Result<(), String> {
        // Without one it was emptied meanwhile: the item is of a world that is gone.
        let Some(db) = held.db else { return Ok(()) };
        let outcome = self.keys.apply_put(db, item.key, held.item.value(), deadline);
        outcome.map_err(|broken| describe(item, broken))?;
        for_each_entry(&held.records, &mut |entry| {
            let FrameEntry::Record(record) = entry else { return Ok(()) };
            // The database may have changed its number since the record was made.
            let record = Record { db, ..record };
            let is_end = matches!(record.effect, Effect::PutEnd { .. });
            let value = if is_end { held.values.pop_front() } else { None };
            let outcome = self.apply_with(&record, value.as_ref());
            outcome.map_err(|broken| describe(&record, broken))
        })
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

    /// Forgets how far upstream flows have come, and items that have come in part: another session. Values
    /// that have come in part stay where it continues the history (`same`), as the data does.
    pub fn forget_reached(&mut self, reached: Vec<Lsn>, same: bool) {
        assert!(self.applying.queue.is_empty(), "positions change only while nothing is applied");
        self.applying.reached = reached;
        self.applying.held = HeldKeys::default();
        if !same || planted::pieces_go_with_the_session() {
            self.applying.arriving = Arriving::default();
        }
    }

    /// Per upstream shard, the position that this shard has reached.
    pub fn reached(&self) -> &[Lsn] {
        &self.applying.reached
    }
}

/// Calls `each` for all entries of whole frames, up to the first error.
fn for_each_entry<'a>(
    frames: &'a [u8],
    each: &mut dyn FnMut(FrameEntry<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let (mut rest, mut decoder) = (frames, Decoder::new());
    while !rest.is_empty() {
        let (frame, used) = decoder
            .next(rest)
            .map_err(|error| format!("a record cannot be read: {error:?}"))?
            .ok_or_else(|| "a batch ends inside a frame".to_owned())?;
        frame.entries().try_for_each(&mut *each)?;
        rest = &rest[used..];
    }
    Ok(())
}

/// Whether it changes nothing: the beginning or a part of a value.
fn is_piece(record: &Record<'_>) -> bool {
    matches!(record.effect, Effect::PutBegin { .. } | Effect::PutPart(_))
}

fn describe(record: &Record<'_>, broken: Broken) -> String {
    named(record, &format!("it cannot be applied: {broken:?}"))
}

fn named(record: &Record<'_>, error: &str) -> String {
    let key = String::from_utf8_lossy(&record.key[..record.key.len().min(64)]);
    format!("a record for key '{key}' of database {}: {error}", record.db.0)
}
