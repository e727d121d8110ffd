//! The replica's end of a link as a machine: it knows no sockets, no clocks and no executors.
//!
//! ```text
//!   Idle         not begun
//!   Introducing  look up, connect, TLS, introduce, FOLLOW     nothing has changed here, so an attempt
//!   Judging      may a full sync replace what is here?        may be dropped wherever it stands
//!   Joining      flows are connected, and begin
//!   Held         the guard holds, the connections are let go
//!   Beginning    the shards turn to the session's data        cannot be dropped: an end is kept in mind
//!   FullSync     items come
//!   StableSync   the journal is followed
//!   Draining     broken off; what was handed out is applied
//!   Pausing      as long as `pace` says
//!   Ended        for good
//! ```
//!
//! [`Machine::step`] takes what happened and answers with what is to be done; whoever performs it, over
//! sockets (`link`) or in the model, decides nothing. What an attempt brings carries the attempt's number:
//! what comes late of an earlier one is not taken for this one's.

use super::event::Steerable;
use super::life::{Life, Progress};
use super::pace::{Ended, Pace};
use super::reason::Reason;
use super::rules::Rules;
use super::steps::{Place, Step, Steps};
use crate::guard::Held;
use crate::info::LinkState;
use crate::planted;
use crate::wire::Said;
use engine::types::{Lsn, TxId};
use std::time::{Duration, Instant};

/// How often the guard asks again what the master holds.
const GUARD_EVERY: Duration = Duration::from_secs(2);

/// See the module's doc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the module's doc tells them, downwards")]
pub enum LinkStage {
    Idle,
    Introducing,
    Judging,
    Joining,
    Held,
    Beginning,
    FullSync,
    StableSync,
    Draining,
    Pausing,
    Ended,
}

/// What happened.
pub type Event = super::event::Event<Happened>;

/// What an attempt, or its session, brings.
#[derive(Debug)]
pub enum Happened {
    /// A connection is at this step now, or everything is answered on it.
    Step(Place, Option<Step>),
    /// The attempt came to nothing.
    Failed(Reason),
    /// The terms are told.
    Agreed {
        /// It is a full sync.
        full: bool,
        /// The master's number of the session.
        session: u64,
    },
    /// What the guard says.
    Judged(Option<Held>),
    /// All connections are there; the flows begin here.
    Joined(Vec<Lsn>),
    /// The shards are as the session needs them.
    Begun,
    /// A flow is read from.
    Reads(u16),
    /// Something came on it, or it ended.
    Read(u16),
    /// Something came on the control connection.
    Heard,
    /// The master said what its time-out is.
    Timeout(Option<Duration>),
    /// What a transaction waits for, as of now.
    Waits(Option<(TxId, u64)>),
    /// A flow may have something to say.
    Turn(u16, Progress),
    /// The items of all flows are applied.
    Complete,
    /// The session cannot go on.
    Broke(Reason),
    /// Everything that was handed out is applied; `is_over` when it is all that was to come.
    Drained {
        /// The older history has come to its end, the next attempt goes on in the next one.
        is_over: bool,
    },
}

/// What is to be done, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Reach the master, introduce ourselves and ask to follow.
    Introduce(u64),
    /// Ask the guard about the terms.
    Judge(u64),
    /// Take the terms, connect the flows and wait until they begin.
    Join(u64),
    /// The guard holds: the connections are let go. Whether that is new.
    LetGo(Held, bool),
    /// Turn the shards to the session's data.
    Begin(u64),
    /// Perform the session.
    Run(u64),
    /// A sign of life on the control connection is due.
    Tell,
    /// Look what a transaction waits for.
    Look,
    /// To be said on a flow.
    Say(u16, Said),
    /// Whoever waits for the turn of a sign of life waits anew.
    WakeFlows,
    /// The data is the master's.
    Stable,
    /// A full sync is complete: readers may be let in.
    LetIn,
    /// End the connections, and wait until what was handed out is applied.
    Drain(u64),
    /// The session is over; its positions count if the data is the master's.
    Conclude {
        /// It is.
        is_exact: bool,
    },
    /// The link is down. Why, unless it only goes on; whether that is news; copies lost one after the
    /// other and the pause, if one was lost.
    Down {
        /// Why.
        reason: Option<Reason>,
        /// It was not so before.
        is_news: bool,
        /// It fell out of the journal: copies lost one after the other, and the pause.
        lost: Option<(u32, Duration)>,
    },
    /// The link has ended.
    End,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Machine {
    host: String,
    port: u16,
    state: LinkStage,
    attempt: u64,
    steps: Steps,
    /// A step of this attempt may take so long.
    limit: Duration,
    /// Until when it is paused, or held.
    until: Instant,
    life: Life,
    pace: Pace,
    dice: fastrand::Rng,
    /// An operator asked for this master by name: the guard does not hold.
    is_explicit: bool,
    is_stopping: bool,
    has_introduced: bool,
    held: Option<Held>,
    is_full: bool,
    /// A record did not fit: the copy is not exact any more.
    is_inexact: bool,
    /// When the session began, and when its data was the master's.
    began: Instant,
    stable_since: Option<Instant>,
    broke: Option<Reason>,
    counts: Counts,
}

