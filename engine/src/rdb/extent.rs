//! How far a value reaches, without reading what is in it: enough to hand it to somebody who does.

use super::lzf;
use super::read::{Cursor, Malformed};
use std::ops::Range;

/// Versions from here on are Valkey's own.
const VALKEY: u16 = 80;

/// Where a key with a string lies.
pub(super) struct ShortString {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// A key with a string, if one begins there, all of it is there, and each is shorter than 16 KiB: what most files
/// consist of. Whatever else there is, or is wrong with it, is for others to say.
#[inline]
pub(super) fn short_string(bytes: &[u8], at: usize) -> Option<ShortString> {
    if *bytes.get(at)? != 0 {
        return None;
    }
    let (length, begins) = short_length(bytes, at + 1)?;
    let key = begins..begins + length;
    let from = key.end;
    let end = match bytes.get(from)? {
        0xc0 => from + 2,
        0xc1 => from + 3,
        0xc2 => from + 5,
        0xc3 => {
            let (packed, at) = short_length(bytes, from + 1)?;
            let (length, at) = short_length(bytes, at)?;
            lzf::is_possible(packed, length).then_some(at + packed)?
        }
        _ => {
            let (length, at) = short_length(bytes, from)?;
            at + length
        }
    };
    (end <= bytes.len()).then_some(ShortString { key, value: from..end })
}

/// A length below 16 KiB, and where what follows it begins.
#[inline]
fn short_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *bytes.get(at)?;
    match first >> 6 {
        0 => Some((usize::from(first), at + 1)),
        1 => Some((usize::from(first & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?), at + 2)),
        _ => None,
    }
}

/// Goes behind the value of a type. An error that there are too few bytes says in the cursor how many there must
/// be to go on.
pub(super) fn skip(number: u8, version: u16, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    match number {
        0 | 9..=13 | 16 | 17 | 20 | 23 => cursor.text().map(drop),
        25 => {
            cursor.fixed64()?;
            cursor.text().map(drop)
        }
        1 | 2 | 14 => each(cursor, |cursor| cursor.text().map(drop)),
        3 => each(cursor, |cursor| {
            cursor.text()?;
            match cursor.byte()? {
                253.. => Ok(()),
                length => cursor.take(usize::from(length)).map(drop),
            }
        }),
        4 => each(cursor, pair),
        5 => each(cursor, |cursor| {
            cursor.text()?;
            cursor.fixed64().map(drop)
        }),
        22 if version >= VALKEY => each(cursor, |cursor| {
            pair(cursor)?;
            cursor.fixed64().map(drop)
        }),
        22 | 24 => {
            if number == 24 {
                cursor.fixed64()?;
            }
            each(cursor, |cursor| {
                cursor.length()?;
                pair(cursor)
            })
        }
        18 => each(cursor, |cursor| {
            cursor.length()?;
            cursor.text().map(drop)
        }),
        15 | 19 | 21 => stream(number, cursor),
        7 => module(cursor),
        _ => cursor.malformed("no such type of a value"),
    }
}

fn each(
    cursor: &mut Cursor<'_>,
    mut skip: impl FnMut(&mut Cursor<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for _ in 0..cursor.length()? {
        skip(cursor)?;
    }
    Ok(())
}

fn pair(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    cursor.text()?;
    cursor.text().map(drop)
}

fn stream(number: u8, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    const ID: usize = 16;
    each(cursor, pair)?;
    let facts = if number == 15 { 3 } else { 8 };
    for _ in 0..facts {
        cursor.length()?;
    }
    each(cursor, |group| {
        group.text()?;
        for _ in 0..if number == 15 { 2 } else { 3 } {
            group.length()?;
        }
        each(group, |pending| {
            pending.take(ID + size_of::<u64>())?;
            pending.length().map(drop)
        })?;
        each(group, |consumer| {
            consumer.text()?;
            consumer.take(size_of::<u64>() * if number == 21 { 2 } else { 1 })?;
            each(consumer, |claimed| claimed.take(ID).map(drop))
        })
    })
}

fn module(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    cursor.length()?;
    loop {
        match cursor.length()? {
            0 => return Ok(()),
            1 | 2 => cursor.length().map(drop)?,
            3 => cursor.take(4).map(drop)?,
            4 => cursor.take(8).map(drop)?,
            5 => cursor.text().map(drop)?,
            _ => return cursor.malformed("no such part of a module's value"),
        }
    }
}
