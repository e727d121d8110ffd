//! How far one follower is, and when it ends for what it does not do.
//!
//! ```text
//!   Waiting ─► Copying ─► Loading ─► Online        a copy that ends in a mark: the first acknowledgement ends Loading
//!      │          └──────────────────► Online      one of a known length
//!      └─────────────────────────────► Online      a partial sync
//! ```
//!
//! It owns no socket and reads no clock.

use super::reason::Reason;
use crate::info::ReplicaState;
use engine::pubsub::Limits;
use std::time::{Duration, Instant};

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Its copy is prepared.
    Waiting,
    /// Its copy is sent.
    Copying,
    /// It has its copy, and has not said that it is in place: where a copy ends in a mark, what came behind it would be
    /// taken for a part of it.
    Loading,
    /// It is sent the stream.
    Online,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Machine {
    stage: Stage,
    ended: Option<Reason>,
    /// It says how far it is.
    speaks: bool,
    /// Bytes of the stream that it has acknowledged; none before it has a copy.
    acked: Option<u64>,
    /// Bytes of the stream that it has or was sent; none before it is known where its copy stands.
    sent: Option<u64>,
    heard: Instant,
    /// When it took something last.
    took: Instant,
    over_soft: Option<Instant>,
    /// Since when it follows the stream, where it was sent a copy before.
    copied: Option<Instant>,
}

/// Who falls out so soon behind its copy was sent it in vain.
const TAKEN_FOR: Duration = Duration::from_secs(60);

