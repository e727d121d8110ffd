//! The log of one shard: a chain of chunks that the shard appends to and others read.
//!
//! ```text
//!   first()                                                            head()
//!     |  chunk (sealed)        chunk (sealed)        chunk (open)        |
//!     v  +--------------+      +--------------+      +-----------+-----+ v
//!        | frames       |      | frames       |      | frames    :free |
//!        +--------------+      +--------------+      +-----------+-----+
//!          trimmed next          ^ Reader A                      ^ Reader B, asleep
//! ```
//!
//! Promises: LSNs count every entry, whoever reads or not (J3); appending waits for nobody; what is
//! held is bounded by [`Bounds`] and one large frame, never by readers (J5; [`LogWriter::trim`]).
//! The log knows neither shards nor histories, and it does not look into the frames of an upstream
//! that it relays (J7).

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::{sync::Arc, time::Duration};

use super::{
    chunk::{Boundary, Chunk, Large, Tail},
    frame::{FRAME_HEAD_BYTES_MAX, FrameBuilder, Transaction},
    handle::{LogHandle, NO_TIME, NOT_INSIDE, Shared},
    hold::{self, Charges, Watch},
    publish::{Bell, Head},
    record::{Record, Room, Sink},
    sync::{AtomicU64, Mutex, Ordering, lock},
};
use crate::types::{Lsn, Millis};

/// The size of a chunk in a log that is in use: some thousand records, so that opening the next one
/// is rare, and what one reader pins is small.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// The size of the first chunk; each next one is twice as large up to [`CHUNK_BYTES`]. A node of
/// 1024 shards that has seen one write each holds 4 MiB of log.
const CHUNK_BYTES_FIRST: usize = 4 * 1024;

/// A log is made of at least this many chunks when it is full, so that trimming one does not end
/// readers that are far from its bound.
const CHUNKS_IN_FULL_LOG: u64 = 8;

/// A chunk that refers to so many bytes takes no more, however large the log may be; a frame that weighs
/// so much stands alone.
const WEIGHT_MAX: u64 = 1024 * 1024;

/// The end of a value that has not come yet.
pub(super) const OPEN: u64 = u64::MAX;

/// Where the frames of a relayed value in pieces are: what is promised of one large frame holds of all of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) from: u64,
    pub(super) end: u64,
}

impl Extent {
    pub(super) fn is_open(self) -> bool {
        self.end == OPEN
    }
}

/// How much of a log is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Chunks at their full size, and what they alone keep alive of the large payloads that they refer to.
    pub bytes: u64,
    /// How old the newest record of the oldest chunk may be; any age if none.
    pub age: Option<Duration>,
}

/// A chunk that is held, and what only the writer knows of it.
pub(super) struct Held {
    pub(super) chunk: Arc<Chunk>,
    /// The chunk at its full size and its references.
    pub(super) own_bytes: u64,
    /// Where the relayed value began of which pieces stand in it, if any do.
    pub(super) value_from: Option<u64>,
    /// The same and all values that it refers to.
    pub(super) weight: u64,
    /// It holds one frame, which weighs [`LogWriter::share`] or more.
    pub(super) is_alone: bool,
    /// When its first and its last record were published; none before.
    pub(super) opened: Option<Millis>,
    pub(super) last: Option<Millis>,
}

/// The writing end of a log: the shard's, or on a replica that of what it relays.
pub struct LogWriter {
    pub(super) shared: Arc<Shared>,
    /// The open chunk; none when nothing is held.
    tail: Option<Tail>,
    /// All that is held; the last one is the tail's.
    pub(super) held: VecDeque<Held>,
    /// Of that the chunks and references, without values.
    pub(super) own_bytes: u64,
    held_bytes: u64,
    pub(super) lsn: u64,
    pub(super) bytes: u64,
    published: u64,
    /// Something was published since readers were last woken.
    unrung: bool,
    pub(super) keeping: bool,
    bounds: Bounds,
    /// More than so much held: time to trim.
    trim_above: u64,
    pub(super) charges: Charges,
    watch: Watch,
    /// The chunk of the newest frame that has one alone, by its base.
    newest_alone: Option<u64>,
    /// The newest relayed value in pieces.
    pub(super) value: Extent,
    chunk_bytes_next: usize,
    chunk_bytes_max: usize,
    frames_lost: u64,
    scratch: FrameBuilder,
}

