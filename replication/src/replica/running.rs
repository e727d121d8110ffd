//! One session with the master: flows in, gather, shards, acknowledgements out.
//!
//! ```text
//!   reader per flow ─► gather ─► applier ─► shards ─► answers ─► applier ─► gather ─► ack per flow
//! ```
//!
//! Over sockets and in the model: these are the tasks of both. It ends when anything breaks; what was handed to shards is waited for, so that afterwards the
//! positions say exactly what is applied.

use super::applier::{Applier, Applies, apply};
use super::helm::Steered;
use super::life;
use super::machine::Happened;
use super::reason::Reason;
use super::rules::Rules;
use crate::bell::Bell;
use crate::handshake::Terms;
use crate::here::Here;
use crate::info::Progress;
use crate::libraries::Hearing;
use crate::relay::Relay;
use crate::roads::{Line, Roads};
use crate::settings::Settings;
use crate::standing::AtRest;
use crate::wire::{self, News, Said};
use engine::types::{Lsn, Millis};
use futures_lite::future;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes read from a flow at once.
const READ_BYTES: usize = 256 * 1024;

/// How often a flow that is not read from looks whether it may be.
const CREDIT_EVERY: Duration = Duration::from_secs(1);

/// A master that ends a session closes its flows, and then says why on the control connection: it
/// tidies up meanwhile.
const REASON_WITHIN: Duration = Duration::from_millis(500);

/// The master tells the heads of its journals at least once a second: after three of these times without a
/// word nobody knows how far it is.
const HEADS_KNOWN_FOR: Duration = Duration::from_secs(3);

/// A session under way.
pub struct Running<R: Roads> {
    /// What the master granted.
    pub terms: Terms,
    /// The attempt that brought it.
    attempt: u64,
    link: Rc<dyn Steered>,
    roads: R,
    applier: Applier,
    settings: Rc<RefCell<Settings>>,
    flows: Vec<FlowLine<R::Line>>,
    control: R::Line,
    /// What had arrived on it before the session began.
    control_unread: RefCell<Vec<u8>>,
    /// What comes of libraries of functions.
    hearing: RefCell<Hearing>,
    /// A sign of life is due on the control connection.
    tells: Bell,
    /// Bytes arrived.
    arrived: Bell,
    last_io: Cell<Instant>,
    started: Instant,
    /// Keys that the master has to send, as of its last word.
    total: Cell<u64>,
    /// Per flow, the head of the master's journal as last heard.
    heads: RefCell<Vec<Lsn>>,
    /// When it was heard of all of them last.
    heads_heard: Cell<Option<Instant>>,
    /// All that is performed until the session breaks, and what is performed until all is applied.
    tasks: RefCell<Vec<R::Task>>,
    applying: RefCell<Option<R::Task>>,
    /// Nothing is handed out any more, and what was is applied.
    is_applied: Cell<bool>,
    applied_all: Bell,
}

/// A flow's connection, and who waits for it.
struct FlowLine<L> {
    line: L,
    /// What had arrived before the session began.
    unread: RefCell<Vec<u8>>,
    moved: Bell,
    credit: Bell,
    /// What the machine has to say on it.
    says: Cell<Option<Said>>,
}

/// What a session is made of.
pub struct Parts<L> {
    /// What the master granted.
    pub terms: Terms,
    /// Where the flows begin.
    pub starts: Vec<Lsn>,
    /// Them.
    pub flows: Vec<L>,
    /// What has arrived on them.
    pub unread: Vec<Vec<u8>>,
    /// The control connection, and what has arrived on it.
    pub control: (L, Vec<u8>),
}

impl<R: Roads> Applies for Running<R> {
    fn applier(&self) -> &Applier {
        &self.applier
    }

    fn arrived(&self) -> &Bell {
        &self.arrived
    }

    fn is_broken(&self) -> bool {
        !self.link.helm().machine().is_in_session_of(self.attempt)
    }

    fn is_stable(&self) -> bool {
        self.link.helm().machine().is_exact()
    }

    fn now(&self) -> Millis {
        self.roads.millis()
    }

    fn happened(&self, happened: Happened) {
        self.link.happened(self.attempt, happened);
    }

    fn broke(&self, reason: Reason) {
        self.happened(Happened::Broke(reason));
    }

    fn wake_flows(&self) {
        self.flows.iter().for_each(|flow| flow.moved.ring());
    }

    fn give_credit(&self) {
        self.flows.iter().for_each(|flow| flow.credit.ring());
    }
}

