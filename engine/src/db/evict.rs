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

use super::{Keyspace, Role};
use crate::table::Entry;
use crate::types::{DbIndex, Millis};
use crate::value::Item;

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

/// What memory means for a command that may need some: of `used` bytes the journals hold `journal`, and
/// `bound` is maxmemory less what the journals may take at the most. What they do take is left out, so
/// that the journal of eviction's own deletions cannot feed eviction (J5).
pub fn pressure(used: u64, journal: u64, bound: u64, evicts: bool) -> Pressure {
    #[cfg(feature = "planted-bugs")]
    let journal =
        if super::planted::is_on(&super::planted::JOURNAL_COUNTS_AS_DATA) { 0 } else { journal };
    match used.saturating_sub(journal) <= bound {
        true => Pressure::None,
        false if evicts => Pressure::Evict,
        false => Pressure::Refuse,
    }
}

/// The counter of a new key: above 0, so that it is not the first to go.
const LFU_INITIAL: u32 = 5;
const CLOCK_MASK: u64 = 0xff_ffff;

impl Policy {
    /// Remembers an access to `item`.
    pub(crate) fn touch(&self, item: &mut Item, now: Millis, random: &mut fastrand::Rng) {
        let clock = if self.kind.is_lfu() {
            let counter = self.grown(self.frequency(item, now), random);
            (minutes(now) << 8) | counter
        } else {
            ((now.0 / 1000) & CLOCK_MASK) as u32
        };
        if clock != item.clock() {
            item.set_clock(clock);
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

    /// Deletes the worst of a few random keys, and tells. `false` when there is nothing to delete.
    pub fn evict_one(&mut self, is_open: &mut dyn FnMut(u64) -> bool) -> bool {
        let policy = self.policy;
        if policy.kind == PolicyKind::NoEviction || self.role == Role::Replica {
            return false;
        }
        // A volatile policy looks longer: most keys it meets may have no deadline.
        let looks = if policy.kind.only_volatile() { policy.samples * 8 } else { policy.samples };
        let now = self.now;
        let mut worst: Option<(u64, DbIndex, u64, Box<[u8]>)> = None;
        for index in 0..self.dbs.len() {
            let db = DbIndex(index as u16);
            let database = &self.dbs[index];
            if database.table.is_empty() || (policy.kind.only_volatile() && database.expires == 0) {
                continue;
            }
            database.table.sample(&mut self.random, looks, &mut |hash, item| {
                if (policy.kind.only_volatile() && item.deadline().is_none()) || is_open(hash) {
                    return;
                }
                let badness = policy.badness(item, now);
                if worst.as_ref().is_none_or(|(least, ..)| badness > *least) {
                    worst = Some((badness, db, hash, Box::from(item.key())));
                }
            });
        }
        let Some((_, db, hash, key)) = worst else { return false };
        let removed = self.remove_present(db, hash, &key);
        self.stats.evicted += u64::from(removed);
        removed
    }
}
