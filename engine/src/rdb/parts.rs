//! What values are decoded into: parts, one after the other, whatever form they were written in.

use super::lzf;
use super::read::{Blob, Malformed, Text};
use crate::types::Millis;
use crate::value::Value;
use std::ops::Range;

/// The types that Redis has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One string.
    String,
    /// Elements.
    List,
    /// Elements, each once.
    Set,
    /// Members, each once.
    SortedSet,
    /// Fields, each once.
    Hash,
    /// Entries, groups of consumers, and what those have not confirmed.
    Stream,
    /// A module's own; only skipped.
    Module,
}

impl Kind {
    /// As TYPE calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
            Kind::Module => "module",
        }
    }
}

/// An entry's number in a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Counts within them.
    pub seq: u64,
}

/// What a stream knows of itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StreamFacts {
    /// Its entries.
    pub length: u64,
    /// The greatest number that was given.
    pub last: StreamId,
    /// The greatest one that was deleted, if that was written.
    pub max_deleted: StreamId,
    /// How many entries there ever were; where that was not written, as many as there are.
    pub added: u64,
}

/// A part of a value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Part<'a> {
    /// Of a list or a set.
    Element(Value<'a>),
    /// Of a sorted set.
    Member {
        /// Who.
        member: Value<'a>,
        /// Never NaN.
        score: f64,
    },
    /// Of a hash, or of the entry of a stream before it.
    Field {
        /// Its name.
        field: Value<'a>,
        /// What it holds.
        value: Value<'a>,
        /// Until when, if it does not for ever.
        expires: Option<Millis>,
    },
    /// Of a stream, in ascending order; so many fields follow.
    Entry {
        /// Its number.
        id: StreamId,
        /// How many fields.
        fields: u64,
    },
    /// Behind the entries of a stream.
    Facts(StreamFacts),
    /// Of a stream: what was delivered to it and not confirmed follows, then its consumers.
    Group {
        /// Its name.
        name: Value<'a>,
        /// The last entry that it got.
        last: StreamId,
        /// How many it has read, if that is known.
        read: Option<u64>,
    },
    /// Of a group: delivered, not confirmed.
    Pending {
        /// The entry.
        id: StreamId,
        /// When.
        at: Millis,
        /// How often.
        times: u64,
    },
    /// Of a group; what is pending with it follows.
    Consumer {
        /// Its name.
        name: Value<'a>,
        /// When it last asked.
        seen: Millis,
        /// When it last got something.
        active: Millis,
    },
    /// Pending with the consumer before it.
    Claimed(StreamId),
    /// Something of a module's.
    Skipped,
}

impl Part<'_> {
    /// How long its strings are, together.
    pub fn len(&self) -> usize {
        match self {
            Part::Element(value) | Part::Member { member: value, .. } => value.len(),
            Part::Field { field, value, .. } => field.len() + value.len(),
            Part::Group { name, .. } | Part::Consumer { name, .. } => name.len(),
            _ => 0,
        }
    }

    /// Whether it has none, or none with anything in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part whose strings lie elsewhere.
pub(super) enum Step {
    Element,
    Member(f64),
    Field(Option<Millis>),
    Entry { id: StreamId, fields: u64 },
    Facts(StreamFacts),
    Group { last: StreamId, read: Option<u64> },
    Pending { id: StreamId, at: Millis, times: u64 },
    Consumer { seen: Millis, active: Millis },
    Claimed(StreamId),
    Skipped,
}

/// Where a string of a part is.
#[derive(Default)]
pub(super) enum Spot {
    #[default]
    Nowhere,
    Int(i64),
    /// In what is read.
    Outside(Range<usize>),
    /// In the collection that is gone through.
    Inside(Range<usize>),
    Own(Vec<u8>),
    /// By LZF, in what is read: so many bytes, which are still to be unpacked.
    Packed(Range<usize>, usize),
}

/// A longer string is unpacked in pieces, where that is asked for.
const UNPACKED_AT_ONCE: usize = 64 * 1024;

