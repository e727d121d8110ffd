//! A node of the cluster: `service` without sockets and clocks.

use crate::following::{Link, settings};
use crate::net::{BROKEN, Conn, Side};
use crate::time::Time;
use engine::db::Role;
use engine::journal::{Bounds, CHUNK_BYTES, Deadline, HistoryId, LogHandle, Position, Read};
use engine::model::{DBS, ModelNode, World};
use engine::shard::Shard;
use engine::table::Cursor;
use engine::types::{DbIndex, Millis, shard_of};
use engine::value::{Item, SharedValue};
use replication::handshake::{Asker, Terms};
use replication::here::{Here, Rests};
use replication::info::LinkState;
use replication::master::machine::SessionStage;
use replication::master::reason::Reason;
use replication::master::run::run;
use replication::master::session::Session;
use replication::master::sessions::Sessions;
use replication::origin::Origin;
use replication::relay::Relay;
use replication::replica::running::Running;
use replication::service::admission::{self, Agreed};
use replication::service::roles::{Action as RoleAction, Event as RoleEvent, Roles};
use replication::standing::{AtRest, Outdated};
use replication::wire;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A replica that left without taking its terms is noticed within this time.
const PHANTOM_MAX: Duration = Duration::from_secs(3);

/// One node.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) node: ModelNode,
    pub(crate) here: Here,
    pub(crate) is_alive: Cell<bool>,
    roles: RefCell<Roles<Link>>,
    /// Masters that are being tried.
    trying: Cell<usize>,
    /// Orders to be a master, and the newest order that was carried out.
    promotions: RefCell<HashSet<u64>>,
    carried_out: Cell<u64>,
    sessions: Rc<Sessions<Time>>,
    /// Their connections, and since when.
    conns: RefCell<HashMap<u64, (Rc<Conn>, Instant)>>,
    /// What must not have happened to sessions.
    wrong: RefCell<Option<String>>,
    /// A snapshot is under way: one at a time, as in the program.
    saving: Cell<bool>,
}

/// A snapshot: all items of one moment, and what they are.
pub(crate) struct Snapshot {
    items: Vec<(DbIndex, Vec<u8>, SharedValue, Option<Millis>)>,
    origin: Origin,
}

/// A session that rests until this is dropped.
struct Resting(Rc<Running<Time>>);

impl Rests for Resting {
    fn at_rest(&self) -> AtRest {
        self.0.at_rest()
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

fn all_items(shard: &Shard) -> Vec<(DbIndex, Vec<u8>, SharedValue, Option<Millis>)> {
    let mut items = Vec::new();
    for db in (0..DBS as u16).map(DbIndex) {
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            let mut each =
                |item: &Item| items.push((db, item.key().to_vec(), item.share(), item.deadline()));
            cursor = shard.keys.table(db).walk(at, &mut |_, item| each(item));
        }
    }
    items
}

fn new_history(dice: &mut fastrand::Rng) -> HistoryId {
    let mut id = [0; 20];
    dice.fill(&mut id);
    HistoryId(id)
}

impl Member {
    /// An empty master.
    pub(crate) fn new(world: &World, name: String, shards: u16) -> Rc<Member> {
        let node = ModelNode::in_world(world, shards);
        let (front, history) = (node.outside().clone(), new_history(&mut world.dice()));
        let sessions: Rc<Sessions<Time>> = Rc::new(Sessions::new(1));
        let settings = settings(&mut world.dice());
        let (id, fed) = (name.clone(), sessions.clone());
        let end_sessions = Box::new(move |why| fed.end_all(why));
        let here = world.block_on(async move {
            Here::empty(front, (id, history), Arc::default(), settings, end_sessions).await
        });
        Rc::new(Member {
            name,
            node,
            here,
            is_alive: Cell::new(true),
            roles: RefCell::default(),
            trying: Cell::new(0),
            promotions: RefCell::default(),
            carried_out: Cell::new(0),
            sessions,
            conns: RefCell::default(),
            wrong: RefCell::default(),
            saving: Cell::new(false),
        })
    }

    /// BGSAVE; why not.
    pub(crate) async fn save(&self) -> Result<Snapshot, String> {
        if self.saving.replace(true) {
            return Err("another snapshot is under way".to_owned());
        }
        let saved = self.save_alone().await;
        self.saving.set(false);
        saved
    }

