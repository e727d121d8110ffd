//! How segments grow, split, shrink and merge, and what that does to the directory.
//!
//! ```text
//!  grow    63 -> 79 -> 111 buckets              fill after each step: 70, 62 %
//!  split   111 buckets, 7/8 full  ->  63 + 63   77 %
//!  merge   two of 63, together below 40 %  ->  79
//!  ahead   full, where more are expected   ->  up to 16 at once, as large as they will have to be
//! ```
//!
//! All rebuilding goes through `unload`, then `put` into new buckets: the home order is a matter of
//! `Segment::home` alone and cannot be got wrong here.

use super::Table;
use super::bucket::SLOTS;
use super::entry::TableEntry;
use super::hash::KeyHash;
use super::segment::{Position, Segment};
use super::sizes::{
    AHEAD_DEPTH, BUCKETS, BUCKETS_LAST, BUCKETS_MIN, BUCKETS_SPLIT, DEPTH_MAX, buckets_for,
    entries_max, shape_for,
};

/// A search that passes more buckets than this makes the segment grow before it is full.
const PASSED_MAX: usize = 12;

/// Below this share of used slots a segment shrinks, and two buddies merge.
const SHRINK_PERCENT: usize = 40;

/// How full a segment is at most after shrinking: far enough from 7/8 not to grow again at once.
const SHRUNK_PERCENT: usize = 65;

/// How full a segment is at most after it was split or widened.
const WIDENED_PERCENT: usize = 82;

impl<E: TableEntry, H: KeyHash> Table<E, H> {
    /// Where to put one more entry with `hash`, after whatever growth that takes.
    #[inline]
    pub(super) fn make_room(&mut self, hash: u64) -> (usize, Position) {
        loop {
            let index = self.segment_of(hash);
            let segment = &self.segments[index];
            if segment.len() < entries_max(segment.bucket_count())
                && let Some((at, passed)) = segment.vacancy(hash)
            {
                // The second condition keeps hashes that lie close together (no split separates them)
                // from growing a nearly empty segment for ever.
                if passed <= PASSED_MAX || segment.len() * 2 < segment.slot_count() {
                    return (index, at);
                }
            }
            self.grow(index);
        }
    }

    /// Makes a segment smaller, or merges it with its buddy, if it is empty enough.
    #[inline]
    pub(super) fn give_back_room(&mut self, index: usize) {
        let segment = &self.segments[index];
        if segment.len() * 100 < segment.slot_count() * SHRINK_PERCENT {
            self.shrink(index);
        }
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        if self.len < self.expected && self.grow_ahead(index) {
            return;
        }
        let segment = &self.segments[index];
        let buckets = segment.bucket_count();
        if buckets < BUCKETS_LAST {
            let wider = BUCKETS.into_iter().find(|size| *size > buckets).unwrap_or(BUCKETS_LAST);
            self.rebuild(index, wider);
        } else if u32::from(segment.depth()) < self.depth_allowed() {
            self.split(index);
        } else {
            self.rebuild(index, buckets * 2);
        }
    }

    /// Grows towards what is expected; `false` where the segment is as that wants it already.
    fn grow_ahead(&mut self, index: usize) -> bool {
        let (depth, buckets) = shape_for(self.expected);
        let segment = &self.segments[index];
        let has = u32::from(segment.depth());
        let deeper = depth.min(has + AHEAD_DEPTH).min(self.depth_allowed());
        // On the way there they are full before they are cut again.
        let full = if has < depth { BUCKETS_LAST } else { buckets };
        if segment.bucket_count() < full {
            self.rebuild(index, full);
            return true;
        }
        if deeper > has {
            self.scatter(index, deeper, if deeper == depth { buckets } else { BUCKETS_LAST });
        }
        deeper > has
    }

    /// Cuts a segment's range in as many parts as make it so deep, each with so many buckets, or more where its
    /// share wants them.
    fn scatter(&mut self, index: usize, depth: u32, buckets: usize) {
        let (base, had) = (self.segments[index].base(), self.segments[index].depth());
        while depth > self.depth() {
            self.double_directory();
        }
        let mut entries = Vec::new();
        self.unload(index, &mut entries);
        let part_of = |hash: u64| ((hash - base) >> (64 - depth)) as usize;
        let mut shares = vec![0; 1 << (depth - u32::from(had))];
        entries.iter().for_each(|(hash, _)| shares[part_of(*hash)] += 1);
        self.segments_by_depth[usize::from(had)] -= 1;
        self.segments_by_depth[depth as usize] += shares.len() as u32;

        let new = |(part, share): (usize, &usize)| {
            let buckets = buckets.max(buckets_for(*share, WIDENED_PERCENT, BUCKETS_SPLIT));
            Segment::new(base | (part as u64) << (64 - depth), depth as u8, buckets)
        };
        let mut parts: Vec<_> = shares.iter().enumerate().map(new).collect();
        for (hash, entry) in entries {
            let part = &mut parts[part_of(hash)];
            let (at, _) = part.vacancy(hash).expect("the new size was chosen to hold its share");
            part.put(hash, at, entry);
        }
        self.bucket_count -= self.segments[index].bucket_count();
        self.bucket_count += parts.iter().map(Segment::bucket_count).sum::<usize>();
        for (part, segment) in parts.into_iter().enumerate() {
            let place = if part == 0 { index } else { self.segments.len() };
            if part == 0 {
                self.segments[index] = segment;
            } else {
                self.segments.push(segment);
            }
            self.point_to(place);
        }
    }

