//! A string's effects in Redis's words.

use super::effect::Effect;
use super::patch::each_part;
use crate::value::saying::{Saying, Words};
use crate::value::types::Unfit;

/// How a string is said. As a whole it is with its deadline, in one command, which is not said here.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    let mut set_range = |at: u64, bytes: &[u8]| {
        saying.of_key("SETRANGE", &[at.to_string().as_bytes(), bytes]);
    };
    match Effect::decode(op, bytes)? {
        Effect::Append(bytes) => saying.of_key("APPEND", &[bytes]),
        Effect::SetRange { offset, bytes } => set_range(offset, bytes),
        // What makes it longer or shorter is told otherwise.
        Effect::Patch(told) => each_part(told, &mut |at, replaced, bytes| {
            let is_same_length = replaced == bytes.len();
            if is_same_length && replaced > 0 {
                set_range(at as u64, bytes);
            }
            is_same_length.then_some(()).ok_or(Unfit::Malformed)
        })?,
        Effect::Become(bytes) => saying.of_key("SET", &[bytes, b"KEEPTTL"]),
    }
    Ok(())
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    saying.of_key("SET", &[bytes]);
    Ok(())
}
