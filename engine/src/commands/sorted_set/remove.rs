//! Removing members, by name or from here to there.

use super::span::{By, Span};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::types::DbIndex;
use crate::value::sorted_set::{Remove, RemoveRange, SortedSet};
use std::ops::Range;

pub(super) const ZREM: Command = Command {
    name: "zrem",
    usage: "ZREM key member [member ...]",
    summary: "Removes members; returns how many there were.",
    since: "1.2.0",
    cost: "O(M*log(N)) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(zrem),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZREM board ann eve ann
        (integer) 1
        > ZREM board bob
        (integer) 1
        > EXISTS board
        (integer) 0
    "#,
};

/// Members that are removed in one piece: some 50 us where each is elsewhere in memory.
const PIECE: usize = 32;

fn zrem(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.get(1);
    let set: Option<&SortedSet> = cx.keys.object_to_change(cx.db, key)?;
    if set.is_none() {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    }
    if args.len() - 2 <= PIECE {
        let count = remove(cx, cx.db, key, args.from(2));
        cx.reply.count(count);
        return Ok(Whole::Done);
    }
    let (args, mut at, mut count) = (OwnedArgs::copy(args), 2, 0);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        count += remove(cx, cx.db, args.get(1), args.from(at).take(PIECE));
        at += PIECE;
        if at < args.len() {
            return Ok(false);
        }
        cx.reply.count(count);
        Ok(true)
    })))
}

/// Removes those of the members that there are; how many it were.
fn remove<'a>(
    cx: &mut Cx<'_>,
    db: DbIndex,
    key: &[u8],
    members: impl Iterator<Item = &'a [u8]>,
) -> usize {
    let set = cx.keys.object_to_change::<SortedSet>(db, key).ok().flatten();
    let Some(set) = set else { return 0 };
    let mut there: Vec<&[u8]> = members.filter(|member| set.score(member).is_some()).collect();
    if there.len() > 1 {
        there.sort_unstable();
        there.dedup();
    }
    if there.is_empty() { 0 } else { cx.keys.change(db, key, &Remove(there)) }
}

pub(super) const ZREMRANGEBYRANK: Command = Command {
    name: "zremrangebyrank",
    usage: "ZREMRANGEBYRANK key start stop",
    summary: "Removes members from one number to another; returns how many there were.",
    since: "2.0.0",
    cost: "O(log(N) + M*log(N)) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(zremrangebyrank),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZREMRANGEBYRANK board 0 -2
        (integer) 2
        > ZRANGE board 0 -1
        1) "eve"
    "#,
};

fn zremrangebyrank(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    remove_span(cx, args, By::Rank)
}

pub(super) const ZREMRANGEBYSCORE: Command = Command {
    name: "zremrangebyscore",
    usage: "ZREMRANGEBYSCORE key min max",
    summary: "Removes members with scores in a range; returns how many there were.",
    since: "1.2.0",
    cost: "O(log(N) + M*log(N)) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(zremrangebyscore),
    examples: r#"
        > ZADD board 3 ann 5 bob 7 eve
        (integer) 3
        > ZREMRANGEBYSCORE board -inf (7
        (integer) 2
        > ZRANGE board 0 -1
        1) "eve"
    "#,
};

fn zremrangebyscore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    remove_span(cx, args, By::Score)
}

pub(super) const ZREMRANGEBYLEX: Command = Command {
    name: "zremrangebylex",
    usage: "ZREMRANGEBYLEX key min max",
    summary: "Removes members of one score in a range of bytes; returns how many there were.",
    since: "2.8.9",
    cost: "O(log(N) + M*log(N)) for M of N members",
    group: Group::SortedSet,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(zremrangebylex),
    examples: r#"
        > ZADD words 0 ant 0 bee 0 cat
        (integer) 3
        > ZREMRANGEBYLEX words - (cat
        (integer) 2
        > ZREMRANGEBYLEX words - +
        (integer) 1
        > EXISTS words
        (integer) 0
    "#,
};

fn zremrangebylex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    remove_span(cx, args, By::Lex)
}

fn remove_span(cx: &mut Cx<'_>, args: Args<'_>, by: By) -> Result<Whole, Refusal> {
    let (key, span) = (args.get(1), Span::of(by, args.get(2), args.get(3))?);
    let set: Option<&SortedSet> = cx.keys.object_to_change(cx.db, key)?;
    let range = set.map_or(Ok(0..0), |set| span.of_set(set))?;
    let count = (range.end - range.start) as usize;
    let mut removing = Removing::of(cx.db, key, range);
    if removing.is_short(cx) {
        while !removing.more(cx) {}
        cx.reply.count(count);
        return Ok(Whole::Done);
    }
    Ok(Whole::Later(Box::new(move |cx| {
        let is_done = removing.more(cx);
        if is_done {
            cx.reply.count(count);
        }
        Ok(is_done)
    })))
}

/// Removes the members with some numbers, a piece at a time.
pub(super) struct Removing {
    db: DbIndex,
    key: Vec<u8>,
    left: Range<u64>,
}

impl Removing {
    /// Members that go at once.
    pub(super) const PIECE: u64 = PIECE as u64;

    pub(super) fn of(db: DbIndex, key: &[u8], range: Range<u64>) -> Removing {
        Removing { db, key: key.to_vec(), left: range }
    }

    /// Whether it takes no more than a piece.
    pub(super) fn is_short(&self, cx: &mut Cx<'_>) -> bool {
        self.left.end - self.left.start <= Removing::PIECE || self.is_all(cx)
    }

    /// Whether nothing stays.
    fn is_all(&self, cx: &mut Cx<'_>) -> bool {
        let set = cx.keys.object_to_change::<SortedSet>(self.db, &self.key).ok().flatten();
        set.is_some_and(|set| self.left == (0..set.len()))
    }

    /// Removes a piece; whether that was the last.
    pub(super) fn more(&mut self, cx: &mut Cx<'_>) -> bool {
        let start = self.left.start;
        // All of them go at once.
        let most = if self.is_all(cx) { u64::MAX } else { start + Removing::PIECE };
        let piece = start..self.left.end.min(most);
        self.left.end -= piece.end - piece.start;
        remove_range(cx, self.db, &self.key, piece);
        self.left.is_empty()
    }
}

/// Removes the members with some numbers at once. The time of the key may have come meanwhile: then all is
/// gone, and nothing happens.
pub(super) fn remove_range(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], range: Range<u64>) {
    if cx.keys.exists(db, key) && !range.is_empty() {
        cx.keys.change(db, key, &RemoveRange(range));
    }
}
