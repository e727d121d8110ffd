//! One run: a cluster, its clients, its misfortunes, and what must be true afterwards.

use crate::following::Link;
use crate::load::{self, Load};
use crate::member::{Cluster, Member, Snapshot};
use engine::db::{Policy, PolicyKind, Pressure, pressure};
use engine::journal::{self, Bounds};
use engine::model::{DBS, World};
use engine::table::{Cursor, hash_with};
use engine::types::DbIndex;
use engine::value::Item;
use replication::info::LinkState;
use replication::replica::applier::Applies;
use replication::replica::gather::FLOW_CREDIT;
use replication::replica::machine::Event;
use replication::standing::Outdated;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What may happen in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// Shards of each node.
    pub(crate) shards: [u16; 4],
    pub(crate) populated: usize,
    pub(crate) load: Load,
    pub(crate) journal_bytes: u64,
    /// Ticks between two misfortunes, about; 0 for none.
    pub(crate) trouble_every: usize,
    pub(crate) kinds: &'static [Trouble],
    /// Every node follows the one before, instead of the first.
    pub(crate) chain: bool,
    /// Memory is short.
    pub(crate) evicts: bool,
    /// How long a step over a road takes, at most, in milliseconds of links.
    pub(crate) road: u64,
    /// Values longer than the first go in pieces as long as the second; 0 for the program's own bounds.
    pub(crate) pieces: (usize, usize),
}

/// What goes wrong, or is done by an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// A session's connections break.
    Cut,
    /// They break for the replica, and the master hears nothing of it.
    Vanish,
    /// Whoever is asked does not answer, for some time.
    Stuck,
    /// An operator ends a session.
    Kill,
    /// The way to the master is gone for some time.
    NoRoute,
    /// One flow delivers nothing for some time.
    Freeze,
    /// A bit is flipped on its way.
    Damage,
    /// REPLICAOF NO ONE, and perhaps REPLICAOF on the old master.
    Promote,
    /// REPLICAOF somebody else.
    Move,
    /// ... and a third one, before that is done.
    Rivals,
    /// A node is killed and comes back empty.
    Restart,
    /// BGSAVE.
    Save,
    /// A node is killed and comes back with its snapshot.
    Reload,
    /// A master whose journals nobody reads lets them go.
    LetGo,
}

pub(crate) const ALL: &[Trouble] = &[
    Trouble::Cut,
    Trouble::Cut,
    Trouble::Vanish,
    Trouble::Stuck,
    Trouble::Kill,
    Trouble::NoRoute,
    Trouble::Freeze,
    Trouble::Freeze,
    Trouble::Damage,
    Trouble::Promote,
    Trouble::Move,
    Trouble::Rivals,
    Trouble::Restart,
    Trouble::Save,
    Trouble::Reload,
    Trouble::LetGo,
];

/// What the journal may take of the memory of a run in which memory is short, by node.
const ITEM: u64 = 100;
const DATA_BOUND: u64 = 1000 * ITEM;
/// Of which the journals, however large, take half at the most.
const MAXMEMORY: u64 = 2 * DATA_BOUND;

/// Ticks until everything has to be quiet after the last misfortune.
const SETTLING_TICKS: usize = 30_000;

/// What must never be exceeded: a flow's credit, and the message and the frame that were under way.
const BUFFERED_MAX: usize = FLOW_CREDIT + (1 << 20) + (16 << 20);
const IN_FLIGHT_MAX: usize = (16 << 20) + (16 << 20);

