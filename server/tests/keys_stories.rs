//! Stories about keys that vanish, that must not vanish, and that are asked for all at once.

#[path = "keys_stories/streams.rs"]
mod streams;
mod support;
#[path = "keys_stories/waiting.rs"]
mod waiting;

use engine::resp::client::{Reply, encode_command};
use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use support::client::{Client, request, text};
use support::node::Node;
use support::{compare, scenario, wait};

const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

fn start(name: &str, shards: u16, flags: &[&str]) -> Node {
    Node::start(name, shards, flags)
}

fn error_of(reply: &Reply) -> String {
    let error = reply.error().unwrap_or_else(|| panic!("an error was expected: {reply:?}"));
    String::from_utf8_lossy(error).into_owned()
}

fn figure(node: &Node, section: &str, name: &str) -> i64 {
    let info = node.ask(&["INFO", section]).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
}

#[test]
fn an_expired_key_that_watch_looked_at_does_not_take_its_successor_along() {
    let (master, replica) = (start("master", 2, &[]), start("replica", 2, &[]));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let mut client = master.client();
    for round in 0..20 {
        let key = format!("key:{round}");
        client.must(&["SET", &key, "value", "PX", "1"]);
        wait::until("the key has expired", || client.call(&["PTTL", &key]) == Reply::Integer(-2));
        client.must(&["SET", &key, "value", "PX", "5"]);
        wait::let_pass(Duration::from_millis(6));
        let replies = client.pipeline(&[
            request(&["WATCH", &key]),
            request(&["MULTI"]),
            request(&["SET", &key, "new"]),
            request(&["EXEC"]),
        ]);
        assert_eq!(text(&replies[3]), "OK", "an expired key is missing from the start");
    }
    assert_eq!(compare::assert_same(&master, &replica), 20);
}

#[test]
fn a_watched_key_that_expires_before_exec_has_changed() {
    let node = start("node", 2, &[]);
    let mut client = node.client();
    client.must(&["SET", "key", "value", "PX", "20"]);
    client.must(&["WATCH", "key"]);
    wait::let_pass(Duration::from_millis(25));
    client.must(&["MULTI"]);
    client.must(&["PING"]);
    assert_eq!(client.call(&["EXEC"]), Reply::Nil);
}

#[test]
fn an_append_of_nothing_is_a_change_to_whoever_watches() {
    let node = start("node", 2, &[]);
    let (mut client, mut other) = (node.client(), node.client());
    client.must(&["SET", "key", "12"]);
    for (words, changes) in [
        (vec!["APPEND", "key", ""], true),
        (vec!["SETRANGE", "key", "0", ""], false),
        (vec!["INCRBY", "key", "0"], true),
        (vec!["SETBIT", "key", "0", "0"], false),
        (vec!["GETEX", "key", "PERSIST"], false),
        (vec!["EXPIRE", "key", "100", "XX"], false),
        (vec!["SET", "key", "12"], true),
    ] {
        client.must(&["WATCH", "key"]);
        other.must(&words);
        client.must(&["MULTI"]);
        client.must(&["PING"]);
        assert_eq!(client.call(&["EXEC"]) == Reply::Nil, changes, "{words:?}");
    }
}

#[test]
fn a_transaction_that_gets_no_memory_does_nothing() {
    let node = start("node", 2, &[]);
    let (mut client, other) = (node.client(), node.client());
    let mut other = other;
    client.must(&["SET", "foo", "bar"]);
    // The limit is there before the commands are queued, whatever they are.
    other.must(&["CONFIG", "SET", "maxmemory", "1"]);
    client.must(&["MULTI"]);
    assert_eq!(error_of(&client.call(&["SET", "big", "x"])), OUT_OF_MEMORY);
    assert_eq!(error_of(&client.call(&["DEL", "foo"])), OUT_OF_MEMORY);
    let discarded = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(error_of(&client.call(&["EXEC"])), discarded);
    // It comes between queueing and EXEC.
    other.must(&["CONFIG", "SET", "maxmemory", "0"]);
    client.must(&["MULTI"]);
    client.must(&["SET", "big", "x"]);
    client.must(&["DEL", "foo"]);
    other.must(&["CONFIG", "SET", "maxmemory", "1"]);
    let discarded = format!("EXECABORT Transaction discarded because of: {OUT_OF_MEMORY}");
    assert_eq!(error_of(&client.call(&["EXEC"])), discarded);
    assert_eq!(text(&client.call(&["GET", "foo"])), "bar");
    assert_eq!(client.call(&["EXISTS", "big"]), Reply::Integer(0));
}

