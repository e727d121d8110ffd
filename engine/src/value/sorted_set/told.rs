//! A sorted set's effects in Redis's words.

use super::effect::{OP_REMOVE, OP_REMOVE_LAST, OP_REMOVE_RANGE, OP_SET, OP_SET_LARGE};
use super::packed::read;
use super::score::score_of;
use crate::value::effect::Reading;
use crate::value::saying::{Elements, Saying, Words};
use crate::value::types::Unfit;

/// How a sorted set is said.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    said(saying, op, bytes).unwrap_or(Err(Unfit::Malformed))
}

fn said(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Option<Result<(), Unfit>> {
    let mut reading = Reading(bytes);
    match op {
        OP_SET | OP_SET_LARGE => members(saying, bytes)?,
        OP_REMOVE => {
            let mut members = Elements::of("ZREM", &[]);
            while !reading.is_done() {
                members.push(saying, &[reading.bytes()?]);
            }
            members.end(saying);
        }
        OP_REMOVE_RANGE => {
            let (from, count) = (reading.number()?, reading.number()?);
            if count > 0 {
                let to = from.checked_add(count - 1)?;
                ranks(saying, &from.to_string(), &to.to_string());
            }
        }
        OP_REMOVE_LAST => {
            let count = reading.number()?;
            if count > 0 {
                ranks(saying, &format!("-{count}"), "-1");
            }
        }
        _ => return Some(Err(Unfit::Unknown)),
    }
    Some(Ok(()))
}

fn ranks(saying: &mut Saying<'_>, from: &str, to: &str) {
    saying.of_key("ZREMRANGEBYRANK", &[from.as_bytes(), to.as_bytes()]);
}

fn members(saying: &mut Saying<'_>, bytes: &[u8]) -> Option<()> {
    let (mut reading, mut members) = (Reading(bytes), Elements::of("ZADD", &[]));
    while !reading.is_done() {
        let (key, member) = read(&mut reading)?;
        members.push(saying, &[text(score_of(key)).as_bytes(), member]);
    }
    members.end(saying);
    Some(())
}

/// A score in as many digits as tell it from all others.
fn text(score: f64) -> String {
    let size = score.abs();
    let is_plain = size == 0.0 || size.is_infinite() || (1e-5..1e17).contains(&size);
    if is_plain { format!("{score}") } else { format!("{score:e}") }
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let (_, all) = bytes.split_first().ok_or(Unfit::Malformed)?;
    members(saying, all).ok_or(Unfit::Malformed)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_score_reads_as_it_was() {
        let edges = [0.0, 0.1, 1.5e17, 1e-5, f64::MAX, f64::MIN_POSITIVE, 5e-324, 3.0];
        for score in edges.into_iter().flat_map(|score| [score, -score]) {
            assert_eq!(text(score).parse(), Ok(score), "{}", text(score));
        }
        assert_eq!([text(f64::INFINITY), text(f64::NEG_INFINITY)], ["inf", "-inf"]);
        assert_eq!([text(3.0), text(-0.25)], ["3", "-0.25"]);
    }
}
