//! Eviction: which key goes when memory is short, by Redis's policies.
//!
//! As in Redis the choice is made among a few random keys (`maxmemory-samples`); `policy` says which is worse.

use super::door::At;
use super::policy::{Policy, PolicyKind};
use super::touched::What;
use super::victims::{Hunt, Victim};
use super::{Keyspace, Role};
use crate::table::Cursor;
use crate::types::DbIndex;

impl Keyspace {
    /// Changes the policy. Remembered accesses are of another kind afterwards and count as old.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The policy.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// How many keys the policy may take, open ones included.
    pub fn victims(&self) -> u64 {
        match self.policy.kind {
            PolicyKind::NoEviction => 0,
            kind if kind.only_volatile() => self.dbs().map(|db| self.door.expires(db) as u64).sum(),
            _ => self.total_len() as u64,
        }
    }

    /// Deletes the worst of a few keys, and tells. `false` when none was found.
    pub fn evict_one(&mut self, is_held: &mut dyn FnMut(u64) -> bool) -> bool {
        if self.policy.kind == PolicyKind::NoEviction || self.role == Role::Replica {
            return false;
        }
        let sampled = self.sampled_victim(is_held);
        let Some(Victim { db, hash, key, .. }) = sampled.or_else(|| self.sought_victim(is_held))
        else {
            return false;
        };
        let removed = self.remove_present(At { db, hash, key: &key }, What::Evicted);
        self.stats.evicted += u64::from(removed);
        removed
    }

    /// The worst of a few random keys. A volatile policy looks longer, and not where hardly any key has
    /// a deadline: there it would find none.
    fn sampled_victim(&mut self, is_held: &mut dyn FnMut(u64) -> bool) -> Option<Victim> {
        let (policy, now) = (self.policy, self.now);
        let only_volatile = policy.kind.only_volatile();
        let looks = if only_volatile { policy.samples * SPARSE } else { policy.samples };
        let mut worst: Option<Victim> = None;
        for db in self.dbs() {
            let table = self.door.table(db);
            if table.is_empty() || (only_volatile && self.door.expires(db) * SPARSE < table.len()) {
                continue;
            }
            table.sample(&mut self.random, looks, &mut |hash, item| {
                if (only_volatile && item.deadline().is_none()) || is_held(hash) {
                    return;
                }
                let badness = policy.badness(item, now);
                if worst.as_ref().is_none_or(|worst| badness > worst.badness) {
                    worst = Some(Victim { badness, db, hash, key: Box::from(item.key()) });
                }
            });
        }
        worst
    }

    /// The worst of those that a walk over the tables finds, which passes what has no deadline a segment
    /// at a time. It goes on where it stopped, so that every key has its turn.
    fn sought_victim(&mut self, is_held: &mut dyn FnMut(u64) -> bool) -> Option<Victim> {
        if !self.policy.kind.only_volatile() || self.dbs().all(|db| self.door.expires(db) == 0) {
            return None;
        }
        loop {
            self.seek_victims(is_held);
            let found = self.hunt.found.pop()?;
            // Much may have happened to it since it was found.
            let (policy, now) = (self.policy, self.now);
            let item = self.door.table(found.db).get(found.hash, &found.key);
            if item.is_some_and(|item| {
                item.deadline().is_some()
                    && policy.badness(item, now) >= found.badness
                    && !is_held(found.hash)
            }) {
                return Some(found);
            }
        }
    }

    /// Walks on until there is a choice, or the walk has cost enough for this time.
    fn seek_victims(&mut self, is_held: &mut dyn FnMut(u64) -> bool) {
        let (policy, now) = (self.policy, self.now);
        let Hunt { db, cursor, found } = &mut self.hunt;
        let (mut searched, mut ends) = (0, 0);
        while found.len() < policy.samples && searched < SEARCHED_MAX && ends <= self.door.count() {
            let index = DbIndex(*db as u16);
            let mut next = None;
            if self.door.expires(index) > 0 {
                // All instants but "never" count as due; nothing is taken out.
                let sweep = self.door.sweep(index, *cursor, u64::MAX - 1, 1, &mut |hash, item| {
                    if !is_held(hash) {
                        let (badness, key) = (policy.badness(item, now), Box::from(item.key()));
                        found.push(Victim { badness, db: index, hash, key });
                    }
                    false
                });
                // Passing segments by costs something too.
                searched += 1;
                next = sweep.next;
            }
            *cursor = next.unwrap_or(Cursor::START);
            if next.is_none() {
                *db = (*db + 1) % self.door.count();
                ends += 1;
            }
        }
        found.sort_unstable_by_key(|victim| victim.badness);
        let spare = found.len().saturating_sub(FOUND_MAX);
        found.drain(..spare);
    }
}

/// A volatile policy draws where at least one key in so many has a deadline, and looks at so many times
/// more keys as it wants: it finds some in all but one case in a hundred.
const SPARSE: usize = 8;

/// Segments that one hunt looks into at the most, some 10 us each.
const SEARCHED_MAX: usize = 32;

/// Victims kept for the next time, as in Redis.
const FOUND_MAX: usize = 16;