    async fn save_alone(&self) -> Result<Snapshot, String> {
        let link = self.link();
        let hold = async || {
            let running = link.as_ref()?.running()?;
            running.hold().await;
            Some(Resting(running))
        };
        let items = RefCell::new(Vec::new());
        let cut = async || {
            let front = self.node.outside();
            let of_shard = |shard: &mut Shard| (all_items(shard), shard.log.lsn());
            let (all, heads): (Vec<_>, Vec<_>) =
                front.everywhere(false, of_shard).await.into_iter().unzip();
            *items.borrow_mut() = all.into_iter().flatten().collect();
            Ok(heads)
        };
        let origin = self.here.moment(hold, cut).await?;
        let origin = origin.ok_or("whom it follows has changed")?;
        Ok(Snapshot { items: items.into_inner(), origin })
    }

    /// A start from a snapshot, before anybody comes; whether it is about to follow somebody.
    pub(crate) fn load(self: &Rc<Member>, snapshot: &Snapshot, follows: bool) {
        let shards = self.node.shards();
        for shard in 0..shards {
            self.node.with_shard(shard, |shard| {
                shard.set_role(if follows { Role::Replica } else { Role::Master });
                shard.set_keeping(true);
            });
        }
        for (db, key, value, deadline) in &snapshot.items {
            let deadline = deadline.map_or(Deadline::None, Deadline::At);
            self.node.with_shard(shard_of(key, shards).0, |shard| {
                let put = shard.keys.apply_put(*db, key, Some(value.clone().into()), deadline);
                put.expect("it fits");
            });
        }
        let origin = snapshot.origin.clone();
        let tail = Relay::starting_at(&origin.lsns);
        let (me, history) = (self.clone(), new_history(&mut self.dice()));
        let restore = async move { me.here.standing.restore(history, origin, tail, false).await };
        self.node.world().block_on(restore);
    }

    pub(crate) fn dice(&self) -> fastrand::Rng {
        self.node.world().dice()
    }

    pub(crate) fn link(&self) -> Option<Rc<Link>> {
        self.roles.borrow().link()
    }

    /// Whether this node follows another one, or is about to.
    pub(crate) fn is_replica(&self) -> bool {
        self.roles.borrow().upstream().is_some()
    }

    /// Whether clients may not write.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.roles.borrow().refuses_writes()
    }

    /// Whether an order is under way.
    pub(crate) fn is_changing(&self) -> bool {
        self.roles.borrow().is_changing() || self.trying.get() > 0
    }

    /// Whether readers are let in: not while a full sync replaces the data.
    pub(crate) fn is_readable(&self) -> bool {
        self.is_alive.get()
            && !self.roles.borrow().is_changing()
            && (!self.is_replica()
                || self.link().is_some_and(|link| link.state() == LinkState::StableSync))
    }

    /// DFLY CHECK.
    pub(crate) fn check(&self, asker: &Asker) -> Result<(), String> {
        self.is_reached()?;
        admission::check(&self.here, &self.roles.borrow(), asker)
    }

    /// What was on its way to who has died meanwhile finds nobody.
    fn is_reached(&self) -> Result<(), String> {
        if self.is_alive.get() { Ok(()) } else { Err("nobody is there".to_owned()) }
    }

    /// DFLY FOLLOW, over `conn`.
    pub(crate) async fn agree(
        self: &Rc<Member>,
        asker: Asker,
        position: Option<Position>,
        conn: &Rc<Conn>,
    ) -> Result<(Terms, Rc<Session<Time>>), String> {
        self.is_reached()?;
        let id = || self.sessions.next_id();
        let agreed = admission::agree(&self.here, &self.roles, asker, position.as_ref(), id);
        let agreed = agreed.await?;
        self.is_reached()?;
        let is_between = self.link().is_some_and(|link| link.state() != LinkState::StableSync);
        if is_between || self.roles.borrow().is_changing() {
            let text = format!("{} feeds {} while it goes elsewhere", self.name, agreed.node);
            self.wrong.borrow_mut().get_or_insert(text);
        }
        let Agreed { terms, node, logs, beginning, walks } = agreed;
        let (id, to, whom) = (terms.session, terms.to.clone(), Default::default());
        let (settings, time) = (self.here.settings.clone(), Time::new(self.node.world()));
        self.conns.borrow_mut().insert(id, (conn.clone(), time.now()));
        conn.connect(logs.len());
        let session = Session::new(id, node, whom, &logs, to, settings, time.clone());
        session.sees(Some(&[]));
        self.note_takeover(&session, || self.sessions.open(&session));
        session.attach_control(conn.control(Side::Master), Vec::new());
        let (me, runs) = (self.clone(), session.clone());
        time.spawn("session", async move {
            let attached = |session: &Session<Time>| me.session_begins(session);
            run(&runs, &me.here.front, (beginning, walks), Rc::default(), attached).await;
            me.session_ended(&runs);
        });
        Ok((terms, session))
    }

