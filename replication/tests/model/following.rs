//! The replica's side of a session: `replica::link` and `replica::session` without sockets and clocks.

use crate::member::{Cluster, Member};
use crate::net::Conn;
use engine::shard::Answer;
use engine::types::Lsn;
use replication::bell::Bell;
use replication::guard::Rules;
use replication::handshake::{self, Terms};
use replication::info::LinkState;
use replication::replica::applier::{Applier, Taken};
use replication::wire::{self, Kind};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Following one member of the cluster.
pub(crate) struct Link {
    /// Its place in the cluster.
    pub(crate) upstream: usize,
    pub(crate) state: Cell<LinkState>,
    pub(crate) running: RefCell<Option<Rc<Running>>>,
    /// An operator asked for this master and no session has begun since.
    explicit: Cell<bool>,
    /// The guard holds.
    pub(crate) is_guarded: Cell<bool>,
    /// Attempts fail until then.
    pub(crate) no_route: Cell<bool>,
    stopping: Cell<bool>,
    stopped: Bell,
}

/// A session under way.
pub(crate) struct Running {
    pub(crate) applier: Applier,
    pub(crate) conn: Rc<Conn>,
    broken: Cell<bool>,
    exact: Cell<bool>,
    stable: Cell<bool>,
    arrived: Bell,
    moved: Vec<Bell>,
    credit: Vec<Bell>,
}

impl Link {
    pub(crate) fn new(upstream: usize) -> Rc<Link> {
        Rc::new(Link {
            upstream,
            state: Cell::new(LinkState::Connecting),
            running: RefCell::default(),
            explicit: Cell::new(true),
            is_guarded: Cell::new(false),
            no_route: Cell::new(false),
            stopping: Cell::new(false),
            stopped: Bell::default(),
        })
    }

    /// The connections break; what is on its way is lost.
    pub(crate) fn cut(&self) {
        if let Some(running) = &*self.running.borrow() {
            running.conn.close(true);
        }
    }

    /// Ends the link and waits until everything that was handed to shards is applied.
    pub(crate) async fn stop(&self) {
        self.stopping.set(true);
        let running = self.running.borrow().clone();
        if let Some(running) = running {
            running.break_off();
        }
        self.stopped.wait().await;
    }

    pub(crate) async fn run(self: Rc<Link>, me: Rc<Member>, cluster: Rc<Cluster>) {
        let mut dice = me.dice();
        while !self.stopping.get() {
            let outcome = self.attempt(&me, &cluster, &mut dice).await;
            self.running.borrow_mut().take();
            self.state.set(LinkState::Connecting);
            if outcome.is_err() && !self.stopping.get() {
                me.node.world().sleep(dice.u64(1..100)).await;
            }
        }
        self.stopped.ring();
    }

    async fn attempt(
        &self,
        me: &Rc<Member>,
        cluster: &Rc<Cluster>,
        dice: &mut fastrand::Rng,
    ) -> Result<(), String> {
        let master = cluster.member(self.upstream);
        if self.no_route.get() || !master.is_alive.get() {
            return Err("no route".to_owned());
        }
        let world = me.node.world().clone();
        handshake::check(wire::VERSION, &me.chain.ids(), &master.chain.ids())?;
        self.state.set(LinkState::Handshake);
        world.yield_now().await;
        let (terms, session) = master.agree(&me.chain.ids(), me.standing.position()).await?;
        if self.is_held(me, cluster, &terms).await {
            session.end();
            return Err("the guard holds".to_owned());
        }
        cluster.note_sync(&terms);
        if me.chain.adopt(&terms.chain) {
            me.end_sessions();
        }
        let conn = Conn::new(terms.from.len(), dice);
        world.spawn("session", session.run(master.clone(), conn.clone()));
        let mut starts = Vec::new();
        let mut buffers = Vec::new();
        for wire in &conn.wires {
            let mut buffer = Vec::new();
            starts.push(read_start(&wire.down, &mut buffer, dice).await?);
            buffers.push(buffer);
        }
        if !terms.full && starts != terms.from {
            return Err(cluster.fail(format!("begins at {starts:?}, not at {:?}", terms.from)));
        }
        if self.stopping.get() {
            conn.close(false);
            return Ok(());
        }
        self.explicit.set(false);
        let end = |_: &str| me.end_sessions();
        let relay = me.standing.begin_following(&terms, &starts, &end).await;
        let bells = || (0..starts.len()).map(|_| Bell::default()).collect();
        let running = Rc::new(Running {
            applier: Applier::new(me.front.clone(), &terms, &starts, relay),
            conn,
            broken: Cell::new(false),
            exact: Cell::new(true),
            stable: Cell::new(!terms.full),
            arrived: Bell::default(),
            moved: bells(),
            credit: bells(),
        });
        *self.running.borrow_mut() = Some(running.clone());
        self.state.set(if terms.full { LinkState::FullSync } else { LinkState::StableSync });
        if self.stopping.get() {
            running.break_off();
        }
        for (index, buffer) in buffers.into_iter().enumerate() {
            let read = read_flow(running.clone(), index, buffer, cluster.clone(), me.dice());
            world.spawn("read flow", read);
            world.spawn("acknowledge", acknowledge(running.clone(), index));
        }
        self.apply(me, cluster, &running).await;
        let applied = running.applier.applied();
        me.standing.end_following(running.stable.get() && running.exact.get(), &applied);
        if terms.is_over(&applied) { Ok(()) } else { Err("broke".to_owned()) }
    }