    /// How deep a segment may be, given how many entries there are. Well-spread hashes stay three levels
    /// below; badly spread ones cannot make the directory larger than half a byte per entry.
    fn depth_allowed(&self) -> u32 {
        ((self.len / 256 + 1).ilog2() + 4).min(DEPTH_MAX)
    }

    #[cold]
    fn shrink(&mut self, index: usize) {
        let segment = &self.segments[index];
        let (buckets, len, depth) = (segment.bucket_count(), segment.len(), segment.depth());
        let least = if depth == 0 { BUCKETS_MIN } else { BUCKETS_SPLIT };
        let smaller = buckets_for(len, SHRUNK_PERCENT, least);
        if smaller < buckets {
            self.rebuild(index, smaller);
        } else if depth > 0 {
            let buddy = self.segment_of(segment.base() ^ (1 << (64 - u32::from(depth))));
            let together = len + self.segments[buddy].len();
            let few = together * 100 < 2 * BUCKETS_SPLIT * SLOTS * SHRINK_PERCENT;
            if few && self.segments[buddy].depth() == depth {
                self.merge(index, buddy);
            }
        }
    }

    /// Gives a segment another number of buckets.
    fn rebuild(&mut self, index: usize, buckets: usize) {
        let segment = &self.segments[index];
        let new = Segment::new(segment.base(), segment.depth(), buckets);
        let mut entries = Vec::new();
        self.unload(index, &mut entries);
        self.store(index, new, entries);
    }

    /// Cuts a segment's range in two.
    fn split(&mut self, index: usize) {
        let (base, depth) = (self.segments[index].base(), self.segments[index].depth());
        if u32::from(depth) == self.depth() {
            self.double_directory();
        }
        let mut lower = Vec::new();
        self.unload(index, &mut lower);
        let middle = base | (1 << (63 - u32::from(depth)));
        let upper: Vec<_> = lower.extract_if(.., |(hash, _)| *hash >= middle).collect();

        let buckets = buckets_for(lower.len(), WIDENED_PERCENT, BUCKETS_SPLIT);
        self.store(index, Segment::new(base, depth + 1, buckets), lower);
        let buckets = buckets_for(upper.len(), WIDENED_PERCENT, BUCKETS_SPLIT);
        let added = self.segments.len();
        let new = Segment::new(middle, depth + 1, buckets);
        self.segments.push(Segment::new(middle, depth + 1, BUCKETS_MIN));
        self.bucket_count += BUCKETS_MIN;
        self.store(added, new, upper);
        self.point_to(added);
        self.segments_by_depth[usize::from(depth)] -= 1;
        self.segments_by_depth[usize::from(depth) + 1] += 2;
    }

    /// Makes one segment of two buddies.
    fn merge(&mut self, one: usize, other: usize) {
        let depth = self.segments[one].depth();
        let base = self.segments[one].base().min(self.segments[other].base());
        let mut entries = Vec::new();
        self.unload(one, &mut entries);
        self.unload(other, &mut entries);
        let least = if depth == 1 { BUCKETS_MIN } else { BUCKETS_SPLIT };
        let buckets = buckets_for(entries.len(), SHRUNK_PERCENT, least);
        self.store(one, Segment::new(base, depth - 1, buckets), entries);
        self.point_to(one);

        self.bucket_count -= self.segments[other].bucket_count();
        self.segments.swap_remove(other);
        if other < self.segments.len() {
            self.point_to(other);
        }
        self.segments_by_depth[usize::from(depth)] -= 2;
        self.segments_by_depth[usize::from(depth) - 1] += 1;
        self.halve_directory();
    }

    fn unload(&mut self, index: usize, into: &mut Vec<(u64, E)>) {
        self.segments[index].unload(&self.hasher, into);
    }

    /// Puts `new`, filled with `entries`, in the place of a segment that was unloaded.
    fn store(&mut self, index: usize, mut new: Segment<E>, entries: Vec<(u64, E)>) {
        for (hash, entry) in entries {
            let (at, _) = new.vacancy(hash).expect("the new size was chosen to hold all entries");
            new.put(hash, at, entry);
        }
        self.bucket_count += new.bucket_count();
        self.bucket_count -= self.segments[index].bucket_count();
        self.segments[index] = new;
    }

    /// Makes all directory entries of a segment's range name it.
    fn point_to(&mut self, index: usize) {
        let segment = &self.segments[index];
        let first = ((segment.base() >> 1) >> self.shift) as usize;
        let entries = 1 << (self.depth() - u32::from(segment.depth()));
        self.directory[first..first + entries].fill(index as u32);
    }

    /// Twice as many entries, each pair naming what the one before named: 4 bytes per entry are copied.
    fn double_directory(&mut self) {
        let doubled = self.directory.iter().flat_map(|index| [*index, *index]).collect();
        self.directory = doubled;
        self.shift -= 1;
    }

    fn halve_directory(&mut self) {
        while self.depth() > 0 && self.segments_by_depth[self.depth() as usize] == 0 {
            self.directory = self.directory.iter().copied().step_by(2).collect();
            self.shift += 1;
        }
    }
}
