//! A session feeds one replica: its control connection and one flow per journal.
//!
//! ```text
//!   Preparation  flows are attached one by one ─► start: cut (full) or readers (partial)
//!   FullSync     a walker per shard asks for parts, writers merge them with the journal
//!   StableSync   writers follow the journal
//!   ended        from every state, with a reason that is logged once
//! ```
//!
//! A replica that does not read costs nothing but its place in the journal: writers wait on their
//! sockets, and when the journal is trimmed past them the session ends. No shard ever waits.

mod walking;
mod writing;

use super::feed;
use super::flow::FlowSender;
use super::lag::LagTimes;
use crate::bell::Bell;
use crate::handshake::Introduction;
use crate::info::{Lag, Progress, Replica, ReplicaState};
use crate::pulse::{self, Pulse};
use crate::settings::Settings;
use crate::standing::Walks;
use crate::transport::Transport;
use crate::wire::{self, Kind, Said};
use engine::cut::CutId;
use engine::exec::Front;
use engine::journal::LogHandle;
use engine::rt;
use engine::types::{Lsn, Millis};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A replica that has been granted terms must attach its flows within this time.
const PREPARATION_MAX: Duration = Duration::from_secs(30);

/// Its control connection is handed over by the executor that it was made on, which takes no round trip:
/// what is not there by then has been given up.
const HANDED_OVER_MAX: Duration = Duration::from_secs(3);

/// Why a session ends whose replica has left.
const CONTROL_CLOSED: &str = "the replica closed the control connection";

/// How it says that the control connection broke.
const CONTROL_BROKEN: &str = "control connection";

/// One replica being fed.
pub struct Session {
    /// Names it.
    pub id: u64,
    /// The id of the node that is fed.
    node: String,
    introduction: Introduction,
    peer_ip: String,
    flows: Vec<Rc<Flow>>,
    state: Cell<ReplicaState>,
    started: Instant,
    /// Why it ended.
    ended: RefCell<Option<String>>,
    control: RefCell<Option<Rc<Transport>>>,
    control_unread: RefCell<Vec<u8>>,
    /// A flow or the control connection was attached, or the session ended.
    attached: Bell,
    /// The control connection was.
    handed_over: Bell,
    ending: Bell,
    cut: CutId,
    pulse: Pulse,
    /// When its data moved last, or there was nothing to move.
    moved: Cell<Instant>,
    items_done: Cell<u64>,
    items_total: Cell<u64>,
    /// Of the flows' ends, when a younger history begins there.
    to: Option<Vec<Lsn>>,
}

/// One flow of a session.
pub struct Flow {
    index: u16,
    log: LogHandle,
    sender: RefCell<Option<FlowSender>>,
    transport: RefCell<Option<Rc<Transport>>>,
    /// What had arrived on it before it was handed over.
    unread: RefCell<Vec<u8>>,
    acked: Cell<Lsn>,
    /// It has acknowledged something: only a replica in stable sync does.
    has_acked: Cell<bool>,
    /// The end of the last frame that was sent whole.
    sent_to: Cell<Lsn>,
    /// Bytes are on their way into the socket.
    is_writing: Cell<bool>,
    last_ack: Cell<Instant>,
    times: RefCell<LagTimes>,
    /// Journal bytes at LSNs that were sent and are not acknowledged.
    sent: RefCell<VecDeque<(Lsn, u64)>>,
    acked_bytes: Cell<u64>,
    part_bytes: Cell<u64>,
    wake: Bell,
    drained: Bell,
}

/// How the data of a session begins.
pub enum Beginning {
    /// Items of all our shards, merged with the journals.
    Full,
    /// The journals from some positions.
    Partial {
        /// The positions.
        from: Vec<Lsn>,
        /// The journals are those of our own shards.
        own: bool,
    },
}

