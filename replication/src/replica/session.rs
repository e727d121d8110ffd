//! One session with the master: flows in, gather, shards, acknowledgements out.
//!
//! ```text
//!   reader per flow ─► gather ─► applier ─► shards ─► answers ─► applier ─► gather ─► ack per flow
//! ```
//!
//! It ends when anything breaks; what was handed to shards is waited for, so that afterwards the
//! positions say exactly what is applied.

use super::applier::{Applier, Taken};
use crate::bell::Bell;
use crate::handshake::Terms;
use crate::info::Progress;
use crate::pulse::{self, Pulse};
use crate::relay::Relay;
use crate::settings::Settings;
use crate::transport::Transport;
use crate::wire::{self, Kind, News};
use engine::exec::Front;
use engine::rt;
use engine::shard::Answer;
use engine::types::{Lsn, TxId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Bytes read from a flow at once.
const READ_BYTES: usize = 256 * 1024;

/// Records after which an acknowledgement is due although more arrives.
const ACK_EVERY_RECORDS: u64 = 1024;

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
    applier: Applier,
    settings: Rc<RefCell<Settings>>,
    flows: Vec<Flow>,
    control: Transport,
    /// What had arrived on it before the session began.
    control_unread: RefCell<Vec<u8>>,
    broken: RefCell<Option<String>>,
    /// The master said that its journal does not reach back to us any more.
    fell_out: Cell<bool>,
    breaking: Bell,
    /// Bytes arrived.
    arrived: Bell,
    last_io: Cell<Instant>,
    pulse: Pulse,
    /// When the control connection was heard last.
    control_heard: Cell<Instant>,
    /// What a transaction waits for, and since when.
    waits: Cell<(Option<(TxId, u64)>, Instant)>,
    /// DEBUG REPLICA PAUSE.
    paused: Rc<Cell<bool>>,
    started: Instant,
    /// Keys that the master has to send, as of its last word.
    total: Cell<u64>,
    /// Per flow, the head of the master's journal as last heard.
    heads: RefCell<Vec<Lsn>>,
    /// When it was heard of all of them last.
    heads_heard: Cell<Option<Instant>>,
    /// A full sync has come to its end, or there was none.
    stable: Cell<bool>,
}

struct Flow {
    transport: Transport,
    /// What had arrived before the session began.
    unread: RefCell<Vec<u8>>,
    acked: Cell<Lsn>,
    moved: Bell,
    credit: Bell,
    /// Since when nothing has come although it is read from; none while it is not.
    silent: Cell<Option<Instant>>,
}

impl Running {
    /// A session over connected flows that begin at `starts`.
    #[allow(clippy::too_many_arguments, reason = "what a session is made of")]
    pub fn new(
        front: Rc<Front>,
        terms: Terms,
        starts: &[Lsn],
        flows: Vec<Transport>,
        control: Transport,
        relay: Rc<RefCell<Relay>>,
        settings: Rc<RefCell<Settings>>,
        paused: Rc<Cell<bool>>,
    ) -> Rc<Running> {
        let applier = Applier::new(front, &terms, starts, relay);
        let flow = |(transport, lsn): (Transport, &Lsn)| Flow {
            transport,
            unread: RefCell::default(),
            acked: Cell::new(*lsn),
            moved: Bell::default(),
            credit: Bell::default(),
            silent: Cell::new(None),
        };
        let stable = !terms.full;
        Rc::new(Running {
            applier,
            settings,
            flows: flows.into_iter().zip(starts).map(flow).collect(),
            control,
            control_unread: RefCell::default(),
            broken: RefCell::new(None),
            fell_out: Cell::new(false),
            breaking: Bell::default(),
            arrived: Bell::default(),
            last_io: Cell::new(Instant::now()),
            pulse: Pulse::default(),
            control_heard: Cell::new(Instant::now()),
            waits: Cell::new((None, Instant::now())),
            paused,
            started: Instant::now(),
            total: Cell::new(terms.keys),
            heads: RefCell::new(starts.to_vec()),
            heads_heard: Cell::new(None),
            stable: Cell::new(stable),
            terms,
        })
    }

    /// Ends the session; the first reason counts.
    pub fn break_off(&self, reason: &str) {
        if self.broken.borrow().is_some() {
            return;
        }
        *self.broken.borrow_mut() = Some(reason.to_owned());
        for flow in &self.flows {
            let _ = flow.transport.stream().shutdown();
            flow.moved.ring();
            flow.credit.ring();
        }
        let _ = self.control.stream().shutdown();
        self.breaking.ring();
        self.arrived.ring();
    }

