//! A pack: entries one behind the other, most of which have the fields of the first.
//!
//! ```text
//!   live, 4 bytes | dead, 4 | listed, 4 | count of fields | their names | slots ...
//!
//!   slot:  head | [seq] | [count of fields | name | value | name ... ]   or   [value | value ...]
//!          head = milliseconds since the slot before, times 8, and
//!                 1  dead: nothing follows but seq
//!                 2  fields of its own
//!                 4  seq follows: what it is beyond that of the slot before, or all of it in another
//!                    millisecond. Else it is one more, or 0.
//! ```
//!
//! The first slot has the number by which the pack is known, and an entry that is deleted leaves a dead slot.
//! So a pack is what in Redis is a node of a stream, and `listed` is what the node's listpack would take
//! without its two counts: both begin a new one at the same entry, and a trim of whole nodes takes the same.
//!
//! A pack may come from another node: what is malformed ends what is read of it.

use super::id::Id;
use super::text::Text;
use crate::value::listpack::integer_entry;
use crate::value::{Reading, Write};
use std::borrow::Cow;

const DEAD: u64 = 1;
const OWN_FIELDS: u64 = 2;
const SEQ: u64 = 4;

/// Milliseconds from here on do not fit the head, and follow it.
const FAR: u64 = 1 << 60;

const COUNTS: usize = 12;

/// What stands at a pack's beginning.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    /// Entries.
    pub(super) live: u32,
    /// Entries that were deleted.
    pub(super) dead: u32,
    /// See the module's front page.
    pub(super) listed: u32,
}

impl Counts {
    pub(super) fn of(bytes: &[u8]) -> Option<Counts> {
        let (counts, _) = bytes.split_first_chunk::<COUNTS>()?;
        let number = |at: usize| {
            let bytes = counts[at..at + 4].try_into();
            bytes.map_or(0, u32::from_le_bytes)
        };
        Some(Counts { live: number(0), dead: number(4), listed: number(8) })
    }

    fn to_bytes(self) -> [u8; COUNTS] {
        let mut bytes = [0; COUNTS];
        let parts = bytes.chunks_exact_mut(4).zip([self.live, self.dead, self.listed]);
        parts.for_each(|(part, number)| part.copy_from_slice(&number.to_le_bytes()));
        bytes
    }

    /// How many bytes Redis's listpack would have.
    pub(super) fn listpack_bytes(self) -> u64 {
        const EMPTY: u64 = 7;
        let counts = [self.live, self.dead].map(|count| integer_entry(i64::from(count)));
        EMPTY + counts[0] + counts[1] + u64::from(self.listed)
    }
}

/// A pack where it lies.
#[derive(Clone, Copy)]
pub(super) struct Pack<'a> {
    /// The whole of it.
    bytes: &'a [u8],
    pub(super) counts: Counts,
    fields: u64,
    names: &'a [u8],
    slots_at: usize,
}

impl<'a> Pack<'a> {
    #[inline]
    pub(super) fn of(bytes: &'a [u8]) -> Option<Pack<'a>> {
        let counts = Counts::of(bytes)?;
        let mut reading = Reading(&bytes[COUNTS..]);
        let fields = reading.number()?;
        let from = bytes.len() - reading.0.len();
        for _ in 0..fields {
            Text::skip(&mut reading)?;
        }
        let slots_at = bytes.len() - reading.0.len();
        Some(Pack { bytes, counts, fields, names: &bytes[from..slots_at], slots_at })
    }

    /// Its slots, the first of which has this number.
    #[inline]
    pub(super) fn slots(&self, first: Id) -> Slots<'a> {
        Slots { pack: *self, at: self.slots_at, before: first, is_first: true }
    }

    /// The last number that an entry of it has or had.
    pub(super) fn last(&self, first: Id) -> Id {
        self.slots(first).last().map_or(first, |slot| slot.id)
    }

    /// A copy in which some entries are dead; `None` where none of them is chosen.
    pub(super) fn without(
        &self,
        first: Id,
        mut is_chosen: impl FnMut(Id) -> bool,
    ) -> Option<Vec<u8>> {
        let (mut out, mut counts) = (Vec::new(), self.counts);
        let mut copied = 0;
        for slot in self.slots(first) {
            if slot.is_dead || !is_chosen(slot.id) {
                continue;
            }
            if out.capacity() == 0 {
                out.reserve_exact(self.bytes.len());
            }
            out.extend_from_slice(&self.bytes[copied..slot.from]);
            write_head(&mut out, slot.before, slot.id, DEAD, slot.from == self.slots_at);
            copied = slot.to;
            counts.live = counts.live.saturating_sub(1);
            counts.dead = counts.dead.saturating_add(1);
        }
        if copied == 0 {
            return None;
        }
        out.extend_from_slice(&self.bytes[copied..]);
        out[..COUNTS].copy_from_slice(&counts.to_bytes());
        Some(out)
    }
}

