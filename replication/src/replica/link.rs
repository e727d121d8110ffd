//! The link to a master: connecting, agreeing on terms, following, and coming back after a break.
//!
//! Each attempt resolves the name anew. After a break the link asks to continue from its position;
//! whether that is possible the master decides (`engine::journal::Lineage::judge`). Attempts that end
//! soon after they began back off, with jitter, up to [`BACKOFF_MAX`].

use super::dial::{Call, Target, words};
use super::guard::Held;
use super::session::Running;
use crate::bell::Bell;
use crate::handshake::{self, Terms, lsns_to_text};
use crate::info::{LinkState, Upstream};
use crate::service::Service;
use crate::transport::Transport;
use crate::wire;
use engine::journal::Position;
use engine::rt;
use engine::types::Lsn;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A session that lived so long starts the backoff anew.
const LONG_LIVED: Duration = Duration::from_secs(10);

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
    stopping: Cell<bool>,
    stop: Bell,
    stopped: Bell,
    /// DEBUG REPLICA PAUSE.
    paused: Rc<Cell<bool>>,
    last_io: Cell<Instant>,
    down_since: Cell<Option<Instant>>,
    last_error: RefCell<Option<String>>,
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
            stopping: Cell::new(false),
            stop: Bell::default(),
            stopped: Bell::default(),
            paused: Rc::new(Cell::new(false)),
            last_io: Cell::new(Instant::now()),
            down_since: Cell::new(Some(Instant::now())),
            last_error: RefCell::new(None),
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

    /// Whether the master can be reached and would have us, before anything is changed here: REPLICAOF
    /// answers with what this says.
    pub async fn check(&self, service: &Rc<Service>) -> Result<(), String> {
        let limit = service.settings.borrow().connect_timeout;
        self.introduce(service, limit).await.map(|_| ())
    }

    /// Ends the link and waits until everything that was handed to shards is applied.
    pub async fn stop(&self) {
        self.stopping.set(true);
        self.stop.ring();
        if let Some(running) = &*self.running.borrow() {
            running.break_off("the link was ended");
        }
        self.stopped.wait().await;
    }

    /// Follows the master until [`stop`](Link::stop).
    pub async fn run(self: Rc<Link>, service: Rc<Service>) {
        let mut pause = Duration::from_millis(100);
        while !self.stopping.get() {
            let began = Instant::now();
            let outcome = self.attempt(&service).await;
            self.running.borrow_mut().take();
            self.state.set(LinkState::Connecting);
            service.status.set_link_up(false);
            if self.down_since.get().is_none() {
                self.down_since.set(Some(Instant::now()));
            }
            if self.stopping.get() {
                break;
            }
            if began.elapsed() > LONG_LIVED {
                pause = Duration::from_millis(100);
            }
            if let Err(error) = outcome {
                let seen = self.last_error.borrow().as_ref() == Some(&error);
                if !seen {
                    tracing::warn!("replication: link to {}:{}: {error}", self.host, self.port);
                }
                *self.last_error.borrow_mut() = Some(error);
                let jitter = fastrand::u64(..=pause.as_millis() as u64 / 4);
                self.stop.wait_for(pause + Duration::from_millis(jitter)).await;
                pause = (pause * 2).min(BACKOFF_MAX.min(service.settings.borrow().reconnect_pause));
            }
            self.reconnects.set(self.reconnects.get() + 1);
        }
        self.stopped.ring();
    }

    async fn introduce(&self, service: &Rc<Service>, limit: Duration) -> Result<Call, String> {
        let settings = service.settings.borrow().clone();
        let tls = service.client_tls()?;
        let target = Target { host: &self.host, port: self.port, tls, settings: &settings };
        let mut call = Call::dial(&target, limit).await?;
        let greeting = call.ask(&[b"PING"]).await?;
        if greeting.error().is_some() {
            return Err(format!("could not greet master: {}", words(&greeting)));
        }
        let request = handshake::introduction(settings.announce_port, &settings.announce_ip);
        let reply = call.ask(&request).await?;
        if !reply.is_ok() {
            return Err(format!("could not greet master: {}", words(&reply)));
        }
        let reply = call.ask(&handshake::capabilities()).await?;
        if reply.elements().is_none() {
            return Err(format!(
                "{}:{} is not a Damselfly (it answers {}): following a Redis is not supported yet",
                self.host,
                self.port,
                words(&reply)
            ));
        }
        let reply = call.ask(&handshake::ask_check(&service.chain())).await?;
        if reply.is_ok() { Ok(call) } else { Err(words(&reply)) }
    }

    async fn attempt(self: &Rc<Link>, service: &Rc<Service>) -> Result<(), String> {
        let limit = if self.explicit.get() {
            service.settings.borrow().connect_timeout
        } else {
            service.settings.borrow().reconnect_timeout
        };
        let mut control = self.introduce(service, limit).await?;
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
            self.stop.wait_for(GUARD_EVERY).await;
            return Err(text);
        }
        self.guard.set(None);
        self.session.set(terms.session);
        service.adopt_chain(&terms.chain);
        let flows = self.connect_flows(service, &terms, limit).await?;
        self.follow(service, terms, flows, control.into_parts()).await
    }

    async fn agree(
        &self,
        service: &Rc<Service>,
        control: &mut Call,
        asked: Option<&Position>,
    ) -> Result<Terms, String> {
        let reply = control.ask(&handshake::ask_follow(&service.chain(), asked)).await?;
        let terms = Terms::from_reply(&reply)?;
        if terms.dbs > service.front.node.dbs() {
            return Err(format!(
                "the master has {} databases, this node has {}: start it with --dbnum={}",
                terms.dbs,
                service.front.node.dbs(),
                terms.dbs
            ));
        }
        if terms.full {
            tracing::info!(
                "replication: full sync from {}:{}: {}",
                self.host,
                self.port,
                terms.reason
            );
        } else {
            self.successes.set(self.successes.get() + 1);
            tracing::info!(
                "replication: partial sync with {}:{} from {}",
                self.host,
                self.port,
                lsns_to_text(&terms.from)
            );
        }
        Ok(terms)
    }

    async fn connect_flows(
        &self,
        service: &Rc<Service>,
        terms: &Terms,
        limit: Duration,
    ) -> Result<Vec<(Transport, Vec<u8>)>, String> {
        let settings = service.settings.borrow().clone();
        let tls = service.client_tls()?;
        let mut flows = Vec::with_capacity(terms.from.len());
        for index in 0..terms.from.len() {
            let tls = tls.clone();
            let target = Target { host: &self.host, port: self.port, tls, settings: &settings };
            let mut call = Call::dial(&target, limit).await?;
            let reply = call.ask(&handshake::ask_flow(terms.session, index)).await?;
            if !reply.is_ok() {
                return Err(format!("flow {index}: {}", words(&reply)));
            }
            flows.push(call.into_parts());
        }
        Ok(flows)
    }

    async fn follow(
        self: &Rc<Link>,
        service: &Rc<Service>,
        terms: Terms,
        flows: Vec<(Transport, Vec<u8>)>,
        (control, news): (Transport, Vec<u8>),
    ) -> Result<(), String> {
        let limit = service.settings.borrow().timeout;
        let mut starts = Vec::with_capacity(flows.len());
        let mut transports = Vec::with_capacity(flows.len());
        let mut rests = Vec::with_capacity(flows.len());
        for (index, (transport, mut buffer)) in flows.into_iter().enumerate() {
            let start = rt::timeout(limit, read_start(&transport, &mut buffer));
            let start = match start.await {
                Ok(start) => start.map_err(|error| format!("flow {index}: {error}"))?,
                Err(_) => return Err(format!("flow {index}: the master did not begin in time")),
            };
            starts.push(start);
            transports.push(transport);
            rests.push(buffer);
        }
        if !terms.full && starts != terms.from {
            return Err("the master begins elsewhere than it said".to_owned());
        }
        if self.stopping.get() {
            return Ok(());
        }
        let full = terms.full;
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
        self.state.set(if full { LinkState::FullSync } else { LinkState::StableSync });
        if !full {
            self.came_up(service);
        }
        let (link, on_stable) = (self.clone(), service.clone());
        let reason = running
            .run(move || {
                link.state.set(LinkState::StableSync);
                link.came_up(&on_stable);
                on_stable.full_sync_done();
            })
            .await;
        self.last_io.set(Instant::now());
        let applied = running.applied();
        service.end_following(running.is_stable(), &applied);
        if running.terms.is_over(&applied) {
            return Ok(());
        }
        Err(reason)
    }

    fn came_up(&self, service: &Service) {
        service.status.set_link_up(true);
        self.down_since.set(None);
        self.last_error.borrow_mut().take();
        tracing::info!("replication: in stable sync with {}:{}", self.host, self.port);
    }
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
