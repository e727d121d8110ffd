//! Long strings: trees of chunks with equal leaves, so that a place is found by division.
//!
//! ```text
//!   root, height 2     [ 0 | 1 | 2 ]            bytes  0..4 Mi, 4 Mi..8 Mi, ...
//!   height 1           [ 0 .. 63 ] [ 0 .. 63 ] [ 0 | 1 ]
//!   leaves             64 KiB each; the very last one may be shorter
//! ```
//!
//! All chunks but those at the right edge are full, and the root is no higher than it must be: two equal
//! strings have equal trees. A string that fits one leaf is that leaf.
//!
//! A clone is one reference, whatever the length. Writing copies the chunks on the way that somebody else
//! holds. Full leaves of zeros, which a write leaves before itself or which it brings, are one leaf of the
//! program ([`zeros`]): a string with few bytes far apart takes little here, and as little on a replica, which
//! is sent every zero.

mod zeros;

use super::chunk::{Chunk, ChunkRef, FAN_OUT, LEAF_BLOCK, LEAF_BYTES, own_bytes};
use std::fmt;
use std::ops::Range;

/// A string of any length above the few that lie in items; what a clone holds never changes.
#[derive(Clone)]
pub struct Rope(pub(super) Chunk);

/// A [`Rope`] that somebody else holds.
#[derive(Clone, Copy)]
pub struct RopeRef<'a>(pub(super) ChunkRef<'a>);

/// The most bytes of a tree.
const fn capacity(height: u8) -> usize {
    LEAF_BYTES * FAN_OUT.pow(height as u32)
}

fn height_of(length: usize) -> u8 {
    let mut height = 0;
    while length > capacity(height) {
        height += 1;
    }
    height
}

impl Rope {
    /// A copy of these bytes. They are fewer than 4 GiB (strings are bounded far below).
    pub fn of(bytes: &[u8]) -> Rope {
        Rope(build(height_of(bytes.len()), bytes))
    }

    /// The rope, borrowed.
    #[inline]
    pub fn borrow(&self) -> RopeRef<'_> {
        RopeRef(self.0.borrow())
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.borrow().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Overwrites the bytes from `offset` on, with zeros before them where the rope was shorter.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        if offset > self.len() {
            self.raise(offset);
            fill(&mut self.0, offset);
        }
        self.raise(offset + bytes.len());
        write(&mut self.0, offset, bytes);
    }

    /// Makes the tree as high as a string of `length` bytes needs it.
    fn raise(&mut self, length: usize) {
        while length > capacity(self.0.borrow().height()) {
            let higher = Chunk::node(self.0.borrow().height() + 1, 2);
            let mut lower = std::mem::replace(&mut self.0, higher);
            zeros::share(&mut lower);
            self.0.push(lower);
        }
    }
}

/// A tree of this height, no higher than the bytes need it.
fn build(height: u8, bytes: &[u8]) -> Chunk {
    if height == 0 {
        let mut leaf = Chunk::leaf(bytes.len());
        leaf.write(0, bytes);
        return leaf;
    }
    let each = capacity(height - 1);
    let mut node = Chunk::node(height, bytes.len().div_ceil(each));
    bytes.chunks(each).for_each(|part| node.push(build_part(height - 1, part)));
    node
}

/// The same for what stands in a node.
fn build_part(height: u8, bytes: &[u8]) -> Chunk {
    let is_zeros = height == 0 && bytes.len() == LEAF_BYTES && zeros::are_all(bytes);
    if is_zeros { zeros::full(0) } else { build(height, bytes) }
}

/// Overwrites the bytes of a tree that is long enough for `at` and high enough for what comes.
fn write(chunk: &mut Chunk, mut at: usize, mut bytes: &[u8]) {
    let height = chunk.borrow().height();
    if height == 0 {
        chunk.write(at, bytes);
        return;
    }
    let each = capacity(height - 1);
    while !bytes.is_empty() {
        let (index, within) = (at / each, at % each);
        let (part, rest) = bytes.split_at(bytes.len().min(each - within));
        if index == chunk.borrow().entries() {
            chunk.push(build_part(height - 1, part));
        } else if height == 1 {
            chunk.edit(index, |leaf| write_leaf(leaf, within, part));
        } else {
            chunk.edit(index, |entry| write(entry, within, part));
        }
        at += part.len();
        bytes = rest;
    }
}

/// Overwrites a part of a leaf in a node. Where that makes it full, or is all of it, it may be zeros; one that
/// was full is not looked through for a few bytes.
fn write_leaf(leaf: &mut Chunk, at: usize, bytes: &[u8]) {
    if bytes.len() == LEAF_BYTES {
        *leaf = build_part(0, bytes);
        return;
    }
    let grows = leaf.borrow().bytes() < LEAF_BYTES;
    leaf.write(at, bytes);
    if grows {
        zeros::share(leaf);
    }
}

/// Makes a tree that is high enough `length` bytes long, by zeros at its end.
fn fill(chunk: &mut Chunk, length: usize) {
    let height = chunk.borrow().height();
    if height == 0 {
        chunk.write_zeros_to(length);
        return;
    }
    let each = capacity(height - 1);
    if let Some(last) = chunk.borrow().entries().checked_sub(1) {
        let wanted = each.min(length - last * each);
        if chunk.borrow().entry(last).bytes() < wanted {
            chunk.edit(last, |entry| {
                fill(entry, wanted);
                zeros::share(entry);
            });
        }
    }
    while chunk.borrow().bytes() < length {
        let left = length - chunk.borrow().bytes();
        chunk.push(zeros_of(height - 1, left.min(each)));
    }
}

