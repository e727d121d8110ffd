//! The small parts of payloads and files: lengths, strings, numbers.
//!
//! ```text
//!   00llllll                 a length below 64
//!   01llllll llllllll        below 16,384
//!   10000000 + 4 bytes       of 32 bits, the high byte first
//!   10000001 + 8 bytes       of 64 bits
//!   11000000 + 1 byte        a string: an integer of 8 bits, 11000001: of 16, 11000010: of 32 (low first)
//!   11000011 length length   a string: so many bytes of LZF for so many
//! ```

use super::lzf;
use crate::limits::STRING_MAX;
use std::ops::Range;

/// Bytes that are no value: where that was seen, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Counted from the beginning of what was read.
    pub at: usize,
    /// A few words.
    pub why: &'static str,
}

/// Why bytes that end in the middle of something are malformed.
const SHORT: &str = "ends too early";

impl Malformed {
    /// Whether there are too few bytes, and what there is might go on as something.
    pub(super) fn is_short(self) -> bool {
        self.why == SHORT
    }
}

/// Bytes, and how far they are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// The next one.
    pub(super) at: usize,
    /// Where there were too few: how many there must be to go on.
    pub(super) wants: usize,
}

/// A string where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Text {
    /// An integer.
    Int(i64),
    /// These bytes of what was read.
    Raw(Range<usize>),
    /// These bytes, by LZF, and how many they stand for: not more than [`lzf::is_possible`].
    Packed(Range<usize>, usize),
}

impl Text {
    /// That of a whole value, behind its type.
    pub fn of_string(value: &[u8]) -> Result<Text, Malformed> {
        Cursor::at(value, 1).text()
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Text::Raw(range) if range.is_empty()) || matches!(self, Text::Packed(_, 0))
    }
}

/// How a string begins.
pub(super) enum TextHead {
    /// So many bytes follow.
    Raw(u64),
    /// So many bytes of LZF follow, for so many.
    Packed(usize, usize),
    /// It is an integer, or nothing.
    Short,
}

/// What stands where a length is expected.
enum Length {
    Plain(u64),
    Special(u8),
}

impl<'a> Cursor<'a> {
    /// At a place.
    pub(super) fn at(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at, wants: 0 }
    }

    /// The same that sees no more than up to a place.
    pub(super) fn until(&self, end: usize) -> Cursor<'a> {
        Cursor { bytes: &self.bytes[..self.bytes.len().min(end)], at: self.at, wants: 0 }
    }

    /// An error here.
    pub(super) fn malformed<T>(&self, why: &'static str) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, why })
    }

    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..count) else {
            self.wants = self.at.saturating_add(count);
            return self.malformed(SHORT);
        };
        self.at += count;
        Ok(taken)
    }

    /// The next ones, as many as the array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn length_or_special(&mut self) -> Result<Length, Malformed> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(u16::from_be_bytes([low, self.byte()?]))),
            (2, 0) => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            (2, 1) => Length::Plain(u64::from_be_bytes(self.array()?)),
            (2, _) => return self.malformed("no such form of a length"),
            _ => Length::Special(low),
        })
    }

    /// A length, or another number that is written as one.
    pub(super) fn length(&mut self) -> Result<u64, Malformed> {
        match self.length_or_special()? {
            Length::Plain(length) => Ok(length),
            Length::Special(_) => self.malformed("a string where a length was expected"),
        }
    }

    /// How many bytes follow, or are told to.
    fn size(&mut self) -> Result<usize, Malformed> {
        let length = self.length()?;
        usize::try_from(length).or_else(|_| self.malformed("a length beyond all memory"))
    }

    /// The length of a string. None is longer than any way to write one allows: a few bytes of LZF may say that
    /// they are gigabytes, and what is held of them here has its bound from this.
    fn string_size(&mut self, length: u64) -> Result<usize, Malformed> {
        match usize::try_from(length).ok().filter(|length| *length <= STRING_MAX) {
            Some(length) => Ok(length),
            None => self.malformed("a string of more than 512 MB"),
        }
    }

    /// The lengths of a packed string: packed, and as it is.
    fn packed_sizes(&mut self) -> Result<(usize, usize), Malformed> {
        let (packed, length) = (self.size()?, self.length()?);
        Ok((packed, self.string_size(length)?))
    }

    /// What stands before the bytes of a string.
    pub(super) fn text_head(&mut self) -> Result<TextHead, Malformed> {
        Ok(match self.length_or_special()? {
            Length::Plain(length) => TextHead::Raw(self.string_size(length)? as u64),
            Length::Special(3) => {
                let (packed, length) = self.packed_sizes()?;
                TextHead::Packed(packed, length)
            }
            Length::Special(_) => TextHead::Short,
        })
    }

    /// A string.
    pub(super) fn text(&mut self) -> Result<Text, Malformed> {
        Ok(match self.length_or_special()? {
            Length::Plain(length) => {
                let length = self.string_size(length)?;
                self.take(length)?;
                Text::Raw(self.at - length..self.at)
            }
            Length::Special(0) => Text::Int(i64::from(i8::from_le_bytes(self.array()?))),
            Length::Special(1) => Text::Int(i64::from(i16::from_le_bytes(self.array()?))),
            Length::Special(2) => Text::Int(i64::from(i32::from_le_bytes(self.array()?))),
            Length::Special(3) => {
                let (packed, length) = self.packed_sizes()?;
                self.take(packed)?;
                if !lzf::is_possible(packed, length) {
                    return self.malformed("so few bytes of LZF cannot be so many");
                }
                Text::Packed(self.at - packed..self.at, length)
            }
            Length::Special(_) => return self.malformed("no such form of a string"),
        })
    }

    /// A string's bytes, unpacked where they are packed: then they are the second.
    pub(super) fn blob(&mut self) -> Result<Blob, Malformed> {
        match self.text()? {
            Text::Raw(range) => Ok(Blob { range, unpacked: None }),
            Text::Packed(range, length) => {
                let unpacked = lzf::unpack(&self.bytes[range.clone()], length);
                let Some(unpacked) = unpacked else { return self.malformed("LZF does not hold") };
                Ok(Blob { range, unpacked: Some(unpacked) })
            }
            Text::Int(number) => {
                let unpacked = Some(number.to_string().into_bytes());
                Ok(Blob { range: self.at..self.at, unpacked })
            }
        }
    }

    /// A floating-point number in eight bytes.
    pub(super) fn double(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// Milliseconds, or another number of eight bytes.
    pub(super) fn fixed64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

/// A string's bytes.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Where they lie.
    range: Range<usize>,
    /// What they are, if they lie there in another form.
    unpacked: Option<Vec<u8>>,
}

