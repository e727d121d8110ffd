//! Reads what a frozen cut has written, as simply as can be: another reading than the product's own.

use engine::db::{Digest, Encodings};
use engine::rdb::forms::building;
use engine::rdb::{Decoder, Text, lzf};
use engine::types::{DbIndex, Millis};
use engine::value::{Item, NewValue};
use std::collections::HashMap;

/// Digests of keys with their values.
pub(crate) type Contents = HashMap<(u16, Vec<u8>), Digest>;

/// Adds the keys of these bytes, which are whole keys behind their databases.
pub(crate) fn read_keys(bytes: &[u8], contents: &mut Contents) -> Result<(), String> {
    let (mut at, mut db, mut deadline) = (0, None, None);
    while at < bytes.len() {
        let code = bytes[at];
        at += 1;
        match code {
            254 => db = Some(DbIndex(length(bytes, &mut at) as u16)),
            252 => {
                deadline = Some(Millis(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())));
                at += 8;
            }
            248 => drop(length(bytes, &mut at)),
            249 => at += 1,
            kind => {
                let key_length = length(bytes, &mut at);
                let key = &bytes[at..at + key_length];
                at += key_length;
                let (value, end) = value(kind, &bytes[at..])?;
                at += end;
                let db = db.ok_or("a key stands before any database")?;
                let item = Item::new(key, value, deadline.take());
                let known = contents.insert((db.0, key.to_vec()), Digest::of(db, &item));
                if known.is_some() {
                    return Err(format!("twice: {} {:?}", db.0, String::from_utf8_lossy(key)));
                }
            }
        }
    }
    Ok(())
}

fn length(bytes: &[u8], at: &mut usize) -> usize {
    let first = bytes[*at];
    *at += 1;
    match first >> 6 {
        0 => usize::from(first),
        1 => {
            *at += 1;
            usize::from(first & 63) << 8 | usize::from(bytes[*at - 1])
        }
        _ => panic!("no key of these tests is so long"),
    }
}

/// The value whose bytes follow, and how many they are.
fn value(kind: u8, behind: &[u8]) -> Result<(NewValue<'static>, usize), String> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&behind[..behind.len().min(2048)]);
    // Not all of a large file is copied for each of its keys.
    decoded(&bytes).or_else(|_| {
        bytes.extend_from_slice(behind.get(2048..).unwrap_or_default());
        decoded(&bytes)
    })
}

fn decoded(bytes: &[u8]) -> Result<(NewValue<'static>, usize), String> {
    let wrong = |error| format!("{error:?}");
    let mut decoder = Decoder::begin(bytes, 12).map_err(wrong)?;
    let string = match decoder.string().cloned() {
        Some(Text::Int(number)) => Some(NewValue::Int(number)),
        Some(Text::Raw(range)) => {
            let bytes = bytes.get(range).ok_or("a string that is not all there")?;
            Some(NewValue::Owned(bytes.to_vec()))
        }
        Some(Text::Packed(range, length)) => {
            let packed = bytes.get(range).ok_or("a string that is not all there")?;
            Some(NewValue::Owned(lzf::unpack(packed, length).ok_or("no LZF")?))
        }
        None => None,
    };
    if let Some(string) = string {
        return Ok((string, decoder.at() - 1));
    }
    let limits = Encodings::default().of_forms();
    let mut building = building(decoder.kind(), bytes[0], &limits).ok_or("a kind without form")?;
    while let Some(part) = decoder.next(bytes).map_err(wrong)? {
        building.add(&part);
    }
    Ok((building.end(), decoder.at() - 1))
}
