//! The longest piece of work that an executor did without letting anybody else run, by kind: proof that
//! nobody waits long for somebody else.
//!
//! Measured where a clock is read anyhow. What is longer than all before is looked at once more: only time in which the
//! thread had a processor is work. For that the kernel is asked now and then how long it ran:
//!
//! ```text
//!   asked      piece piece piece    longest so far?
//!     |--------|===|-|==|--|===........===|  asked again: it took no longer than
//!              what the thread ran since then            all that the thread ran since
//! ```
//!
//! So where others had the processor meanwhile a figure may be too large, by what the thread has done since the kernel was
//! asked. Time in which a thread waits is never counted: for its turn, or for memory that was swapped out, which the
//! kernel's own figures tell (`/proc/pressure`).
//!
//! Pieces in which memory was touched for the first time are counted by themselves ([`Piece::Memory`]), whatever their
//! kind: how long that takes is the kernel's matter, and in a virtual machine the one's below it. A piece counts as such
//! also where the touch was in one before it and the kernel was not asked between them; a long piece that needs no
//! memory when it is done once more is then found under its own kind.
//!
//! Everybody may look; the executor alone writes.

use crate::rt::{CpuTime, cpu_time};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Kinds of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Requests of one connection: from parsing to where others have their turn.
    Visit,
    /// Messages of other executors.
    Mailbox,
    /// A part of a long command, or of a snapshot.
    Slice,
    /// Deleting what has expired.
    Expiry,
    /// Making room.
    Eviction,
    /// Giving back the memory of what was flushed.
    Freeing,
    /// Trimming the journal.
    Trimming,
    /// Any of these, where memory was touched for the first time.
    Memory,
}

impl Piece {
    /// All kinds.
    pub const ALL: [Piece; 8] = [
        Piece::Visit,
        Piece::Mailbox,
        Piece::Slice,
        Piece::Expiry,
        Piece::Eviction,
        Piece::Freeing,
        Piece::Trimming,
        Piece::Memory,
    ];

    /// As INFO and the metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Piece::Visit => "visit",
            Piece::Mailbox => "mailbox",
            Piece::Slice => "slice",
            Piece::Expiry => "expiry",
            Piece::Eviction => "eviction",
            Piece::Freeing => "freeing",
            Piece::Trimming => "trimming",
            Piece::Memory => "memory",
        }
    }
}

/// The longest of each kind on one executor.
#[derive(Debug, Default)]
pub struct Pieces {
    /// In nanoseconds.
    longest: [AtomicU64; Piece::ALL.len()],
    asked: LastAsked,
}

/// What the kernel said of the thread when it was asked last. The executor's alone: atomic only to lie beside the rest.
#[derive(Debug, Default)]
struct LastAsked {
    /// When, and how long the thread had run, in nanoseconds.
    at: AtomicU64,
    ran: AtomicU64,
    /// How often it had touched memory that was not there.
    faults: AtomicU64,
    /// Pieces since then, and how long these were together, in nanoseconds.
    pieces: AtomicU64,
    worked: AtomicU64,
}

impl LastAsked {
    /// So many pieces, and so much work, are not worth asking again.
    const PIECES: u64 = 16;
    const WORKED: u64 = 200_000;

    fn answered(&self, now: CpuTime) {
        self.at.store(now.at.as_nanos() as u64, Ordering::Relaxed);
        self.ran.store(now.ran.as_nanos() as u64, Ordering::Relaxed);
        self.faults.store(now.faults, Ordering::Relaxed);
        self.pieces.store(0, Ordering::Relaxed);
        self.worked.store(0, Ordering::Relaxed);
    }

    /// Whether it is time to ask again, behind a piece of `took` nanoseconds.
    fn is_due(&self, took: u64) -> bool {
        let pieces = self.pieces.load(Ordering::Relaxed) + 1;
        let worked = self.worked.load(Ordering::Relaxed) + took;
        self.pieces.store(pieces, Ordering::Relaxed);
        self.worked.store(worked, Ordering::Relaxed);
        pieces >= LastAsked::PIECES || worked >= LastAsked::WORKED
    }

