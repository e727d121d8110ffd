//! A hash table whose order is the order of the hash: keys live in segments that grow, split and merge one
//! at a time, and nobody who walks over it notices.
//!
//! It promises:
//! - an insert, a removal or a look-up touches one segment; the worst of them rebuilds one segment of at
//!   most about 1400 entries. There is never a rehash of the whole table;
//! - 10.5 to 15 bytes per entry, 12 on average, the 8 bytes of the entry (a pointer) included;
//! - a [walk](Table::walk) that may pause between any two buckets, for as long as it likes, and still sees
//!   each entry that stays in the table exactly once.
//!
//! It does not know Redis: an [`TableEntry`] is something with a key (bytes) and an instant at which it is due.
//! It knows no clock, no databases, no cuts; it never removes an entry on its own account.
//!
//! # The layout
//!
//! ```text
//!  hash, 64 bits:  | directory (top `depth` bits) |  home bucket (what follows)  | ...   tag (low byte) |
//!
//!  directory            segments: each owns one range of hashes        bucket: 14 tags, 1 counter, 14 slots
//!  00 ---------------> [ 00...... | 63 buckets ]
//!  01 ---------------> [ 01...... | 111 buckets ]                      full bucket: go on to the next one of
//!  10 --+------------> [ 1....... | 79 buckets ]                       the same segment (after the last comes
//!  11 --+                                                              the first), and count that you passed
//! ```
//!
//! The **home** of an entry is the bucket in whose part of the range its hash lies. Segments stand in the
//! order of their prefixes and buckets cut a segment's range in order, so (segment, home bucket) is
//! monotonic in the hash, however many segments and buckets there are (`segment.rs`, `resize.rs`).
//!
//! # Why a walk cannot miss anything
//!
//! A [`Cursor`] is a hash: "every entry with a smaller hash has been visited". One step from cursor c
//!
//! ```text
//!  hashes 0 ........................ c ............. c' ............................ 2^64
//!         |  visited by earlier steps | this step    |  later steps               |
//!                          +----------+--------------+
//!                          |  bucket that is home of c |   as the table is now
//! ```
//!
//! finds the bucket b that is the home of c now, takes c' = the end of b's part of the range, and visits
//! all entries whose *home* is b and whose hash is >= c. Claim: these are exactly the entries with a hash
//! in [c, c'). An entry with such a hash has home b, because b's part contains c and ends at c'. It is
//! stored in b or in a bucket reached from b through full buckets, each of which counted it when it
//! passed; the step follows these counters. And nothing else has home b and a hash >= c.
//!
//! So the steps of a walk cut the hashes into intervals without hole or overlap. Growth, splits and merges
//! between two steps change where the *next* interval ends, displacement changes where an entry is
//! *stored*; neither changes its hash. Hence an entry that is present during the whole walk is visited
//! exactly once, one that is not present at all is not visited, and of one that comes or goes it can be
//! said at any moment on which side it stands: the walk has passed it exactly if `hash < cursor`.
//!
//! The mistake this avoids: a walk over *physical* buckets. Inserting A displaces B from a bucket that the
//! walk has not reached into one that it has passed, and B is never seen. With the feature `planted-bugs`
//! the table can be told to make it (`planted`).
//!
//! # The limits
//!
//! Hashes that agree in their top bits make deep directories. Depth is bounded by the number of entries
//! (`resize.rs`); a segment that may not split grows wider instead and probing in it gets long. That takes
//! an adversary who knows the seed, and costs time, not memory and not a crash.

mod bucket;
mod drain;
mod entry;
mod hash;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod resize;
mod segment;
mod sizes;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use self::bucket::prefetch;
pub use self::drain::Drain;
pub use self::entry::TableEntry;
pub use self::hash::{KeyHash, SeededHash, hash_with};
pub use self::walk::{Cursor, Sweep};

use self::bucket::Bucket;
use self::segment::Segment;

/// See the module's doc.
pub struct Table<E, H = SeededHash> {
    hasher: H,
    /// For each value of the top `depth` bits, the index of the segment that owns it.
    directory: Vec<u32>,
    segments: Vec<Segment<E>>,
    /// 63 minus the number of bits that choose the directory entry; see `Table::segment_of`.
    shift: u32,
    len: usize,
    bucket_count: usize,
    /// How many segments there are of each depth: tells when the directory can be halved.
    segments_by_depth: [u32; sizes::DEPTH_MAX as usize + 1],
    /// How many entries somebody says there will be; 0 where nobody does.
    expected: usize,
}

