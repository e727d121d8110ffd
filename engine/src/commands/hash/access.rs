//! What the commands have in common: a hash as a client sees it, its fields as replies, changes with what they
//! bring along, and requests of very many fields in pieces.

use crate::command::{Args, Cx, OwnedArgs, Refusal, Whole};
use crate::commands::string::reply_value;
use crate::db::{Small, WrongType};
use crate::resp::ReplyWriter;
use crate::types::{DbIndex, Millis};
use crate::value::hash::{Field, Given, Hash, Part, Remove, Set};

/// The hash at a key, as a read, and where the reply goes.
pub(super) fn look<'c>(
    cx: &'c mut Cx<'_>,
    key: &[u8],
) -> Result<(Option<Seen<'c>>, ReplyWriter<'c>), WrongType> {
    let now = cx.ends_as_of();
    let hash = cx.keys.object::<Hash>(cx.db, key)?;
    Ok((hash.map(|hash| Seen { hash, now }), cx.reply.reborrow()))
}

/// As [`look`], of a read that goes on in pieces: with the first of them it is counted.
pub(super) fn look_again<'c>(
    cx: &'c mut Cx<'_>,
    key: &[u8],
    is_again: bool,
) -> Result<(Option<Seen<'c>>, ReplyWriter<'c>), WrongType> {
    if !is_again {
        return look(cx, key);
    }
    let now = cx.now();
    let hash = cx.keys.object_to_change::<Hash>(cx.db, key)?;
    Ok((hash.map(|hash| Seen { hash, now }), cx.reply.reborrow()))
}

/// The hash at a key, for the first half of a write.
pub(super) fn look_to_change<'c>(
    cx: &'c mut Cx<'_>,
    db: DbIndex,
    key: &[u8],
) -> Result<Option<Seen<'c>>, WrongType> {
    let now = cx.ends_as_of();
    Ok(cx.keys.object_to_change::<Hash>(db, key)?.map(|hash| Seen { hash, now }))
}

/// A hash as of now: without the fields whose time has come.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) hash: &'a Hash,
    pub(super) now: Millis,
}

impl<'a> Seen<'a> {
    pub(super) fn get(self, name: &[u8]) -> Option<Field<'a>> {
        self.hash.get(name).filter(|field| !field.is_due(self.now))
    }

    /// Whether fields are still there whose time has come.
    fn has_due(self) -> bool {
        self.hash.next_deadline().is_some_and(|at| at <= self.now)
    }

    /// How many fields.
    pub(super) fn len(self) -> u64 {
        self.hash.len() - self.hash.due_count(self.now)
    }
}

/// Writes a name or a value.
#[inline]
pub(super) fn write(reply: &mut ReplyWriter<'_>, part: Part<'_>) {
    match part {
        Part::Bytes(bytes) => reply.bulk(bytes),
        Part::Rope(rope, 0, to) if to == rope.len() => reply_value(reply, rope.into()),
        Part::Rope(rope, from, to) => reply.bulk_with(to - from, |out| {
            rope.stretches(from..to).for_each(|stretch| out.extend_from_slice(stretch));
        }),
    }
}

/// Writes the value of a field, or nil.
#[inline]
pub(super) fn write_value(reply: &mut ReplyWriter<'_>, field: Option<Field<'_>>) {
    match field {
        Some(field) => write(reply, field.value()),
        None => reply.nil(),
    }
}

/// Fields that are set, looked at, removed in one piece: some 20 us.
pub(super) const PIECE: usize = 64;

/// Removes the fields among `names` whose time has come, so that a change finds none of them: paused or not,
/// since the change itself is told as well.
pub(super) fn make_way<'n>(
    cx: &mut Cx<'_>,
    db: DbIndex,
    key: &[u8],
    names: impl Iterator<Item = &'n [u8]>,
) -> Result<(), WrongType> {
    let seen = look_to_change(cx, db, key)?.filter(|seen| seen.has_due());
    let Some(Seen { hash, now }) = seen else { return Ok(()) };
    let is_due = |name: &&[u8]| hash.get(name).is_some_and(|field| field.is_due(now));
    let due: Vec<&[u8]> = names.filter(is_due).collect();
    if !due.is_empty() {
        cx.keys.change(db, key, &Remove(&due));
    }
    Ok(())
}

