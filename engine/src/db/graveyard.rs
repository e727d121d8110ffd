//! Tables that FLUSHALL and FLUSHDB took away, freed in slices.
//!
//! What they take is nobody's any more, but how much that is nobody knows before it is freed. So where
//! memory is short it is freed first: no write is refused, and no key that was written after the flush
//! evicted, for what the flush has deleted.

use crate::table::Drain;
use crate::value::Item;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tables of all shards that are not freed yet.
static GOING: AtomicUsize = AtomicUsize::new(0);

/// Whether some shard still frees a table that was flushed.
pub fn is_table_going() -> bool {
    GOING.load(Ordering::Relaxed) > 0
}

/// One shard's.
#[derive(Default)]
pub(super) struct Graveyard(Vec<Drain<Item>>);

impl Graveyard {
    /// Takes a table to be freed.
    pub(super) fn take(&mut self, table: Drain<Item>) {
        GOING.fetch_add(1, Ordering::Relaxed);
        self.0.push(table);
    }

    /// Frees up to `entries` entries; `false` when there were none.
    pub(super) fn free_slice(&mut self, entries: usize) -> bool {
        let Some(table) = self.0.last_mut() else { return false };
        if table.step(entries) {
            self.0.pop();
            GOING.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for Graveyard {
    fn drop(&mut self) {
        GOING.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}
