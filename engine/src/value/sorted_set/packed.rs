//! Few members: one block, without an index. Whoever looks for a member goes along.
//!
//! ```text
//!   n | score, n bytes | length | member     in order of score and member; as in the value as a whole
//! ```

use super::entry::Entry;
use super::score::{key_of, score_of, trimmed, untrimmed};
use crate::value::Value;
use crate::value::effect::{Reading, Write};
use crate::varint;
use std::cmp::Ordering;

/// The members.
#[derive(Clone, Default)]
pub(super) struct Packed {
    bytes: Box<[u8]>,
    count: u32,
}

/// A member where it lies.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) key: u64,
    pub(super) member: &'a [u8],
    /// Its number from the start on.
    pub(super) index: usize,
    from: usize,
    to: usize,
}

impl<'a> Spot<'a> {
    pub(super) fn entry(self) -> Entry<'a> {
        Entry { score: score_of(self.key), member: Value::Bytes(self.member) }
    }
}

/// What stands before a member: its score, and how long it is.
pub(super) fn write_opening(key: u64, length: usize, out: &mut Vec<u8>) {
    let bytes = key.to_be_bytes();
    let score = trimmed(&bytes);
    out.push(score.len() as u8);
    out.extend_from_slice(score);
    out.write_number(length as u64);
}

/// Reads what [`write_opening`] wrote, and the member behind it.
pub(super) fn read<'a>(reading: &mut Reading<'a>) -> Option<(u64, &'a [u8])> {
    let (length, rest) = reading.0.split_first()?;
    let (score, rest) = rest.split_at_checked(usize::from(*length))?;
    // One way to write each: the last byte is no zero.
    let is_one = score.len() <= 8 && score.last() != Some(&0);
    reading.0 = rest;
    let key = is_one.then(|| untrimmed(score))?;
    // Neither NaN nor -0 has a place.
    let score = score_of(key);
    (!score.is_nan() && key_of(score) == key).then_some(())?;
    Some((key, reading.bytes()?))
}

/// How many bytes a member takes.
pub(super) fn length_of(key: u64, length: usize) -> usize {
    1 + super::score::trimmed_len(key) + varint::length(length as u64) + length
}

impl Packed {
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// As they stand in a whole value.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All members in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Spot<'_>> {
        let (mut reading, mut index) = (Reading(&self.bytes), 0);
        std::iter::from_fn(move || {
            let from = self.bytes.len() - reading.0.len();
            let (key, member) = read(&mut reading)?;
            let to = self.bytes.len() - reading.0.len();
            index += 1;
            Some(Spot { key, member, index: index - 1, from, to })
        })
    }

    pub(super) fn find(&self, member: &[u8]) -> Option<Spot<'_>> {
        self.iter().find(|spot| spot.member == member)
    }

    /// Sets a member's score; whether it is new.
    pub(super) fn set(&mut self, key: u64, member: &[u8]) -> bool {
        let there = self.find(member).map(|spot| (spot.key, spot.from, spot.to));
        if let Some((before, from, to)) = there {
            if before == key {
                return false;
            }
            self.cut(from, to, 1);
        }
        let is_before = |spot: &Spot<'_>| {
            spot.key.cmp(&key).then_with(|| spot.member.cmp(member)) == Ordering::Less
        };
        let at = self.iter().take_while(is_before).last().map_or(0, |spot| spot.to);
        let mut bytes = Vec::with_capacity(self.bytes.len() + length_of(key, member.len()));
        bytes.extend_from_slice(&self.bytes[..at]);
        write_opening(key, member.len(), &mut bytes);
        bytes.extend_from_slice(member);
        bytes.extend_from_slice(&self.bytes[at..]);
        self.bytes = bytes.into_boxed_slice();
        self.count += 1;
        there.is_none()
    }

    /// Removes a member; whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let there = self.find(member).map(|spot| (spot.from, spot.to));
        there.is_some_and(|(from, to)| {
            self.cut(from, to, 1);
            true
        })
    }

    /// Removes the members with these numbers, of which there is one.
    pub(super) fn remove_range(&mut self, from: usize, to: usize) {
        let start = self.iter().nth(from).map_or(self.bytes.len(), |spot| spot.from);
        let end = self.iter().nth(to).map_or(self.bytes.len(), |spot| spot.from);
        self.cut(start, end, to - from);
    }

    fn cut(&mut self, from: usize, to: usize, count: usize) {
        self.bytes = [&self.bytes[..from], &self.bytes[to..]].concat().into_boxed_slice();
        self.count -= count as u32;
    }
}
