//! The replication service: one per node, on the replication executor.
//!
//! It owns the node's histories, the sessions with those who follow it, and the link to whom it
//! follows. The rest of the program asks it through [`Replication`]; requests come in the executor's
//! mailbox and are answered to the task that asked.

pub mod admission;
mod changes;
mod lead;
mod moment;
mod requests;
pub mod roles;

pub use requests::{Linked, Reading, Replication, Request, Takeover};

use self::lead::{Lead, Resting};
use self::roles::Roles;
use crate::bell::Bell;
use crate::followed::followers::Followers;
use crate::here::Here;
use crate::info::{Counters, Info, Journal, LinkState, Replica};
use crate::master::returning::Returning;
use crate::master::sessions::Sessions;
use crate::settings::Settings;
use crate::status::Status;
use crate::tls::TlsStore;
use crate::transport::Sockets;
use engine::exec::Front;
use engine::journal::{HistoryId, LogHandle, LogRange};
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
    /// What both ends of links know of this node.
    here: Rc<Here>,
    tls: Arc<TlsStore>,
    sessions: Rc<Sessions<Sockets>>,
    /// Who has left to come back at once.
    returning: RefCell<Returning>,
    /// Those who follow as a Redis does.
    followers: Rc<Followers>,
    /// Whose word counts, and which link is followed.
    roles: RefCell<Roles<Lead>>,
    /// Who waits for what an order comes to.
    orders: RefCell<BTreeMap<u64, ReplyTo>>,
    counters: Rc<RefCell<Counters>>,
    acks: Rc<Bell>,
    /// Tasks of WAIT, to be woken by acknowledgements.
    waits: RefCell<Vec<Rc<Bell>>>,
    last_follower: Cell<Instant>,
    keeping: Cell<bool>,
    /// The node ends, and nothing more is to come of a stream of commands; and what keeps it back, once it stands.
    stands_still: Cell<bool>,
    standing_still: RefCell<Option<Resting>>,
    /// When the log heard last that a master asks to follow.
    warned_of_circle: Cell<Option<Instant>>,
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
        let sessions: Rc<Sessions<Sockets>> =
            Rc::new(Sessions::new(engine::rt::random_u64() % (1 << 40) + 1));
        let (counters, acks) = (Rc::new(RefCell::default()), Rc::new(Bell::default()));
        let followers = Rc::new(Followers::new(counters.clone(), acks.clone()));
        let (fed, told) = (sessions.clone(), followers.clone());
        let end_sessions = Box::new(move |why| {
            fed.end_all(why);
            told.end_all(why);
        });
        // The second one names this node in chains.
        let (history, id) = (new_history(), new_history().to_string());
        let here = Here::empty(front, (id, history), status, settings, end_sessions).await;
        let here = Rc::new(here);
        followers.belong_to(&here);
        let service = Rc::new(Service {
            here,
            tls,
            sessions,
            returning: RefCell::default(),
            followers,
            roles: RefCell::default(),
            orders: RefCell::default(),
            counters,
            acks,
            waits: RefCell::default(),
            last_follower: Cell::new(Instant::now()),
            keeping: Cell::new(false),
            stands_still: Cell::new(false),
            standing_still: RefCell::default(),
            warned_of_circle: Cell::default(),
        });
        rt::spawn_local(tick(service.clone())).detach();
        rt::spawn_local(spread_acks(service.clone())).detach();
        service
    }

    /// Whether this node follows another one.
    fn is_replica(&self) -> bool {
        self.upstream().is_some()
    }

    /// The link that this node follows.
    fn link(&self) -> Option<Rc<Lead>> {
        self.roles.borrow().link()
    }

    /// The link that this node follows, or is about to.
    fn upstream(&self) -> Option<Rc<Lead>> {
        self.roles.borrow().upstream()
    }

    /// What INFO, ROLE and the metrics show.
    pub fn info(&self) -> Info {
        let now = rt::now_millis();
        let standing = &self.here.standing;
        let (lineage, logs) = (standing.lineage(), standing.logs());
        let mut counters = self.counters.borrow().clone();
        let upstream = self.upstream().map(|link| {
            (counters.psync_attempts, counters.psync_successes) = link.partial_counts();
            let mut upstream = link.describe();
            // While the link is down: what Sentinel chooses a new master by.
            let tells = standing.tells();
            let is_down = upstream.applied.is_empty() && !tells;
            if let (true, Some(position)) = (is_down, standing.position()) {
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
            replicas: {
                let nodes = self.sessions.live();
                // Where a Redis follows as well, all offsets are those of its stream.
                let offset = |acked: Option<Vec<Lsn>>| self.followers.offset_of(&acked?);
                let nodes = nodes.iter().map(|session| {
                    let shown = session.describe();
                    Replica { offset: offset(session.acked()).unwrap_or(shown.offset), ..shown }
                });
                nodes.chain(self.followers.describe(Instant::now())).collect()
            },
            stream: self.followers.shown(),
            upstream,
            counters,
        }
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
        let lag = service.here.settings.borrow().good_replica_lag;
        let now = Instant::now();
        let count = service.sessions.good(lag, now) + service.followers.good(lag, now);
        service.here.status.set_good_replicas(count as u32);
        service.sessions.see(service.heads_above().as_deref());
        // Who only asks, time and again, does not keep the journal.
        if service.sessions.begun() > 0 || service.followers.reads() {
            service.last_follower.set(now);
            service.keeping.set(true);
        }
        service.followers.look(now);
        service.trim_relays();
        service.stop_keeping_if_unread().await;
    }
}

impl Service {
    /// How far the journals of the one at the top are known to be: a master is it itself, which is an empty answer, and who
    /// follows hears it as long as his link lives.
    fn heads_above(&self) -> Option<Vec<Lsn>> {
        let Some(link) = self.upstream() else { return Some(Vec::new()) };
        let upstream = link.describe();
        let is_heard = self.here.standing.tells() || !upstream.heads.is_empty();
        (upstream.state == LinkState::StableSync && is_heard).then_some(upstream.heads)
    }

    fn trim_relays(&self) {
        let (is_read, clocks) =
            (self.sessions.read_older_history(), (rt::now_millis(), Instant::now()));
        if self.here.trim_relays(is_read, clocks) {
            tracing::info!(
                "replication: nobody read the former master's journal for {} s, it is let go",
                self.here.settings.borrow().journal_ttl.as_secs()
            );
        }
    }

    /// Journals that nobody has read for long are only counted.
    async fn stop_keeping_if_unread(&self) {
        let ttl = self.here.settings.borrow().journal_ttl;
        let unread = self.last_follower.get().elapsed();
        let relays = self.is_replica() && !self.here.standing.tells();
        if relays || !self.keeping.get() || ttl.is_zero() || unread < ttl {
            return;
        }
        self.keeping.set(false);
        self.here.front.call_all(|shard| shard.set_keeping(false)).await;
        tracing::info!(
            "replication: nobody read the journal for {} s, it is let go",
            ttl.as_secs()
        );
    }
}
