//! Few members: one block, without an index. Whoever looks for a member goes along.
//!
//! ```text
//!   mark | count | members in their order, each: n | score, n bytes | length | member
//! ```
//!
//! The members are written as in the value as a whole. One pointer and its length: so a sorted set fits an
//! item's own block.

use super::entry::{Entry, Lex};
use super::score::{key_of, score_of, trimmed, untrimmed};
use crate::table::prefetch;
use crate::value::Value;
use crate::value::effect::{Reading, Write};
use crate::varint;
use std::cmp::Ordering;
use std::ops::Range;

/// The members; no bytes at all are no members, and a small one.
#[derive(Clone, Default)]
pub(super) struct Packed(Box<[u8]>);

/// What stands before the members.
const HEAD: usize = 2;

/// The most members, of which the count is a byte.
pub(super) const COUNT_MAX: usize = 255;

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
    /// A hint that it will be looked at soon.
    pub(super) fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }

    pub(super) fn new(is_large: bool) -> Packed {
        if is_large { Packed(Box::new([1, 0])) } else { Packed::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.0.get(1).map_or(0, |count| usize::from(*count))
    }

    /// See [`super::SortedSet::is_large`].
    pub(super) fn is_large(&self) -> bool {
        self.0.first() == Some(&1)
    }

    pub(super) fn make_large(&mut self) {
        match self.0.first_mut() {
            Some(mark) => *mark = 1,
            None => *self = Packed::new(true),
        }
    }

    /// The members as they stand in a whole value.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.get(HEAD..).unwrap_or_default()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.len()
    }

    /// All members in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Spot<'_>> {
        let (bytes, mut index) = (self.bytes(), 0);
        let mut reading = Reading(bytes);
        std::iter::from_fn(move || {
            let from = bytes.len() - reading.0.len();
            let (key, member) = read(&mut reading)?;
            let to = bytes.len() - reading.0.len();
            index += 1;
            Some(Spot { key, member, index: index - 1, from, to })
        })
    }

    pub(super) fn find(&self, member: &[u8]) -> Option<Spot<'_>> {
        self.iter().find(|spot| spot.member == member)
    }

    /// See [`super::SortedSet::range_of_lex`].
    pub(super) fn range_of_lex(
        &self,
        least: Lex<'_>,
        most: Lex<'_>,
        is_backwards: bool,
    ) -> Range<u64> {
        let members: Vec<&[u8]> = self.iter().map(|spot| spot.member).collect();
        // Redis looks at the last and at the first before it begins.
        let ends = members.last().zip(members.first());
        if !ends.is_some_and(|(last, first)| least.is_below(last) && most.is_above(first)) {
            return 0..0;
        }
        let (mut from, mut to) = (0, members.len());
        if is_backwards {
            while to > 0 && !most.is_above(members[to - 1]) {
                to -= 1;
            }
            from = to;
            while from > 0 && least.is_below(members[from - 1]) {
                from -= 1;
            }
        } else {
            while from < to && !least.is_below(members[from]) {
                from += 1;
            }
            to = from;
            while to < members.len() && most.is_above(members[to]) {
                to += 1;
            }
        }
        from as u64..to as u64
    }

    /// Sets a member's score; whether it is new.
    pub(super) fn set(&mut self, key: u64, member: &[u8]) -> bool {
        let there = self.find(member).map(|spot| (spot.key, spot.from, spot.to));
        if let Some((before, from, to)) = there {
            if before == key {
                return false;
            }
            self.splice(from..to, b"", -1);
        }
        let is_before = |spot: &Spot<'_>| {
            spot.key.cmp(&key).then_with(|| spot.member.cmp(member)) == Ordering::Less
        };
        let at = self.iter().take_while(is_before).last().map_or(0, |spot| spot.to);
        let mut new = Vec::with_capacity(length_of(key, member.len()));
        write_opening(key, member.len(), &mut new);
        new.extend_from_slice(member);
        self.splice(at..at, &new, 1);
        there.is_none()
    }

    /// Removes a member; whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let there = self.find(member).map(|spot| (spot.from, spot.to));
        there.is_some_and(|(from, to)| {
            self.splice(from..to, b"", -1);
            true
        })
    }

    /// Removes the members with these numbers, of which there is one.
    pub(super) fn remove_range(&mut self, from: usize, to: usize) {
        let at = |index| self.iter().nth(index).map_or(self.bytes().len(), |spot| spot.from);
        let range = at(from)..at(to);
        self.splice(range, b"", from as isize - to as isize);
    }

    /// Puts other bytes in place of some, which makes so many members more.
    fn splice(&mut self, range: Range<usize>, new: &[u8], more: isize) {
        let count = self.len().saturating_add_signed(more);
        let head = [u8::from(self.is_large()), u8::try_from(count).unwrap_or(u8::MAX)];
        let bytes = self.bytes();
        let parts = [&head, &bytes[..range.start], new, &bytes[range.end..]];
        self.0 = parts.concat().into_boxed_slice();
    }
}
