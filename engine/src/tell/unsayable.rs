//! What no command says.

use crate::value::Unfit;

/// Why an entry of a log cannot be said to a Redis. Those who follow take a full copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsayable {
    /// A value that comes in pieces is longer than what is kept for followers.
    TooLong {
        /// How long it is.
        length: u64,
        /// How long it may be.
        longest: u64,
    },
    /// A value of another type than string was put in place of another one, whose deadline it keeps.
    KeptDeadline,
    /// A type that Redis does not have.
    UnknownType(u8),
    /// An effect that no type has.
    UnknownChange(u16),
    /// A piece of a value whose beginning was not told.
    NoBeginning,
    /// It says nothing.
    Malformed,
}

impl From<Unfit> for Unsayable {
    fn from(_: Unfit) -> Unsayable {
        Unsayable::Malformed
    }
}

impl std::fmt::Display for Unsayable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unsayable::TooLong { length, longest } => {
                write!(f, "a value of {length} bytes is longer than the {longest} that are kept")
            }
            Unsayable::KeptDeadline => f.write_str("a collection was put that keeps a deadline"),
            Unsayable::UnknownType(kind) => write!(f, "Redis has no type like number {kind}"),
            Unsayable::UnknownChange(what) => write!(f, "no type has a change of number {what}"),
            Unsayable::NoBeginning => f.write_str("a piece of a value came without its beginning"),
            Unsayable::Malformed => f.write_str("a record's bytes say nothing"),
        }
    }
}
