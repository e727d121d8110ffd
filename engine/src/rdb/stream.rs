//! Streams, as they are written since Redis 5.0.
//!
//! ```text
//!   count | (first id, listpack) ...                       the entries
//!   length | last id | since 7.0: first id, greatest deleted id, how many ever
//!   groups | ( name | last id | since 7.0: read
//!              count | (id, delivered at, how often) ...   pending
//!              count | ( name | seen at | since 7.2: active at
//!                        count | id ... ) ... ) ...        consumers and what is pending with each
//!
//!   listpack:  live | deleted | fields | their names ... | 0
//!              entry:  flags | ms and seq beyond the first id | [fields | name value ...] or [value ...] | elements
//! ```

use super::packs::{Form, Pack};
use super::parts::{Spot, Step, StreamFacts, StreamId, Strings};
use super::read::{Cursor, Malformed, Text};
use crate::types::Millis;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Decoding under way.
#[derive(Clone)]
pub(super) struct Stream {
    /// 1 to 3.
    version: u8,
    packs: u64,
    node: Option<Node>,
    entries: u64,
    last: Option<StreamId>,
    /// Groups to come; unknown before all entries are read.
    groups: Option<u64>,
    pending: u64,
    /// Consumers of the group to come; unknown before all that is pending is read.
    consumers: Option<u64>,
    claimed: u64,
}

/// A listpack of entries.
#[derive(Clone)]
struct Node {
    pack: Pack,
    base: StreamId,
    live: i64,
    deleted: i64,
    /// A way through the names that entries may have in common, from before the first.
    names: Pack,
    names_count: i64,
    entry: Option<Entry>,
}

/// An entry whose fields are being read.
#[derive(Clone)]
struct Entry {
    left: i64,
    /// Where its names are, if not with it.
    names: Option<Pack>,
    /// Elements of the listpack that it takes.
    elements: i64,
}

fn id(cursor: &mut Cursor<'_>) -> Result<StreamId, Malformed> {
    Ok(StreamId { ms: cursor.length()?, seq: cursor.length()? })
}

fn raw_id(cursor: &mut Cursor<'_>) -> Result<StreamId, Malformed> {
    let (ms, seq) = (cursor.array()?, cursor.array()?);
    Ok(StreamId { ms: u64::from_be_bytes(ms), seq: u64::from_be_bytes(seq) })
}

impl Stream {
    pub(super) fn begin(version: u8, cursor: &mut Cursor<'_>) -> Result<Stream, Malformed> {
        let packs = cursor.length()?;
        let (node, last, groups, consumers) = (None, None, None, None);
        let (entries, pending, claimed) = (0, 0, 0);
        Ok(Stream { version, packs, node, entries, last, groups, pending, consumers, claimed })
    }

    /// Whether it goes through a listpack.
    pub(super) fn is_inside(&self) -> bool {
        self.node.is_some()
    }

    pub(super) fn step(
        &mut self,
        cursor: &mut Cursor<'_>,
        all: &[u8],
        strings: &mut Strings,
    ) -> Result<Option<Step>, Malformed> {
        match self.groups {
            Some(_) => self.group_step(cursor, all, strings),
            None => self.entry_step(cursor, all, strings).map(Some),
        }
    }

    fn entry_step(
        &mut self,
        cursor: &mut Cursor<'_>,
        all: &[u8],
        strings: &mut Strings,
    ) -> Result<Step, Malformed> {
        loop {
            if let Some(node) = &mut self.node {
                let inside = strings.blob.bytes(all);
                let found = node.step(inside, &mut strings.first, &mut strings.second);
                let Some(step) = found.map_err(|error| strings.blob.outside(error))? else {
                    self.node = None;
                    continue;
                };
                if let Step::Entry { id, .. } = step {
                    if self.last.is_some_and(|last| last >= id) {
                        return cursor.malformed("entries of a stream that are not in order");
                    }
                    (self.last, self.entries) = (Some(id), self.entries + 1);
                }
                return Ok(step);
            }
            if self.packs == 0 {
                return self.facts(cursor);
            }
            self.packs -= 1;
            let key = cursor.blob()?;
            if key.bytes(all).len() != 16 {
                return cursor.malformed("a stream's node whose id has not 16 bytes");
            }
            let base = raw_id(&mut Cursor::at(key.bytes(all), 0))?;
            strings.blob = cursor.blob()?;
            let node = Node::begin(base, strings.blob.bytes(all));
            self.node = Some(node.map_err(|error| strings.blob.outside(error))?);
        }
    }

    fn facts(&mut self, cursor: &mut Cursor<'_>) -> Result<Step, Malformed> {
        let length = cursor.length()?;
        let last = id(cursor)?;
        let mut facts = StreamFacts { length, last, added: length, ..StreamFacts::default() };
        if self.version >= 2 {
            id(cursor)?;
            facts.max_deleted = id(cursor)?;
            facts.added = cursor.length()?;
        }
        if length != self.entries || self.last.is_some_and(|greatest| greatest > last) {
            return cursor.malformed("a stream that does not know its own entries");
        }
        self.groups = Some(cursor.length()?);
        Ok(Step::Facts(facts))
    }

