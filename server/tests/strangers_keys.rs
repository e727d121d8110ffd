//! What strangers found when they used the commands about keys: patterns that kept everybody waiting, a
//! random key that was mostly the same one, idle times of copies.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::client::{Client, request, text};
use support::node::Node;
use support::{process, scenario, wait};

fn start(name: &str, shards: u16) -> Node {
    Node::start(name, shards, &["--pin=off"])
}

fn connect(node: &Node) -> Client {
    Client::connect(node.port).expect("a connection")
}

/// The longest that another client waits for a reply while `work` is done.
fn longest_wait(node: &Node, work: impl FnOnce()) -> Duration {
    let mut other = connect(node);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !stopped.load(Ordering::Relaxed) {
            let began = Instant::now();
            other.must(&["SET", "other", "1"]);
            longest = longest.max(began.elapsed());
        }
        longest
    });
    work();
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("the other client got its replies")
}

#[test]
fn one_long_pattern_does_not_keep_the_others_waiting() {
    for shards in [1, 3] {
        let node = start("node", shards);
        let mut client = connect(&node);
        client.must(&["SET", &"y".repeat(40_000), "1"]);
        for number in 0..60 {
            client.must(&["SET", &format!("{}{number}", "y".repeat(20_000)), "1"]);
        }
        let class = format!("*[{}]", "z".repeat(40_000));
        let part = "[yz]?".repeat(100);
        // With a matcher that tries every place these take a minute.
        for pattern in [&class, &format!("*{part}x*"), &format!("*{}x", "[yz]".repeat(20_000))] {
            let longest = longest_wait(&node, || {
                let found = client.must(&["KEYS", pattern]);
                assert_eq!(found.elements().map(<[_]>::len), Some(0));
                let mut cursor = "0".to_owned();
                loop {
                    let scanned =
                        client.must(&["SCAN", &cursor, "MATCH", pattern, "COUNT", "9999"]);
                    let parts = scanned.elements().expect("a cursor and keys");
                    assert_eq!(parts[1].elements().map(<[_]>::len), Some(0));
                    cursor = text(&parts[0]);
                    if cursor == "0" {
                        break;
                    }
                }
                client.must(&["MULTI"]);
                client.must(&["KEYS", pattern]);
                client.must(&["EXEC"]);
                client.must(&["CONFIG", "GET", pattern]);
            });
            assert!(longest < Duration::from_secs(8), "the other client waited {longest:?}");
        }
        let long = "*".to_owned() + &"a".repeat(256 * 1024);
        for request in [&["KEYS", &long][..], &["SCAN", "0", "MATCH", &long]] {
            let reply = text(&client.call(request));
            assert!(reply.contains("ERR pattern is too long"), "{reply}");
        }
        let many = vec!["CONFIG", "GET"].into_iter().chain(std::iter::repeat_n("*", 2000));
        let reply = text(&client.call(&many.collect::<Vec<_>>()));
        assert!(reply.contains("at most 1024"), "{reply}");
    }
}

#[test]
fn a_random_key_is_each_of_three_about_as_often() {
    for shards in [1, 3] {
        let node = start("node", shards);
        let mut client = connect(&node);
        let mut counts = BTreeMap::new();
        client.must(&["MSET", "one", "1", "two", "2", "three", "3"]);
        for _ in 0..600 {
            *counts.entry(text(&client.must(&["RANDOMKEY"]))).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!(counts.values().all(|count| (120..282).contains(count)), "{counts:?}");
    }
}

/// The story: a transaction of 300 MB left 1.3 GB resident for a minute.
#[test]
fn what_a_large_transaction_used_is_given_back_soon() {
    let node = start("node", 2);
    let mut client = connect(&node);
    let value = "v".repeat(1000);
    client.must(&["MULTI"]);
    // A hundred megabytes: without the thread that gives them back, 270 stay resident.
    for thousand in 0..100 {
        let set = |number| request(&["SET", &format!("key:{thousand}:{number}"), &value]);
        client.pipeline(&(0..1000).map(set).collect::<Vec<_>>());
    }
    client.must(&["EXEC"]);
    client.must(&["FLUSHALL"]);
    drop(client);
    // Nobody asks for anything any more that could make the allocator look.
    let bytes = || process::resident_bytes(node.pid());
    wait::until("freed memory goes back to the system", || bytes() < 150 << 20);
}

#[test]
fn a_copy_s_idle_times_begin_when_it_got_the_keys() {
    let (master, replica) = (start("master", 2), start("replica", 3));
    let mut client = connect(&master);
    client.must(&["SET", "before", "1"]);
    client.must(&["APPEND", "appended", "1"]);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    client.must(&["SET", "after", "1"]);
    client.must(&["SETRANGE", "range", "3", "x"]);
    scenario::wait_follows(&master, &replica);
    for node in [&master, &replica] {
        for key in ["before", "appended", "after", "range"] {
            let idle: u64 =
                text(&node.must(&["OBJECT", "IDLETIME", key])).parse().expect("seconds");
            assert!(idle < 600, "{key}: {idle} s");
        }
    }
}
