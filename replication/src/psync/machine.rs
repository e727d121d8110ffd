//! A replica's end of a link to a Redis as a machine: it knows no sockets, no clocks and no executors.
//!
//! ```text
//!   Idle       not begun
//!   Meeting    look up, connect, TLS, AUTH, PING, REPLCONF, INFO   nothing has changed here, so an attempt
//!   Judging    may a full sync replace what is here?               may be dropped wherever it stands
//!   Asking     PSYNC
//!   Preparing  newlines, and at last the beginning of an RDB
//!   Held       the guard holds, the connection is let go
//!   Beginning  the shards turn to the session's data               cannot be dropped: an end is kept in mind
//!   Loading    the RDB comes
//!   Streaming  commands come
//!   Draining   broken off; what was handed out is applied
//!   Pausing    as long as `pace` says
//!   Refused    it cannot be followed, however often it is tried: an operator has to do something
//!   Ended      for good
//! ```
//!
//! As [`replica::machine`](crate::replica::machine): [`Machine::step`] takes what happened and answers with what
//! is to be done. The guard is asked before PSYNC is: a full sync that would not be taken costs the master a fork.

use crate::guard::Held;
use crate::info::LinkState;
use crate::replica::event::{self, Steerable};
use crate::replica::machine::Counts;
use crate::replica::pace::{Ended, Pace};
use crate::replica::reason::Reason;
use crate::replica::rules::Rules;
use crate::replica::steps::{Place, Step, Steps};
use std::time::{Duration, Instant};

/// How often the guard asks again what the master holds.
const GUARD_EVERY: Duration = Duration::from_secs(2);

/// How often a Redis wants to hear from its replicas.
const ACK_EVERY: Duration = Duration::from_secs(1);

/// How often when a copy is loaded and nothing of the stream has come: the master hands it out from the first
/// acknowledgement on that comes once it has noticed that the copy is sent, and WAIT counts us no sooner.
const ACK_SOON: Duration = Duration::from_millis(50);

/// How often data that cannot be read is asked for again: a byte may have been damaged on its way, but each time
/// costs the master a fork. So often too a stream is asked for again from where nothing can be read, before all data is.
const DAMAGED_MAX: u32 = 3;

/// How often a stream may bring soon after a full sync what does not fit, or cannot be read: each time costs all data,
/// and what the master goes on saying will not fit the next time either.
const MISFITS_MAX: u32 = 3;

/// A stream that fitted for so long has nothing to do with what did not fit before.
const FITTED_FOR: Duration = Duration::from_secs(60);

/// See the module's doc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the module's doc tells them, downwards")]
pub enum Stage {
    Idle,
    Meeting,
    Judging,
    Asking,
    Preparing,
    Held,
    Beginning,
    Loading,
    Streaming,
    Draining,
    Pausing,
    Refused,
    Ended,
}

/// What happened.
pub type Event = event::Event<Happened>;

/// What an attempt, or its session, brings.
#[derive(Debug)]
pub enum Happened {
    /// The connection is at this step now, or everything is answered on it.
    Step(Option<Step>),
    /// The attempt came to nothing.
    Failed(Reason),
    /// It is a Redis, and says hello.
    Met,
    /// What the guard says.
    Judged(Option<Held>),
    /// PSYNC is sent, with a position if there is one.
    Asked(bool),
    /// PSYNC is answered.
    Answered {
        /// With a full sync.
        full: bool,
    },
    /// An RDB begins, and one that can be read.
    Prepared,
    /// The shards are as the session needs them.
    Begun,
    /// It is read from.
    Reads,
    /// Something came.
    Read,
    /// Nothing came, and it is not read from just now: a master is not silent to whom nobody listens.
    Rests,
    /// The RDB is loaded.
    Loaded,
    /// The master asks how far we are, and we are as far as it asks for.
    AckAsked,
    /// The session cannot go on.
    Broke(Reason),
    /// Everything that was handed out is applied.
    Drained,
}

/// What is to be done, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Reach the master and say hello.
    Meet(u64),
    /// Ask the guard about it.
    Judge(u64),
    /// The guard holds: the connection is let go. Whether that is new.
    LetGo(Held, bool),
    /// Ask for the stream.
    Ask(u64),
    /// Wait for the RDB to begin.
    Prepare(u64),
    /// Turn the shards to the session's data.
    Begin(u64),
    /// Perform the session.
    Run(u64),
    /// Say how far we are, or that we live while we load.
    Ack,
    /// The data is the master's.
    Stable,
    /// A full sync is complete: readers may be let in.
    LetIn,
    /// End the connection, and wait until what was handed out is applied.
    Drain(u64),
    /// The session is over; its position counts if the data is the master's.
    Conclude {
        /// It is.
        is_exact: bool,
    },
    /// The link is down. Why; whether that is news; whether it is not tried again.
    Down {
        /// Why.
        reason: Reason,
        /// It was not so before.
        is_news: bool,
        /// For good.
        is_final: bool,
    },
    /// The link has ended.
    End,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Machine {
    host: String,
    port: u16,
    state: Stage,
    attempt: u64,
    steps: Steps,
    /// A step of this attempt may take so long.
    limit: Duration,
    /// Until when it is paused, or held.
    until: Instant,
    /// Since when nothing has come although it is read from.
    silent: Option<Instant>,
    /// When it was said last how far we are.
    acked: Instant,
    /// Until when that is said sooner, if nothing comes.
    soon_until: Option<Instant>,
    pace: Pace,
    dice: fastrand::Rng,
    /// An operator asked for this master by name: the guard does not hold.
    is_explicit: bool,
    is_stopping: bool,
    held: Option<Held>,
    is_full: bool,
    /// A command did not fit: the copy is not exact any more.
    is_inexact: bool,
    /// Full syncs, one after the other, whose data could not be read; or partial ones behind which nothing could.
    damaged: u32,
    /// Full syncs, one after the other, soon behind which something did not fit, or could not be read.
    misfits: u32,
    began: Instant,
    stable_since: Option<Instant>,
    broke: Option<Reason>,
    counts: Counts,
}

