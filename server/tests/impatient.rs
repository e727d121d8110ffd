//! Clients that cannot wait, or that others wait for: control commands inside transactions, clients that
//! leave while they wait, floods, and readers that do not read.

mod support;

use engine::resp::client::{Reply, encode_command};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::client::{Client, request, text};
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::{compare, process, wait};

/// How many clients the node knows, this one included.
fn clients(client: &mut Client) -> usize {
    text(&client.must(&["CLIENT", "LIST"])).lines().count()
}

/// Appends a request.
fn put(bytes: &mut Vec<u8>, request: &[&str]) {
    let words: Vec<&[u8]> = request.iter().map(|word| word.as_bytes()).collect();
    encode_command(bytes, &words);
}

/// A client that has sent these requests and waits.
fn waiting(node: &Node, requests: &[&[&str]]) -> Client {
    let mut client = Client::connect(node.port).expect("the node listens");
    let mut bytes = Vec::new();
    for request in requests {
        put(&mut bytes, request);
    }
    client.send_raw(&bytes).expect("requests can be sent");
    client
}

/// The replies of a transaction's commands, without those of MULTI and the queueing.
fn transaction(node: &Node, commands: &[&[&str]]) -> Vec<Reply> {
    let mut requests = vec![request(&["MULTI"])];
    requests.extend(commands.iter().map(|command| request(command)));
    requests.push(request(&["EXEC"]));
    let replies = node.client().pipeline(&requests);
    let exec = replies.last().expect("EXEC answers");
    exec.elements().unwrap_or_else(|| panic!("EXEC: {exec:?}")).to_vec()
}

#[test]
fn a_promotion_inside_exec_comes_after_the_data_and_leaves_no_key_taken() {
    for shards in [1, 2] {
        let (master, replica) =
            (Node::start("master", shards, &[QUICK_TIMEOUT]), Node::start("replica", shards, &[]));
        master.must(&["SET", "k", "v"]);
        let promotions: [&[&[&str]]; 3] = [
            &[&["GET", "k"], &["REPLICAOF", "NO", "ONE"]],
            &[&["REPLICAOF", "NO", "ONE"], &["GET", "k"], &["ROLE"]],
            &[&["SLAVEOF", "NO", "ONE"], &["CLIENT", "KILL", "TYPE", "pubsub"], &["GET", "k"]],
        ];
        for commands in promotions {
            scenario::follow(&replica, master.port);
            scenario::wait_stable(&replica);
            let replies = transaction(&replica, commands);
            let shown: Vec<String> = replies.iter().map(text).collect();
            for (command, reply) in commands.iter().zip(&shown) {
                let expected = match command[0] {
                    "GET" => "v",
                    "CLIENT" => "0",
                    "ROLE" => "master",
                    _ => "OK",
                };
                assert_eq!(reply.trim(), expected, "{commands:?}: {shown:?}");
            }
            replica.must(&["SET", "k", "v"]);
        }
    }
}

#[test]
fn writes_between_two_changes_of_role_inside_exec_reach_every_replica() {
    let (master, replica) =
        (Node::start("master", 2, &[QUICK_TIMEOUT]), Node::start("replica", 1, &[QUICK_TIMEOUT]));
    scenario::follow(&replica, master.port);
    let replies = transaction(
        &master,
        &[
            &["REPLICAOF", "127.0.0.1", "1"],
            &["SET", "x", "1"],
            &["SET", "y", "1"],
            &["REPLICAOF", "NO", "ONE"],
            &["INCR", "x"],
        ],
    );
    assert_eq!(replies.iter().map(text).collect::<Vec<_>>(), ["OK", "OK", "OK", "OK", "2"]);
    assert_eq!(text(&master.must(&["MGET", "x", "y"])), "2 1");
    scenario::wait_follows(&master, &replica);
    assert_eq!(text(&replica.must(&["MGET", "x", "y"])), "2 1");
}

#[test]
fn a_watched_key_does_not_hold_up_a_promotion_and_settings_inside_exec_answer_in_order() {
    let (master, replica) = (Node::start("master", 2, &[]), Node::start("replica", 2, &[]));
    master.must(&["SET", "k", "v"]);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let mut client = replica.client();
    let requests = [
        request(&["WATCH", "k"]),
        request(&["MULTI"]),
        request(&["CONFIG", "SET", "maxmemory-samples", "7"]),
        request(&["HELLO", "3"]),
        request(&["CONFIG", "GET", "maxmemory-samples"]),
        request(&["GET", "k"]),
        request(&["REPLICAOF", "NO", "ONE"]),
        request(&["EXEC"]),
    ];
    let replies = client.pipeline(&requests);
    let exec = replies.last().and_then(Reply::elements).expect("EXEC answers");
    assert_eq!(exec.len(), 5, "{exec:?}");
    assert_eq!(text(&exec[0]), "OK");
    assert!(
        format!("{:?}", exec[2]).starts_with("Map"),
        "its place is behind HELLO: {:?}",
        exec[2]
    );
    assert_eq!((text(&exec[3]), text(&exec[4])), ("v".to_owned(), "OK".to_owned()));
    replica.must(&["SET", "k", "of its own"]);
}

#[test]
fn clients_that_wait_for_replicas_leave_when_they_go_and_when_they_are_killed() {
    let node = Node::start("node", 2, &[]);
    let mut observer = node.client();
    let wait_for_ever: &[&[&str]] = &[&["SET", "k", "v"], &["GET", "k"], &["WAIT", "99", "0"]];
    let mut waiters: Vec<Client> = (0..20).map(|_| waiting(&node, wait_for_ever)).collect();
    for waiter in &mut waiters {
        // Answered before it waits.
        assert_eq!(text(&waiter.read().expect("a reply")), "OK");
        assert_eq!(text(&waiter.read().expect("a reply")), "v");
    }
    wait::until("all of them wait", || {
        text(&observer.must(&["INFO", "clients"])).contains("blocked_clients:20")
    });
    // Whoever asked whether the node is ready may be on its way out.
    wait::until("nobody else is here", || clients(&mut observer) == 21);
    waiters.truncate(10);
    wait::until("those that left are gone", || clients(&mut observer) == 11);
    assert_eq!(text(&observer.must(&["CLIENT", "KILL", "TYPE", "normal"])), "10");
    wait::until("those that were killed are gone", || clients(&mut observer) == 1);
    let left = text(&observer.must(&["INFO", "clients"]));
    assert!(left.contains("blocked_clients:0"), "{left}");
    for waiter in &mut waiters {
        waiter.read().expect_err("a killed client reads the end");
    }
}

