//! Arguments that came in pieces, and are kept so.
//!
//! Whoever can do with pieces takes them as they are ([`Args::value`](super::Args::value)). Others get the
//! bytes together: that is a copy of all of them, made once for a request, at once.

use crate::value::Rope;
use std::sync::OnceLock;

/// A long argument.
#[derive(Clone, Debug)]
pub struct LongArg {
    pieces: Rope,
    together: OnceLock<Box<[u8]>>,
}

impl From<Rope> for LongArg {
    fn from(pieces: Rope) -> LongArg {
        LongArg { pieces, together: OnceLock::new() }
    }
}

impl LongArg {
    /// The argument as it came.
    pub(super) fn pieces(&self) -> &Rope {
        &self.pieces
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether it has none, which no long argument has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of its bytes.
    pub(super) fn together(&self) -> &[u8] {
        let copy = || self.pieces.borrow().to_vec().into_boxed_slice();
        self.pieces.borrow().together().unwrap_or_else(|| self.together.get_or_init(copy))
    }

    /// Bytes held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.pieces.borrow().heap_bytes() + self.together.get().map_or(0, |bytes| bytes.len())
    }
}
