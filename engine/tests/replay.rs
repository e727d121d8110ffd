//! A master's commands, run again here in its order: the same data whatever waited for what, transactions seen
//! whole by who reads meanwhile, and never more counted as applied than is there.

mod model_common;

use engine::command::{Args, OwnedArgs};
use engine::db::{Digest, Role};
use engine::exec::{AsOne, Replay};
use engine::model::{Client, ModelNode, World, decode_replies, registry};
use engine::resp::Reply;
use engine::types::DbIndex;
use model_common::{Requests, Words, borrowed, check_quiet, check_twin, seeds, words};
use std::cell::Cell;
use std::rc::Rc;

/// One command, or a MULTI's, in its database.
struct Unit {
    db: DbIndex,
    commands: Vec<Words>,
}

fn owned(command: &Words) -> OwnedArgs {
    let mut args = OwnedArgs::default();
    command.iter().for_each(|word| args.push(word));
    args
}

impl Unit {
    fn of(lines: &[impl AsRef<str>]) -> Unit {
        Unit { db: DbIndex(0), commands: lines.iter().map(|line| words(line.as_ref())).collect() }
    }

    fn add_to(&self, replay: &mut Replay, at: u64) {
        let entry = |args: &Args<'_>| registry().find(args.get(0)).expect("a master knows it");
        let args: Vec<OwnedArgs> = self.commands.iter().map(owned).collect();
        match args.as_slice() {
            [one] => replay.add(self.db, entry(&one.view()), one.view(), at),
            all => {
                let mut one = AsOne::new(at);
                for it in all {
                    replay.keep(&mut one, self.db, entry(&it.view()), it.view());
                }
                replay.add_as_one(one);
            }
        }
    }
}

/// A node that takes no writes but its master's.
fn follower(world: &World, shards: u16) -> Rc<ModelNode> {
    let node = ModelNode::in_world(world, shards);
    (0..shards).for_each(|id| node.with_shard(id, |shard| shard.keys.set_role(Role::Replica)));
    Rc::new(node)
}

/// What comes out the same whenever and wherever it is run, as what a Redis tells does.
fn is_exact(request: &Words) -> bool {
    let entry = registry().find(&request[0]).expect("made of known ones");
    let has = |word: &str| request.iter().any(|it| it == word.as_bytes());
    entry.writes() && !has("PX") && !has("PEXPIRE") && !has("SPOP")
}

/// What a master ran without an error, one after the other, and its data after each.
fn stream(world: &World, dice: &mut fastrand::Rng, many: usize) -> Vec<(Unit, Digest)> {
    let node = ModelNode::in_world(world, 1);
    let mut requests = Requests::new(dice.fork(), 12, 60);
    let mut units = Vec::new();
    while units.len() < many {
        let db = DbIndex(requests.random.u16(..3));
        let size = if requests.random.u8(..3) == 0 { requests.random.usize(2..6) } else { 1 };
        let mut commands = Vec::new();
        while commands.len() < size {
            let request = requests.next();
            if !is_exact(&request) {
                continue;
            }
            let mut client = node.client(0);
            client.db = db;
            let words = request.clone();
            let run = async move { client.pipeline(&[borrowed(&words)]).await };
            let replies = decode_replies(&world.block_on(run));
            if !matches!(replies.as_slice(), [Reply::Error(_)]) {
                commands.push(request);
            }
        }
        units.push((Unit { db, commands }, node.digest()));
    }
    units
}

