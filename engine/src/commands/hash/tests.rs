//! Hashes: what transcripts of single commands do not show.

use super::super::testing::{Session, check};
use crate::types::Millis;

fn at(session: &mut Session, millis: u64) {
    session.shard.set_now(Millis(1_000_000 + millis));
}

#[test]
fn fields_whose_time_has_come_are_seen_by_nobody_and_go_with_a_word_to_the_log() {
    let mut session = Session::new();
    session.check(&[
        ("HSET h a 1 b 2 c 3 n 5", ":4"),
        ("HPEXPIRE h 100 FIELDS 3 a b n", "*3 :1 :1 :1"),
        ("HLEN h", ":4"),
    ]);
    at(&mut session, 100);
    // The first look removes them, in one effect.
    assert_eq!(session.told("HLEN h"), 1);
    session.check(&[
        ("HLEN h", ":1"),
        ("HGETALL h", "*2 $1 c $1 3"),
        ("HINCRBY h n 1", ":1"),
        ("HPEXPIRE h 50 FIELDS 2 c n", "*2 :1 :1"),
    ]);
    at(&mut session, 150);
    session.check(&[("HGET h c", "$-1"), ("EXISTS h", ":0")]);
}

#[test]
fn fields_that_nobody_looks_for_expire_in_slices() {
    let mut session = Session::new();
    for number in 0..1000 {
        session.run(&format!("HSETEX h PX 100 FIELDS 1 f{number} 1"));
    }
    session.check(&[
        ("HSET h left 1", ":1"),
        ("HSETEX other PX 100 FIELDS 1 f 1", ":1"),
        ("HSETEX later PX 200 FIELDS 1 f 1", ":1"),
        // What was noted goes with its key.
        ("HSETEX gone PX 100 FIELDS 1 f 1", ":1"),
        ("DEL gone", ":1"),
        ("HSETEX again PX 100 FIELDS 1 f 1", ":1"),
        ("SET again text", "+OK"),
    ]);
    at(&mut session, 100);
    let mut slices = 0;
    while session.shard.heartbeat_once() {
        slices += 1;
    }
    assert!((10..100).contains(&slices), "{slices} slices");
    session.check(&[
        ("EXISTS h other later again gone", ":3"),
        ("HKEYS h", "*1 $4 left"),
        ("HPTTL later FIELDS 1 f", "*1 :100"),
    ]);
    at(&mut session, 200);
    while session.shard.heartbeat_once() {}
    session.check(&[("EXISTS h other later", ":1"), ("DBSIZE", ":2")]);
}

#[test]
fn a_replica_shows_no_field_whose_time_has_come_and_removes_none() {
    let mut session = Session::new();
    session.check(&[
        ("HSET h a 1 b 2", ":2"),
        ("HPEXPIRE h 100 FIELDS 1 a", "*1 :1"),
        ("HSETEX all PX 100 FIELDS 2 a 1 b 2", ":1"),
    ]);
    session.shard.keys.set_role(crate::db::Role::Replica);
    at(&mut session, 100);
    let head = session.shard.head();
    session.check(&[
        ("HGETALL h", "*2 $1 b $1 2"),
        ("HMGET h a b", "*2 $-1 $1 2"),
        ("HLEN h", ":1"),
        ("HEXISTS h a", ":0"),
        ("HSTRLEN h a", ":0"),
        ("HTTL h FIELDS 2 a b", "*2 :-2 :-1"),
        ("HSCAN h 0", "*2 $1 0 *2 $1 b $1 2"),
        ("HRANDFIELD h", "$1 b"),
        ("HRANDFIELD h 2", "*1 $1 b"),
        ("HRANDFIELD h -2", "*2 $1 b $1 b"),
        // Twice as many replies as there are numbers.
        ("HRANDFIELD h -4611686018427387904 WITHVALUES", "-ERR value is out of range"),
        ("HRANDFIELD all", "$-1"),
        ("HRANDFIELD all 3", "*0"),
        ("HLEN all", ":0"),
        ("HGETALL all", "*0"),
    ]);
    while session.shard.heartbeat_once() {}
    assert_eq!(session.shard.head(), head);
}

#[test]
fn a_hash_becomes_large_by_count_or_length_and_stays_so() {
    let fields: Vec<String> = (0..512).map(|number| format!("f{number} {number}")).collect();
    let mut session = Session::new();
    assert_eq!(session.run(&format!("HSET h {}", fields.join(" "))), ":512");
    session.check(&[
        ("OBJECT ENCODING h", "$8 listpack"),
        ("HSET h f1 other", ":0"),
        ("OBJECT ENCODING h", "$8 listpack"),
        ("HSET h more 1", ":1"),
        ("OBJECT ENCODING h", "$9 hashtable"),
        ("HDEL h more", ":1"),
        ("OBJECT ENCODING h", "$9 hashtable"),
    ]);
    for number in 0..512 {
        assert_eq!(session.run(&format!("HDEL h f{number}")), ":1");
    }
    session.check(&[("EXISTS h", ":0")]);
    let long = "x".repeat(65);
    session.run(&format!("HSET v f {long}"));
    session.run(&format!("HSET n {long} 1"));
    session.run(&format!("HINCRBY i {long} 1"));
    session.check(&[
        ("OBJECT ENCODING v", "$9 hashtable"),
        ("OBJECT ENCODING n", "$9 hashtable"),
        ("OBJECT ENCODING i", "$9 hashtable"),
    ]);
}

