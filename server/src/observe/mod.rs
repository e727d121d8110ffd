//! What can be seen from outside: metrics, health, the status page.

pub mod metrics;
mod state;

pub use state::{Observed, state};
