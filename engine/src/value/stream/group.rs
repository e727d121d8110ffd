//! Groups of consumers, and what was delivered to them and not confirmed.
//!
//! ```text
//!   group      last entry delivered | how many were read, -1 where that is not known
//!   pending    by entry:  number of the consumer | delivered at, milliseconds | how often
//!   consumers  by name, by number, and what is pending by consumer: see `consumer`
//! ```
//!
//! All of it lies in trees of shared pages: whoever holds a group holds four references, and who changes it then copies
//! the pages that it touches.

use super::consumer::{ByName, ByNumber, Consumer, Own};
use super::id::Id;
use super::part;
use crate::value::tree::{Bound, Element, Identity, NewElement, Order, Place, Tree};
use crate::value::{Reading, Write};
use crate::varint;
use std::borrow::Cow;

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

/// A group.
#[derive(Clone, Default)]
pub struct Group {
    /// The last entry that was delivered to it.
    pub last: Id,
    /// How many it has read; -1 where that is not known.
    pub read: i64,
    pending: Tree<ByEntry>,
    own: Tree<Own>,
    consumers: Tree<ByName>,
    /// By their numbers. Those of another node need not be dense, whatever it tells.
    names: Tree<ByNumber>,
}

/// A group as a whole, its name and all that is in it apart.
const GROUP_WHOLE: usize = 1 + 16 + 8;

/// What a name takes.
pub(super) fn named(name: &[u8]) -> usize {
    varint::length(name.len() as u64) + name.len()
}

