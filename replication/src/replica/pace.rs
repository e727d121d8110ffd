//! How long a link waits between attempts, and how long one step of an attempt may take: decisions
//! without a clock.
//!
//! ```text
//!   not reached            100 ms, twice as long each time, up to reconnect_pause
//!   a copy that was lost   0.5 s, twice as long each time, up to a minute: a full sync costs the master
//!                          a walk over all its keys, and who fell out of its journal will again
//!   a step came too late   the next attempt gives each step twice the time: the road may be long
//! ```
//!
//! A copy is lost when the session ended in the middle of its full sync, or fell out of the journal, or
//! when the next session could not continue from it. Only [`CALM`] makes up for it: a session that
//! lasts some minutes and falls out again has brought nobody anything.

use crate::planted;
use std::time::Duration;

/// The first pause after an attempt that came to nothing.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest of them, whatever the settings say.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A session that lived so long begins these pauses anew.
const LONG_LIVED: Duration = Duration::from_secs(10);

/// The first pause after a copy was lost.
const LOST_MIN: Duration = Duration::from_millis(500);

/// The longest after falling out of the master's journal.
const FELL_OUT_MAX: Duration = Duration::from_secs(60);

/// The longest after a full sync that broke off: perhaps the network did it.
const BROKE_OFF_MAX: Duration = Duration::from_secs(10);

/// After so long in stable sync nothing is held against a link any more.
pub const CALM: Duration = Duration::from_secs(600);

/// However long the road is thought to be, a step has no more time than this: while a connection is
/// being made the kernel asks again after 1, 3 and 7 seconds, and who waits for an address that is
/// gone does not see the master come back at another.
const STEP_MAX: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// It began with a full sync.
    pub full: bool,
    /// How long it took altogether.
    pub lived: Duration,
    /// How long it was in stable sync, if it came so far.
    pub stable: Option<Duration>,
    /// The master's journal did not reach back to us any more.
    pub fell_out: bool,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Pace {
    pause: Duration,
    step: Duration,
    lost: u32,
    /// Whether the next session can continue from our copy is not known.
    unproven: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { pause: PAUSE_MIN, step: Duration::ZERO, lost: 0, unproven: false }
    }
}

impl Pace {
    /// How long a step of the next attempt may take, where the settings say `usual`.
    pub fn step_limit(&self, usual: Duration) -> Duration {
        usual.max(self.step)
    }

    /// Copies lost one after the other.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// No session came about. The pause until the next attempt.
    pub fn not_met(&mut self, late: bool, tried: Duration, pause_max: Duration) -> Duration {
        if late {
            self.step = (tried * 2).min(STEP_MAX);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX.min(pause_max));
        pause
    }

