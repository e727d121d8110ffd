//! Consumers of a group, and how they lie in trees.
//!
//! ```text
//!   by name     name | number, 4 | seen at, 8 | active at, 8        as they stand in a stream as a whole
//!   by number   name
//!   their own   number, and behind it the number of the entry       what is pending, of all consumers
//! ```

use super::id::Id;
use super::part;
use crate::value::tree::{Bound, Element, Identity, Order, Tree};
use crate::varint;
use std::borrow::Cow;
use std::ops::Range;

/// Behind a name: number, seen, active.
const FACTS_BYTES: usize = 4 + 8 + 8;

fn name_length(element: Element<'_, u32>) -> usize {
    element.length().saturating_sub(FACTS_BYTES)
}

pub(super) struct ByName;

impl Order for ByName {
    /// What the name begins with: see [`ByName::key`].
    type Key = u32;

    fn identity(element: Element<'_, u32>) -> Identity<'_> {
        let end = name_length(element);
        match element.tail {
            None => Identity::Bytes(&element.head[..end]),
            Some(rope) => Identity::Rope(rope, 0, end),
        }
    }

    fn encoded(element: Element<'_, u32>) -> u64 {
        let name = name_length(element);
        (1 + varint::length(name as u64) + element.length()) as u64
    }

    fn encode_opening(element: Element<'_, u32>, out: &mut Vec<u8>) {
        out.push(part::CONSUMER);
        varint::write(name_length(element) as u64, |byte| out.push(byte));
    }
}

impl ByName {
    /// The first four bytes, so that most names are told apart without a look at them. Where a name is shorter there are
    /// zeros: it comes before whatever else begins so, as it does by its bytes.
    pub(super) fn key(name: &[u8]) -> u32 {
        let mut first = [0; 4];
        first.iter_mut().zip(name).for_each(|(byte, of_name)| *byte = *of_name);
        u32::from_be_bytes(first)
    }
}

pub(super) struct ByNumber;

impl Order for ByNumber {
    type Key = u32;

    fn identity(_: Element<'_, u32>) -> Identity<'_> {
        Identity::Bytes(b"")
    }
}

/// What is pending, by consumer and entry.
pub(super) struct Own;

impl Order for Own {
    /// The consumer's number.
    type Key = u32;

    /// The entry's, the highest byte first.
    fn identity(element: Element<'_, u32>) -> Identity<'_> {
        Identity::Bytes(element.head)
    }
}

impl Own {
    /// An entry's number as it stands here.
    pub(super) fn entry(id: Id) -> [u8; 16] {
        id.0.to_be_bytes()
    }

    fn id(element: Element<'_, u32>) -> Option<Id> {
        Some(Id(u128::from_be_bytes(element.head.try_into().ok()?)))
    }

    /// Where the entries of a consumer stand, from one on.
    pub(super) fn range(own: &Tree<Own>, number: u32, from: Id) -> Range<u64> {
        let first = own.seek(&Bound::Before(number, &Own::entry(from)));
        own.rank(&first)..own.rank(&own.seek(&Bound::AfterKey(number)))
    }
}

/// A consumer.
#[derive(Clone)]
pub struct Consumer<'a> {
    own: &'a Tree<Own>,
    name: Cow<'a, [u8]>,
    /// Among those of its group.
    pub number: u32,
    /// When it last asked, in milliseconds.
    pub seen: i64,
    /// When it last got something; -1: never.
    pub active: i64,
}

impl<'a> Consumer<'a> {
    pub(super) fn of(own: &'a Tree<Own>, element: Element<'a, u32>) -> Option<Consumer<'a>> {
        let whole = element.value().to_bytes();
        let end = whole.len().checked_sub(FACTS_BYTES)?;
        let (number, rest) = whole[end..].split_first_chunk()?;
        let (seen, rest) = rest.split_first_chunk()?;
        let (active, _) = rest.split_first_chunk()?;
        Some(Consumer {
            own,
            number: u32::from_le_bytes(*number),
            seen: i64::from_le_bytes(*seen),
            active: i64::from_le_bytes(*active),
            name: match whole {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..end]),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(end);
                    Cow::Owned(bytes)
                }
            },
        })
    }

    /// What stands behind its name.
    pub(super) fn facts(number: u32, seen: i64, active: i64) -> [u8; FACTS_BYTES] {
        let mut facts = [0; FACTS_BYTES];
        facts[..4].copy_from_slice(&number.to_le_bytes());
        facts[4..12].copy_from_slice(&seen.to_le_bytes());
        facts[12..].copy_from_slice(&active.to_le_bytes());
        facts
    }

    /// What it is called.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries are pending with it.
    pub fn pending_count(&self) -> u64 {
        self.pending_count_from(Id::ZERO)
    }

    /// How many of those have this number or a later one.
    pub fn pending_count_from(&self, from: Id) -> u64 {
        let range = Own::range(self.own, self.number, from);
        range.end - range.start
    }

    /// The numbers of those, from one on.
    pub fn pending_from(&self, from: Id) -> impl Iterator<Item = Id> + use<'a> {
        let (own, number) = (self.own, self.number);
        let those = own.from(&Bound::Before(number, &Own::entry(from)));
        those.take_while(move |element| element.key == number).filter_map(Own::id)
    }
}
