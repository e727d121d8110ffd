//! What a peer can do wrong, in the words in which Redis says it.

use std::fmt;

/// A request that cannot be understood. The connection must be closed after the error was sent:
/// where the next request begins is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// `*` is not followed by a count within the limit.
    InvalidMultibulkLength,
    /// `$` is not followed by a length within the limit.
    InvalidBulkLength,
    /// An argument does not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// More arguments than a client may send before it has authenticated.
    UnauthenticatedMultibulkLength,
    /// A longer argument than a client may send before it has authenticated.
    UnauthenticatedBulkLength,
    /// An inline request without an end.
    TooBigInline,
    /// A count of arguments without an end.
    TooBigMultibulkCount,
    /// A length of an argument without an end.
    TooBigBulkCount,
    /// An inline request with an open quote, or with text right after a closed one.
    UnbalancedQuotes,
    /// All arguments together exceed the bound of a request. (Redis closes such a client silently.)
    TooBigRequest,
}

impl ProtocolError {
    /// Appends the error as a reply: `-ERR Protocol error: ...`.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR Protocol error: ");
        out.extend_from_slice(self.text().as_bytes());
        if let ProtocolError::ExpectedBulk(byte) = self {
            // The byte as it came, also where it is no character; a line break would end the reply.
            out.push(if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
            out.push(b'\'');
        }
        out.extend_from_slice(b"\r\n");
    }

    fn text(self) -> &'static str {
        match self {
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::ExpectedBulk(_) => "expected '$', got '",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::TooBigMultibulkCount => "too big mbulk count string",
            ProtocolError::TooBigBulkCount => "too big bulk count string",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooBigRequest => "too big request",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(self.text())?;
        match self {
            ProtocolError::ExpectedBulk(byte) => write!(f, "{}'", byte.escape_ascii()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A reply that cannot be understood, or that is larger than the reader allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyError {
    /// A reply begins with this byte, which is none of the protocol's.
    UnknownType(u8),
    /// A length, count or value is not what the type demands.
    Malformed(u8),
    /// The reply exceeds `ReplyLimits::bytes`.
    TooBig,
    /// The reply is nested deeper than `ReplyLimits::depth`.
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::UnknownType(byte) => {
                write!(f, "a reply begins with '{}'", byte.escape_ascii())
            }
            ReplyError::Malformed(byte) => {
                write!(f, "a reply of type '{}' is malformed", byte.escape_ascii())
            }
            ReplyError::TooBig => f.write_str("a reply is too big"),
            ReplyError::TooDeep => f.write_str("a reply is nested too deeply"),
        }
    }
}

impl std::error::Error for ReplyError {}