/// The story: who had pipelined more behind a BLPOP than the socket's buffers hold, and closed, was never seen to have
/// gone: it stayed blocked for ever, and was given the next element.
#[test]
fn who_leaves_behind_a_long_pipeline_is_seen_to_have_gone() {
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let mut observer = node.client();
        let figure = |observer: &mut Client, name: &str| {
            let info = text(&observer.must(&["INFO", "clients"]));
            let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("the figure");
            line.trim_start_matches(':').trim().parse::<usize>().expect("a number")
        };
        let value = "v".repeat(100_000);
        for (waits, count) in [(["BLPOP", "queue", "0"], 1), (["BLPOP", "queue", "0"], 30)] {
            let mut bytes = Vec::new();
            put(&mut bytes, &waits);
            (0..count).for_each(|_| put(&mut bytes, &["APPEND", "late", &value]));
            let mut client = Client::connect(node.port).expect("the node listens");
            client.send_raw(&bytes[..200]).expect("the node reads");
            wait::until("it waits", || figure(&mut observer, "blocked_clients") == 1);
            client.send_raw(&bytes[200..]).expect("the node reads what comes meanwhile");
            drop(client);
            wait::until("it is gone", || {
                let left = ["blocked_clients", "connected_clients"];
                left.map(|name| figure(&mut observer, name)) == [0, 1]
            });
        }
        observer.must(&["RPUSH", "queue", "one"]);
        assert_eq!(text(&observer.must(&["LLEN", "queue"])), "1", "nobody takes it");
        assert_eq!(
            text(&observer.must(&["EXISTS", "late"])),
            "0",
            "and what was behind has not run"
        );
    }
}

/// A long command that only reads ends soon after its client has left, and gives its keys back; what was sent behind it
/// is not done.
#[test]
fn what_only_reads_ends_soon_after_its_client_has_left() {
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let mut observer = node.client();
        // On two shards, if there are two. Some minutes of work.
        let keys = ["a", "b"];
        let member = |member: usize| format!("member:{member}");
        for part in 0..200 {
            let members: Vec<String> = (part * 1000..(part + 1) * 1000).map(member).collect();
            let words = ["SADD", keys[0]].into_iter().chain(members.iter().map(String::as_str));
            observer.must(&words.collect::<Vec<_>>());
        }
        observer.must(&["SUNIONSTORE", keys[1], keys[0]]);
        let mut long = vec!["SINTERCARD", "4000"];
        long.extend((0..4000).map(|at| keys[at % 2]));
        let client = waiting(&node, &[&long, &["SET", "late", "v"]]);
        wait::until("it has come", || {
            text(&observer.must(&["CLIENT", "LIST"])).contains("cmd=sintercard")
        });
        drop(client);
        // They wait for it; or they come first, as it has come and does not run yet, and leave it as much to do. Once
        // they were overwritten here: then it ended at once, and what is behind it was done.
        for key in keys {
            observer.must(&["SADD", key, "new"]);
        }
        wait::until("it is gone", || clients(&mut observer) == 1);
        assert_eq!(text(&observer.must(&["EXISTS", "late"])), "0");
    }
}

#[test]
fn a_client_that_waits_for_the_end_of_a_pause_leaves_when_it_goes() {
    let node = Node::start("node", 1, &[]);
    let mut observer = node.client();
    observer.must(&["CLIENT", "PAUSE", "1000000"]);
    let paused: &[&[&str]] = &[&["SET", "k", "v"], &["MULTI"], &["SET", "k", "w"], &["EXEC"]];
    let waiters: Vec<Client> = (0..5).map(|_| waiting(&node, paused)).collect();
    wait::until("they have come", || clients(&mut observer) == 6);
    drop(waiters);
    wait::until("they are gone", || clients(&mut observer) == 1);
    observer.must(&["CLIENT", "UNPAUSE"]);
    assert_eq!(text(&observer.must(&["EXISTS", "k"])), "0");
}

#[test]
fn who_waits_for_replicas_is_told_when_the_node_becomes_one() {
    let (node, master) = (Node::start("node", 2, &[]), Node::start("master", 1, &[]));
    // Not PING: by then the node may have begun its full sync, in which it is refused.
    let asked: [&[&str]; 3] = [&["SET", "k", "v"], &["WAIT", "1", "0"], &["ECHO", "PONG"]];
    let mut waiter = waiting(&node, &asked);
    assert_eq!(text(&waiter.read().expect("a reply")), "OK");
    wait::until("it waits", || {
        text(&node.must(&["INFO", "clients"])).contains("blocked_clients:1")
    });
    scenario::follow(&node, master.port);
    let unblocked = "UNBLOCKED force unblock from blocking operation, instance state changed \
                     (master -> replica?)";
    assert_eq!(text(&waiter.read().expect("a reply")), unblocked);
    assert_eq!(text(&waiter.read().expect("a reply")), "PONG");
}

#[test]
fn a_client_that_ends_its_side_still_reads_answers_that_come_at_once() {
    let node = Node::start("node", 2, &[]);
    let mut client = waiting(&node, &[&["SET", "k", "v"], &["WAIT", "0", "0"], &["GET", "k"]]);
    client.stream().shutdown(std::net::Shutdown::Write).expect("a side can be ended");
    let replies: Vec<String> = (0..3).map(|_| text(&client.read().expect("a reply"))).collect();
    assert_eq!(replies, ["OK", "0", "v"]);
}

/// Sends SETs as fast as they are taken until told to stop, reading whatever comes back.
fn flood(port: u16, stop: &AtomicBool) {
    let client = Client::connect(port).expect("the node listens");
    let mut reading = client.stream().try_clone().expect("a second handle");
    let mut writing = client.stream().try_clone().expect("a third handle");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while reading.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        let mut requests = Vec::new();
        for number in 0..5000 {
            let key = format!("flood:{number}");
            put(&mut requests, &["SET", &key, "value"]);
        }
        while !stop.load(Ordering::Relaxed) {
            writing.write_all(&requests).expect("the node takes requests");
        }
        writing.shutdown(std::net::Shutdown::Both).expect("the flood ends");
    });
}

