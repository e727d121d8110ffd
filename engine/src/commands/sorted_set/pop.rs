//! Taking members from an end.

use super::asked::{NOT_POSITIVE, end_and_count, positive};
use super::remove::Removing;
use super::write::{PIECE, piece_of, write_member};
use crate::command::{
    Args, Carried, Carry, Command, Counted, Cx, Decided, Decision, Flags, Found, Group, Keys,
    Refusal, Run, Spec, Uses, Whole, Write,
};
use crate::resp::{Protocol, ReplyWriter};
use crate::value::SentEffect;
use crate::value::sorted_set::{RemoveLast, RemoveRange, SortedSet};
use std::ops::Range;

pub(super) const ZPOPMIN: Command = Command {
    name: "zpopmin",
    usage: "ZPOPMIN key [count]",
    summary: "Removes and returns the members with the lowest scores.",
    since: "5.0.0",
    cost: "O(log(N)*M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(zpopmin),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZPOPMIN board
        1) "ann"
        2) "3"
        > ZPOPMIN board 0
        (empty array)
        > ZPOPMIN nothing
        (empty array)
        > ZPOPMIN board -1
        (error) ERR value is out of range, must be positive
        > ZCARD board
        (integer) 2
    "#,
};

fn zpopmin(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    pop(cx, args, false)
}

pub(super) const ZPOPMAX: Command = Command {
    name: "zpopmax",
    usage: "ZPOPMAX key [count]",
    summary: "Removes and returns the members with the highest scores.",
    since: "5.0.0",
    cost: "O(log(N)*M) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(zpopmax),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZPOPMAX board
        1) "bob"
        2) "5"
        > ZPOPMAX board
        1) "ann"
        2) "3"
        > EXISTS board
        (integer) 0
    "#,
};

fn zpopmax(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    pop(cx, args, true)
}

/// The members that are taken from an end.
pub(super) fn taken(length: u64, count: u64, is_max: bool) -> Range<u64> {
    let count = count.min(length);
    if is_max { length - count..length } else { 0..count }
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>, is_max: bool) -> Result<Whole, Refusal> {
    if args.len() > 3 {
        return Err(Refusal::Syntax);
    }
    let count = args.from(2).next().map(|text| positive(text, NOT_POSITIVE)).transpose()?;
    let is_nested = cx.reply.protocol == Protocol::Resp3 && count.is_some();
    let (db, key) = (cx.db, args.get(1));
    let set: Option<&SortedSet> = cx.keys.object_to_change(db, key)?;
    let Some(set) = set.filter(|_| count != Some(0)) else {
        cx.reply.array(0);
        return Ok(Whole::Done);
    };
    let range = taken(set.len(), count.unwrap_or(1), is_max);
    let (length, is_all) = (range.end - range.start, range == (0..set.len()));
    if length == 1 {
        // Nearly always.
        cx.reply.array(if is_nested { 1 } else { 2 });
        show(set, range.clone(), is_max, is_nested, &mut cx.reply);
        Removing::of(db, key, range).more(cx);
        return Ok(Whole::Done);
    }
    let mut shared = cx.keys.peek(db, key).map(|item| item.share());
    let (mut left, mut removing) = (range.clone(), Removing::of(db, key, range));
    let mut is_begun = false;
    let slices = move |cx: &mut Cx<'_>| {
        let set = shared.as_ref().and_then(|shared| shared.object::<SortedSet>());
        let Some(set) = set.filter(|_| !left.is_empty()) else {
            // What goes was held until it was shown. From here on nothing needs to be copied for it.
            shared = None;
            return Ok(removing.more(cx));
        };
        if !std::mem::replace(&mut is_begun, true) {
            cx.reply.array(length as usize * if is_nested { 1 } else { 2 });
        }
        show(set, piece_of(&mut left, is_max), is_max, is_nested, &mut cx.reply);
        Ok(false)
    };
    let is_short = length <= Removing::PIECE || is_all && length <= PIECE;
    Whole::of(Box::new(slices), is_short, cx)
}

