//! How a command is spread over shards: one file a shape. Each tells how the shape splits into steps,
//! what a shard does of a step, how that is joined, and the case that all keys are on one shard.
//!
//! ```text
//!   Here   all keys on one shard              GET, SET, APPEND
//!   Sliced the same, of large values         BITCOUNT, BITPOS
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
mod slices;
mod walk;

pub use all::{All, Part};
pub use carry::{Carried, Carry, Decision, Found, GatherPart, Write};
pub use each::{Each, EachPart, Join};
pub use slices::{Decided, Pondering, Slices, Whole};
pub use walk::{Walk, Walked};

use super::{Args, Call, Cx, Outcome, Refusal};
use crate::resp::ReplyWriter;
use crate::types::{Millis, ShardId};
use std::collections::BTreeMap;

/// How a command is spread over shards. Functions are synchronous and see one shard.
#[derive(Debug)]
pub enum Run {
    /// All keys on one shard.
    Here(fn(&mut Cx<'_>, Args<'_>) -> Outcome),
    /// The same for what may take long: it goes on in slices where the values are large.
    Sliced(fn(&mut Cx<'_>, Args<'_>) -> Result<Whole, Refusal>),
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
    Each(EachPart),
    /// Reads these keys of a [`Carry`].
    Gather(GatherPart),
    /// Makes these changes.
    Writes(std::vec::IntoIter<Write>),
    /// Its part of an [`All`].
    All(Part),
}

/// Keys that a step does in one piece: some 20 us.
const KEYS_PER_PIECE: usize = 64;

/// Keys of one request from which on it is a transaction that goes on in slices, also where all of them
/// are on one shard: some 100 us of work.
pub const MANY_KEYS: usize = 512;

/// A command's keys by the shards that have them.
pub type Picks = BTreeMap<ShardId, Vec<Pick>>;

/// What a step came to.
pub enum Did {
    /// Nothing to say.
    Nothing,
    /// Of an [`Each`].
    Each(EachPart),
    /// What a [`Carry`] found.
    Gathered(GatherPart),
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

    /// Looks at the arguments, before anything else is done about the request.
    pub fn check(&self, call: &Call<'_>, node: NodeFacts) -> Result<(), Refusal> {
        match self {
            Run::Here(_) | Run::Sliced(_) => {
                Err(Refusal::fixed("CROSSSLOT Keys in request don't hash to the same slot"))
            }
            Run::Each(each) => each.check(call),
            Run::Carry(carry) => (carry.check)(call.args),
            Run::All(all) => (all.check)(call.args, node.dbs),
            Run::Walk(_) | Run::Front => unreachable!("{} has no steps", call.entry.name()),
        }
    }

    /// What each shard has to do first, given whose the keys are.
    pub fn split(&self, picks: Picks, node: NodeFacts) -> Steps {
        let parts = picks.into_iter();
        match self {
            Run::Each(_) => parts.map(|(s, keys)| (s, Step::Each(EachPart::of(keys)))).collect(),
            Run::Carry(_) => {
                parts.map(|(s, keys)| (s, Step::Gather(GatherPart::of(keys)))).collect()
            }
            Run::All(_) => all::split(node.shards),
            _ => unreachable!("it was checked that there are steps"),
        }
    }

    /// One piece of a shard's step; `None` when there is more to do.
    pub fn step(
        &self,
        cx: &mut Cx<'_>,
        call: &Call<'_>,
        step: &mut Step,
    ) -> Result<Option<Did>, Refusal> {
        let is_done = match (self, &mut *step) {
            (Run::Each(each), Step::Each(part)) => each.piece(cx, call, part)?,
            (Run::Carry(carry), Step::Gather(part)) => carry.piece(cx, call, part)?,
            (Run::All(all), Step::All(part)) => (all.part)(cx, call.args, part)?,
            (_, Step::Writes(writes)) => {
                carry::perform(cx.keys, writes.take(KEYS_PER_PIECE));
                writes.len() == 0
            }
            _ => unreachable!("a step is of its command's own shape"),
        };
        Ok(is_done.then(|| match step {
            Step::Each(part) => Did::Each(std::mem::take(part)),
            Step::Gather(part) => Did::Gathered(std::mem::take(part)),
            Step::All(part) => Did::Part(std::mem::take(part)),
            Step::Writes(_) => Did::Nothing,
        }))
    }

    /// Makes the reply of what the shards have done, in their order, or says what comes next.
    pub fn join(
        &self,
        call: &Call<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        match self {
            Run::Each(each) => Ok(each.join(done, reply)),
            Run::Carry(carry) => carry.join(call, node, done, reply),
            Run::All(all) => Ok(all.join(call, done, reply)),
            _ => unreachable!("nothing was split"),
        }
    }

    /// The whole command on the one shard that has all its keys.
    #[inline]
    pub fn whole(&self, cx: &mut Cx<'_>, call: &Call<'_>) -> Result<Whole, Refusal> {
        match self {
            Run::Here(run) => run(cx, call.args)?,
            Run::Sliced(run) => return run(cx, call.args),
            Run::Each(each) => each.whole(cx, call)?,
            Run::Carry(carry) => return carry.whole(cx, call),
            Run::All(all) => all.whole(cx, call)?,
            Run::Walk(walk) => return walk.whole(cx, call),
            Run::Front => unreachable!("{} runs where the connection lives", call.entry.name()),
        }
        Ok(Whole::Done)
    }
}

/// What comes after a hop.
pub enum Joined {
    /// Nothing: the reply is written.
    Reply,
    /// Further steps.
    Steps(Steps),
    /// More of the joining: a piece of it at a time, until it says that it was the last.
    Pieces(Box<dyn FnMut(&mut ReplyWriter<'_>) -> bool>),
    /// A long decision.
    Pondering(Pondering),
}
