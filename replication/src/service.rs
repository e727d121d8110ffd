//! The replication service: one per node, on the replication executor.
//!
//! It owns the node's histories, the sessions with those who follow it, and the link to whom it
//! follows. The rest of the program asks it through [`Replication`]; requests come in the executor's
//! mailbox and are answered to the task that asked.

mod changes;
mod requests;
pub mod roles;

pub use requests::{Asker, Linked, Replication, Request, Takeover};

use self::roles::Roles;
use crate::bell::Bell;
use crate::chain::Chain;
use crate::guard;
use crate::handshake::Terms;
use crate::info::{Counters, Info, Journal};
use crate::master::reason::Reason;
use crate::master::session::Session;
use crate::replica::link::Link;
use crate::settings::Settings;
use crate::standing::{Outdated, Standing};
use crate::status::Status;
use crate::tls::{ClientTls, TlsStore};
use engine::exec::Front;
use engine::journal::{HistoryId, LogHandle, LogRange, Position};
use engine::rt;
use engine::shard::ReplyTo;
use engine::types::{Lsn, Millis};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module's doc.
pub struct Service {
    /// This executor.
    pub front: Rc<Front>,
    /// What others may know without asking.
    pub status: Arc<Status>,
    /// The configuration.
    pub settings: Rc<RefCell<Settings>>,
    /// Names this node in chains.
    pub node_id: String,
    tls: Arc<TlsStore>,
    standing: Standing,
    sessions: RefCell<BTreeMap<u64, Rc<Session>>>,
    next_session: Cell<u64>,
    /// Whose word counts, and which link is followed.
    roles: RefCell<Roles<Link>>,
    /// Who waits for what an order comes to.
    orders: RefCell<BTreeMap<u64, ReplyTo>>,
    chain: Chain,
    counters: RefCell<Counters>,
    acks: Rc<Bell>,
    /// Tasks of WAIT, to be woken by acknowledgements.
    waits: RefCell<Vec<Rc<Bell>>>,
    last_follower: Cell<Instant>,
    keeping: Cell<bool>,
}

/// How often the service looks at what time alone changes.
const TICK: Duration = Duration::from_millis(100);

impl Service {
    /// The service of a node that begins empty: its history is unrelated to anything.
    pub async fn start(
        front: Rc<Front>,
        status: Arc<Status>,
        settings: Settings,
        tls: Arc<TlsStore>,
    ) -> Rc<Service> {
        let standing = Standing::empty(&front, new_history()).await;
        let node_id = new_history().to_string();
        let service = Rc::new(Service {
            front,
            status,
            settings: Rc::new(RefCell::new(settings)),
            chain: Chain::new(node_id.clone()),
            node_id,
            tls,
            standing,
            sessions: RefCell::default(),
            next_session: Cell::new(engine::rt::random_u64() % (1 << 40) + 1),
            roles: RefCell::default(),
            orders: RefCell::default(),
            counters: RefCell::default(),
            acks: Rc::new(Bell::default()),
            waits: RefCell::default(),
            last_follower: Cell::new(Instant::now()),
            keeping: Cell::new(false),
        });
        rt::spawn_local(tick(service.clone())).detach();
        rt::spawn_local(spread_acks(service.clone())).detach();
        service
    }

    /// The settings as sessions share them.
    pub fn settings_shared(&self) -> Rc<RefCell<Settings>> {
        self.settings.clone()
    }

    /// TLS towards a master, if it is turned on.
    pub fn client_tls(&self) -> Result<Option<Arc<ClientTls>>, String> {
        if !self.settings.borrow().tls {
            return Ok(None);
        }
        match self.tls.current().client {
            Some(tls) => Ok(Some(tls)),
            None => Err("tls_replication is on but its certificates are not loaded".to_owned()),
        }
    }

    /// This node's id and those of its masters above.
    pub fn chain(&self) -> Vec<String> {
        self.chain.ids()
    }

    /// Whether this node follows another one.
    pub fn is_replica(&self) -> bool {
        self.upstream().is_some()
    }

    /// The link that this node follows.
    fn link(&self) -> Option<Rc<Link>> {
        self.roles.borrow().link()
    }

    /// The link that this node follows, or is about to.
    fn upstream(&self) -> Option<Rc<Link>> {
        self.roles.borrow().upstream()
    }

    /// Which position this node's data is: what it asks a master to continue from.
    pub fn position(&self) -> Option<Position> {
        self.standing.position()
    }

    /// Whether `terms`, which no operator asked for, would replace a copy that is worth more.
    pub async fn guard(&self, terms: &Terms) -> Option<guard::Held> {
        let rules = self.settings.borrow().guard;
        self.standing.guard(rules, terms).await
    }

