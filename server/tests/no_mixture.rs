//! Readers of a replica never see half of a transaction: keys that the master changes only together,
//! by MSET or by MULTI, on one shard or on several, also when the replica cuts the keys into other
//! shards, and also right after a cut link has come back.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use support::client::{Client, request, text};
use support::node::Node;
use support::proxy::Proxy;
use support::{compare, scenario, wait};

/// Keys that are always written together.
const TOGETHER: usize = 6;

/// Groups of such keys: some with a tag (one shard), some without (several).
const GROUPS: usize = 8;

fn keys(group: usize) -> Vec<String> {
    let name = |index: usize| match group % 2 {
        0 => format!("{{group{group}}}:{index}"),
        _ => format!("key{index}:of{group}"),
    };
    (0..TOGETHER).map(name).collect()
}

#[test]
fn a_replica_with_more_shards_shows_no_mixture() {
    run(1, 3);
}

#[test]
fn a_replica_with_fewer_shards_shows_no_mixture() {
    run(3, 1);
}

#[test]
fn a_replica_with_crossing_shards_shows_no_mixture() {
    run(3, 2);
}

/// Changes that readers must have seen.
const CHANGES_WANTED: u64 = 500;

fn run(master_shards: u16, replica_shards: u16) {
    let seed = support::seed();
    let reads_wanted: u64 = if support::soak() { 500_000 } else { 20_000 };
    let master = Node::start("master", master_shards, &[scenario::QUICK_TIMEOUT]);
    let replica = Node::start("replica", replica_shards, &[scenario::QUICK_TIMEOUT]);
    let stop = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicU64::new(0));
    let changes = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..2)
        .map(|number| {
            let (client, stop) = (master.client(), stop.clone());
            thread::spawn(move || write(client, &stop, seed ^ number))
        })
        .collect();
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_stable(&replica);
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let client = replica.client();
            let (stop, reads, changes) = (stop.clone(), reads.clone(), changes.clone());
            thread::spawn(move || read(client, &stop, &reads, &changes, seed ^ (number + 100)))
        })
        .collect();
    let finished = || readers.iter().any(thread::JoinHandle::is_finished);
    for part in 1..=4 {
        wait::until("the readers read", || {
            // Reads prove something only where what they read changes.
            let enough = reads.load(Ordering::Relaxed) >= reads_wanted * part / 4
                && changes.load(Ordering::Relaxed) >= CHANGES_WANTED * part / 4;
            enough || finished()
        });
        if part < 4 {
            proxy.cut();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in writers.into_iter().chain(readers) {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    compare::assert_same(&master, &replica);
    let (reads, changes) = (reads.load(Ordering::Relaxed), changes.load(Ordering::Relaxed));
    println!("{reads} reads saw {changes} changes and no mixture");
    assert!(changes >= CHANGES_WANTED, "only {changes} changes were seen: nothing is proven");
}

/// Writes whole groups with one value each, until told to stop.
fn write(mut client: Client, stop: &AtomicBool, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut requests = Vec::new();
        for _ in 0..4 {
            let value = random.u32(..).to_string();
            let mut keys = keys(random.usize(..GROUPS));
            random.shuffle(&mut keys);
            if random.bool() {
                let mut words = vec!["MSET".to_owned()];
                words.extend(keys.into_iter().flat_map(|key| [key, value.clone()]));
                requests.push(request(&words));
            } else {
                requests.push(request(&["MULTI"]));
                requests.extend(keys.iter().map(|key| request(&["SET", key, &value])));
                requests.push(request(&["EXEC"]));
            }
        }
        for reply in client.pipeline(&requests) {
            assert!(reply.error().is_none(), "{reply:?}");
        }
        // Leaves the processor to those who read.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads whole groups until told to stop; fails at the first mixture.
fn read(mut client: Client, stop: &AtomicBool, reads: &AtomicU64, changes: &AtomicU64, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut last = vec![String::new(); GROUPS];
    while !stop.load(Ordering::Relaxed) {
        let groups: Vec<usize> = (0..8).map(|_| random.usize(..GROUPS)).collect();
        let requests: Vec<_> = groups
            .iter()
            .map(|group| {
                let mut words = vec!["MGET".to_owned()];
                words.extend(keys(*group));
                request(&words)
            })
            .collect();
        for (group, reply) in groups.iter().zip(client.pipeline(&requests)) {
            let values: Vec<String> =
                reply.elements().unwrap_or_else(|| panic!("{reply:?}")).iter().map(text).collect();
            assert!(
                values.iter().all(|value| *value == values[0]),
                "a mixture in group {group}: {values:?}"
            );
            reads.fetch_add(1, Ordering::Relaxed);
            if last[*group] != values[0] {
                last[*group] = values[0].clone();
                changes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Lists and sets between which elements are moved; how many elements all of them have together.
const PLACES: usize = 5;
const ELEMENTS: i64 = 40;

/// What is moved from key to key is at one place, to every reader of a replica with other shards: LMOVE, SMOVE and RENAME
/// change two keys as one.
#[test]
fn what_is_moved_between_collections_is_always_at_one_place() {
    let seed = support::seed();
    let master = Node::start("master", 3, &[scenario::QUICK_TIMEOUT]);
    let replica = Node::start("replica", 2, &[scenario::QUICK_TIMEOUT]);
    let mut client = master.client();
    for number in 0..ELEMENTS {
        let number = number.to_string();
        client.must(&["RPUSH", "list:0", &number]);
        client.must(&["SADD", "set:0", &number]);
    }
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_stable(&replica);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let stop = stop.clone();
        thread::spawn(move || move_about(client, &stop, seed))
    };
    let (mut reader, mut changes, mut last) = (replica.client(), 0, String::new());
    for round in 0..CHANGES_WANTED {
        wait::until("what is read changes", || {
            let shown = places(&mut reader);
            let is_new = shown != last;
            last = shown;
            is_new || writer.is_finished()
        });
        changes += 1;
        if round % (CHANGES_WANTED / 3) == 100 {
            proxy.cut();
            scenario::wait_stable(&replica);
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    compare::assert_same(&master, &replica);
    println!("{changes} changes seen");
}

/// How many elements are at each place; all of them together must be all there are.
fn places(reader: &mut Client) -> String {
    let mut requests = vec![request(&["MULTI"])];
    for place in 0..PLACES {
        requests.push(request(&["LLEN", &format!("list:{place}")]));
        requests.push(request(&["SCARD", &format!("set:{place}")]));
    }
    requests.push(request(&["EXEC"]));
    let replies = reader.pipeline(&requests);
    let counts = replies.last().and_then(|reply| reply.elements()).expect("counts");
    let counts: Vec<i64> = counts.iter().filter_map(|count| count.integer()).collect();
    let all: i64 = counts.iter().sum();
    assert_eq!((counts.len(), all), (2 * PLACES, 2 * ELEMENTS), "a mixture: {counts:?}");
    format!("{counts:?}")
}

/// Moves elements, until told to stop.
fn move_about(mut client: Client, stop: &AtomicBool, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut requests = Vec::new();
        for _ in 0..8 {
            let (from, to) = (random.usize(..PLACES), random.usize(..PLACES));
            let (list, other) = (format!("list:{from}"), format!("list:{to}"));
            let (set, other_set) = (format!("set:{from}"), format!("set:{to}"));
            let element = random.i64(..ELEMENTS).to_string();
            requests.push(match random.u8(..8) {
                0..3 => request(&["LMOVE", &list, &other, "LEFT", "RIGHT"]),
                3..7 => request(&["SMOVE", &set, &other_set, &element]),
                _ => request(&["RENAMENX", &list, &other]),
            });
        }
        client.pipeline(&requests);
        // Leaves the processor to those who read.
        thread::sleep(Duration::from_millis(1));
    }
}
