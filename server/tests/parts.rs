//! Snapshots of one file for each shard: they come back on any number of shards, are of one moment, whole or not taken at all,
//! and leave one valid snapshot and nothing else, whichever form was there before.
//!
//! `redis-server` reads each part: it must be installed.

mod support;

use engine::resp::client::Reply;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::client::{Client, text};
use support::compare;
use support::load::{self, Load, Plan};
use support::node::{Node, free_port};
use support::proxy::Proxy;
use support::redis::{self, Redis};
use support::scenario::{self, QUICK_TIMEOUT};
use support::snapshots::{Writers, info, kill_in_snapshots, round_of, save_under_writes};
use support::wait;

const FILE: &str = "--dbfilename=dump.rdb";
const PARTS: &str = "--snapshot_parts=yes";

/// A directory, and a node of so many shards that has its snapshots there.
fn node_in(directory: &tempfile::TempDir, shards: u16) -> Node {
    let dir = format!("--dir={}", directory.path().display());
    Node::start("node", shards, &[&dir, FILE, PARTS])
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn digest(node: &Node) -> String {
    text(&node.must(&["DEBUG", "DIGEST"]))
}

/// The files of a directory that are a snapshot's, in their order.
fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).expect("a directory").flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.contains(".rdb"));
    names.sort_unstable();
    names
}

/// The parts among them.
fn parts(directory: &Path) -> Vec<PathBuf> {
    let names = files(directory).into_iter().filter(|name| name.starts_with("dump-"));
    names.map(|name| directory.join(name)).collect()
}

/// Values of all types in two databases, some that end, and a library of functions.
fn fill(node: &Node) {
    for kind in ["STRING", "LIST", "SET", "HASH", "ZSET"] {
        let key = format!("{}:", kind.to_lowercase());
        node.must(&["DEBUG", "POPULATE", "300", &key, "10", "TYPE", kind, "ELEMENTS", "20"]);
    }
    node.must(&["DEBUG", "POPULATE", "1", "large", "20", "TYPE", "hash", "ELEMENTS", "30000"]);
    let mut client = node.client();
    client.must(&["XADD", "stream", "1-1", "field", "value"]);
    client.must(&["XGROUP", "CREATE", "stream", "group", "0"]);
    client.must(&["SET", "dies", "x", "EX", "10000"]);
    client.must(&[&b"SET"[..], b"long", &vec![b'x'; 3_000_000]]);
    client.must(&["SELECT", "7"]);
    for number in 0..50 {
        client.must(&["SET", &format!("elsewhere:{number}"), "x"]);
    }
    let other = Redis::start(&[]);
    let code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    other.client().must(&["FUNCTION", "LOAD", code]);
    let payload = other.client().must(&["FUNCTION", "DUMP"]);
    let payload = payload.bytes().expect("a payload").to_vec();
    client.must(&[&b"FUNCTION"[..], b"RESTORE", &payload]);
}

/// Names of all keys of two databases.
fn keys(client: &mut support::client::Client) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    for db in [0u8, 7] {
        client.must(&["SELECT", &db.to_string()]);
        let found = client.must(&["KEYS", "*"]);
        let found = found.elements().unwrap_or_default().iter().filter_map(Reply::bytes);
        all.extend(found.map(|key| (db, key.to_vec())));
    }
    all.sort_unstable();
    all
}

