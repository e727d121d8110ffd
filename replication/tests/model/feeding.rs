//! The master's side of a session: `master::session` without sockets and clocks.

use crate::member::Member;
use crate::net::Conn;
use engine::cut::CutId;
use engine::journal::LogHandle;
use engine::types::{Lsn, ShardId};
use replication::bell::Bell;
use replication::handshake::Terms;
use replication::master::feed;
use replication::master::flow::{FlowSender, Step};
use replication::standing::Walks;
use replication::wire::{self, Kind};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;

/// Bytes sent in one go.
const SEND_BYTES: usize = 256 * 1024;

/// Parts of items held for one flow: so few that a walk waits for its connections, and much happens
/// between two parts.
const PARTS_BYTES_MAX: u64 = 16 * 1024;

/// One replica being fed.
pub(crate) struct Session {
    id: u64,
    terms: Terms,
    walks: Walks,
    logs: Vec<LogHandle>,
    flows: RefCell<Vec<Rc<Flow>>>,
    conn: RefCell<Option<Rc<Conn>>>,
    pub(crate) ended: Cell<bool>,
}

struct Flow {
    index: u16,
    sender: RefCell<FlowSender>,
    acked: Cell<Lsn>,
    part_bytes: Cell<u64>,
    wake: Bell,
    /// Each shard's walker.
    drained: Vec<Bell>,
}