impl LogWriter {
    /// The log of a history that begins now.
    pub fn new() -> LogWriter {
        LogWriter::starting_at(Lsn(0))
    }

    /// An empty log whose next record is the one after `lsn`: a relay's, in its upstream's
    /// coordinates.
    pub fn starting_at(lsn: Lsn) -> LogWriter {
        let shared = Shared {
            head: Head::new(lsn.0),
            first: AtomicU64::new(lsn.0),
            held_bytes: AtomicU64::new(0),
            oldest: AtomicU64::new(NO_TIME),
            outside: AtomicU64::new(NOT_INSIDE),
            chunks: Mutex::new(VecDeque::new()),
            bell: Bell::new(),
            sleepers: AtomicU64::new(0),
            seats: Mutex::new(Vec::new()),
        };
        LogWriter {
            shared: Arc::new(shared),
            tail: None,
            held: VecDeque::new(),
            own_bytes: 0,
            held_bytes: 0,
            lsn: lsn.0,
            bytes: 0,
            published: lsn.0,
            unrung: false,
            keeping: true,
            bounds: Bounds { bytes: u64::MAX, age: None },
            trim_above: u64::MAX,
            charges: Charges::default(),
            watch: Watch::default(),
            newest_alone: None,
            value: Extent::default(),
            chunk_bytes_next: CHUNK_BYTES_FIRST,
            chunk_bytes_max: CHUNK_BYTES,
            frames_lost: 0,
            scratch: FrameBuilder::new(),
        }
    }

    /// The log for readers.
    pub fn handle(&self) -> LogHandle {
        LogHandle(Arc::clone(&self.shared))
    }

    /// The LSN of the last record that was appended, published or not.
    pub fn lsn(&self) -> Lsn {
        Lsn(self.lsn)
    }

    /// How many frames could not be carried (see [`FrameBuilder::fits`]).
    pub fn frames_lost(&self) -> u64 {
        self.frames_lost
    }

    /// What is held, as [`LogHandle::bytes`].
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Appends a frame of one record. Returns its LSN.
    #[inline]
    pub fn append_one(&mut self, record: &Record<'_>) -> Lsn {
        if let (Some(bound), Some(tail)) = (record.inline_bound(), &mut self.tail)
            && bound <= tail.room()
        {
            let mut room = Room::new(tail.free());
            let large = record.encode(&mut room);
            debug_assert!(large.is_none(), "an inline record left its value out");
            let written = room.used();
            return self.appended(written, 1);
        }
        self.append_one_slowly(record)
    }

    /// Without an open chunk, without room in it, or with a payload that is large.
    #[cold]
    fn append_one_slowly(&mut self, record: &Record<'_>) -> Lsn {
        if !self.keeping {
            return self.count(1);
        }
        if let Some(bound) = record.inline_bound() {
            self.open_chunk(bound, false);
            return self.append_one(record);
        }
        let mut frame = std::mem::take(&mut self.scratch);
        frame.push(record);
        let lsn = self.append_frame(&frame, None);
        frame.clear();
        self.scratch = frame;
        lsn
    }

