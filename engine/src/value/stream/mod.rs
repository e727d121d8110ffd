//! Streams: entries by number, what the stream knows of itself, groups of consumers.
//!
//! ```text
//!   entries   [ pack ] [ pack ] [ pack ] ... [ the pack that grows ]      `pack`: up to 100 entries, packed
//!              by the number of its first entry, in a tree
//!   groups    by name: consumers, and what is pending by entry and by consumer     `groups`, `group`, `consumer`
//! ```
//!
//! Entries lie packed as in Redis, a new pack begins where Redis would begin a node, and deleted entries stay
//! in their pack as dead slots until all are: so a trim of whole nodes (`~`) takes what it takes there.
//!
//! A stream that becomes empty stays.

mod build;
mod consumer;
mod effect;
mod entries;
mod group;
mod groups;
mod id;
mod pack;
mod part;
mod text;
mod told;
mod whole;

pub use build::Builder;
pub use consumer::Consumer;
pub use effect::{
    Add, Confirm, Delete, Deliver, Dismiss, NewEntry, PutGroup, RemoveGroup, Set, TYPE, Trim,
    name_of_change,
};
pub use entries::{Front, Leave, NodeLimits};
pub use group::{Group, Pending};
pub use id::Id;
pub use pack::Fields;
pub use text::Text;
pub use told::WORDS;

use super::types::OPS_MAX;
use super::{Item, NewValue, Object, RopeRef, SentEffect, SharedValue};
use entries::{Entries, bytes_of};
use groups::Groups;
pub(super) use groups::free_slice;
use part::{Cutting, FACTS_BYTES, write_pack_opening};
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 5;

/// The value.
#[derive(Clone, Default)]
pub struct Stream {
    entries: Entries,
    last: Id,
    added: u64,
    max_deleted: Id,
    groups: Groups,
}

impl Stream {
    /// How many entries.
    pub fn len(&self) -> u64 {
        self.entries.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest number that was given.
    pub fn last_id(&self) -> Id {
        self.last
    }

    /// How many entries there ever were.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// The greatest number of an entry that was deleted.
    pub fn max_deleted(&self) -> Id {
        self.max_deleted
    }

    /// The first entry; `0-0` where there is none.
    pub fn first(&self) -> Id {
        self.entries.first
    }

    /// The last entry; `0-0` where there is none.
    pub fn top(&self) -> Id {
        self.entries.top
    }

    /// How many packs.
    pub fn pack_count(&self) -> u64 {
        self.entries.pack_count()
    }

    /// About how many bytes so many entries take.
    pub fn bytes_of(&self, entries: u64) -> u64 {
        let each = self.entries.heap_bytes() as u64 / self.len().max(1);
        each.saturating_mul(entries)
    }

    /// How many groups.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The groups, in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.groups.iter()
    }

    /// Those whose names are behind this one; all, behind none.
    pub fn groups_behind(&self, name: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &Group)> {
        self.groups.behind(name)
    }

    /// Whether there is such an entry.
    pub fn has(&self, id: Id) -> bool {
        self.entries.has(id)
    }