impl Session {
    /// A session whose flows are still to be attached.
    pub fn new(
        id: u64,
        node: String,
        introduction: Introduction,
        peer_ip: String,
        logs: &[LogHandle],
        to: Option<Vec<Lsn>>,
    ) -> Rc<Session> {
        let flow = |(index, log): (usize, &LogHandle)| {
            Rc::new(Flow {
                index: index as u16,
                log: log.clone(),
                sender: RefCell::new(None),
                transport: RefCell::new(None),
                unread: RefCell::default(),
                acked: Cell::new(Lsn(0)),
                has_acked: Cell::new(false),
                sent_to: Cell::new(Lsn(0)),
                is_writing: Cell::new(false),
                last_ack: Cell::new(Instant::now()),
                times: RefCell::default(),
                sent: RefCell::default(),
                acked_bytes: Cell::new(0),
                part_bytes: Cell::new(0),
                wake: Bell::default(),
                drained: Bell::default(),
            })
        };
        Rc::new(Session {
            id,
            node,
            introduction,
            peer_ip,
            flows: logs.iter().enumerate().map(flow).collect(),
            state: Cell::new(ReplicaState::Preparation),
            started: Instant::now(),
            ended: RefCell::new(None),
            control: RefCell::new(None),
            control_unread: RefCell::default(),
            attached: Bell::default(),
            handed_over: Bell::default(),
            ending: Bell::default(),
            cut: CutId(id),
            pulse: Pulse::default(),
            moved: Cell::new(Instant::now()),
            items_done: Cell::new(0),
            items_total: Cell::new(0),
            to,
        })
    }

    /// How far it is.
    pub fn state(&self) -> ReplicaState {
        self.state.get()
    }

    /// Whether data is sent: the replica has its terms and all its connections.
    pub fn has_begun(&self) -> bool {
        self.state() != ReplicaState::Preparation
    }

    /// Whether both feed the same node.
    pub fn feeds_same_node(&self, other: &Session) -> bool {
        self.node == other.node
    }

    /// Whether it reads journals that end where a younger history begins.
    pub fn is_of_older_history(&self) -> bool {
        self.to.is_some()
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Where the replica says it is reached.
    pub fn address(&self) -> String {
        let Replica { ip, port, .. } = self.describe(Millis(0));
        format!("{ip}:{port}")
    }

    /// Ends the session; the first reason counts.
    pub fn end(&self, reason: &str) {
        if self.is_ended() {
            return;
        }
        *self.ended.borrow_mut() = Some(reason.to_owned());
        for flow in &self.flows {
            if let Some(transport) = &*flow.transport.borrow() {
                let _ = transport.stream().shutdown();
            }
            flow.wake.ring();
            flow.drained.ring();
        }
        self.attached.ring();
        self.ending.ring();
    }

    /// Why it ended.
    pub fn end_reason(&self) -> String {
        self.ended.borrow().clone().unwrap_or_default()
    }

    /// Whether the replica looked at the terms and left.
    pub fn was_only_asked(&self) -> bool {
        let reason = self.end_reason();
        let has_left = reason == CONTROL_CLOSED || reason.starts_with(CONTROL_BROKEN);
        has_left && !self.is_attached()
    }

    /// The control connection is handed over, with what was read of it and not used.
    pub fn attach_control(&self, transport: Transport, unread: Vec<u8>) {
        *self.control_unread.borrow_mut() = unread;
        *self.control.borrow_mut() = Some(Rc::new(transport));
        self.attached.ring();
        self.handed_over.ring();
    }

    /// A flow's connection is handed over, with what was read of it and not used; `false` if there is
    /// no such flow or it is attached.
    pub fn attach_flow(&self, index: usize, transport: Transport, unread: Vec<u8>) -> bool {
        let Some(flow) = self.flows.get(index) else { return false };
        if flow.transport.borrow().is_some() || self.is_ended() {
            return false;
        }
        *flow.transport.borrow_mut() = Some(Rc::new(transport));
        *flow.unread.borrow_mut() = unread;
        self.attached.ring();
        true
    }

    /// Whether the replica has come with all its connections.
    pub fn is_attached(&self) -> bool {
        self.control.borrow().is_some()
            && self.flows.iter().all(|flow| flow.transport.borrow().is_some())
    }

    /// Everything that the replica has acknowledged, per flow; only once it is in stable sync.
    pub fn acked(&self) -> Option<Vec<Lsn>> {
        (self.state() == ReplicaState::StableSync && !self.is_ended())
            .then(|| self.flows.iter().map(|flow| flow.acked.get()).collect())
    }

    /// How old its last acknowledgement is: the oldest of its flows.
    pub fn last_ack_age(&self) -> Duration {
        self.flows.iter().map(|flow| flow.last_ack.get().elapsed()).max().unwrap_or_default()
    }

    /// What the control connection tells: how far a full sync is, and the heads of the journals, so
    /// that a replica knows its lag also while it is slow to read its flows.
    fn news(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let progress = [self.items_done.get(), self.items_total.get()];
        wire::put_numbers(&mut message, Kind::Progress, &progress);
        let heads: Vec<u64> = self.flows.iter().map(|flow| flow.log.head().0).collect();
        wire::put_numbers(&mut message, Kind::Ping, &heads);
        message
    }

    /// What the replica says on the control connection: signs of life.
    fn take_signs(&self, buffer: &mut Vec<u8>) -> Result<(), String> {
        let mut at = 0;
        while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
            if kind != Kind::Alive {
                return Err(format!("it sent {kind:?}"));
            }
            if self.pulse.hear(wire::alive(payload)?) {
                // From now on its own time-out counts, and whoever waits for its turn waits too long
                // perhaps.
                self.flows.iter().for_each(|flow| flow.last_ack.set(Instant::now()));
                self.flows.iter().for_each(|flow| flow.wake.ring());
            }
            at += used;
        }
        buffer.drain(..at);
        Ok(())
    }

