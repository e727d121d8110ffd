//! Values outside an item: looked at in place ([`Value`]), on their way in ([`NewValue`]), held by somebody else ([`SharedValue`]).

use std::any::Any;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::object::Object;
use super::rope::{Rope, RopeRef};
use crate::resp::number::parse_i64;

/// A buffer on the stack for the decimal digits of an integer.
#[derive(Default)]
pub struct Digits(itoa::Buffer);

impl Digits {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// `number` in decimal.
    pub fn of(&mut self, number: i64) -> &[u8] {
        self.0.format(number).as_bytes()
    }
}

/// How many bytes `number` has in decimal.
pub(super) fn digits_len(number: i64) -> usize {
    let digits = number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(number < 0)
}

/// A string in place, in an item or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// An integer.
    Int(i64),
    /// A string that lies together.
    Bytes(&'a [u8]),
    /// A long string, in pieces.
    Rope(RopeRef<'a>),
}

impl<'a> From<RopeRef<'a>> for Value<'a> {
    #[inline]
    fn from(rope: RopeRef<'a>) -> Value<'a> {
        rope.together().map_or(Value::Rope(rope), Value::Bytes)
    }
}

impl<'a> Value<'a> {
    /// The length of the value as bytes.
    pub fn len(self) -> usize {
        match self {
            Self::Int(number) => digits_len(number),
            Self::Bytes(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// Whether the value is the empty string.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All bytes together; those of a long string are copied for it.
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Int(number) => Cow::Owned(Digits::new().of(number).to_vec()),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Rope(rope) => Cow::Owned(rope.to_vec()),
        }
    }

    /// Calls `read` with all bytes together; those of a long string are copied for it.
    #[inline]
    pub fn with_bytes<R>(self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Int(number) => read(Digits::new().of(number)),
            Self::Bytes(bytes) => read(bytes),
            Self::Rope(rope) => read(&rope.to_vec()),
        }
    }

    /// Calls `read` with the bytes in `range`, as far as there are, piece by piece.
    pub fn with_stretches(self, range: Range<usize>, mut read: impl FnMut(&[u8])) {
        if let Self::Rope(rope) = self {
            rope.stretches(range).for_each(read);
            return;
        }
        let read_part = |bytes: &[u8]| {
            let end = range.end.min(bytes.len());
            if range.start < end {
                read(&bytes[range.start..end]);
            }
        };
        self.with_bytes(read_part);
    }

    /// The byte at a place, if the value is long enough.
    pub fn byte(self, at: usize) -> Option<u8> {
        match self {
            Self::Rope(rope) => rope.stretch(at).first().copied(),
            value => value.with_bytes(|bytes| bytes.get(at).copied()),
        }
    }
}

/// A value that is about to be stored.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// An integer.
    Int(i64),
    /// Bytes as they are, also if they spell an integer; see [`NewValue::from_bytes`].
    Bytes(&'a [u8]),
    /// Bytes that the caller gives away.
    Owned(Vec<u8>),
    /// A value that was shared before; a large one is not copied.
    Shared(SharedValue),
    /// A value of another type.
    Object(Arc<dyn Object>),
}

impl<'a> NewValue<'a> {
    /// Bytes as a client sends them: an integer if they are the canonical decimal form of one.
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        parse_i64(bytes).map_or(Self::Bytes(bytes), Self::Int)
    }

    /// The same for bytes that the caller gives away.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        match parse_i64(&bytes) {
            Some(number) => Self::Int(number),
            None => Self::Owned(bytes),
        }
    }
}

impl From<i64> for NewValue<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<SharedValue> for NewValue<'_> {
    fn from(value: SharedValue) -> Self {
        Self::Shared(value)
    }
}

/// A value as of one moment, for others to read: the journal, a cut, a copy, another executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedValue {
    /// An integer.
    Int(i64),
    /// A copy of a small value.
    Small(Box<[u8]>),
    /// A reference to a large value, which stays what it is while the reference lives.
    Large(Rope),
    /// The same to a value of another type than string.
    Object(Arc<dyn Object>),
}

impl SharedValue {
    /// The length of the string as bytes; of another value, 0.
    pub fn len(&self) -> usize {
        match self {
            Self::Int(number) => digits_len(*number),
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
            Self::Object(_) => 0,
        }
    }

    /// Whether the value is the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value as `T`, if it is one.
    pub fn object<T: Object>(&self) -> Option<&T> {
        let Self::Object(object) = self else { return None };
        let object: &dyn Any = &**object;
        object.downcast_ref()
    }

    /// The string, to be read. Another value reads as an empty one: whoever wants a string has asked for
    /// its type.
    pub fn string(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Small(bytes) => Value::Bytes(bytes),
            Self::Large(rope) => rope.borrow().into(),
            Self::Object(_) => Value::Bytes(b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_integers_are_those_of_their_digits() {
        for number in [0, 1, 9, 10, 99, 100, -1, -9, -10, i64::MAX, i64::MIN] {
            assert_eq!(digits_len(number), Digits::new().of(number).len(), "{number}");
        }
    }

    #[test]
    fn only_canonical_decimals_become_integers() {
        assert!(matches!(NewValue::from_bytes(b"-17"), NewValue::Int(-17)));
        assert!(matches!(NewValue::from_bytes(b"017"), NewValue::Bytes(b"017")));
        assert!(matches!(NewValue::from_vec(b"17".to_vec()), NewValue::Int(17)));
        assert!(matches!(NewValue::from_vec(b"+17".to_vec()), NewValue::Owned(_)));
    }
}
