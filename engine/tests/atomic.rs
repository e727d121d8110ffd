//! Transactions over several shards are seen whole or not at all, their frames stand in one order in all
//! logs, and nobody waits for ever.

mod model_common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use engine::command::{Call, OwnedArgs, Who};
use engine::db::{Policy, PolicyKind, Pressure, Victims};
use engine::exec::{Tx, TxKeys};
use engine::journal::{Decoder, Effect, FrameEntry};
use engine::model::{Client, ModelNode, World, registry};
use engine::resp::Reply;
use engine::types::{DbIndex, Lsn, ShardId, TxId, shard_of};
use model_common::{Requests, borrowed, check_quiet, check_twin, seeds, words};

async fn line(client: &mut Client, line: &str) -> Reply {
    client.run(&borrowed(&words(line))).await
}

/// Runs lines as one transaction; the replies of its commands.
async fn multi(client: &mut Client, lines: &[&str]) -> Vec<Reply> {
    let mut batch = vec![words("MULTI")];
    batch.extend(lines.iter().map(|line| words(line)));
    batch.push(words("EXEC"));
    let batch: Vec<_> = batch.iter().map(borrowed).collect();
    let replies = engine::model::decode_replies(&client.pipeline(&batch).await);
    replies.last().and_then(Reply::elements).map(<[Reply]>::to_vec).unwrap_or_default()
}

/// The part of each many-shard transaction in a log: its shards, in the order of the log.
fn transactions(journal: &[u8]) -> Vec<(TxId, Vec<ShardId>)> {
    let (mut found, mut rest, mut decoder) = (Vec::new(), journal, Decoder::new());
    while let Some((frame, length)) = decoder.next(rest).expect("our own log can be read") {
        if let Some(transaction) = frame.transaction()
            && transaction.shards.count() > 1
        {
            found.push((transaction.id, transaction.shards.iter().collect()));
        }
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "a log ends with a whole frame");
    found
}

/// Checks that every log holds the transactions of its shard in the global order, and that no part is
/// missing. Answers how many there are.
fn check_order(node: &ModelNode, what: &str) -> usize {
    let mut parts: BTreeMap<TxId, (Vec<ShardId>, Vec<ShardId>)> = BTreeMap::new();
    for shard in 0..node.shards() {
        let found = transactions(&node.journal(shard));
        assert!(found.is_sorted_by(|one, next| one.0 < next.0), "{what}: out of order on {shard}");
        for (id, shards) in found {
            let (expected, seen) = parts.entry(id).or_default();
            assert!(expected.is_empty() || *expected == shards, "{what}: {id:?}");
            *expected = shards;
            seen.push(ShardId(shard));
        }
    }
    for (id, (expected, seen)) in &parts {
        assert_eq!(expected, seen, "{what}: a part of {id:?} is missing");
    }
    parts.len()
}

#[test]
fn nobody_sees_half_of_a_transaction() {
    for seed in seeds(60) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(2..6));
        let wide = registry().find(b"mset").is_some() && registry().find(b"mget").is_some();
        for writer in 0..3 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut random = dice.fork();
            node.world().spawn(format!("writer {writer}"), async move {
                for round in 0..30 {
                    let value = writer * 1000 + round;
                    let sets: Vec<String> =
                        ["a", "b", "c", "d"].map(|key| format!("SET {key} {value}")).to_vec();
                    if wide && random.bool() {
                        line(&mut client, &format!("MSET a {value} b {value} c {value} d {value}"))
                            .await;
                    } else {
                        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
                        multi(&mut client, &sets).await;
                    }
                }
            });
        }
        for reader in 0..3 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut random = dice.fork();
            node.world().spawn(format!("reader {reader}"), async move {
                for _ in 0..40 {
                    let seen = if wide && random.bool() {
                        let reply = line(&mut client, "MGET d a c b").await;
                        reply.elements().expect("an array").to_vec()
                    } else {
                        multi(&mut client, &["GET c", "GET a", "GET b", "GET d"]).await
                    };
                    let same = seen.len() == 4 && seen.iter().all(|value| *value == seen[0]);
                    assert!(same, "SEED={seed}: half of a transaction: {seen:?}");
                }
            });
        }
        let what = format!("SEED={seed}");
        check_quiet(&node, &what);
        check_order(&node, &what);
        check_twin(&node, &what);
    }
}

