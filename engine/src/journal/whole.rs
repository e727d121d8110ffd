//! Large values that stand in the log as references: as bytes of what they are on the wire.
//!
//! ```text
//!   Stretch   [ ....######...... ]   a range of a value's bytes, which keeps all of it alive
//!   Whole     a string's rope, or an object, whose bytes its type makes when they are wanted
//! ```

use std::ops::Range;
use std::sync::Arc;

use crate::value::{Object, Rope};

/// A value whose bytes are made as they are read, at the most so many at once.
const MADE_BYTES: usize = 64 * 1024;

/// A large value, held as it was when it was told.
#[derive(Clone, Debug)]
pub(super) enum Whole {
    Rope(Rope),
    Object(Arc<Held>),
}

/// All of one log's references to an object share one of its references: so it is known whether anybody else
/// holds it.
#[derive(Debug)]
pub(super) struct Held(Arc<dyn Object>);

impl Whole {
    pub(super) fn of(object: Arc<dyn Object>) -> Whole {
        Whole::Object(Arc::new(Held(object)))
    }

    /// How many bytes it has on the wire.
    pub(super) fn len(&self) -> usize {
        match self {
            Whole::Rope(rope) => rope.len(),
            Whole::Object(held) => held.0.encoded_len(),
        }
    }

    /// What it takes in memory.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Whole::Rope(rope) => rope.len() as u64,
            Whole::Object(held) => held.0.heap_bytes() as u64,
        }
    }

    /// What tells it from all other values that there are now.
    pub(super) fn address(&self) -> usize {
        match self {
            Whole::Rope(rope) => rope.borrow().address(),
            Whole::Object(held) => match held.0.shared_as() {
                // Where it stands in the item's own block, each record made a copy of its root's place.
                Some((address, _)) if address > 0 => address,
                _ => Arc::as_ptr(&held.0).cast::<()>().addr(),
            },
        }
    }

    /// Whether it is the data as a whole: then it costs the log nothing. Of an object: whether anybody but the
    /// log holds it.
    pub(super) fn is_data(&self) -> bool {
        match self {
            Whole::Rope(rope) => rope.borrow().is_data(),
            Whole::Object(held) => {
                let is_shared = held.0.shared_as().is_some_and(|(_, holders)| holders > 1);
                is_shared || Arc::strong_count(&held.0) > 1
            }
        }
    }

    /// Whether an item tells what it gives up of it.
    pub(super) fn is_told_of(&self) -> bool {
        matches!(self, Whole::Rope(_))
    }

    /// Looks at a part of it from `at` on: what nobody else keeps alive, where the next part is, and how many
    /// blocks that took to see.
    pub(super) fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        match self {
            Whole::Rope(rope) => {
                let (kept, next, chunks) = rope.borrow().kept_from(at as usize);
                (kept as u64, (next < rope.len()).then_some(next as u64), chunks)
            }
            Whole::Object(held) => held.0.kept_from(at),
        }
    }

    /// Appends bytes of it.
    fn put(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Whole::Rope(rope) => {
                let stretches = rope.borrow().stretches(range);
                stretches.for_each(|stretch| out.extend_from_slice(stretch));
            }
            Whole::Object(held) => {
                let end = out.len() + range.len();
                held.0.encode_range(range, out);
                debug_assert_eq!(out.len(), end, "{:?} is longer or shorter than it says", held.0);
                // What is told must be as long as it was announced, whatever the type makes of it.
                out.resize(end, 0);
            }
        }
    }
}

/// Bytes of a value that lie together.
#[derive(Clone)]
pub(super) enum Together {
    /// A leaf of a long string, which keeps no more of it alive.
    Leaf(Rope),
    /// Made for who reads.
    Made(Arc<[u8]>),
}

impl Together {
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self {
            Together::Leaf(leaf) => &leaf.borrow().stretch(range.start)[..range.len()],
            Together::Made(bytes) => &bytes[range],
        }
    }
}

/// A range of the bytes of a large value.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub(super) of: Whole,
    pub(super) start: usize,
    pub(super) length: usize,
}

impl Stretch {
    /// All of it.
    pub(super) fn whole(of: Whole) -> Stretch {
        let length = of.len();
        Stretch { of, start: 0, length }
    }

    /// These bytes of it.
    pub(super) fn part(of: &Whole, range: Range<usize>) -> Stretch {
        Stretch { of: of.clone(), start: range.start, length: range.len() }
    }

    /// Its bytes in `range`, counted from its own beginning.
    pub(super) fn put(&self, range: Range<usize>, out: &mut Vec<u8>) {
        self.of.put(self.start + range.start..self.start + range.end, out);
    }

    /// At most `most` bytes from `from` on that lie together: what holds them, where they begin in it, and how
    /// many they are.
    pub(super) fn together(&self, from: usize, most: usize) -> (Together, usize, usize) {
        let most = most.min(self.length - from);
        match &self.of {
            Whole::Rope(rope) => {
                let (leaf, at) = rope.borrow().leaf_at(self.start + from);
                (Together::Leaf(leaf.hold()), at, (leaf.len() - at).min(most))
            }
            Whole::Object(_) => {
                let length = most.min(MADE_BYTES);
                let mut made = Vec::with_capacity(length);
                self.put(from..from + length, &mut made);
                (Together::Made(made.into()), 0, length)
            }
        }
    }

    /// Takes so many bytes off its front, as far as there are.
    pub(super) fn take(&mut self, most: usize) -> Stretch {
        let length = most.min(self.length);
        let taken = Stretch { of: self.of.clone(), start: self.start, length };
        (self.start, self.length) = (self.start + length, self.length - length);
        taken
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        self.put(0..self.length, &mut bytes);
        bytes
    }
}
