//! Keys that somebody waits for, and in which order they came.
//!
//! ```text
//!   (db, key) ─► line of those who wait for a list:    3, 7, 12 ...      numbers, growing as they come
//!                line of those who wait for anything:  9
//! ```
//!
//! A key that is touched is put into a list, once its change stands in the log; whoever sleeps there is served
//! by the shard. Others pay for it only by chance, as for WATCH: a change asks where its key shares one of 64
//! bits with a key of its database that somebody listens to. What serving costs depends on who is served and
//! not on how many keys are waited for.

use super::touched::{There, Touched, What};
use super::watchers::WatchKey;
use crate::types::DbIndex;
use crate::value::{Item, Type};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// What those who wait at a key wait for.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {
    /// That it holds a value of this type, however it came there, and that this changes.
    Type(&'static Type),
    /// Whatever happens to it: also that it goes, or holds another type.
    Anything,
}

impl Awaited {
    /// Whether a key that holds this now is worth a look.
    pub(super) fn is_met(self, item: Option<&Item>) -> bool {
        match self {
            Awaited::Type(kind) => item.is_some_and(|item| item.kind() == kind),
            Awaited::Anything => true,
        }
    }

    pub(super) fn is_same(self, other: Awaited) -> bool {
        match (self, other) {
            (Awaited::Type(one), Awaited::Type(other)) => one == other,
            (Awaited::Anything, Awaited::Anything) => true,
            _ => false,
        }
    }
}

/// Who waits at one key.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) lines: Vec<(Awaited, BTreeSet<u64>)>,
    /// Whom what is there was promised: the others wait until that one has looked.
    pub(super) promised: Option<u64>,
}

/// Who waits at which key.
#[derive(Default)]
pub(super) struct Waits {
    pub(super) keys: HashMap<WatchKey, Waiting>,
    /// How many keys are waited for, by database.
    pub(super) counts: HashMap<DbIndex, usize>,
    /// Touched, and not looked at yet.
    pub(super) ready: VecDeque<WatchKey>,
}

impl Waits {
    pub(super) fn any_in(&self, db: DbIndex) -> bool {
        self.counts.contains_key(&db)
    }

    /// A key was touched, and the log says so.
    pub(super) fn note(&mut self, db: DbIndex, key: &[u8]) {
        if self.counts.is_empty() {
            return;
        }
        let key = (db, Box::from(key));
        if self.keys.contains_key(&key) {
            self.ready.push_back(key);
        }
    }

    /// What happens to whole databases touches all that is waited for there.
    pub(super) fn databases_change(&self, dbs: &[DbIndex], touched: &mut Vec<Touched>) {
        if !dbs.iter().any(|db| self.any_in(*db)) {
            return;
        }
        for (db, key) in self.keys.keys().filter(|(db, _)| dbs.contains(db)) {
            // One that is watched as well is told already.
            let tells = |other: &Touched| {
                other.db == *db && other.key == *key && other.what != What::Tended
            };
            if !touched.iter().any(tells) {
                let what = What::Swapped { was: There::Nothing, is: There::Nothing };
                touched.push(Touched { db: *db, key: key.clone(), what });
            }
        }
    }
}