impl Machine {
    /// A link to this master that has not begun, down since `now`; whether an operator asked for it just now.
    pub fn new(host: String, port: u16, is_explicit: bool, seed: u64, now: Instant) -> Machine {
        Machine {
            host,
            port,
            state: Stage::Idle,
            attempt: 0,
            steps: Steps::new(Duration::ZERO, Duration::ZERO, now),
            limit: Duration::ZERO,
            until: now,
            silent: None,
            acked: now,
            soon_until: None,
            pace: Pace::default(),
            dice: fastrand::Rng::with_seed(seed),
            is_explicit,
            is_stopping: false,
            held: None,
            is_full: false,
            is_inexact: false,
            damaged: 0,
            misfits: 0,
            began: now,
            stable_since: None,
            broke: None,
            counts: Counts { down_since: Some(now), ..Counts::default() },
        }
    }

    /// How far it is.
    pub fn state(&self) -> Stage {
        self.state
    }

    /// How far it is, in the words of INFO.
    pub fn link_state(&self) -> LinkState {
        match self.state {
            Stage::Judging | Stage::Asking | Stage::Preparing | Stage::Held | Stage::Beginning => {
                LinkState::Handshake
            }
            Stage::Loading => LinkState::FullSync,
            Stage::Streaming => LinkState::StableSync,
            Stage::Refused => LinkState::Refused,
            _ => LinkState::Connecting,
        }
    }

    /// The guard holds.
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// What INFO shows.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// So long a step of this attempt may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The attempt under way, or the last one.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Whether this attempt is still under way, and nothing has changed here.
    pub fn is_meeting(&self, attempt: u64) -> bool {
        let meets = matches!(
            self.state,
            Stage::Meeting | Stage::Judging | Stage::Asking | Stage::Preparing
        );
        meets && attempt == self.attempt
    }

    /// Whether a session goes on.
    pub fn is_in_session(&self) -> bool {
        matches!(self.state, Stage::Loading | Stage::Streaming)
    }

    /// Whether the session of this attempt goes on.
    pub fn is_in_session_of(&self, attempt: u64) -> bool {
        self.is_in_session() && attempt == self.attempt
    }

    /// Whether it has ended for good.
    pub fn is_ended(&self) -> bool {
        self.state == Stage::Ended
    }

    /// Whether an operator has to do something before anything goes on by itself.
    pub fn is_stuck(&self) -> bool {
        self.held.is_some() || self.state == Stage::Refused
    }

    /// Whether it has ended because a Damselfly is there now, and whether an operator asked for that one.
    pub fn met_another_kind(&self) -> Option<bool> {
        let is_other = self.counts.last_error == Some(Reason::OtherKind);
        (self.is_ended() && is_other && !self.is_stopping).then_some(self.is_explicit)
    }

    /// Whether the data is the master's as of the position.
    pub fn is_exact(&self) -> bool {
        self.stable_since.is_some() && !self.is_inexact
    }

    /// When [`Event::Time`] is due, if nothing happens before.
    pub fn due(&self, rules: &Rules) -> Option<Instant> {
        match self.state {
            Stage::Meeting | Stage::Judging | Stage::Asking | Stage::Preparing => self.steps.due(),
            Stage::Held | Stage::Pausing => Some(self.until),
            Stage::Loading | Stage::Streaming => {
                let silent = self.silent.map(|since| since + rules.timeout);
                Some(silent.map_or(self.ack_due(), |at| at.min(self.ack_due())))
            }
            Stage::Idle | Stage::Beginning | Stage::Draining | Stage::Refused | Stage::Ended => {
                None
            }
        }
    }

    /// Takes what happened; answers what is to be done.
    pub fn step(&mut self, event: Event, now: Instant, rules: &Rules) -> Vec<Action> {
        match event {
            Event::Begin if self.state == Stage::Idle => self.become_meeting(now, rules),
            // It was ended before it began.
            Event::Begin => Vec::new(),
            Event::Time => self.time(now, rules),
            Event::Meant => {
                self.is_explicit |= !self.is_in_session();
                Vec::new()
            }
            Event::Hurry if self.state == Stage::Pausing && self.pace.lost() == 0 => {
                self.pause_is_over(now, rules)
            }
            Event::Hurry => Vec::new(),
            Event::Stop => self.stop(),
            Event::Kill if self.is_in_session() => self.become_draining(Reason::Killed),
            Event::Kill => Vec::new(),
            Event::Attempt(attempt, happened) if attempt == self.attempt => {
                self.happened(happened, now, rules)
            }
            // What comes late of an earlier attempt is nobody's.
            Event::Attempt(..) => Vec::new(),
        }
    }

