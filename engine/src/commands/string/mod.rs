//! Strings and counters.
//!
//! Every file is a family of verbs: its declarations, then the functions under them. What SET and GETEX
//! say about time stands in `expiry`. Nothing here knows shards, journals or connections: keys are
//! looked up and changed through the context, which tells whoever has to know.

mod count;
mod expiry;
mod get;
mod lcs;
mod many;
mod range;
mod set;

use crate::command::Command;
use crate::resp::{Held, ReplyWriter};
use crate::value::{Rope, RopeRef, Value};
use std::ops::Range;

pub(super) const COMMANDS: &[&Command] = &[
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &get::GETSET,
    &set::SET,
    &set::SETNX,
    &set::SETEX,
    &set::PSETEX,
    &range::STRLEN,
    &range::APPEND,
    &range::GETRANGE,
    &range::SUBSTR,
    &range::SETRANGE,
    &count::INCR,
    &count::DECR,
    &count::INCRBY,
    &count::DECRBY,
    &count::INCRBYFLOAT,
    &many::MGET,
    &many::MSET,
    &many::MSETNX,
    &lcs::LCS,
];

/// Replies with all bytes.
#[inline]
fn reply_whole(reply: &mut ReplyWriter<'_>, value: Value<'_>) {
    match value {
        Value::Bytes(bytes) => reply.bulk(bytes),
        Value::Int(number) => reply.bulk_integer(number),
        Value::Rope(rope) if reply.may_hold() && is_held(rope, reply) => {
            reply.bulk_held(Box::new(HeldRope(rope.hold())));
        }
        Value::Rope(rope) => reply_part(reply, value, 0..rope.len()),
    }
}

/// From here on a value is referred to by its reply instead of copied: below, sending it piece by piece would
/// cost as much as copying it.
const HELD_MIN: usize = 256 * 1024;
/// And any long string from here on in one reply.
const REPLY_LARGE: usize = 1024 * 1024;

fn is_held(rope: RopeRef<'_>, reply: &ReplyWriter<'_>) -> bool {
    rope.len() >= HELD_MIN || reply.out.len() >= REPLY_LARGE
}

/// A long string that a reply refers to.
struct HeldRope(Rope);

impl Held for HeldRope {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn stretch(&self, from: usize) -> &[u8] {
        self.0.borrow().stretch(from)
    }
}

/// Replies with the bytes in `range`, which are there.
fn reply_part(reply: &mut ReplyWriter<'_>, value: Value<'_>, range: Range<usize>) {
    match value {
        Value::Int(_) => value.with_bytes(|bytes| reply.bulk(&bytes[range])),
        Value::Bytes(bytes) => reply.bulk(&bytes[range]),
        Value::Rope(rope) => reply.bulk_with(range.len(), |out| {
            rope.stretches(range).for_each(|stretch| out.extend_from_slice(stretch));
        }),
    }
}

#[cfg(test)]
mod tests;
