//! Eviction, as far as it is decided without looking at tables: by what keys are chosen, and when memory is short.
//!
//! As in Redis the choice is made among a few random keys (`maxmemory-samples`). Accesses are remembered
//! in the 24 bits of an item's header: for LRU the second of the last access, for LFU 16 bits of minutes
//! and an 8-bit logarithmic counter.
//!
//! ```text
//!   LRU  |------- seconds mod 2^24 -------|
//!   LFU  |-- minutes mod 2^16 --| counter |
//! ```

use crate::table::TableEntry;
use crate::types::Millis;
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

    pub(super) fn only_volatile(self) -> bool {
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

/// How a key that comes from elsewhere was used there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsedSoFar {
    /// Not for so many seconds.
    Idle(u64),
    /// So often, on the logarithmic scale of LFU.
    Often(u8),
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

/// Of what the journals hold, the part that counts against `maxmemory`. Where nothing may be evicted nothing
/// of it does: they give way to the data (see [`journals_beside`]). A write that changes no size would be
/// refused otherwise, because a replica has come and the log has grown.
pub fn journal_counted(journal: u64, maxmemory: u64, evicts: bool) -> u64 {
    if evicts { journal.min(maxmemory / JOURNAL_SHARE) } else { 0 }
}

/// Journals that give way keep this share of maxmemory, beyond it where the data has taken it all: a replica
/// has to be able to come, and to come back.
const JOURNAL_KEPT_SHARE: u64 = 16;

/// What the journals may take, of at most `most`, where nothing may be evicted: what the data leaves.
pub fn journals_beside(data: u64, most: u64, maxmemory: u64) -> u64 {
    most.min(maxmemory.saturating_sub(data).max(maxmemory / JOURNAL_KEPT_SHARE))
}

/// What memory means for a command that may need some: of `used` bytes the journals hold `journal`.
///
/// What they hold counts, not what they may hold: a log that is off or empty takes nothing from the data, and
/// one that grows takes its place as it does, where keys may be evicted. Eviction's own deletions make it grow
/// too, but eviction cannot feed itself without end (J5): a key gives back more than its record takes, the log
/// is bounded, and what it holds above [`JOURNAL_SHARE`] is left out.
pub fn pressure(used: u64, journal: u64, maxmemory: u64, evicts: bool) -> Pressure {
    #[cfg(feature = "planted-bugs")]
    let journal =
        if super::planted::is_on(&super::planted::JOURNAL_COUNTS_AS_DATA) { 0 } else { journal };
    let data = used.saturating_sub(journal);
    match data <= maxmemory - journal_counted(journal, maxmemory, evicts) {
        true => Pressure::None,
        false if evicts => Pressure::Evict,
        false => Pressure::Refuse,
    }
}

/// The counter of a new key: above 0, so that it is not the first to go.
const LFU_INITIAL: u32 = 5;
const CLOCK_MASK: u64 = 0xff_ffff;

fn idle_at(clock: u32, now: Millis) -> u64 {
    ((now.0 / 1000) & CLOCK_MASK).wrapping_sub(u64::from(clock)) & CLOCK_MASK
}

impl Policy {
    /// What is remembered of an access to `item`.
    #[inline]
    pub(super) fn clock(&self, item: &Item, now: Millis, random: &mut fastrand::Rng) -> u32 {
        if self.kind.is_lfu() {
            let counter = match item.clock() {
                // It is new: that it was made is no access.
                0 => LFU_INITIAL,
                _ => self.grown(self.frequency(item, now), random),
            };
            (minutes(now) << 8) | counter
        } else {
            ((now.0 / 1000) & CLOCK_MASK) as u32
        }
    }

    /// The same of an access that is to be remembered unless it is by `nobody`; that an item is made, always is.
    #[inline]
    pub(super) fn clock_unless(
        &self,
        nobody: bool,
        item: &Item,
        now: Millis,
        random: &mut fastrand::Rng,
    ) -> u32 {
        match item.clock() {
            so_far @ 1.. if nobody => so_far,
            _ => self.clock(item, now, random),
        }
    }

    /// What is remembered where somebody says how a key was used so far; `None` if the policy remembers
    /// something else.
    pub(super) fn told_clock(&self, use_so_far: UsedSoFar, now: Millis) -> Option<u32> {
        match use_so_far {
            UsedSoFar::Idle(seconds) if !self.kind.is_lfu() => {
                let idle = seconds.min(CLOCK_MASK);
                Some(((now.0 / 1000).wrapping_sub(idle) & CLOCK_MASK) as u32)
            }
            UsedSoFar::Often(counter) if self.kind.is_lfu() => {
                Some((minutes(now) << 8) | u32::from(counter))
            }
            _ => None,
        }
    }

    /// The LFU counter, decayed to now. 0 for an item that was never accessed under LFU.
    pub fn frequency(&self, item: &Item, now: Millis) -> u32 {
        self.frequency_at(item.clock(), now)
    }

    fn frequency_at(&self, clock: u32, now: Millis) -> u32 {
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
        idle_at(item.clock(), now)
    }

    /// How a key with this clock was used, where victims are chosen by that.
    pub(crate) fn used_so_far(&self, clock: u32, now: Millis) -> Option<UsedSoFar> {
        match self.kind {
            PolicyKind::AllKeysLru | PolicyKind::VolatileLru => {
                Some(UsedSoFar::Idle(idle_at(clock, now)))
            }
            PolicyKind::AllKeysLfu | PolicyKind::VolatileLfu => {
                Some(UsedSoFar::Often(self.frequency_at(clock, now).min(255) as u8))
            }
            _ => None,
        }
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
    pub(super) fn badness(&self, item: &Item, now: Millis) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_counts_with_what_it_holds_and_leaves_half_to_the_data() {
        let check = |used: u64, journal: u64, expected: Pressure| {
            assert_eq!(pressure(used, journal, 100, true), expected, "{used} {journal}");
        };
        check(100, 0, Pressure::None);
        check(101, 0, Pressure::Evict);
        check(100, 10, Pressure::None);
        check(101, 10, Pressure::Evict);
        check(250, 200, Pressure::None);
        check(251, 200, Pressure::Evict);
    }

    #[test]
    fn where_nothing_may_be_evicted_a_log_gives_way_to_the_data() {
        let check = |used: u64, journal: u64, expected: Pressure| {
            assert_eq!(pressure(used, journal, 100, false), expected, "{used} {journal}");
        };
        check(100, 0, Pressure::None);
        check(101, 0, Pressure::Refuse);
        check(110, 10, Pressure::None);
        check(111, 10, Pressure::Refuse);
        for (data, expected) in [(0, 500), (500, 500), (1300, 300), (1590, 100), (2000, 100)] {
            assert_eq!(journals_beside(data, 500, 1600), expected, "{data}");
        }
        assert_eq!(journals_beside(2000, 50, 1600), 50, "never more than was asked for");
    }
}
