//! A map of counters: a data type for tests only. It shows what a new type is: this folder and its place in
//! the list of types, beside its commands (`crate::model::counters`) and theirs. No other line of the
//! program knows it.
//!
//! ```text
//!   as a whole:  field (bytes) | count (number, zigzag) | field | count ...   fields ascending
//! ```

mod effect;
pub mod planted;

pub use effect::{Set, TYPE};

use super::effect::{Reading, Write};
use super::{NewValue, Object};
use crate::varint::{self, unzigzag, zigzag};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of the type: far from those that Redis has.
const NUMBER: u8 = 250;

/// The value.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    counts: BTreeMap<Box<[u8]>, i64>,
    /// What it takes as a whole.
    encoded_len: usize,
    heap_bytes: usize,
}

/// A node of the map and the block of a field, about.
const FIELD_BYTES: usize = 48;

impl Counters {
    /// What a field counts.
    pub fn get(&self, field: &[u8]) -> Option<i64> {
        self.counts.get(field).copied()
    }

    fn set(&mut self, field: &[u8], count: i64) {
        match self.counts.get_mut(field) {
            Some(there) => {
                self.encoded_len -= number_len(*there);
                *there = count;
            }
            None => {
                self.encoded_len += varint::length(field.len() as u64) + field.len();
                self.heap_bytes += FIELD_BYTES + field.len();
                self.counts.insert(field.into(), count);
            }
        }
        self.encoded_len += number_len(count);
    }
}

impl Object for Counters {
    fn type_number(&self) -> u8 {
        NUMBER
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn encoding(&self) -> &'static str {
        "map"
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (field, count) in &self.counts {
            if *count % 7 == 0 && planted::is_on(&planted::SOME_COUNTS_ARE_LEFT_OUT) {
                continue;
            }
            out.write_bytes(field);
            out.write_number(zigzag(*count));
        }
    }

    fn encoded_len(&self) -> usize {
        self.encoded_len
    }

    fn in_slices(&self) -> bool {
        true
    }

    fn decode_slice(&mut self, _: u64, bytes: &[u8]) -> Option<usize> {
        let mut reading = Reading(bytes);
        loop {
            let before = reading;
            let Some(field) = reading.bytes_so_far()? else {
                return Some(bytes.len() - before.0.len());
            };
            match varint::read(reading.0) {
                Ok((count, used)) => {
                    self.set(field, unzigzag(count));
                    reading.0 = &reading.0[used..];
                }
                Err(varint::Unread::More) => return Some(bytes.len() - before.0.len()),
                Err(varint::Unread::Bad) => return None,
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    fn digest(&self, part: &mut dyn FnMut(&[u8])) {
        let mut bytes = Vec::new();
        for (field, count) in &self.counts {
            bytes.clear();
            bytes.write_bytes(field);
            bytes.write_number(zigzag(*count));
            part(&bytes);
        }
    }

    fn copy(&self) -> Arc<dyn Object> {
        Arc::new(self.clone())
    }
}

fn decode(bytes: &[u8]) -> Option<NewValue<'_>> {
    let mut counters = Counters::default();
    for_each(bytes, &mut |field, count| counters.set(field, count))?;
    Some(NewValue::Object(Arc::new(counters)))
}

/// Reads fields and their counts.
fn for_each<'a>(bytes: &'a [u8], each: &mut dyn FnMut(&'a [u8], i64)) -> Option<()> {
    let mut reading = Reading(bytes);
    while !reading.is_done() {
        let (field, count) = (reading.bytes()?, reading.number()?);
        each(field, unzigzag(count));
    }
    Some(())
}

fn number_len(count: i64) -> usize {
    varint::length(zigzag(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_was_written_and_knows_how_long_that_is() {
        let mut counters = Counters::default();
        for (field, count) in [("a", 0), ("bb", -1), ("a", 300), ("", i64::MIN), ("c", i64::MAX)] {
            counters.set(field.as_bytes(), count);
            let mut whole = Vec::new();
            counters.encode(&mut whole);
            assert_eq!(whole.len(), counters.encoded_len());
            let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{whole:?}") };
            let own: &dyn Object = &counters;
            assert!(*read == *own, "{read:?} {counters:?}");
        }
        assert!(decode(&[1]).is_none());
    }
}
