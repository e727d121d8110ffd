//! Who may ask, and how: flags, listeners, connections, and the commands about the node itself.

/// The Redis whose commands and replies these are: clients read it to know what they may use.
pub const REDIS_VERSION: &str = "7.2.5";

mod certificates;
pub mod clients;
pub mod commands;
pub mod config;
pub mod connection;
pub mod demo;
pub mod effect;
mod gates;
pub mod http;
pub mod listen;
pub mod log;
pub mod memory;
pub mod observe;
mod pauses;
pub mod server;
pub mod start;
pub mod stop;
pub mod supervisor;
pub mod turned_away;
mod welcome;
