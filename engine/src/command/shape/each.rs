//! Commands whose parts are one key each: MGET, MSET, DEL.
//!
//! ```text
//!   MGET a b c d ─► shard 0: a, c ─► "1" "3" ─┐
//!                   shard 1: b, d ─► "2" "4" ─┴► 1 2 3 4, in the order of the keys
//! ```

use super::pick::{Asked, KEYS_PER_PIECE, Pick};
use crate::command::{Args, Cx, Outcome, Refusal};
use crate::resp::{Output, ReplyWriter};
use crate::value::NewValue;

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
    large: bool,
    /// Bytes that room was taken for.
    counted: usize,
}

impl EachPart {
    pub(super) fn of(keys: Vec<Pick>) -> EachPart {
        EachPart { keys, ..EachPart::default() }
    }
}

impl Each {
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        if (asked.args.len() - asked.keys.first()) % self.stride == 0 {
            return Ok(());
        }
        Err(Refusal::Arity(asked.name.to_owned()))
    }

    /// Does one key; `rest` are the positions of those after it.
    fn do_one(
        &self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        position: usize,
        large: &mut bool,
        rest: impl Iterator<Item = usize>,
    ) -> Result<i64, Refusal> {
        let value = match self.stride {
            1 => NewValue::Bytes(b""),
            _ => args.value(position + 1),
        };
        let number = (self.one)(cx, args.get(position), value)?;
        if self.join == Join::Array {
            take_room_among(cx, large, rest.map(|position| args.get(position)))?;
        }
        Ok(number)
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
        for at in part.done..end {
            let rest = part.keys[at + 1..].iter().map(|key| key.position as usize);
            let position = part.keys[at].position as usize;
            part.sum += self.do_one(&mut cx, args, position, &mut part.large, rest)?;
            if self.join == Join::Array {
                part.ends.push(cx.reply.out.len());
            }
        }
        part.counted = cx.counted;
        (part.done, part.bytes) = (end, bytes);
        Ok(end == part.keys.len())
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
        let (mut sum, mut large) = (0, false);
        for position in keys.positions(&args) {
            let rest = keys.positions(&args).filter(|other| *other > position);
            sum += self.do_one(cx, args, position, &mut large, rest)?;
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
    /// Elements put in order at a time.
    const PIECE: usize = 1024;
    let count: usize = parts.iter().map(|part| part.keys.len()).sum();
    reply.array(count);
    reply.out.reserve(parts.iter().map(|part| part.bytes.len()).sum());
    if let [part] = parts.as_mut_slice() {
        let whole = 0..part.bytes.len();
        reply.take_from(&mut part.bytes, whole);
        return None;
    }
    // The keys of each part are in the order of the request: the next one is the least of their heads.
    let mut next = vec![(0, 0); parts.len()];
    let mut index = 0;
    let mut piece = move |reply: &mut ReplyWriter<'_>| {
        let end = count.min(index + PIECE);
        while index < end {
            for (part, (element, start)) in parts.iter_mut().zip(&mut next) {
                let is_next = |key: &&Pick| key.index as usize == index;
                if part.keys.get(*element).filter(is_next).is_some() {
                    let end = part.ends[*element];
                    reply.take_from(&mut part.bytes, *start..end);
                    (*element, *start) = (*element + 1, end);
                    index += 1;
                }
            }
        }
        index == count
    };
    if piece(reply) { None } else { Some(Box::new(piece)) }
}

/// From here on a reply of several elements is made with foresight.
const LARGE_REPLY: usize = 4 * 1024 * 1024;

/// Takes room for one element of several, given the keys of those to come. When the reply turns out to be
/// large it is asked once whether all of them have room, and the memory is taken at once: a large reply
/// that is copied while it grows, or made in vain, holds everybody up.
fn take_room_among<'k>(
    cx: &mut Cx<'_>,
    large: &mut bool,
    rest: impl Iterator<Item = &'k [u8]>,
) -> Result<(), Refusal> {
    if !*large && cx.reply.whole() >= LARGE_REPLY {
        *large = true;
        /// The most that lies together, and is copied.
        const COPIED_MAX: usize = 64 * 1024;
        /// Around each element: `$`, digits and line ends.
        const AROUND: usize = 25;
        let (mut bytes, mut copied) = (0, 0);
        for key in rest {
            let length = cx.keys.peek(cx.db, key).map_or(0, crate::value::Item::encoded_len);
            bytes += AROUND + length;
            // What is larger is only referred to.
            copied += AROUND + if length <= COPIED_MAX { length } else { 0 };
        }
        cx.who.hold_room(cx.reply.whole() + bytes)?;
        cx.reply.out.reserve_exact(if cx.reply.may_hold() { copied } else { bytes });
    }
    cx.take_room()
}
