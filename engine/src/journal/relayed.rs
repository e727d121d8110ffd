//! The log of a relay: an upstream's frames as they came, and references to what came of them.
//!
//! ```text
//!   a value comes in pieces      | begins | part | part | part |            bytes: nothing else is there yet
//!   it is whole, and the data    | begins | .    | .    | .    | ends |     its parts are the data's
//! ```
//!
//! The bytes that readers get are the same, before and after (J7). Of values of other types than string the bytes
//! stay: another node would write them in another order.

use std::collections::{HashMap, VecDeque};

use super::{
    chunk::{Boundary, Large, Tail},
    frame::{Decoder, Frame, FrameBuilder},
    handle::NOT_INSIDE,
    hold,
    log::{Extent, Held, LogWriter, OPEN},
    record::{Effect, FrameEntry, INLINE_PAYLOAD_BYTES_MAX, Payload, Record},
    sync::Ordering,
    whole::{Stretch, Whole},
};
use crate::types::{DbIndex, Lsn};
use crate::value::Rope;

/// The strings that keys hold as of a record that puts them; each is asked for once, in the order of the records.
pub(super) type Values<'v> = &'v mut dyn FnMut(DbIndex, &[u8]) -> Option<Rope>;

/// Names the values that pieces are of.
type Name = (DbIndex, Vec<u8>);

/// The strings that end in one frame, by name, in their order; `None` for what is none.
type Ended = HashMap<Name, VecDeque<Option<Rope>>>;

impl LogWriter {
    /// Appends a frame as it came from an upstream.
    pub fn append_encoded(&mut self, frame: &Frame<'_>) -> Lsn {
        self.append_relayed(frame, &mut |_, _| None)
    }

    /// Appends a frame as it came from an upstream and was applied here. The long strings that it puts are asked
    /// for, so that the log refers to them.
    pub fn append_relayed(&mut self, frame: &Frame<'_>, values: Values<'_>) -> Lsn {
        if !self.keeping {
            return self.count(frame.lsn_count());
        }
        if frame.begins_value() {
            // Where one transaction puts several, they end together.
            if !self.value.is_open() {
                self.begin_value(frame.as_bytes().len());
            }
            return self.append_bytes(frame);
        }
        let ends = self.value.is_open() && frame.ends_value();
        let (referring, ended) = refer(frame, values);
        if ends {
            self.refer_to(ended);
        }
        let lsn = match referring {
            Some(builder) => self.append_frame(&builder, frame.transaction()),
            None => self.append_bytes(frame),
        };
        if ends {
            self.value.end = lsn.0;
            self.shared.outside.store(NOT_INSIDE, Ordering::Release);
        }
        lsn
    }

    fn append_bytes(&mut self, frame: &Frame<'_>) -> Lsn {
        let bytes = frame.as_bytes();
        self.reserve(bytes.len(), bytes.len() as u64);
        self.free()[..bytes.len()].copy_from_slice(bytes);
        let lsn = self.appended(bytes.len(), frame.lsn_count());
        self.close_if_full();
        lsn
    }

    /// A value in pieces begins, of which only its beginning has come: it has its chunks for itself at their
    /// front, so that they can be held and let go by themselves.
    fn begin_value(&mut self, bytes: usize) {
        self.value = Extent { from: self.lsn, end: OPEN };
        self.open_chunk(bytes, false);
        self.shared.outside.store(self.lsn, Ordering::Release);
    }

    /// The pieces of the open value become references, if all of them are still there.
    fn refer_to(&mut self, ended: Ended) {
        if !ended.values().flatten().any(Option::is_some) {
            return;
        }
        self.flush(true);
        let from = self.value.from;
        let first = self.held.partition_point(|held| held.chunk.base < from);
        let is_there = self.held.get(first).is_some_and(|held| held.chunk.base == from);
        let Some(Referring { bytes, frames }) =
            is_there.then(|| self.referring(first, ended)).flatten()
        else {
            return;
        };
        let base_bytes = self.held[first].chunk.base_bytes;
        let mut tail = Tail::open(bytes.len(), from, base_bytes);
        tail.free().copy_from_slice(&bytes);
        let mut large = Vec::new();
        for (length, part) in frames {
            let frame_start = tail.end();
            tail.advance(length, 1);
            let frame_end = tail.end();
            let (group_start, group_end) = (Boundary { offset: 0, records: 0 }, frame_end);
            let at = frame_end.offset;
            large.extend(part.map(|payload| Large {
                at,
                payload,
                frame_start,
                frame_end,
                group_start,
                group_end,
            }));
        }
        let group_end = tail.end();
        for one in &mut large {
            one.group_end = group_end;
            self.charges.add(&mut one.payload.of);
        }
        self.replace(first, tail, large);
    }

