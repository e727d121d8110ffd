//! Eviction: which key goes when memory is short, by Redis's policies.
//!
//! As in Redis the choice is made among a few random keys (`maxmemory-samples`). Accesses are remembered
//! in the 24 bits of an item's header: for LRU the second of the last access, for LFU 16 bits of minutes
//! and an 8-bit logarithmic counter.
//!
//! ```text
//!   LRU  |------- seconds mod 2^24 -------|
//!   LFU  |-- minutes mod 2^16 --| counter |
//! ```

use super::door::At;
use super::touched::What;
use super::{Keyspace, Role};
use crate::table::{Cursor, Entry};
use crate::types::{DbIndex, Millis, ShardId};
use crate::value::Item;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// `maxmemory-policy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PolicyKind {
    /// Refuse writes instead.
    #[default]
    NoEviction,
    /// The least recently used key.
    AllKeysLru,
    /// The least recently used key with a deadline.
    VolatileLru,
    /// The least frequently used key.
    AllKeysLfu,
    /// The least frequently used key with a deadline.
    VolatileLfu,
    /// Any key.
    AllKeysRandom,
    /// Any key with a deadline.
    VolatileRandom,
    /// The key whose deadline is nearest.
    VolatileTtl,
}

impl PolicyKind {
    /// All policies with Redis's names.
    pub const NAMES: [(&'static str, PolicyKind); 8] = [
        ("noeviction", PolicyKind::NoEviction),
        ("allkeys-lru", PolicyKind::AllKeysLru),
        ("volatile-lru", PolicyKind::VolatileLru),
        ("allkeys-lfu", PolicyKind::AllKeysLfu),
        ("volatile-lfu", PolicyKind::VolatileLfu),
        ("allkeys-random", PolicyKind::AllKeysRandom),
        ("volatile-random", PolicyKind::VolatileRandom),
        ("volatile-ttl", PolicyKind::VolatileTtl),
    ];

    /// The policy called `name`.
    pub fn named(name: &str) -> Option<PolicyKind> {
        PolicyKind::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }

    /// Redis's name.
    pub fn name(self) -> &'static str {
        PolicyKind::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |&(name, _)| name)
    }

    /// Whether items carry frequencies instead of times.
    pub fn is_lfu(self) -> bool {
        matches!(self, PolicyKind::AllKeysLfu | PolicyKind::VolatileLfu)
    }

    fn only_volatile(self) -> bool {
        matches!(
            self,
            PolicyKind::VolatileLru
                | PolicyKind::VolatileLfu
                | PolicyKind::VolatileRandom
                | PolicyKind::VolatileTtl
        )
    }
}

/// How accesses are remembered and victims chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Which keys go.
    pub kind: PolicyKind,
    /// `maxmemory-samples`: keys looked at per victim.
    pub samples: usize,
    /// `lfu-log-factor`: how slowly the counter grows.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`: minutes after which the counter loses one.
    pub lfu_decay_minutes: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            kind: PolicyKind::NoEviction,
            samples: 5,
            lfu_log_factor: 10,
            lfu_decay_minutes: 1,
        }
    }
}

/// What the node's memory means for a command that may need some.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressure {
    /// There is enough.
    None,
    /// Keys must go first.
    Evict,
    /// There is none, and nothing may be evicted.
    Refuse,
}

/// What the journals hold counts against maxmemory up to this share of it: the rest is the data's, however
/// large the journals may become.
const JOURNAL_SHARE: u64 = 2;

/// Of what the journals hold, the part that counts against `maxmemory`.
pub fn journal_counted(journal: u64, maxmemory: u64) -> u64 {
    journal.min(maxmemory / JOURNAL_SHARE)
}

/// What memory means for a command that may need some: of `used` bytes the journals hold `journal`.
///
/// What they hold counts, not what they may hold: a log that is off or empty takes nothing from the data, and
/// one that grows takes its place as it does. Eviction's own deletions make it grow too, but eviction cannot
/// feed itself without end (J5): a key gives back more than its record takes, the log is bounded, and
/// what it holds above [`JOURNAL_SHARE`] is left out.
pub fn pressure(used: u64, journal: u64, maxmemory: u64, evicts: bool) -> Pressure {
    #[cfg(feature = "planted-bugs")]
    let journal =
        if super::planted::is_on(&super::planted::JOURNAL_COUNTS_AS_DATA) { 0 } else { journal };
    let data = used.saturating_sub(journal);
    match data <= maxmemory - journal_counted(journal, maxmemory) {
        true => Pressure::None,
        false if evicts => Pressure::Evict,
        false => Pressure::Refuse,
    }
}

/// The counter of a new key: above 0, so that it is not the first to go.
const LFU_INITIAL: u32 = 5;
const CLOCK_MASK: u64 = 0xff_ffff;

