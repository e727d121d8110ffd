//! What is special about each string command. The answers are those of a redis-server 7.

use crate::command::arity_of;
use crate::commands::testing::{Session, check};
use crate::journal::Deadline;
use crate::resp::Protocol;
use crate::types::{DbIndex, Millis};
use crate::value::NewValue;

#[test]
fn arities_are_those_of_redis() {
    let expected = [
        ("get", 2),
        ("getdel", 2),
        ("getex", -2),
        ("getset", 3),
        ("set", -3),
        ("setnx", 3),
        ("setex", 4),
        ("psetex", 4),
        ("strlen", 2),
        ("append", 3),
        ("getrange", 4),
        ("substr", 4),
        ("setrange", 4),
        ("incr", 2),
        ("decr", 2),
        ("incrby", 3),
        ("decrby", 3),
        ("incrbyfloat", 3),
        ("mget", -2),
        ("mset", -3),
        ("msetnx", -3),
        ("lcs", -3),
    ];
    let declared = super::COMMANDS.iter().map(|command| (command.name, arity_of(command.usage)));
    assert_eq!(declared.collect::<Vec<_>>(), expected);
}

#[test]
fn set_obeys_its_conditions() {
    check(&[
        ("SET k 1 XX", "$-1"),
        ("SET k 1 NX", "+OK"),
        ("SET k 2 NX", "$-1"),
        ("SET k 2 NX GET", "$1 1"),
        ("SET k 2 XX GET", "$1 1"),
        ("SET k 3 GET GET", "$1 2"),
        ("SET new 3 XX GET", "$-1"),
        ("GET new", "$-1"),
        ("SET new 3 NX GET", "$-1"),
        ("SET new 4 nx NX", "$-1"),
        ("GET new", "$1 3"),
    ]);
}

#[test]
fn set_refuses_words_that_contradict_each_other() {
    for words in [
        "NX XX",
        "XX NX",
        "EX",
        "EX 1 PX 1",
        "EX 1 EXAT 1",
        "KEEPTTL EX 1",
        "EX 1 KEEPTTL",
        "PERSIST",
        "EX 0 nonsense",
        "KEEP",
    ] {
        check(&[(&format!("SET k v {words}"), "-ERR syntax error"), ("GET k", "$-1")]);
    }
    check(&[("SET k v EX 1 EX 5 KEEPTT", "-ERR syntax error"), ("SET k v EX 1 EX 5", "+OK")]);
}

#[test]
fn times_to_live_are_refused_by_name() {
    const NOT_A_NUMBER: &str = "-ERR value is not an integer or out of range";
    for (request, name) in [
        ("SET k v EX", "set"),
        ("SET k v PX", "set"),
        ("SET k v EXAT", "set"),
        ("SET k v PXAT", "set"),
        ("GETEX there EX", "getex"),
        ("GETEX there PXAT", "getex"),
        ("SETEX k", "setex"),
        ("PSETEX k", "psetex"),
    ] {
        let mut session = Session::new();
        session.run("SET there v");
        let end =
            if request.starts_with("SETEX") || request.starts_with("PSET") { " v" } else { "" };
        let invalid = format!("-ERR invalid expire time in '{name}' command");
        assert_eq!(session.run(&format!("{request} 0{end}")), invalid);
        assert_eq!(session.run(&format!("{request} -5{end}")), invalid);
        assert_eq!(session.run(&format!("{request} x{end}")), NOT_A_NUMBER);
        assert_eq!(session.run(&format!("{request} 9223372036854775808{end}")), NOT_A_NUMBER);
        if !request.ends_with("PXAT") {
            assert_eq!(session.run(&format!("{request} 9223372036854775807{end}")), invalid);
        }
    }
    // A key that is not there is no place for a time, however wrong.
    check(&[("GETEX nothing EX 0", "$-1"), ("GETEX nothing EX", "-ERR syntax error")]);
}

