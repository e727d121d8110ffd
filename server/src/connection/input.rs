//! What has been read from a connection, and the requests parsed ahead of being run.
//!
//! Up to [`AHEAD_MAX`] requests are parsed before the first of them runs, so that the buckets of all
//! their keys can be on their way into the cache: with random keys in a large table a pipeline would
//! otherwise wait for memory once per request.
//!
//! ```text
//!   buffer   | handled | request | request | request | half a request ...
//!            ^ 0       ^ position                    ^ parsed
//! ```

use engine::command::{Args, Entry, Refusal, Registry};
use engine::resp::{self, Limits, Parsed, Parser, ProtocolError, Span};

/// Requests parsed ahead: enough to keep the memory busy, few enough for their buckets to stay in the
/// first-level cache until they run.
const AHEAD_MAX: usize = 16;

/// First size of a read; doubled while reads fill it.
const READ_MIN: usize = 16 * 1024;
/// Largest single read.
const READ_MAX: usize = 1024 * 1024;
/// The buffer is given back above this size when it is empty: as the output's.
const BUFFER_KEPT: usize = 8 * 1024;

/// Arguments of requests parsed ahead for whose places there is always room.
const SPANS_KEPT: usize = 64;

/// Where a request stands in the buffer, until more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    start: usize,
    /// Its bytes.
    pub(super) length: usize,
}

/// A request parsed ahead.
struct Ahead {
    /// What it asks for, or why that cannot be.
    entry: Result<&'static Entry, Refusal>,
    /// Where it begins in the buffer.
    start: usize,
    /// Its bytes in the buffer.
    length: usize,
    /// Its arguments' places.
    first: usize,
    count: usize,
    /// The arguments of an inline request with quotes, which stand nowhere as they are meant.
    unquoted: Option<Vec<u8>>,
}

/// See the module's doc.
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Everything before it has been handled.
    position: usize,
    /// Everything before it has been parsed.
    parsed: usize,
    parser: Parser,
    read_size: usize,
    spans: Vec<Span>,
    ahead: Vec<Ahead>,
    /// The next request to run.
    next: usize,
}

/// What is fetched ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Where the table would hold the keys.
    Buckets,
    /// The items that are there.
    Items,
}

/// What the head of the input is.
pub(super) enum Head {
    /// A request that can be run.
    Request,
    /// A request of nothing (an empty line, `*0`), which is handled.
    Empty,
    /// Not a whole request yet; so many bytes at least are missing.
    Incomplete { want: usize },
    /// Not a request at all.
    Broken(ProtocolError),
}

impl Input {
    /// An input that begins with `unread`.
    pub(super) fn new(unread: Vec<u8>) -> Input {
        Input {
            buffer: unread,
            position: 0,
            parsed: 0,
            parser: Parser::new(),
            read_size: READ_MIN,
            spans: Vec::new(),
            ahead: Vec::new(),
            next: 0,
        }
    }

    /// Looks at the next request; parses ahead when there is none. `fresh` is called with each request
    /// that was parsed now, in two rounds: for the buckets of keys, then for the items in them.
    pub(super) fn head(
        &mut self,
        registry: &'static Registry,
        limits: &Limits,
        mut fresh: impl FnMut(Round, &'static Entry, Args<'_>),
    ) -> Head {
        if self.next < self.ahead.len() {
            return Head::Request;
        }
        self.ahead.clear();
        self.spans.clear();
        self.next = 0;
        // Whoever has not authenticated yet may be allowed more after the next request.
        let most = if limits.authenticated { AHEAD_MAX } else { 1 };
        while self.ahead.len() < most {
            match self.parser.next(&self.buffer[self.parsed..], limits) {
                Ok(Parsed::Request { consumed }) => self.keep(registry, consumed),
                Ok(Parsed::Empty { consumed }) if self.ahead.is_empty() => {
                    self.parsed += consumed;
                    self.position = self.parsed;
                    return Head::Empty;
                }
                // When its turn has come: the parser finds it again.
                Ok(Parsed::Empty { .. }) => break,
                Ok(Parsed::Incomplete { want }) if self.ahead.is_empty() => {
                    return Head::Incomplete { want };
                }
                Err(error) if self.ahead.is_empty() => return Head::Broken(error),
                // Said when its turn has come: the parser says it again.
                Ok(Parsed::Incomplete { .. }) => break,
                Err(_) => {
                    self.parser = Parser::new();
                    break;
                }
            }
        }
        if self.ahead.len() > 1 {
            for round in [Round::Buckets, Round::Items] {
                for index in 0..self.ahead.len() {
                    if let Ok(entry) = self.ahead[index].entry {
                        fresh(round, entry, self.args_of(index));
                    }
                }
            }
        }
        Head::Request
    }

