//! What all executors of the program share.

use crate::clients::Clients;
use crate::config::{Config, Settings};
use crate::effect;
use crate::loading::Loading;
use crate::log::Log;
use crate::meters::latency::{Events, Histograms};
use crate::meters::slow::SlowLog;
use crate::meters::stats::{FrontStats, Rates};
use crate::snapshots::Snapshots;
use crate::stopper::Stopper;
use crate::supervisor::Supervisor;
use crate::turned_away::TurnedAway;
use engine::command::Registry;
use engine::db::Victims;
use engine::exec::{Front, Node};
use engine::pubsub::Hub;
use engine::shard::ErrorCounts;
use replication::status::Status;
use replication::tls::{TlsError, TlsStore};
use replication::{Replication, Request};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The program, as every executor sees it.
pub struct Server {
    /// Mailboxes and the order of transactions.
    pub node: Arc<Node>,
    /// The commands.
    pub registry: &'static Registry,
    /// Whether a command is answered on the admin port only, by command id.
    pub restricted: Vec<bool>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Certificates in use.
    pub tls: Arc<TlsStore>,
    /// Who listens to which channels.
    pub hub: Arc<Hub>,
    /// All client connections.
    pub clients: Clients,
    /// Replicas that were not let in.
    pub turned_away: TurnedAway,
    /// What each shard may evict.
    pub victims: Arc<Victims>,
    /// Counters of the whole program.
    pub counters: Counters,
    /// Counters of the commands that fronts run.
    pub front_stats: FrontStats,
    /// Requests that were slow.
    pub slow_log: SlowLog,
    /// Events that were slow.
    pub events: Events,
    /// How long commands take.
    pub histograms: Histograms,
    /// How fast the totals grow.
    pub rates: Rates,
    /// What is known of replication without asking.
    pub status: Arc<Status>,
    /// The way to the replication executor.
    pub replication: Replication,
    /// 40 hex digits that name this run.
    pub run_id: String,
    /// When the program started.
    pub started: Instant,
    /// Ports really listened on: main and admin (0: none).
    pub ports: Ports,
    /// How far the data set is read that a start has found.
    pub loading: Loading,
    /// What is known of snapshots.
    pub snapshots: Snapshots,
    /// Raised when the program is to end.
    pub stopping: AtomicBool,
    /// Ends the program.
    pub stopper: Stopper,
    /// The log.
    pub log: Log,
    /// The way to systemd.
    pub supervisor: Supervisor,
}

/// Ports really listened on; 0 is none.
#[derive(Debug, Default)]
pub struct Ports {
    main: AtomicU16,
    admin: AtomicU16,
}

impl Ports {
    /// The main port.
    pub fn main(&self) -> u16 {
        self.main.load(Ordering::Relaxed)
    }

    /// The admin port.
    pub fn admin(&self) -> u16 {
        self.admin.load(Ordering::Relaxed)
    }
}

impl Server {
    /// Notes which ports were bound.
    pub fn set_ports(&self, main: u16, admin: u16) {
        self.ports.main.store(main, Ordering::Relaxed);
        self.ports.admin.store(admin, Ordering::Relaxed);
    }

    /// Gives shards, replication and log their part of changed settings. If they are changed once more
    /// meanwhile, the older ones may have come last: then all of it is done again.
    pub async fn reconfigure(&self, front: &Rc<Front>) {
        loop {
            let generation = self.settings.generation();
            let config = self.settings.config();
            self.log.set_level(&config);
            self.hub.set_limits(effect::inbox_limits(&config));
            let for_shards = config.clone();
            front.call_all(move |shard| effect::on_shard(&for_shards, shard)).await;
            let settings = effect::replication(&config, self.ports.main());
            let configure = Request::Configure(Box::new(settings));
            self.replication.ask::<()>(front, configure).await;
            if generation == self.settings.generation() {
                break;
            }
        }
    }

    /// Reads the certificates anew; the old ones stay in use when the new ones are not good.
    pub fn reload_tls(&self, config: &Config) -> Result<(), TlsError> {
        let has_password = !config.requirepass.is_empty();
        self.tls.reload(&effect::tls(config), has_password, !config.masterauth.is_empty())
    }

    /// SIGHUP: certificates and the log file.
    pub fn reload(&self) {
        self.supervisor.reloading(|| {
            self.reopen_log();
            match self.reload_tls(&self.settings.config()) {
                Ok(()) => tracing::info!("certificates and log were opened anew"),
                Err(error) => tracing::error!("the certificates stay as they were: {error}"),
            }
        });
    }

    /// SIGUSR1: the log file, as after a rotation.
    pub fn reopen_log(&self) {
        match self.log.reopen() {
            Ok(()) => tracing::info!("the log was opened anew"),
            Err(error) => tracing::error!("the log cannot be opened anew: {error}"),
        }
    }
}

/// Counters of the whole program, since start or `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected: AtomicU64,
    /// Of them, those that protected mode kept out.
    pub denied: AtomicU64,
    /// Bytes read from clients.
    pub input_bytes: AtomicU64,
    /// Bytes written to clients.
    pub output_bytes: AtomicU64,
    /// TLS handshakes begun by clients.
    pub tls_started: AtomicU64,
    /// TLS handshakes completed.
    pub tls_completed: AtomicU64,
    /// Those of them that took up an earlier session.
    pub tls_resumed: AtomicU64,
    /// Connections that ended before a TLS handshake was completed where one is demanded.
    pub tls_failed: AtomicU64,
    /// Connections closed because they were silent, or took nothing of their replies, for the setting
    /// `timeout`.
    pub timed_out: AtomicU64,
    /// Clients closed because of `client-output-buffer-limit`.
    pub output_disconnections: AtomicU64,
    /// Clients closed because of `client-query-buffer-limit`.
    pub query_disconnections: AtomicU64,
    /// Clients that wait for others just now (WAIT).
    pub blocked: AtomicU64,
    /// Error replies of fronts (those of shards are counted there).
    errors: Mutex<ErrorCounts>,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// Takes from a counter that goes up and down.
    pub fn take(counter: &AtomicU64, less: u64) {
        counter.fetch_sub(less, Ordering::Relaxed);
    }

    /// Counts an error reply.
    pub fn note_error(&self, text: &str) {
        self.lock_errors().note(text);
    }

    /// Error replies of fronts.
    pub fn errors(&self) -> ErrorCounts {
        self.lock_errors().clone()
    }

    /// `CONFIG RESETSTAT`.
    pub fn reset(&self) {
        for counter in [
            &self.connections,
            &self.rejected,
            &self.denied,
            &self.input_bytes,
            &self.output_bytes,
            &self.tls_started,
            &self.tls_completed,
            &self.tls_resumed,
            &self.tls_failed,
            &self.timed_out,
            &self.output_disconnections,
            &self.query_disconnections,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        *self.lock_errors() = ErrorCounts::default();
    }

    fn lock_errors(&self) -> std::sync::MutexGuard<'_, ErrorCounts> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.errors.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
