//! Sorted sets by their commands, beyond the examples.

use crate::commands::testing::{Session, check};
use crate::resp::Protocol;

#[test]
fn members_with_scores_are_flat_in_resp2_and_pairs_in_resp3() {
    let mut session = Session::new();
    session.check(&[
        ("ZADD z 1 a 2.5 b inf c", ":3"),
        ("ZRANGE z 0 -1 WITHSCORES", "*6 $1 a $1 1 $1 b $3 2.5 $1 c $3 inf"),
        ("ZPOPMIN z 1", "*2 $1 a $1 1"),
        ("ZUNION 1 z WITHSCORES", "*4 $1 b $3 2.5 $1 c $3 inf"),
    ]);
    session.protocol = Protocol::Resp3;
    session.check(&[
        ("ZRANGE z 0 -1 WITHSCORES", "*2 *2 $1 b ,2.5 *2 $1 c ,inf"),
        ("ZREVRANGEBYSCORE z +inf -inf WITHSCORES LIMIT 0 1", "*1 *2 $1 c ,inf"),
        ("ZUNION 1 z WITHSCORES", "*2 *2 $1 b ,2.5 *2 $1 c ,inf"),
        ("ZRANDMEMBER z 5 WITHSCORES", "*2 *2 $1 b ,2.5 *2 $1 c ,inf"),
        ("ZPOPMIN z 1", "*1 *2 $1 b ,2.5"),
        ("ZPOPMIN z", "*2 $1 c ,inf"),
        ("ZRANK z a", "_"),
        ("ZRANK z a WITHSCORE", "_"),
        ("ZMPOP 1 z MIN", "_"),
    ]);
}

