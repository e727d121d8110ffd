//! What a shard asks about memory.

use crate::db::{Pressure, Victims};
use std::sync::Arc;

/// What the shard asks before it runs a command: memory.
pub struct Gate {
    /// Whether memory is short, and what may be done about it.
    pub pressure: Option<Box<dyn Fn() -> Pressure>>,
    /// What all shards may evict.
    pub victims: Arc<Victims>,
}

impl Gate {
    pub(super) fn new(shards: u16) -> Gate {
        Gate { pressure: None, victims: Victims::new(shards) }
    }
}
