//! Keys that may be evicted: one, those that a search has found, and how many each shard has.

use crate::table::Cursor;
use crate::types::{DbIndex, ShardId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A key that may go.
pub(super) struct Victim {
    pub(super) badness: u64,
    pub(super) db: DbIndex,
    pub(super) hash: u64,
    pub(super) key: Box<[u8]>,
}

/// Where the search for keys with deadlines is, and what it has found and not used; the worst last.
#[derive(Default)]
pub(crate) struct Hunt {
    pub(super) db: usize,
    pub(super) cursor: Cursor,
    pub(super) found: Vec<Victim>,
}

/// What all shards of a node may evict, as each of them has last told: the one that finds nothing of its
/// own has the others evict.
pub struct Victims {
    by_shard: Box<[ShardVictims]>,
}

/// One shard's word, on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct ShardVictims {
    count: AtomicU64,
    /// It has been asked to evict and has not begun yet.
    asked: AtomicBool,
}

impl Victims {
    /// Nothing yet, on so many shards.
    pub fn new(shards: u16) -> Arc<Victims> {
        Arc::new(Victims { by_shard: (0..shards).map(|_| ShardVictims::default()).collect() })
    }

    /// A shard tells how much there is.
    pub fn tell(&self, shard: ShardId, count: u64) {
        let told = &self.by_shard[shard.index()].count;
        if told.load(Ordering::Relaxed) != count {
            told.store(count, Ordering::Relaxed);
        }
    }

    /// Whether any shard has something.
    pub fn any(&self) -> bool {
        self.by_shard.iter().any(|shard| shard.count.load(Ordering::Relaxed) > 0)
    }

    /// The shards beside `me` that have something and are not about to evict, which they are now.
    pub fn to_ask(&self, me: ShardId) -> impl Iterator<Item = ShardId> {
        let others = self.by_shard.iter().enumerate().filter(move |(at, _)| *at != me.index());
        others
            .filter(|(_, shard)| {
                shard.count.load(Ordering::Relaxed) > 0 && !shard.asked.swap(true, Ordering::AcqRel)
            })
            .map(|(at, _)| ShardId(at as u16))
    }

    /// A shard begins to do what it was asked.
    pub fn begun(&self, shard: ShardId) {
        self.by_shard[shard.index()].asked.store(false, Ordering::Release);
    }
}
