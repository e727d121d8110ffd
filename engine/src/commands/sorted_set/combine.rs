//! Unions, intersections and differences.

use super::combining::{Aggregate, Combining, Operation};
use super::source::{Source, takes_part};
use super::store::stored;
use super::write::{Making, PIECE, Showing};
use crate::command::shape::Pondering;
use crate::command::{
    Args, Carried, Carry, Command, Counted, Cx, Decided, Decision, Flags, Found, Group, Keys,
    Refusal, Run, Spec, Uses,
};
use crate::resp::number::parse_i64;
use crate::value::number::parse_f64_redis;

const SOURCES: Keys = Keys::of([Spec::counted(1).used(Uses::READ)]);
const DESTINATION_AND_SOURCES: Keys =
    Keys::of([Spec::at(1).used(Uses::REPLACE), Spec::counted(2).used(Uses::READ)]);

/// What a command of the family is.
#[derive(Clone, Copy)]
struct Rules {
    name: &'static str,
    operation: Operation,
    /// The argument that says how many keys there are: behind the destination, if there is one.
    count_at: usize,
    /// Only how many come out.
    counts: bool,
}

pub(super) const ZUNION: Command = Command {
    name: "zunion",
    usage: "ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] \
            [WITHSCORES]",
    summary: "Returns the members of several sorted sets.",
    since: "6.2.0",
    cost: "O(N) + O(M*log(M)) with N members in all, M of them different",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: SOURCES,
    run: Run::Carry(Carry { check: check_union, gather: look_union, decide: union }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZUNION 2 one other
        1) "a"
        2) "c"
        3) "b"
        > ZUNION 3 one other nothing WEIGHTS 1 -1 5 AGGREGATE MIN
        1) "c"
        2) "b"
        3) "a"
        > ZUNION 0 one
        (error) ERR at least 1 input key is needed for 'zunion' command
        > ZUNION 1 one WEIGHTS x
        (error) ERR weight value is not a float
    "#,
};

const UNION: Rules =
    Rules { name: "zunion", operation: Operation::Union, count_at: 1, counts: false };

fn check_union(args: Args<'_>) -> Result<(), Refusal> {
    UNION.check(args)
}

fn look_union(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    UNION.look(cx, key, index)
}

fn union(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    UNION.decide(decision, args, carried)
}

pub(super) const ZINTER: Command = Command {
    name: "zinter",
    usage: "ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] \
            [WITHSCORES]",
    summary: "Returns the members that all of several sorted sets have.",
    since: "6.2.0",
    cost: "O(N*K) + O(M*log(M)) with N members in the least of K, M of them in all",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: SOURCES,
    run: Run::Carry(Carry { check: check_inter, gather: look_union, decide: inter }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZINTER 2 one other
        1) "b"
        > ZINTER 2 one nothing
        (empty array)
    "#,
};

const INTER: Rules =
    Rules { name: "zinter", operation: Operation::Inter, count_at: 1, counts: false };

fn check_inter(args: Args<'_>) -> Result<(), Refusal> {
    INTER.check(args)
}

fn inter(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    INTER.decide(decision, args, carried)
}

pub(super) const ZDIFF: Command = Command {
    name: "zdiff",
    usage: "ZDIFF numkeys key [key ...] [WITHSCORES]",
    summary: "Returns the members of the first sorted set that no other one has.",
    since: "6.2.0",
    cost: "O(N*K) + O(M*log(M)) with N members in the first of K, M of them in no other",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: SOURCES,
    run: Run::Carry(Carry { check: check_diff, gather: look_union, decide: diff }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZDIFF 2 one other
        1) "a"
        > ZDIFF 1 one WEIGHTS 1
        (error) ERR syntax error
    "#,
};

const DIFF: Rules = Rules { name: "zdiff", operation: Operation::Diff, count_at: 1, counts: false };

fn check_diff(args: Args<'_>) -> Result<(), Refusal> {
    DIFF.check(args)
}

fn diff(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    DIFF.decide(decision, args, carried)
}

