//! The link to a master: connecting, agreeing on terms, following, and coming back after a break.
//!
//! It performs what its machine says ([`super::machine`]: states, pauses, deadlines, the guard, ends in
//! every state) and tells it what happened. Each attempt resolves the name anew. After a break the link
//! asks to continue from its position; whether that is possible the master decides
//! (`engine::journal::Lineage::judge`).

use super::applier::Applies;
use super::dial::{self, Call, Target, Watch, words};
use super::helm::{Helm, Steered, Surroundings};
use super::machine::{Action, Event, Happened, Machine};
use super::reason::Reason;
use super::rules::Rules;
use super::running::{Parts, Running};
use super::steps::{Place, Step};
use crate::handshake::{self, Terms, lsns_to_text};
use crate::here::Here;
use crate::info::{LinkState, Upstream};
use crate::tls::TlsStore;
use crate::transport::{Sockets, Transport};
use crate::wire;
use engine::resp::client::Reply;
use engine::rt::{self, Task};
use engine::types::Lsn;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Flows that are connected at once: enough that 64 of them take two rounds on a long road, and few
/// enough that their TLS handshakes do not hold up the master's clients.
const FLOWS_AT_ONCE: usize = 32;

/// Following one master.
pub struct Link {
    /// As the operator gave it.
    pub host: String,
    /// Its port.
    pub port: u16,
    helm: Rc<Helm>,
    /// The node that follows.
    here: Rc<Here>,
    tls: Arc<TlsStore>,
    /// What the attempt has come to.
    met: RefCell<Option<Met>>,
    running: RefCell<Option<Rc<Running<Sockets>>>>,
    /// DEBUG REPLICA PAUSE.
    paused: Cell<bool>,
    last_io: Cell<Instant>,
    /// Those whom the master said it waits for.
    waiting: RefCell<Vec<String>>,
}

/// What is agreed on, before anything has changed here.
struct Met {
    terms: Terms,
    target: Target,
    control: (Transport, Vec<u8>),
    starts: Vec<Lsn>,
    flows: Vec<Transport>,
    /// What has arrived on them.
    unread: Vec<Vec<u8>>,
}

impl Surroundings for Link {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.here.settings.borrow())
    }

    fn perform_at_once(&self, action: Action) {
        let running = || self.running.borrow().clone();
        match action {
            Action::LetGo(held, is_news) => {
                self.met.borrow_mut().take();
                if is_news {
                    let (text, own) = (held.text(&self.host, self.port), held.own_keys);
                    let theirs = held.master_keys;
                    tracing::warn!("replication: {text} ({own} keys here, {theirs} there)");
                }
            }
            Action::Tell => running().iter().for_each(|running| running.tell()),
            Action::Look => running().iter().for_each(|running| running.look()),
            Action::Say(flow, said) => running().iter().for_each(|running| running.say(flow, said)),
            Action::WakeFlows => running().iter().for_each(|running| running.wake_flows()),
            Action::Stable => {
                let (host, port) = (&self.host, self.port);
                tracing::info!("replication: in stable sync with {host}:{port}");
            }
            Action::LetIn => self.here.full_sync_done(),
            Action::Conclude { is_exact } => {
                self.last_io.set(Instant::now());
                if let Some(running) = self.running.borrow_mut().take() {
                    self.here.standing.end_following(is_exact, &running.applied());
                }
            }
            Action::Down { reason, is_news, lost } => {
                // Nobody is to hold a connection open through a pause.
                self.met.borrow_mut().take();
                self.down(reason.as_ref(), is_news, lost);
            }
            Action::End => {
                self.met.borrow_mut().take();
            }
            // They take time: the link's task performs them.
            Action::Introduce(_)
            | Action::Judge(_)
            | Action::Join(_)
            | Action::Begin(_)
            | Action::Run(_)
            | Action::Drain(_) => {}
        }
    }
}

impl Steered for Link {
    fn helm(&self) -> &Helm {
        &self.helm
    }

    fn is_paused(&self) -> bool {
        self.paused.get()
    }
}

