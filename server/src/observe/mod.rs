//! What can be seen from outside: INFO, metrics, health, the status page.
//!
//! ```text
//!   shards, fronts, replication, memory --> Picture --+--> info      INFO's text
//!                                                     +--> metrics   Prometheus's text
//!                                                     +--> state     health, readiness, status page
//! ```

pub mod info;
pub mod metrics;
mod picture;
mod state;

pub(crate) use picture::totals;
pub use picture::{Clients, Db, Memory, Picture};
pub use state::{Observed, state};
