//! Who performs what a link's machine says, without sockets and clocks; and what must be true of what it
//! says, whatever comes.

use crate::member::{Cluster, Member};
use crate::net::{BROKEN, Conn, Side};
use crate::time::Time;
use engine::journal::Bounds;
use engine::pubsub::Limits;
use engine::tell::Peers;
use engine::types::Lsn;
use replication::bell::Bell;
use replication::guard::{self, Held};
use replication::handshake::{self, Asker, Terms};
use replication::info::LinkState;
use replication::master::session::Session;
use replication::replica::applier::Applies;
use replication::replica::helm::{Helm, Steered, Surroundings};
use replication::replica::machine::{Action, Event, Happened, LinkStage, Machine};
use replication::replica::pace::CALM;
use replication::replica::reason::Reason;
use replication::replica::rules::Rules;
use replication::replica::running::{Parts, Running};
use replication::replica::steps::{Place, Step};
use replication::roads::Line;
use replication::service::roles::Leads;
use replication::settings::{Followed, Settings};
use replication::wire;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

/// The program's defaults.
pub(crate) const RULES: Rules = Rules {
    connect: Duration::from_secs(5),
    reconnect: Duration::from_secs(1),
    pause_max: Duration::from_secs(1),
    timeout: Duration::from_secs(30),
    acks_interval: Duration::from_secs(1),
};

/// The configuration of the model's nodes.
pub(crate) fn settings(dice: &mut fastrand::Rng) -> Settings {
    Settings {
        tls: false,
        master_user: String::new(),
        master_password: String::new(),
        announce_port: 0,
        announce_ip: String::new(),
        connect_timeout: RULES.connect,
        reconnect_timeout: RULES.reconnect,
        reconnect_pause: RULES.pause_max,
        timeout: RULES.timeout,
        acks_interval: RULES.acks_interval,
        partial_sync: true,
        guard: guard::Rules { is_on: true, breaks_on_restart: false },
        full_sync_bytes_per_second: [0, 0, 50_000, 2_000_000][dice.usize(..4)],
        // The plan says it.
        journals_bounds: Bounds { bytes: u64::MAX, age: None },
        // Of the world, not of links.
        journal_ttl: Duration::from_secs(3),
        good_replica_lag: Duration::from_secs(10),
        // Nobody follows the model's nodes as a Redis does.
        followed: Followed {
            ping: Duration::from_secs(10),
            limits: Limits::default(),
            held_max: u64::MAX,
            backlog_bytes: u64::MAX,
            redis_version: "7.2.0",
            oldest: Peers::From62,
        },
    }
}

/// What a replica says of a flow that its master has closed.
const CLOSED: &str = "the master closed it";

/// What connections ask before terms.
const ANSWERS: [&str; 5] = ["AUTH", "PING", "REPLCONF", "REPLCONF", "DFLY"];

/// Following one member of the cluster.
pub(crate) struct Link {
    /// Its place in the cluster.
    pub(crate) upstream: usize,
    pub(crate) helm: Rc<Helm>,
    me: Rc<Member>,
    cluster: Rc<Cluster>,
    time: Time,
    met: RefCell<BTreeMap<u64, Met>>,
    running: RefCell<Option<(Rc<Running<Time>>, Rc<Conn>)>>,
    /// Attempts fail until then.
    pub(crate) no_route: Cell<bool>,
    /// Nobody answers until then.
    pub(crate) is_stuck: Cell<bool>,
    stopped: Bell,
    watch: Watch,
}

/// What the model knows by itself of a link.
#[derive(Default)]
struct Watch {
    /// No session has begun since an operator asked for it.
    is_over: Cell<bool>,
    /// When the step of a connection began.
    steps: RefCell<BTreeMap<Place, Instant>>,
    /// Copies lost by falling out, one after the other.
    fallen: Cell<u32>,
    stable_since: Cell<Option<Instant>>,
}

