//! Counters: strings that spell numbers.
//!
//! A counter keeps its deadline. Sums of floating-point numbers are journaled as the text that they
//! came to: a replica copies, it never computes.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::journal::Deadline;
use crate::resp::number::parse_i64;
use crate::value::number::Extended;
use crate::value::{NewValue, Value};

/// The longest text that is looked at as a floating-point number, as in Redis: a number with more digits
/// than the largest `long double` has says nothing more, and reading one takes quadratic time.
const FLOAT_TEXT_MAX: usize = 5 * 1024 - 1;

const COUNTER: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

pub(super) const INCR: Command = Command {
    name: "incr",
    usage: "INCR key",
    summary: "Adds one to the integer at a key, 0 if there is none, and returns the sum.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: COUNTER,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(incr),
    examples: r#"
        > SET visits 10
        OK
        > INCR visits
        (integer) 11
        > SET name alice
        OK
        > INCR name
        (error) ERR value is not an integer or out of range
    "#,
};

fn incr(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    add(cx, args.get(1), 1)
}

pub(super) const DECR: Command = Command {
    name: "decr",
    usage: "DECR key",
    summary: "Takes one from the integer at a key, 0 if there is none, and returns the difference.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: COUNTER,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(decr),
    examples: r#"
        > SET left 1
        OK
        > DECR left
        (integer) 0
        > DECR left
        (integer) -1
    "#,
};

fn decr(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    add(cx, args.get(1), -1)
}

pub(super) const INCRBY: Command = Command {
    name: "incrby",
    usage: "INCRBY key increment",
    summary: "Adds to the integer at a key, 0 if there is none, and returns the sum.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: COUNTER,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(incrby),
    examples: r#"
        > INCRBY visits 5
        (integer) 5
        > INCRBY visits -7
        (integer) -2
        > SET visits 9223372036854775807
        OK
        > INCRBY visits 1
        (error) ERR increment or decrement would overflow
    "#,
};

fn incrby(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let increment = args.integer()?;
    add(cx, key, increment)
}

pub(super) const DECRBY: Command = Command {
    name: "decrby",
    usage: "DECRBY key decrement",
    summary: "Takes from the integer at a key, 0 if there is none, and returns the difference.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: COUNTER,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(decrby),
    examples: r#"
        > SET stock 10
        OK
        > DECRBY stock 3
        (integer) 7
    "#,
};

fn decrby(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let increment = args.integer()?.checked_neg();
    add(cx, key, increment.ok_or(Refusal::fixed("ERR decrement would overflow"))?)
}

fn add(cx: &mut Cx<'_>, key: &[u8], increment: i64) -> Outcome {
    let (current, deadline) = match cx.keys.string_to_change(cx.db, key)? {
        None => (0, Deadline::None),
        Some(value) => (integer_of(value)?, Deadline::Keep),
    };
    let sum = current.checked_add(increment).ok_or(Refusal::Overflow)?;
    cx.keys.put(cx.db, key, NewValue::Int(sum), deadline);
    cx.reply.integer(sum);
    Ok(())
}

fn integer_of(value: Value<'_>) -> Result<i64, Refusal> {
    match value {
        Value::Int(number) => Ok(number),
        Value::Bytes(bytes) => parse_i64(bytes).ok_or(Refusal::NotInteger),
        Value::Rope(_) => Err(Refusal::NotInteger),
    }
}

pub(super) const INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    usage: "INCRBYFLOAT key increment",
    summary: "Adds to the floating-point number at a key, 0 if there is none, and returns the sum.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::String,
    flags: COUNTER,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(incrbyfloat),
    examples: r#"
        > SET balance 10.50
        OK
        > INCRBYFLOAT balance 0.1
        "10.6"
        > INCRBYFLOAT balance -5
        "5.6"
        > SET balance 5.0e3
        OK
        > INCRBYFLOAT balance 2.0e2
        "5200"
        > INCRBYFLOAT balance much
        (error) ERR value is not a valid float
    "#,
};

fn incrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let (current, deadline) = match cx.keys.string_to_change(cx.db, key)? {
        None => (float_of(b"0")?, Deadline::None),
        Some(Value::Rope(_)) => return Err(Refusal::NotFloat),
        Some(value) => (value.with_bytes(float_of)?, Deadline::Keep),
    };
    let sum = current + float_of(args.get(2))?;
    if !sum.is_finite() {
        return Err(Refusal::fixed("ERR increment would produce NaN or Infinity"));
    }
    let mut text = Vec::new();
    sum.format(&mut text);
    cx.reply.bulk(&text);
    // As text also where it is whole, which is how Redis stores it.
    cx.keys.put(cx.db, key, NewValue::Owned(text), deadline);
    Ok(())
}

/// The number that a text spells, as INCRBYFLOAT reads it.
pub(in crate::commands) fn float_of(text: &[u8]) -> Result<Extended, Refusal> {
    if text.len() > FLOAT_TEXT_MAX {
        return Err(Refusal::NotFloat);
    }
    Extended::parse(text).ok_or(Refusal::NotFloat)
}