#[test]
fn what_is_long_or_large_is_answered_as_it_was_set() {
    let mut session = Session::new();
    let (long, name) = ("v".repeat(700_000), "n".repeat(3000));
    let length = long.len();
    session.run(&format!("HSET h short 1 long {long} {name} {long}"));
    for (request, value) in [("HGET h long", &long), (&*format!("HGET h {name}"), &long)] {
        assert_eq!(session.run(request), format!("${length} {value}"));
    }
    assert_eq!(session.run("HSTRLEN h long"), format!(":{length}"));
    // Many fields: set, read and removed in slices.
    let pairs: Vec<String> = (0..5000).map(|number| format!("f{number} {number}")).collect();
    let names: Vec<String> = (0..5000).map(|number| format!("f{number}")).collect();
    assert_eq!(session.run(&format!("HSET many {}", pairs.join(" "))), ":5000");
    assert_eq!(session.run(&format!("HMSET many {}", pairs.join(" "))), "+OK");
    let all = session.run("HGETALL many");
    assert!(all.starts_with("*10000 $"), "{}", &all[..20]);
    assert_eq!(all.split(' ').count(), 20_001);
    assert!(session.run("HKEYS many").starts_with("*5000 $"));
    assert!(session.run("HVALS many").starts_with("*5000 $"));
    for (count, shown) in [("5000", 5000), ("4000", 4000), ("1000", 1000), ("-6000", 6000)] {
        let chosen = session.run(&format!("HRANDFIELD many {count}"));
        let mut chosen: Vec<&str> = chosen.split(' ').skip(2).step_by(2).collect();
        assert_eq!(chosen.len(), shown);
        chosen.sort_unstable();
        chosen.dedup();
        assert!(chosen.len() == shown || count.starts_with('-'));
    }
    let values = session.run(&format!("HMGET many {}", names.join(" ")));
    assert!(values.ends_with("$4 4998 $4 4999"));
    let asked = format!("FIELDS 5000 {}", names.join(" "));
    assert!(session.run(&format!("HEXPIRE many 100 {asked}")).ends_with(":1 :1"));
    assert!(session.run(&format!("HTTL many {asked}")).ends_with(":100 :100"));
    assert!(session.run(&format!("HPERSIST many {asked}")).ends_with(":1 :1"));
    assert!(session.run(&format!("HGETEX many EX 5 {asked}")).ends_with("$4 4999"));
    let given = format!("FIELDS 5000 {}", pairs.join(" "));
    assert_eq!(session.run(&format!("HSETEX many FNX {given}")), ":0");
    assert_eq!(session.run(&format!("HSETEX many FXX EX 7 {given}")), ":1");
    assert_eq!(session.run("HTTL many FIELDS 1 f4999"), "*1 :7");
    let mut cursor = "0".to_owned();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let reply = session.run(&format!("HSCAN many {cursor} COUNT 100 NOVALUES"));
        let words: Vec<&str> = reply.split(' ').collect();
        seen.extend(words[4..].iter().skip(1).step_by(2).map(|name| (*name).to_owned()));
        cursor = words[2].to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 5000);
    assert_eq!(session.run(&format!("HDEL many {}", names[1..].join(" "))), ":4999");
    assert!(session.run(&format!("HGETDEL many {asked}")).ends_with("$-1 $-1"));
    session.check(&[("EXISTS many", ":0")]);
}

#[test]
fn requests_that_say_nothing_are_refused_as_in_redis() {
    const FIELDS: &str = "-ERR Mandatory argument FIELDS is missing or not at the right position";
    const COUNT: &str = "-ERR The `numfields` parameter must match the number of arguments";
    const TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    check(&[
        ("HSET h a 1", ":1"),
        ("SET s 1", "+OK"),
        ("HTTL h FIELD 1 a", FIELDS),
        ("HGETEX h EX 10 PX 10 FIELDS 1 a", FIELDS),
        ("HGETEX h FOO FIELDS 1 a", FIELDS),
        ("HGETDEL h FIELD 1 a", FIELDS),
        ("HEXPIRE h 10 FOO FIELDS 1 a", FIELDS),
        ("HTTL h FIELDS 2 a", COUNT),
        ("HGETEX h FIELDS 1 a EX 100", COUNT),
        ("HGETDEL h FIELDS 1 a b", COUNT),
        ("HEXPIRE h 10 FIELDS 1 a NX", COUNT),
        ("HEXPIRE nothing 10 FIELDS 3 a", COUNT),
        ("HEXPIRE s 10 FOO FIELDS 1 a", TYPE),
        ("HEXPIRE s -10 FIELDS 1 a", TYPE),
        ("HTTL s FOO 1 a", TYPE),
        ("HGETEX s FIELDS 1 a", TYPE),
        ("HSETEX s FIELDS 1 a 1", TYPE),
        ("HRANDFIELD s x", "-ERR value is not an integer or out of range"),
        ("HRANDFIELD nothing 1 FOO", "-ERR syntax error"),
        ("HSCAN s x", "-ERR invalid cursor"),
        ("HSCAN s 0", TYPE),
        ("HSCAN nothing 0 COUNT", "*2 $1 0 *0"),
        ("HSCAN h 0 COUNT", "-ERR syntax error"),
        ("HINCRBY s a x", "-ERR value is not an integer or out of range"),
        ("HINCRBYFLOAT s a x", "-ERR value is not a valid float"),
        ("HINCRBYFLOAT h a 1e5000", "-ERR value is not a valid float"),
        ("HSETEX h EX x FIELDS 1 a 1", "-ERR value is not an integer or out of range"),
        ("HSETEX h EX -1 FIELDS 1 a 1", "-ERR invalid expire time, must be >= 0"),
        ("HGETEX h EXAT -5 FIELDS 1 a", "-ERR invalid expire time, must be >= 0"),
        ("HGETALL h", "*2 $1 a $1 1"),
    ]);
}

