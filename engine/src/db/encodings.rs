//! Up to when values are kept in their small forms, which clients can see: settings of Redis's names.

use super::Keyspace;
use crate::rdb::forms;
use crate::value::list::Limit;
use crate::value::stream::NodeLimits;
use crate::value::{Small, set};

/// The thresholds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encodings {
    /// `hll-sparse-max-bytes`: a sparse HyperLogLog that would be longer becomes dense.
    pub hll_sparse_max_bytes: usize,
    /// `hash-max-listpack-*`.
    pub hash: Small,
    /// `list-max-listpack-size`: elements, or with a minus 4, 8, 16, 32 and 64 KiB (-1 to -5).
    pub list_max_listpack_size: i32,
    /// `set-max-intset-entries`.
    pub set_max_intset_entries: u64,
    /// `set-max-listpack-*`.
    pub set: Small,
    /// `zset-max-listpack-*`.
    pub sorted_set: Small,
    /// `stream-node-max-*`: what is trimmed together where the limit is approximate.
    pub stream_node: Small,
}

/// Redis's.
impl Default for Encodings {
    fn default() -> Encodings {
        Encodings {
            hll_sparse_max_bytes: 3000,
            hash: Small { entries: 512, value: 64 },
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            set: Small { entries: 128, value: 64 },
            sorted_set: Small { entries: 128, value: 64 },
            stream_node: Small { entries: 100, value: 4096 },
        }
    }
}

impl Encodings {
    /// What values that are put together of parts go by.
    pub fn of_forms(&self) -> forms::Limits {
        forms::Limits {
            set: self.set_limits(),
            list: Limit::of(self.list_max_listpack_size),
            hash: self.hash,
            sorted_set: self.sorted_set,
            stream: self.node_limits(),
        }
    }

    /// When packs of streams begin.
    pub fn node_limits(&self) -> NodeLimits {
        let Small { entries, value } = self.stream_node;
        NodeLimits { bytes: value as u64, entries }
    }

    /// What sets go by.
    pub fn set_limits(&self) -> set::Limits {
        let entries = |most: u64| usize::try_from(most).unwrap_or(usize::MAX);
        set::Limits {
            integers: entries(self.set_max_intset_entries),
            listed: entries(self.set.entries),
            listed_bytes: self.set.value,
        }
    }
}

impl Keyspace {
    /// Sets the thresholds for what changes from now on.
    pub fn set_encodings(&mut self, encodings: Encodings) {
        self.encodings = encodings;
    }

    /// The thresholds.
    pub fn encodings(&self) -> Encodings {
        self.encodings
    }
}
