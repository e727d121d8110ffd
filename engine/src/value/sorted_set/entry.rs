//! A member where it lies.

use crate::value::Value;

/// A member and its score.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Never NaN.
    pub score: f64,
    /// Who: bytes, or a rope.
    pub member: Value<'a>,
}

/// An end of a range of members, by their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lex<'a> {
    /// Before all of them.
    Least,
    /// Behind all of them.
    Most,
    /// At this one, with it.
    With(&'a [u8]),
    /// At this one, without it.
    Without(&'a [u8]),
}

impl Lex<'_> {
    /// Whether nothing can be between these two.
    pub(super) fn is_reversed(least: Lex<'_>, most: Lex<'_>) -> bool {
        match (least, most) {
            (Lex::Most, _) | (_, Lex::Least) => true,
            (Lex::With(least), Lex::With(most)) => least > most,
            (Lex::With(least) | Lex::Without(least), Lex::With(most) | Lex::Without(most)) => {
                least >= most
            }
            (Lex::Least, _) | (_, Lex::Most) => false,
        }
    }

    /// Whether a member is behind it, as the lower end.
    pub(super) fn is_below(self, member: &[u8]) -> bool {
        match self {
            Lex::With(least) => member >= least,
            Lex::Without(least) => member > least,
            _ => true,
        }
    }

    /// Whether a member is before it, as the upper end.
    pub(super) fn is_above(self, member: &[u8]) -> bool {
        match self {
            Lex::With(most) => member <= most,
            Lex::Without(most) => member < most,
            _ => true,
        }
    }
}