    fn keep(&mut self, registry: &'static Registry, consumed: usize) {
        let rest = &self.buffer[self.parsed..];
        let args = self.parser.args(rest);
        let first = self.spans.len();
        self.spans.extend_from_slice(args.spans());
        let elsewhere = args.bytes().as_ptr() != rest.as_ptr();
        let unquoted = elsewhere.then(|| args.bytes().to_vec());
        let entry = registry.resolve(&Args::of(args));
        let count = self.spans.len() - first;
        let start = self.parsed;
        self.ahead.push(Ahead { entry, start, length: consumed, first, count, unquoted });
        self.parsed += consumed;
    }

    /// What the request at the head asks for.
    pub(super) fn entry(&self) -> Result<&'static Entry, Refusal> {
        self.ahead[self.next].entry.clone()
    }

    /// The arguments of the request at the head.
    pub(super) fn args(&self) -> Args<'_> {
        self.args_of(self.next)
    }

    fn args_of(&self, index: usize) -> Args<'_> {
        let request = &self.ahead[index];
        let spans = &self.spans[request.first..request.first + request.count];
        let bytes = request.unquoted.as_deref().unwrap_or(&self.buffer[request.start..]);
        Args::of(resp::Args::new(bytes, spans))
    }

    /// Where the request at the head stands.
    pub(super) fn place(&self) -> Place {
        let request = &self.ahead[self.next];
        Place { start: request.start, length: request.length }
    }

    /// Looks once more at a request that was handled since the last read.
    pub(super) fn with_request(&self, place: Place, look: impl FnOnce(&Args<'_>)) {
        let bytes = &self.buffer[place.start..place.start + place.length];
        let mut parser = Parser::new();
        // It was a request before, under the limits of its time.
        if let Ok(Parsed::Request { .. }) = parser.next(bytes, &Limits::STANDARD) {
            look(&Args::of(parser.args(bytes)));
        }
    }

    /// The request at the head has been handled.
    pub(super) fn handled(&mut self) {
        let request = &self.ahead[self.next];
        self.position = request.start + request.length;
        self.next += 1;
    }

    /// What has arrived and has not been handled.
    pub(super) fn into_unread(mut self) -> Vec<u8> {
        self.buffer.split_off(self.position)
    }

    /// Bytes that wait to be parsed.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len() - self.position
    }

    /// The buffer to read into, with what was handled taken away, and how much to read. Everything
    /// that was parsed has been handled.
    pub(super) fn room(&mut self, want: usize) -> (&mut Vec<u8>, usize) {
        debug_assert_eq!(self.next, self.ahead.len(), "only what was handled is taken away");
        if self.position == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer = Vec::new();
            }
            self.ahead.clear();
            self.next = 0;
            self.spans.clear();
            self.spans.shrink_to(SPANS_KEPT);
        } else if self.position > 0 {
            self.buffer.drain(..self.position);
        }
        self.position = 0;
        self.parsed = 0;
        (&mut self.buffer, want.clamp(self.read_size, READ_MAX))
    }

    /// So many bytes were read where `room` said `size`.
    pub(super) fn note_read(&mut self, read: usize, size: usize) {
        if read == size {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        } else if read < READ_MIN / 2 {
            self.read_size = READ_MIN;
        }
    }
}
