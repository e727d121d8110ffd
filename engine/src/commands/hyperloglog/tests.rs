//! HyperLogLogs by their commands, beyond the examples.

use crate::commands::testing::{Session, check};
use crate::db::Role;
use crate::value::hyperloglog::HyperLogLog;

const NONE: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
const BAD: &str = "-INVALIDOBJ Corrupted HLL object detected";

#[test]
fn what_is_no_hyperloglog_is_refused_in_redis_words() {
    check(&[
        ("SET short HYLL", "+OK"),
        ("PFADD short a", NONE),
        ("PFCOUNT short", NONE),
        ("PFCOUNT nothing short", NONE),
        ("PFMERGE to short", NONE),
        ("PFMERGE short", NONE),
        ("PFDEBUG ENCODING short", NONE),
        ("SET number 1234567890123456", "+OK"),
        ("PFADD number a", NONE),
        ("SET dense HYLL\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x01", "+OK"),
        ("PFADD dense a", NONE),
        (
            "SET strange HYLL\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x01",
            "+OK",
        ),
        ("PFADD strange a", NONE),
        ("EXISTS to", ":0"),
    ]);
}

#[test]
fn what_is_corrupted_is_refused_and_stays_as_it_is() {
    let header = "HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00";
    for opcodes in [
        "\\x00",
        "\\x7f",
        "\\x7f\\xfe",
        "\\x7f\\xff\\x00",
        "\\x7f\\xff\\x80",
        "\\x7f\\xff\\x40",
        "",
    ] {
        let mut session = Session::new();
        let mut run = |request: &str| session.run(request);
        assert_eq!(run(&format!("SET bad {header}\\x80{opcodes}")), "+OK");
        let before = run("GET bad");
        for request in ["PFCOUNT bad", "PFCOUNT bad nothing", "PFMERGE to bad", "PFMERGE bad"] {
            assert_eq!(run(request), BAD, "{request} {opcodes}");
        }
        let many: Vec<String> = (0..100).map(|number| format!("e{number}")).collect();
        let outcome = run(&format!("PFADD bad {}", many.join(" ")));
        assert!(outcome == BAD || opcodes.starts_with("\\x7f\\xf"), "{outcome} {opcodes}");
        if outcome == BAD {
            assert_eq!(run("GET bad"), before);
        }
        for word in ["GETREG", "DECODE", "ENCODING", "TODENSE"] {
            run(&format!("PFDEBUG {word} bad"));
        }
        assert_eq!(run("EXISTS to"), ":0");
        assert_eq!(session.told("PFDEBUG ENCODING bad"), 0);
    }
}

#[test]
fn a_long_string_with_a_header_is_corrupted_and_is_not_read_as_a_whole() {
    let mut session = Session::new();
    let header = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80";
    let bytes = [header.as_slice(), &vec![0x7f; HyperLogLog::LENGTH_MAX]].concat();
    assert_eq!(session.run_args(&[b"SET", b"long", &bytes]), b"+OK\r\n");
    for request in ["PFCOUNT long", "PFADD long a", "PFMERGE long", "PFCOUNT long nothing"] {
        assert_eq!(session.run(request), BAD, "{request}");
    }
}

#[test]
fn only_a_change_is_told_and_once() {
    let mut session = Session::new();
    assert_eq!(session.told("PFADD visitors a b c"), 1);
    assert_eq!(session.told("PFADD visitors a b c"), 0);
    assert_eq!(session.told("PFCOUNT visitors"), 1);
    assert_eq!(session.told("PFCOUNT visitors"), 0);
    assert_eq!(session.told("PFCOUNT visitors nothing"), 0);
    assert_eq!(session.told("PFDEBUG TODENSE visitors"), 1);
    for number in 0..50 {
        let told = session.told(&format!("PFADD visitors more{number}"));
        assert!(told <= 1);
    }
}

#[test]
fn a_replica_counts_and_notes_nothing() {
    let mut session = Session::new();
    session.check(&[("PFADD visitors a b c", ":1")]);
    let before = session.run("GET visitors");
    session.shard.keys.set_role(Role::Replica);
    session.check(&[("PFCOUNT visitors", ":3"), ("PFCOUNT visitors", ":3")]);
    assert_eq!(session.run("GET visitors"), before);
    session.shard.keys.set_role(Role::Master);
    session.shard.keys.set_paused(|| true);
    session.check(&[("PFCOUNT visitors", ":3")]);
    assert_eq!(session.run("GET visitors"), before);
    session.shard.keys.set_paused(|| false);
    session.check(&[("PFCOUNT visitors", ":3")]);
    assert_ne!(session.run("GET visitors"), before);
}

#[test]
fn very_long_elements_and_very_many_go_on_in_slices() {
    let mut session = Session::new();
    let long = vec![b'x'; 700_000];
    assert_eq!(session.run_args(&[b"PFADD", b"one", &long, b"a"]), b":1\r\n");
    assert_eq!(session.run_args(&[b"PFADD", b"one", &long]), b":0\r\n");
    let many: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    session.run(&format!("PFADD many {}", many.join(" ")));
    session.check(&[("PFCOUNT many", ":19891"), ("PFDEBUG ENCODING many", "+dense")]);
    let keys = "many one ".repeat(40);
    session.check(&[(&format!("PFCOUNT {}", keys.trim_end()), ":19894")]);
    session.check(&[(&format!("PFMERGE all {}", keys.trim_end()), "+OK")]);
    session.check(&[("PFCOUNT all", ":19894"), ("PFDEBUG ENCODING all", "+dense")]);
}

#[test]
fn what_is_wrong_with_several_keys_is_said_of_the_first() {
    let other = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let header = "HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x00";
    let corrupted = format!("SET corrupted {header}\\x7f");
    check(&[
        ("PFADD good a", ":1"),
        ("SET text x", "+OK"),
        ("RPUSH list a", ":1"),
        (&corrupted, "+OK"),
        ("PFCOUNT text list", NONE),
        ("PFCOUNT list text", other),
        ("PFCOUNT good text list", NONE),
        ("PFCOUNT good list text", other),
        ("PFCOUNT good corrupted list", BAD),
        ("PFCOUNT good nothing list", other),
        ("PFCOUNT list", other),
        ("PFMERGE to text list", NONE),
        ("PFMERGE to list text", other),
        ("EXISTS to", ":0"),
    ]);
}
