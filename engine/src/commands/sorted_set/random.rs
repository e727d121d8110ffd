//! Any members.

use super::write::{PIECE, write_header, write_member, write_pair};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::value::sorted_set::SortedSet;
use std::collections::BTreeSet;

pub(super) const ZRANDMEMBER: Command = Command {
    name: "zrandmember",
    usage: "ZRANDMEMBER key [count [WITHSCORES]]",
    summary: "Returns any members: different ones, or with a negative count the same again and again.",
    since: "6.2.0",
    cost: "O(M*log(N)) for M of N members",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(zrandmember),
    examples: r#"
        > ZADD board 3 ann
        (integer) 1
        > ZRANDMEMBER board
        "ann"
        > ZRANDMEMBER board 5
        1) "ann"
        > ZRANDMEMBER board -2
        1) "ann"
        2) "ann"
        > ZRANDMEMBER nothing
        (nil)
        > ZRANDMEMBER nothing 1
        (empty array)
    "#,
};

fn zrandmember(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    if args.len() > 2 {
        return several(cx, args);
    }
    one(cx, args).map(|()| Whole::Done)
}

fn one(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let index = cx.keys.object::<SortedSet>(cx.db, args.get(1))?.map_or(0, SortedSet::len);
    let index = if index == 0 { 0 } else { cx.keys.random.u64(0..index) };
    let set: Option<&SortedSet> = cx.keys.object_to_change(cx.db, args.get(1))?;
    match set.and_then(|set| set.at(index)) {
        Some(entry) => write_member(&mut cx.reply, entry.member),
        None => cx.reply.nil(),
    }
    Ok(())
}

fn count_of(mut args: Args<'_>) -> Result<(i64, bool), Refusal> {
    args.seek(2);
    let count = args.negatable()?;
    let with_scores = args.word("WITHSCORES");
    args.end()?;
    if with_scores && count.unsigned_abs() > (i64::MAX / 2) as u64 {
        return Err(Refusal::fixed("ERR value is out of range"));
    }
    Ok((count, with_scores))
}

fn several(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let (count, with_scores) = count_of(args)?;
    let length = cx.keys.object::<SortedSet>(cx.db, args.get(1))?.map_or(0, SortedSet::len);
    if count == 0 || length == 0 {
        cx.reply.array(0);
        return Ok(Whole::Done);
    }
    let shared = cx.keys.peek(cx.db, args.get(1)).map(|item| item.share());
    let (wanted, may_repeat) = (count.unsigned_abs(), count < 0);
    let number = if may_repeat { wanted } else { wanted.min(length) };
    let mut choice = match () {
        () if may_repeat => Choice::Any,
        () if number == length => Choice::All(0),
        // So that one in two is a hit at the worst, whichever of both are chosen.
        () if number <= length / 2 => Choice::These(BTreeSet::new()),
        () => Choice::AllBut(BTreeSet::new(), 0),
    };
    let mut left = number;
    let mut is_begun = false;
    let slices = move |cx: &mut Cx<'_>| {
        let set = shared.as_ref().and_then(|shared| shared.object::<SortedSet>());
        let Some(set) = set else { return Ok(true) };
        let write = |reply: &mut ReplyWriter<'_>, index| {
            if let Some(entry) = set.at(index) {
                match with_scores {
                    true => write_pair(reply, entry),
                    false => write_member(reply, entry.member),
                }
            }
        };
        if !std::mem::replace(&mut is_begun, true) {
            write_header(&mut cx.reply, number, with_scores);
        }
        for _ in 0..PIECE / 2 {
            if left == 0 {
                return Ok(true);
            }
            let Some(index) = choice.next(&mut cx.keys.random, length, number) else { continue };
            write(&mut cx.reply, index);
            left -= 1;
        }
        cx.hold_room()?;
        Ok(left == 0)
    };
    Whole::of(Box::new(slices), number <= PIECE, cx)
}

/// Which members are chosen. Trees, since a table that grows holds everybody up.
enum Choice {
    /// Any, again and again.
    Any,
    /// All of them, from this number on.
    All(u64),
    /// Different ones: those so far.
    These(BTreeSet<u64>),
    /// All but these, which are chosen first; then from this number on.
    AllBut(BTreeSet<u64>, u64),
}

impl Choice {
    /// Makes a step; the number of the next one, if it has come to one.
    fn next(&mut self, random: &mut fastrand::Rng, length: u64, number: u64) -> Option<u64> {
        match self {
            Choice::Any => Some(random.u64(0..length)),
            Choice::All(next) => {
                *next += 1;
                Some(*next - 1)
            }
            Choice::These(so_far) => {
                let index = random.u64(0..length);
                so_far.insert(index).then_some(index)
            }
            Choice::AllBut(left_out, next) => {
                if (left_out.len() as u64) < length - number {
                    left_out.insert(random.u64(0..length));
                    return None;
                }
                *next += 1;
                (!left_out.contains(&(*next - 1))).then_some(*next - 1)
            }
        }
    }
}
