//! Streams by their commands, beyond the examples.

use crate::commands::testing::{Session, check};
use crate::resp::Protocol;

#[test]
fn several_streams_are_read_in_the_shapes_of_both_protocols() {
    let mut session = Session::new();
    session.check(&[
        ("XADD a 1-1 n 1", "$3 1-1"),
        ("XADD a 1-2 n 22 m x", "$3 1-2"),
        ("XADD b 5-0 n 1", "$3 5-0"),
        (
            "XREAD COUNT 1 STREAMS a b nothing 1-1 + 0",
            "*2 *2 $1 a *1 *2 $3 1-2 *4 $1 n $2 22 $1 m $1 x *2 $1 b *1 *2 $3 5-0 *2 $1 n $1 1",
        ),
        ("XREAD BLOCK 0 STREAMS a b $ 5", "*-1"),
    ]);
    session.protocol = Protocol::Resp3;
    session.check(&[
        ("XREAD STREAMS b 0", "%1 $1 b *1 *2 $3 5-0 *2 $1 n $1 1"),
        ("XREAD STREAMS b $", "_"),
        ("XRANGE b - + COUNT 0", "_"),
        ("XGROUP CREATE b g 0", "+OK"),
        ("XREADGROUP GROUP g ann STREAMS b >", "%1 $1 b *1 *2 $3 5-0 *2 $1 n $1 1"),
        ("XREADGROUP GROUP g ann STREAMS b >", "_"),
        ("XDEL b 5-0", ":1"),
        ("XREADGROUP GROUP g ann STREAMS b 0", "%1 $1 b *1 *2 $3 5-0 _"),
        (
            "XINFO GROUPS b",
            "*1 %6 $4 name $1 g $9 consumers :1 $7 pending :1 $17 last-delivered-id $3 5-0 $12 \
             entries-read :1 $3 lag :0",
        ),
        ("XINFO CONSUMERS b g", "*1 %4 $4 name $3 ann $7 pending :1 $4 idle :0 $8 inactive :0"),
    ]);
}

#[test]
fn what_is_pending_changes_hands() {
    check(&[
        ("XADD s 1-1 n 1", "$3 1-1"),
        ("XADD s 1-2 n 2", "$3 1-2"),
        ("XADD s 1-3 n 3", "$3 1-3"),
        ("XGROUP CREATE s g 0", "+OK"),
        (
            "XREADGROUP GROUP g ann COUNT 2 STREAMS s >",
            "*1 *2 $1 s *2 *2 $3 1-1 *2 $1 n $1 1 *2 $3 1-2 *2 $1 n $1 2",
        ),
        ("XREADGROUP GROUP g bob NOACK STREAMS s >", "*1 *2 $1 s *1 *2 $3 1-3 *2 $1 n $1 3"),
        ("XPENDING s g", "*4 :2 $3 1-1 $3 1-2 *1 *2 $3 ann $1 2"),
        ("XCLAIM s g bob 0 1-2 1-3 RETRYCOUNT 7 JUSTID", "*1 $3 1-2"),
        ("XPENDING s g - + 10", "*2 *4 $3 1-1 $3 ann :0 :1 *4 $3 1-2 $3 bob :0 :7"),
        ("XPENDING s g (1-1 + 10 ann", "*0"),
        ("XREADGROUP GROUP g ann STREAMS s 0", "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 n $1 1"),
        ("XPENDING s g - + 10 ann", "*1 *4 $3 1-1 $3 ann :0 :2"),
        ("XACK s g 1-1 1-1", ":1"),
        ("XDEL s 1-2", ":1"),
        ("XCLAIM s g ann 0 1-2", "*0"),
        ("XPENDING s g", "*4 :0 $-1 $-1 *-1"),
        ("XREADGROUP GROUP g ann STREAMS s s > 0", "*1 *2 $1 s *0"),
        ("XGROUP DELCONSUMER s g ann", ":0"),
        ("XGROUP DESTROY s g", ":1"),
        ("XLEN s", ":2"),
    ]);
}

/// A stream of so many entries, and a group that has read all of them.
fn large(session: &mut Session, count: u64) {
    for number in 1..=count {
        session.run(&format!("XADD s {number}-0 field value-{number}"));
    }
    session.run("XGROUP CREATE s g 0");
}

