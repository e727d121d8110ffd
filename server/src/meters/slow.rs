//! The slow log: requests that took longer than `slowlog-log-slower-than`.
//!
//! A ring of the latest entries for the whole program. It is locked by what was slow and by who reads
//! it, never by a request that was quick. An entry keeps [`ARGUMENTS_MAX`] arguments of
//! [`ARGUMENT_BYTES_MAX`] bytes at most, so that the log is bounded by `slowlog-max-len` entries of
//! some 5 KiB.

use crate::clients::Client;
use engine::command::{Args, Entry, Flags};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Arguments of an entry, as in Redis.
const ARGUMENTS_MAX: usize = 32;
/// Bytes of an argument, as in Redis.
const ARGUMENT_BYTES_MAX: usize = 128;

/// One slow request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Growing over the life of the program.
    pub id: u64,
    /// Seconds since 1970 when it ended.
    pub at: u64,
    /// What it took.
    pub took: Duration,
    /// The request, shortened.
    pub arguments: Vec<Vec<u8>>,
    /// Whose it was.
    pub peer: String,
    /// The name that the client has given itself.
    pub name: String,
}

/// See the module's doc.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    /// The youngest first.
    entries: VecDeque<Slow>,
    next_id: u64,
}

impl SlowLog {
    /// Adds a request, and lets the oldest ones go beyond `most` entries.
    ///
    /// Where it was one of several that were timed together, `others` says how many others there were.
    pub fn note(
        &self,
        entry: &Entry,
        args: &Args<'_>,
        others: usize,
        took: Duration,
        client: &Client,
        most: usize,
    ) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let arguments = shortened(entry, args, others);
        let (peer, name) = (client.peer.clone(), client.words().name.clone());
        let mut ring = self.lock();
        let id = ring.next_id;
        ring.next_id += 1;
        ring.entries.push_front(Slow { id, at, took, arguments, peer, name });
        ring.entries.truncate(most);
    }

    /// The youngest `count` entries.
    pub fn latest(&self, count: usize) -> Vec<Slow> {
        self.lock().entries.iter().take(count).cloned().collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries. Ids go on.
    pub fn reset(&self) {
        self.lock().entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The arguments that are kept: Redis's words for what is left out, and what may be a secret hidden.
fn shortened(entry: &Entry, args: &Args<'_>, others: usize) -> Vec<Vec<u8>> {
    let count = args.len();
    // The last place says how many are left out.
    let kept = if count > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { count };
    let mut shown: Vec<Vec<u8>> = (0..kept)
        .map(|index| {
            if is_secret(entry, args, index) {
                return b"(redacted)".to_vec();
            }
            let (length, beginning) = args.beginning(index, ARGUMENT_BYTES_MAX);
            let mut text = beginning.to_vec();
            if length > ARGUMENT_BYTES_MAX {
                let more = length - ARGUMENT_BYTES_MAX;
                text.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            }
            text
        })
        .collect();
    if kept < count {
        shown.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    if others > 0 {
        shown.push(format!("... (timed with {others} others of its pipeline)").into_bytes());
    }
    shown
}

/// Passwords, and the values of settings, which may be some.
fn is_secret(entry: &Entry, args: &Args<'_>, index: usize) -> bool {
    match entry.name() {
        "config|set" => {
            index >= 3
                && index % 2 == 1
                && ["pass", "auth"].iter().any(|word| {
                    let setting = String::from_utf8_lossy(args.get(index - 1)).to_ascii_lowercase();
                    setting.contains(word)
                })
        }
        _ => index > 0 && entry.command.flags.contains(Flags::SENSITIVE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::registry;
    use engine::command::OwnedArgs;

    fn shown(words: &[&[u8]], others: usize) -> Vec<String> {
        let args: OwnedArgs = words.iter().copied().collect();
        let (registry, _) = registry();
        let entry = registry.resolve(&args.view()).expect("a known request");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("plain text");
        shortened(entry, &args.view(), others).into_iter().map(text).collect()
    }

    #[test]
    fn long_requests_are_shortened_in_redis_words() {
        let long = "x".repeat(130);
        let want = [&long[..128], "... (2 more bytes)"].concat();
        assert_eq!(shown(&[b"GET", long.as_bytes()], 0), ["GET", &want]);
        let many: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain([&b"k"[..]; 40]).collect();
        let kept = shown(&many, 0);
        assert_eq!((kept.len(), kept[31].as_str()), (32, "... (10 more arguments)"));
        let exact: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain([&b"k"[..]; 31]).collect();
        assert_eq!(shown(&exact, 0).last().map(String::as_str), Some("k"));
        assert_eq!(
            shown(&[b"GET", b"k"], 15),
            ["GET", "k", "... (timed with 15 others of its pipeline)"]
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown(&[b"AUTH", b"geheim"], 0), ["AUTH", "(redacted)"]);
        let hello: [&[u8]; 5] = [b"HELLO", b"3", b"AUTH", b"me", b"geheim"];
        assert!(!shown(&hello, 0).concat().contains("geheim"));
        let set: [&[u8]; 6] = [b"CONFIG", b"SET", b"hz", b"10", b"requirePASS", b"geheim"];
        assert_eq!(shown(&set, 0), ["CONFIG", "SET", "hz", "10", "requirePASS", "(redacted)"]);
    }
}
