//! Values of all types but strings, which lie in the item's own block: what the rooms above ask of them.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

/// A value that stands behind a reference. Whoever holds one holds the value as of then: an item whose
/// value somebody else holds goes on with a copy before it changes.
///
/// A type whose values are large makes itself of shared parts, so that a copy is cheap.
pub trait Object: Any + Debug + Send + Sync {
    /// The number of its type.
    fn type_number(&self) -> u8;

    /// Whether nothing is left in it, so that its key goes. A type whose values stay when they are empty
    /// says that they are not.
    fn is_empty(&self) -> bool;

    /// What OBJECT ENCODING answers.
    fn encoding(&self) -> &'static str;

    /// The value as a whole, for [`Type::decode`](super::Type::decode).
    fn encode(&self, out: &mut Vec<u8>);

    /// How many bytes that is, in constant time.
    fn encoded_len(&self) -> usize;

    /// Whether it is written and read in slices: [`Object::encode_range`] takes time by the range and not by the
    /// value, and [`Object::decode_slice`] reads. A type whose values are large says yes.
    fn in_slices(&self) -> bool {
        false
    }

    /// Appends these bytes of what [`Object::encode`] writes.
    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut whole = Vec::with_capacity(self.encoded_len());
        self.encode(&mut whole);
        out.extend_from_slice(whole.get(range).unwrap_or_default());
    }

    /// Adds what the next bytes of a value as a whole say, as many whole elements as they begin with, to what
    /// began as [`Type::empty`](super::Type); how many bytes these were. `at` bytes were taken before. What is
    /// left is given once more, with more behind it. `None` where the bytes, which come from another
    /// node, say nothing.
    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let _ = (at, bytes);
        None
    }

    /// Looks at a part of it, the first at 0: the bytes on the heap that nobody holds but those who hold the
    /// value as a whole, where the next part is, and how many blocks that took to see.
    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let _ = at;
        (self.heap_bytes() as u64, None, 1)
    }

    /// The bytes on the heap, in constant time.
    fn heap_bytes(&self) -> usize;

    /// What equal values have in common, in parts whose order does not matter.
    fn digest(&self, part: &mut dyn FnMut(&[u8]));

    /// Another one that equals it, for who is about to change it.
    fn copy(&self) -> Arc<dyn Object>;
}

/// Two values are equal if they are the same as a whole.
impl PartialEq for dyn Object {
    fn eq(&self, other: &dyn Object) -> bool {
        let whole = |object: &dyn Object| {
            let mut bytes = Vec::with_capacity(object.encoded_len());
            object.encode(&mut bytes);
            bytes
        };
        self.type_number() == other.type_number() && whole(self) == whole(other)
    }
}

impl Eq for dyn Object {}
