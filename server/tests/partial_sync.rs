//! After a break only what was missed is sent: a link that is cut for a while under load, and siblings
//! of a promoted replica that are not ahead of it. Who is ahead starts anew, and the log names the shard.

mod support;

use std::time::Duration;
use support::compare;
use support::load::{self, Load, Plan};
use support::node::Node;
use support::process;
use support::proxy::Proxy;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

#[test]
fn cuts_under_load_end_in_partial_syncs_only() {
    let seed = support::seed();
    let (cuts, time) = if support::soak() { (20, 5000) } else { (3, 1000) };
    let master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 3, &[QUICK_TIMEOUT]);
    load::fill(&master, 5000, seed);
    let load = Load::start(&master, seed, Plan { keys: 5000, ..Plan::default() });
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    for _ in 0..cuts {
        scenario::part_for(&proxy, Duration::from_millis(time), &load);
        scenario::wait_follows(&master, &replica);
    }
    load.stop();
    compare::assert_same(&master, &replica);
    let (full, partial) = scenario::syncs(&master);
    assert_eq!((full, partial), (1, cuts), "full and partial syncs");
}

/// A master and two replicas, the second behind a proxy.
struct Family {
    master: Node,
    elder: Node,
    younger: Node,
    before_elder: Proxy,
    before_younger: Proxy,
}

fn family(shards: (u16, u16, u16), seed: u64) -> Family {
    let master = Node::start("master", shards.0, &[QUICK_TIMEOUT]);
    let elder = Node::start("elder", shards.1, &[QUICK_TIMEOUT]);
    let younger = Node::start("younger", shards.2, &[QUICK_TIMEOUT]);
    load::fill(&master, 3000, seed);
    let (before_elder, before_younger) = (Proxy::to(master.port), Proxy::to(master.port));
    scenario::follow(&elder, before_elder.port);
    scenario::follow(&younger, before_younger.port);
    scenario::wait_follows(&master, &elder);
    scenario::wait_follows(&master, &younger);
    Family { master, elder, younger, before_elder, before_younger }
}

/// A family whose master is gone: the elder was promoted, and the younger misses the end of the old journal.
fn bereaved(shards: (u16, u16, u16), seed: u64) -> Family {
    let mut family = family(shards, seed);
    write(&family.master, seed ^ 1, 500);
    compare::wait_caught_up(&family.master, &family.younger);
    family.before_younger.part();
    write(&family.master, seed ^ 2, 500);
    compare::wait_caught_up(&family.master, &family.elder);
    family.master.kill();
    family.elder.must(&["REPLICAOF", "NO", "ONE"]);
    family
}

/// Writes for a while.
fn write(node: &Node, seed: u64, commands: u64) {
    let load = Load::start(node, seed, Plan { keys: 3000, ..Plan::default() });
    load.wait_for(commands);
    load.stop();
}

#[test]
fn a_sibling_that_is_not_ahead_continues_partially() {
    for shards in [(2, 2, 2), (3, 2, 1), (1, 3, 2), (2, 1, 4)] {
        let seed = support::seed();
        let Family { elder, younger, .. } = &bereaved(shards, seed);
        write(elder, seed ^ 3, 500);
        scenario::follow(younger, elder.port);
        compare::assert_same(elder, younger);
        assert_eq!(scenario::syncs(elder).0, 0, "{shards:?}: full syncs for the sibling");
        assert!(scenario::syncs(elder).1 > 0, "{shards:?}: partial syncs for the sibling");
        write(elder, seed ^ 4, 500);
        compare::assert_same(elder, younger);

        let newcomer = Node::start("newcomer", 2, &[QUICK_TIMEOUT]);
        scenario::follow(&newcomer, elder.port);
        write(elder, seed ^ 5, 300);
        compare::assert_same(elder, &newcomer);
        compare::assert_same(elder, younger);
    }
}