#[test]
fn what_a_master_ran_comes_to_the_same_data() {
    for seed in seeds(80) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let world = World::new(seed);
        let units = stream(&world, &mut dice, 120);
        let node = follower(&world, dice.u16(1..5));
        // Somebody who reads holds keys open, so that batches have to wait.
        for _ in 0..2 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut requests = Requests::new(dice.fork(), 12, 0);
            world.spawn("reader", async move {
                for _ in 0..60 {
                    let mut lines = vec![words("MULTI")];
                    for _ in 0..4 {
                        lines.push(vec![b"EXISTS".to_vec(), requests.key(), requests.key()]);
                    }
                    lines.push(words("EXEC"));
                    client.pipeline(&lines.iter().map(borrowed).collect::<Vec<_>>()).await;
                }
            });
        }
        let (of_task, mut random, what) = (node.clone(), dice.fork(), format!("SEED={seed}"));
        world.spawn("replay", async move {
            let mut replay = Replay::new(of_task.outside().clone());
            let (mut applied, mut end) = (0, 0);
            for (at, (unit, digest)) in units.iter().enumerate() {
                unit.add_to(&mut replay, at as u64);
                end = at as u64 + 1;
                if random.bool() {
                    replay.send();
                    if !replay.is_settled() && random.bool() {
                        replay.progress().await;
                    }
                }
                let now = replay.applied(end);
                assert!(applied <= now && now <= end, "{what}: from {applied} to {now} of {end}");
                applied = now;
                if random.u8(..10) == 0 {
                    replay.settle().await;
                    assert!(replay.is_settled() && replay.held() == 0, "{what}: {}", replay.held());
                    assert_eq!(replay.applied(end), end, "{what}");
                    assert_eq!(of_task.digest(), *digest, "{what}: after {end}");
                }
            }
            replay.settle().await;
            assert_eq!(replay.applied(end), end, "{what}");
            assert_eq!(replay.take_misfit(), None, "{what}");
            let (_, digest) = units.last().expect("there are some");
            assert_eq!(of_task.digest(), *digest, "{what}: at the end");
        });
        check_quiet(&node, &format!("SEED={seed}"));
        check_twin(&node, &format!("SEED={seed}"));
        world.end();
    }
}

async fn numbers(client: &mut Client, line: &str) -> Vec<i64> {
    let reply = client.words(line).await;
    let number = |reply: &Reply| match reply {
        Reply::Bulk(digits) => String::from_utf8_lossy(digits).parse().expect("a number"),
        _ => 0,
    };
    reply.elements().expect("an array").iter().map(number).collect()
}

#[test]
fn who_reads_meanwhile_sees_transactions_whole_and_a_shards_commands_in_order() {
    for seed in seeds(80) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let world = World::new(seed);
        let node = follower(&world, dice.u16(1..5));
        let is_over = Rc::new(Cell::new(false));
        for _ in 0..2 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let (is_over, what) = (is_over.clone(), format!("SEED={seed}"));
            let of_task = world.clone();
            world.spawn("reader", async move {
                while !is_over.get() {
                    // What is all on its own shard it is given without a wait.
                    of_task.yield_now().await;
                    let seen = numbers(&mut client, "MGET a b c one{t} two{t} three{t}").await;
                    let [a, b, c, one, two, three] = seen[..] else { panic!("{seen:?}") };
                    assert!(a == b && b == c, "{what}: half of a transaction: {seen:?}");
                    let is_in_order = one >= two && two >= three && three >= one - 1;
                    assert!(is_in_order, "{what}: out of order: {seen:?}");
                }
            });
        }
        let (front, mut random, world_of_task) =
            (node.outside().clone(), dice.fork(), world.clone());
        world.spawn("replay", async move {
            let mut replay = Replay::new(front);
            for round in 1..60 {
                let whole = ["a", "b", "c"].map(|key| format!("SET {key} {round}"));
                let spread = format!("MSET a {round} b {round} c {round}");
                let tagged = ["one", "two", "three"].map(|key| {
                    let set = format!("SET {key}{{t}} {round}");
                    // As one of a lane, or with others that are elsewhere.
                    match key != "one" && random.bool() {
                        true => vec![set, format!("SET other{round} {round}")],
                        false => vec![set],
                    }
                });
                let of_all = if random.bool() { whole.to_vec() } else { vec![spread] };
                for (step, lines) in tagged.into_iter().chain([of_all]).enumerate() {
                    Unit::of(&lines).add_to(&mut replay, round * 4 + step as u64);
                    if random.bool() {
                        replay.send();
                    }
                    if !replay.is_settled() && random.u8(..4) == 0 {
                        replay.send();
                        replay.progress().await;
                    }
                }
                if random.u8(..8) == 0 {
                    world_of_task.yield_now().await;
                }
            }
            replay.settle().await;
            assert_eq!(replay.take_misfit(), None);
            is_over.set(true);
        });
        check_quiet(&node, &format!("SEED={seed}"));
        world.end();
    }
}