impl Plan {
    /// Any plan.
    pub(crate) fn any(dice: &mut fastrand::Rng) -> Plan {
        let nodes = dice.usize(2..=4);
        let large_every = [0, 0, 60, 200][dice.usize(..4)];
        let journal_bytes = [16_000, 64_000, 1_000_000, 64_000_000][dice.usize(..4)];
        let evicts = dice.usize(..8) == 0;
        let pieces = match dice.usize(..3) {
            0 if !evicts && large_every == 0 => (8, 5),
            1 if !evicts => (60_000, 20_000),
            _ => (0, 0),
        };
        Plan {
            nodes,
            shards: [(); 4].map(|()| dice.u16(1..=4)),
            populated: [0, 200, 2000, 5000][dice.usize(..4)],
            load: Load {
                clients: dice.usize(1..4),
                rounds: dice.usize(20..100),
                keys: [4, 12, 60][dice.usize(..3)],
                upheaval_every: if evicts { 0 } else { [0, 12, 60, 200][dice.usize(..4)] },
                large_every: if evicts { 0 } else { large_every },
                flushes: dice.bool(),
                pause: [2, 30, 200][dice.usize(..3)],
                added: if dice.usize(..4) == 0 { 100 } else { 0 },
                collections: [0, 60, 60, 95][dice.usize(..4)],
            },
            journal_bytes,
            trouble_every: [0, 10, 30][dice.usize(..3)],
            kinds: ALL,
            chain: dice.bool(),
            evicts,
            // Memory is short where everybody has a copy soon: what is promoted must not be empty.
            road: if evicts { 0 } else { [0, 0, 20, 300][dice.usize(..4)] },
            pieces,
        }
    }
}

/// One run.
struct Run {
    plan: Plan,
    world: World,
    dice: fastrand::Rng,
    cluster: Rc<Cluster>,
    restarts: usize,
    /// Until which tick what is out of order.
    repairs: Vec<(usize, Repair)>,
    memory: Vec<Rc<Cell<u64>>>,
    /// The last good snapshot of each place.
    snapshots: Vec<Rc<RefCell<Option<Rc<Snapshot>>>>>,
}

enum Repair {
    Route(Rc<Link>),
    Answers(Rc<Link>),
    Thaw(Rc<crate::net::Conn>),
}

/// What has become of a run: its story, or what was wrong; and the digest of all that happened in it.
pub(crate) type Outcome = (Result<String, String>, u64);

/// Runs `plan` with `seed`, which alone decides what happens.
pub(crate) fn run(seed: u64, plan: impl Fn(&mut fastrand::Rng) -> Plan) -> Outcome {
    let mut dice = fastrand::Rng::with_seed(seed);
    let plan = plan(&mut dice);
    journal::bounds::set(plan.pieces.0, plan.pieces.1);
    let world = World::new(dice.u64(..));
    let member = |place: usize| Member::new(&world, format!("node-{place}"), plan.shards[place]);
    let cluster = Cluster::new((0..plan.nodes).map(member).collect());
    cluster.road.set(plan.road);
    let memory = (0..plan.nodes).map(|_| Rc::default()).collect();
    let snapshots = (0..plan.nodes).map(|_| Rc::default()).collect();
    let mut run = Run {
        plan,
        world,
        dice,
        cluster: cluster.clone(),
        restarts: 0,
        repairs: Vec::new(),
        memory,
        snapshots,
    };
    let outcome = run.whole();
    run.world.end();
    cluster.end();
    let story = cluster.story.borrow().join("\n  ");
    let outcome = outcome.map_err(|wrong| format!("{wrong}\n{plan:?}\n  {story}"));
    (outcome.map(|()| story), run.world.trace())
}

impl Run {
    fn whole(&mut self) -> Result<(), String> {
        for place in 0..self.plan.nodes {
            self.prepare(place);
        }
        if self.plan.populated > 0 {
            let client = self.cluster.member(0).node.client(0);
            self.world.block_on(load::populate(client, self.plan.populated));
        }
        let mut writers = Vec::new();
        for number in 0..self.plan.load.clients {
            let (load, dice) = (self.plan.load, self.dice.fork());
            let write = load::write(self.cluster.clone(), load, dice, number);
            writers.push(self.world.spawn(format!("writer {number}"), write));
        }
        let stop = Rc::new(Cell::new(false));
        if !self.plan.evicts {
            let read = load::read(self.cluster.clone(), self.dice.fork(), stop.clone());
            self.world.spawn("reader", read);
        }
        self.steps(300);
        for place in 1..self.plan.nodes {
            let upstream = if self.plan.chain { place - 1 } else { 0 };
            self.follow(place, upstream);
            self.steps(200);
        }
        let mut tick = 0;
        while !writers.is_empty() {
            tick += 1;
            writers.retain(|writer| writer.take().is_none());
            self.tick(tick)?;
            if self.plan.trouble_every > 0 && self.dice.usize(..self.plan.trouble_every) == 0 {
                self.trouble(tick);
            }
            if tick > SETTLING_TICKS {
                return Err(format!("writers wait for ever: {:?}", self.world.unfinished()));
            }
        }
        self.repair(usize::MAX);
        self.gather_under_one_master(&mut tick)?;
        self.settle(&mut tick)?;
        stop.set(true);
        self.wind_down()
    }

