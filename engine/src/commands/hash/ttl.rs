//! How long fields live, and that they are to live for ever.

use super::access::{in_pieces, look_again, look_to_change};
use super::expire::fields;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::types::Millis;
use crate::value::hash::Date;

const FLAGS: Flags = Flags::READONLY.union(Flags::FAST);

pub(super) const HTTL: Command = Command {
    name: "httl",
    usage: "HTTL key FIELDS numfields field [field ...]",
    summary: "Returns how many seconds fields of a hash have left: -1 of one that lives for ever, -2 of \
              one that is not there.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| {
        let now = cx.now();
        tell(cx, args, move |Millis(at)| (at - now.0).div_ceil(1000))
    }),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HEXPIRE session 100 FIELDS 1 token
        1) (integer) 1
        > HTTL session FIELDS 3 token user nothing
        1) (integer) 100
        2) (integer) -1
        3) (integer) -2
        > HTTL nothing FIELDS 1 token
        1) (integer) -2
        > HTTL session FIELDS 0 token
        (error) ERR Number of fields must be a positive integer
    "#,
};

pub(super) const HPTTL: Command = Command {
    name: "hpttl",
    usage: "HPTTL key FIELDS numfields field [field ...]",
    summary: "Returns how many milliseconds fields of a hash have left, as HTTL does seconds.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| {
        let now = cx.now();
        tell(cx, args, move |Millis(at)| at - now.0)
    }),
    examples: r#"
        > HSET session token abc
        (integer) 1
        > HPEXPIRE session 1500 FIELDS 1 token
        1) (integer) 1
        > HPTTL session FIELDS 1 token
        1) (integer) 1500
    "#,
};

pub(super) const HEXPIRETIME: Command = Command {
    name: "hexpiretime",
    usage: "HEXPIRETIME key FIELDS numfields field [field ...]",
    summary: "Returns the instants, in seconds, at which fields of a hash end; -1 and -2 as HTTL.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| tell(cx, args, |Millis(at)| at.div_ceil(1000))),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HPEXPIREAT session 33177117420001 FIELDS 1 token
        1) (integer) 1
        > HEXPIRETIME session FIELDS 2 token user
        1) (integer) 33177117421
        2) (integer) -1
    "#,
};

pub(super) const HPEXPIRETIME: Command = Command {
    name: "hpexpiretime",
    usage: "HPEXPIRETIME key FIELDS numfields field [field ...]",
    summary: "Returns the instants, in milliseconds, at which fields of a hash end; -1 and -2 as HTTL.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| tell(cx, args, |Millis(at)| at)),
    examples: r#"
        > HSET session token abc
        (integer) 1
        > HPEXPIREAT session 33177117420001 FIELDS 1 token
        1) (integer) 1
        > HPEXPIRETIME session FIELDS 1 token
        1) (integer) 33177117420001
    "#,
};

/// As Redis says that a count of fields is none.
pub(super) const FEW: &str = "ERR Number of fields must be a positive integer";

fn tell(
    cx: &mut Cx<'_>,
    mut args: Args<'_>,
    answer: impl Fn(Millis) -> u64 + Send + 'static,
) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.required()?)?;
    let first = fields(&mut args, FEW)?;
    in_pieces(cx, args, first, 1, move |cx, args, range, _| {
        if range.start == first {
            cx.reply.array(args.len() - first);
        }
        let (seen, mut reply) = look_again(cx, args.get(1), range.start > first)?;
        for name in range.map(|place| args.get(place)) {
            let field = seen.and_then(|seen| seen.get(name));
            reply.integer(match field.map(|field| field.deadline()) {
                None => -2,
                Some(None) => -1,
                Some(Some(at)) => answer(at) as i64,
            });
        }
        Ok(())
    })
}

pub(super) const HPERSIST: Command = Command {
    name: "hpersist",
    usage: "HPERSIST key FIELDS numfields field [field ...]",
    summary: "Lets fields of a hash live for ever.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(hpersist),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HEXPIRE session 100 FIELDS 1 token
        1) (integer) 1
        > HPERSIST session FIELDS 3 token user nothing
        1) (integer) 1
        2) (integer) -1
        3) (integer) -2
        > HTTL session FIELDS 1 token
        1) (integer) -1
    "#,
};

fn hpersist(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.required()?)?;
    let first = fields(&mut args, FEW)?;
    in_pieces(cx, args, first, 1, move |cx, args, range, _| {
        let (db, key) = (cx.db, args.get(1));
        if range.start == first {
            cx.reply.array(args.len() - first);
        }
        let mut kept: Vec<&[u8]> = Vec::new();
        for name in range.map(|place| args.get(place)) {
            let seen = look_to_change(cx, db, key)?;
            let answer = match seen.and_then(|seen| seen.get(name)) {
                None => -2,
                Some(field) if field.deadline().is_none() || kept.contains(&name) => -1,
                Some(_) => {
                    kept.push(name);
                    1
                }
            };
            cx.reply.integer(answer);
        }
        if !kept.is_empty() {
            cx.keys.change(db, key, &Date { names: &kept, deadline: None });
        }
        Ok(())
    })
}
