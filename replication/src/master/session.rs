//! A session feeds one replica: its control connection and one flow per journal. What is known of it, and what
//! takes no time; the tasks that feed it stand above: `run` and those that it begins.
//!
//! It performs what its machine says ([`super::machine`]: states, takeover, time limits) and tells it what
//! happened.
//!
//! A replica that does not read costs nothing but its place in the journal: writers wait on their
//! sockets, and when the journal is trimmed past them the session ends. No shard ever waits.

use super::flow::FlowSender;
use super::lag::LagTimes;
use super::machine::{Action, Event, Machine};
use super::reason::{FellOut, Reason};
use crate::bell::Bell;
use crate::handshake::Introduction;
use crate::info::{Lag, Progress, Replica, ReplicaState, Speaks};
use crate::roads::{Line, Roads};
use crate::settings::Settings;
use crate::wire::{self, Kind};
use engine::cut::CutId;
use engine::journal::LogHandle;
use engine::types::Lsn;
use futures_lite::future;
use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One replica being fed.
pub struct Session<R: Roads> {
    /// Names it.
    pub id: u64,
    pub(super) roads: R,
    introduction: Introduction,
    peer_ip: String,
    machine: RefCell<Machine>,
    pub(super) settings: Rc<RefCell<Settings>>,
    pub(super) flows: Vec<Rc<Outflow<R::Line>>>,
    started: Instant,
    pub(super) control: RefCell<Option<Rc<R::Line>>>,
    pub(super) control_unread: RefCell<Vec<u8>>,
    /// The control connection was handed over.
    pub(super) handed_over: Bell,
    /// The machine has moved on, or time matters sooner.
    pub(super) moved_on: Bell,
    /// A sign of life is due on the control connection.
    pub(super) tells: Bell,
    pub(super) cut: CutId,
    pub(super) items_done: Cell<u64>,
    /// Bytes of its items that went out.
    pub(super) full_sync_bytes: Cell<u64>,
    pub(super) items_total: Cell<u64>,
    /// Per flow, how far the journal of the one at the top is known to be, where this node is not that itself; none where
    /// that is not known: the heads of what is relayed say nothing of it.
    above: RefCell<Option<Vec<Lsn>>>,
}

/// One flow of a session.
pub struct Outflow<L> {
    pub(super) index: u16,
    pub(super) log: LogHandle,
    pub(super) sender: RefCell<Option<FlowSender>>,
    pub(super) line: RefCell<Option<Rc<L>>>,
    /// What had arrived on it before it was handed over.
    pub(super) unread: RefCell<Vec<u8>>,
    times: RefCell<LagTimes>,
    /// Journal bytes at LSNs that were sent and are not acknowledged.
    sent: RefCell<VecDeque<(Lsn, u64)>>,
    pub(super) acked_bytes: Cell<u64>,
    pub(super) part_bytes: Cell<u64>,
    pub(super) wake: Bell,
    pub(super) drained: Bell,
}

impl<R: Roads> Session<R> {
    /// A session whose flows are still to be attached.
    pub fn new(
        id: u64,
        node: String,
        (introduction, peer_ip): (Introduction, String),
        logs: &[LogHandle],
        to: Option<Vec<Lsn>>,
        settings: Rc<RefCell<Settings>>,
        roads: R,
    ) -> Rc<Session<R>> {
        let flow = |(index, log): (usize, &LogHandle)| {
            Rc::new(Outflow {
                index: index as u16,
                log: log.clone(),
                sender: RefCell::new(None),
                line: RefCell::new(None),
                unread: RefCell::default(),
                times: RefCell::default(),
                sent: RefCell::default(),
                acked_bytes: Cell::new(0),
                part_bytes: Cell::new(0),
                wake: Bell::default(),
                drained: Bell::default(),
            })
        };
        let now = roads.now();
        Rc::new(Session {
            id,
            roads,
            introduction,
            peer_ip,
            machine: RefCell::new(Machine::new(id, node, logs.len(), to, now)),
            settings,
            flows: logs.iter().enumerate().map(flow).collect(),
            started: now,
            control: RefCell::new(None),
            control_unread: RefCell::default(),
            handed_over: Bell::default(),
            moved_on: Bell::default(),
            tells: Bell::default(),
            cut: CutId(id),
            items_done: Cell::new(0),
            full_sync_bytes: Cell::new(0),
            items_total: Cell::new(0),
            above: RefCell::new(None),
        })
    }

    /// How far the journals of the one at the top are known to be; empty where that is this node, none where it is not known.
    pub fn sees(&self, above: Option<&[Lsn]>) {
        *self.above.borrow_mut() = above.map(<[Lsn]>::to_vec);
    }