#[test]
fn a_flood_of_one_client_lets_the_others_have_their_turns() {
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| flood(node.port, &stop));
            let mut others: Vec<Client> = (0..4).map(|_| node.client()).collect();
            wait::until("the flood flows", || text(&others[0].must(&["DBSIZE"])) == "5000");
            let began = Instant::now();
            for round in 0..100 {
                let key = format!("flood:{round}");
                assert_eq!(text(&others[round % 4].must(&["GET", &key])), "value");
            }
            let took = began.elapsed();
            stop.store(true, Ordering::Relaxed);
            // A few milliseconds each beside a flood; without turns one took as long as the flood.
            assert!(took < Duration::from_secs(20), "100 requests took {took:?}");
        });
    }
}

#[test]
fn with_replies_off_a_pipeline_runs_as_one_and_nothing_is_answered() {
    let node = Node::start("node", 2, &[]);
    let mut client = node.client();
    let mut requests = Vec::new();
    put(&mut requests, &["CLIENT", "REPLY", "OFF"]);
    for number in 0..20_000 {
        let key = format!("k{number}");
        put(&mut requests, &["SET", &key, "value"]);
        match number % 1000 {
            1 => put(&mut requests, &["PING"]),
            2 => put(&mut requests, &["NOSUCH"]),
            3 => put(&mut requests, &["MGET", "k1", "k2", "k3"]),
            4 => put(&mut requests, &["GET", "k1"]),
            5 => put(&mut requests, &["INCR", "k1"]),
            _ => {}
        }
    }
    put(&mut requests, &["CLIENT", "REPLY", "SKIP"]);
    put(&mut requests, &["GET", "k1"]);
    put(&mut requests, &["CLIENT", "REPLY", "ON"]);
    put(&mut requests, &["DBSIZE"]);
    put(&mut requests, &["GET", "k2"]);
    client.send_raw(&requests).expect("requests can be sent");
    let replies: Vec<String> = (0..3).map(|_| text(&client.read().expect("a reply"))).collect();
    assert_eq!(replies, ["OK", "20000", "value"]);
}

/// A client asks for 60 MB where 16 may wait; it is closed, and what it asked for does not stay.
fn asks_for_too_much(node: &Node, requests: &[Vec<String>]) {
    let mut reader = Client::connect(node.port).expect("the node listens");
    let mut bytes = Vec::new();
    for request in requests {
        put(&mut bytes, &request.iter().map(String::as_str).collect::<Vec<_>>());
    }
    reader.send_raw(&bytes).expect("requests can be sent");
    wait::until("the reader is closed", || clients(&mut node.client()) == 1);
    // What it was told before is all it gets: no part of the large reply.
    while let Ok(reply) = reader.read() {
        assert!(["OK", "QUEUED"].contains(&text(&reply).as_str()), "{reply:?}");
    }
    let log = node.log();
    assert!(log.contains("client-output-buffer-limit"), "{log}");
}

#[test]
fn a_reader_of_too_much_is_closed_while_its_reply_is_made() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        node.must(&["CONFIG", "SET", "client-output-buffer-limit", "normal 16mb 0 0"]);
        let value = "x".repeat(1_000_000);
        for number in 0..20 {
            node.must(&["SET", &format!("big:{number}"), &value]);
        }
        let keys: Vec<String> = (0..60).map(|number| format!("big:{}", number % 20)).collect();
        let mut mget = words(&["MGET"]);
        mget.extend(keys.iter().cloned());
        asks_for_too_much(&node, &[mget.clone()]);
        let mut transaction = vec![words(&["MULTI"])];
        transaction.extend(keys.iter().map(|key| words(&["GET", key])));
        transaction.push(words(&["SET", "done", "all the same"]));
        transaction.push(words(&["EXEC"]));
        asks_for_too_much(&node, &transaction);
        assert_eq!(text(&node.must(&["GET", "done"])), "all the same");
        // What may wait comes whole, in parts or not.
        node.must(&["CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0"]);
        assert_eq!(node.must(&mget).elements().map(<[Reply]>::len), Some(60));
        let mut client = node.client();
        let requests: Vec<_> = transaction.iter().map(|words| request(words)).collect();
        let exec = client.pipeline(&requests).pop().expect("EXEC answers");
        let replies = exec.elements().expect("an array");
        let lengths = replies.iter().map(|reply| reply.bytes().map_or(2, <[u8]>::len));
        assert_eq!(lengths.sum::<usize>(), 60_000_002);
        assert_eq!(text(&client.must(&["GET", "done"])), "all the same");
    }
}

#[test]
fn a_transaction_whose_replies_nobody_will_read_is_done_in_the_right_database() {
    for shards in [1, 2] {
        let node = Node::start("node", shards, &["--client_output_buffer_limit=normal 1mb 0 0"]);
        node.must(&["SET", "k", &"v".repeat(60_000)]);
        let mut bytes = Vec::new();
        put(&mut bytes, &["MULTI"]);
        (0..20).for_each(|_| put(&mut bytes, &["GET", "k"]));
        // Commands that write and answer much, and one that is performed when the others have run.
        (0..100).for_each(|_| put(&mut bytes, &["GETEX", "k", "PERSIST"]));
        put(&mut bytes, &["CONFIG", "SET", "maxmemory-samples", "7"]);
        put(&mut bytes, &["SELECT", "1"]);
        put(&mut bytes, &["SET", "x", "1"]);
        put(&mut bytes, &["EXEC"]);
        let mut client = node.client();
        client.send_raw(&bytes).expect("the node reads");
        let keys = |db: &str| {
            let mut other = node.client();
            other.must(&["SELECT", db]);
            text(&other.must(&["DBSIZE"]))
        };
        wait::until("the transaction is done", || keys("1") == "1");
        assert_eq!(keys("0"), "1");
        wait::until("its setting is made", || {
            text(&node.must(&["CONFIG", "GET", "maxmemory-samples"])).ends_with('7')
        });
        wait::until("the client is closed", || client.try_call(&["PING"]).is_err());
    }
}

