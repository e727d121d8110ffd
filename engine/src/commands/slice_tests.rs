//! What goes on in slices: nothing comes between, and it is done whoever reads the reply.

use super::testing::Session;
use crate::command::{ReplyRoom, Who};

/// Words made of numbers, so many.
fn numbers(count: u64, of: impl Fn(u64) -> String) -> String {
    (1..=count).map(of).collect::<Vec<String>>().join(" ")
}

/// A large value of each type at `k`, and what takes long with it.
fn long_requests() -> Vec<(Vec<String>, String)> {
    const MANY: u64 = 12_000;
    let ids = || numbers(MANY, |id| format!("{id}-1"));
    let stream = || {
        let mut made: Vec<String> = (1..=MANY).map(|id| format!("XADD k {id}-1 f v")).collect();
        made.push("XGROUP CREATE k g 0".to_owned());
        made
    };
    let pending = || {
        let mut made = stream();
        made.push(format!("XCLAIM k g ann 0 {} FORCE JUSTID", ids()));
        made
    };
    let list = || vec![format!("RPUSH k {}", numbers(MANY, |n| format!("element{n}")))];
    let set = || vec![format!("SADD k {}", numbers(MANY, |n| format!("member{n}")))];
    let sorted = || vec![format!("ZADD k {}", numbers(MANY, |n| format!("{n} member{n}")))];
    let on = |made: Vec<String>, request: String| (made, request);
    vec![
        on(list(), format!("RPUSH k {}", numbers(MANY, |n| format!("more{n}")))),
        on(list(), "LINSERT k BEFORE element11000 x".to_owned()),
        on(list(), "LREM k 0 element11000".to_owned()),
        on(list(), "LPOP k 11000".to_owned()),
        on(list(), "RPOP k 12000".to_owned()),
        on(list(), "LMPOP 1 k LEFT COUNT 11000".to_owned()),
        on(list(), "LMPOP 1 k RIGHT COUNT 12000".to_owned()),
        on(list(), "BLMPOP 0 1 k LEFT COUNT 11000".to_owned()),
        on(set(), format!("SADD k {}", numbers(MANY, |n| format!("more{n}")))),
        on(set(), format!("SREM k {}", numbers(MANY, |n| format!("member{n}")))),
        on(set(), "SPOP k 10000".to_owned()),
        on(set(), "SPOP k 20000".to_owned()),
        on(sorted(), format!("ZADD k {}", numbers(MANY, |n| format!("{n} more{n}")))),
        on(sorted(), "ZPOPMIN k 11000".to_owned()),
        on(sorted(), "ZMPOP 1 k MAX COUNT 11000".to_owned()),
        on(sorted(), "BZMPOP 0 1 k MIN COUNT 11000".to_owned()),
        on(stream(), format!("XDEL k {}", ids())),
        on(stream(), "XREADGROUP GROUP g ann STREAMS k >".to_owned()),
        on(pending(), format!("XACK k g {}", ids())),
        on(pending(), format!("XCLAIM k g bob 0 {}", ids())),
        on(pending(), "XAUTOCLAIM k g bob 0 0 COUNT 11000".to_owned()),
    ]
}

fn made_of(made: &[String]) -> Session {
    let mut session = Session::new();
    for request in made {
        let reply = session.run(request);
        assert!(!reply.starts_with('-'), "{reply}");
    }
    session
}

fn start_of(request: &str) -> &str {
    &request[..request.len().min(30)]
}

#[test]
fn a_key_that_expires_between_two_slices_is_there_until_the_command_has_ended() {
    for (made, request) in long_requests() {
        let mut still = made_of(&made);
        still.check(&[("PEXPIRE k 2", ":1")]);
        let mut moving = made_of(&made);
        moving.check(&[("PEXPIRE k 2", ":1")]);
        moving.tick = 1;
        let (one, other) = (still.run(&request), moving.run(&request));
        assert_eq!(one.len(), other.len(), "{}", start_of(&request));
        assert_eq!(one, other, "{}", start_of(&request));
        moving.tick = 0;
        moving.check(&[("EXISTS k", ":0")]);
    }
}

#[test]
fn what_is_taken_is_taken_whoever_reads() {
    for (made, request) in long_requests() {
        let mut plain = made_of(&made);
        plain.run(&request);
        let wanted = plain.shard.keys.digest();
        for (what, who) in [
            ("silent", Who { silent: true, ..Who::default() }),
            ("no room", Who { room: ReplyRoom::of(70_000), ..Who::default() }),
        ] {
            let mut unread = made_of(&made);
            unread.who = who;
            unread.run(&request);
            let found = unread.shard.keys.digest();
            assert_eq!(wanted, found, "{what}: {}", start_of(&request));
        }
    }
}

#[test]
fn the_examples_of_all_commands_come_to_the_same_without_replies() {
    for command in Session::new().commands() {
        let (mut plain, mut silent) = (Session::new(), Session::new());
        silent.who.silent = true;
        let lines = command.examples.lines().filter_map(|line| line.trim().strip_prefix("> "));
        for line in lines {
            plain.run(line);
            silent.run(line);
            let (one, other) = (plain.shard.keys.digest(), silent.shard.keys.digest());
            assert_eq!(one, other, "{line}");
        }
    }
}

#[test]
fn what_only_reads_ends_when_its_client_has_left_and_what_writes_does_not() {
    for request in ["SORT k ALPHA", "DUMP k", "LRANGE k 0 -1", "LPOS k x COUNT 0 MAXLEN 0"] {
        let made =
            (1..=30).map(|part| format!("RPUSH k {}", numbers(400, |n| format!("e{n}.{part}"))));
        let mut session = made_of(&made.collect::<Vec<_>>());
        session.who.room = ReplyRoom::of(0);
        assert!(!session.run(request).starts_with('-'), "{request}");
        session.who.room.leave();
        let reply = session.run(request);
        assert!(reply == "-ERR the client has left", "{request}: {} bytes", reply.len());
        session.check(&[("LTRIM k 0 0", "+OK")]);
    }
    for (made, request) in long_requests() {
        let mut session = made_of(&made);
        session.run(&request);
        let wanted = session.shard.keys.digest();
        let mut left = made_of(&made);
        left.who.room = ReplyRoom::of(0);
        left.who.room.leave();
        left.run(&request);
        assert_eq!(left.shard.keys.digest(), wanted, "{}", start_of(&request));
    }
}
