//! What happens inside a list.
//!
//! ```text
//!   op   effect   bytes                                           form: 0 listpack, 1 quicklist from then on
//!   0 1  push     form | bytes | bytes ...                        at the left, right; in the order in which they are put
//!   2 3  trim     (count << 1 | form)                             so many go at the left, right
//!   4    trim     (front << 1 | form) | back                      at both
//!   5    set      (index << 1 | form) | bytes
//!   6    insert   (index << 1 | form) | side | bytes | pivot      before the element that is there. How Redis names the
//!                                                                 place: before (0) or behind (1) the first pivot
//!   7    remove   form | end | bytes | gap | gap ...              numbers, each less the one before and one. In Redis:
//!                                                                 the first elements like that, from the left (0) or right
//! ```

use super::{Form, List, NUMBER, decode};
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "list",
    empty: || NewValue::Object(Arc::new(List::default())),
    decode,
    perform,
    wakes: None,
};

pub(super) const OP_PUSH_LEFT: u8 = 0;
pub(super) const OP_PUSH_RIGHT: u8 = 1;
pub(super) const OP_TRIM_LEFT: u8 = 2;
pub(super) const OP_TRIM_RIGHT: u8 = 3;
pub(super) const OP_TRIM: u8 = 4;
pub(super) const OP_SET: u8 = 5;
pub(super) const OP_INSERT: u8 = 6;
pub(super) const OP_REMOVE: u8 = 7;

/// How Redis calls an effect of this number, for those who are told of what happens to keys.
pub fn event_of(op: u8) -> &'static str {
    match op {
        OP_PUSH_LEFT => "lpush",
        OP_PUSH_RIGHT => "rpush",
        OP_TRIM_LEFT => "lpop",
        OP_TRIM_RIGHT => "rpop",
        OP_TRIM => "ltrim",
        OP_SET => "lset",
        OP_INSERT => "linsert",
        _ => "lrem",
    }
}

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Where it begins.
    Left = 0,
    /// Where it ends.
    Right = 1,
}

/// Elements were put at an end, one after the other. How many there are then is what comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Push<'a> {
    /// Where.
    pub end: End,
    /// Which.
    pub elements: &'a [&'a [u8]],
    /// The form since then.
    pub form: Form,
}

/// So many elements are gone at each end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    /// At the beginning.
    pub front: u64,
    /// At the end.
    pub back: u64,
    /// The form since then.
    pub form: Form,
}

/// An element is another one now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set<'a> {
    /// Its number.
    pub index: u64,
    /// What it is.
    pub element: &'a [u8],
    /// The form since then.
    pub form: Form,
}

/// An element was put before another one. How many there are then is what comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Insert<'a> {
    /// The number that it has since then: at most that behind the last.
    pub index: u64,
    /// What it is.
    pub element: &'a [u8],
    /// The first element like this is right behind it, or right before.
    pub pivot: &'a [u8],
    /// Whether it is the one before.
    pub is_after: bool,
    /// The form since then.
    pub form: Form,
}

/// Elements that are all the same are gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remove<'a> {
    /// Their numbers before that, ascending.
    pub indexes: Vec<u64>,
    /// What they were. No other one like that stands before them.
    pub element: &'a [u8],
    /// Seen from this end.
    pub end: End,
    /// The form since then.
    pub form: Form,
}

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    read(item, op, &mut Reading(bytes)).ok_or(Unfit::Malformed)?
}

/// `None` where the bytes say nothing.
fn read(item: &mut Item, op: u8, reading: &mut Reading<'_>) -> Option<Result<(), Unfit>> {
    if op > OP_REMOVE {
        return Some(Err(Unfit::Unknown));
    }
    let first = reading.number()?;
    let (number, form) = (first >> 1, Form::numbered(first & 1)?);
    let done = match op {
        OP_PUSH_LEFT | OP_PUSH_RIGHT => {
            let end = if op == OP_PUSH_LEFT { End::Left } else { End::Right };
            let (form, mut elements) = (Form::numbered(first)?, Vec::new());
            while !reading.is_done() {
                elements.push(reading.bytes()?);
            }
            Push { end, elements: &elements, form }.perform(item).map(drop)
        }
        OP_TRIM_LEFT => Trim { front: number, back: 0, form }.perform(item),
        OP_TRIM_RIGHT => Trim { front: 0, back: number, form }.perform(item),
        OP_TRIM => Trim { front: number, back: reading.number()?, form }.perform(item),
        OP_SET => Set { index: number, element: reading.bytes()?, form }.perform(item),
        OP_INSERT => {
            let is_after = flag(reading)?;
            let (element, pivot) = (reading.bytes()?, reading.bytes()?);
            Insert { index: number, element, pivot, is_after, form }.perform(item).map(drop)
        }
        _ => {
            let end = if flag(reading)? { End::Right } else { End::Left };
            let (element, mut indexes, mut next) = (reading.bytes()?, Vec::new(), 0u64);
            while !reading.is_done() {
                let index = next.checked_add(reading.number()?)?;
                indexes.push(index);
                next = index.checked_add(1)?;
            }
            Remove { indexes, element, end, form: Form::numbered(first)? }.perform(item)
        }
    };
    Some(done)
}