/// Sets some fields of `of_how_many` in this request; how many of them are new. The hash becomes large where
/// Redis would make it so.
pub(super) fn set(
    cx: &mut Cx<'_>,
    db: DbIndex,
    key: &[u8],
    fields: &[Given<'_>],
    of_how_many: usize,
) -> Result<usize, WrongType> {
    let small = cx.keys.encodings().hash;
    let is_large = |hash: Option<&Hash>| becomes_large(hash, fields, of_how_many, small);
    if !cx.keys.has_dated_in(db) {
        let set = |hash: Option<&Hash>| Some(Set { fields, is_large: is_large(hash), seen: None });
        return Ok(cx.keys.decide(db, key, set)?.unwrap_or(0));
    }
    let mut seen = look_to_change(cx, db, key)?;
    if seen.is_some_and(Seen::has_due) {
        make_way(cx, db, key, fields.iter().map(|(name, ..)| *name))?;
        seen = look_to_change(cx, db, key)?;
    }
    let is_large = is_large(seen.map(|seen| seen.hash));
    Ok(cx.keys.change(db, key, &Set { fields, is_large, seen: None }))
}

/// Gives a field another value, which `make` puts into `room` by the one that it has; its deadline stays.
pub(super) fn change_one<'r, R>(
    cx: &mut Cx<'_>,
    key: &[u8],
    name: &[u8],
    room: &'r mut R,
    make: impl FnOnce(Option<&[u8]>, &'r mut R) -> Result<&'r [u8], Refusal>,
) -> Result<(), Refusal> {
    let db = cx.db;
    if cx.keys.has_dated_in(db) {
        let field = look_to_change(cx, db, key)?.and_then(|seen| seen.get(name));
        let deadline = field.and_then(Field::deadline);
        let value = make(field.map(|field| field.value().to_bytes()).as_deref(), room)?;
        set(cx, db, key, &[(name, value, deadline)], 1)?;
        return Ok(());
    }
    // No field has a deadline: one look finds the value and changes it.
    let small = cx.keys.encodings().hash;
    let (mut fields, mut refused) = ([(name, name, None)], None);
    let (of_set, refusal) = (&mut fields, &mut refused);
    let decide = move |hash: Option<&Hash>| {
        let (field, seen) = hash.map_or((None, None), |hash| hash.look(name));
        let before = field.map(|field| field.value().to_bytes());
        match make(before.as_deref(), room) {
            Ok(value) => of_set[0].1 = value,
            Err(why) => {
                *refusal = Some(why);
                return None;
            }
        }
        let is_large = becomes_large(hash, of_set, 1, small);
        Some(Set { fields: of_set, is_large, seen })
    };
    cx.keys.decide(db, key, decide)?;
    refused.map_or(Ok(()), Err)
}

/// Whether these fields, of `of_how_many` in this request, are too many or too long for a hash that is small.
fn becomes_large(
    hash: Option<&Hash>,
    fields: &[Given<'_>],
    of_how_many: usize,
    small: Small,
) -> bool {
    if !hash.is_none_or(Hash::is_small) {
        return false;
    }
    if of_how_many as u64 > small.entries {
        return true;
    }
    let is_long =
        |(name, value, _): &Given<'_>| name.len() > small.value || value.len() > small.value;
    if fields.iter().any(is_long) {
        return true;
    }
    let there = hash.map_or(0, Hash::len);
    if there + fields.len() as u64 <= small.entries {
        return false;
    }
    let is_new = |name: &&[u8]| hash.is_none_or(|hash| hash.get(name).is_none());
    let mut new: Vec<&[u8]> = fields.iter().map(|(name, ..)| *name).filter(is_new).collect();
    new.sort_unstable();
    new.dedup();
    there + new.len() as u64 > small.entries
}

/// Removes some fields; how many there were.
pub(super) fn remove(
    cx: &mut Cx<'_>,
    db: DbIndex,
    key: &[u8],
    names: &[&[u8]],
) -> Result<usize, WrongType> {
    make_way(cx, db, key, names.iter().copied())?;
    let Some(seen) = look_to_change(cx, db, key)? else { return Ok(0) };
    let mut there: Vec<&[u8]> =
        names.iter().copied().filter(|name| seen.hash.get(name).is_some()).collect();
    if there.is_empty() {
        return Ok(0);
    }
    if there.len() > 1 {
        // Nothing is told twice.
        let mut before = std::collections::HashSet::new();
        there.retain(|name| before.insert(*name));
    }
    Ok(cx.keys.change(db, key, &Remove(&there)))
}

/// Does something for arguments from `first` on, `stride` of them at a time, in pieces where they are many;
/// `piece` is handed the request, the places of the first and behind the last, and whether these are the last.
pub(super) fn in_pieces(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    first: usize,
    stride: usize,
    mut piece: impl FnMut(&mut Cx<'_>, Args<'_>, std::ops::Range<usize>, bool) -> Result<(), Refusal>
    + Send
    + 'static,
) -> Result<Whole, Refusal> {
    if args.len() - first <= PIECE * stride {
        piece(cx, args, first..args.len(), true)?;
        return Ok(Whole::Done);
    }
    let mut copying = OwnedArgs::copying(args);
    let args = loop {
        if let Some(args) = copying.more() {
            break args;
        }
    };
    let mut at = first;
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        let end = args.len().min(at + PIECE * stride);
        let is_last = end == args.len();
        piece(cx, args, at..end, is_last)?;
        at = end;
        Ok(is_last)
    })))
}
