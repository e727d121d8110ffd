//! Whether somebody is a member, and how many there are.

use super::members::PIECE;
use crate::command::{
    Args, Command, Cx, Flags, Group, Keys, Outcome, OwnedArgs, Refusal, Run, Uses, Whole,
};
use crate::value::set::Set;

pub(super) const SISMEMBER: Command = Command {
    name: "sismember",
    usage: "SISMEMBER key member",
    summary: "Whether a set has a member.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Set,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(sismember),
    examples: r#"
        > SADD team ann
        (integer) 1
        > SISMEMBER team ann
        (integer) 1
        > SISMEMBER team bob
        (integer) 0
        > SISMEMBER nobody ann
        (integer) 0
    "#,
};

fn sismember(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&Set> = cx.keys.object(cx.db, args.get(1))?;
    let is_member = set.is_some_and(|set| set.has(args.get(2)));
    cx.reply.integer(i64::from(is_member));
    Ok(())
}

pub(super) const SMISMEMBER: Command = Command {
    name: "smismember",
    usage: "SMISMEMBER key member [member ...]",
    summary: "Whether a set has each of several members.",
    since: "6.2.0",
    cost: "O(N) for N members",
    group: Group::Set,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(smismember),
    examples: r#"
        > SADD team ann cleo
        (integer) 2
        > SMISMEMBER team ann bob cleo
        1) (integer) 1
        2) (integer) 0
        3) (integer) 1
        > SMISMEMBER nobody ann
        1) (integer) 0
    "#,
};

fn smismember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let set: Option<&Set> = cx.keys.object(cx.db, args.get(1))?;
    let asked = args.len() - 2;
    if asked <= PIECE {
        cx.reply.array(asked);
        for member in args.from(2) {
            cx.reply.integer(i64::from(set.is_some_and(|set| set.has(member))));
        }
        return Ok(Whole::Done);
    }
    let (set, args, mut at) = (set.cloned().unwrap_or_default(), OwnedArgs::copy(args), 2);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        if at == 2 {
            cx.reply.array(asked);
        }
        let end = args.len().min(at + PIECE);
        for index in at..end {
            cx.reply.integer(i64::from(set.has(args.get(index))));
        }
        at = end;
        Ok(at == args.len())
    })))
}

pub(super) const SCARD: Command = Command {
    name: "scard",
    usage: "SCARD key",
    summary: "Returns how many members a set has.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Set,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(scard),
    examples: r#"
        > SADD team ann bob
        (integer) 2
        > SCARD team
        (integer) 2
        > SCARD nobody
        (integer) 0
    "#,
};

fn scard(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let set: Option<&Set> = cx.keys.object(cx.db, args.get(1))?;
    let count = set.map_or(0, Set::len);
    cx.reply.count(count as usize);
    Ok(())
}
