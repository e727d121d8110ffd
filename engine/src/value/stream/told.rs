//! In the words of Redis: not yet.

use crate::value::saying::{Saying, Words};
use crate::value::types::Unfit;
/// How it is said to a Redis.
pub const WORDS: Words = Words { effect, whole };
fn effect(_: &mut Saying<'_>, _: u8, _: &[u8]) -> Result<(), Unfit> {
    Err(Unfit::Unknown)
}
fn whole(_: &mut Saying<'_>, _: &[u8]) -> Result<(), Unfit> {
    Err(Unfit::Unknown)
}
