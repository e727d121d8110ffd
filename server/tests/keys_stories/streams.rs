//! Readers of streams who wait: for entries behind the last, and as consumers of a group.

use super::support::client::{Client, request, text};
use super::support::node::Node;
use super::waiting::{answer, until_blocked, waiting};
use std::time::{Duration, Instant};

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

/// The story: looking at the first key made the consumer there, and then the second key was refused.
#[test]
fn a_consumer_comes_into_being_at_all_keys_of_a_request_or_at_none() {
    for shards in [1, 3] {
        let node = Node::start("refused-consumers", shards, &[]);
        let mut control = Client::connect(node.port).expect("the node listens");
        let streams = ["one", "two", "three"];
        for stream in streams {
            control.must(&["XGROUP", "CREATE", stream, "team", "$", "MKSTREAM"]);
        }
        control.must(&["SET", "text", "text"]);
        let mut asks = |keys: &[&str]| {
            let opening = ["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "1", "STREAMS"];
            text(&control.call(&[&opening, keys].concat()))
        };
        for (fourth, id, error) in [
            ("none", ">", "NOGROUP"),
            ("text", ">", "WRONGTYPE"),
            ("one", "x", "ERR Invalid stream ID"),
        ] {
            let answer = asks(&["one", "two", "three", fourth, ">", ">", ">", id]);
            assert!(answer.starts_with(error), "{fourth} {id}: {answer}");
        }
        let consumers = |control: &mut Client, stream| {
            text(&control.must(&["XINFO", "CONSUMERS", stream, "team"]))
        };
        for stream in streams {
            assert_eq!(consumers(&mut control, stream), "", "{shards} shards: {stream}");
        }
        // Served from one, by two askings for it, of which the second gets nothing.
        control.must(&["XADD", "two", "1-1", "f", "v"]);
        let opening = ["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "0", "STREAMS"];
        let keys = ["one", "two", "two", "three", ">", ">", ">", ">"];
        let served = control.must(&[&opening[..], &keys].concat());
        assert_eq!(text(&served), "two 1-1 f v", "{shards} shards");
        for stream in streams {
            let there = consumers(&mut control, stream);
            assert!(there.starts_with("name ann"), "{shards} shards: {stream}: {there}");
        }
    }
}

/// The story: only a consumer that was not known yet was noted when it began to wait; one that came back for years,
/// in vain, was idle for years.
#[test]
fn a_consumer_that_waits_in_vain_was_seen() {
    const LONG: u64 = 300;
    for shards in [1, 3] {
        let node = Node::start("seen-consumers", shards, &[]);
        let mut control = Client::connect(node.port).expect("the node listens");
        for stream in ["one", "two"] {
            control.must(&["XGROUP", "CREATE", stream, "team", "$", "MKSTREAM"]);
        }
        let vain = ["XREADGROUP", "GROUP", "team", "ann", "BLOCK", "1", "STREAMS"];
        let vain = [&vain[..], &["one", "two", ">", ">"]].concat();
        let idle = |control: &mut Client| {
            let told = text(&control.must(&["XINFO", "CONSUMERS", "one", "team"]));
            let idle = told.split(' ').skip_while(|word| *word != "idle").nth(1);
            idle.and_then(|idle| idle.parse::<u64>().ok()).expect("a consumer's idle time")
        };
        assert_eq!(text(&control.must(&vain)), "(nil)");
        let deadline = Instant::now() + Duration::from_secs(20);
        while idle(&mut control) < LONG {
            assert!(Instant::now() < deadline, "time does not pass");
            std::thread::sleep(Duration::from_millis(20));
        }
        let again = Instant::now();
        assert_eq!(text(&control.must(&vain)), "(nil)");
        let idle = idle(&mut control);
        let most = again.elapsed().as_millis() as u64 + 1;
        assert!(idle <= most, "{shards} shards: idle {idle} ms, asked {most} ms ago");
    }
}
