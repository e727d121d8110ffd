//! Commands that read keys, decide, and then write keys: RENAME, COPY, BITOP, MSETNX.
//!
//! ```text
//!   BITOP AND d a b ─► shard of a: its value ─┐
//!                      shard of b: its value ─┴► decide ─► shard of d: Put ─► reply
//! ```

use super::decision::{Decided, Decision, Going, NodeFacts, Pondering, Write, within_room};
use super::look::{LookPart, Looking};
use super::pick::{Asked, KEYS_PER_PIECE, Pick};
use super::slices::Whole;
use crate::command::{Args, Cx, Refusal};
use crate::db::Keyspace;
use crate::journal::Deadline;
use crate::resp::ReplyWriter;
use crate::types::Millis;
use crate::value::{Item, NewValue, SharedValue};

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
    /// When it was used, as the node remembers it: 0 for now.
    pub clock: u32,
}

impl Found {
    /// The item's value by reference, with its deadline.
    pub fn of(item: &Item) -> Found {
        Found { value: item.share(), deadline: item.deadline(), clock: item.clock() }
    }

    /// The first key that is there, and which of them it is.
    pub fn first(carried: &[Carried]) -> Option<(usize, &Found)> {
        carried.iter().enumerate().find_map(|(index, found)| Some((index, found.as_ref()?)))
    }
}

/// One shard's keys of a [`Carry`] that are to be read, and what was found of them so far.
#[derive(Default)]
pub struct GatherPart {
    keys: Vec<Pick>,
    found: Vec<Carried>,
    /// Whether a first key that is promised to somebody who waits counts as missing.
    minds_promises: bool,
}

impl GatherPart {
    pub(super) fn of(keys: Vec<Pick>) -> GatherPart {
        GatherPart::minding(keys, false)
    }

    pub(super) fn minding(keys: Vec<Pick>, minds_promises: bool) -> GatherPart {
        GatherPart { found: Vec::with_capacity(keys.len()), keys, minds_promises }
    }
}

