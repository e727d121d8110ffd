//! Putting members.

use super::members::PIECE;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::value::set::{Add, Form, Growth, Set};

pub(super) const SADD: Command = Command {
    name: "sadd",
    usage: "SADD key member [member ...]",
    summary: "Adds members to a set, creating it; returns how many of them are new.",
    since: "1.0.0",
    cost: "O(N) for N members",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::ADD),
    run: Run::Sliced(sadd),
    examples: r#"
        > SADD team ann bob ann
        (integer) 2
        > SADD team bob cleo
        (integer) 1
        > SMEMBERS team
        1) "ann"
        2) "bob"
        3) "cleo"
        > OBJECT ENCODING team
        "listpack"
        > SADD years 1999 1815
        (integer) 2
        > OBJECT ENCODING years
        "intset"
        > SET text hello
        OK
        > SADD text ann
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

fn sadd(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let coming = args.len() - 2;
    if coming <= PIECE {
        let added = add_some(cx, args, 2..args.len())?;
        cx.reply.count(added);
        return Ok(Whole::Done);
    }
    cx.keys.object_to_change::<Set>(cx.db, args.get(1))?;
    let (args, mut at, mut added) = (OwnedArgs::copy(args), 2, 0);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        let end = args.len().min(at + PIECE);
        added += add_some(cx, args, at..end)?;
        at = end;
        if at == args.len() {
            cx.reply.count(added);
        }
        Ok(at == args.len())
    })))
}

/// Adds some of the members that are asked for; how many of them are new.
fn add_some(
    cx: &mut Cx<'_>,
    args: Args<'_>,
    which: std::ops::Range<usize>,
) -> Result<usize, Refusal> {
    let (key, limits, coming) = (args.get(1), cx.keys.encodings().set_limits(), args.len() - 2);
    if which.len() == 1 {
        // Nearly all are such.
        let members = &[args.get(which.start)];
        let added = cx.keys.decide(cx.db, key, |there: Option<&Set>| {
            let is_there = there.is_some_and(|set| set.has(members[0]));
            (!is_there)
                .then(|| Add { form: Growth::of(there, members, coming, &limits).form, members })
        })?;
        return Ok(added.unwrap_or(0));
    }
    let there: Option<&Set> = cx.keys.object_to_change(cx.db, key)?;
    let is_hashed = there.is_some_and(|set| set.form() == Form::Hashed);
    let mut new: Vec<&[u8]> = Vec::with_capacity(which.len());
    for member in which.map(|index| args.get(index)) {
        // What is named twice does not matter to a large set; a small one's form depends on how many there are.
        let is_there = there.is_some_and(|set| set.has(member));
        if !is_there && (is_hashed || !new.contains(&member)) {
            new.push(member);
        }
    }
    if new.is_empty() {
        return Ok(0);
    }
    let Growth { integers, form } = Growth::of(there, &new, coming, &limits);
    let (first, rest) = new.split_at(integers);
    let mut added = 0;
    if !first.is_empty() {
        added += cx.keys.change(cx.db, key, &Add { form: Form::Integers, members: first });
    }
    Ok(added + cx.keys.change(cx.db, key, &Add { form, members: rest }))
}
