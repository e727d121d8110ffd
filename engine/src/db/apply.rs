//! Applying records: the same changes as the effects', told to nobody.
//!
//! Applying consults no clock, no memory limit and no read-only gate (J1). A record that does not fit
//! what it finds is a broken promise, which the caller tolerates only for keys whose item a running
//! full sync has not brought yet.

use super::Keyspace;
use super::effects::instant;
use crate::journal::{Deadline, Effect, Global, Payload, Record};
use crate::types::DbIndex;
use crate::value::{Item, NewValue, Type, Unfit};

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
}

impl Keyspace {
    /// Performs one record.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), Broken> {
        let Record { db, key, effect } = record;
        let (db, key) = (*db, *key);
        if db.index() >= self.dbs.len() {
            return Err(Broken::Database);
        }
        let hash = self.hash(key);
        #[cfg(feature = "planted-bugs")]
        if super::planted::is_on(&super::planted::REPLICA_EXPIRES_BY_ITSELF)
            && self.vanished(db, hash, key)
        {
            let database = &mut self.dbs[db.index()];
            database.expires -= usize::from(database.table.remove(hash, key).is_some());
        }
        match effect {
            Effect::Put { value, deadline } => {
                self.apply_put(db, hash, key, new_value(value), *deadline)?;
            }
            Effect::Remove => {
                let database = &mut self.dbs[db.index()];
                let item = database.table.remove(hash, key).ok_or(Broken::Missing)?;
                database.expires -= usize::from(item.deadline().is_some());
            }
            Effect::SetDeadline(deadline) => {
                if !self.change_deadline(db, hash, key, *deadline) {
                    return Err(Broken::Missing);
                }
            }
            Effect::Change(change) => {
                let unknown = Broken::Unfit(Unfit::Unknown);
                let (kind, op) = Type::of_change(change.what).ok_or(unknown)?;
                let bytes = change.body.bytes().ok_or(Broken::Unfit(Unfit::Malformed))?;
                let item = self.existing_or_empty(db, hash, key, kind);
                if item.kind() != kind {
                    return Err(Broken::OtherType);
                }
                (kind.perform)(item, op, bytes).map_err(Broken::Unfit)?;
            }
        }
        self.changed(db, key);
        Ok(())
    }

    fn apply_put(
        &mut self,
        db: DbIndex,
        hash: u64,
        key: &[u8],
        value: NewValue<'_>,
        deadline: Deadline,
    ) -> Result<(), Broken> {
        let (policy, now) = (self.policy, self.now);
        let database = &mut self.dbs[db.index()];
        match database.table.get_mut(hash, key) {
            Some(item) => {
                item.set(value);
                policy.touch(item, now, &mut self.random);
                if deadline != Deadline::Keep {
                    self.change_deadline(db, hash, key, instant(deadline));
                }
            }
            // "Keep" stands only in records that change an existing key.
            None if deadline == Deadline::Keep => return Err(Broken::Missing),
            None => {
                database.expires += usize::from(instant(deadline).is_some());
                let item = Item::new(key, value, instant(deadline));
                // When it was used on the master is not told: for us it is new.
                policy.touch(database.table.insert_unique(hash, item), now, &mut self.random);
            }
        }
        Ok(())
    }

    /// Performs one global record's part on this shard.
    pub fn apply_global(&mut self, global: Global) -> Result<(), Broken> {
        let known = |db: DbIndex| db.index() < self.dbs.len();
        match global {
            Global::FlushAll => self.flush_all_untold(),
            Global::FlushDb(db) if known(db) => self.flush_db_untold(db),
            Global::SwapDb(one, other) if known(one) && known(other) => {
                self.swap_db_untold(one, other);
            }
            Global::FlushDb(_) | Global::SwapDb(..) => return Err(Broken::Database),
        }
        self.stats.mutations += 1;
        Ok(())
    }
}

fn new_value<'a>(payload: &'a Payload<'a>) -> NewValue<'a> {
    match payload {
        Payload::Int(number) => NewValue::Int(*number),
        Payload::Bytes(bytes) => NewValue::Bytes(bytes),
        Payload::Shared(shared) => {
            NewValue::Shared(crate::value::SharedValue::Large(shared.clone()))
        }
    }
}
