//! Transactions over several shards are seen whole or not at all, their frames stand in one order in all
//! logs, and nobody waits for ever.

mod model_common;

use std::collections::BTreeMap;

use engine::journal::Decoder;
use engine::model::{Client, ModelNode, World, registry};
use engine::resp::Reply;
use engine::types::{DbIndex, ShardId, TxId};
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
