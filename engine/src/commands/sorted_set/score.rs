//! Scores and ranks of members.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::value::sorted_set::SortedSet;

pub(super) const ZSCORE: Command = Command {
    name: "zscore",
    usage: "ZSCORE key member",
    summary: "Returns the score of a member.",
    since: "1.2.0",
    cost: "O(1)",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zscore),
    examples: r#"
        > ZADD board 3.5 ann
        (integer) 1
        > ZSCORE board ann
        "3.5"
        > ZSCORE board bob
        (nil)
        > ZSCORE nothing bob
        (nil)
    "#,
};

fn zscore(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    match set.and_then(|set| set.score(args.get(2))) {
        Some(score) => cx.reply.double(score),
        None => cx.reply.nil(),
    }
    Ok(())
}

pub(super) const ZMSCORE: Command = Command {
    name: "zmscore",
    usage: "ZMSCORE key member [member ...]",
    summary: "Returns the scores of members.",
    since: "6.2.0",
    cost: "O(N) for N members",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zmscore),
    examples: r#"
        > ZADD board 3 ann
        (integer) 1
        > ZMSCORE board ann bob
        1) "3"
        2) (nil)
        > ZMSCORE nothing bob
        1) (nil)
    "#,
};

fn zmscore(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => cx.reply.double(score),
            None => cx.reply.nil(),
        }
    }
    Ok(())
}

pub(super) const ZRANK: Command = Command {
    name: "zrank",
    usage: "ZRANK key member [WITHSCORE]",
    summary: "Returns how many members stand before a member.",
    since: "2.0.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zrank),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZRANK board bob
        (integer) 1
        > ZRANK board ann WITHSCORE
        1) (integer) 0
        2) "3"
        > ZRANK board eve
        (nil)
        > ZRANK board ann WITHSCORES
        (error) ERR syntax error
    "#,
};

fn zrank(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    rank(cx, args, false)
}

pub(super) const ZREVRANK: Command = Command {
    name: "zrevrank",
    usage: "ZREVRANK key member [WITHSCORE]",
    summary: "Returns how many members stand behind a member.",
    since: "2.0.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(zrevrank),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZREVRANK board ann
        (integer) 1
        > ZREVRANK board ann WITHSCORE
        1) (integer) 1
        2) "3"
        > ZREVRANK nothing ann WITHSCORE
        (nil)
    "#,
};

fn zrevrank(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    rank(cx, args, true)
}

fn rank(cx: &mut Cx<'_>, args: Args<'_>, is_reversed: bool) -> Outcome {
    let with_score = args.len() > 3;
    if args.len() > 4 {
        let name = if is_reversed { ZREVRANK.name } else { ZRANK.name };
        return Err(Refusal::Arity(name.to_owned()));
    }
    if with_score && !args.get(3).eq_ignore_ascii_case(b"WITHSCORE") {
        return Err(Refusal::Syntax);
    }
    let set: Option<&SortedSet> = cx.keys.object(cx.db, args.get(1))?;
    let found = set.and_then(|set| {
        let (rank, score) = set.rank(args.get(2))?;
        Some((if is_reversed { set.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            cx.reply.array(2);
            cx.reply.count(rank as usize);
            cx.reply.double(score);
        }
        Some((rank, _)) => cx.reply.count(rank as usize),
        None if with_score => cx.reply.nil_array(),
        None => cx.reply.nil(),
    }
    Ok(())
}
