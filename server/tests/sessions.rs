//! Sessions with replicas, from the master's side: they end when their sockets do, one node has one, they
//! can be ended, and neither a large value nor the log of a former master costs what it should not.

mod support;

use std::time::{Duration, Instant};
use support::client::{Client, request, text};
use support::compare;
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

fn info(node: &Node, section: &str, field: &str) -> String {
    let all = node.ask(&["INFO", section]).unwrap_or_default();
    let lines = all.lines().filter_map(|line| line.trim().split_once(':'));
    lines
        .into_iter()
        .find(|(name, _)| *name == field)
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}

fn number(node: &Node, section: &str, field: &str) -> u64 {
    info(node, section, field).parse().unwrap_or_default()
}

/// `count` keys of `size` bytes each; the replies that are errors.
fn fill(node: &Node, count: usize, size: usize) -> usize {
    let (mut client, value) = (node.client(), vec![b'v'; size]);
    let mut errors = 0;
    for first in (0..count).step_by(1000) {
        let set = |key: usize| request(&[b"SET", format!("key:{key}").as_bytes(), &value]);
        let sets: Vec<_> = (first..count.min(first + 1000)).map(set).collect();
        errors += client.pipeline(&sets).iter().filter(|reply| text(reply) != "OK").count();
    }
    errors
}

/// A replica's handshake by hand, up to the terms.
fn shake_hands(master: &Node, node: &str) -> Client {
    let mut client = master.client();
    client.must(&["REPLCONF", "capa", "dragonfly"]);
    let version = replication::wire::VERSION.to_string();
    client.must(&["DFLY", "FOLLOW", &version, node, node, "?"]);
    client
}

#[test]
fn a_handshake_that_is_given_up_leaves_nobody_behind() {
    let mut master = Node::start("master", 2, &[]);
    let kept: Vec<Client> = (0..7).map(|node| shake_hands(&master, &format!("n{node}"))).collect();
    wait::until("all of them", || info(&master, "replication", "connected_slaves") == "7");
    drop(kept);
    let began = Instant::now();
    wait::until("none of them", || info(&master, "replication", "connected_slaves") == "0");
    assert!(began.elapsed() < Duration::from_secs(10), "sooner than any time-out of theirs");
    // One node has one session.
    let first = shake_hands(&master, "same");
    let second = shake_hands(&master, "same");
    wait::until("one of them", || info(&master, "replication", "connected_slaves") == "1");
    drop(first);
    assert_eq!(info(&master, "replication", "connected_slaves"), "1");
    // Nobody is waited for who has nothing yet.
    let began = Instant::now();
    assert_eq!(master.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    drop(second);
}

#[test]
fn a_node_that_stops_waits_no_longer_when_its_last_replica_has_left() {
    let mut master = Node::start("master", 2, &["--shutdown_timeout=60"]);
    let mut replica = Node::start("replica", 1, &[]);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    replica.freeze();
    master.must(&["SET", "k", "v"]);
    master.signal(libc::SIGTERM);
    wait::until("it waits", || master.logged("waiting up to") > 0);
    let began = Instant::now();
    replica.kill();
    assert_eq!(master.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn links_of_replication_are_ended_like_clients_and_come_back_partially() {
    let master = Node::start("master", 2, &[]);
    let replica = Node::start("replica", 2, &[]);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    let mut partial = 0;
    let mut comes_back = || {
        partial += 1;
        wait::until("a partial sync", || number(&master, "stats", "sync_partial_ok") == partial);
        scenario::wait_stable(&replica);
        wait::until("its row", || info(&master, "replication", "slave0").contains("stable_sync"));
    };
    let listed = |node: &Node, class: &str, field: &str| {
        let list = text(&node.must(&["CLIENT", "LIST", "TYPE", class]));
        let word = list.split(' ').find_map(|word| word.strip_prefix(field));
        word.unwrap_or_default().to_owned()
    };
    assert_eq!(listed(&master, "replica", "flags="), "S");
    assert_eq!(listed(&replica, "master", "flags="), "M");
    for class in ["replica", "slave"] {
        assert_eq!(text(&master.must(&["CLIENT", "KILL", "TYPE", class])), "1", "{class}");
        comes_back();
    }
    let id = listed(&master, "replica", "id=");
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ID", &id])), "1");
    comes_back();
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ID", &id])), "0", "it is another one now");
    let address = listed(&master, "replica", "addr=");
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "ADDR", &address])), "1");
    comes_back();
    assert_eq!(text(&replica.must(&["CLIENT", "KILL", "TYPE", "master"])), "1");
    comes_back();
    let id = listed(&replica, "master", "id=");
    assert_eq!(text(&replica.must(&["CLIENT", "KILL", "ID", &id])), "1");
    comes_back();
    assert_eq!(text(&master.must(&["CLIENT", "KILL", "TYPE", "master"])), "0");
    assert_eq!(number(&master, "stats", "sync_full"), 1);
}

