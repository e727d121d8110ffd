//! What the commands share: numbers of entries as they are written, entries as they are answered, refusals.

use crate::command::{Args, Refusal};
use crate::resp::number::parse_i64;
use crate::resp::{Protocol, ReplyWriter};
use crate::value::stream::{Fields, Id, Text};

const INVALID_ID: Refusal =
    Refusal::fixed("ERR Invalid stream ID specified as stream command argument");

/// A number of an entry as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WrittenId {
    /// `ms-seq`, or `ms`.
    Whole(Id),
    /// `ms-*`.
    Open(u64),
}

/// Reads a number of an entry; without a count within its millisecond it has `missing`.
fn parse(text: &[u8], missing: u64) -> Result<WrittenId, Refusal> {
    // As long as Redis's buffer, and to it a C string.
    if text.len() > 127 {
        return Err(INVALID_ID);
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (ms, seq) = match text.iter().position(|byte| *byte == b'-') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let ms = parse_u64(ms).ok_or(INVALID_ID)?;
    match seq {
        None => Ok(WrittenId::Whole(Id::new(ms, missing))),
        Some(b"*") => Ok(WrittenId::Open(ms)),
        Some(seq) => Ok(WrittenId::Whole(Id::new(ms, parse_u64(seq).ok_or(INVALID_ID)?))),
    }
}

/// A whole number as Redis takes it: what is none in its own form goes through `strtoull`.
fn parse_u64(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let (is_negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: u64, digit: &u8| {
        number.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0')))
    };
    let number = digits.iter().try_fold(0u64, add)?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

/// An entry's number, which is no `-` and no `+`.
pub(super) fn strict_id(text: &[u8]) -> Result<Id, Refusal> {
    match parse(text, 0)? {
        WrittenId::Whole(id) => Ok(id),
        WrittenId::Open(_) => Err(INVALID_ID),
    }
}

/// The same, where the count within the millisecond may be left open.
pub(super) fn new_id(text: &[u8]) -> Result<WrittenId, Refusal> {
    parse(text, 0)
}

/// An entry's number, or `-` or `+` for the least and the greatest.
pub(super) fn loose_id(text: &[u8], missing: u64) -> Result<Id, Refusal> {
    match text.split(|byte| *byte == 0).next().unwrap_or_default() {
        b"-" if text.len() <= 127 => Ok(Id::ZERO),
        b"+" if text.len() <= 127 => Ok(Id::MAX),
        _ => match parse(text, missing)? {
            WrittenId::Whole(id) => Ok(id),
            WrittenId::Open(_) => Err(INVALID_ID),
        },
    }
}

/// Where an interval begins.
pub(super) fn interval_start(text: &[u8]) -> Result<Id, Refusal> {
    const REFUSAL: Refusal = Refusal::fixed("ERR invalid start ID for the interval");
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => strict_id(rest)?.after().ok_or(REFUSAL),
        _ => loose_id(text, 0),
    }
}

/// Where it ends.
pub(super) fn interval_end(text: &[u8]) -> Result<Id, Refusal> {
    const REFUSAL: Refusal = Refusal::fixed("ERR invalid end ID for the interval");
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => match parse(rest, u64::MAX)? {
            WrittenId::Whole(id) => id.before().ok_or(REFUSAL),
            WrittenId::Open(_) => Err(INVALID_ID),
        },
        _ => loose_id(text, u64::MAX),
    }
}

/// All arguments from one on as numbers of entries.
pub(super) fn ids_from(args: Args<'_>, first: usize) -> Result<Vec<Id>, Refusal> {
    args.from(first).map(strict_id).collect()
}

/// A text that names two things of the client's, each up to a NUL.
pub(super) fn naming(parts: [&str; 3], one: &[u8], other: &[u8]) -> Refusal {
    let shown = |word: &[u8]| word.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let [before, between, behind] = parts.map(str::as_bytes);
    Refusal::Raw([before, &shown(one), between, &shown(other), behind].concat())
}

/// Neither such a key nor such a group.
pub(super) fn no_key_or_group(key: &[u8], group: &[u8]) -> Refusal {
    naming(["NOGROUP No such key '", "' or consumer group '", "'"], key, group)
}

/// The key has no such group.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    naming(["NOGROUP No such consumer group '", "' for key name '", "'"], group, key)
}

/// A subcommand's arguments are none.
pub(super) fn bad_subcommand(args: Args<'_>, container: &str) -> Refusal {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    let word = args.get(1);
    Refusal::quoting(before, &word[..word.len().min(128)], &format!("'. Try {container} HELP."))
}

/// `ms-seq`, as a string.
pub(super) fn write_id(reply: &mut ReplyWriter<'_>, id: Id) {
    let mut bytes = [0; 41];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    put(itoa::Buffer::new().format(id.ms()).as_bytes());
    put(b"-");
    put(itoa::Buffer::new().format(id.seq()).as_bytes());
    reply.bulk(&bytes[..length]);
}

/// Keys and what they have: pairs in RESP2. Of none that is all.
pub(super) fn begin_streams(reply: &mut ReplyWriter<'_>, count: usize) {
    match reply.protocol {
        _ if count == 0 => reply.nil_array(),
        Protocol::Resp2 => reply.array(count),
        Protocol::Resp3 => reply.map(count),
    }
}

pub(super) fn begin_stream(reply: &mut ReplyWriter<'_>, key: &[u8]) {
    if reply.protocol == Protocol::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// An entry: its number, and fields and values in turn.
#[inline]
pub(super) fn write_entry(reply: &mut ReplyWriter<'_>, id: Id, fields: Fields<'_>) {
    reply.array(2);
    write_id(reply, id);
    reply.array(fields.count() * 2);
    for (name, value) in fields {
        write_text(reply, name);
        write_text(reply, value);
    }
}

#[inline]
fn write_text(reply: &mut ReplyWriter<'_>, text: Text<'_>) {
    match text {
        Text::Bytes(bytes) => reply.bulk(bytes),
        Text::Integer(number) => reply.bulk_integer(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_entries_are_read_as_redis_reads_them() {
        const MAX: u64 = u64::MAX;
        for (text, id) in [
            (&b"1-2"[..], Some((1, 2))),
            (b"7", Some((7, 0))),
            (b"18446744073709551615-18446744073709551615", Some((MAX, MAX))),
            (b"18446744073709551616", None),
            (b" 5-+6", Some((5, 6))),
            (b"007-08", Some((7, 8))),
            (b"1--0", Some((1, 0))),
            (b"1--01", Some((1, MAX))),
            (b"1--1", None),
            (b"1-2-3", None),
            (b"1-2\0-3", Some((1, 2))),
            (b"1-", None),
            (b"-1", None),
            (b"", None),
            (b"-", None),
            (b"+", None),
            (b"$", None),
            (b"1-*", None),
            (b"1 ", None),
        ] {
            let id = id.map(|(ms, seq)| Id::new(ms, seq));
            assert_eq!(strict_id(text).ok(), id, "{}", text.escape_ascii());
        }
        assert_eq!(new_id(b"5-*"), Ok(WrittenId::Open(5)));
        assert_eq!(interval_start(b"(1-18446744073709551615"), Ok(Id::new(2, 0)));
        assert_eq!(interval_end(b"(2-0"), Ok(Id::new(1, MAX)));
        assert_eq!(interval_end(b"2"), Ok(Id::new(2, MAX)));
        assert!(interval_end(b"(0-0").is_err() && interval_start(b"(+").is_err());
    }
}
