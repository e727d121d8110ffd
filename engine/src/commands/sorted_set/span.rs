//! Which members of a value a request means.

use super::asked::{lex_end, score_end};
use crate::command::{Args, Refusal};
use crate::resp::number::parse_i64;
use crate::value::sorted_set::SortedSet;
use std::ops::Range;

/// By what members are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// Their numbers.
    Rank,
    /// Their scores.
    Score,
    /// Their bytes.
    Lex,
}

/// A range of members as a request says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) by: By,
    pub(super) is_reversed: bool,
    ends: (&'a [u8], &'a [u8]),
    limit: Option<(i64, i64)>,
}

impl<'a> Span<'a> {
    /// From one end to the other, upwards, checked.
    pub(super) fn of(by: By, from: &'a [u8], to: &'a [u8]) -> Result<Span<'a>, Refusal> {
        Span { by, is_reversed: false, ends: (from, to), limit: None }.checked()
    }

    fn checked(self) -> Result<Span<'a>, Refusal> {
        let (from, to) = self.ends;
        match self.by {
            By::Rank => {
                parse_i64(from).and(parse_i64(to)).ok_or(Refusal::NotInteger)?;
            }
            By::Score => {
                score_end(from)?;
                score_end(to)?;
            }
            By::Lex => {
                lex_end(from)?;
                lex_end(to)?;
            }
        }
        Ok(self)
    }

    /// The members that are meant, by their numbers from the start on.
    pub(super) fn of_set(&self, set: &SortedSet) -> Result<Range<u64>, Refusal> {
        let (from, to) = self.ends;
        let range = match self.by {
            By::Rank => {
                let (from, to) = (parse_i64(from), parse_i64(to));
                let ends = from.zip(to).ok_or(Refusal::NotInteger)?;
                return Ok(self.of_ranks(ends, set.len()));
            }
            By::Score => {
                let (least, most) = (score_end(from)?, score_end(to)?);
                let start = set.rank_of_score(least.score, least.is_open);
                start..set.rank_of_score(most.score, !most.is_open).max(start)
            }
            By::Lex => set.range_of_lex(lex_end(from)?, lex_end(to)?, self.is_reversed),
        };
        Ok(self.limited(range))
    }

    fn of_ranks(&self, (from, to): (i64, i64), length: u64) -> Range<u64> {
        let signed = length as i64;
        let place = |at: i64| if at < 0 { at.saturating_add(signed) } else { at };
        let (from, to) = (place(from).max(0), place(to).min(signed - 1));
        if from > to {
            return 0..0;
        }
        let range = from as u64..to as u64 + 1;
        if self.is_reversed { length - range.end..length - range.start } else { range }
    }

    fn limited(&self, range: Range<u64>) -> Range<u64> {
        let Some((offset, count)) = self.limit else { return range };
        // What is before the beginning never comes.
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let length = range.end - range.start;
        let from = offset.min(length);
        let to = from.saturating_add(count).min(length);
        match self.is_reversed {
            false => range.start + from..range.start + to,
            true => range.end - to..range.end - from,
        }
    }
}

/// What a command of the family takes.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// The argument that is the source's key; the ends of the range follow.
    pub(super) key: usize,
    /// By what, if the command says it and not the request.
    pub(super) by: Option<By>,
    pub(super) is_reversed: Option<bool>,
    /// Whether scores can be asked for.
    pub(super) shows: bool,
}

/// Reads a request: the range, and whether scores are to be shown.
pub(super) fn parse(mut args: Args<'_>, rules: Rules) -> Result<(Span<'_>, bool), Refusal> {
    let Rules { key, mut by, mut is_reversed, shows } = rules;
    let mut ends = (args.get(key + 1), args.get(key + 2));
    let (mut limit, mut with_scores) = (None, false);
    args.seek(key + 3);
    while args.left() > 0 {
        if shows && args.word("WITHSCORES") {
            with_scores = true;
        } else if args.left() >= 3 && args.word("LIMIT") {
            limit = Some((args.integer()?, args.integer()?));
        } else if is_reversed.is_none() && args.word("REV") {
            is_reversed = Some(true);
        } else if by.is_none() && args.word("BYLEX") {
            by = Some(By::Lex);
        } else if by.is_none() && args.word("BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(Refusal::Syntax);
        }
    }
    let (by, is_reversed) = (by.unwrap_or(By::Rank), is_reversed.unwrap_or(false));
    if by == By::Rank && limit.is_some_and(|(_, count)| count != -1) {
        return Err(Refusal::fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if by == By::Lex && with_scores {
        return Err(Refusal::fixed(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    if is_reversed && by != By::Rank {
        ends = (ends.1, ends.0);
    }
    Ok((Span { by, is_reversed, ends, limit }.checked()?, with_scores))
}
