//! A value in a second place, or in another database.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decision, Flags, Found, Group, Keys, Outcome, Refusal, Run,
    Write,
};
use crate::journal::Deadline;
use crate::types::DbIndex;
use crate::value::NewValue;

const SAME: Refusal = Refusal::fixed("ERR source and destination objects are the same");

pub(super) const COPY: Command = Command {
    name: "copy",
    usage: "COPY source destination [DB destination-db] [REPLACE]",
    summary: "Copies a value and its time to live to another key, perhaps of another database.",
    since: "6.2.0",
    cost: "O(1): large values are shared until one of them changes.",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::TWO,
    run: Run::Carry(Carry { check, gather, decide }),
    examples: r#"
        > SET dolly sheep
        OK
        > COPY dolly clone
        (integer) 1
        > GET clone
        "sheep"
        > COPY dolly clone
        (integer) 0
        > COPY dolly clone REPLACE
        (integer) 1
        > COPY nothing clone REPLACE
        (integer) 0
        > COPY dolly dolly DB 1
        (integer) 1
        > COPY dolly dolly
        (error) ERR source and destination objects are the same
        > COPY dolly clone DB 99
        (error) ERR DB index is out of range
    "#,
};

/// What a COPY asks beside its two keys.
struct Options {
    /// The destination's database, where it is named.
    db: Option<i64>,
    replace: bool,
}

fn options(mut args: Args<'_>) -> Result<Options, Refusal> {
    let mut options = Options { db: None, replace: false };
    args.seek(3);
    while args.left() > 0 {
        if args.word("REPLACE") {
            options.replace = true;
        } else if args.left() > 1 && args.word("DB") {
            options.db = Some(args.integer()?);
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok(options)
}

fn destination(options: &Options, db: DbIndex, dbs: usize) -> Result<DbIndex, Refusal> {
    let Some(named) = options.db else { return Ok(db) };
    let index = usize::try_from(named).ok().filter(|&index| index < dbs);
    index.map(|index| DbIndex(index as u16)).ok_or(Refusal::DbIndex)
}

fn check(args: Args<'_>) -> Result<(), Refusal> {
    options(args).map(drop)
}

fn gather(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<Carried, Refusal> {
    let target = destination(&options(args)?, cx.db, cx.keys.db_count())?;
    let db = if index == 0 { cx.db } else { target };
    Ok(cx.keys.peek(db, key).map(Found::of))
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Vec<Write>, Refusal> {
    let options = options(args)?;
    let db = destination(&options, decision.db, decision.dbs)?;
    if db == decision.db && args.get(1) == args.get(2) {
        return Err(SAME);
    }
    let taken = carried[1].is_some() && !options.replace;
    let found = carried[0].clone().filter(|_| !taken);
    decision.reply.integer(i64::from(found.is_some()));
    let key = args.get(2).to_vec();
    let put = |Found { value, deadline }| Write::Put { db, key, value, deadline };
    Ok(found.map(put).into_iter().collect())
}

pub(super) const MOVE: Command = Command {
    name: "move",
    usage: "MOVE key db",
    summary: "Moves a key to another database, unless it is taken there.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE,
    run: Run::Here(move_key),
    examples: r#"
        > SET one 1
        OK
        > MOVE one 1
        (integer) 1
        > EXISTS one
        (integer) 0
        > MOVE one 1
        (integer) 0
        > MOVE one 0
        (error) ERR source and destination objects are the same
        > MOVE one 16
        (error) ERR DB index is out of range
    "#,
};

fn move_key(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let target = args.integer()?;
    let target = cx.db_index(target)?;
    if target == cx.db {
        return Err(SAME);
    }
    let found = cx.keys.peek(cx.db, key).map(Found::of);
    let found = found.filter(|_| !cx.keys.exists(target, key));
    cx.reply.integer(i64::from(found.is_some()));
    if let Some(Found { value, deadline }) = found {
        cx.keys.remove(cx.db, key);
        let deadline = deadline.map_or(Deadline::None, Deadline::At);
        cx.keys.put(target, key, NewValue::Shared(value), deadline);
    }
    Ok(())
}
