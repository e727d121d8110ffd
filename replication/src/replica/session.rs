//! One session with the master: flows in, gather, shards, acknowledgements out.
//!
//! ```text
//!   reader per flow ─► gather ─► applier ─► shards ─► answers ─► applier ─► gather ─► ack per flow
//! ```
//!
//! It ends when anything breaks; what was handed to shards is waited for, so that afterwards the
//! positions say exactly what is applied.

use super::applier::{Applier, Applies, apply};
use super::helm::Helm;
use super::life;
use super::machine::Happened;
use super::reason::Reason;
use super::rules::Rules;
use crate::bell::Bell;
use crate::handshake::Terms;
use crate::info::Progress;
use crate::relay::Relay;
use crate::settings::Settings;
use crate::transport::Transport;
use crate::wire::{self, News, Said};
use engine::exec::Front;
use engine::rt::{self, Task};
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
pub struct Running {
    /// What the master granted.
    pub terms: Terms,
    /// The attempt that brought it.
    attempt: u64,
    helm: Rc<Helm>,
    applier: Applier,
    settings: Rc<RefCell<Settings>>,
    flows: Vec<Flow>,
    control: Transport,
    /// What had arrived on it before the session began.
    control_unread: RefCell<Vec<u8>>,
    /// A sign of life is due on the control connection.
    tells: Bell,
    /// Bytes arrived.
    arrived: Bell,
    last_io: Cell<Instant>,
    /// DEBUG REPLICA PAUSE.
    paused: Rc<Cell<bool>>,
    started: Instant,
    /// Keys that the master has to send, as of its last word.
    total: Cell<u64>,
    /// Per flow, the head of the master's journal as last heard.
    heads: RefCell<Vec<Lsn>>,
    /// When it was heard of all of them last.
    heads_heard: Cell<Option<Instant>>,
    /// All that is performed until the session breaks, and what is performed until all is applied.
    tasks: RefCell<Vec<Task<()>>>,
    applying: RefCell<Option<Task<()>>>,
}

struct Flow {
    transport: Transport,
    /// What had arrived before the session began.
    unread: RefCell<Vec<u8>>,
    moved: Bell,
    credit: Bell,
    /// What the machine has to say on it.
    says: Cell<Option<Said>>,
}

/// What a session is made of.
pub struct Parts {
    /// What the master granted.
    pub terms: Terms,
    /// Where the flows begin.
    pub starts: Vec<Lsn>,
    /// Them.
    pub flows: Vec<Transport>,
    /// What has arrived on them.
    pub unread: Vec<Vec<u8>>,
    /// The control connection, and what has arrived on it.
    pub control: (Transport, Vec<u8>),
}

impl Applies for Running {
    fn applier(&self) -> &Applier {
        &self.applier
    }

    fn arrived(&self) -> &Bell {
        &self.arrived
    }

    fn is_broken(&self) -> bool {
        !self.helm.machine().is_in_session_of(self.attempt)
    }

    fn is_stable(&self) -> bool {
        self.helm.machine().is_exact()
    }

    fn now(&self) -> Millis {
        rt::now_millis()
    }