/// The members from an end, each with its score.
pub(super) fn show(
    set: &SortedSet,
    range: Range<u64>,
    is_max: bool,
    is_nested: bool,
    reply: &mut ReplyWriter<'_>,
) {
    set.visit(range, is_max, |entry| {
        if is_nested {
            reply.array(2);
        }
        write_member(reply, entry.member);
        reply.double(entry.score);
        true
    });
}

pub(super) const ZMPOP: Command = Command {
    name: "zmpop",
    usage: "ZMPOP numkeys key [key ...] <MIN | MAX> [COUNT count]",
    summary: "Removes and returns members from an end of the first sorted set that there is.",
    since: "7.0.0",
    cost: "O(K) + O(M*log(N)) for K keys and M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE,
    keys: Keys::of([Spec::counted(1).used(Uses::TAKE)]),
    run: Run::Carry(Carry {
        check: |args| asked(args, 1).map(drop),
        gather: Carry::whatever,
        decide: |decision, args, carried| take(decision, args, carried, 1),
    }),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZMPOP 2 nothing board MAX COUNT 2
        1) "board"
        2) 1) 1) "eve"
              2) "7"
           2) 1) "bob"
              2) "5"
        > ZMPOP 1 nothing MIN
        (nil)
        > ZMPOP 0 board MIN
        (error) ERR numkeys should be greater than 0
        > ZMPOP 1 board MIN COUNT 0
        (error) ERR count should be greater than 0
    "#,
};

/// What is asked for, from the number of keys on, which is this argument: from which end, and how many.
pub(super) fn asked(mut args: Args<'_>, position: usize) -> Result<(bool, u64), Refusal> {
    args.seek(position);
    let keys = args.key_count(Counted::Pops, ZMPOP.name)?;
    args.seek(position + 1 + keys);
    end_and_count(&mut args)
}

pub(super) fn take(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
    position: usize,
) -> Result<Decided, Refusal> {
    let (is_max, count) = asked(args, position)?;
    // Keys of other types behind it are not looked at.
    let Some((index, found)) = Found::first(carried) else {
        decision.reply.nil_array();
        return Ok(Vec::new().into());
    };
    let set = found.value.object::<SortedSet>().ok_or(Refusal::WrongType)?;
    let (db, key) = (decision.db, args.get(position + 1 + index).to_vec());
    let range = taken(set.len(), count, is_max);
    let length = range.end - range.start;
    let (shared, mut left, mut is_begun) = (found.value.clone(), range, false);
    let pondering = move |decision: &mut Decision<'_>| {
        let reply = &mut decision.reply;
        if !is_begun {
            is_begun = true;
            reply.array(2);
            reply.bulk(&key);
            reply.array(length as usize);
        }
        let piece = piece_of(&mut left, is_max);
        if let Some(set) = shared.object::<SortedSet>() {
            show(set, piece, is_max, true, reply);
        }
        if !left.is_empty() {
            return Ok(None);
        }
        let is_all = shared.object::<SortedSet>().is_some_and(|set| set.len() == length);
        let each = if is_all { length } else { REMOVED_AT_ONCE };
        let writes = removals(length, each, is_max).map(|effect| Write::Change {
            db,
            key: key.clone(),
            effect,
        });
        Ok(Some(writes.collect()))
    };
    Decided::of(Box::new(pondering), length <= PIECE, decision)
}

/// Members that go in one effect, of which some tens are had in one piece.
const REMOVED_AT_ONCE: u64 = 16;

/// The removal of members from an end, so many at a time.
fn removals(count: u64, each: u64, is_max: bool) -> impl Iterator<Item = SentEffect> {
    (0..count.div_ceil(each)).map(move |index| {
        let piece = each.min(count - index * each);
        match is_max {
            true => SentEffect::of(&RemoveLast(piece)),
            false => SentEffect::of(&RemoveRange(0..piece)),
        }
    })
}
