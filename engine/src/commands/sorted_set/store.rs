//! A range of members under another key.

use super::span::{Rules, parse};
use super::write::{Making, PIECE};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::types::DbIndex;
use crate::value::SharedValue;
use crate::value::sorted_set::SortedSet;

pub(super) const ZRANGESTORE: Command = Command {
    name: "zrangestore",
    usage: "ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
    summary: "Stores members from here to there under another key; returns how many they are.",
    since: "6.2.0",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([Spec::at(1).used(Uses::REPLACE), Spec::at(2).used(Uses::READ)]),
    run: Run::Carry(Carry { check, gather: look, decide: store }),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZRANGESTORE best board 0 1 REV
        (integer) 2
        > ZRANGE best 0 -1
        1) "bob"
        2) "eve"
        > ZRANGESTORE best board 10 20 BYSCORE
        (integer) 0
        > EXISTS best
        (integer) 0
        > ZRANGESTORE best board 0 -1 WITHSCORES
        (error) ERR syntax error
    "#,
};

const RULES: Rules = Rules { key: 2, by: None, is_reversed: None, shows: false };

fn check(args: Args<'_>) -> Result<(), Refusal> {
    parse(args, RULES).map(drop)
}

fn look(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    if index == 0 {
        // Whatever is there is replaced.
        return Ok(None);
    }
    cx.keys.object::<SortedSet>(cx.db, key)?;
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn store(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let (span, _) = parse(args, RULES)?;
    let source = carried.get(1).cloned().flatten();
    let set = source.as_ref().and_then(|found| found.value.object::<SortedSet>());
    let mut left = set.map_or(Ok(0..0), |set| span.of_set(set))?;
    let is_short = left.end - left.start <= PIECE;
    let mut making = Making::new(decision.encodings);
    let (db, key) = (decision.db, args.get(1).to_vec());
    let pondering = move |decision: &mut Decision<'_>| {
        let piece = left.start..left.end.min(left.start + PIECE);
        left.start = piece.end;
        let set = source.as_ref().and_then(|found| found.value.object::<SortedSet>());
        if let Some(set) = set {
            set.visit(piece, false, |entry| {
                entry.member.with_bytes(|member| making.set(entry.score, member));
                true
            });
        }
        if !left.is_empty() {
            return Ok(None);
        }
        decision.reply.count(making.len() as usize);
        Ok(Some(vec![stored(db, &key, making.end())]))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}

/// The outcome under its key, from which what is there goes in any case.
pub(super) fn stored(db: DbIndex, key: &[u8], value: Option<SharedValue>) -> Write {
    match value {
        Some(value) => Write::put(db, key.to_vec(), value),
        None => Write::Remove { db, key: key.to_vec() },
    }
}
