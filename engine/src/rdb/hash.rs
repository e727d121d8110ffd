//! Hashes: written as fields with values, which every Redis reads whatever form it keeps them in; with the time
//! of each where one has any, as Redis 7.4 and later read it.
//!
//! ```text
//!   4  | count | name | value ...
//!   24 | the first time, 8 bytes | count | 0, or how long after it and 1 | name | value ...
//! ```

use super::dump::{write_length, write_text};
use super::parts::Part;
use super::pieces::{Building, Writing};
use crate::types::Millis;
use crate::value::hash::{Builder, Hash, Part as Bytes};
use crate::value::{NewValue, Object, Small, Value};
use std::any::Any;

const PLAIN: u8 = 4;
const TIMED: u8 = 24;

/// Fields that are written in one piece.
const PIECE: usize = 128;

struct WritingHash {
    hash: Hash,
    /// The first time, if any field has one.
    first: Option<Millis>,
    at: Option<u64>,
}

/// How a hash is written; `None` of another type.
pub(super) fn writing(object: &dyn Object) -> Option<Box<dyn Writing>> {
    let any: &dyn Any = object;
    let hash = any.downcast_ref::<Hash>()?.clone();
    let first = hash.next_deadline();
    Some(Box::new(WritingHash { hash, first, at: None }))
}

impl Writing for WritingHash {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(at) = self.at else {
            match self.first {
                None => out.push(PLAIN),
                Some(Millis(first)) => {
                    out.push(TIMED);
                    out.extend_from_slice(&first.to_le_bytes());
                }
            }
            write_length(self.hash.len() as usize, out);
            self.at = Some(0);
            return self.hash.is_empty();
        };
        for field in self.hash.from(at).take(PIECE) {
            if let Some(Millis(first)) = self.first {
                let after = field.deadline().map_or(0, |Millis(at)| at - first + 1);
                write_length(after as usize, out);
            }
            write_part(field.name(), out);
            write_part(field.value(), out);
        }
        self.at = Some(at + PIECE as u64);
        at + PIECE as u64 >= self.hash.len()
    }
}

fn write_part(part: Bytes<'_>, out: &mut Vec<u8>) {
    match part {
        Bytes::Bytes(bytes) => write_text(Value::Bytes(bytes), out),
        Bytes::Rope(rope, 0, to) if to == rope.len() => {
            write_text(Value::from(rope), out);
        }
        part => write_text(Value::Bytes(&part.to_bytes()), out),
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
