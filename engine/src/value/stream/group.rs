//! Groups of consumers, and what was delivered to them and not confirmed.
//!
//! ```text
//!   group      last entry delivered | how many were read, -1 where that is not known
//!   pending    by entry:  number of the consumer | delivered at, milliseconds | how often
//!   consumer   its number is its place in the group; seen at, active at, and its own entries: numbers only
//! ```

use super::id::Id;
use super::part;
use crate::value::tree::{Bound, Element, Identity, NewElement, Order, Tree};
use crate::value::{Reading, Write};
use crate::varint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is pending, by the entry's number.
struct ByEntry;

impl Order for ByEntry {
    type Key = u128;

    fn identity(_: Element<'_, u128>) -> Identity<'_> {
        Identity::Bytes(b"")
    }

    fn encoded(element: Element<'_, u128>) -> u64 {
        (1 + size_of::<u128>() + element.head.len()) as u64
    }

    fn encode_opening(element: Element<'_, u128>, out: &mut Vec<u8>) {
        out.push(part::PENDING);
        out.extend_from_slice(&element.key.to_le_bytes());
    }
}

/// An entry that was delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Which.
    pub id: Id,
    /// To which consumer.
    pub consumer: u32,
    /// When, in milliseconds.
    pub at: u64,
    /// How often.
    pub times: u64,
}

impl Pending {
    fn of(element: Element<'_, u128>) -> Option<Pending> {
        Pending::read(Id(element.key), &mut Reading(element.head))
    }

    fn read(id: Id, reading: &mut Reading<'_>) -> Option<Pending> {
        let consumer = u32::try_from(reading.number()?).ok()?;
        Some(Pending { id, consumer, at: reading.number()?, times: reading.number()? })
    }

    /// What stands in the tree, and its length.
    fn to_bytes(self) -> ([u8; 25], usize) {
        let (mut bytes, mut at) = ([0; 25], 0);
        for number in [u64::from(self.consumer), self.at, self.times] {
            varint::write(number, |byte| {
                bytes[at] = byte;
                at += 1;
            });
        }
        (bytes, at)
    }
}

/// A consumer.
#[derive(Clone)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked, in milliseconds.
    pub seen: i64,
    /// When it last got something; -1: never.
    pub active: i64,
    pending: Tree<ByEntry>,
}

impl Consumer {
    /// What it is called.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries are pending with it.
    pub fn pending_count(&self) -> u64 {
        self.pending.len()
    }

    /// How many of those have this number or a later one.
    pub fn pending_count_from(&self, from: Id) -> u64 {
        let place = self.pending.seek(&Bound::Before(from.0, b""));
        self.pending.len() - self.pending.rank(&place)
    }

    /// The numbers of those, from one on.
    pub fn pending_from(&self, from: Id) -> impl Iterator<Item = Id> {
        self.pending.from(&Bound::Before(from.0, b"")).map(|element| Id(element.key))
    }
}

/// A group.
#[derive(Clone, Default)]
pub struct Group {
    /// The last entry that was delivered to it.
    pub last: Id,
    /// How many it has read; -1 where that is not known.
    pub read: i64,
    pending: Tree<ByEntry>,
    /// By their numbers. Those of another node need not be dense, whatever it tells.
    consumers: BTreeMap<u32, Consumer>,
    by_name: BTreeMap<Arc<[u8]>, u32>,
    /// Of the consumers.
    heap: usize,
    encoded: usize,
}

/// A consumer's places in the list and in the map, and the count before its name.
const CONSUMER_BYTES: usize = 120;

/// A group as a whole, its name and all that is in it apart.
const GROUP_WHOLE: usize = 1 + 16 + 8;
/// A consumer as a whole, its name apart.
const CONSUMER_WHOLE: usize = 1 + 4 + 8 + 8;

fn named(name: &[u8]) -> usize {
    varint::length(name.len() as u64) + name.len()
}

fn heap_of<O: Order>(tree: &Tree<O>) -> usize {
    usize::try_from(tree.heap_bytes()).unwrap_or(usize::MAX)
}

impl Group {
    /// How many entries are pending.
    pub fn pending_count(&self) -> u64 {
        self.pending.len()
    }

    /// How many consumers.
    pub fn consumer_count(&self) -> usize {
        self.by_name.len()
    }

