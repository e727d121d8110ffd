//! One flow of a session: the journal of one shard, and during a full sync its items, merged by LSN.
//!
//! ```text
//!   asked a shard for a part when the journal's head was 7 ──► the journal goes out up to 7, no further
//!   the part arrives, its items were read as of 9 ───────────► journal up to 9, the items, journal on
//! ```
//!
//! An item must never follow a record that it already contains (an APPEND would be applied twice) nor
//! precede one that it does not reflect. So while a part is asked for, the journal waits at the head of
//! that moment, which the part's label cannot be below; and a part waits until the journal has come to
//! its label. Several of our shards may feed one flow (on a chain): the smallest bound decides.
//!
//! A large item only *begins* there; its pieces go out in turns with the journal, so that one value of
//! hundreds of megabytes does not let the journal wait until it is trimmed. The replica holds that key's
//! records back until the item is whole.
//!
//! This is a pure decision-maker: it owns a reader of the log and no socket.

use crate::wire::{self, Kind};
use engine::cut::CutGroup;
use engine::journal::{Gone, ItemInPieces, Read, Reader, Span};
use engine::types::Lsn;
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Bytes of items that are sent before the journal has its turn again, where nothing slows them.
const PIECE_BYTES: usize = 256 * 1024;

/// Item bytes in one message: the unit in which a slowed full sync sends them, and small enough that signs
/// of life find their way between two.
const ITEMS_BYTES: usize = 16 * 1024;

/// What the flow has to send next.
#[derive(Debug)]
pub enum Step {
    /// Bytes of the journal.
    Log(Span),
    /// Whole messages, ready to be sent.
    Messages(Vec<u8>),
    /// Nothing until the journal grows or a part arrives.
    Wait,
    /// The journal was trimmed past this reader: the session must end.
    Gone(Gone),
}

/// The sending side of one flow.
pub struct FlowSender {
    reader: Reader,
    /// Parts asked for and not arrived: from which of our shards, and the journal's head when asked.
    asked: Vec<(u16, Lsn)>,
    /// Parts that arrived and wait for the journal to come to their label.
    parts: Vec<Part>,
    /// Messages of the part that is being sent, and how much of them has gone. Nothing of the journal
    /// comes between them.
    sending: (Vec<u8>, usize),
    /// Per walk, the boundaries told last.
    told: Vec<(u16, Vec<u64>)>,
    /// Large items on their way, the first one first.
    pieces: VecDeque<ItemInPieces>,
    /// The journal had its turn: a piece is next.
    piece_is_next: bool,
    /// Our shards whose walk is not complete; none in stable sync.
    walks: Vec<u16>,
    /// A `CutDone` is owed.
    finishing: bool,
    /// The last byte of a frame has not been sent yet.
    inside_frame: bool,
}

struct Part {
    label: Lsn,
    messages: Vec<u8>,
    /// Items of which the messages say that they begin.
    large: Vec<ItemInPieces>,
}

impl FlowSender {
    /// A flow that continues from where `reader` stands.
    pub fn partial(reader: Reader) -> FlowSender {
        FlowSender::new(reader, Vec::new(), false)
    }

    /// A flow that begins with the items of our shards `walks`.
    pub fn full(reader: Reader, walks: Vec<u16>) -> FlowSender {
        let finishing = !walks.is_empty();
        FlowSender::new(reader, walks, finishing)
    }

    fn new(reader: Reader, walks: Vec<u16>, finishing: bool) -> FlowSender {
        let (asked, parts) = (Vec::new(), Vec::new());
        FlowSender {
            reader,
            asked,
            parts,
            sending: (Vec::new(), 0),
            told: Vec::new(),
            pieces: VecDeque::new(),
            piece_is_next: false,
            walks,
            finishing,
            inside_frame: false,
        }
    }

    /// The reader, to look at it.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Ready as soon as the journal has something to say: not inside a part, whose rest goes first, also where
    /// the journal is gone.
    pub fn poll_log(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.is_inside_part() {
            true => Poll::Pending,
            false => self.reader.poll_readable(context),
        }
    }

    /// Whether items are still to be sent.
    pub fn is_full_sync(&self) -> bool {
        self.finishing
    }

    /// A part is being asked for from our shard `walk`. To be called before the question leaves, so
    /// that the journal's head of this moment is a lower bound of the part's label.
    pub fn ask(&mut self, walk: u16) {
        self.asked.push((walk, self.reader.log().head()));
        self.set_limit();
    }

    /// A part of `walk` arrived, read as of `read_at`; `items` are those of this flow, if any, and
    /// `boundaries` are empty when the walk paused. Answers whether the part brought something to send:
    /// a walk that waits for an open key brings nothing.
    pub fn arrived(
        &mut self,
        walk: u16,
        read_at: Option<Lsn>,
        items: Option<CutGroup>,
        boundaries: &[u64],
        done: bool,
    ) -> bool {
        let place = self.asked.iter().position(|(asked, _)| *asked == walk);
        let (_, bound) = self.asked.remove(place.expect("only parts that were asked for arrive"));
        // The boundaries are as of the reading too: a SWAPDB before it must go out before them.
        let label =
            items.as_ref().map(|group| group.label).max(read_at).unwrap_or(bound).max(bound);
        let (mut messages, mut large) = (Vec::new(), Vec::new());
        if let Some(group) = items.as_ref().filter(|group| !group.items.is_empty()) {
            put_items(&mut messages, &group.items.to_wire(None), ITEMS_BYTES);
        }
        for item in items.into_iter().flat_map(|group| group.large) {
            put_items(&mut messages, &item.begin(), ITEMS_BYTES);
            large.push(item);
        }
        if self.is_news(walk, boundaries) {
            let mut passed = vec![u64::from(walk)];
            passed.extend_from_slice(boundaries);
            wire::put_numbers(&mut messages, Kind::Passed, &passed);
        }
        let brings = done || !messages.is_empty();
        if !messages.is_empty() {
            self.parts.push(Part { label, messages, large });
        }
        if done {
            self.walks.retain(|open| *open != walk);
        }
        self.set_limit();
        brings
    }