impl Link {
    /// A link that is not running yet; whether an operator asked for it just now.
    pub fn new(
        (host, port): (String, u16),
        is_explicit: bool,
        here: Rc<Here>,
        tls: Arc<TlsStore>,
    ) -> Rc<Link> {
        let now = Instant::now();
        Rc::new_cyclic(|link: &Weak<Link>| {
            let machine = Machine::new(host.clone(), port, fastrand::u64(..), now);
            let machine = if is_explicit { machine } else { machine.unasked() };
            Link {
                host,
                port,
                helm: Rc::new(Helm::new(machine, link.clone())),
                here,
                tls,
                met: RefCell::default(),
                running: RefCell::default(),
                paused: Cell::new(false),
                last_io: Cell::new(now),
                waiting: RefCell::default(),
            }
        })
    }

    /// How far it is.
    pub fn state(&self) -> LinkState {
        self.helm.machine().link_state()
    }

    /// DEBUG REPLICA PAUSE and RESUME.
    pub fn set_paused(&self, paused: bool) {
        self.paused.set(paused);
    }

    /// Partial syncs asked for, and granted.
    pub fn partial_counts(&self) -> (u64, u64) {
        let machine = self.helm.machine();
        (machine.counts().attempts, machine.counts().successes)
    }

    /// The session under way hands out nothing more until it is let go, and what it has is applied.
    pub async fn hold(&self) -> Option<Rc<Running<Sockets>>> {
        let running = self.running.borrow().clone()?;
        running.hold().await;
        Some(running)
    }

    /// CLIENT KILL: ends the session with the master, if there is one; the link is made anew.
    pub fn kill(&self) -> bool {
        let is_in_session = self.helm.machine().is_in_session();
        self.helm.step(Event::Kill);
        is_in_session
    }

    /// What INFO shows.
    pub fn describe(&self) -> Upstream {
        let (running, machine) = (self.running.borrow(), self.helm.machine());
        let counts = machine.counts();
        let idle = running.as_ref().map_or(self.last_io.get().elapsed(), |running| running.idle());
        let applied = running.as_ref().map(|running| running.applied()).unwrap_or_default();
        Upstream {
            host: self.host.clone(),
            port: self.port,
            state: machine.link_state(),
            last_io_ms: idle.as_millis() as u64,
            down_ms: counts.down_since.map(|since| since.elapsed().as_millis() as u64),
            last_error: counts.last_error.as_ref().map(Reason::to_string),
            offset: applied.iter().map(|lsn| lsn.0).sum(),
            heads: running.as_ref().map(|running| running.heads()).unwrap_or_default(),
            applied,
            session: counts.session,
            progress: running.as_ref().and_then(|running| running.progress()),
            guard: machine.held(),
            reconnects: counts.reconnects,
        }
    }

    /// Whether an operator has to do something before anything goes on by itself.
    pub fn is_stuck(&self) -> bool {
        self.helm.machine().held().is_some()
    }

    /// An operator asks for the same master once more.
    pub fn is_meant(&self) {
        self.helm.step(Event::Meant);
        self.helm.step(Event::Hurry);
    }

    /// Whether the master can be reached and would have us, before anything is changed here: REPLICAOF
    /// answers with what this says.
    pub async fn check(&self) -> Result<(), Reason> {
        let limit = self.rules().connect;
        let checked = async |watch| {
            let target = self.target(limit, watch)?;
            self.introduce(&target).await.map(drop)
        };
        dial::try_within(&self.host, limit, checked).await
    }

    /// The link is to end, once everything that was handed to shards is applied.
    pub fn end(&self) {
        self.helm.step(Event::Stop);
    }

    /// Whether it has ended because a Redis is there, and whether an operator asked for that one.
    pub fn met_another_kind(&self) -> Option<bool> {
        self.helm.machine().met_another_kind()
    }

