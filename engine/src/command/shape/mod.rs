//! How a command is spread over shards: one file a shape. Each tells how the shape splits into steps,
//! what a shard does of a step, how that is joined, and the case that all keys are on one shard.
//!
//! ```text
//!   Here   all keys on one shard              GET, SET, APPEND
//!   Sliced the same, of large values         BITCOUNT, BITPOS
//!   Each   every key's shard does its part    MGET, MSET, DEL
//!   Carry  read there, decide, write here     RENAME, COPY, BITOP, MSETNX
//!   All    every shard                        DBSIZE, FLUSHALL
//!   Wait   take what is there, or sleep      BLPOP, BLMOVE, XREAD BLOCK
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
mod decision;
mod each;
mod look;
mod pick;
mod slices;
mod wait;
mod walk;

pub use all::{All, Part};
pub use carry::{Carried, Carry, Found, GatherPart};
pub(crate) use decision::within_room;
pub use decision::{Asking, Decided, Decision, Going, NodeFacts, Pondering, Then, Wanted, Write};
pub use each::{Each, EachPart, Join, Joining};
pub use look::{LookPart, Looking};
pub use pick::{Asked, MANY_KEYS, Pick, Picks};
pub use slices::{Slices, Whole};
pub use wait::{Awaited, Patience, SeekPart, Take, TakePart, Wait};
pub use walk::{Walk, Walked};

use super::{Args, Cx, Outcome, Refusal};
use crate::resp::ReplyWriter;
use crate::types::{ShardId, shard_of};
use pick::KEYS_PER_PIECE;
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
    /// Take what is there at the keys, or sleep on them until there is something.
    Wait(Wait),
    /// Every shard does the same; the coordinator joins.
    All(All),
    /// From shard to shard, in bounded steps.
    Walk(Walk),
    /// Runs where the connection lives, without touching keys; the front (server) has the function.
    Front,
}

/// What one shard does of a command in one hop.
pub enum Step {
    /// These keys of an [`Each`].
    Each(EachPart),
    /// Reads these keys of a [`Carry`].
    Gather(GatherPart),
    /// Looks at keys that a [`Carry`] has found the names of.
    Look(LookPart),
    /// Looks at these keys of a [`Wait`].
    Seek(SeekPart),
    /// Takes from these.
    Take(TakePart),
    /// Makes these changes.
    Writes(std::vec::IntoIter<Write>),
    /// Its part of an [`All`].
    All(Part),
}

/// What a step came to.
pub enum Did {
    /// Nothing to say.
    Nothing,
    /// Of an [`Each`].
    Each(EachPart),
    /// What a [`Carry`] found.
    Gathered(GatherPart),
    /// What stands at the keys that were looked at.
    Looked(LookPart),
    /// What a [`Wait`] found.
    Sought(SeekPart),
    /// What it took.
    Taken(TakePart),
    /// Of an [`All`].
    Part(Part),
}

impl Did {
    fn is_of_waiting(&self) -> bool {
        matches!(self, Did::Sought(_) | Did::Taken(_))
    }
}

/// Steps and the shards that do them, in the order of the shards.
pub type Steps = Vec<(ShardId, Step)>;

impl Run {
    /// Whether another hop may follow the first one.
    pub fn may_go_on(&self) -> bool {
        matches!(self, Run::Carry(_) | Run::Wait(_))
    }

    /// Whether the command wants everything to stand still.
    pub fn is_barrier(&self) -> bool {
        matches!(self, Run::All(All { barrier: true, .. }) | Run::Walk(Walk { long: true, .. }))
    }

    /// Looks at the arguments, before anything else is done about the request.
    pub(super) fn check(&self, asked: &Asked<'_>, node: NodeFacts) -> Result<(), Refusal> {
        match self {
            Run::Here(_) | Run::Sliced(_) => {
                Err(Refusal::fixed("CROSSSLOT Keys in request don't hash to the same slot"))
            }
            Run::Each(each) => each.check(asked),
            Run::Carry(carry) => (carry.check)(asked.args),
            Run::Wait(wait) => wait.check(asked.args),
            Run::All(all) => (all.check)(asked.args, node.dbs),
            Run::Walk(_) | Run::Front => unreachable!("{} has no steps", asked.name),
        }
    }

    /// What each shard has to do first, given whose the keys are.
    pub(super) fn split(&self, args: Args<'_>, picks: Picks, node: NodeFacts) -> Steps {
        match self {
            Run::Wait(wait) if wait.as_carry(args).is_none() => wait.split(picks, false),
            Run::Each(each) => {
                let parts = each.split(picks).into_iter();
                parts.map(|(shard, part)| (shard, Step::Each(part))).collect()
            }
            Run::Carry(_) | Run::Wait(_) => {
                let part = |(shard, keys)| (shard, Step::Gather(GatherPart::of(keys)));
                picks.into_iter().map(part).collect()
            }
            Run::All(_) => {
                (0..node.shards).map(|s| (ShardId(s), Step::All(Part::default()))).collect()
            }
            _ => unreachable!("it was checked that there are steps"),
        }
    }

