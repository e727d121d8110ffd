//! ZSCAN: all members, a few at a time.

use super::write::write_member;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::commands::generic::{asked, cursor_of, in_steps};
use crate::glob::Pattern;
use crate::limits::SCAN_COST_MAX;
use crate::resp::ReplyWriter;
use crate::resp::number::write_double;
use crate::value::sorted_set::SortedSet;

pub(super) const ZSCAN: Command = Command {
    name: "zscan",
    usage: "ZSCAN key cursor [MATCH pattern] [COUNT count]",
    summary: "Returns some members and scores, and a cursor for the next call; 0 begins and ends a scan.",
    since: "2.8.0",
    cost: "O(COUNT) for each call, O(N) for all of N members.",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zscan),
    examples: r#"
        > ZADD board 3 ann 5.5 bob
        (integer) 2
        > ZSCAN board 0
        1) "0"
        2) 1) "ann"
           2) "3"
           3) "bob"
           4) "5.5"
        > ZSCAN board 0 MATCH b*
        1) "0"
        2) 1) "bob"
           2) "5.5"
        > ZSCAN nothing 0
        1) "0"
        2) (empty array)
        > ZSCAN board x
        (error) ERR invalid cursor
        > ZSCAN board 0 COUNT 0
        (error) ERR syntax error
    "#,
};

/// The most that one call visits: some 50 us.
const COUNT_MAX: u64 = 512;

fn zscan(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let cursor = cursor_of(args.required()?).ok_or(Refusal::fixed("ERR invalid cursor"))?;
    let set: Option<&SortedSet> = cx.keys.object(cx.db, key)?;
    let Some(set) = set else {
        cx.reply.array(2);
        cx.reply.bulk("0");
        cx.reply.array(0);
        return Ok(());
    };
    let asked = asked(args, 3, |_| Ok(false))?;
    let (wanted, most) = (asked.pattern()?, asked.count.min(COUNT_MAX));
    let (mut found, mut elements) = (0, Vec::new());
    let mut reply = ReplyWriter::new(&mut elements, cx.reply.protocol);
    let cursor = in_steps(cursor, most, SCAN_COST_MAX / 4, |cursor, step, cost| {
        set.scan(cursor, step, |entry| {
            *cost += entry.member.len() as u64;
            let mut fits = |wanted: &Pattern| {
                entry.member.with_bytes(|member| wanted.fits_counted(member, cost))
            };
            if wanted.as_deref().is_none_or(&mut fits) {
                write_member(&mut reply, entry.member);
                reply.bulk(score_text(entry.score, set.is_large()));
                found += 2;
            }
        })
    });
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(cursor));
    cx.reply.array(found);
    cx.reply.raw(&elements);
    Ok(())
}

/// A score as Redis writes it here: of a large set with 17 digits.
fn score_text(score: f64, is_large: bool) -> Vec<u8> {
    /// Whole numbers below are kept as such in a small set.
    const WHOLE: f64 = 9_223_372_036_854_775_808.0;
    let mut text = Vec::new();
    if !is_large && score.fract() == 0.0 && score.abs() < WHOLE {
        return (score as i64).to_string().into_bytes();
    }
    if !is_large || !score.is_finite() {
        write_double(&mut text, score);
        return text;
    }
    seventeen_digits(score).into_bytes()
}

/// As `%.17g`.
fn seventeen_digits(score: f64) -> String {
    let whole = format!("{score:.16e}");
    let Some((digits, exponent)) = whole.split_once('e') else { return whole };
    let power: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if !(-4..17).contains(&power) {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(digits), power.abs());
    }
    let places = usize::try_from(16 - power).unwrap_or(0);
    trimmed(&format!("{score:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_as_by_printf() {
        for (score, text) in [
            (0.0, "0"),
            (3.0, "3"),
            (0.1, "0.10000000000000001"),
            (-1.5, "-1.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (123456.789, "123456.789"),
        ] {
            assert_eq!(seventeen_digits(score), text);
        }
    }
}
