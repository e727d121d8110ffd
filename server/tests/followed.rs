//! A Redis follows a node: the way back, and what tools that speak as a replica get.

mod support;

use engine::resp::client::Reply;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::client::text;
use support::node::Node;
use support::redis::{self, Redis, replication};
use support::wait;
use support::writer::Writer;

fn follow(redis: &Redis, node: &Node) {
    redis.client().must(&["REPLICAOF", "127.0.0.1", &node.port.to_string()]);
}

fn info(redis: &Redis, name: &str) -> String {
    let info = text(&redis.client().must(&["INFO", "replication"]));
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// A counter of a node's INFO stats.
fn counter(node: &Node, name: &str) -> u64 {
    let info = node.ask(&["INFO", "stats"]).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn wait_linked(redis: &Redis) {
    wait::until("the Redis follows", || info(redis, "master_link_status") == "up");
}

/// Waits until a Redis has everything; nobody writes meanwhile.
fn wait_caught_up(redis: &Redis, node: &Node) {
    wait_linked(redis);
    let last = fastrand::u64(..).to_string();
    let (mut ours, mut theirs) = (node.client(), redis.client());
    ours.must(&["SET", "counted", &last]);
    wait::until("the last write has come", || {
        // Some follow beside it, and may be sooner.
        ours.must(&["WAIT", "1", "100"]);
        text(&theirs.must(&["GET", "counted"])) == last
    });
    assert_ne!(ours.must(&["WAIT", "1", "30000"]), Reply::Integer(0), "and it says so");
}

/// Who waits asks once: with a replica that never answers the stream was full of questions, and pushed the others out.
#[test]
fn who_waits_in_vain_asks_once() {
    let node = Node::start("node", 2, &[]);
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_caught_up(&redis, &node);
    let offset = || replication(&node, "master_repl_offset").parse::<u64>().expect("a number");
    let before = offset();
    node.must(&["SET", "k", "v"]);
    assert_eq!(node.must(&["WAIT", "2", "1000"]), Reply::Integer(1));
    // One write, one question, and some pings at the most.
    assert!(offset() - before < 500, "{} bytes", offset() - before);
}

/// All keys compare equal after random writes during the copy and behind it, with the link cut at both ends in
/// between: what was missed comes, and nothing else.
fn a_redis_follows(shards: u16) {
    let seed = support::seed();
    let node = Node::start("node", shards, &[]);
    let redis = Redis::start(&[]);
    // Times of fields would want a follower that knows them.
    let writer = |seed| Writer::start_for(node.client(), &mut redis.client(), seed);
    let writers = [writer(seed), writer(seed ^ 1)];
    writers[0].wait_for(2000);
    follow(&redis, &node);
    wait_linked(&redis);
    assert_eq!(counter(&node, "sync_full"), 1);
    for cut in 0..4 {
        writers[0].wait_for(500);
        match cut % 2 {
            0 => drop(node.must(&["CLIENT", "KILL", "TYPE", "replica"])),
            _ => drop(redis.client().must(&["CLIENT", "KILL", "TYPE", "master"])),
        }
        wait::until("the link is back", || counter(&node, "sync_partial_ok") == cut + 1);
    }
    writers[1].wait_for(1000);
    drop(writers);
    wait_caught_up(&redis, &node);
    redis::assert_follows(&redis, &node);
    assert_eq!((counter(&node, "sync_full"), counter(&node, "sync_partial_ok")), (1, 4));
    // Both ends call it by the same name.
    assert_eq!(info(&redis, "master_replid"), replication(&node, "master_replid"));
    let row = replication(&node, "slave0");
    assert!(row.contains(&format!("port={},state=online,", redis.port)), "{row}");
}

#[test]
fn random_writes_are_followed_from_one_shard() {
    a_redis_follows(1);
}

#[test]
fn random_writes_are_followed_from_three_shards() {
    a_redis_follows(3);
}

/// Data of every type is in the copy, and a large value goes through the stream.
#[test]
fn long_values_and_several_databases_come_over() {
    let node = Node::start("node", 2, &[]);
    let mut client = node.client();
    for database in ["0", "3", "15"] {
        client.must(&["SELECT", database]);
        client.must(&[b"SET".as_slice(), b"long", &vec![b'x'; 3 << 20]]);
        client.must(&["RPUSH", "list", "a", "b", "c"]);
        client.must(&["SET", "dies", "x", "PX", "9000000"]);
    }
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_linked(&redis);
    for database in ["0", "7"] {
        client.must(&["SELECT", database]);
        client.must(&[b"SET".as_slice(), b"longer", &vec![b'y'; 9 << 20]]);
        client.must(&["MSET", "a", "1", "b", "2", "c", "3"]);
        client.must(&["RENAME", "a", "d"]);
    }
    client.must(&["SELECT", "0"]);
    assert_eq!(client.must(&["WAIT", "1", "30000"]), Reply::Integer(1));
    assert!(redis::assert_follows(&redis, &node) > 10);
}

/// A connection that says what a replica says.
struct Puppet(TcpStream);

impl Puppet {
    fn new(node: &Node) -> Puppet {
        let stream =
            TcpStream::connect(("127.0.0.1", node.port)).expect("the node takes connections");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out can be set");
        Puppet(stream)
    }

    fn say(&mut self, words: &str) {
        self.0.write_all(format!("{words}\r\n").as_bytes()).expect("it is sent");
    }

    fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.0.read(&mut byte).expect("it answers") == 1 {
            match byte[0] {
                b'\n' if line.is_empty() => {}
                b'\n' => break,
                b'\r' => {}
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).expect("a line is text")
    }

    fn ask(&mut self, words: &str) -> String {
        self.say(words);
        self.line()
    }
}

#[test]
fn what_a_replica_says_is_answered_as_redis_answers() {
    let node = Node::start("node", 1, &[]);
    let mut puppet = Puppet::new(&node);
    for (words, expected) in [
        ("REPLCONF listening-port 7001", "+OK"),
        ("REPLCONF ip-address 10.0.0.9", "+OK"),
        ("REPLCONF capa eof capa psync2", "+OK"),
        ("REPLCONF version 8.1.0", "+OK"),
        ("REPLCONF rdb-only 0", "+OK"),
        ("REPLCONF rdb-filter-only keys", "-ERR Unsupported rdb-filter-only option: keys"),
        ("REPLCONF nonsense 1", "-ERR Unrecognized REPLCONF option: nonsense"),
        ("PSYNC ? x", "-ERR value is not an integer or out of range"),
        ("MULTI", "+OK"),
        ("PSYNC ? -1", "-ERR Command not allowed inside a transaction"),
        ("DISCARD", "+OK"),
    ] {
        assert!(puppet.ask(words).starts_with(expected), "{words}");
    }
    let granted = puppet.ask("PSYNC 0123456789012345678901234567890123456789 10");
    assert!(granted.starts_with("+FULLRESYNC "), "{granted}");
    assert!(puppet.line().starts_with("$EOF:"));
    let row = replication(&node, "slave0");
    assert!(row.starts_with("ip=10.0.0.9,port=7001,state=send_bulk,"), "{row}");
    // It is one connection, and clients are not sent to it for reads before it has its copy.
    assert_eq!(text(&node.must(&["CLIENT", "LIST", "TYPE", "replica"])).lines().count(), 1);
    node.must(&["CONFIG", "SET", "replication_reply_style", "redis"]);
    assert!(!text(&node.must(&["ROLE"])).contains("7001"));
    assert_eq!(counter(&node, "sync_partial_err"), 1);
    // Only a master, or who follows a Redis, tells.
    let below = Node::start("below", 1, &[]);
    below.must(&["REPLICAOF", "127.0.0.1", &node.port.to_string()]);
    wait::until("it follows", || replication(&below, "master_link_status") == "up");
    let refused = Puppet::new(&below).ask("PSYNC ? -1");
    assert!(refused.starts_with("-NOMASTERLINK this node is a replica"), "{refused}");
    // A node of ours follows the journals.
    assert!(replication(&node, "slave0").contains("type=replica"), "{row}");
    assert!(replication(&node, "slave1").contains("port=7001"), "{row}");
}

/// A copy of a known length for who cannot find its end otherwise, and nothing behind one that is all that is wanted.
///
/// The story: a Redis was refused PSYNC with an ERR, tried SYNC, and that was granted, since the node had been promoted in
/// between. It could read a mark, so its copy had one, and what follows waited for its acknowledgement, which never comes
/// after SYNC: its link was up, and it was told nothing more.
#[test]
fn copies_come_in_the_form_that_is_asked_for() {
    let node = Node::start("node", 2, &[]);
    node.must(&["DEBUG", "POPULATE", "20000", "key", "1000"]);
    for able in ["REPLCONF listening-port 1", "REPLCONF capa eof capa psync2"] {
        let mut old = Puppet::new(&node);
        assert_eq!(old.ask(able), "+OK");
        let length: usize =
            old.ask("SYNC").strip_prefix('$').expect("a length").parse().expect("a number");
        let mut copy = vec![0; length];
        old.0.read_exact(&mut copy).expect("all of it comes");
        assert_eq!(&copy[..9], b"REDIS0009");
        node.must(&["SET", "later", "1"]);
        wait::until("the stream goes on", || old.line() == "later");
    }
    let mut only = Puppet::new(&node);
    assert_eq!(only.ask("REPLCONF rdb-only 1"), "+OK");
    assert!(only.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    let length: usize = only.line().strip_prefix('$').expect("a length").parse().expect("a number");
    let mut rest = Vec::new();
    only.0.read_to_end(&mut rest).expect("it is closed");
    assert_eq!(rest.len(), length);
    let mut empty = Puppet::new(&node);
    assert_eq!(empty.ask("REPLCONF rdb-only 1 rdb-filter-only functions"), "+OK");
    assert!(empty.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    let mut rest = Vec::new();
    empty.0.read_to_end(&mut rest).expect("it is closed");
    assert!(rest.len() < 100, "{}", rest.len());
}

/// The story: a copy had the deadlines of fields, and the stream behind it, begun when there were none, said nothing of
/// them: a field that was to stay went at the follower, and with it its key.
#[test]
fn a_stream_ends_where_it_would_say_nothing_of_the_times_of_fields() {
    let node = Node::start("node", 2, &[]);
    let follow = |magic: &[u8]| {
        let mut follower = Puppet::new(&node);
        let length = follower.ask("SYNC");
        let length = length.strip_prefix('$').expect("a length").parse().expect("a number");
        let mut copy = vec![0; length];
        follower.0.read_exact(&mut copy).expect("all of it comes");
        assert_eq!(&copy[..9], magic);
        follower
    };
    let offset = || replication(&node, "master_repl_offset").parse::<u64>().expect("a number");
    let mut old = follow(b"REDIS0009");
    for number in 0..100 {
        node.must(&[
            "SET",
            &format!("a longer name {number}"),
            "and some value, so that bytes are many",
        ]);
    }
    let before = offset();
    node.must(&["HSET", "h", "f", "v"]);
    node.must(&["HPEXPIRE", "h", "100000", "FIELDS", "1", "f"]);
    let mut said = String::new();
    old.0.read_to_string(&mut said).expect("it is closed");
    assert!(said.contains("HSET") && !said.contains("HPEXPIRE"), "{said}");
    node.assert_logged("another one begins: fields of hashes expire now, which Redis 7.4", 1);
    let mut new = follow(b"REDIS0012");
    assert!(offset() >= before, "{} {before}", offset());
    node.must(&["HPERSIST", "h", "FIELDS", "1", "f"]);
    wait::until("it is told", || new.line() == "HPERSIST");
    // The next one is in newer words as well, although nothing expires any more: it need not end once more.
    node.must(&["DEL", "h"]);
    let mut next = follow(b"REDIS0009");
    node.must(&["HSETEX", "h", "PX", "100000", "FIELDS", "1", "f", "v"]);
    wait::until("it is told", || next.line() == "HPEXPIREAT");
}

/// The story: with the settings that a node has by itself the backlog is larger than the limit, and who was granted what it
/// had missed was ended for that, again and again.
#[test]
fn what_a_partial_sync_brings_is_not_over_the_limit() {
    let node = Node::start("node", 2, &["--repl_backlog_size=64mb"]);
    node.must(&["CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 0 0"]);
    let mut first = Puppet::new(&node);
    assert_eq!(first.ask("REPLCONF capa psync2"), "+OK");
    let granted = first.ask("PSYNC ? -1");
    let [_, id, offset] = granted.split(' ').collect::<Vec<_>>()[..] else { panic!("{granted}") };
    let offset: u64 = offset.parse().expect("a number");
    drop(first);
    let value = "v".repeat(1 << 20);
    for number in 0..32 {
        node.must(&["SET", &format!("key{number}"), &value]);
    }
    let mut second = Puppet::new(&node);
    assert_eq!(second.ask("REPLCONF capa psync2"), "+OK");
    assert!(second.ask(&format!("PSYNC {id} {}", offset + 1)).starts_with("+CONTINUE"));
    // Whenever something is written the bounds are looked at.
    node.must(&["SET", "key0", &value]);
    let (mut came, mut bytes) = (0, vec![0; 1 << 16]);
    while came < 33 << 20 {
        let read = second.0.read(&mut bytes).expect("all of it comes");
        assert_ne!(read, 0, "it was ended after {came} bytes");
        came += read;
    }
}

/// One that does not read is ended at its bound; writers and others go on.
#[test]
fn a_follower_that_does_not_read_is_ended_at_its_bound() {
    let node = Node::start("node", 2, &["--repl_backlog_size=1mb"]);
    node.must(&["CONFIG", "SET", "client-output-buffer-limit", "replica 8mb 0 0"]);
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_linked(&redis);
    let mut slow = Puppet::new(&node);
    assert_eq!(slow.ask("REPLCONF capa eof"), "+OK");
    assert!(slow.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    wait::until("both follow", || replication(&node, "connected_slaves") == "2");
    let mut client = node.client();
    let value = vec![b'v'; 256 << 10];
    for number in 0..80 {
        client.must(&[b"SET".as_slice(), format!("key{}", number % 9).as_bytes(), &value]);
        assert_eq!(client.must(&["WAIT", "1", "30000"]), Reply::Integer(1));
    }
    wait::until("the slow one is ended", || replication(&node, "connected_slaves") == "1");
    node.assert_logged("client-output-buffer-limit replica", 1);
    wait_caught_up(&redis, &node);
    redis::assert_follows(&redis, &node);
}

/// `0 0 0` is no limit, as with Redis: what a follower has not taken is kept for it, far beyond the backlog of those who
/// come back. It had been the smallest limit, and a copy that took its time was made again and again.
#[test]
fn without_a_limit_a_follower_that_takes_its_time_gets_everything() {
    let node = Node::start("node", 2, &["--repl_backlog_size=1mb"]);
    node.must(&["CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0"]);
    let mut slow = Puppet::new(&node);
    assert!(slow.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    wait::until("it follows", || replication(&node, "connected_slaves") == "1");
    let mut client = node.client();
    let value = vec![b'v'; 256 << 10];
    let offset = || replication(&node, "master_repl_offset").parse::<u64>().expect("a number");
    for number in 0..80 {
        let before = offset();
        client.must(&[b"SET".as_slice(), format!("key{}", number % 9).as_bytes(), &value]);
        // The journals hold less than that: not faster than they are read.
        wait::until("the stream says it", || offset() > before);
    }
    client.must(&["SET", "last", "of all"]);
    let (mut bytes, mut taken) = (vec![0; 1 << 20], Vec::new());
    loop {
        let read = slow.0.read(&mut bytes).expect("it is not ended");
        assert_ne!(read, 0, "closed after {} bytes", taken.len());
        taken.extend_from_slice(&bytes[..read]);
        let new = &taken[taken.len().saturating_sub(read + 8)..];
        if new.windows(8).any(|bytes| bytes == b"of all\r\n") {
            break;
        }
    }
    // The first ones may stand in the copy.
    assert!(taken.len() > 60 * value.len(), "{}", taken.len());
}

/// While one loads a copy slowly, the cut is not held up: the copy goes to a file, which has no name.
#[test]
fn a_slow_copy_goes_to_a_file_and_is_whole() {
    let node = Node::start("node", 2, &["--dbfilename=moment.rdb"]);
    node.must(&["DEBUG", "POPULATE", "30000", "key", "1000", "RAND"]);
    let mut slow = Puppet::new(&node);
    assert!(slow.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    let length: usize = slow.line().strip_prefix('$').expect("a length").parse().expect("a number");
    assert!(length > 10 << 20, "{length}");
    // The moment is given back: another one can be fixed.
    node.must(&["SAVE"]);
    let mut copy = vec![0; length];
    slow.0.read_exact(&mut copy).expect("all of it comes");
    let (body, sum) = copy.split_at(length - 8);
    let mut crc = engine::rdb::Crc::default();
    crc.add(body);
    assert_eq!(sum, crc.0.to_le_bytes());
    let left = std::fs::read_dir(node.file("")).expect("its directory").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("temp-")), "{left:?}");
}

#[test]
fn redis_cli_takes_a_copy_that_redis_loads() {
    let node = Node::start("node", 3, &[]);
    let redis = Redis::start(&[]);
    let writer = Writer::start_for(node.client(), &mut redis.client(), support::seed());
    writer.wait_for(1000);
    drop(writer);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("copy.rdb");
    let path = file.to_str().expect("a path that is text");
    let port = node.port.to_string();
    let taken = Command::new("redis-cli").args(["-p", &port, "--rdb", path]).output();
    let taken = taken.expect("redis-cli is Debian's package redis-tools");
    assert!(taken.status.success(), "{taken:?}");
    let checked = Command::new("redis-check-rdb").arg(path).output();
    let checked = checked.expect("redis-check-rdb is Debian's package redis-tools");
    assert!(checked.status.success(), "{checked:?}");
    let redis = Redis::start(&[
        "--dir",
        directory.path().to_str().expect("text"),
        "--dbfilename",
        "copy.rdb",
    ]);
    redis::assert_follows(&redis, &node);
}

#[test]
fn redis_cli_shows_what_is_written() {
    let node = Node::start("node", 2, &[]);
    let port = node.port.to_string();
    let mut shown = Command::new("redis-cli")
        .args(["-p", &port, "--replica"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-cli is Debian's package redis-tools");
    wait::until("it follows", || replication(&node, "slave0").contains("state=online"));
    node.must(&["SET", "shown", "here"]);
    let mut output = shown.stdout.take().expect("its output");
    let (mut all, mut some) = (String::new(), [0; 1024]);
    while !all.contains("shown") {
        let read = output.read(&mut some).expect("it shows something");
        assert!(read > 0, "{all}");
        all.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    shown.kill().expect("it can be ended");
    let _ = shown.wait();
    wait::until("it is gone", || replication(&node, "connected_slaves") == "0");
}

/// What it is fed from is another's now: a follower ends cleanly, and its copy of the old data is refused it.
#[test]
fn followers_end_when_the_node_follows_another() {
    let (node, other) = (Node::start("node", 1, &[]), Node::start("other", 1, &[]));
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_linked(&redis);
    node.must(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    wait::until("the Redis is without a master", || info(&redis, "master_link_status") == "down");
    wait::until("the end is logged", || {
        node.logged("left: this node follows another one now") == 1
    });
    wait::until("the node follows", || replication(&node, "master_link_status") == "up");
    node.must(&["REPLICAOF", "NO", "ONE"]);
    node.must(&["SET", "again", "mine"]);
    wait_linked(&redis);
    wait_caught_up(&redis, &node);
    redis::assert_follows(&redis, &node);
}

/// Each would copy the other for ever: the node refuses the one that it follows, and says so.
#[test]
fn a_redis_that_is_followed_is_not_fed() {
    let node = Node::start("node", 2, &[]);
    let redis = Redis::start(&["--repl-diskless-sync-delay", "0"]);
    redis.client().must(&["SET", "a", "1"]);
    node.must(&["REPLICAOF", "127.0.0.1", &redis.port.to_string()]);
    wait::until("the node follows", || replication(&node, "master_link_status") == "up");
    follow(&redis, &node);
    node.wait_logged("asks to follow this node, which follows it: refused");
    assert_eq!(redis.figure("sync_full"), 1);
    node.must(&["REPLICAOF", "NO", "ONE"]);
    wait_linked(&redis);
    redis::assert_follows(&redis, &node);
}

#[test]
fn a_node_that_stops_gives_its_followers_everything() {
    let mut node = Node::start("node", 2, &[]);
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_linked(&redis);
    let mut client = node.client();
    for number in 0..2000 {
        client.must(&["SET", &format!("key{}", number % 100), &number.to_string()]);
    }
    assert_eq!(node.stop(), Some(0));
    for number in 1900..2000 {
        let held = redis.client().must(&["GET", &format!("key{}", number % 100)]);
        assert_eq!(text(&held), number.to_string());
    }
}

/// A node that follows a Redis is followed by another: what the one writes the other has.
#[test]
fn a_redis_follows_a_node_that_follows_a_redis() {
    let (above, below) = (Redis::start(&[]), Redis::start(&[]));
    let node = Node::start("node", 2, &[]);
    above.client().must(&["RPUSH", "list", "a", "b"]);
    node.must(&["REPLICAOF", "127.0.0.1", &above.port.to_string()]);
    redis::wait_caught_up(&above, &node);
    follow(&below, &node);
    wait_linked(&below);
    above.client().must(&["RPOPLPUSH", "list", "other"]);
    let has = || text(&below.client().must(&["LLEN", "other"])) == "1";
    wait::until("it comes through", has);
    // It is a master then, and goes on telling.
    node.must(&["REPLICAOF", "NO", "ONE"]);
    node.must(&["SET", "mine", "1"]);
    wait::until("it goes on", || text(&below.client().must(&["EXISTS", "mine"])) == "1");
    redis::assert_follows(&below, &node);
    assert_eq!(counter(&node, "sync_full"), 1);
}

/// Libraries of functions come with the copy, and as they change with the stream, also to who was away meanwhile.
#[test]
fn libraries_of_functions_are_those_of_the_node() {
    let node = Node::start("node", 2, &["--oldest_redis_replica=7.0"]);
    let keep = |names: &[(&str, &str)]| {
        let code = |(name, function): &(&str, &str)| {
            format!(
                "#!lua name={name}\nredis.register_function('{function}', function(keys, args) \
                 return 1 end)"
            )
            .into_bytes()
        };
        let codes: Vec<Vec<u8>> = names.iter().map(code).collect();
        let payload = engine::rdb::functions::payload(codes.iter().map(Vec::as_slice));
        node.must(&[b"FUNCTION".as_slice(), b"RESTORE", &payload, b"FLUSH"]);
    };
    keep(&[("a", "f"), ("b", "g")]);
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_linked(&redis);
    let are_equal =
        || redis::libraries(&mut redis.client()) == redis::libraries(&mut node.client());
    assert!(are_equal(), "in the copy");
    // A function that goes to another library could not be loaded before it is gone from the first.
    keep(&[("a", "g"), ("b", "f"), ("c", "h")]);
    wait::until("what was loaded comes", are_equal);
    node.must(&["FUNCTION", "DELETE", "b"]);
    wait::until("what was deleted goes", are_equal);
    // A copy of functions alone (`redis-cli --functions-rdb`) had none, and was a success.
    let mut only = Puppet::new(&node);
    assert_eq!(only.ask("REPLCONF rdb-only 1 rdb-filter-only functions"), "+OK");
    assert!(only.ask("PSYNC ? -1").starts_with("+FULLRESYNC"));
    let mut copy = Vec::new();
    only.0.read_to_end(&mut copy).expect("it is closed");
    let copy = String::from_utf8_lossy(&copy);
    let is_whole = ["REDIS0010", "#!lua name=a", "#!lua name=c"].map(|it| copy.contains(it));
    assert_eq!(is_whole, [true; 3], "{copy}");
    redis.client().must(&["REPLICAOF", "NO", "ONE"]);
    node.must(&["FUNCTION", "FLUSH"]);
    follow(&redis, &node);
    wait_linked(&redis);
    wait::until("what was missed comes", are_equal);
    assert_eq!(redis::libraries(&mut redis.client()), []);
    wait_caught_up(&redis, &node);
    redis::assert_follows(&redis, &node);
}

/// While a large value was told, both offsets were equal and the Redis did not have it: whoever waited for them to
/// be equal, as the way back says, lost what was acknowledged.
#[test]
fn offsets_are_equal_only_once_a_redis_has_all_that_is_acknowledged() {
    let node = Node::start("node", 2, &[]);
    let redis = Redis::start(&[]);
    follow(&redis, &node);
    wait_caught_up(&redis, &node);
    let value = vec![b'v'; 20_000_000];
    let (mut client, mut other) = (node.client(), redis.client());
    for round in 0..4 {
        let key = format!("big{round}");
        client.must(&[b"SET".as_slice(), key.as_bytes(), &value]);
        client.must(&["SET", &format!("small{round}"), "v"]);
        wait::until("the offsets are equal", || {
            replication(&node, "master_repl_offset") == info(&redis, "slave_repl_offset")
        });
        assert_eq!(other.must(&["STRLEN", &key]), Reply::Integer(20_000_000), "round {round}");
        assert_eq!(other.must(&["EXISTS", &format!("small{round}")]), Reply::Integer(1));
    }
}

/// The offset of a node like this one counts records, that of a Redis bytes: beside each other they are all in bytes.
#[test]
fn replicas_of_both_kinds_are_shown_in_one_measure() {
    let node = Node::start("node", 2, &[]);
    let (redis, replica) = (Redis::start(&[]), Node::start("replica", 3, &[]));
    follow(&redis, &node);
    support::scenario::follow(&replica, node.port);
    wait_caught_up(&redis, &node);
    let mut client = node.client();
    for number in 0..500 {
        client.must(&["SET", &format!("key{number}"), &"v".repeat(100)]);
    }
    wait::until("both have all of it", || client.must(&["WAIT", "2", "1000"]) == Reply::Integer(2));
    wait::until("both are shown at the end", || {
        let shown = node.ask(&["INFO", "replication"]).unwrap_or_default();
        let offset = replication(&node, "master_repl_offset");
        shown.matches(&format!("offset={offset},")).count() == 2
    });
}
