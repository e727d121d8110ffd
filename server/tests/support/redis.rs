//! A real redis-server, and whether a node holds what it holds. `REDIS_SERVER=...` names another one than
//! Debian's: an older or newer Redis, or a Valkey.

use super::client::{Client, text};
use super::node::{Node, free_port};
use super::wait;
use engine::resp::client::Reply;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Databases of a redis-server that was told nothing else.
const DATABASES: usize = 16;

/// Differences that a failing test shows.
const SHOWN_MAX: usize = 20;

/// A string above this is compared by its length and a sum.
const WHOLE_MAX: usize = 1 << 20;

/// How often both are looked at: a field of a hash may end between the two readings.
const LOOKS_MAX: usize = 5;

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
        let program = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        Redis::start_program(Path::new(&program), settings)
    }

    /// The same of another program than Debian's.
    pub(crate) fn start_program(program: &Path, settings: &[&str]) -> Redis {
        let port = free_port();
        let directory = std::env::temp_dir().join(format!("damselfly-redis-{port}"));
        fs::create_dir_all(&directory).expect("a directory for its files");
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(settings)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} can be started (redis-server is Debian's package redis-server): {error}",
                    program.display()
                )
            });
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
        let info = text(&self.client().must(&["INFO", "all"]));
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
    /// A soak on a busy machine may be far behind; what comes nearer for longer than that never gets there.
    const AT_MOST: Duration = Duration::from_secs(900);
    let offset = || replication(node, "slave_repl_offset");
    let is_there = || {
        replication(node, "master_link_status") == "up"
            && offset() == redis.figure("master_repl_offset").to_string()
    };
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < AT_MOST, "it is at {}", offset());
        let before = offset();
        wait::until("the node has more", || is_there() || offset() != before);
    }
}

/// What stands at a key: its type, its parts in an order of their own, and its deadline.
type Entry = (String, Vec<String>, i64);

/// Everything that a server shows of one database.
fn read(client: &mut Client, asked: Asked, database: usize) -> BTreeMap<Vec<u8>, Entry> {
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
        let entry = entry(client, asked, &key)?;
        Some((key, entry))
    });
    entries.collect()
}

