//! What strangers found when they used the commands about keys: patterns that kept everybody waiting, a
//! random key that was mostly the same one, idle times of copies, a large value that held everybody up.

mod support;

use engine::resp::client::encode_command;
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

/// The story: while a SET of 256 MB arrived, nobody else was served for 0.8 s, and it took its memory twice.
#[test]
fn a_large_value_arrives_without_holding_anybody_up() {
    const LENGTH: usize = 128 << 20;
    let node = start("node", 1);
    let (before, value) = (process::peak_bytes(node.pid()), vec![b'v'; LENGTH]);
    let mut client = connect(&node);
    let mut request = Vec::new();
    encode_command(&mut request, &[b"SET", b"large", &value]);
    let longest = longest_wait(&node, || {
        client.send_raw(&request).expect("sent");
        assert_eq!(text(&client.read().expect("a reply")), "OK");
    });
    let taken = process::peak_bytes(node.pid()) - before;
    assert!(taken < LENGTH as u64 * 3 / 2, "{taken} bytes of memory for {LENGTH}");
    // A few milliseconds on a machine that has nothing else to do.
    assert!(longest < Duration::from_millis(250), "{longest:?}");
    assert_eq!(text(&client.must(&["STRLEN", "large"])), LENGTH.to_string());
}

/// The story: APPEND and SETRANGE of 100 MB into a value held others up for 0.3 to 0.5 s, RESTORE of 200 MB for
/// 2 to 3 s.
#[test]
fn much_that_is_written_into_a_value_or_restored_holds_nobody_up() {
    const LENGTH: usize = 48 << 20;
    let mut random = fastrand::Rng::with_seed(support::seed());
    let (mut value, more) = (vec![b'v'; 1_000_000], vec![random.u8(..); LENGTH]);
    let node = start("node", 1);
    let mut client = connect(&node);
    client.must(&[b"SET".as_slice(), b"large", &value]);
    let mut check = |words: &[&[u8]], expected: &str| {
        let mut request = Vec::new();
        encode_command(&mut request, words);
        let longest = longest_wait(&node, || {
            client.send_raw(&request).expect("sent");
            assert_eq!(text(&client.read().expect("a reply")), expected);
        });
        // A few milliseconds on a machine that has nothing else to do.
        assert!(longest < Duration::from_millis(250), "{}: {longest:?}", text_of(words[0]));
    };
    check(&[b"APPEND", b"large", &more], &(value.len() + LENGTH).to_string());
    check(&[b"SETRANGE", b"large", b"77", &more], &(value.len() + LENGTH).to_string());
    check(&[b"SETRANGE", b"other", b"77", &more], &(77 + LENGTH).to_string());
    value.truncate(77);
    value.extend_from_slice(&more);
    value.resize(1_000_000 + LENGTH, more[0]);
    let dump = connect(&node).must(&["DUMP", "large"]);
    check(&[b"RESTORE", b"restored", b"0", dump.bytes().expect("bytes")], "OK");
    for key in ["large", "restored"] {
        assert!(connect(&node).must(&["GET", key]).bytes() == Some(&value), "{key}");
    }
    let mut damaged = dump.bytes().expect("bytes").to_vec();
    damaged[LENGTH / 2] ^= 1;
    let sum = "ERR DUMP payload version or checksum are wrong";
    check(&[b"RESTORE", b"restored", b"0", &damaged, b"REPLACE"], sum);
}

fn text_of(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// Sends a request in pieces that end anywhere, and reads its reply.
fn in_pieces(client: &mut Client, random: &mut fastrand::Rng, words: &[&[u8]]) -> String {
    let mut bytes = Vec::new();
    encode_command(&mut bytes, words);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let most = if random.bool() { 10 } else { 200_000 };
        let (piece, left) = rest.split_at(random.usize(1..=most).min(rest.len()));
        client.send_raw(piece).expect("sent");
        rest = left;
    }
    text(&client.read().expect("a reply"))
}

