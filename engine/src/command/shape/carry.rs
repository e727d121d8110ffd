//! Commands that read keys, decide, and then write keys: RENAME, COPY, BITOP, MSETNX.
//!
//! ```text
//!   BITOP AND d a b ─► shard of a: its value ─┐
//!                      shard of b: its value ─┴► decide ─► shard of d: Put ─► reply
//! ```

use super::{Did, Pick, Step, Steps, by_shard};
use crate::command::shape::NodeFacts;
use crate::command::{Args, Call, Cx, Outcome, Refusal};
use crate::db::Keyspace;
use crate::journal::Deadline;
use crate::resp::ReplyWriter;
use crate::types::{DbIndex, Millis, ShardId, shard_of};
use crate::value::{Item, NewValue, SentEffect, SharedValue};
use std::collections::BTreeMap;

/// The shape of commands that read keys, decide, and then write keys.
#[derive(Debug)]
pub struct Carry {
    /// Checks the arguments before anything is read.
    pub check: fn(args: Args<'_>) -> Result<(), Refusal>,
    /// Reads one key on its shard. `index` counts the command's keys from 0; `args` is the whole
    /// request.
    pub gather:
        fn(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<Carried, Refusal>,
    /// Looks at what was gathered (in the order of the keys), writes the reply and says what changes.
    pub decide: fn(
        decision: &mut Decision<'_>,
        args: Args<'_>,
        carried: &[Carried],
    ) -> Result<Vec<Write>, Refusal>,
}

/// What a [`Carry`] brings from one key to the coordinator: nothing when the key does not exist.
pub type Carried = Option<Found>;

/// A value and its deadline, held by reference: however large, carrying it costs one reference.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value as of the gathering.
    pub value: SharedValue,
    /// When it expires, if it does.
    pub deadline: Option<Millis>,
}

impl Found {
    /// The item's value by reference, with its deadline.
    pub fn of(item: &Item) -> Found {
        Found { value: item.share(), deadline: item.deadline() }
    }
}

/// What a [`Carry`]'s decision can see and say.
pub struct Decision<'a> {
    /// The connection's database.
    pub db: DbIndex,
    /// How many databases there are.
    pub dbs: usize,
    /// The time of the decision.
    pub now: Millis,
    /// Where the reply goes.
    pub reply: ReplyWriter<'a>,
}

/// One change that a [`Carry`]'s decision asks a shard to make.
#[derive(Clone, Debug)]
pub enum Write {
    /// Create or replace.
    Put {
        /// In which database.
        db: DbIndex,
        /// Under which key.
        key: Vec<u8>,
        /// What.
        value: SharedValue,
        /// Until when.
        deadline: Option<Millis>,
    },
    /// Delete.
    Remove {
        /// In which database.
        db: DbIndex,
        /// Which key.
        key: Vec<u8>,
    },
    /// Change the value inside: of a large one only what changes is sent and told.
    Change {
        /// In which database.
        db: DbIndex,
        /// Of which key, which was found to hold the effect's type or nothing.
        key: Vec<u8>,
        /// What happens.
        effect: SentEffect,
    },
}

impl Write {
    /// The key that this changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Write::Put { key, .. } | Write::Remove { key, .. } | Write::Change { key, .. } => key,
        }
    }
}

impl Carry {
    pub(super) fn split(&self, call: &Call<'_>, shards: u16) -> Result<Steps, Refusal> {
        (self.check)(call.args)?;
        Ok(by_shard(call, shards, Step::Gather))
    }

    pub(super) fn part(
        &self,
        cx: &mut Cx<'_>,
        call: &Call<'_>,
        keys: &[Pick],
    ) -> Result<Vec<(u32, Carried)>, Refusal> {
        let gather = |key: &Pick| {
            let bytes = call.args.get(key.position as usize);
            Ok((key.index, (self.gather)(cx, bytes, key.index as usize, call.args)?))
        };
        keys.iter().map(gather).collect()
    }

    /// Decides; the steps that follow are the writes.
    pub(super) fn join(
        &self,
        call: &Call<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Steps, Refusal> {
        let mut gathered: Vec<(u32, Carried)> = Vec::new();
        for (_, did) in done {
            match did {
                Did::Gathered(part) => gathered.extend(part),
                // The writes are done.
                _ => return Ok(Vec::new()),
            }
        }
        gathered.sort_by_key(|(index, _)| *index);
        let carried: Vec<Carried> = gathered.into_iter().map(|(_, found)| found).collect();
        let NodeFacts { shards, dbs, now } = node;
        let mut decision = Decision { db: call.db, dbs, now, reply: reply.reborrow() };
        let mut steps: BTreeMap<ShardId, Vec<Write>> = BTreeMap::new();
        for write in (self.decide)(&mut decision, call.args, &carried)? {
            steps.entry(shard_of(write.key(), shards)).or_default().push(write);
        }
        Ok(steps.into_iter().map(|(shard, writes)| (shard, Step::Writes(writes))).collect())
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, call: &Call<'_>) -> Outcome {
        (self.check)(call.args)?;
        let mut carried: Vec<Carried> = Vec::new();
        for (index, position) in call.entry.command.keys.positions(&call.args).enumerate() {
            carried.push((self.gather)(cx, call.args.get(position), index, call.args)?);
        }
        let (db, dbs, now) = (cx.db, cx.keys.db_count(), cx.now());
        let mut decision = Decision { db, dbs, now, reply: cx.reply.reborrow() };
        let writes = (self.decide)(&mut decision, call.args, &carried)?;
        perform(cx.keys, writes);
        Ok(())
    }
}

/// Makes changes that were decided on elsewhere.
pub(super) fn perform(keys: &mut Keyspace, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Put { db, key, value, deadline } => {
                let deadline = deadline.map_or(Deadline::None, Deadline::At);
                keys.put(db, &key, NewValue::Shared(value), deadline);
            }
            Write::Remove { db, key } => {
                keys.remove(db, &key);
            }
            Write::Change { db, key, effect } => keys.change_as_sent(db, &key, &effect),
        }
    }
}
