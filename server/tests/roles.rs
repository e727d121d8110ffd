//! Changes of role: another master, no master, a chain whose middle fails, circles, and the guard
//! against an empty master.

mod support;

use std::time::Duration;
use support::client::text;
use support::compare;
use support::load::{self, Load, Plan};
use support::node::Node;
use support::proxy::Proxy;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

fn start(name: &str, shards: u16) -> Node {
    Node::start(name, shards, &[QUICK_TIMEOUT])
}

fn size(node: &Node) -> i64 {
    node.must(&["DBSIZE"]).integer().expect("DBSIZE counts")
}

#[test]
fn another_master_replaces_the_data_of_the_first() {
    let seed = support::seed();
    let (one, two, replica) = (start("one", 2), start("two", 3), start("replica", 2));
    load::fill(&one, 3000, seed);
    one.must(&["SET", "only-on-one", "1"]);
    load::fill(&two, 2000, seed ^ 1);
    two.must(&["SET", "only-on-two", "2"]);
    scenario::follow(&replica, one.port);
    compare::assert_same(&one, &replica);
    let load = Load::start(&two, seed ^ 2, Plan { keys: 2000, ..Plan::default() });
    scenario::follow(&replica, two.port);
    scenario::wait_follows(&two, &replica);
    load.stop();
    compare::assert_same(&two, &replica);
    assert_eq!(text(&replica.must(&["EXISTS", "only-on-one"])), "0");
    assert!(
        scenario::role(&one).trim() == "master",
        "the first master has let go: {}",
        scenario::role(&one)
    );
}

#[test]
fn no_one_keeps_everything_and_takes_writes() {
    let seed = support::seed();
    let (master, replica) = (start("master", 2), start("replica", 3));
    load::fill(&master, 3000, seed);
    let load = Load::start(&master, seed, Plan { keys: 3000, ..Plan::default() });
    scenario::follow(&replica, master.port);
    scenario::wait_follows(&master, &replica);
    load.stop();
    compare::assert_same(&master, &replica);
    let refused = replica.call(&["SET", "key", "1"]);
    assert!(refused.error().is_some_and(|error| error.starts_with(b"READONLY ")), "{refused:?}");
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    compare::assert_equal(&master, &replica);
    assert!(scenario::role(&replica).starts_with("master"));
    replica.must(&["SET", "key", "of its own"]);
    assert_eq!(text(&master.must(&["GET", "key"])), "(nil)");
}

#[test]
fn a_chain_of_three_stays_equal_when_its_middle_fails_and_rises() {
    let seed = support::seed();
    let (top, mut middle, end) = (start("top", 2), start("middle", 3), start("end", 1));
    load::fill(&top, 3000, seed);
    let load = Load::start(&top, seed, Plan { keys: 3000, ..Plan::default() });
    let (before_top, before_middle) = (Proxy::to(top.port), Proxy::to(middle.port));
    scenario::follow(&middle, before_top.port);
    scenario::wait_stable(&middle);
    scenario::follow(&end, before_middle.port);
    scenario::wait_follows(&top, &end);

    // Its middle is cut, on either side.
    for proxy in [&before_top, &before_middle, &before_top] {
        scenario::part_for(proxy, Duration::from_millis(300), &load);
        scenario::wait_follows(&top, &middle);
        scenario::wait_follows(&top, &end);
    }
    assert_eq!(scenario::syncs(&top).0, 1, "full syncs of the middle");
    assert_eq!(scenario::syncs(&middle).0, 1, "full syncs of the end");

    // Its middle is killed and comes back empty.
    middle.restart(&[]);
    scenario::follow(&middle, before_top.port);
    scenario::wait_follows(&top, &end);
    load.stop();
    compare::assert_same(&top, &middle);
    compare::assert_same(&top, &end);

    // Its middle is promoted: the end stays with it.
    middle.must(&["REPLICAOF", "NO", "ONE"]);
    let load = Load::start(&middle, seed ^ 1, Plan { keys: 3000, ..Plan::default() });
    scenario::wait_follows(&middle, &end);
    load.stop();
    compare::assert_same(&middle, &end);
}

