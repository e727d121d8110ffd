//! Effects: the only ways to change data. Each changes the table and tells the frame.

use super::{Keyspace, Role};
use crate::journal::{Change, Deadline, Effect, Entry, FrameBuilder, Global, Payload, Record};
use crate::types::{DbIndex, Millis};
use crate::value::{Item, NewValue, SharedValue, Told, Type, TypeEffect};

impl Keyspace {
    /// Creates or replaces `key`.
    ///
    /// `Deadline::Keep` keeps the deadline of the item that is replaced. A deadline that has already
    /// passed deletes instead (and tells the deletion): a replica must never hold what its master
    /// does not.
    pub fn put(&mut self, db: DbIndex, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        if let Deadline::At(at) = deadline
            && at <= self.now
            && self.role == Role::Master
        {
            self.remove(db, key);
            return;
        }
        let hash = self.hash(key);
        let (policy, now) = (self.policy, self.now);
        let database = &mut self.dbs[db.index()];
        let item = match database.table.get_mut(hash, key) {
            Some(item) => {
                let had = item.deadline().is_some();
                item.set(value);
                if deadline != Deadline::Keep {
                    let at = instant(deadline);
                    if had || at.is_some() {
                        item.set_deadline(at);
                    }
                    database.expires =
                        database.expires + usize::from(at.is_some()) - usize::from(had);
                    if let Some(at) = at {
                        database.table.note_due(hash, at.0);
                    }
                }
                database.table.get_mut(hash, key).expect("the item that was just replaced")
            }
            None => {
                let item = Item::new(key, value, instant(deadline));
                database.expires += usize::from(instant(deadline).is_some());
                database.table.insert_unique(hash, item)
            }
        };
        policy.touch(item, now, &mut self.random);
        tell(&mut self.frame, self.telling, || Record {
            db,
            key,
            effect: Effect::Put { value: payload_of(item), deadline },
        });
        self.changed(db, key);
    }

    /// Deletes `key`; `false` when it was not there.
    pub fn remove(&mut self, db: DbIndex, key: &[u8]) -> bool {
        let hash = self.hash(key);
        if self.vanished(db, hash, key) {
            return false;
        }
        self.remove_present(db, hash, key)
    }

    /// Deletes `key` whatever its deadline says.
    pub(super) fn remove_present(&mut self, db: DbIndex, hash: u64, key: &[u8]) -> bool {
        let database = &mut self.dbs[db.index()];
        let Some(item) = database.table.remove(hash, key) else { return false };
        database.expires -= usize::from(item.deadline().is_some());
        tell(&mut self.frame, self.telling, || Record { db, key, effect: Effect::Remove });
        self.changed(db, key);
        true
    }

    /// Sets or drops the deadline of an existing `key`; `false` when it is not there. A deadline that
    /// has passed deletes the key.
    pub fn set_deadline(&mut self, db: DbIndex, key: &[u8], deadline: Option<Millis>) -> bool {
        let hash = self.hash(key);
        if self.vanished(db, hash, key) {
            return false;
        }
        if deadline.is_some_and(|at| at <= self.now) && self.role == Role::Master {
            return self.remove_present(db, hash, key);
        }
        if !self.change_deadline(db, hash, key, deadline) {
            return false;
        }
        let effect = Effect::SetDeadline(deadline);
        tell(&mut self.frame, self.telling, || Record { db, key, effect });
        self.changed(db, key);
        true
    }

    pub(super) fn change_deadline(
        &mut self,
        db: DbIndex,
        hash: u64,
        key: &[u8],
        deadline: Option<Millis>,
    ) -> bool {
        let database = &mut self.dbs[db.index()];
        let Some(item) = database.table.get_mut(hash, key) else { return false };
        let had = item.deadline().is_some();
        item.set_deadline(deadline);
        database.expires = database.expires + usize::from(deadline.is_some()) - usize::from(had);
        if let Some(at) = deadline {
            database.table.note_due(hash, at.0);
        }
        true
    }

