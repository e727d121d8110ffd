//! Members from here to there.

use super::span::{By, Rules, parse};
use super::write::Showing;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::value::sorted_set::SortedSet;

pub(super) const ZRANGE: Command = Command {
    name: "zrange",
    usage: "ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    summary: "Returns members from here to there: by number, score, or bytes.",
    since: "1.2.0",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrange),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZRANGE board 0 -1
        1) "ann"
        2) "bob"
        3) "eve"
        > ZRANGE board 0 1 REV
        1) "eve"
        2) "bob"
        > ZRANGE board (3 7 BYSCORE LIMIT 1 10
        1) "eve"
        > ZRANGE board + [b BYLEX REV LIMIT 0 1
        1) "eve"
        > ZRANGE nothing 0 -1
        (empty array)
        > ZRANGE board 0 -1 LIMIT 0 1
        (error) ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
    "#,
};

const ANY: Rules = Rules { key: 1, by: None, is_reversed: None, shows: true };

fn zrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, ANY)
}

pub(super) const ZREVRANGE: Command = Command {
    name: "zrevrange",
    usage: "ZREVRANGE key start stop [WITHSCORES]",
    summary: "Returns members from here to there, the last one being number 0.",
    since: "1.2.0",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrevrange),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZREVRANGE board 0 1
        1) "eve"
        2) "bob"
    "#,
};

fn zrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, Rules { by: Some(By::Rank), is_reversed: Some(true), ..ANY })
}

pub(super) const ZRANGEBYSCORE: Command = Command {
    name: "zrangebyscore",
    usage: "ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]",
    summary: "Returns members with scores in a range.",
    since: "1.0.5",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrangebyscore),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZRANGEBYSCORE board -inf (7
        1) "ann"
        2) "bob"
        > ZRANGEBYSCORE board -inf +inf LIMIT 1 1
        1) "bob"
        > ZRANGEBYSCORE board a b
        (error) ERR min or max is not a float
    "#,
};

fn zrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, Rules { by: Some(By::Score), is_reversed: Some(false), ..ANY })
}

pub(super) const ZREVRANGEBYSCORE: Command = Command {
    name: "zrevrangebyscore",
    usage: "ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]",
    summary: "Returns members with scores in a range, the highest first.",
    since: "2.2.0",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrevrangebyscore),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZREVRANGEBYSCORE board +inf (3
        1) "eve"
        2) "bob"
    "#,
};

fn zrevrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, Rules { by: Some(By::Score), is_reversed: Some(true), ..ANY })
}

pub(super) const ZRANGEBYLEX: Command = Command {
    name: "zrangebylex",
    usage: "ZRANGEBYLEX key min max [LIMIT offset count]",
    summary: "Returns members of one score that lie in a range of bytes.",
    since: "2.8.9",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrangebylex),
    examples: r#"
        > ZADD words 0 ant 0 bee 0 cat
        (integer) 3
        > ZRANGEBYLEX words - (cat
        1) "ant"
        2) "bee"
        > ZRANGEBYLEX words - + LIMIT 1 1
        1) "bee"
    "#,
};

fn zrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, Rules { by: Some(By::Lex), is_reversed: Some(false), ..ANY })
}

pub(super) const ZREVRANGEBYLEX: Command = Command {
    name: "zrevrangebylex",
    usage: "ZREVRANGEBYLEX key max min [LIMIT offset count]",
    summary: "Returns members of one score that lie in a range of bytes, the last one first.",
    since: "2.8.9",
    cost: "O(log(N) + M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrevrangebylex),
    examples: r#"
        > ZADD words 0 ant 0 bee 0 cat
        (integer) 3
        > ZREVRANGEBYLEX words + [bee
        1) "cat"
        2) "bee"
    "#,
};

fn zrevrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    show(cx, args, Rules { by: Some(By::Lex), is_reversed: Some(true), ..ANY })
}

fn show(cx: &mut Cx<'_>, args: Args<'_>, rules: Rules) -> Result<Whole, Refusal> {
    let (span, with_scores) = parse(args, rules)?;
    let (db, key) = (cx.db, args.get(1));
    let set: Option<&SortedSet> = cx.keys.object(db, key)?;
    let Some(set) = set else {
        cx.reply.array(0);
        return Ok(Whole::Done);
    };
    let mut showing = Showing::of(span.of_set(set)?, span.is_reversed, with_scores);
    if showing.is_short() {
        showing.more(set, &mut cx.reply);
        return Ok(Whole::Done);
    }
    let shared = cx.keys.peek(db, key).map(|item| item.share());
    Ok(Whole::Later(Box::new(move |cx| {
        let set = shared.as_ref().and_then(|shared| shared.object::<SortedSet>());
        Ok(set.is_none_or(|set| showing.more(set, &mut cx.reply)))
    })))
}