    /// The consumers, in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.by_name.values().filter_map(|number| self.consumer(*number))
    }

    /// The consumer with a number.
    pub fn consumer(&self, number: u32) -> Option<&Consumer> {
        self.consumers.get(&number)
    }

    /// A consumer, and its number.
    pub fn consumer_named(&self, name: &[u8]) -> Option<(u32, &Consumer)> {
        let number = *self.by_name.get(name)?;
        Some((number, self.consumer(number)?))
    }

    /// What is pending of an entry.
    pub fn pending(&self, id: Id) -> Option<Pending> {
        self.pending.find(id.0, b"").1.and_then(Pending::of)
    }

    /// What is pending, from a number on.
    pub fn pending_from(&self, from: Id) -> impl Iterator<Item = Pending> {
        self.pending.from(&Bound::Before(from.0, b"")).filter_map(Pending::of)
    }

    /// The last that is pending.
    pub fn pending_last(&self) -> Option<Id> {
        self.pending.back_from(self.pending.len()).next().map(|element| Id(element.key))
    }

    /// The consumer's number; it is made where there is none.
    pub(super) fn make_consumer(&mut self, name: &[u8]) -> u32 {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let last = self.consumers.last_key_value().map(|(number, _)| *number);
        let number = match last.map(|last| last.checked_add(1)) {
            None => 0,
            Some(Some(next)) => next,
            // After four thousand million of them: some have gone.
            Some(None) => {
                let mut taken = (0..).zip(self.consumers.keys());
                taken.find(|(free, taken)| free != *taken).map_or(0, |(free, _)| free)
            }
        };
        self.put_consumer(number, name, 0, -1);
        number
    }

    fn put_consumer(&mut self, number: u32, name: &[u8], seen: i64, active: i64) {
        let name: Arc<[u8]> = name.into();
        self.heap += CONSUMER_BYTES + name.len();
        self.encoded += CONSUMER_WHOLE + named(&name);
        self.by_name.insert(name.clone(), number);
        self.consumers.insert(number, Consumer { name, seen, active, pending: Tree::new() });
    }

    /// Notes that a consumer asked, and perhaps got something.
    pub(super) fn note(&mut self, number: u32, seen: i64, active: i64) {
        if let Some(consumer) = self.consumers.get_mut(&number) {
            (consumer.seen, consumer.active) = (seen, active);
        }
    }

    /// Lets go of a consumer, and of what is pending with it.
    pub(super) fn drop_consumer(&mut self, name: &[u8]) -> bool {
        let Some(number) = self.by_name.remove(name) else { return false };
        let Some(consumer) = self.consumers.remove(&number) else { return false };
        for element in consumer.pending.iter() {
            let (place, found) = self.pending.find(element.key, b"");
            if found.is_some() {
                self.pending.remove(&place);
            }
        }
        self.heap -= CONSUMER_BYTES + name.len() + heap_of(&consumer.pending);
        self.encoded -= CONSUMER_WHOLE + named(name);
        true
    }

    /// An entry is pending with a consumer of the group from now on.
    pub(super) fn own(&mut self, pending: Pending) {
        let (bytes, length) = pending.to_bytes();
        let (key, head) = (pending.id.0, &[&bytes[..length]] as &[&[u8]]);
        let end = self.pending.end();
        let is_behind = self.pending_last().is_none_or(|last| last < pending.id);
        let (place, found) = if is_behind { (end, None) } else { self.pending.find(key, b"") };
        let old = found.and_then(Pending::of);
        let new = NewElement { key, head, tail: None };
        match old {
            Some(_) => self.pending.replace(&place, new),
            None => self.pending.insert(&place, new),
        }
        if old.is_some_and(|old| old.consumer == pending.consumer) {
            return;
        }
        if let Some(old) = old {
            self.disown(old);
        }
        self.edit_own(pending.consumer, |own| {
            let (place, found) = own.find(key, b"");
            if found.is_none() {
                own.insert(&place, NewElement { key, head: &[], tail: None });
            }
        });
    }

    /// An entry is pending no more; whether it was.
    pub(super) fn confirm(&mut self, id: Id) -> bool {
        let (place, found) = self.pending.find(id.0, b"");
        let Some(old) = found.and_then(Pending::of) else { return false };
        self.pending.remove(&place);
        self.disown(old);
        true
    }

    fn disown(&mut self, old: Pending) {
        self.edit_own(old.consumer, |own| {
            let (place, found) = own.find(old.id.0, b"");
            if found.is_some() {
                own.remove(&place);
            }
        });
    }

    fn edit_own(&mut self, consumer: u32, edit: impl FnOnce(&mut Tree<ByEntry>)) {
        if let Some(consumer) = self.consumers.get_mut(&consumer) {
            let before = heap_of(&consumer.pending);
            edit(&mut consumer.pending);
            self.heap = self.heap + heap_of(&consumer.pending) - before;
        }
    }

    pub(super) fn digest(&self, name: &[u8], part: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        let begin = |bytes: &mut Vec<u8>, who: &[u8]| {
            bytes.clear();
            bytes.write_bytes(name);
            bytes.write_bytes(who);
        };
        begin(&mut bytes, b"");
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        bytes.extend_from_slice(&self.read.to_le_bytes());
        part(&bytes);
        for consumer in self.consumers() {
            begin(&mut bytes, &consumer.name);
            bytes.extend_from_slice(&consumer.seen.to_le_bytes());
            bytes.extend_from_slice(&consumer.active.to_le_bytes());
            part(&bytes);
        }
        for Pending { id, consumer, at, times } in self.pending_from(Id::ZERO) {
            begin(&mut bytes, self.consumer(consumer).map_or(b"", |consumer| consumer.name()));
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.write_number(at);
            bytes.write_number(times);
            part(&bytes);
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Group>() + self.heap + heap_of(&self.pending)
    }

    fn encoded_len(&self) -> usize {
        let pending = usize::try_from(self.pending.encoded_len()).unwrap_or(usize::MAX);
        GROUP_WHOLE + self.encoded + pending
    }

    /// What stands before what is pending.
    fn write_head(&self, name: &[u8], out: &mut Vec<u8>) {
        out.push(part::GROUP);
        out.write_bytes(name);
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.read.to_le_bytes());
        for (name, number) in &self.by_name {
            let Some(consumer) = self.consumer(*number) else { continue };
            out.push(part::CONSUMER);
            out.write_bytes(name);
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&consumer.seen.to_le_bytes());
            out.extend_from_slice(&consumer.active.to_le_bytes());
        }
    }

    fn encode(&self, name: &[u8], out: &mut Vec<u8>) {
        self.write_head(name, out);
        self.pending.encode_range(0..self.pending.encoded_len(), out);
    }

    fn encode_range(&self, name: &[u8], cutting: &mut part::Cutting<'_>) {
        let head = GROUP_WHOLE + named(name) + self.encoded;
        cutting.short(head, |out| self.write_head(name, out));
        cutting.tree(&self.pending);
    }

    /// A consumer that another node tells of.
    pub(super) fn add_consumer(
        &mut self,
        number: u32,
        name: &[u8],
        seen: i64,
        active: i64,
    ) -> Option<()> {
        if self.consumers.contains_key(&number) || self.by_name.contains_key(name) {
            return None;
        }
        self.put_consumer(number, name, seen, active);
        Some(())
    }

    /// What another node tells to be pending, behind what it has told before.
    pub(super) fn add_pending(&mut self, id: Id, consumer: u32, at: u64, times: u64) -> Option<()> {
        self.consumer(consumer)?;
        self.pending_last().is_none_or(|last| last < id).then_some(())?;
        self.own(Pending { id, consumer, at, times });
        Some(())
    }
}