fn flag(reading: &mut Reading<'_>) -> Option<bool> {
    let number = reading.number()?;
    (number <= 1).then_some(number == 1)
}

fn list_in(item: &mut Item) -> Result<&mut List, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

/// Of a number that is counted or is below a length, so that it has room for one bit more.
fn with_form(number: u64, form: Form) -> u64 {
    number << 1 | form as u64
}

impl TypeEffect for Push<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = u64;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let op = if self.end == End::Left { OP_PUSH_LEFT } else { OP_PUSH_RIGHT };
        let head = ChangeHead::number(self.form as u64);
        if let [element] = self.elements {
            return Told { op, head: head.and(element.len() as u64), bytes: element };
        }
        self.elements.iter().for_each(|element| room.write_bytes(element));
        Told { op, head, bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<u64, Unfit> {
        let list = list_in(item)?;
        list.set_form(self.form);
        list.make_room(self.elements);
        for element in self.elements {
            match self.end {
                End::Left => list.put_first(element),
                End::Right => list.put_last(element),
            }
        }
        Ok(list.len())
    }
}

impl TypeEffect for Trim {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, _: &'a mut Vec<u8>) -> Told<'a> {
        let head = |count| ChangeHead::number(with_form(count, self.form));
        let (op, head) = match (self.front, self.back) {
            (front, 0) => (OP_TRIM_LEFT, head(front)),
            (0, back) => (OP_TRIM_RIGHT, head(back)),
            (front, back) => (OP_TRIM, head(front).and(back)),
        };
        Told { op, head, bytes: b"" }
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let list = list_in(item)?;
        let all = self.front.checked_add(self.back).ok_or(Unfit::Malformed)?;
        if all > list.len() {
            return Err(Unfit::Malformed);
        }
        list.trim(self.front, self.back);
        list.set_form(self.form);
        Ok(())
    }
}

impl TypeEffect for Set<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, _: &'a mut Vec<u8>) -> Told<'a> {
        let head = ChangeHead::number(with_form(self.index, self.form));
        Told { op: OP_SET, head: head.and(self.element.len() as u64), bytes: self.element }
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let list = list_in(item)?;
        if self.index >= list.len() {
            return Err(Unfit::Malformed);
        }
        list.set(self.index, self.element);
        list.set_form(self.form);
        Ok(())
    }
}

impl TypeEffect for Insert<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = u64;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.write_bytes(self.element);
        room.write_bytes(self.pivot);
        let head = ChangeHead::number(with_form(self.index, self.form));
        Told { op: OP_INSERT, head: head.and(u64::from(self.is_after)), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<u64, Unfit> {
        let list = list_in(item)?;
        if self.index > list.len() {
            return Err(Unfit::Malformed);
        }
        list.set_form(self.form);
        list.insert(self.index, self.element);
        Ok(list.len())
    }
}

impl TypeEffect for Remove<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.write_bytes(self.element);
        let mut next = 0;
        for index in &self.indexes {
            room.write_number(index - next);
            next = index + 1;
        }
        let head = ChangeHead::number(self.form as u64).and(self.end as u64);
        Told { op: OP_REMOVE, head, bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let list = list_in(item)?;
        let is_sorted = self.indexes.is_sorted_by(|one, other| one < other);
        if !is_sorted || self.indexes.last().is_some_and(|last| *last >= list.len()) {
            return Err(Unfit::Malformed);
        }
        self.indexes.iter().rev().for_each(|index| list.remove(*index));
        list.set_form(self.form);
        Ok(())
    }
}