#[test]
fn what_is_no_number_is_refused_and_changes_nothing() {
    check(&[
        ("ZADD z nan a", "-ERR value is not a valid float"),
        ("ZADD z 1 a x b", "-ERR value is not a valid float"),
        ("ZADD z 1 a 2", "-ERR syntax error"),
        ("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible"),
        ("EXISTS z", ":0"),
        ("ZADD z inf a", ":1"),
        ("ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)"),
        ("ZINCRBY z x a", "-ERR value is not a valid float"),
        ("ZINCRBY z gt a", "-ERR syntax error"),
        ("ZINCRBY z INCR a", "-ERR syntax error"),
        ("ZINCRBY z NX XX", "-ERR syntax error"),
        ("ZADD z INCR a", "-ERR syntax error"),
        ("ZADD z XX 1 b", ":0"),
        ("ZCARD z", ":1"),
        ("SET s x", "+OK"),
        ("ZADD s 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("ZADD s x a", "-ERR value is not a valid float"),
        (
            "ZUNION 2 z s WEIGHTS x",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "ZRANGESTORE d s 0 -1",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn one_command_is_one_record_of_what_changed() {
    let mut session = Session::new();
    assert_eq!(session.told("ZADD z 1 a 2 b 3 c"), 1);
    assert_eq!(session.told("ZADD z 1 a 2 b 4 c"), 1);
    assert_eq!(session.told("ZADD z 1 a 2 b"), 0);
    assert_eq!(session.told("ZADD z NX 5 a"), 0);
    assert_eq!(session.told("ZREM z x y"), 0);
    assert_eq!(session.told("ZREM z a b a"), 1);
    // That it is empty now is told as well.
    assert_eq!(session.told("ZPOPMIN z 5"), 2);
    assert_eq!(session.told("ZPOPMIN z 5"), 0);
    assert_eq!(session.run("EXISTS z"), ":0");
}

#[test]
fn large_ones_are_said_to_be_skiplists_from_their_thresholds_on() {
    let mut session = Session::new();
    session.check(&[("ZADD z 1 a", ":1"), ("OBJECT ENCODING z", "$8 listpack")]);
    let long = "x".repeat(65);
    session.run(&format!("ZADD z 1 {}", &long[..64]));
    assert_eq!(session.run("OBJECT ENCODING z"), "$8 listpack");
    session.run(&format!("ZADD z 1 {long}"));
    assert_eq!(session.run("OBJECT ENCODING z"), "$8 skiplist");
    session.run(&format!("ZREM z {long}"));
    assert_eq!(session.run("OBJECT ENCODING z"), "$8 skiplist");
    for number in 0..128 {
        session.run(&format!("ZADD many {number} m{number}"));
        assert_eq!(session.run("OBJECT ENCODING many"), "$8 listpack");
    }
    session.run("ZADD many 1 another");
    session.check(&[
        ("OBJECT ENCODING many", "$8 skiplist"),
        ("ZRANGESTORE few many 0 9", ":10"),
        ("OBJECT ENCODING few", "$8 listpack"),
        ("ZUNIONSTORE all 2 few many", ":129"),
        ("OBJECT ENCODING all", "$8 skiplist"),
    ]);
}

/// A sorted set of so many members, whose scores are their numbers.
fn numbered(session: &mut Session, key: &str, count: usize) {
    let members: Vec<String> = (0..count).map(|number| format!("{number} m{number}")).collect();
    assert_eq!(session.run(&format!("ZADD {key} {}", members.join(" "))), format!(":{count}"));
}

#[test]
fn what_takes_long_comes_to_the_same() {
    let mut session = Session::new();
    numbered(&mut session, "z", 3000);
    session.check(&[
        ("ZCARD z", ":3000"),
        ("ZSCORE z m2999", "$4 2999"),
        ("ZRANK z m1234", ":1234"),
        ("ZCOUNT z (10 2000", ":1990"),
        ("ZRANGESTORE d z 100 2999", ":2900"),
        ("ZRANK d m1234", ":1134"),
        ("ZINTERSTORE i 2 z d WEIGHTS 2 1", ":2900"),
        ("ZSCORE i m1000", "$4 3000"),
        ("ZDIFFSTORE rest 2 z d", ":100"),
        ("ZUNIONSTORE u 2 rest d", ":3000"),
        ("ZINTERCARD 2 z u LIMIT 1500", ":1500"),
        ("ZREMRANGEBYSCORE u 10 2989", ":2980"),
        ("ZRANGE u 9 10", "*2 $2 m9 $5 m2990"),
        ("ZREMRANGEBYRANK u 0 -1", ":20"),
        ("EXISTS u", ":0"),
    ]);
    let shown = session.run("ZRANGE z 0 -1");
    assert!(shown.starts_with("*3000 $2 m0 $2 m1 ") && shown.ends_with(" $5 m2999"));
    let shown = session.run("ZRANGE z 2999 0 BYSCORE REV LIMIT 1 2000");
    assert!(shown.starts_with("*2000 $5 m2998 ") && shown.ends_with(" $4 m999"));
    let popped = session.run("ZPOPMAX z 1000");
    assert!(popped.starts_with("*2000 $5 m2999 $4 2999 ") && popped.ends_with(" $4 2000"));
    let popped = session.run("ZMPOP 2 no z MIN COUNT 500");
    assert!(popped.starts_with("*2 $1 z *500 *2 $2 m0 $1 0 "));
    session.check(&[("ZCARD z", ":1500"), ("ZRANGE z 0 0", "*1 $4 m500")]);
    let others: Vec<String> = (0..100).map(|number| format!("m{}", 500 + 2 * number)).collect();
    session.check(&[
        (&format!("ZREM z {} m500", others.join(" ")), ":100"),
        ("ZCARD z", ":1400"),
        ("ZRANGE z 0 0", "*1 $4 m501"),
    ]);
}

#[test]
fn random_members_are_different_ones_or_any_number() {
    let mut session = Session::new();
    numbered(&mut session, "z", 600);
    for (count, expected) in [(1, 1), (10, 10), (299, 299), (400, 400), (600, 600), (900, 600)] {
        let shown = session.run(&format!("ZRANDMEMBER z {count}"));
        let mut members: Vec<&str> =
            shown.split(' ').filter(|word| word.starts_with('m')).collect();
        assert_eq!(members.len(), expected, "{count}");
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), expected, "{count}");
    }
    assert!(session.run("ZRANDMEMBER z -2000").starts_with("*2000 "));
    session.check(&[
        (
            "ZRANDMEMBER z -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("ZRANDMEMBER z -9223372036854775807 WITHSCORES", "-ERR value is out of range"),
        ("ZRANDMEMBER z 1 x", "-ERR syntax error"),
    ]);
}

#[test]
fn a_scan_shows_every_member_once_also_where_all_have_one_score() {
    let mut session = Session::new();
    for (key, score) in [("z", 1), ("tied", 0)] {
        let members: Vec<String> =
            (0..2000).map(|number| format!("{} m{number}", number * score)).collect();
        session.run(&format!("ZADD {key} {}", members.join(" ")));
        let (mut cursor, mut seen, mut calls) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let shown = session.run(&format!("ZSCAN {key} {cursor} COUNT 20"));
            let words: Vec<&str> = shown.split(' ').collect();
            seen.extend(words.iter().filter(|word| word.starts_with('m')).map(|m| (*m).to_owned()));
            words[2].clone_into(&mut cursor);
            calls += 1;
            if cursor == "0" {
                break;
            }
        }
        assert!(calls > 50, "{calls} calls");
        seen.sort_unstable();
        assert_eq!(seen.len(), 2000);
        seen.dedup();
        assert_eq!(seen.len(), 2000);
    }
}