#[test]
fn replies_that_nobody_wants_take_no_room() {
    let node = Node::start("node", 2, &["--client_output_buffer_limit=normal 1mb 0 0"]);
    let mut client = node.client();
    client.must(&["SET", "k", &"v".repeat(100_000)]);
    let mut send = |words: &[&str]| {
        let mut bytes = Vec::new();
        put(&mut bytes, words);
        client.send_raw(&bytes).expect("the node reads");
    };
    send(&["CLIENT", "REPLY", "OFF"]);
    for round in 0..20 {
        send(&["GET", "k"]);
        send(&["SET", "round", &round.to_string()]);
        wait::until("it has run", || text(&node.call(&["GET", "round"])) == round.to_string());
    }
    // In a transaction, and one by one.
    send(&["MULTI"]);
    (0..20).for_each(|_| send(&["GET", "k"]));
    send(&["EXEC"]);
    send(&["CLIENT", "REPLY", "ON"]);
    assert_eq!(text(&client.read().expect("the client is still there")), "OK");
    for _ in 0..20 {
        let mut bytes = Vec::new();
        put(&mut bytes, &["CLIENT", "REPLY", "SKIP"]);
        put(&mut bytes, &["GET", "k"]);
        client.send_raw(&bytes).expect("the node reads");
    }
    assert_eq!(text(&client.must(&["PING"])), "PONG");
}

/// The story: EXEC judges for each of its commands whether the reply is wanted. One that ended before the
/// first of them was answered in any case, and all later replies were taken for others.
#[test]
fn an_exec_that_runs_nothing_is_not_answered_where_nobody_wants_it() {
    let node = Node::start("node", 2, &[]);
    let off: &[&str] = &["CLIENT", "REPLY", "OFF"];
    let on: &[&str] = &["CLIENT", "REPLY", "ON"];
    let cases: [&[&[&str]]; 4] = [
        &[&["CLIENT", "REPLY", "SKIP"], &["EXEC"], on],
        &[off, &["EXEC"], &["DISCARD"], on],
        &[off, &["MULTI"], &["NOPE"], &["EXEC"], on],
        &[off, &["WATCH", "k"], &["SET", "k", "2"], &["MULTI"], &["GET", "k"], &["EXEC"], on],
    ];
    for case in cases {
        let mut client = node.client();
        let mut bytes = Vec::new();
        case.iter().for_each(|words| put(&mut bytes, words));
        put(&mut bytes, &["PING"]);
        client.send_raw(&bytes).expect("the node reads");
        let replies = [client.read().expect("a reply"), client.read().expect("another")];
        assert_eq!(replies.map(|reply| text(&reply)), ["OK", "PONG"], "{case:?}");
    }
}

#[test]
fn who_watches_many_keys_or_leaves_in_its_sleep_holds_up_nobody() {
    let node = Node::start("node", 1, &[]);
    let mut watching = vec!["WATCH".to_owned()];
    watching.extend((0..100_000).map(|key| format!("key:{key:07}")));
    let mut client = node.client();
    let began = Instant::now();
    client.must(&watching);
    // Comparing each with each took a minute.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    client.must(&["UNWATCH"]);
    let connected = || {
        let info = text(&node.must(&["INFO", "clients"]));
        let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        line.and_then(|count| count.trim().parse::<u32>().ok()).expect("a number")
    };
    let before = connected();
    for _ in 0..20 {
        drop(waiting(&node, &[&["DEBUG", "SLEEP", "1000"]]));
    }
    wait::until("the sleepers have left", || connected() <= before);
}

/// The figure of a field of INFO.
fn figure(node: &Node, name: &str) -> u64 {
    let info = text(&node.must(&["INFO"]));
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.and_then(|figure| figure.trim().parse().ok()).unwrap_or_else(|| panic!("{name}: {info}"))
}

/// The story: `CLIENT REPLY OFF`, and then in one write, or in one MGET, more than
/// client-output-buffer-limit: the client was closed for replies that nobody wanted.
#[test]
fn replies_that_nobody_wants_are_not_held_against_a_client_however_many_come_at_once() {
    for shards in [1, 2] {
        let node = Node::start("node", shards, &["--client_output_buffer_limit=normal 1mb 0 0"]);
        let value = "v".repeat(300_000);
        let keys: Vec<String> = (0..20).map(|number| format!("big:{number}")).collect();
        for key in &keys {
            node.must(&["SET", key, &value]);
        }
        let mut mget = vec!["MGET"];
        mget.extend(keys.iter().map(String::as_str));
        let mut bytes = Vec::new();
        put(&mut bytes, &["CLIENT", "REPLY", "OFF"]);
        for key in &keys {
            put(&mut bytes, &["GET", key]);
            put(&mut bytes, &["GETSET", key, &value]);
        }
        put(&mut bytes, &mget);
        put(&mut bytes, &["MULTI"]);
        put(&mut bytes, &mget);
        keys.iter().for_each(|key| put(&mut bytes, &["GET", key]));
        put(&mut bytes, &["INCR", "done"]);
        put(&mut bytes, &["EXEC"]);
        put(&mut bytes, &["CLIENT", "REPLY", "ON"]);
        put(&mut bytes, &["INCR", "done"]);
        for _ in 0..3 {
            put(&mut bytes, &["CLIENT", "REPLY", "SKIP"]);
            put(&mut bytes, &mget);
        }
        put(&mut bytes, &["GET", "done"]);
        let mut client = node.client();
        client.send_raw(&bytes).expect("requests can be sent");
        let replies: Vec<_> = (0..3).map(|_| text(&client.read().expect("a reply"))).collect();
        assert_eq!(replies, ["OK", "2", "2"]);
        // They were no errors either, and whoever wants them is bounded as before.
        assert_eq!(figure(&node, "total_error_replies"), 0);
        assert_eq!(figure(&node, "client_output_buffer_limit_disconnections"), 0);
        assert!(client.try_call(&mget).is_err(), "6 MB where 1 may wait");
        wait::until("it is counted", || {
            figure(&node, "client_output_buffer_limit_disconnections") == 1
        });
    }
}

/// A client that asks for a large reply.
fn asks_for(node: &Node, key: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", node.port)).expect("a connection");
    let mut bytes = Vec::new();
    put(&mut bytes, &["GET", key]);
    stream.write_all(&bytes).expect("a request can be sent");
    stream.set_read_timeout(Some(wait::PATIENCE)).expect("a time-out can be set");
    stream
}

