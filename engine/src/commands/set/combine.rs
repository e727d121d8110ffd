//! Intersections, unions and differences of sets, which may lie on any shards.

use super::members::{Showing, is_short, write};
use crate::command::shape::Pondering;
use crate::command::{
    Args, Carried, Carry, Command, Counted, Cx, Decided, Decision, Flags, Found, Group, Keys,
    Refusal, Run, Spec, Uses, Write,
};
use crate::resp::number::parse_i64;
use crate::value::SharedValue;
use crate::value::set::{Combining, Operation, Set};
use std::sync::Arc;

const READ: Keys = Keys::of([Spec::range(1, -1, 1).used(Uses::READ)]);

const fn stored(uses: Uses) -> Keys {
    Keys::of([Spec::at(1).used(uses), Spec::range(2, -1, 1).used(Uses::READ)])
}

pub(super) const SINTER: Command = Command {
    name: "sinter",
    usage: "SINTER key [key ...]",
    summary: "Returns the members that are in all of several sets.",
    since: "1.0.0",
    cost: "O(N*M) for M sets, of which the smallest has N members",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: READ,
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look,
        decide: |decision, args, carried| show(decision, args, carried, Operation::Intersect),
    }),
    examples: r#"
        > SADD one a b c
        (integer) 3
        > SADD other c d a
        (integer) 3
        > SINTER one other
        1) "a"
        2) "c"
        > SINTER one other nothing
        (empty array)
        > SET text hello
        OK
        > SINTER nothing text
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

pub(super) const SUNION: Command = Command {
    name: "sunion",
    usage: "SUNION key [key ...]",
    summary: "Returns the members of all of several sets together.",
    since: "1.0.0",
    cost: "O(N) for N members of all sets",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: READ,
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look,
        decide: |decision, args, carried| show(decision, args, carried, Operation::Union),
    }),
    examples: r#"
        > SADD one a b
        (integer) 2
        > SADD other b c
        (integer) 2
        > SUNION one other nothing
        1) "a"
        2) "b"
        3) "c"
        > SUNION nothing
        (empty array)
    "#,
};

pub(super) const SDIFF: Command = Command {
    name: "sdiff",
    usage: "SDIFF key [key ...]",
    summary: "Returns the members of a set that are in none of others.",
    since: "1.0.0",
    cost: "O(N) for N members of all sets",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: READ,
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look,
        decide: |decision, args, carried| show(decision, args, carried, Operation::Subtract),
    }),
    examples: r#"
        > SADD one a b c
        (integer) 3
        > SADD other b d
        (integer) 2
        > SDIFF one other
        1) "a"
        2) "c"
        > SDIFF nothing one
        (empty array)
    "#,
};

pub(super) const SINTERSTORE: Command = Command {
    name: "sinterstore",
    usage: "SINTERSTORE destination key [key ...]",
    summary: "Makes a set of the members that are in all of several sets; returns how many they are.",
    since: "1.0.0",
    cost: "O(N*M) for M sets, of which the smallest has N members",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: stored(Uses::CHANGE),
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look_at_sources,
        decide: |decision, args, carried| store(decision, args, carried, Operation::Intersect),
    }),
    examples: r#"
        > SADD one 1 2 3
        (integer) 3
        > SADD other 3 4 1
        (integer) 3
        > SINTERSTORE both one other
        (integer) 2
        > SMEMBERS both
        1) "1"
        2) "3"
        > SINTERSTORE both one nothing
        (integer) 0
        > EXISTS both
        (integer) 0
    "#,
};

pub(super) const SUNIONSTORE: Command = Command {
    name: "sunionstore",
    usage: "SUNIONSTORE destination key [key ...]",
    summary: "Makes a set of the members of several sets; returns how many they are.",
    since: "1.0.0",
    cost: "O(N) for N members of all sets; what is in the largest alone costs nothing.",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: stored(Uses::REPLACE),
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look_at_sources,
        decide: |decision, args, carried| store(decision, args, carried, Operation::Union),
    }),
    examples: r#"
        > SADD one a b
        (integer) 2
        > SET all text
        OK
        > SUNIONSTORE all one nothing
        (integer) 2
        > SMEMBERS all
        1) "a"
        2) "b"
    "#,
};

pub(super) const SDIFFSTORE: Command = Command {
    name: "sdiffstore",
    usage: "SDIFFSTORE destination key [key ...]",
    summary: "Makes a set of the members of a set that are in none of others; returns how many they are.",
    since: "1.0.0",
    cost: "O(N) for N members of all sets",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: stored(Uses::REPLACE),
    run: Run::Carry(Carry {
        check: Carry::any,
        gather: look_at_sources,
        decide: |decision, args, carried| store(decision, args, carried, Operation::Subtract),
    }),
    examples: r#"
        > SADD one a b c
        (integer) 3
        > SADD other b
        (integer) 1
        > SDIFFSTORE one one other
        (integer) 2
        > SMEMBERS one
        1) "a"
        2) "c"
    "#,
};

