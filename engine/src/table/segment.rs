//! One contiguous range of hashes: buckets in the order of the hash, and the probing among them.
//!
//! A segment of local depth d owns all hashes with one d-bit prefix: `base .. base + 2^(64-d)`. Its n
//! buckets cut that range into n equal parts, for **any** n:
//!
//! ```text
//!  home(hash) = floor( (hash without its prefix, as a fraction of the range) * n )
//! ```
//!
//! With n = 64 that is "the next six bits". Other n are what lets a segment grow by a quarter instead of
//! doubling, and make every size of segment fill one size class of the allocator. The order is the same
//! for all of them: a smaller hash never has a later home.
//!
//! A segment does not know its neighbours or the directory, and never decides to grow.

use super::bucket::{Bucket, SLOTS, tag_of};
use super::entry::TableEntry;
use super::hash::KeyHash;

/// Where an entry is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) bucket: usize,
    pub(super) slot: usize,
}

/// See the module's doc.
pub(super) struct Segment<E> {
    buckets: Box<[Bucket<E>]>,
    /// The smallest hash of the range.
    base: u64,
    /// No entry is due before this instant. A lower bound: it may be too early, never too late.
    due_floor: u64,
    count: u32,
    /// How many top bits all hashes of the range have in common. Below 64 (see `DEPTH_MAX`).
    depth: u8,
}

impl<E: TableEntry> Segment<E> {
    pub(super) fn new(base: u64, depth: u8, buckets: usize) -> Self {
        assert!(buckets > 0 && depth < 64);
        let buckets = (0..buckets).map(|_| Bucket::empty()).collect();
        Self { buckets, base, due_floor: u64::MAX, count: 0, depth }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn depth(&self) -> u8 {
        self.depth
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    pub(super) fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn slot_count(&self) -> usize {
        self.buckets.len() * SLOTS
    }

    pub(super) fn due_floor(&self) -> u64 {
        self.due_floor
    }

    pub(super) fn note_due(&mut self, due: u64) {
        self.due_floor = self.due_floor.min(due);
    }

    /// The bucket in whose part of the range `hash` lies.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> usize {
        let fraction = hash << self.depth;
        ((u128::from(fraction) * self.buckets.len() as u128) >> 64) as usize
    }

    /// The smallest hash whose home is `bucket`; for the number of buckets, the first hash after the
    /// range, which is `None` behind the last one there is.
    pub(super) fn boundary(&self, bucket: usize) -> Option<u64> {
        let buckets = self.buckets.len();
        if bucket == buckets {
            return self.end();
        }
        // home(h) >= bucket  <=>  (h << depth) * buckets >= bucket * 2^64, solved for the smallest h.
        let fraction = ((bucket as u128) << 64).div_ceil(buckets as u128);
        let offset = fraction.div_ceil(1 << self.depth);
        u64::try_from(u128::from(self.base) + offset).ok()
    }

    /// The first hash after the range; `None` behind the last one there is.
    pub(super) fn end(&self) -> Option<u64> {
        if self.depth == 0 { None } else { self.base.checked_add(1 << (64 - self.depth)) }
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.buckets[self.home(hash)].prefetch();
    }

    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) {
        let here = &self.buckets[self.home(hash)];
        for slot in here.matches(tag_of(hash)) {
            here.get(slot).prefetch();
        }
    }

    #[inline]
    pub(super) fn prefetch_behind(&self, hash: u64) {
        let here = &self.buckets[self.home(hash)];
        for slot in here.matches(tag_of(hash)) {
            here.get(slot).prefetch_behind();
        }
    }

