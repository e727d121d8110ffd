//! Clients that cannot wait, or that others wait for: control commands inside transactions, clients that
//! leave while they wait, floods, and readers that do not read.

mod support;

use engine::resp::client::Reply;
use support::client::{request, text};
use support::node::Node;
use support::scenario::{self, QUICK_TIMEOUT};
use support::wait;

/// The replies of a transaction's commands, without those of MULTI and the queueing.
fn transaction(node: &Node, commands: &[&[&str]]) -> Vec<Reply> {
    let mut requests = vec![request(&["MULTI"])];
    requests.extend(commands.iter().map(|command| request(command)));
    requests.push(request(&["EXEC"]));
    let replies = node.client().pipeline(&requests);
    let exec = replies.last().expect("EXEC answers");
    exec.elements().unwrap_or_else(|| panic!("EXEC: {exec:?}")).to_vec()
}

#[test]
fn a_promotion_inside_exec_comes_after_the_data_and_leaves_no_key_taken() {
    for shards in [1, 2] {
        let (master, replica) =
            (Node::start("master", shards, &[QUICK_TIMEOUT]), Node::start("replica", shards, &[]));
        master.must(&["SET", "k", "v"]);
        let promotions: [&[&[&str]]; 3] = [
            &[&["GET", "k"], &["REPLICAOF", "NO", "ONE"]],
            &[&["REPLICAOF", "NO", "ONE"], &["GET", "k"], &["ROLE"]],
            &[&["SLAVEOF", "NO", "ONE"], &["CLIENT", "KILL", "TYPE", "pubsub"], &["GET", "k"]],
        ];
        for commands in promotions {
            scenario::follow(&replica, master.port);
            wait::until("the key has come", || text(&replica.call(&["GET", "k"])) == "v");
            let replies = transaction(&replica, commands);
            let shown: Vec<String> = replies.iter().map(text).collect();
            for (command, reply) in commands.iter().zip(&shown) {
                let expected = match command[0] {
                    "GET" => "v",
                    "CLIENT" => "0",
                    "ROLE" => "master",
                    _ => "OK",
                };
                assert_eq!(reply.trim(), expected, "{commands:?}: {shown:?}");
            }
            replica.must(&["SET", "k", "v"]);
        }
    }
}

#[test]
fn writes_between_two_changes_of_role_inside_exec_reach_every_replica() {
    let (master, replica) =
        (Node::start("master", 2, &[QUICK_TIMEOUT]), Node::start("replica", 1, &[QUICK_TIMEOUT]));
    scenario::follow(&replica, master.port);
    let replies = transaction(
        &master,
        &[
            &["REPLICAOF", "127.0.0.1", "1"],
            &["SET", "x", "1"],
            &["SET", "y", "1"],
            &["REPLICAOF", "NO", "ONE"],
            &["INCR", "x"],
        ],
    );
    assert_eq!(replies.iter().map(text).collect::<Vec<_>>(), ["OK", "OK", "OK", "OK", "2"]);
    assert_eq!(text(&master.must(&["MGET", "x", "y"])), "2 1");
    scenario::wait_follows(&master, &replica);
    assert_eq!(text(&replica.must(&["MGET", "x", "y"])), "2 1");
}

#[test]
fn a_watched_key_does_not_hold_up_a_promotion_and_settings_inside_exec_answer_in_order() {
    let (master, replica) = (Node::start("master", 2, &[]), Node::start("replica", 2, &[]));
    master.must(&["SET", "k", "v"]);
    scenario::follow(&replica, master.port);
    wait::until("the key has come", || text(&replica.call(&["GET", "k"])) == "v");
    let mut client = replica.client();
    let requests = [
        request(&["WATCH", "k"]),
        request(&["MULTI"]),
        request(&["CONFIG", "SET", "maxmemory-samples", "7"]),
        request(&["HELLO", "3"]),
        request(&["CONFIG", "GET", "maxmemory-samples"]),
        request(&["GET", "k"]),
        request(&["REPLICAOF", "NO", "ONE"]),
        request(&["EXEC"]),
    ];
    let replies = client.pipeline(&requests);
    let exec = replies.last().and_then(Reply::elements).expect("EXEC answers");
    assert_eq!(exec.len(), 5, "{exec:?}");
    assert_eq!(text(&exec[0]), "OK");
    assert!(
        format!("{:?}", exec[2]).starts_with("Map"),
        "its place is behind HELLO: {:?}",
        exec[2]
    );
    assert_eq!((text(&exec[3]), text(&exec[4])), ("v".to_owned(), "OK".to_owned()));
    replica.must(&["SET", "k", "of its own"]);
}
