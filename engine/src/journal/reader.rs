//! One reader of a log, on whatever executor it likes.
//!
//! ```text
//!   next(max)   [frame][frame][frame]          as many whole frames as there are and fit: one Span
//!               [begin of a frame                a frame longer than max comes in pieces; the LSN
//!                ... its large value ...          moves only with the last of them
//!                end of it]
//! ```
//!
//! A [`Span`] is the very bytes that the shard wrote, or the very value that a record refers to; it
//! keeps its chunk or value alive. The reader itself pins at most one chunk, the one it stands in, and
//! the values of the frame that it is in the middle of, which it finishes while it makes progress; so it does
//! with all frames of a value that comes in pieces, of which the writer of a relay hands it the chunks.
//! It never holds up the writer; if the log was trimmed past it, it ends with [`Read::Gone`].

use std::{
    collections::VecDeque,
    ops::Deref,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    chunk::{Boundary, Chunk, Forgotten, Large},
    frame::measure,
    gone::{Gone, GoneReason},
    handle::LogHandle,
    hold::Seat,
    publish::{Edge, SleeperId},
    whole::Together,
};
use crate::rt::ForeignWaker;
use crate::types::Lsn;

/// What a reader got.
#[derive(Debug)]
pub enum Read {
    /// Bytes to be sent on.
    Bytes(Span),
    /// Nothing has been published beyond the reader. Register, then sleep.
    Empty,
    /// The reader has come to its end.
    Gone(Gone),
}

/// Bytes of a log, shared with it.
#[derive(Clone)]
pub struct Span {
    source: Source,
    start: usize,
    end: usize,
    lsn_after: Lsn,
    bytes_after: u64,
}

#[derive(Clone)]
enum Source {
    Chunk(Arc<Chunk>),
    Payload(Together),
}

impl Span {
    /// The reader's position when this has been read: the end of the last whole frame.
    pub fn lsn_after(&self) -> Lsn {
        self.lsn_after
    }

    /// All bytes of the log up to the end of this, comparable with [`LogHandle::total_bytes`].
    pub fn bytes_after(&self) -> u64 {
        self.bytes_after
    }
}

impl Deref for Span {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.source {
            Source::Chunk(chunk) => chunk.published(self.start as u32, self.end as u32),
            Source::Payload(value) => value.bytes(self.start..self.end),
        }
    }
}

impl AsRef<[u8]> for Span {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Span({} bytes, then lsn {})", self.len(), self.lsn_after)
    }
}

/// Reads a log from a position on. Ends when it is dropped.
pub struct Reader {
    log: LogHandle,
    id: SleeperId,
    /// How the writer's thread wakes the task that waits here.
    sleeper: Option<ForeignWaker>,
    /// The chunk it stands in; none before it has entered the next one.
    chunk: Option<Arc<Chunk>>,
    /// The next byte of the chunk.
    offset: u32,
    /// The next large payload of the chunk, and how much of it has been handed out.
    large: usize,
    large_done: usize,
    /// The end of the frame of which a piece has been handed out.
    frame_end: Option<Boundary>,
    /// The end of the frames that were appended together, of which something has been handed out.
    group_end: Option<Boundary>,
    /// The large payloads of those frames which are still to be handed out.
    group_large: VecDeque<Large>,
    lsn: u64,
    bytes: u64,
    /// What the writer sees of it.
    seat: Arc<Seat>,
    /// Nothing beyond this LSN is handed out.
    limit: u64,
}

impl LogHandle {
    /// A reader of everything after `lsn`, which must be the end of a frame (or the beginning).
    pub fn reader_at(&self, lsn: Lsn) -> Result<Reader, Gone> {
        Reader::at(self.clone(), self.0.new_sleeper(), lsn)
    }
}

