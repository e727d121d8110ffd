//! A value by itself, as DUMP writes it.
//!
//! ```text
//!   type | value | version u16 | CRC-64 of all before it
//! ```

use super::crc::Crc;
use super::lzf;
use super::read::Cursor;
use crate::resp::number::parse_i64;
use crate::value::Value;
use std::ops::Range;

/// What stands behind the value.
pub const FOOTER: usize = 10;

/// The version that is written: Redis reads payloads of its own version and of older ones, and Redis 6.2,
/// which is the oldest that ours are for, has this one. Nothing that is written needs a newer one.
const VERSION: u16 = 9;
/// The newest of Redis's and of Valkey's that are read. Valkey left a gap, so that nobody takes its versions
/// for Redis's.
const REDIS_MAX: u16 = 13;
const VALKEY: std::ops::RangeInclusive<u16> = 80..=89;

const STRING: u8 = 0;

/// The longest string that is packed. Longer ones would keep others waiting meanwhile, and could not be
/// written where they lie.
pub const PACKED_MAX: usize = 16 * 1024;
/// The shortest one: Redis takes no smaller ones either.
const PACKED_MIN: usize = 21;
/// Bytes that packing must save: what it writes before the bytes.
const GAIN: usize = 4;

/// The version that the footer names, if it is one that can be read.
pub fn version(payload: &[u8]) -> Option<u16> {
    let at = payload.len().checked_sub(FOOTER)?;
    let version = u16::from_le_bytes(payload[at..at + 2].try_into().ok()?);
    (version <= REDIS_MAX || VALKEY.contains(&version)).then_some(version)
}

/// Whether the footer's checksum is that of all before it.
pub fn fits(payload: &[u8], crc: Crc) -> bool {
    payload.last_chunk().is_some_and(|last| u64::from_le_bytes(*last) == crc.0)
}

/// What stands behind a value of which this is the checksum.
pub fn footer(mut crc: Crc) -> [u8; FOOTER] {
    let mut footer = [0; FOOTER];
    footer[..2].copy_from_slice(&VERSION.to_le_bytes());
    crc.add(&footer[..2]);
    footer[2..].copy_from_slice(&crc.0.to_le_bytes());
    footer
}

/// What stands before the bytes of a string of this length.
pub fn string_head(length: usize) -> Vec<u8> {
    let mut head = vec![STRING];
    write_length(length, &mut head);
    head
}

/// What may stand before the bytes of a string.
pub const HEAD_MAX: usize = 10;

/// Where the bytes of a string are, in a value of this length that begins so; `None` where they are not there as
/// they are.
pub fn plain_string(beginning: &[u8], length: usize) -> Option<Range<usize>> {
    let (&kind, _) = beginning.split_first()?;
    let mut cursor = Cursor::at(beginning, 1);
    let bytes = usize::try_from(cursor.length().ok()?).ok()?;
    let range = cursor.at..cursor.at.checked_add(bytes)?;
    (kind == STRING && range.end <= length).then_some(range)
}

/// A string that is not long, as a whole.
pub fn string(value: Value<'_>) -> Vec<u8> {
    let mut payload = vec![STRING];
    match value {
        Value::Int(number) => write_integer(number, &mut payload),
        Value::Bytes(bytes) => write_string(bytes, &mut payload),
        Value::Rope(rope) => write_string(&rope.to_vec(), &mut payload),
    }
    let footer = footer(Crc::of(&payload));
    payload.extend_from_slice(&footer);
    payload
}

/// A string as an element of something: as an integer, if it is one.
pub(super) fn write_text(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => write_integer(number, out),
        Value::Bytes(bytes) => match parse_i64(bytes) {
            Some(number) => write_integer(number, out),
            None => write_string(bytes, out),
        },
        Value::Rope(rope) => {
            write_length(rope.len(), out);
            rope.stretches(0..rope.len()).for_each(|stretch| out.extend_from_slice(stretch));
        }
    }
}

pub(super) fn write_length(length: usize, out: &mut Vec<u8>) {
    match length {
        0..64 => out.push(length as u8),
        64..16_384 => out.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(length) {
            Ok(length) => {
                out.push(0x80);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    if let Ok(number) = i8::try_from(number) {
        out.extend_from_slice(&[0xc0, number as u8]);
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xc1);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xc2);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        write_string(number.to_string().as_bytes(), out);
    }
}

pub(super) fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    let is_packable = (PACKED_MIN..=PACKED_MAX).contains(&bytes.len());
    if let Some(packed) = is_packable.then(|| lzf::pack(bytes, GAIN)).flatten() {
        out.push(0xc3);
        write_length(packed.len(), out);
        write_length(bytes.len(), out);
        out.extend_from_slice(&packed);
        return;
    }
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}
