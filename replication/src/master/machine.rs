//! The master's end of a link as a machine: one replica being fed. It knows no sockets, no clocks and no
//! executors.
//!
//! ```text
//!   Preparation  the terms are told; connections are attached one by one    it has only asked
//!   Beginning    all are there: a cut is made, or readers are placed        older ones of its node end
//!   FullSync     items go out, merged with the journal
//!   StableSync   the journal goes out
//!   Ended        with a reason; the first one counts
//! ```
//!
//! [`Machine::step`] takes what happened and answers with what is to be done; who performs it, over sockets
//! (`session`) or in the model, decides nothing.

use super::reason::Reason;
use crate::info::ReplicaState;
use crate::planted;
use crate::pulse::{self, Pulse};
use engine::types::Lsn;
use std::time::{Duration, Instant};

/// A replica that has been granted terms must attach its flows within this time.
const PREPARATION_MAX: Duration = Duration::from_secs(30);

/// Its control connection is handed over by the executor that it was made on, which takes no round trip:
/// what is not there by then has been given up.
const HANDED_OVER_MAX: Duration = Duration::from_secs(3);

/// How often is looked at what nothing else tells.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the module's doc tells them, downwards")]
pub enum SessionStage {
    Preparation,
    Beginning,
    FullSync,
    StableSync,
    Ended(Reason),
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Time,
    /// The control connection was handed over.
    HandedOver,
    /// A flow's connection was.
    Attached(usize),
    /// Another session has all its connections.
    Another {
        /// Its number: later ones are greater.
        id: u64,
        /// The node that it feeds.
        node: String,
    },
    /// The flows stand where they begin.
    Begun {
        /// There are items to be sent.
        full: bool,
        /// Where.
        starts: Vec<Lsn>,
    },
    /// Bytes of a flow are on their way into the socket; whether items remain behind them.
    Writes(u16, bool),
    /// A sign of life is on its way into it.
    Pings(u16),
    /// They are in it, and this is the end of the last frame that was sent whole.
    Wrote(u16, Lsn),
    /// The replica has applied everything up to there.
    Acked(u16, Lsn),
    /// It lives.
    Alive(u16),
    /// It said what its time-out is.
    Timeout(Option<Duration>),
    /// The session cannot go on, or is not to.
    End(Reason),
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// All connections are there: tell the other sessions, and begin.
    Begin,
    /// A sign of life on the control connection is due.
    Tell,
    /// Whoever waits for the turn of a sign of life waits anew.
    WakeFlows,
    /// Look whether the journal was trimmed past a flow.
    Look,
    /// The session has ended: close its connections, and say why.
    End,
}

#[derive(Debug)]
struct FlowStage {
    is_attached: bool,
    acked: Lsn,
    /// It has acknowledged something: only a replica in stable sync does.
    has_acked: bool,
    sent_to: Lsn,
    is_writing: bool,
    /// Inside a large frame, and while items are sent, what the socket takes is movement.
    moves: bool,
    /// Items remain to be sent.
    is_full: bool,
    heard: Instant,
}

/// See the module's doc.
#[derive(Debug)]
pub struct Machine {
    id: u64,
    /// The node that is fed.
    node: String,
    state: SessionStage,
    started: Instant,
    is_handed_over: bool,
    flows: Vec<FlowStage>,
    pulse: Pulse,
    /// When the control connection was given a sign of life last.
    told: Option<Instant>,
    looked: Instant,
    /// When its data moved last, or there was nothing to move.
    moved: Instant,
    /// The flows' ends, when a younger history begins there.
    to: Option<Vec<Lsn>>,
}

impl Machine {
    /// A session of so many flows that are still to be attached.
    pub fn new(id: u64, node: String, flows: usize, to: Option<Vec<Lsn>>, now: Instant) -> Machine {
        let flow = |_| FlowStage {
            is_attached: false,
            acked: Lsn(0),
            has_acked: false,
            sent_to: Lsn(0),
            is_writing: false,
            moves: false,
            is_full: true,
            heard: now,
        };
        Machine {
            id,
            node,
            state: SessionStage::Preparation,
            started: now,
            is_handed_over: false,
            flows: (0..flows).map(flow).collect(),
            pulse: Pulse::default(),
            told: None,
            looked: now,
            moved: now,
            to,
        }
    }

    /// How far it is.
    pub fn state(&self) -> &SessionStage {
        &self.state
    }

    /// How far it is, or was, in the words of INFO.
    pub fn replica_state(&self) -> ReplicaState {
        match self.state {
            SessionStage::FullSync => ReplicaState::FullSync,
            SessionStage::StableSync if self.is_of_older_history() => ReplicaState::CatchingUp,
            SessionStage::StableSync => ReplicaState::StableSync,
            _ => ReplicaState::Preparation,
        }
    }

