//! From which length on a value is told in pieces, and how long these are.
//!
//! ```text
//!   log   [begins k] [part] [part] ... [part] [ ... ends k ... ]      each in brackets is a frame
//!          changes nothing, for nobody to see   the effect, in its transaction's frame
//! ```
//!
//! No frame is as long as a value: a receiver holds no more than a piece before it knows that it is one, and
//! the pieces of others' values find their way between. What bounds a value is memory alone.

use super::record::{Deadline, Effect, Payload, Record};
use super::whole::{Stretch, Whole};
use crate::types::DbIndex;
use crate::value::{Item, Rope};
use std::sync::Arc;

/// Values longer than this are told in pieces. What is shorter crosses a link of 1 Gbit/s in 8 ms.
const PIECES_ABOVE: usize = 1024 * 1024;

/// Items of a full sync longer than this go in pieces, so that the journal goes on meanwhile.
const ITEM_PIECES_ABOVE: usize = 256 * 1024;

/// The bytes of one piece: copied in some 20 us.
const PIECE_BYTES: usize = 256 * 1024;

/// However slow a link, a piece has so many bytes.
const LEAST_PIECE_BYTES: usize = 64;

/// Every piece names its key: of a long key the pieces are longer.
const PIECE_BYTES_PER_KEY_BYTE: usize = 16;

/// The longest stretch of a value that is written by its type and stands in one rope.
const SLAB_BYTES: usize = 1 << 30;

/// Other bounds, for tests.
#[cfg(feature = "planted-bugs")]
pub mod bounds {
    use super::{PIECE_BYTES, PIECES_ABOVE};
    use std::cell::Cell;

    thread_local! {
        static BOUNDS: Cell<(usize, usize)> = const { Cell::new((PIECES_ABOVE, PIECE_BYTES)) };
    }

    /// What this thread tells is in pieces of `piece` bytes where it is longer than `above`; with zeros as the
    /// program does it.
    pub fn set(above: usize, piece: usize) {
        let own = above == 0 || piece == 0;
        BOUNDS.set(if own { (PIECES_ABOVE, PIECE_BYTES) } else { (above, piece) });
    }

