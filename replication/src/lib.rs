//! The same data on other nodes.
//!
//! ```text
//!   master                                             replica
//!   service - session (one per replica) <-- control -- link - service
//!               flow[i]: items merged with journal --> gather -> shards
//!               acked[i]                 <-- ack(lsn)
//! ```
//!
//! The rooms, from the ground up; each imports only from those above it in this list (`engine/tests/floors.rs`
//! checks it):
//!
//! ```text
//!   0 bell pulse status   a wake-up, signs of life, what is known without asking
//!     planted             bugs for the model to find
//!     tls                 settings, trust and sessions, without a socket
//!   1 wire                what travels
//!     roads               what the ends of a link run on: connections, time, tasks
//!     chain               who is above
//!   2 handshake           the words before the journal
//!     transport           a stream, with TLS or without
//!     libraries           libraries of functions on their way
//!   3 guard relay         what a full sync may replace; the upstream's journals
//!     origin              what a snapshot says its data is
//!   4 settings info       what comes in as configuration, and goes out as figures
//!     standing            where the node stands: histories, positions, relays
//!   5 here                this node as both ends of its links know it
//!   6 master replica      the two ends of a link
//!     followed            being followed by a Redis
//!   7 psync               following a Redis
//!   8 service             the node's part in it
//! ```
//!
//! Everything here runs on the replication executor; the rest of the program reaches it through
//! [`Replication`]. What it needs to know of the configuration comes in as plain [`Settings`].
//!
//! This crate knows no ACL, no HTTP, no configuration file and no client commands.

pub mod bell;
pub mod chain;
pub mod followed;
pub mod guard;
pub mod handshake;
pub mod here;
pub mod info;
pub mod libraries;
pub mod master;
pub mod origin;
pub mod planted;
pub mod psync;
pub mod pulse;
pub mod relay;
pub mod replica;
pub mod roads;
pub mod service;
pub mod settings;
pub mod standing;
pub mod status;
pub mod tls;
pub mod transport;
pub mod wire;

pub use handshake::{Asker, Introduction};
pub use service::{Linked, Reading, Replication, Request, Takeover};
pub use settings::Settings;
