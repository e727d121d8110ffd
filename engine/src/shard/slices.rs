//! What a shard does beside requests, in slices: expiry, eviction that commands did not wait for,
//! freeing, trimming its journal.

use super::Shard;
use crate::journal::Bounds;
use crate::limits::SLICE_MICROS;
use std::time::{Duration, Instant};

/// Entries of a flushed table freed between two looks at the clock.
const FREED_PER_LOOK: usize = 64;

/// Whether a heartbeat left something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Nothing is pressing until the next heartbeat.
    Idle,
    /// There is more: another slice soon.
    More,
}

impl Shard {
    /// One slice of background work, about [`SLICE_MICROS`] long.
    pub fn heartbeat(&mut self, bounds: &Bounds) -> Pace {
        let end = Instant::now() + Duration::from_micros(SLICE_MICROS);
        let more = loop {
            let more = self.heartbeat_once();
            if !more || Instant::now() >= end {
                break more;
            }
        };
        self.log.trim(bounds, self.keys.now());
        if more { Pace::More } else { Pace::Idle }
    }

    /// The smallest piece of background work; whether there is more.
    pub fn heartbeat_once(&mut self) -> bool {
        let locks = &self.locks;
        let sweeping = self.keys.sweep_slice(&mut |hash| locks.is_open(hash));
        self.log_frame();
        let evicting = self.evict_slice();
        let freeing = self.keys.free_slice(FREED_PER_LOOK);
        freeing || evicting || sweeping
    }
}
