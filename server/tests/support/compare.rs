//! Whether two nodes hold the same: key by key, values and deadlines, in all databases.

use super::client::{Client, request, text};
use super::node::Node;
use super::wait;
use engine::resp::client::Reply;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Databases of a node that is started without `--dbnum`.
const DATABASES: usize = 16;

/// Keys that are asked for at once.
const AT_ONCE: usize = 500;

/// Differences that a failing test shows.
const SHOWN_MAX: usize = 20;

/// How long two nodes are compared, one of which takes out what comes to its end: fields of hashes that nobody writes any
/// more end within a second (`collections`), and their master may be slow to take them out.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A key's value and deadline (`-1`: none).
type Entry = (Vec<u8>, i64);

/// Everything that a database shows.
type Database = BTreeMap<Vec<u8>, Entry>;

/// What is compared of a collection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Its digest and its form.
    All,
    /// What clients see of it. A value that was read from a file may have another form, and its consumers forget
    /// when they were active.
    Contents,
}

/// Reads one database.
fn read(client: &mut Client, database: usize, of: Of) -> Database {
    client.must(&["SELECT", &database.to_string()]);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = client.must(&[b"SCAN".as_slice(), &cursor, b"COUNT", b"1000"]);
        let Some([next, found]) = reply.elements() else { panic!("SCAN answers {reply:?}") };
        keys.extend(
            found
                .elements()
                .unwrap_or_default()
                .iter()
                .filter_map(|key| key.bytes().map(<[u8]>::to_vec)),
        );
        cursor = next.bytes().expect("a cursor").to_vec();
        if cursor == b"0" {
            break;
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let mut entries = Database::new();
    for keys in keys.chunks(AT_ONCE) {
        let requests: Vec<_> = keys
            .iter()
            .flat_map(|key| {
                [request(&[b"GET".as_slice(), key]), request(&[b"PEXPIRETIME".as_slice(), key])]
            })
            .collect();
        let mut replies = client.pipeline(&requests);
        for (key, pair) in keys.iter().zip(replies.chunks_mut(2)) {
            if pair[0].error().is_some_and(|error| error.starts_with(b"WRONGTYPE")) {
                pair[0] = Reply::Bulk(match of {
                    Of::All => collection(client, key),
                    Of::Contents => contents(client, key),
                });
            }
        }
        for (key, pair) in keys.iter().zip(replies.chunks(2)) {
            // A key that expired since the scan shows neither.
            if let (Reply::Bulk(value), Reply::Integer(deadline)) = (&pair[0], &pair[1])
                && *deadline != -2
            {
                entries.insert(key.clone(), (value.clone(), *deadline));
            } else {
                assert!(pair[0] == Reply::Nil || pair[1] == Reply::Integer(-2), "{pair:?}");
            }
        }
    }
    entries
}

/// What stands for a collection: its type, its digest and its form.
fn collection(client: &mut Client, key: &[u8]) -> Vec<u8> {
    let kind = client.call(&[b"TYPE".as_slice(), key]);
    let digest = client.call(&[b"DEBUG".as_slice(), b"DIGEST-VALUE", key]);
    let form = client.call(&[b"OBJECT".as_slice(), b"ENCODING", key]);
    format!("{kind:?} {digest:?} {form:?}").into_bytes()
}

/// What clients see of a collection: its type and its elements, in an order of their own.
fn contents(client: &mut Client, key: &[u8]) -> Vec<u8> {
    let (kind, elements) = elements(client, key);
    match kind.as_str() {
        "none" => Vec::new(),
        "string" => panic!("a collection is a string now"),
        _ => format!("{kind} {}", elements.join(" ")).into_bytes(),
    }
}

fn elements(client: &mut Client, key: &[u8]) -> (String, Vec<String>) {
    let kind = text(&client.call(&[b"TYPE".as_slice(), key]));
    let ask: &[&[u8]] = match kind.as_str() {
        "list" => &[b"LRANGE", key, b"0", b"-1"],
        "set" => &[b"SMEMBERS", key],
        "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        "hash" => &[b"HGETALL", key],
        "stream" => &[b"XRANGE", key, b"-", b"+"],
        // It has ended since, or has no elements.
        "none" | "string" => return (kind, Vec::new()),
        other => panic!("a key of type {other}"),
    };
    let reply = client.call(ask);
    let elements = reply.elements().unwrap_or_default();
    let pairs = if kind == "hash" { 2 } else { 1 };
    let mut shown: Vec<String> = elements.chunks(pairs).map(|chunk| format!("{chunk:?}")).collect();
    if kind == "set" || kind == "hash" {
        shown.sort_unstable();
    }
    if kind == "stream" {
        let groups = client.call(&[b"XINFO".as_slice(), b"GROUPS", key]);
        shown.push(format!("{groups:?}"));
    }
    (kind, shown)
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    since.as_millis() as i64
}

/// Compares two nodes of which nobody writes the one and the other has caught up, or had before it was promoted. Answers
/// how many keys they hold; fails with the differences.
pub(crate) fn assert_equal(master: &Node, replica: &Node) -> usize {
    assert_equal_in(master, replica, Of::All)
}

fn assert_equal_in(master: &Node, replica: &Node, of: Of) -> usize {
    // A field may end between the two readings: what differs is looked at again.
    let until = Instant::now() + ENDS_WITHIN;
    loop {
        let (count, differences) = compare(master, replica, of);
        if differences.is_empty() {
            return count;
        }
        if Instant::now() >= until {
            fail(master, replica, count, &differences);
        }
        // One that was promoted takes out by itself what has ended.
        if replica.ask(&["ROLE"]).is_some_and(|role| role.starts_with("replica")) {
            wait_caught_up(master, replica);
        }
    }
}

/// Fails, with what can be seen of the keys that differ.
fn fail(master: &Node, replica: &Node, count: usize, differences: &[Difference]) -> ! {
    let shown: Vec<String> = differences
        .iter()
        .take(SHOWN_MAX)
        .map(|difference| {
            let (ours, theirs) = (seen(master, difference), seen(replica, difference));
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                these
                    .difference(those)
                    .take(SHOWN_MAX)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n      ")
            };
            let (first, second) = (only(&ours, &theirs), only(&theirs, &ours));
            format!(
                "{}\n    only the master:\n      {first}\n    only the replica:\n      {second}",
                difference.shown
            )
        })
        .collect();
    panic!(
        "{} of {count} keys differ (master, replica), now {}:\n{}",
        differences.len(),
        now_millis(),
        shown.join("\n")
    );
}