impl Session {
    pub(crate) fn new(id: u64, terms: &Terms, walks: Walks, logs: Vec<LogHandle>) -> Rc<Session> {
        Rc::new(Session {
            id,
            terms: terms.clone(),
            walks,
            logs,
            flows: RefCell::default(),
            conn: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    /// Ends the session.
    pub(crate) fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        if let Some(conn) = &*self.conn.borrow() {
            conn.close(false);
        }
        for flow in self.flows.borrow().iter() {
            flow.wake.ring();
            flow.drained.iter().for_each(Bell::ring);
        }
    }

    /// The connections are there: begins. The tasks end when the session does.
    pub(crate) async fn run(self: Rc<Session>, member: Rc<Member>, conn: Rc<Conn>) {
        *self.conn.borrow_mut() = Some(conn.clone());
        if self.ended.get() {
            return conn.close(false);
        }
        let own =
            !member.is_replica.get() && self.terms.history == member.standing.lineage().current();
        let begun = if self.terms.full {
            feed::begin_full(&member.front, CutId(self.id), self.walks, &self.logs).await
        } else {
            feed::begin_partial(&member.front, own, &self.logs, &self.terms.from).await
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(_) => {
                self.end();
                return self.drop_cut(&member).await;
            }
        };
        let drained = || (0..member.node.shards()).map(|_| Bell::default()).collect();
        let flow = |(index, sender): (u16, FlowSender)| {
            Rc::new(Flow {
                index,
                acked: Cell::new(sender.reader().lsn()),
                sender: RefCell::new(sender),
                part_bytes: Cell::new(0),
                wake: Bell::default(),
                drained: drained(),
            })
        };
        *self.flows.borrow_mut() = (0..).zip(begun.senders).map(flow).collect();
        let world = member.node.world();
        for flow in self.flows.borrow().iter() {
            let write = write_flow(self.clone(), flow.clone(), conn.clone(), member.dice());
            world.spawn("write flow", write);
            let acks = read_acks(self.clone(), flow.clone(), conn.clone(), member.dice());
            world.spawn("read acks", acks);
        }
        if self.walks != Walks::None {
            for shard in member.front.node.all_shards() {
                world.spawn("walk", walk(self.clone(), member.clone(), shard));
            }
        }
        while !conn.closed.get() {
            conn.closing.wait().await;
        }
        self.end();
        self.drop_cut(&member).await;
    }

    async fn drop_cut(&self, member: &Rc<Member>) {
        let cut = CutId(self.id);
        member.front.call_all(move |shard| shard.cut_drop(cut)).await;
    }

    /// Notices what nothing else tells: a journal trimmed past a writer that waits for its socket.
    pub(crate) fn watch(&self) {
        let gone = |flow: &Rc<Flow>| flow.sender.borrow().reader().is_gone();
        if self.flows.borrow().iter().any(gone) {
            self.end();
        }
    }

    pub(crate) fn is_of_older_history(&self) -> bool {
        self.terms.to.is_some()
    }

    fn end_if_leg_is_over(&self) {
        let Some(to) = &self.terms.to else { return };
        if self.flows.borrow().iter().zip(to).all(|(flow, to)| flow.acked.get() >= *to) {
            self.end();
        }
    }
}

async fn write_flow(session: Rc<Session>, flow: Rc<Flow>, conn: Rc<Conn>, mut dice: fastrand::Rng) {
    let pipe = &conn.wires[usize::from(flow.index)].down;
    let mut first = Vec::new();
    wire::put_numbers(&mut first, Kind::Start, &[flow.acked.get().0]);
    let mut sent = pipe.write(&first).await;
    while sent.is_ok() && !session.ended.get() {
        // As if a full sync were slowed: items in slices of any size, or not now.
        let items = if dice.bool() { dice.usize(1..64 * 1024) } else { usize::MAX };
        let mut step =
            flow.sender.borrow_mut().next_within(SEND_BYTES, if dice.bool() { items } else { 0 });
        if matches!(step, Step::Wait) {
            step = flow.sender.borrow_mut().next_within(SEND_BYTES, items);
        }
        sent = match step {
            Step::Log(span) => {
                let mut message = wire::header(Kind::Log, &span).to_vec();
                message.extend_from_slice(&span);
                pipe.write(&message).await
            }
            Step::Messages(messages) => {
                let sent = pipe.write(&messages).await;
                let left = flow.part_bytes.get().saturating_sub(messages.len() as u64);
                flow.part_bytes.set(left);
                flow.drained.iter().for_each(Bell::ring);
                sent
            }
            Step::Wait => {
                let readable =
                    poll_fn(|cx| flow.sender.borrow_mut().reader_mut().poll_readable(cx));
                futures_lite::future::or(readable, flow.wake.wait()).await;
                Ok(())
            }
            Step::Gone(gone) => Err(gone.to_string()),
        };
    }
    session.end();
}

async fn read_acks(session: Rc<Session>, flow: Rc<Flow>, conn: Rc<Conn>, mut dice: fastrand::Rng) {
    let (pipe, mut buffer) = (&conn.wires[usize::from(flow.index)].up, Vec::new());
    while !session.ended.get() && pipe.read(&mut buffer, &mut dice).await.is_ok() {
        let mut at = 0;
        let is_damaged = loop {
            let Ok(message) = wire::next(&buffer[at..]) else { break true };
            let Some((kind, payload, used)) = message else { break false };
            assert_eq!(kind, Kind::Ack);
            let [lsn] = wire::numbers(payload).unwrap();
            let head = flow.sender.borrow().reader().log().head();
            assert!(lsn <= head.0, "acknowledged {lsn}, which was never written ({head})");
            flow.acked.set(Lsn(lsn).max(flow.acked.get()));
            at += used;
        };
        if is_damaged {
            break;
        }
        buffer.drain(..at);
        session.end_if_leg_is_over();
    }
    session.end();
}

/// Brings the items of one shard to the flows, part by part.
async fn walk(session: Rc<Session>, member: Rc<Member>, shard: ShardId) {
    let (cut, walks) = (CutId(session.id), session.walks);
    let feeds = |flow: &&Rc<Flow>| walks.feeds(shard, flow.index);
    let flows: Vec<Rc<Flow>> = session.flows.borrow().iter().filter(feeds).cloned().collect();
    while !session.ended.get() {
        flows.iter().for_each(|flow| flow.sender.borrow_mut().ask(shard.0));
        let Some(mut part) = member.front.call(shard, move |shard| shard.cut_more(cut)).await
        else {
            return session.end();
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
            while flow.part_bytes.get() > PARTS_BYTES_MAX && !session.ended.get() {
                flow.drained[shard.index()].wait().await;
            }
        }
    }
}
