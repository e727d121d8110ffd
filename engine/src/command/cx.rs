//! What a command's function sees: its shard's keys, the database, and where the reply goes.

use super::Refusal;
use crate::db::Keyspace;
use crate::resp::ReplyWriter;
use crate::types::{DbIndex, Millis, ShardId};

/// The context of one command on one shard.
///
/// Data changes only through `keys`' effect methods, which change and tell the journal in one breath.
pub struct Cx<'a> {
    /// This shard's keys.
    pub keys: &'a mut Keyspace,
    /// The connection's database.
    pub db: DbIndex,
    /// Where the reply goes.
    pub reply: ReplyWriter<'a>,
    /// Which shard this is.
    pub shard: ShardId,
    /// Of how many.
    pub shards: u16,
}

impl Cx<'_> {
    /// The time of this task: the same for all commands that it runs.
    pub fn now(&self) -> Millis {
        self.keys.now()
    }

    /// `index` as a database, if there are so many.
    pub fn db_index(&self, index: i64) -> Result<DbIndex, Refusal> {
        let count = self.keys.db_count();
        usize::try_from(index)
            .ok()
            .filter(|&index| index < count)
            .map(|index| DbIndex(index as u16))
            .ok_or(Refusal::DbIndex)
    }
}