    /// A session has all its connections.
    fn session_begins(&self, session: &Session<Time>) {
        self.note_takeover(session, || self.sessions.tell_others(session));
    }

    /// Only older sessions end because of one that has begun.
    fn note_takeover(&self, session: &Session<Time>, tell: impl FnOnce()) {
        let live = self.sessions.live();
        tell();
        let (id, has_begun) = (session.id, *session.machine().state() == SessionStage::Beginning);
        for other in live.iter().filter(|other| other.is_ended()) {
            if other.id > id || !has_begun {
                let (name, node) = (&self.name, session.machine().node().to_owned());
                let what = if has_begun { "began" } else { "was asked for" };
                let text = format!("{name}: session {id} of {node} {what} and ended {}", other.id);
                self.wrong.borrow_mut().get_or_insert(text);
            }
        }
    }

    /// A session is through.
    fn session_ended(&self, session: &Session<Time>) {
        // No replica of the model's says what does not fit, but for damage on the way.
        if let Some(Reason::Flow(_, text)) = session.machine().ended()
            && ![wire::DAMAGED, BROKEN].contains(&text.as_str())
        {
            self.wrong.borrow_mut().get_or_insert(text.clone());
        }
        self.sessions.forget(session.id);
        self.conns.borrow_mut().remove(&session.id);
    }

    /// For how long a session could know that its replica has left.
    fn is_over_for(&self, session: &Session<Time>) -> Option<Duration> {
        let conns = self.conns.borrow();
        let (conn, started) = conns.get(&session.id)?;
        let over = conn.over.get()?.max(*started);
        Some(Time::new(self.node.world()).now().saturating_duration_since(over))
    }

    pub(crate) fn end_sessions(&self, why: Outdated) {
        self.sessions.end_all(why);
    }

    /// What must be true of those who are fed, at any moment.
    fn check_sessions(&self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.borrow_mut().take() {
            return Err(wrong);
        }
        let (sessions, mut fed) = (self.sessions.known(), HashSet::new());
        for session in sessions {
            let (machine, name) = (session.machine(), &self.name);
            let node = machine.node().to_owned();
            if machine.acked().is_some() && machine.ended().is_some() {
                return Err(format!("{name} counts {node}, which has left, as having its data"));
            }
            if machine.is_in_session() && !fed.insert(node.clone()) {
                return Err(format!("{name} feeds {node} twice"));
            }
            let gone = self.is_over_for(&session);
            let waits = *machine.state() == SessionStage::Preparation;
            if waits && gone.is_some_and(|gone| gone > PHANTOM_MAX) {
                return Err(format!("{name} waits for {node}, which left {gone:?} ago"));
            }
        }
        Ok(())
    }

    fn feeds_nobody(&self) -> bool {
        self.sessions.live().is_empty()
    }

    /// Nobody has read the journals for long: they are only counted.
    pub(crate) fn stop_keeping_if_unread(&self) {
        if !self.is_replica() && !self.is_changing() && self.feeds_nobody() {
            for shard in 0..self.node.shards() {
                self.node.with_shard(shard, |shard| shard.log.set_keeping(false));
            }
        }
    }

    /// REPLICAOF.
    pub(crate) fn follow(self: &Rc<Member>, cluster: &Rc<Cluster>, upstream: usize, at_once: bool) {
        let order = self.roles.borrow_mut().next_order();
        let link = Link::new(self, cluster, upstream);
        self.change(cluster, RoleEvent::Follow { order, link, at_once });
    }

