//! Every Redis and Valkey that can be had is followed while it is written: all its keys come over, and a cut of the
//! link costs what was missed.

mod support;

use engine::resp::client::Reply;
use fastrand::Rng;
use std::time::{Duration, Instant};
use support::node::Node;
use support::peers::{self, Peer};
use support::proxy::Proxy;
use support::redis::{self, Redis, replication};
use support::wait;
use support::writer::{Writer, fill};

/// How often the link is cut where nobody asked for a soak.
const CUTS: u64 = 3;

/// How long a soak takes where `SOAK_SECONDS` says nothing.
const SOAK: Duration = Duration::from_secs(3600);

/// The longest value, of bytes that nothing packs.
const LONG: usize = 100 << 20;

fn soak_time() -> Option<Duration> {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    support::soak().then(|| seconds.map_or(SOAK, Duration::from_secs))
}

/// Cuts the link, in turn in each of the ways in which links break.
fn cut(number: u64, redis: &Redis, proxy: &Proxy, node: &Node) {
    match number % 3 {
        0 => drop(redis.client().must(&["CLIENT", "KILL", "TYPE", "slave"])),
        1 => proxy.cut(),
        // Half open: nothing comes through and nobody is told, until the node has had enough of it.
        _ => {
            proxy.stall();
            wait_noticed(node);
            proxy.cut();
            proxy.heal();
        }
    }
}

