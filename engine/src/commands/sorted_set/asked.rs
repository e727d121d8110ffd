//! What requests say about scores and members.

use crate::command::{Args, Refusal};
use crate::resp::number::parse_i64;
use crate::value::number::parse_f64_redis;
use crate::value::sorted_set::Lex;

/// A score or an increment.
pub(super) fn score(text: &[u8]) -> Result<f64, Refusal> {
    parse_f64_redis(text).ok_or(Refusal::NotFloat)
}

/// An end of a range of scores.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct End {
    pub(super) score: f64,
    /// Whether that score is not in it.
    pub(super) is_open: bool,
}

pub(super) fn score_end(text: &[u8]) -> Result<End, Refusal> {
    let (is_open, text) = match text {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let score = as_strtod(text).filter(|score| !score.is_nan());
    let score = score.ok_or(Refusal::fixed("ERR min or max is not a float"))?;
    Ok(End { score, is_open })
}

/// What C's `strtod` makes of a text that it takes as a whole: other than where scores are set, nothing is 0
/// and a number that is too large is infinite.
fn as_strtod(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_space(byte))?;
    let text = &text[start..];
    let plainly = || std::str::from_utf8(text).ok()?.parse().ok();
    parse_f64_redis(text).or_else(plainly)
}

/// An end of a range of members.
pub(super) fn lex_end(text: &[u8]) -> Result<Lex<'_>, Refusal> {
    match text {
        b"-" => Ok(Lex::Least),
        b"+" => Ok(Lex::Most),
        [b'[', member @ ..] => Ok(Lex::With(member)),
        [b'(', member @ ..] => Ok(Lex::Without(member)),
        _ => Err(Refusal::fixed("ERR min or max not valid string range item")),
    }
}

/// A number of 0 or more.
pub(super) fn positive(text: &[u8], refusal: &'static str) -> Result<u64, Refusal> {
    let number = parse_i64(text).and_then(|number| u64::try_from(number).ok());
    number.ok_or(Refusal::fixed(refusal))
}

pub(super) const NOT_POSITIVE: &str = "ERR value is out of range, must be positive";

/// Behind the keys of ZMPOP and its kin: which end, and how many.
pub(super) fn end_and_count(args: &mut Args<'_>) -> Result<(bool, u64), Refusal> {
    let is_max = match () {
        () if args.word("MIN") => false,
        () if args.word("MAX") => true,
        () => return Err(Refusal::Syntax),
    };
    let mut count = None;
    while args.left() > 0 {
        if count.is_some() || args.left() < 2 || !args.word("COUNT") {
            return Err(Refusal::Syntax);
        }
        let refusal = "ERR count should be greater than 0";
        let said = positive(args.required()?, refusal)?;
        count = Some(Some(said).filter(|said| *said > 0).ok_or(Refusal::fixed(refusal))?);
    }
    Ok((is_max, count.unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_ranges_are_read_as_strtod_reads_them() {
        for (text, score) in [
            ("1", Some(1.0)),
            (" 1", Some(1.0)),
            ("", Some(0.0)),
            (" ", None),
            ("1 ", None),
            ("1e400", Some(f64::INFINITY)),
            ("-1e400", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("0x10", Some(16.0)),
            ("1\0x", Some(1.0)),
            ("nan", None),
            ("x", None),
        ] {
            for is_open in [false, true] {
                let text = [if is_open { "(" } else { "" }, text].concat();
                let end = score_end(text.as_bytes()).ok();
                assert_eq!(end, score.map(|score| End { score, is_open }), "{text:?}");
            }
        }
    }
}