/// Slots one after the other.
#[derive(Clone)]
pub(super) struct Slots<'a> {
    pack: Pack<'a>,
    at: usize,
    before: Id,
    is_first: bool,
}

/// A place of an entry, which may be deleted.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    pub(super) id: Id,
    pub(super) is_dead: bool,
    pub(super) fields: Fields<'a>,
    /// The number of the slot before.
    before: Id,
    from: usize,
    to: usize,
}

impl<'a> Iterator for Slots<'a> {
    type Item = Slot<'a>;

    #[inline]
    fn next(&mut self) -> Option<Slot<'a>> {
        let all = self.pack.bytes;
        let mut reading = Reading(all.get(self.at..)?);
        if reading.is_done() {
            return None;
        }
        let (before, from) = (self.before, self.at);
        let (id, marks) = read_head(&mut reading, before, self.is_first)?;
        let mut fields = Fields { left: 0, names: None, rest: Reading(&[]) };
        if marks & DEAD == 0 {
            if marks & OWN_FIELDS > 0 {
                fields.left = reading.number()?;
            } else {
                (fields.left, fields.names) = (self.pack.fields, Some(Reading(self.pack.names)));
            }
            fields.rest = reading;
            let texts = if fields.names.is_some() { 1 } else { 2 };
            for _ in 0..fields.left.checked_mul(texts)? {
                Text::read(&mut reading)?;
            }
        }
        let to = all.len() - reading.0.len();
        (self.at, self.before, self.is_first) = (to, id, false);
        Some(Slot { id, is_dead: marks & DEAD > 0, fields, before, from, to })
    }
}

/// The fields of an entry, one after the other.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    left: u64,
    /// Where they are, if not with the values.
    names: Option<Reading<'a>>,
    rest: Reading<'a>,
}

impl<'a> Fields<'a> {
    /// How many there are to come.
    pub fn count(&self) -> usize {
        self.left as usize
    }

    /// About how long their names and values are.
    pub fn bytes(&self) -> usize {
        let names = self.names.map_or(0, |names| names.0.len());
        // What stands behind the last of them belongs to other entries.
        let mut rest = self.rest;
        let texts = if self.names.is_some() { self.left } else { self.left.saturating_mul(2) };
        for _ in 0..texts {
            if Text::read(&mut rest).is_none() {
                break;
            }
        }
        names + self.rest.0.len() - rest.0.len()
    }

    /// Fields as they are told: names and values in turn.
    pub(super) fn told(count: u64, bytes: &'a [u8]) -> Fields<'a> {
        Fields { left: count, names: None, rest: Reading(bytes) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Text<'a>, Text<'a>);

    #[inline]
    fn next(&mut self) -> Option<(Text<'a>, Text<'a>)> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => Text::read(names)?,
            None => Text::read(&mut self.rest)?,
        };
        Some((name, Text::read(&mut self.rest)?))
    }
}

fn read_head(reading: &mut Reading<'_>, before: Id, is_first: bool) -> Option<(Id, u64)> {
    let head = reading.number()?;
    let mut ms = head >> 3;
    if ms == FAR {
        ms = reading.number()?;
    }
    let seq = if head & SEQ > 0 { Some(reading.number()?) } else { None };
    let id = if ms > 0 {
        Id::new(before.ms().checked_add(ms)?, seq.unwrap_or(0))
    } else {
        let more = seq.unwrap_or(1);
        // Only the first one is no more than what stands before it, which is itself.
        if more == 0 && !is_first {
            return None;
        }
        Id::new(before.ms(), before.seq().checked_add(more)?)
    };
    Some((id, head & (SEQ - 1)))
}

fn write_head(out: &mut Vec<u8>, before: Id, id: Id, marks: u64, is_first: bool) {
    let ms = id.ms().wrapping_sub(before.ms());
    let seq = if ms > 0 { id.seq() } else { id.seq().wrapping_sub(before.seq()) };
    let usual = u64::from(ms == 0);
    let has_seq = is_first || seq != usual;
    out.write_number(ms.min(FAR) << 3 | marks | if has_seq { SEQ } else { 0 });
    if ms >= FAR {
        out.write_number(ms);
    }
    if has_seq {
        out.write_number(seq);
    }
}