#[test]
fn what_takes_long_goes_on_in_slices_and_answers_the_same() {
    let mut session = Session::new();
    let count = 3000;
    large(&mut session, count);
    let entry = |number: u64| {
        let (id, value) = (format!("{number}-0"), format!("value-{number}"));
        format!("*2 ${} {id} *2 $5 field ${} {value}", id.len(), value.len())
    };
    let list = |numbers: &mut dyn Iterator<Item = u64>| {
        let entries: Vec<String> = numbers.map(entry).collect();
        format!("*{} {}", entries.len(), entries.join(" "))
    };
    let all = list(&mut (1..=count));
    assert_eq!(session.run("XRANGE s - +"), all);
    assert_eq!(session.run("XRANGE s (1 (3000 COUNT 2500"), list(&mut (2..=2501)));
    assert_eq!(session.run("XREVRANGE s + -"), list(&mut (1..=count).rev()));
    assert_eq!(session.run("XREAD STREAMS s none 0 0"), format!("*1 *2 $1 s {all}"));
    let delivered = session.run("XREADGROUP GROUP g ann STREAMS s >");
    assert_eq!(delivered, format!("*1 *2 $1 s {all}"));
    assert_eq!(session.run("XREADGROUP GROUP g ann STREAMS s 0"), delivered);
    assert!(session.run("XPENDING s g - + 5000").starts_with("*3000 *4 $3 1-0 $3 ann :0 :2"));
    assert!(session.run("XINFO STREAM s FULL COUNT 0").contains("$9 pel-count :3000"));
    let claimed = session.run("XAUTOCLAIM s g bob 0 0 COUNT 2999");
    assert_eq!(claimed, format!("*3 $6 3000-0 {} *0", list(&mut (1..3000))));
    assert_eq!(session.run("XGROUP DELCONSUMER s g bob"), ":2999");
    assert_eq!(session.run("XPENDING s g"), "*4 :1 $6 3000-0 $6 3000-0 *1 *2 $3 ann $1 1");
    let ids: Vec<String> = (1..=1000).map(|number| format!("{number}-0")).collect();
    assert_eq!(session.run(&format!("XDEL s {}", ids.join(" "))), ":1000");
    assert_eq!(session.run("XTRIM s MAXLEN 1"), ":1999");
    assert_eq!(session.run("XRANGE s - +"), list(&mut (3000..=3000)));
}

/// The story: XINFO GROUPS of 100,000 groups was one piece of work, and so was the beginning of XINFO STREAM FULL and of DUMP.
#[test]
fn many_groups_are_answered_in_slices_each_once_and_in_order() {
    let mut session = Session::new();
    large(&mut session, 3);
    let names: Vec<String> = (0..300).map(|number| format!("group-{number:03}")).collect();
    for name in names.iter().rev() {
        assert_eq!(session.run(&format!("XGROUP CREATE s {name} 0")), "+OK");
    }
    session.run("XREADGROUP GROUP group-128 ann COUNT 1 STREAMS s >");
    let seen = |info: &str, word: &str| -> Vec<String> {
        let word = format!("$4 name ${} ", word.len());
        info.split(&word).skip(1).filter_map(|it| Some(it.split(' ').next()?.to_owned())).collect()
    };
    let groups = session.run("XINFO GROUPS s");
    // Besides the one of name `g`.
    assert!(groups.starts_with("*301 ") && seen(&groups, "group-000") == names, "{groups}");
    let full = session.run("XINFO STREAM s FULL");
    assert!(full.contains("$6 groups *301 ") && seen(&full, "group-000") == names, "{full}");
    session.run("COPY s t");
    assert_eq!(session.run("XGROUP DESTROY s group-299"), ":1");
    assert_eq!(session.run("XINFO GROUPS t"), groups);
    assert!(session.run("XINFO GROUPS s").starts_with("*300 "));
}

#[test]
fn a_change_of_one_entry_is_told_by_itself() {
    let mut session = Session::new();
    large(&mut session, 1000);
    for request in [
        "XADD s * f v",
        "XDEL s 5-0 6-0 nothing".trim_end_matches(" nothing"),
        "XTRIM s MAXLEN 500",
        "XGROUP CREATE s h $",
        "XREADGROUP GROUP g ann COUNT 1 STREAMS s >",
    ] {
        assert_eq!(session.told(request), 1, "{request}");
    }
    assert_eq!(session.told("XADD s MAXLEN 100 * f v"), 2);
    assert_eq!(session.told("XDEL s 5-0"), 0);
    assert_eq!(session.told("XACK s g 1-0"), 0);
}

#[test]
fn entries_that_are_trimmed_together_are_those_of_redis_nodes() {
    let mut session = Session::new();
    large(&mut session, 250);
    session.check(&[
        ("XTRIM s MAXLEN ~ 200", ":0"),
        ("XTRIM s MAXLEN ~ 120", ":100"),
        ("XTRIM s MINID ~ 200-0", ":0"),
        ("XTRIM s MINID ~ 201-0", ":100"),
        ("XTRIM s MAXLEN ~ 0 LIMIT 49", ":0"),
        ("XADD s MAXLEN ~ 0 251-0 f v", "$5 251-0"),
        ("XLEN s", ":0"),
    ]);
}

#[test]
fn how_far_a_group_lags_behind_follows_redis_rules() {
    let lag = |session: &mut Session| {
        let info = session.run("XINFO GROUPS s");
        let at = info.find("$12 entries-read").expect("it says so");
        info[at + 17..].to_owned()
    };
    let mut session = Session::new();
    large(&mut session, 10);
    assert_eq!(lag(&mut session), "$-1 $3 lag :10");
    session.run("XREADGROUP GROUP g ann COUNT 3 STREAMS s >");
    assert_eq!(lag(&mut session), ":3 $3 lag :7");
    session.run("XDEL s 6-0");
    assert_eq!(lag(&mut session), ":3 $3 lag $-1");
    session.run("XREADGROUP GROUP g ann COUNT 3 STREAMS s >");
    assert_eq!(lag(&mut session), "$-1 $3 lag $-1");
    session.run("XREADGROUP GROUP g ann STREAMS s >");
    assert_eq!(lag(&mut session), ":10 $3 lag :0");
    session.run("XADD s 11-0 f v");
    session.run("XTRIM s MINID 11-0");
    assert_eq!(lag(&mut session), ":10 $3 lag :1");
}
