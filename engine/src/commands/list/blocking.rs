//! What waits until a list is there: BLPOP and its kin.

use super::super::string::reply_value;
use super::common::PIECE;
use super::moving::{FROM_TO, ends, gather, move_one};
use super::pop::take;
use super::several::{Asked, first, pop_several};
use crate::command::shape::{Awaited, Patience, Take, Wait};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Group, Keys, Outcome, Refusal,
    Run, Spec, Uses,
};
use crate::value::list::{End, List, TYPE};

/// The last argument says how long.
fn last(args: Args<'_>) -> Result<Patience, Refusal> {
    Patience::of_seconds(args.get(args.len() - 1))
}

const POPS: Flags = Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING);
/// All but the last argument.
const KEYS: Keys = Keys::of([Spec::range(1, -2, 1).used(Uses::TAKE)]);

pub(super) const BLPOP: Command = Command {
    name: "blpop",
    usage: "BLPOP key [key ...] timeout",
    summary: "Takes the first element of the first list of several that there is, or waits for one.",
    since: "2.0.0",
    cost: "O(N) for N keys",
    group: Group::List,
    flags: POPS,
    keys: KEYS,
    run: first(last, |cx, key, _| pop(cx, key, End::Left)),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > BLPOP nothing line 0
        1) "line"
        2) "ann"
        > BLPOP nothing line 1.5
        1) "line"
        2) "bob"
        > BLPOP nothing line 0.001
        (nil)
        > BLPOP line soon
        (error) ERR timeout is not a float or out of range
        > BLPOP line -1
        (error) ERR timeout is negative
    "#,
};

pub(super) const BRPOP: Command = Command {
    name: "brpop",
    usage: "BRPOP key [key ...] timeout",
    summary: "Takes the last element of the first list of several that there is, or waits for one.",
    since: "2.0.0",
    cost: "O(N) for N keys",
    group: Group::List,
    flags: POPS,
    keys: KEYS,
    run: first(last, |cx, key, _| pop(cx, key, End::Right)),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > BRPOP nothing line 0
        1) "line"
        2) "bob"
        > SET text hello
        OK
        > BRPOP nothing text line 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > BRPOP line text 0
        1) "line"
        2) "ann"
    "#,
};

fn pop(cx: &mut Cx<'_>, key: &[u8], end: End) -> Outcome {
    cx.reply.array(2);
    cx.reply.bulk(key);
    if let Some(list) = cx.keys.object_to_change::<List>(cx.db, key)? {
        let index = if end == End::Left { 0 } else { list.len() - 1 };
        if let Some(element) = list.get(index) {
            reply_value(&mut cx.reply, element);
        }
    }
    take(cx, cx.db, key, end, 1);
    Ok(())
}

pub(super) const BLMPOP: Command = Command {
    name: "blmpop",
    usage: "BLMPOP timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    summary: "Takes elements of the first list of several that there is, or waits for one.",
    since: "7.0.0",
    cost: "O(N + M) for N keys and M elements",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: Keys::of([Spec::counted(2).used(Uses::TAKE)]),
    run: Run::Wait(Wait {
        at_once: Some(Carry {
            check: |args| Asked::read(args, 2).map(drop),
            gather: Carry::whatever,
            decide: |decision, args, carried| super::several::take(decision, args, carried, 2),
        }),
        takes_many: |args| Asked::read(args, 2).is_ok_and(|asked| asked.count > PIECE),
        ..Wait::first::<List>(
            &TYPE,
            |args| {
                Asked::read(args, 2)?;
                Patience::of_seconds(args.get(1))
            },
            |cx, key, args| pop_several(cx, key, args, 2),
        )
    }),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > BLMPOP 0 2 nothing line LEFT COUNT 2
        1) "line"
        2) 1) "ann"
           2) "bob"
        > BLMPOP 1 2 nothing line RIGHT
        1) "line"
        2) 1) "carl"
        > BLMPOP 0.001 2 nothing line RIGHT
        (nil)
        > BLMPOP 0 0 line RIGHT
        (error) ERR numkeys should be greater than 0
        > BLMPOP 0 1 line RIGHT COUNT 0
        (error) ERR count should be greater than 0
    "#,
};

/// Of those that move an element.
const fn moves(
    patience: fn(Args<'_>) -> Result<Patience, Refusal>,
    decide: fn(&mut Decision<'_>, Args<'_>, &[Carried]) -> Result<Decided, Refusal>,
) -> Run {
    Run::Wait(Wait {
        patience,
        awaits: Awaited::Type(&TYPE),
        look: Wait::is_there::<List>,
        take: Take::Carry(Carry { check: Carry::any, gather, decide }),
        nothing: |reply| reply.nil(),
        settle: Wait::as_asked,
        at_once: None,
        takes_many: |_| false,
    })
}

const MOVES: Flags = POPS.union(Flags::DENYOOM);

pub(super) const BLMOVE: Command = Command {
    name: "blmove",
    usage: "BLMOVE source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
    summary: "Takes an element from an end of a list, or waits for one, and puts it at an end of another one.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::List,
    flags: MOVES,
    keys: FROM_TO,
    run: moves(
        |args| {
            ends(args)?;
            Patience::of_seconds(args.get(5))
        },
        |decision, args, carried| {
            let (from, to) = ends(args)?;
            move_one(decision, args, carried, from, to)
        },
    ),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > BLMOVE line other RIGHT LEFT 0
        "bob"
        > BLMOVE line other LEFT RIGHT 1
        "ann"
        > LRANGE other 0 -1
        1) "bob"
        2) "ann"
        > BLMOVE line other UP RIGHT soon
        (error) ERR syntax error
        > BLMOVE line other LEFT RIGHT soon
        (error) ERR timeout is not a float or out of range
    "#,
};

pub(super) const BRPOPLPUSH: Command = Command {
    name: "brpoplpush",
    usage: "BRPOPLPUSH source destination timeout",
    summary: "Takes the last element of a list, or waits for one, and puts it before the first of another one.",
    since: "2.2.0",
    cost: "O(1)",
    group: Group::List,
    flags: MOVES,
    keys: FROM_TO,
    run: moves(
        |args| Patience::of_seconds(args.get(3)),
        |decision, args, carried| move_one(decision, args, carried, End::Right, End::Left),
    ),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > BRPOPLPUSH line other 0
        "bob"
        > LRANGE other 0 -1
        1) "bob"
        > SET text hello
        OK
        > BRPOPLPUSH line text 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > BRPOPLPUSH line text -1
        (error) ERR timeout is negative
    "#,
};
