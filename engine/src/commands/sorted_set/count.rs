//! How many members there are.

use super::span::{By, Span};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run, Uses};
use crate::value::sorted_set::SortedSet;

pub(super) const ZCARD: Command = Command {
    name: "zcard",
    usage: "ZCARD key",
    summary: "Returns how many members a sorted set has.",
    since: "1.2.0",
    cost: "O(1)",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(zcard),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZCARD board
        (integer) 2
        > ZCARD nothing
        (integer) 0
        > SET text hello
        OK
        > ZCARD text
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

fn zcard(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.count(set.map_or(0, |set| set.len() as usize));
    Ok(())
}

pub(super) const ZCOUNT: Command = Command {
    name: "zcount",
    usage: "ZCOUNT key min max",
    summary: "Returns how many members have scores in a range.",
    since: "2.0.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zcount),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZCOUNT board (3 +inf
        (integer) 2
        > ZCOUNT board 3 x
        (error) ERR min or max is not a float
    "#,
};

fn zcount(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    count(cx, args, By::Score)
}

pub(super) const ZLEXCOUNT: Command = Command {
    name: "zlexcount",
    usage: "ZLEXCOUNT key min max",
    summary: "Returns how many members of one score lie in a range of bytes.",
    since: "2.8.9",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zlexcount),
    examples: r#"
        > ZADD words 0 ant 0 bee 0 cat
        (integer) 3
        > ZLEXCOUNT words [bee +
        (integer) 2
        > ZLEXCOUNT words bee +
        (error) ERR min or max not valid string range item
    "#,
};

fn zlexcount(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    count(cx, args, By::Lex)
}

fn count(cx: &mut Cx<'_>, args: Args<'_>, by: By) -> Outcome {
    let span = Span::of(by, args.get(2), args.get(3))?;
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    let range = set.map_or(Ok(0..0), |set| span.of_set(set))?;
    cx.reply.count((range.end - range.start) as usize);
    Ok(())
}
