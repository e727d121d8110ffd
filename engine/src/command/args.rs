//! A request's arguments: borrowed where they arrived, read one after the other.
//!
//! [`Args`] is a view (buffer and spans) with a position; it allocates nothing and copies nothing, long
//! arguments apart that are wanted together ([`LongArg`]).
//! [`OwnedArgs`] holds the same for requests that wait (MULTI's queue, a hop to another shard).

use super::Refusal;
use super::long::LongArg;
use crate::resp::{self, Span, number};
use crate::value::{NewValue, Rope, SharedValue};
use std::ops::Range;

/// Of requests without long arguments.
static NONE_LONG: Vec<LongArg> = Vec::new();

/// A view of a request: argument 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    request: resp::Args<'a>,
    /// What stands elsewhere. A thin reference, since nearly nobody has any.
    long: &'a Vec<LongArg>,
    at: usize,
}

impl<'a> Args<'a> {
    /// The arguments at `spans` in `buffer`; the cursor stands on the first one after the name.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args::of(resp::Args::new(buffer, spans))
    }

    /// The arguments of a parsed request.
    pub fn of(request: resp::Args<'a>) -> Args<'a> {
        Args { request, long: &NONE_LONG, at: 1 }
    }

    /// The same where some stand elsewhere, in `long`, by their numbers.
    pub fn with_long(self, long: &'a Vec<LongArg>) -> Args<'a> {
        Args { long, ..self }
    }

    /// How many arguments there are, the name included.
    pub fn len(&self) -> usize {
        self.request.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty()
    }

    /// Argument `index`, the name being 0. Panics when there is none: callers stay below `len`.
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.request.standing(index) {
            Some(bytes) => bytes,
            None => self.long(index).together(),
        }
    }

    #[cold]
    fn long(&self, index: usize) -> &'a LongArg {
        let number = self.request.spans()[index].aside_index();
        number.and_then(|number| self.long.get(number)).expect("an argument stands somewhere")
    }

    /// Argument `index` as a value to be stored; a long one as it came.
    #[inline]
    pub fn value(&self, index: usize) -> NewValue<'a> {
        match self.request.standing(index) {
            Some(bytes) => NewValue::from_bytes(bytes),
            None => NewValue::Shared(SharedValue::Large(self.long(index).pieces().clone())),
        }
    }

    /// Argument `index` in pieces, if it is a long one.
    pub fn pieces(&self, index: usize) -> Option<&'a Rope> {
        self.request.standing(index).is_none().then(|| self.long(index).pieces())
    }

    /// How long argument `index` is, and at most its first `most` bytes.
    pub fn beginning(&self, index: usize, most: usize) -> (usize, &'a [u8]) {
        let (length, bytes) = match self.request.standing(index) {
            Some(bytes) => (bytes.len(), bytes),
            None => {
                let pieces = self.long(index).pieces();
                (pieces.len(), pieces.borrow().stretch(0))
            }
        };
        (length, &bytes[..bytes.len().min(most)])
    }

    /// Whether some are long and came in pieces.
    pub fn has_long(&self) -> bool {
        !self.long.is_empty()
    }

    /// All arguments from `first` on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let args = *self;
        (first.min(args.len())..args.len()).map(move |index| args.get(index))
    }

    /// The next argument, or `None` at the end.
    pub fn next(&mut self) -> Option<&'a [u8]> {
        let arg = (self.at < self.len()).then(|| self.get(self.at))?;
        self.at += 1;
        Some(arg)
    }

    /// The next argument where the arity has made sure that there is one.
    ///
    /// Answers with a syntax error rather than trusting the arity blindly.
    pub fn required(&mut self) -> Result<&'a [u8], Refusal> {
        self.next().ok_or(Refusal::Syntax)
    }

    /// The same as a value to be stored; a long one as it came.
    #[inline]
    pub fn required_value(&mut self) -> Result<NewValue<'a>, Refusal> {
        if self.at >= self.len() {
            return Err(Refusal::Syntax);
        }
        self.at += 1;
        Ok(self.value(self.at - 1))
    }

    /// The next argument without moving on.
    pub fn peek(&self) -> Option<&'a [u8]> {
        (self.at < self.len()).then(|| self.get(self.at))
    }

    /// How many arguments are left.
    pub fn left(&self) -> usize {
        self.len() - self.at
    }

    /// Jumps to argument `index`.
    pub fn seek(&mut self, index: usize) {
        self.at = index;
    }

    /// Consumes the next argument if it is `word` (upper or lower case).
    pub fn word(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        self.at += usize::from(is);
        is
    }

    /// The next argument as a 64-bit integer by Redis's strict rules.
    pub fn integer(&mut self) -> Result<i64, Refusal> {
        number::parse_i64(self.required()?).ok_or(Refusal::NotInteger)
    }

    /// The next argument as a 64-bit integer that has an opposite: all but one have.
    pub fn negatable(&mut self) -> Result<i64, Refusal> {
        self.integer().and_then(|number| {
            if number == i64::MIN { Err(Refusal::NotNegatable) } else { Ok(number) }
        })
    }

    /// The next argument as a 32-bit integer, which is what Redis takes for a database.
    pub fn small_integer(&mut self) -> Result<i32, Refusal> {
        i32::try_from(self.integer()?).map_err(|_| Refusal::NotSmall)
    }

    /// Copies argument `index` to the end of another request; a long one becomes one more reference.
    pub(crate) fn copy_to(
        &self,
        index: usize,
        bytes: &mut Vec<u8>,
        spans: &mut Vec<Span>,
        long: &mut Vec<LongArg>,
    ) {
        match self.request.standing(index) {
            Some(arg) => {
                spans.push(Span { start: bytes.len() as u32, length: arg.len() as u32 });
                bytes.extend_from_slice(arg);
            }
            None => {
                let arg = self.long(index);
                spans.push(Span::aside(long.len(), arg.pieces().len()));
                long.push(LongArg::from(arg.pieces().clone()));
            }
        }
    }

    /// A syntax error unless everything was consumed.
    pub fn end(&self) -> Result<(), Refusal> {
        if self.left() == 0 { Ok(()) } else { Err(Refusal::Syntax) }
    }
}