#[test]
fn who_takes_slowly_is_patient_and_who_takes_nothing_is_told_apart_from_who_leaves_too_much() {
    let node = Node::start("node", 1, &["--timeout=1"]);
    let length = 24_000_000;
    node.must(&["SETRANGE", "k", &(length - 1).to_string(), "x"]);
    let mut slow = asks_for(&node, "k");
    let (mut taken, mut buffer) = (0, vec![0; 400_000]);
    let began = Instant::now();
    while taken < length {
        let read = slow.read(&mut buffer).expect("it is not closed");
        assert_ne!(read, 0, "closed after {taken} bytes and {:?}", began.elapsed());
        taken += read;
        wait::let_pass(Duration::from_millis(20));
    }
    assert!(began.elapsed() > Duration::from_secs(1), "longer than the time-out");
    drop(slow);
    let before = figure(&node, "timeout_disconnects");
    let idle = asks_for(&node, "k");
    wait::until("who takes nothing is counted", || figure(&node, "timeout_disconnects") > before);
    // A line goes through a queue to the log.
    wait::until("it is told", || {
        node.logged("it took nothing of its replies for 1 s (timeout)") == 1
    });
    drop(idle);
    // And the soft limit, which is another thing.
    node.must(&["CONFIG", "SET", "timeout", "0"]);
    node.must(&["CONFIG", "SET", "client-output-buffer-limit", "normal 0 1mb 1"]);
    let before = figure(&node, "timeout_disconnects");
    let hoarder = asks_for(&node, "k");
    wait::until("who leaves too much is counted", || {
        figure(&node, "client_output_buffer_limit_disconnections") == 1
    });
    wait::until("it is told", || {
        node.logged("over the soft limit of 1048576 bytes, for 1 s of client-output-buffer-limit")
            == 1
    });
    assert_eq!(figure(&node, "timeout_disconnects"), before);
    drop(hoarder);
}

/// The story: a process that was stopped (SIGSTOP, a machine that slept) closed, when it went on, clients that
/// had been silent only because it had not listened.
#[test]
fn a_node_that_was_stopped_for_longer_than_timeout_closes_nobody_for_it() {
    let node = Node::start("node", 2, &["--timeout=3"]);
    let client = || Client::connect(node.port).expect("it listens");
    let mut clients: Vec<_> = (0..20).map(|_| client()).collect();
    clients.iter_mut().for_each(|client| drop(client.must(&["PING"])));
    node.freeze();
    wait::let_pass(Duration::from_millis(3500));
    node.thaw();
    // One comes a moment later, as somebody who was stopped too.
    let mut later = clients.pop().expect("a client");
    for client in &mut clients {
        assert_eq!(text(&client.must(&["PING"])), "PONG");
    }
    wait::let_pass(Duration::from_millis(500));
    assert_eq!(text(&later.must(&["PING"])), "PONG");
    // Silence that was watched counts as before.
    wait::until("the silent ones are closed", || figure(&node, "connected_clients") == 1);
}

#[test]
fn whoever_a_pause_holds_up_goes_on_when_it_is_ended() {
    let node = Node::start("node", 2, &[]);
    let mut client = node.client();
    client.must(&["CLIENT", "PAUSE", "1000000", "WRITE"]);
    let mut writers: Vec<_> =
        (0..300).map(|number| waiting(&node, &[&["SET", &number.to_string(), "1"]])).collect();
    wait::until("they wait", || clients(&mut client) == 301);
    drop(writers.pop());
    wait::until("one has left", || clients(&mut client) == 300);
    client.must(&["CLIENT", "UNPAUSE"]);
    for writer in &mut writers {
        assert_eq!(text(&writer.read().expect("a reply")), "OK");
    }
    // A pause that ends by itself, also when it was made longer meanwhile.
    client.must(&["CLIENT", "PAUSE", "50", "WRITE"]);
    let began = Instant::now();
    let mut writer = waiting(&node, &[&["SET", "k", "1"]]);
    client.must(&["CLIENT", "PAUSE", "300", "WRITE"]);
    assert_eq!(text(&writer.read().expect("a reply")), "OK");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn words_of_a_client_s_stand_in_errors_as_they_came() {
    let node = Node::start("node", 1, &[]);
    let word = b"\xff\xfe\r\nz\0rest";
    let shown = b"\xff\xfe  z";
    let errors: &[(&[&[u8]], &[u8], &[u8])] = &[
        (&[b"CLIENT", b"KILL", b"USER", word, b"TYPE", b"normal"], b"ERR No such user '", b"'"),
        (&[b"CLIENT", b"LIST", b"TYPE", word], b"ERR Unknown client type '", b"'"),
        (&[b"CLIENT", b"SETINFO", word, b"1"], b"ERR Unrecognized option '", b"'"),
        (&[b"CLIENT", word], b"ERR unknown subcommand '", b"'. Try CLIENT HELP."),
        (&[b"HELLO", b"3", word], b"ERR Syntax error in HELLO option '", b"'"),
        (&[b"LATENCY", word], b"ERR unknown subcommand '", b"'. Try LATENCY HELP."),
        (&[b"COMMAND", word], b"ERR unknown subcommand '", b"'. Try COMMAND HELP."),
        (&[b"REPLCONF", word, b"1"], b"ERR Unrecognized REPLCONF option: ", b""),
        (&[b"EXPIRE", b"k", b"1", word], b"ERR Unsupported option ", b""),
        (
            &[b"CONFIG", b"SET", word, b"1"],
            b"ERR Unknown option or number of arguments for CONFIG SET - '",
            b"'",
        ),
    ];
    for (request, before, after) in errors {
        let reply = node.call(request);
        let error = reply.error().unwrap_or_else(|| panic!("{reply:?}"));
        assert_eq!(error, [*before, shown, after].concat(), "{}", error.escape_ascii());
    }
}

#[test]
fn a_walk_over_keys_ends_when_its_client_has_left() {
    let node = Node::start("node", 1, &[]);
    let mut client = node.client();
    // Each key is some 0.4 ms of work: together more than the five seconds in which a client that has ended
    // its side may still read.
    client.must(&["DEBUG", "POPULATE", "30000", &"y".repeat(8_000), "1"]);
    let pattern = format!("*{}[xw]*", "[yz]".repeat(4_000));
    let busy = waiting(&node, &[&["KEYS", &pattern]]);
    wait::until("it is at work", || text(&client.must(&["CLIENT", "LIST"])).contains("cmd=keys"));
    drop(busy);
    wait::until("it has left", || clients(&mut client) == 1);
    // It was not done: who is done is counted.
    assert!(!text(&client.must(&["INFO", "commandstats"])).contains("cmdstat_keys"));
}

#[test]
fn names_asked_for_are_bounded() {
    let node = Node::start("node", 1, &[]);
    for command in [&["LATENCY", "HISTOGRAM"][..], &["COMMAND", "INFO"], &["CONFIG", "GET"]] {
        let with = |names| {
            let names = std::iter::repeat_n("get", names);
            node.call(&command.iter().copied().chain(names).collect::<Vec<_>>())
        };
        assert!(with(1024).error().is_none(), "{command:?}");
        let refused = with(1025);
        let error = refused.error().map(String::from_utf8_lossy);
        assert_eq!(error.as_deref(), Some("ERR at most 1024 names in one request"), "{command:?}");
    }
}

/// `count` keys that begin with `name`, behind a command's word; each with this value if there is one.
fn many(word: &str, name: &str, count: usize, value: Option<&str>) -> Vec<Vec<u8>> {
    let mut request = vec![word.as_bytes().to_vec()];
    for key in 0..count {
        request.push(format!("{name}:{key}").into_bytes());
        request.extend(value.map(|value| value.as_bytes().to_vec()));
    }
    request
}

/// How many requests of another client are served between the last byte of `request` and its reply.
fn served_meanwhile(node: &Node, request: &[Vec<u8>]) -> (Reply, usize) {
    let (mut client, mut other) = (node.client(), node.client());
    other.must(&["SET", "other", "v"]);
    let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &words);
    client.send_raw(&bytes).expect("the node reads");
    let is_answered = AtomicBool::new(false);
    thread::scope(|scope| {
        let reply = scope.spawn(|| {
            let reply = client.read();
            is_answered.store(true, Ordering::SeqCst);
            reply.expect("a reply")
        });
        let mut served = 0;
        while !is_answered.load(Ordering::SeqCst) {
            other.must(&["GET", "other"]);
            served += 1;
        }
        (reply.join().expect("the reader ends"), served)
    })
}

