//! A frozen replica costs its master nothing: no write waits for it, no CPU is spent on it, memory
//! stays within the journal's bound. Thawed, it continues if the journal still holds its position;
//! else there is exactly one full sync, with the reason in the log.

mod support;

use std::time::{Duration, Instant};
use support::client::{Client, request};
use support::compare;
use support::load::{self, Load, Plan};
use support::node::Node;
use support::process;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

/// Writes `rounds` buffers of `SET`s of `size` bytes; answers the longest wait for a reply.
fn write(client: &mut Client, rounds: u64, size: usize, pause: Duration) -> Duration {
    write_in(client, rounds, 16, size, pause)
}

/// As [`write`], in pipelines of `depth`.
fn write_in(
    client: &mut Client,
    rounds: u64,
    depth: u64,
    size: usize,
    pause: Duration,
) -> Duration {
    let value = vec![b'v'; size];
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let requests: Vec<_> = (0..depth)
            .map(|index| {
                let key = format!("key:{}", (round * depth + index) % 5000);
                request(&[b"SET", key.as_bytes(), &value])
            })
            .collect();
        let began = Instant::now();
        client.pipeline(&requests);
        slowest = slowest.max(began.elapsed());
        std::thread::sleep(pause);
    }
    slowest
}

#[test]
fn no_write_waits_for_a_frozen_replica_and_it_continues_when_thawed() {
    // The link is not given up meanwhile: all that a frozen socket can do is done to the master.
    let master = Node::start("master", 2, &["--replication_timeout=60000"]);
    let replica = Node::start("replica", 2, &["--replication_timeout=60000"]);
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let mut client = master.client();
    let pause = Duration::from_millis(1);
    write(&mut client, 500, 512, pause);

    let usual = write(&mut client, 1500, 512, pause);
    replica.freeze();
    let frozen = write(&mut client, 1500, 512, pause);
    replica.thaw();
    println!("the slowest write: {usual:?} with a live replica, {frozen:?} with a frozen one");
    // 24 MB are far more than the sockets between the two hold: a master that waits, waits here.
    // It would wait for as long as the link lives: no machine is slow enough to be taken for that.
    assert!(frozen < Duration::from_secs(10), "a write waited {frozen:?} for a frozen replica");
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 0), "full and partial syncs: the link never broke");
}

/// Its flow was told at once that there is something to say, said nothing before the rest of its items, which had
/// to wait, and looked again: the master's replication executor did nothing else for minutes.
#[test]
fn who_falls_out_of_the_journal_while_its_full_sync_is_slowed_holds_up_nobody() {
    let flags = ["--snapshot_egress_limit_bytes=3000", "--repl_backlog_size=1mb"];
    let (master, replica) = (Node::start("master", 1, &flags), Node::start("replica", 1, &[]));
    let mut client = master.client();
    client.must(&["DEBUG", "POPULATE", "30", "key", "60000"]);
    scenario::follow(&replica, master.port);
    wait::until("its items go", || master.logged("full sync for replica") > 0);
    write(&mut client, 25, 40_000, Duration::from_millis(10));
    wait::until("it is dropped", || master.logged("fell out of the journal") > 0);
}

#[test]
fn a_frozen_replica_costs_no_cpu() {
    let flags = ["--replication_timeout=60000"];
    let (master, replica) = (Node::start("master", 1, &flags), Node::start("replica", 1, &flags));
    let mut client = master.client();
    // Long pipelines: with short ones the cost of sleeping and waking, which depends on what else the
    // machine does, is most of what is measured.
    let rounds = if support::soak() { 2000 } else { 200 };
    let mut measure = || {
        let before = process::cpu_time(master.pid());
        write_in(&mut client, rounds, 640, 64, Duration::ZERO);
        process::cpu_time(master.pid()) - before
    };
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    measure();
    // Other processes can only make a measurement dearer: the cheapest of several is the program's.
    let (mut live, mut frozen) = (Duration::MAX, Duration::MAX);
    for _ in 0..6 {
        compare::wait_caught_up(&master, &replica);
        live = live.min(measure());
        compare::wait_caught_up(&master, &replica);
        replica.freeze();
        frozen = frozen.min(measure());
        replica.thaw();
    }
    println!("CPU of the master: {live:?} with a live replica, {frozen:?} with a frozen one");
    // A quiet machine shows the goal (10 %); a busy one only that nothing is done for a frozen replica
    // again and again.
    let (share, noise) = if support::soak() { (1.1, 5) } else { (2.0, 100) };
    let bound = live.mul_f64(share) + Duration::from_millis(noise);
    assert!(frozen <= bound, "{frozen:?} of CPU with a frozen replica, {live:?} with a live one");
    assert_eq!(
        scenario::syncs(&master),
        (1, 0),
        "full and partial syncs: nothing else was measured"
    );
}