pub(super) const ZINTERCARD: Command = Command {
    name: "zintercard",
    usage: "ZINTERCARD numkeys key [key ...] [LIMIT limit]",
    summary: "Returns how many members all of several sorted sets have, up to a limit.",
    since: "7.0.0",
    cost: "O(N*K) with N members in the least of K",
    group: Group::SortedSet,
    flags: Flags::READONLY,
    keys: SOURCES,
    run: Run::Carry(Carry { check: check_card, gather: look_union, decide: card }),
    examples: r#"
        > ZADD one 1 a 2 b 3 c
        (integer) 3
        > ZADD other 3 b 4 c
        (integer) 2
        > ZINTERCARD 2 one other
        (integer) 2
        > ZINTERCARD 2 one other LIMIT 1
        (integer) 1
        > ZINTERCARD 1 one LIMIT -1
        (error) ERR LIMIT can't be negative
    "#,
};

const CARD: Rules =
    Rules { name: "zintercard", operation: Operation::Inter, count_at: 1, counts: true };

fn check_card(args: Args<'_>) -> Result<(), Refusal> {
    CARD.check(args)
}

fn card(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    CARD.decide(decision, args, carried)
}

pub(super) const ZUNIONSTORE: Command = Command {
    name: "zunionstore",
    usage: "ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] \
            [AGGREGATE SUM | MIN | MAX]",
    summary: "Stores the members of several sorted sets; returns how many they are.",
    since: "2.0.0",
    cost: "O(N) + O(M*log(M)) with N members in all, M of them different",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: DESTINATION_AND_SOURCES,
    run: Run::Carry(Carry { check: check_union_store, gather: look_store, decide: union_store }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZUNIONSTORE all 2 one other WEIGHTS 2 1
        (integer) 3
        > ZSCORE all b
        "7"
        > ZUNIONSTORE all 1 nothing
        (integer) 0
        > EXISTS all
        (integer) 0
    "#,
};

const UNION_STORE: Rules =
    Rules { name: "zunionstore", operation: Operation::Union, count_at: 2, counts: false };

fn check_union_store(args: Args<'_>) -> Result<(), Refusal> {
    UNION_STORE.check(args)
}

fn look_store(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    UNION_STORE.look(cx, key, index)
}

fn union_store(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    UNION_STORE.decide(decision, args, carried)
}

pub(super) const ZINTERSTORE: Command = Command {
    name: "zinterstore",
    usage: "ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] \
            [AGGREGATE SUM | MIN | MAX]",
    summary: "Stores the members that all of several sorted sets have; returns how many they are.",
    since: "2.0.0",
    cost: "O(N*K) + O(M*log(M)) with N members in the least of K, M of them in all",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: DESTINATION_AND_SOURCES,
    run: Run::Carry(Carry { check: check_inter_store, gather: look_store, decide: inter_store }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZINTERSTORE one 2 one other AGGREGATE MAX
        (integer) 1
        > ZSCORE one b
        "3"
    "#,
};

const INTER_STORE: Rules =
    Rules { name: "zinterstore", operation: Operation::Inter, count_at: 2, counts: false };

fn check_inter_store(args: Args<'_>) -> Result<(), Refusal> {
    INTER_STORE.check(args)
}

fn inter_store(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    INTER_STORE.decide(decision, args, carried)
}

pub(super) const ZDIFFSTORE: Command = Command {
    name: "zdiffstore",
    usage: "ZDIFFSTORE destination numkeys key [key ...]",
    summary: "Stores the members of the first sorted set that no other one has; returns how many they are.",
    since: "6.2.0",
    cost: "O(N*K) + O(M*log(M)) with N members in the first of K, M of them in no other",
    group: Group::SortedSet,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: DESTINATION_AND_SOURCES,
    run: Run::Carry(Carry { check: check_diff_store, gather: look_store, decide: diff_store }),
    examples: r#"
        > ZADD one 1 a 2 b
        (integer) 2
        > ZADD other 3 b 4 c
        (integer) 2
        > ZDIFFSTORE rest 2 one other
        (integer) 1
        > ZSCORE rest a
        "1"
        > ZDIFFSTORE rest 1 one WITHSCORES
        (error) ERR syntax error
    "#,
};

const DIFF_STORE: Rules =
    Rules { name: "zdiffstore", operation: Operation::Diff, count_at: 2, counts: false };

fn check_diff_store(args: Args<'_>) -> Result<(), Refusal> {
    DIFF_STORE.check(args)
}

fn diff_store(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    DIFF_STORE.decide(decision, args, carried)
}

/// What a request asks for behind its keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: u64,
}

impl Rules {
    fn stores(&self) -> bool {
        self.count_at > 1
    }

    fn check(&self, args: Args<'_>) -> Result<(), Refusal> {
        self.keys(args).map(drop)
    }

    /// How many sources there are.
    fn keys(&self, mut args: Args<'_>) -> Result<usize, Refusal> {
        args.seek(self.count_at);
        args.key_count(Counted::Inputs, self.name)
    }

    fn look(&self, cx: &mut Cx<'_>, key: &[u8], index: usize) -> Result<Carried, Refusal> {
        if self.stores() && index == 0 {
            // Whatever is there is replaced.
            return Ok(None);
        }
        let Some(item) = cx.keys.find(cx.db, key) else { return Ok(None) };
        if takes_part(item) { Ok(Some(Found::of(item))) } else { Err(Refusal::WrongType) }
    }

    /// Read after the keys, as by Redis: a wrong type is said before a wrong option.
    fn options(&self, mut args: Args<'_>, sources: usize) -> Result<Options, Refusal> {
        let mut options = Options {
            weights: vec![1.0; sources],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighs = self.operation != Operation::Diff && !self.counts;
        args.seek(self.count_at + 1 + sources);
        while args.left() > 0 {
            if weighs && args.left() > sources && args.word("WEIGHTS") {
                for weight in &mut options.weights {
                    let refusal = Refusal::fixed("ERR weight value is not a float");
                    *weight = parse_f64_redis(args.required()?).ok_or(refusal)?;
                }
            } else if weighs && args.left() > 1 && args.word("AGGREGATE") {
                options.aggregate = match () {
                    () if args.word("SUM") => Aggregate::Sum,
                    () if args.word("MIN") => Aggregate::Min,
                    () if args.word("MAX") => Aggregate::Max,
                    () => return Err(Refusal::Syntax),
                };
            } else if !self.stores() && !self.counts && args.word("WITHSCORES") {
                options.with_scores = true;
            } else if self.counts && args.left() > 1 && args.word("LIMIT") {
                let said = parse_i64(args.required()?).and_then(|said| u64::try_from(said).ok());
                options.limit = said.ok_or(Refusal::fixed("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }

    fn decide(
        &self,
        decision: &mut Decision<'_>,
        args: Args<'_>,
        carried: &[Carried],
    ) -> Result<Decided, Refusal> {
        let count = self.keys(args)?;
        let options = self.options(args, count)?;
        let found = |index: usize| carried.get(self.count_at - 1 + index).cloned().flatten();
        let sources = options.weights.iter().enumerate();
        let sources: Vec<Source> = sources
            .map(|(index, weight)| Source::of(found(index).map(|found| found.value), *weight))
            .collect();
        let is_short = sources.iter().map(Source::len).sum::<u64>() <= PIECE;
        let limit = if self.counts && options.limit > 0 { options.limit } else { u64::MAX };
        let making = Making::new(decision.encodings);
        let mut combining = Combining::of(self.operation, sources, options.aggregate, making);
        if self.counts {
            combining.only_count(limit);
        }
        let pondering: Pondering = if self.counts {
            Box::new(move |decision| {
                if !combining.more() {
                    return Ok(None);
                }
                decision.reply.count(combining.count() as usize);
                Ok(Some(Vec::new()))
            })
        } else if self.stores() {
            let (db, key) = (decision.db, args.get(1).to_vec());
            Box::new(move |decision| {
                if !combining.more() {
                    return Ok(None);
                }
                decision.reply.count(combining.count() as usize);
                Ok(Some(vec![stored(db, &key, combining.making.end())]))
            })
        } else {
            let (mut showing, with_scores) = (None, options.with_scores);
            Box::new(move |decision| {
                let showing: &mut Showing = match &mut showing {
                    Some(showing) => showing,
                    None if !combining.more() => return Ok(None),
                    none => none.insert(Showing::of(0..combining.count(), false, with_scores)),
                };
                let is_done = showing.more(&combining.making.set, &mut decision.reply);
                Ok(is_done.then(Vec::new))
            })
        };
        Decided::of(pondering, is_short, decision)
    }
}
