//! A log as all but its writer see it: where it begins and ends, what it holds, who reads it.

use std::{collections::VecDeque, sync::Arc};

use super::{
    chunk::Chunk,
    gone::{Gone, GoneReason},
    history::LogRange,
    hold::Seat,
    publish::{Bell, Head, SleeperId},
    sync::{AtomicU64, Mutex, Ordering, lock},
};
use crate::types::{Lsn, Millis};

/// What is never trimmed because of its age.
pub(super) const NO_TIME: u64 = u64::MAX;

/// No value is open at the head.
pub(super) const NOT_INSIDE: u64 = u64::MAX;

/// What writer and readers share.
pub(super) struct Shared {
    pub(super) head: Head,
    pub(super) first: AtomicU64,
    pub(super) held_bytes: AtomicU64,
    pub(super) oldest: AtomicU64,
    /// Where the value began whose frames have not all come; [`NOT_INSIDE`] if there is none.
    pub(super) outside: AtomicU64,
    /// The chunks in order. Locked at a change of chunk and by whoever enters one.
    pub(super) chunks: Mutex<VecDeque<Arc<Chunk>>>,
    pub(super) bell: Bell,
    pub(super) sleepers: AtomicU64,
    /// All readers. Locked when one comes or goes and at trimming.
    pub(super) seats: Mutex<Vec<Arc<Seat>>>,
}

impl Shared {
    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    /// The chunk in which the record after `lsn` stands or will stand, if it is held.
    pub(super) fn chunk_after(&self, lsn: u64) -> Option<Arc<Chunk>> {
        let chunks = lock(&self.chunks);
        let index = chunks.partition_point(|chunk| chunk.base <= lsn).checked_sub(1)?;
        chunks.get(index).cloned()
    }

    /// Who one more reader is when it sleeps.
    pub(super) fn new_sleeper(&self) -> SleeperId {
        SleeperId(self.sleepers.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn gone(&self, reason: GoneReason) -> Gone {
        let LogRange { first, head } = self.range();
        Gone { oldest: first, head, reason }
    }

    /// A reader comes.
    pub(super) fn seat(&self, lsn: u64, taken: u64) -> Arc<Seat> {
        let seat = Arc::new(Seat::new(lsn, taken));
        lock(&self.seats).push(Arc::clone(&seat));
        seat
    }

    /// A reader goes.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        lock(&self.seats).retain(|known| !Arc::ptr_eq(known, seat));
    }

    pub(super) fn range(&self) -> LogRange {
        // In this order: `first` is never stored before the head that it stands at or below.
        let first = Lsn(self.first());
        LogRange { first, head: Lsn(self.head.lsn()) }
    }
}

/// A log as seen from outside its shard. Cheap to clone, may go to any executor.
#[derive(Clone)]
pub struct LogHandle(pub(super) Arc<Shared>);

impl LogHandle {
    /// The LSN of the last published record.
    ///
    /// A [`super::Span`] taken at the same instant may already be beyond it: subtract saturating.
    pub fn head(&self) -> Lsn {
        Lsn(self.0.head.lsn())
    }

    /// The head, or where the value began that is open there: whoever begins here gets none without its
    /// beginning. Of a relay, to be asked where it is written.
    pub fn head_outside_values(&self) -> Lsn {
        #[cfg(feature = "planted-bugs")]
        if super::planted::is_on(&super::planted::BEGINS_INSIDE_VALUES) {
            return self.head();
        }
        self.head().min(Lsn(self.0.outside.load(Ordering::Acquire)))
    }

    /// The oldest position from which the log can be read.
    pub fn first(&self) -> Lsn {
        Lsn(self.0.first())
    }

    /// Both, with `first <= head`.
    pub fn range(&self) -> LogRange {
        self.0.range()
    }

    /// What the log holds in memory: chunks at their full size, and of large payloads what nobody else does.
    pub fn bytes(&self) -> u64 {
        self.0.held_bytes.load(Ordering::Relaxed)
    }

    /// All bytes ever written up to the head, as on the wire. Bytes that were only counted as
    /// records, because nobody kept the log, are not among them.
    pub fn total_bytes(&self) -> u64 {
        self.0.head.bytes()
    }

    /// When the oldest chunk that is held got its first record.
    pub fn oldest(&self) -> Option<Millis> {
        match self.0.oldest.load(Ordering::Relaxed) {
            NO_TIME => None,
            time => Some(Millis(time)),
        }
    }
}

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LogRange { first, head } = self.range();
        write!(f, "LogHandle({first}..{head}, {} bytes)", self.bytes())
    }
}
