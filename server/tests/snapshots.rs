//! Snapshots: files that Redis takes, of one moment, whole whatever happens; and what was acknowledged is in
//! the one that the program writes as it ends.
//!
//! `redis-server` and `redis-check-rdb` read the files: they must be installed.

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::client::{Client, text};
use support::node::{Node, free_port};
use support::redis;
use support::scenario;
use support::snapshots::{Writers, info, kill_in_snapshots, round_of, save_under_writes};
use support::wait;

const FILE: &str = "--dbfilename=dump.rdb";

fn check_file(path: &Path) {
    let output = Command::new("redis-check-rdb").arg(path).output();
    let output = output.expect("redis-check-rdb is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("RDB looks OK"), "{said}");
}

/// A Redis that has loaded a file.
struct Redis {
    child: Child,
    client: Client,
}

impl Redis {
    fn load(path: &Path) -> Redis {
        check_file(path);
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(path.parent().expect("a directory"))
            .arg("--dbfilename")
            .arg(path.file_name().expect("a name"))
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let client = wait::until_some("Redis has loaded the file", || {
            let mut client = Client::connect(port).ok()?;
            let pong = client.try_call(&["PING"]).ok()?;
            (text(&pong) == "PONG").then_some(client)
        });
        Redis { child, client }
    }

    fn ask(&mut self, line: &str) -> String {
        text(&self.client.must(&line.split(' ').collect::<Vec<_>>()))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Values of every type that all say the round.
fn all_types(number: usize, round: u64) -> Vec<String> {
    let key = |name: &str| format!("{name}:{number}");
    let noise = fastrand::u64(..20_000);
    vec![
        format!("MSET {} {round} {} {round} {} {round}", key("a"), key("b"), key("c")),
        format!("SET noise:{noise} {round}"),
        format!("DEL noise:{}", noise / 2),
        "MULTI".to_owned(),
        format!("HSET {} round {round}", key("hash")),
        format!("RPUSH {} {round}", key("list")),
        format!("LTRIM {} -100 -1", key("list")),
        format!("SADD {} {round}", key("set")),
        format!("ZADD {} {round} last", key("zset")),
        format!("XADD {} {round}-1 round {round}", key("stream")),
        format!("SET {} {round} PX 100000000", key("timed")),
        "EXEC".to_owned(),
    ]
}

#[test]
fn a_snapshot_under_writes_is_of_one_moment_and_redis_loads_it() {
    let node = Node::start("node", 3, &[FILE]);
    node.must(&["DEBUG", "POPULATE", "60000", "filler", "200"]);
    node.must(&["DEBUG", "POPULATE", "1", "large", "20", "TYPE", "hash", "ELEMENTS", "100000"]);
    let rounds = save_under_writes(&node, all_types);
    let mut redis = Redis::load(&node.file("dump.rdb"));
    for (number, (least, most)) in rounds.into_iter().enumerate() {
        let together = redis.ask(&format!("MGET a:{number} b:{number} c:{number}"));
        assert!((least..=most + 1).contains(&round_of(&together)), "{least}..={most}: {together}");
        let said = [
            redis.ask(&format!("HGET hash:{number} round")),
            redis.ask(&format!("LINDEX list:{number} -1")),
            redis.ask(&format!("SCARD set:{number}")),
            redis.ask(&format!("ZSCORE zset:{number} last")),
            redis.ask(&format!("XLEN stream:{number}")),
            redis.ask(&format!("GET timed:{number}")),
        ];
        assert!(said.iter().all(|one| *one == said[0]), "half a MULTI: {said:?}");
    }
    assert_eq!(redis.ask("HLEN large:0"), "100000");
    assert!(redis.ask("PTTL timed:0").parse::<i64>().unwrap() > 1000);
    assert_eq!(redis.ask("GET filler:59999").len(), 200);
}

/// Removes what is left of a snapshot that was under way when the process was killed, if one was.
fn take_unfinished(node: &Node) -> bool {
    let mut names = std::fs::read_dir(node.file("")).expect("its directory").flatten();
    let left = names.find(|entry| entry.file_name().to_string_lossy().starts_with("temp-"));
    left.is_some_and(|left| std::fs::remove_file(left.path()).is_ok())
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_file() {
    let mut node = Node::start("node", 2, &[FILE]);
    kill_in_snapshots(&mut node, |node| {
        check_file(&node.file("dump.rdb"));
        take_unfinished(node)
    });
}

/// It was told to who asked, and nowhere else: `save` went on in silence. And there was no snapshot any more, also where the
/// directory was made anew: the process stood in the one that was gone.
#[test]
fn where_the_directory_is_gone_that_is_said_until_it_is_made_anew() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().canonicalize().expect("its path").join("data");
    std::fs::create_dir(&directory).expect("it is made");
    let dir = format!("--dir={}", directory.display());
    let node = Node::start("node", 1, &[FILE, &dir]);
    node.must(&["SET", "a", "1"]);
    std::fs::remove_dir_all(&directory).expect("it is removed");
    let expected = format!("the working directory {} was removed", directory.display());
    for command in ["SAVE", "BGSAVE"] {
        let refused = text(&node.call(&[command]));
        assert!(refused.contains(&expected), "{refused}");
    }
    assert_eq!(info(&node, "rdb_last_bgsave_status"), "err");
    node.wait_logged(&expected);
    node.must(&["CONFIG", "SET", "save", "1 1"]);
    let refused = text(&node.call(&["SET", "a", "2"]));
    assert!(refused.starts_with("MISCONF "), "{refused}");
    std::fs::create_dir(&directory).expect("it is made anew");
    node.must(&["SAVE"]);
    assert!(directory.join("dump.rdb").exists());
    node.must(&["SET", "a", "2"]);
}

/// Each is of use beside the newest snapshot alone.
#[test]
fn the_tail_of_a_former_snapshot_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (dir, place) = (format!("--dir={}", directory.path().display()), directory.path());
    let node = Node::start("node", 1, &["--dbfilename=d-{timestamp}.rdb", &dir]);
    let others = ["d-2020-01-01T00-00-00.rdb.tail", "x-2020-01-01T00-00-00.rdb.tail"];
    others.iter().for_each(|name| std::fs::write(place.join(name), b"x").expect("a file"));
    node.must(&["SAVE"]);
    assert_eq!(others.map(|name| place.join(name).exists()), [false, true]);
}

/// Three keys of each writer, on all shards, one after the other.
fn counts(number: usize, round: u64) -> Vec<String> {
    ["x", "y", "z"].map(|name| format!("SET {name}:{number} {round}")).to_vec()
}

#[test]
fn what_was_acknowledged_before_sigterm_is_in_the_file() {
    let mut node = Node::start("node", 3, &[FILE]);
    node.must(&["DEBUG", "POPULATE", "50000", "key", "100"]);
    let writers = Writers::start(node.port, 4, counts);
    wait::until("all write", || writers.rounds().iter().all(|rounds| *rounds > 20));
    assert_eq!(node.stop(), Some(0));
    let rounds = writers.end();
    let mut redis = Redis::load(&node.file("dump.rdb"));
    for (number, acknowledged) in rounds.into_iter().enumerate() {
        for name in ["x", "y", "z"] {
            let saved: u64 = redis.ask(&format!("GET {name}:{number}")).parse().unwrap();
            assert!(
                saved >= acknowledged,
                "{name}:{number} is {saved}, {acknowledged} was answered"
            );
        }
    }
    // Nothing is written, and nothing is left, where it is not wanted.
    std::fs::remove_file(node.file("dump.rdb")).expect("it is there");
    node.restart(&["--dbfilename="]);
    let refused = text(&node.call(&["SAVE"]));
    assert!(refused.contains("dbfilename is empty"), "{refused}");
    assert_eq!(node.stop(), Some(0));
    assert!(!node.file("dump.rdb").exists());
}

#[test]
fn a_snapshot_that_fails_is_told_and_stops_writes_only_where_save_asks_for_them() {
    let mut node = Node::start("node", 2, &[FILE]);
    node.must(&["SET", "a", "1"]);
    node.must(&["SAVE"]);
    let file = node.file("dump.rdb");
    let good = std::fs::read(&file).expect("it is there");
    // A directory of that name cannot be replaced by a file.
    let other = node.file("other.rdb");
    std::fs::create_dir(&other).expect("a directory");
    node.must(&["CONFIG", "SET", "dbfilename", "other.rdb"]);
    let refused = text(&node.call(&["SAVE"]));
    assert!(
        refused.starts_with("ERR cannot rename ") && refused.contains("other.rdb"),
        "{refused}"
    );
    assert_eq!(info(&node, "rdb_last_bgsave_status"), "err");
    node.wait_logged("snapshot: cannot rename");
    assert_eq!(std::fs::read(&file).expect("it is there"), good);
    node.must(&["SET", "a", "2"]);
    node.must(&["CONFIG", "SET", "save", "3600 1000"]);
    let refused = text(&node.call(&["SET", "a", "3"]));
    assert!(refused.starts_with("MISCONF "), "{refused}");
    let refused = text(&node.call(&["PING"]));
    assert!(refused.starts_with("MISCONF "), "{refused}");
    assert_eq!(text(&node.must(&["GET", "a"])), "2");
    // All the more it is copied.
    let replica = Node::start("replica", 1, &["--dbfilename="]);
    scenario::follow(&replica, node.port);
    scenario::wait_stable(&replica);
    assert_eq!(text(&replica.must(&["GET", "a"])), "2");
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    // Told to end it does not, as the data would be lost.
    let mut client = node.client();
    let _ = client.try_call(&["SHUTDOWN"]);
    wait::until("it goes on", || node.logged("not ending, as the data could not be saved") > 0);
    node.must(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]);
    node.must(&["SET", "a", "3"]);
    node.must(&["CONFIG", "SET", "dbfilename", "dump.rdb"]);
    node.must(&["SAVE"]);
    assert_eq!(info(&node, "rdb_last_bgsave_status"), "ok");
    let names: Vec<String> = std::fs::read_dir(file.parent().expect("a directory"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name.starts_with("temp-")), "{names:?}");
    let _ = node.client().try_call(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(node.exit_code(), Some(0));
}

#[test]
fn save_points_write_by_themselves_and_names_have_the_time_in_them() {
    let node = Node::start("node", 1, &["--dbfilename=data-{timestamp}.rdb", "--save=1 2"]);
    node.must(&["SET", "a", "1"]);
    node.must(&["SET", "b", "1"]);
    wait::until("it is written", || info(&node, "rdb_saves") == "1");
    assert_eq!(info(&node, "rdb_changes_since_last_save"), "0");
    let last: u64 = text(&node.must(&["LASTSAVE"])).parse().unwrap();
    assert_eq!(info(&node, "rdb_last_save_time"), last.to_string());
    let directory = node.file("x");
    let names = std::fs::read_dir(directory.parent().expect("a directory")).expect("a directory");
    let name = names
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "rdb"));
    check_file(&name.expect("a file"));
}

