//! What happens inside a hash.
//!
//! ```text
//!   op  effect   bytes
//!    0  set      fields with their values and deadlines, as in the value as a whole
//!    1  remove   names: bytes | bytes ...
//!    2  date     no deadline: names
//!    3  set      as 0, of a hash that is large from then on
//!    4  date     the deadline | names
//! ```

use super::field::open;
use super::{Hash, NUMBER, Seen, decode, for_each};
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
    wakes: None,
};

pub(super) const OP_SET: u8 = 0;
pub(super) const OP_REMOVE: u8 = 1;
pub(super) const OP_PERSIST: u8 = 2;
pub(super) const OP_SET_LARGE: u8 = 3;
pub(super) const OP_DATE: u8 = 4;

/// A field's name, its value, and when it ends to be.
pub type Given<'a> = (&'a [u8], &'a [u8], Option<Millis>);

/// Fields have these values and deadlines now. How many of them are new is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set<'a> {
    /// The fields.
    pub fields: &'a [Given<'a>],
    /// The hash is large from now on.
    pub is_large: bool,
    /// Where the only field was seen.
    pub seen: Option<Seen>,
}

/// Fields are gone. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remove<'a>(pub &'a [&'a [u8]]);

/// Fields have this deadline now. Of how many that is not as before, or of how many there was another one, is
/// what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Date<'a> {
    /// Which.
    pub names: &'a [&'a [u8]],
    /// Until when.
    pub deadline: Option<Millis>,
}

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    match op {
        OP_SET | OP_SET_LARGE => {
            let mut fields = Vec::new();
            let mut each = |name, value, deadline| {
                fields.push((name, value, deadline));
                true
            };
            for_each(bytes, &mut each).ok_or(Unfit::Malformed)?;
            Set { fields: &fields, is_large: op == OP_SET_LARGE, seen: None }
                .perform(item)
                .map(drop)
        }
        OP_REMOVE => Remove(&names(bytes)?).perform(item).map(drop),
        OP_PERSIST => Date { names: &names(bytes)?, deadline: None }.perform(item).map(drop),
        OP_DATE => {
            let mut reading = Reading(bytes);
            let deadline = Some(Millis(reading.number().ok_or(Unfit::Malformed)?));
            Date { names: &names(reading.0)?, deadline }.perform(item).map(drop)
        }
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

fn hash_in(item: &mut Item) -> Result<&mut Hash, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

impl TypeEffect for Set<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let length = |(name, value, _): &Given<'_>| name.len() + value.len() + 24;
        room.reserve(self.fields.iter().map(length).sum());
        for (name, value, deadline) in self.fields {
            let mut opening = [0; 18];
            let opened = open(&mut opening, name.len(), *deadline);
            room.write_number((opened + name.len() + value.len()) as u64);
            [&opening[..opened], name, value].iter().for_each(|part| room.extend_from_slice(part));
        }
        let op = if self.is_large { OP_SET_LARGE } else { OP_SET };
        Told { op, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        if self.is_large {
            hash.grow();
        }
        hash.make_room(self.fields.iter().map(|(name, value, _)| (*name, *value)));
        let set = |field: &&Given<'_>| hash.set_seen(**field, self.seen);
        Ok(self.fields.iter().filter(set).count())
    }
}

impl Remove<'_> {
    /// Its number, and its bytes.
    pub(super) fn as_told(&self) -> (u8, Vec<u8>) {
        let mut room = Vec::new();
        let op = self.told(&mut room).op;
        (op, room)
    }
}

impl TypeEffect for Remove<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        self.0.iter().for_each(|name| room.write_bytes(name));
        Told { op: OP_REMOVE, head: ChangeHead::default(), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        Ok(self.0.iter().filter(|name| hash.remove(name)).count())
    }
}

impl TypeEffect for Date<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        self.names.iter().for_each(|name| room.write_bytes(name));
        match self.deadline {
            None => Told { op: OP_PERSIST, head: ChangeHead::default(), bytes: room },
            Some(Millis(at)) => Told { op: OP_DATE, head: ChangeHead::number(at), bytes: room },
        }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let hash = hash_in(item)?;
        Ok(self.names.iter().filter(|name| hash.date(name, self.deadline)).count())
    }
}