#[test]
fn memory_stays_within_the_journal_and_one_full_sync_follows() {
    const BACKLOG: u64 = 4 * 1024 * 1024;
    let backlog = format!("--repl_backlog_size={BACKLOG}");
    // The link lives on: only the journal's bound can end it.
    let flags = ["--replication_timeout=60000", backlog.as_str()];
    let master = Node::start("master", 2, &flags);
    let replica = Node::start("replica", 3, &["--replication_timeout=60000"]);
    let mut client = master.client();
    // The data itself has its size, and the journal is full, before memory is measured. In small steps:
    // a live replica on a busy machine is not to fall out of so small a journal.
    write(&mut client, 400, 2000, Duration::ZERO);
    scenario::follow(&replica, master.port);
    for _ in 0..20 {
        write(&mut client, 20, 2000, Duration::ZERO);
        compare::wait_caught_up(&master, &replica);
    }
    assert_eq!(scenario::syncs(&master), (1, 0), "full and partial syncs so far");
    let before = process::resident_bytes(master.pid());
    replica.freeze();
    write(&mut client, 3000, 2000, Duration::ZERO);
    wait::until("the master drops the replica that fell out of the journal", || {
        master.logged("fell out of the journal") > 0
    });
    let after = process::resident_bytes(master.pid());
    println!("resident: {before} before the freeze, {after} after 96 MB of writes");
    assert!(
        after <= before + 4 * BACKLOG,
        "resident memory grew from {before} to {after} bytes with a journal of {BACKLOG}"
    );
    let line = &master.lines_with("fell out of the journal")[0];
    assert!(line.contains("repl_backlog_size"), "the line names what to raise: {line}");
    replica.thaw();
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (2, 0), "one full sync more");
    master.assert_logged("fell out of the journal", 1);
    let stats = support::client::text(&master.must(&["INFO", "stats"]));
    for line in ["sync_full:2", "sync_full_reason_trimmed:1"] {
        assert!(stats.lines().any(|known| known.trim() == line), "{line} is not in {stats}");
    }
    let reason = &master.lines_with(scenario::FULL_SYNC)[1];
    assert!(reason.contains("shard "), "the reason says where the journal is too short: {reason}");
}

#[test]
fn a_freeze_beyond_the_timeout_ends_in_a_partial_sync() {
    let seed = support::seed();
    let master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 3, &[QUICK_TIMEOUT]);
    load::fill(&master, 2000, seed);
    let load = Load::start(&master, seed, Plan { keys: 2000, ..Plan::default() });
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    let left = master.logged("left:");
    replica.freeze();
    wait::until("the master gives up", || master.logged("left:") > left);
    load.wait_for(500);
    replica.thaw();
    scenario::wait_follows(&master, &replica);
    load.stop();
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 1), "full and partial syncs");
}

/// The number behind `name` in INFO memory.
fn memory(client: &mut Client, name: &str) -> u64 {
    let info = support::client::text(&client.must(&["INFO", "memory"]));
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

/// The story: the first SETBIT of a string that the log held for a replica copied all of it, on the shard.
#[test]
fn a_bit_set_in_a_large_string_that_the_journal_holds_copies_little() {
    const LENGTH: usize = 64 << 20;
    let flags = ["--replication_timeout=60000"];
    let (master, replica) = (Node::start("master", 1, &flags), Node::start("replica", 1, &flags));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    replica.freeze();
    let mut client = master.client();
    client.must(&[b"SET", b"large".as_slice(), &vec![b'v'; LENGTH]]);
    let used = |client: &mut Client| memory(client, "used_memory");
    wait::until("what the request needed is given back", || {
        used(&mut client) < (LENGTH + (16 << 20)) as u64
    });
    let resident = || process::resident_bytes(master.pid());
    let before = (used(&mut client), resident());
    for at in 0..8 {
        client.must(&["SETBIT", "large", &(at * LENGTH).to_string(), "1"]);
    }
    let after = (used(&mut client), resident());
    println!("used and resident: {before:?} before the bits were set, {after:?} after");
    let most = |before: u64| before + (4 << 20);
    assert!(after.0 < most(before.0) && after.1 < most(before.1), "{before:?}, then {after:?}");
    replica.thaw();
    compare::wait_digests_equal(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 0), "full and partial syncs: the journal held it");
}