    /// A flow has sent something, up to `end`.
    fn note_sent(&self, flow: &Flow, moves: bool, end: Lsn) {
        if moves {
            self.moved.set(Instant::now());
        }
        flow.sent_to.set(end.max(flow.sent_to.get()));
    }

    /// What INFO and metrics show.
    pub fn describe(&self, now: Millis) -> Replica {
        let stable = self.state() == ReplicaState::StableSync;
        let full = self.state() == ReplicaState::FullSync;
        let seconds = self.started.elapsed().as_secs_f64();
        let (done, total) = (self.items_done.get(), self.items_total.get());
        Replica {
            session: self.id,
            ip: self.introduction.ip_address.clone().unwrap_or_else(|| self.peer_ip.clone()),
            port: self.introduction.listening_port,
            state: self.state(),
            offset: self.flows.iter().map(|flow| flow.acked.get().0).sum(),
            lags: if stable {
                self.flows.iter().map(|flow| flow.lag(now)).collect()
            } else {
                Vec::new()
            },
            last_ack_ms: self.last_ack_age().as_millis() as u64,
            progress: full.then(|| Progress::of(done, total, seconds)),
        }
    }

    /// Runs the session until it ends. `attached` is called once the replica has come with all its
    /// connections: before that it has only asked. `acks` is rung whenever an acknowledgement arrives.
    pub async fn run(
        self: &Rc<Session>,
        front: &Rc<Front>,
        beginning: Beginning,
        walks: Walks,
        settings: Rc<RefCell<Settings>>,
        acks: Rc<Bell>,
        attached: impl FnOnce(&Session),
    ) {
        // From its first moment, so that a replica that gives up is not kept.
        let mut tasks = vec![rt::spawn_local(read_control(self.clone(), settings.clone()))];
        let is_attached = self.wait_attached().await;
        if is_attached {
            attached(self);
        }
        if !is_attached || self.is_ended() {
            tasks.remove(0).cancel().await;
            return self.say_why().await;
        }
        if let Err(reason) = self.begin(front, beginning, walks).await {
            self.end(&reason);
            tasks.remove(0).cancel().await;
            self.drop_cut(front, walks).await;
            return self.say_why().await;
        }
        for flow in &self.flows {
            let write = writing::write_flow(self.clone(), flow.clone(), settings.clone());
            tasks.push(rt::spawn_local(write));
            tasks.push(rt::spawn_local(read_acks(self.clone(), flow.clone(), acks.clone())));
        }
        if self.state() == ReplicaState::FullSync {
            for shard in front.node.all_shards() {
                let (session, front) = (self.clone(), front.clone());
                let settings = settings.clone();
                let walk = walking::walk(session, front, shard, walks, settings);
                tasks.push(rt::spawn_local(walk));
            }
        }
        self.watch(&settings).await;
        for task in tasks {
            task.cancel().await;
        }
        self.drop_cut(front, walks).await;
        self.say_why().await;
    }