    /// An entry that probably answers to `hash`, in its home bucket.
    #[inline]
    pub(super) fn likely(&self, hash: u64) -> Option<&E> {
        let here = &self.buckets[self.home(hash)];
        here.matches(tag_of(hash)).next().map(|slot| here.get(slot))
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<Position> {
        let tag = tag_of(hash);
        let mut bucket = self.home(hash);
        for _ in 0..self.buckets.len() {
            let here = &self.buckets[bucket];
            for slot in here.matches(tag) {
                if here.get(slot).key() == key {
                    return Some(Position { bucket, slot });
                }
            }
            if !here.was_passed() {
                return None;
            }
            bucket = self.next(bucket);
        }
        None
    }

    #[inline]
    pub(super) fn get(&self, at: Position) -> &E {
        self.buckets[at.bucket].get(at.slot)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: Position) -> &mut E {
        self.buckets[at.bucket].get_mut(at.slot)
    }

    /// Where an entry with `hash` would be put, and how many buckets it would pass on the way.
    #[inline]
    pub(super) fn vacancy(&self, hash: u64) -> Option<(Position, usize)> {
        let mut bucket = self.home(hash);
        for passed in 0..self.buckets.len() {
            if let Some(slot) = self.buckets[bucket].first_free() {
                return Some((Position { bucket, slot }, passed));
            }
            bucket = self.next(bucket);
        }
        None
    }

    /// Stores `entry` where [`Segment::vacancy`] said.
    #[inline]
    pub(super) fn put(&mut self, hash: u64, at: Position, entry: E) -> &mut E {
        let mut bucket = self.home(hash);
        while bucket != at.bucket {
            self.buckets[bucket].note_passed();
            bucket = self.next(bucket);
        }
        self.count += 1;
        self.due_floor = self.due_floor.min(entry.due());
        let here = &mut self.buckets[at.bucket];
        here.put(at.slot, tag_of(hash), entry);
        here.get_mut(at.slot)
    }

    /// Takes out the entry with `hash` that is stored at `at`.
    #[inline]
    pub(super) fn take(&mut self, hash: u64, at: Position) -> E {
        let mut bucket = self.home(hash);
        while bucket != at.bucket {
            self.buckets[bucket].forget_passed();
            bucket = self.next(bucket);
        }
        self.count -= 1;
        self.buckets[at.bucket].take(at.slot)
    }

    /// Calls `visit` with every entry whose home is `home`, wherever it is stored.
    pub(super) fn visit_home(
        &self,
        home: usize,
        hasher: &impl KeyHash,
        mut visit: impl FnMut(u64, &E),
    ) {
        let mut bucket = home;
        // Those of the next home, which a walk comes to next, are on their way meanwhile.
        self.prefetch_entries(home);
        self.prefetch_entries(self.next(home));
        for passed in 0..self.buckets.len() {
            let here = &self.buckets[bucket];
            if passed > 1 {
                self.prefetch_entries(bucket);
            }
            for slot in here.full() {
                let entry = here.get(slot);
                let hash = hasher.hash(entry.key());
                if self.home(hash) == home {
                    visit(hash, entry);
                }
            }
            if !here.was_passed() {
                return;
            }
            bucket = self.next(bucket);
        }
    }

    /// Every entry in `bucket`, whatever its home.
    pub(super) fn stored_in(&self, bucket: usize) -> impl Iterator<Item = &E> {
        let here = &self.buckets[bucket];
        here.full().map(|slot| here.get(slot))
    }

    /// The entry in the `slot`-th slot of the whole segment, if there is one.
    pub(super) fn stored_at(&self, slot: usize) -> Option<&E> {
        let here = self.buckets.get(slot / SLOTS)?;
        here.full().any(|full| full == slot % SLOTS).then(|| here.get(slot % SLOTS))
    }

    /// Drops what `bucket` holds and says how many entries that were. The counters are not kept: the
    /// segment is good for nothing but more of this.
    pub(super) fn dismantle(&mut self, bucket: usize) -> usize {
        self.prefetch_entries(bucket);
        let here = &mut self.buckets[bucket];
        let held = here.full().count();
        *here = Bucket::empty();
        held
    }

    /// Takes out everything, with its hash. The keys are fetched ahead of their reading, because in a
    /// table larger than the caches each of them is a miss.
    pub(super) fn unload(&mut self, hasher: &impl KeyHash, into: &mut Vec<(u64, E)>) {
        into.reserve(self.len());
        for bucket in 0..self.buckets.len() {
            if bucket == 0 {
                self.prefetch_entries(0);
            }
            if bucket + 1 < self.buckets.len() {
                self.prefetch_entries(bucket + 1);
            }
            let here = &mut self.buckets[bucket];
            for slot in here.full() {
                let hash = hasher.hash(here.get(slot).key());
                into.push((hash, here.take(slot)));
            }
        }
        self.count = 0;
    }

    /// Looks at all entries: `on_due` gets those that are due at `now` and says whether their removal is
    /// certain; the others decide the new lower bound.
    pub(super) fn sweep_due(
        &mut self,
        now: u64,
        hasher: &impl KeyHash,
        on_due: &mut dyn FnMut(u64, &E) -> bool,
    ) {
        let mut floor = u64::MAX;
        for bucket in 0..self.buckets.len() {
            if bucket + 1 < self.buckets.len() {
                self.prefetch_entries(bucket + 1);
            }
            for entry in self.stored_in(bucket) {
                let due = entry.due();
                if due > now || !on_due(hasher.hash(entry.key()), entry) {
                    floor = floor.min(due);
                }
            }
        }
        self.due_floor = floor;
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    fn prefetch_entries(&self, bucket: usize) {
        for entry in self.stored_in(bucket) {
            entry.prefetch();
        }
    }
}