#[test]
fn mset_over_two_shards_at_the_limit_writes_all_or_nothing() {
    let node = start("node", 2, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let (mut switch, told) = (node.client(), stop.clone());
    let switching = thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            for limit in ["1", "0"] {
                switch.must(&["CONFIG", "SET", "maxmemory", limit]);
            }
        }
    });
    let mut client = node.client();
    let mut refused = 0;
    for round in 0..2000 {
        let (one, other) = (format!("a:{round}"), format!("b:{round}"));
        let reply = client.call(&["MSET", &one, "1", &other, "1"]);
        let there = client.call(&["EXISTS", &one, &other]);
        let expected = if reply.error().is_some() { 0 } else { 2 };
        refused += u32::from(expected == 0);
        assert_eq!(there, Reply::Integer(expected), "{reply:?}");
    }
    stop.store(true, Ordering::Relaxed);
    switching.join().expect("the limit was switched");
    println!("{refused} of 2000 were refused");
}

/// Keys of a transaction, on one shard or on two.
fn group(number: usize) -> [String; 2] {
    match number % 2 {
        0 => [format!("{{g{number}}}:a"), format!("{{g{number}}}:b")],
        _ => [format!("a:{number}"), format!("b:{number}")],
    }
}

#[test]
fn eviction_takes_no_transaction_apart() {
    let flags =
        ["--maxmemory=56mb", "--repl_backlog_size=8mb", "--maxmemory_policy=allkeys-random"];
    let (master, replica) = (start("master", 2, &flags), start("replica", 3, &[]));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let stop = Arc::new(AtomicBool::new(false));
    let (mut reader, told) = (replica.client(), stop.clone());
    let reading = thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            for number in 0..8 {
                let [one, other] = group(number);
                let reply = reader.must(&["MGET", &one, &other]);
                let values: Vec<String> =
                    reply.elements().expect("an array").iter().map(text).collect();
                // Either may have been evicted; both together are of one transaction.
                let gone = values.iter().any(|value| value == "(nil)");
                assert!(gone || values[0] == values[1], "a mixture in group {number}: {values:?}");
            }
        }
    });
    let mut client = master.client();
    let filler = "f".repeat(4000);
    for round in 0..8000_usize {
        let ([one, other], value) = (group(round % 8), round.to_string());
        let extra = [format!("filler:{round}:a"), format!("filler:{round}:b")];
        let replies = client.pipeline(&[
            request(&["MULTI"]),
            request(&["SET", &one, &value]),
            request(&["SET", &extra[0], &filler]),
            request(&["SET", &extra[1], &filler]),
            request(&["SET", &other, &value]),
            request(&["EXEC"]),
        ]);
        assert_eq!(text(&replies[5]), "OK OK OK OK", "there is always something to evict");
    }
    stop.store(true, Ordering::Relaxed);
    reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(figure(&master, "stats", "evicted_keys") > 1000, "eviction was at work");
    // So that nothing goes while both are read.
    master.must(&["CONFIG", "SET", "maxmemory", "0"]);
    compare::assert_same(&master, &replica);
}