/// What INFO shows of a link.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Why it broke last.
    pub last_error: Option<Reason>,
    /// Since when it is down.
    pub down_since: Option<Instant>,
    /// How often it was made anew.
    pub reconnects: u64,
    /// The master's number of the session.
    pub session: u64,
    /// Partial syncs asked for.
    pub attempts: u64,
    /// Partial syncs granted.
    pub successes: u64,
}

impl Machine {
    /// A link to this master that has not begun, down since `now`.
    pub fn new(host: String, port: u16, seed: u64, now: Instant) -> Machine {
        Machine {
            host,
            port,
            state: LinkStage::Idle,
            attempt: 0,
            steps: Steps::new(Duration::ZERO, Duration::ZERO, now),
            limit: Duration::ZERO,
            until: now,
            life: Life::new(&[], now),
            pace: Pace::default(),
            dice: fastrand::Rng::with_seed(seed),
            is_explicit: true,
            is_stopping: false,
            has_introduced: false,
            held: None,
            is_full: false,
            is_inexact: false,
            began: now,
            stable_since: None,
            broke: None,
            counts: Counts { down_since: Some(now), ..Counts::default() },
        }
    }

    /// The same that no operator has asked for: another kind of master was there before.
    pub fn unasked(self) -> Machine {
        Machine { is_explicit: false, ..self }
    }

    /// Whether it has ended because a Redis is there, and whether an operator asked for that one.
    pub fn met_another_kind(&self) -> Option<bool> {
        let is_other = self.counts.last_error == Some(Reason::OtherKind);
        (self.is_ended() && is_other && !self.is_stopping).then_some(self.is_explicit)
    }

    /// How far it is.
    pub fn state(&self) -> LinkStage {
        self.state
    }

