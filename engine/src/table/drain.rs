//! Emptying a table in slices: freeing millions of entries takes longer than anyone may wait.
//!
//! A table that is drained is no table any more: FLUSHDB puts a new one in its place and lets the old one
//! go by and by. Dropping a [`Drain`] frees the rest at once.

use super::Table;
use super::TableEntry;
use super::segment::Segment;

/// What is left of a table that is being freed.
pub struct Drain<E> {
    segments: Vec<Segment<E>>,
    /// How many buckets of the last segment are empty already.
    emptied: usize,
}

impl<E: TableEntry, H> Table<E, H> {
    /// Gives the table up for freeing in slices.
    pub fn into_drain(self) -> Drain<E> {
        Drain { segments: self.segments, emptied: 0 }
    }
}

impl<E: TableEntry> Drain<E> {
    /// Frees about `entries_max` entries (a bucket more at most) and says whether nothing is left.
    pub fn step(&mut self, entries_max: usize) -> bool {
        let mut freed = 0;
        while let Some(segment) = self.segments.last_mut() {
            if self.emptied == segment.bucket_count() {
                self.segments.pop();
                self.emptied = 0;
                continue;
            }
            if freed >= entries_max {
                return false;
            }
            // An empty bucket counts as an entry, so that a table of empty buckets has its bound too.
            freed += segment.dismantle(self.emptied).max(1);
            self.emptied += 1;
        }
        true
    }
}
