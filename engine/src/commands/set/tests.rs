use crate::commands::testing::Session;

fn numbers(prefix: &str, range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{prefix}{number}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_set_is_kept_as_redis_keeps_it_and_never_goes_back() {
    let mut session = Session::new();
    let encoding = |session: &mut Session, key: &str| {
        let reply = session.run(&format!("OBJECT ENCODING {key}"));
        reply.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    for (request, expected) in [
        ("SADD a 1 2 3".to_owned(), "intset"),
        ("SADD a 1 x".to_owned(), "listpack"),
        ("SREM a x".to_owned(), "listpack"),
        (format!("SADD a {}", "y".repeat(65)), "hashtable"),
        (format!("SREM a {}", "y".repeat(65)), "hashtable"),
        (format!("SADD b {}", numbers("", 0..512)), "intset"),
        ("SADD b 1000".to_owned(), "hashtable"),
        (format!("SADD c {}", numbers("", 0..513)), "hashtable"),
        (format!("SADD d {}", numbers("m", 0..128)), "listpack"),
        ("SADD d one-more".to_owned(), "hashtable"),
        (format!("SADD e {}", numbers("", 0..128)), "intset"),
        ("SADD e x".to_owned(), "hashtable"),
        ("SUNIONSTORE f a nothing".to_owned(), "intset"),
        ("SINTERSTORE g b c".to_owned(), "intset"),
        ("COPY d h".to_owned(), "hashtable"),
    ] {
        let reply = session.run(&request);
        assert!(!reply.starts_with('-'), "{request}: {reply}");
        let key = request.split(' ').nth(1 + usize::from(request.starts_with("COPY"))).unwrap();
        assert_eq!(encoding(&mut session, key), expected, "{request}");
    }
}

#[test]
fn what_changes_nothing_is_told_to_nobody() {
    let mut session = Session::new();
    assert_eq!(session.told("SADD s a b"), 1);
    for request in [
        "SADD s a b a",
        "SREM s c",
        "SMOVE s s a",
        "SMOVE s t nobody",
        "SPOP s 0",
        "SPOP nothing",
        "SDIFFSTORE nothing s s",
        "SISMEMBER s a",
        "SINTERSTORE nothing s nobody",
    ] {
        assert_eq!(session.told(request), 0, "{request}");
    }
    // Numbers come before what makes a list of them.
    assert_eq!(session.told("SADD n 3 1 x 2"), 2);
    assert_eq!(session.run("SMEMBERS n"), "*4 $1 1 $1 3 $1 x $1 2");
    // The last member, and with it the key.
    assert_eq!(session.told("SREM s a b"), 2);
    assert_eq!(session.told("SADD s a"), 1);
    assert_eq!(session.told("SPOP s 7"), 2);
}

#[test]
fn many_members_come_and_go_in_slices_as_few_do_at_once() {
    let mut session = Session::new();
    let all = numbers("m", 0..3000);
    assert_eq!(session.run(&format!("SADD s {all} m1 m2")), ":3000");
    assert_eq!(session.run("SCARD s"), ":3000");
    assert_eq!(session.run(&format!("SADD s {all}")), ":0");
    let reply = session.run("SMEMBERS s");
    assert!(reply.starts_with("*3000 "));
    let mut members: Vec<&str> = reply.split(' ').skip(2).step_by(2).collect();
    members.sort_unstable();
    let mut expected: Vec<&str> = all.split(' ').collect();
    expected.sort_unstable();
    assert_eq!(members, expected);
    let reply = session.run(&format!("SMISMEMBER s {all} nobody"));
    assert_eq!(reply.matches(":1").count(), 3000);
    let gone = session.run("SPOP s 1000");
    assert!(gone.starts_with("*1000 "));
    let mut gone: Vec<&str> = gone.split(' ').skip(2).step_by(2).collect();
    gone.sort_unstable();
    gone.dedup();
    assert_eq!(gone.len(), 1000, "each once");
    assert_eq!(session.run("SCARD s"), ":2000");
    assert_eq!(session.run(&format!("SREM s {all}")), ":2000");
    assert_eq!(session.run("EXISTS s"), ":0");
}

#[test]
fn members_by_chance_are_members_and_different_where_they_are_to_be() {
    let mut session = Session::new();
    session.run(&format!("SADD s {}", numbers("", 0..1500)));
    for (count, expected) in [(1, 1), (60, 60), (900, 900), (1499, 1499), (5000, 1500)] {
        let reply = session.run(&format!("SRANDMEMBER s {count}"));
        let mut members: Vec<&str> = reply.split(' ').skip(2).step_by(2).collect();
        assert_eq!(members.len(), expected);
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), expected, "each once");
        assert!(members.iter().all(|member| member.parse::<u32>().is_ok_and(|it| it < 1500)));
    }
    let reply = session.run("SRANDMEMBER s -4000");
    assert_eq!(reply.split(' ').skip(2).step_by(2).count(), 4000);
    let least = "SRANDMEMBER s -9223372036854775808";
    let text = "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    assert_eq!(session.run(least), text);
}

