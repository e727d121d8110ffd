//! What waits until a sorted set is there: BZPOPMIN and its kin.

use super::pop::{asked, show, taken};
use super::remove::remove_range;
use super::write::PIECE;
use crate::command::shape::{Patience, Wait};
use crate::command::{
    Args, Carry, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Spec, Uses,
};
use crate::value::sorted_set::{SortedSet, TYPE};

/// Of those that take from the first sorted set there is.
const fn first(
    patience: fn(Args<'_>) -> Result<Patience, Refusal>,
    take: fn(&mut Cx<'_>, &[u8], Args<'_>) -> Outcome,
) -> Run {
    Run::Wait(Wait::first::<SortedSet>(&TYPE, patience, take))
}

/// The last argument says how long.
fn last(args: Args<'_>) -> Result<Patience, Refusal> {
    Patience::of_seconds(args.get(args.len() - 1))
}

/// All but the last argument.
const KEYS: Keys = Keys::of([Spec::range(1, -2, 1).used(Uses::TAKE)]);

const POPS: Flags = Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST);

pub(super) const BZPOPMIN: Command = Command {
    name: "bzpopmin",
    usage: "BZPOPMIN key [key ...] timeout",
    summary: "Takes the member with the lowest score of the first sorted set of several that there is, or waits for one.",
    since: "5.0.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: POPS,
    keys: KEYS,
    run: first(last, |cx, key, _| pop(cx, key, false)),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > BZPOPMIN nothing board 0
        1) "board"
        2) "ann"
        3) "3"
        > BZPOPMIN nothing 0.001
        (nil)
        > BZPOPMIN board soon
        (error) ERR timeout is not a float or out of range
        > BZPOPMIN board -1
        (error) ERR timeout is negative
    "#,
};

pub(super) const BZPOPMAX: Command = Command {
    name: "bzpopmax",
    usage: "BZPOPMAX key [key ...] timeout",
    summary: "Takes the member with the highest score of the first sorted set of several that there is, or waits for one.",
    since: "5.0.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: POPS,
    keys: KEYS,
    run: first(last, |cx, key, _| pop(cx, key, true)),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > BZPOPMAX nothing board 0
        1) "board"
        2) "bob"
        3) "5"
    "#,
};

fn pop(cx: &mut Cx<'_>, key: &[u8], is_max: bool) -> Outcome {
    cx.reply.array(3);
    cx.reply.bulk(key);
    take(cx, key, 1, is_max, false)
}

/// Shows members from an end, and removes them.
fn take(cx: &mut Cx<'_>, key: &[u8], count: u64, is_max: bool, is_nested: bool) -> Outcome {
    let there = cx.keys.object_to_change::<SortedSet>(cx.db, key)?;
    let range = there.map_or(0..0, |set| taken(set.len(), count, is_max));
    if let Some(set) = there {
        show(set, range.clone(), is_max, is_nested, &mut cx.reply);
    }
    remove_range(cx, cx.db, key, range);
    Ok(())
}

pub(super) const BZMPOP: Command = Command {
    name: "bzmpop",
    usage: "BZMPOP timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
    summary: "Takes members from an end of the first sorted set of several that there is, or waits for one.",
    since: "7.0.0",
    cost: "O(K) + O(M*log(N)) for K keys and M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: Keys::of([Spec::counted(2).used(Uses::TAKE)]),
    run: Run::Wait(Wait {
        at_once: Some(Carry {
            check: |args| asked(args, 2).map(drop),
            gather: Carry::whatever,
            decide: |decision, args, carried| super::pop::take(decision, args, carried, 2),
        }),
        takes_many: |args| asked(args, 2).is_ok_and(|(_, count)| count > PIECE),
        ..Wait::first::<SortedSet>(
            &TYPE,
            |args| {
                asked(args, 2)?;
                Patience::of_seconds(args.get(1))
            },
            pop_several,
        )
    }),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > BZMPOP 0 2 nothing board MAX COUNT 2
        1) "board"
        2) 1) 1) "eve"
              2) "7"
           2) 1) "bob"
              2) "5"
        > BZMPOP 0.001 1 nothing MIN
        (nil)
        > BZMPOP 0 0 board MIN
        (error) ERR numkeys should be greater than 0
        > BZMPOP 0 1 board MIN COUNT 0
        (error) ERR count should be greater than 0
    "#,
};

fn pop_several(cx: &mut Cx<'_>, key: &[u8], args: Args<'_>) -> Outcome {
    let (is_max, count) = asked(args, 2)?;
    let there = cx.keys.object_to_change::<SortedSet>(cx.db, key)?;
    let count = there.map_or(0, |set| count.min(set.len()));
    cx.reply.array(2);
    cx.reply.bulk(key);
    cx.reply.array(count as usize);
    cx.keys.call_it(if is_max { "zpopmax" } else { "zpopmin" });
    take(cx, key, count, is_max, true)
}
