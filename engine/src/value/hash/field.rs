//! A field where it lies: its bytes, and the orders in which fields stand.

use crate::types::Millis;
use crate::value::effect::Reading;
use crate::value::tree::{Element, Identity, Key, NewElement, Order};
use crate::value::{Rope, RopeRef};
use crate::varint;
use std::borrow::Cow;

/// Fields of a large one.
pub(super) struct ByHash;

impl Order for ByHash {
    type Key = u32;

    fn identity(element: Element<'_, u32>) -> Identity<'_> {
        Field::of(element).map_or(Identity::Bytes(b""), |field| field.identity())
    }
}

/// Hashes of the fields of a large one that have a deadline.
pub(super) struct ByDeadline;

impl Order for ByDeadline {
    type Key = u64;

    fn identity(element: Element<'_, u64>) -> Identity<'_> {
        Identity::Bytes(element.head)
    }
}

/// Some of an element's bytes, which may lie in a rope.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// They lie together.
    Bytes(&'a [u8]),
    /// From the first number up to the second.
    Rope(RopeRef<'a>, usize, usize),
}

impl<'a> Part<'a> {
    /// All bytes together; those in a rope are copied for it.
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Part::Bytes(bytes) => Cow::Borrowed(bytes),
            Part::Rope(rope, from, to) => {
                let mut bytes = Vec::with_capacity(to - from);
                rope.stretches(from..to).for_each(|stretch| bytes.extend_from_slice(stretch));
                Cow::Owned(bytes)
            }
        }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::Rope(_, from, to) => to - from,
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn identity(self) -> Identity<'a> {
        match self {
            Part::Bytes(bytes) => Identity::Bytes(bytes),
            Part::Rope(rope, from, to) => Identity::Rope(rope, from, to),
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
    #[inline]
    pub(super) fn of<K>(element: Element<'a, K>) -> Option<Field<'a>> {
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
        self.name.identity()
    }

    /// Whether it is called so.
    pub(super) fn is_named(self, name: &[u8]) -> bool {
        match self.name {
            Part::Bytes(bytes) => bytes == name,
            part => part.len() == name.len() && *part.to_bytes() == *name,
        }
    }

    /// What it is called.
    pub fn name(self) -> Part<'a> {
        self.name
    }

    /// Its value.
    pub fn value(self) -> Part<'a> {
        self.value
    }

    /// When it ends to be, if it does.
    pub fn deadline(self) -> Option<Millis> {
        self.deadline
    }

    /// Whether its time has come.
    #[inline]
    pub fn is_due(self, now: Millis) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }
}

/// A name as it is looked for among elements that stand in no order: most differ in the first byte.
#[derive(Clone, Copy)]
pub(super) struct Sought<'n> {
    name: &'n [u8],
    /// The first byte of an element with a name of this length and no deadline; 0 of a long one.
    first: u8,
}

impl<'n> Sought<'n> {
    pub(super) fn new(name: &'n [u8]) -> Sought<'n> {
        Sought { name, first: if name.len() < 64 { (name.len() << 1) as u8 } else { 1 } }
    }

    #[inline]
    pub(super) fn is(self, element: Element<'_, ()>) -> bool {
        if let [first, rest @ ..] = element.head
            && self.first != 1
        {
            if *first == self.first {
                return rest.starts_with(self.name);
            }
            if *first & !1 != self.first {
                return false;
            }
        }
        Field::of(element).is_some_and(|field| field.is_named(self.name))
    }
}

/// What stands before a field: how long it is, when it ends, and where it begins.
#[inline]
pub(super) fn opening(bytes: &[u8]) -> Option<(usize, Option<Millis>, usize)> {
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
pub(super) fn open(room: &mut [u8; 18], length: usize, deadline: Option<Millis>) -> usize {
    let mut at = 0;
    let mut put = |byte| {
        room[at] = byte;
        at += 1;
    };
    varint::write((length as u64) << 1 | u64::from(deadline.is_some()), &mut put);
    deadline.into_iter().flat_map(|Millis(at)| at.to_le_bytes()).for_each(put);
    at
}

/// Bytes of a field without a deadline.
pub(super) fn length_of(name: &[u8], value: &[u8]) -> usize {
    let mut opening = 0;
    varint::write((name.len() as u64) << 1, |_| opening += 1);
    opening + name.len() + value.len()
}

/// Hands a field to `put` as an element.
pub(super) fn with_element<K: Key, R>(
    key: K,
    (name, value, deadline): (&[u8], &[u8], Option<Millis>),
    put: impl FnOnce(NewElement<'_, K>) -> R,
) -> R {
    const INLINE_MAX: usize = ByHash::LEAF / 8;
    let mut room = [0; 18];
    let opened = open(&mut room, name.len(), deadline);
    let parts = [&room[..opened], name, value];
    let (short, long) = (opened + name.len(), opened + name.len() + value.len());
    put(match long > INLINE_MAX && short <= INLINE_MAX {
        false => NewElement { key, head: &parts, tail: None },
        true => NewElement { key, head: &parts[..2], tail: Some(Rope::of(value)) },
    })
}
