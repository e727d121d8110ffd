//! SORT as Redis does it.

use crate::commands::testing::{Session, check};

#[test]
fn elements_are_sorted_by_what_other_keys_say_and_those_are_returned() {
    check(
        &[
            ("RPUSH l 3 1 2 10", ":4 "),
            ("SORT l", "*4 $1 1 $1 2 $1 3 $2 10"),
            ("SORT l DESC", "*4 $2 10 $1 3 $1 2 $1 1"),
            ("SORT l ALPHA", "*4 $1 1 $2 10 $1 2 $1 3"),
            ("SORT l LIMIT 1 2", "*2 $1 2 $1 3"),
            ("SORT l LIMIT -1 2", "*2 $1 1 $1 2"),
            ("SORT l LIMIT 9 2", "*0"),
            ("SORT l LIMIT 1 -1", "*3 $1 2 $1 3 $2 10"),
            ("SORT l BY nosort", "*4 $1 3 $1 1 $1 2 $2 10"),
            ("SORT l BY nosort DESC", "*4 $2 10 $1 2 $1 1 $1 3"),
            ("SORT l BY nosort DESC LIMIT 1 2", "*2 $1 2 $1 1"),
            ("SORT l BY nosort DESC ALPHA LIMIT 0 1 GET # GET none_*", "*2 $2 10 $-1"),
            ("SORT l BY nosort DESC LIMIT 2 9 STORE turned", ":2"),
            ("LRANGE turned 0 -1", "*2 $1 1 $1 3"),
            ("MSET w_1 5 w_2 -1 w_3 2.5", "+OK"),
            ("SORT l BY w_*", "*4 $1 2 $2 10 $1 3 $1 1"),
            ("SORT l BY w_* DESC GET # GET w_*", "*8 $1 1 $1 5 $1 3 $3 2.5 $2 10 $-1 $1 2 $2 -1"),
            ("SORT l BY w_* ALPHA", "*4 $2 10 $1 2 $1 3 $1 1"),
            ("SORT l GET fixed", "*4 $-1 $-1 $-1 $-1"),
            ("SORT l BY w_* GET w_* STORE to", ":4"),
            ("LRANGE to 0 -1", "*4 $2 -1 $0  $3 2.5 $1 5"),
            ("SORT none STORE to", ":0"),
            ("EXISTS to", ":0"),
            ("SORT none", "*0"),
            ("SORT w_1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("RPUSH words b a c", ":3"),
            ("SORT words", "-ERR One or more scores can't be converted into double"),
            // `strtod` says that doubles do not reach so far.
            ("RPUSH tiny 5e-324", ":1"),
            ("SORT tiny", "-ERR One or more scores can't be converted into double"),
            ("SORT words ALPHA DESC", "*3 $1 c $1 b $1 a"),
            ("SORT words LIMIT a 1", "-ERR value is not an integer or out of range"),
            ("SORT words NONSENSE", "-ERR syntax error"),
            ("SORT words BY", "-ERR syntax error"),
            ("SORT_RO words ALPHA STORE x", "-ERR syntax error"),
            ("SADD s 3 1 2", ":3"),
            ("SORT s DESC", "*3 $1 3 $1 2 $1 1"),
            ("ZADD z 3 a 2 b 1 c", ":3"),
            ("SORT z BY nosort", "*3 $1 c $1 b $1 a"),
            ("SORT z BY nosort DESC LIMIT 0 2", "*2 $1 a $1 b"),
            ("SORT z ALPHA", "*3 $1 a $1 b $1 c"),
        ]
        .map(|(request, reply)| (request, reply.trim_end())),
    );
}

#[test]
fn many_elements_are_sorted_in_pieces() {
    let mut session = Session::new();
    let mut numbers: Vec<u64> = (0..5000).map(|at| at * 7919 % 10_007).collect();
    for some in numbers.chunks(500) {
        let texts: Vec<String> = some.iter().map(u64::to_string).collect();
        session.run(&format!("RPUSH many {}", texts.join(" ")));
    }
    for number in &numbers {
        session.run(&format!("SET weight:{number} {}", 20_000 - number));
    }
    numbers.sort_unstable();
    let expected = |numbers: &[u64]| {
        let texts: Vec<String> =
            numbers.iter().map(|n| format!("${} {n}", n.to_string().len())).collect();
        format!("*{} {}", numbers.len(), texts.join(" "))
    };
    assert_eq!(session.run("SORT many"), expected(&numbers));
    assert_eq!(session.run("SORT many LIMIT 4000 700"), expected(&numbers[4000..4700]));
    assert_eq!(session.run("SORT many STORE to"), ":5000");
    assert_eq!(session.run("LRANGE to 0 -1"), expected(&numbers));
    numbers.reverse();
    assert_eq!(session.run("SORT many DESC"), expected(&numbers));
    assert_eq!(session.run("SORT many BY weight:*"), expected(&numbers));
    let weights: Vec<u64> = numbers.iter().map(|number| 20_000 - number).collect();
    assert_eq!(session.run("SORT many BY weight:* GET weight:*"), expected(&weights));
}
