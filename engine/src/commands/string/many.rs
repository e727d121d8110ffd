//! Several strings with one request.

use super::reply::reply_at;
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Each, Flags, Found, Group, Join, Keys,
    Refusal, Run, Uses, Write,
};
use crate::journal::Deadline;
use crate::value::{INLINE_MAX, NewValue, Rope, SharedValue};

pub(super) const MGET: Command = Command {
    name: "mget",
    usage: "MGET key [key ...]",
    summary: "Returns the strings at several keys, as of one moment.",
    since: "1.0.0",
    cost: "O(N) for N keys",
    group: Group::String,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ALL,
    run: Run::Each(Each { stride: 1, one: mget_one, join: Join::Array }),
    examples: r#"
        > MSET red 1 blue 2
        OK
        > MGET red green blue
        1) "1"
        2) (nil)
        3) "2"
    "#,
};

fn mget_one(cx: &mut Cx<'_>, key: &[u8], _: NewValue<'_>) -> Result<i64, Refusal> {
    if reply_at(cx, key).is_err() {
        // What is no string has no answer here either; MGET never fails.
        cx.reply.nil();
    }
    Ok(0)
}

pub(super) const MSET: Command = Command {
    name: "mset",
    usage: "MSET key value [key value ...]",
    summary: "Sets the strings at several keys at one moment.",
    since: "1.0.1",
    cost: "O(N) for N keys",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::PAIRS.used(Uses::REPLACE),
    run: Run::Each(Each { stride: 2, one: mset_one, join: Join::Ok }),
    examples: r#"
        > MSET red 1 blue 2
        OK
        > GET blue
        "2"
        > MSET red 1 blue
        (error) ERR wrong number of arguments for 'mset' command
    "#,
};

fn mset_one(cx: &mut Cx<'_>, key: &[u8], value: NewValue<'_>) -> Result<i64, Refusal> {
    cx.keys.put(cx.db, key, value, Deadline::None);
    Ok(1)
}

pub(super) const MSETNX: Command = Command {
    name: "msetnx",
    usage: "MSETNX key value [key value ...]",
    summary: "Sets the strings at several keys at one moment, if none of the keys is there.",
    since: "1.0.1",
    cost: "O(N) for N keys",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::PAIRS.used(Uses::CREATE),
    run: Run::Carry(Carry { check: check_pairs, gather: is_there, decide: set_if_none_is_there }),
    examples: r#"
        > MSETNX red 1 blue 2
        (integer) 1
        > MSETNX blue 3 green 4
        (integer) 0
        > MGET red blue green
        1) "1"
        2) "2"
        3) (nil)
    "#,
};

fn check_pairs(args: Args<'_>) -> Result<(), Refusal> {
    if args.len() % 2 == 1 { Ok(()) } else { Err(Refusal::Arity("msetnx".to_owned())) }
}

/// Only whether the key is there is of interest: what stands for the value is the cheapest one.
fn is_there(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    let there = cx.keys.exists(cx.db, key);
    Ok(there.then_some(Found { value: SharedValue::Int(0), deadline: None, clock: 0 }))
}

fn set_if_none_is_there(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    if carried.iter().any(Option::is_some) {
        decision.reply.integer(0);
        return Ok(Vec::new().into());
    }
    decision.reply.integer(1);
    let put = |position: usize| {
        let (key, value) = (args.get(position).to_vec(), shared(args.value(position + 1)));
        Write::put(decision.db, key, value)
    };
    Ok(Decided::Writes((1..args.len()).step_by(2).map(put).collect()))
}

/// A client's value as one that can go to another shard: copied once, unless it is long.
fn shared(value: NewValue<'_>) -> SharedValue {
    match value {
        NewValue::Int(number) => SharedValue::Int(number),
        NewValue::Bytes(bytes) if bytes.len() > INLINE_MAX => SharedValue::Large(Rope::of(bytes)),
        NewValue::Bytes(bytes) => SharedValue::Small(bytes.into()),
        NewValue::Owned(bytes) => SharedValue::Small(bytes.into()),
        NewValue::Shared(value) => value,
        NewValue::Object(object) => SharedValue::Object(object),
    }
}
