//! The configuration as replication knows it: plain values, whoever reads them from where.

use crate::guard;
use engine::journal::Bounds;
use engine::pubsub::Limits;
use engine::tell::Peers;
use std::time::Duration;

/// What replication needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TLS towards the master.
    pub tls: bool,
    /// Shown to the master; empty is none.
    pub master_user: String,
    /// Shown to the master; empty is none.
    pub master_password: String,
    /// Where clients reach this node.
    pub announce_port: u16,
    /// The address to tell the master; empty lets it use the connection's.
    pub announce_ip: String,
    /// For the first connection to a master.
    pub connect_timeout: Duration,
    /// For later ones.
    pub reconnect_timeout: Duration,
    /// The longest pause between attempts.
    pub reconnect_pause: Duration,
    /// A link on which nothing arrives for so long is broken.
    pub timeout: Duration,
    /// The longest time between two acknowledgements while records arrive.
    pub acks_interval: Duration,
    /// After a break, ask to continue.
    pub partial_sync: bool,
    /// When a full sync that nobody asked for is not taken.
    pub guard: guard::Rules,
    /// Bytes a second that a shard sends in a full sync; 0 is no limit.
    pub full_sync_bytes_per_second: u64,
    /// Bounds of all journals of the node together, its own and those that it relays.
    pub journals_bounds: Bounds,
    /// How long journals are kept after the last replica left; zero is for ever.
    pub journal_ttl: Duration,
    /// How old the last ack of a good replica may be.
    pub good_replica_lag: Duration,
    /// What those who follow as a Redis does are told, and how.
    pub followed: Followed,
}

/// About those who follow this node as a Redis does.
#[derive(Clone, Debug)]
pub struct Followed {
    /// How often the stream says PING.
    pub ping: Duration,
    /// What may wait for one of them (`client-output-buffer-limit replica`).
    pub limits: Limits,
    /// What may be held of changed keys while a copy is made, in bytes; where there is no hard limit, also what may wait.
    pub held_max: u64,
    /// What of the stream is kept for those who come back, in bytes.
    pub backlog_bytes: u64,
    /// Which Redis a copy says that it is of.
    pub redis_version: &'static str,
    /// The words that all of them know.
    pub oldest: Peers,
}

impl Followed {
    /// How far one of them may be behind what it was sent, in bytes: no limit means none of the operator's, but memory
    /// has one.
    pub fn waiting_max(&self) -> u64 {
        match self.limits.hard_bytes {
            0 => self.held_max.max(self.backlog_bytes),
            hard => hard,
        }
    }
}