/// A tree of zeros.
fn zeros_of(height: u8, length: usize) -> Chunk {
    if length == capacity(height) {
        return zeros::full(height);
    }
    let mut tree = if height == 0 { Chunk::leaf(length) } else { Chunk::node(height, 2) };
    fill(&mut tree, length);
    tree
}

impl<'a> RopeRef<'a> {
    /// How many bytes it has.
    #[inline]
    pub fn len(self) -> usize {
        self.0.bytes()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// One more reference.
    pub fn hold(self) -> Rope {
        Rope(self.0.hold())
    }

    /// All bytes, if they lie together.
    #[inline]
    pub fn together(self) -> Option<&'a [u8]> {
        (self.0.height() == 0).then(|| self.0.leaf_bytes())
    }

    /// The bytes from `from` on that lie together: at least one, unless the rope ends there.
    pub fn stretch(self, from: usize) -> &'a [u8] {
        let (leaf, at) = self.leaf_at(from);
        leaf.0.leaf_bytes().get(at..).unwrap_or_default()
    }

    /// The leaf with the byte at `from`, and where in it that is. Who holds the leaf holds no more.
    pub fn leaf_at(self, from: usize) -> (RopeRef<'a>, usize) {
        let (mut chunk, mut at) = (self.0, from);
        while chunk.height() > 0 {
            let each = capacity(chunk.height() - 1);
            let index = (at / each).min(chunk.entries() - 1);
            (chunk, at) = (chunk.entry(index), at - index * each);
        }
        (RopeRef(chunk), at)
    }

    /// The bytes in `range`, as far as there are, piece by piece.
    pub fn stretches(self, range: Range<usize>) -> impl Iterator<Item = &'a [u8]> + Clone {
        let (mut at, end) = (range.start, range.end.min(self.len()));
        std::iter::from_fn(move || {
            let stretch = if at < end { self.stretch(at) } else { return None };
            let stretch = &stretch[..stretch.len().min(end - at)];
            at += stretch.len();
            Some(stretch)
        })
    }

    /// A copy of all bytes.
    pub fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.stretches(0..self.len()).for_each(|stretch| bytes.extend_from_slice(stretch));
        bytes
    }

    /// Bytes on the heap, whoever else holds them, and as if no two parts of it were one. Takes a look
    /// at the right edge.
    pub fn heap_bytes(self) -> usize {
        let (mut chunk, mut bytes) = (self.0, self.0.block_bytes());
        while let Some(last) = chunk.entries().checked_sub(1) {
            bytes += last * full_heap_bytes(chunk.height() - 1);
            chunk = chunk.entry(last);
            bytes += chunk.block_bytes();
        }
        bytes
    }

    /// Whether it is an item's value.
    pub fn is_data(self) -> bool {
        self.0.items() > 0
    }

    /// Looks at a part of the tree from the byte `at` on: how many of its bytes nobody holds but those who
    /// hold this as a whole, where the next part begins, and how many chunks that took to see (65 at most).
    pub fn kept_from(self, at: usize) -> (usize, usize, usize) {
        let (mut chunk, mut start) = (self.0, 0);
        loop {
            if chunk.height() <= 1 {
                let leaves = (0..chunk.entries()).map(|index| chunk.entry(index));
                let own = leaves.filter(|leaf| leaf.holders() == 1).map(ChunkRef::bytes).sum();
                return (own, start + chunk.bytes(), 1 + chunk.entries());
            }
            let each = capacity(chunk.height() - 1);
            let index = (at - start) / each;
            (chunk, start) = (chunk.entry(index), start + index * each);
            if chunk.holders() > 1 {
                return (0, start + chunk.bytes(), 1);
            }
        }
    }

    /// Bytes that are freed with whoever lets it go, as far as so many looks tell.
    pub(super) fn own_bytes(self, looks: &mut usize) -> usize {
        if self.holders() > 1 { 0 } else { own_bytes(self.0, looks) }
    }

    /// Bytes that nobody keeps but those who hold it outside of items, of which this is one: its part of them, as
    /// far as so many looks tell. Of a string that is one leaf nobody knows who the others are.
    pub fn kept_bytes(self, looks: &mut usize) -> usize {
        let holders = self.holders();
        if self.is_data() || *looks == 0 || (self.0.height() == 0 && holders > 1) {
            return 0;
        }
        *looks -= 1;
        own_bytes(self.0, looks) / holders.max(1)
    }

    /// How many hold it as a whole.
    pub fn holders(self) -> usize {
        self.0.holders()
    }

    /// What tells it from all other ropes that there are now; the same for all clones.
    pub fn address(self) -> usize {
        self.0.address()
    }
}

/// Bytes on the heap of a full tree.
fn full_heap_bytes(height: u8) -> usize {
    let leaves = FAN_OUT.pow(u32::from(height)) * LEAF_BLOCK;
    let node = LEAF_BLOCK - LEAF_BYTES + FAN_OUT * size_of::<Chunk>();
    leaves + (1..=height).map(|above| FAN_OUT.pow(u32::from(height - above)) * node).sum::<usize>()
}

impl PartialEq for RopeRef<'_> {
    fn eq(&self, other: &RopeRef<'_>) -> bool {
        let length = self.len();
        length == other.len() && self.stretches(0..length).eq(other.stretches(0..length))
    }
}

impl Eq for RopeRef<'_> {}

impl PartialEq for Rope {
    fn eq(&self, other: &Rope) -> bool {
        self.borrow() == other.borrow()
    }
}

impl Eq for Rope {}

impl fmt::Debug for RopeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rope({} bytes)", self.len())
    }
}

impl fmt::Debug for Rope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}

#[cfg(test)]
#[path = "rope_tests.rs"]
mod tests;