    /// Follows the master until it is [ended](Link::end), or another kind of master is met.
    pub async fn run(self: Rc<Link>) {
        self.helm.step(Event::Begin);
        while let Some(action) = self.helm.next(rt::sleep).await {
            self.perform(action).await;
        }
    }

    async fn perform(self: &Rc<Link>, action: Action) {
        match action {
            Action::Introduce(attempt) => {
                self.helm.meet(attempt, rt::sleep, self.agree(attempt)).await
            }
            Action::Judge(attempt) => self.helm.meet(attempt, rt::sleep, self.judge()).await,
            Action::Join(attempt) => self.helm.meet(attempt, rt::sleep, self.join()).await,
            Action::Begin(attempt) => self.begin(attempt).await,
            Action::Run(_) => self.running.borrow().iter().for_each(Running::run),
            Action::Drain(attempt) => {
                let running = self.running.borrow().clone();
                let Some(running) = running else { return };
                running.drain().await;
                let is_over = running.terms.is_over(&running.applied());
                self.helm.happened(attempt, Happened::Drained { is_over });
            }
            at_once => self.perform_at_once(at_once),
        }
    }

    fn down(&self, reason: Option<&Reason>, is_news: bool, lost: Option<(u32, Duration)>) {
        let Some(error) = reason.filter(|_| is_news) else { return };
        let (host, port) = (&self.host, self.port);
        match lost {
            None => tracing::warn!("replication: link to {host}:{port}: {error}"),
            Some((lost, pause)) => tracing::warn!(
                "replication: link to {host}:{port}: {error}; copies lost one after the other: {lost}, the next \
                 full sync is asked for in {} ms",
                pause.as_millis()
            ),
        }
    }

    fn target(&self, limit: Duration, watch: Watch) -> Result<Target, Reason> {
        let settings = self.here.settings.borrow().clone();
        Ok(Target {
            host: self.host.clone(),
            port: self.port,
            address: None,
            tls: dial::client_tls(&self.tls, &settings)?,
            settings,
            limit,
            watch,
        })
    }

    /// Tells the machine at which step an attempt is.
    fn watch(&self, attempt: u64) -> Watch {
        let helm = self.helm.clone();
        Rc::new(move |place, step| helm.happened(attempt, Happened::Step(place, step)))
    }