#[test]
fn positions_stand_still_while_clients_are_paused() {
    let node = start("node", 2, &[]);
    let mut client = Client::connect(node.port).expect("a connection");
    let mut keys: Vec<Vec<Vec<u8>>> = Vec::new();
    for key in 0..50 {
        keys.push(request(&["SET", &format!("key:{key}"), "value", "PX", "50"]));
    }
    client.pipeline(&keys);
    client.must(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let before = figure(&node, "replication", "master_repl_offset");
    wait::until("all keys are hidden", || {
        (0..50).all(|key| client.call(&["GET", &format!("key:{key}")]) == Reply::Nil)
    });
    // Some heartbeats more, in which nothing may happen.
    wait::let_pass(Duration::from_millis(300));
    assert_eq!(figure(&node, "replication", "master_repl_offset"), before);
    client.must(&["CLIENT", "UNPAUSE"]);
    wait::until("the deletions come afterwards", || client.call(&["DBSIZE"]) == Reply::Integer(0));
    assert_eq!(figure(&node, "replication", "master_repl_offset"), before + 50);
}

/// Fills a node over a pipeline; how many were refused.
fn fill(client: &mut Client, requests: &[Vec<Vec<u8>>]) -> usize {
    let refused = |part: &[Vec<Vec<u8>>]| {
        client.pipeline(part).iter().filter(|reply| reply.error().is_some()).count()
    };
    requests.chunks(500).map(refused).sum()
}

/// Lets a node be nearly as full as it may be: a megabyte is for the buffers of whoever fills it, which
/// count as well, and one for the journal.
fn fence_in(node: &Node, policy: &str) {
    node.must(&["CONFIG", "SET", "maxmemory-policy", policy]);
    node.must(&["CONFIG", "SET", "repl-backlog-size", "1mb"]);
    let limit = figure(node, "memory", "used_memory") + (2 << 20);
    node.must(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
}

#[test]
fn victims_are_found_where_hardly_any_key_has_a_deadline() {
    let node = start("node", 2, &[]);
    let mut client = node.client();
    let value = "v".repeat(50);
    let requests: Vec<_> = (0..200_000_u32)
        .map(|key| {
            let name = format!("key:{key}");
            match key % 1000 {
                0 => request(&["SET", &name, &value, "EX", "10000"]),
                _ => request(&["SET", &name, &value]),
            }
        })
        .collect();
    assert_eq!(fill(&mut client, &requests), 0);
    for policy in ["volatile-lru", "volatile-ttl", "volatile-random", "volatile-lfu"] {
        fence_in(&node, policy);
        let name = |key| format!("{policy}:{key}");
        let more: Vec<_> =
            (0..30_000).map(|key| request(&["SET", &name(key), &value, "EX", "20000"])).collect();
        assert_eq!(fill(&mut client, &more), 0, "{policy}");
        node.must(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    assert!(figure(&node, "stats", "evicted_keys") > 1000, "eviction was at work");
}

#[test]
fn a_shard_without_victims_has_the_others_evict() {
    let node = start("node", 2, &[]);
    let mut client = node.client();
    let value = "v".repeat(100);
    // {a} and {b} are on different shards of two.
    let on = |tag: &str, key: u32, more: &[&str]| {
        let name = format!("{{{tag}}}:{key}");
        request(&[&["SET", name.as_str(), &value], more].concat())
    };
    let requests: Vec<_> = (0..40_000).map(|key| on("a", key, &["EX", "10000"])).collect();
    assert_eq!(fill(&mut client, &requests), 0);
    fence_in(&node, "volatile-lru");
    let requests: Vec<_> = (0..30_000).map(|key| on("b", key, &[])).collect();
    assert_eq!(fill(&mut client, &requests), 0);
    // Nobody waits for the other shard: on a busy machine it may begin when all is written.
    wait::until("eviction was at work", || figure(&node, "stats", "evicted_keys") > 1000);
    assert_eq!(client.call(&["EXISTS", "{b}:1", "{b}:9999"]), Reply::Integer(2));
}

#[test]
fn large_values_find_room_among_small_victims() {
    let flags = ["--maxmemory=64mb", "--repl_backlog_size=8mb", "--maxmemory_policy=allkeys-lru"];
    let node = start("node", 2, &flags);
    let mut client = node.client();
    let (small, large) = ("s".repeat(100), "l".repeat(40_000));
    let requests: Vec<_> = (0..60_000)
        .map(|key| {
            let value = if key % 10 == 9 && key > 20_000 { &large } else { &small };
            request(&["SET", &format!("key:{key}"), value])
        })
        .collect();
    assert_eq!(fill(&mut client, &requests), 0);
    assert!(figure(&node, "stats", "evicted_keys") > 1000, "eviction was at work");
}

/// The story: FLUSHALL of a full node answered OK, and its memory was given back some milliseconds later. Until
/// then every write was refused (noeviction), or what had just been written was evicted (allkeys-lru).
#[test]
fn what_is_written_behind_a_flush_of_a_full_node_is_taken_and_stays() {
    for (policy, flush) in
        [("noeviction", "FLUSHALL"), ("allkeys-lru", "FLUSHALL"), ("allkeys-lru", "FLUSHDB")]
    {
        for shards in [1, 2] {
            let flags = ["--maxmemory=60mb", &format!("--maxmemory_policy={policy}")];
            let node = start("node", shards, &flags);
            let mut client = node.client();
            let large = "x".repeat(80_000);
            for round in 0..3 {
                let fill = |key: i32| request(&["SET", &format!("full:{key}"), &large]);
                let filled = client.pipeline(&(0..900).map(fill).collect::<Vec<_>>());
                let refused = filled.iter().filter(|reply| reply.error().is_some()).count();
                assert_eq!(refused > 0, policy == "noeviction", "{policy}: it is full");
                let new = |key: i32| request(&["SET", &format!("new:{key}"), &large[..20_000]]);
                let requests: Vec<_> =
                    std::iter::once(request(&[flush])).chain((0..100).map(new)).collect();
                for reply in client.pipeline(&requests) {
                    assert_eq!(text(&reply), "OK", "{policy}, {shards} shards, round {round}");
                }
                let left = client.must(&["DBSIZE"]);
                assert_eq!(left, Reply::Integer(100), "{policy}, {shards} shards, round {round}");
            }
        }
    }
}

/// The story: a full node, noeviction, and a replica comes: writes that change no size got OOM, because the
/// log grew into the same limit.
#[test]
fn a_full_node_is_written_over_whatever_its_log_would_take() {
    let full = Node::start("full", 1, &["--maxmemory=100mb"]);
    let mut client = full.client();
    let sets = |from: u32, letter: &str| -> Vec<_> {
        let value = letter.repeat(20_000);
        (from..from + 100).map(|key| request(&["SET", &format!("key:{key}"), &value])).collect()
    };
    for from in (0..4000).step_by(100) {
        client.pipeline(&sets(from, "a"));
    }
    let replica = Node::start("replica", 1, &["--maxmemory=1gb"]);
    scenario::follow(&replica, full.port);
    scenario::wait_stable(&replica);
    for letter in ["b", "c"] {
        for from in (0..4000).step_by(100) {
            let replies = client.pipeline(&sets(from, letter));
            let refused = replies.iter().filter(|reply| text(reply) != "OK").count();
            assert_eq!(refused, 0, "{letter} {from}");
            // What is read is the log's alone, which holds some 14 MB here.
            scenario::wait_follows(&full, &replica);
        }
    }
    let most = (100 + 100 / 16 + 5) << 20;
    wait::until("the log has given way", || figure(&full, "memory", "used_memory") < most);
    assert_eq!(figure(&full, "stats", "sync_full"), 1, "it never fell out of the log");
    compare::assert_same(&full, &replica);
}

/// The story: SET of a value far above the log's bound, DEL, and the next write was refused, because the log
/// counted the deleted value as data until the next heartbeat.
#[test]
fn a_large_value_that_was_deleted_leaves_its_room_to_the_next_write() {
    let flags = ["--maxmemory=160mb", "--repl_backlog_size=4mb"];
    let master = Node::start("master", 2, &flags);
    let replica = Node::start("replica", 1, &["--maxmemory=1gb"]);
    scenario::follow(&replica, master.port);
    let mut client = master.client();
    let (first, second) = ("x".repeat(40_000_000), "y".repeat(70_000_000));
    for deletion in
        [&[&["DEL", "k"][..]][..], &[&["MULTI"], &["DEL", "k"], &["SET", "a", "1"], &["EXEC"]]]
    {
        for _ in 0..3 {
            client.must(&["SET", "k", &first]);
            client.must(&["SET", "small", "1"]);
            scenario::wait_follows(&master, &replica);
            wait::let_pass(Duration::from_millis(250));
            let mut requests: Vec<_> = deletion.iter().map(|words| request(words)).collect();
            requests.push(request(&["SET", "next", &second]));
            let replies = client.pipeline(&requests);
            assert_eq!(replies.last().map(text).as_deref(), Some("OK"));
            client.must(&["DEL", "next"]);
            scenario::wait_follows(&master, &replica);
        }
    }
}

/// Asks for replies and does not read them, until so many bytes of them wait.
fn ask_and_wait(node: &Node, requests: &[Vec<Vec<u8>>], waiting: i64) -> Client {
    let mut reader = node.client();
    let mut bytes = Vec::new();
    for request in requests {
        let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        encode_command(&mut bytes, &words);
    }
    reader.send_raw(&bytes).expect("the requests are taken");
    wait::until("the replies wait", || output_of(node).1 >= waiting);
    reader
}

/// `oll` and `omem` of the connection that has most waiting.
fn output_of(node: &Node) -> (i64, i64) {
    let list = node.ask(&["CLIENT", "LIST"]).unwrap_or_default();
    let of = |line: &str, name: &str| {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {line}"))
    };
    let each = list.lines().map(|line| {
        assert!(line.contains(" rbs=0 rbp=0 obl=0 "), "{line}");
        (of(line, "oll="), of(line, "omem="))
    });
    each.max_by_key(|(_, bytes)| *bytes).unwrap_or_default()
}

/// The story: five readers of one value of 100 MB were shown to take 500 MB, and the data to take none; and CLIENT
/// LIST said that nothing waits for them.
#[test]
fn a_value_that_slow_clients_read_is_data_and_waits_for_each_of_them() {
    const SIZE: i64 = 32 << 20;
    let node = start("node", 2, &["--client_output_buffer_limit=normal 0 0 0"]);
    let mut client = node.client();
    client.must(&["SET", "large", &"x".repeat(SIZE as usize)]);
    let get = [request(&["GET", "large"])];
    let readers = [(); 4].map(|()| ask_and_wait(&node, &get, SIZE * 3 / 4));
    let (pieces, bytes) = output_of(&node);
    assert!(pieces > 0 && bytes <= SIZE + 100, "{pieces} pieces of {bytes} bytes");
    let memory = |name| figure(&node, "memory", name);
    assert!(memory("mem_clients_normal") < SIZE, "{}", memory("mem_clients_normal"));
    let data = memory("used_memory_dataset");
    assert!((SIZE..SIZE * 3 / 2).contains(&data), "{data} bytes of data");
    let stats = text(&client.must(&["MEMORY", "STATS"]));
    assert!(stats.contains("dataset.bytes"), "{stats}");
    // What nobody else keeps is theirs, all of them together.
    client.must(&["DEL", "large"]);
    let clients = memory("mem_clients_normal");
    assert!((SIZE * 9 / 10..SIZE * 3 / 2).contains(&clients), "{clients} bytes of clients");
    assert!(memory("used_memory_dataset") < SIZE / 2);
    drop(readers);
    wait::until("it is given back", || memory("used_memory") < SIZE / 2);
}

/// The story: eight strings with one bit each took 3.5 MB on a master, and 1.6 GB on its replica after a full sync.
#[test]
fn strings_of_zeros_take_as_little_on_a_replica_as_on_its_master() {
    const SIZE: i64 = 48 << 20;
    let (master, replica) = (start("master", 2, &[]), start("replica", 1, &[]));
    let mut client = master.client();
    let bit = (SIZE * 8 - 1).to_string();
    for key in ["a", "b"] {
        client.must(&["SETBIT", key, &bit, "1"]);
    }
    client.must(&["SETRANGE", "whole", "7", &"\0".repeat(8 << 20)]);
    client.must(&["SET", "set", &"\0".repeat(8 << 20)]);
    scenario::follow(&replica, master.port);
    // And by the journal, in pieces.
    client.must(&["SETBIT", "c", &bit, "1"]);
    client.must(&["SET", "later", &"\0".repeat(8 << 20)]);
    scenario::wait_follows(&master, &replica);
    for node in [&master, &replica] {
        wait::until("zeros take nothing", || figure(node, "memory", "used_memory") < 10 << 20);
    }
    let dump = client.must(&["DUMP", "whole"]);
    let payload = dump.bytes().expect("a value");
    let restore: [&[u8]; 4] = [b"RESTORE", b"restored", b"0", payload];
    client.must(&restore);
    compare::assert_same(&master, &replica);
    wait::until("that too", || figure(&replica, "memory", "used_memory") < 10 << 20);
}

/// The story: a replica took what its master had beyond its own maxmemory and said nothing; once promoted it let some
/// writes in before it refused them.
#[test]
fn a_replica_beyond_its_maxmemory_says_so_and_refuses_the_first_write_when_it_is_promoted() {
    let (master, replica) = (start("master", 2, &[]), start("replica", 2, &["--maxmemory=24mb"]));
    scenario::follow(&replica, master.port);
    let mut client = master.client();
    client.must(&["SET", "large", &"x".repeat(40 << 20)]);
    scenario::wait_follows(&master, &replica);
    let said = "more than its maxmemory of 25165824 bytes";
    wait::until("it says so", || replica.logged(said) == 1);
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(error_of(&replica.call(&["SET", key, "1"])), OUT_OF_MEMORY);
    }
    replica.assert_logged(said, 1);
}

/// The story: MGET of very many strings below 64 KiB took twice as much memory as all of its reply.
#[test]
fn a_reply_of_very_many_values_is_not_built_whole() {
    const COUNT: usize = 20_000;
    let key = |index: usize| format!("key:{}", index % 40);
    let value = |index: usize| format!("{:010}", index % 40).repeat(1000);
    let mut mget = vec![b"MGET".to_vec()];
    mget.extend((0..COUNT).map(|index| key(index).into_bytes()));
    let mut exec = vec![request(&["MULTI"])];
    exec.extend((0..COUNT).map(|index| request(&["GET", &key(index)])));
    exec.push(request(&["EXEC"]));
    for shards in [1, 2] {
        let node = start("node", shards, &["--client_output_buffer_limit=normal 0 0 0"]);
        let mut client = node.client();
        for index in 0..40 {
            client.must(&["SET", &key(index), &value(index)]);
        }
        for requests in [vec![mget.clone()], exec.clone()] {
            let mut reader = ask_and_wait(&node, &requests, 150_000_000);
            let used = figure(&node, "memory", "used_memory");
            assert!(used < 40_000_000, "{used} bytes for a reply of 200 MB");
            let replies = requests.iter().map(|_| reader.read().expect("a reply"));
            let Some(Reply::Array(elements)) = replies.last() else { panic!("no array") };
            assert_eq!(elements.len(), COUNT);
            for (index, element) in elements.iter().enumerate() {
                assert!(element.bytes() == Some(value(index).as_bytes()), "element {index}");
            }
        }
    }
}

/// The story: what a client had taken of a large value, which is held until all of it is gone, counted as data.
#[test]
fn replies_that_are_read_in_part_are_memory_of_their_client() {
    const SIZE: usize = 64 << 20;
    let node = start("node", 1, &[]);
    let mut client = node.client();
    client.must(&["SET", "large", &"x".repeat(SIZE)]);
    let reader = ask_and_wait(&node, &[request(&["GET", "large"])], SIZE as i64 / 2);
    let mut taken = vec![0; SIZE * 3 / 4];
    reader.stream().read_exact(&mut taken).expect("three quarters of it");
    client.must(&["DEL", "large"]);
    let memory = |name| figure(&node, "memory", name);
    wait::until("it is the client's", || memory("mem_clients_normal") > SIZE as i64 * 9 / 10);
    assert!(memory("used_memory_dataset") < SIZE as i64 / 10);
    drop(reader);
    wait::until("it is given back", || memory("used_memory") < SIZE as i64 / 10);
}

#[test]
fn requests_of_very_many_keys_do_what_they_do_with_few() {
    const COUNT: usize = 30_000;
    for shards in [1, 3] {
        let (master, replica) = (start("master", shards, &[]), start("replica", 2, &[]));
        scenario::follow(&replica, master.port);
        let mut client = master.client();
        let with = |command: &str, words: &dyn Fn(usize) -> Vec<String>| {
            let mut request = vec![command.to_owned()];
            request.extend((0..COUNT).flat_map(words));
            request
        };
        let key = |index: usize| format!("{}:{index}", "k".repeat(index % 50));
        let pairs = with("MSET", &|index| vec![key(index), index.to_string()]);
        assert_eq!(text(&client.must(&pairs)), "OK");
        // One after the other, twice, and what is not there.
        let asked = with("MGET", &|index| vec![key(index), key(index / 2), format!("no:{index}")]);
        let Reply::Array(elements) = client.must(&asked) else { panic!("no array") };
        for (index, three) in elements.chunks(3).enumerate() {
            assert_eq!(three[0].bytes(), Some(index.to_string().as_bytes()));
            assert_eq!(three[1].bytes(), Some((index / 2).to_string().as_bytes()));
            assert_eq!(three[2].bytes(), None);
        }
        assert_eq!(elements.len(), 3 * COUNT);
        let asked = with("EXISTS", &|index| vec![key(index), format!("no:{index}"), key(0)]);
        assert_eq!(client.must(&asked), Reply::Integer(2 * COUNT as i64));
        let half = with("DEL", &|index| vec![key(index / 2), key(index / 2)]);
        assert_eq!(client.must(&half), Reply::Integer(COUNT as i64 / 2));
        assert_eq!(compare::assert_same(&master, &replica), COUNT / 2);
    }
}

/// The story: a transaction whose commands alternate over shards sent one hop for each of them, and had its
/// keys, and all other transactions that write, wait for seconds.
#[test]
fn a_long_transaction_over_several_shards_keeps_the_order_of_its_commands() {
    let (master, replica) = (start("master", 3, &[]), start("replica", 1, &[]));
    scenario::follow(&replica, master.port);
    let mut requests = vec![request(&["MULTI"])];
    for index in 0..30_000 {
        // Now and then one that is wider than a shard, or none of any shard's.
        requests.push(match index % 1000 {
            500 => request(&["MSET", "number:1", "7", "number:2", "8", "number:3", "9"]),
            700 => request(&["ECHO", "here"]),
            900 => request(&["INCR", "text"]),
            _ => request(&["INCR", &format!("number:{}", index % 7)]),
        });
    }
    requests.push(request(&["EXEC"]));
    let mut client = master.client();
    client.must(&["SET", "text", "no number"]);
    let replies = client.pipeline(&requests);
    let Some(Reply::Array(replies)) = replies.last() else { panic!("no array") };
    let mut numbers = [0; 7];
    for (index, reply) in replies.iter().enumerate() {
        match index % 1000 {
            500 => (numbers[1], numbers[2], numbers[3]) = (7, 8, 9),
            700 => assert_eq!(text(reply), "here"),
            900 => assert!(error_of(reply).contains("not an integer")),
            _ => {
                numbers[index % 7] += 1;
                assert_eq!(*reply, Reply::Integer(numbers[index % 7]), "command {index}");
            }
        }
    }
    assert_eq!(replies.len(), 30_000);
    assert_eq!(compare::assert_same(&master, &replica), 8);
}

#[test]
fn a_long_scan_goes_on_in_slices() {
    let node = start("node", 1, &[]);
    let mut client = node.client();
    client.must(&["DEBUG", "POPULATE", "30000"]);
    client.must(&["CONFIG", "RESETSTAT"]);
    let (mut cursor, mut found, mut calls) = ("0".to_owned(), HashSet::new(), 0);
    loop {
        let reply = client.must(&["SCAN", &cursor, "COUNT", "10000"]);
        let Reply::Array(parts) = &reply else { panic!("no array") };
        let Reply::Array(keys) = &parts[1] else { panic!("no keys") };
        found.extend(keys.iter().map(text));
        (cursor, calls) = (text(&parts[0]), calls + 1);
        if cursor == "0" {
            break;
        }
        assert!(keys.len() >= 9_000, "{} keys", keys.len());
    }
    assert!(found.len() == 30_000 && calls <= 4, "{} keys in {calls} calls", found.len());
    let info = text(&node.must(&["INFO", "debug"]));
    let line = info.lines().find(|line| line.starts_with("longest_usec_executor_0:"));
    let of = |kind: &str| -> Option<u64> {
        line?.split(kind).nth(1)?.split(',').next()?.trim().parse().ok()
    };
    // Where each of the few needed memory that was not there yet, it is counted as such.
    let longest = of("slice=").max(of("memory="));
    assert!(longest.is_some_and(|micros| micros > 0), "no slices: {info}");
}