#[test]
fn a_normal_connection_does_not_end_an_admin_one() {
    let node = Node::start("node", 1, &[]);
    let (mut admin, mut normal) = (node.client(), Client::connect(node.port).expect("a client"));
    let id = text(&admin.must(&["CLIENT", "ID"]));
    assert_eq!(text(&normal.must(&["CLIENT", "KILL", "ID", &id])), "0");
    let id = text(&normal.must(&["CLIENT", "ID"]));
    assert_eq!(text(&admin.must(&["CLIENT", "KILL", "ID", &id])), "1");
    admin.must(&["PING"]);
}

#[test]
fn a_value_above_the_log_costs_no_replica_a_full_sync() {
    let flags = [QUICK_TIMEOUT, "--repl_backlog_size=2mb"];
    let master = Node::start("master", 2, &flags);
    let replica = Node::start("replica", 2, &flags);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    let value = vec![b'v'; 8_000_000];
    let mut client = master.client();
    for round in 0..3 {
        client.must(&[b"SET".as_slice(), b"k", &value]);
        client.must(&["RENAME", "k", "k2"]);
        client.must(&["COPY", "k2", "k3", "REPLACE"]);
        client.must(&["SET", "small", &round.to_string()]);
        compare::wait_caught_up(&master, &replica);
    }
    // Who missed just that one record continues with it.
    replica.must(&["CLIENT", "KILL", "TYPE", "master"]);
    client.must(&[b"SET".as_slice(), b"k4", &value]);
    scenario::wait_follows(&master, &replica);
    compare::assert_same(&master, &replica);
    assert_eq!(number(&master, "stats", "sync_full"), 1);
}

#[test]
fn a_promoted_node_has_the_memory_that_its_master_had() {
    let flags = ["--maxmemory=150mb", "--repl_backlog_size=40mb", "--maxmemory_policy=allkeys-lru"];
    let mut master = Node::start("master", 1, &flags);
    let replica = Node::start("replica", 3, &flags);
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    assert_eq!(fill(&master, 40_000, 1000), 0);
    assert_eq!(fill(&master, 40_000, 1000), 0);
    compare::wait_caught_up(&master, &replica);
    // Relays are trimmed ten times a second.
    wait::until("the logs hold the bound of the node, and no more", || {
        (30_000_000..=40 << 20).contains(&number(&replica, "memory", "mem_replication_backlog"))
    });
    master.kill();
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    for _ in 0..2 {
        assert_eq!(fill(&replica, 40_000, 1000), 0, "errors");
    }
    assert_eq!(number(&replica, "stats", "evicted_keys"), 0);
    assert_eq!(text(&replica.must(&["DBSIZE"])), "40000");
    let below =
        |bound: u64| move |node: &Node| number(node, "memory", "mem_replication_backlog") <= bound;
    wait::until("own and relayed logs share the bound", || below(41 << 20)(&replica));
    // The former master's log is let go when nobody wants it.
    replica.must(&["CONFIG", "SET", "repl_backlog_ttl", "1"]);
    wait::until("it is let go", || replica.logged("the former master's journal") > 0);
}

#[test]
fn a_replica_is_shown_where_it_is_reached() {
    let master = Node::start("master", 1, &["--bind=::1,127.0.0.1"]);
    let replica = Node::start("replica", 1, &["--port=0"]);
    let port = master.port.to_string();
    replica.must(&["REPLICAOF", "::1", &port]);
    wait::until("its row", || info(&master, "replication", "slave0").starts_with("ip=::1,"));
    let expected = format!("ip=::1,port={},", replica.admin_port);
    let row = info(&master, "replication", "slave0");
    assert!(row.starts_with(&expected), "{row} instead of {expected}");
}
