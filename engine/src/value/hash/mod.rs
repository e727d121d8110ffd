//! Hashes: fields with values, each of which may have a deadline of its own.
//!
//! ```text
//!   fields     in the order of (hash of the field, field):
//!              length of the field, twice, and 1 if there is a deadline | deadline, 8 bytes | field | value
//!   deadlines  in their order: hash of the field, 4 bytes          only of fields that have one
//!
//!   as a whole:  each field as it stands there, its length before it
//! ```
//!
//! A long value is the element's tail; of a field that is long itself all bytes are.
//!
//! Nothing expires here: who asks for a field is told its deadline, and [`Hash::due`] tells whose have come.

mod effect;

pub use effect::{Persist, Remove, Set, TYPE};

use super::effect::{Reading, for_each_whole};
use super::tree::{Bound, Element, Identity, NewElement, Order, Place, Tree, hash_of};
use super::{NewValue, Object, RopeRef};
use crate::types::Millis;
use crate::varint;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Of the type, for ever.
const NUMBER: u8 = 4;

/// The value.
#[derive(Clone, Default)]
pub struct Hash {
    fields: Tree<ByHash>,
    deadlines: Tree<ByDeadline>,
}

struct ByHash;

impl Order for ByHash {
    type Key = u32;

    fn identity(element: Element<'_, u32>) -> Identity<'_> {
        Field::of(element).map_or(Identity::Bytes(b""), |field| field.identity())
    }
}

struct ByDeadline;

impl Order for ByDeadline {
    type Key = u64;

    fn identity(element: Element<'_, u64>) -> Identity<'_> {
        Identity::Bytes(element.head)
    }
}

/// Some of an element's bytes, which may lie in a rope.
#[derive(Clone, Copy)]
enum Part<'a> {
    Bytes(&'a [u8]),
    Rope(RopeRef<'a>, usize, usize),
}

impl<'a> Part<'a> {
    fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Part::Bytes(bytes) => Cow::Borrowed(bytes),
            Part::Rope(rope, from, to) => {
                let mut bytes = Vec::with_capacity(to - from);
                rope.stretches(from..to).for_each(|stretch| bytes.extend_from_slice(stretch));
                Cow::Owned(bytes)
            }
        }
    }
}

/// A field where it lies.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    name: Part<'a>,
    value: Part<'a>,
    deadline: Option<Millis>,
}

impl<'a> Field<'a> {
    /// What an element says; `None` of one that no hash has.
    fn of(element: Element<'a, u32>) -> Option<Field<'a>> {
        match element.tail {
            Some(tail) if element.head.is_empty() => {
                let (length, deadline, at) = opening(tail.stretch(0))?;
                let end = at.checked_add(length).filter(|end| *end <= tail.len())?;
                let (name, value) = (Part::Rope(tail, at, end), Part::Rope(tail, end, tail.len()));
                Some(Field { name, value, deadline })
            }
            tail => {
                let (length, deadline, at) = opening(element.head)?;
                let (name, rest) = element.head[at..].split_at_checked(length)?;
                let rope = |tail: RopeRef<'a>| Part::Rope(tail, 0, tail.len());
                let value = tail.map_or(Part::Bytes(rest), rope);
                Some(Field { name: Part::Bytes(name), value, deadline })
            }
        }
    }

    fn identity(self) -> Identity<'a> {
        match self.name {
            Part::Bytes(bytes) => Identity::Bytes(bytes),
            Part::Rope(rope, from, to) => Identity::Rope(rope, from, to),
        }
    }

    /// What it is called.
    pub fn name(self) -> Cow<'a, [u8]> {
        self.name.to_bytes()
    }

    /// Its value.
    pub fn value(self) -> Cow<'a, [u8]> {
        self.value.to_bytes()
    }

    /// When it ends to be, if it does.
    pub fn deadline(self) -> Option<Millis> {
        self.deadline
    }
}

/// What stands before a field: how long it is, when it ends, and where it begins.
fn opening(bytes: &[u8]) -> Option<(usize, Option<Millis>, usize)> {
    let mut reading = Reading(bytes);
    let number = reading.number()?;
    let (length, mut at) = (usize::try_from(number >> 1).ok()?, bytes.len() - reading.0.len());
    let mut deadline = None;
    if number & 1 > 0 {
        let (told, _) = reading.0.split_first_chunk::<8>()?;
        deadline = Some(Millis(u64::from_le_bytes(*told)));
        at += 8;
    }
    Some((length, deadline, at))
}

/// Writes what [`opening`] reads; how many bytes that are.
fn open(room: &mut [u8; 18], length: usize, deadline: Option<Millis>) -> usize {
    let mut at = 0;
    let mut put = |byte| {
        room[at] = byte;
        at += 1;
    };
    varint::write((length as u64) << 1 | u64::from(deadline.is_some()), &mut put);
    deadline.into_iter().flat_map(|Millis(at)| at.to_le_bytes()).for_each(put);
    at
}

impl Hash {
    /// How many fields it has, those among them that have come to their end.
    pub fn len(&self) -> u64 {
        self.fields.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A field.
    pub fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        self.fields.find(hash_of(name), name).1.and_then(Field::of)
    }