    /// Has an effect inside the value at `key`, which a key that is not there gets empty; answers with
    /// what the effect says of itself. The caller has checked the type and that the effect fits.
    pub fn change<E: TypeEffect>(&mut self, db: DbIndex, key: &[u8], effect: &E) -> E::Done {
        let hash = self.hash(key);
        self.make_way(db, hash, key);
        let item = self.existing_or_empty(db, hash, key, E::TYPE);
        let done = effect.perform(item);
        let done = done.unwrap_or_else(|unfit| panic!("a command's own effect is {unfit:?}"));
        tell(&mut self.frame, self.telling, || {
            let Told { op, head, bytes } = effect.told();
            let body = Payload::Bytes(bytes);
            let effect = Effect::Change(Change { what: E::TYPE.change(op), head, body });
            Record { db, key, effect }
        });
        self.changed(db, key);
        done
    }

    pub(super) fn existing_or_empty(
        &mut self,
        db: DbIndex,
        hash: u64,
        key: &[u8],
        kind: &Type,
    ) -> &mut Item {
        let (policy, now) = (self.policy, self.now);
        let table = &mut self.dbs[db.index()].table;
        if table.get(hash, key).is_none() {
            table.insert_unique(hash, Item::new(key, (kind.empty)(), None));
        }
        let item = table.get_mut(hash, key).expect("the item that was found or made above");
        policy.touch(item, now, &mut self.random);
        item
    }

    /// Empties all databases.
    pub fn flush_all(&mut self) {
        self.flush_all_untold();
        self.frame.push_entry(&Entry::Global(Global::FlushAll));
        self.stats.mutations += 1;
    }

    /// Empties one database.
    pub fn flush_db(&mut self, db: DbIndex) {
        self.flush_db_untold(db);
        self.frame.push_entry(&Entry::Global(Global::FlushDb(db)));
        self.stats.mutations += 1;
    }

    /// Exchanges two databases: their contents change numbers, nothing moves.
    pub fn swap_db(&mut self, one: DbIndex, other: DbIndex) {
        self.swap_db_untold(one, other);
        self.frame.push_entry(&Entry::Global(Global::SwapDb(one, other)));
        self.stats.mutations += 1;
    }

    pub(super) fn flush_all_untold(&mut self) {
        for index in 0..self.dbs.len() {
            self.flush_db_untold(DbIndex(index as u16));
        }
    }

    pub(super) fn flush_db_untold(&mut self, db: DbIndex) {
        self.watchers.database_changed(db, &self.dbs[db.index()].table);
        if self.dbs[db.index()].table.is_empty() {
            // Nothing to free; the identity may stay, since a cut of nothing is complete either way.
            return;
        }
        let fresh = self.empty_database();
        let old = std::mem::replace(&mut self.dbs[db.index()], fresh);
        self.graveyard.push(old.table.into_drain());
    }

    pub(super) fn swap_db_untold(&mut self, one: DbIndex, other: DbIndex) {
        if one == other {
            return;
        }
        self.watchers.databases_swapped(
            self.now,
            (one, &self.dbs[one.index()].table),
            (other, &self.dbs[other.index()].table),
        );
        self.dbs.swap(one.index(), other.index());
    }

    pub(super) fn changed(&mut self, db: DbIndex, key: &[u8]) {
        self.stats.mutations += 1;
        self.watchers.key_changed(db, key, &self.dbs[db.index()].table);
    }
}

/// Puts a record into the frame, or only counts it.
#[inline]
fn tell<'a>(frame: &mut FrameBuilder, telling: bool, record: impl FnOnce() -> Record<'a>) {
    if telling { frame.push(&record()) } else { frame.count_one() }
}

/// What the journal holds of an item's value: the bytes themselves, or one more reference to a large
/// one.
fn payload_of(item: &Item) -> Payload<'_> {
    use crate::value::Value;
    match item.value() {
        Value::Int(number) => Payload::Int(number),
        Value::Bytes(bytes) if bytes.len() > crate::journal::INLINE_PAYLOAD_BYTES_MAX => {
            match item.share() {
                SharedValue::Large(shared) => Payload::Shared(shared),
                _ => Payload::Bytes(bytes),
            }
        }
        Value::Bytes(bytes) => Payload::Bytes(bytes),
    }
}

/// The instant that a fresh item gets.
pub(super) fn instant(deadline: Deadline) -> Option<Millis> {
    match deadline {
        Deadline::At(at) => Some(at),
        Deadline::None | Deadline::Keep => None,
    }
}