/// The pack that grows.
#[derive(Clone, Default)]
pub(super) struct Open {
    pub(super) first: Id,
    /// The last number that an entry of it has or had.
    pub(super) last: Id,
    /// Nothing where there is no such pack.
    pub(super) bytes: Vec<u8>,
}

impl Open {
    /// A pack that was closed.
    pub(super) fn again(first: Id, bytes: Cow<'_, [u8]>) -> Option<Open> {
        let last = Pack::of(&bytes)?.last(first);
        Some(Open { first, last, bytes: bytes.into_owned() })
    }

    pub(super) fn is_some(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(&self.bytes).unwrap_or_default()
    }

    pub(super) fn pack(&self) -> Option<Pack<'_>> {
        Pack::of(&self.bytes)
    }

    pub(super) fn clear(&mut self) {
        *self = Open::default();
    }

    /// Lets go of the slots from a number on, which are dead; whether there are others. They stay counted as
    /// dead, as if they were there.
    pub(super) fn cut_from(&mut self, id: Id) -> Option<bool> {
        let before = self.pack()?.slots(self.first).take_while(|slot| slot.id < id).last();
        let Some((to, last)) = before.map(|slot| (slot.to, slot.id)) else { return Some(false) };
        self.bytes.truncate(to);
        self.last = last;
        Some(true)
    }

    /// Adds an entry, whose number is beyond all that are there; the first one makes a pack.
    pub(super) fn add(&mut self, id: Id, fields: Fields<'_>) {
        let count = fields.count() as u64;
        let mut counts = self.counts();
        let is_first = !self.is_some();
        if is_first {
            self.first = id;
            self.last = id;
            let length = COUNTS + 4 + fields.rest.0.len();
            self.bytes.reserve_exact(length.next_multiple_of(32));
            self.bytes.resize(COUNTS, 0);
            self.bytes.write_number(count);
            // As a list of names: their end.
            counts.listed = integer_entry(count as i64) as u32 + 2;
            for (name, _) in fields {
                name.write(&mut self.bytes);
                counts.listed = counts.listed.saturating_add(name.listed() as u32);
            }
        }
        let has_names = is_first || self.has_names(fields);
        self.make_room(fields.rest.0.len() + 32);
        let marks = if has_names { 0 } else { OWN_FIELDS };
        write_head(&mut self.bytes, self.last, id, marks, is_first);
        let apart = [
            id.ms().wrapping_sub(self.first.ms()),
            id.seq().wrapping_sub(self.first.seq()),
            if has_names { count + 3 } else { count * 2 + 4 },
        ];
        // With the marks.
        let mut listed = 2 + apart.iter().map(|number| integer_entry(*number as i64)).sum::<u64>();
        if has_names {
            for (_, value) in fields {
                value.write(&mut self.bytes);
                listed += value.listed();
            }
        } else {
            self.bytes.write_number(count);
            self.bytes.extend_from_slice(fields.rest.0);
            listed += integer_entry(count as i64);
            listed += fields.map(|(name, value)| name.listed() + value.listed()).sum::<u64>();
        }
        self.last = id;
        counts.live = counts.live.saturating_add(1);
        counts.listed = counts.listed.saturating_add(u32::try_from(listed).unwrap_or(u32::MAX));
        self.bytes[..COUNTS].copy_from_slice(&counts.to_bytes());
    }

    /// Makes room by parts: twice as much as there is would be much for a short stream.
    fn make_room(&mut self, more: usize) {
        let length = self.bytes.len();
        if self.bytes.capacity() - length < more {
            self.bytes.reserve_exact((length / 4).max(more));
        }
    }

    /// Whether the fields are called like those of the pack.
    fn has_names(&self, fields: Fields<'_>) -> bool {
        let Some(pack) = self.pack() else { return false };
        if pack.fields != fields.left {
            return false;
        }
        let (mut names, mut rest) = (pack.names, fields.rest);
        for _ in 0..fields.left {
            let name = Text::skip(&mut rest);
            let behind = name.and_then(|name| names.strip_prefix(name));
            match (behind, Text::skip(&mut rest)) {
                (Some(behind), Some(_)) => names = behind,
                _ => return false,
            }
        }
        true
    }
}
