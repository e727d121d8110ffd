//! What operators look at and turn: the slow log, latencies, access clocks, limits of waiting output,
//! keys and their time to live.

mod support;

use engine::resp::client::{Reply, encode_command};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::client::{Client, request, text};
use support::node::Node;
use support::{compare, scenario, wait};

fn start(shards: u16) -> Node {
    Node::start("node", shards, &["--pin=off"])
}

fn connect(node: &Node) -> Client {
    Client::connect(node.port).expect("a connection")
}

/// The arguments of the entries of the slow log, the oldest first.
fn slow(client: &mut Client) -> Vec<String> {
    let reply = client.must(&["SLOWLOG", "GET", "-1"]);
    let entries = reply.elements().expect("an array");
    let arguments = |entry: &Reply| text(&elements(entry)[3]);
    entries.iter().rev().map(arguments).collect()
}

fn elements(reply: &Reply) -> &[Reply] {
    reply.elements().expect("an array")
}

#[test]
fn the_slow_log_holds_every_request_where_all_are_asked_for() {
    for shards in [1, 3] {
        let node = start(shards);
        let (mut operator, mut client) = (connect(&node), connect(&node));
        operator.must(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
        client.must(&["CLIENT", "SETNAME", "busy"]);
        operator.must(&["SLOWLOG", "RESET"]);
        // One buffer: here, elsewhere, over several shards, alone.
        let words: [&[&str]; 7] = [
            &["SET", "a", "1"],
            &["GET", "b"],
            &["INCR", "c"],
            &["MGET", "a", "b", "c", "d"],
            &["MULTI"],
            &["APPEND", "a", "x"],
            &["EXEC"],
        ];
        client.pipeline(&words.map(request));
        operator.must(&["CONFIG", "SET", "slowlog-log-slower-than", "-1"]);
        let mut logged = slow(&mut operator);
        let expected =
            ["SLOWLOG RESET", "SET a 1", "GET b", "INCR c", "MGET a b c d", "MULTI", "APPEND a x"];
        for request in expected {
            assert!(logged.iter().any(|line| line == request), "{request}: {logged:?}");
        }
        assert!(!logged.iter().any(|line| line.starts_with("EXEC")), "{logged:?}");
        let reply = operator.must(&["SLOWLOG", "GET", "100"]);
        let of_client = |entry: &&Reply| text(&elements(entry)[5]) == "busy";
        let count = elements(&reply).iter().filter(of_client).count();
        assert_eq!(count, 6, "the client's own: {logged:?}");
        logged = slow(&mut operator);
        assert!(!logged.iter().any(|line| line.starts_with("SLOWLOG GET")), "{logged:?}");
    }
}

#[test]
fn the_slow_log_is_bounded_and_holds_only_what_was_slow() {
    let node = start(1);
    let mut client = connect(&node);
    client.must(&["CONFIG", "SET", "slowlog-log-slower-than", "20000", "slowlog-max-len", "3"]);
    client.must(&["CONFIG", "SET", "latency-monitor-threshold", "20"]);
    for _ in 0..5 {
        client.must(&["DEBUG", "SLEEP", "0.03"]);
    }
    assert_eq!(text(&client.must(&["SLOWLOG", "LEN"])), "3");
    assert!(slow(&mut client).iter().all(|line| line == "DEBUG SLEEP 0.03"));
    let latest = text(&client.must(&["LATENCY", "LATEST"]));
    assert!(latest.starts_with("command "), "{latest}");
    assert_eq!(text(&client.must(&["LATENCY", "RESET"])), "1");
    assert_eq!(text(&client.must(&["LATENCY", "HISTORY", "command"])), "");
}

#[test]
fn distributions_count_all_calls() {
    let node = start(2);
    let mut client = connect(&node);
    client.must(&["CONFIG", "RESETSTAT"]);
    for key in 0..100 {
        client.must(&["GET", &key.to_string()]);
    }
    let reply = client.must(&["LATENCY", "HISTOGRAM", "get"]);
    let line = text(&reply);
    assert!(line.starts_with("get calls 100 histogram_usec "), "{line}");
    assert!(line.ends_with(" 100"), "the last power holds all calls: {line}");
    let info = text(&client.must(&["INFO", "latencystats"]));
    assert!(info.contains("latency_percentiles_usec_get:p50="), "{info}");
    client.must(&["CONFIG", "SET", "latency-tracking", "no"]);
    let info = text(&client.must(&["INFO", "latencystats"]));
    assert!(!info.contains("latency_percentiles"), "{info}");
}

#[test]
fn a_client_that_does_not_touch_leaves_frequencies_alone() {
    for shards in [1, 3] {
        let node = start(shards);
        let mut client = connect(&node);
        let policy = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0"];
        client.must(&policy);
        for key in ["one", "two", "three", "four"] {
            client.must(&["SET", key, "value"]);
            let frequency = |client: &mut Client| {
                let reply = client.must(&["OBJECT", "FREQ", key]);
                reply.integer().expect("a number")
            };
            let read = |client: &mut Client| {
                client.pipeline(&vec![request(&["GET", key]); 20]);
                client.must(&["MGET", key, "one", "two"]);
            };
            let before = frequency(&mut client);
            client.must(&["CLIENT", "NO-TOUCH", "ON"]);
            read(&mut client);
            assert_eq!(frequency(&mut client), before, "{key} on {shards} shards");
            client.must(&["CLIENT", "NO-TOUCH", "OFF"]);
            read(&mut client);
            assert!(frequency(&mut client) > before, "{key} on {shards} shards");
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_at_its_output_limits() {
    let node = start(2);
    let (mut operator, mut client) = (connect(&node), connect(&node));
    operator.must(&["SET", "large", &"x".repeat(4 << 20)]);
    let limit = |operator: &mut Client, limits: &str| {
        operator.must(&["CONFIG", "SET", "client-output-buffer-limit", limits]);
    };
    // A reply above the hard limit is not sent, and what stands behind the request is not done.
    limit(&mut operator, "normal 1mb 0 0");
    client.must(&["CLIENT", "SETNAME", "greedy"]);
    let mut out = Vec::new();
    encode_command(&mut out, &[b"GET", b"large"]);
    for index in 0..20 {
        encode_command(&mut out, &[b"SET", format!("behind{index}").as_bytes(), b""]);
    }
    client.send_raw(&out).expect("requests are taken");
    assert!(client.read().is_err(), "above the hard limit");
    // On the other shard some may be done before it is known: both run at the same time.
    let done = text(&operator.must(&["KEYS", "behind*"])).split_whitespace().count();
    assert!(done < 20, "{done} of 20 writes are done that stand behind what closed the client");
    // One above the soft limit is, to a client that takes it.
    limit(&mut operator, "normal 0 1mb 1");
    let mut client = connect(&node);
    assert_eq!(client.must(&["GET", "large"]).bytes().map(<[u8]>::len), Some(4 << 20));
    // And not to one that does not, for longer than the soft time.
    client.must(&["CLIENT", "SETNAME", "idler"]);
    let mut out = Vec::new();
    for _ in 0..16 {
        encode_command(&mut out, &[b"GET", b"large"]);
    }
    client.send_raw(&out).expect("requests are taken");
    wait::until("the idler is closed", || {
        !text(&operator.must(&["CLIENT", "LIST"])).contains("name=idler")
    });
    let mut rest = Vec::new();
    let _ = client.stream().read_to_end(&mut rest);
    assert!(rest.len() < 16 * (4 << 20), "not all replies were sent");
    let stats = text(&operator.must(&["INFO", "stats"]));
    assert!(stats.contains("client_output_buffer_limit_disconnections:2"), "{stats}");
    for words in ["name=greedy omem=", "name=idler omem="] {
        node.assert_logged(words, 1);
    }
    node.assert_logged("of client-output-buffer-limit normal", 2);
}

#[test]
fn keys_returns_whatever_is_there_from_beginning_to_end_while_others_change_the_table() {
    for shards in [1, 3] {
        let node = start(shards);
        let (mut reader, mut writer) = (connect(&node), connect(&node));
        reader.must(&["DEBUG", "POPULATE", "60000", "stays", "8"]);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let writing = std::thread::spawn(move || {
            let mut round = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                let key = |number: u64| format!("comes:{}", number % 50_000);
                let mut requests = Vec::new();
                for number in round * 200..round * 200 + 200 {
                    requests.push(request(&["SET", &key(number), "1"]));
                    requests.push(request(&["DEL", &key(number + 10_000)]));
                }
                writer.pipeline(&requests);
                round += 1;
            }
            round
        });
        for _ in 0..10 {
            let reply = reader.must(&["KEYS", "stays:*"]);
            let mut keys: Vec<String> = elements(&reply).iter().map(text).collect();
            assert_eq!(keys.len(), 60_000, "each once on {shards} shards");
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 60_000, "none twice on {shards} shards");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writing.join().expect("the writer") > 0);
        let replies = reader.pipeline(&[
            request(&["MULTI"]),
            request(&["SET", "stays:x", "1"]),
            request(&["KEYS", "stays:*"]),
            request(&["EXEC"]),
        ]);
        let replies = elements(&replies[3]);
        assert_eq!(replies[1].elements().map(<[_]>::len), Some(60_001), "its own write is seen");
    }
}

#[test]
fn the_mean_time_to_live_is_told() {
    let node = start(3);
    let mut client = connect(&node);
    for key in 0..300 {
        client.must(&[
            "SET",
            &key.to_string(),
            "1",
            "EX",
            if key % 2 == 0 { "100" } else { "300" },
        ]);
    }
    client.must(&["SET", "for ever", "1"]);
    let info = text(&client.must(&["INFO", "keyspace"]));
    let mean = info.split("avg_ttl=").nth(1).and_then(|rest| rest.trim().parse::<u64>().ok());
    let mean = mean.unwrap_or_else(|| panic!("{info}"));
    assert!((100_000..=300_000).contains(&mean), "{info}");
}

#[test]
fn a_request_about_a_million_names_is_refused() {
    let node = start(1);
    let mut client = connect(&node);
    let many = vec!["get"; 1025];
    for words in [["COMMAND", "INFO"], ["COMMAND", "DOCS"], ["CONFIG", "GET"]] {
        let reply = client.call(&[&words[..], &many].concat());
        assert_eq!(text(&reply), "ERR at most 1024 names in one request", "{words:?}");
        client.must(&[&words[..], &many[..1024]].concat());
    }
    let long = "[a]*".repeat(20_000);
    let reply = client.call(&["CONFIG", "GET", &long, &long, &long, &long]);
    assert!(text(&reply).starts_with("ERR pattern is too long"), "{reply:?}");
}

#[test]
fn what_is_refused_here_is_refused_for_its_form_first() {
    let node = start(1);
    let mut client = connect(&node);
    let mut check = |words: &str, answer: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(text(&client.call(&words)), answer, "{words:?}");
    };
    // A test's nodes have no file for them.
    for words in ["SAVE", "BGSAVE", "BGSAVE schedule"] {
        check(words, "ERR snapshots are off: dbfilename is empty");
    }
    for words in ["BGSAVE foo", "BGSAVE SCHEDULE x", "SHUTDOWN foo", "CONFIG SET hz 5 port"] {
        check(words, "ERR syntax error");
    }
    for name in ["save", "bgrewriteaof", "lastsave"] {
        let arity = format!("ERR wrong number of arguments for '{name}' command");
        check(&format!("{} x", name.to_uppercase()), &arity);
    }
    check("DEBUG foo", "ERR unknown subcommand 'foo'. Try DEBUG HELP.");
}

#[test]
fn lolwut_says_which_version_it_is_in_the_type_of_the_protocol() {
    let node = start(1);
    let mut client = connect(&node);
    let plain = text(&client.must(&["LOLWUT"]));
    assert!(plain.contains("Redis ver. 7.") && plain.ends_with('\n'), "{plain}");
    let picture = text(&client.must(&["LOLWUT", "VERSION", "6"]));
    assert!(picture.ends_with(&plain) && picture.lines().count() > 3, "{picture}");
    let reply = client.call(&["LOLWUT", "VERSION", "x"]);
    assert_eq!(text(&reply), "ERR value is not an integer or out of range");
    client.must(&["HELLO", "3"]);
    let reply = client.must(&["LOLWUT"]);
    assert!(matches!(reply, Reply::Verbatim { .. }), "{reply:?}");
}

#[test]
fn a_log_that_is_off_takes_nothing_from_the_data_and_a_full_node_still_takes_a_replica() {
    let full = Node::start("full", 1, &["--maxmemory=100mb"]);
    let mut client = full.client();
    let value = "x".repeat(1 << 20);
    let is_set = |client: &mut Client, index: u32| {
        !text(&client.call(&["SET", &format!("k{index}"), &value])).starts_with("OOM")
    };
    let taken = (0..200).take_while(|index| is_set(&mut client, *index)).count();
    // Without data a node takes a few megabytes.
    assert!((85..100).contains(&taken), "{taken} MB of 100 hold data");
    let replica = Node::start("replica", 2, &[]);
    scenario::follow(&replica, full.port);
    scenario::wait_stable(&replica);
    client.must(&["DEL", "k0"]);
    scenario::wait_follows(&full, &replica);
    compare::assert_same(&full, &replica);
    // Buffers of whoever compared count as well, for a moment.
    wait::until("the log is small, and a key is gone", || is_set(&mut client, 0));
}

#[test]
fn a_multi_above_the_limit_of_requests_is_told_so_and_its_client_goes_on() {
    let node = start(2);
    let (mut operator, mut client) = (connect(&node), connect(&node));
    operator.must(&["CONFIG", "SET", "client-query-buffer-limit", "1mb"]);
    let value = "x".repeat(300_000);
    client.must(&["MULTI"]);
    let queued = |client: &mut Client| text(&client.call(&["SET", "k", &value]));
    for _ in 0..3 {
        assert_eq!(queued(&mut client), "QUEUED");
    }
    let said = queued(&mut client);
    assert!(said.contains("client-query-buffer-limit"), "{said}");
    assert!(
        text(&operator.must(&["CLIENT", "LIST"])).contains("multi=0"),
        "its queue is given back"
    );
    assert_eq!(queued(&mut client), "QUEUED", "as in Redis");
    let exec = text(&client.call(&["EXEC"]));
    assert!(exec.starts_with("EXECABORT"), "{exec}");
    assert_eq!(text(&client.must(&["EXISTS", "k"])), "0");
    // One request of that size ends its client, as in Redis, and is counted.
    let said = client.try_call(&["SET", "k", &"x".repeat(2 << 20)]);
    assert!(said.map_or(true, |reply| text(&reply).contains("too big request")));
    let stats = text(&operator.must(&["INFO", "stats"]));
    assert!(stats.contains("client_query_buffer_limit_disconnections:1"), "{stats}");
    node.assert_logged("of client-query-buffer-limit", 2);
}

#[test]
fn small_answers_are_those_of_redis() {
    let node = start(2);
    let mut client = connect(&node);
    for nothing in ["\r\n", "*0\r\n", "*-1\r\n"] {
        client
            .send_raw(format!("CLIENT REPLY SKIP\r\n{nothing}PING\r\n").as_bytes())
            .expect("sent");
        let said = client.read().expect("the empty request was skipped");
        assert_eq!(text(&said), "PONG", "{nothing:?}");
    }
    client.must(&["MULTI"]);
    client.must(&["DEBUG", "SLEEP", "abc"]);
    assert_eq!(text(&client.must(&["EXEC"])), "OK");
    for (request, answer) in [
        (&["REPLICAOF", "localhost", "99999"][..], "ERR Invalid master port"),
        (&["CONFIG", "SET", "timeout", "-1"], "between 0 and"),
        (&["CONFIG", "SET", "timeout", "x"], "argument couldn't be parsed into an integer"),
        (&["CONFIG", "SET", "repl-backlog-size", "-1"], "argument must be a memory value"),
        (&["CONFIG", "SET", "maxmemory", "1g"], "OK"),
        (&["CONFIG", "GET", "maxmemory"], "maxmemory 1000000000"),
        (&["CONFIG", "SET", "maxmemory", "1gb"], "OK"),
        (&["CONFIG", "GET", "maxmemory"], "maxmemory 1073741824"),
    ] {
        let said = text(&client.call(request));
        assert!(said.contains(answer), "{request:?}: {said}");
    }
}