    /// The machine, to look at it.
    pub fn machine(&self) -> Ref<'_, Machine> {
        self.machine.borrow()
    }

    /// Something happened.
    pub fn step(&self, event: Event) {
        let timeout = self.settings.borrow().timeout;
        let before = self.state();
        let actions = self.machine.borrow_mut().step(event, self.roads.now(), timeout);
        if before == ReplicaState::FullSync && self.state() == ReplicaState::StableSync {
            self.say_complete();
        }
        for action in actions {
            match action {
                Action::Begin => self.moved_on.ring(),
                Action::Tell => self.tells.ring(),
                Action::WakeFlows => self.flows.iter().for_each(|flow| flow.wake.ring()),
                Action::Look => self.look(),
                Action::End => self.close(),
            }
        }
    }

    /// A full sync is over: the replica has all of it, and has said so.
    fn say_complete(&self) {
        let (items, bytes) = (self.items_done.get(), self.full_sync_bytes.get());
        let seconds = self.roads.now().saturating_duration_since(self.started).as_secs_f64();
        tracing::info!(
            "replication: the full sync of replica {} is complete: {items} keys, {bytes} bytes, {seconds:.1} s",
            self.address()
        );
    }

    /// How far it is.
    pub fn state(&self) -> ReplicaState {
        self.machine().replica_state()
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.machine().ended().is_some()
    }

    /// Where the replica says it is reached.
    pub fn address(&self) -> String {
        format!("{}:{}", self.ip(), self.introduction.listening_port)
    }

    fn ip(&self) -> &str {
        self.introduction.ip_address.as_deref().unwrap_or(&self.peer_ip)
    }

    /// Ends the session; the first reason counts.
    pub fn end(&self, reason: Reason) {
        self.step(Event::End(reason));
    }

    fn close(&self) {
        for flow in &self.flows {
            flow.line.borrow().iter().for_each(|line| line.close());
            flow.wake.ring();
            flow.drained.ring();
        }
        self.handed_over.ring();
        self.moved_on.ring();
    }

    /// The control connection is handed over, with what was read of it and not used.
    pub fn attach_control(&self, line: R::Line, unread: Vec<u8>) {
        *self.control_unread.borrow_mut() = unread;
        *self.control.borrow_mut() = Some(Rc::new(line));
        self.handed_over.ring();
        self.step(Event::HandedOver);
        self.moved_on.ring();
    }

    /// A flow's connection is handed over, with what was read of it and not used.
    pub fn attach_flow(&self, index: usize, line: R::Line, unread: Vec<u8>) {
        if let Some(flow) = self.flows.get(index).filter(|_| !self.is_ended())
            && flow.line.borrow().is_none()
        {
            *flow.line.borrow_mut() = Some(Rc::new(line));
            *flow.unread.borrow_mut() = unread;
        }
        self.step(Event::Attached(index));
    }

    /// What the control connection tells: how far a full sync is, and the heads of the journals, so
    /// that a replica knows its lag also while it is slow to read its flows. To a replica of a replica they are those of the one
    /// at the top; below one that has lost its master nobody knows his lag.
    pub(super) fn news(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let progress = [self.items_done.get(), self.items_total.get()];
        wire::put_numbers(&mut message, Kind::Progress, &progress);
        if let Some(above) = &*self.above.borrow() {
            // Journals that end where those of now begin have no more than they have.
            let above = if self.machine().is_of_older_history() { &[][..] } else { above };
            let head_above = |flow| above.get(flow).map_or(0, |lsn: &Lsn| lsn.0);
            let flows = self.flows.iter().enumerate();
            let heads = flows.map(|(flow, out)| out.log.head().0.max(head_above(flow)));
            wire::put_numbers(&mut message, Kind::Ping, &heads.collect::<Vec<u64>>());
        }
        message
    }

    /// What the replica says on the control connection: signs of life.
    pub(super) fn take_signs(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
        let mut at = 0;
        while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
            if kind != Kind::Alive {
                return Err(format!("it sent {kind:?}"));
            }
            self.step(Event::Timeout(wire::alive(payload)?));
            at += used;
        }
        buffer.drain(..at);
        Ok(())
    }

    /// Bytes of a flow are on their way into its socket.
    pub(super) fn writes(&self, flow: &Outflow<R::Line>) {
        self.step(Event::Writes(flow.index, flow.is_full_sync()));
    }

    /// They are in it, up to `end`.
    pub(super) fn wrote(&self, flow: &Outflow<R::Line>, end: Lsn) {
        self.step(Event::Wrote(flow.index, end));
    }

    /// What INFO and metrics show.
    pub fn describe(&self) -> Replica {
        let (machine, now) = (self.machine(), self.roads.now());
        let state = machine.replica_state();
        let (stable, full) = (state == ReplicaState::StableSync, state == ReplicaState::FullSync);
        let seconds = self.roads.now().saturating_duration_since(self.started).as_secs_f64();
        let (done, total) = (self.items_done.get(), self.items_total.get());
        Replica {
            session: self.id,
            ip: self.ip().to_owned(),
            port: self.introduction.listening_port,
            state,
            // Before, what counts as acknowledged is where its flows began: it has none of it.
            offset: match stable {
                true => self.flows.iter().map(|flow| machine.acked_of(flow.index).0).sum(),
                false => 0,
            },
            lags: if stable {
                self.flows.iter().map(|flow| flow.lag(machine.acked_of(flow.index), now)).collect()
            } else {
                Vec::new()
            },
            last_ack_ms: machine.last_ack_age(self.roads.now()).as_millis() as u64,
            progress: full.then(|| Progress::of(done, total, seconds)),
            speaks: Speaks::Journals,
        }
    }

    /// What it has acknowledged of each journal, once it follows all of them.
    pub fn acked(&self) -> Option<Vec<Lsn>> {
        let machine = self.machine();
        let is_stable = machine.replica_state() == ReplicaState::StableSync;
        is_stable.then(|| self.flows.iter().map(|flow| machine.acked_of(flow.index)).collect())
    }

    /// The journals that are sent.
    pub(super) fn logs(&self) -> Vec<LogHandle> {
        self.flows.iter().map(|flow| flow.log.clone()).collect()
    }

    /// Looks at what nothing else tells: a journal trimmed past a writer that waits for its socket.
    fn look(&self) {
        for flow in &self.flows {
            flow.times.borrow_mut().note(flow.log.head(), self.roads.now());
            let sender = flow.sender.borrow();
            let gone = sender.as_ref().is_some_and(|sender| sender.reader().is_gone());
            drop(sender);
            if gone {
                self.end_trimmed(flow);
            }
        }
    }

    /// How often a sign of life is due.
    pub(super) fn alive_every(&self) -> Duration {
        self.machine().says_every(self.settings.borrow().timeout)
    }

    pub(super) fn end_trimmed(&self, flow: &Outflow<R::Line>) {
        let behind = flow.log.total_bytes().saturating_sub(flow.acked_bytes.get());
        let bound = self.settings.borrow().journals_bounds.bytes;
        let needed = backlog_needed(behind, self.flows.len(), bound);
        let acked = self.machine().acked_of(flow.index);
        let held = (flow.log.first(), flow.log.head());
        self.end(Reason::FellOut(FellOut { flow: flow.index, acked, held, behind, needed }));
    }

    /// Tells the replica why, and lets it go.
    pub(super) async fn say_why(&self) {
        let control = self.control.borrow().clone();
        if let Some(control) = control {
            let mut message = Vec::new();
            let why = self.machine().ended().map(Reason::to_string).unwrap_or_default();
            wire::put_bytes(&mut message, Kind::End, why.as_bytes());
            let said = async {
                let _ = control.write(&message).await;
            };
            future::or(said, self.roads.sleep(Duration::from_millis(100))).await;
            control.close();
        }
    }
}

