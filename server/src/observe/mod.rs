//! What can be seen from outside: metrics.

pub mod metrics;