    fn happened(&self, happened: Happened) {
        self.helm.happened(self.attempt, happened);
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

impl Running {
    /// The session of `attempt` over connections that stand.
    pub fn new(
        front: Rc<Front>,
        (attempt, helm): (u64, Rc<Helm>),
        parts: Parts,
        relay: Rc<RefCell<Relay>>,
        settings: Rc<RefCell<Settings>>,
        paused: Rc<Cell<bool>>,
    ) -> Rc<Running> {
        let Parts { terms, starts, flows, unread, control: (control, news) } = parts;
        let applier = Applier::new(front, &terms, &starts, relay);
        let flow = |(transport, unread): (Transport, Vec<u8>)| Flow {
            transport,
            unread: RefCell::new(unread),
            moved: Bell::default(),
            credit: Bell::default(),
            says: Cell::new(None),
        };
        Rc::new(Running {
            attempt,
            helm,
            applier,
            settings,
            flows: flows.into_iter().zip(unread).map(flow).collect(),
            control,
            control_unread: RefCell::new(news),
            tells: Bell::default(),
            arrived: Bell::default(),
            last_io: Cell::new(Instant::now()),
            paused,
            started: Instant::now(),
            total: Cell::new(terms.keys),
            heads: RefCell::new(starts),
            heads_heard: Cell::new(None),
            tasks: RefCell::default(),
            applying: RefCell::default(),
            terms,
        })
    }

    /// Per flow, what is applied.
    pub fn applied(&self) -> Vec<Lsn> {
        self.applier.applied()
    }

    /// Per flow, records that the master is known to have and that are not applied; empty before the
    /// data is the master's, and when it has not been heard how far the master is.
    pub fn lags(&self) -> Vec<u64> {
        let heard = self.heads_heard.get();
        let is_known = heard.is_some_and(|heard| heard.elapsed() <= HEADS_KNOWN_FOR);
        if !self.is_stable() || !is_known {
            return Vec::new();
        }
        let heads = self.heads.borrow();
        let lag = |(head, applied): (&Lsn, Lsn)| head.0.saturating_sub(applied.0);
        heads.iter().zip(self.applied()).map(lag).collect()
    }

    fn heard_head(&self, flow: usize, head: Lsn) {
        if let Some(known) = self.heads.borrow_mut().get_mut(flow) {
            *known = head.max(*known);
        }
    }

    /// Time since something arrived.
    pub fn idle(&self) -> Duration {
        self.last_io.get().elapsed()
    }

    /// How far a full sync is: what has come, whatever the master has sent on its way.
    pub fn progress(&self) -> Option<Progress> {
        let (done, total) = (self.applier.items_taken(), self.total.get());
        (!self.is_stable()).then(|| Progress::of(done, total, self.started.elapsed().as_secs_f64()))
    }

    /// Performs the session until it breaks.
    pub fn run(self: &Rc<Running>) {
        let mut tasks = vec![rt::spawn_local(read_control(self.clone()))];
        for index in 0..self.flows.len() as u16 {
            tasks.push(rt::spawn_local(read_flow(self.clone(), index)));
            tasks.push(rt::spawn_local(acknowledge(self.clone(), index)));
        }
        *self.tasks.borrow_mut() = tasks;
        let running = self.clone();
        let applying = rt::spawn_local(async move { apply(&*running).await });
        *self.applying.borrow_mut() = Some(applying);
    }

    /// The session has ended: closes its connections and waits until everything that was handed out is
    /// applied.
    pub async fn drain(&self) {
        for flow in &self.flows {
            let _ = flow.transport.stream().shutdown();
            flow.moved.ring();
            flow.credit.ring();
        }
        let _ = self.control.stream().shutdown();
        self.arrived.ring();
        for task in self.tasks.take() {
            task.cancel().await;
        }
        let applying = self.applying.take();
        if let Some(applying) = applying {
            applying.await;
        }
    }

    /// A sign of life is due on the control connection.
    pub fn tell(&self) {
        self.tells.ring();
    }

    /// Looks what a transaction waits for.
    pub fn look(&self) {
        let waits = self.applier.waits_for().filter(|_| !self.paused.get());
        self.happened(Happened::Waits(waits));
    }

    /// To be said on a flow, by whose turn it is.
    pub fn say(&self, flow: u16, said: Said) {
        self.flows[usize::from(flow)].says.set(Some(said));
    }

    /// Waits while DEBUG REPLICA PAUSE holds.
    async fn while_paused(&self) {
        while self.paused.get() && !self.is_broken() {
            rt::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn read_flow(running: Rc<Running>, index: u16) {
    let flow = &running.flows[usize::from(index)];
    let mut buffer = flow.unread.take();
    if let Err(error) = take_messages(&running, index, &mut buffer) {
        running.broke(Reason::Flow(index, error));
    }
    running.arrived.ring();
    while !running.is_broken() {
        running.while_paused().await;
        while !running.applier.wants_more(index) && !running.is_broken() {
            flow.credit.wait_for(CREDIT_EVERY).await;
        }
        running.happened(Happened::Reads(index));
        let read = flow.transport.read(&mut buffer, READ_BYTES).await;
        running.happened(Happened::Read(index));
        // What was waited for when the pause began is not taken either.
        running.while_paused().await;
        running.last_io.set(Instant::now());
        let outcome = match read {
            Ok(read) if read > 0 => take_messages(&running, index, &mut buffer),
            ended => {
                // The control connection may be about to say why.
                rt::sleep(REASON_WITHIN).await;
                Err(ended
                    .err()
                    .map_or("the master closed it".to_owned(), |error| error.to_string()))
            }
        };
        if let Err(error) = outcome {
            running.broke(Reason::Flow(index, error));
        }
        running.arrived.ring();
    }
}

fn take_messages(running: &Running, index: u16, buffer: &mut Vec<u8>) -> Result<(), String> {
    if let Some(head) = running.applier.receive(index, buffer)? {
        running.heard_head(usize::from(index), head);
        // A sign of life; whoever waits for us is answered at once.
        running.flows[usize::from(index)].moved.ring();
    }
    Ok(())
}

async fn read_control(running: Rc<Running>) {
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
                if let Err(error) = running.control.write_all(&alive).await {
                    running.broke(Reason::ControlBroke(error.to_string()));
                }
            }
            Some(Ok(0)) => running.broke(Reason::ControlClosed),
            Some(Err(error)) => running.broke(Reason::ControlBroke(error.to_string())),
            Some(Ok(_)) => {
                running.last_io.set(Instant::now());
                running.happened(Happened::Heard);
                take_control(&running, &mut buffer);
            }
        }
    }
}

fn take_control(running: &Running, buffer: &mut Vec<u8>) {
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
                running.heads_heard.set(Some(Instant::now()));
                for (flow, head) in heads.into_iter().enumerate() {
                    running.heard_head(flow, head);
                }
            }
            News::Alive(timeout) => running.happened(Happened::Timeout(timeout)),
            News::End { why, fell_out } => running.broke(Reason::MasterEnded { why, fell_out }),
        }
    };
    buffer.drain(..at);
    if let Some(error) = malformed {
        running.broke(Reason::ControlWords(error));
    }
}

/// Says on one flow what the machine has to say, whenever something has moved or it is time.
async fn acknowledge(running: Rc<Running>, index: u16) {
    let flow = &running.flows[usize::from(index)];
    while !running.is_broken() {
        let every = running.helm.machine().says_every(&Rules::of(&running.settings.borrow()));
        let has_moved = flow.moved.wait_for(every).await;
        let applied = running.applier.applied_of(index);
        let is_settled = running.applier.is_settled();
        let progress = life::Progress { applied, is_settled, has_moved };
        running.happened(Happened::Turn(index, progress));
        let Some(said) = flow.says.take() else { continue };
        let mut message = Vec::new();
        said.put(&mut message);
        if let Err(error) = flow.transport.write_all(&message).await {
            running.broke(Reason::Flow(index, error.to_string()));
        }
    }
}
