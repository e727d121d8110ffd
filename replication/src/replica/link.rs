//! The link to a master: connecting, agreeing on terms, following, and coming back after a break.
//!
//! ```text
//!   meet    look up ─► connect ─► TLS ─► introduce ─► FOLLOW ─► guard ─► flows     nothing changes here
//!   follow  begin (a full sync drops what is here) ─► session ─► everything handed out is applied
//!   pause   as long as `pace` says
//! ```
//!
//! Each attempt resolves the name anew. After a break the link asks to continue from its position;
//! whether that is possible the master decides (`engine::journal::Lineage::judge`).
//!
//! A stop is seen at once in every one of these states: meeting and pausing are dropped where they
//! stand, and a session is broken off, also one that is just being made.

use super::dial::{Call, Failure, Target, words};
use super::pace::{Ended, Pace};
use super::session::Running;
use crate::bell::Bell;
use crate::guard::Held;
use crate::handshake::{self, Terms, lsns_to_text};
use crate::info::{LinkState, Upstream};
use crate::service::Service;
use crate::transport::Transport;
use crate::wire;
use engine::journal::Position;
use engine::resp::client::Reply;
use engine::rt::{self, Event, Task};
use engine::types::Lsn;
use futures_lite::future;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Flows that are connected at once: enough that 64 of them take two rounds on a long road, and few
/// enough that their TLS handshakes do not hold up the master's clients.
const FLOWS_AT_ONCE: usize = 32;

/// How often the guard asks again what the master holds.
const GUARD_EVERY: Duration = Duration::from_secs(2);

/// Following one master.
pub struct Link {
    /// As the operator gave it.
    pub host: String,
    /// Its port.
    pub port: u16,
    state: Cell<LinkState>,
    running: RefCell<Option<Rc<Running>>>,
    /// An operator asked for this master by name: the guard does not hold.
    explicit: Cell<bool>,
    guard: Cell<Option<Held>>,
    /// Set once, and set for good: whoever looks or waits later sees it too.
    stop: Event,
    stopped: Event,
    /// Ends a pause between two attempts, where it may be ended.
    hurry: Bell,
    may_hurry: Cell<bool>,
    /// DEBUG REPLICA PAUSE.
    paused: Rc<Cell<bool>>,
    last_io: Cell<Instant>,
    down_since: Cell<Option<Instant>>,
    last_error: RefCell<Option<String>>,
    /// Those whom the master said it waits for.
    waiting: RefCell<Vec<String>>,
    reconnects: Cell<u64>,
    session: Cell<u64>,
    attempts: Cell<u64>,
    successes: Cell<u64>,
}

impl Link {
    /// A link that is not running yet.
    pub fn new(host: String, port: u16) -> Rc<Link> {
        Rc::new(Link {
            host,
            port,
            state: Cell::new(LinkState::Connecting),
            running: RefCell::new(None),
            explicit: Cell::new(true),
            guard: Cell::new(None),
            stop: Event::new(),
            stopped: Event::new(),
            hurry: Bell::default(),
            may_hurry: Cell::new(false),
            paused: Rc::new(Cell::new(false)),
            last_io: Cell::new(Instant::now()),
            down_since: Cell::new(Some(Instant::now())),
            last_error: RefCell::new(None),
            waiting: RefCell::default(),
            reconnects: Cell::new(0),
            session: Cell::new(0),
            attempts: Cell::new(0),
            successes: Cell::new(0),
        })
    }

    /// How far it is.
    pub fn state(&self) -> LinkState {
        self.state.get()
    }

