//! What is asked, and what the answer must be.
//!
//! Each family of commands has keys of its own (`key:`, `count:`, `text:`), so that an INCR never
//! spoils what a GET must find. The value of a key follows from its number and the value size:
//! whoever fills and whoever checks agree without talking.

use engine::resp::Reply;

/// What keys of SET, GET, MSET and MGET begin with; twelve digits follow, so that a key has 16
/// bytes.
pub const KEY_PREFIX: &str = "key:";
const COUNTER_PREFIX: &str = "cnt:";
const TEXT_PREFIX: &str = "txt:";

/// One kind of request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// SET of the key's value.
    Set,
    /// GET; the value must be the key's.
    Get,
    /// INCR of a counter; the answer must be positive.
    Incr,
    /// MSET of so many keys.
    Mset(usize),
    /// MGET of so many keys; the values must be the keys'.
    Mget(usize),
    /// APPEND to a text; the answer must be its length.
    Append,
    /// MULTI, so many SETs, EXEC: each of these counts as a request.
    Multi(usize),
    /// Any command: words in which `__key__` and `__value__` are replaced. The answer must be no
    /// error.
    Template(Vec<String>),
}

impl Command {
    fn parse(text: &str) -> Result<Command, String> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => {
                let count = count.parse().map_err(|_| format!("'{count}' is no count of keys"))?;
                (name, Some(count))
            }
            None => (text, None),
        };
        let several = count.unwrap_or(10).clamp(1, 10_000);
        match name.to_ascii_lowercase().as_str() {
            "set" => Ok(Command::Set),
            "get" => Ok(Command::Get),
            "incr" => Ok(Command::Incr),
            "mset" => Ok(Command::Mset(several)),
            "mget" => Ok(Command::Mget(several)),
            "multi" => Ok(Command::Multi(several)),
            "append" => Ok(Command::Append),
            _ => Err(format!(
                "unknown command '{name}' (set, get, incr, mset:n, mget:n, multi:n, append)"
            )),
        }
    }
}

/// Commands and how often each is chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mix {
    commands: Vec<(Command, u32)>,
    total: u32,
}

impl Mix {
    /// Nothing but `command`.
    pub fn only(command: Command) -> Mix {
        Mix { commands: vec![(command, 1)], total: 1 }
    }

    /// Commands with their weights; those of weight 0 are left out.
    pub fn weighted(commands: impl IntoIterator<Item = (Command, u32)>) -> Mix {
        let commands: Vec<_> = commands.into_iter().filter(|(_, weight)| *weight > 0).collect();
        let total = commands.iter().fold(0u32, |sum, (_, weight)| sum.saturating_add(*weight));
        Mix { commands, total }
    }

    /// Reads `set=1,get=9,mset:10=2`; without `=` a command has weight 1.
    pub fn parse(text: &str) -> Result<Mix, String> {
        let mut commands = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (command, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight = weight.parse().map_err(|_| format!("'{weight}' is no weight"))?;
            commands.push((Command::parse(command)?, weight));
        }
        let mix = Mix::weighted(commands);
        if mix.is_empty() { Err("no command has a weight".into()) } else { Ok(mix) }
    }

    /// A mix of one command of any kind, its words separated by spaces.
    pub fn template(text: &str) -> Result<Mix, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err("the template is empty".into());
        }
        Ok(Mix::only(Command::Template(words)))
    }

    /// Whether there is nothing to choose.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn choose(&self, random: &mut fastrand::Rng) -> &Command {
        let mut left = if self.commands.len() == 1 { 0 } else { random.u32(..self.total) };
        for (command, weight) in &self.commands {
            if left < *weight {
                return command;
            }
            left -= weight;
        }
        &self.commands[0].0
    }
}

/// What the answer to a request must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expected {
    Ok,
    /// The value of this key, or nil.
    Value(u64),
    /// The values of so many keys, the draws of `Keys` that began with this state.
    Values(KeySource, u32),
    Positive,
    /// The answer to a command between MULTI and EXEC.
    Queued,
    /// So many OKs in an array.
    Oks(u32),
    NoError,
}