/// What an attempt has come to.
struct Met {
    conn: Rc<Conn>,
    agreed: Option<(Terms, Rc<Session<Time>>)>,
    starts: Vec<Lsn>,
    unread: Vec<Vec<u8>>,
}

impl Surroundings for Link {
    fn now(&self) -> Instant {
        self.time.now()
    }

    fn rules(&self) -> Rules {
        RULES
    }

    fn perform_at_once(&self, action: Action) {
        let running = || self.running();
        match action {
            Action::LetGo(held, _) => {
                let Held { own_keys, master_keys, .. } = held;
                self.close_met();
                let name = &self.me.name;
                let text = format!("{name}'s guard holds: {own_keys} keys for {master_keys}");
                self.cluster.note(text);
            }
            Action::Tell => running().iter().for_each(|running| running.tell()),
            Action::Look => running().iter().for_each(|running| running.look()),
            Action::Say(flow, said) => running().iter().for_each(|running| running.say(flow, said)),
            Action::WakeFlows => running().iter().for_each(|running| running.wake_flows()),
            Action::Stable => self.watch.stable_since.set(Some(self.time.now())),
            Action::LetIn => self.me.here.full_sync_done(),
            Action::Conclude { is_exact } => {
                if let Some((running, _)) = self.running.borrow_mut().take() {
                    self.me.here.standing.end_following(is_exact, &running.applied());
                }
            }
            Action::Down { reason, lost, .. } => {
                self.close_met();
                self.check_down(reason.as_ref(), lost);
            }
            Action::End => self.close_met(),
            _ => unreachable!("it takes time"),
        }
    }
}

impl Steered for Link {
    fn helm(&self) -> &Helm {
        &self.helm
    }

    /// Tells the machine; what comes of an earlier attempt must change nothing.
    fn happened(&self, attempt: u64, happened: Happened) {
        let before = (self.helm.machine().attempt(), self.helm.machine().state());
        let text = format!("{happened:?}");
        match &happened {
            Happened::Step(place, _) if attempt == before.0 => {
                self.watch.steps.borrow_mut().insert(*place, self.time.now());
            }
            Happened::Broke(reason) if is_nonsense(reason) => {
                self.cluster.fail(reason.to_string());
            }
            _ => {}
        }
        self.helm.happened(attempt, happened);
        let after = (self.helm.machine().attempt(), self.helm.machine().state());
        if attempt != before.0 && before != after {
            self.cluster.fail(format!("{text} of attempt {attempt} moved {before:?} to {after:?}"));
        }
    }

    fn is_paused(&self) -> bool {
        false
    }
}

/// No master of the model's says what does not fit, but for damage on the way.
fn is_nonsense(reason: &Reason) -> bool {
    match reason {
        Reason::Malformed(_) | Reason::BrokenPromise(_) | Reason::ControlWords(_) => true,
        Reason::Flow(_, text) => ![wire::DAMAGED, BROKEN, CLOSED].contains(&text.as_str()),
        _ => false,
    }
}

impl Leads for Link {
    fn leads_where(&self, other: &Link) -> bool {
        self.upstream == other.upstream && !self.is_guarded()
    }

    fn is_stable(&self) -> bool {
        self.state() == LinkState::StableSync
    }

    fn anew(&self) -> Rc<Link> {
        Link::new(&self.me, &self.cluster, self.upstream)
    }
}

impl Link {
    pub(crate) fn new(me: &Rc<Member>, cluster: &Rc<Cluster>, upstream: usize) -> Rc<Link> {
        let time = Time::new(me.node.world());
        Rc::new_cyclic(|link: &Weak<Link>| {
            let seed = me.dice().u64(..);
            let machine = Machine::new("master".to_owned(), 1, seed, time.now());
            Link {
                upstream,
                helm: Rc::new(Helm::new(machine, link.clone())),
                me: me.clone(),
                cluster: cluster.clone(),
                time,
                met: RefCell::default(),
                running: RefCell::default(),
                no_route: Cell::new(false),
                is_stuck: Cell::new(false),
                stopped: Bell::default(),
                watch: Watch::default(),
            }
        })
    }

