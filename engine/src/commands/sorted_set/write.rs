//! Members and scores in replies, and sorted sets that are made as a whole.

use crate::db::Encodings;
use crate::resp::{Protocol, ReplyWriter};
use crate::value::sorted_set::{Entry, SortedSet};
use crate::value::{SharedValue, Value};
use std::ops::Range;
use std::sync::Arc;

/// Members that are shown, removed or looked at in one piece: some 20 us.
pub(in crate::commands) const PIECE: u64 = 256;

/// A member.
#[inline]
pub(in crate::commands) fn write_member(reply: &mut ReplyWriter<'_>, member: Value<'_>) {
    match member {
        Value::Bytes(bytes) => reply.bulk(bytes),
        value => reply.bulk_with(value.len(), |out| {
            value.with_stretches(0..value.len(), |bytes| out.extend_from_slice(bytes));
        }),
    }
}

/// A member with its score: a pair in RESP3.
#[inline]
pub(super) fn write_pair(reply: &mut ReplyWriter<'_>, entry: Entry<'_>) {
    if reply.protocol == Protocol::Resp3 {
        reply.array(2);
    }
    write_member(reply, entry.member);
    reply.double(entry.score);
}

/// Stands before so many members, with their scores or without.
pub(super) fn write_header(reply: &mut ReplyWriter<'_>, count: u64, with_scores: bool) {
    let is_flat = with_scores && reply.protocol == Protocol::Resp2;
    reply.array(count as usize * if is_flat { 2 } else { 1 });
}

/// What is shown of a sorted set, a piece at a time.
pub(super) struct Showing {
    left: Range<u64>,
    is_backwards: bool,
    with_scores: bool,
    is_begun: bool,
}

impl Showing {
    /// The members with these numbers, as an array.
    pub(super) fn of(range: Range<u64>, is_backwards: bool, with_scores: bool) -> Showing {
        Showing { left: range, is_backwards, with_scores, is_begun: false }
    }

    /// Whether one piece is enough.
    pub(super) fn is_short(&self) -> bool {
        self.left.end - self.left.start <= PIECE
    }

    /// Writes a piece; whether that was the last.
    pub(super) fn more(&mut self, set: &SortedSet, reply: &mut ReplyWriter<'_>) -> bool {
        let with_scores = self.with_scores;
        if !std::mem::replace(&mut self.is_begun, true) {
            write_header(reply, self.left.end - self.left.start, with_scores);
        }
        set.visit(piece_of(&mut self.left, self.is_backwards), self.is_backwards, |entry| {
            match with_scores {
                true => write_pair(reply, entry),
                false => write_member(reply, entry.member),
            }
            true
        });
        self.left.is_empty()
    }
}

/// Takes a piece off what is left: from the start, or from the end where it is gone along backwards.
pub(super) fn piece_of(left: &mut Range<u64>, is_backwards: bool) -> Range<u64> {
    if is_backwards {
        let start = left.end.saturating_sub(PIECE).max(left.start);
        return start..std::mem::replace(&mut left.end, start);
    }
    let end = left.end.min(left.start + PIECE);
    std::mem::replace(&mut left.start, end)..end
}

/// A sorted set that is being made.
pub(in crate::commands) struct Making {
    pub(super) set: SortedSet,
    longest: usize,
    encodings: Encodings,
}

impl Making {
    /// Nothing is in it yet.
    pub(in crate::commands) fn new(encodings: Encodings) -> Making {
        Making { set: SortedSet::default(), longest: 0, encodings }
    }

    /// Sets a member's score.
    pub(in crate::commands) fn set(&mut self, score: f64, member: &[u8]) {
        self.longest = self.longest.max(member.len());
        self.set.set(score, member);
    }

    /// How many members it has.
    pub(in crate::commands) fn len(&self) -> u64 {
        self.set.len()
    }

    /// It is done; `None` where nothing is in it.
    pub(in crate::commands) fn end(&mut self) -> Option<SharedValue> {
        let mut set = std::mem::take(&mut self.set);
        let small = self.encodings.sorted_set;
        if set.len() > small.entries || self.longest > small.value {
            set.make_large();
        }
        (!set.is_empty()).then(|| SharedValue::Object(Arc::new(set)))
    }
}
