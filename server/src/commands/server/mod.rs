//! Commands about the node itself: what it is, what it was told, what it costs, how it ends.
//!
//! Data-less all of them: they run where the connection lives and ask shards and replication by
//! messages.

mod command;
#[cfg(test)]
mod command_tests;
mod command_tips;
mod common;
mod config;
mod debug;
mod debug_refused;
mod function;
mod info;
mod latency;
mod lolwut;
mod memory;
mod process;
mod slowlog;
mod snapshot;

use super::declare::FrontCommand;

/// The families, in the order of the manual.
pub(super) const FAMILIES: [&[&FrontCommand]; 12] = [
    info::COMMANDS,
    lolwut::COMMANDS,
    config::COMMANDS,
    command::COMMANDS,
    memory::COMMANDS,
    slowlog::COMMANDS,
    latency::COMMANDS,
    debug::COMMANDS,
    debug_refused::COMMANDS,
    snapshot::COMMANDS,
    function::COMMANDS,
    process::COMMANDS,
];