    pub(crate) fn state(&self) -> LinkState {
        self.helm.machine().link_state()
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.helm.machine().held().is_some()
    }

    /// The session under way.
    pub(crate) fn running(&self) -> Option<Rc<Running<Time>>> {
        self.running.borrow().as_ref().map(|(running, _)| running.clone())
    }

    /// Its connections.
    pub(crate) fn conn(&self) -> Option<Rc<Conn>> {
        self.running.borrow().as_ref().map(|(_, conn)| conn.clone())
    }

    /// The run is over.
    pub(crate) fn end(&self) {
        self.running.borrow_mut().take();
        self.met.borrow_mut().clear();
    }

    /// The connections break; what is on its way is lost. Of a silent end the master never hears.
    pub(crate) fn cut(&self, is_silent: bool) {
        let running = self.running.borrow();
        let met = self.met.borrow();
        let conns = met.values().map(|met| &met.conn);
        for conn in conns.chain(running.iter().map(|(_, conn)| conn)) {
            if is_silent { conn.vanish() } else { conn.cut() }
        }
    }

    /// Whether the master would have us: what REPLICAOF answers with.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let conn = Conn::new(self.time.clone(), self.cluster.road.get(), self.me.dice());
        self.time.sleep_ms(conn.long_delay()).await;
        let unreached = |reason: Reason| reason.to_string();
        self.over_the_road(&conn).await.map_err(unreached)?;
        self.cluster.member(self.upstream).check(&self.asker())
    }

    /// What the node says of itself to who may feed it.
    fn asker(&self) -> Asker {
        let chain = self.me.here.chain.ids();
        Asker { version: wire::VERSION, chain, dbs: Some(self.me.here.front.node.dbs()) }
    }

    /// Ends the link and waits until everything that was handed to shards is applied.
    pub(crate) async fn stop(&self) {
        let before = self.helm.machine().state();
        self.helm.step(Event::Stop);
        let waits = matches!(
            before,
            LinkStage::Beginning
                | LinkStage::FullSync
                | LinkStage::StableSync
                | LinkStage::Draining
        );
        // Whatever goes on elsewhere: a failover must not wait for a name, a handshake or a pause.
        if !waits && !self.helm.machine().is_ended() {
            self.cluster.fail(format!("an end waits for {before:?}"));
        }
        self.stopped.wait().await;
    }

    pub(crate) async fn run(self: Rc<Link>) {
        self.helm.step(Event::Begin);
        while let Some(action) = self.helm.next(|time| self.time.sleep(time)).await {
            match action {
                Action::Introduce(attempt) => self.spawn_introduce(attempt),
                Action::Judge(attempt) => self.judge(attempt).await,
                Action::Join(attempt) => self.spawn_join(attempt),
                Action::Begin(attempt) => self.begin(attempt).await,
                Action::Run(_) => self.running().iter().for_each(Running::run),
                Action::Drain(attempt) => {
                    let Some(running) = self.running() else { continue };
                    running.drain().await;
                    let is_over = running.terms.is_over(&running.applied());
                    self.happened(attempt, Happened::Drained { is_over });
                }
                at_once => self.perform_at_once(at_once),
            }
        }
        self.stopped.ring();
    }

    /// Nothing comes of what was agreed on.
    fn close_met(&self) {
        let met = std::mem::take(&mut *self.met.borrow_mut());
        met.values().for_each(|met| met.conn.close_by_replica());
    }

    /// What must be true of an attempt or a session that has ended.
    fn check_down(&self, reason: Option<&Reason>, lost: Option<(u32, Duration)>) {
        let now = self.time.now();
        if let Some(Reason::Late { place, step, limit, .. }) = reason {
            let began = self.watch.steps.borrow().get(place).copied();
            let took = began.map(|began| now.saturating_duration_since(began));
            if took.is_none_or(|took| took < *limit) {
                self.cluster.fail(format!("{step:?} is late after {took:?} of {limit:?}"));
            }
        }
        if let Some(Reason::MasterEnded { why, .. }) = reason
            && why.contains("same node")
        {
            // It did not: this is its newest session.
            self.cluster.fail(format!("{} was ended: {why}", self.me.name));
        }
        let stable = self.watch.stable_since.take();
        if stable.is_some_and(|since| now.saturating_duration_since(since) >= CALM) {
            self.watch.fallen.set(0);
        }
        let Some((_, pause)) = lost else { return };
        let least = Duration::from_millis(500 << self.watch.fallen.get().min(6));
        self.watch.fallen.set(self.watch.fallen.get() + 1);
        if pause < least {
            let times = self.watch.fallen.get();
            self.cluster.fail(format!("fell out {times} times and waits {pause:?} only"));
        }
    }

    /// One step over the road, which may lead nowhere.
    async fn over_the_road(&self, conn: &Conn) -> Result<(), Reason> {
        self.time.sleep_ms(conn.delay()).await;
        while self.is_stuck.get() {
            self.time.sleep_ms(50).await;
        }
        let is_there = !self.no_route.get() && self.cluster.member(self.upstream).is_alive.get();
        match is_there {
            true => Ok(()),
            false => Err(Reason::Unreached { text: "no route".to_owned(), late: false }),
        }
    }

    /// Nobody drops it when the attempt is left: what it brings then comes late.
    fn spawn_introduce(self: &Rc<Link>, attempt: u64) {
        let link = self.clone();
        self.time.spawn("introduce", async move {
            let road = link.cluster.road.get();
            let conn = Conn::new(link.time.clone(), road, link.me.dice());
            let met = Met { conn, agreed: None, starts: Vec::new(), unread: Vec::new() };
            let conn = met.conn.clone();
            link.watch.steps.borrow_mut().clear();
            link.met.borrow_mut().insert(attempt, met);
            let done = link.introduce(attempt, &conn).await;
            if link.helm.machine().attempt() != attempt {
                conn.close_by_replica();
            }
            link.happened(attempt, done.unwrap_or_else(Happened::Failed));
        });
    }

    async fn introduce(self: &Rc<Link>, attempt: u64, conn: &Rc<Conn>) -> Result<Happened, Reason> {
        let at = |step: Step| {
            self.happened(attempt, Happened::Step(Place::Control, Some(step)));
        };
        for step in [Step::Resolve, Step::Send] {
            at(step);
            self.over_the_road(conn).await?;
        }
        for answer in ANSWERS {
            at(Step::Answer(answer.to_owned()));
            self.over_the_road(conn).await?;
        }
        let (own, master) = (self.me.here.chain.ids(), self.cluster.member(self.upstream));
        let refused = |text: String| Reason::Words(handshake::waits(text.as_bytes()).0);
        handshake::check(wire::VERSION, &own, &master.here.chain.ids()).map_err(refused)?;
        let position = self.me.here.asks_from();
        at(Step::Follow { asked: position.is_some() });
        // The request is on its way, whatever becomes of who asked.
        self.over_the_road(conn).await?;
        let agreed = master.agree(self.asker(), position, conn).await.map_err(refused)?;
        let (full, session) = (agreed.0.full, agreed.0.session);
        self.over_the_road(conn).await?;
        if let Some(met) = self.met.borrow_mut().get_mut(&attempt) {
            met.agreed = Some(agreed);
        }
        Ok(Happened::Agreed { full, session })
    }

    async fn judge(&self, attempt: u64) {
        let agreed = self.met.borrow().get(&attempt).and_then(|met| met.agreed.clone());
        let Some((terms, _)) = agreed else { return };
        let held = self.me.here.guard(&terms).await;
        self.happened(attempt, Happened::Judged(held));
    }

    /// A guard that holds where it should is judged by the histories' names, and by what the model knows
    /// of what was asked for.
    async fn check_guard(&self, terms: &Terms) {
        if !self.watch.is_over.replace(true) {
            return;
        }
        let keys: u64 =
            self.me.here.front.call_all(|shard| shard.keys.total_len() as u64).await.iter().sum();
        let theirs = terms.lineage.to_string();
        let own = self.me.here.standing.lineage().to_string();
        let is_known =
            own.split([';', ':', '/']).any(|word| word.len() == 40 && theirs.contains(word));
        let is_loss = terms.full && !is_known && self.me.here.standing.may_become_master().is_ok();
        if is_loss && terms.keys < keys {
            let (name, theirs) = (&self.me.name, terms.keys);
            self.cluster.fail(format!("{name} loses {keys} keys for {theirs}"));
        }
    }

    fn spawn_join(self: &Rc<Link>, attempt: u64) {
        let link = self.clone();
        self.time.spawn("join", async move {
            let joined = link.join(attempt).await;
            link.happened(attempt, joined.unwrap_or_else(Happened::Failed));
        });
    }

    async fn join(self: &Rc<Link>, attempt: u64) -> Result<Happened, Reason> {
        let met = {
            let met = self.met.borrow();
            let met = met.get(&attempt);
            met.and_then(|met| Some((met.conn.clone(), met.agreed.clone()?)))
        };
        let Some((conn, (terms, session))) = met else { return Err(Reason::LinkEnded) };
        self.me.here.adopt_chain(&terms.chain);
        self.cluster.note_sync(&terms);
        for index in 0..terms.from.len() {
            // Flows are on their way whatever becomes of the attempt.
            let (link, conn, session) = (self.clone(), conn.clone(), session.clone());
            let place = Place::Flow(index as u16);
            self.happened(attempt, Happened::Step(place, Some(Step::Send)));
            self.time.spawn("flow", async move {
                link.time.sleep_ms(conn.long_delay()).await;
                match link.over_the_road(&conn).await {
                    Ok(()) => {
                        let line = conn.flow(index, Side::Master);
                        session.attach_flow(index, line, Vec::new());
                    }
                    Err(reason) => return link.happened(attempt, Happened::Failed(reason)),
                }
                link.happened(attempt, Happened::Step(place, Some(Step::Start)));
            });
        }
        let (mut starts, mut unread) = (Vec::new(), Vec::new());
        for index in 0..terms.from.len() as u16 {
            let line = conn.flow(usize::from(index), Side::Replica);
            let mut buffer = Vec::new();
            let failed = |error| Reason::Flow(index, error);
            loop {
                if let Some(start) = wire::take_start(&mut buffer).map_err(failed)? {
                    starts.push(start);
                    break;
                }
                if line.read(&mut buffer, usize::MAX).await.map_err(failed)? == 0 {
                    return Err(failed(CLOSED.to_owned()));
                }
            }
            unread.push(buffer);
            self.happened(attempt, Happened::Step(Place::Flow(index), None));
        }
        if !terms.full && starts != terms.from {
            self.cluster.fail(format!("begins at {starts:?}, not at {:?}", terms.from));
        }
        if let Some(met) = self.met.borrow_mut().get_mut(&attempt) {
            (met.starts, met.unread) = (starts.clone(), unread);
        }
        Ok(Happened::Joined(starts))
    }

    async fn begin(self: &Rc<Link>, attempt: u64) {
        let met = self.met.borrow_mut().remove(&attempt);
        let Some(Met { conn, agreed: Some((terms, _)), starts, unread }) = met else {
            self.cluster.fail(format!("attempt {attempt} begins and agreed on nothing"));
            return;
        };
        self.check_guard(&terms).await;
        let relay = self.me.here.begin_following(&terms, &starts).await;
        let flows = (0..starts.len()).map(|flow| conn.flow(flow, Side::Replica)).collect();
        let control = (conn.control(Side::Replica), Vec::new());
        let parts = Parts { terms, starts, flows, unread, control };
        let link = (self.clone() as Rc<dyn Steered>, attempt);
        let running = Running::new(&self.me.here, link, parts, relay, self.time.clone());
        *self.running.borrow_mut() = Some((running, conn));
        self.happened(attempt, Happened::Begun);
    }
}
