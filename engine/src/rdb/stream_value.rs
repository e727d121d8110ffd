//! Streams, written and put together again. See `stream` for the form.
//!
//! Of the three versions the oldest that keeps all is taken, so that as many as possible read it: the first, of
//! Redis 5, where no entry was deleted and there are no groups; else the second, of Redis 7.0. What only the
//! third has, when each consumer last got something, is not written. Whoever reads the first alone is written that.

use super::dump::{PACKED_MAX, write_length, write_string};
use super::listpack::Listpack;
use super::parts::{Part, StreamFacts, StreamId};
use super::pieces::{Building, Pen, Recipient, Writing};
use crate::value::stream::{Builder, Fields, Id, NodeLimits, Stream, Text};
use crate::value::{NewValue, Object};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

const FIRST: u8 = 15;
const SECOND: u8 = 19;

/// Packs that are counted, or pending entries that are written, in one piece: some 20 us.
const PIECE: u64 = 256;

/// A stream that is held while it is written.
struct Written {
    stream: Stream,
    is_second: bool,
    steps: VecDeque<Step>,
    pen: Pen,
}

/// Bytes of a pack that are copied in one piece: some 10 us. Longer packs are put together first.
const COPIED: usize = 64 * 1024;

/// What is written next.
enum Step {
    /// From this pack on those with entries are counted, so many are.
    Count(u64, u64),
    Pack(u64),
    /// The same of a long one, of which so much is together.
    Long(u64, Vec<u8>),
    Facts,
    /// The group behind the one of this name; the first.
    Behind(Option<Vec<u8>>),
    Group(Vec<u8>),
    /// What is pending in a group, from here on.
    Pending(Vec<u8>, Id),
    /// The consumers of a group, behind so many.
    Consumers(Vec<u8>, u64),
    /// What is pending with the last of them, from here on.
    Own(Vec<u8>, u64, Id),
}

pub(super) fn writing(object: &dyn Object, recipient: Recipient) -> Option<Box<dyn Writing>> {
    let object: &dyn Any = object;
    let stream: Stream = object.downcast_ref::<Stream>()?.clone();
    let has_more = stream.group_count() > 0
        || stream.added() != stream.len()
        || stream.max_deleted() != Id::ZERO;
    let is_second = has_more && recipient != Recipient::Redis62;
    let steps = [Step::Count(0, 0), Step::Facts, Step::Behind(None)].into();
    Some(Box::new(Written { stream, is_second, steps, pen: Pen::default() }))
}

impl Writing for Written {
    fn more(&mut self, out: &mut Vec<u8>) -> bool {
        if self.pen.begin(out)
            && let Some(step) = self.steps.pop_front()
            && let Some(next) = self.step(step, out)
        {
            self.steps.push_front(next);
        }
        self.steps.is_empty() && self.pen.is_clear()
    }
}

impl Written {
    /// Does a step; what comes before all others then.
    fn step(&mut self, step: Step, out: &mut Vec<u8>) -> Option<Step> {
        let stream = &self.stream;
        match step {
            Step::Count(from, before) => {
                let end = stream.pack_count().min(from + PIECE);
                let count = (from..end).filter(|pack| stream.pack_len(*pack) > 0).count() as u64;
                if end < stream.pack_count() {
                    return Some(Step::Count(end, before + count));
                }
                out.push(if self.is_second { SECOND } else { FIRST });
                write_length((before + count) as usize, out);
                (end > 0).then_some(Step::Pack(0))
            }
            Step::Pack(pack) => self.pack(pack, out),
            Step::Long(pack, bytes) => self.long_pack(pack, bytes, out),
            Step::Facts => {
                self.facts(out);
                None
            }
            Step::Behind(name) => {
                let (next, _) = stream.groups_behind(name.as_deref()).next()?;
                Some(Step::Group(next.to_vec()))
            }
            Step::Group(name) => {
                let group = stream.group(&name)?;
                write_string(&name, out);
                write_id(group.last, out);
                if self.is_second {
                    write_length(group.read as usize, out);
                }
                write_length(group.pending_count() as usize, out);
                Some(Step::Pending(name, Id::ZERO))
            }
            Step::Pending(name, from) => {
                let group = stream.group(&name)?;
                let mut last = None;
                for pending in group.pending_from(from).take(PIECE as usize) {
                    last = Some(pending.id);
                    out.extend_from_slice(&pending.id.0.to_be_bytes());
                    out.extend_from_slice(&pending.at.to_le_bytes());
                    write_length(pending.times as usize, out);
                }
                match last {
                    Some(last) if Some(last) != group.pending_last() => {
                        Some(Step::Pending(name, last.after()?))
                    }
                    _ => {
                        write_length(group.consumer_count(), out);
                        Some(Step::Consumers(name, 0))
                    }
                }
            }
            Step::Consumers(name, place) => self.consumers(name, place, out),
            Step::Own(name, place, from) => {
                let consumer = stream.group(&name)?.consumers_from(place - 1).next()?;
                let (mut last, mut count) = (None, 0);
                for id in consumer.pending_from(from).take(PIECE as usize) {
                    (last, count) = (Some(id), count + 1);
                    out.extend_from_slice(&id.0.to_be_bytes());
                }
                match last.filter(|_| count == PIECE).and_then(Id::after) {
                    Some(next) => Some(Step::Own(name, place, next)),
                    None => Some(Step::Consumers(name, place)),
                }
            }
        }
    }