    /// Appends what a task or a transaction made, as one frame. Returns the LSN of its end.
    ///
    /// Without a transaction an empty frame is nothing at all; a part of a transaction counts one
    /// LSN even if it is empty. A frame that does not fit the wire ([`FrameBuilder::fits`]) is
    /// counted but not kept, nor is anything before it: readers end and start anew.
    ///
    /// # Panics
    /// If there is a global effect and no transaction.
    pub fn append_frame(
        &mut self,
        frame: &FrameBuilder,
        transaction: Option<Transaction<'_>>,
    ) -> Lsn {
        assert!(transaction.is_some() || !frame.has_global(), "a global effect is of all shards");
        let records = frame.entry_count().max(u64::from(transaction.is_some()));
        if records == 0 {
            return self.lsn();
        }
        if !self.keeping {
            return self.count(records);
        }
        if !frame.fits() {
            return self.lose(records);
        }
        let ahead = frame.ahead().bytes.len();
        let start_bytes = FRAME_HEAD_BYTES_MAX + frame.body().len() + ahead;
        let weight = start_bytes as u64 + frame.large_bytes();
        let group_start = self.reserve(start_bytes, weight).end();
        let mut large = if ahead > 0 { self.append_ahead(frame) } else { Vec::new() };
        let start = self.end();
        let mut room = Room::new(self.free());
        frame.encode_head(transaction, &mut room);
        let head = room.used();
        Sink::put(&mut room, frame.body());
        let written = room.used();
        let lsn = self.appended(written, records);
        let (frame_end, body) = (self.end(), start.offset + head as u32);
        large.extend(frame.large().iter().map(|(at, payload)| Large {
            at: body + *at as u32,
            payload: payload.clone(),
            frame_start: start,
            frame_end,
            group_start,
            group_end: frame_end,
        }));
        if !large.is_empty() {
            self.append_large(large, group_start);
        }
        self.close_if_full();
        lsn
    }

    /// Appends what goes ahead of a frame, for which there is room in the open chunk; answers with what is
    /// referred to.
    fn append_ahead(&mut self, frame: &FrameBuilder) -> Vec<Large> {
        let mut large = Vec::new();
        for (bytes, part) in frame.ahead().iter() {
            let start = self.end();
            let mut room = Room::new(self.free());
            Sink::put(&mut room, bytes);
            self.appended(bytes.len(), 1);
            if let Some(part) = part {
                let frame_end = self.end();
                large.push(Large {
                    at: frame_end.offset,
                    payload: part.clone(),
                    frame_start: start,
                    frame_end,
                    group_start: start,
                    group_end: frame_end,
                });
            }
        }
        large
    }

    /// The open chunk's end, and its free room; there is one.
    pub(super) fn end(&self) -> Boundary {
        self.tail.as_ref().expect("an open chunk").end()
    }

    pub(super) fn free(&mut self) -> &mut [u8] {
        self.tail.as_mut().expect("an open chunk").free()
    }

    #[inline]
    pub(super) fn appended(&mut self, written: usize, records: u64) -> Lsn {
        if let Some(tail) = &mut self.tail {
            tail.advance(written, records);
        }
        self.bytes += written as u64;
        self.lsn += records;
        Lsn(self.lsn)
    }

    /// Keeps what the frames since `group_start` refer to.
    fn append_large(&mut self, mut large: Vec<Large>, group_start: Boundary) {
        let group_end = self.end();
        for one in &mut large {
            (one.group_start, one.group_end) = (group_start, group_end);
        }
        self.bytes += large.iter().map(|one| one.payload.length as u64).sum::<u64>();
        let weighs = weighs();
        if weighs {
            large.iter_mut().for_each(|one| self.charges.add(&mut one.payload.of));
        }
        let Some(tail) = &mut self.tail else { return };
        tail.add_large(large.iter().cloned());
        if !weighs {
            return;
        }
        // However often a frame refers to a value (COPY again and again in one transaction), it is one.
        let mut seen = HashSet::new();
        let values = large.iter().map(|one| &one.payload.of);
        let distinct = values.filter(|value| seen.insert(value.address()));
        let weight: u64 = distinct.map(|value| value.len() as u64).sum();
        let references = large.len() as u64 * hold::REFERENCE_BYTES;
        if let Some(held) = self.held.back_mut() {
            held.own_bytes += references;
            held.weight += references + weight;
        }
        self.set_own(self.own_bytes + references);
    }

    /// A chunk takes at most so much by all that it refers to, one frame excepted: trimming it does not
    /// take a large part of the log away.
    fn share(&self) -> u64 {
        (self.bounds.bytes / CHUNKS_IN_FULL_LOG).clamp(CHUNK_BYTES_FIRST as u64, WEIGHT_MAX)
    }

    /// The next chunk has as little room as the first of a log.
    pub(super) fn begin_small(&mut self) {
        self.chunk_bytes_next = CHUNK_BYTES_FIRST;
    }

