//! EXPIRE and its three relatives: when a key ends to be.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::types::Millis;

const FLAGS: Flags = Flags::WRITE.union(Flags::FAST);

pub(super) const EXPIRE: Command = Command {
    name: "expire",
    usage: "EXPIRE key seconds [NX | XX | GT | LT]",
    summary: "Lets a key live so many seconds longer.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(expire),
    examples: r#"
        > EXPIRE session 100
        (integer) 0
        > SET session token
        OK
        > EXPIRE session 100 XX
        (integer) 0
        > EXPIRE session 100 GT
        (integer) 0
        > EXPIRE session 100 LT
        (integer) 1
        > EXPIRE session 50 NX
        (integer) 0
        > EXPIRE session 50 XX GT
        (integer) 0
        > EXPIRE session 50 LT
        (integer) 1
        > TTL session
        (integer) 50
        > EXPIRE session -1
        (integer) 1
        > EXISTS session
        (integer) 0
        > EXPIRE session 10 NX GT
        (error) ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE session 10 GT LT
        (error) ERR GT and LT options at the same time are not compatible
        > EXPIRE session 10 soon
        (error) ERR Unsupported option soon
        > EXPIRE session soon
        (error) ERR value is not an integer or out of range
        > EXPIRE session 9223372036854775807
        (error) ERR invalid expire time in 'expire' command
    "#,
};

pub(super) const PEXPIRE: Command = Command {
    name: "pexpire",
    usage: "PEXPIRE key milliseconds [NX | XX | GT | LT]",
    summary: "Lets a key live so many milliseconds longer.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(pexpire),
    examples: r#"
        > SET session token
        OK
        > PEXPIRE session 1500
        (integer) 1
        > PTTL session
        (integer) 1500
        > PEXPIRE session 9223372036854775807
        (error) ERR invalid expire time in 'pexpire' command
    "#,
};

pub(super) const EXPIREAT: Command = Command {
    name: "expireat",
    usage: "EXPIREAT key unix-time-seconds [NX | XX | GT | LT]",
    summary: "Lets a key live until an instant.",
    since: "1.2.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(expireat),
    examples: r#"
        > SET session token
        OK
        > EXPIREAT session 33177117420
        (integer) 1
        > EXPIRETIME session
        (integer) 33177117420
        > EXPIREAT session 1
        (integer) 1
        > GET session
        (nil)
        > EXPIREAT session 9223372036854775807
        (error) ERR invalid expire time in 'expireat' command
    "#,
};

pub(super) const PEXPIREAT: Command = Command {
    name: "pexpireat",
    usage: "PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]",
    summary: "Lets a key live until an instant, in milliseconds.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(pexpireat),
    examples: r#"
        > SET session token
        OK
        > PEXPIREAT session 33177117420000
        (integer) 1
        > PEXPIRETIME session
        (integer) 33177117420000
        > PEXPIREAT session 9223372036854775807 GT
        (integer) 1
    "#,
};

fn expire(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now();
    change(cx, args, "expire", 1000, now)
}

fn pexpire(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let now = cx.now();
    change(cx, args, "pexpire", 1, now)
}

fn expireat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    change(cx, args, "expireat", 1000, Millis(0))
}

fn pexpireat(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    change(cx, args, "pexpireat", 1, Millis(0))
}

/// Which deadlines a new one may replace.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Conditions, Refusal> {
        let mut asked = Conditions::default();
        for word in args.from(3) {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => asked.nx = true,
                b"XX" => asked.xx = true,
                b"GT" => asked.gt = true,
                b"LT" => asked.lt = true,
                _ => {
                    return Err(Refusal::quoting("ERR Unsupported option ", word, ""));
                }
            }
        }
        if asked.nx && (asked.xx || asked.gt || asked.lt) {
            return Err(Refusal::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if asked.gt && asked.lt {
            return Err(Refusal::fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(asked)
    }

    /// No deadline counts as one that never comes.
    fn allow(self, old: Option<Millis>, new: i64) -> bool {
        let old = old.map(|Millis(old)| i64::try_from(old).unwrap_or(i64::MAX));
        let refused = (self.nx && old.is_some())
            || (self.xx && old.is_none())
            || (self.gt && old.is_none_or(|old| new <= old))
            || (self.lt && old.is_some_and(|old| new >= old));
        !refused
    }
}

/// Changes a deadline to the second argument, which counts in `unit` milliseconds from `base` on.
fn change(
    cx: &mut Cx<'_>,
    mut args: Args<'_>,
    name: &'static str,
    unit: i64,
    base: Millis,
) -> Outcome {
    let conditions = Conditions::parse(args)?;
    let key = args.required()?;
    let at = args
        .integer()?
        .checked_mul(unit)
        .and_then(|at| at.checked_add_unsigned(base.0))
        .ok_or(Refusal::ExpireTime(name))?;
    let Some(old) = cx.keys.deadline(cx.db, key) else {
        cx.reply.integer(0);
        return Ok(());
    };
    let allowed = conditions.allow(old, at);
    if allowed {
        // An instant before the epoch has passed like any other: the effect deletes the key.
        cx.keys.set_deadline(cx.db, key, Some(Millis(at.max(0) as u64)));
    }
    cx.reply.integer(i64::from(allowed));
    Ok(())
}
