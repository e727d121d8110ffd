//! Who performs what a session's machine says, without sockets and clocks.

use crate::following::{RULES, end_message};
use crate::member::Member;
use crate::net::{Conn, Wire};
use crate::time::Time;
use engine::cut::CutId;
use engine::journal::LogHandle;
use engine::types::{Lsn, ShardId};
use futures_lite::future;
use replication::bell::Bell;
use replication::master::feed::{self, Beginning};
use replication::master::flow::{FlowSender, Step};
use replication::master::machine::{Action, Event, Machine, State};
use replication::master::reason::{FellOut, Reason};
use replication::master::sessions::Feeds;
use replication::service::admission::Agreed;
use replication::standing::Walks;
use replication::wire::{self, Kind, Said};
use std::cell::{Cell, Ref, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// Bytes sent in one go.
const SEND_BYTES: usize = 256 * 1024;

/// Parts of items held for one flow: so few that a walk waits for its connections, and much happens
/// between two parts.
const PARTS_BYTES_MAX: u64 = 16 * 1024;

/// One replica being fed.
pub(crate) struct Session {
    pub(crate) id: u64,
    machine: RefCell<Machine>,
    member: Weak<Member>,
    time: Time,
    walks: Walks,
    logs: Vec<LogHandle>,
    flows: RefCell<Vec<Rc<Flow>>>,
    pub(crate) conn: Rc<Conn>,
    started: Instant,
    moved_on: Bell,
    tells: Bell,
}

struct Flow {
    index: u16,
    wire: Rc<Wire>,
    sender: RefCell<FlowSender>,
    part_bytes: Cell<u64>,
    wake: Bell,
    /// Each shard's walker.
    drained: Vec<Bell>,
}

impl Feeds for Session {
    fn machine(&self) -> Ref<'_, Machine> {
        self.machine.borrow()
    }

    fn step(&self, event: Event) {
        let actions = self.machine.borrow_mut().step(event, self.time.now(), RULES.timeout);
        for action in actions {
            match action {
                Action::Begin => self.moved_on.ring(),
                Action::Tell => self.tells.ring(),
                Action::WakeFlows => self.flows.borrow().iter().for_each(|flow| flow.wake.ring()),
                Action::Look => self.look(),
                Action::End => self.close(),
            }
        }
    }
}

impl Session {
    pub(crate) fn new(member: &Rc<Member>, agreed: &Agreed, conn: &Rc<Conn>) -> Rc<Session> {
        let Agreed { terms, node, logs, walks, .. } = agreed;
        let (id, time) = (terms.session, Time::new(member.node.world()));
        let machine = Machine::new(id, node.clone(), logs.len(), terms.to.clone(), time.now());
        conn.connect(logs.len());
        Rc::new(Session {
            id,
            machine: RefCell::new(machine),
            member: Rc::downgrade(member),
            walks: *walks,
            logs: logs.clone(),
            flows: RefCell::default(),
            conn: conn.clone(),
            started: time.now(),
            time,
            moved_on: Bell::default(),
            tells: Bell::default(),
        })
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.machine().ended().is_some()
    }

    /// For how long it could know that the replica has left.
    pub(crate) fn is_over_for(&self) -> Option<Duration> {
        let over = self.conn.over.get()?.max(self.started);
        Some(self.time.now().saturating_duration_since(over))
    }

    pub(crate) fn end(&self, reason: Reason) {
        self.step(Event::End(reason));
    }

    /// The control connection is handed over.
    pub(crate) fn hand_over(&self) {
        self.step(Event::HandedOver);
        self.moved_on.ring();
    }

    /// A flow's connection is.
    pub(crate) fn attach(&self, index: usize) {
        self.step(Event::Attached(index));
    }

    fn close(&self) {
        self.conn.close_flows_by_master();
        for flow in self.flows.borrow().iter() {
            flow.wake.ring();
            flow.drained.iter().for_each(Bell::ring);
        }
        self.moved_on.ring();
        self.tells.ring();
    }

    fn look(&self) {
        let flows = self.flows.borrow().clone();
        for flow in flows {
            if flow.sender.borrow().reader().is_gone() {
                self.end_trimmed(&flow);
            }
        }
    }

    fn end_trimmed(&self, flow: &Flow) {
        let log = flow.sender.borrow().reader().log().clone();
        let acked = self.machine().acked_of(flow.index);
        let held = (log.first(), log.head());
        let fell = FellOut { flow: flow.index, acked, held, behind: 0, needed: 0 };
        self.end(Reason::FellOut(fell));
    }