    /// Some consumers, up to the first with which something is pending.
    fn consumers(&self, name: Vec<u8>, mut place: u64, out: &mut Vec<u8>) -> Option<Step> {
        let group = self.stream.group(&name)?;
        for consumer in group.consumers_from(place).take(PIECE as usize) {
            place += 1;
            let pending = consumer.pending_count();
            write_string(consumer.name(), out);
            out.extend_from_slice(&consumer.seen.to_le_bytes());
            write_length(pending as usize, out);
            if pending > 0 {
                return Some(Step::Own(name, place, Id::ZERO));
            }
        }
        let is_last = place >= group.consumer_count() as u64;
        Some(if is_last { Step::Behind(Some(name)) } else { Step::Consumers(name, place) })
    }

    fn pack(&mut self, pack: u64, out: &mut Vec<u8>) -> Option<Step> {
        let stream = &self.stream;
        if let Some(long) = stream.long_pack(pack).filter(|long| long.len() > COPIED) {
            return Some(Step::Long(pack, Vec::with_capacity(long.len())));
        }
        let mut list = Listpacked::new();
        let count = stream.pack_len(pack);
        stream.visit_pack(pack, |id, fields| list.add(count, id, fields, &mut short_text));
        list.write(None, &mut self.pen, out);
        (pack + 1 < stream.pack_count()).then_some(Step::Pack(pack + 1))
    }

    /// Some of a long pack is put together, or all of it written.
    fn long_pack(&mut self, pack: u64, mut bytes: Vec<u8>, out: &mut Vec<u8>) -> Option<Step> {
        let stream = &self.stream;
        let (from, long) = (bytes.len(), stream.long_pack(pack)?);
        let stretches = long.stretches(from..from + COPIED);
        stretches.for_each(|stretch| bytes.extend_from_slice(stretch));
        if bytes.len() < long.len() {
            return Some(Step::Long(pack, bytes));
        }
        let mut list = Listpacked::new();
        let count = stream.pack_len(pack);
        let mut write = |list: &mut Listpack, text: Text<'_>| long_text(list, text, &bytes);
        stream.visit_pack_of(pack, &bytes, |id, fields| list.add(count, id, fields, &mut write));
        list.write(Some(Arc::new(bytes)), &mut self.pen, out);
        (pack + 1 < stream.pack_count()).then_some(Step::Pack(pack + 1))
    }

    fn facts(&self, out: &mut Vec<u8>) {
        let stream = &self.stream;
        write_length(stream.len() as usize, out);
        write_id(stream.last_id(), out);
        if self.is_second {
            write_id(stream.first(), out);
            write_id(stream.max_deleted(), out);
            write_length(stream.added() as usize, out);
        }
        write_length(stream.group_count(), out);
    }
}

fn write_id(id: Id, out: &mut Vec<u8>) {
    write_length(id.ms() as usize, out);
    write_length(id.seq() as usize, out);
}

/// A node of Redis's, with the entries of a pack: nothing, where there are none.
struct Listpacked {
    list: Listpack,
    first: Option<Id>,
    names: Vec<Vec<u8>>,
}

