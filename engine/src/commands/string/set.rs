//! Writing one string whole.

use super::expiry::{Lifetime, Unit, instant};
use super::reply::reply_at;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::journal::Deadline;

pub(super) const SET: Command = Command {
    name: "set",
    usage: "SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | \
            EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
    summary: "Sets the string at a key, whatever it held; on condition and for a time, if asked to.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used_as_asked(
        Uses::READ_CHANGE,
        uses_of_set,
        "RW and ACCESS due to the optional `GET` argument",
    ),
    run: Run::Here(set),
    examples: r#"
        > SET greeting hello
        OK
        > SET greeting bonjour NX
        (nil)
        > SET greeting bonjour XX GET
        "hello"
        > SET greeting hi EX 60
        OK
        > SET greeting ciao KEEPTTL
        OK
        > TTL greeting
        (integer) 60
        > SET greeting hi EX 0
        (error) ERR invalid expire time in 'set' command
        > SET greeting hi EX 60 KEEPTTL
        (error) ERR syntax error
    "#,
};

/// Whether the key must be missing or there for SET to do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    Missing,
    Present,
}

#[derive(Default)]
struct SetOptions<'a> {
    condition: Option<Condition>,
    get: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(args: &mut Args<'a>) -> Result<SetOptions<'a>, Refusal> {
        let mut options = SetOptions::default();
        while args.left() > 0 {
            if args.word("NX") {
                options.demand(Condition::Missing)?;
            } else if args.word("XX") {
                options.demand(Condition::Present)?;
            } else if args.word("GET") {
                options.get = true;
            } else if !options.lifetime.take_keep(args)? && !options.lifetime.take_until(args)? {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }

    fn demand(&mut self, condition: Condition) -> Result<(), Refusal> {
        match self.condition.replace(condition) {
            Some(other) if other != condition => Err(Refusal::Syntax),
            _ => Ok(()),
        }
    }
}

/// Redis takes GET anywhere behind the value, also where another option's value stands.
fn uses_of_set(args: &Args<'_>) -> Uses {
    let gets = args.from(3).any(|word| word.eq_ignore_ascii_case(b"GET"));
    if gets { Uses::READ_CHANGE } else { Uses::REPLACE }
}

fn set(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let (key, value) = (args.required()?, args.required_value()?);
    if args.left() == 0 {
        cx.keys.put(cx.db, key, value, Deadline::None);
        cx.reply.ok();
        return Ok(());
    }
    let options = SetOptions::parse(&mut args)?;
    let deadline = match options.lifetime {
        Lifetime::Until(unit, text) => Deadline::At(instant(unit, text, cx.now(), "set")?),
        Lifetime::Keep => Deadline::Keep,
        Lifetime::Persist | Lifetime::Unsaid => Deadline::None,
    };
    let found = if options.get { reply_at(cx, key)? } else { cx.keys.exists(cx.db, key) };
    let refused = match options.condition {
        Some(Condition::Missing) => found,
        Some(Condition::Present) => !found,
        None => false,
    };
    if refused {
        if !options.get {
            cx.reply.nil();
        }
        return Ok(());
    }
    // There is nothing to keep where nothing was.
    let deadline = if deadline == Deadline::Keep && !found { Deadline::None } else { deadline };
    cx.keys.put(cx.db, key, value, deadline);
    if !options.get {
        cx.reply.ok();
    }
    Ok(())
}

pub(super) const SETNX: Command = Command {
    name: "setnx",
    usage: "SETNX key value",
    summary: "Sets the string at a key if there is no such key. Use SET with NX instead.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::CREATE),
    run: Run::Here(setnx),
    examples: r#"
        > SETNX lock alice
        (integer) 1
        > SETNX lock bob
        (integer) 0
        > GET lock
        "alice"
    "#,
};

fn setnx(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let key = args.get(1);
    let found = cx.keys.exists(cx.db, key);
    if !found {
        cx.keys.put(cx.db, key, args.value(2), Deadline::None);
    }
    cx.reply.integer(i64::from(!found));
    Ok(())
}

pub(super) const SETEX: Command = Command {
    name: "setex",
    usage: "SETEX key seconds value",
    summary: "Sets the string at a key for some seconds. Use SET with EX instead.",
    since: "2.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::REPLACE),
    run: Run::Here(setex),
    examples: r#"
        > SETEX session 60 token
        OK
        > TTL session
        (integer) 60
        > SETEX session 0 token
        (error) ERR invalid expire time in 'setex' command
    "#,
};

fn setex(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_for_a_time(cx, args, Unit::Seconds, "setex")
}

pub(super) const PSETEX: Command = Command {
    name: "psetex",
    usage: "PSETEX key milliseconds value",
    summary: "Sets the string at a key for some milliseconds. Use SET with PX instead.",
    since: "2.6.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::REPLACE),
    run: Run::Here(psetex),
    examples: r#"
        > PSETEX session 60000 token
        OK
        > TTL session
        (integer) 60
        > PSETEX session soon token
        (error) ERR value is not an integer or out of range
    "#,
};

fn psetex(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    set_for_a_time(cx, args, Unit::Millis, "psetex")
}

fn set_for_a_time(cx: &mut Cx<'_>, args: Args<'_>, unit: Unit, command: &'static str) -> Outcome {
    let at = instant(unit, args.get(2), cx.now(), command)?;
    let value = args.value(3);
    cx.keys.put(cx.db, args.get(1), value, Deadline::At(at));
    cx.reply.ok();
    Ok(())
}
