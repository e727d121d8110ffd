//! From a live Redis to Damselfly: everything comes over, also while it is written, a cut costs what was missed,
//! and at last the node goes on alone. The steps are those of `docs/operating/migration.md`.

mod support;

use engine::resp::client::Reply;
use fastrand::Rng;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use support::client::{request, text};
use support::node::Node;
use support::proxy::Proxy;
use support::redis::{self, Redis, replication};
use support::wait;

type Request = Vec<Vec<u8>>;

/// A thread that writes all kinds of things to a Redis until it is stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(redis: &Redis, seed: u64) -> Writer {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (mut client, shared) = (redis.client(), (stop.clone(), written.clone()));
        let thread = thread::spawn(move || {
            let (stop, written) = shared;
            let mut random = Rng::with_seed(seed);
            while !stop.load(Ordering::Relaxed) {
                let requests = buffer(&mut random);
                client.pipeline(&requests);
                written.fetch_add(requests.len() as u64, Ordering::Relaxed);
                // Not as fast as it can: a machine with other tests on it must be able to follow.
                thread::sleep(Duration::from_millis(1));
            }
        });
        Writer { stop, written, thread: Some(thread) }
    }

    /// Waits until so many more requests were answered.
    fn wait_for(&self, more: u64) {
        let goal = self.written.load(Ordering::Relaxed) + more;
        wait::until("the writer goes on", || {
            assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
            self.written.load(Ordering::Relaxed) >= goal
        });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || !matches!(ended, Some(Err(_))), "the writer failed");
    }
}

/// Requests of one write, some of them in MULTI. What a key happens to hold may refuse some.
fn buffer(random: &mut Rng) -> Vec<Request> {
    let mut requests = vec![request(&["SELECT", &random.u8(..3).to_string()])];
    for _ in 0..random.usize(1..12) {
        if random.u8(..6) > 0 {
            requests.push(draw(random));
            continue;
        }
        requests.push(request(&["MULTI"]));
        for _ in 0..random.usize(1..8) {
            let is_other = random.u8(..12) == 0;
            if is_other {
                requests.push(request(&["SELECT", &random.u8(..3).to_string()]));
            }
            requests.push(draw(random));
        }
        requests.push(request(&["EXEC"]));
    }
    match random.u16(..400) {
        0 => requests.push(request(&["FLUSHDB"])),
        1 | 2 => requests.push(request(&["SWAPDB", "1", "2"])),
        3 => requests.push(request(&["FLUSHALL", "ASYNC"])),
        _ => {}
    }
    requests
}

/// `%s` and so on are keys of a type, now and then of another; `#` a number, `%v` a value, `%T` an instant that is
/// near.
const LINES: &[&str] = &[
    "SET %s %v",
    "SET %s %v PX #00",
    "SETEX %s # %v",
    "APPEND %s %v",
    "INCRBY %n #",
    "INCRBYFLOAT %n 0.5",
    "SETRANGE %s # %v",
    "GETDEL %s",
    "GETEX %s PX #00",
    "MSET %s %v %s %v %n #",
    "MSETNX %s %v %s %v",
    "SETBIT %b # 1",
    "BITOP XOR %b %b %s",
    "BITFIELD %b INCRBY u8 # 3",
    "PFADD %p %v %v",
    "PFMERGE %p %p %p",
    "LPUSH %l %v %v %v",
    "RPUSH %l %v #",
    "RPOP %l 2",
    "LMOVE %l %l LEFT RIGHT",
    "RPOPLPUSH %l %l",
    "LINSERT %l BEFORE %v %v",
    "LREM %l 1 %v",
    "LTRIM %l 0 20",
    "LMPOP 2 %l %l LEFT COUNT 2",
    "SORT %l ALPHA STORE %l",
    "SADD %e %v # %v",
    "SADD %e # # #",
    "SPOP %e",
    "SPOP %e 3",
    "SMOVE %e %e %v",
    "SREM %e #",
    "SUNIONSTORE %e %e %e",
    "SDIFFSTORE %e %e %e",
    "HSET %h %v # f# %v",
    "HINCRBY %h count #",
    "HINCRBYFLOAT %h float 0.25",
    "HDEL %h f#",
    "ZADD %z # %v # %v",
    "ZADD %z GT # %v",
    "ZINCRBY %z 1.5 %v",
    "ZPOPMIN %z",
    "ZMPOP 1 %z MAX COUNT 2",
    "ZUNIONSTORE %z 2 %z %z",
    "ZRANGESTORE %z %z 0 3",
    "ZREMRANGEBYRANK %z 5 -1",
    "GEOADD %g 13.# 38.# %v",
    "GEOSEARCHSTORE %z %g FROMLONLAT 13 38 BYRADIUS 90 km",
    "XADD %x * f %v",
    "XADD %x MAXLEN ~ 20 * f %v g #",
    "XADD %x NOMKSTREAM MINID = 0-1 * f #",
    "XTRIM %x MAXLEN 15",
    "XGROUP CREATE %x group 0 MKSTREAM",
    "XREADGROUP GROUP group alice COUNT 2 STREAMS %x >",
    "XREADGROUP GROUP group bob COUNT 1 NOACK STREAMS %x >",
    "XAUTOCLAIM %x group carol 0 0 COUNT 2",
    "XGROUP SETID %x group $",
    "XSETID %x 9999999999999-#",
    "EXPIRE %s #",
    "PEXPIRE %l #00",
    "PEXPIREAT %e %T",
    "PEXPIREAT %h %T",
    "PERSIST %s",
    "PERSIST %e",
    "RENAME %s %s",
    "RENAME %l %l",
    "RENAMENX %z %z",
    "COPY %h %h REPLACE",
    "COPY %e %e DB 1",
    "MOVE %s 2",
    "DEL %s %l %z",
    "UNLINK %e %h",
    "DEL %x",
    "PUBLISH channel %v",
    "SPUBLISH channel %v",
    "EVAL redis.call('SET',KEYS[1],ARGV[1]);redis.call('SADD',KEYS[2],ARGV[1]) 2 %s %e %v",
    "EVAL return{redis.call('INCR',KEYS[1]),redis.call('SPOP',KEYS[2])} 2 %n %e",
];

