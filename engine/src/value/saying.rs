//! Effects in the words of Redis: the commands that a Redis performs to have them.
//!
//! ```text
//!   sayings   [ SELECT-less command | its database ] [ command | database ] ...      RESP, as a client writes it
//! ```
//!
//! A type says its own effects and whole values (`<type>/told.rs`). What it writes is bounded: a command has so
//! many elements and bytes, and then another one goes on, but that an element is never cut.
//!
//! It knows no connection and no shard: who says it puts SELECT, MULTI and EXEC around it.

use super::types::Unfit;
use crate::resp::encode_command;
use crate::types::{DbIndex, Millis};

/// The words that everybody understands who is told: those of the oldest of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Peers {
    /// Redis 6.2. A stream does not say how many entries it ever had, fields have no time of their own.
    From62,
    /// Redis 7.0 to 7.2, Valkey 7.2 to 8.
    From70,
    /// Redis 7.4 and later, Valkey 9 and later: fields of hashes may have a time.
    From74,
}

/// Elements of one command: as many as make little of its head.
const ELEMENTS: usize = 256;

/// Bytes of one command, beside its first element: the one who performs it is not held up long.
const BYTES: usize = 64 * 1024;

/// Commands, one behind the other, each with the database that it is to be said in.
#[derive(Clone, Default, Debug)]
pub struct Sayings {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<(Option<DbIndex>, usize)>,
}

impl Sayings {
    /// How many commands.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes they have.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets them. Room for common ones stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(BYTES);
        self.ends.clear();
        self.ends.shrink_to(ELEMENTS);
    }

    /// The commands. One without a database means the same in each.
    pub fn iter(&self) -> impl Iterator<Item = (Option<DbIndex>, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(db, end)| {
            let command = &self.bytes[start..*end];
            start = *end;
            (*db, command)
        })
    }

    /// One more.
    pub fn push(&mut self, db: Option<DbIndex>, words: &[&[u8]]) {
        encode_command(&mut self.bytes, words);
        self.ends.push((db, self.bytes.len()));
    }
}

/// What is said of one key.
#[derive(Debug)]
pub struct Saying<'a> {
    db: DbIndex,
    /// The key.
    pub key: &'a [u8],
    /// Who is told.
    pub peers: Peers,
    out: &'a mut Sayings,
}

impl<'a> Saying<'a> {
    /// Of this key.
    pub fn new(db: DbIndex, key: &'a [u8], peers: Peers, out: &'a mut Sayings) -> Saying<'a> {
        Saying { db, key, peers, out }
    }

    /// A whole command, whichever words it has.
    pub fn words(&mut self, words: &[&[u8]]) {
        self.out.push(Some(self.db), words);
    }

    /// A command whose first argument is the key.
    pub fn of_key(&mut self, name: &str, rest: &[&[u8]]) {
        let mut words: Vec<&[u8]> = Vec::with_capacity(2 + rest.len());
        words.extend([name.as_bytes(), self.key]);
        words.extend(rest);
        self.out.push(Some(self.db), &words);
    }

    /// The key is to have this deadline.
    pub fn deadline(&mut self, at: Option<Millis>) {
        match at {
            // A command takes no time before the first millisecond; both have passed.
            Some(Millis(at)) => self.of_key("PEXPIREAT", &[at.max(1).to_string().as_bytes()]),
            None => self.of_key("PERSIST", &[]),
        }
    }
}

fn owned(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// A command with many elements, which is cut into several where they are too many.
#[derive(Debug)]
pub struct Elements<'e> {
    name: &'e str,
    /// What stands between the key and the elements, in each of them.
    before: Vec<Vec<u8>>,
    /// What stands behind them.
    after: Vec<Vec<u8>>,
    /// Elements of so many words each: they are not parted.
    words: Vec<Vec<u8>>,
    count: usize,
    bytes: usize,
    /// Their number stands before them.
    counted: bool,
}

impl<'e> Elements<'e> {
    /// `name key before... elements...`
    pub fn of(name: &'e str, before: &[&[u8]]) -> Elements<'e> {
        Elements {
            name,
            before: owned(before),
            after: Vec::new(),
            words: Vec::new(),
            count: 0,
            bytes: 0,
            counted: false,
        }
    }

    /// `name key before... elements... after...`
    pub fn between(name: &'e str, before: &[&[u8]], after: &[&[u8]]) -> Elements<'e> {
        Elements { after: owned(after), ..Elements::of(name, before) }
    }

    /// `name key before... count elements...`
    pub fn counted(name: &'e str, before: &[&[u8]]) -> Elements<'e> {
        Elements { counted: true, ..Elements::of(name, before) }
    }

    /// One more element, of one word or several.
    pub fn push(&mut self, saying: &mut Saying<'_>, element: &[&[u8]]) {
        let bytes = element.iter().map(|word| word.len()).sum::<usize>();
        if self.count == ELEMENTS || self.count > 0 && self.bytes + bytes > BYTES {
            self.end(saying);
        }
        self.words.extend(element.iter().map(|word| word.to_vec()));
        (self.count, self.bytes) = (self.count + 1, self.bytes + bytes);
    }

    /// Says what was not said yet.
    pub fn end(&mut self, saying: &mut Saying<'_>) {
        if self.count == 0 {
            return;
        }
        let count = self.count.to_string();
        let mut rest: Vec<&[u8]> = self.before.iter().map(Vec::as_slice).collect();
        if self.counted {
            rest.push(count.as_bytes());
        }
        rest.extend(self.words.iter().chain(&self.after).map(Vec::as_slice));
        saying.of_key(self.name, &rest);
        self.words.clear();
        (self.count, self.bytes) = (0, 0);
    }
}

/// How a type says itself.
#[derive(Clone, Copy)]
pub struct Words {
    /// One of its effects, given as a number and bytes.
    pub effect: fn(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit>,
    /// A whole value, given as bytes: the key is not there before.
    pub whole: fn(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit>,
}