/// Two strings that take a while to compare.
fn comparable() -> [String; 2] {
    let mut random = fastrand::Rng::with_seed(7);
    [0, 1].map(|_| (0..10_000).map(|_| random.char('a'..'i')).collect())
}

#[test]
fn long_commands_leave_others_served() {
    const KEYS: usize = 100_000;
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let [one, other] = comparable();
        node.must(&["MSET", "{l}1", &one, "{l}2", &other]);
        node.must(&["SETBIT", "{b}1", &(64 * 8 * 1024 * 1024).to_string(), "1"]);
        node.must(&["SETBIT", "{b}2", "7", "1"]);
        let bits = (64 * 1024 * 1024 + 1).to_string();
        let (count, keys) = (KEYS.to_string(), |word| many(word, "key", KEYS, None));
        let long: [(Vec<Vec<u8>>, &str); 8] = [
            (request(&["LCS", "{l}1", "{l}2", "IDX"]), ""),
            (request(&["BITCOUNT", "{b}1"]), "1"),
            (request(&["BITPOS", "{b}1", "1"]), "536870912"),
            (request(&["BITOP", "OR", "{b}3", "{b}1", "{b}2"]), &bits),
            (many("MSET", "key", KEYS, Some("v")), "OK"),
            (keys("EXISTS"), &count),
            (keys("MGET"), ""),
            (keys("DEL"), &count),
        ];
        for (request, expected) in long {
            let name = String::from_utf8_lossy(&request[0]);
            // What goes on in one piece serves one or two, however often. On a busy machine some tries of
            // what goes in slices do not serve more, because the other client does not get to ask.
            let mut most = 0;
            for _ in 0..10 {
                if name == "DEL" {
                    node.must(&many("MSET", "key", KEYS, Some("v")));
                }
                let (reply, served) = served_meanwhile(&node, &request);
                assert!(reply.error().is_none(), "{name}: {reply:?}");
                assert!(
                    expected.is_empty() || text(&reply) == expected,
                    "{name}: {}",
                    text(&reply)
                );
                most = most.max(served);
                if most >= 5 {
                    break;
                }
            }
            assert!(most >= 5, "{shards} shards, {name}: only {most} requests were served");
        }
        assert_eq!(text(&node.must(&["GETBIT", "{b}3", "7"])), "1");
    }
}

#[test]
fn nobody_sees_half_of_what_goes_on_in_slices() {
    const KEYS: usize = 3000;
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let is_over = AtomicBool::new(false);
        node.client().call(&many("MSET", "key", KEYS, Some("0")));
        let last = format!("key:{}", KEYS - 1);
        thread::scope(|scope| {
            let writer = || {
                let mut client = node.client();
                for round in 1..=40 {
                    let write = many("MSET", "key", KEYS, Some(&round.to_string()));
                    assert_eq!(text(&client.call(&write)), "OK");
                    // All at once gone, and back with the next round.
                    if round % 4 == 0 {
                        let gone = client.call(&many("DEL", "key", KEYS, None));
                        assert_eq!(gone, Reply::Integer(KEYS as i64));
                    }
                }
                is_over.store(true, Ordering::SeqCst);
            };
            let reader = || {
                let mut client = node.client();
                while !is_over.load(Ordering::SeqCst) {
                    let all = client.call(&many("MGET", "key", KEYS, None));
                    let all = all.elements().expect("an array");
                    assert!(all.iter().all(|one| one == &all[0]), "half of an MSET was seen");
                    let found = client.call(&many("EXISTS", "key", KEYS, None));
                    let whole = [0, KEYS as i64].map(Reply::Integer);
                    assert!(whole.contains(&found), "half of a DEL was seen: {found:?}");
                }
            };
            let watcher = || {
                let mut client = node.client();
                while !is_over.load(Ordering::SeqCst) {
                    client.must(&["WATCH", &last]);
                    let seen = client.must(&["GET", &last]);
                    let requests: [&[&str]; 4] =
                        [&["MULTI"], &["GET", "key:0"], &["GET", &last], &["EXEC"]];
                    let replies = client.pipeline(&requests.map(request));
                    let unchanged = replies[3].elements().map(<[Reply]>::to_vec);
                    if let Some(now) = unchanged {
                        assert_eq!(now, [seen.clone(), seen], "EXEC ran on what had changed");
                    }
                }
            };
            scope.spawn(reader);
            scope.spawn(watcher);
            scope.spawn(writer);
        });
    }
}

