//! What happens inside a stream.
//!
//! ```text
//!   op  effect    bytes
//!    0  add       ms | seq | count of fields, twice, + 1 if it begins a pack | name | value | name ...
//!    1  trim      packs | entries of the one behind them | how many are left, as Redis names the place
//!    2  delete    ids
//!    3  set       last id | entries ever added | greatest id deleted
//!    4  group     name | last id | how many it has read            made
//!    5  ungroup   name
//!    6  deliver   group | its last id | how many it has read | consumer, made if there is none | seen at |
//!                 active at | entries: id | delivered at, after `seen` | how often
//!    7  dismiss   group | consumer
//!    8  confirm   group | ids
//!    9  recruit   as `deliver`: the consumer is made by it
//!   10  regroup   as `group`: as it is from now on
//!
//!   ids: milliseconds, after those of the one before (zigzag) | seq
//! ```

use super::group::{Group, Pending};
use super::id::Id;
use super::pack::Fields;
use super::text::Text;
use super::{NUMBER, Stream, decode};
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect, Write};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue};
use crate::varint::{unzigzag, zigzag};
use std::sync::Arc;

/// The type.
pub static TYPE: Type = Type {
    number: NUMBER,
    name: "stream",
    empty: || NewValue::Object(Arc::new(Stream::default())),
    decode,
    perform,
    // Entries come, or a group goes.
    wakes: Some(|op| op == ADD || op == UNGROUP),
};

pub(super) const ADD: u8 = 0;
pub(super) const TRIM: u8 = 1;
pub(super) const DELETE: u8 = 2;
pub(super) const SET: u8 = 3;
pub(super) const GROUP: u8 = 4;
pub(super) const UNGROUP: u8 = 5;
pub(super) const DELIVER: u8 = 6;
pub(super) const DISMISS: u8 = 7;
pub(super) const CONFIRM: u8 = 8;
pub(super) const RECRUIT: u8 = 9;
pub(super) const REGROUP: u8 = 10;

/// How the key event of an effect is called where no command says it; `None`: there is none.
pub fn name_of_change(op: u8) -> Option<&'static str> {
    Some(match op {
        ADD => "xadd",
        TRIM => "xtrim",
        DELETE => "xdel",
        SET => "xsetid",
        GROUP => "xgroup-create",
        REGROUP => "xgroup-setid",
        UNGROUP => "xgroup-destroy",
        DISMISS => "xgroup-delconsumer",
        RECRUIT => "xgroup-createconsumer",
        _ => return None,
    })
}

/// An entry as it comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEntry {
    /// As it is told.
    bytes: Vec<u8>,
}

impl NewEntry {
    /// With these fields: names and values in turn.
    pub fn of<'a>(count: usize, begins_pack: bool, texts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.write_number((count as u64) << 1 | u64::from(begins_pack));
        texts.for_each(|text| Text::of(text).write(&mut bytes));
        NewEntry { bytes }
    }
}

/// An entry comes behind all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Add<'a> {
    /// Its number.
    pub id: Id,
    /// What it says.
    pub entry: &'a NewEntry,
}

/// The first entries go. How many is what comes of it. What is left decides, where the packs of who performs it are others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    /// Packs that go as a whole.
    pub packs: u64,
    /// Entries of the one behind them.
    pub entries: u64,
    /// How many entries there are then.
    pub left: u64,
}

/// Entries go. How many there were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delete(pub Vec<Id>);

/// A stream knows this of itself from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set {
    /// The greatest number that was given.
    pub last: Id,
    /// How many entries there ever were.
    pub added: u64,
    /// The greatest number of an entry that was deleted.
    pub max_deleted: Id,
}

/// There is a group, and it has come so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PutGroup<'a> {
    /// What it is called.
    pub name: &'a [u8],
    /// The last entry that was delivered to it.
    pub last: Id,
    /// How many it has read; -1 where that is not known.
    pub read: i64,
    /// Whether it is made by it.
    pub is_new: bool,
}

/// A group goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoveGroup<'a>(pub &'a [u8]);

/// Entries are pending with a consumer from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deliver<'a> {
    /// The group, and how far it has come.
    pub group: PutGroup<'a>,
    /// To whom.
    pub consumer: &'a [u8],
    /// Whether that one is made by it, which is a key event.
    pub is_new: bool,
    /// When that one asked.
    pub seen: i64,
    /// When it last got something; -1: never.
    pub active: i64,
    /// Entries: which, delivered when, how often.
    pub entries: Vec<(Id, u64, u64)>,
}

