//! How long keys, values and the pieces of these are.

/// The longest key: Redis's limit of one bulk string (`proto-max-bulk-len`, 512 MiB).
pub const KEY_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The longest value: the same limit.
pub const VALUE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Values longer than this are told in pieces. What is shorter crosses a link of 1 Gbit/s in 8 ms.
const PIECES_ABOVE: usize = 1024 * 1024;

/// Items of a full sync longer than this go in pieces, so that the journal goes on meanwhile.
const ITEM_PIECES_ABOVE: usize = 256 * 1024;

/// The bytes of one piece: copied in some 20 us.
const PIECE_BYTES: usize = 256 * 1024;

/// The same of a collection on its way in a full sync, whose elements are found their places as they come: some
/// hundred of them, each of which takes up to two microseconds.
pub(super) const ELEMENT_PIECE_BYTES: usize = 8 * 1024;

/// Every piece names its key: of a long key the pieces are longer.
pub(super) const PIECE_BYTES_PER_KEY_BYTE: usize = 16;

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
    key.saturating_mul(PIECE_BYTES_PER_KEY_BYTE).clamp(PIECE_BYTES, VALUE_BYTES_MAX)
}

/// How long the pieces of a value are under a key of so many bytes.
pub(super) fn piece_bytes(key: usize) -> usize {
    let least = bounds::get().1;
    let of_key = if least < PIECE_BYTES { 0 } else { key.saturating_mul(PIECE_BYTES_PER_KEY_BYTE) };
    of_key.clamp(least, VALUE_BYTES_MAX)
}