impl Blob {
    /// Nothing.
    pub(super) const EMPTY: Blob = Blob { range: 0..0, unpacked: None };

    /// The bytes, which are part of `all` or unpacked of it.
    pub(super) fn bytes<'a>(&'a self, all: &'a [u8]) -> &'a [u8] {
        self.unpacked.as_deref().unwrap_or_else(|| &all[self.range.clone()])
    }

    /// Where they begin, if they are part of what is read.
    pub(super) fn lies_from(&self) -> Option<usize> {
        self.unpacked.is_none().then_some(self.range.start)
    }

    /// So many of the first bytes of what is read are not handed in any more.
    pub(super) fn forget(&mut self, count: usize) {
        match self.range.start.checked_sub(count) {
            Some(start) => self.range = start..self.range.end - count,
            None => self.range = 0..0,
        }
    }

    /// An error inside it, seen from outside: no more bytes would mend it.
    pub(super) fn outside(&self, error: Malformed) -> Malformed {
        let within = if self.unpacked.is_some() { 0 } else { error.at };
        let why = if error.is_short() { "a list whose bytes end too early" } else { error.why };
        Malformed { at: self.range.start + within, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_every_form() {
        for (bytes, length) in [
            (&[0x3f][..], Some(63)),
            (&[0x7f, 0xff], Some(16_383)),
            (&[0x80, 0, 1, 0, 0], Some(65_536)),
            (&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Some(u64::MAX)),
            (&[0x82], None),
            (&[0xc0, 1], None),
            (&[0x40], None),
            (&[], None),
        ] {
            assert_eq!(Cursor::at(bytes, 0).length().ok(), length, "{bytes:x?}");
        }
    }

    #[test]
    fn strings_are_read_in_every_form_and_never_beyond_what_is_there() {
        for (bytes, text) in [
            (&b"\x02ab"[..], Some(Text::Raw(1..3))),
            (&[0xc0, 0x80], Some(Text::Int(-128))),
            (&[0xc1, 0, 1], Some(Text::Int(256))),
            (&[0xc2, 0xff, 0xff, 0xff, 0xff], Some(Text::Int(-1))),
            (&[0xc3, 2, 1, 0, b'a'], Some(Text::Packed(3..5, 1))),
            (&[0xc3, 2, 0x80, 0xff, 0xff, 0xff, 0xff, 0, b'a'], None),
            (&[0xc4, 0], None),
            (&[0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], None),
            (&[0x80, 0xff, 0xff, 0xff, 0xff, 0], None),
            // What 49 MB of LZF could hold is refused before any of it is unpacked.
            (&[0xc3, 2, 0x80, 0x20, 0, 0, 1, 0, b'a'], None),
        ] {
            assert_eq!(Cursor::at(bytes, 0).text().ok(), text, "{bytes:x?}");
        }
    }

    #[test]
    fn no_string_is_longer_than_any_way_to_write_one_allows() {
        let told = |length: usize| {
            let mut bytes = vec![0x80];
            bytes.extend_from_slice(&(length as u32).to_be_bytes());
            let mut packed = vec![0xc3, 0x80];
            packed.extend_from_slice(&(length as u32 / 64).to_be_bytes());
            packed.extend_from_slice(&bytes);
            [bytes, packed].map(|bytes| match Cursor::at(&bytes, 0).text_head() {
                Ok(head) => Ok(matches!(head, TextHead::Packed(..))),
                Err(error) => Err(error.why),
            })
        };
        assert_eq!(told(STRING_MAX), [Ok(false), Ok(true)]);
        assert_eq!(told(STRING_MAX + 1), [Err("a string of more than 512 MB"); 2]);
    }
}