#[test]
fn a_token_that_is_renamed_about_is_always_in_exactly_one_place() {
    for seed in seeds(60) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(2..6));
        let mut client = node.client(0);
        node.world().block_on(async move { line(&mut client, "SET token:0 here").await });
        for mover in 0..3 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut random = dice.fork();
            node.world().spawn(format!("mover {mover}"), async move {
                for _ in 0..40 {
                    let (from, to) = (random.u8(..5), random.u8(..5));
                    line(&mut client, &format!("RENAME token:{from} token:{to}")).await;
                }
            });
        }
        for counter in 0..2 {
            let mut client = node.client(dice.u16(..=node.shards()));
            node.world().spawn(format!("counter {counter}"), async move {
                for _ in 0..40 {
                    let all = "EXISTS token:0 token:1 token:2 token:3 token:4";
                    let seen = line(&mut client, all).await;
                    assert_eq!(seen, Reply::Integer(1), "SEED={seed}");
                }
            });
        }
        let what = format!("SEED={seed}");
        check_quiet(&node, &what);
        check_order(&node, &what);
        check_twin(&node, &what);
    }
}

#[test]
fn whatever_clients_do_nobody_waits_for_ever_and_logs_agree_on_the_order() {
    let mut seen = 0;
    for seed in seeds(60) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(2..9));
        for number in 0..6 {
            let mut client = node.client(dice.u16(..=node.shards()));
            // Few keys: everybody is in everybody's way.
            let mut requests = Requests::new(dice.fork(), 6, 30);
            node.world().spawn(format!("client {number}"), async move {
                for _ in 0..40 {
                    client.db = DbIndex(requests.random.u16(..2));
                    let many = requests.random.usize(1..6);
                    let mut batch: Vec<_> = (0..many).map(|_| requests.next()).collect();
                    for extra in ["DBSIZE", "KEYS *", "RANDOMKEY", "SCAN 0", "OBJECT HELP"] {
                        if requests.random.u8(..20) == 0 {
                            batch.push(words(extra));
                        }
                    }
                    if requests.random.bool() {
                        batch.insert(0, words("MULTI"));
                        batch.push(words("EXEC"));
                    }
                    let batch: Vec<_> = batch.iter().map(borrowed).collect();
                    client.pipeline(&batch).await;
                }
            });
        }
        let what = format!("SEED={seed}");
        check_quiet(&node, &what);
        seen += check_order(&node, &what);
        check_twin(&node, &what);
    }
    assert!(seen > 0, "some transactions touched several shards");
}

/// The records of each frame of a log: keys, and whether they are put.
fn frames(journal: &[u8]) -> Vec<Vec<(Vec<u8>, bool)>> {
    let (mut found, mut rest, mut decoder) = (Vec::new(), journal, Decoder::new());
    while let Some((frame, length)) = decoder.next(rest).expect("our own log can be read") {
        let record = |entry| match entry {
            FrameEntry::Record(record) => {
                Some((record.key.to_vec(), matches!(record.effect, Effect::Put { .. })))
            }
            FrameEntry::Global(_) => None,
        };
        found.push(frame.entries().filter_map(record).collect());
        rest = &rest[length..];
    }
    found
}

