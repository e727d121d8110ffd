//! What a shard does beside requests, in slices: expiry, eviction that commands did not wait for,
//! freeing, trimming its journal.

use super::body::Shard;
use super::pieces::Piece;
use super::room::FREED_PER_LOOK;
use crate::journal::Bounds;
use crate::limits::SLICE_MICROS;
use std::time::{Duration, Instant};

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
        let began = Instant::now();
        let end = began + Duration::from_micros(SLICE_MICROS);
        let more = loop {
            let more = self.heartbeat_once();
            if !more || Instant::now() >= end {
                break more;
            }
        };
        let before = Instant::now();
        self.log.trim(bounds, self.keys.now());
        self.pieces.note(Piece::Trimming, before.elapsed());
        if more { Pace::More } else { Pace::Idle }
    }

    /// The smallest piece of background work; whether there is more.
    pub fn heartbeat_once(&mut self) -> bool {
        let began = Instant::now();
        let locks = &self.locks;
        let sweeping = self.keys.sweep_slice(&mut |hash| locks.is_open(hash));
        let sweeping = self.keys.sweep_inside(&mut |hash| locks.is_open(hash)) || sweeping;
        self.log_frame();
        let swept = Instant::now();
        let evicting = self.evict_slice();
        let evicted = Instant::now();
        let freeing = self.keys.free_slice(FREED_PER_LOOK);
        self.pieces.note(Piece::Expiry, swept - began);
        self.pieces.note(Piece::Eviction, evicted - swept);
        self.pieces.note(Piece::Freeing, evicted.elapsed());
        freeing || evicting || sweeping
    }
}
