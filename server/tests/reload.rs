//! DEBUG RELOAD: the data goes into its file and comes back out of it.

mod support;

use engine::resp::client::Reply;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use support::client::Client;
use support::client::text;
use support::compare;
use support::node::Node;
use support::proxy::Proxy;
use support::scenario::{follow, wait_stable};
use support::wait;

fn node(shards: u16) -> (tempfile::TempDir, Node) {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = format!("--dir={}", directory.path().display());
    let node = Node::start("node", shards, &["--dbfilename=dump.rdb", &dir]);
    (directory, node)
}

/// What a line of INFO says; nothing where it is not there.
fn info(node: &Node, name: &str) -> Option<String> {
    let all = node.ask(&["INFO", "persistence"])?;
    all.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

/// Waits until so much of a file is read that the rest takes a while.
fn wait_until_it_reads(node: &Node) {
    wait::until("the file is being read", || {
        let read = info(node, "loading_loaded_bytes").and_then(|bytes| bytes.parse::<u64>().ok());
        read.is_some_and(|bytes| bytes > 0)
    });
}

/// A request in a thread of its own, and what it is answered with.
fn asked(node: &Node, words: &'static [&'static str]) -> thread::JoinHandle<String> {
    let mut client = node.client();
    thread::spawn(move || {
        client.try_call(words).map_or_else(|error| error.to_string(), |it| text(&it))
    })
}

fn digest(node: &Node) -> String {
    text(&node.must(&["DEBUG", "DIGEST"]))
}

#[test]
fn everything_comes_back_and_replicas_take_it_anew() {
    let (_directory, node) = node(3);
    let replica = Node::start("replica", 2, &[]);
    for kind in ["STRING", "LIST", "SET", "HASH", "ZSET"] {
        let key = format!("{}:", kind.to_lowercase());
        node.must(&["DEBUG", "POPULATE", "200", &key, "10", "TYPE", kind, "ELEMENTS", "20"]);
    }
    let mut client = node.client();
    client.must(&["XADD", "stream", "1-1", "field", "value"]);
    client.must(&["XGROUP", "CREATE", "stream", "group", "0"]);
    client.must(&["SET", "dies", "x", "EX", "10000"]);
    client.must(&["SELECT", "7"]);
    client.must(&["SET", "elsewhere", "x"]);
    follow(&replica, node.port);
    wait_stable(&replica);
    let before = digest(&node);
    assert_eq!(text(&node.must(&["DEBUG", "RELOAD"])), "OK");
    assert_eq!(digest(&node), before);
    node.must(&["SET", "after", "1"]);
    assert!(compare::assert_same(&node, &replica) > 1000);
    node.assert_logged("full sync for replica", 2);
    let refused = replica.call(&["DEBUG", "RELOAD"]);
    assert!(refused.error().is_some(), "{refused:?}");
    // A transaction that watched what came back is not run.
    client.must(&["WATCH", "elsewhere"]);
    node.must(&["DEBUG", "RELOAD"]);
    client.must(&["MULTI"]);
    client.must(&["SET", "elsewhere", "changed"]);
    assert_eq!(client.must(&["EXEC"]), Reply::Nil);
}

/// Who writes meanwhile is refused or kept, each time.
#[test]
fn no_acknowledged_write_is_lost() {
    let (_directory, node) = node(2);
    node.must(&["DEBUG", "POPULATE", "20000", "k", "20"]);
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<u64> = thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer: usize| {
                let (mut client, stop) = (node.client(), &stop);
                scope.spawn(move || {
                    let (mut last, mut round) = (0, 0_u64);
                    while !stop.load(Ordering::Relaxed) {
                        round += 1;
                        let key = format!("w{writer}:{round}");
                        let reply = client.call(&["SET", &key, "1"]);
                        match reply.error() {
                            None => last += 1,
                            Some(error) => {
                                assert!(error.starts_with(b"LOADING"), "{reply:?}");
                                round -= 1;
                            }
                        }
                    }
                    last
                })
            })
            .collect();
        for _ in 0..5 {
            node.must(&["DEBUG", "RELOAD"]);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    assert!(acknowledged.iter().all(|count| *count > 0), "{acknowledged:?}");
    let keys = 20_000 + acknowledged.iter().sum::<u64>();
    assert_eq!(node.must(&["DBSIZE"]), Reply::Integer(keys as i64));
}