/// What `repl_backlog_size` has to be, where a replica fell out of the log of one of `shards` shards.
fn backlog_needed(behind: u64, shards: usize, bound: u64) -> u64 {
    // The flag bounds the journals of all shards together. What is set was too little, whatever this flow
    // had acknowledged.
    behind.saturating_mul(shards as u64).max(bound.saturating_mul(2))
}

impl<L> Outflow<L> {
    fn lag(&self, acked: Lsn, now: Instant) -> Lag {
        let head = self.log.head();
        let records = head.0.saturating_sub(acked.0);
        if records == 0 {
            return Lag::default();
        }
        let bytes = self.log.total_bytes().saturating_sub(self.acked_bytes.get());
        let mut times = self.times.borrow_mut();
        times.note(head, now);
        Lag { records, bytes, millis: times.age(acked, head, now) }
    }

    pub(super) fn is_full_sync(&self) -> bool {
        self.sender.borrow().as_ref().is_none_or(FlowSender::is_full_sync)
    }

    /// Everything up to `lsn` is acknowledged.
    pub(super) fn note_acked(&self, lsn: Lsn) {
        self.times.borrow_mut().acked(lsn);
        let mut sent = self.sent.borrow_mut();
        while let Some(&(end, bytes)) = sent.front()
            && end <= lsn
        {
            self.acked_bytes.set(bytes);
            sent.pop_front();
        }
    }

    pub(super) fn note_sent(&self, end: Lsn, bytes: u64) {
        /// Positions remembered for the lag in bytes: beyond it, it gets coarser.
        const SENT_MAX: usize = 65_536;
        let mut sent = self.sent.borrow_mut();
        if sent.len() >= SENT_MAX {
            sent.pop_back();
        }
        sent.push_back((end, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once it said to raise it above less than is set.
    #[test]
    fn a_replica_that_fell_out_never_asks_for_less_than_twice_what_is_set() {
        for (behind, shards, bound, needed) in [
            (10, 2, 1000, 2000),
            (0, 1, 1000, 2000),
            (5000, 2, 1000, 10_000),
            (1001, 2, 1001, 2002),
            (u64::MAX, 2, u64::MAX, u64::MAX),
        ] {
            assert_eq!(backlog_needed(behind, shards, bound), needed, "{behind} {shards} {bound}");
        }
    }
}
