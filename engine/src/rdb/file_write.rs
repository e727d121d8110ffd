//! What a file of a whole data set consists of, written; `file` reads it.
//!
//! ```text
//!   REDIS0009 | 250 name value ... | 245 library ... | 254 database 251 keys, keys that expire ...
//!   254 database | [252 until, in ms] [248 idle, in s] [249 how often used] type | key | value ...
//!   255 | CRC-64 of all before it
//! ```
//!
//! The version is 9, which Redis 6.2 loads, unless the data has what needs a newer one.

use super::crc::Crc;
use super::dump::{PACKED_MAX, write_length, write_string, write_text};
use super::forms;
use super::pieces::Writing;
use crate::types::{DbIndex, Millis};
use crate::value::{Object, Rope, SharedValue, Value};
use std::ops::Range;

/// What Redis 6.2 loads.
pub const VERSION: u16 = 9;
/// The first that knows fields of hashes with a time of their own: Redis 7.4's.
pub const VERSION_OF_TIMED_FIELDS: u16 = 12;
/// Valkey's first of its own, which knows them too: Valkey 9's.
pub const VERSION_OF_VALKEY: u16 = 80;

const STRING: u8 = 0;
const IDLE: u8 = 248;
const OFTEN: u8 = 249;
const MODULE: u8 = 247;
const AUX: u8 = 250;
const SIZES: u8 = 251;
const UNTIL: u8 = 252;
const DATABASE: u8 = 254;
const END: u8 = 255;

/// Bytes of a long string in one piece: some 10 us.
const PIECE: usize = 64 * 1024;

/// The beginning of a file.
pub fn begin(version: u16, out: &mut Vec<u8>) {
    let head = match version {
        VERSION_OF_VALKEY.. => format!("VALKEY{version:03}"),
        _ => format!("REDIS{version:04}"),
    };
    out.extend_from_slice(head.as_bytes());
}

/// A fact about the file: Redis passes over those that it does not know.
pub fn fact(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(AUX);
    write_string(name.as_bytes(), out);
    write_text(Value::Bytes(value.as_bytes()), out);
}

/// Something of the module of this name, nine letters long: a Redis without it does not load the file, and says the name.
pub fn module(name: &[u8; 9], out: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    /// Of what follows: numbers of variable length, and the end.
    const UINT: u8 = 2;
    const EOF: u8 = 0;
    /// It has to do with what stands before the keys.
    const BEFORE: u8 = 1;
    let place = |byte: &u8| LETTERS.iter().position(|letter| letter == byte).unwrap_or(0) as u64;
    // Six bits a letter, and ten of a version.
    let id = name.iter().fold(0, |id, byte| id << 6 | place(byte)) << 10;
    out.push(MODULE);
    write_length(id as usize, out);
    out.extend_from_slice(&[UINT, BEFORE, EOF]);
}

/// Whose keys follow.
pub fn database(db: DbIndex, out: &mut Vec<u8>) {
    out.push(DATABASE);
    write_length(db.index(), out);
}

/// How many keys the database has of which this is said, and how many that expire.
pub fn sizes(keys: u64, expire: u64, out: &mut Vec<u8>) {
    out.push(SIZES);
    write_length(keys as usize, out);
    write_length(expire as usize, out);
}

/// Bytes of the end of a file.
pub const END_BYTES: u64 = 9;

/// The end of a file of which all but this has this checksum.
pub fn end(mut crc: Crc) -> Vec<u8> {
    crc.add(&[END]);
    [&[END], &crc.0.to_le_bytes()[..]].concat()
}

/// How a key was used, where eviction asks for that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Used {
    /// Not for so many seconds.
    Idle(u64),
    /// So often, on the logarithmic scale of LFU.
    Often(u8),
}

/// What stands before the value of a key.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The key.
    pub key: &'a [u8],
    /// When it ends to be.
    pub deadline: Option<Millis>,
    /// How it was used.
    pub used: Option<Used>,
}

/// A value in place.
#[derive(Clone, Copy)]
pub enum InPlace<'a> {
    /// A string.
    String(Value<'a>),
    /// Of another type.
    Object(&'a dyn Object),
}

impl<'a> InPlace<'a> {
    /// That of somebody who holds it.
    pub fn of(shared: &'a SharedValue) -> InPlace<'a> {
        match shared {
            SharedValue::Int(number) => InPlace::String(Value::Int(*number)),
            SharedValue::Small(bytes) => InPlace::String(Value::Bytes(bytes)),
            SharedValue::Large(rope) => InPlace::String(rope.borrow().into()),
            SharedValue::Object(object) => InPlace::Object(&**object),
        }
    }
}

/// The rest of a key's value that goes on in pieces.
pub struct Rest(What);

enum What {
    Rope(Rope, Range<usize>),
    Object(Box<dyn Writing>),
}

impl Rest {
    /// Writes some more, a few microseconds' worth; whether that was the last.
    pub fn more(&mut self, out: &mut Vec<u8>) -> bool {
        match &mut self.0 {
            What::Rope(rope, left) => {
                let end = left.end.min(left.start + PIECE);
                let stretches = rope.borrow().stretches(left.start..end);
                stretches.for_each(|stretch| out.extend_from_slice(stretch));
                left.start = end;
                left.start >= left.end
            }
            What::Object(writing) => writing.more(out),
        }
    }
}

/// Writes a key with its value for somebody, or the beginning of it: then there is a rest. Nothing of a type that has
/// no form here.
pub fn item(
    head: Head<'_>,
    value: InPlace<'_>,
    recipient: forms::Recipient,
    out: &mut Vec<u8>,
) -> Option<Rest> {
    match value {
        InPlace::String(value) => {
            write_head(head, out);
            out.push(STRING);
            write_string(head.key, out);
            string(value, out)
        }
        InPlace::Object(object) => {
            let mut writing = forms::writing_for(object, recipient)?;
            write_head(head, out);
            let start = out.len();
            let mut is_done = false;
            // The type comes first, and then the key.
            while out.len() == start && !is_done {
                is_done = writing.more(out);
            }
            let mut key = Vec::with_capacity(head.key.len() + 5);
            write_string(head.key, &mut key);
            out.splice(start + 1..start + 1, key);
            (!is_done).then_some(Rest(What::Object(writing)))
        }
    }
}

fn write_head(head: Head<'_>, out: &mut Vec<u8>) {
    if let Some(Millis(until)) = head.deadline {
        out.push(UNTIL);
        out.extend_from_slice(&until.to_le_bytes());
    }
    match head.used {
        Some(Used::Idle(seconds)) => {
            out.push(IDLE);
            write_length(seconds as usize, out);
        }
        Some(Used::Often(times)) => out.extend_from_slice(&[OFTEN, times]),
        None => {}
    }
}

fn string(value: Value<'_>, out: &mut Vec<u8>) -> Option<Rest> {
    match value {
        Value::Rope(rope) if rope.len() > PACKED_MAX => {
            write_length(rope.len(), out);
            return Some(Rest(What::Rope(rope.hold(), 0..rope.len())));
        }
        Value::Rope(rope) => write_string(&rope.to_vec(), out),
        value => write_text(value, out),
    }
    None
}
