//! One piece of a log: bytes that are only ever appended to, read while they are written.
//!
//! ```text
//!            base lsn                         published edge      written     capacity
//!               v                                   v                v           v
//!   bytes       [frame][frame][fra*me][frame][frame][frame][fra      ......free..]
//!                                 |                 only the writer touches these
//!   large                        [*] -> (offset, payload, the frame's start and end)
//! ```
//!
//! Only the [`Tail`] writes, and only at and after the published edge; readers read only before it.
//! So a reader's bytes never change under it, and it may hold them for as long as it holds the chunk.
//!
//! Large payloads do not stand among the bytes: `large` says where they belong. They are behind a
//! lock that is touched for a payload above 64 KiB and at trimming, and held for a push or a clone.
//! A chunk does not know its neighbours: no reader can keep the next one alive.

use std::{cell::UnsafeCell, collections::VecDeque, sync::Arc};

use super::{
    publish::{Edge, Mark},
    sync::{AtomicBool, Mutex, Ordering, lock},
    whole::Stretch,
};

/// A position at the end of a frame, counted from the start of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Boundary {
    pub(super) offset: u32,
    pub(super) records: u32,
}

impl From<Edge> for Boundary {
    fn from(edge: Edge) -> Boundary {
        Boundary { offset: edge.offset, records: edge.records }
    }
}

/// A payload that stands in the chunk as a reference.
#[derive(Clone, Debug)]
pub(super) struct Large {
    /// Where its bytes belong: before the byte at this offset.
    pub(super) at: u32,
    pub(super) payload: Stretch,
    /// The frame that it is a part of.
    pub(super) frame_start: Boundary,
    pub(super) frame_end: Boundary,
    /// All frames that were appended with it, the pieces of values among them: whoever has begun with them gets
    /// to their end.
    pub(super) group_start: Boundary,
    pub(super) group_end: Boundary,
}

/// The chunk was trimmed and its large payloads let go.
#[derive(Debug)]
pub(super) struct Forgotten;

pub(super) struct Chunk {
    /// The LSN before the first record.
    pub(super) base: u64,
    /// All bytes of the log before the first one, large payloads included.
    pub(super) base_bytes: u64,
    bytes: Box<[UnsafeCell<u8>]>,
    mark: Mark,
    has_large: AtomicBool,
    /// Ascending; nothing once the chunk has been trimmed.
    large: Mutex<Option<Vec<Large>>>,
}

// SAFETY: `bytes` is the only part that is not Sync by itself. Bytes before the published edge are
// never written again, and `published` hands out no others; bytes from the edge on are touched only
// by the one `Tail` of the chunk, through `&mut`. The edge is stored with release after the bytes
// were written and loaded with acquire before they are read.
unsafe impl Sync for Chunk {}