/// All groups of a stream.
#[derive(Clone, Default)]
pub(super) struct Groups {
    by_name: BTreeMap<Arc<[u8]>, Arc<Group>>,
    heap: usize,
    encoded: usize,
}

/// A group's place in the map and the counts of what it is held by.
const PLACE_BYTES: usize = 64;

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name).map(|group| &**group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, &**group))
    }

    /// Puts a group there, or another in its place.
    pub(super) fn put(&mut self, name: &[u8], group: Group) {
        self.remove(name);
        self.heap += PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded += named(name) + group.encoded_len();
        self.by_name.insert(name.into(), Arc::new(group));
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.by_name.remove(name) else { return false };
        self.heap -= PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded -= named(name) + group.encoded_len();
        true
    }

    /// Changes a group, if there is such a one; a copy of it where somebody else holds it.
    pub(super) fn edit<R>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = Arc::make_mut(self.by_name.get_mut(name)?);
        let (heap, encoded) = (group.heap_bytes(), group.encoded_len());
        let done = edit(group);
        self.heap = self.heap + group.heap_bytes() - heap;
        self.encoded = self.encoded + group.encoded_len() - encoded;
        Some(done)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.encoded
    }

    /// The last of the names.
    pub(super) fn last_name(&self) -> Option<Arc<[u8]>> {
        self.by_name.last_key_value().map(|(name, _)| name.clone())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.by_name.iter().for_each(|(name, group)| group.encode(name, out));
    }

    pub(super) fn encode_range(&self, cutting: &mut part::Cutting<'_>) {
        self.by_name.iter().for_each(|(name, group)| group.encode_range(name, cutting));
    }
}
