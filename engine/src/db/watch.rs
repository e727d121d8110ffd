//! WATCH: who wants to know that a key was touched.
//!
//! A watcher is a flag that the shard raises and the connection reads at EXEC. Nothing is compared:
//! any change, expiry included, raises the flag, when the frame with the change stands in the log: until
//! then its keys are open, and an EXEC that asks holds them.
//!
//! Watching only looks. It deletes nothing, because it is no task that holds the key: a key whose time
//! has come counts as missing from the start, and the deletion that follows is no change.
//!
//! Others pay for it only by chance: a change asks for watchers where its key shares one of 64 bits with a
//! watched key of its database.

use super::Keyspace;
use super::door::heard_bit;
use super::watchers::{WatchFlag, Watcher, Watchers, has_expired};
use crate::types::DbIndex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Keyspace {
    fn is_gone(&self, db: DbIndex, key: &[u8]) -> bool {
        let item = self.door.table(db).get(self.hash(key), key);
        item.is_some_and(|item| has_expired(item, self.now))
    }

    /// Watches `key` for the owner of `flag`. One that has already expired counts as missing.
    pub fn watch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let gone = self.is_gone(db, key);
        let Watchers { watched, counts } = &mut self.watchers;
        let watchers = watched.entry((db, Box::from(key))).or_default();
        *counts.entry(db).or_default() += usize::from(watchers.is_empty());
        if !watchers.iter().any(|known| Arc::ptr_eq(&known.flag, flag)) {
            watchers.push(Watcher { flag: flag.clone(), gone });
        }
        self.door.set_heard(db, self.door.heard(db) | heard_bit(self.hash(key)));
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let entry = (db, Box::from(key));
        if let Some(watchers) = self.watchers.watched.get_mut(&entry) {
            watchers.retain(|known| !Arc::ptr_eq(&known.flag, flag));
            if !watchers.is_empty() {
                return;
            }
            self.watchers.watched.remove(&entry);
            let count = self.watchers.counts.entry(db).or_default();
            *count -= 1;
            self.hear_less(db);
        }
    }

    /// The bits of all keys of a database that somebody watches or waits for.
    pub(super) fn listened_to(&self, db: DbIndex) -> u64 {
        let keys = self.watchers.watched.keys().chain(self.waits.keys.keys());
        let bits = keys.filter(|(of, _)| *of == db).map(|(_, key)| heard_bit(self.hash(key)));
        bits.fold(0, |all, bit| all | bit)
    }

    /// Somebody has ceased to listen to a key. Others may have shared its bit: bits go when nobody listens to
    /// any key of the database.
    pub(super) fn hear_less(&mut self, db: DbIndex) {
        let is_watched = self.watchers.counts.get(&db).is_some_and(|count| *count > 0);
        if !is_watched && !self.waits.any_in(db) {
            self.door.set_heard(db, 0);
        }
    }

    /// Looks whether a watched key has expired since the watch began (which raises its flag).
    pub fn look_at_watched(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        if !self.is_gone(db, key) {
            return;
        }
        let watchers = self.watchers.watched.get(&(db, Box::from(key)));
        let own = watchers.and_then(|all| all.iter().find(|one| Arc::ptr_eq(&one.flag, flag)));
        if own.is_none_or(|watcher| !watcher.gone) {
            flag.store(true, Ordering::Release);
        }
    }
}
