//! One flow as a replica receives it: what came on it and waits, what was handed out of it, what is applied.

use engine::journal::{Deadline, Decoder, Effect, Frame, FrameEntry, Record};
use engine::shard::Passed;
use engine::types::{Lsn, TxId};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// A flow whose received bytes exceed this is not read from, unless it waits for the rest of a frame.
pub const FLOW_CREDIT: usize = 4 * 1024 * 1024;

/// What a flow's position passes when its next unit is applied.
pub(super) struct Step {
    pub(super) unit: u64,
    /// The flows that the unit moves, this one among them.
    pub(super) members: Rc<[u16]>,
    pub(super) end: Lsn,
    /// The frames as they came; empty for items.
    pub(super) raw: Vec<u8>,
}

/// What one flow brought, and how far it was taken.
pub(super) struct Inflow {
    pub(super) segments: VecDeque<Segment>,
    /// Bytes that the segments hold, each with what it costs to be one.
    pub(super) buffered: usize,
    /// No items may come (any more).
    pub(super) items_over: bool,
    /// The end of the last frame that was handed out.
    pub(super) taken: Lsn,
    pub(super) applied: Lsn,
    pub(super) steps: VecDeque<Step>,
    /// The transaction at its head, when its other parts are not there yet.
    pub(super) waiting: Option<TxId>,
    /// Bytes of messages that have come, but for signs of life.
    pub(super) came_bytes: u64,
    /// The same of the message of which not all has come.
    pub(super) coming_bytes: u64,
    /// The last transaction of several flows that stood at its head.
    pub(super) last_tx: TxId,
    /// Items that have begun and not come to their end.
    pub(super) open_items: usize,
    pub(super) cut_done: bool,
    pub(super) boundaries: Vec<Vec<u64>>,
    pub(super) passed: Option<Arc<Passed>>,
}

/// A stretch of what a flow received.
pub(super) enum Segment {
    Log(Bytes),
    Items(Bytes),
    Passed { walk: usize, boundaries: Vec<u64> },
    CutDone,
}

#[derive(Default)]
pub(super) struct Bytes {
    pub(super) buffer: Vec<u8>,
    pub(super) at: usize,
    pub(super) decoder: Decoder,
}

impl Inflow {
    /// A flow that stands at `lsn`, with items of `walks` of the sender's shards to come.
    pub(super) fn new(lsn: Lsn, seed: u64, walks: usize, dbs: usize) -> Inflow {
        let boundaries = vec![vec![0; dbs]; walks];
        let passed = (walks > 0).then(|| Arc::new(Passed { seed, boundaries: boundaries.clone() }));
        Inflow {
            segments: VecDeque::new(),
            buffered: 0,
            items_over: walks == 0,
            taken: lsn,
            applied: lsn,
            steps: VecDeque::new(),
            waiting: None,
            came_bytes: 0,
            coming_bytes: 0,
            last_tx: TxId(0),
            open_items: 0,
            cut_done: walks == 0,
            boundaries,
            passed,
        }
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.buffered += segment.cost();
        self.segments.push_back(segment);
    }

    pub(super) fn pop(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.buffered -= segment.cost();
        Some(segment)
    }

    /// The frame at its head, if that is of the journal and whole, and its bytes.
    pub(super) fn head(&mut self) -> Result<Option<(Frame<'_>, usize)>, String> {
        match self.segments.front_mut() {
            Some(Segment::Log(bytes)) => decode(bytes),
            _ => Ok(None),
        }
    }

    /// Takes so many bytes of the journal off its head.
    pub(super) fn take(&mut self, used: usize) -> Vec<u8> {
        let Some(Segment::Log(bytes)) = self.segments.front_mut() else { return Vec::new() };
        let raw = bytes.buffer[bytes.at..bytes.at + used].to_vec();
        bytes.at += used;
        bytes.compact();
        self.buffered -= used;
        raw
    }

