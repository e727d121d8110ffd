//! Fourteen entries in two cache lines.
//!
//! ```text
//!  0                            14        16                                                128
//!  +----------------------------+---------+--------------------------------------------------+
//!  | 14 tags, 0 = slot is empty | passed  | 14 slots of 8 bytes                              |
//!  +----------------------------+---------+--------------------------------------------------+
//! ```
//!
//! A tag is the low byte of the entry's hash (0 becomes 1). One 16-byte comparison tells which slots may
//! hold a key. `passed` counts the entries that probed past this bucket because it was full: where it is
//! 0, a search may stop. With entries of 8 bytes a bucket is exactly two adjacent lines, which the
//! processor fetches as a pair; other sizes work, only less well.
//!
//! A bucket does not know which bucket it is, nor what a key is. This file is the only one of the table
//! with unsafe code; the promise that makes it sound: **a slot is initialized exactly when its tag is not 0**.

use std::mem::MaybeUninit;

/// How many entries one bucket holds: with 2 bytes for `passed`, 14 is what fits two cache lines.
pub(super) const SLOTS: usize = 14;

/// The tag of an entry with this hash. Never 0.
#[inline]
pub(super) fn tag_of(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// See the module's doc. The alignment is that of a cache line.
#[repr(C, align(64))]
pub(super) struct Bucket<E> {
    tags: [u8; SLOTS],
    passed: u16,
    slots: [MaybeUninit<E>; SLOTS],
}

impl<E> Bucket<E> {
    pub(super) fn empty() -> Self {
        Self { tags: [0; SLOTS], passed: 0, slots: [const { MaybeUninit::uninit() }; SLOTS] }
    }

    /// The slots whose tag is `tag`; with tag 0, the empty ones.
    #[inline]
    pub(super) fn matches(&self, tag: u8) -> Mask {
        Mask(match_bytes(self, tag) & ALL)
    }

    /// The slots that hold an entry.
    #[inline]
    pub(super) fn full(&self) -> Mask {
        Mask(!match_bytes(self, 0) & ALL)
    }

    /// The first empty slot.
    #[inline]
    pub(super) fn first_free(&self) -> Option<usize> {
        self.matches(0).next()
    }

    /// The entry in `slot`, which must be full.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> &E {
        assert!(self.tags[slot] != 0);
        // SAFETY: the tag is not 0, so the slot is initialized (the promise of this file).
        unsafe { self.slots[slot].assume_init_ref() }
    }

    /// The entry in `slot`, which must be full.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut E {
        assert!(self.tags[slot] != 0);
        // SAFETY: as in `get`; `&mut self` makes the reference unique.
        unsafe { self.slots[slot].assume_init_mut() }
    }

    /// Stores `entry` in `slot`, which must be empty. `tag` is not 0.
    #[inline]
    pub(super) fn put(&mut self, slot: usize, tag: u8, entry: E) {
        assert!(self.tags[slot] == 0 && tag != 0);
        self.slots[slot] = MaybeUninit::new(entry);
        self.tags[slot] = tag;
    }

    /// Takes the entry out of `slot`, which must be full.
    #[inline]
    pub(super) fn take(&mut self, slot: usize) -> E {
        assert!(self.tags[slot] != 0);
        self.tags[slot] = 0;
        // SAFETY: the tag was not 0, so the slot was initialized; the tag is 0 now, so that nobody reads
        // the bytes again and the entry has exactly one owner.
        unsafe { self.slots[slot].assume_init_read() }
    }

    /// Whether an entry whose search came by here may be stored in a later bucket.
    #[inline]
    pub(super) fn was_passed(&self) -> bool {
        self.passed != 0
    }

    /// One more entry is stored beyond this bucket. A count that reaches the maximum stays there (it is
    /// then only an upper bound, which costs time and never an answer) until the segment is rebuilt.
    #[inline]
    pub(super) fn note_passed(&mut self) {
        self.passed = self.passed.saturating_add(1);
    }

    /// One entry less is stored beyond this bucket.
    #[inline]
    pub(super) fn forget_passed(&mut self) {
        if self.passed != u16::MAX {
            debug_assert!(self.passed > 0);
            self.passed = self.passed.saturating_sub(1);
        }
    }

    /// Asks the processor for both lines of this bucket.
    #[inline]
    pub(super) fn prefetch(&self) {
        let start = std::ptr::from_ref(self).cast::<u8>();
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }
}

impl<E> Drop for Bucket<E> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<E>() {
            for slot in self.full() {
                drop(self.take(slot));
            }
        }
    }
}

const ALL: u16 = (1 << SLOTS) - 1;

/// A set of slots; iterates from the lowest.
#[derive(Clone, Copy)]
pub(super) struct Mask(u16);

impl Mask {
    pub(super) fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Iterator for Mask {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// Bit i says whether byte i of the bucket equals `tag`, for the first 16 bytes (the last two are no tags).
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn match_bytes<E>(bucket: &Bucket<E>, tag: u8) -> u16 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: SSE2 belongs to every x86_64. The first 16 bytes of a bucket (`repr(C)`) are its tags and
    // its counter: initialized, without padding, and aligned to 64 as the whole bucket is.
    unsafe {
        let head = _mm_load_si128(std::ptr::from_ref(bucket).cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(head, _mm_set1_epi8(tag as i8))) as u16
    }
}

/// The same for processors without SSE2: byte by byte, which compilers vectorize where they can.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
fn match_bytes<E>(bucket: &Bucket<E>, tag: u8) -> u16 {
    match_tags(&bucket.tags, tag)
}

#[cfg(any(test, not(all(target_arch = "x86_64", not(miri)))))]
fn match_tags(tags: &[u8; SLOTS], tag: u8) -> u16 {
    tags.iter().enumerate().fold(0, |mask, (slot, have)| mask | (u16::from(*have == tag) << slot))
}

/// A hint that the line at `address` will be read soon. Any address is allowed.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch never faults, whatever the address, and changes nothing that can be observed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_pointers_is_two_cache_lines() {
        assert_eq!(size_of::<Bucket<Box<u8>>>(), 128);
        assert_eq!(align_of::<Bucket<Box<u8>>>(), 64);
    }

    #[test]
    fn tags_are_matched_alike_with_and_without_vectors() {
        let mut bucket = Bucket::empty();
        for (slot, tag) in [(0, 1u8), (3, 255), (7, 1), (13, 128)] {
            bucket.put(slot, tag, Box::new(slot));
        }
        // The counter stands beside the tags and must never be taken for two of them.
        (0..257).for_each(|_| bucket.note_passed());
        for tag in [0, 1, 2, 128, 255] {
            assert_eq!(bucket.matches(tag).0, match_tags(&bucket.tags, tag), "tag {tag}");
        }
        assert_eq!(bucket.full().collect::<Vec<_>>(), [0, 3, 7, 13]);
        assert_eq!(*bucket.take(7), 7);
        assert_eq!(bucket.first_free(), Some(1));
        assert_eq!(bucket.full().count(), 3);
    }

    #[test]
    fn a_saturated_counter_never_claims_that_nobody_passed() {
        let mut bucket = Bucket::<u64>::empty();
        (0..70_000).for_each(|_| bucket.note_passed());
        (0..70_000).for_each(|_| bucket.forget_passed());
        assert!(bucket.was_passed());
    }
}
