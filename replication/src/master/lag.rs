//! How old the oldest unacknowledged record of a flow is.
//!
//! Samples of (head, time) are taken at most every [`SAMPLE_EVERY`]; the age of what is not
//! acknowledged is the time since the first sample beyond the acknowledged LSN. Both times are this
//! node's, by the clock that never jumps, so no clocks are compared. Bounded: when it is full, every second sample goes, and the
//! answer gets coarser, never younger than true by more than the distance of two samples.

use engine::types::Lsn;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Distance of samples: what a lag in milliseconds is exact to.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// Samples kept: 40 s at full resolution.
const SAMPLES_MAX: usize = 4096;

/// Heads of one journal over time, as far as they are not acknowledged.
#[derive(Debug, Default)]
pub struct LagTimes {
    samples: VecDeque<(Lsn, Instant)>,
}

impl LagTimes {
    /// Notes the head of now.
    pub fn note(&mut self, head: Lsn, now: Instant) {
        if let Some((last, at)) = self.samples.back()
            && (*last >= head || now < *at + SAMPLE_EVERY)
        {
            return;
        }
        if self.samples.len() >= SAMPLES_MAX {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.samples.push_back((head, now));
    }

    /// Everything up to `lsn` is acknowledged.
    pub fn acked(&mut self, lsn: Lsn) {
        while self.samples.front().is_some_and(|(head, _)| *head <= lsn) {
            self.samples.pop_front();
        }
    }

    /// Milliseconds since the oldest unacknowledged record was written; 0 when there is none.
    pub fn age(&self, acked: Lsn, head: Lsn, now: Instant) -> u64 {
        if acked >= head {
            return 0;
        }
        let age = |(_, at): &(Lsn, Instant)| now.saturating_duration_since(*at).as_millis() as u64;
        self.samples.front().map_or(0, age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_first_unacknowledged_sample() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut times = LagTimes::default();
        times.note(Lsn(5), at(1_000));
        times.note(Lsn(9), at(2_000));
        assert_eq!(times.age(Lsn(0), Lsn(9), at(2_500)), 1_500);
        times.acked(Lsn(5));
        assert_eq!(times.age(Lsn(5), Lsn(9), at(2_500)), 500);
        times.acked(Lsn(9));
        assert_eq!(times.age(Lsn(9), Lsn(9), at(9_000)), 0);
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let (start, mut times) = (Instant::now(), LagTimes::default());
        for step in 0..100_000u32 {
            times.note(Lsn(u64::from(step) + 1), start + step * SAMPLE_EVERY);
        }
        assert!(times.samples.len() <= SAMPLES_MAX);
        let later = start + Duration::from_secs(1000);
        assert_eq!(times.age(Lsn(0), Lsn(1), later), 1_000_000);
    }
}
