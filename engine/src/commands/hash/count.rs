//! Counters in fields. A counter keeps the time to live of its field; a sum is told as the text that it came to.

use super::access::change_one;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::commands::string::float_of;
use crate::resp::number::parse_i64;
use crate::value::Digits;

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
    let (mut sum, mut digits) = (0, Digits::new());
    change_one(cx, key, name, &mut digits, |value, digits| {
        let refusal = Refusal::fixed("ERR hash value is not an integer");
        let current = value.map_or(Some(0), parse_i64).ok_or(refusal)?;
        sum = current.checked_add(increment).ok_or(Refusal::Overflow)?;
        Ok(digits.of(sum))
    })?;
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
    let mut text = Vec::new();
    change_one(cx, key, name, &mut text, |value, text| {
        let refusal = Refusal::fixed("ERR hash value is not a float");
        let current = float_of(value.unwrap_or(b"0")).map_err(|_| refusal)?;
        let sum = current + increment;
        if !sum.is_finite() {
            return Err(Refusal::fixed("ERR increment would produce NaN or Infinity"));
        }
        sum.format(text);
        Ok(text)
    })?;
    cx.reply.bulk(&text);
    Ok(())
}