    async fn drop_cut(&self, front: &Rc<Front>, walks: Walks) {
        if walks != Walks::None {
            let cut = self.cut;
            front.call_all(move |shard| shard.cut_drop(cut)).await;
        }
    }

    async fn wait_attached(&self) -> bool {
        while !self.is_attached() && !self.is_ended() {
            let (limit, why) = match self.control.borrow().is_some() {
                true => (PREPARATION_MAX, "its flows were not all connected in time"),
                false => (HANDED_OVER_MAX, "it gave up before it was told the terms"),
            };
            let left = limit.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                self.end(why);
            }
            self.attached.wait_for(left).await;
        }
        !self.is_ended()
    }

    fn logs(&self) -> Vec<LogHandle> {
        self.flows.iter().map(|flow| flow.log.clone()).collect()
    }

    async fn begin(
        &self,
        front: &Rc<Front>,
        beginning: Beginning,
        walks: Walks,
    ) -> Result<(), String> {
        let logs = self.logs();
        let (begun, state) = match beginning {
            Beginning::Partial { from, own } => {
                (feed::begin_partial(front, own, &logs, &from).await?, ReplicaState::StableSync)
            }
            Beginning::Full => {
                (feed::begin_full(front, self.cut, walks, &logs).await?, ReplicaState::FullSync)
            }
        };
        self.items_total.set(begun.keys);
        for (flow, sender) in self.flows.iter().zip(begun.senders) {
            flow.begin(sender);
        }
        self.state.set(state);
        self.moved.set(Instant::now());
        Ok(())
    }

    /// Looks at what nothing else tells: silence, and a journal trimmed past a writer that waits for
    /// its socket.
    async fn watch(&self, settings: &Rc<RefCell<Settings>>) {
        while !self.is_ended() {
            self.ending.wait_for(Duration::from_millis(100)).await;
            self.watch_life(settings.borrow().timeout);
            for flow in &self.flows {
                flow.times.borrow_mut().note(flow.log.head(), rt::now_millis());
                let sender = flow.sender.borrow();
                let gone = sender.as_ref().is_some_and(|sender| sender.reader().is_gone());
                drop(sender);
                if gone {
                    self.end_trimmed(flow, settings);
                }
            }
            self.end_if_leg_is_over();
        }
    }

    /// A replica that is silent ends, and one that lives but whose data stands still although there is
    /// something to move.
    fn watch_life(&self, timeout: Duration) {
        let now = Instant::now();
        let silent = self.last_ack_age();
        if silent > self.pulse.limit(timeout, now) {
            self.end(&format!("nothing was heard from it for {} ms", silent.as_millis()));
        }
        let still = now.saturating_duration_since(self.moved.get());
        // A replica confirms nothing before the items of all flows are with it.
        let all_out = !self.flows.iter().any(|flow| flow.is_full_sync());
        if !self.flows.iter().any(|flow| flow.owes(self.state(), all_out)) {
            self.moved.set(now);
        } else if still > pulse::still_limit(timeout) {
            self.end(&format!("its data did not move for {} ms", still.as_millis()));
        }
    }

    /// It is in stable sync once it has said so on every flow: its first acknowledgements are that.
    fn note_acked(&self) {
        let is_stable = |flow: &Rc<Flow>| !flow.is_full_sync() && flow.has_acked.get();
        if self.state() == ReplicaState::FullSync && self.flows.iter().all(is_stable) {
            self.state.set(ReplicaState::StableSync);
        }
    }

    /// How often a sign of life is due.
    fn alive_every(&self, settings: &RefCell<Settings>) -> Duration {
        self.pulse.every(settings.borrow().timeout)
    }

    fn end_trimmed(&self, flow: &Flow, settings: &RefCell<Settings>) {
        let behind = flow.log.total_bytes().saturating_sub(flow.acked_bytes.get());
        let bound = settings.borrow().journals_bounds.bytes;
        let needed = backlog_needed(behind, self.flows.len(), bound);
        self.end(&format!(
            "{} of shard {} (acknowledged {}, held {} to {}, {behind} bytes \
             behind): raise repl_backlog_size above {needed}",
            wire::FELL_OUT,
            flow.index,
            flow.acked.get(),
            flow.log.first(),
            flow.log.head(),
        ));
    }

    /// The journals of an older history end where the next one began: the replica comes back and
    /// goes on there.
    fn end_if_leg_is_over(&self) {
        let Some(to) = &self.to else { return };
        if self.flows.iter().zip(to).all(|(flow, to)| flow.acked.get() >= *to) {
            self.end("it has everything of the older history and continues in the next one");
        }
    }

    async fn say_why(&self) {
        let control = self.control.borrow().clone();
        if let Some(control) = control {
            let mut message = Vec::new();
            wire::put_bytes(&mut message, Kind::End, self.end_reason().as_bytes());
            let _ = rt::timeout(Duration::from_millis(100), control.write_all(&message)).await;
            let _ = control.stream().shutdown();
        }
    }
}

