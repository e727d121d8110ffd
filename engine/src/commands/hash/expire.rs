//! HEXPIRE and its three relatives: when fields end to be.

use super::access::{in_pieces, look_to_change, make_way};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::number::parse_i64;
use crate::types::{DbIndex, Millis};
use crate::value::hash::{Date, Remove};

const FLAGS: Flags = Flags::WRITE.union(Flags::FAST);

pub(super) const HEXPIRE: Command = Command {
    name: "hexpire",
    usage: "HEXPIRE key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    summary: "Lets fields of a hash live so many seconds longer.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(|cx, args| {
        let now = cx.now();
        expire(cx, args, "hexpire", 1000, now)
    }),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HEXPIRE session 100 FIELDS 2 token nothing
        1) (integer) 1
        2) (integer) -2
        > HEXPIRE session 100 NX FIELDS 2 token user
        1) (integer) 0
        2) (integer) 1
        > HEXPIRE session 100 GT FIELDS 1 token
        1) (integer) 0
        > HTTL session FIELDS 1 token
        1) (integer) 100
        > OBJECT ENCODING session
        "listpackex"
        > HEXPIRE session 0 FIELDS 1 token
        1) (integer) 2
        > HGETALL session
        1) "user"
        2) "ada"
        > HEXPIRE nothing 100 FIELDS 1 token
        1) (integer) -2
        > HEXPIRE session -1 FIELDS 1 user
        (error) ERR invalid expire time, must be >= 0
        > HEXPIRE session 9223372036854775807 FIELDS 1 user
        (error) ERR invalid expire time in 'hexpire' command
        > HEXPIRE session 10 FIELDS 2 user
        (error) ERR The `numfields` parameter must match the number of arguments
        > HEXPIRE session 10 FIELDS many user
        (error) ERR Parameter `numFields` should be greater than 0
        > HEXPIRE session 10 NX XX FIELDS 1 user
        (error) ERR Mandatory argument FIELDS is missing or not at the right position
    "#,
};

pub(super) const HPEXPIRE: Command = Command {
    name: "hpexpire",
    usage: "HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    summary: "Lets fields of a hash live so many milliseconds longer.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(|cx, args| {
        let now = cx.now();
        expire(cx, args, "hpexpire", 1, now)
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

pub(super) const HEXPIREAT: Command = Command {
    name: "hexpireat",
    usage: "HEXPIREAT key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    summary: "Lets fields of a hash live until an instant.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(|cx, args| expire(cx, args, "hexpireat", 1000, Millis(0))),
    examples: r#"
        > HSET session token abc
        (integer) 1
        > HEXPIREAT session 33177117420 FIELDS 1 token
        1) (integer) 1
        > HEXPIRETIME session FIELDS 1 token
        1) (integer) 33177117420
        > HEXPIREAT session 1 FIELDS 1 token
        1) (integer) 2
        > EXISTS session
        (integer) 0
    "#,
};

pub(super) const HPEXPIREAT: Command = Command {
    name: "hpexpireat",
    usage: "HPEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field \
            [field ...]",
    summary: "Lets fields of a hash live until an instant, in milliseconds.",
    since: "7.4.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(|cx, args| expire(cx, args, "hpexpireat", 1, Millis(0))),
    examples: r#"
        > HSET session token abc
        (integer) 1
        > HPEXPIREAT session 33177117420000 FIELDS 1 token
        1) (integer) 1
        > HPEXPIRETIME session FIELDS 1 token
        1) (integer) 33177117420000
        > HPEXPIREAT session 281474976710655 FIELDS 1 token
        (error) ERR invalid expire time in 'hpexpireat' command
    "#,
};

/// The last instant that a field may live until, as in Redis.
const LAST: i64 = ((1 << 48) - 2) >> 2;

/// The instant that a number in a request means, which counts in `unit` milliseconds from `base` on.
pub(super) fn instant(
    text: &[u8],
    unit: i64,
    base: Millis,
    command: &'static str,
) -> Result<Millis, Refusal> {
    let number = parse_i64(text).ok_or(Refusal::NotInteger)?;
    if number < 0 {
        return Err(Refusal::fixed("ERR invalid expire time, must be >= 0"));
    }
    let at = number.checked_mul(unit).and_then(|at| at.checked_add_unsigned(base.0));
    let at = at.filter(|at| *at <= LAST).ok_or(Refusal::ExpireTime(command))?;
    Ok(Millis(at.unsigned_abs()))
}

/// Which deadlines a new one may replace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    /// No deadline counts as one that never comes.
    fn allows(self, old: Option<Millis>, new: Millis) -> bool {
        match self {
            Condition::None => true,
            Condition::Nx => old.is_none(),
            Condition::Xx => old.is_some(),
            Condition::Gt => old.is_some_and(|old| new > old),
            Condition::Lt => old.is_none_or(|old| new < old),
        }
    }
}

const MISSING: Refusal =
    Refusal::fixed("ERR Mandatory argument FIELDS is missing or not at the right position");
const MISMATCH: Refusal =
    Refusal::fixed("ERR The `numfields` parameter must match the number of arguments");

/// Reads `FIELDS count` and checks that as many follow; the place of the first.
pub(super) fn fields(args: &mut Args<'_>, few: &'static str) -> Result<usize, Refusal> {
    if !args.word("FIELDS") {
        return Err(MISSING);
    }
    let count = parse_i64(args.required()?).filter(|count| *count > 0);
    let count = count.ok_or(Refusal::fixed(few))?;
    if count != args.left() as i64 {
        return Err(MISMATCH);
    }
    Ok(args.len() - args.left())
}

fn expire(
    cx: &mut Cx<'_>,
    mut args: Args<'_>,
    command: &'static str,
    unit: i64,
    base: Millis,
) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.required()?)?;
    let at = instant(args.required()?, unit, base, command)?;
    let words = [
        ("NX", Condition::Nx),
        ("XX", Condition::Xx),
        ("GT", Condition::Gt),
        ("LT", Condition::Lt),
    ];
    let said = words.into_iter().find(|(word, _)| args.word(word));
    let condition = said.map_or(Condition::None, |(_, condition)| condition);
    let first = fields(&mut args, "ERR Parameter `numFields` should be greater than 0")?;
    in_pieces(cx, args, first, 1, move |cx, args, range, _| {
        let (db, key) = (cx.db, args.get(1));
        if range.start == first {
            cx.reply.array(args.len() - first);
        }
        make_way(cx, db, key, range.clone().map(|place| args.get(place)))?;
        let mut pending: Vec<&[u8]> = Vec::with_capacity(range.len());
        for name in range.map(|place| args.get(place)) {
            if pending.contains(&name) {
                date(cx, db, key, &mut pending, at);
            }
            let seen = look_to_change(cx, db, key)?;
            let answer = match seen.and_then(|seen| seen.get(name)) {
                None => -2,
                Some(field) if !condition.allows(field.deadline(), at) => 0,
                Some(_) => {
                    pending.push(name);
                    if at <= cx.ends_as_of() { 2 } else { 1 }
                }
            };
            cx.reply.integer(answer);
        }
        date(cx, db, key, &mut pending, at);
        Ok(())
    })
}

/// Gives fields that are there a deadline, which ends them where it has come.
pub(super) fn date(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], names: &mut Vec<&[u8]>, at: Millis) {
    if names.is_empty() {
        return;
    }
    if at <= cx.ends_as_of() {
        cx.keys.call_it("hdel");
        cx.keys.change(db, key, &Remove(names));
    } else {
        cx.keys.change(db, key, &Date { names, deadline: Some(at) });
    }
    names.clear();
}