    /// The end of the last whole frame that has arrived.
    pub(super) fn received(&self) -> Lsn {
        let mut end = self.taken.0;
        for segment in &self.segments {
            let Segment::Log(bytes) = segment else { continue };
            let (mut rest, mut decoder) = (&bytes.buffer[bytes.at..], Decoder::new());
            while let Ok(Some((frame, used))) = decoder.next(rest) {
                end += frame.lsn_count();
                rest = &rest[used..];
            }
        }
        Lsn(end)
    }

    /// Whether more of it is read.
    pub(super) fn is_read_on(&self) -> bool {
        self.buffered < FLOW_CREDIT || self.needs_rest()
    }

    /// Whether the head is the beginning of a frame whose rest has not arrived.
    pub(super) fn needs_rest(&self) -> bool {
        match (self.segments.front(), self.segments.len()) {
            (Some(Segment::Log(bytes) | Segment::Items(bytes)), 1) => {
                self.waiting.is_none() && bytes.decoder.needed() > bytes.buffer.len() - bytes.at
            }
            _ => false,
        }
    }
}

impl Segment {
    /// What counts against the flow's credit: bytes to be taken yet, and the segment itself, so that
    /// ever so many small ones are bounded too.
    pub(super) fn cost(&self) -> usize {
        let held = match self {
            Segment::Log(bytes) | Segment::Items(bytes) => bytes.buffer.len() - bytes.at,
            Segment::Passed { boundaries, .. } => size_of_val(boundaries.as_slice()),
            Segment::CutDone => 0,
        };
        held + size_of::<Segment>()
    }
}

impl Bytes {
    pub(super) fn of(bytes: &[u8]) -> Bytes {
        Bytes { buffer: bytes.to_vec(), ..Bytes::default() }
    }

    /// Gives back what was taken, when it is worth moving the rest.
    pub(super) fn compact(&mut self) {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.at = 0;
        } else if self.at >= FLOW_CREDIT / 2 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
    }
}

pub(super) fn decode(bytes: &mut Bytes) -> Result<Option<(Frame<'_>, usize)>, String> {
    bytes
        .decoder
        .next(&bytes.buffer[bytes.at..])
        .map_err(|error| format!("the master sent what is not a record: {error}"))
}

/// What an entry is among items.
pub(super) enum ItemEntry {
    /// A value as a whole, with its deadline.
    Whole,
    /// One in pieces begins.
    Begins,
    /// It goes on.
    Part,
    /// It ends.
    Ends,
}

impl ItemEntry {
    /// `None` if it is no item's.
    pub(super) fn of(entry: &FrameEntry<'_>) -> Option<ItemEntry> {
        let FrameEntry::Record(Record { effect, .. }) = entry else { return None };
        match effect {
            Effect::Put { deadline: Deadline::None | Deadline::At(_), .. } => {
                Some(ItemEntry::Whole)
            }
            Effect::PutBegin { .. } => Some(ItemEntry::Begins),
            Effect::PutPart(_) => Some(ItemEntry::Part),
            Effect::PutEnd { deadline: Deadline::None | Deadline::At(_) } => Some(ItemEntry::Ends),
            _ => None,
        }
    }
}

/// Items of one flow that have begun and not come to their end: the walks of a chain's shards, with as many as
/// may lie side by side in one step of a walk.
const OPEN_ITEMS_MAX: usize = 65_536;

impl Inflow {
    /// Counts a frame of items, which are of nobody's transaction; answers with how many are whole now.
    pub(super) fn count_items(open: &mut usize, frame: &Frame<'_>) -> Result<u64, String> {
        if frame.transaction().is_some() {
            return Err("items that are part of a transaction".to_owned());
        }
        let mut whole = 0;
        for entry in frame.entries() {
            match ItemEntry::of(&entry).ok_or("items that are no items")? {
                ItemEntry::Whole => whole += 1,
                ItemEntry::Begins if *open >= OPEN_ITEMS_MAX => {
                    return Err(format!("one more item begins among {open}"));
                }
                ItemEntry::Begins => *open += 1,
                ItemEntry::Part | ItemEntry::Ends if *open == 0 => {
                    return Err("a piece of an item that did not begin".to_owned());
                }
                ItemEntry::Part => {}
                ItemEntry::Ends => (*open, whole) = (*open - 1, whole + 1),
            }
        }
        Ok(whole)
    }
}