    /// All fields, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().filter_map(Field::of)
    }

    /// The field with this number, below [`Hash::len`].
    pub fn at(&self, index: u64) -> Option<Field<'_>> {
        self.fields.get(&self.fields.at(index)).and_then(Field::of)
    }

    /// A step of a scan: see [`Tree::scan`].
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut see: impl FnMut(Field<'a>)) -> u64 {
        self.fields.scan(cursor, count, |element| {
            if let Some(field) = Field::of(element) {
                see(field);
            }
        })
    }

    /// The first deadline of a field.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.iter().next().map(|element| Millis(element.key))
    }

    /// Names of fields whose deadline has come, up to so many.
    pub fn due(&self, now: Millis, most: usize) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut seen = None;
        for element in self.deadlines.iter().take_while(|element| element.key <= now.0) {
            let Ok(hash) = element.head.try_into().map(u32::from_be_bytes) else { continue };
            // Those of one hash and deadline are found together.
            if seen.replace((element.key, hash)) == Some((element.key, hash)) {
                continue;
            }
            let same = self.fields.from(&Bound::Before(hash, b""));
            let same = same.take_while(|other| other.key == hash).filter_map(Field::of);
            let due = same.filter(|field| field.deadline == Some(Millis(element.key)));
            names.extend(due.map(|field| field.name().into_owned()));
            if names.len() >= most {
                break;
            }
        }
        names
    }

    /// Sets a field; whether it is new.
    fn set(&mut self, name: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        let hash = hash_of(name);
        let (place, there) = self.fields.find(hash, name);
        let (is_new, before) = (there.is_none(), there.and_then(Field::of));
        let before = before.and_then(Field::deadline);
        if before != deadline {
            self.note(hash, before, deadline);
        }
        let mut room = [0; 18];
        let opened = open(&mut room, name.len(), deadline);
        let parts = [&room[..opened], name, value];
        let inline_max = ByHash::LEAF / 8;
        let (short, long) = (opened + name.len(), opened + name.len() + value.len());
        let new = match long > inline_max && short <= inline_max {
            false => NewElement { key: hash, head: &parts, tail: None },
            true => {
                let tail = Some(super::Rope::of(value));
                NewElement { key: hash, head: &parts[..2], tail }
            }
        };
        self.put(&place, is_new, new);
        is_new
    }

    fn put(&mut self, place: &Place, is_new: bool, new: NewElement<'_, u32>) {
        if is_new {
            self.fields.insert(place, new);
        } else {
            self.fields.replace(place, new);
        }
    }

    /// Removes a field; whether there was one.
    fn remove(&mut self, name: &[u8]) -> bool {
        let hash = hash_of(name);
        let (place, there) = self.fields.find(hash, name);
        let Some(there) = there else { return false };
        let before = Field::of(there).and_then(Field::deadline);
        self.fields.remove(&place);
        self.note(hash, before, None);
        true
    }

    /// A field with this hash has another deadline.
    fn note(&mut self, hash: u32, before: Option<Millis>, after: Option<Millis>) {
        let bytes = hash.to_be_bytes();
        if let Some(Millis(before)) = before {
            let (place, there) = self.deadlines.find(before, &bytes);
            if there.is_some() {
                self.deadlines.remove(&place);
            }
        }
        if let Some(Millis(after)) = after {
            let (place, _) = self.deadlines.find(after, &bytes);
            self.deadlines.insert(&place, NewElement { key: after, head: &[&bytes], tail: None });
        }
    }
}

impl Object for Hash {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn encoding(&self) -> &'static str {
        "hashtable"
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for element in self.fields.iter() {
            varint::write(element.length() as u64, |byte| out.push(byte));
            out.extend_from_slice(element.head);
            if let Some(tail) = element.tail {
                tail.stretches(0..tail.len()).for_each(|stretch| out.extend_from_slice(stretch));
            }
        }
    }

    fn encoded_len(&self) -> usize {
        usize::try_from(self.fields.encoded_len()).unwrap_or(usize::MAX)
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        self.fields.encode_range(range.start as u64..range.end as u64, out);
    }

    fn decode_slice(&mut self, _: u64, bytes: &[u8]) -> Option<usize> {
        for_each_whole(bytes, &mut |element| {
            let (length, deadline, at) = opening(element)?;
            let (name, value) = element[at..].split_at_checked(length)?;
            self.set(name, value, deadline).then_some(())
        })
    }

    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let (kept, next, pages) = self.fields.kept_from(at);
        (kept, Some(next).filter(|next| *next < self.fields.len()), pages)
    }

    fn heap_bytes(&self) -> usize {
        let bytes = self.fields.heap_bytes() + self.deadlines.heap_bytes();
        size_of::<Hash>() + usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        for element in self.fields.iter() {
            match element.tail {
                None => part(element.head),
                Some(tail) => part(&[element.head, &tail.to_vec()].concat()),
            }
        }
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({} fields)", self.len())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let mut hash = Hash::default();
    for_each(bytes, &mut |name, value, deadline| hash.set(name, value, deadline))?;
    Some(NewValue::Object(Arc::new(hash)))
}

/// Reads fields as they stand in a whole value, each of them once: `each` says whether it is new.
fn for_each<'a>(
    bytes: &'a [u8],
    each: &mut dyn FnMut(&'a [u8], &'a [u8], Option<Millis>) -> bool,
) -> Option<()> {
    let mut reading = Reading(bytes);
    while !reading.is_done() {
        let element = reading.bytes()?;
        let (length, deadline, at) = opening(element)?;
        let (name, value) = element[at..].split_at_checked(length)?;
        each(name, value, deadline).then_some(())?;
    }
    Some(())
}

#[cfg(test)]
#[path = "hash_tests.rs"]
mod tests;
