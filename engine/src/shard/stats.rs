//! What is counted of commands.

/// Counters of one command on one shard.
#[derive(Clone, Copy, Default, Debug)]
pub struct CommandStats {
    /// How often it ran.
    pub calls: u64,
    /// Nanoseconds it took: the first call, and one in [`TIMED_EVERY`] after it for all of them.
    pub nanos: u64,
    /// How often it answered with an error.
    pub failed: u64,
    /// How often a gate refused it before it ran.
    pub rejected: u64,
}

/// One call in so many is timed: two clock readings cost a tenth of a GET.
pub(super) const TIMED_EVERY: u64 = 32;
