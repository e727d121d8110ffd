//! A request's arguments: borrowed where they arrived, read one after the other.
//!
//! [`Args`] is a view (buffer and spans) with a position; it allocates nothing and copies nothing.
//! [`OwnedArgs`] holds the same for requests that wait (MULTI's queue, a hop to another shard).

use super::Refusal;
use crate::resp::{self, Span};
use crate::value::number;

/// A view of a request: argument 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    request: resp::Args<'a>,
    at: usize,
}

impl<'a> Args<'a> {
    /// The arguments at `spans` in `buffer`; the cursor stands on the first one after the name.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args::of(resp::Args::new(buffer, spans))
    }

    /// The arguments of a parsed request.
    pub fn of(request: resp::Args<'a>) -> Args<'a> {
        Args { request, at: 1 }
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
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.request.get(index)
    }

    /// All arguments from `first` on.
    pub fn from(&self, first: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let request = self.request;
        (first.min(request.len())..request.len()).map(move |index| request.get(index))
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
        number::parse_i64_strict(self.required()?).ok_or(Refusal::NotInteger)
    }

    /// The next argument as a 32-bit integer, which is what Redis takes for a database.
    pub fn small_integer(&mut self) -> Result<i32, Refusal> {
        i32::try_from(self.integer()?).map_err(|_| Refusal::NotSmall)
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
}

impl OwnedArgs {
    /// A copy of `args`.
    pub fn copy(args: Args<'_>) -> OwnedArgs {
        args.from(0).collect()
    }

    /// None yet, with memory for as many as `args` has.
    pub fn for_all_of(args: Args<'_>) -> OwnedArgs {
        let spans = args.request.spans();
        // They stand one behind the other in what was read.
        let bytes = spans.iter().zip(spans.last()).next().map_or(0, |(first, last)| {
            (last.start + last.length).saturating_sub(first.start) as usize
        });
        OwnedArgs { bytes: Vec::with_capacity(bytes), spans: Vec::with_capacity(spans.len()) }
    }

    /// The view.
    pub fn view(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// Adds one argument at the end.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(arg);
        self.spans.push(Span { start, length: arg.len() as u32 });
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