    async fn wait_while(&self, is_so: impl Fn(&Machine) -> bool) {
        while is_so(&self.machine()) {
            let due = self.machine().due(RULES.timeout);
            let rung = async {
                self.moved_on.wait().await;
                false
            };
            let is_due = match due {
                None => rung.await,
                Some(due) => {
                    let left = due.saturating_duration_since(self.time.now());
                    let slept = async {
                        self.time.sleep(left).await;
                        true
                    };
                    future::or(rung, slept).await
                }
            };
            if is_due {
                self.step(Event::Time);
            }
        }
    }

    /// The terms are told. The tasks end when the session does.
    pub(crate) async fn run(
        self: Rc<Session>,
        member: Rc<Member>,
        (beginning, walks): (Beginning, Walks),
    ) {
        self.time.spawn("signs", read_control(self.clone(), member.dice()));
        self.time.spawn("tell", tell(self.clone()));
        self.wait_while(|machine| *machine.state() == State::Preparation).await;
        let has_begun = !self.is_ended();
        if has_begun {
            member.session_begins(&self);
            let begun = self.begin(&member, beginning, walks).await;
            self.step(begun.unwrap_or_else(|why| Event::End(Reason::CannotBegin(why))));
        }
        if !self.is_ended() {
            self.spawn_all(&member);
        }
        self.wait_while(|machine| machine.ended().is_none()).await;
        if has_begun {
            let cut = CutId(self.id);
            member.here.front.call_all(move |shard| shard.cut_drop(cut)).await;
        }
        let why = self.machine().ended().map(Reason::to_string).unwrap_or_default();
        self.conn.control.down.put(&end_message(&why));
        self.conn.close_control_by_master();
        if let Some(member) = self.member.upgrade() {
            member.forget(self.id);
        }
    }

    async fn begin(
        &self,
        member: &Rc<Member>,
        beginning: Beginning,
        walks: Walks,
    ) -> Result<Event, String> {
        let full = matches!(beginning, Beginning::Full);
        let cut = (CutId(self.id), walks);
        let begun = feed::begin(&member.here.front, cut, &self.logs, beginning).await?;
        let starts = begun.starts();
        let drained = || (0..member.node.shards()).map(|_| Bell::default()).collect();
        let flow = |(index, sender): (u16, FlowSender)| {
            Rc::new(Flow {
                index,
                wire: self.conn.wire(index),
                sender: RefCell::new(sender),
                part_bytes: Cell::new(0),
                wake: Bell::default(),
                drained: drained(),
            })
        };
        *self.flows.borrow_mut() = (0..).zip(begun.senders).map(flow).collect();
        Ok(Event::Begun { full, starts })
    }

    fn spawn_all(self: &Rc<Session>, member: &Rc<Member>) {
        for flow in self.flows.borrow().iter() {
            let write = write_flow(self.clone(), flow.clone(), member.dice());
            self.time.spawn("write flow", write);
            self.time.spawn("read acks", read_acks(self.clone(), flow.clone(), member.dice()));
        }
        if self.walks != Walks::None {
            for shard in member.here.front.node.all_shards() {
                self.time.spawn("walk", walk(self.clone(), member.clone(), shard));
            }
        }
    }
}

async fn tell(session: Rc<Session>) {
    while !session.is_ended() {
        session.tells.wait().await;
        let mut news = Vec::new();
        wire::put_alive(&mut news, RULES.timeout);
        session.conn.control.down.put(&news);
    }
}

async fn read_control(session: Rc<Session>, mut dice: fastrand::Rng) {
    let (pipe, mut buffer) = (&session.conn.control.up, Vec::new());
    while !session.is_ended() {
        if pipe.read(&mut buffer, &mut dice).await.is_err() {
            return session.end(Reason::ControlClosed);
        }
        let mut at = 0;
        while let Ok(Some((kind, payload, used))) = wire::next(&buffer[at..]) {
            assert_eq!(kind, Kind::Alive);
            session.step(Event::Timeout(wire::alive(payload).expect("a time-out")));
            at += used;
        }
        buffer.drain(..at);
    }
}