#[test]
fn a_transaction_of_thousands_is_one() {
    let world = World::new(7);
    let node = follower(&world, 3);
    let front = node.outside().clone();
    let of_task = node.clone();
    world.spawn("replay", async move {
        let mut replay = Replay::new(front);
        let set = |key: usize, value: &str| words(&format!("SET key{key} {value}"));
        let large = "v".repeat(1000);
        let mut commands: Vec<Words> = (0..5000).map(|key| set(key, "small")).collect();
        commands.extend((0..2000).map(|key| set(key, &large)));
        commands.push(words("MSET key0 last key1 last key2 last key3 last"));
        commands.push(words("RENAME key4 key5"));
        let db = DbIndex(1);
        Unit { db, commands }.add_to(&mut replay, 0);
        Unit { db, commands: vec![words("DEL key6 key7 key8 key9")] }.add_to(&mut replay, 1);
        let many: Vec<String> = (10..1000).map(|key| format!("key{key}")).collect();
        let del = words(&format!("DEL {}", many.join(" ")));
        Unit { db, commands: vec![del] }.add_to(&mut replay, 2);
        Unit { db, commands: vec![words("APPEND key5 !")] }.add_to(&mut replay, 3);
        replay.settle().await;
        assert_eq!((replay.applied(4), replay.take_misfit()), (4, None));
        let mut client = of_task.client(0);
        client.db = db;
        assert_eq!(client.words("DBSIZE").await, Reply::Integer(5000 - 1 - 4 - 990));
        assert_eq!(client.words("STRLEN key5").await, Reply::Integer(1001));
        assert_eq!(client.words("GET key3").await, Reply::Bulk(b"last".to_vec()));
    });
    check_quiet(&node, "thousands");
    check_twin(&node, "thousands");
    world.end();
}

/// The story: a stream that changes databases all the time is many short batches, and of a shard whose answers woke nobody one
/// was done in each millisecond.
#[test]
fn who_waits_for_an_answer_is_woken_by_it() {
    let world = World::new(8);
    let node = follower(&world, 1);
    let front = node.outside().clone();
    world.spawn("replay", async move {
        let mut replay = Replay::new(front);
        let set = |db: u16, at: u64, replay: &mut Replay| {
            let commands = vec![words(&format!("SET key{at} value"))];
            Unit { db: DbIndex(db), commands }.add_to(replay, at);
            replay.send();
        };
        assert!(replay.patience().is_some(), "nothing is there");
        set(0, 0, &mut replay);
        assert!(replay.patience().is_some(), "all of it is away");
        set(1, 1, &mut replay);
        assert!(replay.patience().is_none(), "a batch waits for the one before");
        replay.settle().await;
        assert!(replay.patience().is_some(), "all is done");
        set(0, 2, &mut replay);
        Unit::of(&["SET a 1", "SET b 1"]).add_to(&mut replay, 3);
        assert!(replay.patience().is_none(), "a group waits for it");
        replay.settle().await;
    });
    check_quiet(&node, "a stream of two databases");
    world.end();
}

#[test]
fn what_does_not_fit_is_told() {
    let world = World::new(1);
    let node = follower(&world, 3);
    let front = node.outside().clone();
    world.spawn("replay", async move {
        let mut replay = Replay::new(front);
        let cases: [(&[&str], &str); 4] = [
            (&["INCR text"], "incr"),
            (&["SET other 1", "INCR text", "SET third 1"], "incr"),
            (&["SINTERSTORE into text text2"], "sinterstore"),
            (&["SET other 1", "SINTERSTORE into text text2", "SET third 1"], "sinterstore"),
        ];
        Unit::of(&["MSET text words text2 words"]).add_to(&mut replay, 0);
        for (lines, name) in cases {
            Unit::of(lines).add_to(&mut replay, 1);
            replay.settle().await;
            let misfit = replay.take_misfit().map(|misfit| misfit.command);
            assert_eq!(misfit, Some(name), "{lines:?}");
        }
    });
    check_quiet(&node, "misfits");
    world.end();
}