/// How a reply was found to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Good,
    /// Nothing where a value could be; so many.
    Missing(u64),
    /// An answer, but not the one that it must be.
    Wrong,
    /// An error of the server.
    Error(String),
}

/// Where keys come from: the same state gives the same keys again, so a check needs no list of
/// them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeySource {
    /// Random: state of the sequence. Sequential: the next key.
    pub(super) state: u64,
    /// Random: 0. Sequential: the step to the next key.
    pub(super) step: u64,
    pub(super) keys: u64,
    /// Only keys of this shard: its number, and how many there are.
    pub(super) own: Option<(u16, u16)>,
}

impl KeySource {
    pub(super) fn next(&mut self) -> u64 {
        let Some((shard, shards)) = self.own else { return self.any() };
        let mut text = Vec::with_capacity(16);
        loop {
            let key = self.any();
            text.clear();
            write_key(&mut text, KEY_PREFIX, key);
            if engine::types::shard_of(&text, shards).0 == shard {
                return key;
            }
        }
    }

    fn any(&mut self) -> u64 {
        if self.step > 0 {
            let key = self.state % self.keys;
            self.state = self.state.wrapping_add(self.step);
            return key;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The high half of the product: uniform over the keys without a division.
        ((u128::from(mix(self.state)) * u128::from(self.keys)) >> 64) as u64
    }
}

/// A well-mixed function of `x` (the finalizer of splitmix64).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Appends `prefix` and `key` as twelve digits (more if it needs more).
pub fn write_key(out: &mut Vec<u8>, prefix: &str, key: u64) {
    out.extend_from_slice(prefix.as_bytes());
    let mut digits = [b'0'; 20];
    let mut rest = key;
    let mut at = digits.len();
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at.min(8)..]);
}

/// Appends the value of `key`: printable, different for every key, the same in every run.
pub fn write_value(out: &mut Vec<u8>, key: u64, bytes: usize) {
    let end = out.len() + bytes;
    let mut block = key.wrapping_mul(0x2545_f491_4f6c_dd1d);
    while out.len() < end {
        block = mix(block.wrapping_add(0x9e37_79b9_7f4a_7c15));
        // Letters from 'A' to '`' and 'a' upward: six bits of each byte, moved to where they print.
        let letters = (block & 0x1f1f_1f1f_1f1f_1f1f) | 0x4040_4040_4040_4040;
        let letters = letters.to_le_bytes();
        let take = letters.len().min(end - out.len());
        out.extend_from_slice(&letters[..take]);
    }
}

/// Writes requests and judges answers. One per worker; its buffers are reused.
pub(super) struct Composer {
    value_bytes: usize,
    scratch: Vec<u8>,
}

impl Composer {
    pub(super) fn new(value_bytes: usize) -> Composer {
        Composer { value_bytes, scratch: Vec::new() }
    }