    /// One piece of a shard's step; `None` when there is more to do.
    pub(super) fn step(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        step: &mut Step,
    ) -> Result<Option<Did>, Refusal> {
        let is_done = match (self, &mut *step) {
            (Run::Each(each), Step::Each(part)) => each.piece(cx, args, part)?,
            (Run::Carry(carry), Step::Gather(part)) => carry.piece(cx, args, part)?,
            (Run::Wait(wait), Step::Gather(part)) => {
                let carry = wait.as_carry(args).unwrap_or_else(|| wait.carry());
                carry.piece(cx, args, part)?
            }
            (Run::Wait(wait), Step::Seek(part)) => {
                wait.look_at(cx, args, part);
                true
            }
            (Run::Wait(wait), Step::Take(part)) => {
                wait.take_from(cx, args, part)?;
                true
            }
            (Run::All(all), Step::All(part)) => (all.part)(cx, args, part)?,
            (_, Step::Look(part)) => part.piece(cx),
            (_, Step::Writes(writes)) => {
                carry::perform(cx.keys, writes.take(KEYS_PER_PIECE));
                writes.len() == 0
            }
            _ => unreachable!("a step is of its command's own shape"),
        };
        Ok(is_done.then(|| match step {
            Step::Each(part) => Did::Each(std::mem::take(part)),
            Step::Gather(part) => Did::Gathered(std::mem::take(part)),
            Step::Seek(part) => Did::Sought(std::mem::take(part)),
            Step::Take(part) => Did::Taken(std::mem::take(part)),
            Step::All(part) => Did::Part(std::mem::take(part)),
            Step::Look(part) => Did::Looked(std::mem::take(part)),
            Step::Writes(_) => Did::Nothing,
        }))
    }

    /// Makes the reply of what the shards have done, in their order, or says what comes next.
    pub(super) fn join(
        &self,
        asked: &Asked<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        let carried = match self {
            Run::Carry(carry) => Some(carry),
            // One that was let wait has looked, and taken.
            Run::Wait(_) if done.iter().any(|(_, did)| did.is_of_waiting()) => None,
            Run::Wait(wait) => wait.as_carry(asked.args),
            _ => None,
        };
        if let (Run::Wait(wait), None) = (self, carried) {
            return wait.join(asked, node, done, reply);
        }
        let done = done.into_iter().map(|(_, did)| did);
        if let Some(carry) = carried {
            let found = done.map(|did| match did {
                Did::Gathered(part) => Some(part),
                _ => None,
            });
            // Without findings these were the writes.
            let Some(found) = found.collect() else { return Ok(Joined::Reply) };
            return Ok(Joined::of(carry.join(asked, node, found, reply)?, node.shards));
        }
        match self {
            Run::Each(each) => {
                let parts = done.map(|did| match did {
                    Did::Each(part) => part,
                    _ => unreachable!("an Each step answers with its part"),
                });
                Ok(each.join(parts.collect(), reply).map_or(Joined::Reply, Joined::Pieces))
            }
            Run::All(all) => {
                let parts = done.map(|did| match did {
                    Did::Part(part) => part,
                    _ => unreachable!("an All step answers with its part"),
                });
                (all.join)(asked.args, &parts.collect::<Vec<Part>>(), reply);
                Ok(Joined::Reply)
            }
            _ => unreachable!("nothing was split"),
        }
    }

    /// The whole command on the one shard that has all its keys.
    #[inline]
    pub(super) fn whole(&self, cx: &mut Cx<'_>, asked: &Asked<'_>) -> Result<Whole, Refusal> {
        match self {
            Run::Here(run) => run(cx, asked.args)?,
            Run::Sliced(run) => return run(cx, asked.args),
            Run::Each(each) => each.whole(cx, asked)?,
            Run::Carry(carry) => return carry.whole(cx, asked),
            Run::Wait(wait) => return wait.whole(cx, asked),
            Run::All(all) => all.whole(cx, asked.args)?,
            Run::Walk(walk) => return walk.whole(cx, asked.args),
            Run::Front => unreachable!("{} runs where the connection lives", asked.name),
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
    Pieces(Joining),
    /// A long decision.
    Pondering(Pondering),
    /// The next piece of a decision.
    More(Going),
    /// A look at further keys, with which the decision goes on.
    Looks(Looking),
    /// A [`Wait`] has found nothing: it waits, or says so.
    Nothing,
}

impl Joined {
    /// What a decision comes to.
    pub fn of(decided: Decided, shards: u16) -> Joined {
        match decided {
            Decided::Writes(writes) => Joined::writes(writes, shards),
            Decided::Later(pondering) => Joined::Pondering(pondering),
            Decided::More(going) => Joined::More(going),
            Decided::Ask(asking) => Joined::Looks(Looking::of(asking, shards)),
        }
    }

    /// The steps that make these changes, if there are any.
    pub fn writes(writes: Vec<Write>, shards: u16) -> Joined {
        let mut steps: BTreeMap<ShardId, Vec<Write>> = BTreeMap::new();
        for write in writes {
            steps.entry(shard_of(write.key(), shards)).or_default().push(write);
        }
        let step =
            |(shard, writes): (ShardId, Vec<Write>)| (shard, Step::Writes(writes.into_iter()));
        match steps.is_empty() {
            true => Joined::Reply,
            false => Joined::Steps(steps.into_iter().map(step).collect()),
        }
    }
}
