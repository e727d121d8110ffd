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
