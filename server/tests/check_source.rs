//! `damselfly check-source`: what it says of a Redis, that each problem comes with a remedy, and that it leaves
//! nothing behind there.

mod support;

use std::process::{Command, Stdio};
use support::certificates::Certificates;
use support::client::{Client, text};
use support::node::{Node, free_port};
use support::redis::Redis;

/// The exit code, and what was said on standard output and standard error.
fn check(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_damselfly"));
    let output = command.arg("check-source").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("the program can be run");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn ask(client: &mut Client, line: &str) -> String {
    text(&client.call(&line.split(' ').collect::<Vec<_>>()))
}

fn problems(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("problem: ")).collect()
}

#[test]
fn a_redis_without_problems_is_described_and_left_as_it_was() {
    let redis = Redis::start(&[]);
    let mut client = redis.client();
    for line in ["SET a 1", "SET b 2 EX 1000", "HSET user name ada", "SELECT 3", "RPUSH queue x y"]
    {
        assert!(!ask(&mut client, line).starts_with("ERR"), "{line}");
    }
    let long = "x".repeat(3_000_000);
    client.must(&["SET", "long\n", &long]);
    let digest = ask(&mut client, "DEBUG DIGEST");
    let url = format!("redis://127.0.0.1:{}", redis.port);
    // What it asks itself is no use of the source's clients, the second time either.
    for _ in 0..2 {
        let (code, said) = check(&[&url]);
        assert_eq!(code, Some(0), "{said}");
        for words in [
            "source: Redis 7.",
            ", a master",
            "which is read here",
            "databases: 16, 2 with keys; here 16",
            "keys: 5, 1 of them expire",
            "large keys: of 5 that were looked at: string 'long?' in database 3, 3.",
            "replication: ",
            "backlog 1.0 MB; limit for replicas 268.4 MB hard, 67.1 MB for 60 s",
            "modules: none",
            "functions: none",
            "; 0 not known here",
            "user: default; PSYNC allowed, REPLCONF allowed",
            "time: about ",
            "outcome: nothing stands in the way",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(problems(&said).is_empty(), "{said}");
    }
    assert_eq!(ask(&mut client, "DEBUG DIGEST"), digest);
    assert_eq!([redis.figure("sync_full"), redis.figure("connected_slaves")], [0, 0]);
    let used = text(&client.must(&["INFO", "commandstats"]));
    assert!(!used.contains("psync"), "{used}");
}

#[test]
fn each_problem_is_a_line_with_what_to_do() {
    let redis = Redis::start(&["--databases", "20", "--requirepass", "secret"]);
    let mut client = redis.client_with("secret");
    for line in [
        "EVAL return(1) 0",
        "MIGRATE 127.0.0.1 1 nothing 0 10",
        "ACL SETUSER weak on >p@ss +@all -psync ~*",
        "ACL SETUSER blind on >p +ping",
    ] {
        ask(&mut client, line);
    }
    let library = "#!lua name=l\nredis.register_function('f', function() return 1 end)";
    client.must(&["FUNCTION", "LOAD", library]);
    let place = format!("127.0.0.1:{}", redis.port);
    let (code, said) = check(&[&format!("redis://weak:p%40ss@{place}")]);
    assert_eq!(code, Some(1), "{said}");
    let found = problems(&said);
    assert!(found.iter().all(|line| line.contains("; do: ")), "{said}");
    for words in [
        "the source has 20 databases, the node would have 16; do: start the node with --dbnum=20",
        "MIGRATE (1 calls); one in the stream ends the link",
        "scripts and functions are in use: ",
        "EVAL (1 calls)",
        "there are functions (FUNCTION)",
        "the user weak may not follow; do: ACL SETUSER weak +psync",
    ] {
        assert!(found.iter().any(|line| line.contains(words)), "{words}: {said}");
    }
    assert!(said.ends_with(&format!("outcome: {} problems\n", found.len())), "{said}");
    // With the node's own settings, one of them is gone.
    let (_, said) = check(&["--dbnum=20", "--masterauth=secret", &format!("redis://{place}")]);
    assert!(!said.contains("--dbnum") && said.contains("PSYNC allowed"), "{said}");

    let (code, said) = check(&[&format!("redis://blind:p@{place}")]);
    assert!(code == Some(1) && said.contains("INFO is refused (NOPERM"), "{said}");
    for (url, words) in [
        (format!("redis://{place}"), "the source does not let us in: NOAUTH"),
        (format!("redis://:wrong@{place}"), "the source does not let us in: WRONGPASS"),
    ] {
        let (code, said) = check(&[&url]);
        assert!(code == Some(1) && said.contains(words) && said.contains("; do: "), "{said}");
    }
}

#[test]
fn what_is_not_reached_or_not_understood_ends_with_2() {
    let closed = format!("redis://127.0.0.1:{}", free_port());
    for (arguments, words) in [
        (&[closed.as_str()][..], "cannot connect to 127.0.0.1:"),
        (&[], "usage: damselfly check-source"),
        (&[&closed, &closed], "usage: damselfly check-source"),
        (&["http://localhost"], "neither redis:// nor rediss://"),
        (&["--no_such_flag=1", &closed], "no_such_flag"),
        (&["redis://no.such.host.invalid"], "cannot look up no.such.host.invalid"),
    ] {
        let (code, said) = check(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with("damselfly: check-source: ") && said.contains(words), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_damselfly_is_recognised_over_tls_too() {
    let made = Certificates::make();
    let flags = made.flags();
    let node = Node::start("source", 2, &flags.iter().map(String::as_str).collect::<Vec<_>>());
    node.must(&["SET", "a", "1"]);
    let url = format!("rediss://localhost:{}", node.port);
    let own: Vec<&str> =
        flags.iter().map(String::as_str).filter(|flag| flag.contains("file=")).collect();
    let (code, said) = check(&[&own[..], &[&url]].concat());
    assert_eq!(code, Some(0), "{said}");
    for words in
        ["source: Damselfly 0.", ", over TLS", "rdb: none", "keys: 1, 0", "user: may follow"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Plaintext where TLS is spoken.
    let (code, said) = check(&[&format!("redis://localhost:{}", node.port)]);
    assert!(code == Some(1) && said.contains("do: say rediss://"), "{said}");
}