    /// The entries from one number to another, one after the other, until `see` says `false`.
    #[inline]
    pub fn visit(&self, from: Id, to: Id, see: impl FnMut(Id, Fields<'_>) -> bool) {
        self.entries.visit(from, to, see);
    }

    /// The same from the last to the first.
    pub fn visit_back(&self, from: Id, to: Id, see: impl FnMut(Id, Fields<'_>) -> bool) {
        self.entries.visit_back(from, to, see);
    }

    /// How many entries are in a pack, by its number.
    pub fn pack_len(&self, number: u64) -> u64 {
        self.entries.pack_len(number)
    }

    /// The bytes of a pack, where they are a rope.
    pub fn long_pack(&self, number: u64) -> Option<RopeRef<'_>> {
        self.entries.long_pack(number)
    }

    /// The entries of a pack whose bytes those of such a rope are.
    pub fn visit_pack_of(&self, number: u64, bytes: &[u8], see: impl FnMut(Id, Fields<'_>)) {
        self.entries.visit_pack_of(number, bytes, see);
    }

    /// The entries of a pack.
    pub fn visit_pack(&self, number: u64, see: impl FnMut(Id, Fields<'_>)) {
        self.entries.visit_pack(number, see);
    }

    /// Whether an entry whose names and values have so many bytes begins a pack.
    pub fn begins_pack(&self, bytes: u64, limits: NodeLimits) -> bool {
        self.entries.begins_pack(bytes, limits)
    }

    /// What a trim would take, looking at so many packs at the most; and whether it would take more.
    /// `whole` lets it take whole packs only, and no more than `limit` entries where that is not 0.
    pub fn front(&self, leave: Leave, whole: bool, limit: u64, packs: u64) -> (Front, bool) {
        self.entries.front(leave, whole, limit, packs)
    }

    /// The stream after some effects, for who is to know what they lead to before they are had.
    pub fn with(&self, effects: &[SentEffect]) -> SharedValue {
        let mut item = Item::new(b"", NewValue::Object(self.copy()), None);
        for effect in effects {
            let op = (effect.change % OPS_MAX) as u8;
            // What does not fit here will not fit there either.
            let _ = (TYPE.perform)(&mut item, op, &effect.bytes);
        }
        item.share()
    }

    /// Whether an entry was deleted from a number on.
    fn has_gaps_from(&self, from: Id) -> bool {
        !self.is_empty() && self.max_deleted != Id::ZERO && from <= self.max_deleted
    }

    /// The how manieth entry ever one is, where that can be told; else -1. Of one that is not there: how many
    /// there were before it.
    pub fn count_up_to(&self, id: Id) -> i64 {
        let (added, length) = (self.added as i64, self.len() as i64);
        if added == 0 || length == 0 && id <= self.last {
            return added;
        }
        if id != Id::ZERO && id < self.max_deleted {
            return -1;
        }
        match id.cmp(&self.last) {
            Ordering::Equal => return added,
            Ordering::Greater => return -1,
            Ordering::Less => {}
        }
        let is_whole = self.max_deleted == Id::ZERO || self.max_deleted < self.first();
        match id.cmp(&self.first()) {
            Ordering::Less if is_whole => added.wrapping_sub(length),
            Ordering::Equal if is_whole => added.wrapping_sub(length).wrapping_add(1),
            _ => -1,
        }
    }

    /// How many entries a group has still to read, where that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.added == 0 || self.is_empty() {
            return Some(0);
        }
        if group.last < self.first() && self.max_deleted < self.first() {
            return Some(self.len() as i64);
        }
        let read = match group.read {
            read if read != -1 && !self.has_gaps_from(group.last) => read,
            _ => self.count_up_to(group.last),
        };
        (read != -1).then(|| (self.added as i64).wrapping_sub(read))
    }

    /// How far a group has come, and how many it has read, once an entry is delivered to it.
    pub fn deliver(&self, (last, read): (Id, i64), id: Id) -> (Id, i64) {
        if id <= last {
            return (last, read);
        }
        let is_known = read != -1 && last >= self.first() && !self.has_gaps_from(last);
        let read = match () {
            () if is_known => read.wrapping_add(1),
            () if self.added > 0 => self.count_up_to(id),
            () => read,
        };
        (id, read)
    }

    fn add(&mut self, id: Id, begins_pack: bool, fields: Fields<'_>) -> Option<()> {
        if id <= self.last || id == Id::ZERO {
            return None;
        }
        self.entries.add(id, begins_pack, fields)?;
        self.last = id;
        self.added = self.added.wrapping_add(1);
        Some(())
    }

    fn delete(&mut self, id: Id) -> bool {
        let was_there = self.entries.delete(id);
        if was_there {
            self.max_deleted = self.max_deleted.max(id);
        }
        was_there
    }
}

impl Object for Stream {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    /// A stream stays.
    fn is_empty(&self) -> bool {
        false
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.write_facts(out);
        for element in self.entries.packs.iter() {
            write_pack_opening(Id(element.key), element.length(), out);
            out.extend_from_slice(&bytes_of(&element));
        }
        self.write_open(out);
        self.groups.encode(out);
    }

    fn encoded_len(&self) -> usize {
        let packs = usize::try_from(self.entries.packs.encoded_len()).unwrap_or(usize::MAX);
        FACTS_BYTES + packs + self.open_bytes() + self.groups.encoded_len()
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut cutting = Cutting { range: range.start as u64..range.end as u64, at: 0, out };
        cutting.short(FACTS_BYTES, |out| self.write_facts(out));
        cutting.tree(&self.entries.packs);
        cutting.short(self.open_bytes(), |out| self.write_open(out));
        self.groups.encode_range(&mut cutting);
    }

    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        self.add_parts(at, bytes)
    }

    /// Of what is pending nothing: that is held for as long as the stream.
    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (kept, next, pages) = self.entries.packs.kept_from(at);
        (kept, Some(next).filter(|next| *next < self.entries.packs.len()), pages)
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Stream>() + self.entries.heap_bytes() + self.groups.heap_bytes()
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        self.visit(Id::ZERO, Id::MAX, |id, fields| {
            bytes.clear();
            bytes.extend_from_slice(&id.0.to_le_bytes());
            for (name, value) in fields {
                [name, value].iter().for_each(|text| text.write(&mut bytes));
            }
            part(&bytes);
            true
        });
        bytes.clear();
        bytes.extend_from_slice(b"stream");
        for fact in [self.last.0, u128::from(self.added), self.max_deleted.0] {
            bytes.extend_from_slice(&fact.to_le_bytes());
        }
        part(&bytes);
        for (name, group) in self.groups() {
            group.digest(name, part);
        }
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} entries, {} groups)", self.len(), self.group_count())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let mut stream = Stream::default();
    let is_whole = !bytes.is_empty() && stream.add_parts(0, bytes)? == bytes.len();
    is_whole.then(|| NewValue::Object(Arc::new(stream)))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
