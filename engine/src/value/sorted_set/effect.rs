//! What happens inside a sorted set.
//!
//! ```text
//!   op  effect                 bytes
//!    0  set                    members with their scores, as in the value as a whole
//!    1  set, it is large now   the same
//!    2  remove                 members: bytes | bytes ...
//!    3  remove a range         number of the first | how many
//!    4  remove the last        how many
//! ```

use super::packed::{read, write_opening};
use super::score::{key_of, score_of};
use super::{NUMBER, Seen, SortedSet, decode};
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use std::ops::Range;
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "zset",
    empty: || NewValue::Object(Arc::new(SortedSet::default())),
    decode,
    perform,
    wakes: None,
};

pub(super) const OP_SET: u8 = 0;
pub(super) const OP_SET_LARGE: u8 = 1;
pub(super) const OP_REMOVE: u8 = 2;
pub(super) const OP_REMOVE_RANGE: u8 = 3;
pub(super) const OP_REMOVE_LAST: u8 = 4;

/// Members have these scores now. How many of them are new is what comes of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Set<'a> {
    /// Scores, none of them NaN, and whose they are.
    pub members: Vec<(f64, &'a [u8])>,
    /// Whether the set is large from now on ([`SortedSet::is_large`]).
    pub is_large: bool,
    /// Where the only member was seen.
    pub seen: Option<Seen>,
}

/// Members are gone. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remove<'a>(pub Vec<&'a [u8]>);

/// The members with these numbers from the start on are gone. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveRange(pub Range<u64>);

/// So many members with the highest scores are gone. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveLast(pub u64);

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    let mut reading = Reading(bytes);
    match op {
        OP_SET | OP_SET_LARGE => {
            let mut members = Vec::new();
            while !reading.is_done() {
                let (key, member) = read(&mut reading).ok_or(Unfit::Malformed)?;
                members.push((score_of(key), member));
            }
            Set { members, is_large: op == OP_SET_LARGE, seen: None }.perform(item).map(drop)
        }
        OP_REMOVE => {
            let mut members = Vec::new();
            while !reading.is_done() {
                members.push(reading.bytes().ok_or(Unfit::Malformed)?);
            }
            Remove(members).perform(item).map(drop)
        }
        OP_REMOVE_RANGE => {
            let (from, count) = (reading.number(), reading.number());
            let (Some(from), Some(count)) = (from, count) else { return Err(Unfit::Malformed) };
            let to = from.checked_add(count).ok_or(Unfit::Malformed)?;
            RemoveRange(from..to).perform(item).map(drop)
        }
        OP_REMOVE_LAST => {
            let count = reading.number().ok_or(Unfit::Malformed)?;
            RemoveLast(count).perform(item).map(drop)
        }
        _ => Err(Unfit::Unknown),
    }
}

fn set_in(item: &mut Item) -> Result<&mut SortedSet, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

impl TypeEffect for Set<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        for (score, member) in &self.members {
            write_opening(key_of(*score), member.len(), room);
            room.extend_from_slice(member);
        }
        let op = if self.is_large { OP_SET_LARGE } else { OP_SET };
        Told { op, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let set = set_in(item)?;
        if self.is_large {
            set.make_large();
        }
        let set = |(score, member): &&(f64, &[u8])| set.set_seen(*score, member, self.seen);
        Ok(self.members.iter().filter(set).count())
    }
}

impl TypeEffect for Remove<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        self.0.iter().for_each(|member| room.write_bytes(member));
        Told { op: OP_REMOVE, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let set = set_in(item)?;
        Ok(self.0.iter().filter(|member| set.remove(member)).count())
    }
}

impl TypeEffect for RemoveRange {
    const TYPE: &'static Type = &TYPE;

    type Done = u64;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let count = self.0.end.saturating_sub(self.0.start);
        Told { op: OP_REMOVE_RANGE, head: ChangeHead::number(self.0.start).and(count), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<u64, Unfit> {
        Ok(set_in(item)?.remove_range(self.0.clone()))
    }
}

impl TypeEffect for RemoveLast {
    const TYPE: &'static Type = &TYPE;

    type Done = u64;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        Told { op: OP_REMOVE_LAST, head: ChangeHead::number(self.0), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<u64, Unfit> {
        let set = set_in(item)?;
        let length = set.len();
        Ok(set.remove_range(length.saturating_sub(self.0)..length))
    }
}