/// The gate for writes closes on each shard at its own time, once: some were done on one shard, refused by the next, and
/// saved so.
#[test]
fn what_is_on_several_shards_is_done_by_all_or_refused_by_all() {
    let (_directory, node) = node(3);
    node.must(&["DEBUG", "POPULATE", "3000", "k", "20"]);
    let keys = |writer: usize, round: usize| {
        ["a", "b", "c"].map(|name| format!("{name}:{writer}:{round}"))
    };
    let stop = AtomicBool::new(false);
    let outcomes: Vec<Vec<bool>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer: usize| {
                let (mut client, stop) = (node.client(), &stop);
                scope.spawn(move || {
                    let mut outcomes = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let [a, b, c] = keys(writer, outcomes.len());
                        let reply = client.call(&["MSET", &a, "1", &b, "1", &c, "1"]);
                        if let Some(error) = reply.error() {
                            assert!(error.starts_with(b"LOADING"), "{reply:?}");
                        }
                        outcomes.push(reply.error().is_none());
                    }
                    outcomes
                })
            })
            .collect();
        for _ in 0..10 {
            node.must(&["DEBUG", "RELOAD"]);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    let all = outcomes.concat();
    assert!(all.contains(&true) && all.contains(&false), "there were both");
    let mut client = node.client();
    for (writer, outcomes) in outcomes.iter().enumerate() {
        for (round, is_done) in outcomes.iter().enumerate() {
            let [a, b, c] = keys(writer, round);
            let there = client.must(&["EXISTS", &a, &b, &c]);
            assert_eq!(there, Reply::Integer(if *is_done { 3 } else { 0 }), "{a}: {is_done}");
        }
    }
}

#[test]
fn what_is_kept_and_what_is_replaced_is_as_asked_for() {
    let (_directory, node) = node(2);
    node.must(&["MSET", "a", "1", "b", "1"]);
    node.must(&["DEBUG", "RELOAD"]);
    let values = || text(&node.must(&["MGET", "a", "b", "c"]));
    node.must(&["MSET", "a", "2", "c", "2"]);
    node.must(&["DEBUG", "RELOAD", "NOFLUSH", "MERGE", "NOSAVE"]);
    assert_eq!(values(), "1 1 2", "the file's win, others stay");
    node.must(&["DEBUG", "RELOAD", "nosave"]);
    assert_eq!(values(), "1 1 (nil)", "nothing but the file's");
    let refused = node.call(&["DEBUG", "RELOAD", "NOFLUSH", "NOSAVE"]);
    assert!(text(&refused).contains("the same key twice"), "{refused:?}");
    let refused = node.call(&["DEBUG", "RELOAD", "NOW"]);
    assert!(text(&refused).contains("only supports the MERGE, NOFLUSH and NOSAVE"), "{refused:?}");
}

#[test]
fn nothing_goes_for_a_file_that_cannot_be_read() {
    let (directory, node) = node(1);
    node.must(&["SET", "a", "1"]);
    let refused = node.call(&["DEBUG", "RELOAD", "NOSAVE"]);
    assert!(text(&refused).contains("there is no snapshot to load"), "{refused:?}");
    for (bytes, said) in [(&b"REDIS9999"[..], "is not known"), (b"REDI", "the file ends here")] {
        std::fs::write(directory.path().join("dump.rdb"), bytes).expect("a file");
        let refused = node.call(&["DEBUG", "RELOAD", "NOSAVE"]);
        assert!(text(&refused).contains(said), "{refused:?}");
    }
    assert_eq!(text(&node.must(&["GET", "a"])), "1");
    node.must(&["SET", "a", "2"]);
    node.must(&["DEBUG", "RELOAD"]);
    assert_eq!(text(&node.must(&["GET", "a"])), "2");
    let without = Node::start("without", 1, &[]);
    let refused = without.call(&["DEBUG", "RELOAD"]);
    assert!(text(&refused).contains("snapshots are off"), "{refused:?}");
}

/// The file's keys came into the copy of the new master.
#[test]
fn who_is_told_to_follow_meanwhile_does_so_afterwards() {
    let master = Node::start("master", 2, &[]);
    master.must(&["DEBUG", "POPULATE", "1000", "master", "10"]);
    let both: [&'static [&'static str]; 2] = [&["DEBUG", "RELOAD", "NOSAVE"], &["DEBUG", "RELOAD"]];
    for options in both {
        let ((_directory, node), proxy) = (node(2), Proxy::to(master.port));
        node.must(&["DEBUG", "POPULATE", "400000", "own", "50"]);
        node.must(&["SAVE"]);
        proxy.stall();
        let mut client = node.client();
        let port = proxy.port.to_string();
        let told = thread::spawn(move || text(&client.call(&["REPLICAOF", "127.0.0.1", &port])));
        wait::until("its master is tried", || proxy.connections() > 0);
        let reloaded = asked(&node, options);
        match options.len() {
            3 => wait_until_it_reads(&node),
            _ => wait::until("it is written first", || {
                info(&node, "rdb_bgsave_in_progress").as_deref() == Some("1")
            }),
        }
        proxy.heal();
        assert_eq!(reloaded.join().expect("a client"), "OK");
        assert_eq!(told.join().expect("a client"), "OK");
        wait_stable(&node);
        assert_eq!(compare::assert_same(&master, &node), 1000);
        assert_eq!(info(&node, "loading").as_deref(), Some("0"));
    }
}

