//! How long the next full copy waits after some that brought nobody anything: decisions without a clock.
//!
//! ```text
//!   a copy in vain      1 s, twice as long each time, up to a minute
//!   ten minutes of calm everything is forgotten
//! ```
//!
//! A copy is a walk over all keys, and costs whoever writes meanwhile. A Redis that lost its copy comes back after a second and
//! would have the next one at once, for ever where its road, the disk or a limit is too small. It is sent newlines
//! meanwhile, as while a copy is made.

use std::time::{Duration, Instant};

/// The first pause: Redis itself waits as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest, as for replicas of our own (`replica::pace`).
const LONGEST: Duration = Duration::from_secs(60);

/// So long after a pause nothing is held against anybody. Not a follower that comes into sync makes up for it: one that
/// falls out again and again does so each time.
const CALM: Duration = Duration::from_secs(600);

/// See the module's doc.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Again {
    in_vain: u32,
    not_before: Option<Instant>,
}

impl Again {
    /// A copy could not be made, or whoever took it fell out. Those who took the same one say so together.
    pub(super) fn was_in_vain(&mut self, now: Instant) {
        if self.left(now).is_some() {
            return;
        }
        if self.not_before.is_some_and(|before| now.saturating_duration_since(before) >= CALM) {
            self.in_vain = 0;
        }
        // 2^6 times the first is beyond the longest.
        let pause = (FIRST * 2u32.pow(self.in_vain.min(6))).min(LONGEST);
        self.in_vain = self.in_vain.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    /// How long the next copy still waits.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_vain_makes_the_next_one_wait_longer_until_there_was_calm() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut again = Again::default();
        assert_eq!(again.left(start), None);
        let mut at = 0;
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            again.was_in_vain(after(at));
            // Another one who had taken the same copy.
            again.was_in_vain(after(at));
            assert_eq!(again.left(after(at)), Some(Duration::from_secs(expected)));
            at += expected;
            assert_eq!(again.left(after(at)), None);
        }
        for (calm, expected) in [(599, LONGEST), (600, FIRST)] {
            at += calm;
            again.was_in_vain(after(at));
            assert_eq!(again.left(after(at)), Some(expected), "after {calm} s");
            at += expected.as_secs();
        }
    }
}