/// A replica writes no journal of its own, and so `save` saw no changes there. What it owes to the disk it still owes
/// when it has been promoted.
#[test]
fn save_points_of_a_replica_count_what_its_master_changes() {
    let master = Node::start("master", 2, &["--dbfilename="]);
    let replica = Node::start("replica", 3, &[FILE, "--save=1 100"]);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let mut client = master.client();
    for number in 0..100 {
        client.must(&["SET", &format!("key{number}"), "value"]);
    }
    wait::until("it is written", || info(&replica, "rdb_saves") == "1");
    assert_eq!(info(&replica, "rdb_changes_since_last_save"), "0");
    // As on a master: what was thrown away is not to come back.
    master.must(&["FLUSHALL"]);
    wait::until("it is written again", || info(&replica, "rdb_saves") == "2");
    replica.must(&["CONFIG", "SET", "save", ""]);
    for number in 0..7 {
        client.must(&["SET", &format!("key{number}"), "value"]);
    }
    let owed = || info(&replica, "rdb_changes_since_last_save");
    wait::until("it has all", || owed() == "7");
    replica.must(&["CONFIG", "RESETSTAT"]);
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(owed(), "7");
    replica.must(&["SET", "key", "value"]);
    assert_eq!(owed(), "8");
}

/// It goes over all shards from an executor that has none, and was not counted.
#[test]
fn a_flushall_of_a_redis_that_is_followed_does_not_come_back() {
    let redis = redis::Redis::start(&["--repl-diskless-sync-delay", "0"]);
    redis.client().must(&["SET", "a", "1"]);
    let node = Node::start("node", 2, &[FILE, "--save=3600 100000"]);
    node.must(&["REPLICAOF", "127.0.0.1", &redis.port.to_string()]);
    wait::until("it follows", || node.ask(&["GET", "a"]).as_deref() == Some("1"));
    node.must(&["SAVE"]);
    redis.client().must(&["FLUSHALL"]);
    wait::until("it is written", || info(&node, "rdb_saves") == "2");
    assert_eq!(info(&node, "rdb_changes_since_last_save"), "0");
}

/// The last snapshot was left out where there were no keys and no file of the very second: the keys came back.
#[test]
fn what_was_flushed_does_not_come_back_where_names_have_the_time_in_them() {
    let mut node = Node::start("node", 1, &["--dbfilename=data-{timestamp}.rdb"]);
    node.must(&["SET", "a", "1"]);
    node.must(&["SAVE"]);
    node.must(&["SET", "a", "2"]);
    // Perhaps in the same second: both files stay.
    node.must(&["SAVE"]);
    node.must(&["FLUSHALL"]);
    assert_eq!(node.stop(), Some(0));
    let directory = node.file("x").parent().expect("a directory").to_owned();
    let names = std::fs::read_dir(directory).expect("a directory").flatten();
    let is_snapshot = |name: &str| name.starts_with("data-") && name.ends_with(".rdb");
    let files = names.filter(|entry| entry.file_name().to_str().is_some_and(is_snapshot));
    assert_eq!(files.count(), 3);
    node.restart(&[]);
    assert_eq!(text(&node.must(&["DBSIZE"])), "0");
}
