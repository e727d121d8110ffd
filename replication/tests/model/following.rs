//! Who performs what a link's machine says, without sockets and clocks; and what must be true of what it
//! says, whatever comes.

use crate::feeding;
use crate::member::{Cluster, Member};
use crate::net::Conn;
use crate::time::Time;
use engine::journal::Bounds;
use engine::types::{Lsn, Millis};
use futures_lite::future;
use replication::bell::Bell;
use replication::guard::{self, Held};
use replication::handshake::{self, Asker, Terms};
use replication::info::LinkState;
use replication::replica::applier::{Applier, Applies, apply};
use replication::replica::helm::{Helm, Surroundings};
use replication::replica::life::Progress;
use replication::replica::machine::{Action, Event, Happened, Machine, State};
use replication::replica::pace::CALM;
use replication::replica::reason::Reason;
use replication::replica::rules::Rules;
use replication::replica::steps::{Place, Step};
use replication::service::roles::Leads;
use replication::settings::Settings;
use replication::wire::{self, Kind, News, Said};
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
pub(crate) fn settings() -> Settings {
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
        full_sync_bytes_per_second: 0,
        // The plan says it.
        journals_bounds: Bounds { bytes: u64::MAX, age: None },
        // Of the world, not of links.
        journal_ttl: Duration::from_secs(3),
        good_replica_lag: Duration::from_secs(10),
    }
}

/// A master that ends a session closes its flows, and then says why on the control connection.
const REASON_WITHIN: Duration = Duration::from_millis(500);

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
    pub(crate) running: RefCell<Option<Rc<Running>>>,
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
    agreed: Option<(Terms, Rc<feeding::Session>)>,
    starts: Vec<Lsn>,
    unread: Vec<Vec<u8>>,
}

/// A session under way.
pub(crate) struct Running {
    pub(crate) applier: Applier,
    pub(crate) conn: Rc<Conn>,
    terms: Terms,
    attempt: u64,
    link: Rc<Link>,
    unread: RefCell<Vec<Vec<u8>>>,
    arrived: Bell,
    tells: Bell,
    flows: Vec<Flow>,
    is_applied: Cell<bool>,
    applied: Bell,
}

#[derive(Default)]
struct Flow {
    moved: Bell,
    credit: Bell,
    says: Cell<Option<Said>>,
}

impl Surroundings for Link {
    fn now(&self) -> Instant {
        self.time.now()
    }

    fn rules(&self) -> Rules {
        RULES
    }

    fn perform_at_once(&self, action: Action) {
        let running = || self.running.borrow().clone();
        match action {
            Action::LetGo(held, _) => {
                let Held { own_keys, master_keys, .. } = held;
                self.close_met();
                let name = &self.me.name;
                let text = format!("{name}'s guard holds: {own_keys} keys for {master_keys}");
                self.cluster.note(text);
            }
            Action::Tell => running().iter().for_each(|running| running.tells.ring()),
            Action::Look => running().iter().for_each(|running| {
                running.happened(Happened::Waits(running.applier.waits_for()));
            }),
            Action::Say(flow, said) => running().iter().for_each(|running| {
                running.flows[usize::from(flow)].says.set(Some(said));
            }),
            Action::WakeFlows => running().iter().for_each(|running| running.wake_flows()),
            Action::Stable => self.watch.stable_since.set(Some(self.time.now())),
            Action::LetIn => self.me.here.full_sync_done(),
            Action::Conclude { is_exact } => {
                if let Some(running) = self.running.borrow_mut().take() {
                    self.me.here.standing.end_following(is_exact, &running.applier.applied());
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
        for conn in conns.chain(running.iter().map(|running| &running.conn)) {
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
            State::Beginning | State::FullSync | State::StableSync | State::Draining
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
                Action::Run(_) => self.running.borrow().iter().for_each(Running::run),
                Action::Drain(attempt) => {
                    let running = self.running.borrow().clone();
                    let Some(running) = running else { continue };
                    running.drain().await;
                    let is_over = running.terms.is_over(&running.applier.applied());
                    self.happened(attempt, Happened::Drained { is_over });
                }
                at_once => self.perform_at_once(at_once),
            }
        }
        self.stopped.ring();
    }

    /// Tells the machine; what comes of an earlier attempt must change nothing.
    fn happened(&self, attempt: u64, happened: Happened) {
        let before = (self.helm.machine().attempt(), self.helm.machine().state());
        let text = format!("{happened:?}");
        if let Happened::Step(place, _) = &happened
            && attempt == before.0
        {
            self.watch.steps.borrow_mut().insert(*place, self.time.now());
        }
        self.helm.happened(attempt, happened);
        let after = (self.helm.machine().attempt(), self.helm.machine().state());
        if attempt != before.0 && before != after {
            self.cluster.fail(format!("{text} of attempt {attempt} moved {before:?} to {after:?}"));
        }
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
                    Ok(()) => session.attach(index),
                    Err(reason) => return link.happened(attempt, Happened::Failed(reason)),
                }
                link.happened(attempt, Happened::Step(place, Some(Step::Start)));
            });
        }
        let (mut starts, mut unread, mut dice) = (Vec::new(), Vec::new(), self.me.dice());
        for index in 0..terms.from.len() as u16 {
            let (wire, mut buffer) = (conn.wire(index), Vec::new());
            let failed = |error| Reason::Flow(index, error);
            loop {
                if let Some(start) = wire::take_start(&mut buffer).map_err(failed)? {
                    starts.push(start);
                    break;
                }
                wire.down.read(&mut buffer, &mut dice).await.map_err(failed)?;
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
        let running = Rc::new(Running {
            applier: Applier::new(self.me.here.front.clone(), &terms, &starts, relay),
            conn,
            terms,
            attempt,
            link: self.clone(),
            unread: RefCell::new(unread),
            arrived: Bell::default(),
            tells: Bell::default(),
            flows: starts.iter().map(|_| Flow::default()).collect(),
            is_applied: Cell::new(false),
            applied: Bell::default(),
        });
        *self.running.borrow_mut() = Some(running);
        self.happened(attempt, Happened::Begun);
    }
}

