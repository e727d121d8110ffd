//! Steps that several tests are made of.

use super::compare::{is_stable, offsets};
use super::load::Load;
use super::node::Node;
use super::proxy::Proxy;
use super::wait;
use std::time::Duration;

/// Words of the master's log when a replica begins.
pub(crate) const FULL_SYNC: &str = "full sync for replica";

/// See [`FULL_SYNC`].
pub(crate) const PARTIAL_SYNC: &str = "partial sync for replica";

/// Flags of nodes whose links are tested: a silence of so long breaks a link.
pub(crate) const QUICK_TIMEOUT: &str = "--replication_timeout=1500";

/// `REPLICAOF` through a port; must be taken.
pub(crate) fn follow(replica: &Node, port: u16) {
    let reply = replica.must(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert!(reply.bytes().is_some_and(|text| text.starts_with(b"OK")), "{reply:?}");
}

/// Waits until a replica follows in stable sync.
pub(crate) fn wait_stable(replica: &Node) {
    wait::until("the replica is in stable sync", || is_stable(replica));
}

/// Full and partial syncs that a master has granted so far.
pub(crate) fn syncs(master: &Node) -> (usize, usize) {
    (master.logged(FULL_SYNC), master.logged(PARTIAL_SYNC))
}

/// What the master tells of its replicas, as text.
pub(crate) fn role(node: &Node) -> String {
    node.ask(&["ROLE"]).unwrap_or_default()
}

/// Waits until a node is in the middle of a full sync.
pub(crate) fn wait_full_sync(replica: &Node) {
    wait::until("the replica is in full sync", || role(replica).ends_with("full_sync"));
}

/// The link is down for a while in which the load goes on, and comes back.
pub(crate) fn part_for(proxy: &Proxy, time: Duration, load: &Load) {
    proxy.part();
    wait::let_pass(time);
    load.wait_for(100);
    proxy.heal();
}

/// Whether a node has all that `heads` says.
pub(crate) fn has(node: &Node, heads: &[i64]) -> bool {
    offsets(node).is_some_and(|own| {
        own.len() == heads.len() && own.iter().zip(heads).all(|(own, head)| own >= head)
    })
}

/// Waits until a replica has what its master holds at this moment, while the load goes on.
pub(crate) fn wait_follows(master: &Node, replica: &Node) {
    let heads = wait::until_some("the master's offsets", || offsets(master));
    wait::until("the replica gets what is written", || is_stable(replica) && has(replica, &heads));
}
