//! A value in a second place, or in another database.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Outcome,
    Refusal, Run, Spec, Uses, Write,
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
    keys: Keys::of([Spec::at(1).used(Uses::READ), Spec::at(2).used(Uses::REPLACE)]),
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
        > COPY dolly clone DB 2147483648
        (error) ERR value is out of range, value must between -2147483648 and 2147483647
        > COPY dolly clone DB 99
        (error) ERR DB index is out of range
        > COPY dolly clone DB 99 nonsense
        (error) ERR DB index is out of range
        > COPY dolly clone DB 1 nonsense
        (error) ERR syntax error
    "#,
};

/// What a COPY asks beside its two keys.
struct Options {
    /// The destination's database, where it is named.
    db: Option<DbIndex>,
    replace: bool,
}

/// Reads the options. Redis looks at a database's number before it reads on, so where the number of
/// databases is not known, what follows is not judged.
fn options(mut args: Args<'_>, dbs: Option<usize>) -> Result<Options, Refusal> {
    let mut options = Options { db: None, replace: false };
    args.seek(3);
    while args.left() > 0 {
        if args.word("REPLACE") {
            options.replace = true;
        } else if args.left() > 1 && args.word("DB") {
            let number = args.small_integer()?;
            let Some(dbs) = dbs else { return Ok(options) };
            let index = usize::try_from(number).ok().filter(|&index| index < dbs);
            options.db = Some(DbIndex(index.ok_or(Refusal::DbIndex)? as u16));
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok(options)
}

fn check(args: Args<'_>) -> Result<(), Refusal> {
    options(args, None).map(drop)
}

fn gather(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<Carried, Refusal> {
    let target = options(args, Some(cx.keys.db_count()))?.db;
    let db = if index == 0 { cx.db } else { target.unwrap_or(cx.db) };
    let found = if index == 0 { cx.keys.look(db, key) } else { cx.keys.peek(db, key) };
    Ok(found.map(Found::of))
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = options(args, Some(decision.dbs))?;
    let db = options.db.unwrap_or(decision.db);
    if db == decision.db && args.get(1) == args.get(2) {
        return Err(SAME);
    }
    let taken = carried[1].is_some() && !options.replace;
    let found = carried[0].clone().filter(|_| !taken);
    decision.reply.integer(i64::from(found.is_some()));
    let key = args.get(2).to_vec();
    // A copy has not been used yet.
    let put = |Found { value, deadline, .. }| Write::Put { db, key, value, deadline, clock: 0 };
    Ok(Decided::Writes(found.map(put).into_iter().collect()))
}

pub(super) const MOVE: Command = Command {
    name: "move",
    usage: "MOVE key db",
    summary: "Moves a key to another database, unless it is taken there.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ_CHANGE),
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
    let target = args.small_integer()?;
    let target = cx.db_index(i64::from(target))?;
    if target == cx.db {
        return Err(SAME);
    }
    let found = cx.keys.peek(cx.db, key).map(Found::of);
    let found = found.filter(|_| !cx.keys.exists(target, key));
    cx.reply.integer(i64::from(found.is_some()));
    if let Some(Found { value, deadline, clock }) = found {
        cx.keys.remove(cx.db, key);
        let deadline = deadline.map_or(Deadline::None, Deadline::At);
        cx.keys.put(target, key, NewValue::Shared(value), deadline);
        cx.keys.keep_used(target, key, clock);
    }
    Ok(())
}
