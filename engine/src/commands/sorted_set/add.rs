//! Setting scores.

use super::asked::score;
use crate::command::{
    Args, Command, Cx, Flags, Group, Keys, Outcome, OwnedArgs, Refusal, Run, Uses, Whole,
};
use crate::db::Small;
use crate::value::sorted_set::{Seen, Set, SortedSet};
use bitflags::bitflags;
use std::collections::HashMap;

pub(super) const ZADD: Command = Command {
    name: "zadd",
    usage: "ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
    summary: "Sets the scores of members, adding those that are not there.",
    since: "1.2.0",
    cost: "O(log(N)) for each member, with N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(zadd),
    examples: r#"
        > ZADD board 3 ann 5 bob
        (integer) 2
        > ZADD board CH 4 ann 5 bob 7 eve
        (integer) 2
        > ZADD board NX 1 ann
        (integer) 0
        > ZADD board GT CH 6 bob 6 eve
        (integer) 1
        > ZADD board INCR 1.5 ann
        "5.5"
        > ZADD board XX INCR 1 joe
        (nil)
        > ZADD board NX GT 1 ann
        (error) ERR GT, LT, and/or NX options at the same time are not compatible
        > ZADD board nan ann
        (error) ERR value is not a valid float
        > ZADD board +inf ann
        (integer) 0
        > ZADD board INCR -inf ann
        (error) ERR resulting score is not a number (NaN)
    "#,
};

bitflags! {
    /// How scores are set.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(in crate::commands) struct Ways: u8 {
        /// Only of members that are not there.
        const NX = 1;
        /// Only of members that are there.
        const XX = 1 << 1;
        /// Of those that are there only to a higher one.
        const GT = 1 << 2;
        /// Only to a lower one.
        const LT = 1 << 3;
        /// Changed ones are counted, too.
        const CH = 1 << 4;
        /// It is added to what is there.
        const INCR = 1 << 5;
    }
}

fn ways(args: &mut Args<'_>) -> Ways {
    let mut ways = Ways::default();
    loop {
        ways |= match () {
            () if args.word("NX") => Ways::NX,
            () if args.word("XX") => Ways::XX,
            () if args.word("CH") => Ways::CH,
            () if args.word("INCR") => Ways::INCR,
            () if args.word("GT") => Ways::GT,
            () if args.word("LT") => Ways::LT,
            () => return ways,
        };
    }
}

fn check(ways: Ways, left: usize) -> Result<(), Refusal> {
    if left == 0 || left % 2 != 0 {
        return Err(Refusal::Syntax);
    }
    if ways.contains(Ways::NX | Ways::XX) {
        let text = "ERR XX and NX options at the same time are not compatible";
        return Err(Refusal::fixed(text));
    }
    let bounds = [Ways::GT | Ways::NX, Ways::LT | Ways::NX, Ways::GT | Ways::LT];
    if bounds.iter().any(|both| ways.contains(*both)) {
        let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
        return Err(Refusal::fixed(text));
    }
    if ways.contains(Ways::INCR) && left > 2 {
        let text = "ERR INCR option supports a single increment-element pair";
        return Err(Refusal::fixed(text));
    }
    Ok(())
}

/// Scores that are set in one piece: some 50 us where each is elsewhere in memory.
const PIECE: usize = 32;

fn zadd(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let ways = ways(&mut args);
    check(ways, args.left())?;
    let (first, pairs) = (args.len() - args.left(), args.left() / 2);
    if pairs > PIECE {
        return Ok(long(args, first, ways));
    }
    let mut members = Vec::with_capacity(pairs);
    while args.left() > 0 {
        members.push((score(args.required()?)?, args.required()?));
    }
    let mut adding = Adding::begin(ways, pairs);
    adding.add(cx, key, &members)?;
    adding.end(cx);
    Ok(Whole::Done)
}

/// Many scores: all of them are read before the first is set.
fn long(args: Args<'_>, first: usize, ways: Ways) -> Whole {
    let pairs = (args.len() - first) / 2;
    let (args, mut scores, mut done) = (OwnedArgs::copy(args), Vec::with_capacity(pairs), 0);
    let mut adding = Adding::begin(ways, pairs);
    Whole::Later(Box::new(move |cx| {
        let args = args.view();
        let member = |index: usize| args.get(first + 2 * index + 1);
        if scores.len() < pairs {
            for index in scores.len()..pairs.min(scores.len() + 8 * PIECE) {
                scores.push(score(args.get(first + 2 * index))?);
            }
            return Ok(false);
        }
        let end = pairs.min(done + PIECE);
        let members: Vec<(f64, &[u8])> =
            (done..end).map(|index| (scores[index], member(index))).collect();
        adding.add(cx, args.get(1), &members)?;
        done = end;
        let is_done = done == pairs || adding.is_over;
        if is_done {
            adding.end(cx);
        }
        Ok(is_done)
    }))
}

/// Scores that are being set.
pub(in crate::commands) struct Adding {
    ways: Ways,
    /// How many are to come.
    pairs: usize,
    added: usize,
    changed: usize,
    /// Of an increment: what came of it.
    score: Option<f64>,
    is_over: bool,
}

