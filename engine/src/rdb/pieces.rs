//! Values of several parts: written, and put together again, a piece at a time.
//!
//! ```text
//!   DUMP     object ─► Writing ─► bytes ... bytes
//!   RESTORE  Decoder ─► part, part ... ─► Building ─► object
//! ```

use super::dump::{PACKED_MAX, write_length, write_text};
use super::parts::Part;
use crate::value::{NewValue, Rope, RopeRef, Value};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// For whom a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Recipient {
    /// One who takes all that there is of it.
    #[default]
    Newest,
    /// A Redis 6.2: what it does not know of a stream is left out.
    Redis62,
    /// A Valkey 9, whose fields of hashes with a time have another form than Redis's.
    Valkey9,
}

/// A value that is being written.
pub trait Writing: Send {
    /// Writes some more, a few microseconds' worth; whether that was the last.
    fn more(&mut self, out: &mut Vec<u8>) -> bool;
}

/// A value that is being put together.
pub trait Building: Send {
    /// Adds a part; whether it is new, where a value has each once. Whether else they go together is checked
    /// elsewhere.
    fn add(&mut self, part: &Part<'_>) -> bool;

    /// All of it.
    fn end(&mut self) -> NewValue<'static>;
}

/// Bytes that are written in one piece, each element counting as [`ELEMENT`] more: some 20 us, or 100 where
/// they are packed.
const PIECE: usize = 16 * 1024;
const ELEMENT: usize = 128;
/// Bytes of a long string in one piece: they are only copied.
const COPIED: usize = 64 * 1024;

/// Writes elements one after the other, up to the end of a piece; a long one goes on from piece to piece.
#[derive(Default)]
pub(super) struct Pen {
    /// What comes before all else.
    left: VecDeque<Left>,
    /// What the piece may still take.
    room: usize,
}

enum Left {
    Bytes(Vec<u8>),
    Rope(Rope, Range<usize>),
    Held(Arc<Vec<u8>>, Range<usize>),
}

impl Pen {
    /// Begins a piece, with what the last one has left; whether there is room for more.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) -> bool {
        self.room = PIECE;
        let mut copied = 0;
        while let Some(left) = self.left.pop_front() {
            if copied >= COPIED {
                self.left.push_front(left);
                return false;
            }
            let (now, later) = left.cut(COPIED - copied);
            copied += now.len();
            now.write(out);
            if let Some(later) = later {
                self.left.push_front(later);
                return false;
            }
        }
        self.room = self.room.saturating_sub(copied);
        self.room > 0
    }

    /// Whether the piece may have one more element.
    pub(super) fn has_room(&self) -> bool {
        self.room > 0 && self.left.is_empty()
    }

    /// Whether nothing is left for another piece.
    pub(super) fn is_clear(&self) -> bool {
        self.left.is_empty()
    }

    /// A string, as an integer if it is one.
    pub(super) fn text(&mut self, value: Value<'_>, out: &mut Vec<u8>) {
        match value {
            Value::Rope(rope) if rope.len() > PACKED_MAX => self.rope(rope, 0..rope.len(), out),
            value => {
                self.room = self.room.saturating_sub(value.len() + ELEMENT);
                write_text(value, self.place(out));
            }
        }
    }

    /// A long string.
    pub(super) fn rope(&mut self, rope: RopeRef<'_>, range: Range<usize>, out: &mut Vec<u8>) {
        write_length(range.len(), self.place(out));
        self.left.push_back(Left::Rope(rope.hold(), range));
    }

    /// Bytes as they are.
    pub(super) fn held(&mut self, bytes: &Arc<Vec<u8>>, range: Range<usize>) {
        self.left.push_back(Left::Held(bytes.clone(), range));
    }

    /// Where bytes go that come next.
    pub(super) fn place<'a>(&'a mut self, out: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
        if self.left.is_empty() {
            return out;
        }
        if !matches!(self.left.back(), Some(Left::Bytes(_))) {
            self.left.push_back(Left::Bytes(Vec::new()));
        }
        match self.left.back_mut() {
            Some(Left::Bytes(bytes)) => bytes,
            _ => out,
        }
    }
}

impl Left {
    fn len(&self) -> usize {
        match self {
            Left::Bytes(bytes) => bytes.len(),
            Left::Rope(_, range) | Left::Held(_, range) => range.len(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Left::Bytes(bytes) => out.extend_from_slice(bytes),
            Left::Rope(rope, range) => {
                let stretches = rope.borrow().stretches(range.clone());
                stretches.for_each(|stretch| out.extend_from_slice(stretch));
            }
            Left::Held(bytes, range) => {
                out.extend_from_slice(bytes.get(range.clone()).unwrap_or_default());
            }
        }
    }

    /// So many bytes of a long string, and the rest; what is short comes whole.
    fn cut(self, most: usize) -> (Left, Option<Left>) {
        let parts = |range: Range<usize>| {
            let end = range.end.min(range.start + most);
            (range.start..end, end..range.end)
        };
        match self {
            Left::Rope(rope, range) if range.len() > most => {
                let (now, later) = parts(range);
                (Left::Rope(rope.clone(), now), Some(Left::Rope(rope, later)))
            }
            Left::Held(bytes, range) if range.len() > most => {
                let (now, later) = parts(range);
                (Left::Held(bytes.clone(), now), Some(Left::Held(bytes, later)))
            }
            left => (left, None),
        }
    }
}
