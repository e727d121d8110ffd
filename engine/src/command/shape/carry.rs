//! Commands that read keys, decide, and then write keys: RENAME, COPY, BITOP, MSETNX.
//!
//! ```text
//!   BITOP AND d a b ─► shard of a: its value ─┐
//!                      shard of b: its value ─┴► decide ─► shard of d: Put ─► reply
//! ```

use super::{Decided, Did, Joined, KEYS_PER_PIECE, NodeFacts, Pick, Pondering, Step, Whole};
use crate::command::{Args, Call, Cx, Refusal};
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
    ) -> Result<Decided, Refusal>,
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

/// One shard's keys of a [`Carry`] that are to be read, and what was found of them so far.
#[derive(Default)]
pub struct GatherPart {
    keys: Vec<Pick>,
    found: Vec<Carried>,
}

impl GatherPart {
    pub(super) fn of(keys: Vec<Pick>) -> GatherPart {
        GatherPart { found: Vec::with_capacity(keys.len()), keys }
    }
}

impl Carry {
    /// Reads some of a shard's keys; whether those were the last.
    pub(super) fn piece(
        &self,
        cx: &mut Cx<'_>,
        call: &Call<'_>,
        part: &mut GatherPart,
    ) -> Result<bool, Refusal> {
        for key in part.keys[part.found.len()..].iter().take(KEYS_PER_PIECE) {
            let (bytes, index) = (call.args.get(key.position as usize), key.index as usize);
            part.found.push((self.gather)(cx, bytes, index, call.args)?);
        }
        Ok(part.found.len() == part.keys.len())
    }

    /// Decides; the steps that follow are the writes.
    pub(super) fn join(
        &self,
        call: &Call<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        let mut carried: Vec<Carried> = Vec::new();
        for (_, did) in done {
            let Did::Gathered(part) = did else {
                // The writes are done.
                return Ok(Joined::Reply);
            };
            for (key, found) in part.keys.into_iter().zip(part.found) {
                let index = key.index as usize;
                carried.resize(carried.len().max(index + 1), None);
                carried[index] = found;
            }
        }
        let mut decision = node.decision(call.db, reply);
        match (self.decide)(&mut decision, call.args, &carried)? {
            Decided::Writes(writes) => Ok(node.writes(writes)),
            Decided::Later(pondering) => Ok(Joined::Pondering(pondering)),
        }
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, call: &Call<'_>) -> Result<Whole, Refusal> {
        (self.check)(call.args)?;
        let mut carried: Vec<Carried> = Vec::new();
        for (index, position) in call.entry.command.keys.positions(&call.args).enumerate() {
            carried.push((self.gather)(cx, call.args.get(position), index, call.args)?);
        }
        match (self.decide)(&mut cx.decision(), call.args, &carried)? {
            Decided::Writes(writes) => perform(cx.keys, writes),
            Decided::Later(pondering) => return Ok(ponder_whole(pondering)),
        }
        Ok(Whole::Done)
    }
}

/// A long decision on the shard that has all the keys.
fn ponder_whole(mut pondering: Pondering) -> Whole {
    let mut writes: Option<std::vec::IntoIter<Write>> = None;
    Whole::Later(Box::new(move |cx| {
        let Some(writes) = &mut writes else {
            writes = pondering(&mut cx.decision())?.map(Vec::into_iter);
            return Ok(false);
        };
        perform(cx.keys, writes.take(KEYS_PER_PIECE));
        Ok(writes.len() == 0)
    }))
}

impl Cx<'_> {
    fn decision(&mut self) -> Decision<'_> {
        let (db, dbs, now) = (self.db, self.keys.db_count(), self.now());
        Decision { db, dbs, now, reply: self.reply.reborrow() }
    }
}

impl NodeFacts {
    /// What a decision gets to see.
    pub fn decision<'a>(&self, db: DbIndex, reply: &'a mut ReplyWriter<'_>) -> Decision<'a> {
        Decision { db, dbs: self.dbs, now: self.now, reply: reply.reborrow() }
    }

    /// The steps that make these changes.
    pub fn writes(&self, writes: Vec<Write>) -> Joined {
        let mut steps: BTreeMap<ShardId, Vec<Write>> = BTreeMap::new();
        for write in writes {
            steps.entry(shard_of(write.key(), self.shards)).or_default().push(write);
        }
        let step =
            |(shard, writes): (ShardId, Vec<Write>)| (shard, Step::Writes(writes.into_iter()));
        match steps.is_empty() {
            true => Joined::Reply,
            false => Joined::Steps(steps.into_iter().map(step).collect()),
        }
    }
}

/// Makes changes that were decided on elsewhere.
pub(super) fn perform(keys: &mut Keyspace, writes: impl IntoIterator<Item = Write>) {
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