impl Chunk {
    fn new(capacity: usize, base: u64, base_bytes: u64) -> Chunk {
        assert!(capacity <= Edge::OFFSET_MAX as usize, "chunk of {capacity} bytes");
        Chunk {
            base,
            base_bytes,
            bytes: zeroed_cells(capacity),
            mark: Mark::new(),
            has_large: AtomicBool::new(false),
            large: Mutex::new(Some(Vec::new())),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn edge(&self) -> Edge {
        self.mark.read()
    }

    /// The bytes from `start` to `end`, which must have been published.
    pub(super) fn published(&self, start: u32, end: u32) -> &[u8] {
        let edge = self.mark.read().offset;
        assert!(start <= end && end <= edge, "bytes {start}..{end} of {edge} published");
        let base: *const u8 = UnsafeCell::raw_get(self.bytes.as_ptr());
        // SAFETY: the range lies within the allocation (the edge never exceeds it), was written
        // before the edge was published, which the acquire load above has seen, and is never
        // written again.
        unsafe { std::slice::from_raw_parts(base.add(start as usize), (end - start) as usize) }
    }

    /// The large payload number `index`, if there is one by now (published or not).
    pub(super) fn large(&self, index: usize) -> Result<Option<Large>, Forgotten> {
        if !self.has_large.load(Ordering::Relaxed) {
            // Set before the edge of the payload's frame was published.
            return Ok(None);
        }
        match &*lock(&self.large) {
            Some(large) => Ok(large.get(index).cloned()),
            None => Err(Forgotten),
        }
    }

    /// How many large payloads belong to frames that end at or before `offset`, and their bytes.
    pub(super) fn large_before(&self, offset: u32) -> Result<(usize, u64), Forgotten> {
        if !self.has_large.load(Ordering::Relaxed) {
            return Ok((0, 0));
        }
        match &*lock(&self.large) {
            Some(large) => {
                let before = large.partition_point(|large| large.frame_end.offset <= offset);
                let bytes = large[..before].iter().map(|large| large.payload.length as u64).sum();
                Ok((before, bytes))
            }
            None => Err(Forgotten),
        }
    }

    /// The large payloads of the frames that end together at `group_end`, from number `index` on.
    pub(super) fn large_of(
        &self,
        index: usize,
        group_end: Boundary,
    ) -> Result<VecDeque<Large>, Forgotten> {
        let large = lock(&self.large);
        let large = large.as_ref().ok_or(Forgotten)?;
        let rest = large.iter().skip(index);
        Ok(rest.take_while(|large| large.group_end == group_end).cloned().collect())
    }

    /// Looks at all large payloads.
    pub(super) fn with_large<T>(&self, look: impl FnOnce(&[Large]) -> T) -> T {
        look(lock(&self.large).as_deref().unwrap_or_default())
    }

    /// Lets the large payloads go, also while a frozen reader still holds the chunk.
    pub(super) fn forget_large(&self) -> Vec<Large> {
        lock(&self.large).take().unwrap_or_default()
    }
}

/// Zeros that several may look at. Fresh pages of the kernel's are not written to here.
fn zeroed_cells(length: usize) -> Box<[UnsafeCell<u8>]> {
    let zeros = Box::into_raw(vec![0u8; length].into_boxed_slice());
    // SAFETY: UnsafeCell<u8> has the layout of u8, and the box is ours alone.
    unsafe { Box::from_raw(zeros as *mut [UnsafeCell<u8>]) }
}

/// The writing end of a chunk. There is one per chunk, and it is not cloned.
pub(super) struct Tail {
    chunk: Arc<Chunk>,
    written: usize,
    records: u32,
    /// No frame is written any more.
    closed: bool,
}

impl Tail {
    pub(super) fn open(capacity: usize, base: u64, base_bytes: u64) -> Tail {
        let chunk = Arc::new(Chunk::new(capacity, base, base_bytes));
        Tail { chunk, written: 0, records: 0, closed: false }
    }

    pub(super) fn chunk(&self) -> &Arc<Chunk> {
        &self.chunk
    }

    #[inline]
    pub(super) fn room(&self) -> usize {
        if self.closed { 0 } else { self.chunk.bytes.len() - self.written }
    }

    /// Takes no further frame.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The bytes that have not been written yet.
    #[inline]
    pub(super) fn free(&mut self) -> &mut [u8] {
        let base = UnsafeCell::raw_get(self.chunk.bytes.as_ptr());
        // SAFETY: `written` is at most the capacity, and the edge is never beyond `written`: no
        // reader looks at these bytes. `&mut self` of the chunk's only tail makes them ours alone.
        unsafe { std::slice::from_raw_parts_mut(base.add(self.written), self.room()) }
    }

    /// Counts a frame that was written into the free bytes.
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize, records: u64) {
        assert!(bytes <= self.room(), "{bytes} bytes into {}", self.room());
        self.written += bytes;
        self.records += records as u32;
    }

    /// The end of what was written, published or not.
    pub(super) fn end(&self) -> Boundary {
        Boundary { offset: self.written as u32, records: self.records }
    }

    /// Puts references to the large payloads of the frame that was written last.
    pub(super) fn add_large(&mut self, added: impl Iterator<Item = Large>) {
        if let Some(large) = &mut *lock(&self.chunk.large) {
            large.extend(added);
        }
        self.chunk.has_large.store(true, Ordering::Relaxed);
    }

    /// What [`super::publish::Head::publish`] takes.
    pub(super) fn edge(&self, sealed: bool) -> (&Mark, Edge) {
        let Boundary { offset, records } = self.end();
        (&self.chunk.mark, Edge { offset, records, sealed })
    }
}