    /// REPLICAOF NO ONE.
    pub(crate) fn promote(self: &Rc<Member>, cluster: &Rc<Cluster>) {
        let order = self.roles.borrow_mut().next_order();
        self.promotions.borrow_mut().insert(order);
        self.change(cluster, RoleEvent::Promote { order });
    }

    fn change(self: &Rc<Member>, cluster: &Rc<Cluster>, event: RoleEvent<Link>) {
        let whole = self.here.standing.may_become_master();
        let actions = self.roles.borrow_mut().step(event, &whole);
        actions.into_iter().for_each(|action| self.perform(cluster, action));
    }

    fn perform(self: &Rc<Member>, cluster: &Rc<Cluster>, action: RoleAction<Link>) {
        let (me, its) = (self.clone(), cluster.clone());
        let world = self.node.world();
        match action {
            RoleAction::Try(order, link) => {
                self.trying.set(self.trying.get() + 1);
                world.spawn("try", async move {
                    let outcome = link.check().await;
                    me.trying.set(me.trying.get() - 1);
                    me.change(&its, RoleEvent::Tried { order, link, outcome });
                });
            }
            RoleAction::End(link) => {
                world.spawn("end", async move {
                    link.stop().await;
                    me.change(&its, RoleEvent::Done);
                });
            }
            RoleAction::Turn => {
                world.spawn("turn", async move {
                    me.here.become_replica().await;
                    me.change(&its, RoleEvent::Done);
                });
            }
            RoleAction::Branch => {
                if self.here.standing.may_become_master().is_err() {
                    cluster.fail(format!("{} makes a part of a copy a master's data", self.name));
                }
                world.spawn("branch", async move {
                    me.here.become_master(new_history(&mut me.dice())).await;
                    me.change(&its, RoleEvent::Done);
                });
            }
            RoleAction::Run { order, link } => {
                order.into_iter().for_each(|order| self.carried_out(cluster, order));
                self.here.chain.leave();
                world.spawn("link", link.run());
            }
            RoleAction::Answer(order, Ok(())) => {
                if self.promotions.borrow().contains(&order) {
                    self.carried_out(cluster, order);
                }
            }
            RoleAction::Answer(_, Err(why)) => {
                cluster.note(format!("{} refuses: {why}", self.name));
            }
        }
    }

    /// What was asked for last is what stands.
    fn carried_out(&self, cluster: &Cluster, order: u64) {
        let before = self.carried_out.replace(order);
        if order < before {
            cluster.fail(format!("{} carries out order {order} after {before}", self.name));
        }
    }

    /// What time does to a node.
    pub(crate) fn tick(&self, bounds: &Bounds) -> Result<(), String> {
        let now = self.node.world().now();
        let all = Bounds { bytes: bounds.bytes * u64::from(self.node.shards()), ..*bounds };
        for id in 0..self.node.shards() {
            self.node.with_shard(id, |shard| {
                shard.heartbeat_once();
                shard.publish();
                shard.log.trim(bounds, now);
            });
        }
        self.here.settings.borrow_mut().journals_bounds = all;
        let clocks = (now, Time::new(self.node.world()).now());
        self.here.trim_relays(self.sessions.read_older_history(), clocks);
        self.check_sessions()?;
        self.check_bound(&all)
    }

    /// What all logs hold together, by their own count and by what can be read of them, is within the
    /// bound of the node, but for one frame in each.
    fn check_bound(&self, all: &Bounds) -> Result<(), String> {
        let (mut held, mut spared) = (0, 0);
        let own = (0..self.node.shards())
            .map(|id| self.node.with_shard(id, |shard: &mut Shard| shard.log.handle()));
        let mut logs: Vec<LogHandle> = match self.here.standing.relays() {
            true => own.chain(self.here.standing.all_logs()).collect(),
            false => self.here.standing.all_logs(),
        };
        logs.retain(|log| log.bytes() > 0);
        for log in &logs {
            let (readable, frame) = readable(log)?;
            held += log.bytes().max(readable);
            spared += frame;
        }
        if held > all.bytes + spared {
            let (bytes, logs) = (all.bytes, logs.len());
            return Err(format!("{}: {logs} logs hold {held} of {bytes}", self.name));
        }
        Ok(())
    }
}

