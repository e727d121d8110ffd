//! Who may ask, and how: flags, listeners, connections, and the commands about the node itself.
//!
//! The rooms, from the ground up; each imports only from those above it in this list (`engine/tests/floors.rs`
//! checks it):
//!
//! ```text
//!   0 config memory pauses secret   settings; what memory there is; who sleeps, and what is secret
//!     directory                     where snapshots lie
//!     stopper supervisor turned_away   the word to stop, the service manager, replicas not let in
//!   1 clients effect log            the map of connections; what settings mean to others; the log
//!   2 meters loading snapshots tail what is counted and timed; how far loading is, what is known of snapshots
//!   3 server                        what all executors share
//!   4 certificates gates listen news resume saver   what needs no connection
//!     loader                        the data of a file, at the start and for DEBUG RELOAD
//!     http                          pages and their server
//!     observe                       INFO, metrics, the status page
//!   5 connection                    bytes in, requests, replies, bytes out
//!   6 commands                      commands about the connection, the node, replication
//!     listeners                     the way of messages to connections
//!     welcome stop                  the first bytes of a connection; the end of the program
//!   7 start                         the program
//!     demo                          three nodes, one beside the other
//!     check_source                  a server that is to be followed, looked at
//! ```

mod certificates;
pub mod check_source;
pub mod clients;
pub mod commands;
pub mod config;
pub mod connection;
pub mod demo;
mod directory;
pub mod effect;
mod gates;
pub mod http;
pub mod listen;
mod listeners;
pub mod loader;
pub mod loading;
pub mod log;
pub mod memory;
pub mod meters;
mod news;
pub mod observe;
mod pauses;
pub mod resume;
pub mod saver;
mod secret;
pub mod server;
pub mod snapshots;
pub mod start;
pub mod stop;
pub mod stopper;
pub mod supervisor;
pub mod tail;
pub mod turned_away;
mod welcome;
