//! How members lie in trees, and a member where it lies.

use crate::resp::number::parse_i64;
use crate::value::Value;
use crate::value::tree::{AsPut, Element, Identity, NewElement, Order, Tree, Walk, hash_of};

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
    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        self.hash.unwrap_or_else(|| hash_of(bytes))
    }
}

/// Members, one after the other.
pub enum Members<'a> {
    /// As they were put.
    AsPut(InOrder<'a>),
    /// In the order of hashes.
    ByHash(Hashed<'a>),
}

/// See [`Members`].
pub struct InOrder<'a>(pub(super) Walk<'a, AsPut>);

/// See [`Members`].
pub struct Hashed<'a>(pub(super) Walk<'a, ByHash>);

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    #[inline]
    fn next(&mut self) -> Option<Member<'a>> {
        match self {
            Members::AsPut(InOrder(walk)) => walk.next().map(listed),
            Members::ByHash(Hashed(walk)) => walk.next().map(hashed),
        }
    }
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
pub(super) fn rank(numbers: &Tree<AsPut>, number: i64) -> Result<u64, u64> {
    let (mut from, mut to) = (0, numbers.len());
    while from < to {
        let middle = from.midpoint(to);
        let there = numbers.get(&numbers.at(middle)).and_then(|element| integer(element.head));
        match there.map(|there| there.cmp(&number)) {
            Some(std::cmp::Ordering::Equal) => return Ok(middle),
            Some(std::cmp::Ordering::Less) => from = middle + 1,
            _ => to = middle,
        }
    }
    Err(from)
}

/// Puts a member into a list before the one with this number.
pub(super) fn put_at(list: &mut Tree<AsPut>, index: u64, member: &[u8]) {
    let place = list.at(index);
    list.insert(&place, NewElement { key: (), head: &[member], tail: None });
}

/// All members of a list in the order of hashes.
pub(super) fn in_order_of_hashes(list: &Tree<AsPut>) -> Tree<ByHash> {
    let mut members: Vec<(u32, Vec<u8>)> = list
        .iter()
        .map(|element| element.value().to_bytes().into_owned())
        .map(|member| (hash_of(&member), member))
        .collect();
    members.sort_unstable();
    let mut tree = Tree::new();
    for (key, member) in &members {
        tree.push(NewElement { key: *key, head: &[member], tail: None });
    }
    tree
}
