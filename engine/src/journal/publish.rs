//! How bytes become visible to another executor, and how its readers sleep and are woken.
//!
//! ```text
//!   writer (shard executor)                     reader (replication executor)
//!   write bytes into the chunk                  read Mark           (acquire)
//!   Mark <- (offset, records)   (release)       nothing new?
//!   head <- lsn                 (release)         Bell: put the waker in, flag up
//!   --- fence SeqCst ---                          --- fence SeqCst ---
//!   flag up? take the wakers, wake them           read again: something new? do not sleep
//! ```
//!
//! Each side writes, fences, and then looks at what the other side writes. Of two SeqCst fences one
//! comes first, so at least one side sees the other: either the reader finds the new bytes when it
//! looks again, or the writer finds the flag. A wake-up can be superfluous, never missing.
//!
//! This file knows neither records nor chunks. `tests/journal_loom.rs` checks it in every
//! interleaving.

use std::task::Waker;

use super::sync::{AtomicBool, AtomicU64, Mutex, Ordering, fence, lock};

/// How far one chunk has been published: bytes and records in one word, so that no reader sees one
/// without the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Edge {
    /// Bytes of the chunk that may be read. At most [`Edge::OFFSET_MAX`].
    pub(super) offset: u32,
    /// Records in these bytes.
    pub(super) records: u32,
    /// No byte will be added: the log goes on in another chunk.
    pub(super) sealed: bool,
}

impl Edge {
    /// 31 bits: the 32nd says "sealed".
    pub(super) const OFFSET_MAX: u32 = (1 << 31) - 1;

    fn pack(self) -> u64 {
        debug_assert!(self.offset <= Edge::OFFSET_MAX);
        u64::from(self.sealed) << 63 | u64::from(self.offset) << 32 | u64::from(self.records)
    }

    fn unpack(word: u64) -> Edge {
        Edge {
            offset: (word >> 32) as u32 & Edge::OFFSET_MAX,
            records: word as u32,
            sealed: word >> 63 == 1,
        }
    }
}

/// The published [`Edge`] of one chunk. One writer, any number of readers.
#[derive(Debug)]
pub(super) struct Mark(AtomicU64);

impl Mark {
    pub(super) fn new() -> Mark {
        Mark(AtomicU64::new(0))
    }

    /// Makes everything that was written before this call visible up to `edge`.
    pub(super) fn publish(&self, edge: Edge) {
        self.0.store(edge.pack(), Ordering::Release);
    }

    /// What may be read now.
    pub(super) fn read(&self) -> Edge {
        Edge::unpack(self.0.load(Ordering::Acquire))
    }
}

/// The end of a log as readers see it: the last LSN and all bytes before it.
#[derive(Debug)]
pub(super) struct Head {
    lsn: AtomicU64,
    bytes: AtomicU64,
}

impl Head {
    pub(super) fn new(lsn: u64) -> Head {
        Head { lsn: AtomicU64::new(lsn), bytes: AtomicU64::new(0) }
    }

    /// Makes the last chunk visible up to its edge, and only then the head that counts it: whoever
    /// sees the head finds its bytes.
    pub(super) fn publish(&self, last: Option<(&Mark, Edge)>, lsn: u64, bytes: u64) {
        if let Some((mark, edge)) = last {
            mark.publish(edge);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        self.lsn.store(lsn, Ordering::Release);
    }

    pub(super) fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Which sleeper of a [`Bell`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SleeperId(pub(super) u64);

/// The readers of one log that sleep until something is published.
///
/// Holds at most one waker per reader: whoever registers again replaces its own.
#[derive(Debug)]
pub(super) struct Bell {
    /// Whether `sleepers` has anybody in it. Changed only under the lock.
    anyone: AtomicBool,
    sleepers: Mutex<Vec<(SleeperId, Waker)>>,
}

impl Bell {
    pub(super) fn new() -> Bell {
        Bell { anyone: AtomicBool::new(false), sleepers: Mutex::new(Vec::new()) }
    }

    /// Registers a sleeper; true if it must not sleep because `ready` holds after all.
    ///
    /// `ready` looks at what the writer publishes before it rings.
    pub(super) fn register(
        &self,
        id: SleeperId,
        waker: &Waker,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        {
            let mut sleepers = lock(&self.sleepers);
            match sleepers.iter_mut().find(|(sleeper, _)| *sleeper == id) {
                Some((_, registered)) => registered.clone_from(waker),
                None => sleepers.push((id, waker.clone())),
            }
            self.anyone.store(true, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        ready()
    }

    /// Wakes whoever sleeps. Costs a fence and a load when nobody does.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.anyone.load(Ordering::Relaxed) {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let woken = {
            let mut sleepers = lock(&self.sleepers);
            self.anyone.store(false, Ordering::Relaxed);
            std::mem::take(&mut *sleepers)
        };
        // Outside the lock: a waker is foreign code and may even register again.
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// Takes a sleeper out (it goes away).
    pub(super) fn forget(&self, id: SleeperId) {
        let mut sleepers = lock(&self.sleepers);
        sleepers.retain(|(sleeper, _)| *sleeper != id);
        self.anyone.store(!sleepers.is_empty(), Ordering::Relaxed);
    }
}
