//! What has been read from a connection, and the requests parsed ahead of being run.
//!
//! Up to [`AHEAD_MAX`] requests are parsed before the first of them runs, so that the buckets of all
//! their keys can be on their way into the cache, then their items, and then what collections have behind
//! these: with random keys in a large table a pipeline would otherwise wait for memory once per request and
//! step.
//!
//! ```text
//!   buffer   | handled | request | request | request | half a request ...
//!            ^ 0       ^ position                    ^ parsed
//! ```
//!
//! A long argument goes from the socket into a rope: whoever stores it stores that. So its bytes are copied
//! once, piece by piece as they come, and nobody else waits for it.
//!
//! ```text
//!   buffer   *3 SET k $268435456 |
//!   coming   rope of what has come of it, and how much is missing
//! ```

use engine::command::{Args, Entry, Group, LongArg, Recent, Refusal, Registry};
use engine::resp::{self, Limits, Parsed, Parser, ProtocolError, Span};
use engine::value::Rope;
use replication::transport::Taker;

/// Requests parsed ahead: enough to keep the memory busy, few enough for their buckets to stay in the
/// first-level cache until they run.
pub(super) const AHEAD_MAX: usize = 16;

/// First size of a read; doubled while reads fill it.
const READ_MIN: usize = 16 * 1024;
/// Largest single read.
const READ_MAX: usize = 1024 * 1024;
/// The buffer is given back above this size when it is empty: as the output's.
const BUFFER_KEPT: usize = 8 * 1024;

/// An argument of so many bytes goes into a rope unless it has come whole already: below, a second copy costs
/// next to nothing (some 20 us).
pub(super) const LONG_ARGUMENT: usize = 128 * 1024;

/// So much of long arguments is read in a row before others have their turn: some 300 us.
const LONG_IN_A_ROW: usize = 1024 * 1024;

/// Arguments of requests parsed ahead for whose places there is always room.
const SPANS_KEPT: usize = 64;

/// Where a request stands in the buffer, until more is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RequestPlace {
    start: usize,
    /// Its bytes there.
    length: usize,
    /// Its bytes, also those of long arguments.
    pub(super) weight: usize,
    /// How many arguments.
    pub(super) count: usize,
}

/// A long argument that has not come whole.
struct Coming {
    rope: Rope,
    missing: usize,
}

/// A request parsed ahead. It is copied into its place: what is seldom there lies in boxes.
struct Ahead {
    /// What it asks for, or why that cannot be.
    entry: Result<&'static Entry, Box<Refusal>>,
    /// Where it begins in the buffer.
    start: usize,
    /// Its bytes in the buffer.
    length: usize,
    /// Its arguments' places. A request has less than 2^32 of them.
    first: u32,
    count: u32,
    /// The arguments of an inline request with quotes, which stand nowhere as they are meant.
    unquoted: Option<Box<[u8]>>,
    /// What finds the item of its key in the table, if that is here.
    hash: Option<u64>,
}

impl Ahead {
    /// Of a request about a value that stands behind its item.
    fn hash_of_collection(&self) -> Option<u64> {
        let group = self.entry.as_ref().ok()?.command.group;
        let is_collection =
            matches!(group, Group::Hash | Group::List | Group::Set | Group::SortedSet);
        self.hash.filter(|_| is_collection)
    }
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
    coming: Option<Coming>,
    /// The long arguments of the only request ahead, or of the one that is coming.
    long: Vec<LongArg>,
    /// Bytes of long arguments that came since others had their turn.
    long_in_a_row: usize,
    recent: Recent,
}

/// Brings what requests will need into the cache.
pub(super) trait Fetch {
    /// Asks for the places of a request's keys; answers with what finds the first of them again.
    fn places(&self, entry: &'static Entry, args: &Args<'_>) -> Option<u64>;

    /// Asks for what stands at a place that was asked for a while ago.
    fn item(&self, hash: u64);

    /// Asks for what stands behind an item that was asked for a while ago.
    fn value(&self, hash: u64);

