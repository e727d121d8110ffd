//! On a replica: values that come in pieces, put together beside the table.
//!
//! ```text
//!   begins k, 3 MB | part | part | ... part | ends k, with its transaction     ──► one put
//! ```
//!
//! Memory grows with what has come, never with what was announced, and not beyond it. A session may end in the
//! middle of a value: its position counts the pieces that are here, so they stay as the data does, and go when
//! another history begins.

use crate::journal::{Effect, Payload, Record};
use crate::types::DbIndex;
use crate::value::{NewValue, Object, Rope, SharedValue, Type};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A value that is whole, or will be.
pub(super) struct Coming {
    kind: u8,
    length: u64,
    bytes: Bytes,
}

/// What has come of it.
enum Bytes {
    /// A string: nobody copies it again.
    Rope(Rope),
    /// What a type wrote, read as it comes; and what has come of the next element.
    Object { object: Arc<dyn Object>, taken: u64, rest: Vec<u8> },
    /// What a type wrote that reads it together.
    Together(Vec<u8>),
    /// Nobody wants it any more: how many bytes it had.
    Gone(u64),
}

impl Bytes {
    fn len(&self) -> u64 {
        match self {
            Bytes::Rope(rope) => rope.len() as u64,
            Bytes::Object { taken, rest, .. } => taken + rest.len() as u64,
            Bytes::Together(bytes) => bytes.len() as u64,
            Bytes::Gone(count) => *count,
        }
    }
}

impl Coming {
    pub(super) fn new(kind: u8, length: u64) -> Coming {
        let empty = Type::numbered(kind).map(|kind| (kind.empty)());
        let bytes = match empty {
            Some(NewValue::Object(object)) if object.in_slices() => {
                Bytes::Object { object, taken: 0, rest: Vec::new() }
            }
            _ if kind == 0 => Bytes::Rope(Rope::of(b"")),
            _ => Bytes::Together(Vec::new()),
        };
        Coming { kind, length, bytes }
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }

    /// How many bytes were announced.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes have come, where they are kept.
    pub(super) fn kept(&self) -> u64 {
        if matches!(self.bytes, Bytes::Gone(_)) { 0 } else { self.bytes.len() }
    }

    /// It is not wanted any more; its pieces are still to come.
    pub(super) fn let_go(&mut self) {
        self.bytes = Bytes::Gone(self.bytes.len());
    }

    /// Its end has come.
    pub(super) fn check_whole(&self) -> Result<(), String> {
        if self.is_whole() {
            return Ok(());
        }
        let (has, length) = (self.bytes.len(), self.length);
        Err(format!("a value of {length} bytes ends after {has}"))
    }

    pub(super) fn add(&mut self, part: &[u8]) -> Result<(), String> {
        let (has, length) = (self.bytes.len() + part.len() as u64, self.length);
        if has > length {
            return Err(format!("{has} bytes of a value of {length}"));
        }
        match &mut self.bytes {
            Bytes::Rope(rope) => rope.write(rope.len(), part),
            Bytes::Object { object, taken, rest } => {
                let object = Arc::get_mut(object).ok_or("a value is read before it is whole")?;
                grow(object, taken, rest, part).ok_or("a value that is none")?;
            }
            Bytes::Together(bytes) => bytes.extend_from_slice(part),
            Bytes::Gone(count) => *count = has,
        }
        Ok(())
    }

    /// The value; `None` if it is none.
    pub(super) fn value(&self) -> Option<NewValue<'_>> {
        match &self.bytes {
            Bytes::Rope(rope) => Some(NewValue::Shared(SharedValue::Large(rope.clone()))),
            Bytes::Object { object, rest, .. } => {
                rest.is_empty().then(|| NewValue::Object(Arc::clone(object)))
            }
            Bytes::Together(bytes) => (Type::numbered(self.kind)?.decode)(bytes),
            Bytes::Gone(_) => None,
        }
    }
}

/// Adds to an object what the next bytes say, those before them that are left among them.
fn grow(object: &mut dyn Object, taken: &mut u64, rest: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    if rest.is_empty() {
        let used = object.decode_slice(*taken, part)?;
        rest.extend_from_slice(part.get(used..)?);
        *taken += used as u64;
        return Some(());
    }
    rest.extend_from_slice(part);
    let used = object.decode_slice(*taken, rest)?;
    if used > rest.len() {
        return None;
    }
    rest.drain(..used);
    *taken += used as u64;
    Some(())
}

/// What names a value: the database and the key in its records.
type Name = (DbIndex, Box<[u8]>);

/// All that are on their way; of one name several, where one transaction puts a key twice.
#[derive(Default)]
pub(super) struct Arriving(HashMap<Name, VecDeque<Coming>>);

impl Arriving {
    /// Takes a beginning or a part.
    pub(super) fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let name = (record.db, Box::<[u8]>::from(record.key));
        match &record.effect {
            Effect::PutBegin { kind, length } => {
                let values = self.0.entry(name).or_default();
                if values.back().is_some_and(|last| !last.is_whole()) {
                    return Err("a value begins where another one is not whole".to_owned());
                }
                values.push_back(Coming::new(*kind, *length));
                Ok(())
            }
            Effect::PutPart(Payload::Bytes(part)) => {
                let coming = self.0.get_mut(&name).and_then(VecDeque::back_mut);
                coming.ok_or("a part of a value that did not begin")?.add(part)
            }
            _ => Err("no piece of a value".to_owned()),
        }
    }

    /// The value whose end has come.
    pub(super) fn end(&mut self, db: DbIndex, key: &[u8]) -> Result<Coming, String> {
        let name = (db, Box::<[u8]>::from(key));
        let first = self.0.get_mut(&name).and_then(VecDeque::pop_front);
        let coming = first.ok_or("the end of a value that did not begin")?;
        if self.0.get(&name).is_some_and(VecDeque::is_empty) {
            self.0.remove(&name);
        }
        coming.check_whole()?;
        Ok(coming)
    }
}