#[test]
fn arguments_that_arrive_in_pieces_are_what_they_were_sent_as() {
    let mut random = fastrand::Rng::with_seed(support::seed());
    let mut bytes = |length: usize| (0..length).map(|_| random.u8(..)).collect::<Vec<u8>>();
    // Around the length from which on an argument goes into a rope, and beyond a rope's second level.
    let (a, b, c) = (bytes(131_071), bytes(131_072), bytes(4_400_000));
    let mut random = fastrand::Rng::with_seed(support::seed());
    let random = &mut random;
    for shards in [1, 2] {
        let node = start("node", shards);
        let (mut client, mut other) = (connect(&node), connect(&node));
        let mut is = |key: &[u8], value: &[u8]| {
            let reply = other.must(&[b"GET".as_slice(), key]);
            assert!(reply.bytes() == Some(value), "{}", key.escape_ascii());
        };
        let mut ask = |words: &[&[u8]]| in_pieces(&mut client, random, words);
        for value in [&a, &b, &c] {
            assert_eq!(ask(&[b"SET", b"k", value]), "OK");
            is(b"k", value);
        }
        assert_eq!(ask(&[b"SETEX", b"e", b"100", &b]), "OK");
        assert_eq!(ask(&[b"SET", b"k", &b, b"XX", b"PX", b"100000"]), "OK");
        assert_eq!(ask(&[b"SETNX", b"n", &c]), "1");
        assert_eq!(ask(&[b"APPEND", b"p", &b]), b.len().to_string());
        assert_eq!(ask(&[b"APPEND", b"p", &c]), (b.len() + c.len()).to_string());
        assert_eq!(ask(&[b"SETRANGE", b"p", b"7", &b]), (b.len() + c.len()).to_string());
        assert_eq!(ask(&[b"MSET", b"m1", &b, b"m2", &a, b"m3", &c, b"m4", b"short"]), "OK");
        assert_eq!(ask(&[b"MSETNX", b"x1", &c, b"x2", b"7", b"x3", &b]), "1");
        assert_eq!(ask(&[b"SET", &b, &c]), "OK");
        assert_eq!(ask(&[b"SET", b"k", &b, &c]), "ERR syntax error");
        assert!(ask(&[&b]).starts_with("ERR unknown command"));
        assert_eq!(ask(&[b"INCRBY", b"x2", &b]), "ERR value is not an integer or out of range");
        assert_eq!(ask(&[b"MULTI"]), "OK");
        assert_eq!(ask(&[b"SET", b"t1", &c]), "QUEUED");
        assert_eq!(ask(&[b"MSET", b"t2", &b, b"t3", &c]), "QUEUED");
        ask(&[b"EXEC"]);
        let written = [&b[..7], &b, &[&b[..], &c].concat()[7 + b.len()..]].concat();
        for (key, value) in [
            (b"k".as_slice(), &b),
            (b"e", &b),
            (b"n", &c),
            (b"p", &written),
            (b"m1", &b),
            (b"m2", &a),
            (b"m3", &c),
            (b"x1", &c),
            (b"x3", &b),
            (&b, &c),
            (b"t1", &c),
            (b"t2", &b),
            (b"t3", &c),
        ] {
            is(key, value);
        }
        // What comes behind one is answered behind it.
        let mut pipeline = Vec::new();
        for words in [[b"SET", b"o".as_slice(), &c], [b"SET", b"o", b"1"], [b"SET", b"o", &b]] {
            encode_command(&mut pipeline, &words);
            encode_command(&mut pipeline, &[b"STRLEN", b"o"]);
        }
        client.send_raw(&pipeline).expect("sent");
        let replies: Vec<String> = (0..6).map(|_| text(&client.read().expect("one"))).collect();
        let lengths = [&c.len().to_string(), "1", &b.len().to_string()];
        assert_eq!(replies, ["OK", lengths[0], "OK", lengths[1], "OK", lengths[2]]);
    }
}