    /// Asks for elements of values that were asked for a while ago.
    fn elements<'a>(&self, wanted: impl Iterator<Item = (u64, &'a [u8])>);
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
            coming: None,
            long: Vec::new(),
            long_in_a_row: 0,
            recent: Recent::default(),
        }
    }

    /// Looks at the next request; parses ahead when there is none. `fetch` is asked for each request's places
    /// as it is parsed, and for the items when all are.
    pub(super) fn head(
        &mut self,
        registry: &'static Registry,
        limits: &Limits,
        fetch: &impl Fetch,
    ) -> Head {
        if self.next < self.ahead.len() {
            return Head::Request;
        }
        if let Some(want) = self.missing_of_long() {
            return Head::Incomplete { want };
        }
        self.forget_ahead();
        // Whoever has not authenticated yet may be allowed more after the next request.
        let most = if limits.authenticated { AHEAD_MAX } else { 1 };
        while self.ahead.len() < most && (self.ahead.is_empty() || !self.had_long()) {
            match self.parser.next(&self.buffer[self.parsed..], limits) {
                Ok(Parsed::Request { consumed }) => self.keep(registry, consumed, fetch),
                Ok(Parsed::Empty { consumed }) if self.ahead.is_empty() => {
                    self.parsed += consumed;
                    self.position = self.parsed;
                    return Head::Empty;
                }
                // When its turn has come: the parser finds it again.
                Ok(Parsed::Empty { .. }) => break,
                Ok(Parsed::Long { at, length }) if self.ahead.is_empty() => {
                    self.take_long(at, length);
                    if let Some(want) = self.missing_of_long() {
                        return Head::Incomplete { want };
                    }
                }
                Ok(Parsed::Incomplete { want }) if self.ahead.is_empty() => {
                    return Head::Incomplete { want };
                }
                Err(error) if self.ahead.is_empty() => return Head::Broken(error),
                // Said when its turn has come: the parser says it again.
                Ok(Parsed::Incomplete { .. } | Parsed::Long { .. }) => break,
                Err(_) => {
                    self.parser = Parser::new();
                    break;
                }
            }
        }
        if self.ahead.len() > 1 {
            // Often all are one key's.
            let mut last = None;
            for hash in self.ahead.iter().filter_map(|ahead| ahead.hash) {
                if last.replace(hash) != Some(hash) {
                    fetch.item(hash);
                }
            }
            let mut last = None;
            for hash in self.ahead.iter().filter_map(Ahead::hash_of_collection) {
                if last.replace(hash) != Some(hash) {
                    fetch.value(hash);
                }
            }
            if last.is_some() {
                fetch.elements((0..self.ahead.len()).filter_map(|index| self.element_of(index)));
            }
        }
        Head::Request
    }

    /// What was parsed ahead has been handled.
    fn forget_ahead(&mut self) {
        if !self.ahead.is_empty() {
            self.ahead.clear();
            self.spans.clear();
            self.long.clear();
        }
        self.next = 0;
    }

    /// A long argument begins at `at` of the request that is being parsed: what has come of it leaves the
    /// buffer.
    fn take_long(&mut self, at: usize, length: usize) {
        let start = self.parsed + at;
        let end = self.buffer.len().min(start + length);
        let rope = Rope::of(&self.buffer[start..end]);
        self.buffer.drain(start..end);
        self.coming = Some(Coming { missing: length - rope.len(), rope });
    }

    /// How much is missing of the long argument that is coming; none is from then on when that is nothing.
    fn missing_of_long(&mut self) -> Option<usize> {
        match self.coming.take_if(|coming| coming.missing == 0) {
            Some(Coming { rope, .. }) => {
                self.long.push(LongArg::from(rope));
                self.parser.taken();
                None
            }
            None => self.coming.as_ref().map(|coming| coming.missing),
        }
    }

    /// Whether so much of long arguments was read that others should have their turn.
    pub(super) fn should_breathe(&mut self) -> bool {
        let is_much = self.long_in_a_row >= LONG_IN_A_ROW;
        if is_much {
            self.long_in_a_row = 0;
        }
        is_much
    }

    fn keep(&mut self, registry: &'static Registry, consumed: usize, fetch: &impl Fetch) {
        let rest = &self.buffer[self.parsed..];
        let args = self.parser.args(rest);
        let first = self.spans.len();
        self.spans.extend_from_slice(args.spans());
        let elsewhere = args.bytes().as_ptr() != rest.as_ptr();
        let unquoted = elsewhere.then(|| Box::from(args.bytes()));
        let args = Args::of(args).with_long(&self.long);
        let entry = self.recent.resolve(registry, &args).map_err(Box::new);
        let hash = entry.as_ref().ok().and_then(|entry| fetch.places(entry, &args));
        let (start, length) = (self.parsed, consumed);
        let (first, count) = (first as u32, (self.spans.len() - first) as u32);
        self.ahead.push(Ahead { entry, start, length, first, count, unquoted, hash });
        self.parsed += consumed;
    }

    /// What the request at the head asks for.
    #[inline]
    pub(super) fn entry(&self) -> Result<&'static Entry, &Refusal> {
        match &self.ahead[self.next].entry {
            Ok(entry) => Ok(entry),
            Err(refusal) => Err(refusal),
        }
    }

    /// The arguments of the request at the head.
    pub(super) fn args(&self) -> Args<'_> {
        self.args_of(self.next)
    }

    fn args_of(&self, index: usize) -> Args<'_> {
        let request = &self.ahead[index];
        let spans = &self.spans[request.first as usize..][..request.count as usize];
        let standing = &self.buffer[request.start..request.start + request.length];
        let bytes = request.unquoted.as_deref().unwrap_or(standing);
        Args::of(resp::Args::new(bytes, spans)).with_long(&self.long)
    }

    /// The element that a request ahead is about, and what finds the item it is in.
    fn element_of(&self, index: usize) -> Option<(u64, &[u8])> {
        let ahead = &self.ahead[index];
        let position = usize::from(ahead.entry.as_ref().ok()?.element);
        let hash = ahead.hash.filter(|_| position > 0 && position < ahead.count as usize)?;
        Some((hash, self.args_of(index).get(position)))
    }

    /// Where the request at the head stands.
    pub(super) fn place(&self) -> RequestPlace {
        self.place_of(self.next)
    }

    fn place_of(&self, index: usize) -> RequestPlace {
        let Ahead { start, length, count, .. } = self.ahead[index];
        let long: usize = self.long.iter().map(LongArg::len).sum();
        RequestPlace { start, length, weight: length + long, count: count as usize }
    }

    /// Whether the request ahead has long arguments, or had when it was handled.
    pub(super) fn had_long(&self) -> bool {
        !self.long.is_empty()
    }

    /// Looks once more at a request that was handled since the last read.
    pub(super) fn with_request(&self, place: RequestPlace, look: impl FnOnce(&Args<'_>)) {
        if self.had_long() {
            // Then it is alone, and still there.
            return if !self.ahead.is_empty() {
                look(&self.args_of(0))
            };
        }
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
        let coming = self.coming.as_ref().map_or(0, |coming| coming.rope.len());
        let long: usize = self.long.iter().map(LongArg::len).sum();
        self.buffer.len() - self.position + coming + long
    }

    /// Takes away what was handled before more is read; answers how much to read. Everything that was parsed
    /// has been handled.
    pub(super) fn make_room(&mut self, want: usize) -> usize {
        debug_assert_eq!(self.next, self.ahead.len(), "only what was handled is taken away");
        if self.position == self.buffer.len() {
            self.buffer.clear();
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer = Vec::new();
            }
            self.forget_ahead();
            self.spans.shrink_to(SPANS_KEPT);
            self.long.shrink_to(0);
        } else if self.position > 0 {
            self.buffer.drain(..self.position);
        }
        self.position = 0;
        self.parsed = 0;
        want.clamp(self.read_size, READ_MAX)
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

impl Input {
    /// As [`Taker::take`], of what is handed over: without a copy where it may be the buffer.
    pub(super) fn take_all(&mut self, bytes: Vec<u8>) {
        match self.only_buffer() {
            Some(buffer) if buffer.is_empty() => *buffer = bytes,
            _ => self.take(&bytes),
        }
    }
}

impl Taker for Input {
    fn take(&mut self, bytes: &[u8]) {
        let Some(coming) = &mut self.coming else { return self.buffer.extend_from_slice(bytes) };
        let (own, rest) = bytes.split_at(bytes.len().min(coming.missing));
        coming.rope.write(coming.rope.len(), own);
        coming.missing -= own.len();
        self.long_in_a_row += own.len();
        self.buffer.extend_from_slice(rest);
    }

    fn only_buffer(&mut self) -> Option<&mut Vec<u8>> {
        if self.coming.is_none() { Some(&mut self.buffer) } else { None }
    }
}
