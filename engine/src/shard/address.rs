//! Who is meant: executors of this node, and what waits there.

use crate::types::ShardId;

/// One executor of this node: the shards come first, then the replication executor, then that for files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ExecutorId(pub u16);

impl ExecutorId {
    /// The one that has no keys, and what links bring and take, where there are so many shards.
    pub fn replication(shards: u16) -> ExecutorId {
        ExecutorId(shards)
    }

    /// The one that writes what is long and not urgent.
    pub fn files(shards: u16) -> ExecutorId {
        ExecutorId(shards + 1)
    }
}

impl From<ShardId> for ExecutorId {
    fn from(shard: ShardId) -> ExecutorId {
        ExecutorId(shard.0)
    }
}

/// Names a waiting task of one executor. The generation tells a ticket from an earlier one in the same
/// place, so that an answer that nobody waits for any more is dropped and never misdelivered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ticket {
    /// The place in the executor's table of waiting tasks.
    pub index: u32,
    /// How often that place has been used.
    pub generation: u32,
}

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyTo {
    /// Which executor.
    pub executor: ExecutorId,
    /// Which task there.
    pub ticket: Ticket,
}