pub(super) const SINTERCARD: Command = Command {
    name: "sintercard",
    usage: "SINTERCARD numkeys key [key ...] [LIMIT limit]",
    summary: "Returns how many members are in all of several sets, counting no further than to a limit.",
    since: "7.0.0",
    cost: "O(N*M) for M sets, of which the smallest has N members",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: Keys::of([Spec::counted(1).used(Uses::READ)]),
    run: Run::Carry(Carry { check: |args| counted(args).map(drop), gather: look, decide: count }),
    examples: r#"
        > SADD one a b c
        (integer) 3
        > SADD other c d a
        (integer) 3
        > SINTERCARD 2 one other
        (integer) 2
        > SINTERCARD 2 one other LIMIT 1
        (integer) 1
        > SINTERCARD 0 one
        (error) ERR numkeys should be greater than 0
        > SINTERCARD 2 one
        (error) ERR Number of keys can't be greater than number of args
        > SINTERCARD 1 one LIMIT -1
        (error) ERR LIMIT can't be negative
    "#,
};

/// How many members SINTERCARD counts at the most; 0 is all.
fn counted(mut args: Args<'_>) -> Result<u64, Refusal> {
    let sets = args.key_count(Counted::Sets, SINTERCARD.name)?;
    args.seek(2 + sets);
    let mut limit = 0;
    while args.left() > 0 {
        if args.left() < 2 || !args.word("LIMIT") {
            return Err(Refusal::Syntax);
        }
        let said = parse_i64(args.required()?).and_then(|said| u64::try_from(said).ok());
        limit = said.ok_or(Refusal::fixed("ERR LIMIT can't be negative"))?;
    }
    Ok(limit)
}

fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    let Some(item) = cx.keys.find(cx.db, key) else { return Ok(None) };
    let is_set = item.object().and_then(Set::of).is_some();
    is_set.then(|| Some(Found::of(item))).ok_or(Refusal::WrongType)
}

/// The destination is overwritten, whatever it holds.
fn look_at_sources(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    args: Args<'_>,
) -> Result<Carried, Refusal> {
    if index == 0 { Ok(None) } else { look(cx, key, index, args) }
}

fn sets(carried: &[Carried]) -> Vec<Option<Set>> {
    let set = |carried: &Carried| carried.as_ref().and_then(|found| found.value.object().cloned());
    carried.iter().map(set).collect()
}

/// Looks at members in one piece: some 20 us.
const LOOKS: usize = 64;

/// Up to so many looks are made at once.
const FEW: u64 = 512;

fn show(
    decision: &mut Decision<'_>,
    _: Args<'_>,
    carried: &[Carried],
    operation: Operation,
) -> Result<Decided, Refusal> {
    let limits = decision.encodings.set_limits();
    let mut combining = Combining::of(operation, sets(carried), limits);
    if combining.cost() <= FEW {
        while !combining.more(LOOKS) {}
        let set = combining.outcome();
        if is_short(&set) {
            decision.reply.set(set.len() as usize);
            set.iter().for_each(|member| write(&mut decision.reply, member));
            return Ok(Vec::new().into());
        }
        return Ok(Decided::Later(showing(Showing::of(set))));
    }
    let mut combining = Some(combining);
    let mut show = None;
    Ok(Decided::Later(Box::new(move |decision| {
        if let Some(under_way) = &mut combining {
            if under_way.more(LOOKS) {
                let outcome = combining.take().map(Combining::outcome).unwrap_or_default();
                show = Some(showing(Showing::of(outcome)));
            }
            return Ok(None);
        }
        show.as_mut().map_or(Ok(Some(Vec::new())), |show| show(decision))
    })))
}

/// Writes all members of a set.
fn showing(mut showing: Showing) -> Pondering {
    Box::new(move |decision| {
        if !showing.is_begun() {
            decision.reply.set(showing.set.len() as usize);
        }
        Ok(showing.more(&mut decision.reply).then(Vec::new))
    })
}

fn store(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
    operation: Operation,
) -> Result<Decided, Refusal> {
    let limits = decision.encodings.set_limits();
    let sources = carried.get(1..).unwrap_or_default();
    let combining = Combining::of(operation, sets(sources), limits);
    let is_short = combining.cost() <= FEW;
    let (db, key, mut combining) = (decision.db, args.get(1).to_vec(), Some(combining));
    let pondering = move |decision: &mut Decision<'_>| {
        if !combining.as_mut().is_none_or(|combining| combining.more(LOOKS)) {
            return Ok(None);
        }
        let set = combining.take().map(Combining::outcome).unwrap_or_default();
        decision.reply.count(set.len() as usize);
        let key = key.clone();
        Ok(Some(vec![match set.len() {
            0 => Write::Remove { db, key },
            _ => Write::put(db, key, SharedValue::Object(Arc::new(set))),
        }]))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}

fn count(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let mut combining = Combining::counting(sets(carried), counted(args)?);
    let is_short = combining.cost() <= FEW;
    let pondering = move |decision: &mut Decision<'_>| {
        if !combining.more(LOOKS) {
            return Ok(None);
        }
        decision.reply.count(combining.count() as usize);
        Ok(Some(Vec::new()))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}