impl Applies for Running {
    fn applier(&self) -> &Applier {
        &self.applier
    }

    fn arrived(&self) -> &Bell {
        &self.arrived
    }

    fn is_broken(&self) -> bool {
        !self.link.helm.machine().is_in_session_of(self.attempt)
    }

    fn is_stable(&self) -> bool {
        self.link.helm.machine().is_exact()
    }

    fn now(&self) -> Millis {
        self.link.me.node.world().now()
    }

    fn happened(&self, happened: Happened) {
        self.link.happened(self.attempt, happened);
    }

    fn broke(&self, reason: Reason) {
        // No master of the model's says what does not fit.
        if matches!(reason, Reason::Malformed(_) | Reason::BrokenPromise(_)) {
            self.link.cluster.fail(reason.to_string());
        }
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
    fn run(self: &Rc<Running>) {
        let (link, time) = (&self.link, &self.link.time);
        time.spawn("read control", read_control(self.clone(), link.me.dice()));
        time.spawn("tell", tell(self.clone()));
        for (index, buffer) in self.unread.take().into_iter().enumerate() {
            let index = index as u16;
            time.spawn("read flow", read_flow(self.clone(), index, buffer, link.me.dice()));
            time.spawn("acknowledge", acknowledge(self.clone(), index));
        }
        time.spawn("apply", apply_for(self.clone()));
    }

    async fn drain(&self) {
        self.conn.close_by_replica();
        self.arrived.ring();
        self.tells.ring();
        self.flows.iter().for_each(|flow| {
            flow.moved.ring();
            flow.credit.ring();
        });
        while !self.is_applied.get() {
            self.applied.wait().await;
        }
    }
}

async fn apply_for(running: Rc<Running>) {
    apply(&*running).await;
    running.is_applied.set(true);
    running.applied.ring();
}

async fn read_flow(running: Rc<Running>, index: u16, mut buffer: Vec<u8>, mut dice: fastrand::Rng) {
    let (wire, flow) = (running.conn.wire(index), &running.flows[usize::from(index)]);
    while !running.is_broken() {
        match running.applier.receive(index, &mut buffer) {
            Ok(None) => {}
            Ok(Some(_)) => flow.moved.ring(),
            Err(error) => {
                if error != wire::DAMAGED {
                    running.link.cluster.fail(error.clone());
                }
                running.broke(Reason::Flow(index, error));
            }
        }
        running.arrived.ring();
        while !running.applier.wants_more(index) && !running.is_broken() {
            flow.credit.wait().await;
        }
        if running.is_broken() {
            return;
        }
        running.happened(Happened::Reads(index));
        let read = wire.down.read(&mut buffer, &mut dice).await;
        running.happened(Happened::Read(index));
        if let Err(error) = read {
            running.link.time.sleep(REASON_WITHIN).await;
            running.broke(Reason::Flow(index, error));
        }
    }
}

async fn read_control(running: Rc<Running>, mut dice: fastrand::Rng) {
    let (pipe, mut buffer) = (&running.conn.control.down, Vec::new());
    while !running.is_broken() {
        match pipe.read(&mut buffer, &mut dice).await {
            Ok(()) => running.happened(Happened::Heard),
            Err(_) => return running.broke(Reason::ControlClosed),
        }
        let mut at = 0;
        loop {
            let message = match wire::next(&buffer[at..]) {
                Ok(message) => message,
                Err(error) => return running.broke(Reason::ControlWords(error)),
            };
            let Some((kind, payload, used)) = message else { break };
            match News::of(kind, payload).expect("the master says what it may") {
                News::Alive(timeout) => running.happened(Happened::Timeout(timeout)),
                News::End { why, fell_out } => {
                    running.broke(Reason::MasterEnded { why, fell_out });
                }
                News::Progress(..) | News::Heads(_) => {}
            }
            at += used;
        }
        buffer.drain(..at);
    }
}

async fn tell(running: Rc<Running>) {
    loop {
        running.tells.wait().await;
        if running.is_broken() {
            return;
        }
        let mut alive = Vec::new();
        wire::put_alive(&mut alive, RULES.timeout);
        running.conn.control.up.put(&alive);
    }
}

async fn acknowledge(running: Rc<Running>, index: u16) {
    let (wire, flow) = (running.conn.wire(index), &running.flows[usize::from(index)]);
    let time = &running.link.time;
    while !running.is_broken() {
        let every = running.link.helm.machine().says_every(&RULES);
        let moved = async {
            flow.moved.wait().await;
            true
        };
        let late = async {
            time.sleep(every).await;
            false
        };
        let has_moved = future::or(moved, late).await;
        let applied = running.applier.applied_of(index);
        let is_settled = running.applier.is_settled();
        running.happened(Happened::Turn(index, Progress { applied, is_settled, has_moved }));
        let Some(said) = flow.says.take() else { continue };
        let mut message = Vec::new();
        said.put(&mut message);
        if let Err(error) = wire.up.write(&message).await {
            running.broke(Reason::Flow(index, error));
        }
    }
}

/// Kinds that stand on a control connection, to be read in one place.
pub(crate) fn end_message(why: &str) -> Vec<u8> {
    let mut message = Vec::new();
    wire::put_bytes(&mut message, Kind::End, why.as_bytes());
    message
}
