//! Finding a key: what every read and the first half of every write go through.

use super::{Keyspace, Role, WrongType};
use crate::types::{DbIndex, Millis};
use crate::value::{Item, Value};

impl Keyspace {
    /// The item at `key`, as a read: counted as a hit or a miss, its access remembered.
    pub fn find(&mut self, db: DbIndex, key: &[u8]) -> Option<&Item> {
        let hash = self.hash(key);
        if self.vanished(db, hash, key) {
            self.stats.misses += 1;
            return None;
        }
        let (policy, now) = (self.policy, self.now);
        match self.dbs[db.index()].table.get_mut(hash, key) {
            Some(item) => {
                self.stats.hits += 1;
                if !self.no_touch {
                    policy.touch(item, now, &mut self.random);
                }
                Some(item)
            }
            None => {
                self.stats.misses += 1;
                None
            }
        }
    }

    /// CLIENT NO-TOUCH: whether reads leave the access times of keys alone, until said otherwise.
    pub(crate) fn set_no_touch(&mut self, no_touch: bool) {
        self.no_touch = no_touch;
    }

    /// The item at `key` without counting the read or remembering the access (EXISTS in a write,
    /// OBJECT, TTL).
    pub fn peek(&mut self, db: DbIndex, key: &[u8]) -> Option<&Item> {
        let hash = self.hash(key);
        if self.vanished(db, hash, key) {
            return None;
        }
        self.dbs[db.index()].table.get(hash, key)
    }

    /// The string at `key`: `None` when there is no such key.
    pub fn string(&mut self, db: DbIndex, key: &[u8]) -> Result<Option<Value<'_>>, WrongType> {
        // Strings are the only type yet; the check for others belongs exactly here.
        Ok(self.find(db, key).map(Item::value))
    }

    /// As [`string`](Keyspace::string), for the first half of a write: not counted as a read.
    pub fn string_to_change(
        &mut self,
        db: DbIndex,
        key: &[u8],
    ) -> Result<Option<Value<'_>>, WrongType> {
        Ok(self.peek(db, key).map(Item::value))
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
    pub(super) fn vanished(&mut self, db: DbIndex, hash: u64, key: &[u8]) -> bool {
        let due = self.is_due(db, hash, key);
        if due && self.role == Role::Master && !self.is_paused() {
            self.expire(db, hash, key);
        }
        due
    }

    /// Makes way for a change in place: what is there and has expired is deleted, paused or not, since
    /// the change itself is told as well.
    pub(super) fn make_way(&mut self, db: DbIndex, hash: u64, key: &[u8]) {
        if self.is_due(db, hash, key) && self.role == Role::Master {
            self.expire(db, hash, key);
        }
    }

    fn is_due(&self, db: DbIndex, hash: u64, key: &[u8]) -> bool {
        let database = &self.dbs[db.index()];
        if database.expires == 0 {
            return false;
        }
        let deadline = database.table.get(hash, key).and_then(Item::deadline);
        deadline.is_some_and(|deadline| deadline <= self.now)
    }
}
