//! Names and values as they stand in a pack: an integer in as few bytes as it needs, anything else as it is.
//!
//! ```text
//!   length of the bytes, twice     | bytes
//!   count of the bytes, twice, + 1 | an integer in two's complement, the low byte first
//! ```
//!
//! A text has one form only, so that equal texts are equal bytes.

use crate::resp::number::parse_i64;
use crate::value::listpack::{integer_entry, string_entry};
use crate::value::{Reading, Write};

/// A name or a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text<'a> {
    /// Any bytes.
    Bytes(&'a [u8]),
    /// What is an integer as it is written.
    Integer(i64),
}

impl<'a> Text<'a> {
    /// What these bytes are.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Text<'a> {
        // An integer of one digit takes no less as one.
        let is_long = (2..=20).contains(&bytes.len());
        let integer = if is_long { parse_i64(bytes) } else { None };
        integer.map_or(Text::Bytes(bytes), Text::Integer)
    }

    /// The text at the front of what is read.
    #[inline]
    pub(super) fn read(reading: &mut Reading<'a>) -> Option<Text<'a>> {
        let bytes = reading.0;
        // Nearly always one byte says how long it is.
        let head = match bytes.first() {
            Some(&head) if head < 0x80 => {
                reading.0 = &bytes[1..];
                u64::from(head)
            }
            _ => reading.number()?,
        };
        let length = usize::try_from(head >> 1).ok()?;
        let (text, rest) = reading.0.split_at_checked(length)?;
        reading.0 = rest;
        if head & 1 == 0 {
            return Some(Text::Bytes(text));
        }
        let (&last, _) = text.split_last().filter(|_| length <= 8)?;
        let mut number = if last >= 0x80 { [0xff; 8] } else { [0; 8] };
        number[..length].copy_from_slice(text);
        Some(Text::Integer(i64::from_le_bytes(number)))
    }

    /// Goes past a text, and answers with the bytes that it takes.
    #[inline]
    pub(super) fn skip(reading: &mut Reading<'a>) -> Option<&'a [u8]> {
        let all = reading.0;
        Text::read(reading)?;
        Some(&all[..all.len() - reading.0.len()])
    }

    /// Writes what [`Text::read`] reads.
    #[inline]
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Text::Bytes(bytes) => {
                out.write_number((bytes.len() as u64) << 1);
                out.extend_from_slice(bytes);
            }
            Text::Integer(number) => {
                let bytes = number.to_le_bytes();
                let length = integer_length(number);
                out.push((length as u8) << 1 | 1);
                out.extend_from_slice(&bytes[..length]);
            }
        }
    }

    /// As bytes, digits being written into `digits`.
    #[inline]
    pub fn bytes<'b>(&'b self, digits: &'b mut itoa::Buffer) -> &'b [u8] {
        match self {
            Text::Bytes(bytes) => bytes,
            Text::Integer(number) => digits.format(*number).as_bytes(),
        }
    }

    /// What it takes of one of Redis's listpacks.
    pub fn listed(self) -> u64 {
        match self {
            Text::Integer(number) => integer_entry(number),
            Text::Bytes([digit @ b'0'..=b'9']) => integer_entry(i64::from(*digit)),
            Text::Bytes(bytes) => string_entry(bytes.len() as u64),
        }
    }
}

/// The bytes that an integer needs, with its sign.
fn integer_length(number: i64) -> usize {
    let bits = 65 - (number ^ number >> 63).leading_zeros();
    bits.div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let edges = (0..63).flat_map(|bits| [(1i64 << bits) - 1, 1 << bits, -(1i64 << bits)]);
        let numbers = edges.chain([i64::MAX, i64::MIN, -129, 10]).map(|number| number.to_string());
        let words = ["", "a", "7", "-0", "007", "+1", "9223372036854775808", "\r\n"];
        let long = ["x".repeat(63), "y".repeat(64), "z".repeat(10_000)];
        for text in numbers.chain(words.map(str::to_owned)).chain(long) {
            let mut out = Vec::new();
            Text::of(text.as_bytes()).write(&mut out);
            let mut reading = Reading(&out);
            let read = Text::read(&mut reading).expect("a text");
            assert!(reading.is_done(), "{text}");
            assert_eq!(read.bytes(&mut itoa::Buffer::new()), text.as_bytes());
            for cut in 0..out.len().min(20) {
                assert_eq!(Text::read(&mut Reading(&out[..cut])), None, "{text}");
            }
        }
        assert_eq!(Text::read(&mut Reading(&[1])), None, "an integer of no bytes");
        assert_eq!(Text::read(&mut Reading(&[19, 1, 2, 3, 4, 5, 6, 7, 8, 9])), None);
    }

    #[test]
    fn what_a_listpack_takes_is_known() {
        for (text, bytes) in [
            ("", 2),
            ("a", 3),
            ("5", 2),
            ("127", 2),
            ("128", 3),
            ("-1", 3),
            ("4095", 3),
            ("4096", 4),
            ("32768", 5),
            ("8388608", 6),
            ("2147483648", 10),
        ] {
            assert_eq!(Text::of(text.as_bytes()).listed(), bytes, "{text}");
        }
        assert_eq!(Text::Bytes(&[b'x'; 64]).listed(), 67);
        assert_eq!(Text::Bytes(&[b'x'; 4096]).listed(), 4103);
    }
}
