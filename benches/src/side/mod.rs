//! The side-by-side tables: the same rows for each of several programs, alternating, repeated,
//! medians with spread.
//!
//! ```text
//!   peers    redis-server, damselfly                            requests, memory, sync, replicas, waits, large, saves, following
//!   costs    the floor, redis-server, damselfly twice           CPU per request, with goals
//!   types    the floor, redis-server, damselfly                 CPU per request of collections, with goals
//!   shards   damselfly with one shard and with two              CPU per request, with goals
//! ```
//!
//! Alternating means: peer, subject, peer, subject ... so that a machine that slows down for a
//! while slows down both. Two columns never run at the same time; within a column a master and
//! its replicas of course do.

mod bench;
mod beside;
mod costs;
mod following;
mod large;
mod rest;
mod rows;
mod saves;
mod table;
mod types;
mod waits;

use std::io;
use std::path::PathBuf;

pub use rows::{Row, run};
pub use table::{Goal, Samples, Table};

use crate::peer::Program;

/// A column.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What the table calls it.
    pub name: String,
    /// What runs.
    pub program: Program,
    /// Its further flags.
    pub extra: Vec<String>,
}

impl Subject {
    /// A program under its own name.
    pub fn new(program: Program, extra: Vec<String>) -> Subject {
        Subject { name: program.name().into(), program, extra }
    }

    /// The same under another name and with further flags.
    pub fn with(&self, name: &str, flags: &[&str]) -> Subject {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let extra = self.extra.iter().cloned().chain(flags).collect();
        Subject { name: name.into(), program: self.program.clone(), extra }
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The two programs: what we compare with, and what is compared.
    pub peers: [Subject; 2],
    /// The floor.
    pub floor: Subject,
    /// Which rows.
    pub rows: Vec<Row>,
    /// How often each is repeated.
    pub repeats: usize,
    /// Connections of the load.
    pub connections: usize,
    /// Keys of the request rows.
    pub keys: u64,
    /// Keys of the memory and full-sync rows.
    pub sync_keys: u64,
    /// Elements of the large collections.
    pub elements: u64,
    /// Requests of one run at pipeline 1; deeper pipelines do `depth_factor` times as many.
    pub requests: u64,
    /// Size of values.
    pub value_bytes: usize,
    /// Writes per second beside a full sync.
    pub write_rate: f64,
    /// Where certificates and the like are made.
    pub directory: PathBuf,
}

/// How many times more requests a run has at this pipeline depth: so that all runs take about as
/// long, and the 10 ms in which the kernel counts CPU time stay below 1 %.
pub fn depth_factor(pipeline: usize) -> u64 {
    match pipeline {
        0..=4 => 1,
        5..=40 => 4,
        _ => 8,
    }
}

/// Something that must not happen in a measurement: the figure would be worthless.
pub(crate) fn spoiled(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}
