//! Publish and subscribe, and key events: over shards, over replicas, in both protocols, and to those who do not
//! read.

mod support;

use engine::resp::client::Reply;
use std::time::Duration;
use support::client::{Client, request, text};
use support::node::Node;
use support::scenario::{follow, wait_stable};
use support::wait;

fn info(node: &Node, section: &str, field: &str) -> String {
    let all = node.ask(&["INFO", section]).unwrap_or_default();
    let mut lines = all.lines().filter_map(|line| line.trim().split_once(':'));
    lines.find(|(name, _)| *name == field).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// Reads one thing that comes, as text.
fn next(client: &mut Client) -> String {
    text(&client.read().expect("something comes"))
}

/// A client in RESP3.
fn third(node: &Node) -> Client {
    let mut client = node.client();
    client.must(&["HELLO", "3"]);
    client
}

fn is_push(reply: &Reply) -> bool {
    matches!(reply, Reply::Push(_))
}

#[test]
fn messages_of_one_publisher_come_in_order_from_whatever_shard_to_whatever_shard() {
    let node = Node::start("node", 3, &[]);
    let mut listeners: Vec<Client> = (0..6).map(|_| node.client()).collect();
    for (index, listener) in listeners.iter_mut().enumerate() {
        for channel in 0..8 {
            let count = text(&listener.must(&["SUBSCRIBE", &format!("c{channel}")]));
            assert_eq!(count, format!("subscribe c{channel} {}", channel + 1), "{index}");
        }
        assert_eq!(text(&listener.must(&["PSUBSCRIBE", "c[0-3]"])), "psubscribe c[0-3] 9");
    }
    assert_eq!(text(&node.must(&["PUBSUB", "NUMSUB", "c0", "no"])), "c0 6 no 0");
    assert_eq!(text(&node.must(&["PUBSUB", "NUMPAT"])), "1");
    assert_eq!(info(&node, "stats", "pubsub_channels"), "8");
    assert_eq!(info(&node, "stats", "pubsub_patterns"), "1");
    assert_eq!(info(&node, "clients", "pubsub_clients"), "6");
    let mut publisher = node.client();
    const ROUNDS: usize = 50;
    for round in 0..ROUNDS {
        let all = (0..8)
            .map(|channel| request(&["PUBLISH", &format!("c{channel}"), &format!("m{round}")]));
        let replies = publisher.pipeline(&all.collect::<Vec<_>>());
        let counts: Vec<String> = replies.iter().map(text).collect();
        assert_eq!(counts, ["12", "12", "12", "12", "6", "6", "6", "6"]);
    }
    for listener in &mut listeners {
        let mut seen = [0; 8];
        for _ in 0..ROUNDS * 12 {
            let message = next(listener);
            let words: Vec<&str> = message.split(' ').collect();
            match words[..] {
                ["message", channel, said] => {
                    let place = channel[1..].parse::<usize>().expect("a channel");
                    assert_eq!(said, format!("m{}", seen[place]), "{message}");
                    seen[place] += 1;
                }
                ["pmessage", "c[0-3]", ..] => {}
                _ => panic!("{message}"),
            }
        }
        assert_eq!(seen, [ROUNDS; 8]);
    }
}

/// The story: with 100 KB on their way to a subscriber that does not read, nothing waited for it (`oll=0`).
#[test]
fn what_waits_for_a_subscriber_is_shown_to_the_last_message() {
    let node = Node::start("node", 2, &["--client_output_buffer_limit=pubsub 0 0 0"]);
    let mut listener = node.client();
    listener.must(&["SUBSCRIBE", "a"]);
    let message = "x".repeat(100_000);
    let waiting = || {
        let listed = text(&node.must(&["CLIENT", "LIST", "TYPE", "pubsub"]));
        let of = |name: &str| {
            let value = listed.split(' ').find_map(|field| field.strip_prefix(name));
            value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{listed}"))
        };
        assert_eq!((of("rbs="), of("obl=")), (0, 0), "{listed}");
        (of("oll="), of("omem="))
    };
    let mut said = 0;
    wait::until("something waits", || {
        node.must(&["PUBLISH", "a", &message]);
        said += 1;
        waiting().1 > 500_000
    });
    for _ in 0..said {
        let (pieces, bytes) = waiting();
        assert!(bytes == 0 || bytes.div_ceil(110_000) <= pieces, "{pieces} of {bytes} bytes");
        next(&mut listener);
    }
    wait::until("nothing waits", || waiting() == (0, 0));
}

#[test]
fn whoever_listens_in_resp2_asks_for_nothing_else_until_it_has_ended_that() {
    let node = Node::start("node", 2, &[]);
    let mut client = node.client();
    assert_eq!(text(&client.must(&["UNSUBSCRIBE"])), "unsubscribe (nil) 0");
    client.must(&["MULTI"]);
    client.must(&["SSUBSCRIBE", "a"]);
    let said = text(&client.must(&["EXEC"]));
    assert_eq!(said, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    assert_eq!(text(&client.must(&["SUBSCRIBE", "a"])), "subscribe a 1");
    assert_eq!(text(&client.must(&["SSUBSCRIBE", "a"])), "ssubscribe a 1");
    assert_eq!(
        text(&client.call(&["GET", "x"])),
        "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
         this context"
    );
    assert!(
        text(&client.call(&["CLIENT", "ID"])).starts_with("ERR Can't execute 'client|id': only")
    );
    assert_eq!(text(&client.must(&["PING"])), "pong ");
    assert_eq!(text(&client.must(&["PING", "hi"])), "pong hi");
    let listed = text(&node.must(&["CLIENT", "LIST", "TYPE", "pubsub"]));
    assert!(listed.contains(" flags=P ") && listed.contains(" sub=1 psub=0 ssub=1 "), "{listed}");
    assert_eq!(listed.trim().lines().count(), 1, "{listed}");
    assert_eq!(text(&node.must(&["SPUBLISH", "a", "s"])), "1");
    assert_eq!(next(&mut client), "smessage a s");
    assert_eq!(text(&client.must(&["SUNSUBSCRIBE"])), "sunsubscribe a 0");
    // What was said before comes before the word that it is over, and nothing after it.
    assert_eq!(text(&node.must(&["PUBLISH", "a", "last"])), "1");
    client.send_raw(b"UNSUBSCRIBE a\r\nGET x\r\n").expect("sent");
    assert_eq!(next(&mut client), "message a last");
    assert_eq!(next(&mut client), "unsubscribe a 0");
    assert_eq!(next(&mut client), "(nil)");
    assert_eq!(text(&node.must(&["PUBLISH", "a", "nobody"])), "0");
    client.must(&["PSUBSCRIBE", "*"]);
    assert_eq!(text(&client.must(&["RESET"])), "RESET");
    assert_eq!(text(&client.call(&["GET", "x"])), "(nil)");
    assert_eq!(info(&node, "stats", "pubsub_patterns"), "0");
    // In one write.
    client.send_raw(b"SUBSCRIBE b\r\nGET x\r\nUNSUBSCRIBE\r\nGET x\r\n").expect("sent");
    assert_eq!(next(&mut client), "subscribe b 1");
    assert!(next(&mut client).starts_with("ERR Can't execute 'get'"));
    assert_eq!(next(&mut client), "unsubscribe b 0");
    assert_eq!(next(&mut client), "(nil)");
    // A connection that ends takes its subscriptions along.
    client.must(&["SUBSCRIBE", "b", "c"]);
    client.read().expect("the second");
    drop(client);
    wait::until("nobody listens", || info(&node, "stats", "pubsub_channels") == "0");
}

#[test]
fn in_resp3_messages_are_pushed_between_replies_also_inside_a_transaction() {
    let node = Node::start("node", 2, &[]);
    let mut client = third(&node);
    let id = text(&client.must(&["CLIENT", "ID"]));
    assert!(is_push(&client.must(&["SUBSCRIBE", "a"])));
    client.must(&["SET", "x", "1"]);
    assert_eq!(text(&client.must(&["GET", "x"])), "1");
    assert_eq!(text(&client.must(&["PING"])), "PONG");
    node.must(&["PUBLISH", "a", "hi"]);
    let message = client.read().expect("it comes");
    assert!(is_push(&message));
    assert_eq!(text(&message), "message a hi");
    client.must(&["MULTI"]);
    for queued in [vec!["SUBSCRIBE", "b"], vec!["PUBLISH", "c", "x"], vec!["GET", "x"]] {
        assert_eq!(text(&client.must(&queued)), "QUEUED");
    }
    assert_eq!(text(&client.must(&["EXEC"])), "subscribe b 2 0 1");
    node.must(&["PUBLISH", "b", "ho"]);
    assert_eq!(next(&mut client), "message b ho");
    // Also while a command waits.
    client.send_raw(b"WAIT 1 0\r\n").expect("sent");
    wait::until("it waits", || info(&node, "clients", "blocked_clients") == "1");
    node.must(&["PUBLISH", "b", "meanwhile"]);
    assert_eq!(next(&mut client), "message b meanwhile");
    node.must(&["CLIENT", "UNBLOCK", &id]);
    assert_eq!(next(&mut client), "0");
    // Replies may be unwanted, messages are not.
    client.send_raw(b"CLIENT REPLY OFF\r\nGET x\r\nSUBSCRIBE d\r\n").expect("sent");
    assert_eq!(next(&mut client), "subscribe d 3");
    node.must(&["PUBLISH", "d", "still"]);
    assert_eq!(next(&mut client), "message d still");
    // And nothing is said in their place: PING was answered, and all replies behind it were one too late.
    let mut other = node.client();
    other.send_raw(b"UNSUBSCRIBE x\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO hi\r\n").expect("sent");
    assert_eq!(next(&mut other), "unsubscribe x 0");
    assert_eq!(next(&mut other), "hi");
}

#[test]
fn a_replica_says_what_was_said_on_its_master_whatever_the_shards() {
    let master = Node::start("master", 3, &[]);
    let replica = Node::start("replica", 2, &[]);
    let second = Node::start("second", 1, &[]);
    follow(&replica, master.port);
    wait_stable(&replica);
    follow(&second, replica.port);
    wait_stable(&second);
    let mut listeners = [replica.client(), second.client()];
    for listener in &mut listeners {
        listener.must(&["PSUBSCRIBE", "c*"]);
        listener.must(&["SSUBSCRIBE", "s"]);
    }
    let mut publisher = master.client();
    let large = "x".repeat(200_000);
    for index in 0..40 {
        assert_eq!(text(&publisher.must(&["PUBLISH", &format!("c{index}"), "hello"])), "0");
    }
    publisher.must(&["SPUBLISH", "s", "sharded"]);
    publisher.must(&["PUBLISH", "clarge", &large]);
    publisher.must(&["MULTI"]);
    publisher.must(&["SET", "k", "1"]);
    publisher.must(&["PUBLISH", "ctx", "in a transaction"]);
    publisher.must(&["SET", "other", "1"]);
    publisher.must(&["EXEC"]);
    for listener in &mut listeners {
        let mut all: Vec<String> = (0..43).map(|_| next(listener)).collect();
        all.sort();
        let mut expected: Vec<String> =
            (0..40).map(|index| format!("pmessage c* c{index} hello")).collect();
        expected.push("smessage s sharded".to_owned());
        expected.push(format!("pmessage c* clarge {large}"));
        expected.push("pmessage c* ctx in a transaction".to_owned());
        expected.sort();
        assert_eq!(all, expected);
    }
    // On a replica it is said there, and goes no further.
    assert_eq!(text(&replica.must(&["PUBLISH", "chere", "x"])), "1");
    assert_eq!(next(&mut listeners[0]), "pmessage c* chere x");
    publisher.must(&["PUBLISH", "cend", "x"]);
    assert_eq!(next(&mut listeners[1]), "pmessage c* cend x");
}

#[test]
fn a_subscriber_that_does_not_read_is_ended_and_nobody_waits_for_it() {
    let node = Node::start("node", 2, &["--client_output_buffer_limit=pubsub 2mb 0 0"]);
    let (mut slow, mut quick) = (node.client(), node.client());
    slow.must(&["SUBSCRIBE", "c"]);
    quick.must(&["SUBSCRIBE", "c"]);
    let mut publisher = node.client();
    let payload = "x".repeat(100_000);
    // The sockets' own buffers take some megabytes.
    let mut said = 0;
    wait::until("the slow one is ended", || {
        let heard = publisher.must(&["PUBLISH", "c", &payload]);
        assert!(next(&mut quick).starts_with("message c x"));
        said += 1;
        assert!(said < 1000, "its buffer is bounded");
        text(&heard) == "1"
    });
    assert_eq!(info(&node, "stats", "client_output_buffer_limit_disconnections"), "1");
    node.assert_logged("client-output-buffer-limit pubsub", 1);
    // By the soft limit, which is a matter of time, also when nothing is said any more.
    node.must(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 1mb 1"]);
    let mut slow = node.client();
    slow.must(&["SUBSCRIBE", "d"]);
    for _ in 0..200 {
        publisher.must(&["PUBLISH", "d", &payload]);
    }
    wait::until("the slow one is ended", || text(&node.must(&["PUBSUB", "NUMSUB", "d"])) == "d 0");
    assert_eq!(info(&node, "stats", "client_output_buffer_limit_disconnections"), "2");
    publisher.must(&["PUBLISH", "c", "the other one listens"]);
    assert_eq!(next(&mut quick), "message c the other one listens");
}

#[test]
fn key_events_are_said_in_redis_s_names_and_order() {
    let node = Node::start("node", 2, &[]);
    let mut listener = node.client();
    listener.must(&["PSUBSCRIBE", "__key*__:*"]);
    let mut client = node.client();
    client.must(&["SET", "off", "x"]);
    client.must(&["CONFIG", "SET", "notify-keyspace-events", "KEAmn"]);
    assert_eq!(
        text(&client.must(&["CONFIG", "GET", "notify-keyspace-events"])),
        "notify-keyspace-events AKEm"
    );
    let mut heard = |request: &[&str], expected: &[&str]| {
        client.must(request);
        for event in expected {
            let (name, key) = event.split_once(' ').expect("event and key");
            assert_eq!(
                next(&mut listener),
                format!("pmessage __key*__:* __keyspace@0__:{key} {name}"),
                "{request:?}"
            );
            assert_eq!(
                next(&mut listener),
                format!("pmessage __key*__:* __keyevent@0__:{name} {key}"),
                "{request:?}"
            );
        }
    };
    heard(&["SET", "{a}k", "1"], &["new {a}k", "set {a}k"]);
    heard(&["SET", "{a}k", "1", "EX", "100"], &["set {a}k", "expire {a}k"]);
    heard(&["INCR", "{a}k"], &["incrby {a}k"]);
    heard(&["INCRBYFLOAT", "{a}k", "0.5"], &["incrbyfloat {a}k"]);
    heard(&["APPEND", "{a}k", "x"], &["append {a}k"]);
    heard(&["SETRANGE", "{a}k", "0", "y"], &["setrange {a}k"]);
    heard(&["GET", "{a}none"], &["keymiss {a}none"]);
    heard(&["PERSIST", "{a}k"], &["persist {a}k"]);
    heard(&["PEXPIRE", "{a}k", "100000"], &["expire {a}k"]);
    heard(&["GETEX", "{a}k", "PERSIST"], &["persist {a}k"]);
    heard(&["RENAME", "{a}k", "{a}l"], &["new {a}l", "rename_from {a}k", "rename_to {a}l"]);
    heard(&["COPY", "{a}l", "{a}m"], &["new {a}m", "copy_to {a}m"]);
    heard(&["MSET", "{a}l", "1", "{a}m", "2"], &["set {a}l", "set {a}m"]);
    heard(&["SETBIT", "{a}b", "1", "1"], &["new {a}b", "setbit {a}b"]);
    heard(&["BITOP", "NOT", "{a}c", "{a}b"], &["new {a}c", "set {a}c"]);
    heard(&["PFADD", "{a}h", "1"], &["new {a}h", "pfadd {a}h"]);
    heard(&["DEL", "{a}l", "{a}none", "{a}m"], &["del {a}l", "del {a}m"]);
    heard(&["EXPIRE", "{a}c", "-1"], &["del {a}c"]);
    heard(&["GETDEL", "{a}b"], &["del {a}b"]);
    heard(
        &["SET", "{a}e", "1", "PX", "1"],
        &["new {a}e", "set {a}e", "expire {a}e", "expired {a}e"],
    );
    heard(&["CONFIG", "SET", "notify-keyspace-events", ""], &[]);
    heard(&["SET", "{a}k", "1"], &[]);
    node.must(&["PUBLISH", "__keyspace@0__:end", "end"]);
    assert_eq!(next(&mut listener), "pmessage __key*__:* __keyspace@0__:end end");
}

#[test]
fn a_subscriber_is_killed_by_its_type_and_is_not_timed_out() {
    let node = Node::start("node", 2, &["--timeout=1"]);
    let connect = || Client::connect(node.port).expect("the client port");
    let (mut silent, mut listener) = (connect(), connect());
    listener.must(&["SUBSCRIBE", "c"]);
    silent.must(&["PING"]);
    silent.set_reply_limit(Duration::from_secs(30));
    assert!(silent.read().is_err(), "it is closed for its silence");
    node.must(&["PUBLISH", "c", "there"]);
    assert_eq!(next(&mut listener), "message c there");
    assert_eq!(text(&node.must(&["CLIENT", "KILL", "TYPE", "pubsub"])), "1");
    assert!(listener.read().is_err());
}

#[test]
fn who_listens_hears_in_the_middle_of_a_long_request() {
    // Its inbox was looked at, then others had their turn, then it waited: what came between was never told.
    let node = Node::start("node", 1, &[]);
    let mut listener = third(&node);
    listener.must(&["SUBSCRIBE", "c"]);
    let mut publisher = node.client();
    const PIECES: usize = 300;
    let piece = vec![b'x'; 16 * 1024];
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", PIECES * piece.len());
    listener.send_raw(head.as_bytes()).expect("the node reads");
    for number in 0..PIECES {
        listener.send_raw(&piece).expect("the node reads");
        publisher.must(&["PUBLISH", "c", &number.to_string()]);
        assert_eq!(next(&mut listener), format!("message c {number}"));
    }
    listener.send_raw(b"\r\n").expect("the node reads");
    assert_eq!(next(&mut listener), "OK");
}

/// The story: they came behind all replies of the pipeline, and not at all where it ended with RESET or QUIT, or where EXEC
/// ended the listening.
#[test]
fn what_a_connection_says_to_itself_comes_behind_the_reply_to_it_whatever_comes_next() {
    for shards in [1, 3] {
        let node = Node::start(&format!("{shards}"), shards, &["--notify_keyspace_events=KEA"]);
        let check = |requests: &str, expected: &[&str]| {
            let mut client = third(&node);
            let requests: Vec<&str> = requests.split("; ").collect();
            client.send_raw(format!("{}\r\n", requests.join("\r\n")).as_bytes()).expect("sent");
            for expected in expected {
                let said = client.read().expect("something comes");
                assert_eq!(text(&said), *expected, "{shards} shards: {requests:?}");
                let is_message = expected.contains("message");
                assert!(!is_message || is_push(&said), "{shards} shards: {requests:?}");
            }
        };
        let listens = "subscribe c 1";
        check(
            "SUBSCRIBE c; PUBLISH c x; PUBLISH c y; GET nokey; RESET; PING",
            &[listens, "1", "message c x", "1", "message c y", "(nil)", "RESET", "PONG"],
        );
        check("SUBSCRIBE c; PUBLISH c x; QUIT", &[listens, "1", "message c x", "OK"]);
        check("SUBSCRIBE c; PUBLISH c x; PING; HELLO 2", &[listens, "1", "message c x", "PONG"]);
        let queued = ["OK", "QUEUED", "QUEUED", "QUEUED"];
        let all = "subscribe c 1 1 unsubscribe c 0";
        check(
            "MULTI; SUBSCRIBE c; PUBLISH c x; UNSUBSCRIBE c; EXEC; PUBLISH c y",
            &[&queued[..], &[all, "message c x", "0"]].concat(),
        );
        check(
            "PSUBSCRIBE __keyspace*; MULTI; SET a 1; SET {a} 1; PUNSUBSCRIBE; EXEC; PUBSUB NUMPAT",
            &[
                &["psubscribe __keyspace* 1"],
                &queued[..],
                &["OK OK punsubscribe __keyspace* 0"],
                &["pmessage __keyspace* __keyspace@0__:a set"],
                &["pmessage __keyspace* __keyspace@0__:{a} set", "0"],
            ]
            .concat(),
        );
        // In RESP2 it would be taken for a reply.
        let mut second = node.client();
        let requests = "MULTI\r\nSUBSCRIBE c\r\nPUBLISH c x\r\nUNSUBSCRIBE c\r\nEXEC\r\nPING\r\n";
        second.send_raw(requests.as_bytes()).expect("sent");
        for expected in [&queued[..], &[all, "PONG"]].concat() {
            assert_eq!(next(&mut second), expected, "{shards} shards");
        }
        // Once, though it left and came back before the hub was told.
        check(
            "SUBSCRIBE c; MULTI; UNSUBSCRIBE c; SUBSCRIBE c; EXEC; PUBLISH c x; PING",
            &[
                &[listens][..],
                &queued[..3],
                &["unsubscribe c 0 subscribe c 1", "1", "message c x", "PONG"],
            ]
            .concat(),
        );
    }
}

#[test]
fn messages_stand_between_replies_and_never_within_one() {
    let node = Node::start("node", 2, &[]);
    let (port, stop) = (node.port, std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = stop.clone();
    let publisher = std::thread::spawn(move || {
        let mut publisher = Client::connect(port).expect("the node listens");
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            publisher.must(&["PUBLISH", "c", "m"]);
        }
    });
    // The next thing that is no message.
    let reply = |listener: &mut Client| loop {
        let reply = listener.read().expect("something comes");
        if !text(&reply).starts_with("message ") {
            break text(&reply);
        }
    };
    for _ in 0..20 {
        let mut listener = third(&node);
        // What is said first is that it listens, although KEYS passes messages on while it walks.
        listener.send_raw(b"SUBSCRIBE c\r\nKEYS nomatch*\r\n").expect("the node reads");
        assert_eq!(next(&mut listener), "subscribe c 1");
        assert_eq!(reply(&mut listener), "");
        listener
            .send_raw(b"MULTI\r\nKEYS no*\r\nUNSUBSCRIBE c\r\nPING\r\nEXEC\r\nECHO end\r\n")
            .expect("the node reads");
        for expected in ["OK", "QUEUED", "QUEUED", "QUEUED"] {
            assert_eq!(reply(&mut listener), expected);
        }
        let all = reply(&mut listener);
        assert!(!all.contains("message"), "{all}");
        assert_eq!(reply(&mut listener), "end");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().expect("the publisher ends");
}
