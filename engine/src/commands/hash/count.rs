//! Counters in fields. A counter keeps the time to live of its field; a sum is told as the text that it came to.

use super::access::{look_to_change, set};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::commands::string::float_of;
use crate::resp::number::parse_i64;

const FLAGS: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

pub(super) const HINCRBY: Command = Command {
    name: "hincrby",
    usage: "HINCRBY key field increment",
    summary: "Adds to the integer in a field of a hash, 0 if there is none, and returns the sum.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(hincrby),
    examples: r#"
        > HINCRBY visits home 2
        (integer) 2
        > HINCRBY visits home -5
        (integer) -3
        > HINCRBY visits home much
        (error) ERR value is not an integer or out of range
        > HINCRBY visits home -9223372036854775808
        (error) ERR increment or decrement would overflow
        > HSET visits home many
        (integer) 0
        > HINCRBY visits home 1
        (error) ERR hash value is not an integer
    "#,
};

fn hincrby(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, name) = (args.get(1), args.get(2));
    let increment = parse_i64(args.get(3)).ok_or(Refusal::NotInteger)?;
    let seen = look_to_change(cx, cx.db, key)?;
    let (current, deadline) = match seen.and_then(|seen| seen.get(name)) {
        None => (0, None),
        Some(field) => {
            let refusal = Refusal::fixed("ERR hash value is not an integer");
            let number = parse_i64(&field.value().to_bytes());
            (number.ok_or(refusal)?, field.deadline())
        }
    };
    let sum = current.checked_add(increment).ok_or(Refusal::Overflow)?;
    let mut digits = itoa::Buffer::new();
    let value = digits.format(sum).as_bytes();
    set(cx, cx.db, key, &[(name, value, deadline)], 1)?;
    cx.reply.integer(sum);
    Ok(())
}

pub(super) const HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    usage: "HINCRBYFLOAT key field increment",
    summary: "Adds to the floating-point number in a field of a hash, 0 if there is none, and returns \
              the sum.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(hincrbyfloat),
    examples: r#"
        > HSET ada balance 10.50
        (integer) 1
        > HINCRBYFLOAT ada balance 0.1
        "10.6"
        > HINCRBYFLOAT ada balance -5
        "5.6"
        > HINCRBYFLOAT ada debts 5.0e3
        "5000"
        > HINCRBYFLOAT ada balance much
        (error) ERR value is not a valid float
        > HINCRBYFLOAT ada balance inf
        (error) ERR value is NaN or Infinity
        > HSET ada balance much
        (integer) 0
        > HINCRBYFLOAT ada balance 1
        (error) ERR hash value is not a float
    "#,
};

fn hincrbyfloat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, name) = (args.get(1), args.get(2));
    let increment = float_of(args.get(3))?;
    if !increment.is_finite() {
        return Err(Refusal::fixed("ERR value is NaN or Infinity"));
    }
    let seen = look_to_change(cx, cx.db, key)?;
    let (current, deadline) = match seen.and_then(|seen| seen.get(name)) {
        None => (float_of(b"0")?, None),
        Some(field) => {
            let number = float_of(&field.value().to_bytes());
            let refusal = Refusal::fixed("ERR hash value is not a float");
            (number.map_err(|_| refusal)?, field.deadline())
        }
    };
    let sum = current + increment;
    if !sum.is_finite() {
        return Err(Refusal::fixed("ERR increment would produce NaN or Infinity"));
    }
    let mut text = Vec::new();
    sum.format(&mut text);
    set(cx, cx.db, key, &[(name, &text, deadline)], 1)?;
    cx.reply.bulk(&text);
    Ok(())
}
