//! Requests, found in a read buffer that may end anywhere.
//!
//! ```text
//!   *2\r\n $3\r\n GET\r\n $1\r\n k|\r\n        `|`: the buffer ends here
//!                        |     `-- searched: how much of the open line was already looked at
//!                        `-- position: everything before it is understood and kept in `spans`
//! ```
//!
//! The parser owns no bytes. The caller hands it the buffer from the first byte of the open request
//! on, at every call the same bytes and perhaps more; after a request it cuts off `consumed` bytes.
//! Only the stretch behind `position + searched` is looked at again, so a request that comes byte
//! by byte costs no more than linear work.
//!
//! A long argument of which not all has come may be taken out of the buffer and stand elsewhere
//! ([`Parsed::Long`]): then nobody needs as much memory in one piece, nor has to move it later.
//!
//! As Redis, it believes in the place of line breaks and does not look at the bytes there: the byte
//! after `\r` and the two bytes after an argument are skipped. Unlike Redis, it takes a NUL in an
//! inline request for an ordinary byte.

use super::args::{Args, Span};
use super::error::ProtocolError;
use super::inline::{self, Line};
use super::number::parse_i64;

/// Longest line (inline request, count or length) without an end in sight: Redis's
/// PROTO_INLINE_MAX_SIZE.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// Most arguments, and the longest, before authentication: enough for HELLO AUTH SETNAME, too
/// little to hurt.
const UNAUTHENTICATED_ARGUMENTS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 * 1024;

/// Spans that are kept from one request to the next; more are given back, so that one MSET of a
/// million arguments does not cost 8 MB for as long as its connection lives.
const SPANS_KEPT: usize = 1024;

/// The same for the bytes of unquoted inline arguments.
const UNQUOTED_BYTES_KEPT: usize = 4096;

/// What a request may be, at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest argument.
    pub bulk_bytes: usize,
    /// Most arguments, with the command's name.
    pub arguments: usize,
    /// Longest request; what exceeds [`Span::STANDING_MAX`] counts as that.
    pub request_bytes: usize,
    /// From here on an argument that has not come whole is told as [`Parsed::Long`].
    pub long_bytes: usize,
    /// Whether the client has said who it is (or need not); until then far tighter limits hold.
    pub authenticated: bool,
}

impl Limits {
    /// Redis's `proto-max-bulk-len`, 1 M arguments (also the largest MSET that one frame should
    /// have to carry), and Redis's `client-query-buffer-limit`.
    pub const STANDARD: Limits = Limits {
        bulk_bytes: 512 << 20,
        arguments: 1 << 20,
        request_bytes: 1 << 30,
        long_bytes: usize::MAX,
        authenticated: true,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::STANDARD
    }
}

/// What the buffer begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// The beginning of a request, or nothing.
    Incomplete {
        /// How many bytes are known to be missing, at least 1. A peer's claim: good for the size of
        /// the next read, not a reason to reserve it all at once.
        want: usize,
    },
    /// The beginning of a request, up to a long argument of which not all has come. Whoever takes it out of
    /// the buffer, from `at` on, says so with `Parser::taken` when it is whole, and hands over the buffer
    /// without it from then on.
    Long {
        /// Where the argument begins, from the beginning of the request.
        at: usize,
        /// How many bytes it is announced to have.
        length: usize,
    },
    /// A whole request; `Parser::args` has its arguments until the next call.
    Request {
        /// How many bytes of the buffer it was.
        consumed: usize,
    },
    /// A request without arguments (`*0`, an empty line), to be skipped without a reply.
    Empty {
        /// How many bytes of the buffer it was.
        consumed: usize,
    },
}

/// Where in a request the parser stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Before its first byte.
    Start,
    /// In an inline request, whose end was not found yet.
    Inline,
    /// In `*count`.
    Count,
    /// In `$length`.
    Length,
    /// In an argument of so many bytes.
    Body(usize),
    /// Behind an argument that was taken out, before its line end.
    Behind,
}

/// The state of one connection's open request. One parser serves one connection for its life.
#[derive(Debug)]
pub struct Parser {
    stage: Stage,
    /// Everything before it, from the beginning of the request, is understood.
    position: usize,
    /// How many bytes from `position` on hold no line end.
    searched: usize,
    /// Arguments still to come.
    remaining: usize,
    /// Bytes of arguments that were taken out of the buffer, and how many arguments that were.
    taken_bytes: usize,
    taken: usize,
    spans: Vec<Span>,
    /// The arguments of an inline request with quotes, which stand nowhere as they are meant.
    unquoted: Vec<u8>,
    /// Whether the spans point into `unquoted`.
    is_unquoted: bool,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new()
    }
}

impl Parser {
    /// A parser before its first request. Allocates nothing yet.
    pub fn new() -> Parser {
        Parser {
            stage: Stage::Start,
            position: 0,
            searched: 0,
            remaining: 0,
            taken_bytes: 0,
            taken: 0,
            spans: Vec::new(),
            unquoted: Vec::new(),
            is_unquoted: false,
        }
    }