    /// How many of `took` nanoseconds can have been work, by what the kernel says now.
    fn of_which_work(&self, took: u64, now: CpuTime) -> u64 {
        let since = |now: Duration, then: &AtomicU64| {
            (now.as_nanos() as u64).saturating_sub(then.load(Ordering::Relaxed))
        };
        // A piece within a longer one has asked as well: what was before that is work, as far as is known.
        let behind = took.min(since(now.at, &self.at));
        took - behind + behind.min(since(now.ran, &self.ran))
    }
}

impl Pieces {
    /// A piece took so long.
    #[inline]
    pub fn note(&self, piece: Piece, took: Duration) {
        let (longest, took) = (&self.longest[piece as usize], took.as_nanos() as u64);
        let is_longest = took > longest.load(Ordering::Relaxed);
        if self.asked.is_due(took) || is_longest {
            self.look(piece, took, cpu_time());
        }
    }

    /// A piece took so long by the clock, and this is what the kernel says of the thread behind it.
    fn look(&self, piece: Piece, took: u64, now: CpuTime) {
        let has_touched = now.faults > self.asked.faults.load(Ordering::Relaxed);
        let longest = &self.longest[if has_touched { Piece::Memory } else { piece } as usize];
        longest.fetch_max(self.asked.of_which_work(took, now), Ordering::Relaxed);
        self.asked.answered(now);
    }

    /// The longest of a kind, since start or the last reset.
    pub fn longest(&self, piece: Piece) -> Duration {
        Duration::from_nanos(self.longest[piece as usize].load(Ordering::Relaxed))
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&self) {
        self.longest.iter().for_each(|longest| longest.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_each_kind_stays_until_it_is_reset() {
        let pieces = Pieces::default();
        for (piece, micros) in [(Piece::Visit, 3), (Piece::Visit, 2), (Piece::Slice, 9)] {
            // A thread that ran all the time since.
            let ran = Duration::from_millis(1)
                + Duration::from_nanos(pieces.asked.ran.load(Ordering::Relaxed));
            pieces.look(piece, micros * 1000, CpuTime { at: ran, ran, faults: 0 });
        }
        let longest = |piece| pieces.longest(piece).as_micros();
        assert_eq!(
            [longest(Piece::Visit), longest(Piece::Slice), longest(Piece::Freeing)],
            [3, 9, 0]
        );
        pieces.reset();
        assert_eq!(pieces.longest(Piece::Slice), Duration::ZERO);
    }

    #[test]
    fn time_in_which_the_thread_was_made_to_wait_is_no_work() {
        let micros = Duration::from_micros;
        let time = |at, ran| CpuTime { at: micros(at), ran: micros(ran), faults: 7 };
        for (took, since, ran, expected) in [
            // It ran all the time, or was made to wait for most of it, or for a moment in what was long all the same.
            (3000, 3100, 3050, 3000),
            (3000, 3100, 20, 20),
            (3000, 3100, 2800, 2800),
            // It was made to wait between pieces: it is no longer than it was.
            (50, 3100, 240, 50),
            // Within it the kernel was asked already, behind another piece: it worked before that.
            (3000, 1000, 200, 2200),
        ] {
            let pieces = Pieces::default();
            pieces.asked.answered(time(50_000, 1000));
            pieces.look(Piece::Visit, took * 1000, time(50_000 + since, 1000 + ran));
            let found = pieces.longest(Piece::Visit);
            assert_eq!(found, micros(expected), "{took} {since} {ran}");
        }
    }

    #[test]
    fn a_piece_in_which_memory_was_touched_first_is_of_a_kind_of_its_own() {
        let pieces = Pieces::default();
        let ran = |millis| Duration::from_millis(millis);
        for (millis, faults) in [(1, 3), (2, 4), (3, 4)] {
            let now = CpuTime { at: ran(millis), ran: ran(millis), faults };
            pieces.look(Piece::Slice, if faults == 3 { 9000 } else { 7000 + millis }, now);
        }
        let longest = |piece| pieces.longest(piece).as_nanos();
        assert_eq!([longest(Piece::Memory), longest(Piece::Slice)], [9000, 7003]);
    }

    #[test]
    fn the_kernel_is_asked_again_after_so_many_pieces_or_so_much_work() {
        let asked = LastAsked::default();
        let until_due =
            |took| (1..).find(|_| asked.is_due(took)).inspect(|_| asked.answered(cpu_time()));
        assert_eq!(until_due(10), Some(LastAsked::PIECES));
        assert_eq!(until_due(LastAsked::WORKED / 4), Some(4));
    }
}