async fn write_flow(session: Rc<Session>, flow: Rc<Flow>, mut dice: fastrand::Rng) {
    let (pipe, index) = (&flow.wire.down, flow.index);
    let mut first = Vec::new();
    wire::put_numbers(&mut first, Kind::Start, &[session.machine().acked_of(index).0]);
    let mut sent = pipe.write(&first).await;
    let mut said = session.time.now();
    while sent.is_ok() && !session.is_ended() {
        // As if a full sync were slowed: items in slices of any size, or not now.
        let items = if dice.bool() { dice.usize(1..64 * 1024) } else { usize::MAX };
        let mut step =
            flow.sender.borrow_mut().next_within(SEND_BYTES, if dice.bool() { items } else { 0 });
        if matches!(step, Step::Wait) {
            step = flow.sender.borrow_mut().next_within(SEND_BYTES, items);
        }
        let is_full = flow.sender.borrow().is_full_sync();
        let (mut message, mut end, mut items) = (Vec::new(), Lsn(0), 0);
        match step {
            Step::Log(span) => {
                message.extend_from_slice(&wire::header(Kind::Log, &span));
                message.extend_from_slice(&span);
                end = span.lsn_after();
            }
            Step::Messages(messages) => (items, message) = (messages.len() as u64, messages),
            Step::Wait => {
                let every = session.machine().says_every(RULES.timeout);
                let left = every.saturating_sub(session.time.now().saturating_duration_since(said));
                if left.is_zero() {
                    let head = flow.sender.borrow().reader().log().head();
                    wire::put_numbers(&mut message, Kind::Ping, &[head.0, 0]);
                } else {
                    let readable =
                        poll_fn(|cx| flow.sender.borrow_mut().reader_mut().poll_readable(cx));
                    let more = future::or(readable, flow.wake.wait());
                    future::or(more, session.time.sleep(left)).await;
                }
            }
            Step::Gone(_) => session.end_trimmed(&flow),
        }
        if message.is_empty() {
            continue;
        }
        let is_sign = end == Lsn(0) && items == 0;
        session.step(if is_sign { Event::Pings(index) } else { Event::Writes(index, is_full) });
        sent = pipe.write(&message).await;
        session.step(Event::Wrote(index, end));
        said = session.time.now();
        if items > 0 {
            flow.part_bytes.set(flow.part_bytes.get().saturating_sub(items));
            flow.drained.iter().for_each(Bell::ring);
        }
    }
    session.end(Reason::Flow(index, sent.err().unwrap_or_default()));
}

async fn read_acks(session: Rc<Session>, flow: Rc<Flow>, mut dice: fastrand::Rng) {
    let (pipe, mut buffer) = (&flow.wire.up, Vec::new());
    while !session.is_ended() {
        if pipe.read(&mut buffer, &mut dice).await.is_err() {
            return session.end(Reason::FlowClosed(flow.index));
        }
        let mut at = 0;
        loop {
            let message = match wire::next(&buffer[at..]) {
                Ok(message) => message,
                Err(error) => return session.end(Reason::Flow(flow.index, error)),
            };
            let Some((kind, payload, used)) = message else { break };
            let head = flow.sender.borrow().reader().log().head();
            let said = Said::of(kind, payload, head);
            match said.unwrap_or_else(|error| panic!("{error} ({head})")) {
                Said::Ack(lsn) => session.step(Event::Acked(flow.index, lsn)),
                Said::Alive => session.step(Event::Alive(flow.index)),
            }
            at += used;
        }
        buffer.drain(..at);
    }
}

/// Brings the items of one shard to the flows, part by part.
async fn walk(session: Rc<Session>, member: Rc<Member>, shard: ShardId) {
    let (cut, walks) = (CutId(session.id), session.walks);
    let feeds = |flow: &&Rc<Flow>| walks.feeds(shard, flow.index);
    let flows: Vec<Rc<Flow>> = session.flows.borrow().iter().filter(feeds).cloned().collect();
    while !session.is_ended() {
        flows.iter().for_each(|flow| flow.sender.borrow_mut().ask(shard.0));
        let Some(mut part) = member.here.front.call(shard, move |shard| shard.cut_more(cut)).await
        else {
            return session.end(Reason::CutDropped);
        };
        let is_empty = part.groups.is_empty();
        for flow in &flows {
            let part = feed::deliver(&mut flow.sender.borrow_mut(), flow.index, &mut part);
            flow.part_bytes.set(flow.part_bytes.get() + part.bytes);
            if part.wakes {
                flow.wake.ring();
            }
        }
        if part.done {
            return;
        }
        if is_empty {
            member.node.world().yield_now().await;
        }
        for flow in &flows {
            while flow.part_bytes.get() > PARTS_BYTES_MAX && !session.is_ended() {
                flow.drained[shard.index()].wait().await;
            }
        }
    }
}