    /// How far it is, in the words of INFO.
    pub fn link_state(&self) -> LinkState {
        match self.state {
            LinkStage::Introducing if self.has_introduced => LinkState::Handshake,
            LinkStage::Judging | LinkStage::Joining | LinkStage::Held | LinkStage::Beginning => {
                LinkState::Handshake
            }
            LinkStage::FullSync => LinkState::FullSync,
            LinkStage::StableSync => LinkState::StableSync,
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

    /// So long a step of this attempt may take: for connecting, where each address has its own time.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether this attempt is still under way, and nothing has changed here.
    pub fn is_meeting(&self, attempt: u64) -> bool {
        let meets =
            matches!(self.state, LinkStage::Introducing | LinkStage::Judging | LinkStage::Joining);
        meets && attempt == self.attempt
    }

    /// Whether a session goes on.
    pub fn is_in_session(&self) -> bool {
        matches!(self.state, LinkStage::FullSync | LinkStage::StableSync)
    }

    /// Whether it has ended for good.
    pub fn is_ended(&self) -> bool {
        self.state == LinkStage::Ended
    }

    /// The attempt under way, or the last one.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Whether the session of this attempt goes on.
    pub fn is_in_session_of(&self, attempt: u64) -> bool {
        self.is_in_session() && attempt == self.attempt
    }

    /// Whether the data is the master's as of the positions.
    pub fn is_exact(&self) -> bool {
        self.stable_since.is_some() && !self.is_inexact
    }

    /// How often a flow has to say something.
    pub fn says_every(&self, rules: &Rules) -> Duration {
        self.life.every(rules)
    }

    /// When [`Event::Time`] is due, if nothing happens before.
    pub fn due(&self, rules: &Rules) -> Option<Instant> {
        match self.state {
            LinkStage::Introducing | LinkStage::Judging | LinkStage::Joining => self.steps.due(),
            LinkStage::Held | LinkStage::Pausing => Some(self.until),
            LinkStage::FullSync | LinkStage::StableSync => Some(self.life.due(rules)),
            LinkStage::Idle | LinkStage::Beginning | LinkStage::Draining | LinkStage::Ended => None,
        }
    }

    /// Takes what happened; answers what is to be done.
    pub fn step(&mut self, event: Event, now: Instant, rules: &Rules) -> Vec<Action> {
        match event {
            Event::Begin if self.state == LinkStage::Idle => self.become_introducing(now, rules),
            // It was ended before it began.
            Event::Begin => Vec::new(),
            Event::Time => self.time(now, rules),
            // What comes of the next attempt is what was asked for, also if the master has lost its data
            // meanwhile. A session that goes on is not touched.
            Event::Meant => {
                self.is_explicit |= !self.is_in_session();
                Vec::new()
            }
            // A copy that was lost is waited for: a program that says REPLICAOF every few seconds must not
            // make a full sync of each.
            Event::Hurry if self.state == LinkStage::Pausing && self.pace.lost() == 0 => {
                self.pause_is_over(now, rules)
            }
            Event::Hurry => Vec::new(),
            Event::Stop => self.stop(now, rules),
            Event::Kill if self.is_in_session() => self.become_draining(Reason::Killed),
            Event::Kill => Vec::new(),
            Event::Attempt(attempt, happened) => {
                if attempt != self.attempt && !planted::late_results_count() {
                    return Vec::new();
                }
                self.happened(happened, now, rules)
            }
        }
    }

    fn happened(&mut self, happened: Happened, now: Instant, rules: &Rules) -> Vec<Action> {
        match (self.state, happened) {
            (LinkStage::Introducing | LinkStage::Joining, Happened::Step(place, step)) => {
                if let Some(Step::Follow { asked }) = step {
                    self.has_introduced = true;
                    self.counts.attempts += u64::from(asked);
                }
                self.steps.note(place, step, now);
                Vec::new()
            }
            (
                LinkStage::Introducing | LinkStage::Judging | LinkStage::Joining,
                Happened::Failed(reason),
            ) => self.not_met(reason, now, rules),
            (LinkStage::Introducing, Happened::Agreed { full, session }) => {
                self.agreed(full, session)
            }
            (LinkStage::Judging, Happened::Judged(Some(held))) => self.become_held(held, now),
            (LinkStage::Judging, Happened::Judged(None)) => self.become_joining(),
            (LinkStage::Joining, Happened::Joined(starts)) => self.become_beginning(&starts, now),
            (LinkStage::Beginning, Happened::Begun) => self.begun(now),
            (LinkStage::FullSync | LinkStage::StableSync, happened) => {
                self.lives(happened, now, rules)
            }
            (LinkStage::Draining, Happened::Drained { is_over }) => {
                self.drained(is_over, now, rules)
            }
            // A record that does not fit counts also when it is found out at the end.
            (LinkStage::Draining, Happened::Broke(Reason::BrokenPromise(_))) => {
                self.is_inexact = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// What happens in a session.
    fn lives(&mut self, happened: Happened, now: Instant, rules: &Rules) -> Vec<Action> {
        match happened {
            Happened::Reads(flow) => self.life.reads(flow, Some(now)),
            Happened::Read(flow) => self.life.reads(flow, None),
            Happened::Heard => self.life.heard(now),
            Happened::Timeout(timeout) => {
                let is_news = self.life.hears_timeout(timeout);
                return is_news.then_some(Action::WakeFlows).into_iter().collect();
            }
            Happened::Waits(waits) => self.life.waits_for(waits, now),
            Happened::Turn(flow, progress) => {
                let is_stable = self.state == LinkStage::StableSync;
                let said = self.life.speaks(flow, progress, is_stable, rules, now);
                return said.into_iter().map(|said| Action::Say(flow, said)).collect();
            }
            Happened::Complete if self.state == LinkStage::FullSync => {
                return self.become_stable(now);
            }
            Happened::Broke(reason) => {
                self.is_inexact |= matches!(reason, Reason::BrokenPromise(_));
                return self.become_draining(reason);
            }
            _ => {}
        }
        Vec::new()
    }

    fn time(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        match self.state {
            LinkStage::Introducing | LinkStage::Judging | LinkStage::Joining => {
                let Some((place, step)) = self.steps.late(now) else { return Vec::new() };
                let (host, limit) = (self.host.clone(), self.steps.limit_of(&step));
                self.not_met(Reason::Late { host, place, step, limit }, now, rules)
            }
            LinkStage::Held if now >= self.until => self.held_for_long(now, rules),
            LinkStage::Pausing if now >= self.until => self.pause_is_over(now, rules),
            LinkStage::FullSync | LinkStage::StableSync => {
                if let Some(reason) = self.life.verdict(rules, now) {
                    return self.become_draining(reason);
                }
                let tells = self.life.tells(rules, now).then_some(Action::Tell);
                let looks = self.life.looks(now).then_some(Action::Look);
                tells.into_iter().chain(looks).collect()
            }
            _ => Vec::new(),
        }
    }

    fn stop(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        if self.state == LinkStage::Ended {
            return Vec::new();
        }
        match self.state {
            // While the shards change there is nothing to break off: it is kept in mind.
            LinkStage::Beginning if planted::stops_are_forgotten() => Vec::new(),
            LinkStage::Beginning | LinkStage::Draining => {
                self.is_stopping = true;
                Vec::new()
            }
            LinkStage::FullSync | LinkStage::StableSync => {
                self.is_stopping = true;
                self.become_draining(Reason::LinkEnded)
            }
            LinkStage::Introducing | LinkStage::Joining if planted::stops_wait_for_steps() => {
                self.is_stopping = true;
                self.time(now, rules)
            }
            _ => self.become_ended(),
        }
    }

    fn agreed(&mut self, full: bool, session: u64) -> Vec<Action> {
        self.is_full = full;
        self.counts.session = session;
        self.steps.note(Place::Control, None, self.began);
        if self.is_stopping {
            return self.become_ended();
        }
        // An explicit REPLICAOF is not asked whether it means it.
        if self.is_explicit { self.become_joining() } else { self.become_judging() }
    }

    fn begun(&mut self, now: Instant) -> Vec<Action> {
        self.is_explicit &= planted::guard_never_asks();
        let following = self.become_following(now);
        if self.is_stopping {
            return [following, self.become_draining(Reason::LinkEnded)].concat();
        }
        following
    }

    /// The attempt has come to nothing.
    fn not_met(&mut self, reason: Reason, now: Instant, rules: &Rules) -> Vec<Action> {
        if self.is_stopping {
            return self.become_ended();
        }
        let is_news = self.is_news(&reason);
        if reason == Reason::OtherKind {
            return self.become_ended();
        }
        let pause = self.pace.not_met(reason.is_late(), self.limit, rules.pause_max);
        let mut actions = self.become_pausing(pause, now);
        actions.push(Action::Down { reason: Some(reason), is_news, lost: None });
        actions
    }

    fn held_for_long(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        let reason = self.counts.last_error.clone();
        let pause = self.pace.not_met(false, self.limit, rules.pause_max);
        let mut actions = self.become_pausing(pause, now);
        actions.push(Action::Down { reason, is_news: false, lost: None });
        actions
    }

    fn drained(&mut self, is_over: bool, now: Instant, rules: &Rules) -> Vec<Action> {
        let mut actions = vec![Action::Conclude { is_exact: self.is_exact() }];
        let reason = self.broke.take().filter(|_| !is_over);
        let ended = Ended {
            full: self.is_full,
            lived: now.saturating_duration_since(self.began),
            stable: self
                .stable_since
                .filter(|_| !self.is_inexact)
                .map(|since| now.saturating_duration_since(since)),
            fell_out: reason.as_ref().is_some_and(Reason::fell_out),
        };
        if self.is_stopping {
            actions.push(Action::Down { reason: None, is_news: false, lost: None });
            actions.extend(self.become_ended());
            return actions;
        }
        let Some(reason) = reason else {
            actions.push(Action::Down { reason: None, is_news: false, lost: None });
            actions.extend(self.become_pausing(Duration::ZERO, now));
            return actions;
        };
        let pause = self.pace.session_ended(ended, rules.pause_max);
        let lost = ended.fell_out.then(|| (self.pace.lost(), pause));
        let is_news = self.is_news(&reason) || ended.fell_out;
        actions.push(Action::Down { reason: Some(reason), is_news, lost });
        actions.extend(self.become_pausing(pause, now));
        actions
    }

    /// Notes why the link is down; answers whether it was not so before.
    fn is_news(&mut self, reason: &Reason) -> bool {
        self.counts.last_error.replace(reason.clone()).as_ref() != Some(reason)
    }

    fn pause_is_over(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        self.counts.reconnects += 1;
        self.become_introducing(now, rules)
    }

    fn become_introducing(&mut self, now: Instant, rules: &Rules) -> Vec<Action> {
        assert!(matches!(self.state, LinkStage::Idle | LinkStage::Pausing), "{:?}", self.state);
        let usual = if self.is_explicit { rules.connect } else { rules.reconnect };
        self.limit = self.pace.step_limit(usual);
        self.steps = Steps::new(self.limit, rules.timeout, now);
        self.attempt += 1;
        self.has_introduced = false;
        self.state = LinkStage::Introducing;
        vec![Action::Introduce(self.attempt)]
    }

    fn become_judging(&mut self) -> Vec<Action> {
        assert_eq!(self.state, LinkStage::Introducing);
        self.state = LinkStage::Judging;
        vec![Action::Judge(self.attempt)]
    }

    fn become_held(&mut self, held: Held, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, LinkStage::Judging);
        self.state = LinkStage::Held;
        self.until = now + GUARD_EVERY;
        let is_news = self.held.replace(held).is_none();
        self.counts.last_error = Some(Reason::Held(held.text(&self.host, self.port)));
        vec![Action::LetGo(held, is_news)]
    }

    fn become_joining(&mut self) -> Vec<Action> {
        assert!(
            matches!(self.state, LinkStage::Introducing | LinkStage::Judging),
            "{:?}",
            self.state
        );
        self.state = LinkStage::Joining;
        self.held = None;
        vec![Action::Join(self.attempt)]
    }

    fn become_beginning(&mut self, starts: &[Lsn], now: Instant) -> Vec<Action> {
        assert_eq!(self.state, LinkStage::Joining);
        self.state = LinkStage::Beginning;
        self.counts.successes += u64::from(!self.is_full);
        (self.began, self.stable_since, self.is_inexact) = (now, None, false);
        self.life = Life::new(starts, now);
        vec![Action::Begin(self.attempt)]
    }

    fn become_following(&mut self, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, LinkStage::Beginning);
        // Since the flows began the shards have worked: nobody was silent meanwhile.
        self.life.heard(now);
        let mut actions = vec![Action::Run(self.attempt)];
        if self.is_full {
            self.state = LinkStage::FullSync;
        } else {
            self.state = LinkStage::StableSync;
            self.came_up(now);
            actions.push(Action::Stable);
        }
        actions
    }

    fn become_stable(&mut self, now: Instant) -> Vec<Action> {
        assert_eq!(self.state, LinkStage::FullSync);
        self.state = LinkStage::StableSync;
        self.came_up(now);
        // The master counts us as stable from the first acknowledgement on.
        vec![Action::Stable, Action::LetIn, Action::WakeFlows]
    }

    fn came_up(&mut self, now: Instant) {
        self.stable_since = Some(now);
        self.counts.down_since = None;
        self.counts.last_error = None;
    }

    fn become_draining(&mut self, reason: Reason) -> Vec<Action> {
        assert!(self.is_in_session(), "{:?}", self.state);
        self.state = LinkStage::Draining;
        self.broke = Some(reason);
        vec![Action::Drain(self.attempt)]
    }

    fn become_pausing(&mut self, pause: Duration, now: Instant) -> Vec<Action> {
        let meets = self.is_meeting(self.attempt);
        let may = meets || matches!(self.state, LinkStage::Held | LinkStage::Draining);
        assert!(may, "{:?}", self.state);
        self.state = LinkStage::Pausing;
        let jitter = self.dice.u64(..=pause.as_millis() as u64 / 4);
        self.until = now + pause + Duration::from_millis(jitter);
        self.counts.down_since = self.counts.down_since.or(Some(now));
        Vec::new()
    }

    fn become_ended(&mut self) -> Vec<Action> {
        let cannot = self.is_in_session() || self.state == LinkStage::Beginning;
        assert!(!cannot, "{:?}", self.state);
        self.state = LinkStage::Ended;
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
        !self.is_in_session()
    }

    fn takes_time(action: &Action) -> bool {
        matches!(
            action,
            Action::Introduce(_)
                | Action::Judge(_)
                | Action::Join(_)
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

    /// A machine and the time.
    struct Play {
        machine: Machine,
        now: Instant,
    }

    fn held() -> Held {
        Held { own_keys: 9, master_keys: 1, breaks_on_restart: false }
    }

    impl Play {
        fn new() -> Play {
            let now = Instant::now();
            let mut play = Play { machine: Machine::new("m".to_owned(), 1, 7, now), now };
            play.step(Event::Begin);
            play
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

        fn failed(&mut self) -> Vec<Action> {
            self.happened(Happened::Failed(Reason::ControlClosed))
        }

        /// Goes on to `state` on the shortest way, as an attempt that no operator asked for.
        fn to(state: LinkStage) -> Play {
            let mut play = Play::new();
            play.run_to(LinkStage::StableSync, true);
            play.happened(Happened::Broke(Reason::ControlClosed));
            play.run_to(state, state == LinkStage::FullSync);
            play
        }

        fn run_to(&mut self, state: LinkStage, full: bool) {
            for _ in 0..20 {
                if self.machine.state() == state {
                    return;
                }
                let judged = (state == LinkStage::Held).then(held);
                let happened = match self.machine.state() {
                    LinkStage::Introducing => Happened::Agreed { full, session: 1 },
                    LinkStage::Judging => Happened::Judged(judged),
                    LinkStage::Joining => Happened::Joined(vec![Lsn(0)]),
                    LinkStage::Beginning => Happened::Begun,
                    LinkStage::FullSync => Happened::Complete,
                    LinkStage::StableSync => Happened::Broke(Reason::ControlClosed),
                    LinkStage::Draining => Happened::Drained { is_over: false },
                    LinkStage::Held | LinkStage::Pausing => {
                        self.wait();
                        continue;
                    }
                    LinkStage::Idle | LinkStage::Ended => panic!("{:?}", self.machine.state()),
                };
                self.happened(happened);
            }
            panic!("{state:?} was not reached from {:?}", self.machine.state());
        }
    }

    const ALL: [LinkStage; 10] = [
        LinkStage::Introducing,
        LinkStage::Judging,
        LinkStage::Joining,
        LinkStage::Held,
        LinkStage::Beginning,
        LinkStage::FullSync,
        LinkStage::StableSync,
        LinkStage::Draining,
        LinkStage::Pausing,
        LinkStage::Ended,
    ];

    /// A stop between two waits was never seen, and one during a dial waited for its end.
    #[test]
    fn an_end_is_seen_in_every_state() {
        for state in ALL {
            if state == LinkStage::Ended {
                continue;
            }
            let mut play = Play::to(state);
            let actions = play.step(Event::Stop);
            match state {
                LinkStage::Beginning => {
                    assert_eq!(actions, []);
                    let attempt = play.machine.attempt();
                    let actions = play.happened(Happened::Begun);
                    assert_eq!(actions.last(), Some(&Action::Drain(attempt)));
                }
                LinkStage::FullSync | LinkStage::StableSync => {
                    assert_eq!(actions, [Action::Drain(play.machine.attempt())]);
                }
                LinkStage::Draining => assert_eq!(actions, []),
                _ => assert_eq!((actions, play.machine.is_ended()), (vec![Action::End], true)),
            }
            if !play.machine.is_ended() {
                let actions = play.happened(Happened::Drained { is_over: false });
                assert!(matches!(actions[0], Action::Conclude { .. }), "{state:?}: {actions:?}");
                assert_eq!(actions.last(), Some(&Action::End), "{state:?}");
            }
            assert_eq!(play.step(Event::Stop), [], "{state:?}: it has ended");
            assert_eq!(play.machine.due(&RULES), None);
        }
    }

    /// Two orders in one moment: the link of the first one is ended before its task has run.
    #[test]
    fn a_link_that_is_ended_before_it_begins_never_does() {
        let now = Instant::now();
        let mut play = Play { machine: Machine::new("m".to_owned(), 1, 7, now), now };
        assert_eq!(play.step(Event::Stop), [Action::End]);
        assert_eq!((play.step(Event::Begin), play.machine.is_ended()), (Vec::new(), true));
    }

    /// What an earlier attempt brings, in any state, is nobody's.
    #[test]
    fn what_comes_late_of_an_earlier_attempt_changes_nothing() {
        for state in ALL.into_iter().filter(|state| *state != LinkStage::Ended) {
            let mut play = Play::to(state);
            let old = play.machine.attempt() - 1;
            let late = [
                Happened::Step(Place::Control, Some(Step::Send)),
                Happened::Failed(Reason::ControlClosed),
                Happened::Agreed { full: true, session: 9 },
                Happened::Judged(Some(held())),
                Happened::Joined(vec![Lsn(9)]),
                Happened::Begun,
                Happened::Complete,
                Happened::Broke(Reason::ControlClosed),
                Happened::Drained { is_over: true },
            ];
            for happened in late {
                assert_eq!(play.step(Event::Attempt(old, happened)), []);
                assert_eq!(play.machine.state(), state);
            }
        }
    }

    /// What does not fit the state it comes in is left alone: an attempt may fail twice.
    #[test]
    fn what_does_not_fit_a_state_changes_nothing() {
        let fits = |state: LinkStage, happened: &Happened| match happened {
            Happened::Failed(_) => {
                matches!(state, LinkStage::Introducing | LinkStage::Judging | LinkStage::Joining)
            }
            Happened::Agreed { .. } => state == LinkStage::Introducing,
            Happened::Judged(_) => state == LinkStage::Judging,
            Happened::Joined(_) => state == LinkStage::Joining,
            Happened::Begun => state == LinkStage::Beginning,
            Happened::Complete => state == LinkStage::FullSync,
            Happened::Broke(_) => matches!(state, LinkStage::FullSync | LinkStage::StableSync),
            Happened::Drained { .. } => state == LinkStage::Draining,
            _ => true,
        };
        let all = || {
            [
                Happened::Failed(Reason::ControlClosed),
                Happened::Agreed { full: true, session: 9 },
                Happened::Judged(None),
                Happened::Joined(vec![Lsn(9)]),
                Happened::Begun,
                Happened::Complete,
                Happened::Broke(Reason::ControlClosed),
                Happened::Drained { is_over: true },
            ]
        };
        for state in ALL.into_iter().filter(|state| *state != LinkStage::Ended) {
            for happened in all() {
                let mut play = Play::to(state);
                let (is_fitting, text) = (fits(state, &happened), format!("{happened:?}"));
                play.happened(happened);
                assert_eq!(play.machine.state() != state, is_fitting, "{state:?}: {text}");
            }
        }
    }

    #[test]
    fn the_guard_is_asked_of_every_attempt_that_no_operator_asked_for() {
        let mut play = Play::new();
        let agreed = || Happened::Agreed { full: true, session: 1 };
        assert_eq!(play.happened(agreed()), [Action::Join(1)], "REPLICAOF");
        play.failed();
        play.run_to(LinkStage::Introducing, true);
        assert_eq!(play.happened(agreed()), [Action::Join(2)], "nothing has come of it yet");
        play.run_to(LinkStage::StableSync, true);
        play.happened(Happened::Broke(Reason::ControlClosed));
        play.run_to(LinkStage::Introducing, true);
        assert_eq!(play.happened(agreed()), [Action::Judge(3)]);
        assert_eq!(play.happened(Happened::Judged(Some(held()))), [Action::LetGo(held(), true)]);
        assert!(play.machine.held().is_some());
        play.wait();
        play.run_to(LinkStage::Judging, true);
        assert_eq!(play.happened(Happened::Judged(Some(held()))), [Action::LetGo(held(), false)]);
        play.run_to(LinkStage::Judging, true);
        assert_eq!(play.happened(Happened::Judged(None)), [Action::Join(5)]);
        assert_eq!(play.machine.held(), None);
        play.failed();
        // REPLICAOF once more.
        play.step(Event::Meant);
        play.step(Event::Hurry);
        assert_eq!(play.machine.state(), LinkStage::Introducing, "nothing was lost: at once");
        assert_eq!(play.happened(agreed()), [Action::Join(6)]);
    }

    #[test]
    fn a_step_that_is_late_ends_the_attempt_and_the_next_one_has_more_time() {
        let mut play = Play::to(LinkStage::Introducing);
        let mut limits = Vec::new();
        for _ in 0..5 {
            let limit = play.machine.limit();
            limits.push(limit.as_millis());
            // Each step of them takes nearly the whole time.
            for name in ["AUTH", "PING", "REPLCONF", "DFLY"] {
                let step = Step::Answer(name.to_owned());
                play.happened(Happened::Step(Place::Control, Some(step)));
                play.now += limit - Duration::from_millis(1);
                assert_eq!(play.step(Event::Time), []);
            }
            play.now += Duration::from_millis(1);
            let actions = play.step(Event::Time);
            let Some(Action::Down { reason: Some(reason), .. }) = actions.first() else {
                panic!("{actions:?}")
            };
            let text = format!("the master did not answer DFLY within {} ms", limit.as_millis());
            assert_eq!((reason.to_string(), reason.is_late()), (text, true));
            play.wait();
        }
        assert_eq!(limits, [1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn a_session_that_is_silent_ends_and_one_that_lives_says_so() {
        let mut play = Play::to(LinkStage::StableSync);
        assert_eq!(play.wait(), [Action::Tell], "its time-out, at once");
        let mut told = 0;
        for _ in 0..200 {
            play.happened(Happened::Heard);
            let actions = play.wait();
            told += actions.iter().filter(|action| **action == Action::Tell).count();
        }
        assert!((30..=45).contains(&told), "{told} in 40 s");
        play.happened(Happened::Reads(0));
        let began = play.now;
        while play.machine.state() == LinkStage::StableSync {
            play.happened(Happened::Heard);
            play.wait();
        }
        assert!((30..=31).contains(&(play.now - began).as_secs()), "{:?}", play.now - began);
    }

    #[test]
    fn acknowledgements_are_due_at_once_when_all_is_applied_else_by_count_and_time() {
        let mut play = Play::to(LinkStage::StableSync);
        let turn = |applied: u64, is_settled, has_moved| {
            Happened::Turn(0, Progress { applied: Lsn(applied), is_settled, has_moved })
        };
        let ack = |lsn| vec![Action::Say(0, Said::Ack(Lsn(lsn)))];
        assert_eq!(play.happened(turn(1, true, true)), ack(1));
        assert_eq!(play.happened(turn(2, false, true)), []);
        assert_eq!(play.happened(turn(1025, false, true)), ack(1025));
        play.now += RULES.acks_interval;
        assert_eq!(play.happened(turn(1026, false, true)), ack(1026));
        assert_eq!(play.happened(turn(1026, false, false)), ack(1026), "a sign of life");
        let mut play = Play::to(LinkStage::FullSync);
        assert_eq!(play.happened(turn(0, true, true)), [Action::Say(0, Said::Alive)]);
    }

    /// A record that did not fit: the next attempt begins anew rather than go on.
    #[test]
    fn a_copy_that_is_not_exact_is_not_continued() {
        for (reason, exact) in [
            (Reason::BrokenPromise("no such key".to_owned()), false),
            (Reason::ControlClosed, true),
        ] {
            let mut play = Play::to(LinkStage::StableSync);
            play.happened(Happened::Broke(reason));
            let actions = play.happened(Happened::Drained { is_over: false });
            assert_eq!(actions[0], Action::Conclude { is_exact: exact });
            let mut play = Play::to(LinkStage::FullSync);
            play.happened(Happened::Broke(Reason::ControlClosed));
            let actions = play.happened(Happened::Drained { is_over: false });
            assert_eq!(actions[0], Action::Conclude { is_exact: false });
        }
    }

    /// `lost` again and again: what is not asked for at once, also where an operator asks once more.
    #[test]
    fn a_copy_that_was_lost_is_waited_for_longer_each_time() {
        let mut play = Play::new();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            play.run_to(LinkStage::StableSync, true);
            play.now += Duration::from_secs(60);
            let why = "it fell out of the journal".to_owned();
            play.happened(Happened::Broke(Reason::MasterEnded { why, fell_out: true }));
            let ended = play.now;
            play.happened(Happened::Drained { is_over: false });
            play.step(Event::Hurry);
            assert_eq!(play.machine.state(), LinkStage::Pausing);
            play.wait();
            pauses.push((play.now - ended).as_millis());
        }
        let least = [500, 1000, 2000, 4000, 8000, 16000];
        assert!(pauses.iter().zip(least).all(|(pause, least)| *pause >= least), "{pauses:?}");
    }
}
