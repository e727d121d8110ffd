//! Values of all types but strings, which lie in the item's own block: what the rooms above ask of them.

use std::any::Any;
use std::fmt::Debug;
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
