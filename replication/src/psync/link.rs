//! The link to a Redis: it performs what its machine says ([`super::machine`]) and tells it what happened.
//!
//! Each attempt resolves the name anew and asks to continue where the stream is applied
//! ([`Standing::stream`](crate::standing::Standing::stream)); whether that is possible the master decides.

use super::answer::{self, Answer};
use super::hello::{self, Facts};
use super::machine::{Action, Event, Happened, Machine};
use super::payload::{self, Extent};
use super::session::{Opened, Session};
use super::work;
use crate::here::Here;
use crate::info::{LinkState, Upstream};
use crate::replica::dial::{self, Call, Target, Watch};
use crate::replica::helm::{Helm, Steered, Surroundings};
use crate::replica::reason::Reason;
use crate::replica::rules::Rules;
use crate::replica::steps::{Place, Step};
use crate::standing::StreamPosition;
use crate::tls::TlsStore;
use crate::transport::Transport;
use engine::journal::HistoryId;
use engine::resp::client::encode_command;
use engine::rt;
use engine::types::DbIndex;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes read at once while the master prepares.
const READ_BYTES: usize = 16 * 1024;

/// Following one Redis.
pub struct Link {
    /// As the operator gave it.
    pub host: String,
    /// Its port.
    pub port: u16,
    helm: Rc<Helm<Machine>>,
    here: Rc<Here>,
    tls: Arc<TlsStore>,
    /// What the attempt has come to.
    met: RefCell<Option<Met>>,
    session: RefCell<Option<Rc<Session>>>,
    /// DEBUG REPLICA PAUSE.
    paused: Cell<bool>,
    last_io: Cell<Instant>,
}

/// What is known before anything has changed here.
struct Met {
    transport: Transport,
    unread: Vec<u8>,
    facts: Facts,
    watch: Watch,
    /// From where the stream goes on.
    from: Option<StreamPosition>,
    extent: Option<Extent>,
}

impl Surroundings<Machine> for Link {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.here.settings.borrow())
    }

    fn perform_at_once(&self, action: Action) {
        let session = self.session.borrow().clone();
        match action {
            Action::LetGo(held, is_news) => {
                self.met.borrow_mut().take();
                if is_news {
                    let (text, own) = (held.text(&self.host, self.port), held.own_keys);
                    let theirs = held.master_keys;
                    tracing::warn!("replication: {text} ({own} keys here, {theirs} there)");
                }
            }
            Action::Ack => session.iter().for_each(|session| session.say()),
            Action::Stable => {
                let (host, port) = (&self.host, self.port);
                tracing::info!("replication: in stable sync with the Redis {host}:{port}");
            }
            Action::LetIn => self.here.full_sync_done(),
            Action::Conclude { is_exact } => {
                self.last_io.set(Instant::now());
                if let Some(session) = self.session.borrow_mut().take() {
                    self.here.standing.end_telling(session.position(), is_exact);
                }
            }
            Action::Down { reason, is_news, is_final } => {
                self.met.borrow_mut().take();
                let (host, port) = (&self.host, self.port);
                if is_final {
                    tracing::error!(
                        "replication: link to {host}:{port}: {reason}; it is not tried again before REPLICAOF \
                         {host} {port}"
                    );
                } else if is_news {
                    tracing::warn!("replication: link to {host}:{port}: {reason}");
                }
            }
            Action::End => drop(self.met.borrow_mut().take()),
            // They take time: the link's task performs them.
            _ => {}
        }
    }
}

impl Steered<Machine> for Link {
    fn helm(&self) -> &Helm<Machine> {
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
        let machine = Machine::new(host.clone(), port, is_explicit, fastrand::u64(..), now);
        Rc::new_cyclic(|link: &Weak<Link>| Link {
            host,
            port,
            helm: Rc::new(Helm::new(machine, link.clone())),
            here,
            tls,
            met: RefCell::default(),
            session: RefCell::default(),
            paused: Cell::new(false),
            last_io: Cell::new(now),
        })
    }

    /// How far it is.
    pub fn state(&self) -> LinkState {
        self.helm.machine().link_state()
    }