    /// Appends a request of `command` and says what its answer must be; those before it, of which a
    /// transaction has some, are told to `before`.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        command: &Command,
        keys: &mut KeySource,
        mut before: impl FnMut(Expected),
    ) -> Expected {
        match command {
            Command::Set => self.set(out, keys),
            Command::Multi(count) => {
                out.extend_from_slice(b"*1\r\n$5\r\nMULTI\r\n");
                before(Expected::Ok);
                for _ in 0..*count {
                    self.set(out, keys);
                    before(Expected::Queued);
                }
                out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
                Expected::Oks(*count as u32)
            }
            Command::Get => {
                let key = keys.next();
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                self.key(out, KEY_PREFIX, key);
                Expected::Value(key)
            }
            Command::Incr => {
                out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n");
                self.key(out, COUNTER_PREFIX, keys.next());
                Expected::Positive
            }
            Command::Mset(count) => {
                header(out, b'*', count * 2 + 1);
                out.extend_from_slice(b"$4\r\nMSET\r\n");
                for _ in 0..*count {
                    let key = keys.next();
                    self.key(out, KEY_PREFIX, key);
                    self.value(out, key);
                }
                Expected::Ok
            }
            Command::Mget(count) => {
                let source = *keys;
                header(out, b'*', count + 1);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
                (0..*count).for_each(|_| self.key(out, KEY_PREFIX, keys.next()));
                Expected::Values(source, *count as u32)
            }
            Command::Append => {
                let key = keys.next();
                out.extend_from_slice(b"*3\r\n$6\r\nAPPEND\r\n");
                self.key(out, TEXT_PREFIX, key);
                self.value(out, key);
                Expected::Positive
            }
            Command::Template(words) => {
                let key = keys.next();
                header(out, b'*', words.len());
                words.iter().for_each(|word| self.word(out, word, key));
                Expected::NoError
            }
        }
    }

    fn set(&mut self, out: &mut Vec<u8>, keys: &mut KeySource) -> Expected {
        let key = keys.next();
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        self.key(out, KEY_PREFIX, key);
        self.value(out, key);
        Expected::Ok
    }

    fn key(&mut self, out: &mut Vec<u8>, prefix: &str, key: u64) {
        self.scratch.clear();
        write_key(&mut self.scratch, prefix, key);
        bulk(out, &self.scratch);
    }

    fn value(&mut self, out: &mut Vec<u8>, key: u64) {
        header(out, b'$', self.value_bytes);
        write_value(out, key, self.value_bytes);
        out.extend_from_slice(b"\r\n");
    }

    fn word(&mut self, out: &mut Vec<u8>, word: &str, key: u64) {
        self.scratch.clear();
        let mut rest = word;
        while let Some(at) = rest.find("__") {
            self.scratch.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("__key__") {
                write_key(&mut self.scratch, "", key);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("__value__") {
                write_value(&mut self.scratch, key, self.value_bytes);
                rest = after;
            } else {
                self.scratch.extend_from_slice(b"__");
                rest = &rest[2..];
            }
        }
        self.scratch.extend_from_slice(rest.as_bytes());
        bulk(out, &self.scratch);
    }

    /// Judges `reply`, the bytes of one whole reply.
    pub(super) fn judge(&mut self, reply: &[u8], expected: Expected) -> Verdict {
        if reply[0] == b'-' || reply[0] == b'!' {
            return Verdict::Error(String::from_utf8_lossy(reply).trim_end().to_owned());
        }
        let good = |is_good| if is_good { Verdict::Good } else { Verdict::Wrong };
        match expected {
            Expected::NoError => Verdict::Good,
            Expected::Ok => good(reply == b"+OK\r\n"),
            Expected::Queued => good(reply == b"+QUEUED\r\n"),
            Expected::Oks(count) => {
                self.scratch.clear();
                header(&mut self.scratch, b'*', count as usize);
                (0..count).for_each(|_| self.scratch.extend_from_slice(b"+OK\r\n"));
                good(reply == self.scratch)
            }
            Expected::Positive => {
                good(reply[0] == b':' && reply[1].is_ascii_digit() && reply != b":0\r\n")
            }
            Expected::Value(_) if is_nil(reply) => Verdict::Missing(1),
            Expected::Value(key) => {
                self.scratch.clear();
                header(&mut self.scratch, b'$', self.value_bytes);
                write_value(&mut self.scratch, key, self.value_bytes);
                self.scratch.extend_from_slice(b"\r\n");
                good(reply == self.scratch)
            }
            Expected::Values(source, count) => self.judge_values(reply, source, count),
        }
    }

    fn judge_values(&mut self, reply: &[u8], mut keys: KeySource, count: u32) -> Verdict {
        let mut reader = engine::resp::ReplyReader::new(Default::default());
        let Ok(Some((Reply::Array(values), _))) = reader.next(reply) else { return Verdict::Wrong };
        if values.len() != count as usize {
            return Verdict::Wrong;
        }
        let mut missing = 0;
        for value in values {
            self.scratch.clear();
            write_value(&mut self.scratch, keys.next(), self.value_bytes);
            match value {
                Reply::Nil => missing += 1,
                Reply::Bulk(value) if value == self.scratch => {}
                _ => return Verdict::Wrong,
            }
        }
        if missing > 0 { Verdict::Missing(missing) } else { Verdict::Good }
    }
}

fn is_nil(reply: &[u8]) -> bool {
    matches!(reply, b"$-1\r\n" | b"_\r\n")
}

fn header(out: &mut Vec<u8>, marker: u8, number: usize) {
    out.push(marker);
    engine::resp::number::write_i64(out, number as i64);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    header(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
