//! What a Redis has written is this node's data set at its start, or the start ends and says why.
//!
//! `redis-server` writes the file: it must be installed.

mod support;

use engine::resp::client::Reply;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::client::{Client, text};
use support::node::{Node, free_port};
use support::redis;
use support::wait;

struct Redis {
    child: Child,
    client: Client,
}

impl Redis {
    fn start(directory: &Path) -> Redis {
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let client = wait::until_some("Redis serves", || {
            let mut client = Client::connect(port).ok()?;
            client.try_call(&["PING"]).ok().map(|_| client)
        });
        Redis { child, client }
    }

    fn must(&mut self, line: &str) -> Reply {
        self.client.must(&line.split(' ').collect::<Vec<_>>())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keys of every type, small and large, some with binary names or deadlines, in several databases.
fn fill(redis: &mut Redis) {
    for db in [0, 3, 15] {
        redis.must(&format!("SELECT {db}"));
        redis.must("SET number 12345");
        redis.must("SET until x PXAT 4000000000000");
        redis.client.must(&[b"SET".as_slice(), b"\x00\xff\r\n", b"\x01\x02\xfe"]);
        redis.client.must(&["SET", "packed", &"abc".repeat(1000)]);
        redis.must("SETRANGE long 3000000 end");
        redis.must("SETBIT bits 77777 1");
        for count in [3, 1000] {
            let words =
                |each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<Vec<_>>().join(" ");
            redis.must(&format!("RPUSH list{count} {}", words(&|i| format!("element{i}"))));
            redis.must(&format!("SADD integers{count} {}", words(&|i| (i * 70_000).to_string())));
            redis.must(&format!("SADD set{count} {}", words(&|i| format!("member{i}"))));
            redis.must(&format!("ZADD zset{count} inf last {}", words(&|i| format!("{i}.5 m{i}"))));
            redis.must(&format!("HSET hash{count} {}", words(&|i| format!("f{i} value{i}"))));
            for i in 1..=count {
                redis.must(&format!("XADD stream{count} {i}-1 name {i} other value"));
            }
            redis.must(&format!("XDEL stream{count} 2-1"));
            redis.must(&format!("XGROUP CREATE stream{count} group 0"));
            redis.must(&format!("XREADGROUP GROUP group me COUNT 2 STREAMS stream{count} >"));
        }
        redis.must("PFADD visitors a b c d");
        redis.must("GEOADD places 13.361389 38.115556 Palermo");
        redis.must("EXPIREAT list3 4000000000");
    }
    redis.client.must(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    ]);
}

/// Everything that a server shows of a key, in an order that does not depend on the server.
fn shown(client: &mut Client, key: &[u8]) -> Vec<String> {
    let mut ask = |words: &[&[u8]]| client.must(words);
    let kind = text(&ask(&[b"TYPE", key]));
    let all: &[u8] = b"-1";
    let (value, is_ordered) = match kind.as_str() {
        "string" => (ask(&[b"GET", key]), true),
        "list" => (ask(&[b"LRANGE", key, b"0", all]), true),
        "set" => (ask(&[b"SMEMBERS", key]), false),
        "zset" => (ask(&[b"ZRANGE", key, b"0", all, b"WITHSCORES"]), true),
        "hash" => (ask(&[b"HGETALL", key]), false),
        "stream" => (ask(&[b"XRANGE", key, b"-", b"+"]), true),
        other => panic!("a key of type {other}"),
    };
    let mut parts = match (&value, is_ordered, kind.as_str()) {
        (Reply::Array(elements), false, "hash") => {
            elements.chunks(2).map(|pair| format!("{pair:?}")).collect()
        }
        (Reply::Array(elements), false, _) => elements.iter().map(|it| format!("{it:?}")).collect(),
        _ => vec![format!("{value:?}")],
    };
    parts.sort_unstable();
    if kind == "stream" {
        parts.push(format!(
            "{:?}",
            ask(&[b"XPENDING", key, b"group", b"-", b"+", b"10"]).elements().map(<[Reply]>::len)
        ));
        parts.push(format!("{:?}", ask(&[b"XLEN", key])));
    }
    parts.push(format!("{:?}", ask(&[b"PEXPIRETIME", key])));
    parts.push(kind);
    parts
}

#[test]
fn a_node_starts_from_what_redis_has_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut redis = Redis::start(directory.path());
    fill(&mut redis);
    redis.must("SAVE");
    let dir = format!("--dir={}", directory.path().display());
    for shards in [1, 3] {
        let node = Node::start("loads", shards, &[&dir, "--dbfilename=dump.rdb"]);
        let mut client = node.client();
        for db in ["0", "3", "15"] {
            for client in [&mut redis.client, &mut client] {
                client.must(&["SELECT", db]);
            }
            let keys = redis.client.must(&["KEYS", "*"]);
            let keys = keys.elements().unwrap_or_default();
            assert_eq!(client.must(&["DBSIZE"]), Reply::Integer(keys.len() as i64));
            for key in keys.iter().filter_map(Reply::bytes) {
                let name = String::from_utf8_lossy(key);
                assert_eq!(
                    shown(&mut client, key),
                    shown(&mut redis.client, key),
                    "{name} in {db}"
                );
            }
        }
        let info = text(&client.must(&["INFO", "persistence"]));
        assert!(info.contains("loading:0\r\n"), "{info}");
        let loaded = info.lines().find_map(|line| line.strip_prefix("rdb_last_load_keys_loaded:"));
        assert!(loaded.is_some_and(|count| count != "0"), "{info}");
        let libraries = redis::libraries(&mut redis.client);
        assert_eq!(libraries.len(), 1);
        assert_eq!(redis::libraries(&mut client), libraries);
    }
}

#[test]
fn a_file_that_cannot_be_loaded_stops_the_start_and_is_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("dump.rdb");
    let dir = format!("--dir={}", directory.path().display());
    let good = b"REDIS0009\xfe\x00\x00\x03key\x05value\xff\x00\x00\x00\x00\x00\x00\x00\x00";
    let mut far = good.to_vec();
    far[10] = 40;
    for (bytes, words) in [
        (&b""[..], "the file ends here"),
        (&good[..17], "the file ends here, in the middle of itself (at byte 17"),
        (b"REDIS0042\xff", "RDB version '0042' is not known here"),
        (b"#!/bin/sh\n", "this is no RDB file"),
        (
            &far,
            "it has a database 40, and this node has 16: start it with a larger --dbnum (at byte 11)",
        ),
    ] {
        std::fs::write(&path, bytes).expect("a file");
        let (code, said) =
            Node::refused(&[&dir, "--dbfilename=dump.rdb", "--port=-1", "--proactor_threads=1"]);
        assert_eq!(code, Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        let name = path.display().to_string();
        assert!(last.starts_with("damselfly: cannot load ") && last.contains(&name), "{said}");
        assert!(last.contains(words), "'{words}' is missing in: {last}");
        assert_eq!(std::fs::read(&path).expect("it is still there"), bytes);
    }
}