fn draw(random: &mut Rng) -> Request {
    let line = LINES[random.usize(..LINES.len())];
    let word = |word: &str| word.to_owned();
    let mut words: Vec<String> = match line.strip_prefix("EVAL ") {
        None => line.split(' ').map(word).collect(),
        Some(script) => {
            let (script, rest) = script.rsplit_once(" 2 ").expect("a script of two keys");
            let start = ["EVAL", script, "2"].into_iter().map(word);
            start.chain(rest.split(' ').map(word)).collect()
        }
    };
    let is_script = line.starts_with("EVAL");
    for word in words.iter_mut().skip(if is_script { 3 } else { 1 }) {
        if let Some(kind) = word.strip_prefix('%') {
            *word = match kind {
                "v" => value(random),
                "T" => (now_millis() + random.i64(-50..2000)).to_string(),
                kind => format!("{kind}{}", random.u8(..30)),
            };
        } else if word.contains('#') {
            *word = word.replace('#', &random.u8(1..100).to_string());
        }
    }
    words.into_iter().map(String::into_bytes).collect()
}

fn value(random: &mut Rng) -> String {
    match random.u8(..40) {
        0 => "long ".repeat(random.usize(..200)),
        1..=20 => random.u16(..50).to_string(),
        _ => format!("value {}", random.u16(..50)),
    }
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as i64
}

fn follow(node: &Node, port: u16) {
    let reply = node.must(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert!(reply.bytes().is_some_and(|text| text.starts_with(b"OK")), "{reply:?}");
}

/// Data of every type in several databases, in small forms and large.
fn fill(redis: &Redis) {
    let mut client = redis.client();
    let mut must = |words: &[&[u8]]| drop(client.must(words));
    must(&[b"SET", b"binary \x00\xff\r\n", b"\x00\x01\xfe\xff"]);
    must(&[b"SET", b"large", &vec![b'x'; 20 << 20]]);
    must(&[b"SET", b"packed", "abc".repeat(5000).as_bytes()]);
    must(&[b"SET", b"integer", b"-12345"]);
    must(&[b"SET", b"dies", b"x", b"PX", b"9000000"]);
    must(&[b"PFADD", b"hyperloglog", b"a", b"b", b"c"]);
    for count in [3, 2000] {
        let name = |kind: &str| format!("{kind}:{count}").into_bytes();
        for number in 0..count {
            let (text, figure) = (format!("element {number}"), number.to_string());
            must(&[b"RPUSH", &name("list"), text.as_bytes()]);
            must(&[b"SADD", &name("set"), text.as_bytes()]);
            must(&[b"SADD", &name("intset"), figure.as_bytes()]);
            must(&[b"HSET", &name("hash"), text.as_bytes(), figure.as_bytes()]);
            must(&[b"ZADD", &name("zset"), figure.as_bytes(), text.as_bytes()]);
            must(&[b"XADD", &name("stream"), b"*", b"field", text.as_bytes()]);
        }
        must(&[b"EXPIRE", &name("hash"), b"3600"]);
        must(&[b"XGROUP", b"CREATE", &name("stream"), b"group", b"0"]);
        must(&[
            b"XREADGROUP",
            b"GROUP",
            b"group",
            b"me",
            b"COUNT",
            b"2",
            b"STREAMS",
            &name("stream"),
            b">",
        ]);
    }
    for database in ["3", "15"] {
        must(&[b"SELECT", database.as_bytes()]);
        must(&[b"SET", b"where", database.as_bytes()]);
        must(&[b"LPUSH", b"list", b"a", b"b"]);
    }
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
    let writers = [Writer::start(&redis, seed), Writer::start(&redis, seed ^ 1)];
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
    assert_eq!(node.logged("full sync for replica"), 1);
    // A full sync from a Redis is another history: what follows the node begins anew, where its guard lets it.
    client.must(&["MSET", "e", "1", "f", "1", "g", "1"]);
    follow(&node, redis.port);
    wait::until("all of it is the Redis's again", || {
        replication(&node, "master_link_status") == "up"
            && below.ask(&["GET", "after"]).as_deref() == Some("(nil)")
            && has("during")
    });
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = asked.clone();
        thread::spawn(move || {
            let mut scripts = scripts.into_iter().peekable();
            for stream in listener.incoming().flatten() {
                let is_asked = play(stream, &told, &mut scripts);
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
    told: &std::sync::Mutex<Vec<String>>,
    scripts: &mut std::iter::Peekable<std::vec::IntoIter<Vec<u8>>>,
) -> Option<()> {
    let (mut received, mut buffer) = (String::new(), [0; 4096]);
    let replies = [("PING", "+PONG\r\n"), ("REPLCONF", "+OK\r\n"), ("INFO", "-NOPERM no\r\n")];
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
    assert_eq!(node.logged("it is not tried again"), 1);
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
