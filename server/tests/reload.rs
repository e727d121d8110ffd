//! DEBUG RELOAD: the data goes into its file and comes back out of it.

mod support;

use engine::resp::client::Reply;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use support::client::text;
use support::compare;
use support::node::Node;
use support::scenario::{follow, wait_stable};

fn node(shards: u16) -> (tempfile::TempDir, Node) {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = format!("--dir={}", directory.path().display());
    let node = Node::start("node", shards, &["--dbfilename=dump.rdb", &dir]);
    (directory, node)
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
    assert_eq!(node.logged("full sync for replica"), 2);
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
    for (bytes, said) in [(&b"REDIS9999"[..], "is not known"), (b"REDI", "ends too early")] {
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
