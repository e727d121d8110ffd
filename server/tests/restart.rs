//! After a start from a snapshot replication goes on where it was: a replica that is not ahead of the file continues, and
//! so does one that was started anew itself. Nothing is lost, and no file is of two data sets.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use engine::rdb::file::{Event, Reader};
use support::client::{Client, text};
use support::compare;
use support::load::{self, Load, Plan};
use support::node::Node;
use support::proxy::Proxy;
use support::redis::{self, Redis};
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;
use support::writer::Writer;

const FILE: &str = "--dbfilename=dump.rdb";

/// Writes for a while.
fn write(node: &Node, seed: u64, commands: u64) {
    let load = Load::start(node, seed, Plan { keys: 3000, ..Plan::default() });
    load.wait_for(commands);
    load.stop();
}

/// The story: a trim was told in packs of entries. A file has no deleted ones in them, so that who was started from it had
/// others, and lost up to a hundred entries with each pack.
#[test]
fn a_stream_is_trimmed_alike_by_whoever_was_started_from_a_snapshot() {
    let mut master = Node::start("master", 1, &[QUICK_TIMEOUT, FILE]);
    let upstream = format!("--replicaof=127.0.0.1:{}", master.port);
    let mut replica = Node::start("replica", 1, &[QUICK_TIMEOUT, FILE, &upstream]);
    scenario::wait_follows(&master, &replica);
    let add = |master: &Node, numbers: std::ops::Range<u64>, most: &str| {
        let mut client = master.client();
        for number in numbers {
            let id = format!("{number}-1");
            client.must(&["XADD", "s", "MAXLEN", most, &id, "f", "v"]);
        }
    };
    add(&master, 1..301, "1000");
    master.must(&["XTRIM", "s", "MAXLEN", "270"]);
    master.must(&["XDEL", "s", "40-1", "41-1", "150-1"]);
    for starts_master in [false, true] {
        let node = if starts_master { &mut master } else { &mut replica };
        assert_eq!(node.stop(), Some(0));
        node.restart(&[]);
        scenario::wait_follows(&master, &replica);
        let (from, most) = if starts_master { (601, "60") } else { (301, "150") };
        add(&master, from..from + 300, most);
        master.must(&["XTRIM", "s", "MAXLEN", "130"]);
        compare::assert_same_contents(&master, &replica);
        assert_eq!(text(&replica.must(&["XLEN", "s"])), text(&master.must(&["XLEN", "s"])));
    }
    assert_eq!(scenario::syncs(&master).0, 1, "full syncs");
}

/// Waits until the master has no replica in its books.
fn wait_alone(master: &Node) {
    wait::until("the master has no replica", || {
        master.ask(&["INFO", "replication"]).is_some_and(|info| info.contains("connected_slaves:0"))
    });
}

#[test]
fn whoever_is_not_ahead_of_the_snapshot_continues_partially() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT, FILE]);
    let replicas = [2, 3].map(|shards| Node::start("replica", shards, &[QUICK_TIMEOUT]));
    load::fill(&master, 3000, seed);
    for replica in &replicas {
        scenario::follow(replica, master.port);
        scenario::wait_follows(&master, replica);
    }
    write(&master, seed ^ 1, 500);
    // What ends while the master is away is told when it is back.
    master.must(&["SET", "short", "lived", "PX", "300"]);
    // Nothing ends between the snapshot and the end: who has that is ahead.
    master.must(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    replicas.iter().for_each(|replica| compare::wait_caught_up(&master, replica));
    master.must(&["SAVE"]);
    master.kill();
    wait::let_pass(Duration::from_millis(300));
    master.restart(&[]);
    for replica in &replicas {
        scenario::wait_follows(&master, replica);
        compare::assert_same_contents(&master, replica);
    }
    assert_eq!(scenario::syncs(&master).0, 2, "full syncs");
    write(&master, seed ^ 2, 500);
    for replica in &replicas {
        compare::assert_same_contents(&master, replica);
    }

    // What was written after the snapshot is lost with the master: whoever has it begins anew, and it is said why.
    master.must(&["SAVE"]);
    write(&master, seed ^ 3, 500);
    replicas.iter().for_each(|replica| compare::wait_caught_up(&master, replica));
    master.kill();
    master.restart(&[]);
    for replica in &replicas {
        scenario::wait_follows(&master, replica);
        compare::assert_same_contents(&master, replica);
    }
    assert_eq!(scenario::syncs(&master).0, 4, "full syncs");
    master.wait_logged("ahead of its branch");
}

