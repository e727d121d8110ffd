//! How members lie in trees, and a member where it lies.
//!
//! ```text
//!   ascending   the integer, two's complement, lowest byte first, as few bytes as it needs: none for 0, 8 at the most
//!   as put      the member's bytes
//!   by hash     the same, with their hash before them
//! ```
//!
//! As a whole all of them are written alike, integers as their digits.

use crate::resp::number::parse_i64;
use crate::value::Value;
use crate::value::shared::{Digits, digits_len};
use crate::value::tree::{AsPut, Element, Identity, NewElement, Order, Tree, Walk, hash_of};
use crate::varint;
use std::cmp::Ordering;

/// In the order of the numbers that they are.
pub(super) struct Ascending;

impl Order for Ascending {
    /// By its place: who puts one has looked for it.
    type Key = ();

    fn identity(_: Element<'_, ()>) -> Identity<'_> {
        Identity::Bytes(b"")
    }

    fn encoded(element: Element<'_, ()>) -> u64 {
        let digits = digits_len(number_of(element)) as u64;
        digits + varint::length(digits) as u64
    }

    fn encode_opening(element: Element<'_, ()>, out: &mut Vec<u8>) {
        let mut digits = Digits::new();
        let digits = digits.of(number_of(element));
        varint::write(digits.len() as u64, |byte| out.push(byte));
        out.extend_from_slice(digits);
    }

    /// The digits stand in the opening.
    fn encoded_head(_: Element<'_, ()>) -> &[u8] {
        b""
    }
}

/// The integer that lies there.
#[inline]
fn number_of(element: Element<'_, ()>) -> i64 {
    let Some(last) = element.head.last() else { return 0 };
    let mut bytes = if *last < 0x80 { [0; 8] } else { [0xff; 8] };
    let there = element.head.len().min(bytes.len());
    bytes[..there].copy_from_slice(&element.head[..there]);
    i64::from_le_bytes(bytes)
}

/// How many bytes an integer needs.
#[inline]
pub(super) fn bytes_needed(number: i64) -> usize {
    let unlike_sign = 64 - (number ^ (number >> 63)).leading_zeros() as usize;
    // One more for the sign, but for 0, which has no byte.
    if number == 0 { 0 } else { unlike_sign / 8 + 1 }
}

/// In the order of (hash, member).
pub(super) struct ByHash;

impl Order for ByHash {
    type Key = u32;

    #[inline]
    fn identity(element: Element<'_, u32>) -> Identity<'_> {
        element
            .tail
            .map_or(Identity::Bytes(element.head), |tail| Identity::Rope(tail, 0, tail.len()))
    }
}

/// A member where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its bytes.
    pub value: Value<'a>,
    /// Where it is known already.
    hash: Option<u32>,
}

impl Member<'_> {
    /// The number that it is, in a set of integers.
    pub fn integer(&self) -> Option<i64> {
        if let Value::Int(number) = self.value { Some(number) } else { None }
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        self.hash.unwrap_or_else(|| hash_of(bytes))
    }
}

/// Members, one after the other.
pub enum Members<'a> {
    /// Integers.
    Ascending(Counted<'a>),
    /// As they were put.
    AsPut(InOrder<'a>),
    /// In the order of hashes.
    ByHash(Hashed<'a>),
}

/// See [`Members`].
pub struct Counted<'a>(pub(super) Walk<'a, Ascending>);

/// See [`Members`].
pub struct InOrder<'a>(pub(super) Walk<'a, AsPut>);

/// See [`Members`].
pub struct Hashed<'a>(pub(super) Walk<'a, ByHash>);

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match self {
            Members::Ascending(Counted(walk)) => walk.next().map(counted),
            Members::AsPut(InOrder(walk)) => walk.next().map(listed),
            Members::ByHash(Hashed(walk)) => walk.next().map(hashed),
        }
    }
}

