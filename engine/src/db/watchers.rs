//! Who watches which key, and what they are told.

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
pub(super) struct Watcher {
    pub(super) flag: WatchFlag,
    /// The key is there but had expired when the watch began: its deletion changes nothing.
    pub(super) gone: bool,
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
    pub(super) watched: HashMap<WatchKey, Vec<Watcher>>,
    /// How many keys are watched, by database.
    pub(super) counts: HashMap<DbIndex, usize>,
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

pub(super) fn has_expired(item: &Item, now: Millis) -> bool {
    item.deadline().is_some_and(|deadline| deadline <= now)
}
