//! Reading one string, and what may happen to it on the way.

use super::expiry::{Lifetime, instant};
use super::reply::reply_at;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Spec, Uses};
use crate::journal::Deadline;

pub(super) const GET: Command = Command {
    name: "get",
    usage: "GET key",
    summary: "Returns the string at a key.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE,
    run: Run::Here(get),
    examples: r#"
        > SET greeting hello
        OK
        > GET greeting
        "hello"
        > GET nothing
        (nil)
    "#,
};

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    reply_at(cx, args.get(1))?;
    Ok(())
}

pub(super) const GETDEL: Command = Command {
    name: "getdel",
    usage: "GETDEL key",
    summary: "Returns the string at a key and deletes the key.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Here(getdel),
    examples: r#"
        > SET ticket 4711
        OK
        > GETDEL ticket
        "4711"
        > GETDEL ticket
        (nil)
    "#,
};

fn getdel(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    if reply_at(cx, key)? {
        cx.keys.remove(cx.db, key);
    }
    Ok(())
}

pub(super) const GETEX: Command = Command {
    name: "getex",
    usage: "GETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
            PXAT unix-time-milliseconds | PERSIST]",
    summary: "Returns the string at a key and sets, changes or drops its time to live.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::of([Spec::at(1)
        .used(Uses::READ_CHANGE)
        .noted("RW and UPDATE because it changes the TTL")]),
    run: Run::Here(getex),
    examples: r#"
        > SET session token EX 100
        OK
        > GETEX session PERSIST
        "token"
        > TTL session
        (integer) -1
        > GETEX session EX 60
        "token"
        > TTL session
        (integer) 60
        > GETEX nothing
        (nil)
    "#,
};

fn getex(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let mut lifetime = Lifetime::Unsaid;
    while args.left() > 0 {
        if !lifetime.take_until(&mut args)? && !lifetime.take_persist(&mut args)? {
            return Err(Refusal::Syntax);
        }
    }
    if !reply_at(cx, key)? {
        return Ok(());
    }
    match lifetime {
        Lifetime::Until(unit, text) => {
            let at = instant(unit, text, cx.now(), "getex")?;
            cx.keys.set_deadline(cx.db, key, Some(at));
        }
        // Without a deadline there is nothing to drop, and nothing to tell.
        Lifetime::Persist if cx.keys.deadline(cx.db, key).flatten().is_some() => {
            cx.keys.set_deadline(cx.db, key, None);
        }
        Lifetime::Persist | Lifetime::Keep | Lifetime::Unsaid => {}
    }
    Ok(())
}

pub(super) const GETSET: Command = Command {
    name: "getset",
    usage: "GETSET key value",
    summary: "Sets the string at a key and returns the one that was there. Use SET with GET instead.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(getset),
    examples: r#"
        > GETSET visits 0
        (nil)
        > INCR visits
        (integer) 1
        > GETSET visits 0
        "1"
    "#,
};

fn getset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    reply_at(cx, key)?;
    cx.keys.put(cx.db, key, args.value(2), Deadline::None);
    Ok(())
}