    fn prepare(&mut self, place: usize) {
        if !self.plan.evicts {
            return;
        }
        let member = self.cluster.member(place);
        let log = |id| member.node.with_shard(id, |shard| shard.log.handle());
        let logs: Vec<_> = (0..member.node.shards()).map(log).collect();
        for id in 0..member.node.shards() {
            let (used, logs) = (self.memory[place].clone(), logs.clone());
            member.node.with_shard(id, |shard| {
                let policy = Policy { kind: PolicyKind::AllKeysRandom, ..Policy::default() };
                shard.keys.set_policy(policy);
                shard.gate.pressure = Some(Box::new(move || {
                    let journal: u64 = logs.iter().map(|log| log.bytes()).sum();
                    let pressure = pressure(used.get() + journal, journal, MAXMEMORY, true);
                    if pressure == Pressure::Evict {
                        // The key that goes now; the next count puts it right.
                        used.set(used.get().saturating_sub(ITEM));
                    }
                    pressure
                }));
            });
        }
    }

    fn steps(&mut self, most: usize) {
        for _ in 0..self.dice.usize(1..most) {
            if !self.world.step() {
                break;
            }
        }
    }

    /// Some steps, some time, and what time does.
    fn tick(&mut self, tick: usize) -> Result<(), String> {
        self.steps(400);
        if self.dice.bool() {
            self.world.advance(self.dice.u64(..40));
        }
        self.repair(tick);
        let bounds =
            Bounds { bytes: self.plan.journal_bytes, age: Some(Duration::from_secs(3600)) };
        for (place, member) in self.cluster.members().into_iter().enumerate() {
            member.tick(&bounds)?;
            self.check_buffers(&member)?;
            let items: usize = (0..member.node.shards())
                .map(|id| member.node.with_shard(id, |shard| shard.keys.total_len()))
                .sum();
            self.memory[place].set(items as u64 * ITEM);
        }
        self.cluster.failure().map_or(Ok(()), Err)
    }

    fn check_buffers(&self, member: &Member) -> Result<(), String> {
        let Some(link) = member.link() else { return Ok(()) };
        let Some(running) = link.running() else { return Ok(()) };
        let (buffered, in_flight) = running.applier().held();
        if buffered > BUFFERED_MAX || in_flight > IN_FLIGHT_MAX {
            return Err(format!("{} holds {buffered} and {in_flight} bytes", member.name));
        }
        Ok(())
    }

    fn repair(&mut self, tick: usize) {
        self.repairs.retain(|(until, repair)| {
            if *until > tick {
                return true;
            }
            match repair {
                Repair::Route(link) => link.no_route.set(false),
                Repair::Answers(link) => link.is_stuck.set(false),
                Repair::Thaw(conn) => {
                    conn.wires.borrow().iter().for_each(|wire| wire.down.freeze(false));
                }
            }
            false
        });
    }

    /// REPLICAOF, as if in a transaction: it is answered before anything is tried.
    fn follow(&mut self, place: usize, upstream: usize) {
        self.order(place, upstream, true);
    }

    fn order(&mut self, place: usize, upstream: usize, at_once: bool) {
        let member = self.cluster.member(place);
        let how = if at_once { "follows" } else { "tries" };
        self.cluster.note(format!("{} {how} place {upstream}", member.name));
        member.follow(&self.cluster, upstream, at_once);
    }

    fn promote(&mut self, place: usize) {
        let member = self.cluster.member(place);
        self.cluster.note(format!("{} is promoted", member.name));
        member.promote(&self.cluster);
    }