impl<R: Roads> Running<R> {
    /// The session of an attempt of `link` over connections that stand, on `here`.
    pub fn new(
        here: &Here,
        (link, attempt): (Rc<dyn Steered>, u64),
        parts: Parts<R::Line>,
        relay: Rc<RefCell<Relay>>,
        roads: R,
    ) -> Rc<Running<R>> {
        let Parts { terms, starts, flows, unread, control: (control, news) } = parts;
        let now = roads.now();
        let flow = |(line, unread): (R::Line, Vec<u8>)| FlowLine {
            line,
            unread: RefCell::new(unread),
            moved: Bell::default(),
            credit: Bell::default(),
            says: Cell::new(None),
        };
        Rc::new(Running {
            attempt,
            link,
            roads,
            applier: Applier::new(here.front.clone(), &terms, &starts, relay),
            settings: here.settings.clone(),
            flows: flows.into_iter().zip(unread).map(flow).collect(),
            control,
            control_unread: RefCell::new(news),
            hearing: RefCell::default(),
            tells: Bell::default(),
            arrived: Bell::default(),
            last_io: Cell::new(now),
            started: now,
            total: Cell::new(terms.keys),
            heads: RefCell::new(starts),
            heads_heard: Cell::new(None),
            tasks: RefCell::default(),
            applying: RefCell::default(),
            is_applied: Cell::new(false),
            applied_all: Bell::default(),
            terms,
        })
    }

    /// Per flow, what is applied.
    pub fn applied(&self) -> Vec<Lsn> {
        self.applier.applied()
    }

    /// Per flow, how far the master's journal is known to be; empty before the data is the master's, and when it has not
    /// been heard.
    pub fn heads(&self) -> Vec<Lsn> {
        let heard = self.heads_heard.get();
        let is_known = heard.is_some_and(|heard| self.since(heard) <= HEADS_KNOWN_FOR);
        // Of a journal that ends where the master's of now begins, heads say nothing of that.
        if !self.is_stable() || !is_known || self.terms.to.is_some() {
            return Vec::new();
        }
        self.heads.borrow().clone()
    }

    fn since(&self, then: Instant) -> Duration {
        self.roads.now().saturating_duration_since(then)
    }

    fn heard_head(&self, flow: usize, head: Lsn) {
        if let Some(known) = self.heads.borrow_mut().get_mut(flow) {
            *known = head.max(*known);
        }
    }

    /// Time since something arrived.
    pub fn idle(&self) -> Duration {
        self.since(self.last_io.get())
    }

    /// How far a full sync is: what has come, whatever the master has sent on its way.
    pub fn progress(&self) -> Option<Progress> {
        let (done, total) = (self.applier.items_taken(), self.total.get());
        let seconds = self.since(self.started).as_secs_f64();
        (!self.is_stable()).then(|| Progress::of(done, total, seconds))
    }

    /// Performs the session until it breaks.
    pub fn run(self: &Rc<Running<R>>) {
        let roads = &self.roads;
        let mut tasks = vec![roads.spawn("read control", read_control(self.clone()))];
        for index in 0..self.flows.len() as u16 {
            tasks.push(roads.spawn("read flow", read_flow(self.clone(), index)));
            tasks.push(roads.spawn("acknowledge", acknowledge(self.clone(), index)));
        }
        *self.tasks.borrow_mut() = tasks;
        *self.applying.borrow_mut() = Some(roads.spawn("apply", apply_all(self.clone())));
    }

    /// The session has ended: closes its connections and waits until everything that was handed out is
    /// applied.
    pub async fn drain(&self) {
        for flow in &self.flows {
            flow.line.close();
            flow.moved.ring();
            flow.credit.ring();
        }
        self.control.close();
        self.arrived.ring();
        for task in self.tasks.take() {
            self.roads.cancel(task).await;
        }
        while !self.is_applied.get() {
            self.applied_all.wait().await;
        }
    }

    /// Hands out nothing more until it is [let go](Running::let_go), and waits until what was is applied.
    pub async fn hold(&self) {
        self.applier.hold().await;
    }

    /// Goes on.
    pub fn let_go(&self) {
        self.applier.let_go();
        self.arrived.ring();
    }

    /// What it says of the data while it is held.
    pub fn at_rest(&self) -> AtRest {
        AtRest { is_exact: self.is_stable(), stream: None }
    }

    /// A sign of life is due on the control connection.
    pub fn tell(&self) {
        self.tells.ring();
    }

    /// Looks what a transaction waits for.
    pub fn look(&self) {
        let waits = self.applier.waits_for().filter(|_| !self.link.is_paused());
        self.happened(Happened::Waits(waits));
    }

    /// To be said on a flow, by whose turn it is.
    pub fn say(&self, flow: u16, said: Said) {
        self.flows[usize::from(flow)].says.set(Some(said));
    }