    /// Whether the guard holds; that it holds where it should is judged by the histories' names.
    async fn is_held(&self, me: &Member, cluster: &Cluster, terms: &Terms) -> bool {
        if self.explicit.get() {
            return false;
        }
        let rules = Rules { is_on: true, breaks_on_restart: false };
        let held = me.standing.guard(rules, terms).await;
        self.is_guarded.set(held.is_some());
        let keys: u64 = me.front.call_all(|shard| shard.keys.total_len() as u64).await.iter().sum();
        let theirs = terms.lineage.to_string();
        let is_known = me
            .standing
            .lineage()
            .to_string()
            .split([';', ':', '/'])
            .any(|word| word.len() == 40 && theirs.contains(word));
        let is_loss = terms.full && !is_known && me.standing.may_become_master().is_ok();
        if held.is_none() && is_loss && terms.keys < keys {
            cluster.fail(format!("{} would lose {keys} keys for {}", me.name, terms.keys));
        }
        if held.is_some() {
            cluster.note(format!("{}'s guard holds: {keys} keys for {}", me.name, terms.keys));
        }
        held.is_some()
    }

    async fn apply(&self, me: &Member, cluster: &Cluster, running: &Running) {
        let applier = &running.applier;
        loop {
            if !running.broken.get()
                && let Err(error) = applier.hand_out()
            {
                cluster.fail(error);
                running.break_off();
            }
            if running.broken.get() && applier.is_settled() {
                return;
            }
            if !running.stable.get() && applier.is_complete() && !running.broken.get() {
                running.stable.set(true);
                me.standing.full_sync_done();
                self.state.set(LinkState::StableSync);
                running.moved.iter().for_each(Bell::ring);
            }
            let answered = async { Some(applier.answer().await) };
            let arrived = async {
                running.arrived.wait().await;
                None
            };
            if let Some(answer) = futures_lite::future::or(answered, arrived).await {
                running.take_in(answer, me, cluster);
                while let Some(answer) = applier.try_answer() {
                    running.take_in(answer, me, cluster);
                }
            }
            running.credit.iter().for_each(Bell::ring);
        }
    }
}

impl Running {
    fn break_off(&self) {
        self.broken.set(true);
        self.conn.close(false);
        self.arrived.ring();
        self.moved.iter().chain(&self.credit).for_each(Bell::ring);
    }

    fn take_in(&self, answer: Answer, me: &Member, cluster: &Cluster) {
        let Taken { moved, broken } = self.applier.take_in(answer, me.node.world().now());
        if let Some(error) = broken {
            cluster.fail(format!("a broken promise of the master: {error}"));
            self.exact.set(false);
            self.break_off();
        }
        if moved {
            self.moved.iter().for_each(Bell::ring);
        }
    }
}

async fn read_start(
    pipe: &crate::net::Pipe,
    buffer: &mut Vec<u8>,
    dice: &mut fastrand::Rng,
) -> Result<Lsn, String> {
    loop {
        if let Some((Kind::Start, payload, used)) = wire::next(buffer)? {
            let [lsn] = wire::numbers(payload)?;
            buffer.drain(..used);
            return Ok(Lsn(lsn));
        }
        pipe.read(buffer, dice).await?;
    }
}

async fn read_flow(
    running: Rc<Running>,
    index: usize,
    mut buffer: Vec<u8>,
    cluster: Rc<Cluster>,
    mut dice: fastrand::Rng,
) {
    let flow = index as u16;
    while !running.broken.get() {
        if let Err(error) = running.applier.receive(flow, &mut buffer) {
            if error != wire::DAMAGED {
                cluster.fail(error);
            }
            break;
        }
        running.arrived.ring();
        while !running.applier.wants_more(flow) && !running.broken.get() {
            running.credit[index].wait().await;
        }
        if running.conn.wires[index].down.read(&mut buffer, &mut dice).await.is_err() {
            break;
        }
    }
    running.break_off();
}

async fn acknowledge(running: Rc<Running>, index: usize) {
    while !running.broken.get() {
        running.moved[index].wait().await;
        if !running.stable.get() {
            continue;
        }
        let mut message = Vec::new();
        let applied = running.applier.applied_of(index as u16);
        wire::put_numbers(&mut message, Kind::Ack, &[applied.0]);
        if running.conn.wires[index].up.write(&message).await.is_err() {
            break;
        }
    }
    running.break_off();
}