    fn trouble(&mut self, tick: usize) {
        let kind = self.plan.kinds[self.dice.usize(..self.plan.kinds.len())];
        let place = self.dice.usize(..self.plan.nodes);
        let other = self.dice.usize(..self.plan.nodes);
        let member = self.cluster.member(place);
        let until = tick + self.dice.usize(1..60);
        match (kind, member.link()) {
            (Trouble::Cut, Some(link)) => link.cut(false),
            (Trouble::Vanish, Some(link)) => link.cut(true),
            (Trouble::Kill, Some(link)) => link.helm.step(Event::Kill),
            (Trouble::Stuck, Some(link)) => {
                link.is_stuck.set(true);
                link.cut(false);
                self.repairs.push((until, Repair::Answers(link)));
            }
            (Trouble::NoRoute, Some(link)) => {
                link.no_route.set(true);
                link.cut(false);
                self.repairs.push((until, Repair::Route(link)));
            }
            (Trouble::Freeze, Some(link)) => {
                let Some(conn) = link.conn() else { return };
                let wires = conn.wires.borrow().clone();
                wires[self.dice.usize(..wires.len())].down.freeze(true);
                self.repairs.push((until, Repair::Thaw(conn)));
            }
            (Trouble::Damage, Some(link)) => {
                let Some(conn) = link.conn() else { return };
                let wires = conn.wires.borrow().clone();
                let wire = &wires[self.dice.usize(..wires.len())];
                if self.dice.u8(..4) == 0 { wire.up.damage() } else { wire.down.damage() }
            }
            (Trouble::Promote, Some(link)) => {
                let before = link.upstream;
                self.promote(place);
                if self.dice.bool() {
                    self.follow(before, place);
                }
            }
            (Trouble::Move, _) if place != other => {
                let at_once = self.dice.bool();
                self.order(place, other, at_once);
            }
            (Trouble::Rivals, _) => {
                // Several operators, who do not know of each other.
                for upstream in [other, self.dice.usize(..self.plan.nodes)] {
                    let at_once = self.dice.u8(..4) == 0;
                    if upstream != place {
                        self.order(place, upstream, at_once);
                    }
                }
            }
            (Trouble::Restart, _) => self.restart(place),
            (Trouble::Save, _) => self.save(place),
            (Trouble::Reload, _) => self.reload(place),
            (Trouble::LetGo, _) => {
                self.cluster.members().iter().for_each(|member| member.stop_keeping_if_unread());
            }
            _ => {}
        }
    }

    /// The node dies and comes back empty, following whom it followed.
    fn restart(&mut self, place: usize) {
        let old = self.cluster.member(place);
        if old.is_changing() {
            return;
        }
        self.replace(place);
        if let Some(link) = old.link() {
            self.follow(place, link.upstream);
        }
    }

    fn save(&mut self, place: usize) {
        let (member, kept) = (self.cluster.member(place), self.snapshots[place].clone());
        let cluster = self.cluster.clone();
        self.world.spawn("save", async move {
            let name = member.name.clone();
            match member.save().await {
                Ok(snapshot) if member.is_alive.get() => {
                    cluster.note(format!("{name} is saved"));
                    *kept.borrow_mut() = Some(Rc::new(snapshot));
                }
                Ok(_) => {}
                Err(why) => cluster.note(format!("{name} is not saved: {why}")),
            }
        });
    }

    /// The node dies and comes back with its snapshot, as a master or following whom it followed.
    fn reload(&mut self, place: usize) {
        let old = self.cluster.member(place);
        let snapshot = self.snapshots[place].borrow().clone();
        let Some(snapshot) = snapshot.filter(|_| !old.is_changing() && !self.plan.evicts) else {
            return;
        };
        let upstream = old.link().map(|link| link.upstream).filter(|_| self.dice.u8(..3) > 0);
        self.replace_by(place, Some((&*snapshot, upstream.is_some())));
        if let Some(upstream) = upstream {
            self.follow(place, upstream);
        }
    }

    /// The node dies; an empty one takes its place and follows nobody.
    fn replace(&mut self, place: usize) {
        self.replace_by(place, None);
    }