impl<E: TableEntry> Table<E> {
    /// An empty table. The seed should be a secret of the node, for keys come from strangers.
    pub fn new(seed: u64) -> Self {
        Self::with_hash(SeededHash::new(seed))
    }
}

impl<E: TableEntry, H: KeyHash> Table<E, H> {
    /// An empty table with a hash function of the caller's.
    pub fn with_hash(hasher: H) -> Self {
        let mut segments_by_depth = [0; sizes::DEPTH_MAX as usize + 1];
        segments_by_depth[0] = 1;
        let first = Segment::new(0, 0, sizes::BUCKETS_MIN);
        Self {
            hasher,
            directory: vec![0],
            bucket_count: first.bucket_count(),
            segments: vec![first],
            shift: 63,
            len: 0,
            segments_by_depth,
            expected: 0,
        }
    }

    /// The hash of `key`, which most methods want beside the key: compute it once, early, and
    /// [prefetch](Table::prefetch).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of the table itself, without what stands behind the entries.
    pub fn heap_bytes(&self) -> usize {
        self.bucket_count * size_of::<Bucket<E>>()
            + self.segments.capacity() * size_of::<Segment<E>>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// Brings the home bucket of `hash` into the cache, so that a `get` shortly afterwards waits less.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.segments[self.segment_of(hash)].prefetch(hash);
    }

    /// The second half of [`Table::prefetch`]: brings the entry that probably answers to `hash` into the
    /// cache. Worth its time when the bucket was prefetched a while ago.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.segments[self.segment_of(hash)].prefetch_entry(hash);
    }

    /// The third part: brings what stands behind that entry into the cache. Worth its time when the entry was
    /// prefetched a while ago.
    #[inline]
    pub fn prefetch_behind(&self, hash: u64) {
        self.segments[self.segment_of(hash)].prefetch_behind(hash);
    }

    /// An entry that probably answers to `hash`, for hints; there may be one all the same where there is none here.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&E> {
        self.segments[self.segment_of(hash)].likely(hash)
    }

    /// The entry with this key. `hash` is [`Table::hash`] of `key`, here and everywhere.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&E> {
        let segment = &self.segments[self.segment_of(hash)];
        segment.find(hash, key).map(|at| segment.get(at))
    }

    /// The entry with this key, to change it or to swap it for another with the same key. When it has
    /// become due earlier than it was, say so with [`Table::note_due`].
    #[inline]
    pub fn get_mut(&mut self, hash: u64, key: &[u8]) -> Option<&mut E> {
        let index = self.segment_of(hash);
        let segment = &mut self.segments[index];
        segment.find(hash, key).map(|at| segment.get_mut(at))
    }

    /// So many entries will be put here, it is said: what grows from now on grows at once towards what they need,
    /// so that most of them are stored once. Memory is taken for those that have come: at most some 16 times what
    /// they need, if the rest never comes. With 0 nothing is expected any more.
    pub fn expect(&mut self, entries: usize) {
        self.expected = entries;
    }

    /// Adds an entry whose key is not in the table.
    pub fn insert_unique(&mut self, hash: u64, entry: E) -> &mut E {
        debug_assert_eq!(hash, self.hash(entry.key()));
        debug_assert!(self.get(hash, entry.key()).is_none(), "the key is in the table already");
        let (index, at) = self.make_room(hash);
        self.len += 1;
        self.segments[index].put(hash, at, entry)
    }

    /// Takes the entry with this key out of the table.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<E> {
        let index = self.segment_of(hash);
        let segment = &mut self.segments[index];
        let at = segment.find(hash, key)?;
        let entry = segment.take(hash, at);
        self.len -= 1;
        self.give_back_room(index);
        Some(entry)
    }

    /// Tells the table that the entry with `hash` is due at `due`, after a change in place.
    pub fn note_due(&mut self, hash: u64, due: u64) {
        let index = self.segment_of(hash);
        self.segments[index].note_due(due);
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> usize {
        // Two shifts, because a shift by 64 (a directory of one entry) is not defined.
        self.directory[((hash >> 1) >> self.shift) as usize] as usize
    }

    /// How many bits of the hash choose the directory entry.
    fn depth(&self) -> u32 {
        63 - self.shift
    }
}
