//! A real redis-server, and whether a node holds what it holds. `REDIS_SERVER=...` names another one than
//! Debian's: an older or newer Redis, or a Valkey.

use super::client::{Client, text};
use super::node::{Node, free_port};
use super::wait;
use engine::resp::client::Reply;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Databases of a redis-server that was told nothing else.
const DATABASES: usize = 16;

/// Differences that a failing test shows.
const SHOWN_MAX: usize = 20;

/// A process of Debian's redis-server. It is killed when it is dropped.
pub(crate) struct Redis {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
    directory: PathBuf,
}

impl Redis {
    /// Starts one with these settings beside its port, and waits until it serves.
    pub(crate) fn start(settings: &[&str]) -> Redis {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("damselfly-redis-{port}"));
        fs::create_dir_all(&directory).expect("a directory for its files");
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(settings)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server can be started: it is Debian's package redis-server");
        let redis = Redis { child, port, directory };
        wait::until("redis-server serves", || {
            Client::connect(port).is_ok_and(|mut client| client.try_call(&["PING"]).is_ok())
        });
        redis
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port).expect("redis-server takes connections")
    }

    /// The same that shows a password.
    pub(crate) fn client_with(&self, password: &str) -> Client {
        let mut client = self.client();
        client.must(&["AUTH", password]);
        client
    }

    /// A line of its INFO, as a number.
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let info = text(&self.client().must(&["INFO", "everything"]));
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A line of a node's INFO replication.
pub(crate) fn replication(node: &Node, name: &str) -> String {
    let info = node.ask(&["INFO", "replication"]).unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Waits until a node follows a Redis and has everything that it wrote; nobody writes meanwhile.
pub(crate) fn wait_caught_up(redis: &Redis, node: &Node) {
    wait::until("the node has everything", || {
        replication(node, "master_link_status") == "up"
            && replication(node, "slave_repl_offset")
                == redis.figure("master_repl_offset").to_string()
    });
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// All that Redis 7 shows.
    Whole,
    /// All that every Redis shows.
    OfAll,
    /// The same, where deadlines are not shown exactly.
    Old,
}

/// What stands at a key: its type, its parts in an order of their own, and its deadline.
type Entry = (String, Vec<String>, i64);

/// Everything that a server shows of one database.
fn read(client: &mut Client, how: How, database: usize) -> BTreeMap<Vec<u8>, Entry> {
    client.must(&["SELECT", &database.to_string()]);
    let (mut keys, mut cursor) = (Vec::new(), b"0".to_vec());
    loop {
        let reply = client.must(&[b"SCAN".as_slice(), &cursor, b"COUNT", b"1000"]);
        let Some([next, found]) = reply.elements() else { panic!("SCAN answers {reply:?}") };
        let found = found.elements().unwrap_or_default().iter().filter_map(Reply::bytes);
        keys.extend(found.map(<[u8]>::to_vec));
        cursor = next.bytes().expect("a cursor").to_vec();
        if cursor == b"0" {
            break;
        }
    }
    let entries = keys.into_iter().filter_map(|key| {
        let entry = entry(client, how, &key)?;
        Some((key, entry))
    });
    entries.collect()
}

fn entry(client: &mut Client, how: How, key: &[u8]) -> Option<Entry> {
    let kind = text(&client.must(&[b"TYPE", key]));
    let mut ask = |words: &[&[u8]]| -> Vec<String> {
        let reply = client.must(words);
        let shown = |reply: &Reply| match (reply.bytes(), reply.elements()) {
            (Some(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
            (_, Some(_)) => text(reply),
            _ => format!("{reply:?}"),
        };
        match reply.elements() {
            Some(elements) => elements.iter().map(shown).collect(),
            None => vec![shown(&reply)],
        }
    };
    let parts = match kind.as_str() {
        "string" => ask(&[b"GET", key]),
        "list" => ask(&[b"LRANGE", key, b"0", b"-1"]),
        "set" => sorted(ask(&[b"SMEMBERS", key]), 1),
        "hash" => sorted(ask(&[b"HGETALL", key]), 2),
        "zset" => ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        "stream" => {
            let mut parts = ask(&[b"XRANGE", key, b"-", b"+"]);
            let info = ask(&[b"XINFO", b"STREAM", key]);
            let wanted = ["last-generated-id", "groups", "max-deleted-entry-id", "entries-added"];
            let is_counted = how == How::Whole;
            let wanted = if is_counted { &wanted } else { &wanted[..2] };
            parts.extend(
                info.chunks(2).filter(|it| wanted.contains(&it[0].as_str())).flatten().cloned(),
            );
            let groups = client.must(&[b"XINFO".as_slice(), b"GROUPS", key]);
            for group in groups.elements().unwrap_or_default() {
                let fields = group.elements().unwrap_or_default();
                let name = fields.get(1).and_then(Reply::bytes).unwrap_or_default().to_vec();
                parts.push(fields.iter().skip(4).take(4).map(text).collect::<Vec<_>>().join(" "));
                let pending =
                    client.must(&[b"XPENDING".as_slice(), key, &name, b"-", b"+", b"1000"]);
                for entry in pending.elements().unwrap_or_default() {
                    // The id and whose it is; how long ago and how often are not told exactly.
                    parts.push(
                        entry.elements().unwrap_or_default().iter().take(2).map(text).collect(),
                    );
                }
            }
            parts
        }
        _ => return None,
    };
    let deadline = match how == How::Old {
        true => match client.must(&[b"PTTL", key]).integer().unwrap_or(-2) {
            left @ ..0 => left,
            left => now_millis() + left,
        },
        false => client.must(&[b"PEXPIRETIME", key]).integer().unwrap_or(-2),
    };
    (deadline != -2).then_some((kind, parts, deadline))
}

fn sorted(parts: Vec<String>, each: usize) -> Vec<String> {
    let mut parts: Vec<&[String]> = parts.chunks(each).collect();
    parts.sort_unstable();
    parts.concat()
}

fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_millis() as i64
}

/// Compares a Redis that nobody writes with a node that has caught up, key by key in all databases. Answers how
/// many keys they hold; fails with the differences.
pub(crate) fn assert_equal(redis: &Redis, node: &Node) -> usize {
    compare(redis, node, How::Whole)
}

/// The same of a Redis that follows a node: what only Redis 7 knows of streams it is not told, since 6.2 could not
/// be.
pub(crate) fn assert_follows(redis: &Redis, node: &Node) -> usize {
    compare(redis, node, How::OfAll)
}

fn compare(redis: &Redis, node: &Node, how: How) -> usize {
    let (mut from_redis, mut from_node) = (redis.client(), node.client());
    let (mut count, mut differences) = (0, Vec::new());
    // Before Redis 7 a deadline is told as what is left of it, and the clock goes on between two questions.
    let is_old = text(&from_redis.must(&["INFO", "server"])).contains("redis_version:6.");
    let how = if is_old { How::Old } else { how };
    let tolerance = if is_old { 5000 } else { 0 };
    let is_same = |one: &Entry, other: &Entry| {
        (&one.0, &one.1) == (&other.0, &other.1) && (one.2 - other.2).abs() <= tolerance
    };
    for database in 0..DATABASES {
        let left = read(&mut from_redis, how, database);
        let mut right = read(&mut from_node, how, database);
        let now = now_millis();
        count += left.len();
        // What is due may have gone between the two readings.
        let is_due = |entry: &Entry| entry.2 != -1 && entry.2 <= now;
        let mut note = |key: &[u8], left: Option<&Entry>, right: Option<&Entry>| {
            let shown: String = format!("{left:?} / {right:?}").chars().take(400).collect();
            differences.push(format!("db {database} {}: {shown}", String::from_utf8_lossy(key)));
        };
        for (key, entry) in &left {
            match right.remove(key) {
                Some(other) if is_same(&other, entry) => {}
                None if is_due(entry) => {}
                other => note(key, Some(entry), other.as_ref()),
            }
        }
        right
            .iter()
            .filter(|(_, entry)| !is_due(entry))
            .for_each(|(key, it)| note(key, None, Some(it)));
    }
    let shown = differences.len().min(SHOWN_MAX);
    assert!(
        differences.is_empty(),
        "{} of {count} keys differ (Redis, node):\n{}",
        differences.len(),
        differences[..shown].join("\n")
    );
    count
}
