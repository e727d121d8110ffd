//! The side-by-side table: the same rows for a peer and for the subject, alternating, repeated,
//! medians with spread.
//!
//! Alternating means: peer, subject, peer, subject ... so that a machine that slows down for a
//! while slows down both. The two columns never run at the same time; within a column a master and
//! its replicas of course do.

mod rows;
mod table;

use std::io;
use std::path::PathBuf;

pub use rows::{Row, run};
pub use table::{Samples, Table};

use crate::peer::Program;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The two programs: what we compare with, and what is compared.
    pub programs: [Program; 2],
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
    /// Requests of one run at pipeline 1; deeper pipelines do `depth_factor` times as many.
    pub requests: u64,
    /// Size of values.
    pub value_bytes: usize,
    /// Writes per second beside a full sync.
    pub write_rate: f64,
    /// Further flags for each program.
    pub extra: [Vec<String>; 2],
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