#[test]
fn whoever_is_behind_continues_from_the_tail_that_a_clean_stop_leaves() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT, FILE]);
    let replica = Node::start("replica", 3, &[QUICK_TIMEOUT]);
    load::fill(&master, 3000, seed);
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    let tail = master.file("dump.rdb.tail");
    for round in 0..2 {
        proxy.part();
        write(&master, seed ^ round, 1000);
        let large = vec![b'x'; 3_000_000];
        master.must(&[&b"SET"[..], b"large", &large]);
        wait_alone(&master);
        assert_eq!(master.stop(), Some(0));
        assert!(tail.exists());
        master.restart(&[]);
        proxy.heal();
        scenario::wait_follows(&master, &replica);
        compare::assert_same_contents(&master, &replica);
        assert_eq!(scenario::syncs(&master).0, 1, "full syncs");
    }

    // A tail that is damaged is none; a snapshot takes the one of its predecessor with it.
    proxy.part();
    write(&master, seed ^ 7, 300);
    wait_alone(&master);
    assert_eq!(master.stop(), Some(0));
    let mut bytes = std::fs::read(&tail).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tail, bytes).expect("it can be written");
    master.restart(&[]);
    proxy.heal();
    scenario::wait_follows(&master, &replica);
    compare::assert_same_contents(&master, &replica);
    assert_eq!(scenario::syncs(&master).0, 2, "full syncs");
    master.wait_logged("is ignored: its sum is wrong");
    master.must(&["SAVE"]);
    assert!(!tail.exists());
}

#[test]
fn a_replica_that_is_started_anew_continues_from_its_own_snapshot() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT, FILE]);
    load::fill(&master, 3000, seed);
    let upstream = format!("--replicaof=127.0.0.1:{}", master.port);
    let mut replicas = [2, 3].map(|shards| {
        let replica = Node::start("replica", shards, &[QUICK_TIMEOUT, FILE, &upstream]);
        scenario::wait_follows(&master, &replica);
        replica
    });
    for (round, replica) in (0..).zip(&mut replicas) {
        assert_eq!(replica.stop(), Some(0));
        write(&master, seed ^ round, 500);
        replica.restart(&[]);
        scenario::wait_follows(&master, replica);
        compare::assert_same_contents(&master, replica);
        // Of a moment in the middle of it: the rest comes once more.
        let load = Load::start(&master, seed ^ round ^ 8, Plan { keys: 3000, ..Plan::default() });
        for _ in 0..3 {
            load.wait_for(500);
            replica.must(&["SAVE"]);
            load.wait_for(500);
            replica.kill();
            replica.restart(&[]);
            scenario::wait_follows(&master, replica);
        }
        load.stop();
        compare::assert_same_contents(&master, replica);
        assert_eq!(scenario::syncs(&master).0, 2, "full syncs");
    }
    // All of them at once, as after a failure of the power behind a clean stop.
    for replica in &mut replicas {
        assert_eq!(replica.stop(), Some(0));
    }
    write(&master, seed ^ 9, 500);
    assert_eq!(master.stop(), Some(0));
    master.restart(&[]);
    for replica in &mut replicas {
        replica.restart(&[]);
        scenario::wait_follows(&master, replica);
        compare::assert_same_contents(&master, replica);
    }
    assert_eq!(scenario::syncs(&master).0, 2, "full syncs");
}