    /// DEBUG REPLICA PAUSE and RESUME.
    pub fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
    }

    /// Partial syncs asked for, and granted.
    pub fn partial_counts(&self) -> (u64, u64) {
        (self.attempts.get(), self.successes.get())
    }

    /// Ends the session with the master, if there is one, for `reason`; the link is made anew.
    pub fn break_off(&self, reason: &str) -> bool {
        let running = self.running.borrow().clone();
        running.iter().for_each(|running| running.break_off(reason));
        running.is_some()
    }

    /// What INFO shows.
    pub fn describe(&self) -> Upstream {
        let running = self.running.borrow();
        let idle = running.as_ref().map_or(self.last_io.get().elapsed(), |running| running.idle());
        let applied = running.as_ref().map(|running| running.applied()).unwrap_or_default();
        Upstream {
            host: self.host.clone(),
            port: self.port,
            state: self.state(),
            last_io_ms: idle.as_millis() as u64,
            down_ms: self.down_since.get().map(|since| since.elapsed().as_millis() as u64),
            last_error: self.last_error.borrow().clone(),
            offset: applied.iter().map(|lsn| lsn.0).sum(),
            lags: running.as_ref().map(|running| running.lags()).unwrap_or_default(),
            applied,
            session: self.session.get(),
            progress: running.as_ref().and_then(|running| running.progress()),
            guard: self.guard.get(),
            reconnects: self.reconnects.get(),
        }
    }

    /// Whether this link leads there, and does so by itself.
    pub fn leads_to(&self, other: &Link) -> bool {
        self.host.eq_ignore_ascii_case(&other.host)
            && self.port == other.port
            && self.guard.get().is_none()
    }

    /// An operator asks for the same master once more: what comes of the next attempt is what was asked
    /// for, also if the master has lost its data meanwhile. A session that goes on is not touched.
    pub fn is_meant(&self) {
        if self.running.borrow().is_none() {
            self.explicit.set(true);
        }
    }

    /// Whether the master can be reached and would have us, before anything is changed here: REPLICAOF
    /// answers with what this says.
    pub async fn check(&self, service: &Rc<Service>) -> Result<(), String> {
        let target = self.target(service, service.settings.borrow().connect_timeout);
        let checked = async { self.introduce(service, &target?).await.map(|_| ()) };
        checked.await.map_err(|failure| failure.text)
    }

    /// An operator asks for this master once more: the next attempt need not wait its turn. A copy that
    /// was lost is: a program that says REPLICAOF every few seconds must not make a full sync of each.
    pub fn hurry(&self) {
        if self.may_hurry.get() {
            self.hurry.ring();
        }
    }

    /// Ends the link and waits until everything that was handed to shards is applied.
    pub async fn stop(&self) {
        self.stop.set();
        let running = self.running.borrow().clone();
        if let Some(running) = running {
            running.break_off("the link was ended");
        }
        // There are never more waiters than allowed: one change of role at a time.
        let _ = self.stopped.wait().await;
    }

    /// Follows the master until [`stop`](Link::stop).
    pub async fn run(self: Rc<Link>, service: Rc<Service>) {
        let mut pace = Pace::default();
        while !self.stop.is_set() {
            let pause = self.attempt(&service, &mut pace).await;
            self.running.borrow_mut().take();
            self.state.set(LinkState::Connecting);
            service.status.set_link_up(false);
            if self.down_since.get().is_none() {
                self.down_since.set(Some(Instant::now()));
            }
            let jitter = fastrand::u64(..=pause.as_millis() as u64 / 4);
            let pause = pause + Duration::from_millis(jitter);
            self.may_hurry.set(pace.lost() == 0);
            self.unless_stopped(self.hurry.wait_for(pause)).await;
            self.may_hurry.set(false);
            self.reconnects.set(self.reconnects.get() + 1);
        }
        self.stopped.set();
    }

    /// What `work` comes to, unless the link is ended first: then it is dropped where it stands.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stopped = async {
            let _ = self.stop.wait().await;
            None
        };
        future::or(stopped, async { Some(work.await) }).await
    }

    /// One attempt, with its session if it comes so far. Answers with the pause before the next one.
    async fn attempt(self: &Rc<Link>, service: &Rc<Service>, pace: &mut Pace) -> Duration {
        let (reconnect, limit) = {
            let settings = service.settings.borrow();
            let reconnect = pace.step_limit(settings.reconnect_timeout);
            let first = self.explicit.get();
            (
                settings.reconnect_pause,
                if first { pace.step_limit(settings.connect_timeout) } else { reconnect },
            )
        };
        let (ended, error) = match self.unless_stopped(self.meet(service, limit)).await {
            None => return Duration::ZERO,
            Some(Err(failure)) => {
                let pause = pace.not_met(failure.late, limit, reconnect);
                self.note_error(failure.text);
                return pause;
            }
            Some(Ok(met)) => self.follow(service, met).await,
        };
        let Some(error) = error else { return Duration::ZERO };
        let pause = pace.session_ended(ended, reconnect);
        if ended.fell_out && !self.stop.is_set() {
            tracing::warn!(
                "replication: link to {}:{}: {error}; copies lost one after the other: {}, the next \
                 full sync is asked for in {} ms",
                self.host,
                self.port,
                pace.lost(),
                pause.as_millis()
            );
            *self.last_error.borrow_mut() = Some(error);
        } else {
            self.note_error(error);
        }
        pause
    }

    /// Logged once as long as it stays the same.
    fn note_error(&self, error: String) {
        let seen = self.last_error.borrow().as_ref() == Some(&error);
        if !seen && !self.stop.is_set() {
            tracing::warn!("replication: link to {}:{}: {error}", self.host, self.port);
        }
        *self.last_error.borrow_mut() = Some(error);
    }

    fn target(&self, service: &Service, limit: Duration) -> Result<Target, Failure> {
        Ok(Target {
            host: self.host.clone(),
            port: self.port,
            address: None,
            tls: service.client_tls()?,
            settings: service.settings.borrow().clone(),
            limit,
        })
    }

    async fn introduce(&self, service: &Service, target: &Target) -> Result<Call, Failure> {
        let settings = &target.settings;
        let ping = vec![b"PING".to_vec()];
        let introduction = handshake::introduction(settings.announce_port, &settings.announce_ip);
        let capabilities = handshake::capabilities();
        let check = handshake::ask_check(&service.chain(), service.front.node.dbs());
        let requests = [ping, introduction, capabilities, check];
        let mut call = Call::dial(target, &requests).await?;
        let [ping, introduction, capabilities, check] = &requests;
        let greeting = call.answer(ping).await?;
        if greeting.error().is_some() {
            return Err(format!("could not greet master: {}", words(&greeting)).into());
        }
        let reply = call.answer(introduction).await?;
        if !reply.is_ok() {
            return Err(format!("could not greet master: {}", words(&reply)).into());
        }
        let reply = call.answer(capabilities).await?;
        if reply.elements().is_none() {
            return Err(format!(
                "{}:{} is not a Damselfly (it answers {}): following a Redis is not supported yet",
                self.host,
                self.port,
                words(&reply)
            )
            .into());
        }
        let reply = call.answer(check).await?;
        if reply.is_ok() { Ok(call) } else { Err(self.refusal(&reply).into()) }
    }

    /// Why the master would not have us; notes whom it waits for if that is why.
    fn refusal(&self, reply: &Reply) -> String {
        let Reply::Error(text) = reply else { return words(reply) };
        let (text, waiting) = handshake::waits(text);
        *self.waiting.borrow_mut() = waiting;
        text
    }

    /// Agrees with the master on a session and connects its flows. Nothing has changed here until it
    /// is done, so it may be dropped anywhere.
    async fn meet(&self, service: &Rc<Service>, limit: Duration) -> Result<Met, Failure> {
        let mut target = self.target(service, limit)?;
        let introduced = self.introduce(service, &target).await;
        service.note_waiting(self.waiting.take());
        let mut control = introduced?;
        self.state.set(LinkState::Handshake);
        let asked = service.position().filter(|_| service.settings.borrow().partial_sync);
        self.attempts.set(self.attempts.get() + u64::from(asked.is_some()));
        let terms = self.agree(service, &mut control, asked.as_ref()).await?;
        // An explicit REPLICAOF is not asked whether it means it.
        let held = if self.explicit.get() { None } else { service.guard(&terms).await };
        if let Some(held) = held {
            drop(control);
            let text = held.text(&self.host, self.port);
            if self.guard.replace(Some(held)).is_none() {
                let (own, theirs) = (held.own_keys, held.master_keys);
                tracing::warn!("replication: {text} ({own} keys here, {theirs} there)");
                *self.last_error.borrow_mut() = Some(text.clone());
            }
            rt::sleep(GUARD_EVERY).await;
            return Err(text.into());
        }
        self.guard.set(None);
        self.session.set(terms.session);
        service.adopt_chain(&terms.chain);
        target.address = Some(control.address);
        let flows = connect_flows(&target, &terms).await?;
        let limit = service.settings.borrow().timeout;
        let (mut starts, mut transports, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (transport, mut buffer)) in flows.into_iter().enumerate() {
            let start = rt::timeout(limit, read_start(&transport, &mut buffer));
            let start = match start.await {
                Ok(start) => start.map_err(|error| format!("flow {index}: {error}"))?,
                Err(_) => {
                    return Err(format!("flow {index}: the master did not begin in time").into());
                }
            };
            starts.push(start);
            transports.push(transport);
            rests.push(buffer);
        }
        if !terms.full && starts != terms.from {
            return Err("the master begins elsewhere than it said".to_owned().into());
        }
        self.note_begun(&terms);
        Ok(Met { terms, starts, transports, rests, control: control.into_parts() })
    }

    async fn agree(
        &self,
        service: &Rc<Service>,
        control: &mut Call,
        asked: Option<&Position>,
    ) -> Result<Terms, Failure> {
        let dbs = service.front.node.dbs();
        let reply = control.ask(&handshake::ask_follow(&service.chain(), asked, dbs)).await?;
        let terms = Terms::from_reply(&reply)?;
        handshake::has_room(Some(dbs), terms.dbs)?;
        Ok(terms)
    }

    /// The master has let us begin.
    fn note_begun(&self, terms: &Terms) {
        let (host, port) = (&self.host, self.port);
        if terms.full {
            tracing::info!("replication: full sync from {host}:{port}: {}", terms.reason);
        } else {
            self.successes.set(self.successes.get() + 1);
            let from = lsns_to_text(&terms.from);
            tracing::info!("replication: partial sync with {host}:{port} from {from}");
        }
    }

    /// Follows until the session ends. Answers how it ended and why; without a reason the next attempt
    /// goes on where this one has come to its end.
    async fn follow(self: &Rc<Link>, service: &Rc<Service>, met: Met) -> (Ended, Option<String>) {
        let Met { terms, starts, transports, rests, control: (control, news) } = met;
        let (full, began) = (terms.full, Instant::now());
        let relay = service.begin_following(&terms, &starts).await;
        self.explicit.set(false);
        let running = Running::new(
            service.front.clone(),
            terms,
            &starts,
            transports,
            control,
            relay,
            service.settings_shared(),
            self.paused.clone(),
        );
        running.preload(rests, news);
        *self.running.borrow_mut() = Some(running.clone());
        let stable_since = Rc::new(Cell::new(None));
        if self.stop.is_set() {
            // While the shards changed there was nothing to break off.
            running.break_off("the link was ended");
        } else {
            self.state.set(if full { LinkState::FullSync } else { LinkState::StableSync });
            if !full {
                stable_since.set(Some(Instant::now()));
                self.came_up(service);
            }
        }
        let (link, on_stable, since) = (self.clone(), service.clone(), stable_since.clone());
        let reason = running
            .run(move || {
                since.set(Some(Instant::now()));
                link.state.set(LinkState::StableSync);
                link.came_up(&on_stable);
                on_stable.full_sync_done();
            })
            .await;
        self.last_io.set(Instant::now());
        let applied = running.applied();
        service.end_following(running.is_stable(), &applied);
        let ended = Ended {
            full,
            lived: began.elapsed(),
            stable: stable_since.get().filter(|_| running.is_stable()).map(|since| since.elapsed()),
            fell_out: running.fell_out(),
        };
        let is_over = running.terms.is_over(&applied);
        (ended, (!is_over).then_some(reason))
    }

    fn came_up(&self, service: &Service) {
        service.status.set_link_up(true);
        self.down_since.set(None);
        self.last_error.borrow_mut().take();
        tracing::info!("replication: in stable sync with {}:{}", self.host, self.port);
    }
}