#[inline]
pub(super) fn counted(element: Element<'_, ()>) -> Member<'_> {
    Member { value: Value::Int(number_of(element)), hash: None }
}

#[inline]
pub(super) fn listed(element: Element<'_, ()>) -> Member<'_> {
    Member { value: element.value(), hash: None }
}

#[inline]
pub(super) fn hashed(element: Element<'_, u32>) -> Member<'_> {
    Member { value: element.value(), hash: Some(element.key) }
}

fn is(value: Value<'_>, bytes: &[u8]) -> bool {
    match value {
        Value::Bytes(there) => there == bytes,
        value => value.len() == bytes.len() && value.with_bytes(|there| there == bytes),
    }
}

/// Which one of a list it is.
pub(super) fn position(list: &Tree<AsPut>, member: &[u8]) -> Option<u64> {
    list.iter().position(|element| is(element.value(), member)).map(|index| index as u64)
}

/// The number that a member is, by Redis's strict rules: only its canonical digits.
pub(super) fn integer(member: &[u8]) -> Option<i64> {
    parse_i64(member)
}

/// Which one of ascending numbers it is, or would be.
pub(super) fn rank(numbers: &Tree<Ascending>, number: i64) -> Result<u64, u64> {
    let (mut from, mut to) = (0, numbers.len());
    while from < to {
        let middle = from.midpoint(to);
        let there = numbers.get(&numbers.at(middle)).map(number_of);
        match there.map(|there| there.cmp(&number)) {
            Some(Ordering::Equal) => return Ok(middle),
            Some(Ordering::Less) => from = middle + 1,
            _ => to = middle,
        }
    }
    Err(from)
}

/// The greatest of ascending numbers.
pub(super) fn greatest(numbers: &Tree<Ascending>) -> Option<i64> {
    let last = numbers.len().checked_sub(1)?;
    numbers.get(&numbers.at(last)).map(number_of)
}

/// Puts a number before the one with this index.
pub(super) fn put_number(numbers: &mut Tree<Ascending>, index: u64, number: i64) {
    let place = numbers.at(index);
    let bytes = &number.to_le_bytes()[..bytes_needed(number)];
    numbers.insert(&place, NewElement { key: (), head: &[bytes], tail: None });
}

/// Removes the one with this index, if there is such a one.
pub(super) fn remove_at<O: Order<Key = ()>>(list: &mut Tree<O>, index: Option<u64>) -> bool {
    let place = index.map(|index| list.at(index));
    place.map(|place| list.remove(&place)).is_some()
}

/// Members as a list, in their order.
pub(super) fn as_list<'a>(members: impl Iterator<Item = Member<'a>>) -> Tree<AsPut> {
    let mut list = Tree::new();
    for member in members {
        member.value.with_bytes(|bytes| {
            list.push(NewElement { key: (), head: &[bytes], tail: None });
        });
    }
    list
}

/// Members in the order of hashes.
pub(super) fn in_order_of_hashes<'a>(members: impl Iterator<Item = Member<'a>>) -> Tree<ByHash> {
    let mut members: Vec<(u32, Vec<u8>)> = members
        .map(|member| member.value.to_bytes().into_owned())
        .map(|member| (hash_of(&member), member))
        .collect();
    members.sort_unstable();
    let mut tree = Tree::new();
    for (key, member) in &members {
        tree.push(NewElement { key: *key, head: &[member], tail: None });
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_lie_in_as_few_bytes_as_they_need() {
        for (number, needed) in [
            (0, 0),
            (1, 1),
            (-1, 1),
            (127, 1),
            (128, 2),
            (-128, 1),
            (-129, 2),
            (255, 2),
            (32_767, 2),
            (32_768, 3),
            (-32_768, 2),
            (-32_769, 3),
            (i64::MAX, 8),
            (i64::MIN, 8),
            (1 << 47, 7),
            ((1 << 47) - 1, 6),
        ] {
            assert_eq!(bytes_needed(number), needed, "{number}");
            let bytes = &number.to_le_bytes()[..needed];
            assert_eq!(number_of(Element { key: (), head: bytes, tail: None }), number);
        }
    }

    #[test]
    fn integers_as_a_whole_are_their_digits() {
        let mut numbers = Tree::new();
        let (mut expected, all) = (Vec::new(), [i64::MIN, -77, 0, 9, 10, 4444, i64::MAX]);
        for (index, number) in (0..).zip(all) {
            put_number(&mut numbers, index, number);
            let digits = number.to_string();
            expected.push(digits.len() as u8);
            expected.extend_from_slice(digits.as_bytes());
        }
        assert_eq!(numbers.encoded_len(), expected.len() as u64);
        for from in 0..expected.len() {
            for to in from..=expected.len() {
                let mut out = Vec::new();
                numbers.encode_range(from as u64..to as u64, &mut out);
                assert_eq!(out, expected[from..to], "{from}..{to}");
            }
        }
    }
}
