use crate::commands::testing::Session;
use crate::db::PolicyKind;
use crate::types::{DbIndex, Millis};

/// Each changes its key, or tries to.
const WRITES: [(&str, &str); 30] = [
    ("SET k one", "APPEND k s"),
    ("SET k one", "SETRANGE k 1 x"),
    ("SET k one", "SETBIT k 0 1"),
    ("SET k 1", "INCR k"),
    ("SET k 1.5", "INCRBYFLOAT k 1"),
    ("SET k one", "EXPIRE k 100"),
    ("SET k one EX 1000", "PERSIST k"),
    ("SET k one", "GETEX k EX 100"),
    ("RPUSH k a b c", "RPUSH k d"),
    ("RPUSH k a b c", "LPUSHX k d"),
    ("RPUSH k a b c", "LPOP k"),
    ("RPUSH k a b c", "LSET k 0 d"),
    ("RPUSH k a b c", "LINSERT k BEFORE b x"),
    ("RPUSH k a b c", "LTRIM k 0 1"),
    ("RPUSH k a b c", "LREM k 0 a"),
    ("SADD k a b c", "SADD k d"),
    ("SADD k a b c", "SADD k a"),
    ("SADD k a b c", "SREM k a"),
    ("SADD k a b c", "SPOP k"),
    ("HSET k f 1 g 2", "HSET k f 2"),
    ("HSET k f 1 g 2", "HSETNX k h 2"),
    ("HSET k f 1 g 2", "HDEL k g"),
    ("HSET k f 1 g 2", "HINCRBY k f 1"),
    ("HSET k f 1 g 2", "HEXPIRE k 100 FIELDS 1 f"),
    ("ZADD k 1 a 2 b", "ZADD k 3 c"),
    ("ZADD k 1 a 2 b", "ZINCRBY k 1 a"),
    ("ZADD k 1 a 2 b", "ZPOPMIN k"),
    ("XADD k 1-1 f v", "XADD k 2-1 f v"),
    ("XADD k 1-1 f v", "XTRIM k MAXLEN 0"),
    ("PFADD k a", "PFADD k b"),
];

/// The story: what was written all the time and never read was evicted first.
#[test]
fn who_writes_uses_a_key_and_who_asks_about_it_does_not() {
    let asks = [("SET k 1", "EXISTS k"), ("SET k 1", "PTTL k"), ("SET k 1", "TYPE k")];
    let writes = WRITES.iter().map(|(made, used)| (*made, *used, 0));
    for (made, used, idle) in writes.chain(asks.map(|(made, used)| (made, used, 100))) {
        let mut session = Session::new();
        session.run(made);
        let Millis(now) = session.shard.keys.now();
        session.shard.set_now(Millis(now + 100_000));
        session.run(used);
        assert_eq!(session.run("OBJECT IDLETIME k"), format!(":{idle}"), "{used}");
    }
}

#[test]
fn how_often_a_key_is_used_grows_with_writes_and_goes_along_with_its_name() {
    for (made, used) in WRITES {
        let mut session = Session::new();
        session.shard.keys.policy.kind = PolicyKind::AllKeysLfu;
        session.run(made);
        let made_with = session.run("OBJECT FREQ k");
        (0..200).for_each(|_| drop(session.run(used)));
        let grown = session.run("OBJECT FREQ k");
        assert!(grown.starts_with('-') || grown != made_with, "{used}: {grown}");
    }
    let mut session = Session::new();
    session.shard.keys.policy.kind = PolicyKind::AllKeysLfu;
    session.run("SET k 12");
    let twelve = r"\x00\xc0\x0c\x09\x00\xec\xd8\xa9\x9d\x08\x82\xdf\x64";
    session.run(&format!("RESTORE k 0 {twelve} REPLACE FREQ 200"));
    session.check(&[
        ("OBJECT FREQ k", ":200"),
        ("RENAME k other", "+OK"),
        ("OBJECT FREQ other", ":200"),
        ("RENAMENX other k", ":1"),
        ("OBJECT FREQ k", ":200"),
        ("COPY k copied", ":1"),
        ("OBJECT FREQ copied", ":5"),
        ("MOVE k 1", ":1"),
    ]);
    let (policy, now) = (session.shard.keys.policy, session.shard.keys.now());
    let moved = session.shard.keys.peek(DbIndex(1), b"k").expect("it was moved");
    assert_eq!(policy.frequency(moved, now), 200);
}
