//! What a command's function sees: its shard's keys, the database, and where the reply goes.

use super::room::UNCOUNTED_MAX;
use super::{Refusal, Who};
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
    /// Who asks, and what the replies may still take.
    pub who: &'a Who,
    /// Bytes of the output that room was taken for, or that were there before.
    pub(crate) counted: usize,
    /// Whether the command may write: what it has begun it ends, whoever reads its reply.
    pub(crate) writes: bool,
}

impl Cx<'_> {
    /// The same with another place for what is written.
    pub(super) fn writing_to<'b>(&'b mut self, reply: ReplyWriter<'b>) -> Cx<'b> {
        let counted = reply.whole();
        let Cx { db, shard, shards, who, writes, .. } = *self;
        Cx { keys: self.keys, db, reply, shard, shards, who, counted, writes }
    }

    /// Takes room for what the reply has grown by; for those that write one of many parts.
    #[inline]
    pub fn take_room(&mut self) -> Result<(), Refusal> {
        let grown = self.reply.whole() - self.counted;
        if grown < UNCOUNTED_MAX {
            return Ok(());
        }
        self.counted += grown;
        self.who.take_room(grown)
    }

    /// Whether all that is written so far may be held: for a reply that grows slice by slice, of which
    /// [`take_room`](Cx::take_room) sees no more than the last slice.
    pub fn hold_room(&self) -> Result<(), Refusal> {
        self.who.hold_room(self.reply.whole())
    }

    /// The time of this task: the same for all commands that it runs.
    pub fn now(&self) -> Millis {
        self.keys.now()
    }

    /// The time as of which parts of values have come to their end: a master's command finds all that there is.
    pub fn ends_as_of(&self) -> Millis {
        if self.who.is_master { Millis(0) } else { self.now() }
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
