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
    /// Something was left out that newer ones than those who are told would have.
    wants: Option<Peers>,
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

    /// Whom it would have to be told to leave nothing out, where something was.
    pub fn wants(&self) -> Option<Peers> {
        self.wants
    }

    /// Forgets them. Room for common ones stays.
    pub fn clear(&mut self) {
        self.wants = None;
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

    /// One more whose words are partly written already.
    fn push_parts(&mut self, db: DbIndex, count: usize, parts: &[&[u8]]) {
        write_head(&mut self.bytes, b'*', count);
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.ends.push((Some(db), self.bytes.len()));
    }
}

/// How many words, or bytes, follow.
fn write_head(out: &mut Vec<u8>, mark: u8, count: usize) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_word(out: &mut Vec<u8>, word: &[u8]) {
    write_head(out, b'$', word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
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

    /// Something is left out that only these and later ones have; whether that has to be.
    pub fn leaves_out(&mut self, peers: Peers) -> bool {
        let leaves_out = self.peers < peers;
        if leaves_out {
            self.out.wants = Some(peers);
        }
        leaves_out
    }

    /// A whole command, whichever words it has.
    pub fn words(&mut self, words: &[&[u8]]) {
        self.out.push(Some(self.db), words);
    }

    /// A command whose first argument is the key.
    pub fn of_key(&mut self, name: &str, rest: &[&[u8]]) {
        let Sayings { bytes, ends, .. } = &mut *self.out;
        write_head(bytes, b'*', 2 + rest.len());
        let words = [name.as_bytes(), self.key].into_iter().chain(rest.iter().copied());
        words.for_each(|word| write_word(bytes, word));
        ends.push((Some(self.db), bytes.len()));
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

/// Words as they go out.
#[derive(Default, Debug)]
struct Written {
    bytes: Vec<u8>,
    words: usize,
}

impl Written {
    fn push(&mut self, word: &[u8]) {
        write_word(&mut self.bytes, word);
        self.words += 1;
    }

    fn of(words: &[&[u8]]) -> Written {
        let mut written = Written::default();
        words.iter().for_each(|word| written.push(word));
        written
    }
}

/// A command with many elements, which is cut into several where they are too many.
#[derive(Debug)]
pub struct Elements<'e> {
    name: &'e str,
    /// What stands between the key and the elements, in each of them.
    before: Written,
    /// What stands behind them.
    after: Written,
    /// Elements of a word or more, which are not parted.
    elements: Written,
    count: usize,
    /// Their number stands before them.
    is_counted: bool,
}

impl<'e> Elements<'e> {
    /// `name key before... elements...`
    pub fn of(name: &'e str, before: &[&[u8]]) -> Elements<'e> {
        let (before, after) = (Written::of(before), Written::default());
        Elements { name, before, after, elements: Written::default(), count: 0, is_counted: false }
    }

    /// `name key before... elements... after...`
    pub fn between(name: &'e str, before: &[&[u8]], after: &[&[u8]]) -> Elements<'e> {
        Elements { after: Written::of(after), ..Elements::of(name, before) }
    }

    /// `name key before... count elements...`
    pub fn counted(name: &'e str, before: &[&[u8]]) -> Elements<'e> {
        Elements { is_counted: true, ..Elements::of(name, before) }
    }

    /// One more element, of one word or several.
    pub fn push(&mut self, saying: &mut Saying<'_>, element: &[&[u8]]) {
        let bytes = element.iter().map(|word| word.len()).sum::<usize>();
        let is_full = self.count == ELEMENTS || self.elements.bytes.len() + bytes > BYTES;
        if self.count > 0 && is_full {
            self.end(saying);
        }
        element.iter().for_each(|word| self.elements.push(word));
        self.count += 1;
    }

    /// Says what was not said yet.
    pub fn end(&mut self, saying: &mut Saying<'_>) {
        if self.count == 0 {
            return;
        }
        let mut head = Written::of(&[self.name.as_bytes(), saying.key]);
        let mut number = Written::default();
        if self.is_counted {
            number.push(itoa::Buffer::new().format(self.count).as_bytes());
        }
        head.words += self.before.words + number.words + self.elements.words + self.after.words;
        let Elements { before, elements, after, .. } = &*self;
        let parts = [&head, before, &number, elements, after].map(|part| &part.bytes[..]);
        saying.out.push_parts(saying.db, head.words, &parts);
        self.elements.bytes.clear();
        (self.elements.words, self.count) = (0, 0);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(say: impl FnOnce(&mut Saying<'_>)) -> Vec<String> {
        let mut out = Sayings::default();
        say(&mut Saying::new(DbIndex(1), b"k", Peers::From74, &mut out));
        assert!(out.iter().all(|(db, _)| db == Some(DbIndex(1))));
        let command = |(_, bytes): (_, &[u8])| String::from_utf8_lossy(bytes).replace("\r\n", " ");
        out.iter().map(command).collect()
    }

    #[test]
    fn many_elements_are_several_commands() {
        let counts = |elements: usize, bytes: usize| {
            let commands = said(|saying| {
                let mut all = Elements::between("X", &[b"b"], &[b"a"]);
                (0..elements).for_each(|_| all.push(saying, &[&vec![b'e'; bytes], b"f"]));
                all.end(saying);
            });
            let count = |command: &String| command.split(' ').next().unwrap_or_default().to_owned();
            commands.iter().map(count).collect::<Vec<_>>()
        };
        assert_eq!(counts(0, 1), <[&str; 0]>::default());
        assert_eq!(counts(256, 1), ["*516"]);
        assert_eq!(counts(257, 1), ["*516", "*6"]);
        assert_eq!(counts(3, 40_000), ["*6", "*6", "*6"]);
        assert_eq!(counts(1, 400_000), ["*6"]);
    }

    #[test]
    fn a_command_is_said_as_a_client_writes_it() {
        let elements = said(|saying| {
            let mut all = Elements::counted("H", &[b"9", b"FIELDS"]);
            all.push(saying, &[b"f"]);
            all.push(saying, &[b""]);
            all.end(saying);
            saying.deadline(Some(Millis(0)));
            saying.words(&[b"XGROUP", b"DESTROY", b"k", b"g"]);
        });
        let of_fields = "*7 $1 H $1 k $1 9 $6 FIELDS $1 2 $1 f $0  ";
        let dated = "*3 $9 PEXPIREAT $1 k $1 1 ";
        assert_eq!(elements, [of_fields, dated, "*4 $6 XGROUP $7 DESTROY $1 k $1 g "]);
    }
}
