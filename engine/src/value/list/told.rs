//! A list's effects in Redis's words.

use super::effect::{
    OP_INSERT, OP_PUSH_LEFT, OP_PUSH_RIGHT, OP_REMOVE, OP_SET, OP_TRIM, OP_TRIM_LEFT, OP_TRIM_RIGHT,
};
use crate::value::effect::Reading;
use crate::value::saying::{Elements, Saying, Words};
use crate::value::types::Unfit;

/// How a list is said.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    if op > OP_REMOVE {
        return Err(Unfit::Unknown);
    }
    said(saying, op, &mut Reading(bytes)).ok_or(Unfit::Malformed)
}

/// `None` where the bytes say nothing. Forms are each server's own matter.
fn said(saying: &mut Saying<'_>, op: u8, reading: &mut Reading<'_>) -> Option<()> {
    let first = reading.number()?;
    let number = first >> 1;
    match op {
        OP_PUSH_LEFT => push(saying, "LPUSH", reading)?,
        OP_PUSH_RIGHT => push(saying, "RPUSH", reading)?,
        OP_TRIM_LEFT => trim(saying, number, 0),
        OP_TRIM_RIGHT => trim(saying, 0, number),
        OP_TRIM => trim(saying, number, reading.number()?),
        OP_SET => {
            let element = reading.bytes()?;
            saying.of_key("LSET", &[number.to_string().as_bytes(), element]);
        }
        OP_INSERT => {
            let side: &[u8] = if reading.number()? > 0 { b"AFTER" } else { b"BEFORE" };
            let (element, pivot) = (reading.bytes()?, reading.bytes()?);
            saying.of_key("LINSERT", &[side, pivot, element]);
        }
        _ => {
            let is_back = reading.number()? > 0;
            let (element, mut count) = (reading.bytes()?, 0);
            while !reading.is_done() {
                reading.number()?;
                count += 1;
            }
            let count = if is_back { -count } else { count };
            if count != 0 {
                saying.of_key("LREM", &[count.to_string().as_bytes(), element]);
            }
        }
    }
    Some(())
}

fn push(saying: &mut Saying<'_>, name: &str, reading: &mut Reading<'_>) -> Option<()> {
    let mut elements = Elements::of(name, &[]);
    while !reading.is_done() {
        elements.push(saying, &[reading.bytes()?]);
    }
    elements.end(saying);
    Some(())
}

/// So many go at both ends. None where only the form is another one.
fn trim(saying: &mut Saying<'_>, front: u64, back: u64) {
    if front > 0 || back > 0 {
        let last = format!("-{}", back.saturating_add(1));
        saying.of_key("LTRIM", &[front.to_string().as_bytes(), last.as_bytes()]);
    }
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let (_, elements) = bytes.split_first().ok_or(Unfit::Malformed)?;
    push(saying, "RPUSH", &mut Reading(elements)).ok_or(Unfit::Malformed)
}