#[test]
fn a_node_in_the_middle_of_a_full_sync_is_not_promoted() {
    let seed = support::seed();
    // So slow that the full sync is still under way when we ask.
    let slow = "--snapshot_egress_limit_bytes=50000";
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT, slow]);
    let (other, replica) = (start("other", 1), start("replica", 3));
    load::fill(&master, 3000, seed);
    load::fill(&other, 1000, seed ^ 1);
    let refused = || {
        let reply = replica.call(&["REPLICAOF", "NO", "ONE"]);
        assert!(reply.error().is_some_and(|error| error.starts_with(b"LOADING ")), "{reply:?}");
        assert!(scenario::role(&replica).starts_with("replica"), "it stays what it is");
    };
    scenario::follow(&replica, master.port);
    scenario::wait_full_sync(&replica);
    refused();
    master.must(&["CONFIG", "SET", "snapshot_egress_limit_bytes", "0"]);
    compare::assert_same(&master, &replica);
    assert_eq!(scenario::syncs(&master).0, 1, "the full sync went on where it was");

    // Nor is one whose full sync broke off.
    scenario::follow(&replica, other.port);
    compare::assert_same(&other, &replica);
    master.must(&["CONFIG", "SET", "snapshot_egress_limit_bytes", "50000"]);
    scenario::follow(&replica, master.port);
    scenario::wait_full_sync(&replica);
    master.kill();
    wait::until("the link is down", || scenario::role(&replica).ends_with("connecting"));
    refused();

    // Whoever lets it have a whole copy makes it fit for promotion.
    scenario::follow(&replica, other.port);
    compare::assert_same(&other, &replica);
    replica.must(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(size(&replica), size(&other));
}

#[test]
fn circles_of_any_length_are_refused() {
    let (one, two, three) = (start("one", 1), start("two", 2), start("three", 1));
    let refused = |node: &Node, port: u16| {
        let reply = node.call(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        let error = reply.error().unwrap_or_else(|| panic!("{reply:?}"));
        assert!(error.starts_with(b"ERR "), "{reply:?}");
        assert!(scenario::role(node).starts_with("master"), "{}", scenario::role(node));
    };
    refused(&one, one.port);
    scenario::follow(&two, one.port);
    scenario::wait_stable(&two);
    refused(&one, two.port);
    scenario::follow(&three, two.port);
    scenario::wait_stable(&three);
    refused(&one, three.port);
    one.must(&["SET", "key", "value"]);
    compare::assert_same(&one, &three);
}

#[test]
fn an_empty_master_does_not_wipe_a_replica_by_itself() {
    let seed = support::seed();
    let (mut master, replica) = (start("master", 2), start("replica", 2));
    load::fill(&master, 1000, seed);
    scenario::follow(&replica, master.port);
    compare::assert_same(&master, &replica);
    let all = size(&master);
    master.restart(&[]);
    wait::until("the guard holds", || replica.logged("guard") > 0);
    assert_eq!(size(&replica), all, "the replica keeps its data");
    scenario::follow(&replica, master.port);
    scenario::wait_stable(&replica);
    assert_eq!(size(&replica), 0, "REPLICAOF overrides the guard");
    master.must(&["SET", "key", "value"]);
    compare::assert_same(&master, &replica);
}

#[test]
fn a_replicaof_that_fails_changes_nothing() {
    let (master, replica) = (start("master", 1), start("replica", 1));
    master.must(&["SET", "key", "value"]);
    scenario::follow(&replica, master.port);
    compare::assert_same(&master, &replica);
    let nobody = support::node::free_port().to_string();
    let reply = replica.call(&["REPLICAOF", "127.0.0.1", &nobody]);
    let error = reply.error().map(String::from_utf8_lossy);
    assert!(error.is_some_and(|error| error.contains("could not connect")), "{reply:?}");
    assert!(compare::is_stable(&replica), "the old link goes on");
    master.must(&["SET", "key", "later"]);
    compare::assert_same(&master, &replica);
}