impl Reader {
    fn at(log: LogHandle, id: SleeperId, lsn: Lsn) -> Result<Reader, Gone> {
        let shared = Arc::clone(&log.0);
        // The head before the chunks: a record that it counts stands in a chunk by then.
        let head = shared.head.lsn();
        if lsn.0 > head {
            return Err(shared.gone(GoneReason::Ahead));
        }
        let bytes = shared.head.bytes();
        let mut reader = Reader {
            log,
            id,
            sleeper: None,
            chunk: None,
            offset: 0,
            large: 0,
            large_done: 0,
            frame_end: None,
            group_end: None,
            group_large: VecDeque::new(),
            lsn: lsn.0,
            bytes,
            seat: shared.seat(lsn.0, bytes),
            limit: u64::MAX,
        };
        let found = shared.chunk_after(lsn.0).filter(|_| lsn.0 >= shared.first());
        let Some(chunk) = found else {
            // At the head of a log that holds nothing there is nothing to enter yet.
            return if lsn.0 == head { Ok(reader) } else { Err(shared.gone(GoneReason::Trimmed)) };
        };
        match reader.seek(&chunk) {
            Ok(true) => {
                reader.chunk = Some(chunk);
                Ok(reader)
            }
            Ok(false) => Err(shared.gone(GoneReason::InsideFrame)),
            Err(Forgotten) => Err(shared.gone(GoneReason::Trimmed)),
        }
    }

    /// Goes to where `lsn` is in `chunk`; false if it is not the end of a frame.
    fn seek(&mut self, chunk: &Chunk) -> Result<bool, Forgotten> {
        let Some(records) = self.lsn.checked_sub(chunk.base) else { return Ok(false) };
        let edge = chunk.edge();
        let mut at = Boundary { offset: 0, records: 0 };
        if records == u64::from(edge.records) {
            at = edge.into();
        }
        let mut large = 0;
        while u64::from(at.records) < records && at.offset < edge.offset {
            let next = chunk.large(large)?.filter(|large| large.frame_start.offset < edge.offset);
            let plain_end = next.as_ref().map_or(edge.into(), |large| large.frame_start);
            at = match next {
                // Large payloads of one frame follow each other: the second is passed here too.
                Some(next) if at.offset >= plain_end.offset => {
                    large += 1;
                    next.frame_end
                }
                _ if records >= u64::from(plain_end.records) => plain_end,
                _ => {
                    let frames = chunk.published(at.offset, plain_end.offset);
                    let Some((length, counted)) = measure(frames) else { return Ok(false) };
                    let (length, counted) = (length as u32, counted as u32);
                    Boundary { offset: at.offset + length, records: at.records + counted }
                }
            };
        }
        let (large, large_bytes) = chunk.large_before(at.offset)?;
        self.large = large;
        self.offset = at.offset;
        self.bytes = chunk.base_bytes + u64::from(at.offset) + large_bytes;
        Ok(u64::from(at.records) == records)
    }