/// Waits until a node has noticed that nothing comes any more. What has come is read and applied before, which lasts on a
/// busy machine: what must not be is that neither happens.
fn wait_noticed(node: &Node) {
    let (mut applied, mut moved) = (String::new(), Instant::now());
    wait::until_within(20 * wait::PATIENCE, "the node notices", || {
        let now = replication(node, "slave_repl_offset");
        if now != applied {
            (applied, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < wait::PATIENCE, "nothing comes at {applied}, and it is up");
        !is_up(node)
    });
}

/// Bytes that a node may be behind, above which the writers wait for it.
const BEHIND_MAX: u64 = 16 << 20;

/// A node that has less of the machine than its master falls behind for as long as that is so, and out of the backlog in the
/// end: that would be no soak of cuts.
fn keep_near(redis: &Redis, node: &Node, writers: &[Writer]) {
    let applied: u64 = replication(node, "slave_repl_offset").parse().expect("an offset");
    if redis.figure("master_repl_offset").saturating_sub(applied) > BEHIND_MAX {
        writers.iter().for_each(|writer| writer.rest(true));
        redis::wait_caught_up(redis, node);
        writers.iter().for_each(|writer| writer.rest(false));
    }
}

fn is_up(node: &Node) -> bool {
    replication(node, "master_link_status") == "up"
}

/// A library with a function that writes.
fn library(name: &str, function: &str) -> String {
    format!(
        "#!lua name={name}\nredis.register_function('{function}', function(keys, args)\n  return \
         redis.call('SET', keys[1], args[1])\nend)"
    )
}

/// Libraries come and go, where there are any.
fn change_functions(redis: &Redis, random: &mut Rng) {
    let mut client = redis.client();
    if client.call(&["FUNCTION", "LIST"]).error().is_some() {
        return;
    }
    client.must(&["FUNCTION", "LOAD", "REPLACE", &library("kept", "put")]);
    let other = format!("other{}", random.u8(..4));
    match random.u8(..4) {
        0 => drop(client.call(&["FUNCTION", "DELETE", &other])),
        1 => {
            let all = client.must(&["FUNCTION", "DUMP"]);
            let all = all.bytes().expect("a payload").to_vec();
            client.must(&["FUNCTION", "FLUSH"]);
            client.must(&[b"FUNCTION".as_slice(), b"RESTORE", &all]);
        }
        _ => drop(client.must(&["FUNCTION", "LOAD", "REPLACE", &library(&other, &other)])),
    }
}

/// `late`: see [`redis::assert_equal_where_late`].
fn assert_equal(redis: &Redis, node: &Node, late: Duration) -> usize {
    let ours = redis::libraries(&mut node.client());
    assert_eq!(redis::libraries(&mut redis.client()), ours);
    redis::assert_equal_where_late(redis, node, late)
}

fn is_followed(peer: Peer, shards: u16) {
    let seed = support::seed();
    let mut random = Rng::with_seed(seed);
    let settings = ["--repl-backlog-size", "256mb", "--repl-ping-slave-period", "1"];
    let redis = Redis::start_program(&peer.program(), &settings);
    redis.client().must(&["CONFIG", "SET", "client-output-buffer-limit", "slave 0 0 0"]);
    change_functions(&redis, &mut random);
    let writers = [Writer::start(redis.client(), seed), Writer::start(redis.client(), seed ^ 1)];
    writers[0].wait_for(1000);
    let node = Node::start("node", shards, &["--replication_timeout=2000"]);
    let proxy = Proxy::to(redis.port);
    support::scenario::follow(&node, proxy.port);
    wait::until("the full sync is done", || is_up(&node));
    let full = redis.figure("sync_full");
    let (began, mut cuts, mut late) = (Instant::now(), 0, Duration::ZERO);
    let is_enough = |cuts| match soak_time() {
        Some(time) => began.elapsed() >= time,
        None => cuts == CUTS,
    };
    while !is_enough(cuts) {
        writers[1].wait_for(random.u64(..1000));
        change_functions(&redis, &mut random);
        let before = redis.figure("sync_partial_ok");
        let is_cut = Instant::now();
        cut(cuts, &redis, &proxy, &node);
        cuts += 1;
        wait::until("it goes on where it was", || {
            redis.figure("sync_partial_ok") > before && is_up(&node)
        });
        late = late.max(is_cut.elapsed());
        keep_near(&redis, &node, &writers);
    }
    let caught_up = Instant::now();
    drop(writers);
    // The last that they did may have been to flush everything.
    fill(&redis);
    redis::wait_caught_up(&redis, &node);
    // What came while it was cut is applied behind what came before that.
    late += caught_up.elapsed();
    assert!(assert_equal(&redis, &node, 2 * late) > 20);
    assert_eq!(node.logged("broken promise"), 0, "{:?}", node.lines_with("broken promise"));
    assert_eq!(redis.figure("sync_full"), full);
    // Once more, at rest, and with a value that takes long.
    let mut long = vec![0; LONG];
    let is_packed = random.bool();
    if is_packed {
        long[..4096].fill_with(|| random.u8(..));
        (4096..LONG).step_by(4096).for_each(|at| long.copy_within(..4096, at));
    } else {
        random.fill(&mut long);
    }
    let packs = if is_packed { "yes" } else { "no" };
    redis.client().must(&["CONFIG", "SET", "rdbcompression", packs]);
    redis.client().must(&[b"SET".as_slice(), b"long", &long]);
    redis::wait_caught_up(&redis, &node);
    assert!(assert_equal(&redis, &node, late) > 20);
    node.must(&["REPLICAOF", "NO", "ONE"]);
    node.must(&["FLUSHALL"]);
    support::scenario::follow(&node, redis.port);
    redis::wait_caught_up(&redis, &node);
    assert!(assert_equal(&redis, &node, late) > 20);
}

#[test]
fn a_redis_5_0_is_followed() {
    is_followed(peers::REDIS_5_0, 2);
}

#[test]
fn a_redis_6_0_is_followed() {
    is_followed(peers::REDIS_6_0, 1);
}

#[test]
fn a_redis_6_2_is_followed() {
    is_followed(peers::REDIS_6_2, 3);
}

#[test]
fn a_redis_8_2_is_followed() {
    is_followed(peers::REDIS_8_2, 3);
}

#[test]
fn a_valkey_9_is_followed() {
    is_followed(peers::VALKEY_9_1, 2);
}

/// Redis and Valkey write times of fields in forms of their own, and neither reads the other's: a Valkey was sent
/// Redis's, a full sync a second.
#[test]
fn a_valkey_9_and_a_redis_8_2_take_times_of_fields_from_a_node() {
    let node = Node::start("node", 2, &[]);
    node.must(&["HSET", "hash", "dies", "1", "stays", "2"]);
    node.must(&["HPEXPIREAT", "hash", "4102444800000", "FIELDS", "1", "dies"]);
    node.must(&["DEBUG", "POPULATE", "1000"]);
    let followers = [peers::VALKEY_9_1, peers::REDIS_8_2]
        .map(|peer| Redis::start_program(&peer.program(), &[]));
    for follower in &followers {
        follower.client().must(&["REPLICAOF", "127.0.0.1", &node.port.to_string()]);
    }
    node.must(&["HPEXPIREAT", "hash", "4102444800001", "FIELDS", "1", "stays"]);
    let mut client = node.client();
    wait::until("both have all of it", || {
        client.must(&["SET", "counted", "on"]);
        client.must(&["WAIT", "2", "1000"]) == Reply::Integer(2)
    });
    for follower in &followers {
        let mut client = follower.client();
        assert_eq!(support::client::text(&client.must(&["DBSIZE"])), "1002");
        let times = client.must(&["HPEXPIRETIME", "hash", "FIELDS", "2", "dies", "stays"]);
        let times: Vec<_> =
            times.elements().expect("an array").iter().map(Reply::integer).collect();
        assert_eq!(times, [Some(4_102_444_800_000), Some(4_102_444_800_001)]);
    }
    assert_eq!(replication(&node, "connected_slaves"), "2");
    // Each took its copy once.
    let stats = node.ask(&["INFO", "stats"]).expect("INFO");
    assert!(stats.lines().any(|line| line.trim() == "sync_full:2"), "{stats}");
}