#[test]
fn the_parts_come_back_on_any_number_of_shards_and_a_redis_loads_each_alone() {
    let directory = directory();
    let mut node = node_in(&directory, 3);
    fill(&node);
    let (before, all) = (digest(&node), keys(&mut node.client()));
    let libraries = redis::libraries(&mut node.client());
    assert_eq!(libraries.len(), 1);
    assert_eq!(text(&node.must(&["SAVE"])), "OK");
    assert_eq!(
        (info(&node, "rdb_saves"), info(&node, "rdb_last_bgsave_status")),
        ("1".into(), "ok".into())
    );
    assert_eq!(info(&node, "rdb_changes_since_last_save"), "0");
    node.kill();
    let saved = parts(directory.path());
    assert_eq!((saved.len(), files(directory.path()).len()), (3, 4), "{saved:?}");

    for shards in [1, 2, 3, 5] {
        let node = node_in(&directory, shards);
        assert_eq!(digest(&node), before, "{shards} shards");
        assert_eq!(redis::libraries(&mut node.client()), libraries);
        assert_eq!(info(&node, "rdb_last_load_keys_loaded"), all.len().to_string());
        assert_eq!(node.logged("of modules"), 0);
        node.assert_logged("loaded ", 1);
    }

    let mut together = Vec::new();
    for part in &saved {
        let output = Command::new("redis-check-rdb").arg(part).output();
        let output = output.expect("redis-check-rdb is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let (dir, name) = (part.parent().unwrap(), part.file_name().unwrap());
        let redis =
            Redis::start(&["--dir", dir.to_str().unwrap(), "--dbfilename", name.to_str().unwrap()]);
        wait::until("it has loaded", || {
            redis.client().try_call(&["DBSIZE"]).is_ok_and(|it| it.error().is_none())
        });
        let found = keys(&mut redis.client());
        assert!(found.len() > all.len() / 6, "{} of {}", found.len(), all.len());
        together.extend(found);
    }
    together.sort_unstable();
    assert_eq!(together, all);

    // It would take the summary for an empty data set: it does not load it.
    let output = Command::new("redis-server")
        .args(["--port", &free_port().to_string(), "--save", ""])
        .args(["--dbfilename", "dump.rdb", "--dir"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .output();
    let output = output.expect("redis-server is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("'dfly-part'"), "{said}");
}

/// What a client writes over all shards as one.
fn over_all(number: usize, round: u64) -> Vec<String> {
    vec![format!("MSET a:{number} {round} b:{number} {round} c:{number} {round}")]
}

/// The round that all three keys of a writer say.
fn round_on(node: &Node, number: usize) -> u64 {
    let keys = ["a", "b", "c"].map(|name| format!("{name}:{number}"));
    round_of(&text(&node.must(&["MGET", &keys[0], &keys[1], &keys[2]])))
}

#[test]
fn parts_written_under_writes_are_of_one_moment_and_have_what_was_acknowledged_before_the_end() {
    let directory = directory();
    let mut node = node_in(&directory, 3);
    node.must(&["DEBUG", "POPULATE", "60000", "filler", "200"]);
    let rounds = save_under_writes(&node, over_all);
    node.kill();
    let mut node = node_in(&directory, 2);
    for (number, (least, most)) in rounds.into_iter().enumerate() {
        let round = round_on(&node, number);
        assert!((least..=most).contains(&round), "{least}..={most}: {round}");
    }

    let writers = Writers::start(node.port, 3, over_all);
    wait::until("all write", || writers.rounds().iter().all(|rounds| *rounds > 20));
    assert_eq!(node.stop(), Some(0));
    let acknowledged = writers.end();
    let node = node_in(&directory, 1);
    for (number, acknowledged) in acknowledged.into_iter().enumerate() {
        let round = round_on(&node, number);
        assert!(round >= acknowledged, "{round} of {acknowledged}");
    }
    assert_eq!(parts(directory.path()).len(), 2, "those of the last snapshot");
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_parts_or_the_new_ones_and_the_next_save_clears_up() {
    let directory = directory();
    let mut node = node_in(&directory, 2);
    kill_in_snapshots(&mut node, |_| parts(directory.path()).len() > 2);
    // What is left goes before the next one is written, which may need the room.
    let left = directory.path().join("dump-00000000000000aa-0000.rdb");
    std::fs::write(&left, b"x").expect("a file");
    node.must(&["BGSAVE"]);
    assert!(!left.exists(), "it has only begun");
    wait::until("it is written", || info(&node, "rdb_bgsave_in_progress") == "0");
    node.must(&["SAVE"]);
    assert_eq!(parts(directory.path()).len(), 2, "{:?}", files(directory.path()));
}

/// All files of a directory, by name.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = files(directory).into_iter();
    names.map(|name| (name.clone(), std::fs::read(directory.join(name)).expect("a file"))).collect()
}

#[test]
fn what_is_to_be_read_again_is_looked_at_before_anything_goes_for_it() {
    let directory = directory();
    let node = node_in(&directory, 2);
    node.must(&["DEBUG", "POPULATE", "5000", "key", "100"]);
    node.must(&["SAVE"]);
    let part = parts(directory.path()).pop().expect("a part");
    let whole = std::fs::read(&part).expect("a part");
    std::fs::remove_file(&part).expect("it is there");
    let check_refused = |words: &str, what: &str| {
        let refused = text(&node.call(&["DEBUG", "RELOAD", "NOSAVE"]));
        assert!(refused.contains(words), "{what}: {refused}");
        assert_eq!(text(&node.must(&["DBSIZE"])), "5000", "{what}");
    };
    check_refused("is not there", "a part");
    std::fs::write(&part, &whole).expect("a file");
    let summary = directory.path().join("dump.rdb");
    let sound = std::fs::read(&summary).expect("a summary");
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        std::fs::write(&summary, &damaged).expect("a file");
        check_refused("cannot load", &format!("byte {at} of the summary"));
    }
    std::fs::write(&summary, &sound).expect("a file");
    node.must(&["DEBUG", "RELOAD", "NOSAVE"]);
}

#[test]
fn parts_that_are_missing_torn_damaged_or_of_another_snapshot_stop_the_start() {
    let directory = directory();
    let mut node = node_in(&directory, 2);
    node.must(&["DEBUG", "POPULATE", "5000", "key", "100"]);
    node.must(&["SAVE"]);
    let other =
        parts(directory.path()).into_iter().map(|path| std::fs::read(path).expect("a part"));
    let other: Vec<Vec<u8>> = other.collect();
    node.must(&["SAVE"]);
    let part = parts(directory.path()).pop().expect("a part");
    let whole = std::fs::read(&part).expect("a part");
    node.kill();

    let dir = format!("--dir={}", directory.path().display());
    let check = |bytes: Option<&[u8]>, words: &str| {
        match bytes {
            Some(bytes) => std::fs::write(&part, bytes).expect("a file"),
            None => std::fs::remove_file(&part).expect("it is there"),
        }
        let before = contents(directory.path());
        let (code, said) = Node::refused(&[&dir, FILE, "--port=-1", "--proactor_threads=3"]);
        assert_eq!(code, Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("damselfly: cannot load "), "{said}");
        for words in [words, part.file_name().unwrap().to_str().unwrap(), "dump.rdb"] {
            assert!(last.contains(words), "'{words}' is missing in: {last}");
        }
        assert!(contents(directory.path()) == before, "the files stay as they are");
        std::fs::write(&part, &whole).expect("a file");
    };
    check(None, "part 1 of the 2 that it names");
    check(None, "is not there: bring all of its parts back beside it");
    check(Some(&whole[..whole.len() - 1]), &format!("{} were written", whole.len()));
    check(Some(b""), "has 0 bytes");
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] ^= 1;
    check(Some(&damaged), "its part");
    let first = std::fs::read(&parts(directory.path())[0]).expect("a part");
    for mut foreign in [other[1].clone(), other[0].clone(), first] {
        foreign.resize(whole.len(), 0);
        check(Some(&foreign), "is of another snapshot");
    }
    // Nothing is the matter with it now.
    assert_eq!(text(&node_in(&directory, 3).must(&["DBSIZE"])), "5000");

    // A part by itself is what any Redis takes it for, and that is said.
    let name = format!("--dbfilename={}", part.file_name().unwrap().to_str().unwrap());
    let node = Node::start("node", 1, &[&dir, &name]);
    let keys: u32 = text(&node.must(&["DBSIZE"])).parse().unwrap();
    assert!((1000..4000).contains(&keys), "{keys}");
    node.assert_logged("is part 1 of the 2 of a snapshot", 1);
    // Nor is it written over.
    let refused = text(&node.call(&["SAVE"]));
    assert!(refused.contains("is like the name of a part"), "{refused}");
    assert!(std::fs::read(&part).expect("a part") == whole);
}

#[test]
fn either_form_takes_the_place_of_the_other_and_leaves_nothing_of_it() {
    let directory = directory();
    let mut node = node_in(&directory, 2);
    node.must(&["DEBUG", "POPULATE", "3000", "key", "100"]);
    node.must(&["SAVE"]);
    let first = files(directory.path());
    assert_eq!(first.len(), 3, "{first:?}");
    for (round, (form, count)) in [("no", 1), ("yes", 3), ("yes", 3), ("no", 1)].iter().enumerate()
    {
        node.must(&["CONFIG", "SET", "snapshot_parts", form]);
        node.must(&["SET", "round", &round.to_string()]);
        // What only looks like a part is nobody's.
        let strange = directory.path().join("dump-me-0000.rdb");
        std::fs::write(&strange, b"x").expect("a file");
        let before = digest(&node);
        // By whichever way it is written.
        match round % 2 {
            0 => drop(node.must(&["SAVE"])),
            _ => assert_eq!(node.stop(), Some(0)),
        }
        std::fs::remove_file(&strange).expect("it is there");
        let tail = std::fs::remove_file(directory.path().join("dump.rdb.tail"));
        assert!(round != 1 || tail.is_ok(), "the end leaves a tail");
        let now = files(directory.path());
        assert_eq!(now.len(), *count, "{now:?}");
        let flag = format!("--snapshot_parts={form}");
        node.restart(&[&flag]);
        assert_eq!(digest(&node), before);
        if *form == "yes" {
            node.must(&["DEBUG", "RELOAD"]);
            assert_eq!(digest(&node), before);
        }
    }

    // What cannot be put in its place is taken back, and the good one stays.
    let good = contents(directory.path());
    std::fs::create_dir(directory.path().join("other.rdb")).expect("a directory");
    node.must(&["CONFIG", "SET", "dbfilename", "other.rdb", "snapshot_parts", "yes"]);
    let refused = text(&node.call(&["SAVE"]));
    assert!(refused.starts_with("ERR cannot rename "), "{refused}");
    assert_eq!(info(&node, "rdb_last_bgsave_status"), "err");
    std::fs::remove_dir(directory.path().join("other.rdb")).expect("it is there");
    assert!(contents(directory.path()) == good, "{:?}", files(directory.path()));
    assert!(
        !std::fs::read_dir(directory.path())
            .expect("a directory")
            .flatten()
            .any(|entry| { entry.file_name().to_string_lossy().starts_with("temp-") })
    );
    node.must(&["SAVE"]);
    assert_eq!(files(directory.path()).len(), 4, "{:?}", files(directory.path()));
}

#[test]
fn with_the_time_in_their_names_all_snapshots_stay_and_the_newest_is_loaded() {
    let mut node = Node::start("node", 2, &["--dbfilename=d-{timestamp}.rdb", PARTS]);
    for round in ["1", "2"] {
        node.must(&["SET", "a", round]);
        node.must(&["SET", "b", round]);
        node.must(&["SAVE"]);
    }
    let place = node.file("");
    assert_eq!(files(&place).len(), 6, "{:?}", files(&place));
    // Of a save that was killed.
    let left = "d-2020-01-01T00-00-00-00000000000000aa-0001.rdb";
    std::fs::write(node.file(left), b"x").expect("a file");
    node.restart(&[]);
    assert_eq!(text(&node.must(&["MGET", "a", "b"])), "2 2");
    node.must(&["SAVE"]);
    assert_eq!(files(&place).len(), 9, "{:?}", files(&place));
    assert!(!node.file(left).exists());
}

#[test]
fn a_replica_of_a_master_that_starts_from_parts_continues_partially() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT, FILE, PARTS]);
    let replica = Node::start("replica", 3, &[QUICK_TIMEOUT]);
    load::fill(&master, 3000, seed);
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    let write = |node: &Node, seed: u64| {
        let load = Load::start(node, seed, Plan { keys: 3000, ..Plan::default() });
        load.wait_for(500);
        load.stop();
    };
    // Killed behind a snapshot that the replica has, with keys whose time comes while it is away.
    master.must(&["SET", "short", "lived", "PX", "300"]);
    master.must(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    compare::wait_caught_up(&master, &replica);
    master.must(&["SAVE"]);
    master.kill();
    wait::let_pass(Duration::from_millis(300));
    for shards in [3, 2] {
        master.restart(&[&format!("--proactor_threads={shards}")]);
        scenario::wait_follows(&master, &replica);
        compare::assert_same_contents(&master, &replica);
        assert_eq!(scenario::syncs(&master).0, 1, "full syncs");
        // Ended in order, with a replica that is behind: the tail has what it lacks.
        proxy.part();
        write(&master, seed ^ u64::from(shards as u8));
        wait::until("the master has no replica", || {
            let info = master.ask(&["INFO", "replication"]);
            info.is_some_and(|info| info.contains("connected_slaves:0"))
        });
        assert_eq!(master.stop(), Some(0));
        assert!(master.file("dump.rdb.tail").exists());
        proxy.heal();
    }
    master.restart(&[]);
    scenario::wait_follows(&master, &replica);
    compare::assert_same_contents(&master, &replica);
    assert_eq!(scenario::syncs(&master).0, 1, "full syncs");

    // And a replica that starts from its own.
    let upstream = format!("--replicaof=127.0.0.1:{}", master.port);
    let mut second = Node::start("replica", 3, &[QUICK_TIMEOUT, FILE, PARTS, &upstream]);
    scenario::wait_follows(&master, &second);
    let full = scenario::syncs(&master).0;
    assert_eq!(second.stop(), Some(0));
    assert_eq!(parts(&second.file("")).len(), 3);
    write(&master, seed ^ 9);
    second.restart(&["--proactor_threads=2"]);
    scenario::wait_follows(&master, &second);
    compare::assert_same_contents(&master, &second);
    assert_eq!(scenario::syncs(&master).0, full, "full syncs");
}

/// The story: a shard that looked for itself between its slices took away what was to wake its executor, and was deaf to the
/// other shards until one of its own sockets stirred.
#[test]
fn shards_without_connections_answer_while_they_write_their_parts() {
    let directory = directory();
    let node = node_in(&directory, 3);
    node.must(&["DEBUG", "POPULATE", "200000", "key:", "100"]);
    let mut client = Client::connect(node.port).expect("the node listens");
    for _ in 0..4 {
        client.must(&["BGSAVE"]);
        let mut is_saving = true;
        while is_saving {
            for number in 0..16 {
                client.must(&["SET", &format!("other:{number}"), "value"]);
            }
            let info = text(&client.must(&["INFO", "persistence"]));
            is_saving = info.contains("rdb_bgsave_in_progress:1");
            assert!(is_saving || info.contains("rdb_last_bgsave_status:ok"), "{info}");
        }
    }
}