    /// Puts a chunk in the place of those from number `first` on, of the same records and bytes.
    fn replace(&mut self, first: usize, mut tail: Tail, large: Vec<Large>) {
        let references = large.len() as u64 * hold::REFERENCE_BYTES;
        tail.add_large(large.into_iter());
        let (mark, edge) = tail.edge(true);
        self.shared.head.publish(Some((mark, edge)), self.lsn, self.bytes);
        let own_bytes = tail.chunk().capacity() as u64 + references;
        let replaced: Vec<Held> = self.held.drain(first..).collect();
        let before: u64 = replaced.iter().map(|held| held.own_bytes).sum();
        self.held.push_back(Held {
            chunk: std::sync::Arc::clone(tail.chunk()),
            own_bytes,
            value_from: Some(self.value.from),
            weight: own_bytes,
            is_alone: false,
            opened: replaced.first().and_then(|held| held.opened),
            last: replaced.last().and_then(|held| held.last),
        });
        let mut chunks = super::sync::lock(&self.shared.chunks);
        chunks.truncate(first);
        chunks.push_back(std::sync::Arc::clone(tail.chunk()));
        drop(chunks);
        self.set_own(self.own_bytes - before + own_bytes);
        // What follows is one frame, the value's end, and perhaps nothing for long.
        self.begin_small();
    }

    /// The frames of the chunks from number `first` on, parts as references to the values that end.
    fn referring(&self, first: usize, mut ended: Ended) -> Option<Referring> {
        let (mut referring, mut begun) = (Referring::default(), HashMap::new());
        for held in self.held.range(first..) {
            let edge = held.chunk.edge().offset;
            let (mut rest, mut decoder) = (held.chunk.published(0, edge), Decoder::new());
            while let Some((frame, used)) = decoder.next(rest).ok().flatten() {
                let Some(FrameEntry::Record(record)) = frame.entries().next() else { return None };
                referring.add(&record, frame.as_bytes(), &mut begun, &mut ended)?;
                rest = &rest[used..];
            }
            if !rest.is_empty() {
                return None;
            }
        }
        Some(referring)
    }
}

/// Frames of one record each: all that is not referred to, and of each its length and what follows.
#[derive(Default)]
struct Referring {
    bytes: Vec<u8>,
    frames: Vec<(usize, Option<Stretch>)>,
}

impl Referring {
    fn add(
        &mut self,
        record: &Record<'_>,
        as_bytes: &[u8],
        begun: &mut HashMap<Name, Option<Stretch>>,
        ended: &mut Ended,
    ) -> Option<()> {
        let name = (record.db, record.key.to_vec());
        let start = self.bytes.len();
        let mut part = None;
        match &record.effect {
            Effect::PutBegin { length, .. } => {
                let value = ended.get_mut(&name).and_then(VecDeque::pop_front).flatten();
                let value = value.filter(|value| value.len() as u64 == *length);
                begun.insert(name, value.map(|value| Stretch::whole(Whole::Rope(value))));
                self.bytes.extend_from_slice(as_bytes);
            }
            Effect::PutPart(Payload::Bytes(bytes)) => match begun.get_mut(&name)? {
                Some(left) if left.length >= bytes.len() => {
                    let effect = Effect::PutPart(Payload::Part(left.take(bytes.len())));
                    part = Record { effect, ..*record }.encode(&mut self.bytes);
                }
                _ => self.bytes.extend_from_slice(as_bytes),
            },
            _ => return None,
        }
        self.frames.push((self.bytes.len() - start, part));
        Some(())
    }
}

/// A frame with references to the long strings that it puts, if it puts any that are there; and those that came
/// in pieces and end in it.
fn refer(frame: &Frame<'_>, values: Values<'_>) -> (Option<FrameBuilder>, Ended) {
    let mut ended = Ended::new();
    if !frame.entries().any(|entry| puts_long(&entry)) {
        return (None, ended);
    }
    let (mut builder, mut refers) = (FrameBuilder::new(), false);
    for entry in frame.entries() {
        let FrameEntry::Record(record) = &entry else {
            builder.push_entry(&entry);
            continue;
        };
        let value = if puts_long(&entry) { values(record.db, record.key) } else { None };
        match (&record.effect, value) {
            (Effect::Put { value: Payload::Bytes(bytes), deadline }, Some(rope))
                if rope.len() == bytes.len() =>
            {
                refers = true;
                let effect = Effect::Put { value: Payload::Shared(rope), deadline: *deadline };
                builder.push(&Record { effect, ..*record });
            }
            (Effect::PutEnd { .. }, value) => {
                let name = (record.db, record.key.to_vec());
                ended.entry(name).or_default().push_back(value);
                builder.push(record);
            }
            _ => builder.push(record),
        }
    }
    (refers.then_some(builder), ended)
}

/// Whether a value is asked for.
fn puts_long(entry: &FrameEntry<'_>) -> bool {
    matches!(entry, FrameEntry::Record(record) if record.puts_long())
}

impl Record<'_> {
    /// Whether it puts a string that a log would rather refer to, or ends a value that came in pieces: who
    /// applies it keeps what the key holds then, for [`LogWriter::append_relayed`].
    pub fn puts_long(&self) -> bool {
        match &self.effect {
            Effect::Put { value: Payload::Bytes(bytes), .. } => {
                bytes.len() > INLINE_PAYLOAD_BYTES_MAX
            }
            Effect::PutEnd { .. } => true,
            _ => false,
        }
    }
}
