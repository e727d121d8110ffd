//! Readers of streams who wait: for entries behind the last, and as consumers of a group.

use super::support::client::{Client, request, text};
use super::support::node::Node;
use super::waiting::{answer, until_blocked, waiting};

#[test]
fn who_waits_for_streams_on_several_shards_gets_what_comes_behind_the_last_entry() {
    let node = Node::start("streams", 3, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    control.must(&["XADD", "one", "1-1", "f", "old"]);
    let mut reader = waiting(
        node.port,
        &["XREAD", "BLOCK", "0", "STREAMS", "one", "two", "three", "$", "$", "0"],
    );
    let mut other = waiting(node.port, &["XREAD", "BLOCK", "10000", "STREAMS", "two", "5-1"]);
    until_blocked(&mut control, 2);
    control.must(&["XADD", "two", "5-1", "f", "v"]);
    assert_eq!(answer(&mut reader), "two 5-1 f v");
    control.pipeline(&[
        request(&["MULTI"]),
        request(&["XADD", "two", "6-1", "f", "v"]),
        request(&["XADD", "two", "6-2", "f", "v"]),
        request(&["EXEC"]),
    ]);
    assert_eq!(answer(&mut other), "two 6-1 f v 6-2 f v");
    // What nobody brings ends with the time, and in a transaction nobody waits.
    let mut nobody = waiting(node.port, &["XREAD", "BLOCK", "20", "STREAMS", "none", "$"]);
    assert_eq!(answer(&mut nobody), "(nil)");
    let replies = control.pipeline(&[
        request(&["MULTI"]),
        request(&["XREAD", "BLOCK", "0", "STREAMS", "none", "$"]),
        request(&["EXEC"]),
    ]);
    assert_eq!(text(replies.last().expect("an answer to EXEC")), "(nil)");
}

#[test]
fn consumers_who_wait_get_each_entry_once_in_the_order_in_which_they_came() {
    let node = Node::start("consumers", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    control.must(&["XGROUP", "CREATE", "jobs", "team", "$", "MKSTREAM"]);
    let names = ["ann", "bob", "eve"];
    let mut consumers = Vec::new();
    for name in names {
        consumers.push(waiting(
            node.port,
            &["XREADGROUP", "GROUP", "team", name, "BLOCK", "0", "STREAMS", "jobs", ">"],
        ));
        until_blocked(&mut control, consumers.len());
    }
    for (number, consumer) in consumers.iter_mut().enumerate() {
        let id = format!("{}-0", number + 1);
        control.must(&["XADD", "jobs", &id, "do", "this"]);
        assert_eq!(answer(consumer), format!("jobs {id} do this"));
    }
    let pending = text(&control.must(&["XPENDING", "jobs", "team"]));
    assert_eq!(pending, "3 1-0 3-0 ann 1 bob 1 eve 1");
}

#[test]
fn a_consumer_who_waits_is_woken_by_entries_and_not_by_what_is_done_to_its_group() {
    let node = Node::start("tended", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    control.must(&["XADD", "jobs", "1-1", "do", "this"]);
    control.must(&["XGROUP", "CREATE", "jobs", "team", "$"]);
    let mut consumer = waiting(
        node.port,
        &["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "0", "STREAMS", "jobs", ">"],
    );
    until_blocked(&mut control, 1);
    // It does not come back by itself, nor gets what is there by the group's other place: so in Redis.
    control.must(&["XGROUP", "DELCONSUMER", "jobs", "team", "ann"]);
    control.must(&["XGROUP", "SETID", "jobs", "team", "0"]);
    assert_eq!(text(&control.must(&["XINFO", "CONSUMERS", "jobs", "team"])), "");
    until_blocked(&mut control, 1);
    control.must(&["XADD", "jobs", "2-1", "do", "that"]);
    assert_eq!(answer(&mut consumer), "jobs 1-1 do this 2-1 do that");
}

/// The story: XACK, which wakes nobody, hid from the consumer what the same transaction did to its stream.
#[test]
fn a_consumer_is_told_that_its_group_goes_in_a_transaction_that_has_touched_the_stream_before() {
    let node = Node::start("tended-gone", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    for end in [&["FLUSHALL"][..], &["SWAPDB", "0", "1"], &["DEL", "jobs"]] {
        control.must(&["FLUSHALL"]);
        control.must(&["XGROUP", "CREATE", "jobs", "team", "$", "MKSTREAM"]);
        let mut consumer = waiting(
            node.port,
            &["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "0", "STREAMS", "jobs", ">"],
        );
        until_blocked(&mut control, 1);
        let setid = request(&["XGROUP", "SETID", "jobs", "team", "0"]);
        control.pipeline(&[request(&["MULTI"]), setid, request(end), request(&["EXEC"])]);
        let answer = answer(&mut consumer);
        assert!(answer.starts_with("NOGROUP"), "{end:?}: {answer}");
    }
}

#[test]
fn consumers_whose_group_goes_are_told() {
    let node = Node::start("groups", 2, &[]);
    let mut control = Client::connect(node.port).expect("the node listens");
    for (end, error) in [
        (&["DEL", "jobs"][..], "NOGROUP"),
        (&["XGROUP", "DESTROY", "jobs", "team"], "NOGROUP"),
        (&["SET", "jobs", "text"], "WRONGTYPE"),
        (&["FLUSHALL"], "NOGROUP"),
    ] {
        control.must(&["DEL", "jobs"]);
        control.must(&["XGROUP", "CREATE", "jobs", "team", "$", "MKSTREAM"]);
        let mut consumer = waiting(
            node.port,
            &["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "0", "STREAMS", "jobs", ">"],
        );
        until_blocked(&mut control, 1);
        control.must(end);
        let answer = answer(&mut consumer);
        assert!(answer.starts_with(error), "{end:?}: {answer}");
        until_blocked(&mut control, 0);
    }
}
