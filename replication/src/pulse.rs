//! Signs of life: how often one end of a link gives them, and how long a silence of the other is borne.
//!
//! Each end says in its signs of life (`Alive`, on the control connection) what its own time-out is, at
//! once and whenever that changes. So both give them as often as the shorter of the two needs, also where
//! the ends are configured differently, and where a time-out is changed while the link is up. A peer that
//! says nothing of its time-out is one of before: it gives a sign every second.
//!
//! Knows no clock and no socket.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often an idle link shows that it lives, at least.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Not more often than that, whatever a peer asks for.
const ALIVE_EVERY_MIN: Duration = Duration::from_millis(10);

/// Signs within one time-out: one may be late, and so may be who waits for it.
const SIGNS: u32 = 4;

/// How long a silence is borne at least while the other end does not know how often we need a sign:
/// several of those that it gives by itself.
const UNTOLD: Duration = Duration::from_secs(4);

/// How long data may stand still at least, whatever the time-out: what is received has to be applied.
const STILL_MIN: Duration = Duration::from_secs(1);

/// One end of a link.
#[derive(Debug, Default)]
pub struct Pulse {
    /// The other end's time-out, if it said so.
    theirs: Cell<Option<Duration>>,
    /// What was told of ours, and when first.
    told: Cell<Option<(Duration, Instant)>>,
}

impl Pulse {
    /// The other end has said what its time-out is. Answers whether that is news.
    pub fn hear(&self, timeout: Option<Duration>) -> bool {
        timeout.is_some() && self.theirs.replace(timeout) != timeout
    }

    /// The other end is being told that our time-out is `own`.
    pub fn tell(&self, own: Duration, now: Instant) {
        if !self.is_told(own) {
            self.told.set(Some((own, now)));
        }
    }

    /// Whether the other end knows that our time-out is `own`.
    pub fn is_told(&self, own: Duration) -> bool {
        self.told.get().is_some_and(|(told, _)| told == own)
    }

    /// How often a sign is due.
    pub fn every(&self, own: Duration) -> Duration {
        let shorter = self.theirs.get().map_or(own, |theirs| theirs.min(own));
        (shorter / SIGNS).clamp(ALIVE_EVERY_MIN, ALIVE_EVERY)
    }

    /// How long a silence is borne.
    pub fn limit(&self, own: Duration, now: Instant) -> Duration {
        let is_known = self.theirs.get().is_some()
            && self.told.get().is_some_and(|(told, at)| told == own && now > at + UNTOLD);
        if is_known { own } else { own.max(UNTOLD) }
    }
}

/// How long data may stand still while there is something to move.
pub fn still_limit(own: Duration) -> Duration {
    own.max(STILL_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_give_signs_as_often_as_the_shorter_time_out_needs() {
        let ms = Duration::from_millis;
        let rows = [
            (30_000, None, 1000),
            (30_000, Some(30_000), 1000),
            (30_000, Some(100), 25),
            (100, Some(30_000), 25),
            (1500, Some(1500), 375),
            (1500, None, 375),
            (30_000, Some(1), 10),
        ];
        for (own, theirs, every) in rows {
            let pulse = Pulse::default();
            pulse.hear(theirs.map(ms));
            assert_eq!(pulse.every(ms(own)), ms(every), "{own} {theirs:?}");
        }
    }

    #[test]
    fn a_short_time_out_counts_once_the_other_end_knows_of_it() {
        let (pulse, start) = (Pulse::default(), Instant::now());
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(30));
        let later = start + UNTOLD * 2;
        assert_eq!(pulse.limit(short, later), UNTOLD, "nobody was told anything");
        pulse.tell(short, start);
        assert_eq!(pulse.limit(short, later), UNTOLD, "a peer of before gives a sign every second");
        assert!(pulse.hear(Some(long)) && !pulse.hear(Some(long)) && !pulse.hear(None));
        assert_eq!(pulse.limit(short, start), UNTOLD, "it is on its way");
        assert_eq!(pulse.limit(short, later), short);
        // CONFIG SET while the link is up.
        let shorter = Duration::from_millis(50);
        assert!(!pulse.is_told(shorter));
        assert_eq!(pulse.limit(shorter, later), UNTOLD);
        pulse.tell(shorter, later);
        pulse.tell(shorter, later + UNTOLD);
        assert_eq!(pulse.limit(shorter, later + UNTOLD + short), shorter);
        assert_eq!(pulse.limit(long, later), long);
    }
}