impl Machine {
    /// Of one that comes now; `speaks` says that it acknowledges.
    pub fn new(speaks: bool, now: Instant) -> Machine {
        Machine {
            stage: Stage::Waiting,
            ended: None,
            speaks,
            acked: None,
            sent: None,
            heard: now,
            took: now,
            over_soft: None,
            copied: None,
        }
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The same in the words of INFO.
    pub fn state(&self) -> ReplicaState {
        match self.stage {
            Stage::Waiting => ReplicaState::Preparation,
            Stage::Copying | Stage::Loading => ReplicaState::FullSync,
            Stage::Online => ReplicaState::StableSync,
        }
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<&Reason> {
        self.ended.as_ref()
    }

    /// It ends, unless it has. Whether it does so now.
    pub fn end(&mut self, reason: Reason) -> bool {
        let is_first = self.ended.is_none();
        self.ended.get_or_insert(reason);
        is_first
    }

    /// Whether a copy was made for it in vain, or could not be made.
    pub fn was_in_vain(&self, now: Instant) -> bool {
        match self.ended {
            Some(Reason::NoCopy(_)) => true,
            // Whoever cannot read its copy leaves, and comes back for another one like it.
            Some(Reason::Left | Reason::Broke(_)) => {
                matches!(self.stage, Stage::Copying | Stage::Loading)
            }
            Some(Reason::OverLimit { .. } | Reason::FellOut | Reason::Still(_)) => {
                let is_fresh = |then| now.saturating_duration_since(then) < TAKEN_FOR;
                match self.stage {
                    Stage::Waiting => false,
                    Stage::Copying | Stage::Loading => true,
                    Stage::Online => self.copied.is_some_and(is_fresh),
                }
            }
            _ => false,
        }
    }

    /// Its copy is of where the stream has so many bytes, and is being sent.
    pub fn copies(&mut self, offset: u64, now: Instant) {
        assert_eq!(self.stage, Stage::Waiting, "{self:?}");
        (self.stage, self.sent, self.took) = (Stage::Copying, Some(offset), now);
    }

    /// It was sent all of its copy; `marked` says that it has to say when it is in place.
    pub fn copied(&mut self, marked: bool, now: Instant) {
        assert_eq!(self.stage, Stage::Copying, "{self:?}");
        self.stage = if marked { Stage::Loading } else { Stage::Online };
        if !marked {
            self.copied = Some(now);
        }
        (self.heard, self.took) = (now, now);
    }

    /// It goes on where it has so many bytes of the stream.
    pub fn continues(&mut self, offset: u64, now: Instant) {
        assert_eq!(self.stage, Stage::Waiting, "{self:?}");
        (self.stage, self.sent, self.acked) = (Stage::Online, Some(offset), Some(offset));
        (self.heard, self.took) = (now, now);
    }

    /// It took bytes of its copy.
    pub fn took(&mut self, now: Instant) {
        self.took = now;
    }

    /// It took so many bytes of the stream.
    pub fn took_stream(&mut self, bytes: u64, now: Instant) {
        self.sent = self.sent.map(|sent| sent + bytes);
        self.took = now;
    }

    /// Something was heard of it, perhaps that it has applied so many bytes. Whether that is news.
    pub fn heard(&mut self, ack: Option<u64>, now: Instant) -> bool {
        self.heard = now;
        let Some(ack) = ack else { return false };
        match self.stage {
            Stage::Waiting | Stage::Copying => return false,
            Stage::Loading => (self.stage, self.copied) = (Stage::Online, Some(now)),
            Stage::Online => {}
        }
        // What it was not sent it cannot have; a tool says 0 whatever it has.
        let ack = ack.min(self.sent.unwrap_or_default());
        let is_news = self.acked.is_none_or(|acked| acked <= ack);
        self.acked = self.acked.max(Some(ack));
        is_news
    }

    /// Bytes of the stream that it has acknowledged.
    pub fn acked(&self) -> Option<u64> {
        self.acked.filter(|_| self.ended.is_none())
    }

    /// Bytes of the stream that it has or was sent.
    pub fn sent(&self) -> Option<u64> {
        self.sent.filter(|_| self.ended.is_none())
    }

    /// Whether it follows the stream.
    pub fn is_online(&self) -> bool {
        self.stage == Stage::Online && self.ended.is_none()
    }

    /// How long ago something was heard of it.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// Looks whether it has to end: the stream has `end` bytes.
    pub fn look(
        &mut self,
        end: u64,
        limits: &Limits,
        timeout: Duration,
        now: Instant,
    ) -> Option<Reason> {
        if self.ended.is_some() {
            return None;
        }
        let is_silent = self.speaks && self.silence(now) > timeout;
        let is_still = now.saturating_duration_since(self.took) > timeout;
        match self.stage {
            // Who loads its copy says that it goes on.
            Stage::Online | Stage::Loading if is_silent => return Some(Reason::Silent(timeout)),
            Stage::Copying if is_still => return Some(Reason::Still(timeout)),
            _ => {}
        }
        let waiting = self.sent.map_or(0, |sent| end.saturating_sub(sent));
        if limits.hard_bytes > 0 && waiting > limits.hard_bytes {
            let limit = format!("hard limit of {} bytes", limits.hard_bytes);
            return Some(Reason::OverLimit { waiting, limit });
        }
        if limits.soft_bytes == 0 || waiting <= limits.soft_bytes {
            self.over_soft = None;
            return None;
        }
        let since = *self.over_soft.get_or_insert(now);
        let is_over = now.saturating_duration_since(since) > limits.soft_time;
        is_over.then(|| {
            let seconds = limits.soft_time.as_secs();
            let limit = format!("soft limit of {} bytes for {seconds} s", limits.soft_bytes);
            Reason::OverLimit { waiting, limit }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_in_vain_for_who_falls_out_before_it_has_followed_for_a_while() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let fell_out = |mut machine: Machine, seconds| {
            machine.end(Reason::FellOut);
            machine.was_in_vain(after(seconds))
        };
        let fresh = || Machine::new(true, start);
        let copying = || {
            let mut machine = fresh();
            machine.copies(50, start);
            machine
        };
        let online = || {
            let mut machine = copying();
            machine.copied(true, after(100));
            assert!(machine.heard(Some(50), after(200)));
            machine
        };
        let mut going_on = fresh();
        going_on.continues(50, start);
        assert!(!fell_out(going_on, 1), "no copy was made for it");
        assert!(fell_out(copying(), 1000));
        assert!(fell_out(online(), 259) && !fell_out(online(), 260));
        for (reason, expected) in [
            (Reason::NoCopy("the disk is full".into()), true),
            (Reason::Still(Duration::from_secs(1)), true),
            (Reason::Left, true),
            (Reason::Broke("reset".into()), true),
            (Reason::Killed, false),
        ] {
            let mut machine = copying();
            machine.end(reason.clone());
            assert_eq!(machine.was_in_vain(after(1)), expected, "{reason}");
        }
        let mut left = online();
        left.end(Reason::Left);
        assert!(!left.was_in_vain(after(201)), "it had its copy");
    }

    const LIMITS: Limits =
        Limits { hard_bytes: 1000, soft_bytes: 100, soft_time: Duration::from_secs(5) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn after(machine: &mut Machine, end: u64, start: Instant, seconds: u64) -> Option<Reason> {
        machine.look(end, &LIMITS, TIMEOUT, start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_copy_that_ends_in_a_mark_is_followed_by_the_stream_once_it_is_acknowledged() {
        let now = Instant::now();
        let mut machine = Machine::new(true, now);
        assert!(!machine.heard(Some(0), now));
        machine.copies(50, now);
        machine.copied(true, now);
        assert_eq!((machine.stage(), machine.acked()), (Stage::Loading, None));
        // A large copy takes its time to load, and who loads it says that it goes on.
        for seconds in (30..=300).step_by(30) {
            assert_eq!(after(&mut machine, 60, now, seconds), None);
            assert!(!machine.heard(None, now + Duration::from_secs(seconds)));
        }
        assert!(!machine.is_online());
        assert!(machine.heard(Some(0), now) && machine.is_online());
        machine.took_stream(10, now);
        assert!(machine.heard(Some(70), now));
        assert_eq!((machine.sent(), machine.acked()), (Some(60), Some(60)));
        assert!(!machine.heard(Some(55), now) && machine.acked() == Some(60));

        let mut frozen = Machine::new(true, now);
        frozen.copies(50, now);
        frozen.copied(true, now);
        assert_eq!(after(&mut frozen, 50, now, 31), Some(Reason::Silent(TIMEOUT)));
    }

    #[test]
    fn who_is_silent_or_does_not_take_what_it_is_sent_ends_at_its_bound() {
        let now = Instant::now();
        let online = |speaks| {
            let mut machine = Machine::new(speaks, now);
            machine.continues(50, now);
            machine
        };
        assert_eq!(after(&mut online(true), 50, now, 31), Some(Reason::Silent(TIMEOUT)));
        assert_eq!(after(&mut online(false), 50, now, 3100), None);
        let over = after(&mut online(true), 1051, now, 0);
        assert!(matches!(over, Some(Reason::OverLimit { waiting: 1001, .. })), "{over:?}");
        let mut machine = online(true);
        for (end, seconds, ends) in [
            (150, 0, false),
            (151, 1, false),
            (150, 3, false),
            (151, 4, false),
            (400, 9, false),
            (151, 10, true),
        ] {
            assert_eq!(after(&mut machine, end, now, seconds).is_some(), ends, "{end} {seconds}");
        }
        let mut copying = Machine::new(true, now);
        copying.copies(50, now);
        assert_eq!(after(&mut copying, 50, now, 31), Some(Reason::Still(TIMEOUT)));
        assert!(!copying.was_in_vain(now));
        assert!(copying.end(Reason::Killed) && !copying.end(Reason::Left));
        assert_eq!(after(&mut copying, 50, now, 99), None);
        assert_eq!(copying.ended(), Some(&Reason::Killed));
    }
}
