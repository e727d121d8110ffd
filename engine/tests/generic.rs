//! What is special about single generic commands.

mod model_common;

use std::collections::{BTreeMap, BTreeSet};

use engine::model::{Client, ModelNode, World};
use engine::resp::Reply;
use model_common::{borrowed, check_quiet, seeds, words};

async fn line(client: &mut Client, line: &str) -> Reply {
    client.run(&borrowed(&words(line))).await
}

/// One call of SCAN: the next cursor and the keys.
async fn scan(client: &mut Client, request: &str) -> (u64, Vec<String>) {
    let reply = line(client, request).await;
    let text =
        |reply: &Reply| String::from_utf8_lossy(reply.bytes().expect("a string")).into_owned();
    let [cursor, keys] = reply.elements().expect("two elements") else {
        panic!("{request}: {reply:?}");
    };
    let keys = keys.elements().expect("an array").iter().map(text).collect();
    (text(cursor).parse().expect("a number"), keys)
}

#[test]
fn a_scan_returns_each_key_that_stays_once_while_others_come_and_go() {
    for seed in seeds(20) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let node = ModelNode::in_world(&World::new(seed), dice.u16(1..5));
        let (mut client, mut other) = (node.client(0), node.client(node.shards()));
        let count = dice.u32(1..200);
        node.world().block_on(async move {
            line(&mut client, "DEBUG POPULATE 2000 stays").await;
            let (mut cursor, mut seen) = (0, BTreeMap::<String, u32>::new());
            for round in 0.. {
                let keys;
                (cursor, keys) = scan(&mut client, &format!("SCAN {cursor} COUNT {count}")).await;
                assert!(cursor < 1 << 53, "a double can hold {cursor}");
                // A bucket more than was asked for, at the most, on each shard.
                assert!(keys.len() < count as usize + 200, "{} keys for {count}", keys.len());
                keys.into_iter().for_each(|key| *seen.entry(key).or_default() += 1);
                if cursor == 0 {
                    break;
                }
                // The table grows and shrinks meanwhile.
                if round % 4 < 2 && round < 40 {
                    line(&mut other, &format!("DEBUG POPULATE 300 goes-{round}")).await;
                } else {
                    for number in 0..300 {
                        let round = round - 2;
                        line(&mut other, &format!("DEL goes-{round}:{number}")).await;
                    }
                }
            }
            for number in 0..2000 {
                let times = seen.get(&format!("stays:{number}"));
                assert_eq!(times, Some(&1), "SEED={seed}: stays:{number}");
            }
        });
        check_quiet(&node, &format!("SEED={seed}"));
    }
}

#[test]
fn a_scan_of_few_keys_is_one_call_and_strange_cursors_are_harmless() {
    for shards in [1, 3, 8] {
        let node = ModelNode::new(shards, 1);
        let mut client = node.client(0);
        node.world().block_on(async move {
            for key in ["a", "b", "c", "d"] {
                line(&mut client, &format!("SET {key} 1")).await;
            }
            let (cursor, keys) = scan(&mut client, "SCAN 0 COUNT 100").await;
            let keys: BTreeSet<String> = keys.into_iter().collect();
            assert_eq!((cursor, keys.len()), (0, 4));
            for cursor in [1023, 1 << 52, u64::MAX, 777] {
                scan(&mut client, &format!("SCAN {cursor} COUNT 1")).await;
            }
        });
    }
}

#[test]
fn expired_keys_are_not_shown_by_anybody() {
    let node = ModelNode::new(3, 1);
    let mut client = node.client(0);
    let world = node.world().clone();
    node.world().block_on(async move {
        for key in ["a", "b", "c", "d"] {
            line(&mut client, &format!("SET {key} 1")).await;
            line(&mut client, &format!("PEXPIRE {key} 100")).await;
        }
        world.sleep(100).await;
        assert_eq!(line(&mut client, "RANDOMKEY").await, Reply::Nil);
        assert_eq!(line(&mut client, "KEYS *").await, Reply::Array(vec![]));
        assert_eq!(scan(&mut client, "SCAN 0 COUNT 100").await, (0, vec![]));
        assert_eq!(line(&mut client, "DBSIZE").await, Reply::Integer(4), "nobody looked for them");
        assert_eq!(line(&mut client, "EXISTS a b c d").await, Reply::Integer(0));
        assert_eq!(line(&mut client, "DBSIZE").await, Reply::Integer(0));
    });
}

/// The story: of three keys, one came in three of four answers. Redis's own test wants each of them in 20 to
/// 47 of a hundred.
#[test]
fn a_random_key_is_any_of_three_wherever_they_are_and_however_many_have_expired() {
    for seed in seeds(6) {
        for (shards, expired) in [(1, 0), (3, 0), (1, 3), (3, 30), (4, 2000)] {
            let node = ModelNode::new(shards, seed);
            let mut client = node.client(0);
            let world = node.world().clone();
            let counts = node.world().block_on(async move {
                for number in 0..expired {
                    line(&mut client, &format!("SET old:{number} 1 PX 10")).await;
                }
                world.sleep(10).await;
                for number in 0..3 {
                    line(&mut client, &format!("SET {seed}:{number} 1")).await;
                }
                let mut counts = BTreeMap::<Vec<u8>, u32>::new();
                for _ in 0..600 {
                    let reply = line(&mut client, "RANDOMKEY").await;
                    // Three among thousands that are about to be deleted are not always found.
                    if let Some(key) = reply.bytes() {
                        *counts.entry(key.to_vec()).or_default() += 1;
                    }
                }
                counts
            });
            let all: u32 = counts.values().sum();
            assert!(all == 600 || expired == 2000, "SEED={seed}: {all} of 600");
            assert!(counts.len() == 3 && counts.keys().all(|key| !key.starts_with(b"old")));
            let fair = counts.values().all(|count| (all / 5..all / 2).contains(count));
            assert!(fair || expired == 2000, "SEED={seed}, {shards} shards, {expired}: {counts:?}");
        }
    }
}

#[test]
fn a_digest_does_not_depend_on_the_number_of_shards() {
    let digest = |shards: u16, key: &str| {
        let node = ModelNode::new(shards, u64::from(shards));
        let mut client = node.client(shards);
        let set = format!("SET {key} 1");
        node.world().block_on(async move {
            line(&mut client, "DEBUG POPULATE 500").await;
            line(&mut client, &set).await;
            line(&mut client, "DEBUG DIGEST").await
        })
    };
    let one = digest(1, "more");
    assert!([2, 3, 8].into_iter().all(|shards| digest(shards, "more") == one));
    assert_ne!(digest(1, "less"), one);
}
