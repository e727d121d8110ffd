//! Who may ask, and how: flags, listeners, connections, and the commands about the node itself.

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
pub mod server;
pub mod start;
pub mod stop;
mod welcome;
