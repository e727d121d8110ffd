//! Commands whose parts are one key each: MGET, MSET, DEL.
//!
//! ```text
//!   MGET a b c d ─► shard 0: a, c ─► "1" "3" ─┐
//!                   shard 1: b, d ─► "2" "4" ─┴► 1 2 3 4, in the order of the keys
//! ```

use super::pick::{Asked, KEYS_PER_PIECE, Pick, Picks};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::{Output, Protocol, ReplyWriter};
use crate::types::ShardId;
use crate::value::{INLINE_MAX, Item, NewValue};

/// The shape of commands whose parts are one key each.
#[derive(Debug)]
pub struct Each {
    /// Arguments per part: 1 (key) or 2 (key, value).
    pub stride: usize,
    /// Does one key; `value` is empty when the stride is 1. The number goes into [`Join::Sum`].
    pub one: fn(cx: &mut Cx<'_>, key: &[u8], value: NewValue<'_>) -> Result<i64, Refusal>,
    /// How parts become the reply.
    pub join: Join,
}

/// How the parts of an [`Each`] command become one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `+OK` once all are done.
    Ok,
    /// An integer: the sum of the parts.
    Sum,
    /// An array of what each part wrote: one element a key, in the order of the keys.
    Array,
}

/// Does a piece of the joining, until it says that it was the last.
pub type Joining = Box<dyn FnMut(&mut ReplyWriter<'_>) -> bool>;

/// One shard's keys of an [`Each`] command, and how far it has come with them.
#[derive(Default)]
pub struct EachPart {
    keys: Vec<Pick>,
    done: usize,
    /// Sum of the keys' numbers.
    sum: i64,
    /// What the keys wrote, one after the other.
    bytes: Output,
    /// Where each key's element ends.
    ends: Vec<usize>,
    /// Bytes that room was taken for.
    counted: usize,
    foresight: Foresight,
}

impl EachPart {
    pub(super) fn of(keys: Vec<Pick>) -> EachPart {
        EachPart { keys, ..EachPart::default() }
    }

    /// All keys of the command. What they write is the reply as it is.
    fn of_all(keys: Vec<Pick>) -> EachPart {
        let mut part = EachPart::of(keys);
        part.bytes.writer(Protocol::default()).array(part.keys.len());
        part
    }
}

impl Each {
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        if (asked.args.len() - asked.keys.first()) % self.stride == 0 {
            return Ok(());
        }
        Err(Refusal::Arity(asked.name.to_owned()))
    }

    /// The parts of the shards that have these keys.
    pub(super) fn split(&self, mut picks: Picks) -> Vec<(ShardId, EachPart)> {
        if let (Join::Array, [(shard, keys)]) = (self.join, picks.as_mut_slice()) {
            return vec![(*shard, EachPart::of_all(std::mem::take(keys)))];
        }
        picks.into_iter().map(|(shard, keys)| (shard, EachPart::of(keys))).collect()
    }

    /// Does one key.
    fn do_one(&self, cx: &mut Cx<'_>, args: Args<'_>, position: usize) -> Result<i64, Refusal> {
        let value = match self.stride {
            1 => NewValue::Bytes(b""),
            _ => args.value(position + 1),
        };
        (self.one)(cx, args.get(position), value)
    }

    /// Some of a shard's keys; whether those were the last.
    pub(super) fn piece(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        part: &mut EachPart,
    ) -> Result<bool, Refusal> {
        let end = part.keys.len().min(part.done + KEYS_PER_PIECE);
        let mut bytes = std::mem::take(&mut part.bytes);
        let reply = bytes.writer(cx.reply.protocol);
        let mut cx = cx.writing_to(reply);
        cx.counted = part.counted;
        let outcome = match part.foresight.is_due(&cx) {
            true => part.look_ahead(&mut cx, args),
            false => self.do_keys(&mut cx, args, part, end),
        };
        part.counted = cx.counted;
        part.bytes = bytes;
        outcome?;
        Ok(part.done == part.keys.len())
    }

    fn do_keys(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        part: &mut EachPart,
        end: usize,
    ) -> Result<(), Refusal> {
        let key_of = |key: &Pick| args.get(key.position as usize);
        if part.done == 0 && self.join == Join::Array {
            part.ends.reserve(part.keys.len());
        }
        let keys = &part.keys[part.done..end];
        // What is not in the cache is on its way while other keys are done; of few it was when they were asked for.
        if part.keys.len() > KEYS_PER_PIECE {
            cx.keys.fetch_ahead::<KEYS_PER_PIECE>(cx.db, keys.iter().map(key_of));
        }
        for key in keys {
            part.sum += self.do_one(cx, args, key.position as usize)?;
            if self.join == Join::Array {
                part.ends.push(cx.reply.out.len());
                cx.take_room()?;
            }
        }
        part.done = end;
        Ok(())
    }

    /// Makes the reply of the parts; or gives back how it is made, where that takes long.
    pub(super) fn join(
        &self,
        parts: Vec<EachPart>,
        reply: &mut ReplyWriter<'_>,
    ) -> Option<Joining> {
        match self.join {
            Join::Ok => reply.ok(),
            Join::Sum => reply.integer(parts.iter().map(|part| part.sum).sum()),
            Join::Array => return join_array(parts, reply),
        }
        None
    }

    pub(super) fn whole(&self, cx: &mut Cx<'_>, asked: &Asked<'_>) -> Outcome {
        self.check(asked)?;
        let (args, keys) = (asked.args, asked.keys);
        if self.join == Join::Array {
            cx.reply.array((args.len() - keys.first()) / self.stride);
        }
        let mut sum = 0;
        for position in keys.positions(&args) {
            sum += self.do_one(cx, args, position)?;
            if self.join == Join::Array {
                cx.take_room()?;
            }
        }
        match self.join {
            Join::Ok => cx.reply.ok(),
            Join::Sum => cx.reply.integer(sum),
            Join::Array => {}
        }
        Ok(())
    }
}

