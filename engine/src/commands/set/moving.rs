//! A member that goes from one set to another.

use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::value::SentEffect;
use crate::value::set::{Add, Growth, Remove, Set};

pub(super) const SMOVE: Command = Command {
    name: "smove",
    usage: "SMOVE source destination member",
    summary: "Moves a member from one set to another, at one moment.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::of([Spec::at(1).used(Uses::TAKE), Spec::at(2).used(Uses::ADD)]),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: move_member }),
    examples: r#"
        > SADD here ann bob
        (integer) 2
        > SMOVE here there ann
        (integer) 1
        > SMOVE here there cleo
        (integer) 0
        > SMEMBERS there
        1) "ann"
        > SMEMBERS here
        1) "bob"
        > SMOVE here there bob
        (integer) 1
        > EXISTS here
        (integer) 0
    "#,
};

fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn set_of(carried: &Carried) -> Result<Option<&Set>, Refusal> {
    match carried {
        None => Ok(None),
        Some(found) => found.value.object().map(Some).ok_or(Refusal::WrongType),
    }
}

fn move_member(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let (db, member) = (decision.db, args.get(3));
    // Redis looks at nothing else where there is no source.
    if carried[0].is_none() {
        decision.reply.integer(0);
        return Ok(Vec::new().into());
    }
    let (source, destination) = (set_of(&carried[0])?, set_of(&carried[1])?);
    let is_there = source.is_some_and(|set| set.has(member));
    decision.reply.integer(i64::from(is_there));
    if !is_there || args.get(1) == args.get(2) {
        return Ok(Vec::new().into());
    }
    let members = &[member];
    let gone = SentEffect::of(&Remove { members, is_listed: false, seen: None });
    let mut writes = vec![Write::Change { db, key: args.get(1).to_vec(), effect: gone }];
    if !destination.is_some_and(|set| set.has(member)) {
        let form = Growth::of(destination, members, 1, &decision.encodings.set_limits()).form;
        let effect = SentEffect::of(&Add { form, members });
        writes.push(Write::Change { db, key: args.get(2).to_vec(), effect });
    }
    Ok(writes.into())
}