/// A request that outlives its read buffer.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    long: Vec<LongArg>,
}

impl OwnedArgs {
    /// A copy of `args`.
    pub fn copy(args: Args<'_>) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        (0..args.len()).for_each(|index| owned.push_of(args, index));
        owned
    }

    /// A copy of `args`, which may be very many, to be made piece by piece.
    pub fn copying(args: Args<'_>) -> Copying<'_> {
        let spans = args.request.spans();
        // They stand one behind the other in what was read, long ones elsewhere.
        let standing = || spans.iter().filter(|span| span.aside_index().is_none());
        let range = standing().next().zip(standing().next_back()).map_or(0..0, |(first, last)| {
            first.range().start..last.range().end.max(first.range().start)
        });
        let (bytes, places) = (Vec::with_capacity(range.len()), Vec::with_capacity(spans.len()));
        Copying { args, range, owned: OwnedArgs { bytes, spans: places, long: Vec::new() } }
    }

    /// The view.
    pub fn view(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans).with_long(&self.long)
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        let long: usize = self.long.iter().map(LongArg::heap_bytes).sum();
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>() + long
    }

    /// Adds argument `index` of a request; a long one is not copied.
    pub fn push_of(&mut self, args: Args<'_>, index: usize) {
        args.copy_to(index, &mut self.bytes, &mut self.spans, &mut self.long);
    }

    /// Adds one argument at the end.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(arg);
        self.spans.push(Span { start, length: arg.len() as u32 });
    }
}

/// A copy of very many arguments under way.
pub struct Copying<'a> {
    args: Args<'a>,
    /// Where they stand, with what stands between them: copied as it is, which is much faster than one by one.
    range: Range<usize>,
    owned: OwnedArgs,
}

impl Copying<'_> {
    /// Copies some more; all of it with the last piece.
    pub fn more(&mut self) -> Option<OwnedArgs> {
        /// Bytes, and places of arguments, that are copied in a row: some 10 us.
        const BYTES: usize = 64 * 1024;
        const PLACES: usize = 4096;
        let (start, bytes) = (self.range.start, self.args.request.bytes());
        let at = start + self.owned.bytes.len();
        if at < self.range.end {
            let part = bytes.get(at..self.range.end.min(at + BYTES)).unwrap_or_default();
            self.owned.bytes.extend_from_slice(part);
            return None;
        }
        let (spans, done) = (self.args.request.spans(), self.owned.spans.len());
        let end = spans.len().min(done + PLACES);
        for (index, span) in (done..end).zip(&spans[done..end]) {
            let place = span.range();
            let stands = span.aside_index().is_none();
            if stands && place.start >= start && place.end <= self.range.end {
                let start = (place.start - start) as u32;
                self.owned.spans.push(Span { start, length: span.length });
            } else {
                // A long one, or a request that nobody sends, whose arguments stand in another order.
                self.owned.push_of(self.args, index);
            }
        }
        (end == spans.len()).then(|| std::mem::take(&mut self.owned))
    }
}

impl<'a> FromIterator<&'a [u8]> for OwnedArgs {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(args: T) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for arg in args {
            owned.push(arg);
        }
        owned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_piece_by_piece_arguments_are_what_they_were() {
        for (count, length) in [(1, 0), (3, 5), (10_000, 20), (5, 200_000), (9_000, 0)] {
            // In another request, behind something else.
            let (mut bytes, mut spans) = (b"before".to_vec(), Vec::new());
            for index in 0..count {
                bytes.extend_from_slice(b"$..");
                let start = bytes.len() as u32;
                bytes.resize(bytes.len() + length, index as u8);
                spans.push(Span { start, length: length as u32 });
            }
            bytes.extend_from_slice(b"behind");
            for turned in [false, true] {
                if turned {
                    spans.reverse();
                }
                let args = Args::new(&bytes, &spans);
                let mut copying = OwnedArgs::copying(args);
                let copy = loop {
                    if let Some(copy) = copying.more() {
                        break copy;
                    }
                };
                assert!(copy.view().from(0).eq(args.from(0)), "{count} of {length}");
            }
        }
    }
}
