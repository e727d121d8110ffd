//! Applying records: the same changes as the effects', told to nobody.
//!
//! Applying consults no clock, no memory limit and no read-only gate (J1). A record that does not fit
//! what it finds is a broken promise, which the caller tolerates only for keys whose item a running
//! full sync has not brought yet.

use super::Keyspace;
use super::door::At;
use super::touched::What;
use crate::journal::{Deadline, Effect, Global, Record};
use crate::types::{DbIndex, Millis};
use crate::value::{NewValue, Type, Unfit};

/// A record that cannot have been made by a node whose data equals ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It changes a key that is not there.
    Missing,
    /// It names a database that this node does not have.
    Database,
    /// It happens inside a value of another type than the key holds.
    OtherType,
    /// Its type cannot perform it.
    Unfit(Unfit),
    /// It is a piece of a value: they are put together before.
    Piece,
}

impl Broken {
    /// Whether it may happen to a key whose item a full sync has not brought yet. What is there then was
    /// made by records alone: the value that they change may lack its beginning, or be another one.
    pub fn may_precede_item(self) -> bool {
        match self {
            Broken::Missing | Broken::OtherType => true,
            Broken::Unfit(unfit) => unfit != Unfit::Unknown,
            Broken::Database | Broken::Piece => false,
        }
    }
}

impl Keyspace {
    /// Performs one record.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), Broken> {
        let Record { db, key, effect } = record;
        if db.index() >= self.door.count() {
            return Err(Broken::Database);
        }
        let at = At { db: *db, hash: self.hash(key), key };
        self.begin_record();
        #[cfg(feature = "planted-bugs")]
        if super::planted::is_on(&super::planted::REPLICA_EXPIRES_BY_ITSELF) && self.vanished(at) {
            self.perform_remove(at, What::Expired);
        }
        let there = match effect {
            Effect::Put { value, deadline } => {
                return self.apply_put(*db, key, value.value(), *deadline);
            }
            Effect::PutBegin { .. } | Effect::PutPart(_) | Effect::PutEnd { .. } => {
                return Err(Broken::Piece);
            }
            Effect::Message(scope, payload) => {
                let payload = payload.bytes().ok_or(Broken::Unfit(Unfit::Malformed))?;
                self.hear(*scope, key, &payload);
                true
            }
            Effect::Remove => self.perform_remove(at, What::Deleted),
            Effect::SetDeadline(deadline) => self.perform_deadline(at, *deadline),
            Effect::Change(change) => {
                let unknown = Broken::Unfit(Unfit::Unknown);
                let (kind, op) = Type::of_change(change.what).ok_or(unknown)?;
                let bytes = change.body.bytes().ok_or(Broken::Unfit(Unfit::Malformed))?;
                let mark = self.event_mark();
                self.perform_change(at, kind, |item| (kind.perform)(item, op, &bytes))?;
                if let Some(mark) = mark {
                    self.note_change(at, kind, (op, &bytes), mark);
                }
                true
            }
        };
        if there { Ok(()) } else { Err(Broken::Missing) }
    }

    /// A record, or several together, say that a key holds this value, if it is one.
    pub fn apply_put(
        &mut self,
        db: DbIndex,
        key: &[u8],
        value: Option<NewValue<'_>>,
        deadline: Deadline,
    ) -> Result<(), Broken> {
        if db.index() >= self.door.count() {
            return Err(Broken::Database);
        }
        let at = At { db, hash: self.hash(key), key };
        self.begin_record();
        // "Keep" stands only in records that change an existing key.
        if deadline == Deadline::Keep && !self.is_there(at) {
            return Err(Broken::Missing);
        }
        let value = value.ok_or(Broken::Unfit(Unfit::Malformed))?;
        self.perform_put(at, value, deadline, |_, _| ());
        Ok(())
    }

    /// A key of a data set that is loaded, told to nobody. `hash` is [`hash`](Keyspace::hash) of the key. Where there is
    /// one already it stays, and the answer is `false`.
    #[inline]
    pub fn load(
        &mut self,
        (db, hash, key): (DbIndex, u64, &[u8]),
        value: NewValue<'_>,
        deadline: Option<Millis>,
    ) -> Result<bool, Broken> {
        if db.index() >= self.door.count() {
            return Err(Broken::Database);
        }
        self.begin_record();
        Ok(self.perform_load(At { db, hash, key }, value, deadline))
    }

    /// So many keys of a database will be loaded, beside those that are there, it is said.
    pub fn expect(&mut self, db: DbIndex, keys: usize) {
        if db.index() < self.door.count() {
            let all = self.door.table(db).len().saturating_add(keys);
            self.door.expect(db, all);
        }
    }

    /// All that was said to come has come, or will not.
    pub fn expect_nothing(&mut self) {
        self.dbs().for_each(|db| self.door.expect(db, 0));
    }

    fn is_there(&self, at: At<'_>) -> bool {
        self.door.table(at.db).get(at.hash, at.key).is_some()
    }

    /// Performs one global record's part on this shard.
    pub fn apply_global(&mut self, global: Global) -> Result<(), Broken> {
        let known = |db: DbIndex| db.index() < self.door.count();
        match global {
            Global::FlushAll => self.perform_flush_all(),
            Global::FlushDb(db) if known(db) => self.perform_flush(db),
            Global::SwapDb(one, other) if known(one) && known(other) => {
                self.perform_swap(one, other);
            }
            Global::FlushDb(_) | Global::SwapDb(..) => return Err(Broken::Database),
        }
        Ok(())
    }
}