    /// The end of the last frame that was handed out whole.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.lsn)
    }

    /// All bytes of the log up to here, comparable with [`LogHandle::total_bytes`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands out nothing beyond `limit`, the end of a frame, until it is moved: what stands behind it
    /// has to be merged with something else first. `None` takes the limit away.
    pub fn set_limit(&mut self, limit: Option<Lsn>) {
        self.limit = limit.map_or(u64::MAX, |limit| limit.0);
    }

    /// The log that is read.
    pub fn log(&self) -> &LogHandle {
        &self.log
    }

    /// Whether the log was trimmed past the reader. A flow that waits for its socket asks this from
    /// time to time: nothing else tells it.
    pub fn is_gone(&self) -> bool {
        let end = match (&self.chunk, self.group_end.or(self.frame_end)) {
            (Some(chunk), Some(end)) => chunk.base + u64::from(end.records),
            _ => self.lsn,
        };
        (end < self.log.0.first() && !self.seat.is_pinned(end)) || self.seat.is_lost(self.lsn)
    }

    /// The next bytes, at most `max_bytes` of them (and at least one).
    ///
    /// Cheapest with a `max_bytes` of at least [`super::CHUNK_BYTES`]: with less, the frames have to
    /// be looked at one by one to find an end among them.
    pub fn next(&mut self, max_bytes: usize) -> Read {
        loop {
            if self.is_gone() {
                return self.gone();
            }
            if self.frame_end.is_none() && self.lsn >= self.limit {
                return Read::Empty;
            }
            let Some(chunk) = self.chunk.clone() else {
                match self.enter() {
                    Ok(true) => continue,
                    Ok(false) => return Read::Empty,
                    Err(Forgotten) => return self.gone(),
                }
            };
            let edge = chunk.edge();
            if self.offset < edge.offset || self.frame_end.is_some() {
                return match self.take(chunk, edge, max_bytes.max(1)) {
                    Ok(span) => {
                        self.seat.moved(self.lsn, self.bytes);
                        Read::Bytes(span)
                    }
                    Err(Forgotten) => self.gone(),
                };
            }
            if !edge.sealed {
                return Read::Empty;
            }
            self.chunk = None;
        }
    }

    fn gone(&mut self) -> Read {
        self.chunk = None;
        Read::Gone(self.log.0.gone(GoneReason::Trimmed))
    }

    /// Enters the chunk that begins at the reader's position; false if there is none yet.
    fn enter(&mut self) -> Result<bool, Forgotten> {
        // The head before the chunks, as in `at`.
        let head = self.log.0.head.lsn();
        let found = self.log.0.chunk_after(self.lsn);
        let next = found.clone().filter(|chunk| chunk.base == self.lsn);
        match next.or_else(|| self.seat.pinned(self.lsn)).or(found) {
            // It has taken the place of those that were there before.
            Some(chunk) if chunk.base < self.lsn && self.lsn < head => {
                self.group_end = None;
                self.group_large.clear();
                if !self.seek(&chunk)? || self.offset >= chunk.edge().offset {
                    return Err(Forgotten);
                }
                self.chunk = Some(chunk);
                Ok(true)
            }
            Some(chunk) if chunk.base == self.lsn => {
                self.offset = 0;
                self.large = 0;
                self.group_end = None;
                self.group_large.clear();
                self.bytes = chunk.base_bytes;
                self.chunk = Some(chunk);
                Ok(true)
            }
            _ if self.lsn == head => Ok(false),
            _ => Err(Forgotten),
        }
    }

    fn take(&mut self, chunk: Arc<Chunk>, edge: Edge, max: usize) -> Result<Span, Forgotten> {
        if self.group_end.is_some_and(|end| self.offset >= end.offset && self.frame_end.is_none()) {
            self.group_end = None;
        }
        if self.frame_end.is_none() {
            let (next, plain_end) = self.next_large(&chunk, edge)?;
            if let Some(whole) = self.whole_frames(&chunk, plain_end, max)? {
                self.lsn = chunk.base + u64::from(whole.records);
                return Ok(self.span_to(chunk, whole.offset));
            }
            if let (None, Some(next)) = (self.frame_end, next) {
                self.frame_end = Some(next.frame_end);
            }
        }
        let Some(frame_end) = self.frame_end else { return Err(Forgotten) };
        match self.group_large.front().filter(|large| large.frame_end == frame_end).cloned() {
            Some(large) if large.at == self.offset => {
                Ok(self.take_large(&chunk, large, frame_end, max))
            }
            Some(large) => {
                let end = self.capped(large.at, max);
                Ok(self.span_to(chunk, end))
            }
            None => {
                let end = self.capped(frame_end.offset, max);
                if end == frame_end.offset {
                    self.leave_frame(&chunk, frame_end);
                }
                Ok(self.span_to(chunk, end))
            }
        }
    }

    /// The next large payload, if one of a frame that has been published is left, and where the frames without
    /// one end before it. Whoever comes to frames that were appended together holds what they refer to from
    /// then on.
    fn next_large(
        &mut self,
        chunk: &Chunk,
        edge: Edge,
    ) -> Result<(Option<Large>, Boundary), Forgotten> {
        if self.group_end.is_none() {
            let next = chunk.large(self.large)?;
            let Some(next) = next.filter(|large| large.frame_start.offset < edge.offset) else {
                return Ok((None, edge.into()));
            };
            if self.offset < next.group_start.offset {
                let start = next.group_start;
                return Ok((Some(next), start));
            }
            self.group_large = chunk.large_of(self.large, next.group_end)?;
            self.group_end = Some(next.group_end);
        }
        let next = self.group_large.front().cloned();
        let group_end = self.group_end.unwrap_or(edge.into());
        let plain_end = next.as_ref().map_or(group_end, |large| large.frame_start);
        Ok((next, plain_end))
    }

    /// The furthest end of a frame that lies before `plain_end` and within `max` bytes. If not even
    /// one frame fits, its end becomes `frame_end`.
    fn whole_frames(
        &mut self,
        chunk: &Chunk,
        plain_end: Boundary,
        max: usize,
    ) -> Result<Option<Boundary>, Forgotten> {
        if self.offset >= plain_end.offset {
            return Ok(None);
        }
        let within = chunk.base + u64::from(plain_end.records) <= self.limit;
        if within && (plain_end.offset - self.offset) as usize <= max {
            return Ok(Some(plain_end));
        }
        let frames = chunk.published(self.offset, plain_end.offset);
        let (mut length, mut records) = (0usize, (self.lsn - chunk.base) as u32);
        loop {
            let Some((bytes, counted)) = measure(&frames[length..]) else { return Err(Forgotten) };
            let end = Boundary {
                offset: self.offset + (length + bytes) as u32,
                records: records + counted as u32,
            };
            let beyond = chunk.base + u64::from(end.records) > self.limit;
            if length + bytes > max || beyond {
                if length > 0 {
                    return Ok(Some(Boundary { offset: self.offset + length as u32, records }));
                }
                self.frame_end = Some(end);
                return Ok(None);
            }
            (length, records) = (length + bytes, end.records);
        }
    }

    fn capped(&self, end: u32, max: usize) -> u32 {
        let room = u32::try_from(max).unwrap_or(u32::MAX);
        end.min(self.offset.saturating_add(room))
    }

    fn leave_frame(&mut self, chunk: &Chunk, frame_end: Boundary) {
        self.lsn = chunk.base + u64::from(frame_end.records);
        self.frame_end = None;
    }

    fn span_to(&mut self, chunk: Arc<Chunk>, end: u32) -> Span {
        let (start, end) = (self.offset as usize, end as usize);
        self.offset = end as u32;
        self.bytes += (end - start) as u64;
        let source = Source::Chunk(chunk);
        Span { source, start, end, lsn_after: Lsn(self.lsn), bytes_after: self.bytes }
    }

    fn take_large(&mut self, chunk: &Chunk, large: Large, frame_end: Boundary, max: usize) -> Span {
        let start = self.large_done;
        let (value, at, length) = large.payload.together(start, max);
        let end = start + length;
        self.large_done = end;
        self.bytes += (end - start) as u64;
        if end == large.payload.length {
            self.large += 1;
            self.large_done = 0;
            self.group_large.pop_front();
            let is_last = self.group_large.front().is_none_or(|next| next.frame_end != frame_end);
            if self.offset == frame_end.offset && is_last {
                self.leave_frame(chunk, frame_end);
            }
        }
        let (source, end) = (Source::Payload(value), at + (end - start));
        Span { source, start: at, end, lsn_after: Lsn(self.lsn), bytes_after: self.bytes }
    }

    /// Registers to be woken at the next publication; true if there is something to read already
    /// (or the reader is gone), and sleeping would be wrong. The writer uses and drops `waker` on its
    /// own thread: an executor's task gives one of a [`ForeignWaker`].
    pub fn register(&self, waker: &Waker) -> bool {
        self.log.0.bell.register(self.id, waker, || self.is_readable())
    }

    /// Ready as soon as [`Reader::next`] has something to say.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return Poll::Ready(());
        }
        let waker = ForeignWaker::set(&mut self.sleeper, context.waker()).waker();
        if self.register(&waker) {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn is_readable(&self) -> bool {
        (self.log.0.head.lsn() > self.lsn && self.lsn < self.limit) || self.is_gone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.0.bell.forget(self.id);
        self.log.0.leave(&self.seat);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader(after lsn {} of {:?})", self.lsn, self.log)
    }
}