    fn happened(&mut self, happened: Happened, now: Instant, rules: &Rules) -> Vec<Action> {
        if let Happened::Failed(reason) = happened {
            // Where the shards were to be turned, and nothing was done yet.
            let begins = self.state == Stage::Beginning;
            return match begins || self.is_meeting(self.attempt) {
                true => self.not_met(reason, now, rules),
                false => Vec::new(),
            };
        }
        match (self.state, happened) {
            (Stage::Meeting | Stage::Asking | Stage::Preparing, Happened::Step(step)) => {
                self.steps.note(Place::Control, step, now);
                Vec::new()
            }
            (Stage::Meeting, Happened::Met) => self.met(now),
            (Stage::Judging, Happened::Judged(Some(held))) => self.become_held(held, now),
            (Stage::Judging, Happened::Judged(None)) => self.become_asking(),
            (Stage::Asking, Happened::Asked(with_position)) => {
                self.counts.attempts += u64::from(with_position);
                Vec::new()
            }
            (Stage::Asking, Happened::Answered { full }) => self.answered(full, now),
            (Stage::Preparing, Happened::Prepared) => self.become_beginning(now),
            (Stage::Beginning, Happened::Begun) => self.become_following(now),
            (Stage::Loading | Stage::Streaming, happened) => self.lives(happened, now),
            (Stage::Draining, Happened::Drained) => self.drained(now, rules),
            // A command that does not fit counts also when it is found out at the end.
            (Stage::Draining, Happened::Broke(Reason::BrokenPromise(_))) => {
                self.is_inexact = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn lives(&mut self, happened: Happened, now: Instant) -> Vec<Action> {
        match happened {
            Happened::Reads => self.silent = Some(now),
            Happened::Rests => self.silent = None,
            Happened::Read => (self.silent, self.soon_until) = (None, None),
            Happened::Loaded if self.state == Stage::Loading => return self.become_streaming(now),
            Happened::AckAsked => return self.ack(now),
            Happened::Broke(reason) => {
                // What is not understood is missing: where the stream goes on would not be where we are.
                self.is_inexact |=
                    matches!(reason, Reason::BrokenPromise(_) | Reason::Senseless(_));
                self.damaged += u32::from(matches!(reason, Reason::Damaged(_)));
                // Where the stream stands it cannot be read: all data is asked for.
                let is_stuck = self.stable_since.is_some() && self.damaged > DAMAGED_MAX;
                if is_stuck {
                    (self.is_inexact, self.damaged) = (true, 0);
                }
                if is_stuck || matches!(reason, Reason::BrokenPromise(_)) {
                    self.note_misfit(now);
                }
                return self.become_draining(reason);
            }
            _ => {}
        }
        Vec::new()
    }

    fn note_misfit(&mut self, now: Instant) {
        let has_fitted = |since: Instant| now.saturating_duration_since(since) >= FITTED_FOR;
        let is_new = self.stable_since.is_some_and(has_fitted);
        self.misfits = if is_new { 1 } else { self.misfits + 1 };
    }

    fn ack_due(&self) -> Instant {
        let is_soon = self.soon_until.is_some_and(|until| self.acked < until);
        self.acked + if is_soon { ACK_SOON } else { ACK_EVERY }
    }

    fn ack(&mut self, now: Instant) -> Vec<Action> {
        self.acked = now;
        vec![Action::Ack]
    }

    fn time(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        match self.state {
            Stage::Meeting | Stage::Judging | Stage::Asking | Stage::Preparing => {
                let Some((place, step)) = self.steps.late(now) else { return Vec::new() };
                let (host, limit) = (self.host.clone(), self.steps.limit_of(&step));
                self.not_met(Reason::Late { host, place, step, limit }, now, rules)
            }
            Stage::Held if now >= self.until => self.held_for_long(now, rules),
            Stage::Pausing if now >= self.until => self.pause_is_over(now, rules),
            Stage::Loading | Stage::Streaming => {
                if self.silent.is_some_and(|since| now >= since + rules.timeout) {
                    return self.become_draining(Reason::Silent(rules.timeout));
                }
                if now >= self.ack_due() { self.ack(now) } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    fn stop(&mut self) -> Vec<Action> {
        if self.state == Stage::Ended {
            return Vec::new();
        }
        self.is_stopping = true;
        match self.state {
            // While the shards change there is nothing to break off: it is kept in mind.
            Stage::Beginning | Stage::Draining => Vec::new(),
            Stage::Loading | Stage::Streaming => self.become_draining(Reason::LinkEnded),
            _ => self.become_ended(),
        }
    }

    fn met(&mut self, now: Instant) -> Vec<Action> {
        self.steps.note(Place::Control, None, now);
        // An explicit REPLICAOF is not asked whether it means it.
        if self.is_explicit { self.become_asking() } else { self.become_judging() }
    }

    fn answered(&mut self, full: bool, now: Instant) -> Vec<Action> {
        self.is_full = full;
        self.counts.successes += u64::from(!full);
        if full { self.become_preparing() } else { self.become_beginning(now) }
    }

    /// The attempt has come to nothing.
    fn not_met(&mut self, reason: Reason, now: Instant, rules: &Rules) -> Vec<Action> {
        let is_news = self.is_news(&reason);
        if self.is_stopping || reason == Reason::OtherKind {
            return self.become_ended();
        }
        self.counts.down_since = self.counts.down_since.or(Some(now));
        self.damaged += u32::from(matches!(reason, Reason::Damaged(_)));
        let reason = self.judged(reason, false);
        if matches!(reason, Reason::Senseless(_)) {
            return self.become_refused(reason);
        }
        let is_news = is_news || matches!(reason, Reason::Damaged(_));
        let pause = self.pace.not_met(reason.is_late(), self.limit, rules.pause_max);
        self.become_pausing(pause, now);
        vec![Action::Down { reason, is_news, is_final: false }]
    }

    fn held_for_long(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        let pause = self.pace.not_met(false, self.limit, rules.pause_max);
        self.become_pausing(pause, now);
        Vec::new()
    }

    fn drained(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        let mut actions = vec![Action::Conclude { is_exact: self.is_exact() }];
        let reason = self.broke.take().unwrap_or(Reason::LinkEnded);
        let since = |then: Instant| now.saturating_duration_since(then);
        let stable = self.stable_since.filter(|_| !self.is_inexact).map(since);
        let ended = Ended { full: self.is_full, lived: since(self.began), stable, fell_out: false };
        self.silent = None;
        if self.is_stopping {
            actions.extend(self.become_ended());
            return actions;
        }
        // Each of the few times is said.
        let is_news = self.is_news(&reason) || matches!(reason, Reason::Damaged(_));
        self.counts.down_since = self.counts.down_since.or(Some(now));
        let reason = self.judged(reason, self.stable_since.is_some());
        if stable.is_some() && !matches!(reason, Reason::Damaged(_)) {
            self.damaged = 0;
        }
        if matches!(reason, Reason::Senseless(_)) {
            actions.extend(self.become_refused(reason));
            return actions;
        }
        let pause = self.pace.session_ended(ended, rules.pause_max);
        self.become_pausing(pause, now);
        actions.push(Action::Down { reason, is_news, is_final: false });
        actions
    }

    /// What happened too often will not be otherwise the next time: in a stream, or before it began.
    fn judged(&self, reason: Reason, was_stable: bool) -> Reason {
        match reason {
            Reason::BrokenPromise(text) | Reason::Damaged(text)
                if was_stable && self.misfits > MISFITS_MAX =>
            {
                let ended =
                    format!("so ended {} sessions, each soon after a full sync", self.misfits);
                Reason::Senseless(format!("{text}; {ended}"))
            }
            Reason::Damaged(text) if !was_stable && self.damaged > DAMAGED_MAX => {
                Reason::Senseless(format!("{text}; it came {} times", self.damaged))
            }
            reason => reason,
        }
    }

    /// Notes why the link is down; answers whether it was not so before.
    fn is_news(&mut self, reason: &Reason) -> bool {
        self.counts.last_error.replace(reason.clone()).as_ref() != Some(reason)
    }

    fn pause_is_over(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        self.counts.reconnects += 1;
        self.become_meeting(now, rules)
    }

    fn become_meeting(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        assert!(matches!(self.state, Stage::Idle | Stage::Pausing), "{:?}", self.state);
        let usual = if self.is_explicit { rules.connect } else { rules.reconnect };
        self.limit = self.pace.step_limit(usual);
        self.steps = Steps::new(self.limit, rules.timeout, now);
        self.attempt += 1;
        self.state = Stage::Meeting;
        vec![Action::Meet(self.attempt)]
    }

    fn become_judging(&mut self) -> Vec<Action> {
        assert_eq!(self.state, Stage::Meeting);
        self.state = Stage::Judging;
        vec![Action::Judge(self.attempt)]
    }

    fn become_held(&mut self, held: Held, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, Stage::Judging);
        self.state = Stage::Held;
        self.until = now + GUARD_EVERY;
        let is_news = self.held.replace(held).is_none();
        self.counts.last_error = Some(Reason::Held(held.text(&self.host, self.port)));
        vec![Action::LetGo(held, is_news)]
    }

    fn become_asking(&mut self) -> Vec<Action> {
        assert!(matches!(self.state, Stage::Meeting | Stage::Judging), "{:?}", self.state);
        self.state = Stage::Asking;
        self.held = None;
        vec![Action::Ask(self.attempt)]
    }

    fn become_preparing(&mut self) -> Vec<Action> {
        assert_eq!(self.state, Stage::Asking);
        self.state = Stage::Preparing;
        vec![Action::Prepare(self.attempt)]
    }

    fn become_beginning(&mut self, now: Instant) -> Vec<Action> {
        assert!(matches!(self.state, Stage::Asking | Stage::Preparing), "{:?}", self.state);
        self.state = Stage::Beginning;
        (self.began, self.stable_since, self.is_inexact) = (now, None, false);
        vec![Action::Begin(self.attempt)]
    }

    fn become_following(&mut self, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, Stage::Beginning);
        self.is_explicit = false;
        (self.silent, self.acked, self.soon_until) = (None, now, None);
        let mut actions = vec![Action::Run(self.attempt)];
        self.state = Stage::Loading;
        if !self.is_full {
            self.state = Stage::Streaming;
            self.came_up(now);
            actions.extend([Action::Stable, Action::Ack]);
        }
        if self.is_stopping {
            actions.extend(self.become_draining(Reason::LinkEnded));
        }
        actions
    }

    fn become_streaming(&mut self, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, Stage::Loading);
        self.state = Stage::Streaming;
        self.came_up(now);
        self.acked = now;
        self.soon_until = Some(now + ACK_EVERY);
        // The master counts us as online from the first acknowledgement on.
        vec![Action::Stable, Action::LetIn, Action::Ack]
    }

    fn came_up(&mut self, now: Instant) {
        self.stable_since = Some(now);
        self.counts.down_since = None;
        self.counts.last_error = None;
        if self.is_full {
            self.damaged = 0;
        }
    }

    fn become_draining(&mut self, reason: Reason) -> Vec<Action> {
        assert!(self.is_in_session(), "{:?}", self.state);
        self.state = Stage::Draining;
        self.broke = Some(reason);
        vec![Action::Drain(self.attempt)]
    }

    fn become_pausing(&mut self, pause: Duration, now: Instant) {
        let meets = self.is_meeting(self.attempt);
        let may = meets || matches!(self.state, Stage::Held | Stage::Beginning | Stage::Draining);
        assert!(may, "{:?}", self.state);
        self.state = Stage::Pausing;
        let jitter = self.dice.u64(..=pause.as_millis() as u64 / 4);
        self.until = now + pause + Duration::from_millis(jitter);
        self.counts.down_since = self.counts.down_since.or(Some(now));
    }

    fn become_refused(&mut self, reason: Reason) -> Vec<Action> {
        let may = self.is_meeting(self.attempt)
            || matches!(self.state, Stage::Beginning | Stage::Draining);
        assert!(may, "{:?}", self.state);
        self.counts.last_error = Some(reason.clone());
        self.state = Stage::Refused;
        vec![Action::Down { reason, is_news: true, is_final: true }]
    }

    fn become_ended(&mut self) -> Vec<Action> {
        assert!(!self.is_in_session(), "{:?}", self.state);
        self.state = Stage::Ended;
        vec![Action::End]
    }
}

impl Steerable for Machine {
    type Happened = Happened;
    type Action = Action;

    fn step(&mut self, event: Event, now: Instant, rules: &Rules) -> Vec<Action> {
        Machine::step(self, event, now, rules)
    }

    fn due(&self, rules: &Rules) -> Option<Instant> {
        Machine::due(self, rules)
    }

    fn is_meeting(&self, attempt: u64) -> bool {
        Machine::is_meeting(self, attempt)
    }

    fn is_ended(&self) -> bool {
        Machine::is_ended(self)
    }

    fn may_be_due_sooner(&self) -> bool {
        // Also in a session: what is read from may fall silent.
        true
    }

    fn takes_time(action: &Action) -> bool {
        matches!(
            action,
            Action::Meet(_)
                | Action::Judge(_)
                | Action::Ask(_)
                | Action::Prepare(_)
                | Action::Begin(_)
                | Action::Run(_)
                | Action::Drain(_)
        )
    }

    fn failed(reason: Reason) -> Happened {
        Happened::Failed(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        connect: Duration::from_secs(5),
        reconnect: Duration::from_secs(1),
        pause_max: Duration::from_secs(1),
        timeout: Duration::from_secs(30),
        acks_interval: Duration::from_secs(1),
    };

    const HELD: Held = Held { own_keys: 9, master_keys: 1, breaks_on_restart: false };

    const ALL: [Stage; 13] = [
        Stage::Idle,
        Stage::Meeting,
        Stage::Judging,
        Stage::Asking,
        Stage::Preparing,
        Stage::Held,
        Stage::Beginning,
        Stage::Loading,
        Stage::Streaming,
        Stage::Draining,
        Stage::Pausing,
        Stage::Refused,
        Stage::Ended,
    ];

    /// A machine and the time.
    struct Play {
        machine: Machine,
        now: Instant,
    }

    fn words(text: &str) -> Reason {
        Reason::Words(text.to_owned())
    }

    impl Play {
        fn new(is_explicit: bool) -> Play {
            let now = Instant::now();
            Play { machine: Machine::new("r".to_owned(), 1, is_explicit, 7, now), now }
        }

        fn step(&mut self, event: Event) -> Vec<Action> {
            self.machine.step(event, self.now, &RULES)
        }

        fn happened(&mut self, happened: Happened) -> Vec<Action> {
            self.step(Event::Attempt(self.machine.attempt(), happened))
        }

        /// Lets time pass until something is due.
        fn wait(&mut self) -> Vec<Action> {
            self.now = self.machine.due(&RULES).expect("something is due");
            self.step(Event::Time)
        }

        /// At `state`, on the shortest way that no operator has asked for.
        fn to(state: Stage) -> Play {
            let mut play = Play::new(false);
            play.run_to(state, true);
            play
        }

        fn run_to(&mut self, state: Stage, full: bool) {
            for _ in 0..20 {
                if self.machine.state() == state {
                    return;
                }
                let refused = Reason::Senseless("no".to_owned());
                let happened = match (self.machine.state(), state) {
                    (Stage::Idle, Stage::Ended) => {
                        self.step(Event::Stop);
                        continue;
                    }
                    (Stage::Idle, _) => {
                        self.step(Event::Begin);
                        continue;
                    }
                    (Stage::Meeting, Stage::Refused) => Happened::Failed(refused),
                    (Stage::Meeting, Stage::Pausing) => Happened::Failed(words("no")),
                    (Stage::Meeting, _) => Happened::Met,
                    (Stage::Judging, Stage::Held) => Happened::Judged(Some(HELD)),
                    (Stage::Judging, _) => Happened::Judged(None),
                    (Stage::Asking, _) => Happened::Answered { full },
                    (Stage::Preparing, _) => Happened::Prepared,
                    (Stage::Beginning, _) => Happened::Begun,
                    (Stage::Loading, Stage::Draining) => Happened::Broke(words("cut")),
                    (Stage::Loading, _) => Happened::Loaded,
                    (Stage::Streaming, _) => Happened::Broke(words("cut")),
                    (Stage::Draining, _) => Happened::Drained,
                    (Stage::Held | Stage::Pausing, _) => {
                        self.wait();
                        continue;
                    }
                    (Stage::Refused | Stage::Ended, _) => panic!("{:?}", self.machine.state()),
                };
                self.happened(happened);
            }
            panic!("{state:?} was not reached from {:?}", self.machine.state());
        }
    }

    #[test]
    fn a_full_sync_and_then_a_partial_one() {
        let mut play = Play::new(true);
        assert_eq!(play.step(Event::Begin), [Action::Meet(1)]);
        assert_eq!(play.happened(Happened::Met), [Action::Ask(1)], "an operator asked for it");
        assert_eq!(play.happened(Happened::Asked(false)), []);
        assert_eq!(play.happened(Happened::Answered { full: true }), [Action::Prepare(1)]);
        assert_eq!(play.happened(Happened::Prepared), [Action::Begin(1)]);
        assert_eq!(play.happened(Happened::Begun), [Action::Run(1)]);
        assert_eq!(play.machine.link_state(), LinkState::FullSync);
        assert_eq!(play.wait(), [Action::Ack], "it is told that we live");
        let loaded = play.happened(Happened::Loaded);
        assert_eq!(loaded, [Action::Stable, Action::LetIn, Action::Ack]);
        assert_eq!(play.machine.link_state(), LinkState::StableSync);
        assert_eq!(play.wait(), [Action::Ack]);
        assert_eq!(play.happened(Happened::AckAsked), [Action::Ack]);
        assert_eq!(play.happened(Happened::Broke(words("cut"))), [Action::Drain(1)]);
        assert_ne!(play.machine.link_state(), LinkState::StableSync);
        let drained = play.happened(Happened::Drained);
        assert_eq!(drained[0], Action::Conclude { is_exact: true });
        assert_eq!(play.wait(), [Action::Meet(2)]);
        assert_eq!(play.happened(Happened::Met), [Action::Judge(2)]);
        assert_eq!(play.happened(Happened::Judged(None)), [Action::Ask(2)]);
        play.happened(Happened::Asked(true));
        assert_eq!(play.happened(Happened::Answered { full: false }), [Action::Begin(2)]);
        let begun = play.happened(Happened::Begun);
        assert_eq!(begun, [Action::Run(2), Action::Stable, Action::Ack]);
        let counts = play.machine.counts();
        assert_eq!((counts.attempts, counts.successes, counts.reconnects), (1, 1, 1));
    }

    /// A session that was held, for longer than a master may be silent, took it for one.
    #[test]
    fn a_master_is_not_silent_while_nobody_listens() {
        let mut play = Play::to(Stage::Streaming);
        play.happened(Happened::Reads);
        play.happened(Happened::Rests);
        let rested = play.now;
        while play.now < rested + 3 * RULES.timeout {
            assert_eq!(play.wait(), [Action::Ack]);
        }
        play.happened(Happened::Reads);
        let read = play.now;
        while play.wait() == [Action::Ack] {}
        assert!(play.now >= read + RULES.timeout, "{:?}", play.now - read);
    }

    /// A Redis hears no acknowledgement that comes before it has noticed that its copy is sent: the next one came a second
    /// later, and WAIT waited so long.
    #[test]
    fn a_loaded_copy_is_acknowledged_until_the_stream_comes() {
        let mut play = Play::to(Stage::Loading);
        play.happened(Happened::Loaded);
        let loaded = play.now;
        for count in 1..=5 {
            play.happened(Happened::Reads);
            assert_eq!(play.wait(), [Action::Ack]);
            assert_eq!(play.now, loaded + count * ACK_SOON);
        }
        play.happened(Happened::Read);
        let acked = play.now;
        assert_eq!(play.wait(), [Action::Ack]);
        assert_eq!(play.now, acked + ACK_EVERY);
        // A master to which nobody writes.
        let mut play = Play::to(Stage::Loading);
        play.happened(Happened::Loaded);
        let soon = ACK_EVERY.as_millis() / ACK_SOON.as_millis();
        for _ in 0..soon {
            assert_eq!(play.wait(), [Action::Ack]);
        }
        let acked = play.now;
        assert_eq!(play.wait(), [Action::Ack]);
        assert_eq!(play.now, acked + ACK_EVERY);
    }

    /// A fork of the master every two seconds, for data that is not taken.
    #[test]
    fn the_guard_is_asked_before_the_master_is() {
        let mut play = Play::to(Stage::Judging);
        assert_eq!(play.happened(Happened::Judged(Some(HELD))), [Action::LetGo(HELD, true)]);
        assert!(play.machine.is_stuck());
        play.wait();
        assert_eq!(play.machine.state(), Stage::Pausing);
        play.run_to(Stage::Judging, true);
        assert_eq!(play.happened(Happened::Judged(Some(HELD))), [Action::LetGo(HELD, false)]);
        play.run_to(Stage::Judging, true);
        assert_eq!(play.happened(Happened::Judged(None)).len(), 1);
        assert!(!play.machine.is_stuck());
    }

    #[test]
    fn every_step_of_a_meeting_has_its_own_time() {
        for state in [Stage::Meeting, Stage::Asking, Stage::Preparing] {
            let mut play = Play::to(state);
            for _ in 0..100 {
                // Newlines of a master that prepares are steps too.
                play.happened(Happened::Step(Some(Step::Start)));
                play.now += RULES.timeout - Duration::from_millis(1);
                assert_eq!(play.step(Event::Time), [], "{state:?}");
            }
            play.now += Duration::from_millis(1);
            let late = play.step(Event::Time);
            let is_late = |action: &Action| {
                matches!(action, Action::Down { reason: Reason::Late { .. }, .. })
            };
            assert!(late.iter().any(is_late), "{late:?}");
        }
    }

    #[test]
    fn silence_counts_while_it_is_read_from_only() {
        for state in [Stage::Loading, Stage::Streaming] {
            let mut play = Play::to(state);
            play.now += RULES.timeout * 3;
            assert_eq!(
                play.step(Event::Time),
                [Action::Ack],
                "our shards are slow, not the master"
            );
            play.happened(Happened::Reads);
            play.now += RULES.timeout - Duration::from_millis(1);
            assert_eq!(play.step(Event::Time), [Action::Ack]);
            play.now += Duration::from_millis(1);
            assert_eq!(play.step(Event::Time), [Action::Drain(1)]);
            play.happened(Happened::Drained);
            let silent = Some(Reason::Silent(RULES.timeout));
            assert_eq!(play.machine.counts().last_error, silent);
        }
    }

    /// EVAL came again with every full sync, and with every full sync a fork.
    #[test]
    fn what_is_senseless_is_not_tried_again() {
        let senseless = || Reason::Senseless("EVAL".to_owned());
        for state in [Stage::Meeting, Stage::Asking, Stage::Preparing] {
            let mut play = Play::to(state);
            play.happened(Happened::Failed(senseless()));
            assert_eq!(play.machine.state(), Stage::Refused, "{state:?}");
        }
        for state in [Stage::Loading, Stage::Streaming] {
            let mut play = Play::to(state);
            assert_eq!(play.happened(Happened::Broke(senseless())), [Action::Drain(1)]);
            let drained = play.happened(Happened::Drained);
            assert_eq!(drained[0], Action::Conclude { is_exact: false }, "what it said is missing");
            let (is_news, is_final) = (true, true);
            assert_eq!(drained[1..], [Action::Down { reason: senseless(), is_news, is_final }]);
            assert!(play.machine.due(&RULES).is_none() && play.machine.is_stuck());
            play.step(Event::Hurry);
            assert_eq!(play.machine.state(), Stage::Refused);
            assert_eq!(play.step(Event::Stop), [Action::End]);
        }
    }

    /// A form of a command that was not known came again with every full sync, and with every one a fork there.
    #[test]
    fn a_stream_that_never_fits_for_long_is_not_asked_for_for_ever() {
        let mut play = Play::new(true);
        for time in 1..=MISFITS_MAX + 1 {
            play.run_to(Stage::Streaming, true);
            play.happened(Happened::Broke(Reason::BrokenPromise("XADD".to_owned())));
            let drained = play.happened(Happened::Drained);
            let Action::Down { reason, is_final, .. } = &drained[1] else { panic!("{drained:?}") };
            assert_eq!(*is_final, time > MISFITS_MAX, "{time}");
            assert_eq!(reason.to_string().contains("so ended 4 sessions"), *is_final, "{reason}");
        }
        assert_eq!(play.machine.state(), Stage::Refused);
    }

    /// One byte that the network had damaged ended the link for good.
    #[test]
    fn data_that_cannot_be_read_is_asked_for_again_a_few_times() {
        let mut play = Play::new(true);
        for round in 0..2 {
            for time in 1..=DAMAGED_MAX + 1 {
                play.run_to(Stage::Loading, true);
                play.happened(Happened::Broke(Reason::Damaged("bad".to_owned())));
                let drained = play.happened(Happened::Drained);
                assert_eq!(drained[0], Action::Conclude { is_exact: false });
                let Action::Down { reason, is_news: true, is_final } = &drained[1] else {
                    panic!("{drained:?}")
                };
                assert_eq!(*is_final, time > DAMAGED_MAX, "{time}");
                if round == 0 && time == DAMAGED_MAX {
                    // One that could be read makes up for those before.
                    play.run_to(Stage::Streaming, true);
                    play.run_to(Stage::Pausing, true);
                    break;
                }
                let text = reason.to_string();
                assert_eq!(text.contains("it came 4 times"), *is_final, "{text}");
                assert_eq!(text.contains("asked for again"), !is_final, "{text}");
            }
        }
        assert_eq!(play.machine.state(), Stage::Refused);
        let said = play.machine.counts().last_error.as_ref().map(Reason::to_string);
        assert_eq!(said.as_deref(), Some("bad; it came 4 times"));
    }

    /// A master's backlog that was damaged where it stands was asked for once a second, for ever.
    #[test]
    fn a_stream_that_cannot_be_read_where_it_stands_costs_few_full_syncs() {
        let mut play = Play::new(true);
        let (mut full, mut kinds) = (true, String::new());
        while play.machine.state() != Stage::Refused {
            play.run_to(Stage::Streaming, full);
            kinds.push(if full { 'F' } else { 'p' });
            play.happened(Happened::Broke(Reason::Damaged("bad".to_owned())));
            let drained = play.happened(Happened::Drained);
            full = drained[0] == Action::Conclude { is_exact: false };
        }
        assert_eq!(kinds, "FpppFpppFpppFppp");
        let said = play.machine.counts().last_error.as_ref().map(Reason::to_string);
        assert_eq!(said.as_deref(), Some("bad; so ended 4 sessions, each soon after a full sync"));
        // A session that ended otherwise makes up for those before.
        let mut play = Play::new(true);
        for _ in 0..10 {
            play.run_to(Stage::Streaming, false);
            play.happened(Happened::Broke(Reason::Damaged("bad".to_owned())));
            assert_eq!(play.happened(Happened::Drained)[0], Action::Conclude { is_exact: true });
            play.run_to(Stage::Streaming, false);
            play.happened(Happened::Broke(words("cut")));
            play.happened(Happened::Drained);
        }
    }

    /// A byte among the first nine of an RDB that the network had damaged ended the link for good.
    #[test]
    fn what_does_not_begin_as_an_rdb_is_asked_for_again_a_few_times() {
        let mut play = Play::new(true);
        for time in 1..=DAMAGED_MAX + 1 {
            play.run_to(Stage::Preparing, true);
            let failed = play.happened(Happened::Failed(Reason::Damaged("bad".to_owned())));
            let Action::Down { is_news: true, is_final, .. } = &failed[0] else {
                panic!("{failed:?}")
            };
            assert_eq!(*is_final, time > DAMAGED_MAX, "{time}");
        }
        assert_eq!(play.machine.state(), Stage::Refused);
    }

    #[test]
    fn a_broken_promise_costs_the_position_and_pauses_grow() {
        let mut play = Play::new(true);
        let mut pauses = Vec::new();
        for _ in 0..MISFITS_MAX {
            play.run_to(Stage::Streaming, true);
            play.happened(Happened::Broke(Reason::BrokenPromise("INCR".to_owned())));
            let drained = play.happened(Happened::Drained);
            assert_eq!(drained[0], Action::Conclude { is_exact: false });
            let began = play.now;
            play.wait();
            pauses.push((play.now - began).as_millis() / 500);
        }
        assert!(pauses.is_sorted_by(|one, next| one < next), "{pauses:?}");
        // Also where it is found out when the link has been cut already.
        play.run_to(Stage::Streaming, true);
        play.happened(Happened::Broke(words("cut")));
        play.happened(Happened::Broke(Reason::BrokenPromise("INCR".to_owned())));
        assert_eq!(play.happened(Happened::Drained)[0], Action::Conclude { is_exact: false });
    }

    #[test]
    fn another_kind_of_master_ends_the_link_and_whether_it_was_asked_for_goes_along() {
        for is_explicit in [true, false] {
            let mut play = Play::new(is_explicit);
            play.step(Event::Begin);
            assert_eq!(play.happened(Happened::Failed(Reason::OtherKind)), [Action::End]);
            assert_eq!(play.machine.met_another_kind(), Some(is_explicit));
        }
        assert_eq!(Play::to(Stage::Ended).machine.met_another_kind(), None);
    }

    #[test]
    fn a_stop_is_seen_in_every_state() {
        for state in ALL {
            let mut play = Play::to(state);
            play.step(Event::Stop);
            if play.machine.state() == Stage::Beginning {
                play.happened(Happened::Begun);
            }
            if play.machine.state() == Stage::Draining {
                play.happened(Happened::Drained);
            }
            assert!(play.machine.is_ended(), "{state:?}: {:?}", play.machine.state());
            assert_eq!(play.step(Event::Stop), []);
        }
    }

    #[test]
    fn what_comes_late_or_out_of_place_changes_nothing() {
        for state in ALL {
            let happened = || {
                [
                    Happened::Met,
                    Happened::Judged(None),
                    Happened::Answered { full: true },
                    Happened::Prepared,
                    Happened::Begun,
                    Happened::Loaded,
                    Happened::Drained,
                    Happened::Failed(words("late")),
                ]
            };
            for (index, happened) in happened().into_iter().enumerate() {
                let mut play = Play::to(state);
                let late = play.machine.attempt().wrapping_sub(1);
                assert_eq!(play.step(Event::Attempt(late, happened)), [], "{state:?} {index}");
                assert_eq!(play.machine.state(), state);
            }
            for happened in happened() {
                Play::to(state).happened(happened);
            }
        }
    }
}
