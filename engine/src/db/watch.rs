//! WATCH: who wants to know that a key was touched.
//!
//! A watcher is a flag that the shard raises and the connection reads at EXEC. Nothing is compared:
//! any change, expiry included, raises the flag.
//!
//! Watching only looks. It deletes nothing, because it is no task that holds the key: a key whose time
//! has come counts as missing from the start, and the deletion that follows is no change.

use crate::table::Table;
use crate::types::{DbIndex, Millis};
use crate::value::Item;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raised when any key that a connection watches was touched.
pub type WatchFlag = Arc<AtomicBool>;

/// A watched key.
pub type WatchKey = (DbIndex, Box<[u8]>);

/// One connection that watches a key.
struct Watcher {
    flag: WatchFlag,
    /// The key is there but had expired when the watch began: its deletion changes nothing.
    gone: bool,
}

impl Watcher {
    /// The key was touched, and `exists` now or not.
    fn note(&mut self, exists: bool) {
        if self.gone && !exists {
            self.gone = false;
        } else {
            self.flag.store(true, Ordering::Release);
        }
    }
}

#[derive(Default)]
pub(super) struct Watchers {
    watched: HashMap<WatchKey, Vec<Watcher>>,
}

impl Watchers {
    pub(super) fn key_changed(&mut self, db: DbIndex, key: &[u8], table: &Table<Item>) {
        if self.watched.is_empty() {
            return;
        }
        if let Some(watchers) = self.watched.get_mut(&(db, Box::from(key))) {
            let exists = table.get(table.hash(key), key).is_some();
            watchers.iter_mut().for_each(|watcher| watcher.note(exists));
        }
    }

    /// FLUSHDB touches the watched keys that exist.
    pub(super) fn database_changed(&mut self, db: DbIndex, table: &Table<Item>) {
        for ((watched, key), watchers) in &mut self.watched {
            if *watched == db && table.get(table.hash(key), key).is_some() {
                watchers.iter_mut().for_each(|watcher| watcher.note(false));
            }
        }
    }

    /// SWAPDB touches the watched keys that exist on either side. One that had expired on one side
    /// and is not on the other, or has expired there too, is as missing as before.
    pub(super) fn databases_swapped(
        &mut self,
        now: Millis,
        one: (DbIndex, &Table<Item>),
        other: (DbIndex, &Table<Item>),
    ) {
        for ((watched, key), watchers) in &mut self.watched {
            let (old, new) = match *watched {
                db if db == one.0 => (one.1, other.1),
                db if db == other.0 => (other.1, one.1),
                _ => continue,
            };
            let found = |table: &Table<Item>| {
                table.get(table.hash(key), key).map(|item| has_expired(item, now))
            };
            let (was, is) = (found(old), found(new));
            for watcher in watchers {
                let missed = was.is_none() || watcher.gone;
                match is {
                    None if missed => watcher.gone = false,
                    Some(true) if missed => watcher.gone = true,
                    _ => watcher.note(is.is_some()),
                }
            }
        }
    }
}

fn has_expired(item: &Item, now: Millis) -> bool {
    item.deadline().is_some_and(|deadline| deadline <= now)
}

impl super::Keyspace {
    fn is_gone(&self, db: DbIndex, key: &[u8]) -> bool {
        let item = self.dbs[db.index()].table.get(self.hash(key), key);
        item.is_some_and(|item| has_expired(item, self.now))
    }

    /// Watches `key` for the owner of `flag`. One that has already expired counts as missing.
    pub fn watch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let gone = self.is_gone(db, key);
        let watchers = self.watchers.watched.entry((db, Box::from(key))).or_default();
        if !watchers.iter().any(|known| Arc::ptr_eq(&known.flag, flag)) {
            watchers.push(Watcher { flag: flag.clone(), gone });
        }
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let entry = (db, Box::from(key));
        if let Some(watchers) = self.watchers.watched.get_mut(&entry) {
            watchers.retain(|known| !Arc::ptr_eq(&known.flag, flag));
            if watchers.is_empty() {
                self.watchers.watched.remove(&entry);
            }
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
