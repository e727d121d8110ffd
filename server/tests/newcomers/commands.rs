//! Client libraries and proxies ask what there is: COMMAND tells it as a Redis does.

use super::support::client::{Client, text};
use super::support::node::Node;
use super::support::peers;
use super::support::redis::Redis;
use engine::resp::client::Reply;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What COMMAND tells of a command, one text for each thing.
type Facts = BTreeSet<String>;

/// The facts about all commands and subcommands, by name.
type Told = BTreeMap<String, Facts>;

/// What differs on purpose, a line for each; `docs/compatibility.md` tells the reasons.
const ON_PURPOSE: [&str; 12] = [
    // As from Redis 7.2 on: a command of one word is looked up, too.
    "command|getkeys: not arity -4",
    "command|getkeys: but arity -3",
    "command|getkeysandflags: not arity -4",
    "command|getkeysandflags: but arity -3",
    // Whoever follows the wrong master must be able to say so in the middle of a full sync.
    "replicaof: but flag loading",
    "slaveof: but flag loading",
    // As from Redis 7.2 on: what waits on purpose is kept out of the slow log.
    "wait: but category @blocking",
    "wait: but flag blocking",
    // As from Redis 7.2 on: WITHSCORE.
    "zrank: not arity 3",
    "zrank: but arity -3",
    "zrevrank: not arity 3",
    "zrevrank: but arity -3",
];

fn elements(reply: &Reply) -> &[Reply] {
    reply.elements().unwrap_or_else(|| panic!("a list: {reply:?}"))
}

/// Adds what an entry of COMMAND tells, and what its subcommands' entries do.
fn read(entry: &Reply, told: &mut Told) {
    let [name, arity, flags, first, last, step, categories, tips, specs, subcommands] =
        elements(entry)
    else {
        panic!("ten elements: {entry:?}");
    };
    let each = |what: &'static str, of: &Reply| -> Vec<String> {
        elements(of).iter().map(|one| format!("{what} {}", text(one))).collect()
    };
    let range = [first, last, step].map(text).join(" ");
    let mut facts = Facts::from([
        format!("arity {}", text(arity)),
        format!("keys {range}"),
        // Their order counts.
        format!("tips {}", text(tips)),
        format!("searches {}", elements(specs).len()),
    ]);
    facts.extend(each("flag", flags));
    facts.extend(each("category", categories));
    let specs = elements(specs).iter().enumerate();
    facts.extend(specs.map(|(index, spec)| format!("search {index}: {}", text(spec))));
    elements(subcommands).iter().for_each(|entry| read(entry, told));
    assert!(told.insert(text(name), facts).is_none(), "{} is told once", text(name));
}

fn told_by(client: &mut Client) -> Told {
    let mut told = Told::new();
    elements(&client.must(&["COMMAND"])).iter().for_each(|entry| read(entry, &mut told));
    told
}

/// How the facts here differ from those there, of commands that are on both sides.
fn differences(there: &Told, here: &Told) -> BTreeSet<String> {
    let both = there.iter().filter_map(|(name, facts)| Some((name, facts, here.get(name)?)));
    both.flat_map(|(name, there, here)| {
        let lacking = there.difference(here).map(move |fact| format!("{name}: not {fact}"));
        lacking.chain(here.difference(there).map(move |fact| format!("{name}: but {fact}")))
    })
    .collect()
}

/// Debian's, whatever `REDIS_SERVER` says: each version tells something else.
fn redis_7_0() -> Redis {
    let redis = Redis::start_program(Path::new("redis-server"), &[]);
    let info = text(&redis.client().must(&["INFO", "server"]));
    assert!(info.contains("redis_version:7.0."), "{info}");
    redis
}

#[test]
fn commands_are_described_as_redis_describes_them() {
    let redis = redis_7_0();
    let node = Node::start("node", 1, &[]);
    let (there, here) = (told_by(&mut redis.client()), told_by(&mut node.client()));
    let expected: BTreeSet<String> = ON_PURPOSE.map(str::to_owned).into();
    assert_eq!(differences(&there, &here), expected);
    let both = there.keys().filter(|name| here.contains_key(*name)).count();
    assert!(both > 290, "what was told was understood: {both}");
}

/// Debian's Redis does not know them.
#[test]
fn commands_newer_than_redis_7_0_are_described_as_redis_8_2_describes_them() {
    let older = redis_7_0();
    let newer = Redis::start_program(&peers::REDIS_8_2.program(), &[]);
    let node = Node::start("node", 1, &[]);
    let older = told_by(&mut older.client());
    let mut there = told_by(&mut newer.client());
    there.retain(|name, _| !older.contains_key(name));
    let here = told_by(&mut node.client());
    assert_eq!(differences(&there, &here), BTreeSet::new());
    let both = there.keys().filter(|name| here.contains_key(*name)).count();
    assert!(both >= 14, "what was told was understood: {both}");
}

#[test]
fn commands_are_listed_by_the_categories_that_they_are_told_to_be_of() {
    let redis = redis_7_0();
    let node = Node::start("node", 1, &[]);
    let mut client = node.client();
    let told = told_by(&mut client);
    for category in elements(&redis.client().must(&["ACL", "CAT"])) {
        let category = text(category);
        let reply = client.must(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", &category]);
        let listed: BTreeSet<String> = elements(&reply).iter().map(text).collect();
        let fact = format!("category @{category}");
        let of_it = told.iter().filter(|(_, facts)| facts.contains(&fact));
        let of_it: BTreeSet<String> = of_it.map(|(name, _)| name.clone()).collect();
        assert_eq!(listed, of_it, "{category}");
    }
}
