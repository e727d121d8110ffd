//! How long a key lives, and making it live for ever.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run, Uses};
use crate::types::Millis;
use crate::value::Item;

const FLAGS: Flags = Flags::READONLY.union(Flags::FAST);

/// The reply for a key that is not there.
const NO_KEY: i64 = -2;
/// The reply for a key without a deadline.
const NO_DEADLINE: i64 = -1;

pub(super) const TTL: Command = Command {
    name: "ttl",
    usage: "TTL key",
    summary: "Returns the seconds that a key has to live: -1 for ever, -2 if there is no such key.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE,
    run: Run::Here(ttl),
    examples: r#"
        > TTL session
        (integer) -2
        > SET session token
        OK
        > TTL session
        (integer) -1
        > PEXPIRE session 1499
        (integer) 1
        > TTL session
        (integer) 1
    "#,
};

pub(super) const PTTL: Command = Command {
    name: "pttl",
    usage: "PTTL key",
    summary: "Returns the milliseconds that a key has to live: -1 for ever, -2 if there is none.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE,
    run: Run::Here(pttl),
    examples: r#"
        > PTTL session
        (integer) -2
        > SET session token
        OK
        > EXPIRE session 2
        (integer) 1
        > PTTL session
        (integer) 2000
    "#,
};

pub(super) const EXPIRETIME: Command = Command {
    name: "expiretime",
    usage: "EXPIRETIME key",
    summary: "Returns the Unix time at which a key ends to be: -1 never, -2 if there is none.",
    since: "7.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE,
    run: Run::Here(expiretime),
    examples: r#"
        > EXPIRETIME session
        (integer) -2
        > SET session token
        OK
        > EXPIRETIME session
        (integer) -1
        > PEXPIREAT session 33177117420500
        (integer) 1
        > EXPIRETIME session
        (integer) 33177117421
    "#,
};

pub(super) const PEXPIRETIME: Command = Command {
    name: "pexpiretime",
    usage: "PEXPIRETIME key",
    summary: "Returns the Unix time in milliseconds at which a key ends to be: -1 never, -2 if none.",
    since: "7.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE,
    run: Run::Here(pexpiretime),
    examples: r#"
        > SET session token
        OK
        > PEXPIRETIME session
        (integer) -1
        > EXPIREAT session 33177117420
        (integer) 1
        > PEXPIRETIME session
        (integer) 33177117420000
    "#,
};

fn ttl(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now();
    tell(cx, args, |at| rounded(at.0.saturating_sub(now.0)))
}

fn pttl(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now();
    tell(cx, args, |at| at.0.saturating_sub(now.0))
}

fn expiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, |at| rounded(at.0))
}

fn pexpiretime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, |at| at.0)
}

/// Whole seconds, the half rounded up.
fn rounded(millis: u64) -> u64 {
    millis.saturating_add(500) / 1000
}

fn tell(cx: &mut Cx<'_>, args: Args<'_>, number: impl FnOnce(Millis) -> u64) -> Outcome {
    cx.reply.integer(match cx.keys.look(cx.db, args.get(1)).map(Item::deadline) {
        None => NO_KEY,
        Some(None) => NO_DEADLINE,
        Some(Some(at)) => i64::try_from(number(at)).unwrap_or(i64::MAX),
    });
    Ok(())
}

pub(super) const PERSIST: Command = Command {
    name: "persist",
    usage: "PERSIST key",
    summary: "Lets a key live for ever.",
    since: "2.2.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(persist),
    examples: r#"
        > PERSIST session
        (integer) 0
        > SET session token
        OK
        > PERSIST session
        (integer) 0
        > EXPIRE session 10
        (integer) 1
        > PERSIST session
        (integer) 1
        > TTL session
        (integer) -1
    "#,
};

fn persist(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let had = cx.keys.deadline(cx.db, key).flatten().is_some();
    if had {
        cx.keys.set_deadline(cx.db, key, None);
    }
    cx.reply.integer(i64::from(had));
    Ok(())
}
