//! A stream as a whole: parts one after the other, each of which says what it is.
//!
//! ```text
//!   0 | last id, 16 | entries ever, 8 | greatest id deleted, 16          first, once
//!   1 | first id, 16 | a pack, its length before it                     in their order
//!   2 | name of a group | last id, 16 | how many it has read, 8         in the order of names
//!   3 | name of a consumer | its number, 4 | seen, 8 | active, 8        of the group before it
//!   4 | id, 16 | number of the consumer | delivered at | how often      of the group before it, in order
//! ```

use super::id::Id;
use crate::value::tree::{Order, Tree};
use crate::value::{Reading, Write};
use crate::varint;
use std::ops::Range;

pub(super) const FACTS: u8 = 0;
pub(super) const PACK: u8 = 1;
pub(super) const GROUP: u8 = 2;
pub(super) const CONSUMER: u8 = 3;
pub(super) const PENDING: u8 = 4;

/// How long the facts are.
pub(super) const FACTS_BYTES: usize = 1 + 16 + 8 + 16;

/// What stands before a pack of so many bytes.
pub(super) fn pack_opening_bytes(length: u64) -> usize {
    1 + size_of::<u128>() + varint::length(length)
}

/// So many bytes.
fn fixed<const COUNT: usize>(reading: &mut Reading<'_>) -> Option<[u8; COUNT]> {
    let (bytes, rest) = reading.0.split_first_chunk()?;
    reading.0 = rest;
    Some(*bytes)
}

fn id(reading: &mut Reading<'_>) -> Option<Id> {
    fixed(reading).map(u128::from_le_bytes).map(Id)
}

/// A part as it was read.
pub(super) enum Part<'a> {
    Facts(Id, u64, Id),
    Pack(Id, &'a [u8]),
    Group(&'a [u8], Id, i64),
    Consumer(&'a [u8], u32, i64, i64),
    Pending(Id, u32, u64, u64),
}

impl<'a> Part<'a> {
    /// A part, if the bytes begin with a whole one.
    pub(super) fn read(reading: &mut Reading<'a>) -> Option<Result<Part<'a>, ()>> {
        let [kind] = fixed(reading)?;
        Some(Ok(match kind {
            FACTS => {
                let (last, added) = (id(reading)?, u64::from_le_bytes(fixed(reading)?));
                Part::Facts(last, added, id(reading)?)
            }
            PACK => Part::Pack(id(reading)?, reading.bytes()?),
            GROUP => {
                let (name, last) = (reading.bytes()?, id(reading)?);
                Part::Group(name, last, i64::from_le_bytes(fixed(reading)?))
            }
            CONSUMER => {
                let (name, number) = (reading.bytes()?, u32::from_le_bytes(fixed(reading)?));
                let seen = i64::from_le_bytes(fixed(reading)?);
                Part::Consumer(name, number, seen, i64::from_le_bytes(fixed(reading)?))
            }
            PENDING => {
                let (id, consumer) = (id(reading)?, reading.number()?);
                let (at, times) = (reading.number()?, reading.number()?);
                match u32::try_from(consumer) {
                    Ok(consumer) => Part::Pending(id, consumer, at, times),
                    Err(_) => return Some(Err(())),
                }
            }
            _ => return Some(Err(())),
        }))
    }
}

pub(super) fn write_pack_opening(first: Id, length: usize, out: &mut Vec<u8>) {
    out.push(PACK);
    out.extend_from_slice(&first.0.to_le_bytes());
    out.write_number(length as u64);
}

/// A stretch of a value as a whole that is written: what stands before it is passed over.
pub(super) struct Cutting<'o> {
    pub(super) range: Range<u64>,
    /// Where the next part begins.
    pub(super) at: u64,
    pub(super) out: &'o mut Vec<u8>,
}

impl Cutting<'_> {
    /// How much of a part of this length is asked for.
    fn within(&mut self, length: u64) -> Range<u64> {
        let cut = |place: u64| place.saturating_sub(self.at).min(length);
        let within = cut(self.range.start)..cut(self.range.end);
        self.at += length;
        within
    }

    /// Whether nothing of the next parts, so many bytes, is asked for. Then they are behind it.
    pub(super) fn passes(&mut self, length: usize) -> bool {
        let end = self.at + length as u64;
        let passes = end <= self.range.start || self.at >= self.range.end;
        if passes {
            self.at = end;
        }
        passes
    }

    /// A part that `write` makes.
    pub(super) fn short(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let within = self.within(length as u64);
        if within.start < within.end {
            let mut bytes = Vec::with_capacity(length);
            write(&mut bytes);
            let within = within.start as usize..within.end as usize;
            self.out.extend_from_slice(bytes.get(within).unwrap_or_default());
        }
    }

    /// Elements of a tree.
    pub(super) fn tree<O: Order>(&mut self, tree: &Tree<O>) {
        let within = self.within(tree.encoded_len());
        if within.start < within.end {
            tree.encode_range(within, self.out);
        }
    }
}