#[test]
fn eviction_takes_no_transaction_apart() {
    let mut evicted = 0;
    for seed in seeds(60) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(1..4));
        let victims = Victims::new(node.shards());
        for shard in 0..node.shards() {
            let (mut random, victims) = (dice.fork(), victims.clone());
            let kind =
                if random.bool() { PolicyKind::AllKeysRandom } else { PolicyKind::VolatileTtl };
            node.with_shard(shard, |shard| {
                shard.keys.set_policy(Policy { kind, ..Policy::default() });
                let random = RefCell::new(random);
                let pressure = move || match random.borrow_mut().u8(..4) {
                    0 => Pressure::Evict,
                    _ => Pressure::None,
                };
                shard.gate.pressure = Some(Box::new(pressure));
                shard.gate.victims = victims;
            });
        }
        for writer in 0..4 {
            let mut client = node.client(dice.u16(..=node.shards()));
            let mut random = dice.fork();
            node.world().spawn(format!("writer {writer}"), async move {
                for round in 0..30 {
                    let group = random.u8(..4);
                    let sets = ["a", "b", "c", "d"]
                        .map(|key| format!("SET {{{group}}}:{key} {writer}-{round} EX 1000"));
                    let mut sets: Vec<&str> = sets.iter().map(String::as_str).collect();
                    let extra = format!("MSET x:{round} 1 y:{round} 2 z:{round} 3");
                    sets.insert(2, &extra);
                    multi(&mut client, &sets).await;
                    line(&mut client, &format!("SET single:{round} 1")).await;
                    line(&mut client, &extra).await;
                }
            });
        }
        let what = format!("SEED={seed}");
        check_quiet(&node, &what);
        check_order(&node, &what);
        check_twin(&node, &what);
        for shard in 0..node.shards() {
            for frame in frames(&node.journal(shard)) {
                let puts = frame.iter().filter(|(key, put)| *put && key.starts_with(b"{")).count();
                assert!(puts == 0 || puts == 4, "{what}: half of a transaction: {frame:?}");
                let removed = frame.iter().filter(|(_, put)| !put).count();
                assert!(removed == 0 || frame.len() == 1, "{what}: evicted along: {frame:?}");
            }
            evicted += node.with_shard(shard, |shard| shard.keys.stats.evicted);
        }
    }
    assert!(evicted > 0, "eviction was at work");
}

#[test]
fn a_look_that_deletes_is_logged_before_what_comes_after_it() {
    for asker in [0, 1] {
        let node = ModelNode::in_world(&World::new(seeds(1)[0]), 1);
        let (mut client, front) = (node.client(0), node.front(asker).clone());
        let world = node.world().clone();
        node.world().block_on(async move {
            line(&mut client, "SET key old PX 5").await;
            world.sleep(10).await;
            // Nobody's task: a function that is run on the shard, from here or from elsewhere.
            let look = |shard: &mut engine::shard::Shard| shard.keys.exists(DbIndex(0), b"key");
            assert!(!front.call(ShardId(0), look).await, "the key has expired");
            line(&mut client, "SET key new").await;
        });
        let key = |put| vec![(b"key".to_vec(), put)];
        assert_eq!(frames(&node.journal(0)), [key(true), key(false), key(true)]);
        check_twin(&node, "a look");
    }
}

/// A transaction that changes two keys and takes its time: a tenth of a second.
fn spawn_slow(node: &ModelNode, [one, other]: [String; 2]) {
    let (front, world) = (node.front(0).clone(), node.world().clone());
    node.world().spawn("slow", async move {
        let mut keys = TxKeys::default();
        let entry = registry().find(b"mset").expect("MSET");
        let args: OwnedArgs =
            [b"MSET", one.as_bytes(), b"1", other.as_bytes(), b"1"].into_iter().collect();
        keys.add(&front, entry, &args.view());
        let mut tx = Tx::begin(&front, keys).await;
        let mut out = engine::resp::Output::default();
        let (protocol, who) = (engine::resp::Protocol::Resp2, &Who::default());
        let call = Call { entry, db: DbIndex(0), protocol, who, args: args.view() };
        tx.run(&call, &mut out).await;
        world.sleep(100).await;
        tx.conclude().await;
    });
}