    /// The same with a snapshot, and whether the new one is about to follow somebody.
    fn replace_by(&mut self, place: usize, snapshot: Option<(&Snapshot, bool)>) {
        let old = self.cluster.member(place);
        self.cluster.note(format!("{} dies", old.name));
        self.kill(&old);
        self.restarts += 1;
        let name = format!("node-{place}-{}", self.restarts);
        let shards = self.dice.u16(1..=4);
        let member = Member::new(&self.world, name, shards);
        if let Some((snapshot, follows)) = snapshot {
            self.cluster.note(format!("{} begins with a snapshot", member.name));
            member.load(snapshot, follows);
        }
        self.cluster.replace(place, member);
        self.prepare(place);
    }

    fn kill(&mut self, member: &Rc<Member>) {
        member.is_alive.set(false);
        member.end_sessions(Outdated::Promoted);
        if let Some(link) = member.link() {
            link.cut(false);
            self.world.spawn("stop", async move { link.stop().await });
        }
    }

    /// The last word of the operator: everybody follows one master, directly or in a chain.
    fn gather_under_one_master(&mut self, tick: &mut usize) -> Result<(), String> {
        let master = self.make_one_a_master(tick)?;
        let mut above = master;
        for place in (0..self.plan.nodes).filter(|place| *place != master) {
            let upstream = if self.plan.chain { above } else { master };
            let follows = self.cluster.member(place).link().map(|link| link.upstream);
            if follows != Some(upstream) {
                self.follow(place, upstream);
            }
            above = place;
        }
        self.wait_for_changes(tick)
    }

    /// Promotes somebody who may be; if nobody has a whole copy, a node begins anew.
    fn make_one_a_master(&mut self, tick: &mut usize) -> Result<usize, String> {
        loop {
            self.wait_for_changes(tick)?;
            let place = self.dice.usize(..self.plan.nodes);
            self.promote(place);
            self.wait_for_changes(tick)?;
            let members = self.cluster.members();
            if members[place].link().is_none() {
                return Ok(place);
            }
            if members.iter().all(|member| member.here.standing.may_become_master().is_err()) {
                self.replace(place);
                return Ok(place);
            }
        }
    }

    fn wait_for_changes(&mut self, tick: &mut usize) -> Result<(), String> {
        for _ in 0..SETTLING_TICKS {
            if self.cluster.members().iter().all(|member| !member.is_changing()) {
                return Ok(());
            }
            *tick += 1;
            self.tick(*tick)?;
        }
        Err(format!("a change of role waits for ever: {:?}", self.world.unfinished()))
    }

    /// Waits until every replica stands where its master stands, then compares.
    fn settle(&mut self, tick: &mut usize) -> Result<(), String> {
        for _ in 0..SETTLING_TICKS {
            *tick += 1;
            self.tick(*tick)?;
            if self.is_settled() {
                return self.compare();
            }
            self.override_guards();
        }
        Err(self.describe_stuck())
    }

    fn is_settled(&self) -> bool {
        self.cluster.members().iter().all(|member| {
            let open = member.node.open_entries() == 0;
            let Some(link) = member.link() else { return open };
            let upstream = self.cluster.member(link.upstream);
            let heads: Vec<_> =
                upstream.here.standing.logs().iter().map(|log| log.head()).collect();
            let running = link.running();
            let chain = [vec![member.name.clone()], upstream.here.chain.ids()].concat();
            open && member.here.chain.ids() == chain
                && running.as_ref().is_some_and(|running| {
                    link.state() == LinkState::StableSync
                        && running.applier().is_settled()
                        && running.applied() == heads
                        && member.here.standing.lineage().current()
                            == upstream.here.standing.lineage().current()
                })
        })
    }

    /// The operator means it: who is held back by its guard is told once more.
    fn override_guards(&mut self) {
        for place in 0..self.plan.nodes {
            if let Some(link) = self.cluster.member(place).link()
                && link.is_guarded()
            {
                self.follow(place, link.upstream);
            }
        }
    }

    fn describe_stuck(&self) -> String {
        let mut text = "does not settle:".to_owned();
        for member in self.cluster.members() {
            let heads: Vec<_> =
                member.here.standing.logs().iter().map(|log| (log.first(), log.head())).collect();
            text += &format!("\n  {}: journals {heads:?}", member.name);
            if let Some(link) = member.link() {
                let running = link.running();
                let applied = running.as_ref().map(|running| running.applied());
                text += &format!(
                    " follows {} {:?} applied {applied:?} chain {:?}",
                    link.upstream,
                    link.helm.machine().state(),
                    member.here.chain.ids()
                );
            }
        }
        text
    }