    /// A chunk that has its share takes no further frame.
    pub(super) fn close_if_full(&mut self) {
        let share = self.share();
        if let (Some(held), Some(tail)) = (self.held.back(), &mut self.tail)
            && (held.is_alone || held.weight - held.chunk.capacity() as u64 >= share)
        {
            if !held.is_alone {
                // Full of references, and little else: the next one need not have more room.
                let used = tail.end().offset as usize;
                self.chunk_bytes_next = (2 * used).clamp(CHUNK_BYTES_FIRST, self.chunk_bytes_next);
            }
            tail.close();
        }
    }

    /// Chunks and references are so many bytes, or another value is kept.
    pub(super) fn set_own(&mut self, bytes: u64) {
        self.own_bytes = bytes;
        let held = bytes + self.charges.kept();
        hold::note_held(self.held_bytes, held);
        self.held_bytes = held;
        self.shared.held_bytes.store(held, Ordering::Relaxed);
    }

    /// Counts records that nobody keeps.
    pub(super) fn count(&mut self, records: u64) -> Lsn {
        #[cfg(feature = "planted-bugs")]
        if super::planted::is_on(&super::planted::NO_COUNT_WITHOUT_READERS) {
            return Lsn(self.lsn);
        }
        self.lsn += records;
        Lsn(self.lsn)
    }

    /// Counts a frame that no decoder would accept, and lets everything before it go.
    #[cold]
    fn lose(&mut self, records: u64) -> Lsn {
        self.frames_lost += 1;
        self.drop_all();
        self.lsn += records;
        self.flush(false);
        Lsn(self.lsn)
    }

    /// The open chunk with at least `bytes` of room for a frame of `weight`, which stands alone if it
    /// takes a large part of the log: what is before and after it is trimmed without it.
    pub(super) fn reserve(&mut self, bytes: usize, weight: u64) -> &mut Tail {
        let is_alone = weight >= self.share();
        let is_fit = |tail: &Tail| tail.room() >= bytes && !is_alone;
        if !self.tail.as_ref().is_some_and(is_fit) {
            self.open_chunk(bytes, is_alone);
        }
        // `open_chunk` has just put it there.
        self.tail.as_mut().expect("an open chunk")
    }

    /// Seals the open chunk and opens one with room for a frame of `bytes`.
    #[cold]
    pub(super) fn open_chunk(&mut self, bytes: usize, is_alone: bool) {
        if self.tail.is_some() {
            self.flush(true);
        }
        let capacity = match is_alone {
            true => bytes,
            false => self.chunk_bytes_next.min(self.chunk_bytes_max).max(bytes),
        };
        if is_alone {
            self.newest_alone = Some(self.lsn);
        } else {
            self.chunk_bytes_next = (self.chunk_bytes_next * 2).min(CHUNK_BYTES);
        }
        let tail = Tail::open(capacity, self.lsn, self.bytes);
        let chunk = Arc::clone(tail.chunk());
        let own_bytes = chunk.capacity() as u64;
        self.held.push_back(Held {
            chunk: Arc::clone(&chunk),
            own_bytes,
            value_from: self.value.is_open().then_some(self.value.from),
            weight: own_bytes,
            is_alone,
            opened: None,
            last: None,
        });
        self.set_own(self.own_bytes + own_bytes);
        lock(&self.shared.chunks).push_back(chunk);
        self.tail = Some(tail);
    }

    /// Makes everything that was appended visible, and wakes readers that sleep. Once per task.
    pub fn publish(&mut self, now: Millis) {
        if self.lsn == self.published && !self.unrung {
            return;
        }
        self.stamp(now);
        self.flush(false);
        self.unrung = false;
        self.shared.bell.ring();
        if self.held_bytes > self.trim_above {
            self.keep_bounds(now);
        }
    }

    /// Dates the chunks that this task wrote to: the last one, and those that it filled.
    fn stamp(&mut self, now: Millis) {
        let last = self.held.len().wrapping_sub(1);
        for (index, held) in self.held.iter_mut().enumerate().rev() {
            if index != last && held.last.is_some() {
                break;
            }
            held.opened.get_or_insert(now);
            held.last = Some(now);
        }
        self.tell_oldest();
    }

    fn tell_oldest(&self) {
        let oldest = self.held.front().and_then(|held| held.opened);
        self.shared.oldest.store(oldest.map_or(NO_TIME, |time| time.0), Ordering::Relaxed);
    }

