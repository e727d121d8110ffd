//! Looking at fields.

use super::access::{Seen, in_pieces, look, look_again, look_to_change, write_value};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};

const FLAGS: Flags = Flags::READONLY.union(Flags::FAST);

pub(super) const HGET: Command = Command {
    name: "hget",
    usage: "HGET key field",
    summary: "Returns the value of a field of a hash.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(hget),
    examples: r#"
        > HSET ada born 1815
        (integer) 1
        > HGET ada born
        "1815"
        > HGET ada died
        (nil)
        > HGET nobody born
        (nil)
    "#,
};

fn hget(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (seen, mut reply) = look(cx, args.get(1))?;
    write_value(&mut reply, seen.and_then(|seen| seen.get(args.get(2))));
    Ok(())
}

pub(super) const HMGET: Command = Command {
    name: "hmget",
    usage: "HMGET key field [field ...]",
    summary: "Returns the values of several fields of a hash.",
    since: "2.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(hmget),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HMGET ada name died born
        1) "Lovelace"
        2) (nil)
        3) "1815"
        > HMGET nobody name born
        1) (nil)
        2) (nil)
    "#,
};

fn hmget(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.get(1))?;
    in_pieces(cx, args, 2, 1, |cx, args, range, _| {
        if range.start == 2 {
            cx.reply.array(args.len() - 2);
        }
        let (seen, mut reply) = look_again(cx, args.get(1), range.start > 2)?;
        for at in range {
            write_value(&mut reply, seen.and_then(|seen| seen.get(args.get(at))));
        }
        Ok(())
    })
}

pub(super) const HEXISTS: Command = Command {
    name: "hexists",
    usage: "HEXISTS key field",
    summary: "Says whether a hash has a field.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(hexists),
    examples: r#"
        > HSET ada born 1815
        (integer) 1
        > HEXISTS ada born
        (integer) 1
        > HEXISTS ada died
        (integer) 0
    "#,
};

fn hexists(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (seen, mut reply) = look(cx, args.get(1))?;
    reply.integer(i64::from(seen.is_some_and(|seen| seen.get(args.get(2)).is_some())));
    Ok(())
}

pub(super) const HLEN: Command = Command {
    name: "hlen",
    usage: "HLEN key",
    summary: "Returns how many fields a hash has.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(hlen),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HLEN ada
        (integer) 2
        > HLEN nobody
        (integer) 0
    "#,
};

fn hlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (seen, mut reply) = look(cx, args.get(1))?;
    reply.count(seen.map_or(0, Seen::len) as usize);
    Ok(())
}

pub(super) const HSTRLEN: Command = Command {
    name: "hstrlen",
    usage: "HSTRLEN key field",
    summary: "Returns the length of the value of a field of a hash, 0 where there is none.",
    since: "3.2.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(hstrlen),
    examples: r#"
        > HSET ada name Lovelace
        (integer) 1
        > HSTRLEN ada name
        (integer) 8
        > HSTRLEN ada died
        (integer) 0
    "#,
};

fn hstrlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (seen, mut reply) = look(cx, args.get(1))?;
    let field = seen.and_then(|seen| seen.get(args.get(2)));
    reply.count(field.map_or(0, |field| field.value().len()));
    Ok(())
}