/// What was acknowledged was lost: the snapshot under way was given up, and no other one written.
#[test]
fn who_is_told_to_end_meanwhile_ends_with_everything() {
    let (_directory, mut node) = node(2);
    node.must(&["DEBUG", "POPULATE", "300000", "own", "50"]);
    node.must(&["SAVE"]);
    for round in ["1", "2"] {
        node.must(&["SET", "last", round]);
        let reloaded = asked(&node, &["DEBUG", "RELOAD"]);
        match round {
            "1" => wait::until("it is written first", || {
                info(&node, "rdb_bgsave_in_progress").as_deref() == Some("1")
            }),
            _ => wait_until_it_reads(&node),
        }
        assert_eq!(node.stop(), Some(0));
        drop(reloaded.join());
        node.restart(&[]);
        assert_eq!(text(&node.must(&["GET", "last"])), round);
        assert_eq!(node.must(&["DBSIZE"]), Reply::Integer(300_001));
    }
}

/// A snapshot that waited for a copy of a follower was of what had been read so far, in the place of the good file.
#[test]
fn a_snapshot_under_way_is_whole() {
    let (_directory, mut node) = node(2);
    node.must(&["DEBUG", "POPULATE", "500000", "own", "50"]);
    node.must(&["SAVE"]);
    let mut follower = Client::connect(node.port).expect("the node serves");
    follower.send_raw(b"PSYNC ? -1\r\n").expect("it is taken");
    wait::until("a copy is made", || node.logged("a copy of 500000 keys") == 1);
    let saved = asked(&node, &["BGSAVE"]);
    wait::until("a snapshot waits for it", || {
        info(&node, "rdb_bgsave_in_progress").as_deref() == Some("1")
    });
    let reloaded = asked(&node, &["DEBUG", "RELOAD", "NOSAVE"]);
    assert_eq!(reloaded.join().expect("a client"), "OK");
    assert_eq!(saved.join().expect("a client"), "Background saving started");
    wait::until("it is written", || info(&node, "rdb_bgsave_in_progress").as_deref() == Some("0"));
    node.kill();
    node.restart(&[]);
    assert_eq!(node.must(&["DBSIZE"]), Reply::Integer(500_000));
}

/// Half a data set took the place of the file that could have been mended.
#[test]
fn what_is_read_in_part_is_not_written() {
    let (directory, mut node) = node(2);
    node.must(&["DEBUG", "POPULATE", "100000", "own", "50"]);
    // More than is looked through before anything goes.
    node.must(&["SAVE"]);
    let file = directory.path().join("dump.rdb");
    let good = std::fs::read(&file).expect("a file");
    let torn = &good[..good.len() / 2];
    std::fs::write(&file, torn).expect("a file");
    let refused = node.call(&["DEBUG", "RELOAD", "NOSAVE"]);
    assert!(text(&refused).contains("Error trying to load"), "{refused:?}");
    let refused = text(&node.call(&["SAVE"]));
    assert!(refused.contains("was read in part"), "{refused}");
    node.signal(libc::SIGTERM);
    wait::until("it does not end", || {
        node.logged("not ending, as the data could not be saved") == 1
    });
    assert_eq!(std::fs::read(&file).expect("a file"), torn);
    // Whoever has the file in a better state has it read once more.
    std::fs::write(&file, &good).expect("a file");
    wait::until("it has gone on", || {
        node.ask(&["DEBUG", "RELOAD", "NOSAVE"]).as_deref() == Some("OK")
    });
    assert_eq!(text(&node.must(&["SAVE"])), "OK");
    assert_eq!(node.must(&["DBSIZE"]), Reply::Integer(100_000));
    assert_eq!(node.stop(), Some(0));
}

/// What writes in many steps, or is on its way to a shard, wrote between the keys of the file: then "the same key twice"
/// was found, and all that was not read yet was lost.
#[test]
fn nobody_writes_between_the_keys_of_the_file() {
    let (_directory, node) = node(2);
    node.must(&["DEBUG", "POPULATE", "100000", "real", "20"]);
    let (is_over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = node.client();
            while !is_over.load(Ordering::Relaxed) {
                let reply = client.call(&["DEBUG", "POPULATE", "5000", "p", "10"]);
                let is_closed = reply.error().is_some_and(|error| error.starts_with(b"LOADING"));
                assert!(is_closed || reply.error().is_none(), "{reply:?}");
                made.fetch_add(u64::from(!is_closed), Ordering::Relaxed);
                client.call(&["MSET", "p:1", "x", "p:2", "x", "p:3", "x", "p:4", "x"]);
                client.call(&["DEL", "p:1", "p:2", "p:3"]);
            }
        });
        let mut client = node.client();
        for _ in 0..8 {
            let before = made.load(Ordering::Relaxed);
            wait::until("keys are made", || made.load(Ordering::Relaxed) > before);
            assert_eq!(text(&client.call(&["DEBUG", "RELOAD"])), "OK");
        }
        is_over.store(true, Ordering::Relaxed);
        writer.join().expect("a writer");
    });
    assert_eq!(text(&node.must(&["EXISTS", "real:0", "real:99999", "p:4999"])), "3");
}
