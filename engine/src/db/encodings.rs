//! Up to when values are kept in their small forms, which clients can see: settings of Redis's names.

use super::Keyspace;

/// The thresholds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encodings {
    /// `hll-sparse-max-bytes`: a sparse HyperLogLog that would be longer becomes dense.
    pub hll_sparse_max_bytes: usize,
}

/// Redis's.
impl Default for Encodings {
    fn default() -> Encodings {
        Encodings { hll_sparse_max_bytes: 3000 }
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
