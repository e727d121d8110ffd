//! What happens inside a hash.
//!
//! ```text
//!   op  effect   bytes
//!    0  set      fields with their values and deadlines, as in the value as a whole
//!    1  remove   names: bytes | bytes ...
//!    2  persist  names: bytes | bytes ...
//! ```

use super::{Hash, NUMBER, decode, for_each, open};
use crate::types::Millis;
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "hash",
    empty: || NewValue::Object(Arc::new(Hash::default())),
    decode,
    perform,
};

const OP_SET: u8 = 0;
const OP_REMOVE: u8 = 1;
const OP_PERSIST: u8 = 2;

/// Fields have these values and deadlines now. How many of them are new is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set<'a>(pub Vec<(&'a [u8], &'a [u8], Option<Millis>)>);

/// Fields are gone. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remove<'a>(pub Vec<&'a [u8]>);

/// Fields have no deadline any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Persist<'a>(pub Vec<&'a [u8]>);

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    match op {
        OP_SET => {
            let mut fields = Vec::new();
            let mut each = |name, value, deadline| {
                fields.push((name, value, deadline));
                true
            };
            for_each(bytes, &mut each).ok_or(Unfit::Malformed)?;
            Set(fields).perform(item).map(drop)
        }
        OP_REMOVE => Remove(names(bytes)?).perform(item).map(drop),
        OP_PERSIST => Persist(names(bytes)?).perform(item).map(drop),
        _ => Err(Unfit::Unknown),
    }
}

fn names(bytes: &[u8]) -> Result<Vec<&[u8]>, Unfit> {
    let (mut reading, mut names) = (Reading(bytes), Vec::new());
    while !reading.is_done() {
        names.push(reading.bytes().ok_or(Unfit::Malformed)?);
    }
    Ok(names)
}

fn told<'a>(op: u8, names: &[&[u8]], room: &'a mut Vec<u8>) -> Told<'a> {
    names.iter().for_each(|name| room.write_bytes(name));
    Told { op, head: ChangeHead::default(), bytes: room }
}

fn hash_in(item: &mut Item) -> Result<&mut Hash, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

impl TypeEffect for Set<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        for (name, value, deadline) in &self.0 {
            let mut opening = [0; 18];
            let opened = open(&mut opening, name.len(), *deadline);
            room.write_number((opened + name.len() + value.len()) as u64);
            [&opening[..opened], name, value].iter().for_each(|part| room.extend_from_slice(part));
        }
        Told { op: OP_SET, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        let set = |(name, value, deadline): &&(&[u8], &[u8], _)| hash.set(name, value, *deadline);
        Ok(self.0.iter().filter(set).count())
    }
}

impl TypeEffect for Remove<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        told(OP_REMOVE, &self.0, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        Ok(self.0.iter().filter(|name| hash.remove(name)).count())
    }
}

impl TypeEffect for Persist<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        told(OP_PERSIST, &self.0, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        let mut count = 0;
        for name in &self.0 {
            let Some(field) = hash.get(name) else { continue };
            if field.deadline().is_some() {
                let value = field.value().into_owned();
                hash.set(name, &value, None);
                count += 1;
            }
        }
        Ok(count)
    }
}