#[test]
fn whoever_wants_the_whole_node_holds_up_nobody_while_it_waits_for_somebody() {
    for seed in seeds(40) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let shards = [1, 3][dice.usize(..2)];
        let node = ModelNode::in_world(&World::new(seed), shards);
        // On one shard: else writes to several would wait for its place in the order of frames.
        spawn_slow(&node, ["{a}".to_owned(), "{a}b".to_owned()]);
        let (world, began) = (node.world().clone(), node.world().now());
        let (front, mut flusher) = (node.front(1).clone(), node.client(0));
        let wanting = ["FLUSHALL", "DEBUG POPULATE 3 other:", "a function"][dice.usize(..3)];
        node.world().spawn("whoever wants all", async move {
            world.sleep(10).await;
            if wanting == "a function" {
                front.outwait_all().await;
                front.everywhere(false, |_| ()).await;
            } else {
                let reply = line(&mut flusher, wanting).await;
                assert!(!matches!(reply, Reply::Error(_)), "SEED={seed}: {reply:?}");
            }
            let waited = world.now().0 - began.0;
            assert!(waited >= 100, "SEED={seed}: {wanting} stepped in after {waited} ms");
        });
        for executor in 0..=shards {
            let (mut client, world) = (node.client(executor), node.world().clone());
            node.world().spawn("others", async move {
                world.sleep(20).await;
                for request in ["MSET c 1 d 2 e 3", "MGET c e f g", "GET c", "SET h 1"] {
                    line(&mut client, request).await;
                }
                multi(&mut client, &["SET c 2", "GET d"]).await;
                let waited = world.now().0 - began.0;
                assert!(
                    waited < 100,
                    "SEED={seed}: {wanting} held up {executor} of {shards}, {waited} ms"
                );
            });
        }
        check_quiet(&node, &format!("SEED={seed}"));
    }
}

#[test]
fn a_wide_write_is_answered_when_its_frames_stand_in_the_logs() {
    for seed in seeds(40) {
        let node = ModelNode::in_world(&World::new(seed), 2);
        let on = |shard| {
            let mut keys = (0..).map(|number| format!("key:{number}"));
            let mut next = || keys.find(|key| shard_of(key.as_bytes(), 2) == ShardId(shard));
            [next().expect("a key"), next().expect("another")]
        };
        let ([held_here, here], [held_there, there]) = (on(0), on(1));
        // A transaction that stands before the write in the global order.
        spawn_slow(&node, [held_here, held_there]);
        let (front, world) = (node.front(1).clone(), node.world().clone());
        let mut client = node.client(1);
        node.world().spawn("quick", async move {
            world.sleep(10).await;
            line(&mut client, &format!("MSET {here} 2 {there} 2")).await;
            let heads = front.call_all(|shard| shard.head()).await;
            assert_eq!(heads, [Lsn(2), Lsn(2)], "SEED={seed}: answered, and not in the log");
        });
        check_quiet(&node, &format!("SEED={seed}"));
    }
}

#[test]
fn a_scan_behind_somebody_who_waits_for_the_whole_shard_waits_too() {
    for seed in seeds(20) {
        let node = ModelNode::in_world(&World::new(seed), 1);
        let mut client = node.client(0);
        node.world().block_on(async move {
            let elements: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
            line(&mut client, &format!("RPUSH list {}", elements.join(" "))).await;
            let keys: Vec<String> = (0..600).map(|number| format!("key:{number} 1")).collect();
            line(&mut client, &format!("MSET {}", keys.join(" "))).await;
        });
        for (executor, request) in [
            (0, "LINSERT list BEFORE nothing x"),
            (1, "FLUSHDB"),
            (0, "SCAN 0 COUNT 10000"),
            (1, "SCAN 0 COUNT 10000"),
            (0, "KEYS *"),
            (1, "DEBUG POPULATE 3000"),
        ] {
            let mut client = node.client(executor);
            node.world().spawn(request, async move {
                let reply = line(&mut client, request).await;
                assert!(!matches!(reply, Reply::Error(_)), "SEED={seed}: {request}: {reply:?}");
            });
        }
        let what = format!("SEED={seed}");
        check_quiet(&node, &what);
        check_twin(&node, &what);
    }
}
