//! What a log holds beside its bytes: values that it is charged for once, and readers that are watched.
//!
//! ```text
//!   Charges   value A <- SET, RENAME, COPY     held three times, charged once, if it is not the data
//!   Seat      a reader's position, and whether it moves ──► Watch: who makes progress
//! ```
//!
//! A log may exceed its bound by one large frame, for whoever makes progress towards its end
//! ([`super::LogWriter::trim`]). Progress is what a reader has taken since it was looked at last; a
//! reader that takes nothing for [`STALLED_AFTER`] makes none.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        // Not the room's own: under `loom` they cannot be part of a static.
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::chunk::{Chunk, Large};
use super::sync::{Mutex, lock};
use super::whole::Whole;
use crate::types::Millis;
use crate::value::Left;

/// A reader that takes nothing for so long makes no progress. Long enough for a piece of 256 KiB over
/// a link of 26 kB/s; short enough that what a frozen replica makes a log hold beyond its bound is soon
/// given back.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What all logs of the process hold.
static HELD: AtomicU64 = AtomicU64::new(0);

/// Bytes that all logs of the process hold, a node's own and those that it relays; without what is data
/// anyway.
pub fn held_total() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// Tells the total that a log which held `before` bytes holds `now`.
pub(super) fn note_held(before: u64, now: u64) {
    HELD.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
}

/// What one reference costs the log beside its record, about: its places here and in its chunk, and the chunk
/// where it has one alone.
pub(super) const REFERENCE_BYTES: u64 = 512;

/// Chunks of values that a look around sees at the most: some 100 microseconds.
const LOOKED_AT: usize = 1024;

/// The same of one value that an item has given up for a changed one.
const LOOKED_AT_CHANGED: usize = 128;

/// The values that a log refers to. It is charged for what nobody but it keeps alive: nothing for a value that
/// is the data, what was changed meanwhile of one that went on, all of one that was deleted.
///
/// A whole value that an item gives up counts at once, all of it. What a change inside a value leaves to the log,
/// and what others share, is noticed when it is that value's turn to be looked at, part by part.
#[derive(Default)]
pub(super) struct Charges {
    values: Vec<Charge>,
    /// Their places, by their addresses.
    places: HashMap<usize, usize>,
    /// The sum of what is charged.
    kept: u64,
    /// All bytes of all values, whoever else holds them.
    whole: u64,
    left: Left,
    /// Whose turn it is.
    turn: usize,
}

struct Charge {
    value: Whole,
    /// How many records refer to it.
    count: usize,
    kept: u64,
    /// The part that is looked at next, and what was seen before it.
    at: u64,
    seen: u64,
    /// All of it is kept here, and nobody gets it from the log.
    is_all: bool,
}

impl Charge {
    fn new(value: &Whole) -> Charge {
        let kept = if value.is_data() { 0 } else { value.memory() };
        Charge { value: value.clone(), count: 0, kept, at: 0, seen: 0, is_all: false }
    }

    /// Looks at it, or at a part of it; how many chunks that took.
    fn look(&mut self, most: usize) -> usize {
        let value = &self.value;
        if value.is_data() {
            (self.kept, self.at, self.seen) = (0, 0, 0);
            return 1;
        }
        let mut looked = 1;
        while !self.is_all && looked < most {
            let (kept, next, chunks) = value.kept_from(self.at);
            (self.seen, looked) = (self.seen + kept, looked + chunks);
            let Some(next) = next else {
                self.is_all = self.seen == value.memory();
                (self.kept, self.at, self.seen) = (self.seen, 0, 0);
                break;
            };
            (self.at, self.kept) = (next, self.kept.max(self.seen));
        }
        looked
    }
}

impl Charges {
    /// Bytes that the log is charged for.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// Bytes of all values that the log refers to, whoever else holds them.
    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// One more reference to `value`, which becomes one with those before it.
    pub(super) fn add(&mut self, value: &mut Whole) {
        let next = self.values.len();
        let place = *self.places.entry(value.address()).or_insert(next);
        if place == next {
            let charge = Charge::new(value);
            self.whole += value.memory();
            self.kept += charge.kept;
            self.values.push(charge);
        }
        self.values[place].count += 1;
        value.clone_from(&self.values[place].value);
    }

    /// One reference to `value` less.
    pub(super) fn remove(&mut self, value: &Whole) {
        let address = value.address();
        let Some(&place) = self.places.get(&address) else { return };
        self.values[place].count -= 1;
        if self.values[place].count > 0 {
            return;
        }
        self.places.remove(&address);
        self.whole -= value.memory();
        self.kept -= self.values.swap_remove(place).kept;
        if let Some(moved) = self.values.get(place) {
            self.places.insert(moved.value.address(), place);
        }
    }