    async fn introduce(&self, target: &Target) -> Result<Call, Reason> {
        let settings = &target.settings;
        let ping = vec![b"PING".to_vec()];
        let introduction = handshake::introduction(settings.announce_port, &settings.announce_ip);
        let capabilities = handshake::capabilities();
        let check = handshake::ask_check(&self.here.chain.ids(), self.here.front.node.dbs());
        let requests = [ping, introduction, capabilities, check];
        let mut call = Call::dial(target, Place::Control, &requests).await?;
        let [ping, introduction, capabilities, check] = &requests;
        let greeting = call.answer(ping).await?;
        // One that is loading says more to CHECK: whom it waits for, or that it waits for us. And one that cannot save, and
        // takes no writes, needs its replicas more than ever.
        let hinders =
            |error: &[u8]| !error.starts_with(b"LOADING ") && !handshake::is_misconf(error);
        if greeting.error().is_some_and(hinders) {
            return Err(format!("could not greet master: {}", words(&greeting)).into());
        }
        let reply = call.answer(introduction).await?;
        if !reply.is_ok() {
            return Err(format!("could not greet master: {}", words(&reply)).into());
        }
        let reply = call.answer(capabilities).await?;
        if reply.elements().is_none() {
            // A Redis says OK to whatever one is capable of.
            return Err(Reason::OtherKind);
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

    /// Reaches the master and agrees with it on a session.
    async fn agree(&self, attempt: u64) -> Result<Happened, Reason> {
        let limit = self.helm.machine().limit();
        let mut target = self.target(limit, self.watch(attempt))?;
        let introduced = self.introduce(&target).await;
        // Our master waits for these, itself the first of them; for nobody if there are none.
        self.here.chain.wait_for(self.waiting.take());
        let mut control = introduced?;
        let (asked, dbs) = (self.here.asks_from(), self.here.front.node.dbs());
        let request = handshake::ask_follow(&self.here.chain.ids(), asked.as_ref(), dbs);
        let terms = Terms::from_reply(&control.follow(&request, asked.is_some()).await?)?;
        handshake::has_room(Some(dbs), terms.dbs)?;
        target.address = Some(control.address);
        let agreed = Happened::Agreed { full: terms.full, session: terms.session };
        let control = control.into_parts();
        let (starts, flows, unread) = (Vec::new(), Vec::new(), Vec::new());
        *self.met.borrow_mut() = Some(Met { terms, target, control, starts, flows, unread });
        Ok(agreed)
    }

    async fn judge(&self) -> Result<Happened, Reason> {
        let terms = self.met.borrow().as_ref().map(|met| met.terms.clone());
        Ok(Happened::Judged(match terms {
            Some(terms) => self.here.guard(&terms).await,
            None => None,
        }))
    }

    /// Takes the terms, connects the flows and waits until each has said where it begins.
    async fn join(&self) -> Result<Happened, Reason> {
        let met = self.met.borrow().as_ref().map(|met| (met.terms.clone(), met.target.clone()));
        let Some((terms, target)) = met else { return Err(Reason::LinkEnded) };
        self.here.adopt_chain(&terms.chain);
        let joined = connect_flows(&target, &terms).await?;
        let (mut starts, mut transports, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (transport, mut buffer)) in joined.into_iter().enumerate() {
            let place = Place::Flow(index as u16);
            (target.watch)(place, Some(Step::Start));
            let start = read_start(&transport, &mut buffer).await;
            starts.push(start.map_err(|error| Reason::Flow(index as u16, error))?);
            (target.watch)(place, None);
            transports.push(transport);
            unread.push(buffer);
        }
        if !terms.full && starts != terms.from {
            return Err(Reason::BeginsElsewhere);
        }
        self.say_begun(&terms);
        if let Some(met) = &mut *self.met.borrow_mut() {
            (met.starts, met.flows, met.unread) = (starts.clone(), transports, unread);
        }
        Ok(Happened::Joined(starts))
    }

    /// The master has let us begin.
    fn say_begun(&self, terms: &Terms) {
        let (host, port) = (&self.host, self.port);
        if terms.takes_back() {
            tracing::warn!(
                "replication: full sync from {host}:{port}: {}: what this node has beyond that is dropped, its data \
                 is replaced by the {} keys there",
                terms.reason,
                terms.keys
            );
        } else if terms.full {
            tracing::info!("replication: full sync from {host}:{port}: {}", terms.reason);
        } else {
            let from = lsns_to_text(&terms.from);
            tracing::info!("replication: partial sync with {host}:{port} from {from}");
        }
    }

    /// Turns the shards to what was agreed on.
    async fn begin(self: &Rc<Link>, attempt: u64) {
        let met = self.met.borrow_mut().take();
        let Some(Met { terms, control, starts, flows, unread, .. }) = met else { return };
        let relay = self.here.begin_following(&terms, &starts).await;
        let parts = Parts { terms, starts, flows, unread, control };
        let running = Running::new(&self.here, (self.clone(), attempt), parts, relay, Sockets);
        *self.running.borrow_mut() = Some(running);
        self.helm.happened(attempt, Happened::Begun);
    }
}

/// All flows of a session, side by side.
async fn connect_flows(
    target: &Target,
    terms: &Terms,
) -> Result<Vec<(Transport, Vec<u8>)>, Reason> {
    let mut flows = Vec::with_capacity(terms.from.len());
    let mut connecting: VecDeque<Task<Result<Call, Reason>>> = VecDeque::new();
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

async fn connect_flow(target: Target, session: u64, index: usize) -> Result<Call, Reason> {
    let (request, place) = (handshake::ask_flow(session, index), Place::Flow(index as u16));
    let mut call = Call::dial(&target, place, std::slice::from_ref(&request)).await?;
    let reply = call.answer(&request).await?;
    (target.watch)(place, None);
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
