//! The same data on other nodes.
//!
//! ```text
//!   master                                             replica
//!   service - session (one per replica) <-- control -- link - service
//!               flow[i]: items merged with journal --> gather -> shards
//!               acked[i]                 <-- ack(lsn)
//! ```
//!
//! Everything here runs on the replication executor; the rest of the program reaches it through
//! [`Replication`]. What it needs to know of the configuration comes in as plain [`Settings`].
//!
//! This crate knows no ACL, no HTTP, no configuration file and no client commands.

pub mod bell;
pub mod chain;
pub mod guard;
pub mod handshake;
pub mod info;
pub mod master;
pub mod planted;
pub mod pulse;
pub mod relay;
pub mod replica;
pub mod service;
pub mod settings;
pub mod standing;
pub mod status;
pub mod tls;
pub mod transport;
pub mod wire;

pub use handshake::Introduction;
pub use service::{Asker, Linked, Replication, Request, Takeover};
pub use settings::Settings;