    pub(super) fn get() -> (usize, usize) {
        BOUNDS.get()
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod bounds {
    pub(super) const fn get() -> (usize, usize) {
        (super::PIECES_ABOVE, super::PIECE_BYTES)
    }
}

/// Whether a value of so many bytes is told in pieces.
#[inline]
pub(super) fn is_in_pieces(length: usize) -> bool {
    length > bounds::get().0
}

/// Whether an item of a full sync with so many bytes of value goes in pieces.
pub(crate) fn is_item_in_pieces(length: usize) -> bool {
    length > ITEM_PIECES_ABOVE.min(bounds::get().0)
}

/// The longest piece under a key of so many bytes that anybody makes.
pub(super) fn piece_bytes_max(key: usize) -> usize {
    key.saturating_mul(PIECE_BYTES_PER_KEY_BYTE).clamp(PIECE_BYTES, super::VALUE_BYTES_MAX)
}

/// How long the pieces of a value are under a key of so many bytes.
fn piece_bytes(key: usize) -> usize {
    let least = bounds::get().1;
    let of_key = if least < PIECE_BYTES { 0 } else { key.saturating_mul(PIECE_BYTES_PER_KEY_BYTE) };
    of_key.clamp(least, super::VALUE_BYTES_MAX)
}

/// The pieces of a value under a key of so many bytes, in order.
pub(super) fn pieces(value: &Payload<'_>, key: usize) -> Vec<Stretch> {
    let each = piece_bytes(key);
    let of_slab = |slab: &Whole| {
        let length = slab.len();
        let part = |start| Stretch::part(slab, start..length.min(start + each));
        (0..length).step_by(each).map(part).collect::<Vec<_>>()
    };
    slabs(value).iter().flat_map(of_slab).collect()
}

/// The bytes of a value in as few references as hold them.
fn slabs(value: &Payload<'_>) -> Vec<Whole> {
    match value {
        Payload::Shared(rope) => vec![Whole::Rope(rope.clone())],
        Payload::Object(object) => vec![Whole::of(Arc::clone(object))],
        _ => {
            // A type that writes it in one go: bytes of its own.
            let bytes = value.bytes().unwrap_or_default();
            bytes.chunks(SLAB_BYTES).map(|slab| Whole::Rope(Rope::of(slab))).collect()
        }
    }
}

/// An item of a full sync that goes in pieces: a reference to its value as of now. Its records are made as they
/// are sent, so that they may be as short as a slow link wants them.
pub struct ItemInPieces {
    db: DbIndex,
    key: Vec<u8>,
    kind: u8,
    deadline: Deadline,
    length: u64,
    /// What has not been told yet.
    left: std::collections::VecDeque<Stretch>,
    is_over: bool,
}

impl ItemInPieces {
    /// The item as it is in this database.
    pub fn of(db: DbIndex, item: &Item) -> ItemInPieces {
        let deadline = item.deadline().map_or(Deadline::None, Deadline::At);
        ItemInPieces::new(db, item.key(), &Payload::of(item), deadline)
    }

    /// A key that holds a value.
    pub fn new(db: DbIndex, key: &[u8], value: &Payload<'_>, deadline: Deadline) -> ItemInPieces {
        let left = slabs(value).into_iter().map(Stretch::whole).collect();
        let (kind, length) = (value.kind().unwrap_or_default(), value.length() as u64);
        ItemInPieces { db, key: key.to_vec(), kind, deadline, length, left, is_over: false }
    }

    /// How many bytes its value has.
    pub fn value_bytes(&self) -> u64 {
        self.length
    }

    /// The record that it begins with, as a frame.
    pub fn begin(&self) -> Vec<u8> {
        self.frame(Effect::PutBegin { kind: self.kind, length: self.length })
    }

    /// The next record behind that, as a frame, with about `most` bytes of the value; behind the last of
    /// them the end.
    pub fn next(&mut self, most: usize) -> Vec<u8> {
        let longest = piece_bytes(self.key.len());
        // At least as long as the key, which every piece names.
        let least = self.key.len().clamp(LEAST_PIECE_BYTES.min(longest), longest);
        let mut part = Vec::new();
        if let Some(first) = self.left.front_mut() {
            let taken = first.take(most.clamp(least, longest));
            taken.put(0..taken.length, &mut part);
            if first.length == 0 {
                self.left.pop_front();
            }
        }
        let mut records = Vec::new();
        if !part.is_empty() {
            records = self.frame(Effect::PutPart(Payload::Bytes(&part)));
        }
        if self.left.is_empty() {
            records.extend(self.frame(Effect::PutEnd { deadline: self.deadline }));
            self.is_over = true;
        }
        records
    }

    /// Whether its end has been told.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn frame(&self, effect: Effect<'_>) -> Vec<u8> {
        let mut frame = Vec::new();
        Record { db: self.db, key: &self.key, effect }.encode_whole(&mut frame);
        frame
    }
}

/// Bugs that can be planted.
#[derive(Clone, Copy)]
pub(super) enum Bug {
    /// The beginning is not told.
    NoBeginning,
    /// One part is not.
    LostPart,
    /// One part names another key.
    OtherKey,
}

#[cfg(feature = "planted-bugs")]
pub(super) fn is_planted(bug: Bug) -> bool {
    use super::planted;
    planted::is_on(match bug {
        Bug::NoBeginning => &planted::VALUES_END_WITHOUT_BEGINNING,
        Bug::LostPart => &planted::A_PART_IS_LOST,
        Bug::OtherKey => &planted::A_PART_NAMES_ANOTHER_KEY,
    })
}

#[cfg(not(feature = "planted-bugs"))]
pub(super) fn is_planted(_: Bug) -> bool {
    false
}
