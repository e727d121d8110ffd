//! What all executors of the program share.

use crate::clients::Clients;
use crate::commands::Handler;
use crate::config::Settings;
use engine::command::Registry;
use engine::exec::Node;
use replication::Replication;
use replication::status::Status;
use replication::tls::TlsStore;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// The program, as every executor sees it.
pub struct Server {
    /// Mailboxes and the order of transactions.
    pub node: Arc<Node>,
    /// The commands.
    pub registry: &'static Registry,
    /// The functions of commands that run where the connection lives, by command id.
    pub handlers: Vec<Option<Handler>>,
    /// The settings.
    pub settings: Arc<Settings>,
    /// Certificates in use.
    pub tls: TlsStore,
    /// All client connections.
    pub clients: Clients,
    /// Counters of the whole program.
    pub counters: Counters,
    /// What is known of replication without asking.
    pub status: Arc<Status>,
    /// The way to the replication executor.
    pub replication: Replication,
    /// 40 hex digits that name this run.
    pub run_id: String,
    /// When the program started.
    pub started: Instant,
    /// Ports really listened on: main and admin (0: none).
    pub ports: (u16, u16),
    /// Raised when the program is to end.
    pub stopping: AtomicBool,
}

/// Counters of the whole program, since start or `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected: AtomicU64,
    /// Commands run by fronts (those of shards are counted there).
    pub commands: AtomicU64,
    /// Bytes read from clients.
    pub input_bytes: AtomicU64,
    /// Bytes written to clients.
    pub output_bytes: AtomicU64,
    /// Requests that a gate or a function refused.
    pub errors: AtomicU64,
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