/// What a client sees of a key: its elements, and when fields end.
fn seen(node: &Node, Difference { database, key, .. }: &Difference) -> BTreeSet<String> {
    let mut client = node.client();
    client.must(&["SELECT", &database.to_string()]);
    let mut seen: BTreeSet<String> = elements(&mut client, key).1.into_iter().collect();
    let names = client.call(&[b"HKEYS".as_slice(), key]);
    for name in names.elements().unwrap_or_default().iter().filter_map(Reply::bytes) {
        let ask = [b"HPEXPIRETIME".as_slice(), key, b"FIELDS", b"1", name];
        seen.insert(format!(
            "{} until {}",
            String::from_utf8_lossy(name),
            text(&client.call(&ask))
        ));
    }
    seen
}

/// A key that is not the same on both.
struct Difference {
    database: usize,
    key: Vec<u8>,
    shown: String,
}

/// How many keys there are, and those that differ.
fn compare(master: &Node, replica: &Node, of: Of) -> (usize, Vec<Difference>) {
    let (mut from_master, mut from_replica) = (master.client(), replica.client());
    let (mut count, mut differences) = (0, Vec::new());
    for database in 0..DATABASES {
        let left = read(&mut from_master, database, of);
        let right = read(&mut from_replica, database, of);
        let now = now_millis();
        count += left.len();
        // What is due may have gone between the two readings.
        let is_due = |entry: &Entry| entry.1 != -1 && entry.1 <= now;
        for (key, entry) in &left {
            match right.get(key) {
                Some(other) if other == entry => {}
                None if is_due(entry) => {}
                other => differences.push(show(database, key, Some(entry), other)),
            }
        }
        for (key, entry) in &right {
            if !left.contains_key(key) && !is_due(entry) {
                differences.push(show(database, key, None, Some(entry)));
            }
        }
    }
    (count, differences)
}

fn show(database: usize, key: &[u8], left: Option<&Entry>, right: Option<&Entry>) -> Difference {
    let entry = |entry: Option<&Entry>| match entry {
        None => "missing".to_owned(),
        Some((value, deadline)) => {
            let length = value.len();
            let start = String::from_utf8_lossy(&value[..length.min(48)]).into_owned();
            format!("{start:?} ({length} bytes, deadline {deadline})")
        }
    };
    let (key, name) = (key.to_vec(), String::from_utf8_lossy(key));
    let shown = format!("  db {database} {name:?}: {} / {}", entry(left), entry(right));
    Difference { database, key, shown }
}

/// The journal heads of a node, one a shard of its master's (or its own).
pub(crate) fn offsets(node: &Node) -> Option<Vec<i64>> {
    let mut client = Client::connect(node.admin_port).ok()?;
    client.set_reply_limit(std::time::Duration::from_secs(5));
    let reply = client.try_call(&["DFLY", "REPLICAOFFSET"]).ok()?;
    reply.elements()?.iter().map(Reply::integer).collect()
}

/// Whether a node follows its master in stable sync.
pub(crate) fn is_stable(node: &Node) -> bool {
    node.ask(&["ROLE"])
        .is_some_and(|role| role.ends_with("stable_sync") && role.starts_with("replica"))
}

/// Waits until a replica has everything that its master wrote.
pub(crate) fn wait_caught_up(master: &Node, replica: &Node) {
    wait::until("the replica has everything", || {
        is_stable(replica) && offsets(master).is_some_and(|heads| Some(heads) == offsets(replica))
    });
}

/// Waits until the digests of both nodes are equal: they hold the same, also what is due and hidden.
pub(crate) fn wait_digests_equal(master: &Node, replica: &Node) {
    wait::until("the digests are equal", || {
        let digest = |node: &Node| text(&node.must(&["DEBUG", "DIGEST"]));
        digest(master) == digest(replica)
    });
}

/// Everything at once: the replica catches up, and both are equal in every key and by digest.
pub(crate) fn assert_same(master: &Node, replica: &Node) -> usize {
    wait_caught_up(master, replica);
    let count = assert_equal(master, replica);
    wait_digests_equal(master, replica);
    count
}

/// As [`assert_same`] where one of both was started anew from a file: forms of values may differ.
pub(crate) fn assert_same_contents(master: &Node, replica: &Node) -> usize {
    wait_caught_up(master, replica);
    let count = assert_equal_in(master, replica, Of::Contents);
    wait::until("nothing is left that is due", || {
        let size = |node: &Node| text(&node.must(&["DBSIZE"]));
        size(master) == size(replica)
    });
    count
}
