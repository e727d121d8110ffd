//! Commands that wait for what is not there yet: BLPOP, BLMOVE, BZPOPMIN, XREAD.
//!
//! ```text
//!   look at the keys ─┬─ there is something ─► take it ─► reply
//!                     └─ nothing ─┬─ who may wait sleeps on the keys ─► a key is touched ─► look again
//!                                 └─ who may not (EXEC, time is up) ─► "nothing"
//! ```
//!
//! A command declares what it waits for ([`Awaited`]), how it sees that there is something (`look`) and what is done
//! then ([`Take`]). Looking, taking and falling asleep are one step: the keys are held meanwhile. Who sleeps is
//! served in the order of coming, on the shard whose key was touched, as soon as the log holds the change; what
//! it takes then is a task of its own, told as what it is. `shard/waits.rs` keeps those who sleep, and
//! `exec/waiting.rs` waits for them.

use super::carry::{Carry, GatherPart, perform};
use super::decision::{Decided, NodeFacts};
use super::pick::{Asked, Pick};
use super::slices::Whole;
use super::{Did, Joined, Step, Steps};
use crate::command::{Args, Cx, Outcome, Refusal};
pub use crate::db::Awaited;
use crate::resp::number::parse_i64;
use crate::resp::{Output, ReplyWriter};
use crate::types::ShardId;
use crate::value::number::{Extended, parse_f64_redis};
use crate::value::{Object, Type};
use std::time::Duration;

