//! What happens inside a set.
//!
//! ```text
//!   op    effect   bytes
//!    0-2  add      members: bytes | bytes ...     the set has the form of that number before they come
//!    3    remove   the same
//!    4    remove   the same, and those that are left are listed then
//! ```

use super::{Form, NUMBER, Seen, Set, decode, member};
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "set",
    empty: || NewValue::Object(Arc::new(Set::default())),
    decode,
    perform,
    wakes: None,
};

pub(super) const OP_REMOVE: u8 = 3;
pub(super) const OP_REMOVE_AND_LIST: u8 = 4;

/// Members come. How many of them are new is what comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Add<'a> {
    /// The form that the set has from then on, or a later one that it has already. Of integers it is when all
    /// that come are such.
    pub form: Form,
    /// Who comes.
    pub members: &'a [&'a [u8]],
}

/// Members go. How many there were is what comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remove<'a> {
    /// Who goes.
    pub members: &'a [&'a [u8]],
    /// Those that are left are few, and listed from then on.
    pub is_listed: bool,
    /// Where the only one of them was seen.
    pub seen: Option<Seen>,
}

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    let (mut reading, mut members) = (Reading(bytes), Vec::new());
    while !reading.is_done() {
        members.push(reading.bytes().ok_or(Unfit::Malformed)?);
    }
    let members = &members[..];
    match (op, Form::numbered(op)) {
        (_, Some(form)) => Add { form, members }.perform(item).map(drop),
        (OP_REMOVE | OP_REMOVE_AND_LIST, _) => {
            let is_listed = op == OP_REMOVE_AND_LIST;
            Remove { members, is_listed, seen: None }.perform(item).map(drop)
        }
        _ => Err(Unfit::Unknown),
    }
}

fn told<'a>(op: u8, members: &[&[u8]], room: &'a mut Vec<u8>) -> Told<'a> {
    members.iter().for_each(|member| room.write_bytes(member));
    Told { op, head: ChangeHead::default(), bytes: room }
}

fn set_in(item: &mut Item) -> Result<&mut Set, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

impl TypeEffect for Add<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        told(self.form.number(), self.members, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let are_integers = || self.members.iter().all(|member| member::integer(member).is_some());
        if self.form == Form::Integers && !are_integers() {
            return Err(Unfit::Malformed);
        }
        let set = set_in(item)?;
        set.raise(self.form);
        set.make_room(self.members);
        Ok(self.members.iter().filter(|member| set.add(member)).count())
    }
}

impl TypeEffect for Remove<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let op = if self.is_listed { OP_REMOVE_AND_LIST } else { OP_REMOVE };
        told(op, self.members, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let set = set_in(item)?;
        let gone = self.members.iter().filter(|member| set.remove_seen(member, self.seen)).count();
        if self.is_listed && set.form() == Form::Hashed {
            *set = set.as_list();
        }
        Ok(gone)
    }
}