#[test]
fn keys_that_expire_and_clients_that_leave_amid_a_long_command_leave_no_key_taken() {
    const KEYS: usize = 50_000;
    for shards in [1, 2] {
        let (node, replica) = (Node::start("node", shards, &[]), Node::start("replica", 2, &[]));
        scenario::follow(&replica, node.port);
        scenario::wait_stable(&replica);
        let [one, other] = comparable();
        node.must(&["MSET", "{l}1", &one, "{l}2", &other]);
        let before = clients(&mut node.client());
        // Deadlines that come while all of them are read.
        let mut client = node.client();
        let soon = |key: usize| {
            let (key, after) = (format!("soon:{key}"), (1 + key % 60).to_string());
            request(&["SET", &key, "v", "PX", &after])
        };
        client.pipeline(&(0..2000).map(soon).collect::<Vec<_>>());
        let read = many("MGET", "soon", 2000, None);
        wait::until("all have expired", || {
            let found = client.call(&read);
            let found = found.elements().expect("an array");
            assert!(found.iter().all(|one| *one == Reply::Nil || text(one) == "v"));
            found.iter().all(|one| *one == Reply::Nil)
        });
        // Whoever leaves does so amid its command, which nobody waits for any more.
        let lcs = request(&["LCS", "{l}1", "{l}2", "IDX"]);
        for left in [many("MSET", "key", KEYS, Some("v")), lcs, many("MGET", "key", KEYS, None)] {
            let mut client = node.client();
            let words: Vec<&[u8]> = left.iter().map(Vec::as_slice).collect();
            let mut bytes = Vec::new();
            encode_command(&mut bytes, &words);
            client.send_raw(&bytes).expect("the node reads");
            drop(client);
            let found = node.call(&many("EXISTS", "key", KEYS, None));
            let whole = [0, KEYS as i64].map(Reply::Integer);
            assert!(whole.contains(&found), "half of an MSET was seen: {found:?}");
        }
        node.must(&["MSET", "{l}1", "a", "{l}2", "b"]);
        node.call(&many("MSET", "key", KEYS, Some("w")));
        assert_eq!(text(&node.must(&["GET", "key:0"])), "w");
        drop(client);
        wait::until("the others have left", || clients(&mut node.client()) <= before);
        compare::assert_same(&node, &replica);
    }
}

#[test]
fn a_change_of_role_amid_a_long_command_comes_behind_it() {
    const KEYS: usize = 50_000;
    for shards in [1, 2] {
        let (first, second) = (Node::start("first", shards, &[]), Node::start("second", 2, &[]));
        let [one, other] = comparable();
        first.must(&["MSET", "{l}1", &one, "{l}2", &other]);
        second.must(&["SET", "theirs", "v"]);
        let keys = || first.call(&many("EXISTS", "key", KEYS, None));
        let whole = [0, KEYS as i64].map(Reply::Integer);
        let expected = text(&first.must(&["LCS", "{l}1", "{l}2", "LEN"]));
        for round in 0..3 {
            let mut writer = first.client();
            let words = many("MSET", "key", KEYS, Some("v"));
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut bytes = Vec::new();
            encode_command(&mut bytes, &words);
            writer.send_raw(&bytes).expect("the node reads");
            let mut reader = waiting(&first, &[&["LCS", "{l}1", "{l}2", "LEN"]]);
            match round {
                // Its data is another's from here on.
                2 => scenario::follow(&first, second.port),
                _ => drop(first.must(&["REPLICAOF", "NO", "ONE"])),
            }
            let written = text(&writer.read().expect("MSET answers"));
            let refused = ["READONLY", "LOADING"].iter().any(|word| written.starts_with(word));
            assert!(written == "OK" || (round == 2 && refused), "{written}");
            let compared = text(&reader.read().expect("LCS answers"));
            assert!(compared == expected || round == 2, "{compared}");
            if round < 2 {
                assert_eq!(keys(), whole[1]);
                first.call(&many("DEL", "key", KEYS, None));
            }
        }
        scenario::wait_stable(&first);
        assert_eq!(keys(), whole[0]);
        assert_eq!(compare::assert_same(&second, &first), 1);
    }
}

const LARGE: usize = 1_000_000;

/// Reads `count` large values of these letters, one after the other.
fn read_large(client: &Client, letters: &[u8], count: usize) {
    let mut stream = client.stream();
    let mut read = |length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).expect("the reply goes on");
        bytes
    };
    for index in 0..count {
        let letter = letters[index % letters.len()];
        assert_eq!(read(10), format!("${LARGE}\r\n").into_bytes(), "value {index}");
        let value = read(LARGE + 2);
        assert!(value[..LARGE].iter().all(|byte| *byte == letter), "value {index}");
        assert_eq!(&value[LARGE..], b"\r\n", "value {index}");
    }
}

fn read_line(client: &Client, line: &str) {
    let mut bytes = vec![0; line.len()];
    let mut stream = client.stream();
    stream.read_exact(&mut bytes).expect("the reply goes on");
    assert_eq!(String::from_utf8_lossy(&bytes), line);
}

#[test]
fn large_replies_are_never_built_whole_and_stay_what_they_were() {
    const COUNT: usize = 300;
    let letters = b"abcdefgh";
    for shards in [1, 2] {
        let node = Node::start("node", shards, &["--client_output_buffer_limit=normal 0 0 0"]);
        let keys: Vec<String> = (0..COUNT).map(|key| format!("k{}", key % letters.len())).collect();
        let fill = || {
            for (key, letter) in letters.iter().enumerate() {
                let value = vec![*letter; LARGE];
                node.must(&[b"SET".as_slice(), format!("k{key}").as_bytes(), &value]);
            }
        };
        fill();
        let before = process::resident_bytes(node.pid());
        let mget: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let gets: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key.as_str()]).collect();
        let gets: Vec<&[&str]> = gets.iter().map(<[&str; 2]>::as_slice).collect();
        let transaction: Vec<&[&str]> = [&["MULTI"][..]]
            .into_iter()
            .chain(gets.iter().copied())
            .chain([&["EXEC"][..]])
            .collect();
        for requests in [&[mget.as_slice()][..], &gets, &transaction] {
            let reader = waiting(&node, requests);
            wait::until("the reply waits", || {
                let list = text(&node.must(&["CLIENT", "LIST"]));
                list.lines().any(|line| line.contains(" omem=") && !line.contains(" omem=0 "))
            });
            let grown = process::resident_bytes(node.pid()).saturating_sub(before) >> 20;
            assert!(grown < 60, "{shards} shards: {grown} MB for replies of 300 MB");
            if requests.len() == 1 {
                // What is replaced and deleted meanwhile is sent as it was.
                node.must(&["SET", "k0", "another"]);
                node.must(&["FLUSHALL"]);
            }
            match requests.len() {
                1 => read_line(&reader, &format!("*{COUNT}\r\n")),
                COUNT => {}
                _ => {
                    read_line(&reader, &format!("+OK\r\n{}", "+QUEUED\r\n".repeat(COUNT)));
                    read_line(&reader, &format!("*{COUNT}\r\n"));
                }
            }
            read_large(&reader, letters, COUNT);
            fill();
        }
        let kept = process::resident_bytes(node.pid()).saturating_sub(before) >> 20;
        assert!(kept < 60, "{shards} shards: {kept} MB are kept");
    }
}