    /// A session has ended. The pause until the next attempt.
    pub fn session_ended(&mut self, ended: Ended, pause_max: Duration) -> Duration {
        self.step = Duration::ZERO;
        if ended.lived > LONG_LIVED {
            self.pause = PAUSE_MIN;
        }
        let pause = self.not_met(false, Duration::ZERO, pause_max);
        let is_lost = ended.fell_out || (ended.full && ended.stable.is_none());
        self.lost += u32::from(ended.full && self.unproven);
        if ended.lived > LONG_LIVED && planted::long_sessions_make_up() {
            self.lost = 0;
        }
        let is_calm = ended.stable.is_some_and(|stable| stable >= CALM);
        if is_calm {
            self.lost = 0;
        }
        self.unproven = !is_lost && !is_calm && ended.stable.is_some();
        if !is_lost {
            return pause;
        }
        self.lost += 1;
        let longest = if ended.fell_out { FELL_OUT_MAX } else { BROKE_OFF_MAX };
        // 2^7 times the first is beyond the longest.
        let doublings = (self.lost - 1).min(7);
        pause.max((LOST_MIN * 2u32.pow(doublings)).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fell_out(lived: u64) -> Ended {
        let stable = Some(seconds(lived - 1));
        Ended { full: true, lived: seconds(lived), stable, fell_out: true }
    }

    fn pauses(pace: &mut Pace, ended: Ended, times: usize) -> Vec<u128> {
        (0..times).map(|_| pace.session_ended(ended, USUAL).as_millis()).collect()
    }

    #[test]
    fn who_falls_out_of_the_journal_again_and_again_waits_longer_each_time() {
        for lived in [1, 11, 60, 300] {
            let pauses = pauses(&mut Pace::default(), fell_out(lived), 9);
            let longer = [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000];
            assert_eq!(pauses, longer, "sessions of {lived} s");
        }
        // Also when partial syncs stand between.
        let mut pace = Pace::default();
        let partial = Ended { full: false, fell_out: false, ..fell_out(30) };
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.extend(pauses(&mut pace, fell_out(30), 1));
            pauses(&mut pace, partial, 2);
        }
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    }

    #[test]
    fn only_a_calm_session_makes_up_for_copies_that_were_lost() {
        let mut pace = Pace::default();
        pauses(&mut pace, fell_out(20), 6);
        let cut =
            |stable| Ended { fell_out: false, lived: stable, stable: Some(stable), full: false };
        assert_eq!(pauses(&mut pace, cut(seconds(60)), 1), [100], "a cut alone waits for nothing");
        assert_eq!(pace.lost(), 6);
        pauses(&mut pace, cut(CALM), 1);
        assert_eq!(pace.lost(), 0);
        assert_eq!(pauses(&mut pace, fell_out(20), 1), [500]);
    }

    #[test]
    fn a_full_sync_that_breaks_off_is_not_begun_anew_at_once_however_long_it_took() {
        let ended = Ended { full: true, lived: seconds(12), stable: None, fell_out: false };
        let pauses = pauses(&mut Pace::default(), ended, 7);
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10000, 10000]);
    }

    #[test]
    fn a_copy_that_the_master_does_not_continue_was_lost_too() {
        let mut pace = Pace::default();
        let cut = Ended { fell_out: false, ..fell_out(30) };
        assert_eq!(pauses(&mut pace, cut, 4), [100; 4], "whether it is lost is not known yet");
        assert_eq!(pace.lost(), 3);
        assert_eq!(pauses(&mut pace, fell_out(30), 1), [8000]);
    }

    #[test]
    fn attempts_back_off_and_a_session_begins_that_anew() {
        let mut pace = Pace::default();
        let mut pauses = || pace.not_met(false, USUAL, USUAL).as_millis();
        assert_eq!([pauses(), pauses(), pauses(), pauses(), pauses()], [100, 200, 400, 800, 1000]);
        let cut = Ended { fell_out: false, full: false, ..fell_out(11) };
        assert_eq!(pace.session_ended(cut, USUAL).as_millis(), 100);
        assert_eq!(Pace::default().not_met(false, USUAL, seconds(0)).as_millis(), 100);
    }

    #[test]
    fn a_long_road_is_given_the_time_that_it_needs() {
        let mut pace = Pace::default();
        assert_eq!(pace.step_limit(USUAL), USUAL);
        pace.not_met(false, USUAL, USUAL);
        assert_eq!(pace.step_limit(USUAL), USUAL, "it was refused, not late");
        let mut limits = Vec::new();
        for _ in 0..5 {
            let limit = pace.step_limit(Duration::from_millis(300));
            limits.push(limit.as_millis());
            pace.not_met(true, limit, USUAL);
        }
        assert_eq!(limits, [300, 600, 1200, 2400, 4800]);
        assert_eq!(pace.step_limit(USUAL), STEP_MAX);
        assert_eq!(pace.step_limit(seconds(9)), seconds(9), "the settings may say more");
        pace.session_ended(fell_out(3), USUAL);
        assert_eq!(pace.step_limit(USUAL), USUAL);
    }
}
