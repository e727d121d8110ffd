//! Waiting at keys: who comes, who goes, whose turn it is.

use super::Keyspace;
use super::door::heard_bit;
use super::waits::{Awaited, Waiting, Waits};
use super::watchers::WatchKey;
use crate::types::DbIndex;
use std::collections::BTreeSet;
use std::ops::Bound;

impl Keyspace {
    /// Somebody waits at a key, with a number above those of all who came before.
    pub(crate) fn wait_for(&mut self, db: DbIndex, key: &[u8], number: u64, awaited: Awaited) {
        let Waits { keys, counts, .. } = &mut self.waits;
        let waiting = keys.entry((db, Box::from(key))).or_insert_with(|| {
            *counts.entry(db).or_default() += 1;
            Waiting::default()
        });
        match waiting.lines.iter_mut().find(|(other, _)| other.is_same(awaited)) {
            Some((_, line)) => {
                line.insert(number);
            }
            None => waiting.lines.push((awaited, BTreeSet::from([number]))),
        }
        self.door.set_heard(db, self.door.heard(db) | heard_bit(self.hash(key)));
    }

    /// Who has this number waits there no more; whether the others are to look, because what is there was
    /// promised to it.
    pub(crate) fn wait_no_more(&mut self, db: DbIndex, key: &[u8], number: u64) -> bool {
        let Waits { keys, counts, .. } = &mut self.waits;
        let key = (db, Box::from(key));
        let Some(waiting) = keys.get_mut(&key) else { return false };
        for (_, line) in &mut waiting.lines {
            line.remove(&number);
        }
        waiting.lines.retain(|(_, line)| !line.is_empty());
        if !waiting.lines.is_empty() {
            let was_promised = waiting.promised == Some(number);
            if was_promised {
                waiting.promised = None;
            }
            return was_promised;
        }
        keys.remove(&key);
        let count = counts.entry(db).or_default();
        *count -= 1;
        if *count == 0 {
            counts.remove(&db);
            self.hear_less(db);
        }
        false
    }

    /// A key is to be looked at, as if it had been touched.
    pub(crate) fn look_at(&mut self, key: WatchKey) {
        self.waits.ready.push_back(key);
    }

    /// Whether a key that somebody waits at was touched.
    #[inline]
    pub(crate) fn has_awaited(&self) -> bool {
        !self.waits.ready.is_empty()
    }

    /// The next of them.
    pub(crate) fn next_awaited(&mut self) -> Option<WatchKey> {
        self.waits.ready.pop_front()
    }

    /// The first behind a number of those who wait at a key for what is there now. Nobody, as long as that is
    /// promised.
    pub(crate) fn next_waiting(&self, (db, key): &WatchKey, after: u64) -> Option<u64> {
        let waiting = self.waits.keys.get(&(*db, key.clone()))?;
        if waiting.promised.is_some() {
            return None;
        }
        let item = self.door.table(*db).get(self.hash(key), key);
        let item = item.filter(|item| !super::watchers::has_expired(item, self.now));
        let met = waiting.lines.iter().filter(|(awaited, _)| awaited.is_met(item));
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        met.filter_map(|(_, line)| line.range(behind).next().copied()).min()
    }

    /// What is at a key is for who has this number, who has to look elsewhere before taking it; until then
    /// nobody else who waits gets it.
    pub(crate) fn promise(&mut self, key: &WatchKey, number: u64) {
        if let Some(waiting) = self.waits.keys.get_mut(key) {
            waiting.promised = Some(number);
        }
    }

    /// Who has this number has looked and goes on waiting: now the others may.
    pub(crate) fn end_promise(&mut self, key: &WatchKey, number: u64) -> bool {
        let waiting = self.waits.keys.get_mut(key);
        let Some(waiting) = waiting.filter(|it| it.promised == Some(number)) else { return false };
        waiting.promised = None;
        true
    }

    /// Whether what is at a key is promised to somebody who waits.
    pub(crate) fn is_promised(&self, db: DbIndex, key: &[u8]) -> bool {
        if self.waits.counts.is_empty() {
            return false;
        }
        let waiting = self.waits.keys.get(&(db, Box::from(key)));
        waiting.is_some_and(|waiting| waiting.promised.is_some())
    }

    /// How many keys are waited for, and how many of them by somebody who waits for anything.
    pub fn awaited_keys(&self) -> (usize, usize) {
        let is_any = |waiting: &&Waiting| {
            waiting.lines.iter().any(|(awaited, _)| matches!(awaited, Awaited::Anything))
        };
        (self.waits.keys.len(), self.waits.keys.values().filter(is_any).count())
    }
}