impl Policy {
    /// What is remembered of an access to `item`.
    #[inline]
    pub(super) fn clock(&self, item: &Item, now: Millis, random: &mut fastrand::Rng) -> u32 {
        if self.kind.is_lfu() {
            let counter = self.grown(self.frequency(item, now), random);
            (minutes(now) << 8) | counter
        } else {
            ((now.0 / 1000) & CLOCK_MASK) as u32
        }
    }

    /// The LFU counter, decayed to now. 0 for an item that was never accessed under LFU.
    pub fn frequency(&self, item: &Item, now: Millis) -> u32 {
        let clock = item.clock();
        if clock == 0 {
            return LFU_INITIAL;
        }
        let (then, counter) = (clock >> 8, clock & 0xff);
        let passed = minutes(now).wrapping_sub(then) & 0xffff;
        let lost = passed.checked_div(self.lfu_decay_minutes).unwrap_or(0);
        counter.saturating_sub(lost)
    }

    /// Seconds since the last access, for OBJECT IDLETIME.
    pub fn idle_seconds(&self, item: &Item, now: Millis) -> u64 {
        ((now.0 / 1000) & CLOCK_MASK).wrapping_sub(u64::from(item.clock())) & CLOCK_MASK
    }

    /// The counter after one more access: the fuller it is, the less likely it grows.
    fn grown(&self, counter: u32, random: &mut fastrand::Rng) -> u32 {
        if counter >= 255 {
            return 255;
        }
        let base = f64::from(counter.saturating_sub(LFU_INITIAL));
        let chance = 1.0 / (base * f64::from(self.lfu_log_factor) + 1.0);
        counter + u32::from(random.f64() < chance)
    }

    /// The higher, the sooner it goes.
    fn badness(&self, item: &Item, now: Millis) -> u64 {
        match self.kind {
            PolicyKind::AllKeysLru | PolicyKind::VolatileLru => self.idle_seconds(item, now),
            PolicyKind::AllKeysLfu | PolicyKind::VolatileLfu => {
                u64::from(255 - self.frequency(item, now).min(255))
            }
            PolicyKind::VolatileTtl => u64::MAX - item.due(),
            PolicyKind::AllKeysRandom | PolicyKind::VolatileRandom | PolicyKind::NoEviction => 0,
        }
    }
}

fn minutes(now: Millis) -> u32 {
    ((now.0 / 60_000) & 0xffff) as u32
}

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

/// A key that may go.
struct Victim {
    badness: u64,
    db: DbIndex,
    hash: u64,
    key: Box<[u8]>,
}

/// Where the search for keys with deadlines is, and what it has found and not used; the worst last.
#[derive(Default)]
pub(crate) struct Hunt {
    db: usize,
    cursor: Cursor,
    found: Vec<Victim>,
}

/// What all shards of a node may evict, as each of them has last told: the one that finds nothing of its
/// own has the others evict.
pub struct Victims {
    by_shard: Box<[ShardVictims]>,
}

/// One shard's word, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct ShardVictims {
    count: AtomicU64,
    /// It has been asked to evict and has not begun yet.
    asked: AtomicBool,
}

impl Victims {
    /// Nothing yet, on so many shards.
    pub fn new(shards: u16) -> Arc<Victims> {
        Arc::new(Victims { by_shard: (0..shards).map(|_| ShardVictims::default()).collect() })
    }

    /// A shard tells how much there is.
    pub fn tell(&self, shard: ShardId, count: u64) {
        let told = &self.by_shard[shard.index()].count;
        if told.load(Ordering::Relaxed) != count {
            told.store(count, Ordering::Relaxed);
        }
    }

    /// Whether any shard has something.
    pub fn any(&self) -> bool {
        self.by_shard.iter().any(|shard| shard.count.load(Ordering::Relaxed) > 0)
    }

    /// The shards beside `me` that have something and are not about to evict, which they are now.
    pub fn to_ask(&self, me: ShardId) -> impl Iterator<Item = ShardId> {
        let others = self.by_shard.iter().enumerate().filter(move |(at, _)| *at != me.index());
        others
            .filter(|(_, shard)| {
                shard.count.load(Ordering::Relaxed) > 0 && !shard.asked.swap(true, Ordering::AcqRel)
            })
            .map(|(at, _)| ShardId(at as u16))
    }

    /// A shard begins to do what it was asked.
    pub fn begun(&self, shard: ShardId) {
        self.by_shard[shard.index()].asked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_counts_with_what_it_holds_and_leaves_half_to_the_data() {
        let check = |used: u64, journal: u64, expected: Pressure| {
            assert_eq!(pressure(used, journal, 100, false), expected, "{used} {journal}");
        };
        check(100, 0, Pressure::None);
        check(101, 0, Pressure::Refuse);
        check(100, 10, Pressure::None);
        check(101, 10, Pressure::Refuse);
        check(250, 200, Pressure::None);
        check(251, 200, Pressure::Refuse);
        assert_eq!(pressure(101, 0, 100, true), Pressure::Evict);
    }
}