#[test]
fn a_change_is_told_by_what_it_changes_and_nothing_is_told_where_nothing_changes() {
    let mut session = Session::new();
    session.run("HSET h a 1 b 2 c 3");
    for (request, records) in [
        ("HSET h d 4", 1),
        ("HDEL h nothing", 0),
        ("HDEL h d nothing", 1),
        ("HSETNX h a 5", 0),
        ("HINCRBY h a 5", 1),
        ("HEXPIRE h 100 FIELDS 2 a b", 1),
        ("HEXPIRE h 100 NX FIELDS 2 a b", 0),
        ("HPERSIST h FIELDS 3 a c d", 1),
        ("HPERSIST h FIELDS 2 a c", 0),
        ("HGETEX h FIELDS 2 a c", 0),
        ("HGETEX h PERSIST FIELDS 2 a c", 0),
        ("HGETEX h EX 10 FIELDS 2 a c", 1),
        ("HGETDEL h FIELDS 2 nothing nowhere", 0),
        ("HGETALL h", 0),
        // The fields, and the key.
        ("HDEL h a b c", 2),
    ] {
        assert_eq!(session.told(request), records, "{request}");
    }
}

#[test]
fn replies_of_resp3_are_those_of_redis() {
    let mut session = Session::new();
    session.protocol = crate::resp::Protocol::Resp3;
    session.check(&[
        ("HSET h a 1", ":1"),
        ("HGETALL h", "%1 $1 a $1 1"),
        ("HKEYS h", "*1 $1 a"),
        ("HVALS h", "*1 $1 1"),
        ("HGETALL nothing", "%0"),
        ("HRANDFIELD nothing", "_"),
        ("HRANDFIELD h 1 WITHVALUES", "*1 *2 $1 a $1 1"),
        ("HRANDFIELD h -2 WITHVALUES", "*2 *2 $1 a $1 1 *2 $1 a $1 1"),
        ("HMGET h a b", "*2 $1 1 _"),
        ("HSCAN h 0", "*2 $1 0 *2 $1 a $1 1"),
        ("HINCRBYFLOAT h a 1.5", "$3 2.5"),
    ]);
}

/// The bytes of a reply that is a string.
fn bulk(reply: &[u8]) -> Vec<u8> {
    let at = reply.iter().position(|byte| *byte == b'\n').expect("a length");
    reply[at + 1..reply.len() - 2].to_vec()
}

#[test]
fn hashes_are_dumped_and_restored_with_what_they_are() {
    let mut session = Session::new();
    let (long, name) = ("v".repeat(300_000), "n".repeat(3000));
    session.run("HSET small a 1 b -70000 c text");
    session.run("HSETEX timed PX 5000 FIELDS 2 a 1 b 2");
    session.run("HSET timed c 3");
    session.run(&format!("HSET long {name} {long} b 2"));
    let many: Vec<String> = (0..3000).map(|number| format!("f{number} {number}")).collect();
    session.run(&format!("HSET many {}", many.join(" ")));
    session.run("HPEXPIRE many 7000 FIELDS 1 f5");
    for (key, form) in [
        ("small", "$8 listpack"),
        ("timed", "$10 listpackex"),
        ("long", "$9 hashtable"),
        ("many", "$9 hashtable"),
    ] {
        let payload = bulk(&session.run_args(&[b"DUMP", key.as_bytes()]));
        assert_eq!(session.run_args(&[b"RESTORE", b"copy", b"0", &payload]), b"+OK\r\n");
        assert_eq!(session.run("OBJECT ENCODING copy"), form, "{key}");
        assert_eq!(session.run("HLEN copy"), session.run(&format!("HLEN {key}")));
        for field in ["a", "b", "c", "f5", "f2999", &*name] {
            for request in ["HGET _ ?", "HPTTL _ FIELDS 1 ?"] {
                let asked = |key| request.replace('_', key).replace('?', field);
                assert_eq!(session.run(&asked("copy")), session.run(&asked(key)), "{key} {field}");
            }
        }
        session.run("DEL copy");
    }
}