/// What `repl_backlog_size` has to be, where a replica fell out of the log of one of `shards` shards.
fn backlog_needed(behind: u64, shards: usize, bound: u64) -> u64 {
    // The flag bounds the journals of all shards together. What is set was too little, whatever this flow
    // had acknowledged.
    behind.saturating_mul(shards as u64).max(bound.saturating_mul(2))
}

impl Flow {
    fn begin(&self, sender: FlowSender) {
        self.acked.set(sender.reader().lsn());
        self.sent_to.set(sender.reader().lsn());
        self.acked_bytes.set(sender.reader().bytes());
        self.last_ack.set(Instant::now());
        *self.sender.borrow_mut() = Some(sender);
    }

    fn lag(&self, now: Millis) -> Lag {
        let (head, acked) = (self.log.head(), self.acked.get());
        let records = head.0.saturating_sub(acked.0);
        if records == 0 {
            return Lag::default();
        }
        let bytes = self.log.total_bytes().saturating_sub(self.acked_bytes.get());
        let mut times = self.times.borrow_mut();
        times.note(head, now);
        Lag { records, bytes, millis: times.age(acked, head, now) }
    }

    fn is_full_sync(&self) -> bool {
        self.sender.borrow().as_ref().is_none_or(FlowSender::is_full_sync)
    }

    /// Whether the replica has something to take: what is in the socket's way, what it has not
    /// acknowledged, or a full sync's end that it has not confirmed.
    fn owes(&self, state: ReplicaState, all_out: bool) -> bool {
        let is_unconfirmed = state == ReplicaState::FullSync && !self.has_acked.get();
        self.is_writing.get()
            || (all_out && (is_unconfirmed || self.sent_to.get() > self.acked.get()))
    }