impl Listpacked {
    fn new() -> Listpacked {
        Listpacked { list: Listpack::new(), first: None, names: Vec::new() }
    }

    /// Adds an entry of so many, writing texts so.
    fn add(
        &mut self,
        count: u64,
        id: Id,
        fields: Fields<'_>,
        write: &mut dyn FnMut(&mut Listpack, Text<'_>),
    ) {
        const SAME_FIELDS: i64 = 2;
        let Listpacked { list, first, names } = self;
        let fields_count = fields.count() as i64;
        let base = *first.get_or_insert_with(|| {
            list.integer(count as i64);
            list.integer(0);
            list.integer(fields_count);
            for (name, _) in fields {
                names.push(name.bytes(&mut itoa::Buffer::new()).to_vec());
                write(list, name);
            }
            list.integer(0);
            id
        });
        let has_names = |(at, (name, _)): (usize, (Text<'_>, Text<'_>))| {
            names.get(at).is_some_and(|own| name.bytes(&mut itoa::Buffer::new()) == own)
        };
        let is_same = names.len() == fields.count() && fields.enumerate().all(has_names);
        list.integer(if is_same { SAME_FIELDS } else { 0 });
        list.integer(id.ms().wrapping_sub(base.ms()) as i64);
        list.integer(id.seq().wrapping_sub(base.seq()) as i64);
        if !is_same {
            list.integer(fields_count);
        }
        for (name, value) in fields {
            if !is_same {
                write(list, name);
            }
            write(list, value);
        }
        list.integer(if is_same { fields_count + 3 } else { fields_count * 2 + 4 });
    }

    /// Writes it; `long` is where the texts are that it has not.
    fn write(self, long: Option<Arc<Vec<u8>>>, pen: &mut Pen, out: &mut Vec<u8>) {
        let Some(Id(first)) = self.first else { return };
        write_string(&first.to_be_bytes(), out);
        let Some(long) = long else { return write_string(&self.list.into_bytes(), out) };
        let (length, bytes, apart) = self.list.into_parts();
        write_length(length, out);
        let mut at = 0;
        for (before, range) in apart {
            pen.place(out).extend_from_slice(&bytes[at..before]);
            pen.held(&long, range);
            at = before;
        }
        pen.place(out).extend_from_slice(&bytes[at..]);
    }
}

/// A text that lies in `bytes`: a long one stays there.
fn long_text(list: &mut Listpack, text: Text<'_>, bytes: &[u8]) {
    let Text::Bytes(long) = text else { return short_text(list, text) };
    let at = (long.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
    match at.checked_add(long.len()) {
        Some(end) if long.len() > PACKED_MAX && end <= bytes.len() => list.string_apart(at..end),
        _ => short_text(list, text),
    }
}

fn short_text(list: &mut Listpack, text: Text<'_>) {
    match text {
        Text::Integer(number) => list.integer(number),
        Text::Bytes([digit @ b'0'..=b'9']) => list.integer(i64::from(digit - b'0')),
        Text::Bytes(bytes) => list.string(bytes),
    }
}

/// A stream that is being put together.
struct Built(Builder);

pub(super) fn building(limits: NodeLimits) -> Box<dyn Building> {
    Box::new(Built(Builder::of(limits)))
}

fn id(StreamId { ms, seq }: StreamId) -> Id {
    Id::new(ms, seq)
}

impl Building for Built {
    fn add(&mut self, part: &Part<'_>) -> bool {
        let stream = &mut self.0;
        match *part {
            Part::Entry { id: number, fields } => stream.entry(id(number), fields),
            Part::Field { field, value, .. } => stream.field(field, value),
            Part::Facts(StreamFacts { last, max_deleted, added, .. }) => {
                stream.facts(id(last), added, id(max_deleted));
            }
            Part::Group { name, last, read } => {
                stream.group(
                    name.to_bytes().into_owned(),
                    id(last),
                    read.map_or(-1, |read| read as i64),
                );
            }
            Part::Pending { id: number, at, times } => stream.pending(id(number), at.0, times),
            Part::Consumer { name, seen, active } => {
                stream.consumer(&name.to_bytes(), seen.0 as i64, active.0 as i64);
            }
            Part::Claimed(number) => stream.claimed(id(number)),
            _ => {}
        }
        true
    }

    fn end(&mut self) -> NewValue<'static> {
        self.0.end()
    }
}
