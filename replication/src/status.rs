//! What the rest of the program may know about replication without asking: a few atomics.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Shared by all executors.
#[derive(Debug, Default)]
pub struct Status {
    replica: AtomicBool,
    loading: AtomicBool,
    good_replicas: AtomicU32,
}

impl Status {
    /// Whether this node follows another one.
    pub fn is_replica(&self) -> bool {
        self.replica.load(Ordering::Acquire)
    }

    /// Whether a full sync replaces the data set just now, or a start reads it.
    pub fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    /// On a master: replicas in stable sync whose last ack is recent.
    pub fn good_replicas(&self) -> u32 {
        self.good_replicas.load(Ordering::Acquire)
    }

    pub(crate) fn set_replica(&self, replica: bool) {
        self.replica.store(replica, Ordering::Release);
    }

    /// For whoever brings a data set.
    pub fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Release);
    }

    pub(crate) fn set_good_replicas(&self, count: u32) {
        self.good_replicas.store(count, Ordering::Release);
    }
}