impl Adding {
    /// So many.
    pub(in crate::commands) fn begin(ways: Ways, pairs: usize) -> Adding {
        Adding { ways, pairs, added: 0, changed: 0, score: None, is_over: false }
    }

    /// Sets some scores: one effect.
    pub(in crate::commands) fn add(
        &mut self,
        cx: &mut Cx<'_>,
        key: &[u8],
        members: &[(f64, &[u8])],
    ) -> Outcome {
        let small = cx.keys.encodings().sorted_set;
        if self.ways.contains(Ways::INCR) {
            cx.keys.call_it("zincr");
        }
        let mut refused = Ok(());
        cx.keys.decide(cx.db, key, |there: Option<&SortedSet>| {
            self.decide(there, members, small).unwrap_or_else(|refusal| {
                refused = Err(refusal);
                None
            })
        })?;
        refused
    }

    /// What is to happen, where something is.
    fn decide<'m>(
        &mut self,
        there: Option<&SortedSet>,
        members: &[(f64, &'m [u8])],
        small: Small,
    ) -> Result<Option<Set<'m>>, Refusal> {
        if there.is_none() && self.ways.contains(Ways::XX) {
            self.is_over = true;
            return Ok(None);
        }
        let is_single = members.len() == 1;
        let mut now = Now { there, set: HashMap::new(), is_single, seen: None };
        let (mut told, mut longest, mut added) = (Vec::with_capacity(members.len()), 0, 0);
        for &(score, member) in members {
            let Some((score, is_new)) = self.judge(now.score(member), score)? else { continue };
            if is_new {
                added += 1;
                longest = longest.max(member.len());
            } else {
                self.changed += 1;
            }
            now.note(member, score);
            told.push((score, member));
        }
        self.added += added;
        if told.is_empty() {
            return Ok(None);
        }
        let length = there.map_or(0, SortedSet::len) + added as u64;
        // Redis looks at the first member of a new one, and how many are said, before it adds any.
        let first = if there.is_none() { members[0].1.len() } else { 0 };
        let is_large = length > small.entries
            || self.pairs as u64 > small.entries
            || longest.max(first) > small.value;
        let seen = now.seen;
        let is_large = is_large && !there.is_some_and(SortedSet::is_large);
        Ok(Some(Set { members: told, is_large, seen }))
    }

    /// What becomes of a member that has this score or none: the new one and whether it is the first one.
    fn judge(&mut self, there: Option<f64>, score: f64) -> Result<Option<(f64, bool)>, Refusal> {
        let ways = self.ways;
        let Some(before) = there else {
            if ways.contains(Ways::XX) {
                return Ok(None);
            }
            self.score = Some(score);
            return Ok(Some((score, true)));
        };
        if ways.contains(Ways::NX) {
            return Ok(None);
        }
        let score = if ways.contains(Ways::INCR) { before + score } else { score };
        if score.is_nan() {
            return Err(Refusal::fixed("ERR resulting score is not a number (NaN)"));
        }
        let is_refused = ways.contains(Ways::LT) && score >= before
            || ways.contains(Ways::GT) && score <= before;
        if is_refused {
            return Ok(None);
        }
        self.score = Some(score);
        Ok((score != before).then_some((score, false)))
    }

    /// Whether nothing more can come of it.
    pub(in crate::commands) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The reply.
    pub(in crate::commands) fn end(&self, cx: &mut Cx<'_>) {
        if self.ways.contains(Ways::INCR) {
            return match self.score {
                Some(score) => cx.reply.double(score),
                None => cx.reply.nil(),
            };
        }
        let changed = if self.ways.contains(Ways::CH) { self.changed } else { 0 };
        cx.reply.count(self.added + changed);
    }
}

/// The scores as they are in the middle of a command, which may set one of them more than once.
struct Now<'a> {
    there: Option<&'a SortedSet>,
    set: HashMap<&'a [u8], f64>,
    is_single: bool,
    /// Where the single one stands.
    seen: Option<Seen>,
}

impl<'a> Now<'a> {
    fn score(&mut self, member: &[u8]) -> Option<f64> {
        if self.is_single {
            let (score, seen) = self.there?.look(member)?;
            self.seen = seen;
            return Some(score);
        }
        let there = || self.there.and_then(|there| there.score(member));
        self.set.get(member).copied().or_else(there)
    }

    fn note(&mut self, member: &'a [u8], score: f64) {
        if !self.is_single {
            self.set.insert(member, score);
        }
    }
}

pub(super) const ZINCRBY: Command = Command {
    name: "zincrby",
    usage: "ZINCRBY key increment member",
    summary: "Adds to the score of a member, which begins at 0; returns the new one.",
    since: "1.2.0",
    cost: "O(log(N)) with N members",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(zincrby),
    examples: r#"
        > ZINCRBY board 2 ann
        "2"
        > ZINCRBY board -0.5 ann
        "1.5"
        > ZINCRBY board x ann
        (error) ERR value is not a valid float
    "#,
};

fn zincrby(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    // Redis reads both commands in one place: ZADD's words are none of the two that must follow here.
    check(ways(&mut args), args.left())?;
    let (increment, member) = (score(args.required()?)?, args.required()?);
    let mut adding = Adding::begin(Ways::INCR, 1);
    adding.add(cx, key, &[(increment, member)])?;
    adding.end(cx);
    Ok(())
}