/// The strings of the part that was read last.
pub(super) struct Strings {
    /// The collection that is gone through.
    pub(super) blob: Blob,
    pub(super) first: Spot,
    pub(super) second: Spot,
    /// Whether long ones may be left packed.
    pub(super) is_patient: bool,
    unpacking: Option<(lzf::Unpacking, Vec<u8>)>,
}

impl Strings {
    pub(super) const NONE: Strings = Strings {
        blob: Blob::EMPTY,
        first: Spot::Nowhere,
        second: Spot::Nowhere,
        is_patient: false,
        unpacking: None,
    };

    /// Where a string of what is read is.
    pub(super) fn outside(&self, text: Text, all: &[u8]) -> Result<Spot, Malformed> {
        match text {
            Text::Packed(range, length) if self.is_patient && length > UNPACKED_AT_ONCE => {
                Ok(Spot::Packed(range, length))
            }
            text => Spot::outside(text, all),
        }
    }

    /// Whether a string of the part that was read last is still packed.
    pub(super) fn are_packed(&self) -> bool {
        matches!(self.first, Spot::Packed(..)) || matches!(self.second, Spot::Packed(..))
    }

    /// Unpacks a piece of one that is.
    pub(super) fn unpack_some(&mut self, all: &[u8]) -> Result<(), Malformed> {
        let spot = match self.first {
            Spot::Packed(..) => &mut self.first,
            _ => &mut self.second,
        };
        let Spot::Packed(range, length) = &*spot else { return Ok(()) };
        let malformed = Malformed { at: range.start, why: "LZF does not hold" };
        let packed = all.get(range.clone()).ok_or(malformed)?;
        let (unpacking, out) = self.unpacking.get_or_insert_with(|| {
            // So many bytes may stand for so many: that was checked.
            (lzf::Unpacking::default(), Vec::with_capacity(*length))
        });
        let until = out.len() + UNPACKED_AT_ONCE;
        if unpacking.more(packed, *length, until, out).ok_or(malformed)? {
            *spot = Spot::Own(std::mem::take(out));
            self.unpacking = None;
        }
        Ok(())
    }

    fn value<'a>(&'a self, spot: &'a Spot, all: &'a [u8]) -> Value<'a> {
        match spot {
            Spot::Nowhere | Spot::Packed(..) => Value::Bytes(b""),
            Spot::Int(number) => Value::Int(*number),
            Spot::Outside(range) => Value::Bytes(&all[range.clone()]),
            Spot::Inside(range) => Value::Bytes(&self.blob.bytes(all)[range.clone()]),
            Spot::Own(bytes) => Value::Bytes(bytes),
        }
    }

    pub(super) fn part<'a>(&'a self, step: Step, all: &'a [u8]) -> Part<'a> {
        let first = || self.value(&self.first, all);
        let second = || self.value(&self.second, all);
        match step {
            Step::Element => Part::Element(first()),
            Step::Member(score) => Part::Member { member: first(), score },
            Step::Field(expires) => Part::Field { field: first(), value: second(), expires },
            Step::Entry { id, fields } => Part::Entry { id, fields },
            Step::Facts(facts) => Part::Facts(facts),
            Step::Group { last, read } => Part::Group { name: first(), last, read },
            Step::Pending { id, at, times } => Part::Pending { id, at, times },
            Step::Consumer { seen, active } => Part::Consumer { name: first(), seen, active },
            Step::Claimed(id) => Part::Claimed(id),
            Step::Skipped => Part::Skipped,
        }
    }
}

impl Spot {
    /// A string of what is read.
    pub(super) fn outside(text: Text, all: &[u8]) -> Result<Spot, Malformed> {
        Ok(match text {
            Text::Int(number) => Spot::Int(number),
            Text::Raw(range) => Spot::Outside(range),
            Text::Packed(range, length) => {
                let malformed = Malformed { at: range.start, why: "LZF does not hold" };
                Spot::Own(lzf::unpack(&all[range], length).ok_or(malformed)?)
            }
        })
    }

    /// An element of a small collection.
    pub(super) fn inside(text: Text) -> Spot {
        match text {
            Text::Int(number) => Spot::Int(number),
            Text::Raw(range) | Text::Packed(range, _) => Spot::Inside(range),
        }
    }
}