/// The shape of commands that may wait.
#[derive(Debug)]
pub struct Wait {
    /// Checks the arguments, and says for how long this request waits.
    pub patience: fn(args: Args<'_>) -> Result<Patience, Refusal>,
    /// What has to happen to a key for those who wait there.
    pub awaits: Awaited,
    /// Whether there is something for the request at a key; refuses what is wrong there, and changes nothing: another
    /// key may still be refused. `index` counts the command's keys from 0; `args` is the whole request. Of a
    /// [`Take::Carry`] it is not asked.
    pub look:
        fn(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<bool, Refusal>,
    /// What is done where there is something.
    pub take: Take,
    /// The reply where there is nothing and nobody waits.
    pub nothing: fn(reply: &mut ReplyWriter<'_>),
    /// Which argument stands otherwise once the request sleeps on a key: `$` of XREAD is the last entry as of
    /// then; and whatever is to be noted at the key of that. [`Wait::as_asked`] where there is neither.
    pub settle:
        fn(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Option<(usize, Vec<u8>)>,
    /// What is done instead for a request that does not wait, where that may take long.
    pub at_once: Option<Carry>,
    /// Whether a request that may wait takes so much that it is first tried as one that does not: in slices then.
    pub takes_many: fn(args: Args<'_>) -> bool,
}

/// How long a request waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// So long.
    For(Duration),
    /// Until there is something.
    Endless,
}

impl Patience {
    /// From an argument in seconds; 0 is for ever.
    pub fn of_seconds(arg: &[u8]) -> Result<Patience, Refusal> {
        const RANGE: Refusal = Refusal::fixed("ERR timeout is out of range");
        let Some(seconds) = parse_f64_redis(arg) else {
            return match Extended::parse(arg) {
                None => Err(Refusal::fixed("ERR timeout is not a float or out of range")),
                // A number that no double is, but a `long double`, in which Redis reads it: next to nothing ...
                Some(number) if number.is_tiny() => Ok(match number.is_negative() {
                    true => Patience::Endless,
                    false => Patience::For(Duration::from_millis(1)),
                }),
                // ... or more than any clock has.
                Some(_) => Err(RANGE),
            };
        };
        let millis = (seconds * 1000.0).ceil();
        if millis >= i64::MAX as f64 {
            return Err(RANGE);
        }
        Patience::of(millis as i64)
    }

    /// From an argument in milliseconds; 0 is for ever.
    pub fn of_millis(arg: &[u8]) -> Result<Patience, Refusal> {
        let refusal = Refusal::fixed("ERR timeout is not an integer or out of range");
        Patience::of(parse_i64(arg).ok_or(refusal)?)
    }

    fn of(millis: i64) -> Result<Patience, Refusal> {
        match u64::try_from(millis) {
            Ok(0) => Ok(Patience::Endless),
            Ok(millis) => Ok(Patience::For(Duration::from_millis(millis))),
            Err(_) => Err(Refusal::fixed("ERR timeout is negative")),
        }
    }
}

/// What is done where there is something.
#[derive(Debug)]
pub enum Take {
    /// It is taken from the first key that has something; the function writes the whole reply.
    First(fn(cx: &mut Cx<'_>, key: &[u8], args: Args<'_>) -> Outcome),
    /// It is taken from all keys that have something.
    Each {
        /// Begins a reply of so many elements.
        open: fn(reply: &mut ReplyWriter<'_>, count: usize),
        /// Takes from one key and writes its element: nothing, where there is nothing. Once one key has something, it
        /// is asked of all that were looked at.
        take: fn(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Outcome,
    },
    /// It is taken from the first key, where there is something as soon as there is the key at all, for the
    /// others. This is decided at once ([`Decided::Writes`]).
    Carry(Carry),
}

/// Keys on one shard that are looked at, and what came of that.
#[derive(Default)]
pub struct SeekPart {
    keys: Vec<Pick>,
    /// Whether what is promised to somebody is passed over.
    minds_promises: bool,
    found: Found,
    /// What is wrong, and at which of the keys.
    refused: Option<(u32, Refusal)>,
}

/// What came of a look at some keys.
#[derive(Default)]
struct Found {
    /// From which it would be taken: of [`Take::Each`] all that were looked at, of others the first that has something.
    keys: Vec<Pick>,
    /// Whether there is something at one of them.
    any: bool,
}

/// Keys on one shard from which is taken, and what was written.
#[derive(Default)]
pub struct TakePart {
    keys: Vec<Pick>,
    replies: Vec<Output>,
}

impl Wait {
    /// Of commands that take from the first key where a value of type `T` is, which is never empty.
    pub const fn first<T: Object>(
        kind: &'static Type,
        patience: fn(Args<'_>) -> Result<Patience, Refusal>,
        take: fn(&mut Cx<'_>, &[u8], Args<'_>) -> Outcome,
    ) -> Wait {
        Wait {
            patience,
            awaits: Awaited::Type(kind),
            look: Wait::is_there::<T>,
            take: Take::First(take),
            nothing: Wait::no_array,
            settle: Wait::as_asked,
            at_once: None,
            takes_many: |_| false,
        }
    }

    /// Whether a value of type `T` is at a key; refuses one of another type.
    pub fn is_there<T: Object>(
        cx: &mut Cx<'_>,
        key: &[u8],
        _: usize,
        _: Args<'_>,
    ) -> Result<bool, Refusal> {
        Ok(cx.keys.object_to_change::<T>(cx.db, key)?.is_some())
    }

    /// No argument stands otherwise.
    pub fn as_asked(_: &mut Cx<'_>, _: &[u8], _: usize, _: Args<'_>) -> Option<(usize, Vec<u8>)> {
        None
    }

    /// The reply of most where there is nothing.
    pub fn no_array(reply: &mut ReplyWriter<'_>) {
        reply.nil_array();
    }

    /// How a request that does not wait is carried, if it is.
    pub(super) fn as_carry(&self, args: Args<'_>) -> Option<&Carry> {
        let carry = self.at_once.as_ref()?;
        let is_carried =
            matches!((self.patience)(args), Ok(Patience::None)) || (self.takes_many)(args);
        is_carried.then_some(carry)
    }

    /// On which of a request's keys it sleeps: of one that moves something, where it comes from.
    pub fn is_slept_on(&self, pick: Pick) -> bool {
        !matches!(self.take, Take::Carry(_)) || pick.index == 0
    }

    pub(super) fn check(&self, args: Args<'_>) -> Result<(), Refusal> {
        (self.patience)(args)?;
        if let Some(carry) = self.as_carry(args) {
            return (carry.check)(args);
        }
        match &self.take {
            Take::Carry(carry) => (carry.check)(args),
            _ => Ok(()),
        }
    }

    /// `minds_promises`: whether what is promised to somebody who sleeps is passed over.
    pub(crate) fn split(&self, picks: super::Picks, minds_promises: bool) -> Steps {
        let step = |keys| match self.take {
            Take::Carry(_) => Step::Gather(GatherPart::minding(keys, minds_promises)),
            _ => Step::Seek(SeekPart { keys, minds_promises, ..SeekPart::default() }),
        };
        picks.into_iter().map(|(shard, keys)| (shard, step(keys))).collect()
    }

    /// Looks at the keys of one shard.
    pub(super) fn look_at(&self, cx: &mut Cx<'_>, args: Args<'_>, part: &mut SeekPart) {
        match self.found(cx, args, &part.keys, part.minds_promises) {
            Ok(found) => part.found = found,
            Err(refused) => part.refused = Some(refused),
        }
    }

    /// Looks at keys, in the order of the request, until one is refused or the first has something that is to be all.
    fn found(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        keys: &[Pick],
        minds_promises: bool,
    ) -> Result<Found, (u32, Refusal)> {
        let (mut found, is_first) = (Found::default(), matches!(self.take, Take::First(_)));
        for pick in keys {
            let key = args.get(pick.position as usize);
            if minds_promises && cx.keys.is_promised(cx.db, key) {
                continue;
            }
            let is_there = (self.look)(cx, key, pick.index as usize, args);
            let is_there = is_there.map_err(|refusal| (pick.index, refusal))?;
            found.any |= is_there;
            if is_there || !is_first {
                found.keys.push(*pick);
            }
            if is_there && is_first {
                break;
            }
        }
        Ok(found)
    }

    /// Takes from the keys of one shard, each into an output of its own.
    pub(super) fn take_from(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        part: &mut TakePart,
    ) -> Outcome {
        for pick in &part.keys {
            let mut output = Output::default();
            let reply = output.writer(cx.reply.protocol);
            self.take_one(&mut cx.writing_to(reply), args, *pick)?;
            part.replies.push(output);
        }
        Ok(())
    }

    fn take_one(&self, cx: &mut Cx<'_>, args: Args<'_>, pick: Pick) -> Outcome {
        let (key, index) = (args.get(pick.position as usize), pick.index as usize);
        match &self.take {
            Take::First(take) => take(cx, key, args),
            Take::Each { take, .. } => take(cx, key, index, args),
            Take::Carry(_) => unreachable!("what is carried is decided"),
        }
    }

    /// What its keys hold, of one that moves something.
    pub(super) fn carry(&self) -> &Carry {
        match &self.take {
            Take::Carry(carry) => carry,
            _ => unreachable!("nothing is gathered"),
        }
    }

    /// Makes the reply of what the shards have done, or says what comes next.
    pub(super) fn join(
        &self,
        asked: &Asked<'_>,
        node: NodeFacts,
        done: Vec<(ShardId, Did)>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        let (mut looks, mut taken, mut gathered) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, did) in done {
            match did {
                Did::Sought(part) => looks.push((shard, part)),
                Did::Taken(part) => taken.push(part),
                Did::Gathered(part) => gathered.push(part),
                _ => {}
            }
        }
        if !looks.is_empty() {
            return self.join_looks(looks);
        }
        if !gathered.is_empty() {
            return self.join_gathered(asked, node, gathered, reply);
        }
        if !taken.is_empty() {
            self.join_taken(taken, reply);
        }
        Ok(Joined::Reply)
    }

    /// Given what all shards have found: from which keys is taken.
    fn join_looks(&self, looks: Vec<(ShardId, SeekPart)>) -> Result<Joined, Refusal> {
        let refused = looks.iter().filter_map(|(_, part)| part.refused.as_ref());
        let refused = refused.min_by_key(|(index, _)| *index).cloned();
        let is_first = matches!(self.take, Take::First(_));
        let with = looks.iter().filter(|(_, part)| part.found.any);
        let first = with.flat_map(|(_, part)| &part.found.keys).map(|pick| pick.index).min();
        if let Some((index, refusal)) = refused
            && (!is_first || first.is_none_or(|first| index < first))
        {
            return Err(refusal);
        }
        let Some(first) = first else { return Ok(Joined::Nothing) };
        let steps = looks.into_iter().filter_map(|(shard, part)| {
            let mut keys = part.found.keys;
            keys.retain(|pick| !is_first || pick.index == first);
            let part = TakePart { keys, replies: Vec::new() };
            (!part.keys.is_empty()).then_some((shard, Step::Take(part)))
        });
        Ok(Joined::Steps(steps.collect()))
    }

    /// Writes the reply of what was taken.
    fn join_taken(&self, taken: Vec<TakePart>, reply: &mut ReplyWriter<'_>) {
        let parts = taken.into_iter().flat_map(|part| part.keys.into_iter().zip(part.replies));
        // Of several keys only those that had something.
        let mut parts: Vec<(Pick, Output)> =
            parts.filter(|(_, output)| !output.is_empty()).collect();
        parts.sort_by_key(|(pick, _)| pick.index);
        if let Take::Each { open, .. } = self.take {
            open(reply, parts.len());
        }
        for (_, mut output) in parts {
            let whole = 0..output.len();
            reply.take_from(&mut output, whole);
        }
    }

    /// Decides, given what was found at the keys of one that moves something.
    fn join_gathered(
        &self,
        asked: &Asked<'_>,
        node: NodeFacts,
        parts: Vec<GatherPart>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        let carry = self.carry();
        let carried = Carry::put_together(parts);
        if carried.first().is_none_or(Option::is_none) {
            return Ok(Joined::Nothing);
        }
        let decided = (carry.decide)(&mut node.decision(asked.db, reply), asked.args, &carried)?;
        let Decided::Writes(writes) = decided else {
            unreachable!("who waits decides at once");
        };
        Ok(Joined::writes(writes, node.shards))
    }

    /// All of it on the one shard that has these keys, in the order of the request: whether there was
    /// something, which has been taken then and replied with. `claim`, of one who sleeps or is about to, is
    /// asked before anything is taken or refused; where it says no, nothing is.
    pub fn attempt(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        keys: &[Pick],
        claim: Option<&dyn Fn() -> bool>,
    ) -> Result<bool, Refusal> {
        let is_mine = || claim.is_none_or(|claim| claim());
        if let Take::Carry(carry) = &self.take {
            return attempt_carry(carry, cx, args, keys, claim);
        }
        let keys = match self.found(cx, args, keys, claim.is_some()) {
            Ok(found) if !found.any => return Ok(false),
            _ if !is_mine() => return Ok(false),
            found => found.map_err(|(_, refusal)| refusal)?.keys,
        };
        if let Take::First(_) = self.take {
            keys.into_iter().try_for_each(|pick| self.take_one(cx, args, pick))?;
        } else {
            let mut part = TakePart { keys, replies: Vec::new() };
            self.take_from(cx, args, &mut part)?;
            self.join_taken(vec![part], &mut cx.reply);
        }
        Ok(true)
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, asked: &Asked<'_>) -> Result<Whole, Refusal> {
        if let Some(carry) = self.as_carry(asked.args) {
            return carry.whole(cx, asked);
        }
        self.check(asked.args)?;
        let keys: Vec<Pick> = Pick::all_of(asked.keys, &asked.args).collect();
        if !self.attempt(cx, asked.args, &keys, None)? {
            (self.nothing)(&mut cx.reply);
        }
        Ok(Whole::Done)
    }
}

fn attempt_carry(
    carry: &Carry,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    keys: &[Pick],
    claim: Option<&dyn Fn() -> bool>,
) -> Result<bool, Refusal> {
    let is_mine = || claim.is_none_or(|claim| claim());
    let mut carried = Vec::with_capacity(keys.len());
    for pick in keys {
        let (key, index) = (args.get(pick.position as usize), pick.index as usize);
        if index == 0 && claim.is_some() && cx.keys.is_promised(cx.db, key) {
            return Ok(false);
        }
        match (carry.gather)(cx, key, index, args) {
            Ok(None) if index == 0 => return Ok(false),
            Ok(found) => carried.push(found),
            Err(refusal) => return if is_mine() { Err(refusal) } else { Ok(false) },
        }
    }
    if !is_mine() {
        return Ok(false);
    }
    let decided = (carry.decide)(&mut cx.decision(), args, &carried)?;
    // Nobody holds what is changed now.
    drop(carried);
    let Decided::Writes(writes) = decided else {
        unreachable!("who waits decides at once");
    };
    perform(cx.keys, writes);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_as_the_long_doubles_that_redis_reads() {
        const RANGE: &str = "ERR timeout is out of range";
        const NONE: &str = "ERR timeout is not a float or out of range";
        let millis = |millis| Ok(Patience::For(Duration::from_millis(millis)));
        for (text, patience) in [
            ("0", Ok(Patience::Endless)),
            ("-0", Ok(Patience::Endless)),
            ("1e-400", millis(1)),
            ("-1e-400", Ok(Patience::Endless)),
            ("1e-10", millis(1)),
            ("-1e-10", Ok(Patience::Endless)),
            ("0x1p-4", millis(63)),
            ("+.5", millis(500)),
            ("-1", Err("ERR timeout is negative")),
            ("1e16", Err(RANGE)),
            ("1e400", Err(RANGE)),
            ("inf", Err(RANGE)),
            ("nan", Err(NONE)),
            (" 1", Err(NONE)),
            ("", Err(NONE)),
        ] {
            let read = Patience::of_seconds(text.as_bytes());
            let read = read.map_err(|refusal| refusal.text().into_owned());
            assert_eq!(read, patience.map_err(str::to_owned), "{text}");
        }
    }
}
