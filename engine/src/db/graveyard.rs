//! Tables that FLUSHALL and FLUSHDB took away, freed in slices.
//!
//! What they take is nobody's any more, but how much that is nobody knows before it is freed. So where
//! memory is short it is freed first: no write is refused, and no key that was written after the flush
//! evicted, for what the flush has deleted.

use crate::table::Drain;
use crate::value::Item;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many flushed tables of a node are not freed yet. A handle; clones count together.
#[derive(Clone, Default)]
pub struct Going(Arc<AtomicUsize>);

impl Going {
    /// Whether some shard still frees a table that was flushed.
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// One shard's.
#[derive(Default)]
pub(super) struct Graveyard {
    tables: Vec<Drain<Item>>,
    going: Going,
}

impl Graveyard {
    /// Takes a table to be freed.
    pub(super) fn take(&mut self, table: Drain<Item>) {
        self.going.0.fetch_add(1, Ordering::Relaxed);
        self.tables.push(table);
    }

    /// From now on it counts with others. Must be called before there is anything to count.
    pub(super) fn share(&mut self, going: Going) {
        assert!(self.tables.is_empty(), "{} tables are counted elsewhere", self.tables.len());
        self.going = going;
    }

    pub(super) fn going(&self) -> &Going {
        &self.going
    }

    /// Frees up to `entries` entries; `false` when there were none.
    pub(super) fn free_slice(&mut self, entries: usize) -> bool {
        let Some(table) = self.tables.last_mut() else { return false };
        if table.step(entries) {
            self.tables.pop();
            self.going.0.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }
}

impl Drop for Graveyard {
    fn drop(&mut self) {
        self.going.0.fetch_sub(self.tables.len(), Ordering::Relaxed);
    }
}