    fn compare(&self) -> Result<(), String> {
        let members = self.cluster.members();
        let master = members.iter().find(|member| member.link().is_none());
        let master = master.ok_or("there is no master")?;
        if self.plan.evicts {
            let held = items(master).len() as u64 * ITEM;
            let lowest = (self.plan.populated as u64 * ITEM).min(DATA_BOUND) / 2;
            // Who followed may be a master that has never been fed.
            let is_first = master.name == "node-0" && self.plan.trouble_every == 0;
            if is_first && held < lowest {
                return Err(format!("eviction left {held} bytes of {DATA_BOUND}"));
            }
        }
        for member in &members {
            if member.node.digest() == master.node.digest() {
                compare_forms(master, member)?;
                continue;
            }
            let (ours, theirs) = (items(master), items(member));
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            let differs = |key: &&(u16, String)| ours.get(*key) != theirs.get(*key);
            let mut text = format!(
                "{} ({} keys) and {} ({} keys) differ:",
                master.name,
                ours.len(),
                member.name,
                theirs.len()
            );
            for key in keys.into_iter().filter(differs).take(10) {
                text += &format!("\n  {key:?}: {:?} / {:?}", ours.get(key), theirs.get(key));
            }
            return Err(text);
        }
        Ok(())
    }

    /// All tasks end, and nothing stays open.
    fn wind_down(&mut self) -> Result<(), String> {
        for member in self.cluster.members() {
            self.kill(&member);
        }
        let unfinished = self.world.run();
        if !unfinished.is_empty() {
            return Err(format!("these wait for ever: {unfinished:?}"));
        }
        for member in self.cluster.members() {
            if member.node.open_entries() > 0 {
                return Err(format!("keys of {} are open though nobody works", member.name));
            }
            for id in 0..member.node.shards() {
                if member.node.with_shard(id, |shard| shard.cuts.len()) > 0 {
                    return Err(format!("{} goes on cutting for nobody", member.name));
                }
            }
        }
        self.cluster.failure().map_or(Ok(()), Err)
    }
}

/// Whether collections are equal in what a digest says nothing of: their forms, and the order of what is small.
fn compare_forms(master: &Member, member: &Member) -> Result<(), String> {
    let (ours, theirs) = (forms(master), forms(member));
    let differ = ours.iter().find(|(key, form)| theirs.get(*key) != Some(*form));
    differ.map_or(Ok(()), |(key, form)| {
        let other = theirs.get(key);
        Err(format!("{} and {}: {key:?} is {form:?} / {other:?}", master.name, member.name))
    })
}

fn forms(member: &Member) -> BTreeMap<(u16, String), (&'static str, usize, u64)> {
    let mut forms = BTreeMap::new();
    each_item(member, &mut |db, item| {
        let Some(object) = item.object() else { return };
        let mut whole = Vec::with_capacity(object.encoded_len());
        object.encode(&mut whole);
        let key = String::from_utf8_lossy(item.key()).into_owned();
        let form = (object.encoding(), whole.len(), hash_with(0, &whole));
        forms.insert((db.0, key), form);
    });
    forms
}

fn each_item(member: &Member, each: &mut dyn FnMut(DbIndex, &Item)) {
    for id in 0..member.node.shards() {
        member.node.with_shard(id, |shard| {
            for db in (0..DBS as u16).map(DbIndex) {
                let mut cursor = Some(Cursor::START);
                while let Some(at) = cursor {
                    cursor = shard.keys.table(db).walk(at, &mut |_, item| each(db, item));
                }
            }
        });
    }
}

type Items = BTreeMap<(u16, String), (String, Option<u64>)>;

/// All that a node holds, values shortened.
fn items(member: &Member) -> Items {
    let mut items = Items::new();
    each_item(member, &mut |db, item| {
        let key = String::from_utf8_lossy(item.key()).into_owned();
        let value = format!("{:?} {:?}", item.string(), item.object());
        let value = value.chars().take(80).collect();
        items.insert((db.0, key), (value, item.deadline().map(|at| at.0)));
    });
    items
}
