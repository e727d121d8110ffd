//! From which length on a value is told in pieces, and how long these are.
//!
//! ```text
//!   log   [begins k] [part] [part] ... [part] [ ... ends k ... ]      each in brackets is a frame
//!          changes nothing, for nobody to see   the effect, in its transaction's frame
//! ```
//!
//! No frame is as long as a value: a receiver holds no more than a piece before it knows that it is one, and
//! the pieces of others' values find their way between. What bounds a value is memory alone.

use super::record::{Payload, Stretch};
use crate::value::Rope;

/// Values longer than this are told in pieces. What is shorter crosses a link of 1 Gbit/s in 8 ms.
const PIECES_ABOVE: usize = 1024 * 1024;

/// The bytes of one piece: copied in some 20 us.
const PIECE_BYTES: usize = 256 * 1024;

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

/// How long the pieces of a value are under a key of so many bytes.
fn piece_bytes(key: usize) -> usize {
    let least = bounds::get().1;
    let of_key = if least < PIECE_BYTES { 0 } else { key.saturating_mul(PIECE_BYTES_PER_KEY_BYTE) };
    of_key.clamp(least, super::VALUE_BYTES_MAX)
}

/// The pieces of a value under a key of so many bytes, in order.
pub(super) fn pieces(value: &Payload<'_>, key: usize) -> Vec<Stretch> {
    let slabs: Vec<Rope> = match value {
        Payload::Shared(rope) => vec![rope.clone()],
        // As a type writes it: bytes of its own.
        _ => value.bytes().unwrap_or_default().chunks(SLAB_BYTES).map(Rope::of).collect(),
    };
    let each = piece_bytes(key);
    let of_slab = |slab: &Rope| {
        let length = slab.len();
        let part = |start| Stretch::part(slab, start..length.min(start + each));
        (0..length).step_by(each).map(part).collect::<Vec<_>>()
    };
    slabs.iter().flat_map(of_slab).collect()
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
