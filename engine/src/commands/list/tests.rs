use super::super::testing::{Session, check};
use super::common::range_of;

#[test]
fn ranges_are_cut_to_what_is_there() {
    for (start, stop, range) in [
        (0, -1, 0..5),
        (1, 3, 1..4),
        (-2, 100, 3..5),
        (-100, 1, 0..2),
        (3, 2, 3..3),
        (5, 9, 5..5),
        (0, -6, 0..0),
        (i64::MIN, i64::MAX, 0..5),
        (i64::MAX, i64::MAX, 5..5),
        (i64::MIN, i64::MIN, 0..0),
    ] {
        assert_eq!(range_of(start, stop, 5), range, "{start} {stop}");
    }
}

#[test]
fn a_list_that_becomes_empty_is_gone_with_its_deadline() {
    check(&[
        ("RPUSH k a b c", ":3"),
        ("EXPIRE k 100", ":1"),
        ("LPOP k 2", "*2 $1 a $1 b"),
        ("TTL k", ":100"),
        ("LMOVE k k LEFT RIGHT", "$1 c"),
        ("TTL k", ":100"),
        ("RPOP k", "$1 c"),
        ("EXISTS k", ":0"),
        ("RPUSH k a", ":1"),
        ("TTL k", ":-1"),
        ("LREM k 0 a", ":1"),
        ("EXISTS k", ":0"),
        ("RPUSH k a", ":1"),
        ("LTRIM k 1 0", "+OK"),
        ("EXISTS k", ":0"),
        ("RPUSH k a", ":1"),
        ("LMOVE k d LEFT LEFT", "$1 a"),
        ("EXISTS k d", ":1"),
        ("LMPOP 2 k d RIGHT COUNT 2", "*2 $1 d *1 $1 a"),
        ("EXISTS k d", ":0"),
    ]);
}

#[test]
fn what_is_no_list_is_refused_in_redis_order() {
    check(&[
        ("SET s text", "+OK"),
        ("RPUSH k a", ":1"),
        ("LPUSHX s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LPOP s x", "-ERR value is out of range, must be positive"),
        ("LPOP s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LINDEX nothing x", "$-1"),
        ("LINDEX s x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LSET nothing x a", "-ERR no such key"),
        ("LSET k x a", "-ERR value is not an integer or out of range"),
        ("LRANGE s x 1", "-ERR value is not an integer or out of range"),
        ("LREM nothing x a", "-ERR value is not an integer or out of range"),
        ("LTRIM nothing 0 0", "+OK"),
        ("LINSERT s BEFORE", "-ERR wrong number of arguments for 'linsert' command"),
        ("LINSERT s BEHIND a b", "-ERR syntax error"),
        ("LMOVE nothing s LEFT LEFT", "$-1"),
        (
            "LMOVE k s LEFT LEFT",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("LRANGE k 0 -1", "*1 $1 a"),
        ("LMPOP 2 s k LEFT", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("LMPOP 2 k s LEFT", "*2 $1 k *1 $1 a"),
        ("LMPOP 3 k s LEFT", "-ERR syntax error"),
    ]);
}

#[test]
fn long_lists_are_searched_and_shown_in_slices() {
    let mut session = Session::new();
    let numbers: Vec<String> = (0..5000).map(|number| (number % 1000).to_string()).collect();
    let request = format!("RPUSH k {}", numbers.join(" "));
    assert_eq!(session.run(&request), ":5000");
    let all = |session: &mut Session, range: &str| {
        let reply = session.run(&format!("LRANGE k {range}"));
        let words = reply.split(' ').skip(2).step_by(2);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(all(&mut session, "0 -1"), numbers);
    assert_eq!(all(&mut session, "1000 -500"), numbers[1000..4501]);
    session.check(&[
        ("LPOS k 999 RANK 3", ":2999"),
        // Redis 7.0 finds everything with this one; since 7.2 it is refused.
        (
            "LPOS k 999 RANK -9223372036854775808 COUNT 1",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("LPOS k 999 RANK -2 COUNT 0", "*4 :3999 :2999 :1999 :999"),
        ("LPOS k 999 COUNT 0 MAXLEN 1000", "*1 :999"),
        ("LINSERT k AFTER 700 new", ":5001"),
        ("LINDEX k 701", "$3 new"),
        ("LREM k -3 5", ":3"),
        ("LPOS k 5 COUNT 0", "*2 :5 :1006"),
        ("LREM k 0 new", ":1"),
        ("LREM k 0 5", ":2"),
        ("LLEN k", ":4995"),
        ("LPOS k 5 COUNT 0", "*0"),
        ("OBJECT ENCODING k", "$9 quicklist"),
    ]);
    let taken = session.run("RPOP k 4990");
    assert_eq!(taken.split(' ').nth(2), Some("999"));
    session.check(&[
        ("LRANGE k 0 -1", "*5 $1 0 $1 1 $1 2 $1 3 $1 4"),
        ("OBJECT ENCODING k", "$8 listpack"),
    ]);
    // A great many that are equal.
    let equal = vec!["x"; 3000];
    session.run(&format!("RPUSH k {}", equal.join(" ")));
    session.check(&[
        ("LREM k 0 x", ":3000"),
        ("LLEN k", ":5"),
        ("OBJECT ENCODING k", "$8 listpack"),
        ("LREM k -3 4", ":1"),
        ("LREM k 1 0", ":1"),
        ("LRANGE k 0 -1", "*3 $1 1 $1 2 $1 3"),
    ]);
}

#[test]
fn what_the_journal_says_is_as_long_as_what_changes() {
    let mut session = Session::new();
    let elements = vec!["element"; 400].join(" ");
    session.run(&format!("RPUSH k {elements}"));
    let mut told = |request: &str| session.told(request);
    let put = told("RPUSH small a");
    for request in ["RPUSH k a", "LPOP k", "LSET k 200 b", "RPOP k 100", "LTRIM k 5 -5"] {
        assert!(told(request) <= put, "{request}");
    }
}
