//! SORT and SORT_RO: elements of a list, a set or a sorted set in order, or what other keys say of them.
//!
//! ```text
//!   SORT l BY w_* GET n_*->name      elements of l ─► w_<element> of each ─► sorted ─► n_<element> ─► reply
//!                                                     (any shard)                      (any shard)
//! ```
//!
//! What is compared are numbers, or with ALPHA bytes: Redis compares as the C locale does, unless told otherwise.
//! With keys that only elements name the command holds all shards, as a transaction. Many elements are sorted in
//! pieces: runs of some hundred, which are merged (`sort_job`).

use super::sort_job::{Job, Options, Pattern};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses,
};

const BY: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive \
                  from the content of the key we sort";
const STORE: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear \
                     anywhere in the argument array";

/// An argument of these may be the word too.
const OPTIONS: &[(&str, usize)] = &[("LIMIT", 2), ("GET", 1), ("BY", 1)];

pub(super) const SORT: Command = Command {
    name: "sort",
    usage: "SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
    summary: "Sorts the elements of a list, a set or a sorted set, and returns them or keeps them in a list.",
    since: "1.0.0",
    cost: "O(N+M*log(M)) with N elements, of which M are returned.",
    group: Group::Generic,
    flags: Flags::WRITE
        .union(Flags::DENYOOM)
        .union(Flags::DANGEROUS)
        .union(Flags::ELEMENTS_CATEGORIES),
    keys: Keys::of([
        Spec::at(1),
        Spec::unknown().noted(BY),
        Spec::option("STORE", 2).skipping(OPTIONS).used(Uses::REPLACE).untold().noted(STORE),
    ]),
    run: Run::Carry(Carry { check, gather, decide }),
    examples: r#"
        > RPUSH numbers 3 1 2
        (integer) 3
        > SORT numbers
        1) "1"
        2) "2"
        3) "3"
        > SORT numbers DESC LIMIT 0 2
        1) "3"
        2) "2"
        > MSET weight_1 30 weight_2 20 weight_3 10 name_1 one name_2 two
        OK
        > SORT numbers BY weight_* GET # GET name_*
        1) "3"
        2) (nil)
        3) "2"
        4) "two"
        5) "1"
        6) "one"
        > SORT numbers STORE sorted
        (integer) 3
        > LRANGE sorted 0 -1
        1) "1"
        2) "2"
        3) "3"
        > SORT nothing STORE sorted
        (integer) 0
        > EXISTS sorted
        (integer) 0
    "#,
};

pub(super) const SORT_RO: Command = Command {
    name: "sort_ro",
    usage: "SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
    summary: "Sorts the elements of a list, a set or a sorted set, and returns them.",
    since: "7.0.0",
    cost: "O(N+M*log(M)) with N elements, of which M are returned.",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::DANGEROUS).union(Flags::ELEMENTS_CATEGORIES),
    keys: Keys::of([Spec::at(1), Spec::unknown().noted(BY)]),
    run: Run::Carry(Carry { check, gather, decide }),
    examples: r#"
        > RPUSH words b a
        (integer) 2
        > SORT_RO words ALPHA
        1) "a"
        2) "b"
        > SORT_RO words
        (error) ERR One or more scores can't be converted into double
        > SORT_RO words STORE elsewhere
        (error) ERR syntax error
    "#,
};

/// Reads what a request asks for.
fn read(mut args: Args<'_>) -> Result<Options, Refusal> {
    let mut options = Options::default();
    let may_store = args.get(0).eq_ignore_ascii_case(b"sort");
    args.seek(2);
    while args.left() > 0 {
        let has = |more| args.left() > more;
        let (has_one, has_two) = (has(1), has(2));
        if args.word("ASC") {
            options.is_descending = false;
        } else if args.word("DESC") {
            options.is_descending = true;
        } else if args.word("ALPHA") {
            options.is_alpha = true;
        } else if has_two && args.word("LIMIT") {
            options.limit = Some((args.integer()?, args.integer()?));
        } else if may_store && has_one && args.word("STORE") {
            options.store = Some(args.required()?.to_vec());
        } else if has_one && args.word("BY") {
            let pattern = Pattern::read(args.required()?);
            options.is_unsorted |= pattern.key.is_none();
            options.by = Some(pattern);
        } else if has_one && args.word("GET") {
            options.gets.push(Pattern::read(args.required()?));
        } else {
            return Err(Refusal::Syntax);
        }
    }
    Ok(options)
}

fn check(args: Args<'_>) -> Result<(), Refusal> {
    read(args).map(drop)
}

/// The first key is what is sorted; the other one, if there is one, is only written to.
fn gather(cx: &mut Cx<'_>, key: &[u8], index: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    if index > 0 {
        return Ok(None);
    }
    let Some(item) = cx.keys.find(cx.db, key) else { return Ok(None) };
    let is_sortable = matches!(item.kind().name, "list" | "set" | "zset");
    if is_sortable { Ok(Some(Found::of(item))) } else { Err(Refusal::WrongType) }
}

fn decide(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let found = carried.first().cloned().flatten();
    Job::of(read(args)?, found.map(|found| found.value)).go_on(decision)
}