/// Clients that count, each in keys of its own, and come back after a break; what each has had acknowledged.
struct Counters {
    stop: Arc<AtomicBool>,
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Counters {
    fn start(port: u16, count: usize) -> Counters {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Vec<Arc<AtomicU64>> = (0..count).map(|_| Arc::default()).collect();
        let counts = |(number, acknowledged): (usize, &Arc<AtomicU64>)| {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let Ok(mut client) = Client::connect(port) else {
                        thread::sleep(Duration::from_millis(5));
                        continue;
                    };
                    while !stop.load(Ordering::Acquire) {
                        let next = (acknowledged.load(Ordering::Acquire) + 1).to_string();
                        let (one, two) = (format!("one:{number}"), format!("two:{number}"));
                        // Something ends by itself all the time.
                        let brief = ["SET", &format!("brief:{next}"), "x", "PX", "20"];
                        if client.try_call(&brief).is_err() {
                            break;
                        }
                        match client.try_call(&["MSET", &one, &next, &two, &next]) {
                            Ok(reply) if text(&reply) == "OK" => {
                                acknowledged.fetch_add(1, Ordering::AcqRel);
                            }
                            Ok(_) => thread::sleep(Duration::from_millis(5)),
                            Err(_) => break,
                        }
                    }
                }
            })
        };
        let threads = acknowledged.iter().enumerate().map(counts).collect();
        Counters { stop, acknowledged, threads }
    }

    fn wait_for(&self, more: u64) {
        let goals = self.acknowledged.iter().map(|count| count.load(Ordering::Acquire) + more);
        let goals: Vec<u64> = goals.collect();
        wait::until("all count on", || {
            let counts = self.acknowledged.iter().map(|count| count.load(Ordering::Acquire));
            counts.zip(&goals).all(|(count, goal)| count >= *goal)
        });
    }

    /// Ends them; the node must have all that it acknowledged, and of each MSET all or nothing.
    fn end(mut self, node: &Node) {
        self.stop.store(true, Ordering::Release);
        self.threads.drain(..).for_each(|thread| thread.join().expect("a counter"));
        let mut client = node.client();
        for (number, acknowledged) in self.acknowledged.iter().enumerate() {
            let keys = [format!("one:{number}"), format!("two:{number}")];
            let [one, two] = keys.map(|key| text(&client.must(&["GET", &key])));
            assert_eq!(one, two, "half an MSET");
            let (has, wanted) = (one.parse::<u64>().unwrap(), acknowledged.load(Ordering::Acquire));
            assert!(has >= wanted, "counter {number} is at {has}, {wanted} was acknowledged");
        }
    }
}

#[test]
fn a_rolling_restart_under_load_costs_no_full_sync_and_loses_nothing() {
    let seed = support::seed();
    for (shards, replica_shards) in [(2, 2), (3, 2)] {
        let mut master = Node::start("master", shards, &[QUICK_TIMEOUT, FILE]);
        load::fill(&master, 2000, seed);
        let upstream = format!("--replicaof=127.0.0.1:{}", master.port);
        let mut replica = Node::start("replica", replica_shards, &[QUICK_TIMEOUT, FILE, &upstream]);
        scenario::wait_follows(&master, &replica);
        let counters = Counters::start(master.port, 3);
        for replica_first in [true, false] {
            counters.wait_for(100);
            if replica_first {
                assert_eq!(replica.stop(), Some(0));
                counters.wait_for(100);
                replica.restart(&[]);
                scenario::wait_follows(&master, &replica);
            }
            assert_eq!(master.stop(), Some(0));
            master.restart(&[]);
            counters.wait_for(100);
            scenario::wait_follows(&master, &replica);
            if !replica_first {
                assert_eq!(replica.stop(), Some(0));
                counters.wait_for(100);
                replica.restart(&[]);
                scenario::wait_follows(&master, &replica);
            }
        }
        counters.end(&master);
        compare::assert_same_contents(&master, &replica);
        assert_eq!(scenario::syncs(&master).0, 1, "full syncs on {shards} and {replica_shards}");
        assert!(scenario::syncs(&master).1 >= 4, "partial syncs on {shards} and {replica_shards}");
    }
}

/// What a Redis said behind the last snapshot went on to the replica, which was ahead of it then.
#[test]
fn a_node_that_follows_a_busy_redis_is_started_anew_without_a_full_sync_of_its_replica() {
    let seed = support::seed();
    let redis = Redis::start(&["--repl-diskless-sync-delay", "0"]);
    let mut node = Node::start("node", 2, &[QUICK_TIMEOUT, FILE]);
    let replica = Node::start("replica", 3, &[QUICK_TIMEOUT]);
    node.must(&["REPLICAOF", "127.0.0.1", &redis.port.to_string()]);
    scenario::wait_stable(&node);
    scenario::follow(&replica, node.port);
    scenario::wait_stable(&replica);
    let writer = Writer::start(redis.client(), seed);
    for round in 1..=3 {
        writer.wait_for(500);
        assert_eq!(node.stop(), Some(0));
        node.restart(&[&format!("--replicaof=127.0.0.1:{}", redis.port)]);
        wait::until("the replica is back", || {
            let (full, partial) = scenario::syncs(&node);
            full + partial > round
        });
    }
    drop(writer);
    redis::wait_caught_up(&redis, &node);
    compare::assert_same_contents(&node, &replica);
    let (full, partial) = scenario::syncs(&node);
    assert_eq!((full, partial), (1, 3), "full and partial syncs of the replica");
}

