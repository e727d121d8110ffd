//! From which length on a value is told in pieces, and how long these are.
//!
//! ```text
//!   log   [begins k] [part] [part] ... [part] [ ... ends k ... ]      each in brackets is a frame
//!          changes nothing, for nobody to see   the effect, in its transaction's frame
//! ```
//!
//! No frame is as long as a value: a receiver holds no more than a piece before it knows that it is one, and
//! the pieces of others' values find their way between. What bounds a value is memory alone.

use super::lengths::{ELEMENT_PIECE_BYTES, PIECE_BYTES_PER_KEY_BYTE, piece_bytes};
use super::record::{Deadline, Effect, Payload, Record};
use super::whole::{Stretch, Whole};
use crate::types::DbIndex;
use crate::value::{Item, Rope};
use std::sync::Arc;

/// However slow a link, a piece has so many bytes.
const LEAST_PIECE_BYTES: usize = 64;

/// The longest stretch of a value that is written by its type and stands in one rope.
const SLAB_BYTES: usize = 1 << 30;

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
        let most = match self.kind {
            0 => most,
            _ => most.min(ELEMENT_PIECE_BYTES.max(self.key.len() * PIECE_BYTES_PER_KEY_BYTE)),
        };
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