    /// Looks for the end of the request that `buffer` begins with.
    ///
    /// After an error the parser must not be used further: the connection is to be closed.
    #[inline]
    pub fn next(&mut self, buffer: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        if self.stage == Stage::Start {
            let Some(&first) = buffer.first() else { return Ok(Parsed::Incomplete { want: 1 }) };
            self.begin();
            self.stage = if first == b'*' { Stage::Count } else { Stage::Inline };
        }
        if self.stage == Stage::Inline {
            return self.next_inline(buffer);
        }
        if self.stage == Stage::Count {
            match self.count(buffer, limits)? {
                Some(0) => return Ok(Parsed::Empty { consumed: self.finish() }),
                Some(count) => self.remaining = count,
                None => return Ok(Parsed::Incomplete { want: 1 }),
            }
        }
        self.arguments(buffer, limits)
    }

    /// The arguments of the request that `next` just found. `buffer` is the one that it was given.
    #[inline]
    pub fn args<'a>(&'a self, buffer: &'a [u8]) -> Args<'a> {
        let standing = if self.is_unquoted { &self.unquoted } else { &buffer[..self.position] };
        Args::new(standing, &self.spans)
    }

    /// Whether a request has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.stage != Stage::Start
    }

    /// Memory that the parser holds on to.
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.unquoted.capacity()
    }

    #[inline]
    fn begin(&mut self) {
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans.shrink_to(SPANS_KEPT);
        }
        if self.is_unquoted {
            self.is_unquoted = false;
            self.unquoted.clear();
            self.unquoted.shrink_to(UNQUOTED_BYTES_KEPT);
        }
        self.position = 0;
        self.searched = 0;
        (self.taken_bytes, self.taken) = (0, 0);
    }

    /// The argument that [`Parsed::Long`] was said of has been taken out of the buffer, all of it.
    pub fn taken(&mut self) {
        let Stage::Body(length) = self.stage else { return };
        self.spans.push(Span::aside(self.taken, length));
        (self.taken, self.taken_bytes) = (self.taken + 1, self.taken_bytes + length);
        self.stage = Stage::Behind;
    }

    #[inline]
    fn finish(&mut self) -> usize {
        self.stage = Stage::Start;
        self.position
    }

    /// Reads `*count`; 0 also for negative counts, nothing if the line has not ended.
    #[inline]
    fn count(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        let count = match short_number(buffer, 0, b'*') {
            Some((count, next)) => {
                self.position = next;
                count
            }
            None => match self.number_line(buffer) {
                NumberLine::Open => return Ok(None),
                NumberLine::TooLong => return Err(ProtocolError::TooBigMultibulkCount),
                NumberLine::Invalid => return Err(ProtocolError::InvalidMultibulkLength),
                NumberLine::Number { number, next } => {
                    self.position = next;
                    // Counts below zero are requests of nothing; counts beyond usize are too many.
                    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
                }
            },
        };
        if count > limits.arguments {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if !limits.authenticated && count > UNAUTHENTICATED_ARGUMENTS_MAX {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.searched = 0;
        self.stage = Stage::Length;
        Ok(Some(count))
    }

    /// Reads arguments until none is missing or the buffer ends.
    #[inline]
    fn arguments(&mut self, buffer: &[u8], limits: &Limits) -> Result<Parsed, ProtocolError> {
        while self.remaining > 0 {
            let length = match self.stage {
                Stage::Body(length) => length,
                Stage::Behind => {
                    let end = self.position + 2;
                    if end > buffer.len() {
                        return Ok(Parsed::Incomplete { want: end - buffer.len() });
                    }
                    self.position = end;
                    self.stage = Stage::Length;
                    self.remaining -= 1;
                    continue;
                }
                _ => {
                    let Some((length, body)) = self.length(buffer, limits)? else {
                        return Ok(Parsed::Incomplete { want: 1 });
                    };
                    self.position = body;
                    length
                }
            };
            let end = self.position + length + 2;
            if end > buffer.len() {
                self.stage = Stage::Body(length);
                if length >= limits.long_bytes {
                    return Ok(Parsed::Long { at: self.position, length });
                }
                return Ok(Parsed::Incomplete { want: end - buffer.len() });
            }
            // Both fit: `length` has seen to it that the argument ends within `request_bytes`.
            self.spans.push(Span { start: self.position as u32, length: length as u32 });
            self.position = end;
            self.stage = Stage::Length;
            self.remaining -= 1;
        }
        Ok(Parsed::Request { consumed: self.finish() })
    }

    /// Reads `$length`: the length and where the argument begins, or nothing if the line has not
    /// ended.
    #[inline]
    fn length(
        &mut self,
        buffer: &[u8],
        limits: &Limits,
    ) -> Result<Option<(usize, usize)>, ProtocolError> {
        let (length, body) = match short_number(buffer, self.position, b'$') {
            Some(found) => found,
            None => match self.long_length(buffer)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        if length > limits.bulk_bytes {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if !limits.authenticated && length > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        let bytes = body.saturating_add(self.taken_bytes).saturating_add(length);
        if bytes > limits.request_bytes.min(Span::STANDING_MAX) {
            return Err(ProtocolError::TooBigRequest);
        }
        self.searched = 0;
        Ok(Some((length, body)))
    }

    /// Reads a `$length` that is not short, not whole or not right.
    #[cold]
    fn long_length(&mut self, buffer: &[u8]) -> Result<Option<(usize, usize)>, ProtocolError> {
        let line = self.number_line(buffer);
        match line {
            NumberLine::Open => return Ok(None),
            NumberLine::TooLong => return Err(ProtocolError::TooBigBulkCount),
            NumberLine::Invalid | NumberLine::Number { .. } => {}
        }
        // Redis looks at the first byte only once the line is whole; so the order of errors is the
        // same.
        let marker = buffer[self.position];
        if marker != b'$' {
            return Err(ProtocolError::ExpectedBulk(marker));
        }
        match line {
            NumberLine::Number { number, next } if number >= 0 => {
                Ok(Some((usize::try_from(number).unwrap_or(usize::MAX), next)))
            }
            _ => Err(ProtocolError::InvalidBulkLength),
        }
    }

    /// Looks for the end of the line at `position`, from where the last search ended, and reads the
    /// number after its first byte.
    #[cold]
    fn number_line(&mut self, buffer: &[u8]) -> NumberLine {
        let line = &buffer[self.position..];
        let window = &line[..line.len().min(LINE_BYTES_MAX + 1)];
        let Some(found) = memchr::memchr(b'\r', &window[self.searched..]) else {
            self.searched = window.len();
            let too_long = window.len() > LINE_BYTES_MAX;
            return if too_long { NumberLine::TooLong } else { NumberLine::Open };
        };
        self.searched += found;
        if self.searched + 1 >= line.len() {
            return NumberLine::Open;
        }
        match parse_i64(window.get(1..self.searched).unwrap_or(&[])) {
            Some(number) => NumberLine::Number { number, next: self.position + self.searched + 2 },
            None => NumberLine::Invalid,
        }
    }

    fn next_inline(&mut self, buffer: &[u8]) -> Result<Parsed, ProtocolError> {
        let window = &buffer[..buffer.len().min(LINE_BYTES_MAX + 1)];
        let Some(found) = memchr::memchr(b'\n', &window[self.searched..]) else {
            self.searched = window.len();
            if window.len() > LINE_BYTES_MAX {
                return Err(ProtocolError::TooBigInline);
            }
            return Ok(Parsed::Incomplete { want: 1 });
        };
        let newline = self.searched + found;
        let line = &buffer[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match inline::split(line, &mut self.spans, &mut self.unquoted) {
            Line::Plain => {}
            Line::Unquoted => self.is_unquoted = true,
            Line::Unbalanced => return Err(ProtocolError::UnbalancedQuotes),
        }
        self.position = newline + 1;
        let consumed = self.finish();
        if self.spans.is_empty() {
            return Ok(Parsed::Empty { consumed });
        }
        Ok(Parsed::Request { consumed })
    }
}

/// What stands at the parser's position.
enum NumberLine {
    /// No end yet.
    Open,
    /// No end within the bound.
    TooLong,
    /// A line, but no number.
    Invalid,
    /// A line with a number; the next line begins at `next`.
    Number { number: i64, next: usize },
}

/// Reads `marker`, one to eight digits and a line end at `at`: the number and where the next line
/// begins.
///
/// Nothing if the buffer ends before that or anything is out of the ordinary; then the slow path
/// finds out what it is.
#[inline(always)]
pub(super) fn short_number(buffer: &[u8], at: usize, marker: u8) -> Option<(usize, usize)> {
    const DIGITS_MAX: usize = 8;
    let line = buffer.get(at..)?;
    // The most frequent line by far: one digit.
    let &[first, digit, third, fourth, ..] = line else { return None };
    let mut number = usize::from(digit.wrapping_sub(b'0'));
    if first != marker || number > 9 {
        return None;
    }
    if third == b'\r' {
        return Some((number, at + 4));
    }
    if number == 0 {
        return None;
    }
    // Then those of two.
    let second = usize::from(third.wrapping_sub(b'0'));
    if fourth == b'\r' && second <= 9 && line.len() > 4 {
        return Some((number * 10 + second, at + 5));
    }
    // The line end has two bytes, and the second must be there too.
    let most = line.len().min(DIGITS_MAX + 3) - 1;
    for (index, byte) in line[..most].iter().enumerate().skip(2) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (*byte == b'\r').then_some((number, at + index + 2));
        }
        number = number * 10 + usize::from(digit);
    }
    None
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