fn entry(client: &mut Client, asked: Asked, key: &[u8]) -> Option<Entry> {
    let kind = text(&client.must(&[b"TYPE", key]));
    let mut ask = |words: &[&[u8]]| -> Vec<String> {
        let reply = client.must(words);
        let shown = |reply: &Reply| match (reply.bytes(), reply.elements()) {
            (Some(bytes), _) if bytes.len() > WHOLE_MAX => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                format!("{} bytes, {:x}", bytes.len(), hasher.finish())
            }
            (Some(bytes), _) => bytes.escape_ascii().to_string(),
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
        "hash" => {
            let mut parts = sorted(ask(&[b"HGETALL", key]), 2);
            if parts.is_empty() {
                // All its fields have ended, and nobody has deleted it yet.
                return None;
            }
            if asked.has_fields {
                parts.extend(field_deadlines(client, key, &parts));
            }
            parts
        }
        "zset" => ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
        "stream" => {
            let mut parts = ask(&[b"XRANGE", key, b"-", b"+"]);
            let info = ask(&[b"XINFO", b"STREAM", key]);
            let wanted = ["last-generated-id", "groups", "max-deleted-entry-id", "entries-added"];
            let wanted = if asked.is_counted { &wanted } else { &wanted[..2] };
            // In an order of its own in each version.
            let known = info.chunks(2).filter(|it| wanted.contains(&it[0].as_str()));
            let known: Vec<String> = known.flatten().cloned().collect();
            parts.extend(sorted(known, 2));
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
    let deadline = match asked.is_old {
        true => match client.must(&[b"PTTL", key]).integer().unwrap_or(-2) {
            left @ ..0 => left,
            left => now_millis() + left,
        },
        false => client.must(&[b"PEXPIRETIME", key]).integer().unwrap_or(-2),
    };
    (deadline != -2).then_some((kind, parts, deadline))
}

/// When the fields end, of those whose names are plain text.
fn field_deadlines(client: &mut Client, key: &[u8], parts: &[String]) -> Vec<String> {
    let names: Vec<&[u8]> = parts.iter().step_by(2).map(String::as_bytes).collect();
    let count = names.len().to_string();
    let mut request: Vec<&[u8]> = vec![b"HPEXPIRETIME", key, b"FIELDS", count.as_bytes()];
    request.extend(names);
    let reply = client.must(&request);
    reply.elements().unwrap_or_default().iter().map(text).collect()
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

/// The libraries of functions of a server, by name and code; none of one that knows no functions.
pub(crate) fn libraries(client: &mut Client) -> Vec<(String, String)> {
    let reply = client.call(&["FUNCTION", "LIST", "WITHCODE"]);
    let mut libraries: Vec<_> = reply
        .elements()
        .unwrap_or_default()
        .iter()
        .map(|library| {
            let fields = library.elements().unwrap_or_default();
            let field = |name: &str| {
                let at = fields.iter().step_by(2).position(|field| text(field) == name);
                text(&fields[at.unwrap_or_else(|| panic!("no {name} in {library:?}")) * 2 + 1])
            };
            (field("library_name"), field("library_code"))
        })
        .collect();
    libraries.sort_unstable();
    libraries
}

/// What of their forms an old Redis does not tell.
#[derive(Clone, Copy)]
struct Asked {
    /// No PEXPIRETIME: before Redis 7.
    is_old: bool,
    /// What only Redis 7 tells of streams is compared.
    is_counted: bool,
    /// Fields of hashes have deadlines.
    has_fields: bool,
}

impl Asked {
    fn of(client: &mut Client, is_counted: bool) -> Asked {
        let mut knows = |name: &str| {
            let reply = client.must(&["COMMAND", "INFO", name]);
            let found = reply.elements().and_then(|found| found[0].elements());
            found.is_some_and(|entry| !entry.is_empty())
        };
        let is_old = !knows("PEXPIRETIME");
        let is_counted = is_counted && !is_old;
        Asked { is_old, is_counted, has_fields: knows("HPEXPIRETIME") }
    }
}

/// How late an old Redis's stream comes, where nothing stands in its way.
const LATE: Duration = Duration::from_secs(5);

/// Compares a Redis that nobody writes with a node that has caught up, key by key in all databases. Answers how
/// many keys they hold; fails with the differences.
pub(crate) fn assert_equal(redis: &Redis, node: &Node) -> usize {
    assert_equal_where_late(redis, node, LATE)
}

/// The same where the stream came as late as this: before Redis 7 it tells a deadline as what is left of it.
pub(crate) fn assert_equal_where_late(redis: &Redis, node: &Node, late: Duration) -> usize {
    let mut looks = 0;
    loop {
        looks += 1;
        let (count, differences) = compare(redis, node, true, late.max(LATE));
        if differences.is_empty() || looks == LOOKS_MAX {
            return none_differ(count, &differences);
        }
        wait_caught_up(redis, node);
    }
}

/// The same of a Redis that follows a node: what only Redis 7 knows of streams it is not told, since 6.2 could not
/// be.
pub(crate) fn assert_follows(redis: &Redis, node: &Node) -> usize {
    let (count, differences) = compare(redis, node, false, LATE);
    none_differ(count, &differences)
}

fn none_differ(count: usize, differences: &[String]) -> usize {
    let shown = &differences[..differences.len().min(SHOWN_MAX)];
    let differ = differences.len();
    assert!(differ == 0, "{differ} of {count} keys differ (Redis, node):\n{}", shown.join("\n"));
    count
}

/// How many keys there are, and those that differ.
fn compare(redis: &Redis, node: &Node, is_counted: bool, late: Duration) -> (usize, Vec<String>) {
    let (mut from_redis, mut from_node) = (redis.client(), node.client());
    let (mut count, mut differences) = (0, Vec::new());
    let asked = Asked::of(&mut from_redis, is_counted);
    let tolerance = if asked.is_old { late.as_millis() as i64 } else { 0 };
    let is_same = |one: &Entry, other: &Entry| {
        (&one.0, &one.1) == (&other.0, &other.1) && (one.2 - other.2).abs() <= tolerance
    };
    for database in 0..DATABASES {
        let left = read(&mut from_redis, asked, database);
        let mut right = read(&mut from_node, asked, database);
        let now = now_millis();
        count += left.len();
        // What is due may have gone between the two readings.
        let is_due = |entry: &Entry| entry.2 != -1 && entry.2 <= now;
        let mut note = |key: &[u8], left: Option<&Entry>, right: Option<&Entry>| {
            let shown: String = format!("{left:?} / {right:?}").chars().take(400).collect();
            differences.push(format!("db {database} {}: {shown}", key.escape_ascii()));
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
    (count, differences)
}