/// What a session is made of, before anything has changed here.
struct Met {
    terms: Terms,
    /// Where the flows begin.
    starts: Vec<Lsn>,
    transports: Vec<Transport>,
    /// What has arrived on them.
    rests: Vec<Vec<u8>>,
    /// The control connection, and what has arrived on it.
    control: (Transport, Vec<u8>),
}

/// All flows of a session, side by side.
async fn connect_flows(
    target: &Target,
    terms: &Terms,
) -> Result<Vec<(Transport, Vec<u8>)>, Failure> {
    let mut flows = Vec::with_capacity(terms.from.len());
    let mut connecting: VecDeque<Task<Result<Call, Failure>>> = VecDeque::new();
    for index in 0..terms.from.len() {
        if connecting.len() >= FLOWS_AT_ONCE
            && let Some(first) = connecting.pop_front()
        {
            flows.push(first.await?.into_parts());
        }
        connecting.push_back(rt::spawn_local(connect_flow(target.clone(), terms.session, index)));
    }
    for connected in connecting {
        flows.push(connected.await?.into_parts());
    }
    Ok(flows)
}

async fn connect_flow(target: Target, session: u64, index: usize) -> Result<Call, Failure> {
    let request = handshake::ask_flow(session, index);
    let mut call = Call::dial(&target, std::slice::from_ref(&request)).await?;
    let reply = call.answer(&request).await?;
    if reply.is_ok() { Ok(call) } else { Err(format!("flow {index}: {}", words(&reply)).into()) }
}

/// The first message of a flow: where its journal begins.
async fn read_start(transport: &Transport, buffer: &mut Vec<u8>) -> Result<Lsn, String> {
    loop {
        if let Some(start) = wire::take_start(buffer)? {
            return Ok(start);
        }
        match transport.read(buffer, 16 * 1024).await {
            Ok(0) => return Err("the master closed it".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