    /// Takes an acknowledgement; answers whether it is of something new.
    fn ack(&self, lsn: Lsn) -> bool {
        self.last_ack.set(Instant::now());
        let is_first = !self.has_acked.replace(true);
        if lsn <= self.acked.get() {
            return is_first;
        }
        self.acked.set(lsn);
        self.times.borrow_mut().acked(lsn);
        let mut sent = self.sent.borrow_mut();
        while let Some(&(end, bytes)) = sent.front()
            && end <= lsn
        {
            self.acked_bytes.set(bytes);
            sent.pop_front();
        }
        true
    }

    fn note_sent(&self, end: Lsn, bytes: u64) {
        /// Positions remembered for the lag in bytes: beyond it, it gets coarser.
        const SENT_MAX: usize = 65_536;
        let mut sent = self.sent.borrow_mut();
        if sent.len() >= SENT_MAX {
            sent.pop_back();
        }
        sent.push_back((end, bytes));
    }
}

/// Takes acknowledgements, until the session ends.
async fn read_acks(session: Rc<Session>, flow: Rc<Flow>, acks: Rc<Bell>) {
    let Some(transport) = flow.transport.borrow().clone() else { return };
    let mut buffer = flow.unread.take();
    if let Err(error) = take_acks(&session, &flow, &mut buffer) {
        session.end(&format!("flow {}: {error}", flow.index));
    }
    while !session.is_ended() {
        match transport.read(&mut buffer, 4096).await {
            Ok(0) => session.end(&format!("flow {}: the replica closed it", flow.index)),
            Ok(_) => {
                if let Err(error) = take_acks(&session, &flow, &mut buffer) {
                    session.end(&format!("flow {}: {error}", flow.index));
                }
                acks.ring();
                session.end_if_leg_is_over();
            }
            Err(error) => session.end(&format!("flow {}: {error}", flow.index)),
        }
    }
}

fn take_acks(session: &Session, flow: &Flow, buffer: &mut Vec<u8>) -> Result<(), String> {
    let mut at = 0;
    while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
        match Said::of(kind, payload, flow.log.head())? {
            Said::Ack(lsn) => {
                if flow.ack(lsn) {
                    session.moved.set(Instant::now());
                    session.note_acked();
                }
            }
            Said::Alive => flow.last_ack.set(Instant::now()),
        }
        at += used;
    }
    buffer.drain(..at);
    Ok(())
}

/// The control connection: signs of life one way, progress the other.
async fn read_control(session: Rc<Session>, settings: Rc<RefCell<Settings>>) {
    let control = loop {
        let control = session.control.borrow().clone();
        match control {
            Some(control) => break control,
            None if session.is_ended() => return,
            None => session.handed_over.wait_for(HANDED_OVER_MAX).await,
        };
    };
    let (mut buffer, mut told) = (session.control_unread.take(), Instant::now());
    while !session.is_ended() {
        let own = settings.borrow().timeout;
        let left = match session.pulse.is_told(own) {
            true => session.alive_every(&settings).saturating_sub(told.elapsed()),
            false => Duration::ZERO,
        };
        if left.is_zero() {
            told = Instant::now();
            session.pulse.tell(own, told);
            let mut news = session.news();
            wire::put_alive(&mut news, own);
            if let Err(error) = control.write_all(&news).await {
                session.end(&format!("{CONTROL_BROKEN}: {error}"));
            }
            continue;
        }
        match rt::timeout(left, control.read(&mut buffer, 4096)).await {
            Ok(Ok(0)) => session.end(CONTROL_CLOSED),
            Ok(Ok(_)) => {
                if let Err(error) = session.take_signs(&mut buffer) {
                    session.end(&format!("{CONTROL_BROKEN}: {error}"));
                }
            }
            Ok(Err(error)) => session.end(&format!("{CONTROL_BROKEN}: {error}")),
            // Time to tell.
            Err(_) => {}
        }
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
