//! Why a command was refused: every client-visible error text of the engine, in one place.
//!
//! The texts are Redis's, to the letter, because clients and operators match on them.

use crate::db::WrongType;
use std::borrow::Cow;

/// What running a command comes to: the reply was written, or it was refused and nothing changed.
pub type Outcome = Result<(), Refusal>;

/// A refusal; [`Refusal::text`] is what the client reads (without the leading `-`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The arguments do not form a valid request.
    Syntax,
    /// The key holds another type.
    WrongType,
    /// A number was expected.
    NotInteger,
    /// An integer does not fit 32 bits.
    NotSmall,
    /// The least number of 64 bits where its opposite is needed.
    NotNegatable,
    /// A floating-point number was expected.
    NotFloat,
    /// An integer result does not fit 64 bits.
    Overflow,
    /// A database index beyond the last one.
    DbIndex,
    /// No such key where one must be.
    NoSuchKey,
    /// Bit offsets.
    BitOffset,
    /// Bits are 0 or 1.
    BitValue,
    /// Above the 512 MB that a string may have.
    TooLong,
    /// An offset beyond what is possible.
    OffsetRange,
    /// `invalid expire time in 'x' command`.
    ExpireTime(&'static str),
    /// `wrong number of arguments for 'x' command`.
    Arity(String),
    /// Memory is full and nothing may or can be evicted.
    OutOfMemory,
    /// Writes are refused on a replica.
    ReadOnly,
    /// A pattern beyond what is matched.
    LongPattern,
    /// No refusal to anybody: the rest of a reply that nobody wants (CLIENT REPLY) is not made.
    Unwanted,
    /// Another fixed text, code included (`ERR ...`).
    Text(Cow<'static, str>),
    /// A text that repeats a client's bytes as they are, code included.
    Raw(Vec<u8>),
}

impl Refusal {
    /// The data is not all there yet.
    pub const LOADING: Refusal =
        Refusal::fixed("LOADING Damselfly is loading the dataset in memory");

    /// A fixed text, code included.
    pub const fn fixed(text: &'static str) -> Refusal {
        Refusal::Text(Cow::Borrowed(text))
    }

    /// A text made for the occasion, code included.
    pub fn made(text: String) -> Refusal {
        Refusal::Text(Cow::Owned(text))
    }

    /// An error that repeats a word of the client's between `before` and `after`: its very bytes, up to a
    /// NUL (to Redis it is a C string). Line ends become spaces when it is written.
    pub fn quoting(before: &str, word: &[u8], after: &str) -> Refusal {
        let shown = word.split(|byte| *byte == 0).next().unwrap_or_default();
        Refusal::Raw([before.as_bytes(), shown, after.as_bytes()].concat())
    }

    /// No error where it only says that the reply is not wanted.
    pub(crate) fn unless_unwanted(self) -> Result<(), Refusal> {
        if matches!(self, Refusal::Unwanted) { Ok(()) } else { Err(self) }
    }

    /// What the client reads after the `-`, to the byte.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match (self, self.text()) {
            (Refusal::Raw(bytes), _) => Cow::Borrowed(bytes),
            (_, Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            (_, Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        }
    }

    /// The same as a text, for counters and logs.
    pub fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Refusal::Syntax => "ERR syntax error",
            Refusal::WrongType => {
                "WRONGTYPE Operation against a key holding the wrong kind of value"
            }
            Refusal::NotInteger => "ERR value is not an integer or out of range",
            Refusal::NotSmall => {
                "ERR value is out of range, value must between -2147483648 and 2147483647"
            }
            Refusal::NotNegatable => {
                "ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807"
            }
            Refusal::NotFloat => "ERR value is not a valid float",
            Refusal::Overflow => "ERR increment or decrement would overflow",
            Refusal::DbIndex => "ERR DB index is out of range",
            Refusal::NoSuchKey => "ERR no such key",
            Refusal::BitOffset => "ERR bit offset is not an integer or out of range",
            Refusal::BitValue => "ERR bit is not an integer or out of range",
            Refusal::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Refusal::LongPattern => "ERR pattern is too long (at most 262144 bytes)",
            Refusal::OffsetRange => "ERR offset is out of range",
            Refusal::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Refusal::Unwanted => "ERR nobody wants this reply",
            Refusal::ReadOnly => "READONLY You can't write against a read only replica.",
            Refusal::ExpireTime(name) => {
                return Cow::Owned(format!("ERR invalid expire time in '{name}' command"));
            }
            Refusal::Arity(name) => {
                return Cow::Owned(format!("ERR wrong number of arguments for '{name}' command"));
            }
            Refusal::Text(text) => return Cow::Borrowed(text),
            Refusal::Raw(bytes) => return String::from_utf8_lossy(bytes),
        })
    }
}

impl From<WrongType> for Refusal {
    fn from(_: WrongType) -> Refusal {
        Refusal::WrongType
    }
}