/// The elements of all parts, in the order of the keys.
fn join_array(mut parts: Vec<EachPart>, reply: &mut ReplyWriter<'_>) -> Option<Joining> {
    /// Elements put in order at a time: some 100 KB where they are copied.
    const PIECE: usize = 256;
    let sum = |of: fn(&EachPart) -> usize, parts: &[EachPart]| parts.iter().map(of).sum();
    let count: usize = sum(|part| part.keys.len(), &parts);
    if let [part] = parts.as_mut_slice() {
        // With the header before it.
        if reply.take_all(&mut part.bytes) {
            return None;
        }
    } else {
        reply.array(count);
    }
    let (bytes, held) =
        (sum(|part| part.bytes.len(), &parts), sum(|part| part.bytes.held(), &parts));
    reply.reserve(bytes, held);
    // The keys of each part are in the order of the request: the next one is the least of their heads.
    let mut next = vec![(0, 0); parts.len()];
    let mut index = 0;
    let mut piece = move |reply: &mut ReplyWriter<'_>| {
        let end = count.min(index + PIECE);
        while index < end {
            for (part, (element, start)) in parts.iter_mut().zip(&mut next) {
                // Those in a row are taken together.
                let from = *element;
                let is_next = |at: &usize| part.keys.get(*at).map(|key| key.index as usize);
                while index < end && is_next(element) == Some(index) {
                    (*element, index) = (*element + 1, index + 1);
                }
                if *element > from {
                    let end = part.ends[*element - 1];
                    reply.take_from(&mut part.bytes, *start..end);
                    *start = end;
                }
            }
        }
        index == count
    };
    if piece(reply) { None } else { Some(Box::new(piece)) }
}

/// From here on a reply of several elements is made with foresight: to copy what is there takes some 50 us.
const LARGE_REPLY: usize = 512 * 1024;

/// A look at the keys to come, once a reply turns out to be large: whether all of them have room, and how much
/// memory is to be taken at once. A large reply that is copied while it grows, or made in vain, holds
/// everybody up.
#[derive(Default)]
struct Foresight {
    /// The next key to look at, once that has begun.
    looked: Option<usize>,
    is_over: bool,
    bytes: usize,
    copied: usize,
    held: usize,
}

impl Foresight {
    fn is_due(&self, cx: &Cx<'_>) -> bool {
        !self.is_over && cx.reply.whole() >= LARGE_REPLY
    }
}

impl EachPart {
    /// Looks at some of the keys to come.
    fn look_ahead(&mut self, cx: &mut Cx<'_>, args: Args<'_>) -> Result<(), Refusal> {
        /// Around each element: `$`, digits and line ends.
        const AROUND: usize = 25;
        let ahead = &mut self.foresight;
        let from = *ahead.looked.get_or_insert(self.done);
        let end = self.keys.len().min(from + KEYS_PER_PIECE);
        for key in &self.keys[from..end] {
            let key = args.get(key.position as usize);
            let length = cx.keys.peek(cx.db, key).map_or(0, Item::encoded_len);
            ahead.bytes += AROUND + length;
            // What is larger is only referred to.
            let is_held = length > INLINE_MAX && cx.reply.may_hold();
            ahead.copied += AROUND + if is_held { 0 } else { length };
            ahead.held += usize::from(is_held);
        }
        ahead.looked = Some(end);
        if end < self.keys.len() {
            return Ok(());
        }
        ahead.is_over = true;
        cx.who.hold_room(cx.reply.whole() + ahead.bytes)?;
        cx.reply.reserve(ahead.copied, ahead.held);
        Ok(())
    }
}