/// The middle of a chain follows a promoted sibling: its own replica, which was not as far, is fed the rest of the old
/// journal by the middle, which has it, and goes on in the new one.
#[test]
fn the_end_of_a_chain_that_lags_continues_when_its_middle_follows_a_sibling() {
    for (shards, of_end, is_behind) in [((2, 2, 2), 2, false), ((3, 1, 2), 3, true)] {
        let seed = support::seed();
        let mut family = family(shards, seed);
        let end = Node::start("end", of_end, &[QUICK_TIMEOUT]);
        let before_end = Proxy::to(family.younger.port);
        scenario::follow(&end, before_end.port);
        scenario::wait_follows(&family.younger, &end);
        before_end.part();
        write(&family.master, seed ^ 3, 500);
        compare::wait_caught_up(&family.master, &family.younger);
        if is_behind {
            family.before_younger.part();
            write(&family.master, seed ^ 5, 200);
        }
        compare::wait_caught_up(&family.master, &family.elder);
        family.master.kill();
        family.elder.must(&["REPLICAOF", "NO", "ONE"]);
        write(&family.elder, seed ^ 4, 200);
        scenario::follow(&family.younger, family.elder.port);
        compare::wait_caught_up(&family.elder, &family.younger);
        before_end.heal();
        compare::wait_caught_up(&family.elder, &end);
        compare::assert_same(&family.elder, &end);
        assert_eq!(scenario::syncs(&family.elder).0, 0, "full syncs of the middle, {shards:?}");
        assert_eq!(scenario::syncs(&family.younger).0, 1, "full syncs of the end, {shards:?}");
    }
}

/// The story: its position in the old journal was taken for one in the new one, whose numbers begin with 0 again.
#[test]
fn a_sibling_that_still_reads_the_old_journal_confirms_nothing_of_the_new_one() {
    let seed = support::seed();
    let Family { elder, younger, .. } = &bereaved((2, 2, 2), seed);
    let proxy = Proxy::to(elder.port);
    proxy.delay(Duration::from_millis(200));
    scenario::follow(younger, proxy.port);
    wait::until("it reads the old journal", || scenario::role(elder).contains("catching_up"));
    proxy.stall();
    let mut client = elder.client();
    client.must(&["SET", "new", "1"]);
    assert_eq!(client.must(&["WAIT", "1", "300"]).integer(), Some(0), "it does not have it");
    assert!(scenario::role(elder).contains("catching_up"));
    proxy.heal();
    wait::until("it has it", || client.must(&["WAIT", "1", "1000"]).integer() == Some(1));
    let has = younger.must(&["GET", "new"]);
    assert_eq!(has.bytes(), Some(b"1".as_slice()));
    compare::assert_same(elder, younger);
    assert_eq!(scenario::syncs(elder).0, 0, "full syncs");
}

/// The story: between the old journal and the new one it was nobody's replica, and the node ended without it.
#[test]
fn a_sibling_that_still_reads_the_old_journal_is_waited_for_at_the_end() {
    let seed = support::seed();
    let mut family = bereaved((2, 2, 2), seed);
    let proxy = Proxy::to(family.elder.port);
    proxy.delay(Duration::from_millis(50));
    scenario::follow(&family.younger, proxy.port);
    wait::until("it reads the old journal", || {
        scenario::role(&family.elder).contains("catching_up")
    });
    family.elder.must(&["SET", "new", "1"]);
    assert_eq!(family.elder.stop(), Some(0), "it ends in order");
    let has = family.younger.must(&["GET", "new"]);
    assert_eq!(has.bytes(), Some(b"1".as_slice()));
}

/// The story: its own journal was let go as if somebody else had written in its history, and its replicas synced fully.
#[test]
fn a_master_that_followed_nobody_in_the_end_goes_on_with_its_history() {
    let seed = support::seed();
    let master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 2, &[QUICK_TIMEOUT]);
    load::fill(&master, 3000, seed);
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    proxy.part();
    write(&master, seed ^ 1, 300);
    // Nobody is there, which within a transaction is not waited for.
    let mut client = master.client();
    client.must(&["MULTI"]);
    client.must(&["REPLICAOF", "127.0.0.1", "1"]);
    client.must(&["EXEC"]);
    wait::let_pass(Duration::from_millis(100));
    client.must(&["REPLICAOF", "NO", "ONE"]);
    write(&master, seed ^ 2, 300);
    proxy.heal();
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master).0, 1, "full syncs");
}