    fn group_step(
        &mut self,
        cursor: &mut Cursor<'_>,
        all: &[u8],
        strings: &mut Strings,
    ) -> Result<Option<Step>, Malformed> {
        if self.claimed > 0 {
            self.claimed -= 1;
            return Ok(Some(Step::Claimed(raw_id(cursor)?)));
        }
        if self.pending > 0 {
            self.pending -= 1;
            let (id, at) = (raw_id(cursor)?, Millis(cursor.fixed64()?));
            let times = cursor.length()?;
            if self.pending == 0 {
                self.consumers = Some(cursor.length()?);
            }
            return Ok(Some(Step::Pending { id, at, times }));
        }
        if let Some(left) = self.consumers.filter(|left| *left > 0) {
            self.consumers = Some(left - 1);
            strings.first = Spot::outside(cursor.text()?, all)?;
            let seen = Millis(cursor.fixed64()?);
            let active = if self.version >= 3 { Millis(cursor.fixed64()?) } else { seen };
            self.claimed = cursor.length()?;
            return Ok(Some(Step::Consumer { seen, active }));
        }
        let Some(left) = self.groups.filter(|left| *left > 0) else { return Ok(None) };
        self.groups = Some(left - 1);
        strings.first = Spot::outside(cursor.text()?, all)?;
        let last = id(cursor)?;
        let read = if self.version >= 2 { Some(cursor.length()?) } else { None };
        self.pending = cursor.length()?;
        if self.pending == 0 {
            self.consumers = Some(cursor.length()?);
        }
        // -1 stands for "unknown".
        Ok(Some(Step::Group { last, read: read.filter(|read| *read != u64::MAX) }))
    }
}

/// The next element, which must be there.
fn required(pack: &mut Pack, bytes: &[u8]) -> Result<Text, Malformed> {
    let text = pack.next(bytes)?;
    text.map_or_else(|| malformed("a stream's node that ends too early"), Ok)
}

/// The next element, which must be an integer.
fn integer(pack: &mut Pack, bytes: &[u8]) -> Result<i64, Malformed> {
    match required(pack, bytes)? {
        Text::Int(number) => Ok(number),
        _ => malformed("a stream's node with a string in place of a number"),
    }
}

/// The next element as a count.
fn count(pack: &mut Pack, bytes: &[u8]) -> Result<i64, Malformed> {
    let is_count = |number: &i64| (0..=i64::from(u32::MAX)).contains(number);
    let number = Some(integer(pack, bytes)?).filter(is_count);
    number.map_or_else(|| malformed("a stream's node with a count that lies"), Ok)
}

fn malformed<T>(why: &'static str) -> Result<T, Malformed> {
    Err(Malformed { at: 0, why })
}

impl Node {
    fn begin(base: StreamId, bytes: &[u8]) -> Result<Node, Malformed> {
        let mut pack = Pack::begin(Form::Listpack, bytes)?;
        let (live, deleted) = (count(&mut pack, bytes)?, count(&mut pack, bytes)?);
        let names_count = count(&mut pack, bytes)?;
        let names = pack;
        for _ in 0..names_count {
            required(&mut pack, bytes)?;
        }
        if integer(&mut pack, bytes)? != 0 {
            return malformed("a stream's node without the end of its names");
        }
        Ok(Node { pack, base, live, deleted, names, names_count, entry: None })
    }

    fn step(
        &mut self,
        bytes: &[u8],
        first: &mut Spot,
        second: &mut Spot,
    ) -> Result<Option<Step>, Malformed> {
        if let Some(entry) = &mut self.entry {
            let name = match &mut entry.names {
                Some(names) => required(names, bytes)?,
                None => required(&mut self.pack, bytes)?,
            };
            (*first, *second) =
                (Spot::inside(name), Spot::inside(required(&mut self.pack, bytes)?));
            entry.left -= 1;
            if entry.left == 0 {
                self.end_entry(bytes)?;
            }
            return Ok(Some(Step::Field(None)));
        }
        loop {
            let Some(flags) = self.pack.next(bytes)? else {
                return match (self.live, self.deleted) {
                    (0, 0) => Ok(None),
                    _ => malformed("a stream's node whose count of entries lies"),
                };
            };
            let Text::Int(flags) = flags else {
                return malformed("a stream's entry without flags");
            };
            if let Some(step) = self.begin_entry(flags, bytes)? {
                return Ok(Some(step));
            }
        }
    }

    /// An entry, unless it is deleted.
    fn begin_entry(&mut self, flags: i64, bytes: &[u8]) -> Result<Option<Step>, Malformed> {
        let (ms, seq) = (integer(&mut self.pack, bytes)?, integer(&mut self.pack, bytes)?);
        let is_same = flags & SAME_FIELDS != 0;
        let left = if is_same { self.names_count } else { count(&mut self.pack, bytes)? };
        let elements = if is_same { left + 3 } else { left * 2 + 4 };
        let names = is_same.then_some(self.names);
        self.entry = Some(Entry { left, names, elements });
        if flags & DELETED != 0 {
            self.deleted -= 1;
            for _ in 0..if is_same { left } else { left * 2 } {
                required(&mut self.pack, bytes)?;
            }
            self.end_entry(bytes)?;
            return Ok(None);
        }
        self.live -= 1;
        if left == 0 {
            self.end_entry(bytes)?;
        }
        let id = StreamId {
            ms: self.base.ms.wrapping_add_signed(ms),
            seq: self.base.seq.wrapping_add_signed(seq),
        };
        Ok(Some(Step::Entry { id, fields: left as u64 }))
    }

    fn end_entry(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Some(entry) = self.entry.take() else { return Ok(()) };
        if integer(&mut self.pack, bytes)? == entry.elements {
            return Ok(());
        }
        malformed("a stream's entry whose length lies")
    }
}
