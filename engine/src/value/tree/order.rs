//! What a tree is ordered by, and its elements as they come in and as they are seen.

use super::page::Key;
use crate::table::{KeyHash, SeededHash};
use crate::value::rope::{Rope, RopeRef};
use crate::value::shared::Value;
use crate::varint;
use std::cmp::Ordering;
use std::sync::OnceLock;

/// An order of elements: first by a key, which is a plain number, then by the bytes of their identity. An
/// order with the key `()` and no identity is that in which elements were put: a list.
pub trait Order: 'static {
    /// What is compared first.
    type Key: Key;

    /// The most bytes of a leaf's block: measured in docs/decisions/collections.md.
    const LEAF: usize = 2048;

    /// The most bytes of a node's block: with keys of 4 to 8 bytes some 80 entries, some 60 with ties. An eighth of it is
    /// to have room for an entry with the longest tie.
    const NODE: usize = 2048;

    /// What tells an element from others of the same key.
    fn identity(element: Element<'_, Self::Key>) -> Identity<'_>;

    /// What the element takes when the value is written as a whole: as any other with its key and length.
    #[inline]
    fn encoded(element: Element<'_, Self::Key>) -> u64 {
        let length = element.length() as u64;
        length + varint::length(length) as u64
    }

    /// What then stands before its bytes, and is counted by [`Order::encoded`]: their number (LEB128).
    #[inline]
    fn encode_opening(element: Element<'_, Self::Key>, out: &mut Vec<u8>) {
        varint::write(element.length() as u64, |byte| out.push(byte));
    }

    /// What of its head stands behind the opening: all of it, unless it is written otherwise, in the opening.
    #[inline]
    fn encoded_head(element: Element<'_, Self::Key>) -> &[u8] {
        element.head
    }
}

/// The order in which elements were put: of lists, and of what is small.
pub struct AsPut;

impl Order for AsPut {
    type Key = ();

    fn identity(_: Element<'_, ()>) -> Identity<'_> {
        Identity::Bytes(b"")
    }
}

/// An element where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a, K> {
    /// What it is ordered by first.
    pub key: K,
    /// Its bytes, or those before the tail.
    pub head: &'a [u8],
    /// The rest of its bytes, of a long one.
    pub tail: Option<RopeRef<'a>>,
}

/// The function behind [`hash_of`].
static SEEDED: OnceLock<SeededHash> = OnceLock::new();

/// The key of elements that are to lie in the order of hashes. One for the whole process, so that a value
/// that moves to another shard keeps its order; and not to be guessed by who chooses the bytes.
#[inline]
pub fn hash_of(bytes: &[u8]) -> u32 {
    (SEEDED.get_or_init(|| SeededHash::new(fastrand::u64(..))).hash(bytes) >> 32) as u32
}

/// Lets [`hash_of`] be the same in each process, for tests whose runs are repeated in another one. Without effect
/// where something has been hashed before.
#[cfg(feature = "planted-bugs")]
pub(crate) fn order_as_in_all_tests() {
    SEEDED.get_or_init(|| SeededHash::new(0));
}

impl<'a, K> Element<'a, K> {
    /// All bytes of one that came without a tail: wherever they lie.
    #[inline]
    pub fn value(self) -> Value<'a> {
        self.tail.map_or(Value::Bytes(self.head), Value::from)
    }
}

impl<K> Element<'_, K> {
    /// How many bytes it has, without the key.
    #[inline]
    pub fn length(&self) -> usize {
        self.head.len() + self.tail.map_or(0, RopeRef::len)
    }
}

/// An element that comes into a tree.
pub struct NewElement<'n, K> {
    /// What it is ordered by first.
    pub key: K,
    /// Its bytes in parts. If they are too many to lie in a leaf, the tree makes a tail of all of them, so
    /// that the head is empty.
    pub head: &'n [&'n [u8]],
    /// What is to lie outside of the leaf in any case. The head before it is short then: it must fit a leaf
    /// ([`Order::LEAF`] / 8).
    pub tail: Option<Rope>,
}

/// The bytes that order elements of one key.
#[derive(Clone, Copy, Debug)]
pub enum Identity<'a> {
    /// They lie together.
    Bytes(&'a [u8]),
    /// They are part of a rope: from the first number up to the second.
    Rope(RopeRef<'a>, usize, usize),
}

impl Identity<'_> {
    #[inline]
    pub(super) fn compare(self, other: &[u8]) -> Ordering {
        match self {
            Identity::Bytes(bytes) => bytes.cmp(other),
            Identity::Rope(rope, from, to) => {
                let mut rest = other;
                for stretch in rope.stretches(from..to) {
                    let (part, after) = rest.split_at(stretch.len().min(rest.len()));
                    match stretch.cmp(part) {
                        Ordering::Equal => rest = after,
                        decided => return decided,
                    }
                }
                if rest.is_empty() { Ordering::Equal } else { Ordering::Less }
            }
        }
    }

    /// The first bytes, up to so many.
    fn prefix(self, most: usize) -> Vec<u8> {
        match self {
            Identity::Bytes(bytes) => bytes[..bytes.len().min(most)].to_vec(),
            Identity::Rope(rope, from, to) => {
                rope.stretches(from..to.min(from + most)).flatten().copied().collect()
            }
        }
    }
}

/// The most bytes of a tie: an entry of a node that has one is short all the same. One as long as that says
/// only how the first element behind it began, when it was made, and who needs more looks there.
pub(super) const TIE_MAX: usize = 128;

/// What stands between two neighbours of one key: the shortest beginning of the second's identity that is
/// more than the first's.
pub(super) fn tie_between(before: Identity<'_>, behind: Identity<'_>) -> Vec<u8> {
    let (before, mut behind) = (before.prefix(TIE_MAX), behind.prefix(TIE_MAX));
    let common = before.iter().zip(&behind).take_while(|(one, other)| one == other).count();
    behind.truncate(common + 1);
    behind
}

/// A place in the order, between elements.
#[derive(Clone, Copy, Debug)]
pub enum Bound<'p, K> {
    /// Before the element with this key and identity, if there is one, and all behind it.
    Before(K, &'p [u8]),
    /// Behind it.
    After(K, &'p [u8]),
    /// Behind all elements with this key.
    AfterKey(K),
}

impl<K: Key> Bound<'_, K> {
    pub(super) fn key(&self) -> K {
        match self {
            Bound::Before(key, _) | Bound::After(key, _) | Bound::AfterKey(key) => *key,
        }
    }

    /// Whether what has the same key and compares so with the identity lies before the place.
    pub(super) fn is_behind(&self, compare: impl FnOnce(&[u8]) -> Ordering) -> bool {
        match self {
            Bound::Before(_, identity) => compare(identity) == Ordering::Less,
            Bound::After(_, identity) => compare(identity) != Ordering::Greater,
            Bound::AfterKey(_) => true,
        }
    }
}
