//! The arguments of one request, borrowed from the buffer that it was read into.
//!
//! A long argument may have been taken out of there while it came: its span then says which of those it is,
//! and who has taken it out knows the rest.

use std::ops::{Index, Range};

/// Where one argument stands, in bytes from the beginning of its request.
///
/// Two `u32` suffice because a request is bounded by `Limits::request_bytes`, and by
/// [`Span::STANDING_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// How many bytes.
    pub length: u32,
}

impl Span {
    /// The bytes of a request that can stand in one buffer; from here on a start is the number of an argument
    /// that does not.
    pub const STANDING_MAX: usize = (u32::MAX - (1 << 20)) as usize;

    /// An argument that stands elsewhere: number `index` of those.
    pub fn aside(index: usize, length: usize) -> Span {
        Span { start: (Span::STANDING_MAX + index) as u32, length: length as u32 }
    }

    /// Which of those that stand elsewhere it is, if it does.
    pub fn aside_index(self) -> Option<usize> {
        (self.start as usize).checked_sub(Span::STANDING_MAX)
    }

    /// The span as a range of indexes.
    #[inline]
    pub fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments that stand at `spans` of `bytes`. Every span must lie within `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
    }

    /// How many arguments, with the command's name.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no argument at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The argument at `index`. Panics beyond `len()`, as indexing does: whoever calls has checked
    /// the arity; and where it stands elsewhere.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        &self.bytes[self.spans[index].range()]
    }

    /// The same, unless it stands elsewhere.
    #[inline]
    pub fn standing(&self, index: usize) -> Option<&'a [u8]> {
        // No buffer reaches so far that what stands elsewhere would be found in it.
        self.bytes.get(self.spans[index].range())
    }

    /// The arguments from `index` on; none if there are fewer.
    #[inline]
    pub fn tail(&self, index: usize) -> Args<'a> {
        Args { bytes: self.bytes, spans: self.spans.get(index..).unwrap_or(&[]) }
    }

    /// The arguments in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.range()])
    }

    /// The bytes that the spans point into.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The spans, for whoever keeps the bytes and wants the arguments back later.
    #[inline]
    pub fn spans(&self) -> &'a [Span] {
        self.spans
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.get(index)
    }
}
