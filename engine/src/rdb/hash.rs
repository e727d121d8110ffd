//! Hashes: written as fields with values, which every Redis reads whatever form it keeps them in; with the time
//! of each where one has any, as Redis 7.4 and later read it, or as Valkey 9 does.
//!
//! ```text
//!   4  | count | name | value ...
//!   24 | the first time, 8 bytes | count | 0, or how long after it and 1 | name | value ...     Redis
//!   22 | count | name | value | the time, 8 bytes, or -1 ...                                    Valkey
//! ```

use super::dump::{PACKED_MAX, write_length};
use super::parts::Part;
use super::pieces::{Building, Pen, Recipient, Writing};
use crate::types::Millis;
use crate::value::hash::{Builder, Hash, Part as Bytes};
use crate::value::{NewValue, Object, Small, Value};
use std::any::Any;

const PLAIN: u8 = 4;
const TIMED: u8 = 24;
const TIMED_FOR_VALKEY: u8 = 22;

/// What is written of the fields' times.
#[derive(Clone, Copy)]
enum Times {
    /// None has one.
    None,
    /// How long after the first one.
    After(Millis),
    /// The time, behind the value.
    Behind,
}

struct WritingHash {
    hash: Hash,
    times: Times,
    at: Option<u64>,
    pen: Pen,
}

/// How a hash is written; `None` of another type.
pub(super) fn writing(object: &dyn Object, recipient: Recipient) -> Option<Box<dyn Writing>> {
    let any: &dyn Any = object;
    let hash = any.downcast_ref::<Hash>()?.clone();
    let times = match (hash.next_deadline(), recipient) {
        (None, _) => Times::None,
        (Some(_), Recipient::Valkey9) => Times::Behind,
        (Some(first), _) => Times::After(first),
    };
    Some(Box::new(WritingHash { hash, times, at: None, pen: Pen::default() }))
}

impl Writing for WritingHash {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.at else {
            match self.times {
                Times::None => out.push(PLAIN),
                Times::After(Millis(first)) => {
                    out.push(TIMED);
                    out.extend_from_slice(&first.to_le_bytes());
                }
                Times::Behind => out.push(TIMED_FOR_VALKEY),
            }
            write_length(self.hash.len() as usize, out);
            self.at = Some(0);
            return self.hash.is_empty();
        };
        let (mut at, mut room) = (at, self.pen.begin(out));
        for field in self.hash.from(at) {
            if !room {
                break;
            }
            if let Times::After(Millis(first)) = self.times {
                let after = field.deadline().map_or(0, |Millis(at)| at - first + 1);
                write_length(after as usize, self.pen.place(out));
            }
            write_part(field.name(), &mut self.pen, out);
            write_part(field.value(), &mut self.pen, out);
            if let Times::Behind = self.times {
                let at = field.deadline().map_or(-1, |Millis(at)| at as i64);
                self.pen.place(out).extend_from_slice(&at.to_le_bytes());
            }
            (at, room) = (at + 1, self.pen.has_room());
        }
        self.at = Some(at);
        at >= self.hash.len() && self.pen.is_clear()
    }
}

fn write_part(part: Bytes<'_>, pen: &mut Pen, out: &mut Vec<u8>) {
    match part {
        Bytes::Rope(rope, from, to) if to - from > PACKED_MAX => pen.rope(rope, from..to, out),
        Bytes::Rope(rope, 0, to) if to == rope.len() => pen.text(Value::from(rope), out),
        part => pen.text(Value::Bytes(&part.to_bytes()), out),
    }
}

struct BuildingHash(Builder);

/// How a hash is put together that is small up to so many fields and bytes of each.
pub(super) fn building(small: Small) -> Box<dyn Building> {
    Box::new(BuildingHash(Builder::new(small.entries, small.value)))
}

impl Building for BuildingHash {
    fn add(&mut self, part: &Part<'_>) -> bool {
        match part {
            Part::Field { field, value, expires } => {
                self.0.add(&field.to_bytes(), &value.to_bytes(), *expires)
            }
            _ => true,
        }
    }

    fn end(&mut self) -> NewValue<'static> {
        self.0.end()
    }
}
