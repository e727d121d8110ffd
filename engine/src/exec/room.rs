//! Memory for what is wider than one shard's task.

use super::Front;
use crate::command::{Call, Flags, Refusal};
use crate::db::Pressure;
use crate::shard::Shard;
use crate::types::ShardId;
use std::rc::Rc;

impl Front {
    /// Makes room on all shards for something that may need memory anywhere; `false` when there is none
    /// to be had. Everybody who begins a transaction of commands that need memory asks this first:
    /// nothing asks any more once it is under way.
    pub async fn make_room(self: &Rc<Front>) -> bool {
        let pressure = match self.shard_id() {
            Some(_) => self.with_shard(|shard| shard.pressure()),
            None => self.call(ShardId(0), |shard| shard.pressure()).await,
        };
        match pressure {
            Pressure::None => true,
            Pressure::Refuse if !self.node.going().any() => false,
            _ => self.call_all(Shard::make_room).await.contains(&true),
        }
    }

    /// Makes room for one command, if it needs any. A master's command asks for none.
    pub(super) async fn admit(self: &Rc<Front>, call: &Call<'_>) -> Result<(), Refusal> {
        let flags = call.entry.command.flags;
        let needs_memory = flags.contains(Flags::DENYOOM) && !call.who.is_master;
        if needs_memory && !self.make_room().await { Err(Refusal::OutOfMemory) } else { Ok(()) }
    }
}
