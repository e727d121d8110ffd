//! The other end of the protocol: commands out, replies in.
//!
//! For the handshakes of replication, for tests and for the load generator. `ReplyReader` first
//! finds the end of a reply (`ReplyScanner`) and then builds it, so that a tree is built once and
//! never from half of its bytes. What it builds is bounded by the bytes that came: counts that a
//! peer only announces reserve nothing.

use super::error::ReplyError;
use super::number::parse_i64;
use super::scan::{ReplyLimits, ReplyScanner};

/// Appends a command as a client sends it: an array of strings.
pub fn encode_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    let mut digits = itoa::Buffer::new();
    out.push(b'*');
    out.extend_from_slice(digits.format(arguments.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for argument in arguments {
        out.push(b'$');
        out.extend_from_slice(digits.format(argument.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// A reply, as an owned tree.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// A status such as `OK`.
    Simple(Vec<u8>),
    /// An error, its code first. RESP3's long errors are the same.
    Error(Vec<u8>),
    /// An integer.
    Integer(i64),
    /// A string.
    Bulk(Vec<u8>),
    /// No value: `$-1`, `*-1` or `_`.
    Nil,
    /// An array.
    Array(Vec<Reply>),
    /// A map, in the order in which it came.
    Map(Vec<(Reply, Reply)>),
    /// A set, in the order in which it came.
    Set(Vec<Reply>),
    /// A floating-point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// A text with its format.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: Vec<u8>,
    },
    /// An integer of any size, in decimal.
    BigNumber(Vec<u8>),
    /// A message that nobody asked for.
    Push(Vec<Reply>),
}

impl Reply {
    /// The bytes of a string, status or verbatim text.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Simple(bytes) | Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } => {
                Some(bytes)
            }
            _ => None,
        }
    }

    /// The text of an error.
    pub fn error(&self) -> Option<&[u8]> {
        match self {
            Reply::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Reply::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn elements(&self) -> Option<&[Reply]> {
        match self {
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// Whether it is the status `OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == b"OK")
    }
}

/// Reads replies from a buffer that may end anywhere. Attributes are skipped.
#[derive(Debug)]
pub struct ReplyReader {
    scanner: ReplyScanner,
}

impl ReplyReader {
    /// A reader before its first reply.
    pub fn new(limits: ReplyLimits) -> ReplyReader {
        ReplyReader { scanner: ReplyScanner::new(limits) }
    }

    /// The reply that `buffer` begins with and its length; nothing if it has not ended yet: then
    /// the next call must bring the same bytes and more. After an error nothing more can be read.
    pub fn next(&mut self, buffer: &[u8]) -> Result<Option<(Reply, usize)>, ReplyError> {
        let Some(length) = self.scanner.next(buffer)? else { return Ok(None) };
        let mut rest = &buffer[..length];
        Ok(Some((decode(&mut rest)?, length)))
    }

    /// The same, taken out of the buffer.
    pub fn take(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Reply>, ReplyError> {
        let Some((reply, length)) = self.next(buffer)? else { return Ok(None) };
        buffer.drain(..length);
        Ok(Some(reply))
    }
}

/// Builds the reply at the beginning of `rest`, which the scanner has found to be whole. As deep as
/// the scanner has allowed.
fn decode(rest: &mut &[u8]) -> Result<Reply, ReplyError> {
    loop {
        let (marker, text) = line(rest)?;
        let malformed = ReplyError::Malformed(marker);
        let number = || parse_i64(text).ok_or(malformed);
        return Ok(match marker {
            b'+' => Reply::Simple(text.to_vec()),
            b'-' => Reply::Error(text.to_vec()),
            b':' => Reply::Integer(number()?),
            b'(' => Reply::BigNumber(text.to_vec()),
            b',' => Reply::Double(double(text).ok_or(malformed)?),
            b'#' => match text {
                b"t" => Reply::Boolean(true),
                b"f" => Reply::Boolean(false),
                _ => return Err(malformed),
            },
            b'_' if text.is_empty() => Reply::Nil,
            b'$' | b'*' if text == b"-1" => Reply::Nil,
            b'$' => Reply::Bulk(body(rest, number()?, malformed)?.to_vec()),
            b'!' => Reply::Error(body(rest, number()?, malformed)?.to_vec()),
            b'=' => match body(rest, number()?, malformed)? {
                [a, b, c, b':', text @ ..] => {
                    Reply::Verbatim { format: [*a, *b, *c], text: text.to_vec() }
                }
                _ => return Err(malformed),
            },
            b'*' => Reply::Array(elements(rest, number()?)?),
            b'~' => Reply::Set(elements(rest, number()?)?),
            b'>' => Reply::Push(elements(rest, number()?)?),
            b'%' => {
                let pairs = (0..number()?).map(|_| Ok((decode(rest)?, decode(rest)?)));
                Reply::Map(pairs.collect::<Result<_, _>>()?)
            }
            b'|' => {
                for _ in 0..number()? {
                    decode(rest)?;
                    decode(rest)?;
                }
                continue;
            }
            _ => return Err(malformed),
        });
    }
}

fn elements(rest: &mut &[u8], count: i64) -> Result<Vec<Reply>, ReplyError> {
    (0..count).map(|_| decode(rest)).collect()
}

/// Takes the marker and the text of one line.
fn line<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), ReplyError> {
    let bytes = *rest;
    let marker = bytes.first().copied().unwrap_or(0);
    match memchr::memchr(b'\r', bytes) {
        Some(end) if end > 0 && bytes.len() >= end + 2 => {
            *rest = &bytes[end + 2..];
            Ok((marker, &bytes[1..end]))
        }
        _ => Err(ReplyError::Malformed(marker)),
    }
}

/// Takes `length` bytes and a line end.
fn body<'a>(
    rest: &mut &'a [u8],
    length: i64,
    malformed: ReplyError,
) -> Result<&'a [u8], ReplyError> {
    let length = usize::try_from(length).map_err(|_| malformed)?;
    let bytes = rest.get(..length).ok_or(malformed)?;
    *rest = rest.get(length + 2..).ok_or(malformed)?;
    Ok(bytes)
}

/// Reads a double of RESP3 (`1.5`, `1e9`, `inf`, `-inf`, `nan`).
fn double(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
