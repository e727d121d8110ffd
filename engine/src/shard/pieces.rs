//! The longest piece of work that an executor did without letting anybody else run, by kind: proof that
//! nobody waits long for somebody else.
//!
//! Measured where a clock is read anyhow. Everybody may look; the executor alone writes.

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
}

impl Piece {
    /// All kinds.
    pub const ALL: [Piece; 7] = [
        Piece::Visit,
        Piece::Mailbox,
        Piece::Slice,
        Piece::Expiry,
        Piece::Eviction,
        Piece::Freeing,
        Piece::Trimming,
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
        }
    }
}

/// The longest of each kind on one executor, in nanoseconds.
#[derive(Debug, Default)]
pub struct Pieces([AtomicU64; Piece::ALL.len()]);

impl Pieces {
    /// A piece took so long.
    #[inline]
    pub fn note(&self, piece: Piece, took: Duration) {
        let (longest, took) = (&self.0[piece as usize], took.as_nanos() as u64);
        if took > longest.load(Ordering::Relaxed) {
            longest.store(took, Ordering::Relaxed);
        }
    }

    /// The longest of a kind, since start or the last reset.
    pub fn longest(&self, piece: Piece) -> Duration {
        Duration::from_nanos(self.0[piece as usize].load(Ordering::Relaxed))
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&self) {
        self.0.iter().for_each(|longest| longest.store(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_each_kind_stays_until_it_is_reset() {
        let pieces = Pieces::default();
        for (piece, micros) in [(Piece::Visit, 3), (Piece::Visit, 2), (Piece::Slice, 9)] {
            pieces.note(piece, Duration::from_micros(micros));
        }
        let longest = |piece| pieces.longest(piece).as_micros();
        assert_eq!(
            [longest(Piece::Visit), longest(Piece::Slice), longest(Piece::Freeing)],
            [3, 9, 0]
        );
        pieces.reset();
        assert_eq!(pieces.longest(Piece::Slice), Duration::ZERO);
    }
}