/// The story: EXEC with megabytes of replies, and among them those of commands that are performed at the end
/// (CONFIG SET): the node ended, or such a reply stood at a wrong place.
#[test]
fn what_exec_performs_at_its_end_answers_at_its_place_among_large_replies() {
    let value = "v".repeat(5_000_000);
    let large = Reply::Bulk(value.clone().into_bytes());
    // What is asked and what is answered; the keys of MGET are on both of two shards.
    let change = (request(&["CONFIG", "SET", "hz", "10"]), Reply::Simple(b"OK".to_vec()));
    let wide = Reply::Array(vec![large.clone(), Reply::Nil, Reply::Nil, Reply::Nil]);
    let wide = (request(&["MGET", "large", "{a}", "{b}", "{c}"]), wide);
    let (alone, none) =
        ((request(&["GET", "large"]), large), (request(&["GET", "none"]), Reply::Nil));
    let queues = [
        vec![&wide, &change, &none],
        vec![&alone, &change, &none],
        vec![&change, &alone, &alone, &none, &change, &wide, &none],
    ];
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        let mut client = node.client();
        client.must(&["SET", "large", &value]);
        for (number, queue) in queues.iter().enumerate() {
            let mut requests = vec![request(&["MULTI"])];
            requests.extend(queue.iter().map(|(request, _)| request.clone()));
            requests.push(request(&["EXEC"]));
            let last = client.pipeline(&requests).pop().expect("as many replies as requests");
            let expected = queue.iter().map(|(_, reply)| reply.clone()).collect();
            assert!(last == Reply::Array(expected), "{shards} shards, queue {number}");
        }
    }
}

#[test]
fn connections_that_pipelined_once_give_their_buffers_back() {
    const CONNECTIONS: usize = 200;
    for shards in [1, 2] {
        let node = Node::start("node", shards, &[]);
        node.must(&[b"SET".as_slice(), b"k", &vec![b'x'; LARGE]]);
        let mut requests: Vec<Vec<Vec<u8>>> = (0..400)
            .map(|key| request(&["SET", &format!("key:{key}"), &"v".repeat(100)]))
            .collect();
        requests.push(request(&["GET", "k"]));
        requests.push(many("MGET", "key", 400, None));
        node.client().pipeline(&requests);
        let before = process::resident_bytes(node.pid());
        let mut idle: Vec<Client> = (0..CONNECTIONS).map(|_| node.client()).collect();
        for client in &mut idle {
            client.pipeline(&requests);
        }
        let each = process::resident_bytes(node.pid()).saturating_sub(before) / CONNECTIONS as u64;
        // Some 20 to 40 KB each, and what the allocator keeps at hand for all; a reply that is kept is a megabyte.
        assert!(each < 300_000, "{shards} shards: {each} bytes for each idle connection");
    }
}

#[test]
fn a_connection_at_rest_takes_two_kilobytes_and_twenty_after_a_pipeline() {
    const CONNECTIONS: usize = 300;
    let node = Node::start("node", 1, &[]);
    // What is in use and not what is resident: how full the allocator's pages are is another matter.
    let used = || figure(&node, "used_memory");
    let mut client = node.client();
    client.must(&["SET", "k", "v"]);
    let before = used();
    let mut idle: Vec<Client> = (0..CONNECTIONS).map(|_| node.client()).collect();
    wait::until("all are in", || {
        text(&client.must(&["CLIENT", "LIST"])).lines().count() > CONNECTIONS
    });
    let each = |used: u64| used.saturating_sub(before) / CONNECTIONS as u64;
    // What came with them (their welcome, the lists above) goes when the node gets round to it: on a busy machine not at once.
    wait::until("two kilobytes for each connection that has said nothing", || each(used()) < 2048);
    let requests = vec![request(&["SET", "k", &"v".repeat(32)]); 100];
    for client in &mut idle {
        client.pipeline(&requests);
    }
    wait::until("twenty for each that has pipelined", || each(used()) < 20 * 1024);
}

/// The story: a worker that polls a group which has read all of a stream of more than 256 entries was answered twice, where its
/// connection was on the stream's shard: from then on each reply was taken for that of the request behind.
#[test]
fn what_goes_on_in_slices_is_answered_once_and_counts_its_keys_once() {
    let node = Node::start("node", 1, &[]);
    let mut client = node.client();
    let numbers: Vec<String> = (1..=10_000).map(|number| number.to_string()).collect();
    let id = |number: &String| request(&["XADD", "s", &format!("{number}-0"), "field", "value"]);
    client.pipeline(&numbers[..300].iter().map(id).collect::<Vec<_>>());
    client.must(&["XGROUP", "CREATE", "s", "g", "$"]);
    let mut push = vec!["RPUSH", "l"];
    push.extend(numbers.iter().map(String::as_str));
    client.must(&push);
    for poll in [
        &["XREADGROUP", "GROUP", "g", "ann", "STREAMS", "s", ">"][..],
        &["XREADGROUP", "GROUP", "g", "ann", "NOACK", "STREAMS", "s", ">"],
        &["XREADGROUP", "GROUP", "g", "ann", "COUNT", "299", "STREAMS", "s", ">"],
    ] {
        let requests = [request(poll), request(&["SET", "a", "1"]), request(&["GET", "a"])];
        let replies = client.pipeline(&requests);
        let seen: Vec<String> = replies[1..].iter().map(text).collect();
        assert_eq!(
            (&replies[0], &*seen),
            (&Reply::Nil, &["OK", "1"].map(String::from)[..]),
            "{poll:?}"
        );
    }
    client.must(&["CONFIG", "RESETSTAT"]);
    client.must(&["LRANGE", "l", "0", "-1"]);
    let stats = text(&client.must(&["INFO", "stats"]));
    assert!(stats.lines().any(|line| line == "keyspace_hits:1"), "{stats}");
}
