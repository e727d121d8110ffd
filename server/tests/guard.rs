//! What a replica makes of a master that lost its data, that is silent, or that sends nonsense.

mod support;

use support::compare;
use support::load;
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

/// What `INFO replication` of a node says of `field`.
fn info(node: &Node, field: &str) -> String {
    let text = node.ask(&["INFO", "replication"]).unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

fn size(node: &Node) -> i64 {
    node.must(&["DBSIZE"]).integer().expect("DBSIZE counts")
}

/// The guard opened at the first write to a master that had lost everything.
#[test]
fn a_master_that_lost_its_data_and_took_a_write_does_not_wipe_a_replica() {
    let seed = support::seed();
    let mut master = Node::start("master", 2, &[QUICK_TIMEOUT]);
    let replica = Node::start("replica", 1, &[QUICK_TIMEOUT]);
    let end = Node::start("end", 2, &[QUICK_TIMEOUT]);
    let breaks = ["--break_replication_on_master_restart", QUICK_TIMEOUT];
    let strict = Node::start("strict", 1, &breaks);
    load::fill(&master, 500, seed);
    scenario::follow(&replica, master.port);
    scenario::follow(&strict, master.port);
    scenario::wait_stable(&replica);
    scenario::follow(&end, replica.port);
    compare::assert_same(&master, &end);
    compare::assert_same(&master, &strict);
    let had = size(&replica);

    master.restart(&[]);
    master.must(&["SET", "a", "1"]);
    for node in [&replica, &strict] {
        wait::until("the guard holds", || info(node, "replica_guard_master_keys") == "1");
        assert_eq!(info(node, "replica_guard_holding"), "1");
        assert_eq!(info(node, "replica_guard_own_keys"), had.to_string());
        assert_eq!(size(node), had);
        assert_eq!(node.logged("the guard holds"), 1, "it is said once");
    }
    assert!(compare::is_stable(&end), "who follows a guarded node goes on");
    assert_eq!(size(&end), had);

    // It asks again: a master that is filled anew is followed.
    load::fill(&master, 1000, seed ^ 1);
    assert!(size(&master) >= had);
    compare::assert_same(&master, &replica);
    compare::assert_same(&master, &end);
    assert_eq!(info(&replica, "replica_guard_holding"), "0");

    // But not by who was told to break instead, unless an operator says so.
    wait::until("it has asked once more", || {
        info(&strict, "replica_guard_master_keys").parse().is_ok_and(|keys: i64| keys >= had)
    });
    assert_eq!(size(&strict), had);
    scenario::follow(&strict, master.port);
    compare::assert_same(&master, &strict);
}