    /// What the log is charged for these values.
    pub(super) fn kept_of(&self, large: &[Large]) -> u64 {
        let mut places: Vec<usize> = large
            .iter()
            .filter_map(|large| self.places.get(&large.payload.of.address()).copied())
            .collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.values[place].kept).sum()
    }

    /// Looks at what items have given up since the last time.
    #[inline]
    pub(super) fn look_at_left(&mut self) {
        if self.values.is_empty() {
            return;
        }
        let mut left = std::mem::take(&mut self.left);
        let all_known = left.since_last(|address, is_changed| {
            if let Some(&place) = self.places.get(&address) {
                self.look_at_one(place, is_changed);
            }
        });
        self.left = left;
        if !all_known {
            self.look_around();
        }
    }

    fn look_at_one(&mut self, place: usize, is_changed: bool) {
        let charge = &mut self.values[place];
        let before = charge.kept;
        if is_changed || !charge.value.is_told_of() || charge.value.is_data() {
            charge.look(LOOKED_AT_CHANGED);
        } else {
            charge.kept = charge.value.memory();
        }
        self.kept = self.kept - before + charge.kept;
    }

    /// Looks at some values, the next time at the next ones.
    pub(super) fn look_around(&mut self) {
        let mut left = LOOKED_AT;
        for _ in 0..self.values.len() {
            self.turn = if self.turn < self.values.len() { self.turn } else { 0 };
            let charge = &mut self.values[self.turn];
            let before = charge.kept;
            let looked = charge.look(left);
            self.kept = self.kept - before + charge.kept;
            // One that is not done yet goes on next time.
            self.turn += usize::from(charge.at == 0);
            left = left.saturating_sub(looked);
            if left == 0 {
                break;
            }
        }
    }
}

/// Where a reader is, as the writer sees it.
pub(super) struct Seat {
    lsn: AtomicU64,
    /// All bytes of the log that it has taken.
    taken: AtomicU64,
    /// Whoever stands before this LSN has lost what it was in the middle of.
    lost: AtomicU64,
    /// Chunks that are the log's no more, of a value that the reader is in the middle of; and where they end.
    pinned: Mutex<VecDeque<Arc<Chunk>>>,
    pinned_to: AtomicU64,
}

impl Seat {
    pub(super) fn new(lsn: u64, taken: u64) -> Seat {
        Seat {
            lsn: AtomicU64::new(lsn),
            taken: AtomicU64::new(taken),
            lost: AtomicU64::new(0),
            pinned: Mutex::new(VecDeque::new()),
            pinned_to: AtomicU64::new(0),
        }
    }

    /// The writer lets a chunk go that ends at `end`.
    fn pin(&self, chunk: &Arc<Chunk>, end: u64) {
        lock(&self.pinned).push_back(Arc::clone(chunk));
        self.pinned_to.store(end, Ordering::Release);
    }

    /// The chunk that begins at `lsn`, if it was kept for this reader. Those before it are not needed any more.
    pub(super) fn pinned(&self, lsn: u64) -> Option<Arc<Chunk>> {
        let mut pinned = lock(&self.pinned);
        while pinned.front().is_some_and(|chunk| chunk.base < lsn) {
            pinned.pop_front();
        }
        pinned.pop_front()
    }

    /// Whether what follows `lsn` was kept for this reader.
    pub(super) fn is_pinned(&self, lsn: u64) -> bool {
        lsn < self.pinned_to.load(Ordering::Acquire)
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

    /// The log lets a chunk go that ends at `end`, of a value that began at `from`: whoever is in the middle of it
    /// and makes progress keeps it.
    pub(super) fn pin(&self, chunk: &Arc<Chunk>, from: u64, end: u64) {
        for watched in self.readers.iter().filter(|watched| watched.makes_progress) {
            let lsn = watched.seat.lsn.load(Ordering::Relaxed);
            if from < lsn && lsn < end {
                watched.seat.pin(chunk, end);
            }
        }
    }

    /// Whoever makes no progress and stands before `first` is told to give up what it pins.
    pub(super) fn give_up(&self, first: u64) {
        for watched in self.readers.iter().filter(|watched| !watched.makes_progress) {
            watched.seat.lost.fetch_max(first, Ordering::Relaxed);
            lock(&watched.seat.pinned).clear();
        }
    }
}
