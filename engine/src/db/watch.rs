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

use super::door::heard_bit;
use super::touched::{There, Touched, What};
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
    fn raise(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// What happened to the key.
    fn note(&mut self, what: What) {
        match what {
            What::Deleted | What::Expired | What::Evicted if self.gone => self.gone = false,
            // One that had expired on one side and is not on the other, or has expired there too, is as
            // missing as before.
            What::Swapped { was, is } if was == There::Nothing || self.gone => match is {
                There::Nothing => self.gone = false,
                There::Expired => self.gone = true,
                There::Something => self.raise(),
            },
            _ => self.raise(),
        }
    }
}

#[derive(Default)]
pub(super) struct Watchers {
    watched: HashMap<WatchKey, Vec<Watcher>>,
    /// How many keys are watched, by database.
    counts: HashMap<DbIndex, usize>,
}

impl Watchers {
    /// A key was touched, and the log says so.
    pub(super) fn note(&mut self, touched: Touched) {
        let Touched { db, key, what } = touched;
        if let Some(watchers) = self.watched.get_mut(&(db, key)) {
            watchers.iter_mut().for_each(|watcher| watcher.note(what));
        }
    }

    /// FLUSHDB touches the watched keys that exist.
    pub(super) fn database_goes(
        &self,
        db: DbIndex,
        table: &Table<Item>,
        touched: &mut Vec<Touched>,
    ) {
        for (watched, key) in self.watched.keys() {
            if *watched == db && table.get(table.hash(key), key).is_some() {
                touched.push(Touched { db, key: key.clone(), what: What::Deleted });
            }
        }
    }

    /// SWAPDB touches the watched keys that exist on either side.
    pub(super) fn databases_swap(
        &self,
        now: Millis,
        one: (DbIndex, &Table<Item>),
        other: (DbIndex, &Table<Item>),
        touched: &mut Vec<Touched>,
    ) {
        for (watched, key) in self.watched.keys() {
            let (old, new) = match *watched {
                db if db == one.0 => (one.1, other.1),
                db if db == other.0 => (other.1, one.1),
                _ => continue,
            };
            let found = |table: &Table<Item>| match table.get(table.hash(key), key) {
                None => There::Nothing,
                Some(item) if has_expired(item, now) => There::Expired,
                Some(_) => There::Something,
            };
            let what = What::Swapped { was: found(old), is: found(new) };
            touched.push(Touched { db: *watched, key: key.clone(), what });
        }
    }
}

fn has_expired(item: &Item, now: Millis) -> bool {
    item.deadline().is_some_and(|deadline| deadline <= now)
}

impl super::Keyspace {
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
            if *count == 0 {
                // Other keys may have shared the bits: they go when the database's last watch does.
                self.door.set_heard(db, 0);
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
