//! How a command is spread over shards: one file a shape. Each tells how the shape splits into steps,
//! what a shard does of a step, how that is joined, and the case that all keys are on one shard.
//!
//! ```text
//!   Here   all keys on one shard              GET, SET, APPEND
//!   Each   every key's shard does its part    MGET, MSET, DEL
//!   Carry  read there, decide, write here     RENAME, COPY, BITOP, MSETNX
//!   All    every shard                        DBSIZE, FLUSHALL
//!   Walk   shard by shard, in bounded steps   SCAN, KEYS, DEBUG POPULATE
//!   Front  no keys: where the connection is   CLIENT, CONFIG, INFO
//! ```
//!
//! ```text
//!   call ─► split ─► steps ─► (each on its shard) ─► what was done ─► join ─┬─► reply
//!                      ▲                                                    │
//!                      └──────────── further steps (Carry's writes) ────────┘
//! ```
//!
//! Who sends steps, waits for them and holds the keys meanwhile is `exec`'s business.

mod all;
mod carry;
mod each;
mod walk;

pub use all::{All, Part};
pub use carry::{Carried, Carry, Decision, Found, Write};
pub use each::{Each, EachDone, Join};
pub use walk::{Walk, Walked};

use super::{Args, Call, Cx, Outcome, Refusal};
use crate::resp::ReplyWriter;
use crate::types::{Millis, ShardId, shard_of};
use std::collections::BTreeMap;

/// How a command is spread over shards. Functions are synchronous and see one shard.
#[derive(Debug)]
pub enum Run {
    /// All keys on one shard.
    Here(fn(&mut Cx<'_>, Args<'_>) -> Outcome),
    /// Every key's shard does its part; the coordinator joins.
    Each(Each),
    /// Read on the keys' shards, decide once, write on the keys' shards: one transaction.
    Carry(Carry),
    /// Every shard does the same; the coordinator joins.
    All(All),
    /// From shard to shard, in bounded steps.
    Walk(Walk),
    /// Runs where the connection lives, without touching keys; the front (server) has the function.
    Front,
}

/// One of a command's keys: which one, and where it stands among the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Counted from 0.
    pub index: u32,
    /// The argument.
    pub position: u32,
}

/// What one shard does of a command in one hop.
pub enum Step {
    /// These keys of an [`Each`].
    Each(Vec<Pick>),
    /// Reads these keys of a [`Carry`].
    Gather(Vec<Pick>),
    /// Makes these changes.
    Writes(Vec<Write>),
    /// Its part of an [`All`].
    All,
}

/// What a step came to.
pub enum Did {
    /// Nothing to say.
    Nothing,
    /// Of an [`Each`].
    Each(EachDone),
    /// What a [`Carry`] found, by the index of the key.
    Gathered(Vec<(u32, Carried)>),
    /// Of an [`All`].
    Part(Part),
}

/// Steps and the shards that do them, in the order of the shards.
pub type Steps = Vec<(ShardId, Step)>;

/// What a shape has to know about the node.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts {
    /// How many shards there are.
    pub shards: u16,
    /// How many databases.
    pub dbs: usize,
    /// The time of a decision.
    pub now: Millis,
}

impl Run {
    /// Whether another hop may follow the first one.
    pub fn may_go_on(&self) -> bool {
        matches!(self, Run::Carry(_))
    }

    /// Whether the command wants everything to stand still.
    pub fn is_barrier(&self) -> bool {
        matches!(self, Run::All(All { barrier: true, .. }) | Run::Walk(Walk { long: true, .. }))
    }

    /// Looks at the arguments and says what each shard has to do first.
    pub fn split(&self, call: &Call<'_>, node: NodeFacts) -> Result<Steps, Refusal> {
        match self {
            Run::Here(_) => {
                Err(Refusal::fixed("CROSSSLOT Keys in request don't hash to the same slot"))
            }
            Run::Each(each) => each.split(call, node.shards),
            Run::Carry(carry) => carry.split(call, node.shards),
            Run::All(all) => all.split(call, node),
            Run::Walk(_) | Run::Front => unreachable!("{} has no steps", call.entry.name()),
        }
    }

    /// One shard's step.
    pub fn step(&self, cx: &mut Cx<'_>, call: &Call<'_>, step: Step) -> Result<Did, Refusal> {
        match (self, step) {
            (Run::Each(each), Step::Each(keys)) => each.part(cx, call, keys).map(Did::Each),
            (Run::Carry(carry), Step::Gather(keys)) => {
                carry.part(cx, call, &keys).map(Did::Gathered)
            }
            (Run::All(all), Step::All) => (all.part)(cx, call.args).map(Did::Part),
            (_, Step::Writes(writes)) => {
                carry::perform(cx.keys, writes);
                Ok(Did::Nothing)
            }
            _ => unreachable!("a step is of its command's own shape"),
        }
    }

    /// Makes the reply of what the shards have done, in their order, or says what they do next.
    pub fn join(
        &self,
        call: &Call<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Steps, Refusal> {
        match self {
            Run::Each(each) => each.join(done, reply),
            Run::Carry(carry) => return carry.join(call, node, done, reply),
            Run::All(all) => all.join(call, done, reply),
            Run::Here(_) | Run::Walk(_) | Run::Front => unreachable!("nothing was split"),
        }
        Ok(Vec::new())
    }

    /// The whole command on the one shard that has all its keys.
    #[inline]
    pub fn whole(&self, cx: &mut Cx<'_>, call: &Call<'_>) -> Outcome {
        match self {
            Run::Here(run) => run(cx, call.args),
            Run::Each(each) => each.whole(cx, call),
            Run::Carry(carry) => carry.whole(cx, call),
            Run::All(all) => all.whole(cx, call),
            Run::Walk(walk) => walk.whole(cx, call),
            Run::Front => unreachable!("{} runs where the connection lives", call.entry.name()),
        }
    }
}

/// The command's keys by the shards that have them, each shard's as a step.
fn by_shard(call: &Call<'_>, shards: u16, step: fn(Vec<Pick>) -> Step) -> Steps {
    let mut parts: BTreeMap<ShardId, Vec<Pick>> = BTreeMap::new();
    for (index, position) in call.entry.command.keys.positions(&call.args).enumerate() {
        let shard = shard_of(call.args.get(position), shards);
        let pick = Pick { index: index as u32, position: position as u32 };
        parts.entry(shard).or_default().push(pick);
    }
    parts.into_iter().map(|(shard, keys)| (shard, step(keys))).collect()
}
