//! When the stream is read again: what comes in small portions is left to become a larger one.
//!
//! ```text
//!   first after a while ─► at once | the next ones ─► what has come in A MILLISECOND ─► ... ─► a large one ─► at once
//! ```
//!
//! Each portion wakes this executor and the shards that it is for, which costs many times what a
//! command does: a Redis that serves 8,000 writes a second tells each alone. The price is a replica that is a
//! millisecond later; a master whose clients wait for it (WAIT) asks for acks, and gets no pause for a second.

use std::time::{Duration, Instant};

/// How long a portion is waited for, from the last one on.
const PAUSE: Duration = Duration::from_millis(1);

/// A portion of so many bytes is none to wait for: the socket's buffer is not to become full.
const LARGE: usize = 16 * 1024;

/// How long a master that asked for an ack is taken for one that will ask again.
const ASKS_FOR: Duration = Duration::from_secs(1);

/// See the module's doc.
#[derive(Default)]
pub(super) struct Portions {
    /// When the last small portion came.
    small: Option<Instant>,
    /// When an ack was asked for.
    asked: Option<Instant>,
}

impl Portions {
    /// So many bytes have come.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) {
        self.small = (bytes < LARGE).then_some(now);
    }

    /// The master asked for an ack.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Until when to leave the socket alone.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        let asks = self.asked.is_some_and(|asked| now.duration_since(asked) < ASKS_FOR);
        let until = self.small.filter(|_| !asks)? + PAUSE;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_portions_are_waited_for_unless_somebody_waits_for_us() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        // (what came and when, when an ack was asked for, now, until when)
        type Case = (Option<(usize, u64)>, Option<u64>, u64, Option<u64>);
        let cases: [Case; 8] = [
            (None, None, 0, None),
            (Some((100, 0)), None, 0, Some(1_000)),
            (Some((100, 0)), None, 300, Some(1_000)),
            (Some((100, 0)), None, 1_000, None),
            (Some((100, 0)), None, 9_000, None),
            (Some((LARGE, 0)), None, 0, None),
            (Some((100, 900_000)), Some(0), 900_000, None),
            (Some((100, 1_000_000)), Some(0), 1_000_000, Some(1_001_000)),
        ];
        for (came, asked, now, until) in cases {
            let mut portions = Portions::default();
            came.into_iter().for_each(|(bytes, when)| portions.came(bytes, at(when)));
            asked.into_iter().for_each(|when| portions.asked(at(when)));
            let case = (came, asked, now);
            assert_eq!(portions.rests_until(at(now)), until.map(at), "{case:?}");
        }
    }
}