    /// What INFO, ROLE and the metrics show.
    pub fn info(&self) -> Info {
        let now = rt::now_millis();
        let (lineage, logs) = (self.standing.lineage(), self.standing.logs());
        let mut counters = self.counters.borrow().clone();
        let upstream = self.upstream().map(|link| {
            (counters.psync_attempts, counters.psync_successes) = link.partial_counts();
            let mut upstream = link.describe();
            // While the link is down: what Sentinel chooses a new master by.
            if let (true, Some(position)) = (upstream.applied.is_empty(), self.position()) {
                upstream.offset = position.lsns.iter().map(|lsn| lsn.0).sum();
                upstream.applied = position.lsns.clone();
            }
            upstream
        });
        Info {
            history: lineage.current().to_string(),
            parent: lineage.branches().next().map(|branch| {
                (branch.history.to_string(), branch.lsns.iter().map(|lsn| lsn.0).sum())
            }),
            offset: logs.iter().map(|log| log.head().0).sum(),
            journals: logs.iter().map(|log| describe_journal(log, now)).collect(),
            replicas: self.live_sessions().iter().map(|session| session.describe(now)).collect(),
            upstream,
            counters,
        }
    }

    fn live_sessions(&self) -> Vec<Rc<Session>> {
        let sessions = self.sessions.borrow();
        sessions.values().filter(|session| !session.is_ended()).cloned().collect()
    }

    fn end_sessions(&self, why: Outdated) {
        for session in self.live_sessions() {
            session.end(Reason::Outdated(why));
        }
    }

    /// Replicas whose every flow has acknowledged these positions.
    fn caught_up(&self, positions: &[Lsn]) -> usize {
        let has_all =
            |acked: &Vec<Lsn>| positions.iter().zip(acked).all(|(wanted, acked)| acked >= wanted);
        self.live_sessions()
            .iter()
            .filter_map(|session| session.machine().acked())
            .filter(has_all)
            .count()
    }
}

/// A fresh history's id.
fn new_history() -> HistoryId {
    let mut id = [0; 20];
    engine::rt::fill_random(&mut id);
    HistoryId(id)
}

fn describe_journal(log: &LogHandle, now: Millis) -> Journal {
    let LogRange { first, head } = log.range();
    let oldest_age_ms = log.oldest().map_or(0, |oldest| now.0.saturating_sub(oldest.0));
    Journal { first, head, bytes: log.bytes(), oldest_age_ms }
}

/// Wakes those who wait for acknowledgements.
async fn spread_acks(service: Rc<Service>) {
    loop {
        service.acks.wait().await;
        service.waits.borrow().iter().for_each(|bell| bell.ring());
    }
}

async fn tick(service: Rc<Service>) {
    loop {
        rt::sleep(TICK).await;
        service.sessions.borrow_mut().retain(|_, session| !session.is_ended());
        let lag = service.settings.borrow().good_replica_lag;
        let good = |session: &Rc<Session>| {
            let machine = session.machine();
            machine.acked().is_some() && machine.last_ack_age(Instant::now()) <= lag
        };
        let sessions = service.live_sessions();
        let count = sessions.iter().filter(|session| good(session)).count();
        service.status.set_good_replicas(count as u32);
        // Who only asks, time and again, does not keep the journal.
        if sessions.iter().any(|session| session.machine().is_in_session()) {
            service.last_follower.set(Instant::now());
        }
        service.trim_relays(&sessions);
        service.stop_keeping_if_unread().await;
    }
}

impl Service {
    fn trim_relays(&self, sessions: &[Rc<Session>]) {
        let (bounds, ttl) = {
            let settings = self.settings.borrow();
            (settings.journals_bounds, settings.journal_ttl)
        };
        let now = rt::now_millis();
        self.standing.trim_relays(&bounds, now);
        let is_read = sessions.iter().any(|session| session.machine().is_of_older_history());
        if self.standing.age_relay(ttl, is_read, now) {
            tracing::info!(
                "replication: nobody read the former master's journal for {} s, it is let go",
                ttl.as_secs()
            );
        }
    }

    /// Journals that nobody has read for long are only counted.
    async fn stop_keeping_if_unread(&self) {
        let ttl = self.settings.borrow().journal_ttl;
        let unread = self.last_follower.get().elapsed();
        if self.is_replica() || !self.keeping.get() || ttl.is_zero() || unread < ttl {
            return;
        }
        self.keeping.set(false);
        self.front.call_all(|shard| shard.set_keeping(false)).await;
        tracing::info!(
            "replication: nobody read the journal for {} s, it is let go",
            ttl.as_secs()
        );
    }
}