impl Carry {
    /// The check of commands whose arguments say nothing wrong.
    pub fn any(_: Args<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whatever stands at the key, of any type: a [`gather`](Carry::gather) for those who look at types later, or
    /// not at all.
    pub fn whatever(
        cx: &mut Cx<'_>,
        key: &[u8],
        _: usize,
        _: Args<'_>,
    ) -> Result<Carried, Refusal> {
        Ok(cx.keys.peek(cx.db, key).map(Found::of))
    }

    /// Reads some of a shard's keys; whether those were the last.
    pub(super) fn piece(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        part: &mut GatherPart,
    ) -> Result<bool, Refusal> {
        for key in part.keys[part.found.len()..].iter().take(KEYS_PER_PIECE) {
            let (bytes, index) = (args.get(key.position as usize), key.index as usize);
            let is_promised =
                part.minds_promises && index == 0 && cx.keys.is_promised(cx.db, bytes);
            let found = if is_promised { None } else { (self.gather)(cx, bytes, index, args)? };
            part.found.push(found);
        }
        Ok(part.found.len() == part.keys.len())
    }

    /// Decides, given what all shards have found.
    pub(super) fn join(
        &self,
        asked: &Asked<'_>,
        node: NodeFacts,
        parts: Vec<GatherPart>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Decided, Refusal> {
        let carried = Carry::put_together(parts);
        (self.decide)(&mut node.decision(asked.db, reply), asked.args, &carried)
    }

    /// What was found, in the order of the keys.
    pub(super) fn put_together(parts: Vec<GatherPart>) -> Vec<Carried> {
        let mut carried: Vec<Carried> = Vec::new();
        for part in parts {
            for (key, found) in part.keys.into_iter().zip(part.found) {
                let index = key.index as usize;
                carried.resize(carried.len().max(index + 1), None);
                carried[index] = found;
            }
        }
        carried
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, asked: &Asked<'_>) -> Result<Whole, Refusal> {
        (self.check)(asked.args)?;
        let mut carried: Vec<Carried> = Vec::new();
        for (index, position) in asked.keys.positions(&asked.args).enumerate() {
            carried.push((self.gather)(cx, asked.args.get(position), index, asked.args)?);
        }
        let decided = (self.decide)(&mut cx.decision(), asked.args, &carried)?;
        // What nobody else holds is changed where it is.
        drop(carried);
        match decided {
            Decided::Writes(writes) => perform(cx.keys, writes),
            decided => return go_on_whole(decided, cx),
        }
        Ok(Whole::Done)
    }
}

/// What is left of a decision on the shard that has all the keys.
enum Rest {
    Pondering(Pondering),
    More(Option<Going>),
    Looking(Option<Looking>, LookPart),
    Writes(std::vec::IntoIter<Write>),
}

impl Rest {
    fn of(decided: Decided) -> Rest {
        match decided {
            Decided::Writes(writes) => Rest::Writes(writes.into_iter()),
            Decided::Later(pondering) => Rest::Pondering(pondering),
            Decided::More(going) => Rest::More(Some(going)),
            Decided::Ask(asking) => {
                let mut looking = Looking::of(asking, 1);
                let part = looking.take_part();
                Rest::Looking(Some(looking), part)
            }
        }
    }

    fn is_short(&self) -> bool {
        match self {
            Rest::Looking(looking, _) => {
                looking.as_ref().is_none_or(|looking| looking.count() <= 2 * KEYS_PER_PIECE)
            }
            Rest::Pondering(_) | Rest::More(_) | Rest::Writes(_) => false,
        }
    }

    /// One piece; whether it was the last.
    fn piece(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let next = match self {
            Rest::Writes(writes) => {
                perform(cx.keys, writes.take(KEYS_PER_PIECE));
                return Ok(writes.len() == 0);
            }
            Rest::Pondering(pondering) => {
                let (facts, db) = (cx.facts(), cx.db);
                let ponder =
                    |reply: &mut ReplyWriter<'_>| pondering(&mut facts.decision(db, reply));
                within_room(cx.who, cx.writes, &mut cx.reply, ponder)?.map(Decided::Writes)
            }
            Rest::More(going) => match going.take() {
                Some(going) => Some(going(&mut cx.decision())?),
                None => return Ok(true),
            },
            Rest::Looking(looking, part) => {
                if !part.piece(cx) {
                    return Ok(false);
                }
                let found = looking.take().map(|looking| looking.found([std::mem::take(part)]));
                let Some((then, found)) = found else { return Ok(true) };
                Some(then(&mut cx.decision(), found)?)
            }
        };
        if let Some(next) = next {
            *self = Rest::of(next);
        }
        Ok(false)
    }
}

/// A decision that goes on, on the shard that has all the keys.
fn go_on_whole(decided: Decided, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
    let mut rest = Rest::of(decided);
    let is_short = rest.is_short();
    Whole::of(Box::new(move |cx| rest.piece(cx)), is_short, cx)
}

impl Cx<'_> {
    pub(super) fn decision(&mut self) -> Decision<'_> {
        self.facts().decision(self.db, &mut self.reply)
    }

    fn facts(&self) -> NodeFacts {
        let (shards, dbs, now) = (self.shards, self.keys.db_count(), self.now());
        NodeFacts { shards, dbs, now, encodings: self.keys.encodings() }
    }
}

/// Makes changes that were decided on elsewhere.
pub(super) fn perform(keys: &mut Keyspace, writes: impl IntoIterator<Item = Write>) {
    for write in writes {
        match write {
            Write::Put { db, key, value, deadline, clock } => {
                let deadline = deadline.map_or(Deadline::None, Deadline::At);
                keys.put(db, &key, NewValue::Shared(value), deadline);
                keys.keep_used(db, &key, clock);
            }
            Write::Remove { db, key } => {
                keys.remove(db, &key);
            }
            Write::Change { db, key, effect } => keys.change_as_sent(db, &key, &effect),
        }
    }
}