/// The deadline of `k` after the requests, which run at the instant 1000000.
fn check_deadline(requests: &[&str], deadline: Option<Option<u64>>) {
    let mut session = Session::new();
    for request in requests {
        let reply = session.run(request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
    }
    let found = session.shard.keys.deadline(DbIndex(0), b"k");
    assert_eq!(found, deadline.map(|at| at.map(Millis)), "{requests:?}");
}

#[test]
fn deadlines_are_set_kept_and_dropped() {
    let forever = Some(None);
    let at = |at| Some(Some(at));
    check_deadline(&["SET k v EX 10"], at(1_010_000));
    check_deadline(&["SET k v PX 10"], at(1_000_010));
    check_deadline(&["SET k v EXAT 1001"], at(1_001_000));
    check_deadline(&["SET k v PXAT 1000001"], at(1_000_001));
    check_deadline(&["SETEX k 10 v"], at(1_010_000));
    check_deadline(&["PSETEX k 10 v"], at(1_000_010));
    check_deadline(&["SET k v KEEPTTL"], forever);
    check_deadline(&["SET k v EX 10", "SET k w KEEPTTL"], at(1_010_000));
    check_deadline(&["SET k v EX 10", "SET k w"], forever);
    check_deadline(&["SET k v EX 10", "GETSET k w"], forever);
    check_deadline(&["SET k v EX 10", "MSET k w"], forever);
    check_deadline(&["SET k 1 EX 10", "INCR k", "INCRBYFLOAT k 1.5"], at(1_010_000));
    check_deadline(&["SET k 1 EX 10", "APPEND k 1", "SETRANGE k 5 1"], at(1_010_000));
    check_deadline(&["SET k v EX 10", "GETEX k"], at(1_010_000));
    check_deadline(&["SET k v EX 10", "GETEX k PERSIST"], forever);
    check_deadline(&["SET k v EX 10", "GETEX k PX 7"], at(1_000_007));
    check_deadline(&["SET k v EX 10", "GETEX k EXAT 5"], None);
    check_deadline(&["SET k v EX 10", "SET k w PXAT 5"], None);
    check_deadline(&["SET k v EX 10", "GETDEL k"], None);
}

#[test]
fn what_changes_nothing_tells_nothing() {
    let mut session = Session::new();
    session.run("SET k 10");
    for request in [
        "GET k",
        "GETEX k",
        "GETEX k PERSIST",
        "GETDEL nothing",
        "SET k v NX",
        "SET nothing v XX",
        "SETNX k v",
        "SETRANGE k 5 ''",
        "SETRANGE nothing 5 ''",
        "MSETNX other 1 k 2",
        "LCS k k",
        "MGET k nothing",
    ] {
        assert_eq!(session.told(request), 0, "{request}");
    }
    for request in
        ["INCR k", "INCRBYFLOAT k 1", "APPEND k 1", "SETRANGE k 0 5", "GETEX k EX 5", "APPEND k ''"]
    {
        assert_eq!(session.told(request), 1, "{request}");
    }
    assert_eq!(session.told("MSET a 1 b 2"), 2);
}

#[test]
fn hits_and_misses_are_counted_where_redis_counts_them() {
    for (request, hits, misses) in [
        ("GET k", 1, 0),
        ("GET no", 0, 1),
        ("GETDEL k", 1, 0),
        ("GETEX no EX 5", 0, 1),
        ("GETSET k v", 1, 0),
        ("SET k v", 0, 0),
        ("SET no v XX", 0, 0),
        ("SET no v GET", 0, 1),
        ("STRLEN k", 1, 0),
        ("GETRANGE no 0 1", 0, 1),
        ("MGET k no k", 2, 1),
        ("INCR no", 0, 0),
        ("APPEND k v", 0, 0),
        ("MSETNX k v no v", 0, 0),
        ("LCS k no", 1, 1),
    ] {
        let mut session = Session::new();
        session.run("SET k 1");
        session.run(request);
        let stats = session.shard.keys.stats;
        assert_eq!((stats.hits, stats.misses), (hits, misses), "{request}");
    }
}

#[test]
fn ranges_are_cut_as_redis_cuts_them() {
    for (start, end, part) in [
        ("0", "-1", "$6 abcdef"),
        ("1", "2", "$2 bc"),
        ("-2", "-1", "$2 ef"),
        ("-1", "-2", "$0"),
        ("-100", "-50", "$1 a"),
        ("-50", "-100", "$0"),
        ("0", "-100", "$1 a"),
        ("5", "100", "$1 f"),
        ("6", "100", "$0"),
        ("3", "2", "$0"),
        ("-9223372036854775808", "9223372036854775807", "$6 abcdef"),
    ] {
        for verb in ["GETRANGE", "SUBSTR"] {
            check(&[("SET k abcdef", "+OK"), (&format!("{verb} k {start} {end}"), part)]);
        }
    }
    check(&[
        ("SET k ''", "+OK"),
        ("GETRANGE k 0 -1", "$0"),
        ("GETRANGE no 0 -1", "$0"),
        ("SET n -123", "+OK"),
        ("GETRANGE n 0 1", "$2 -1"),
        ("GETRANGE no x 1", "-ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn strings_never_grow_beyond_their_limit() {
    const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    check(&[
        ("SETRANGE k 536870912 x", TOO_LONG),
        ("SETRANGE k 536870911 xy", TOO_LONG),
        ("SETRANGE k 9223372036854775807 x", TOO_LONG),
        ("SETRANGE k 536870912 ''", ":0"),
        ("SETRANGE k -1 ''", "-ERR offset is out of range"),
        ("SETRANGE k x ''", "-ERR value is not an integer or out of range"),
        ("SETRANGE k 2 x", ":3"),
        ("GET k", "$3 \\x00\\x00x"),
    ]);
}

#[test]
fn counters_stay_within_64_bits() {
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";
    const NOT_A_NUMBER: &str = "-ERR value is not an integer or out of range";
    check(&[
        ("SET k 9223372036854775806", "+OK"),
        ("INCR k", ":9223372036854775807"),
        ("INCR k", OVERFLOW),
        ("DECRBY k -1", OVERFLOW),
        ("DECRBY k -9223372036854775808", "-ERR decrement would overflow"),
        ("INCRBY k -9223372036854775808", ":-1"),
        ("INCRBY k -9223372036854775807", ":-9223372036854775808"),
        ("DECR k", OVERFLOW),
        ("SET s 01", "+OK"),
        ("INCR s", NOT_A_NUMBER),
        ("INCRBY k 1.5", NOT_A_NUMBER),
        ("INCRBY k +1", NOT_A_NUMBER),
        ("SET p 1", "+OK"),
        ("APPEND p 2", ":2"),
        ("INCR p", ":13"),
    ]);
}

#[test]
fn floats_are_summed_as_long_doubles() {
    const NOT_A_FLOAT: &str = "-ERR value is not a valid float";
    const INFINITE: &str = "-ERR increment would produce NaN or Infinity";
    let long = format!("INCRBYFLOAT k 0.{}", "1".repeat(6000));
    check(&[
        ("INCRBYFLOAT k 0.1", "$3 0.1"),
        ("INCRBYFLOAT k 0.2", "$3 0.3"),
        ("INCRBYFLOAT k -0.3", "$1 0"),
        ("INCRBYFLOAT k 3", "$1 3"),
        ("INCR k", ":4"),
        ("INCRBYFLOAT k inf", INFINITE),
        ("INCRBYFLOAT k nan", NOT_A_FLOAT),
        ("INCRBYFLOAT k ''", NOT_A_FLOAT),
        (&long, NOT_A_FLOAT),
        ("SET k inf", "+OK"),
        ("INCRBYFLOAT k 1", INFINITE),
        ("SET k word", "+OK"),
        ("INCRBYFLOAT k 1", NOT_A_FLOAT),
    ]);
}

#[test]
fn encodings_are_those_of_redis() {
    for (requests, encoding) in [
        (&["SET k 12"][..], "int"),
        (&["APPEND k 12"], "int"),
        (&["SET k 1", "APPEND k 2"], "raw"),
        (&["SETRANGE k 0 12"], "raw"),
        (&["SET k 1", "INCRBYFLOAT k 2"], "embstr"),
        (&["APPEND k 1", "APPEND k 2", "INCR k"], "int"),
        (&["MSETNX k 12"], "int"),
    ] {
        let mut session = Session::new();
        for request in requests {
            session.run(request);
        }
        let item = session.shard.keys.peek(DbIndex(0), b"k").expect("the key was made");
        assert_eq!(item.encoding(), encoding, "{requests:?}");
    }
}

#[test]
fn many_keys_take_pairs() {
    check(&[
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
        ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
        ("MSETNX a 1 a 2", ":1"),
        ("GET a", "$1 2"),
        ("MSET a 1 a 3", "+OK"),
        ("MGET a b a", "*3 $1 3 $-1 $1 3"),
    ]);
    let mut session = Session::new();
    session.protocol = Protocol::Resp3;
    session.check(&[("MGET a", "*1 _"), ("GET a", "_"), ("SET a 1 XX", "_")]);
}

#[test]
fn a_large_value_survives_msetnx_and_ranges() {
    let mut session = Session::new();
    let large = vec![b'x'; 100_000];
    assert_eq!(session.run_args(&[b"MSETNX", b"a", &large, b"b", b"1"]), b":1\r\n");
    session.check(&[("STRLEN a", ":100000"), ("SETRANGE a 99999 yz", ":100001")]);
    session.check(&[("GETRANGE a -3 -1", "$3 xyz"), ("APPEND a 1", ":100002")]);
}

#[test]
fn expired_keys_are_not_there() {
    for (request, reply) in [
        ("GET k", "$-1"),
        ("SET k v XX", "$-1"),
        ("SET k v NX", "+OK"),
        ("INCR k", ":1"),
        ("APPEND k v", ":1"),
        ("SETRANGE k 1 v", ":2"),
        ("SET k v KEEPTTL GET", "$-1"),
        ("MSETNX k v", ":1"),
    ] {
        let mut session = Session::new();
        session.shard.keys.put(DbIndex(0), b"k", NewValue::Int(5), Deadline::At(Millis(1_000_001)));
        session.shard.set_now(Millis(1_000_001));
        assert_eq!(session.run(request), reply, "{request}");
        let forever = session.shard.keys.deadline(DbIndex(0), b"k").flatten();
        assert_eq!(forever, None, "{request}");
    }
}

#[test]
fn keys_that_expire_at_one_instant_are_deleted_in_small_pieces() {
    // A piece once was eight segments whole: 7,000 deletions in one go.
    let mut session = Session::new();
    for number in 0..20_000 {
        let key = format!("key:{number}");
        let due = Deadline::At(Millis(1_000_001));
        session.shard.keys.put(DbIndex(0), key.as_bytes(), NewValue::Int(5), due);
    }
    session.shard.set_now(Millis(1_000_001));
    let mut left = 20_000;
    for _ in 0..1000 {
        session.shard.heartbeat_once();
        let now = session.shard.keys.table(DbIndex(0)).len();
        assert!(left - now <= 256, "{left} to {now}");
        left = now;
    }
    assert_eq!(left, 0);
}

#[test]
fn common_subsequences_are_found() {
    const IDX_AND_LEN: &str = "-ERR If you want both the length and indexes, please just use IDX.";
    check(&[
        ("MSET a ohmytext b mynewtext", "+OK"),
        ("LCS a b", "$6 mytext"),
        ("LCS a b LEN", ":6"),
        ("LCS a no", "$0"),
        ("LCS a no LEN", ":0"),
        ("LCS no no IDX", "*4 $7 matches *0 $3 len :0"),
        ("LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"),
        (
            "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
            "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
        ),
        ("LCS a b IDX LEN", IDX_AND_LEN),
        ("LCS a b MINMATCHLEN", "-ERR syntax error"),
        ("LCS a b MINMATCHLEN x", "-ERR value is not an integer or out of range"),
        ("LCS a b nonsense", "-ERR syntax error"),
    ]);
    let mut session = Session::new();
    session.protocol = Protocol::Resp3;
    session.check(&[("LCS a b IDX", "%2 $7 matches *0 $3 len :0")]);
}

#[test]
fn common_subsequences_have_a_memory_bound() {
    let mut session = Session::new();
    let text = vec![b'x'; 11_585];
    session.run_args(&[b"MSET", b"a", &text, b"b", &text]);
    session.check(&[(
        "LCS a b LEN",
        "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
    )]);
    let text = vec![b'x'; 11_584];
    session.run_args(&[b"MSET", b"a", &text[1..], b"b", &text[1..]]);
    session.check(&[("LCS a b LEN", ":11583")]);
}

#[test]
fn random_subsequences_are_common_and_longest() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let mut session = Session::new();
        let mut word =
            || -> Vec<u8> { (0..random.usize(..9)).map(|_| random.u8(b'a'..b'd')).collect() };
        let (a, b) = (word(), word());
        session.run_args(&[b"MSET", b"a", &a, b"b", &b]);
        let reply = session.run_args(&[b"LCS", b"a", b"b"]);
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        let common = &reply[start..reply.len() - 2];
        assert!(is_within(common, &a) && is_within(common, &b), "SEED={seed} {a:?} {b:?}");
        let longest = (0..1u32 << a.len())
            .map(|chosen| -> Vec<u8> {
                (0..a.len()).filter(|i| chosen >> i & 1 == 1).map(|i| a[i]).collect()
            })
            .filter(|part| is_within(part, &b))
            .map(|part| part.len())
            .max();
        assert_eq!(Some(common.len()), longest, "SEED={seed} {a:?} {b:?}");
    }
}

fn is_within(part: &[u8], whole: &[u8]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|byte| rest.any(|other| other == byte))
}