    /// Where the master of the session under way is reached.
    pub fn peer_addr(&self) -> Option<std::net::SocketAddr> {
        self.session.borrow().as_ref()?.peer_addr()
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
    pub(crate) async fn hold(&self) -> Option<Rc<Session>> {
        let session = self.session.borrow().clone()?;
        session.hold().await;
        Some(session)
    }

    /// CLIENT KILL: ends the session with the master, if there is one; the link is made anew.
    pub fn kill(&self) -> bool {
        let is_in_session = self.helm.machine().is_in_session();
        self.helm.step(Event::Kill);
        is_in_session
    }

    /// Whether it goes on by itself.
    pub fn is_stuck(&self) -> bool {
        self.helm.machine().is_stuck()
    }

    /// Whether it has ended because a Damselfly is there now, and whether an operator asked for that one.
    pub fn met_another_kind(&self) -> Option<bool> {
        self.helm.machine().met_another_kind()
    }

    /// An operator asks for the same master once more.
    pub fn is_meant(&self) {
        self.helm.step(Event::Meant);
        self.helm.step(Event::Hurry);
    }

    /// The link is to end.
    pub fn end(&self) {
        self.helm.step(Event::Stop);
    }

    /// What INFO shows.
    pub fn describe(&self) -> Upstream {
        let (session, machine) = (self.session.borrow(), self.helm.machine());
        let counts = machine.counts();
        let idle = session.as_ref().map_or(self.last_io.get().elapsed(), |session| session.idle());
        let stood = || self.here.standing.stream().map_or(0, |stream| stream.offset);
        Upstream {
            host: self.host.clone(),
            port: self.port,
            state: machine.link_state(),
            last_io_ms: idle.as_millis() as u64,
            down_ms: counts.down_since.map(|since| since.elapsed().as_millis() as u64),
            last_error: counts.last_error.as_ref().map(Reason::to_string),
            offset: session.as_ref().map_or_else(stood, |session| session.applied()),
            heads: Vec::new(),
            applied: Vec::new(),
            session: 0,
            progress: session.as_ref().and_then(|session| session.progress()),
            guard: machine.held(),
            reconnects: counts.reconnects,
        }
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
            Action::Meet(attempt) => self.helm.meet(attempt, rt::sleep, self.greet(attempt)).await,
            Action::Judge(attempt) => self.helm.meet(attempt, rt::sleep, self.judge()).await,
            Action::Ask(attempt) => self.helm.meet(attempt, rt::sleep, self.ask(attempt)).await,
            Action::Prepare(attempt) => self.helm.meet(attempt, rt::sleep, self.prepare()).await,
            Action::Begin(attempt) => self.begin(attempt).await,
            Action::Run(_) => self.session.borrow().iter().for_each(work::run),
            Action::Drain(attempt) => {
                let session = self.session.borrow().clone();
                if let Some(session) = session {
                    session.drain().await;
                }
                self.happened(attempt, Happened::Drained);
            }
            at_once => self.perform_at_once(at_once),
        }
    }

    /// Tells the machine at which step an attempt is.
    fn watch(&self, attempt: u64) -> Watch {
        let helm = self.helm.clone();
        Rc::new(move |_, step| helm.happened(attempt, Happened::Step(step)))
    }

    fn target(&self, limit: Duration, watch: Watch) -> Result<Target, Reason> {
        let settings = self.here.settings.borrow().clone();
        let tls = dial::client_tls(&self.tls, &settings)?;
        let host = self.host.clone();
        Ok(Target { host, port: self.port, address: None, tls, settings, limit, watch })
    }

    /// Reaches the master and asks who it is.
    async fn hello(&self, target: &Target) -> Result<(Call, Facts), Reason> {
        let settings = &target.settings;
        let requests = hello::requests(settings.announce_port, &settings.announce_ip);
        let mut call = Call::dial(target, Place::Control, &requests).await?;
        let mut replies = Vec::with_capacity(requests.len());
        for request in &requests {
            replies.push(call.answer(request).await?);
        }
        let replies = replies.try_into().map_err(|_| Reason::LinkEnded)?;
        let facts = hello::understand(&replies)?;
        facts.fits(self.here.front.node.dbs())?;
        Ok((call, facts))
    }

    /// Whether the master can be reached and is one that can be followed, before anything is changed here.
    pub async fn check(&self) -> Result<(), Reason> {
        let limit = self.rules().connect;
        let checked = async |watch| {
            let target = self.target(limit, watch)?;
            self.hello(&target).await.map(drop)
        };
        dial::try_within(&self.host, limit, checked).await
    }

    async fn greet(self: &Rc<Link>, attempt: u64) -> Result<Happened, Reason> {
        let limit = self.helm.machine().limit();
        let target = self.target(limit, self.watch(attempt))?;
        let (call, facts) = self.hello(&target).await?;
        let (transport, unread) = call.into_parts();
        let watch = target.watch.clone();
        let (from, extent) = (None, None);
        *self.met.borrow_mut() = Some(Met { transport, unread, facts, watch, from, extent });
        Ok(Happened::Met)
    }

