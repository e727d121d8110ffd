//! WATCH: who wants to know that a key was touched.
//!
//! A watcher is a flag that the shard raises and the connection reads at EXEC. Nothing is compared:
//! any change, expiry included, raises the flag.

use crate::table::Table;
use crate::types::DbIndex;
use crate::value::Item;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raised when any key that a connection watches was touched.
pub type WatchFlag = Arc<AtomicBool>;

/// A watched key.
pub type WatchKey = (DbIndex, Box<[u8]>);

#[derive(Default)]
pub(super) struct Watchers {
    flags: HashMap<WatchKey, Vec<WatchFlag>>,
}

impl Watchers {
    pub(super) fn key_changed(&mut self, db: DbIndex, key: &[u8]) {
        if self.flags.is_empty() {
            return;
        }
        if let Some(flags) = self.flags.get(&(db, Box::from(key))) {
            raise(flags);
        }
    }

    /// FLUSHDB touches the watched keys that exist.
    pub(super) fn database_changed(&mut self, db: DbIndex, table: &Table<Item>) {
        for ((watched, key), flags) in &self.flags {
            if *watched == db && table.get(table.hash(key), key).is_some() {
                raise(flags);
            }
        }
    }

    /// SWAPDB touches the watched keys that exist on either side.
    pub(super) fn databases_swapped(
        &mut self,
        one: (DbIndex, &Table<Item>),
        other: (DbIndex, &Table<Item>),
    ) {
        for ((watched, key), flags) in &self.flags {
            let exists = |table: &Table<Item>| table.get(table.hash(key), key).is_some();
            if (*watched == one.0 || *watched == other.0) && (exists(one.1) || exists(other.1)) {
                raise(flags);
            }
        }
    }
}

fn raise(flags: &[WatchFlag]) {
    for flag in flags {
        flag.store(true, Ordering::Release);
    }
}

impl super::Keyspace {
    /// Watches `key` for the owner of `flag`.
    ///
    /// A key that has already expired counts as missing from here on: it is deleted first, so that
    /// its disappearance is not taken for a change.
    pub fn watch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let hash = self.hash(key);
        self.vanished(db, hash, key);
        let flags = self.watchers.flags.entry((db, Box::from(key))).or_default();
        if !flags.iter().any(|known| Arc::ptr_eq(known, flag)) {
            flags.push(flag.clone());
        }
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let entry = (db, Box::from(key));
        if let Some(flags) = self.watchers.flags.get_mut(&entry) {
            flags.retain(|known| !Arc::ptr_eq(known, flag));
            if flags.is_empty() {
                self.watchers.flags.remove(&entry);
            }
        }
    }

    /// Looks whether a watched key has expired meanwhile (which raises its flag).
    pub fn look_at_watched(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let hash = self.hash(key);
        if self.vanished(db, hash, key) {
            flag.store(true, Ordering::Release);
        }
    }
}