/// The bytes that can be read of a log, each large value once; and those of its largest frame, or of all frames
/// of a value in pieces.
fn readable(log: &LogHandle) -> Result<(u64, u64), String> {
    let mut reader = log.reader_at(log.first()).map_err(|gone| gone.to_string())?;
    let (mut known, mut bytes) = (HashSet::new(), 0);
    let (mut frame, mut largest) = (0, 0);
    let (mut is_inside, mut was_piece) = (false, false);
    // Of the value that began last, whatever stands between its pieces.
    let (mut value, mut is_piece) = (0, false);
    loop {
        let before = reader.lsn();
        let Read::Bytes(span) = reader.next(usize::MAX) else { return Ok((bytes, largest)) };
        let length = span.len() as u64;
        bytes += if known.insert(span.as_ptr()) { length } else { 0 };
        let (begins, is_part) = (matches!(span[0] & 0x7f, 0x0e), matches!(span[0] & 0x7f, 0x0f));
        if !is_inside && begins && !was_piece {
            frame = 0;
            value = 0;
        }
        // With its chunk and its references: generously, since what is data besides can be read for nothing. What
        // a piece begins with is little, or on a relay all of it.
        let is_head = !is_inside && (begins || is_part) && frame > 0;
        frame += length + if is_head { 1024 + length / 8 } else { CHUNK_BYTES as u64 };
        if !is_inside {
            is_piece = begins || is_part;
        }
        value += if is_piece { length + CHUNK_BYTES as u64 } else { 0 };
        largest = largest.max(frame).max(value);
        if !is_inside {
            // The frame behind pieces belongs to them.
            was_piece = begins || is_part;
        }
        is_inside = span.lsn_after() == before;
        if !is_inside && !was_piece {
            frame = 0;
        }
    }
}

/// All nodes, by their places; a node that restarts is another one in the same place.
pub(crate) struct Cluster {
    members: RefCell<Vec<Rc<Member>>>,
    /// Those that have died.
    former: RefCell<Vec<Rc<Member>>>,
    failure: RefCell<Option<String>>,
    /// Full and partial syncs granted.
    pub(crate) syncs: Cell<(u32, u32)>,
    /// How long a step over a road takes, at most, in milliseconds of links.
    pub(crate) road: Cell<u64>,
    /// Notes every change of role, in the order of the run.
    pub(crate) story: RefCell<Vec<String>>,
}

impl Cluster {
    pub(crate) fn new(members: Vec<Rc<Member>>) -> Rc<Cluster> {
        Rc::new(Cluster {
            members: RefCell::new(members),
            former: RefCell::default(),
            failure: RefCell::default(),
            syncs: Cell::default(),
            road: Cell::new(0),
            story: RefCell::default(),
        })
    }

    pub(crate) fn member(&self, place: usize) -> Rc<Member> {
        self.members.borrow()[place].clone()
    }

    pub(crate) fn members(&self) -> Vec<Rc<Member>> {
        self.members.borrow().clone()
    }

    pub(crate) fn replace(&self, place: usize, member: Rc<Member>) {
        let former = std::mem::replace(&mut self.members.borrow_mut()[place], member);
        self.former.borrow_mut().push(former);
    }

    /// The run is over: who knows each other is let go.
    pub(crate) fn end(&self) {
        for member in self.members.take().into_iter().chain(self.former.take()) {
            let roles = member.roles.take();
            roles.link().iter().for_each(|link| link.end());
            member.sessions.clear();
        }
    }

    pub(crate) fn note_sync(&self, terms: &Terms) {
        let (full, partial) = self.syncs.get();
        self.syncs.set(if terms.full { (full + 1, partial) } else { (full, partial + 1) });
        let asked = if terms.full { "full" } else { "partial" };
        let by = &terms.chain[0];
        self.note(format!("{by} grants {asked} ({}) from {:?}", terms.reason, terms.from));
    }

    pub(crate) fn note(&self, what: String) {
        self.story.borrow_mut().push(what);
    }

    /// Notes what must not happen; the first counts.
    pub(crate) fn fail(&self, what: String) -> String {
        self.failure.borrow_mut().get_or_insert_with(|| what.clone());
        what
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }
}