    async fn judge(&self) -> Result<Happened, Reason> {
        let facts = self.met.borrow().as_ref().map(|met| met.facts.clone());
        let held = match facts {
            Some(Facts { ids, keys: Some(keys), .. }) => self.here.guard_stream(&ids, keys).await,
            // It does not let us ask: an operator who wants the guard allows INFO.
            _ => None,
        };
        Ok(Happened::Judged(held))
    }

    /// What was met, for as long as something is waited for on it.
    fn take_met(&self) -> Result<Met, Reason> {
        self.met.borrow_mut().take().ok_or(Reason::LinkEnded)
    }

    async fn ask(&self, attempt: u64) -> Result<Happened, Reason> {
        let mut met = self.take_met()?;
        let standing = &self.here.standing;
        let is_partial = self.here.settings.borrow().partial_sync;
        let from = standing.stream().filter(|_| is_partial && standing.tells());
        self.happened(attempt, Happened::Asked(from.is_some()));
        let request = hello::ask(from.as_ref());
        let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_command(&mut bytes, &words);
        (met.watch)(Place::Control, Some(Step::Send));
        met.transport.write_all(&bytes).await.map_err(|error| lost(&error))?;
        let line = met.take(answer::line_of).await?;
        let (host, port, version) = (&self.host, self.port, &met.facts.version);
        let full = match (answer::answer(&line)?, from) {
            (Answer::Full { id, offset }, _) => {
                tracing::info!("replication: full sync from {version} at {host}:{port}");
                met.from = Some(StreamPosition { id, offset, db: DbIndex(0) });
                true
            }
            (Answer::Continue(id), Some(from)) => {
                let offset = from.offset;
                tracing::info!(
                    "replication: partial sync with {version} at {host}:{port} from {offset}"
                );
                met.from = Some(StreamPosition { id: id.unwrap_or(from.id), ..from });
                false
            }
            (Answer::Continue(_), None) => return Err(Reason::BeginsElsewhere),
        };
        *self.met.borrow_mut() = Some(met);
        Ok(Happened::Answered { full })
    }

    /// Waits for the RDB, and looks whether it can be read before anything goes for it.
    async fn prepare(&self) -> Result<Happened, Reason> {
        let mut met = self.take_met()?;
        met.extent = Some(met.take(payload::head).await?);
        met.peek(payload::can_be_read).await?;
        *self.met.borrow_mut() = Some(met);
        Ok(Happened::Prepared)
    }

    /// Turns the shards to what was agreed on.
    async fn begin(self: &Rc<Link>, attempt: u64) {
        let met = self.met.borrow_mut().take();
        let Some(Met { transport, unread, from: Some(from), extent, .. }) = met else {
            // Nobody would say more about this attempt.
            let reason = "the connection on which the stream was agreed is not there any more";
            return self.happened(attempt, Happened::Failed(reason.to_owned().into()));
        };
        if extent.is_some() {
            let mut history = [0; 20];
            rt::fill_random(&mut history);
            self.here.begin_telling(HistoryId(history)).await;
        } else {
            self.here.go_on_telling();
        }
        let opened = Opened { transport, unread, from, extent };
        *self.session.borrow_mut() =
            Some(Session::new(&self.here, (self.clone(), attempt), opened));
        self.happened(attempt, Happened::Begun);
    }
}

impl Met {
    /// Takes what `look` finds at the beginning of what has come; waits until it does. Whatever comes meanwhile
    /// gives the master another deadline.
    async fn take<T>(
        &mut self,
        look: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Reason>,
    ) -> Result<T, Reason> {
        loop {
            (self.watch)(Place::Control, Some(Step::Start));
            if let Some((found, used)) = look(&self.unread)? {
                self.unread.drain(..used);
                return Ok(found);
            }
            answer::drop_signs(&mut self.unread);
            self.read().await?;
        }
    }

    /// The same that stays where it is.
    async fn peek<T>(
        &mut self,
        look: impl Fn(&[u8]) -> Result<Option<T>, Reason>,
    ) -> Result<T, Reason> {
        loop {
            (self.watch)(Place::Control, Some(Step::Start));
            if let Some(found) = look(&self.unread)? {
                return Ok(found);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Reason> {
        match self.transport.read(&mut self.unread, READ_BYTES).await {
            Ok(0) => Err("the master closed the connection".to_owned().into()),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(&error).into()),
        }
    }
}

fn lost(error: &std::io::Error) -> String {
    format!("the connection to the master was lost: {error}")
}
