//! A set's effects in Redis's words.

use super::effect::{OP_REMOVE, OP_REMOVE_AND_LIST};
use crate::value::effect::Reading;
use crate::value::saying::{Elements, Saying, Words};
use crate::value::types::Unfit;

/// How a set is said.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    match op {
        ..OP_REMOVE => members(saying, "SADD", bytes),
        OP_REMOVE | OP_REMOVE_AND_LIST => members(saying, "SREM", bytes),
        _ => Err(Unfit::Unknown),
    }
}

fn members(saying: &mut Saying<'_>, name: &str, bytes: &[u8]) -> Result<(), Unfit> {
    let (mut reading, mut members) = (Reading(bytes), Elements::of(name, &[]));
    while !reading.is_done() {
        members.push(saying, &[reading.bytes().ok_or(Unfit::Malformed)?]);
    }
    members.end(saying);
    Ok(())
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let (_, all) = bytes.split_first().ok_or(Unfit::Malformed)?;
    members(saying, "SADD", all)
}