/// A consumer goes, and what is pending with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dismiss<'a> {
    /// Of which group.
    pub group: &'a [u8],
    /// Who.
    pub consumer: &'a [u8],
}

/// Entries are pending no more. How many were is what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirm<'a> {
    /// With which group.
    pub group: &'a [u8],
    /// Which.
    pub ids: Vec<Id>,
}

/// Ids one after the other.
#[derive(Default)]
pub(super) struct Ids {
    before: u64,
}

impl Ids {
    fn write(&mut self, id: Id, out: &mut Vec<u8>) {
        let apart = id.ms().wrapping_sub(self.before) as i64;
        out.write_number(zigzag(apart));
        out.write_number(id.seq());
        self.before = id.ms();
    }

    pub(super) fn read(&mut self, reading: &mut Reading<'_>) -> Option<Id> {
        let apart = unzigzag(reading.number()?);
        self.before = self.before.wrapping_add(apart as u64);
        Some(Id::new(self.before, reading.number()?))
    }

    pub(super) fn read_all(reading: &mut Reading<'_>) -> Option<Vec<Id>> {
        let (mut ids, mut read) = (Ids::default(), Vec::new());
        while !reading.is_done() {
            read.push(ids.read(reading)?);
        }
        Some(read)
    }
}

fn write_ids(ids: &[Id], out: &mut Vec<u8>) {
    let mut writing = Ids::default();
    ids.iter().for_each(|id| writing.write(*id, out));
}

pub(super) fn put_group_of<'a>(reading: &mut Reading<'a>) -> Option<PutGroup<'a>> {
    let name = reading.bytes()?;
    let last = Ids::default().read(reading)?;
    Some(PutGroup { name, last, read: unzigzag(reading.number()?), is_new: false })
}

fn write_group(group: &PutGroup<'_>, out: &mut Vec<u8>) {
    out.write_bytes(group.name);
    Ids::default().write(group.last, out);
    out.write_number(zigzag(group.read));
}

pub(super) fn deliver_of<'a>(reading: &mut Reading<'a>) -> Option<Deliver<'a>> {
    let group = put_group_of(reading)?;
    let consumer = reading.bytes()?;
    let (seen, active) = (unzigzag(reading.number()?), unzigzag(reading.number()?));
    let (mut ids, mut entries) = (Ids::default(), Vec::new());
    while !reading.is_done() {
        let id = ids.read(reading)?;
        let at = (seen as u64).wrapping_add_signed(unzigzag(reading.number()?));
        entries.push((id, at, reading.number()?));
    }
    Some(Deliver { group, consumer, is_new: false, seen, active, entries })
}

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    perform_told(item, op, &mut Reading(bytes)).unwrap_or(Err(Unfit::Malformed))
}

fn perform_told(item: &mut Item, op: u8, reading: &mut Reading<'_>) -> Option<Result<(), Unfit>> {
    let mut ids = Ids::default();
    Some(match op {
        ADD => {
            let id = Id::new(reading.number()?, reading.number()?);
            add(item, id, reading.0)
        }
        TRIM => {
            let (packs, entries) = (reading.number()?, reading.number()?);
            Trim { packs, entries, left: reading.number()? }.perform(item).map(drop)
        }
        DELETE => Delete(Ids::read_all(reading)?).perform(item).map(drop),
        SET => {
            let (last, added) = (ids.read(reading)?, reading.number()?);
            Set { last, added, max_deleted: ids.read(reading)? }.perform(item)
        }
        GROUP | REGROUP => put_group_of(reading)?.perform(item),
        UNGROUP => RemoveGroup(reading.0).perform(item),
        DELIVER | RECRUIT => deliver_of(reading)?.perform(item),
        DISMISS => {
            let group = reading.bytes()?;
            Dismiss { group, consumer: reading.0 }.perform(item)
        }
        CONFIRM => {
            let group = reading.bytes()?;
            Confirm { group, ids: Ids::read_all(reading)? }.perform(item).map(drop)
        }
        _ => Err(Unfit::Unknown),
    })
}

fn stream_in(item: &mut Item) -> Result<&mut Stream, Unfit> {
    item.object_mut().ok_or(Unfit::Malformed)
}

fn told(op: u8, room: &mut Vec<u8>) -> Told<'_> {
    Told { op, head: ChangeHead::default(), bytes: room }
}

