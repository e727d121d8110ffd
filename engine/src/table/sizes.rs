//! The sizes of segments and of the directory.
//!
//! The steps are size classes of the allocator (8, 10 and 14 KiB; one bucket is left for what alignment
//! costs). All segments fill at the same time, because hashes are spread evenly: with doubling alone the
//! table would be half empty for much of its life. Steps between keep segments between 62 and 87 % full.
//! They cost each entry some four rebuilds of its segment over its life instead of two; a step more (95)
//! was measured to save nothing, because what the allocator keeps of the sizes that no segment has any
//! more ate it up.

use super::bucket::SLOTS;

/// No directory has more than 2^31 entries, so that the index of a segment fits 32 bits.
pub(super) const DEPTH_MAX: u32 = 31;

/// What an empty table begins with: 128 bytes, as nodes have many empty databases.
pub(super) const BUCKETS_MIN: usize = BUCKETS[0];

/// The number of buckets of a segment after a split.
pub(super) const BUCKETS_SPLIT: usize = 63;

/// The sizes of segments. Beyond the last one they split; those that are too deep for it double.
pub(super) const BUCKETS: [usize; 9] = [1, 2, 4, 8, 16, 31, BUCKETS_SPLIT, 79, BUCKETS_LAST];

/// The largest size before a split.
pub(super) const BUCKETS_LAST: usize = 111;

/// Where many entries are expected, a segment is cut into two to the power of this at a time, at the most: some 100 us
/// of work.
pub(super) const AHEAD_DEPTH: u32 = 4;

/// How deep segments stand that will hold `entries` together, and how many buckets each has. Hashes are spread as
/// by chance, and the deviation of a segment's share is the root of it: with half of that most need not grow once
/// more, and none is emptier than others that have grown.
pub(super) fn shape_for(entries: usize) -> (u32, usize) {
    for depth in 0..DEPTH_MAX {
        let share = entries >> depth;
        let most = share.saturating_add(share.isqrt() / 2);
        let fits = |buckets: &usize| most <= entries_max(*buckets);
        let least = if depth == 0 { BUCKETS_MIN } else { BUCKETS_SPLIT };
        let mut sizes = BUCKETS.into_iter().filter(|buckets| *buckets >= least);
        if let Some(buckets) = sizes.find(fits) {
            return (depth, buckets);
        }
    }
    (DEPTH_MAX, BUCKETS_LAST)
}

/// More than this and the segment grows: 7/8 of its slots, but all 14 of a single bucket.
pub(super) fn entries_max(buckets: usize) -> usize {
    if buckets == 1 { SLOTS } else { buckets * SLOTS * 7 / 8 }
}

/// The smallest size of at least `least` buckets in which `entries` fill at most `percent` of the slots.
pub(super) fn buckets_for(entries: usize, percent: usize, least: usize) -> usize {
    let fits = |buckets: &usize| *buckets >= least && entries * 100 <= buckets * SLOTS * percent;
    match BUCKETS.into_iter().find(fits) {
        Some(buckets) => buckets,
        None => {
            let mut buckets = BUCKETS_LAST * 2;
            while !fits(&buckets) {
                buckets *= 2;
            }
            buckets
        }
    }
}
