//! From a live Redis to Damselfly: everything comes over, also while it is written, a cut costs what was missed,
//! and at last the node goes on alone. The steps are those of `docs/operating/migration.md`.

mod support;

use engine::resp::client::Reply;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use support::client::text;
use support::node::Node;
use support::proxy::Proxy;
use support::redis::{self, Redis, replication};
use support::wait;
use support::writer::{Writer, fill};

fn follow(node: &Node, port: u16) {
    let reply = node.must(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert!(reply.bytes().is_some_and(|text| text.starts_with(b"OK")), "{reply:?}");
}

/// The large value would be half a minute of the network's time where two links carry it.
fn a_data_set_comes_over(shards: u16, settings: &[&str]) {
    let redis = Redis::start(settings);
    fill(&redis);
    let node = Node::start("node", shards, &[]);
    node.must(&["SET", "of before", "goes"]);
    follow(&node, redis.port);
    redis::wait_caught_up(&redis, &node);
    assert!(redis::assert_equal(&redis, &node) > 20);
    // Nobody but the master writes.
    let refused = node.call(&["SET", "a", "b"]);
    assert!(text(&refused).starts_with("READONLY"), "{refused:?}");
    redis.client().must(&["SET", "live", "yes"]);
    wait::until("it is followed", || node.ask(&["GET", "live"]).as_deref() == Some("yes"));
    assert_eq!(replication(&node, "role"), "slave");
    // At last it goes on alone, with everything.
    let expected = redis.client().must(&["DBSIZE"]);
    node.must(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(node.must(&["DBSIZE"]), expected);
    assert_eq!(node.must(&["STRLEN", "large"]), Reply::Integer(20 << 20));
    node.must(&["SET", "live", "alone"]);
    assert_eq!(replication(&node, "role"), "master");
}

#[test]
fn data_of_all_types_comes_over_from_a_file() {
    a_data_set_comes_over(3, &["--repl-diskless-sync", "no"]);
}

#[test]
fn data_of_all_types_comes_over_straight() {
    a_data_set_comes_over(1, &["--repl-diskless-sync", "yes"]);
}

/// All keys compare equal after random writes during the full sync and behind it, with the link cut in between:
/// what was missed comes, and nothing else.
fn followed_while_it_is_written(shards: u16) {
    let seed = support::seed();
    let redis = Redis::start(&["--repl-backlog-size", "256mb"]);
    redis.client().must(&["CONFIG", "SET", "client-output-buffer-limit", "replica 0 0 0"]);
    let node = Node::start("node", shards, &[]);
    let writers = [Writer::start(redis.client(), seed), Writer::start(redis.client(), seed ^ 1)];
    writers[0].wait_for(2000);
    follow(&node, redis.port);
    wait::until("the full sync is done", || replication(&node, "master_link_status") == "up");
    // A FLUSHALL there ends a transfer that goes on: then it is begun anew.
    let full = redis.figure("sync_full");
    let cuts = if support::soak() { 50 } else { 3 };
    for cut in 0..cuts {
        writers[0].wait_for(1000);
        redis.client().must(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait::until("the link is back", || {
            redis.figure("sync_partial_ok") == cut + 1
                && replication(&node, "master_link_status") == "up"
        });
    }
    writers[1].wait_for(2000);
    drop(writers);
    redis::wait_caught_up(&redis, &node);
    redis::assert_equal(&redis, &node);
    assert_eq!(node.logged("broken promise"), 0, "{:?}", node.lines_with("broken promise"));
    assert_eq!((redis.figure("sync_full"), redis.figure("sync_partial_ok")), (full, cuts));
    // It is counted on by the master.
    let mut client = redis.client();
    client.must(&["SET", "counted", "on"]);
    assert_eq!(client.must(&["WAIT", "1", "30000"]), Reply::Integer(1));
}

#[test]
fn random_writes_are_followed_on_one_shard() {
    followed_while_it_is_written(1);
}

#[test]
fn random_writes_are_followed_on_three_shards() {
    followed_while_it_is_written(3);
}

/// A pair keeps what a migration brings, while it is brought and after it.
#[test]
fn replicas_of_a_node_that_follows_a_redis_go_on_through_its_promotion() {
    let redis = Redis::start(&[]);
    redis.client().must(&["SET", "before", "1"]);
    let (node, below) = (Node::start("node", 2, &[]), Node::start("below", 3, &[]));
    follow(&node, redis.port);
    redis::wait_caught_up(&redis, &node);
    follow(&below, node.port);
    let has = |name: &str| below.ask(&["GET", name]).as_deref() == Some("1");
    wait::until("it has what was there", || has("before"));
    let mut client = redis.client();
    for words in [vec!["MULTI"], vec!["SET", "during", "1"], vec!["SET", "too", "1"], vec!["EXEC"]]
    {
        client.must(&words);
    }
    wait::until("it has what is written", || has("during") && has("too"));
    node.must(&["REPLICAOF", "NO", "ONE"]);
    node.must(&["SET", "after", "1"]);
    wait::until("it has what its master writes", || has("after"));
    assert_eq!(replication(&below, "master_link_reconnects"), "0");
    node.assert_logged("full sync for replica", 1);
    // A full sync from a Redis is another history: what follows the node begins anew, where its guard lets it.
    client.must(&["MSET", "e", "1", "f", "1", "g", "1"]);
    follow(&node, redis.port);
    wait::until("all of it is the Redis's again", || {
        replication(&node, "master_link_status") == "up"
            && below.ask(&["GET", "after"]).as_deref() == Some("(nil)")
            && has("during")
    });
}

/// Libraries of functions go where the data goes: to replicas, into snapshots, and back to a Redis.
#[test]
fn libraries_of_functions_are_kept_and_handed_on() {
    let redis = Redis::start(&[]);
    let mut client = redis.client();
    let code = |name: &str| {
        format!("#!lua name={name}\nredis.register_function('{name}', function() return 1 end)")
    };
    client.must(&["FUNCTION", "LOAD", &code("before")]);
    let directory = tempfile::tempdir().expect("a directory");
    let place = ["--dbfilename=dump.rdb", &format!("--dir={}", directory.path().display())];
    let (node, below) = (Node::start("node", 2, &place), Node::start("below", 3, &[]));
    let names = |node: &Node| {
        let libraries = redis::libraries(&mut node.client());
        libraries.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    };
    follow(&node, redis.port);
    redis::wait_caught_up(&redis, &node);
    assert_eq!(names(&node), "before");
    follow(&below, node.port);
    wait::until("a replica hears of it", || names(&below) == "before");
    client.must(&["FUNCTION", "LOAD", &code("during")]);
    client.must(&["FUNCTION", "DELETE", "before"]);
    client.must(&["FUNCTION", "LOAD", &code("last")]);
    redis::wait_caught_up(&redis, &node);
    assert_eq!(redis::libraries(&mut node.client()), redis::libraries(&mut client));
    wait::until("a replica hears of all", || names(&below) == "during last");
    let refused = below.call(&["FUNCTION", "FLUSH"]);
    assert!(text(&refused).starts_with("READONLY"), "{refused:?}");
    node.must(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(names(&node), "during last");
    node.must(&["FUNCTION", "DELETE", "during"]);
    wait::until("a replica hears of what is deleted", || names(&below) == "last");
    // FLUSHALL is about data.
    node.must(&["FLUSHALL"]);
    node.must(&["SET", "a", "1"]);
    node.must(&["SAVE"]);
    let again = Node::start("again", 1, &place);
    assert_eq!(
        (names(&again), again.ask(&["GET", "a"])),
        ("last".to_owned(), Some("1".to_owned()))
    );
    let dir = directory.path().display().to_string();
    let back = Redis::start(&["--dir", &dir]);
    assert_eq!(redis::libraries(&mut back.client()), redis::libraries(&mut again.client()));
    // And by hand, as between Redises.
    let payload = again.must(&["FUNCTION", "DUMP"]);
    let payload = payload.bytes().expect("a payload");
    client.must(&[b"FUNCTION".as_slice(), b"RESTORE", payload, b"FLUSH"]);
    let all = client.must(&["FUNCTION", "DUMP"]);
    let all = all.bytes().expect("a payload");
    node.must(&[b"FUNCTION".as_slice(), b"RESTORE", all, b"REPLACE"]);
    assert_eq!(redis::libraries(&mut node.client()), redis::libraries(&mut client));
    for words in [&["FUNCTION", "LOAD", "REPLACE", &code("x")][..], &["FCALL", "last", "0"]] {
        let refused = node.call(words);
        assert!(refused.error().is_some(), "{words:?}: {refused:?}");
    }
}

#[test]
fn a_redis_with_more_databases_is_refused_before_anything_goes() {
    let redis = Redis::start(&["--databases", "32"]);
    let node = Node::start("node", 1, &[]);
    node.must(&["SET", "mine", "1"]);
    let reply = node.call(&["REPLICAOF", "127.0.0.1", &redis.port.to_string()]);
    assert!(text(&reply).contains("--dbnum=32"), "{reply:?}");
    assert_eq!(text(&node.must(&["GET", "mine"])), "1");
    assert_eq!(replication(&node, "role"), "master");
}

#[test]
fn a_password_is_shown_and_a_wrong_one_named() {
    let redis = Redis::start(&["--requirepass", "secret"]);
    let mut client = redis.client_with("secret");
    client.must(&["SET", "a", "1"]);
    let node = Node::start("node", 1, &[]);
    let port = redis.port.to_string();
    let reply = node.call(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(text(&reply).contains("NOAUTH"), "{reply:?}");
    node.must(&["CONFIG", "SET", "masterauth", "wrong"]);
    let reply = node.call(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(text(&reply).contains("could not authenticate"), "{reply:?}");
    node.must(&["CONFIG", "SET", "masterauth", "secret"]);
    follow(&node, redis.port);
    wait::until("it is followed", || node.ask(&["GET", "a"]).as_deref() == Some("1"));
}

/// A master that does what it is told: each connection for a stream gets the next of these.
struct Puppet {
    port: u16,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

/// An RDB without keys.
const EMPTY_RDB: &[u8] = b"REDIS0011\xff\0\0\0\0\0\0\0\0";

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

impl Puppet {
    /// What it sends after PSYNC, connection by connection; then it closes, or keeps still after the last one.
    fn start(scripts: Vec<Vec<u8>>) -> Puppet {
        Puppet::start_with("-NOPERM no\r\n".to_owned(), scripts)
    }

    /// The same, and what it says to INFO.
    fn start_with(info: String, scripts: Vec<Vec<u8>>) -> Puppet {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = asked.clone();
        thread::spawn(move || {
            let mut scripts = scripts.into_iter().peekable();
            for stream in listener.incoming().flatten() {
                let is_asked = play(stream, &info, &told, &mut scripts);
                if is_asked.is_none() {
                    return;
                }
            }
        });
        Puppet { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics with it").clone()
    }
}

/// One connection; none when the last script was played to its end.
fn play(
    mut stream: TcpStream,
    info: &str,
    told: &std::sync::Mutex<Vec<String>>,
    scripts: &mut std::iter::Peekable<std::vec::IntoIter<Vec<u8>>>,
) -> Option<()> {
    let (mut received, mut buffer) = (String::new(), [0; 4096]);
    let replies = [("PING", "+PONG\r\n"), ("REPLCONF", "+OK\r\n"), ("INFO", info)];
    let mut answered = 0;
    loop {
        let read = stream.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return Some(());
        }
        received.push_str(&String::from_utf8_lossy(&buffer[..read]));
        // A request's name stands behind the line of its length; ours are never cut within a line.
        let names: Vec<String> = received
            .split("\r\n*")
            .filter_map(|request| Some(request.split("\r\n").nth(2)?.to_owned()))
            .collect();
        for name in names.iter().skip(answered) {
            if name == "PSYNC" {
                let line = received.split("PSYNC\r\n").nth(1).unwrap_or_default();
                let words: Vec<&str> = line.split("\r\n").skip(1).step_by(2).take(2).collect();
                told.lock().expect("nobody panics with it").push(words.join(" "));
                let _ = stream.write_all(&scripts.next()?);
                if scripts.peek().is_some() {
                    thread::sleep(Duration::from_millis(50));
                    return Some(());
                }
                // The last one is held until we leave.
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
                return None;
            }
            let reply = replies.iter().find(|(of, _)| of == name);
            let reply = reply.map_or("-ERR unknown command\r\n", |(_, reply)| reply);
            let _ = stream.write_all(reply.as_bytes());
        }
        answered = names.len();
    }
}

fn full(stream: &str) -> Vec<u8> {
    let head = format!("\n+FULLRESYNC {ID} 100\r\n\n\n${}\r\n", EMPTY_RDB.len());
    [head.as_bytes(), EMPTY_RDB, stream.as_bytes()].concat()
}

fn command(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{words}", words.matches('$').count())
}

/// A MULTI that was cut in the middle is not applied, and the stream goes on before it.
#[test]
fn a_transaction_that_was_cut_is_asked_for_again() {
    let select = command("SELECT 5");
    let (set, multi) = (command("SET a 1"), command("MULTI"));
    let part = [multi.as_str(), &command("SET b 2")].concat();
    let first = [select.as_str(), &set, &part].concat();
    let rest =
        [multi.as_str(), &command("SET b 3"), &command("SET c 3"), &command("EXEC")].concat();
    let continued = format!("+CONTINUE\r\n{rest}");
    let puppet = Puppet::start(vec![full(&first), continued.into_bytes()]);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    let applied = 100 + select.len() + set.len();
    wait::until("it is asked for again", || puppet.asked().len() == 2);
    assert_eq!(puppet.asked(), ["? -1".to_owned(), format!("{ID} {}", applied + 1)]);
    let end = applied + rest.len();
    wait::until("all of it is applied", || {
        replication(&node, "slave_repl_offset") == end.to_string()
    });
    let mut client = node.client();
    client.must(&["SELECT", "5"]);
    assert_eq!(text(&client.must(&["MGET", "a", "b", "c"])), "1 3 3", "in the database of before");
}

#[test]
fn a_script_is_refused_by_name_and_not_tried_again() {
    let stream = [command("SET a 1"), command("EVAL x 0")].concat();
    let puppet = Puppet::start(vec![full(&stream), full("")]);
    let node = Node::start("node", 1, &[]);
    follow(&node, puppet.port);
    wait::until("it is refused", || {
        replication(&node, "master_link_last_error").contains("lua-replicate-commands")
    });
    assert_eq!(replication(&node, "master_link_status"), "down");
    assert_eq!(text(&node.must(&["GET", "a"])), "1", "what came before is there");
    node.assert_logged("it is not tried again", 1);
    assert_eq!(puppet.asked().len(), 1);
    // An operator may: it begins anew.
    follow(&node, puppet.port);
    wait::until("it is followed", || replication(&node, "master_link_status") == "up");
    assert_eq!(puppet.asked(), ["? -1", "? -1"]);
}

/// A command that does here what it did not there is never passed over.
#[test]
fn a_command_that_does_not_fit_costs_a_full_sync() {
    let stream = [command("SET a x"), command("INCR a")].concat();
    let puppet = Puppet::start(vec![full(&stream), full(&command("SET a 2"))]);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    wait::until("it begins anew", || node.ask(&["GET", "a"]).as_deref() == Some("2"));
    assert_eq!(puppet.asked(), ["? -1", "? -1"]);
    let said = node.lines_with("broken promise");
    assert!(said.iter().any(|line| line.contains("INCR was answered with: ERR")), "{said:?}");
}

/// The story: what was followed until then was forgotten, and the guard took the very same master for a stranger.
#[test]
fn the_guard_knows_the_master_whose_command_did_not_fit() {
    let info = format!("# Replication\r\nrole:master\r\nmaster_replid:{ID}\r\n");
    let info = format!("${}\r\n{info}\r\n", info.len());
    let stream = [command("SET a x"), command("INCR a")].concat();
    let puppet = Puppet::start_with(info, vec![full(&stream), full(&command("SET a 2"))]);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    wait::until("it begins anew", || node.ask(&["GET", "a"]).as_deref() == Some("2"));
    assert_eq!(puppet.asked(), ["? -1", "? -1"]);
    assert_eq!(node.logged("the guard holds"), 0);
}

/// One byte may have been damaged on its way.
#[test]
fn data_that_cannot_be_read_is_asked_for_again() {
    let damaged = b"REDIS0011\xfe\0\xc8\x01a\x01b\xff\0\0\0\0\0\0\0\0";
    let head = format!("+FULLRESYNC {ID} 100\r\n${}\r\n", damaged.len());
    let damaged = [head.as_bytes(), damaged].concat();
    let puppet = Puppet::start(vec![damaged, full(&command("SET a 1"))]);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    wait::until("it is followed", || node.ask(&["GET", "a"]).as_deref() == Some("1"));
    assert_eq!(puppet.asked(), ["? -1", "? -1"]);
    node.assert_logged("it is asked for again", 1);
}

/// The story: a byte among the first nine ended the link for good, one behind them did not.
#[test]
fn what_does_not_begin_as_an_rdb_is_asked_for_again_and_costs_nothing() {
    let head = format!("+FULLRESYNC {ID} 100\r\n$9\r\nRADIS0011").into_bytes();
    let puppet = Puppet::start(vec![head, full(&command("SET a 1"))]);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    wait::until("it is followed", || node.ask(&["GET", "a"]).as_deref() == Some("1"));
    assert_eq!(puppet.asked(), ["? -1", "? -1"]);
    node.assert_logged("it is asked for again", 1);
}

/// The story: it was asked for again from the same place, about once a second, for ever, and each time the link was up.
#[test]
fn a_stream_that_cannot_be_read_where_it_stands_costs_a_full_sync() {
    let damaged = "*x\r\n";
    let continued = format!("+CONTINUE\r\n{damaged}").into_bytes();
    let mut scripts = vec![full(damaged)];
    scripts.extend(std::iter::repeat_n(continued, 3));
    scripts.push(full(&command("SET a 1")));
    let puppet = Puppet::start(scripts);
    let node = Node::start("node", 2, &[]);
    follow(&node, puppet.port);
    wait::until("it begins anew", || node.ask(&["GET", "a"]).as_deref() == Some("1"));
    let again = format!("{ID} 101");
    assert_eq!(puppet.asked(), ["? -1", &again, &again, &again, "? -1"]);
}

/// The story: the node ended with a broken promise of its own, at each start.
#[test]
fn a_stored_stream_about_a_database_that_is_not_here_any_more_begins_anew() {
    let stream = ["SET b 1", "SELECT 9", "SET a 1", "DEL a"].map(command).concat();
    let first = Puppet::start(vec![full(&stream)]);
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb"]);
    follow(&node, first.port);
    let end = (100 + stream.len()).to_string();
    wait::until("it is applied", || replication(&node, "slave_repl_offset") == end);
    node.must(&["SAVE"]);
    node.kill();
    let second = Puppet::start(vec![full(&command("SET a 2"))]);
    let upstream = format!("--replicaof=127.0.0.1:{}", second.port);
    node.restart(&["--dbnum=4", &upstream]);
    wait::until("it is followed", || node.ask(&["GET", "a"]).as_deref() == Some("2"));
    assert_eq!(second.asked(), ["? -1"]);
}

/// A stream whose transactions do not hold together is none that could be gone on with.
#[test]
fn a_multi_within_a_multi_and_an_exec_without_one_cost_a_full_sync() {
    for (stream, why) in [
        (
            &["SET a 1", "MULTI", "SET b 1", "MULTI", "SET b 2", "EXEC"][..],
            "a MULTI within a MULTI",
        ),
        (&["SET a 1", "EXEC"], "an EXEC without a MULTI"),
    ] {
        let stream: String = stream.iter().map(|words| command(words)).collect();
        let puppet = Puppet::start(vec![full(&stream), full(&command("SET a 2"))]);
        let node = Node::start("node", 2, &[]);
        follow(&node, puppet.port);
        wait::until("it begins anew", || node.ask(&["GET", "a"]).as_deref() == Some("2"));
        assert_eq!(puppet.asked(), ["? -1", "? -1"]);
        assert_eq!(node.ask(&["EXISTS", "b"]).as_deref(), Some("0"));
        let said = node.lines_with("broken promise");
        assert!(said.iter().any(|line| line.contains(why)), "{said:?}");
    }
}

/// The data of before stays until what comes can be read.
#[test]
fn what_is_no_rdb_costs_nothing() {
    let head = format!("+FULLRESYNC {ID} 100\r\n$9\r\nREDIS9999");
    let puppet = Puppet::start(vec![head.into_bytes()]);
    let node = Node::start("node", 1, &[]);
    node.must(&["SET", "mine", "1"]);
    follow(&node, puppet.port);
    wait::until("it is refused", || {
        replication(&node, "master_link_last_error").contains("RDB version '9999'")
    });
    assert_eq!(text(&node.must(&["GET", "mine"])), "1");
}

fn page(node: &Node, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}

/// A Redis counts bytes: a bound in records was answered as if its master were silent.
#[test]
fn a_node_that_follows_a_redis_is_ready_when_it_is_in_sync() {
    let redis = Redis::start(&[]);
    let node = Node::start("node", 1, &[]);
    follow(&node, redis.port);
    wait::until("it is in sync", || replication(&node, "master_link_status") == "up");
    let ready = page(&node, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let bounded = page(&node, "/readyz?max_lag_records=5");
    assert!(bounded.starts_with("HTTP/1.1 503"), "{bounded}");
    assert!(bounded.contains("the master is a Redis, whose stream has no records"), "{bounded}");
    drop(redis);
    wait::until("it is not ready without its master", || {
        page(&node, "/readyz").starts_with("HTTP/1.1 503")
    });
}

/// A node may be told to follow before anybody is there, and be told of another kind.
#[test]
fn a_redis_where_a_damselfly_was_is_found_out_and_the_other_way_round() {
    let damselfly = Node::start("damselfly", 2, &[]);
    damselfly.must(&["SET", "whose", "damselfly"]);
    let node = Node::start("node", 2, &["--replica_guard=false"]);
    let proxy = Proxy::to(damselfly.port);
    follow(&node, proxy.port);
    let whose = || node.ask(&["GET", "whose"]);
    wait::until("the Damselfly is followed", || whose().as_deref() == Some("damselfly"));
    let redis = Redis::start(&[]);
    redis.client().must(&["SET", "whose", "redis"]);
    proxy.lead_to(redis.port);
    wait::until("the Redis is followed", || whose().as_deref() == Some("redis"));
    proxy.lead_to(damselfly.port);
    wait::until("the Damselfly is followed again", || whose().as_deref() == Some("damselfly"));
}

/// A Redis that is a replica itself hands its master's stream on as it comes: where a full sync begins no SELECT stands, and
/// the data says which database the stream is about. What was written next came into database 0.
#[test]
fn a_redis_that_follows_another_is_followed_in_the_database_of_its_stream() {
    for diskless in ["yes", "no"] {
        let top = Redis::start(&[]);
        let (port, of) = (top.port.to_string(), ["--repl-diskless-sync", diskless]);
        let redis = Redis::start(&["--replicaof", "127.0.0.1", &port, of[0], of[1]]);
        wait::until("the one below is linked", || {
            text(&redis.client().must(&["INFO", "replication"])).contains("link_status:up")
        });
        let (mut client, mut middle) = (top.client(), redis.client());
        client.must(&["SELECT", "5"]);
        middle.must(&["SELECT", "5"]);
        // Not by WAIT: it has the next command begin with a SELECT.
        let mut write = |name: &str| {
            client.must(&["SET", name, "1"]);
            wait::until("it is handed on", || text(&middle.must(&["GET", name])) == "1");
        };
        write("before");
        let node = Node::start("node", 2, &[]);
        follow(&node, redis.port);
        redis::wait_caught_up(&redis, &node);
        write("after");
        redis::wait_caught_up(&redis, &node);
        redis::assert_equal(&redis, &node);
        let mut own = node.client();
        own.must(&["SELECT", "5"]);
        assert_eq!(text(&own.must(&["MGET", "before", "after"])), "1 1");
    }
}

/// The story: a Redis writes the `~` that it was asked for as `=` into its stream and leaves the `LIMIT` behind it, which was
/// refused as it would be from a client, and the link ended again and again.
#[test]
fn a_trim_that_a_redis_made_with_a_limit_is_followed() {
    let redis = Redis::start(&[]);
    let node = Node::start("node", 2, &[]);
    follow(&node, redis.port);
    redis::wait_caught_up(&redis, &node);
    let mut client = redis.client();
    for number in 0..450 {
        client.must(&[
            "XADD",
            "s",
            "MAXLEN",
            "~",
            "150",
            "LIMIT",
            "100",
            "*",
            "n",
            &format!("{number}"),
        ]);
    }
    client.must(&["XTRIM", "s", "MAXLEN", "~", "10", "LIMIT", "100"]);
    redis::wait_caught_up(&redis, &node);
    redis::assert_equal(&redis, &node);
    assert_eq!(redis.figure("sync_full"), 1);
}

#[test]
fn a_node_that_is_started_anew_goes_on_in_the_stream() {
    let redis = Redis::start(&[]);
    let upstream = format!("--replicaof=127.0.0.1:{}", redis.port);
    let mut node = Node::start("node", 2, &["--dbfilename=dump.rdb", &upstream]);
    let writer = Writer::start(redis.client(), support::seed());
    let wait_up = |node: &Node| {
        wait::until("the link is up", || replication(node, "master_link_status") == "up");
    };
    wait_up(&node);
    for round in 0..4 {
        writer.wait_for(300);
        if round % 2 == 0 {
            // Of a moment in the middle of it: the rest comes once more.
            node.must(&["SAVE"]);
            writer.wait_for(300);
            node.kill();
        } else {
            assert_eq!(node.stop(), Some(0));
            writer.wait_for(300);
        }
        node.restart(&[]);
        wait_up(&node);
    }
    drop(writer);
    redis::wait_caught_up(&redis, &node);
    redis::assert_equal(&redis, &node);
    assert_eq!((redis.figure("sync_full"), redis.figure("sync_partial_ok")), (1, 4));
}