    /// Whether a walk has come further than was told.
    fn is_news(&mut self, walk: u16, boundaries: &[u64]) -> bool {
        if boundaries.is_empty() {
            return false;
        }
        match self.told.iter_mut().find(|(known, _)| *known == walk) {
            Some((_, told)) if told == boundaries => return false,
            Some((_, told)) => *told = boundaries.to_vec(),
            None => self.told.push((walk, boundaries.to_vec())),
        }
        true
    }

    /// Whether the journal holds what was not sent yet: a writer that waits at its limit has to be told
    /// when the limit moves.
    pub fn has_log(&self) -> bool {
        self.reader.lsn() < self.reader.log().head()
    }

    /// Whether pieces of large items wait to be sent.
    pub fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    fn set_limit(&mut self) {
        let asked = self.asked.iter().map(|(_, bound)| *bound);
        let limit = asked.chain(self.parts.iter().map(|part| part.label)).min();
        // Inside a part the journal stands, and whoever waits is not told that there is something to read.
        let limit = if self.is_inside_part() { Some(self.reader.lsn()) } else { limit };
        self.reader.set_limit(limit);
    }

    /// What is to be sent next; at most about `max` bytes.
    pub fn next(&mut self, max: usize) -> Step {
        self.next_within(max, PIECE_BYTES)
    }

    /// What is to be sent next; at most about `max` bytes, and at most about `items` of items. With 0 they
    /// wait, and the journal goes on as far as it may without them.
    pub fn next_within(&mut self, max: usize, items: usize) -> Step {
        let items = items.min(PIECE_BYTES);
        if !self.inside_frame {
            if self.has_due_part() {
                return if items > 0 { self.part(items) } else { self.log(max, 0) };
            }
            if self.piece_is_next && self.has_pieces() && items > 0 {
                return self.piece(items);
            }
            let is_all_sent = self.parts.is_empty() && self.pieces.is_empty();
            if self.finishing && self.walks.is_empty() && is_all_sent {
                self.finishing = false;
                let mut done = Vec::new();
                wire::put_numbers(&mut done, Kind::CutDone, &[]);
                return Step::Messages(done);
            }
        }
        self.log(max, items)
    }

    fn log(&mut self, max: usize, items: usize) -> Step {
        if self.is_inside_part() {
            return Step::Wait;
        }
        let before = self.reader.lsn();
        match self.reader.next(max.min(wire::PAYLOAD_MAX)) {
            Read::Bytes(span) => {
                // A piece that does not move the LSN ends inside its frame.
                self.inside_frame = span.lsn_after() == before;
                self.piece_is_next = true;
                Step::Log(span)
            }
            Read::Empty if self.has_pieces() && !self.inside_frame && items > 0 => {
                self.piece(items)
            }
            Read::Empty => Step::Wait,
            Read::Gone(gone) => Step::Gone(gone),
        }
    }

    /// The next piece of the large item that began first.
    fn piece(&mut self, most: usize) -> Step {
        self.piece_is_next = false;
        let Some(first) = self.pieces.front_mut() else { return Step::Wait };
        let records = first.next(most);
        if first.is_over() {
            self.pieces.pop_front();
        }
        let mut messages = Vec::with_capacity(records.len() + wire::HEADER);
        put_items(&mut messages, &records, wire::PAYLOAD_MAX);
        Step::Messages(messages)
    }

    fn is_inside_part(&self) -> bool {
        self.sending.1 < self.sending.0.len()
    }

    /// Whether a part is being sent, or the journal has come to the label of one.
    fn has_due_part(&self) -> bool {
        let here = self.reader.lsn();
        self.is_inside_part() || self.parts.iter().any(|part| part.label <= here)
    }

    /// Whole messages of the part that is due, at least one and about `most` bytes.
    fn part(&mut self, most: usize) -> Step {
        if !self.is_inside_part() {
            self.sending = (self.due_part().unwrap_or_default(), 0);
        }
        let (messages, at) = &mut self.sending;
        let start = *at;
        while *at < messages.len() && (*at == start || *at - start < most) {
            *at += wire::whole(&messages[*at..]).expect("what was put is whole messages");
        }
        let slice = match start == 0 && *at == messages.len() {
            true => std::mem::take(&mut self.sending).0,
            false => messages[start..*at].to_vec(),
        };
        self.set_limit();
        Step::Messages(slice)
    }

    /// A part whose label the journal has come to.
    fn due_part(&mut self) -> Option<Vec<u8>> {
        let here = self.reader.lsn();
        let place = self.parts.iter().position(|part| part.label <= here)?;
        let part = self.parts.remove(place);
        self.pieces.extend(part.large);
        self.set_limit();
        Some(part.messages)
    }
}

/// Puts records of items into messages of at most so many bytes.
fn put_items(messages: &mut Vec<u8>, records: &[u8], most: usize) {
    for piece in records.chunks(most) {
        wire::put_bytes(messages, Kind::Items, piece);
    }
}