/// How many keys a file has, by what their names begin with.
fn keys_of(path: &Path) -> BTreeMap<String, usize> {
    let bytes = std::fs::read(path).expect("a file");
    let (mut reader, mut keys) = (Reader::default(), BTreeMap::new());
    reader.push(&bytes);
    loop {
        match reader.next().expect("a whole file") {
            Event::Whole(facts, _) | Event::Begin(facts, _) => {
                let name = String::from_utf8_lossy(facts.key);
                *keys.entry(name.split(':').next().unwrap_or_default().to_owned()).or_default() +=
                    1;
            }
            Event::More | Event::End => {
                reader.end().expect("all of it");
                return keys;
            }
            _ => {}
        }
    }
}

#[test]
fn no_file_of_a_replica_that_changes_its_master_is_of_two_data_sets() {
    let rounds = if support::soak() { 200 } else { 40 };
    let masters = [("a", "20000"), ("b", "30000")].map(|(name, count)| {
        let master = Node::start(name, 2, &[]);
        master.must(&["DEBUG", "POPULATE", count, name, "16"]);
        master
    });
    let redis = Redis::start(&[]);
    let fill = "for i = 1, 25000 do redis.call('SET', 'c:' .. i, i) end";
    redis.client().must(&["EVAL", fill, "0"]);
    let replica = Node::start("replica", 2, &[FILE]);
    // From the first of them on it has the keys of one.
    scenario::follow(&replica, masters[0].port);
    scenario::wait_follows(&masters[0], &replica);
    let (file, stop) = (replica.file("dump.rdb"), Arc::new(AtomicBool::new(false)));
    let toggles = {
        let (stop, port) = (stop.clone(), replica.admin_port);
        let ports = [masters[0].port, masters[1].port, redis.port].map(|port| port.to_string());
        thread::spawn(move || {
            let mut client = Client::connect(port).expect("the node serves");
            while !stop.load(Ordering::Acquire) {
                for port in &ports {
                    client.call(&["REPLICAOF", "127.0.0.1", port]);
                    thread::sleep(Duration::from_millis(fastrand::u64(..150)));
                }
            }
        })
    };
    let whole = [("a", 20_000), ("b", 30_000), ("c", 25_000)];
    let whole = whole.map(|(name, count)| BTreeMap::from([(name.to_owned(), count)]));
    let (mut good, mut refused) = (0, 0);
    while good < rounds {
        match text(&replica.call(&["SAVE"])) {
            said if said == "OK" => {
                let keys = keys_of(&file);
                assert!(whole.contains(&keys), "{good}: {keys:?}");
                good += 1;
            }
            said => {
                let is_known = said.contains("full sync")
                    || said.starts_with("LOADING")
                    // It has begun since the command was let in.
                    || said.contains("data is being loaded");
                assert!(is_known || said.contains("changed time and again"), "{said}");
                refused += 1;
            }
        }
        wait::let_pass(Duration::from_millis(fastrand::u64(..15)));
    }
    stop.store(true, Ordering::Release);
    toggles.join().expect("the toggling client");
    println!("{good} files, {refused} refused");
}

#[test]
fn sigterm_in_a_full_sync_ends_the_process_and_leaves_the_last_good_file() {
    let master = Node::start("master", 2, &[]);
    master.must(&["DEBUG", "POPULATE", "200000", "key", "200"]);
    let mut replica = Node::start("replica", 2, &[FILE]);
    replica.must(&["SET", "own", "1"]);
    replica.must(&["SAVE"]);
    let good = std::fs::read(replica.file("dump.rdb")).expect("a file");
    let proxy = Proxy::to(master.port);
    proxy.delay(Duration::from_millis(20));
    scenario::follow(&replica, proxy.port);
    scenario::wait_full_sync(&replica);
    let refused = text(&replica.call(&["SAVE"]));
    assert!(refused.contains("full sync") || refused.starts_with("LOADING"), "{refused}");
    assert_eq!(replica.stop(), Some(0));
    assert_eq!(std::fs::read(replica.file("dump.rdb")).expect("a file"), good);
}