    /// Waits while DEBUG REPLICA PAUSE holds.
    async fn while_paused(&self) {
        while self.link.is_paused() && !self.is_broken() {
            self.roads.sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn apply_all<R: Roads>(running: Rc<Running<R>>) {
    apply(&*running).await;
    running.is_applied.set(true);
    running.applied_all.ring();
}

async fn read_flow<R: Roads>(running: Rc<Running<R>>, index: u16) {
    let flow = &running.flows[usize::from(index)];
    let mut buffer = flow.unread.take();
    if let Err(error) = take_messages(&running, index, &mut buffer) {
        running.broke(Reason::Flow(index, error));
    }
    running.arrived.ring();
    while !running.is_broken() {
        running.while_paused().await;
        while !running.applier.wants_more(index) && !running.is_broken() {
            flow.credit.wait_unless(running.roads.sleep(CREDIT_EVERY)).await;
        }
        running.happened(Happened::Reads(index));
        let read = flow.line.read(&mut buffer, READ_BYTES).await;
        running.happened(Happened::Read(index));
        // What was waited for when the pause began is not taken either.
        running.while_paused().await;
        running.last_io.set(running.roads.now());
        let outcome = match read {
            Ok(read) if read > 0 => take_messages(&running, index, &mut buffer),
            ended => {
                // The control connection may be about to say why.
                running.roads.sleep(REASON_WITHIN).await;
                Err(ended.err().unwrap_or_else(|| "the master closed it".to_owned()))
            }
        };
        if let Err(error) = outcome {
            running.broke(Reason::Flow(index, error));
        }
        running.arrived.ring();
    }
}

fn take_messages<R: Roads>(
    running: &Running<R>,
    index: u16,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    if let Some(head) = running.applier.receive(index, buffer)? {
        running.heard_head(usize::from(index), head);
        // A sign of life; whoever waits for us is answered at once.
        running.flows[usize::from(index)].moved.ring();
    }
    Ok(())
}

async fn read_control<R: Roads>(running: Rc<Running<R>>) {
    let mut buffer = running.control_unread.take();
    take_control(&running, &mut buffer);
    while !running.is_broken() {
        let told = async {
            running.tells.wait().await;
            None
        };
        let read = async { Some(running.control.read(&mut buffer, 4096).await) };
        match future::or(told, read).await {
            None => {
                let mut alive = Vec::new();
                wire::put_alive(&mut alive, running.settings.borrow().timeout);
                if let Err(error) = running.control.write(&alive).await {
                    return running.broke(Reason::ControlBroke(error));
                }
            }
            Some(Ok(0)) => return running.broke(Reason::ControlClosed),
            Some(Err(error)) => return running.broke(Reason::ControlBroke(error)),
            Some(Ok(_)) => {
                running.last_io.set(running.roads.now());
                running.happened(Happened::Heard);
                take_control(&running, &mut buffer);
            }
        }
    }
}

fn take_control<R: Roads>(running: &Running<R>, buffer: &mut Vec<u8>) {
    let mut at = 0;
    let malformed = loop {
        let message = wire::next(&buffer[at..]);
        let news = message.and_then(|message| match message {
            None => Ok(None),
            Some((kind, payload, used)) => News::of(kind, payload).map(|news| Some((news, used))),
        });
        let Ok(Some((news, used))) = news else { break news.err() };
        at += used;
        match news {
            // Before its cut is made it says 0.
            News::Progress(_, total) => running.total.set(running.total.get().max(total)),
            News::Heads(heads) => {
                running.heads_heard.set(Some(running.roads.now()));
                for (flow, head) in heads.into_iter().enumerate() {
                    running.heard_head(flow, head);
                }
            }
            News::Alive(timeout) => running.happened(Happened::Timeout(timeout)),
            News::Libraries(left, piece) => {
                if let Err(error) = take_libraries(running, left, &piece) {
                    break Some(error);
                }
            }
            News::End { why, fell_out } => running.broke(Reason::MasterEnded { why, fell_out }),
        }
    };
    buffer.drain(..at);
    if let Some(error) = malformed {
        running.broke(Reason::ControlWords(error));
    }
}

/// A piece of the master's libraries of functions: they replace those of this node.
fn take_libraries<R: Roads>(running: &Running<R>, left: u64, piece: &[u8]) -> Result<(), String> {
    match running.hearing.borrow_mut().take(left, piece)? {
        Some(set) if !running.is_broken() => running.applier.libraries().replace_all(set),
        _ => Ok(()),
    }
}

/// Says on one flow what the machine has to say, whenever something has moved or it is time.
async fn acknowledge<R: Roads>(running: Rc<Running<R>>, index: u16) {
    let flow = &running.flows[usize::from(index)];
    while !running.is_broken() {
        let every =
            running.link.helm().machine().says_every(&Rules::of(&running.settings.borrow()));
        let has_moved = flow.moved.wait_unless(running.roads.sleep(every)).await;
        let applied = running.applier.applied_of(index);
        let is_settled = running.applier.is_settled();
        let progress = life::Progress { applied, is_settled, has_moved };
        running.happened(Happened::Turn(index, progress));
        let Some(said) = flow.says.take() else { continue };
        let mut message = Vec::new();
        said.put(&mut message);
        if let Err(error) = flow.line.write(&message).await {
            running.broke(Reason::Flow(index, error));
        }
    }
}
