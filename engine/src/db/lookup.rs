//! Finding a key: what every read and the first half of every write go through.

use super::door::At;
use super::policy::UsedSoFar;
use super::{Keyspace, Role, WrongType};
use crate::types::{DbIndex, Millis};
use crate::value::{Item, Object, Value};

impl Keyspace {
    /// The item at `key`, as a read: counted as a hit or a miss, its access remembered.
    pub fn find(&mut self, db: DbIndex, key: &[u8]) -> Option<&Item> {
        self.look_up(db, key, self.no_touch)
    }

    /// As [`find`](Keyspace::find), but the access is not remembered: for who asks about a key, not for its value
    /// (EXISTS, TYPE, TTL).
    pub fn look(&mut self, db: DbIndex, key: &[u8]) -> Option<&Item> {
        self.look_up(db, key, true)
    }

    fn look_up(&mut self, db: DbIndex, key: &[u8], no_touch: bool) -> Option<&Item> {
        let at = At { db, hash: self.hash(key), key };
        if self.vanished(at) {
            self.stats.misses += 1;
            self.speaker.missed(at, &mut self.made.said);
            return None;
        }
        let Keyspace { door, policy, now, random, stats, speaker, made, .. } = self;
        let found = door.look(at, |item| match no_touch {
            true => item.clock(),
            false => policy.clock(item, *now, random),
        });
        match found {
            Some(_) => stats.hits += 1,
            None => {
                stats.misses += 1;
                speaker.missed(at, &mut made.said);
            }
        }
        found
    }

    /// Remembers of a key how it was used elsewhere, if the policy wants to know that.
    pub fn set_used(&mut self, db: DbIndex, key: &[u8], used: UsedSoFar) {
        let at = At { db, hash: self.hash(key), key };
        if let Some(clock) = self.policy.told_clock(used, self.now) {
            self.door.look(at, |_| clock);
        }
    }

    /// How often a key was used under another name is how often it was used: `clock` as its item had it there, or 0. When
    /// it was is now, as for any other write.
    pub fn keep_used(&mut self, db: DbIndex, key: &[u8], clock: u32) {
        if clock != 0 && self.policy.kind.is_lfu() {
            self.door.look(At { db, hash: self.hash(key), key }, |_| clock);
        }
    }

    /// CLIENT NO-TOUCH: whether reads leave the access times of keys alone, until said otherwise.
    pub(crate) fn set_no_touch(&mut self, no_touch: bool) {
        self.no_touch = no_touch;
    }

    /// A master's command begins or ends, on a replica: it finds what has expired here, since to its master it
    /// had not; and what it says is said to others as well.
    pub(crate) fn set_commanded(&mut self, commanded: bool) {
        self.commanded = commanded;
    }

    /// The item at `key` without counting the read or remembering the access (EXISTS in a write,
    /// OBJECT, TTL).
    pub fn peek(&mut self, db: DbIndex, key: &[u8]) -> Option<&Item> {
        let at = At { db, hash: self.hash(key), key };
        if self.vanished(at) {
            return None;
        }
        self.door.table(db).get(at.hash, key)
    }

    /// The string at `key`: `None` when there is no such key.
    pub fn string(&mut self, db: DbIndex, key: &[u8]) -> Result<Option<Value<'_>>, WrongType> {
        self.find(db, key).map(|item| item.string().ok_or(WrongType)).transpose()
    }

    /// As [`string`](Keyspace::string), for the first half of a write: not counted as a read.
    pub fn string_to_change(
        &mut self,
        db: DbIndex,
        key: &[u8],
    ) -> Result<Option<Value<'_>>, WrongType> {
        self.peek(db, key).map(|item| item.string().ok_or(WrongType)).transpose()
    }

    /// The value of type `T` at `key`, as a read: `None` when there is no such key.
    pub fn object<T: Object>(&mut self, db: DbIndex, key: &[u8]) -> Result<Option<&T>, WrongType> {
        self.tidy_before_look(db, key);
        typed(self.find(db, key))
    }

    /// As [`object`](Keyspace::object), for the first half of a write: not counted as a read.
    pub fn object_to_change<T: Object>(
        &mut self,
        db: DbIndex,
        key: &[u8],
    ) -> Result<Option<&T>, WrongType> {
        self.tidy_before_look(db, key);
        typed(self.peek(db, key))
    }

    /// What has come to its end inside of a value goes before somebody looks: some of it, if it is much. A
    /// replica, or a master whose clients are paused, leaves it there.
    #[inline]
    fn tidy_before_look(&mut self, db: DbIndex, key: &[u8]) {
        if !self.door.dated(db).is_empty() && self.role == Role::Master && !self.is_paused() {
            self.tidy(At { db, hash: self.hash(key), key });
        }
    }

    /// Whether a value of a database has something inside that ends by itself.
    #[inline]
    pub fn has_dated_in(&self, db: DbIndex) -> bool {
        !self.door.dated(db).is_empty()
    }

    /// The deadline of `key`: `None` without such a key, `Some(None)` without a deadline.
    pub fn deadline(&mut self, db: DbIndex, key: &[u8]) -> Option<Option<Millis>> {
        self.peek(db, key).map(Item::deadline)
    }

    /// Whether there is such a key.
    pub fn exists(&mut self, db: DbIndex, key: &[u8]) -> bool {
        self.peek(db, key).is_some()
    }

    /// Whether `key` is there but its time has come. A master deletes it on the spot, and tells; a
    /// replica, or a master whose clients are paused, only says so.
    pub(super) fn vanished(&mut self, at: At<'_>) -> bool {
        let due = self.is_due(at);
        if due && self.role == Role::Master && !self.is_paused() {
            self.expire(at);
        }
        due
    }

    /// Makes way for a change in place: what is there and has expired is deleted, paused or not, since
    /// the change itself is told as well.
    pub(super) fn make_way(&mut self, at: At<'_>) {
        if self.is_due(at) && self.role == Role::Master {
            self.expire(at);
        }
    }

    fn is_due(&self, At { db, hash, key }: At<'_>) -> bool {
        if self.commanded || self.door.expires(db) == 0 {
            return false;
        }
        let deadline = self.door.table(db).get(hash, key).and_then(Item::deadline);
        deadline.is_some_and(|deadline| deadline <= self.now)
    }
}

fn typed<T: Object>(found: Option<&Item>) -> Result<Option<&T>, WrongType> {
    let Some(item) = found else { return Ok(None) };
    Ok(Some(item.object_as().ok_or(WrongType)?))
}
