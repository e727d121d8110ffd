//! The largest of some keys.

use super::asking::{Source, Words, words};
use super::facts::{Facts, text};
use super::report::{Report, bytes};
use engine::resp::client::Reply;
use std::time::{Duration, Instant};

/// Keys that are looked at, over all databases, and for how long at most: the server is at work.
const KEYS_MAX: usize = 20_000;
const TIME_MAX: Duration = Duration::from_secs(3);
/// Keys of a page.
const PAGE: usize = 500;
/// The largest that are named.
const NAMED_MAX: usize = 3;
/// Characters of a key that are shown.
const SHOWN_MAX: usize = 64;

/// A key and what it takes there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Large {
    bytes: u64,
    database: u32,
    key: Vec<u8>,
}

/// Looks at keys of all databases by SCAN, in turn, and says which of them were the largest.
pub(super) fn look(source: &mut Source, facts: &Facts, report: &mut Report) -> Result<(), String> {
    let until = Instant::now() + TIME_MAX;
    let (mut largest, mut seen) = (Vec::new(), 0);
    for (index, database) in facts.databases.iter().enumerate() {
        let most = (KEYS_MAX - seen) / (facts.databases.len() - index);
        match scan(source, database.index, most, until, &mut largest)? {
            Ok(count) => seen += count,
            Err(refusal) => {
                report.say("large keys", format!("not known: {refusal}"));
                return Ok(());
            }
        }
    }
    let mut shown = Vec::new();
    for Large { bytes: size, database, key } in largest {
        source.ask(words(&format!("SELECT {database}")))?;
        let kind = text(&source.ask(vec![b"TYPE".to_vec(), key.clone()])?);
        shown.push(format!("{kind} {} in database {database}, {}", name(&key), bytes(size)));
    }
    let shown = if shown.is_empty() { "none".to_owned() } else { shown.join("; ") };
    report.say("large keys", format!("of {seen} that were looked at: {shown}"));
    Ok(())
}

/// The same in one database: how many were looked at, or why they may not be.
fn scan(
    source: &mut Source,
    database: u32,
    most: usize,
    until: Instant,
    largest: &mut Vec<Large>,
) -> Result<Result<usize, String>, String> {
    let refusal =
        |reply: &Reply| reply.error().map(|error| String::from_utf8_lossy(error).into_owned());
    if let Some(refusal) = refusal(&source.ask(words(&format!("SELECT {database}")))?) {
        return Ok(Err(refusal));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    while seen < most && Instant::now() < until {
        let page = source.ask(words(&format!("SCAN {cursor} COUNT {PAGE}")))?;
        if let Some(refusal) = refusal(&page) {
            return Ok(Err(refusal));
        }
        let Some([next, keys]) = page.elements() else {
            return Err("SCAN is answered with something else".to_owned());
        };
        let keys: Vec<&[u8]> = keys
            .elements()
            .unwrap_or_default()
            .iter()
            .filter_map(Reply::bytes)
            .take(most - seen)
            .collect();
        let usage =
            |key: &&[u8]| -> Words { vec![b"MEMORY".to_vec(), b"USAGE".to_vec(), key.to_vec()] };
        let sizes = source.ask_all(&Vec::from_iter(keys.iter().map(usage)))?;
        if let Some(refusal) = sizes.first().and_then(refusal) {
            return Ok(Err(refusal));
        }
        for (key, size) in keys.iter().zip(&sizes) {
            let size = size.integer().and_then(|size| u64::try_from(size).ok());
            let Some(bytes) = size else { continue };
            note(largest, Large { bytes, database, key: key.to_vec() });
        }
        seen += keys.len();
        cursor = text(next);
        if cursor == "0" || cursor.is_empty() {
            break;
        }
    }
    Ok(Ok(seen))
}

/// Keeps the largest, each once, though SCAN may show a key twice.
fn note(largest: &mut Vec<Large>, one: Large) {
    if largest.iter().any(|other| (other.database, &other.key) == (one.database, &one.key)) {
        return;
    }
    let at = largest.partition_point(|other| other.bytes >= one.bytes);
    largest.insert(at, one);
    largest.truncate(NAMED_MAX);
}

fn name(key: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(key).chars().take(SHOWN_MAX).collect();
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_each_once() {
        let mut largest = Vec::new();
        for (bytes, key) in [(5, "a"), (9, "b"), (9, "b"), (1, "c"), (7, "d"), (2, "e")] {
            note(&mut largest, Large { bytes, database: 0, key: key.as_bytes().to_vec() });
        }
        let found: Vec<u64> = largest.iter().map(|one| one.bytes).collect();
        assert_eq!(found, [9, 7, 5]);
    }
}