/// The fields are read once before anything is done by them.
fn add(item: &mut Item, id: Id, bytes: &[u8]) -> Result<(), Unfit> {
    let fields_of = || {
        let mut reading = Reading(bytes);
        let head = reading.number()?;
        let mut rest = reading;
        for _ in 0..(head >> 1).checked_mul(2)? {
            Text::read(&mut rest)?;
        }
        rest.is_done().then(|| (Fields::told(head >> 1, reading.0), head & 1 > 0))
    };
    let (fields, begins_pack) = fields_of().ok_or(Unfit::Malformed)?;
    stream_in(item)?.add(id, begins_pack, fields).ok_or(Unfit::Malformed)
}

impl TypeEffect for Add<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, _: &'a mut Vec<u8>) -> Told<'a> {
        let head = ChangeHead::number(self.id.ms()).and(self.id.seq());
        Told { op: ADD, head, bytes: &self.entry.bytes }
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        add(item, self.id, &self.entry.bytes)
    }
}

impl TypeEffect for Trim {
    const TYPE: &'static Type = &TYPE;

    type Done = u64;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.write_number(self.left);
        Told { op: TRIM, head: ChangeHead::number(self.packs).and(self.entries), bytes: room }
    }

    fn perform(&self, item: &mut Item) -> Result<u64, Unfit> {
        let entries = &mut stream_in(item)?.entries;
        entries.take(self.packs, self.entries, self.left).ok_or(Unfit::Malformed)
    }
}

impl TypeEffect for Delete {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        write_ids(&self.0, room);
        told(DELETE, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let stream = stream_in(item)?;
        Ok(self.0.iter().filter(|id| stream.delete(**id)).count())
    }
}

impl TypeEffect for Set {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        let mut ids = Ids::default();
        ids.write(self.last, room);
        room.write_number(self.added);
        ids.write(self.max_deleted, room);
        told(SET, room)
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let stream = stream_in(item)?;
        if self.last < stream.entries.top {
            return Err(Unfit::Malformed);
        }
        (stream.last, stream.added) = (self.last, self.added);
        stream.max_deleted = self.max_deleted;
        Ok(())
    }
}

impl TypeEffect for PutGroup<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        write_group(self, room);
        told(if self.is_new { GROUP } else { REGROUP }, room)
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let stream = stream_in(item)?;
        let set = |group: &mut Group| (group.last, group.read) = (self.last, self.read);
        if stream.groups.edit(self.name, set).is_none() {
            let mut group = Group::default();
            set(&mut group);
            stream.groups.put(self.name, group);
        }
        Ok(())
    }
}

impl TypeEffect for RemoveGroup<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.extend_from_slice(self.0);
        told(UNGROUP, room)
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        stream_in(item)?.groups.remove(self.0);
        Ok(())
    }
}

impl TypeEffect for Deliver<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        write_group(&self.group, room);
        room.write_bytes(self.consumer);
        room.write_number(zigzag(self.seen));
        room.write_number(zigzag(self.active));
        let mut ids = Ids::default();
        for (id, at, times) in &self.entries {
            ids.write(*id, room);
            room.write_number(zigzag(at.wrapping_sub(self.seen as u64) as i64));
            room.write_number(*times);
        }
        told(if self.is_new { RECRUIT } else { DELIVER }, room)
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let deliver = |group: &mut Group| {
            (group.last, group.read) = (self.group.last, self.group.read);
            let consumer = group.meet(self.consumer, self.seen, self.active);
            for (id, at, times) in &self.entries {
                group.own(Pending { id: *id, consumer, at: *at, times: *times });
            }
        };
        stream_in(item)?.groups.edit(self.group.name, deliver).ok_or(Unfit::Malformed)
    }
}

impl TypeEffect for Dismiss<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = ();

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.write_bytes(self.group);
        room.extend_from_slice(self.consumer);
        told(DISMISS, room)
    }

    fn perform(&self, item: &mut Item) -> Result<(), Unfit> {
        let dismiss = |group: &mut Group| group.drop_consumer(self.consumer);
        stream_in(item)?.groups.edit(self.group, dismiss).map(drop).ok_or(Unfit::Malformed)
    }
}

impl TypeEffect for Confirm<'_> {
    const TYPE: &'static Type = &TYPE;

    type Done = usize;

    fn told<'a>(&'a self, room: &'a mut Vec<u8>) -> Told<'a> {
        room.write_bytes(self.group);
        write_ids(&self.ids, room);
        told(CONFIRM, room)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let confirm = |group: &mut Group| self.ids.iter().filter(|id| group.confirm(**id)).count();
        stream_in(item)?.groups.edit(self.group, confirm).ok_or(Unfit::Malformed)
    }
}
