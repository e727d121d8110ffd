//! What a log holds beside its bytes: values that it is charged for once, and readers that are watched.
//!
//! ```text
//!   Charges   value A <- SET, RENAME, COPY     held three times, charged once
//!   Seat      a reader's position, and whether it moves ──► Watch: who makes progress
//! ```
//!
//! A log may exceed its bound by one large frame, for whoever makes progress towards its end
//! ([`super::LogWriter::trim`]). Progress is what a reader has taken since it was looked at last; a
//! reader that takes nothing for [`STALLED_AFTER`] makes none.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        // Not the room's own: under `loom` they cannot be part of a static.
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::chunk::Large;
use crate::types::Millis;
use crate::value::Rope;

/// A reader that takes nothing for so long makes no progress. Long enough for a piece of 256 KiB over
/// a link of 26 kB/s; short enough that what a frozen replica makes a log hold beyond its bound is soon
/// given back.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What all logs of the process hold.
static HELD: AtomicU64 = AtomicU64::new(0);

/// Bytes that all logs of the process hold, a node's own and those that it relays; without what is data
/// anyway and is held beyond a bound.
pub fn held_total() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// Tells the total that a log which held `before` bytes holds `now`.
pub(super) fn note_held(before: u64, now: u64) {
    HELD.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
}

/// The values that a log refers to, by their addresses, each with how often.
#[derive(Default)]
pub(super) struct Charges(HashMap<usize, usize>);

impl Charges {
    /// One more reference to `value`; the bytes that this adds to what is held.
    pub(super) fn add(&mut self, value: &Rope) -> u64 {
        let count = self.0.entry(value.borrow().address()).or_default();
        *count += 1;
        if *count == 1 { value.len() as u64 } else { 0 }
    }

    /// One reference to `value` less; the bytes that are not held any more.
    pub(super) fn remove(&mut self, value: &Rope) -> u64 {
        let name = value.borrow().address();
        match self.0.get_mut(&name) {
            Some(count) if *count > 1 => {
                *count -= 1;
                0
            }
            Some(_) => {
                self.0.remove(&name);
                value.len() as u64
            }
            None => 0,
        }
    }

    /// Whether all these values are held by others too: then holding them costs nothing.
    pub(super) fn are_held_by_others(&self, large: &[Large]) -> bool {
        let is_held = |large: &Large| {
            let ours = self.0.get(&large.payload.borrow().address()).copied().unwrap_or_default();
            large.payload.borrow().holders() > ours
        };
        !large.is_empty() && large.iter().all(is_held)
    }
}

/// Where a reader is, as the writer sees it.
#[derive(Debug)]
pub(super) struct Seat {
    lsn: AtomicU64,
    /// All bytes of the log that it has taken.
    taken: AtomicU64,
    /// Whoever stands before this LSN has lost what it was in the middle of.
    lost: AtomicU64,
}

impl Seat {
    pub(super) fn new(lsn: u64, taken: u64) -> Seat {
        Seat { lsn: AtomicU64::new(lsn), taken: AtomicU64::new(taken), lost: AtomicU64::new(0) }
    }

    /// The reader has taken something.
    pub(super) fn moved(&self, lsn: u64, taken: u64) {
        self.lsn.store(lsn, Ordering::Relaxed);
        self.taken.store(taken, Ordering::Relaxed);
    }

    /// Whether a reader at `lsn` is told to give up.
    pub(super) fn is_lost(&self, lsn: u64) -> bool {
        lsn < self.lost.load(Ordering::Relaxed)
    }
}

/// What one look adds to a reader's standing still at the most, in milliseconds: ten heartbeats. A clock
/// that is set, or a process that was stopped for a while, is no time in which anybody could have read.
const LOOK_MAX: u64 = 1_000;

/// How long each reader has been seen to stand still.
#[derive(Default)]
pub(super) struct Watch {
    readers: Vec<Watched>,
    looked: Option<Millis>,
}

struct Watched {
    seat: Arc<Seat>,
    taken: u64,
    /// Milliseconds without taking anything, as far as they were watched.
    still: u64,
    makes_progress: bool,
}

impl Watch {
    /// Looks at all readers of a log that ends at `head`. Whoever has come there has nothing to take.
    pub(super) fn look(&mut self, seats: &[Arc<Seat>], head: u64, now: Millis) {
        let since = self.looked.replace(now).map_or(0, |looked| now.0.saturating_sub(looked.0));
        self.readers.retain(|watched| seats.iter().any(|seat| Arc::ptr_eq(seat, &watched.seat)));
        for seat in seats {
            let taken = seat.taken.load(Ordering::Relaxed);
            let is_at_head = seat.lsn.load(Ordering::Relaxed) >= head;
            let known = self.readers.iter_mut().find(|watched| Arc::ptr_eq(seat, &watched.seat));
            match known {
                Some(watched) if watched.taken == taken && !is_at_head => {
                    watched.still += since.min(LOOK_MAX);
                    watched.makes_progress = u128::from(watched.still) < STALLED_AFTER.as_millis();
                }
                Some(watched) => {
                    (watched.taken, watched.still, watched.makes_progress) = (taken, 0, true);
                }
                None => {
                    let seat = Arc::clone(seat);
                    self.readers.push(Watched { seat, taken, still: 0, makes_progress: true });
                }
            }
        }
    }

    /// Whether somebody who makes progress has not come to `end` yet.
    pub(super) fn is_needed(&self, end: u64) -> bool {
        let needs = |watched: &Watched| {
            watched.makes_progress && watched.seat.lsn.load(Ordering::Relaxed) < end
        };
        self.readers.iter().any(needs)
    }

    /// Whether somebody who makes no progress may be in the middle of what ends at `end`.
    pub(super) fn is_stuck_before(&self, end: u64) -> bool {
        let is_stuck = |watched: &Watched| {
            !watched.makes_progress && watched.seat.lsn.load(Ordering::Relaxed) < end
        };
        self.readers.iter().any(is_stuck)
    }

    /// Whoever makes no progress and stands before `first` is told to give up what it pins.
    pub(super) fn give_up(&self, first: u64) {
        for watched in self.readers.iter().filter(|watched| !watched.makes_progress) {
            watched.seat.lost.fetch_max(first, Ordering::Relaxed);
        }
    }
}