    /// Gives the flows and the control connection what had arrived before the session began.
    pub fn preload(&self, unread: Vec<Vec<u8>>, news: Vec<u8>) {
        *self.control_unread.borrow_mut() = news;
        for (flow, bytes) in self.flows.iter().zip(unread) {
            *flow.unread.borrow_mut() = bytes;
        }
    }

    /// Whether it ended because the master's journal did not reach back to us any more.
    pub fn fell_out(&self) -> bool {
        self.fell_out.get()
    }

    fn is_broken(&self) -> bool {
        self.broken.borrow().is_some()
    }

    /// Whether the data equals the master's as of the positions.
    pub fn is_stable(&self) -> bool {
        self.stable.get()
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
        if !self.stable.get() || !is_known {
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
        (!self.stable.get())
            .then(|| Progress::of(done, total, self.started.elapsed().as_secs_f64()))
    }

    /// Runs until the session breaks and everything handed out is applied. Answers why it broke.
    /// `on_stable` is called once the data is the master's.
    pub async fn run(self: &Rc<Running>, on_stable: impl Fn() + 'static) -> String {
        let mut tasks = Vec::new();
        for index in 0..self.flows.len() {
            tasks.push(rt::spawn_local(read_flow(self.clone(), index)));
            tasks.push(rt::spawn_local(acknowledge(self.clone(), index)));
        }
        tasks.push(rt::spawn_local(read_control(self.clone())));
        let applier = rt::spawn_local(apply(self.clone(), on_stable));
        while !self.is_broken() {
            self.breaking.wait_for(Duration::from_millis(200)).await;
            self.watch();
        }
        for task in tasks {
            task.cancel().await;
        }
        applier.await;
        self.broken.borrow().clone().unwrap_or_default()
    }

    /// Waits while DEBUG REPLICA PAUSE holds.
    async fn while_paused(&self) {
        while self.paused.get() && !self.is_broken() {
            rt::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is due of signs of life now.
    fn alive_every(&self) -> Duration {
        self.pulse.every(self.settings.borrow().timeout)
    }

    /// Looks at what nothing else tells: silence, and a transaction that waits in vain.
    fn watch(&self) {
        let (own, now) = (self.settings.borrow().timeout, Instant::now());
        let limit = self.pulse.limit(own, now);
        let is_silent = |since: Instant| now.saturating_duration_since(since) > limit;
        if is_silent(self.control_heard.get()) {
            let ms = limit.as_millis();
            self.break_off(&format!("nothing arrived on the control connection for {ms} ms"));
        }
        for (index, flow) in self.flows.iter().enumerate() {
            if flow.silent.get().is_some_and(is_silent) {
                self.break_off(&format!(
                    "flow {index}: nothing arrived for {} ms",
                    limit.as_millis()
                ));
            }
        }
        let (before, since) = self.waits.get();
        let waits = self.applier.waits_for().filter(|_| !self.paused.get());
        if waits != before {
            self.waits.set((waits, now));
        } else if let Some((tx, _)) = waits
            && now.saturating_duration_since(since) > pulse::still_limit(own)
        {
            let ms = pulse::still_limit(own).as_millis();
            self.break_off(&format!("a part of transaction {} did not come for {ms} ms", tx.0));
        }
    }
}

async fn read_flow(running: Rc<Running>, index: usize) {
    let flow = &running.flows[index];
    let mut buffer = flow.unread.take();
    if let Err(error) = take_messages(&running, index, &mut buffer) {
        running.break_off(&format!("flow {index}: {error}"));
    }
    running.arrived.ring();
    while !running.is_broken() {
        running.while_paused().await;
        while !running.applier.wants_more(index as u16) && !running.is_broken() {
            flow.credit.wait_for(CREDIT_EVERY).await;
        }
        flow.silent.set(Some(Instant::now()));
        let read = flow.transport.read(&mut buffer, READ_BYTES).await;
        flow.silent.set(None);
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
            running.break_off(&format!("flow {index}: {error}"));
        }
        running.arrived.ring();
    }
}

fn take_messages(running: &Running, index: usize, buffer: &mut Vec<u8>) -> Result<(), String> {
    if let Some(head) = running.applier.receive(index as u16, buffer)? {
        running.heard_head(index, head);
        // A sign of life; whoever waits for us is answered at once.
        running.flows[index].moved.ring();
    }
    Ok(())
}

async fn read_control(running: Rc<Running>) {
    let mut buffer = running.control_unread.take();
    if let Err(error) = take_control(&running, &mut buffer) {
        running.break_off(&error);
    }
    let mut said = None::<Instant>;
    while !running.is_broken() {
        let own = running.settings.borrow().timeout;
        let left = match said {
            Some(at) if running.pulse.is_told(own) => {
                running.alive_every().saturating_sub(at.elapsed())
            }
            _ => Duration::ZERO,
        };
        if left.is_zero() {
            let now = Instant::now();
            said = Some(now);
            running.pulse.tell(own, now);
            let mut alive = Vec::new();
            wire::put_alive(&mut alive, own);
            if let Err(error) = running.control.write_all(&alive).await {
                running.break_off(&format!("control connection: {error}"));
            }
            continue;
        }
        let reading = running.control.read(&mut buffer, 4096);
        match rt::timeout(left, reading).await {
            Ok(Ok(0)) => running.break_off("the master closed the control connection"),
            Ok(Err(error)) => running.break_off(&format!("control connection: {error}")),
            Ok(Ok(_)) => {
                running.last_io.set(Instant::now());
                running.control_heard.set(Instant::now());
                if let Err(error) = take_control(&running, &mut buffer) {
                    running.break_off(&error);
                }
            }
            // Time for a sign of life.
            Err(_) => {}
        }
    }
}

fn take_control(running: &Running, buffer: &mut Vec<u8>) -> Result<(), String> {
    let mut at = 0;
    while let Some((kind, payload, used)) = wire::next(&buffer[at..])? {
        match News::of(kind, payload)? {
            // Before its cut is made it says 0.
            News::Progress(_, total) => running.total.set(running.total.get().max(total)),
            News::Heads(heads) => {
                running.heads_heard.set(Some(Instant::now()));
                for (flow, head) in heads.into_iter().enumerate() {
                    running.heard_head(flow, head);
                }
            }
            News::Alive(timeout) => {
                if running.pulse.hear(timeout) {
                    // Whoever waits for its turn waits too long perhaps.
                    running.flows.iter().for_each(|flow| flow.moved.ring());
                }
            }
            News::End(reason) => {
                running.fell_out.set(reason.starts_with(wire::FELL_OUT));
                return Err(format!("the master ended the session: {reason}"));
            }
        }
        at += used;
    }
    buffer.drain(..at);
    Ok(())
}

/// Hands out what may be applied and takes in what was, until the session breaks and nothing is out.
async fn apply(running: Rc<Running>, on_stable: impl Fn()) {
    let applier = &running.applier;
    loop {
        if !running.is_broken()
            && let Err(error) = applier.hand_out()
        {
            running.break_off(&error);
        }
        if running.is_broken() && applier.is_settled() {
            return;
        }
        // After handing out: the last to arrive may be nothing but the word that items are complete.
        if !running.stable.get() && applier.is_complete() && !running.is_broken() {
            running.stable.set(true);
            on_stable();
            // The master counts us as stable from the first acknowledgement on.
            running.flows.iter().for_each(|flow| flow.moved.ring());
        }
        let answered = async { Some(applier.answer().await) };
        let arrived = async {
            running.arrived.wait().await;
            None
        };
        if let Some(answer) = futures_lite::future::or(answered, arrived).await {
            take_in(&running, answer);
            while let Some(answer) = applier.try_answer() {
                take_in(&running, answer);
            }
        }
        for flow in &running.flows {
            flow.credit.ring();
        }
    }
}

fn take_in(running: &Running, answer: Answer) {
    let Taken { moved, broken } = running.applier.take_in(answer, rt::now_millis());
    if let Some(error) = broken {
        // The copy is not exact any more: start anew rather than go on.
        running.stable.set(false);
        running.break_off(&format!("a broken promise of the master: {error}"));
    }
    if moved {
        running.flows.iter().for_each(|flow| flow.moved.ring());
    }
}

/// Acknowledges what is applied on one flow: at once when nothing more is under way, else by count
/// and by time.
async fn acknowledge(running: Rc<Running>, index: usize) {
    let flow = &running.flows[index];
    let mut last = Instant::now();
    while !running.is_broken() {
        let every = running.alive_every();
        let moved = flow.moved.wait_for(every).await;
        let applied = running.applier.applied_of(index as u16);
        let settled = running.applier.is_settled();
        let interval = running.settings.borrow().acks_interval.min(every);
        let due = settled
            || applied.0 - flow.acked.get().0 >= ACK_EVERY_RECORDS
            || last.elapsed() >= interval;
        if moved && !due {
            continue;
        }
        let mut message = Vec::new();
        if running.stable.get() {
            wire::put_numbers(&mut message, Kind::Ack, &[applied.0]);
        } else {
            wire::put_numbers(&mut message, Kind::Alive, &[]);
        }
        flow.acked.set(applied);
        last = Instant::now();
        if let Err(error) = flow.transport.write_all(&message).await {
            running.break_off(&format!("flow {index}: {error}"));
        }
    }
}
