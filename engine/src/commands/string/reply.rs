//! Strings as replies.

use crate::command::Cx;
use crate::db::WrongType;
use crate::limits::BATCH_REPLIES_MAX;
use crate::resp::{Held, ReplyWriter};
use crate::value::{INLINE_MAX, Item, Rope, Value};
use std::ops::Range;
use std::sync::Arc;

/// Replies with the string at `key` or nil; says whether there is one.
#[inline]
pub(super) fn reply_at(cx: &mut Cx<'_>, key: &[u8]) -> Result<bool, WrongType> {
    let Some(value) = cx.keys.string(cx.db, key)? else {
        cx.reply.nil();
        return Ok(false);
    };
    match value {
        Value::Int(number) => cx.reply.bulk_integer(number),
        Value::Bytes(bytes) if bytes.len() <= INLINE_MAX || !is_large(&cx.reply) => {
            cx.reply.bulk(bytes);
        }
        Value::Rope(rope) if rope.len() < HELD_MIN && !is_large(&cx.reply) => {
            reply_part(&mut cx.reply, value, 0..rope.len());
        }
        _ => reply_held(cx, key),
    }
    Ok(true)
}

/// From here on a value is referred to by its reply instead of copied: below, sending it piece by piece would
/// cost as much as copying it.
const HELD_MIN: usize = 256 * 1024;
/// And every value that does not lie in its item, from here on in one reply. Pipelines send theirs before.
const REPLY_LARGE: usize = BATCH_REPLIES_MAX;

fn is_large(reply: &ReplyWriter<'_>) -> bool {
    reply.out.len() >= REPLY_LARGE || reply.holds_readily()
}

/// Replies by a reference to the string at `key`, which does not lie in its item.
#[cold]
fn reply_held(cx: &mut Cx<'_>, key: &[u8]) {
    match cx.keys.peek(cx.db, key).and_then(Item::rope) {
        Some(rope) if cx.reply.may_hold() => cx.reply.bulk_held(Arc::new(HeldRope(rope.hold()))),
        Some(rope) => reply_part(&mut cx.reply, rope.into(), 0..rope.len()),
        None => cx.reply.nil(),
    }
}

/// Replies with a string, by a reference to it where it is long.
pub(in crate::commands) fn reply_value(reply: &mut ReplyWriter<'_>, value: Value<'_>) {
    match value {
        Value::Rope(rope) if rope.len() >= HELD_MIN && reply.may_hold() => {
            reply.bulk_held(Arc::new(HeldRope(rope.hold())));
        }
        Value::Bytes(bytes) => reply.bulk(bytes),
        value => reply_part(reply, value, 0..value.len()),
    }
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

    fn kept(&self, looks: &mut usize) -> usize {
        self.0.borrow().kept_bytes(looks)
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
