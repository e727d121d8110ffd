//! The commands of the tests' own data type, `crate::value::counters`: all that a type's commands need is this
//! file and its line in a list.

use crate::command::{
    Args, Carried, Carry, Command, Counted, Cx, Decided, Decision, Flags, Found, Group, Keys,
    Outcome, Refusal, Run, Spec, Uses, Write,
};
use crate::value::SentEffect;
use crate::value::counters::{Counters, Set};
use std::collections::BTreeMap;

/// All commands of the type.
pub const COMMANDS: &[&Command] = &[&ADD, &GET, &MOVE, &SUM];

const ADD: Command = Command {
    name: "counters.add",
    usage: "COUNTERS.ADD key field increment [field increment ...]",
    summary: "Adds to counters; those that are not there begin at 0.",
    since: "1.0.0",
    cost: "O(N) for N fields",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(add),
    examples: r#"
        > COUNTERS.ADD visits home 2 shop 1
        (integer) 2
        > COUNTERS.ADD visits home 3
        (integer) 1
        > COUNTERS.GET visits home
        (integer) 5
        > TYPE visits
        counters
        > COUNTERS.ADD visits home 1 shop
        (error) ERR syntax error
    "#,
};

fn add(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let there: Option<&Counters> = cx.keys.object_to_change(cx.db, key)?;
    let mut counts = BTreeMap::new();
    while args.left() > 0 {
        if args.left() < 2 {
            return Err(Refusal::Syntax);
        }
        let (field, increment) = (args.required()?, args.integer()?);
        let old = || there.and_then(|there| there.get(field)).unwrap_or(0);
        let count: &mut i64 = counts.entry(field).or_insert_with(old);
        *count = count.checked_add(increment).ok_or(Refusal::Overflow)?;
    }
    cx.reply.count(counts.len());
    cx.keys.change(cx.db, key, &Set(counts.into_iter().collect()));
    Ok(())
}

const GET: Command = Command {
    name: "counters.get",
    usage: "COUNTERS.GET key field",
    summary: "Reads a counter.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(get),
    examples: r#"
        > COUNTERS.GET visits home
        (nil)
        > SET visits many
        OK
        > COUNTERS.GET visits home
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let counters: Option<&Counters> = cx.keys.object(cx.db, args.get(1))?;
    match counters.and_then(|counters| counters.get(args.get(2))) {
        Some(count) => cx.reply.integer(count),
        None => cx.reply.nil(),
    }
    Ok(())
}

const MOVE: Command = Command {
    name: "counters.move",
    usage: "COUNTERS.MOVE source destination field",
    summary: "Adds a counter to that of another key and sets it to 0: writes two counts, not two maps.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::TWO.used(Uses::READ_CHANGE),
    run: Run::Carry(Carry { check: any, gather: look, decide: move_count }),
    examples: r#"
        > COUNTERS.ADD here home 2
        (integer) 1
        > COUNTERS.MOVE here there home
        (integer) 2
        > COUNTERS.GET here home
        (integer) 0
        > COUNTERS.GET there home
        (integer) 2
    "#,
};

fn any(_: Args<'_>) -> Result<(), Refusal> {
    Ok(())
}

fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    cx.keys.object_to_change::<Counters>(cx.db, key)?;
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn move_count(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let field = args.get(3);
    let count = |index: usize| {
        let counters: Option<&Counters> = carried[index].as_ref().and_then(|it| it.value.object());
        counters.and_then(|counters| counters.get(field)).unwrap_or(0)
    };
    let moved = count(0);
    let sum = moved.checked_add(count(1)).ok_or(Refusal::Overflow)?;
    decision.reply.integer(moved);
    if moved == 0 || args.get(1) == args.get(2) {
        return Ok(Vec::new().into());
    }
    let write = |position: usize, count: i64| Write::Change {
        db: decision.db,
        key: args.get(position).to_vec(),
        effect: SentEffect::of(&Set(vec![(field, count)])),
    };
    Ok(vec![write(1, 0), write(2, sum)].into())
}

const SUM: Command = Command {
    name: "counters.sum",
    usage: "COUNTERS.SUM destination numkeys key [key ...] field",
    summary: "Sets a counter to the sum of those of other keys, of which there may be any number.",
    since: "1.0.0",
    cost: "O(N) for N keys",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::of([Spec::at(1).used(Uses::CHANGE), Spec::counted(2).used(Uses::READ)]),
    run: Run::Carry(Carry { check: has_sources, gather: look, decide: sum_counts }),
    examples: r#"
        > COUNTERS.ADD a n 2
        (integer) 1
        > COUNTERS.ADD b n 3
        (integer) 1
        > COUNTERS.SUM d 3 a b nothing n
        (integer) 5
        > COUNTERS.SUM a 2 a d n
        (integer) 7
        > COUNTERS.GET a n
        (integer) 7
        > COUNTERS.SUM d 0 a n
        (error) ERR numkeys should be greater than 0
        > COUNTERS.SUM d 2 a n
        (error) ERR syntax error
    "#,
};

fn has_sources(mut args: Args<'_>) -> Result<(), Refusal> {
    args.seek(2);
    let sources = args.key_count(Counted::Pops, SUM.name)?;
    if args.left() == sources + 1 { Ok(()) } else { Err(Refusal::Syntax) }
}

fn sum_counts(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let field = args.get(args.len() - 1);
    let mut sum: i64 = 0;
    for found in carried[1..].iter().flatten() {
        let counters: Option<&Counters> = found.value.object();
        let count = counters.and_then(|counters| counters.get(field)).unwrap_or(0);
        sum = sum.checked_add(count).ok_or(Refusal::Overflow)?;
    }
    decision.reply.integer(sum);
    let effect = SentEffect::of(&Set(vec![(field, sum)]));
    Ok(vec![Write::Change { db: decision.db, key: args.get(1).to_vec(), effect }].into())
}