#[test]
fn large_sets_are_combined_in_slices() {
    let mut session = Session::new();
    session.run(&format!("SADD a {}", numbers("m", 0..3000)));
    session.run(&format!("SADD b {}", numbers("m", 1000..5000)));
    session.run(&format!("SADD c {}", numbers("m", 2000..2010)));
    check_counts(
        &mut session,
        &[
            ("SINTER a b", 2000),
            ("SINTER a b c", 10),
            ("SUNION a b c", 5000),
            ("SDIFF a b", 1000),
            ("SDIFF a c", 2990),
            ("SDIFF b a c", 2000),
            ("SDIFF c a", 0),
        ],
    );
    for (request, count) in [
        ("SINTERSTORE d a b", 2000),
        ("SUNIONSTORE d a c", 3000),
        ("SUNIONSTORE a a b", 5000),
        ("SDIFFSTORE a a b", 1000),
        ("SINTERCARD 2 a a", 1000),
        ("SINTERCARD 2 a a LIMIT 777", 777),
    ] {
        assert_eq!(session.run(request), format!(":{count}"), "{request}");
    }
    check_counts(&mut session, &[("SMEMBERS a", 1000), ("SMEMBERS d", 3000)]);
}

fn check_counts(session: &mut Session, requests: &[(&str, usize)]) {
    for (request, count) in requests {
        let reply = session.run(request);
        assert_eq!(reply.split(' ').next(), Some(&*format!("*{count}")), "{request}");
        let mut members: Vec<&str> = reply.split(' ').skip(2).step_by(2).collect();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), *count, "{request}");
    }
}

#[test]
fn a_scan_sees_each_member_that_stays() {
    let mut session = Session::new();
    session.run(&format!("SADD s {}", numbers("m", 0..2000)));
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::HashSet::new());
    for step in 0.. {
        let reply = session.run(&format!("SSCAN s {cursor} COUNT 7"));
        let words: Vec<&str> = reply.split(' ').collect();
        cursor = words[2].to_owned();
        seen.extend(words[5..].iter().step_by(2).map(|word| (*word).to_owned()));
        // Others come and go meanwhile.
        session.run(&format!("SADD s other{step}"));
        session.run(&format!("SREM s other{}", step / 2));
        if cursor == "0" {
            break;
        }
        assert!(step < 5000, "it comes to an end");
    }
    assert_eq!(seen.iter().filter(|member| member.starts_with('m')).count(), 2000);
}

#[test]
fn wrong_types_and_arguments_are_refused_in_redis_words() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut session = Session::new();
    session.run("SET text hello");
    session.run("SADD s a");
    for request in [
        "SADD text a",
        "SREM text a",
        "SISMEMBER text a",
        "SMISMEMBER text a",
        "SMEMBERS text",
        "SCARD text",
        "SPOP text",
        "SPOP text 0",
        "SRANDMEMBER text",
        "SRANDMEMBER text 0",
        "SSCAN text 0",
        "SMOVE text s a",
        "SMOVE s text a",
        "SINTER s text",
        "SUNION text",
        "SDIFF nothing text",
        "SINTERCARD 2 s text",
        "SUNIONSTORE d text",
        "GET s",
    ] {
        assert_eq!(session.run(request), wrong, "{request}");
    }
    session.check(&[
        ("SMOVE nothing text a", ":0"),
        ("SPOP s x", "-ERR value is out of range, must be positive"),
        ("SSCAN s 0 COUNT x", "-ERR value is not an integer or out of range"),
        ("SSCAN s 0 MATCH", "-ERR syntax error"),
        ("SSCAN nothing 0 MATCH", "*2 $1 0 *0"),
        ("SINTERCARD x s", "-ERR numkeys should be greater than 0"),
        ("SINTERCARD 1 s LIMIT", "-ERR syntax error"),
        ("SINTERCARD 1 s LIMIT x", "-ERR LIMIT can't be negative"),
        ("SINTERCARD 1 s LIMIT 0", ":1"),
        ("SUNIONSTORE text s", ":1"),
        ("TYPE text", "+set"),
    ]);
}

#[test]
fn what_dump_wrote_is_restored_in_its_form() {
    let mut session = Session::new();
    session.run("SADD integers 1 -70000 5000000000");
    session.run("SADD list b 1 a 99 \\x00\\xff");
    session.run(&format!("SADD hashed {}", numbers("m", 0..1000)));
    for (key, encoding) in [("integers", "intset"), ("list", "listpack"), ("hashed", "hashtable")] {
        let reply = session.run_args(&[b"DUMP", key.as_bytes()]);
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        let payload = &reply[start..reply.len() - 2];
        assert_eq!(session.run_args(&[b"RESTORE", b"copy", b"0", payload, b"REPLACE"]), b"+OK\r\n");
        assert_eq!(session.run("SMEMBERS copy"), session.run(&format!("SMEMBERS {key}")));
        assert!(session.run("OBJECT ENCODING copy").ends_with(encoding), "{key}");
        assert_eq!(
            session.run("DEBUG DIGEST-VALUE copy").len(),
            session.run(&format!("DEBUG DIGEST-VALUE {key}")).len()
        );
    }
}
