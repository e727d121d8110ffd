//! What happens inside a value, told in such a way that the same can be done to another copy of it.
//!
//! ```text
//!   a master's write    effect --> perform --> told to the journal: a number and bytes
//!   a replica           number and bytes --> decode --> effect --> perform
//! ```
//!
//! There is one `perform` for each type, so that the two cannot differ. An effect is a result and never a
//! request: what it does depends on nothing but the value. The elements that one command changes stand in
//! one effect, and an effect says only what changed.

use super::types::{Type, Unfit};
use super::{Item, Rope};
use crate::varint;

/// The effects of one type.
pub trait TypeEffect {
    /// The type.
    const TYPE: &'static Type;

    /// What the command that has the effect wants to know of it.
    type Done;

    /// The effect as a number within the type and bytes, which it writes into `room` where they do not
    /// lie together already.
    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a>;

    /// The bytes, where they are many and lie in pieces: they stand in place of [`Told::bytes`].
    fn told_pieces(&self) -> Option<&Rope> {
        None
    }

    /// Does it to an item that holds this type. It fails, having done nothing, where the effect cannot
    /// have been a result.
    fn perform(&self, item: &mut Item) -> Result<Self::Done, Unfit>;
}

/// An effect as its type writes it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Which of the type's effects, below 16.
    pub op: u8,
    /// Numbers that stand before the bytes.
    pub head: ChangeHead,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// An effect on its way to the shard that performs it, for a command that decides elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentEffect {
    pub(crate) change: u16,
    pub(crate) bytes: Vec<u8>,
}

impl SentEffect {
    /// The effect as it is told.
    pub fn of<E: TypeEffect>(effect: &E) -> SentEffect {
        let mut room = Vec::new();
        let Told { op, head, bytes } = effect.told(&mut room);
        let bytes = [head.as_bytes(), bytes].concat();
        SentEffect { change: E::TYPE.change(op), bytes }
    }
}

/// The beginning of an effect's bytes: a few numbers, where the rest lies elsewhere and is not worth a
/// copy.
#[derive(Clone, Copy, Default, Debug)]
pub struct ChangeHead {
    bytes: [u8; ChangeHead::BYTES_MAX],
    used: u8,
}

impl ChangeHead {
    /// Room for two numbers of any size.
    pub const BYTES_MAX: usize = 20;

    /// One number.
    pub fn number(number: u64) -> ChangeHead {
        ChangeHead::default().and(number)
    }

    /// And one more.
    ///
    /// # Panics
    /// If there is no room for it: a type's own effects decide how many numbers they have.
    #[must_use]
    pub fn and(mut self, number: u64) -> ChangeHead {
        varint::write(number, |byte| {
            self.bytes[usize::from(self.used)] = byte;
            self.used += 1;
        });
        self
    }

    /// As bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.used)]
    }
}

/// What types write into effects and whole values: numbers (LEB128) and bytes of a told length.
pub trait Write {
    /// A number.
    fn write_number(&mut self, number: u64);
    /// Bytes, their length before them.
    fn write_bytes(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn write_number(&mut self, number: u64) {
        self.extend_from_slice(ChangeHead::number(number).as_bytes());
    }

    fn write_bytes(&mut self, bytes: &[u8]) {
        self.write_number(bytes.len() as u64);
        self.extend_from_slice(bytes);
    }
}

/// Reads what [`Write`] wrote. Each of its methods answers `None` where the bytes say nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a>(pub &'a [u8]);

impl<'a> Reading<'a> {
    /// A number, in as many bytes as it needs and no more.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let (number, used) = varint::read(self.0).ok()?;
        self.0 = &self.0[used..];
        Some(number)
    }

    /// Bytes with their length before them.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// As [`Reading::bytes`], where more may follow: `Some(None)` where not all of them are there.
    pub fn bytes_so_far(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, used) = match varint::read(self.0) {
            Ok(read) => read,
            Err(varint::Unread::More) => return Some(None),
            Err(varint::Unread::Bad) => return None,
        };
        let Some((bytes, rest)) = self.0[used..].split_at_checked(usize::try_from(length).ok()?)
        else {
            return Some(None);
        };
        self.0 = rest;
        Some(Some(bytes))
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Calls `each` for the whole elements that these bytes begin with, each with its length before it; how many
/// bytes they took. `None` where the bytes, or `each`, say that they are nothing.
pub(super) fn for_each_whole<'a>(
    bytes: &'a [u8],
    each: &mut dyn FnMut(&'a [u8]) -> Option<()>,
) -> Option<usize> {
    let mut reading = Reading(bytes);
    while let Some(element) = reading.bytes_so_far()? {
        each(element)?;
    }
    Some(bytes.len() - reading.0.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        for number in [0, 1, 127, 128, 16_384, u64::MAX] {
            bytes.write_number(number);
            bytes.write_bytes(&number.to_le_bytes());
        }
        let mut reading = Reading(&bytes);
        for number in [0, 1, 127, 128, 16_384, u64::MAX] {
            assert_eq!(reading.number(), Some(number));
            assert_eq!(reading.bytes(), Some(&number.to_le_bytes()[..]));
        }
        assert!(reading.is_done());
        assert_eq!(reading.number(), None);
    }

    #[test]
    fn a_number_has_one_encoding() {
        assert_eq!(Reading(&[0x80, 0]).number(), None);
        assert_eq!(Reading(&[0xff; 11]).number(), None);
        assert_eq!(Reading(&[3, 1, 2]).bytes(), None);
    }
}