fn as_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Group {
    /// How many entries are pending.
    pub fn pending_count(&self) -> u64 {
        self.pending.len()
    }

    /// How many consumers.
    pub fn consumer_count(&self) -> usize {
        as_size(self.consumers.len())
    }

    /// The consumers, in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = Consumer<'_>> {
        self.consumers_from(0)
    }

    /// The same behind so many of them.
    pub fn consumers_from(&self, place: u64) -> impl Iterator<Item = Consumer<'_>> {
        let walk = self.consumers.walk(&self.consumers.at(place));
        walk.filter_map(|element| Consumer::of(&self.own, element))
    }

    /// How the consumer with a number is called.
    pub fn name_of(&self, number: u32) -> Option<Cow<'_, [u8]>> {
        self.names.find(number, b"").1.map(|element| element.value().to_bytes())
    }

    /// A consumer by its name.
    pub fn consumer_named(&self, name: &[u8]) -> Option<Consumer<'_>> {
        let (_, found) = self.consumers.find(ByName::key(name), name);
        Consumer::of(&self.own, found?)
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

    /// A consumer asked, and perhaps got something; it is made where there is none. Its number.
    pub(super) fn meet(&mut self, name: &[u8], seen: i64, active: i64) -> u32 {
        let key = ByName::key(name);
        let (place, found) = self.consumers.find(key, name);
        let Some(there) = found.and_then(|found| Consumer::of(&self.own, found)) else {
            let number = self.free_number();
            self.put_consumer(&place, number, name, (seen, active));
            return number;
        };
        let number = there.number;
        let head: &[&[u8]] = &[name, &Consumer::facts(number, seen, active)];
        self.consumers.replace(&place, NewElement { key, head, tail: None });
        number
    }

    fn free_number(&self) -> u32 {
        let last = self.names.back_from(self.names.len()).next().map(|element| element.key);
        match last.map(|last| last.checked_add(1)) {
            None => 0,
            Some(Some(next)) => next,
            // After four thousand million of them: some have gone.
            Some(None) => {
                let mut taken = (0..).zip(self.names.iter().map(|element| element.key));
                taken.find(|(free, taken)| free != taken).map_or(0, |(free, _)| free)
            }
        }
    }

    /// Puts one at its place among the names.
    fn put_consumer(
        &mut self,
        place: &Place,
        number: u32,
        name: &[u8],
        (seen, active): (i64, i64),
    ) {
        let key = ByName::key(name);
        let head: &[&[u8]] = &[name, &Consumer::facts(number, seen, active)];
        self.consumers.insert(place, NewElement { key, head, tail: None });
        let place = self.names.find(number, b"").0;
        self.names.insert(&place, NewElement { key: number, head: &[name], tail: None });
    }

    /// Lets go of a consumer, and of what is pending with it.
    pub(super) fn drop_consumer(&mut self, name: &[u8]) -> bool {
        let (place, found) = self.consumers.find(ByName::key(name), name);
        let Some(there) = found.and_then(|it| Consumer::of(&self.own, it)) else { return false };
        let number = there.number;
        for id in there.pending_from(Id::ZERO) {
            let (place, found) = self.pending.find(id.0, b"");
            if found.is_some() {
                self.pending.remove(&place);
            }
        }
        self.own.remove_range(Own::range(&self.own, number, Id::ZERO));
        self.consumers.remove(&place);
        let (place, found) = self.names.find(number, b"");
        if found.is_some() {
            self.names.remove(&place);
        }
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
        let (key, id): (u32, &[u8]) = (pending.consumer, &Own::entry(pending.id));
        let (place, found) = self.own.find(key, id);
        if found.is_none() {
            self.own.insert(&place, NewElement { key, head: &[id], tail: None });
        }
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
        let (place, found) = self.own.find(old.consumer, &Own::entry(old.id));
        if found.is_some() {
            self.own.remove(&place);
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
            begin(&mut bytes, consumer.name());
            bytes.extend_from_slice(&consumer.seen.to_le_bytes());
            bytes.extend_from_slice(&consumer.active.to_le_bytes());
            part(&bytes);
        }
        for Pending { id, consumer, at, times } in self.pending_from(Id::ZERO) {
            begin(&mut bytes, &self.name_of(consumer).unwrap_or_default());
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.write_number(at);
            bytes.write_number(times);
            part(&bytes);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let own = self.own.heap_bytes() + self.consumers.heap_bytes() + self.names.heap_bytes();
        size_of::<Group>() + as_size(own + self.pending.heap_bytes())
    }

    pub(super) fn encoded_len(&self) -> usize {
        GROUP_WHOLE + as_size(self.consumers.encoded_len() + self.pending.encoded_len())
    }

    /// What stands before its consumers and what is pending.
    fn write_head(&self, name: &[u8], out: &mut Vec<u8>) {
        out.push(part::GROUP);
        out.write_bytes(name);
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.read.to_le_bytes());
    }

    pub(super) fn encode(&self, name: &[u8], out: &mut Vec<u8>) {
        self.write_head(name, out);
        self.consumers.encode_range(0..self.consumers.encoded_len(), out);
        self.pending.encode_range(0..self.pending.encoded_len(), out);
    }

    pub(super) fn encode_range(&self, name: &[u8], cutting: &mut part::Cutting<'_>) {
        cutting.short(GROUP_WHOLE + named(name), |out| self.write_head(name, out));
        cutting.tree(&self.consumers);
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
        let (place, found) = self.consumers.find(ByName::key(name), name);
        if self.names.find(number, b"").1.is_some() || found.is_some() {
            return None;
        }
        self.put_consumer(&place, number, name, (seen, active));
        Some(())
    }

    /// What another node tells to be pending, behind what it has told before.
    pub(super) fn add_pending(&mut self, id: Id, consumer: u32, at: u64, times: u64) -> Option<()> {
        self.names.find(consumer, b"").1?;
        self.pending_last().is_none_or(|last| last < id).then_some(())?;
        self.own(Pending { id, consumer, at, times });
        Some(())
    }

    /// Bytes of consumers that no other group holds.
    #[cfg(test)]
    pub(super) fn consumers_held_alone(&self) -> u64 {
        let (mut alone, mut at) = (0, 0);
        while at < self.consumers.len() {
            let (some, next, _) = self.consumers.kept_from(at);
            (alone, at) = (alone + some, next);
        }
        alone
    }
}
