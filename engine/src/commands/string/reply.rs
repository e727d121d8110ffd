//! Strings as replies.

use crate::resp::{Held, ReplyWriter};
use crate::value::{Rope, RopeRef, Value};
use std::ops::Range;

/// Replies with all bytes.
#[inline]
pub(super) fn reply_whole(reply: &mut ReplyWriter<'_>, value: Value<'_>) {
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
pub(super) fn reply_part(reply: &mut ReplyWriter<'_>, value: Value<'_>, range: Range<usize>) {
    match value {
        Value::Int(_) => value.with_bytes(|bytes| reply.bulk(&bytes[range])),
        Value::Bytes(bytes) => reply.bulk(&bytes[range]),
        Value::Rope(rope) => reply.bulk_with(range.len(), |out| {
            rope.stretches(range).for_each(|stretch| out.extend_from_slice(stretch));
        }),
    }
}