    /// The node that is fed.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether the other sessions have to hear of it: once it has all its connections. Who has only asked
    /// may have asked long ago.
    pub fn takes_over(&self) -> bool {
        self.state == SessionStage::Beginning || planted::terms_take_over()
    }

    /// Whether data is sent.
    pub fn is_in_session(&self) -> bool {
        matches!(self.state, SessionStage::FullSync | SessionStage::StableSync)
    }

    /// Why it ended, if it has.
    pub fn ended(&self) -> Option<&Reason> {
        match &self.state {
            SessionStage::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the replica has come with all its connections.
    pub fn is_attached(&self) -> bool {
        self.is_handed_over && self.flows.iter().all(|flow| flow.is_attached)
    }

    /// Whether it reads journals that end where a younger history begins.
    pub fn is_of_older_history(&self) -> bool {
        self.to.is_some()
    }

    /// Everything that the replica has acknowledged, per flow; only while it is in stable sync: one that
    /// has left confirms nothing, and one that reads an older history counts by other numbers.
    pub fn acked(&self) -> Option<Vec<Lsn>> {
        let counts = self.replica_state() == ReplicaState::StableSync
            || (planted::acks_of_ended_sessions_count()
                && self.ended().is_some()
                && self.has_acked());
        counts.then(|| self.flows.iter().map(|flow| flow.acked).collect())
    }

    fn has_acked(&self) -> bool {
        self.flows.iter().all(|flow| flow.has_acked)
    }

    /// What a flow has acknowledged.
    pub fn acked_of(&self, flow: u16) -> Lsn {
        self.flows[usize::from(flow)].acked
    }

    /// Up to where a flow was sent.
    pub fn sent_to(&self, flow: u16) -> Lsn {
        self.flows[usize::from(flow)].sent_to
    }

    /// How old its last acknowledgement is: the oldest of its flows.
    pub fn last_ack_age(&self, now: Instant) -> Duration {
        let ages = self.flows.iter().map(|flow| now.saturating_duration_since(flow.heard));
        ages.max().unwrap_or_default()
    }

    /// How often a sign of life is due on each connection, where our time-out is `timeout`.
    pub fn says_every(&self, timeout: Duration) -> Duration {
        self.pulse.every(timeout)
    }

    /// When [`Event::Time`] is due, if nothing happens before.
    pub fn due(&self, timeout: Duration) -> Option<Instant> {
        let tell = self.is_handed_over.then(|| self.tell_due(timeout).unwrap_or(self.started));
        let due = match self.state {
            SessionStage::Preparation => self.started + self.preparation_max().0,
            SessionStage::Beginning => return tell,
            SessionStage::FullSync | SessionStage::StableSync => self.looked + LOOK_EVERY,
            SessionStage::Ended(_) => return None,
        };
        Some(tell.map_or(due, |tell| tell.min(due)))
    }

    fn preparation_max(&self) -> (Duration, Reason) {
        match self.is_handed_over {
            true => (PREPARATION_MAX, Reason::NotConnected),
            false => (HANDED_OVER_MAX, Reason::GaveUp),
        }
    }

    /// Takes what happened; answers what is to be done. Our time-out is `timeout`.
    pub fn step(&mut self, event: Event, now: Instant, timeout: Duration) -> Vec<Action> {
        if self.ended().is_some() {
            return Vec::new();
        }
        match event {
            Event::Time => return self.time(now, timeout),
            Event::HandedOver => {
                self.is_handed_over = true;
                return self.attached();
            }
            Event::Attached(flow) => return self.attach(flow),
            Event::Another { id, node } => return self.another(id, &node),
            Event::Begun { full, starts } => self.become_following(full, &starts, now),
            Event::Writes(flow, is_full) => {
                let flow = &mut self.flows[usize::from(flow)];
                flow.moves = flow.is_full || flow.sent_to <= flow.acked;
                (flow.is_writing, flow.is_full) = (true, is_full);
            }
            Event::Pings(flow) => {
                let flow = &mut self.flows[usize::from(flow)];
                (flow.is_writing, flow.moves) = (true, false);
            }
            Event::Wrote(flow, end) => {
                let flow = &mut self.flows[usize::from(flow)];
                (flow.is_writing, flow.sent_to) = (false, end.max(flow.sent_to));
                if flow.moves {
                    self.moved = now;
                }
            }
            Event::Acked(flow, lsn) => return self.take_ack(flow, lsn, now),
            Event::Alive(flow) => self.flows[usize::from(flow)].heard = now,
            Event::Timeout(theirs) => {
                if self.pulse.hear(theirs) {
                    // From now on its own time-out counts, and whoever waits for its turn waits too long
                    // perhaps.
                    self.flows.iter_mut().for_each(|flow| flow.heard = now);
                    return vec![Action::WakeFlows];
                }
            }
            Event::End(reason) => return self.end(reason),
        }
        Vec::new()
    }

    fn end(&mut self, reason: Reason) -> Vec<Action> {
        let has_left = self.state == SessionStage::Preparation && reason.has_left();
        if has_left && planted::phantoms_stay() {
            return Vec::new();
        }
        self.become_ended(reason)
    }

    fn time(&mut self, now: Instant, timeout: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_handed_over && self.tell_due(timeout).is_none_or(|due| due <= now) {
            self.told = Some(now);
            self.pulse.tell(timeout, now);
            actions.push(Action::Tell);
        }
        match self.state {
            SessionStage::Preparation => {
                let (limit, why) = self.preparation_max();
                if now >= self.started + limit {
                    actions.extend(self.become_ended(why));
                }
            }
            SessionStage::FullSync | SessionStage::StableSync
                if now >= self.looked + LOOK_EVERY =>
            {
                self.looked = now;
                actions.push(Action::Look);
                let reason = self.verdict(now, timeout);
                actions.extend(reason.into_iter().flat_map(|reason| self.become_ended(reason)));
            }
            _ => {}
        }
        actions
    }

    fn tell_due(&self, timeout: Duration) -> Option<Instant> {
        let told = self.told.filter(|_| self.pulse.is_told(timeout));
        told.map(|told| told + self.says_every(timeout))
    }

    fn attach(&mut self, index: usize) -> Vec<Action> {
        match self.flows.get_mut(index) {
            Some(flow) if !flow.is_attached => flow.is_attached = true,
            _ => return self.become_ended(Reason::ConnectedTwice(index)),
        }
        self.attached()
    }

    fn attached(&mut self) -> Vec<Action> {
        let is_complete = self.state == SessionStage::Preparation && self.is_attached();
        if is_complete { self.become_beginning() } else { Vec::new() }
    }

    /// A node follows once: what is left of its older link has not been noticed yet. A handshake that came
    /// late, and that nobody goes on with, never comes with its connections.
    fn another(&mut self, id: u64, node: &str) -> Vec<Action> {
        let is_newer = id > self.id || (planted::any_session_takes_over() && id != self.id);
        if node != self.node || !is_newer || planted::duplicates_are_fed() {
            return Vec::new();
        }
        self.become_ended(Reason::SameNode)
    }

    fn take_ack(&mut self, index: u16, lsn: Lsn, now: Instant) -> Vec<Action> {
        let flow = &mut self.flows[usize::from(index)];
        flow.heard = now;
        let is_first = !std::mem::replace(&mut flow.has_acked, true);
        if lsn > flow.acked || is_first {
            flow.acked = lsn.max(flow.acked);
            self.moved = now;
        }
        // It is in stable sync once it has said so on every flow: its first acknowledgements are that.
        let is_stable = |flow: &FlowStage| !flow.is_full && flow.has_acked;
        if self.state == SessionStage::FullSync && self.flows.iter().all(is_stable) {
            self.become_stable();
        }
        if self.leg_is_over() { self.become_ended(Reason::LegIsOver) } else { Vec::new() }
    }

    /// The journals of an older history end where the next one began: the replica comes back and goes on
    /// there.
    fn leg_is_over(&self) -> bool {
        let is_over = |to: &Vec<Lsn>| self.flows.iter().zip(to).all(|(flow, to)| flow.acked >= *to);
        self.to.as_ref().is_some_and(is_over)
    }

    /// A replica that is silent ends, and one that lives but whose data stands still although there is
    /// something to move.
    fn verdict(&mut self, now: Instant, timeout: Duration) -> Option<Reason> {
        if self.leg_is_over() {
            return Some(Reason::LegIsOver);
        }
        let silent = self.last_ack_age(now);
        if silent > self.pulse.limit(timeout, now) {
            return Some(Reason::Silent(silent));
        }
        let still = now.saturating_duration_since(self.moved);
        // A replica confirms nothing before the items of all flows are with it.
        let all_out = !self.flows.iter().any(|flow| flow.is_full);
        let is_full = self.state == SessionStage::FullSync;
        if !self.flows.iter().any(|flow| flow.owes(is_full, all_out)) {
            self.moved = now;
        } else if still > pulse::still_limit(timeout) {
            return Some(Reason::Still(still));
        }
        None
    }

    fn become_beginning(&mut self) -> Vec<Action> {
        assert_eq!(self.state, SessionStage::Preparation);
        self.state = SessionStage::Beginning;
        vec![Action::Begin]
    }

    fn become_following(&mut self, full: bool, starts: &[Lsn], now: Instant) {
        assert_eq!(self.state, SessionStage::Beginning);
        self.state = if full { SessionStage::FullSync } else { SessionStage::StableSync };
        for (flow, start) in self.flows.iter_mut().zip(starts) {
            (flow.acked, flow.sent_to, flow.is_full, flow.heard) = (*start, *start, full, now);
        }
        self.moved = now;
    }

    fn become_stable(&mut self) {
        assert_eq!(self.state, SessionStage::FullSync);
        self.state = SessionStage::StableSync;
    }

    fn become_ended(&mut self, reason: Reason) -> Vec<Action> {
        assert_eq!(self.ended(), None);
        self.state = SessionStage::Ended(reason);
        vec![Action::End]
    }
}

impl FlowStage {
    /// Whether the replica has something to take: what is in the socket's way, what it has not
    /// acknowledged, or a full sync's end that it has not confirmed.
    fn owes(&self, is_full: bool, all_out: bool) -> bool {
        let is_unconfirmed = is_full && !self.has_acked;
        self.is_writing || (all_out && (is_unconfirmed || self.sent_to > self.acked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    struct Play {
        machine: Machine,
        now: Instant,
    }

    impl Play {
        fn new(id: u64) -> Play {
            let now = Instant::now();
            Play { machine: Machine::new(id, "node".to_owned(), 2, None, now), now }
        }

        fn step(&mut self, event: Event) -> Vec<Action> {
            self.machine.step(event, self.now, TIMEOUT)
        }

        fn attach(&mut self) -> Vec<Action> {
            self.step(Event::HandedOver);
            self.step(Event::Attached(1));
            self.step(Event::Attached(0))
        }

        /// A session of an id in `state`.
        fn to(id: u64, state: &SessionStage) -> Play {
            let mut play = Play::new(id);
            if *state == SessionStage::Preparation {
                return play;
            }
            assert_eq!(play.attach(), [Action::Begin]);
            if *state == SessionStage::Beginning {
                return play;
            }
            let full = *state == SessionStage::FullSync;
            play.step(Event::Begun { full, starts: vec![Lsn(5), Lsn(6)] });
            assert_eq!(play.machine.state(), state);
            play
        }

        /// Lets time pass, in steps as they are due; what is to be done meanwhile.
        fn pass(&mut self, time: Duration) -> Vec<Action> {
            let (end, mut actions) = (self.now + time, Vec::new());
            while let Some(due) = self.machine.due(TIMEOUT).filter(|due| *due <= end) {
                self.now = due.max(self.now);
                actions.extend(self.step(Event::Time));
            }
            self.now = end;
            actions
        }
    }

    const ALL: [SessionStage; 4] = [
        SessionStage::Preparation,
        SessionStage::Beginning,
        SessionStage::FullSync,
        SessionStage::StableSync,
    ];

    #[test]
    fn it_ends_in_every_state_and_the_first_reason_counts() {
        for state in ALL {
            let mut play = Play::to(1, &state);
            assert_eq!(play.step(Event::End(Reason::Killed)), [Action::End]);
            assert_eq!(play.step(Event::End(Reason::ControlClosed)), []);
            assert_eq!(play.step(Event::Begun { full: true, starts: Vec::new() }), []);
            assert_eq!(play.attach(), []);
            assert_eq!(play.machine.ended(), Some(&Reason::Killed));
            assert_eq!((play.machine.due(TIMEOUT), play.machine.acked()), (None, None));
        }
    }

    /// Only a session that begins, and only older ones of its own node.
    #[test]
    fn a_node_is_fed_once_by_the_session_that_it_asked_for_last() {
        for state in ALL {
            for (own, other, node, ends) in [
                (1, 2, "node", true),
                (2, 1, "node", false),
                (1, 1, "node", false),
                (1, 2, "other", false),
            ] {
                let mut play = Play::to(own, &state);
                let node = node.to_owned();
                play.step(Event::Another { id: other, node });
                assert_eq!(play.machine.ended().is_some(), ends, "{state:?} {own} {other}");
            }
            let takes_over = Play::to(1, &state).machine.takes_over();
            assert_eq!(takes_over, state == SessionStage::Beginning);
        }
    }

    /// A handshake that the replica gave up stood on its master for 30 s.
    #[test]
    fn who_does_not_come_is_not_waited_for() {
        let mut play = Play::new(1);
        play.pass(HANDED_OVER_MAX);
        assert_eq!(play.machine.ended(), Some(&Reason::GaveUp));
        let mut play = Play::new(1);
        play.step(Event::HandedOver);
        play.step(Event::Attached(0));
        play.pass(PREPARATION_MAX - Duration::from_millis(1));
        assert_eq!(play.machine.ended(), None);
        play.pass(Duration::from_millis(1));
        assert_eq!(play.machine.ended(), Some(&Reason::NotConnected));
        for flow in [0, 2] {
            let mut play = Play::new(1);
            play.step(Event::Attached(0));
            play.step(Event::Attached(flow));
            assert_eq!(play.machine.ended(), Some(&Reason::ConnectedTwice(flow)));
        }
    }

    /// Its numbers were taken for those of the journal of now: WAIT counted who had nothing of that.
    #[test]
    fn who_reads_an_older_history_confirms_nothing_of_this_one() {
        for (to, state, acked) in [
            (None, ReplicaState::StableSync, Some(vec![Lsn(7), Lsn(6)])),
            (Some(vec![Lsn(9), Lsn(9)]), ReplicaState::CatchingUp, None),
        ] {
            let now = Instant::now();
            let machine = Machine::new(1, "node".to_owned(), 2, to, now);
            let mut play = Play { machine, now };
            assert_eq!(play.attach(), [Action::Begin]);
            play.step(Event::Begun { full: false, starts: vec![Lsn(5), Lsn(6)] });
            play.step(Event::Writes(0, false));
            play.step(Event::Wrote(0, Lsn(9)));
            play.step(Event::Acked(0, Lsn(7)));
            assert_eq!((play.machine.replica_state(), play.machine.acked()), (state, acked));
        }
    }

    #[test]
    fn it_is_in_stable_sync_once_every_flow_has_said_so() {
        let mut play = Play::to(1, &SessionStage::FullSync);
        for flow in [0, 1] {
            play.step(Event::Writes(flow, false));
            play.step(Event::Wrote(flow, Lsn(9)));
        }
        play.step(Event::Acked(0, Lsn(9)));
        assert_eq!((play.machine.state(), play.machine.acked()), (&SessionStage::FullSync, None));
        play.step(Event::Acked(1, Lsn(6)));
        assert_eq!(play.machine.state(), &SessionStage::StableSync);
        assert_eq!(play.machine.acked(), Some(vec![Lsn(9), Lsn(6)]));
        play.step(Event::Acked(0, Lsn(7)));
        assert_eq!(play.machine.acked_of(0), Lsn(9));
        play.step(Event::End(Reason::ControlClosed));
        assert_eq!(play.machine.acked(), None, "who has left confirms nothing");
    }

    #[test]
    fn silence_ends_it_and_so_does_data_that_stands_still() {
        for (alive, moves, reason) in [
            (false, false, Some("nothing was heard from it for")),
            (true, false, Some("its data did not move for")),
            (true, true, None),
        ] {
            let mut play = Play::to(1, &SessionStage::StableSync);
            play.step(Event::Writes(0, false));
            play.step(Event::Wrote(0, Lsn(9)));
            for second in 0..40 {
                // Nothing stands on the other flow.
                play.step(Event::Pings(1));
                play.step(Event::Wrote(1, Lsn(0)));
                if alive {
                    play.step(Event::Alive(0));
                    play.step(Event::Alive(1));
                }
                if moves {
                    play.step(Event::Acked(0, Lsn(10 + second)));
                }
                play.pass(Duration::from_secs(1));
            }
            let ended = play.machine.ended().map(Reason::to_string);
            let is_so = ended.as_deref().zip(reason).is_some_and(|(is, so)| is.starts_with(so));
            assert!(is_so || (ended.is_none() && reason.is_none()), "{ended:?}");
        }
    }

    #[test]
    fn a_leg_ends_where_the_next_history_began() {
        let now = Instant::now();
        let to = Some(vec![Lsn(7), Lsn(8)]);
        let machine = Machine::new(1, "node".to_owned(), 2, to, now);
        let mut play = Play { machine, now };
        play.attach();
        play.step(Event::Begun { full: false, starts: vec![Lsn(7), Lsn(3)] });
        play.step(Event::Acked(1, Lsn(7)));
        assert_eq!(play.machine.ended(), None);
        play.step(Event::Acked(1, Lsn(8)));
        assert_eq!(play.machine.ended(), Some(&Reason::LegIsOver));
    }
}
