//! How keys are wanted, and the keys of an entry that has very many of them.
//!
//! ```text
//!   starts   0    3    3    8 ...          by the upper bits of the hash
//!   keys     a b c|    |d e f g h| ...     in any order within
//! ```
//!
//! Put together by counting and placing, a bounded number of keys at a time: to sort them would cost several
//! times as much. Keys are never taken out.

/// How a key is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// With other readers.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    /// Whether two entries cannot have a key at the same time.
    pub(super) fn excludes(self, other: Mode) -> bool {
        self == Mode::Exclusive || other == Mode::Exclusive
    }
}

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ManyKeys {
    /// Where the keys of each part end, once all are placed.
    ends: Vec<u32>,
    /// Hashes, the lowest bit left out: it says whether the key is wanted alone. Two that differ in it only
    /// merely wait for each other.
    keys: Vec<u64>,
    /// The bits that choose the part.
    bits: u32,
    any_alone: bool,
}

const ALONE: u64 = 1;

/// Keys of a part, about: a line of the cache.
const PER_PART: usize = 8;

/// Bits of the hash that choose the part, at the most: what is done for each part is done in one piece.
const BITS_MAX: u32 = 16;

impl ManyKeys {
    /// Places for so many keys, which are to be [counted](ManyKeys::count) first.
    pub(crate) fn for_all_of(keys: usize) -> ManyKeys {
        let bits = (keys / PER_PART).max(2).ilog2().min(BITS_MAX);
        ManyKeys { ends: vec![0; 1 << bits], keys: vec![0; keys], bits, any_alone: false }
    }

    /// These keys.
    pub(crate) fn of(keys: &[(u64, Mode)]) -> ManyKeys {
        let mut many = ManyKeys::for_all_of(keys.len());
        many.count(keys);
        many.counted();
        many.place(keys);
        many
    }

    fn part(&self, hash: u64) -> usize {
        (hash >> (u64::BITS - self.bits)) as usize
    }

    /// Counts some of the keys.
    pub(crate) fn count(&mut self, keys: &[(u64, Mode)]) {
        for &(hash, _) in keys {
            let part = self.part(hash);
            self.ends[part] += 1;
        }
    }

    /// All keys were counted: they can be [placed](ManyKeys::place).
    pub(crate) fn counted(&mut self) {
        let mut start = 0;
        for end in &mut self.ends {
            start += std::mem::replace(end, start);
        }
    }

    /// Places some of the keys, each once.
    pub(crate) fn place(&mut self, keys: &[(u64, Mode)]) {
        for &(hash, mode) in keys {
            let part = self.part(hash);
            let is_alone = mode == Mode::Exclusive;
            self.keys[self.ends[part] as usize] = hash & !ALONE | u64::from(is_alone);
            self.ends[part] += 1;
            self.any_alone |= is_alone;
        }
    }

    /// The keys of the parts from `first` to `last`.
    fn within(&self, first: usize, last: usize) -> &[u64] {
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start as usize..self.ends[last] as usize]
    }

    /// How one of the keys is wanted, if it is among them.
    pub(super) fn mode_of(&self, hash: u64) -> Option<Mode> {
        let part = self.part(hash);
        let mut found = None;
        for key in self.within(part, part).iter().filter(|key| **key & !ALONE == hash & !ALONE) {
            if key & ALONE != 0 {
                return Some(Mode::Exclusive);
            }
            found = Some(Mode::Shared);
        }
        found
    }

    /// Whether somebody who wants this key too cannot have it at the same time.
    pub(super) fn excludes(&self, hash: u64, mode: Mode) -> bool {
        self.mode_of(hash).is_some_and(|theirs| mode.excludes(theirs))
    }

    /// Whether one of the keys is wanted alone.
    pub(super) fn any_alone(&self) -> bool {
        self.any_alone
    }

    /// Whether one of the keys has a hash from `start` on and before `end`, if there is one.
    pub(super) fn any_within(&self, start: u64, end: Option<u64>) -> bool {
        let last = end.map_or(u64::MAX, |end| end.saturating_sub(1));
        // The lowest bit may have been set.
        let is_within = |key: &u64| *key | ALONE >= start && *key & !ALONE <= last;
        start <= last && self.within(self.part(start), self.part(last)).iter().any(is_within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    #[test]
    fn what_is_asked_of_it_is_what_a_sorted_list_says() {
        let mut random = fastrand::Rng::with_seed(7);
        for count in [1, 2, 9, 100, 5000] {
            // Even hashes, so that none stands for another one.
            let narrow = random.bool();
            let mut hash = || (if narrow { random.u64(..) >> 40 } else { random.u64(..) }) & !1;
            let hashes: Vec<u64> = (0..count).map(|_| hash()).collect();
            let keys: Vec<_> = (hashes.iter().chain(&hashes[..count / 2]))
                .enumerate()
                .map(|(index, hash)| (*hash, if index % 3 == 0 { Exclusive } else { Shared }))
                .collect();
            // Counted and placed part by part.
            let mut many = ManyKeys::for_all_of(keys.len());
            keys.chunks(7).for_each(|part| many.count(part));
            many.counted();
            keys.chunks(5).for_each(|part| many.place(part));
            assert!(many.any_alone());
            let plainly = |hash: u64| {
                let mut modes = keys.iter().filter(|key| key.0 == hash).map(|key| key.1);
                let first = modes.next()?;
                Some(if modes.any(|mode| mode == Exclusive) { Exclusive } else { first })
            };
            let others: Vec<u64> = (0..200).map(|_| random.u64(..) & !1).collect();
            for asked in hashes.iter().chain(&others).copied() {
                assert_eq!(many.mode_of(asked), plainly(asked));
                let end = random.bool().then(|| asked.saturating_add(random.u64(..) >> 12) & !1);
                let is_within = |hash: &u64| *hash >= asked && end.is_none_or(|end| *hash < end);
                assert_eq!(many.any_within(asked, end), hashes.iter().any(is_within));
                assert!(!many.any_within(asked, Some(asked)));
            }
        }
    }

    #[test]
    fn where_all_are_shared_nobody_is_excluded_but_who_wants_one_alone() {
        let many = ManyKeys::of(&[(2, Shared), (4, Shared)]);
        assert!(!many.any_alone() && !many.excludes(2, Shared) && many.excludes(2, Exclusive));
        assert!(many.excludes(3, Exclusive), "the lowest bit is left out");
        assert!(!many.excludes(6, Exclusive));
    }
}