/// The story: several values above the log's bound, one after the other, ended every replica that was not done
/// with the first; all of them were there anyway, because they were the data.
#[test]
fn large_values_that_are_the_data_end_no_replica_however_far_it_is_behind() {
    const LENGTH: usize = 8 << 20;
    let flags = ["--replication_timeout=60000", "--repl_backlog_size=4mb"];
    let (master, replica) = (Node::start("master", 1, &flags), Node::start("replica", 1, &flags));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    replica.freeze();
    let mut client = master.client();
    for number in 0..8u8 {
        client.must(&[b"SET", format!("large:{number}").as_bytes(), &vec![number; LENGTH]]);
        client.must(&["SETBIT", &format!("large:{number}"), "7", "1"]);
    }
    let held = memory(&mut client, "mem_replication_backlog");
    assert!(held < 2 << 20, "the log is charged for {held} bytes");
    replica.thaw();
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 0), "full and partial syncs");
    // Nobody else holds them now, and nobody reads them any more.
    client.must(&["FLUSHALL"]);
    wait::until("the log gives them back", || memory(&mut client, "used_memory") < 6 << 20);
}

/// Collections of some megabytes each, by the letter of their type.
const COLLECTIONS: [&str; 4] = ["list", "set", "zset", "hash"];

/// What a large collection takes here at least.
const COLLECTION: u64 = 4 << 20;

fn populate(client: &mut Client) {
    for kind in COLLECTIONS {
        let words = ["DEBUG", "POPULATE", "1", kind, "32", "RAND", "TYPE", kind, "ELEMENTS"];
        client.must(&[&words[..], &["120000"]].concat());
    }
}

/// The stories: renaming a set or a list of a million wrote all of it into the log, in one piece of work; a sorted set that was
/// copied again and again was counted each time, until its replica was dropped.
#[test]
fn collections_that_are_the_data_cost_the_journal_nothing_however_often_they_are_copied() {
    let flags = ["--replication_timeout=60000", "--repl_backlog_size=8mb"];
    let (master, replica) = (Node::start("master", 2, &flags), Node::start("replica", 1, &flags));
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    let mut client = master.client();
    populate(&mut client);
    compare::wait_caught_up(&master, &replica);
    replica.freeze();
    let before = memory(&mut client, "used_memory");
    for kind in COLLECTIONS {
        let (own, copy) = (format!("{kind}:0"), format!("{kind}:copy"));
        for _ in 0..6 {
            client.must(&["COPY", &own, &copy, "REPLACE"]);
        }
        client.must(&["RENAME", &own, &format!("{kind}:renamed")]);
    }
    let held = memory(&mut client, "mem_replication_backlog");
    assert!(held < 2 << 20, "the log is charged for {held} bytes");
    let more = memory(&mut client, "used_memory") - before;
    assert!(more < COLLECTION, "copies took {more} bytes");
    // One element of each: pages are copied, not collections.
    for (kind, words) in [
        ("list", "RPUSH list:copy one"),
        ("set", "SADD set:copy one"),
        ("zset", "ZADD zset:copy 1 one"),
        ("hash", "HSET hash:copy one 1"),
    ] {
        client.must(&words.split(' ').collect::<Vec<_>>());
        let more = memory(&mut client, "used_memory") - before;
        assert!(more < COLLECTION, "one element of a {kind}: {more} bytes more");
    }
    replica.thaw();
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master), (1, 0), "full and partial syncs: the journal held it");
}
