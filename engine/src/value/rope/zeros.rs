//! Full trees of zeros: each is made once in the life of the program and referred to as often as it is needed.

use super::super::chunk::{Chunk, FAN_OUT, LEAF_BYTES};
use std::sync::OnceLock;

/// Heights of full trees: one of height 3 has 16 GiB, and values are shorter than 4.
const HEIGHTS: usize = 3;

/// Bytes that are looked at together, so that looking through 64 KiB takes some 2 us; what is no zeros mostly
/// shows it in the first of them.
const STRIDE: usize = 64;

static FULL: [OnceLock<Chunk>; HEIGHTS] = [const { OnceLock::new() }; HEIGHTS];

/// The full tree of zeros of this height.
pub(super) fn full(height: u8) -> Chunk {
    match FULL.get(usize::from(height)) {
        Some(place) => place.get_or_init(|| make(height)).clone(),
        None => make(height),
    }
}

fn make(height: u8) -> Chunk {
    let Some(lower) = height.checked_sub(1) else {
        let mut leaf = Chunk::leaf(LEAF_BYTES);
        leaf.write_zeros_to(LEAF_BYTES);
        return leaf;
    };
    let mut node = Chunk::node(height, FAN_OUT);
    (0..FAN_OUT).for_each(|_| node.push(full(lower)));
    node
}

/// Whether there is nothing but zeros.
pub(super) fn are_all(bytes: &[u8]) -> bool {
    bytes.chunks(STRIDE).all(|stride| stride.iter().fold(0, |all, byte| all | byte) == 0)
}

/// A full leaf of zeros becomes the one that all share.
pub(super) fn share(leaf: &mut Chunk) {
    let bytes = leaf.borrow().leaf_bytes();
    if bytes.len() == LEAF_BYTES && are_all(bytes) {
        *leaf = full(0);
    }
}