#[test]
fn a_sibling_that_is_ahead_starts_anew_and_the_log_names_the_shard() {
    for shards in [(2, 2, 2), (3, 1, 2)] {
        let seed = support::seed();
        let mut family = family(shards, seed);
        compare::wait_caught_up(&family.master, &family.elder);
        // From here on the one that will be promoted misses something.
        family.before_elder.part();
        write(&family.master, seed ^ 1, 500);
        compare::wait_caught_up(&family.master, &family.younger);
        family.master.kill();
        let Family { elder, younger, .. } = &family;
        elder.must(&["REPLICAOF", "NO", "ONE"]);
        scenario::follow(younger, elder.port);
        write(elder, seed ^ 2, 300);
        compare::assert_same(elder, younger);
        assert_eq!(scenario::syncs(elder), (1, 0), "{shards:?}: full and partial syncs");
        let lines = elder.lines_with(scenario::FULL_SYNC);
        assert!(lines[0].contains("shard "), "the reason names the shard: {lines:?}");
        assert!(!younger.lines_with("full sync from").is_empty(), "the sibling says so too");
    }
}

#[test]
fn a_master_that_returns_as_a_replica_continues_when_it_is_not_ahead() {
    let seed = support::seed();
    let family = family((2, 3, 2), seed);
    compare::wait_caught_up(&family.master, &family.elder);
    let Family { master, elder, .. } = &family;
    elder.must(&["REPLICAOF", "NO", "ONE"]);
    write(elder, seed ^ 1, 300);
    scenario::follow(master, elder.port);
    compare::assert_same(elder, master);
    assert_eq!(scenario::syncs(elder).0, 0, "full syncs");
    wait::until("the younger one follows through its old master", || {
        compare::is_stable(&family.younger)
    });
    compare::assert_same(elder, &family.younger);
}

/// Bytes of the value whose link is cut: in a frame of its own it took a buffer as large at either end.
const LONG: u64 = 256 << 20;

/// Beside values, a process takes at most so much: program, logs, buffers of a link, and what is touched ahead, a part of
/// what is in use.
const BESIDE: u64 = 192 << 20;

/// Nobody took a value of hundreds of megabytes otherwise than whole: a link that broke in its middle began again
/// at its beginning, from buffers as large as the value.
#[test]
fn a_link_that_is_cut_in_the_middle_of_a_long_value_goes_on_from_there_in_bounded_memory() {
    let master = Node::start("master", 2, &[]);
    let replica = Node::start("replica", 1, &[]);
    let proxy = Proxy::to(master.port);
    scenario::follow(&replica, proxy.port);
    scenario::wait_follows(&master, &replica);
    let before = proxy.bytes();
    // Of 64 KiB each: the value takes some seconds.
    proxy.delay(Duration::from_millis(1));
    let mut value = vec![b'v'; LONG as usize];
    value.chunks_mut(4096).zip(0u64..).for_each(|(piece, number)| {
        piece[..8].copy_from_slice(&number.to_le_bytes());
    });
    master.must(&[b"SET".as_slice(), b"long", &value]);
    for part in [1, 2] {
        wait::until("a part of the value has come through", || {
            proxy.bytes() - before > part * LONG / 3
        });
        proxy.cut();
    }
    proxy.heal();
    compare::wait_caught_up(&master, &replica);
    // A digest takes copies of its own.
    let peaks = [&master, &replica].map(|node| process::peak_bytes(node.pid()));
    compare::wait_digests_equal(&master, &replica);
    let sent = proxy.bytes() - before;
    assert!(sent < LONG + LONG / 4, "{sent} bytes came through: what was there was sent again");
    assert_eq!(scenario::syncs(&master), (1, 2), "full and partial syncs");
    let [peak, peak_of_replica] = peaks;
    assert!(peak < LONG + BESIDE, "the master took {peak} bytes");
    // Its own copy, and that for replicas of its own until all of it was there.
    assert!(peak_of_replica < 2 * LONG + BESIDE, "the replica took {peak_of_replica} bytes");

    // The same as an item of a full sync.
    let newcomer = Node::start("newcomer", 3, &[]);
    scenario::follow(&newcomer, master.port);
    scenario::wait_follows(&master, &newcomer);
    let peak = process::peak_bytes(newcomer.pid());
    assert!(peak < LONG + BESIDE, "a full sync took {peak} bytes");
    compare::wait_digests_equal(&master, &newcomer);
}