    /// Publishes without waking anybody; with `seal` the open chunk is closed.
    pub(super) fn flush(&mut self, seal: bool) {
        let undated = self.unrung || self.lsn != self.published;
        let edge = self.tail.as_ref().map(|tail| tail.edge(seal));
        self.shared.head.publish(edge, self.lsn, self.bytes);
        if self.held.is_empty() {
            self.shared.first.store(self.lsn, Ordering::Release);
        }
        self.published = self.lsn;
        self.unrung = true;
        if seal {
            self.tail = None;
            if let Some(held) = self.held.back_mut().filter(|_| undated) {
                // Its last records are of this task: the next `publish` dates them.
                held.last = None;
            }
        }
    }

    /// Lets the oldest chunks go until the rest is within `bounds`, which hold from now on: whenever
    /// something is published that exceeds them, the same is done again.
    ///
    /// Whoever reads what goes is [`super::Read::Gone`], with two exceptions, so that one large frame
    /// (an eighth of the bound or more, or 1 MiB) does not end readers that are well:
    /// - Beyond its bound the log holds **one** large frame, the newest, while a reader that has not come
    ///   to its end makes progress (and for ten seconds, for one that is about to come back).
    /// - A reader in the middle of a frame finishes it, while it makes progress.
    ///
    /// Frames of up to half of the bound are never held beyond it. So a log holds at most its bound, or
    /// its bound and one frame that is larger than half of it, and each reader at most one frame; a reader that
    /// makes no progress for ten seconds makes it hold nothing beyond the bound.
    ///
    /// To be called from time to time after [`LogWriter::publish`]. Costs a few comparisons when nothing
    /// is to be done.
    pub fn trim(&mut self, bounds: &Bounds, now: Millis) {
        self.bounds = *bounds;
        self.chunk_bytes_max =
            usize::try_from(self.share()).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        self.keep_bounds(now);
    }

    /// After a task: a value that was the data, and is it no more (its key was deleted or overwritten), is the
    /// log's from now on, and goes at once if nobody wants it. Held any longer it would count as log, and a
    /// write be refused, or a key be evicted, for memory that nobody wants.
    #[inline]
    pub fn settle(&mut self, now: Millis) {
        let before = self.charges.kept();
        self.charges.look_at_left();
        if self.charges.kept() > before {
            self.set_own(self.own_bytes);
            if self.held_bytes > self.bounds.bytes {
                self.keep_bounds(now);
            } else if self.is_generous(0) {
                self.watch.look(&lock(&self.shared.seats), self.published, now);
                self.drop_unneeded(now);
            }
        }
    }

    /// Whether it holds more than its bound counted with all values, and of them some that are the data no
    /// more; what is spared apart.
    fn is_generous(&self, spared: u64) -> bool {
        self.charges.kept() > (self.bounds.bytes / CHUNKS_IN_FULL_LOG).saturating_add(spared)
            && self.own_bytes + self.charges.whole() > self.bounds.bytes.saturating_add(spared)
    }

    /// What it holds because it cost nothing, and what costs something now, goes where no reader is to come to
    /// it: else a cache that is full would give a part of its memory to what it has evicted.
    fn drop_unneeded(&mut self, now: Millis) {
        while let Some(next) = self.held.get(1)
            && !self.watch.is_needed(next.chunk.base)
            && self.is_generous(self.spared(now))
        {
            self.drop_oldest(1);
        }
    }

    /// The chunks of the newest large frame, or of the newest value in pieces, if they are still there.
    fn newest_large(&self) -> Option<Range<usize>> {
        let Extent { from, end } = self.value;
        let place = |lsn: u64| self.held.partition_point(|held| held.chunk.base < lsn);
        match self.newest_alone {
            // A piece is large itself.
            Some(base) if base >= end => {
                let index = place(base);
                let is_there = self.held.get(index).is_some_and(|held| held.is_alone);
                is_there.then_some(index..index + 1)
            }
            _ => {
                let range = place(from)..place(end);
                let is_value = |held: &Held| held.value_from == Some(from);
                let is_there = self.held.get(range.start).is_some_and(is_value);
                is_there.then_some(range)
            }
        }
    }

