//! Setting fields.

use super::access::{in_pieces, look_to_change, set};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::hash::Given;

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

pub(super) const HSET: Command = Command {
    name: "hset",
    usage: "HSET key field value [field value ...]",
    summary: "Sets fields of a hash, creating it; returns how many of them are new.",
    since: "2.0.0",
    cost: "O(1) for each field",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(hset),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HSET ada name King born 1815 died 1852
        (integer) 1
        > HGETALL ada
        1) "born"
        2) "1815"
        3) "name"
        4) "King"
        5) "died"
        6) "1852"
        > OBJECT ENCODING ada
        "listpack"
        > HSET ada born 1815 name
        (error) ERR wrong number of arguments for 'hset' command
        > SET text hello
        OK
        > HSET text field value
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

fn hset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    set_all(cx, args, "hset", |cx, added| cx.reply.count(added))
}

pub(super) const HMSET: Command = Command {
    name: "hmset",
    usage: "HMSET key field value [field value ...]",
    summary: "Sets fields of a hash, creating it. HSET does the same and says more.",
    since: "2.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(hmset),
    examples: r#"
        > HMSET ada born 1815 name Lovelace
        OK
        > HGET ada born
        "1815"
        > HMSET ada born
        (error) ERR wrong number of arguments for 'hmset' command
    "#,
};

fn hmset(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    set_all(cx, args, "hmset", |cx, _| cx.reply.ok())
}

fn set_all(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    name: &str,
    answer: fn(&mut Cx<'_>, usize),
) -> Result<Whole, Refusal> {
    if args.len() % 2 == 1 {
        return Err(Refusal::Arity(name.to_owned()));
    }
    if args.len() == 4 {
        let field = (args.get(2), args.get(3), None);
        let added = set(cx, cx.db, args.get(1), &[field], 1)?;
        answer(cx, added);
        return Ok(Whole::Done);
    }
    look_to_change(cx, cx.db, args.get(1))?;
    let mut added = 0;
    in_pieces(cx, args, 2, 2, move |cx, args, range, is_last| {
        let field = |at: usize| (args.get(at), args.get(at + 1), None);
        let fields: Vec<Given<'_>> = range.step_by(2).map(field).collect();
        added += set(cx, cx.db, args.get(1), &fields, (args.len() - 2) / 2)?;
        if is_last {
            answer(cx, added);
        }
        Ok(())
    })
}

pub(super) const HSETNX: Command = Command {
    name: "hsetnx",
    usage: "HSETNX key field value",
    summary: "Sets a field of a hash if there is no such field.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::INSERT)),
    run: Run::Here(hsetnx),
    examples: r#"
        > HSETNX ada born 1815
        (integer) 1
        > HSETNX ada born 1816
        (integer) 0
        > HGET ada born
        "1815"
    "#,
};

fn hsetnx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, name, value) = (args.get(1), args.get(2), args.get(3));
    let seen = look_to_change(cx, cx.db, key)?;
    let is_there = seen.is_some_and(|seen| seen.get(name).is_some());
    if !is_there {
        set(cx, cx.db, key, &[(name, value, None)], 1)?;
    }
    cx.reply.integer(i64::from(!is_there));
    Ok(())
}
