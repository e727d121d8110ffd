//! What is counted and timed while requests run, for whoever looks later: commands, slow requests, slow events,
//! and how fast the totals grow.

pub mod latency;
pub mod slow;
pub mod stats;