    fn keep_bounds(&mut self, now: Millis) {
        self.charges.look_at_left();
        self.charges.look_around();
        self.set_own(self.own_bytes);
        self.watch.look(&lock(&self.shared.seats), self.published, now);
        while let Some(oldest) = self.held.front() {
            let is_old = oldest.last.zip(self.bounds.age).is_some_and(|(last, age)| {
                u128::from(now.0.saturating_sub(last.0)) > age.as_millis()
            });
            let is_within = self.held_bytes <= self.bounds.bytes
                || self.held_bytes <= self.bounds.bytes.saturating_add(self.spared(now));
            if !is_old && is_within {
                break;
            }
            self.drop_oldest(1);
        }
        self.drop_unneeded(now);
        self.watch.give_up(self.shared.first());
        // What was published a moment ago is not for nobody, however small the bound.
        let least = 2 * CHUNK_BYTES_FIRST as u64;
        self.trim_above = self.bounds.bytes.max(self.held_bytes).max(least);
    }

    /// What the newest large frame takes, if it is held beyond the bound. Not one that leaves half of the
    /// bound to all others: it may be large, but nobody who is well falls out because of it.
    fn spared(&self, now: Millis) -> u64 {
        let frame = self.newest_frame(now).unwrap_or_default();
        if frame > self.bounds.bytes / 2 { frame } else { 0 }
    }

    /// What is charged for the newest large frame, if somebody wants it.
    fn newest_frame(&self, now: Millis) -> Option<u64> {
        let range = self.newest_large()?;
        let next = self.held.get(range.end);
        let end = next.map_or(self.lsn, |next| next.chunk.base);
        let is_new = next.is_none()
            && self.held[range.end - 1].last.is_none_or(|last| {
                u128::from(now.0.saturating_sub(last.0)) < hold::STALLED_AFTER.as_millis()
            });
        // Of a relay's chunks none refers to anything, and a frame's own is one.
        let bytes = |held: &Held| {
            held.own_bytes + held.chunk.with_large(|large| self.charges.kept_of(large))
        };
        let kept = self.held.range(range).map(bytes).sum();
        (is_new || self.watch.is_needed(end)).then_some(kept)
    }

    /// Whether records are kept (there are readers, or were until lately) or only counted.
    ///
    /// Counting only, the log holds nothing: `first() == head()`. Kept again, it starts at its head.
    pub fn set_keeping(&mut self, keeping: bool) {
        self.flush(false);
        if !keeping {
            self.drop_all();
        }
        self.keeping = keeping;
    }

    fn drop_all(&mut self) {
        if !self.held.is_empty() {
            self.drop_oldest(self.held.len());
        }
    }

    fn drop_oldest(&mut self, count: usize) {
        if count == self.held.len() {
            self.flush(true);
            // The next log is as small as a new one.
            self.begin_small();
        }
        let dropped: Vec<Held> = self.held.drain(..count).collect();
        let first = self.held.front().map_or(self.lsn, |held| held.chunk.base);
        for (index, held) in dropped.iter().enumerate() {
            if let Some(from) = held.value_from {
                let end = dropped.get(index + 1).map_or(first, |next| next.chunk.base);
                self.watch.pin(&held.chunk, from, end);
            }
        }
        self.shared.first.store(first, Ordering::Release);
        lock(&self.shared.chunks).drain(..count);
        let mut own_bytes = self.own_bytes;
        for held in dropped {
            let values = held.chunk.forget_large();
            values.iter().for_each(|large| self.charges.remove(&large.payload.of));
            own_bytes -= held.own_bytes;
        }
        self.set_own(own_bytes);
        self.tell_oldest();
    }
}

/// Whether what a log refers to costs it something.
fn weighs() -> bool {
    #[cfg(feature = "planted-bugs")]
    return !super::planted::is_on(&super::planted::LARGE_VALUES_WEIGH_NOTHING);
    #[cfg(not(feature = "planted-bugs"))]
    true
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // Whoever reads it still must not wait for what never comes, nor keep it in memory.
        self.drop_all();
        self.shared.bell.ring();
    }
}

impl Default for LogWriter {
    fn default() -> LogWriter {
        LogWriter::new()
    }
}
