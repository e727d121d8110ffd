//! Removing members.

use super::members::PIECE;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::value::set::{Remove, Set};
use std::ops::Range;

pub(super) const SREM: Command = Command {
    name: "srem",
    usage: "SREM key member [member ...]",
    summary: "Removes members from a set, and the key with the last of them; returns how many there were.",
    since: "1.0.0",
    cost: "O(N) for N members",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(srem),
    examples: r#"
        > SADD team ann bob cleo
        (integer) 3
        > SREM team bob dora
        (integer) 1
        > SREM team ann cleo
        (integer) 2
        > EXISTS team
        (integer) 0
        > SREM team ann
        (integer) 0
    "#,
};

fn srem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    if args.len() - 2 <= PIECE {
        let removed = remove_some(cx, args, 2..args.len())?;
        cx.reply.count(removed);
        return Ok(Whole::Done);
    }
    cx.keys.object_to_change::<Set>(cx.db, args.get(1))?;
    let (args, mut at, mut removed) = (OwnedArgs::copy(args), 2, 0);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        let end = args.len().min(at + PIECE);
        removed += remove_some(cx, args, at..end)?;
        at = end;
        if at == args.len() {
            cx.reply.count(removed);
        }
        Ok(at == args.len())
    })))
}

/// Removes some of the members that are named; how many there were.
fn remove_some(cx: &mut Cx<'_>, args: Args<'_>, which: Range<usize>) -> Result<usize, Refusal> {
    let key = args.get(1);
    let there: Option<&Set> = cx.keys.object_to_change(cx.db, key)?;
    let Some(set) = there else { return Ok(0) };
    let is_listed = false;
    if which.len() == 1 {
        let member = args.get(which.start);
        if !set.has(member) {
            return Ok(0);
        }
        return Ok(cx.keys.change(
            cx.db,
            key,
            &Remove { members: &[member], is_listed, seen: None },
        ));
    }
    let members = which.map(|index| args.get(index));
    let members: Vec<&[u8]> = members.filter(|member| set.has(member)).collect();
    if members.is_empty() {
        return Ok(0);
    }
    Ok(cx.keys.change(cx.db, key, &Remove { members: &members, is_listed, seen: None }))
}
