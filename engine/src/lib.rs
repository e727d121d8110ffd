//! One node's data, and how its cores share it.
//!
//! The rooms, from the ground up; each imports only from those above it in this list
//! (`tests/floors.rs` checks it):
//!
//! ```text
//!   0 types limits   numbers with types; every bound with its reason
//!     varint         numbers in few bytes
//!     rt             executors, mailboxes, timers, sockets: the only room that names glommio
//!   1 resp           requests and replies
//!     glob           patterns of keys, channels and settings
//!     table          a segmented hash table in the order of its hash
//!     value          what stands behind a key
//!     pubsub         channels: who listens, and what is said
//!   2 rdb            Redis's own form of values
//!     libraries      libraries of functions, kept as they came
//!     journal        records, frames, the log, readers, histories
//!     tell           the journal in Redis's words
//!   3 db             the keys of one shard: looked up, changed and told
//!   4 command        what a command is
//!   5 commands       the commands that touch keys
//!     cut            what is read of a shard, piece by piece
//!   6 shard          one core's world
//!   7 exec           the coordinator
//!     snapshot       the data of one moment: saved, loaded
//!   8 model          a node in one thread, for tests
//! ```
//!
//! This crate knows no client connections, no configuration files and no other nodes.

pub mod command;
pub mod commands;
pub mod cut;
pub mod db;
pub mod exec;
pub mod glob;
pub mod journal;
pub mod libraries;
pub mod limits;
#[cfg(feature = "planted-bugs")]
pub mod model;
pub mod pubsub;
pub mod rdb;
pub mod resp;
pub mod rt;
pub mod shard;
pub mod snapshot;
pub mod table;
pub mod tell;
pub mod types;
pub mod value;
pub mod varint;
