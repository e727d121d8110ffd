//! Whole databases: counted, emptied, exchanged.

use crate::command::{All, Args, Command, Cx, Flags, Group, Keys, Part, Refusal, Run};
use crate::resp::ReplyWriter;
use crate::resp::number::parse_i64;
use crate::types::DbIndex;

pub(super) const DBSIZE: Command = Command {
    name: "dbsize",
    usage: "DBSIZE",
    summary: "Counts the keys of the database.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Server,
    flags: Flags::READONLY.union(Flags::FAST).union(Flags::KEYSPACE),
    keys: Keys::NONE,
    run: Run::All(All { check: any, part: size, join: join_sizes, barrier: false }),
    examples: r#"
        > DBSIZE
        (integer) 0
        > SET one 1
        OK
        > SET two 2
        OK
        > DBSIZE
        (integer) 2
    "#,
};

fn any(_: Args<'_>, _: usize) -> Result<(), Refusal> {
    Ok(())
}

fn size(cx: &mut Cx<'_>, _: Args<'_>, part: &mut Part) -> Result<bool, Refusal> {
    part.number = cx.keys.len(cx.db) as i64;
    Ok(true)
}

fn join_sizes(_: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>) {
    reply.integer(parts.iter().map(|part| part.number).sum());
}

fn join_ok(_: Args<'_>, _: &[Part], reply: &mut ReplyWriter<'_>) {
    reply.ok();
}

const CHANGES: Flags = Flags::WRITE.union(Flags::KEYSPACE).union(Flags::DANGEROUS);

pub(super) const SWAPDB: Command = Command {
    name: "swapdb",
    usage: "SWAPDB index1 index2",
    summary: "Exchanges two databases: whoever uses one sees the contents of the other.",
    since: "4.0.0",
    cost: "O(1)",
    group: Group::Server,
    flags: CHANGES.union(Flags::FAST),
    keys: Keys::NONE,
    run: Run::All(All { check: check_swap, part: swap, join: join_ok, barrier: true }),
    examples: r#"
        > SET one 1
        OK
        > SWAPDB 0 1
        OK
        > GET one
        (nil)
        > SWAPDB 1 0
        OK
        > GET one
        "1"
        > SWAPDB zero 1
        (error) ERR invalid first DB index
        > SWAPDB 0 one
        (error) ERR invalid second DB index
        > SWAPDB 2147483648 0
        (error) ERR invalid first DB index
        > SWAPDB 0 16
        (error) ERR DB index is out of range
    "#,
};

fn swapped(args: Args<'_>, dbs: usize) -> Result<(DbIndex, DbIndex), Refusal> {
    let number = |index: usize, refusal| {
        let number = parse_i64(args.get(index));
        number.and_then(|number| i32::try_from(number).ok()).ok_or(refusal)
    };
    let one = number(1, Refusal::fixed("ERR invalid first DB index"))?;
    let other = number(2, Refusal::fixed("ERR invalid second DB index"))?;
    let index = |number| {
        let index = usize::try_from(number).ok().filter(|&index| index < dbs);
        index.map(|index| DbIndex(index as u16)).ok_or(Refusal::DbIndex)
    };
    Ok((index(one)?, index(other)?))
}

fn check_swap(args: Args<'_>, dbs: usize) -> Result<(), Refusal> {
    swapped(args, dbs).map(drop)
}

fn swap(cx: &mut Cx<'_>, args: Args<'_>, _: &mut Part) -> Result<bool, Refusal> {
    let (one, other) = swapped(args, cx.keys.db_count())?;
    cx.keys.swap_db(one, other);
    Ok(true)
}

pub(super) const FLUSHDB: Command = Command {
    name: "flushdb",
    usage: "FLUSHDB [ASYNC | SYNC]",
    summary: "Empties the database. Memory is given back piece by piece either way.",
    since: "1.0.0",
    cost: "O(1); freeing is O(N) in the background.",
    group: Group::Server,
    flags: CHANGES,
    keys: Keys::NONE,
    run: Run::All(All { check: check_flush, part: flush_db, join: join_ok, barrier: true }),
    examples: r#"
        > SET one 1
        OK
        > FLUSHDB
        OK
        > DBSIZE
        (integer) 0
        > FLUSHDB NOW
        (error) ERR syntax error
    "#,
};

pub(super) const FLUSHALL: Command = Command {
    name: "flushall",
    usage: "FLUSHALL [ASYNC | SYNC]",
    summary: "Empties all databases. Memory is given back piece by piece either way.",
    since: "1.0.0",
    cost: "O(1); freeing is O(N) in the background.",
    group: Group::Server,
    flags: CHANGES,
    keys: Keys::NONE,
    run: Run::All(All { check: check_flush, part: flush_all, join: join_ok, barrier: true }),
    examples: r#"
        > SET one 1
        OK
        > MOVE one 3
        (integer) 1
        > FLUSHALL ASYNC
        OK
        > SWAPDB 0 3
        OK
        > GET one
        (nil)
        > FLUSHALL ASYNC SYNC
        (error) ERR syntax error
    "#,
};

fn check_flush(mut args: Args<'_>, _: usize) -> Result<(), Refusal> {
    if args.len() == 1 || args.word("ASYNC") || args.word("SYNC") {
        return args.end();
    }
    Err(Refusal::Syntax)
}

fn flush_db(cx: &mut Cx<'_>, _: Args<'_>, _: &mut Part) -> Result<bool, Refusal> {
    cx.keys.flush_db(cx.db);
    Ok(true)
}

fn flush_all(cx: &mut Cx<'_>, _: Args<'_>, _: &mut Part) -> Result<bool, Refusal> {
    cx.keys.flush_all();
    Ok(true)
}
