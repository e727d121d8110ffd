//! Files and streams of a whole data set, read as they come.
//!
//! ```text
//!   REDIS | version, 4 digits            VALKEY | version, 3 digits
//!   250 aux: name, value                 247 a module's own, beside values
//!   254 database                         245 functions, 246 the same of Redis 7.0's first candidates
//!   251 keys, keys that expire           244 slot, keys, keys that expire
//!   253 until, in s   252 until, in ms   248 idle, in s   249 how often used       of the key that follows
//!   type | key | value
//!   255 | CRC-64 of all before it, since version 5; 0: it was not made, which files of this program do not say
//! ```
//!
//! [`Reader`] is pushed bytes in pieces of any size and told to go on. What it keeps is what it has not read:
//! mostly less than was pushed last. Values up to some size are handed on as they are, so that others may decode
//! them; longer ones are decoded here, part by part, and long strings are passed on in pieces. The longest piece
//! that must lie together is one string within a value.
//!
//! Nobody is trusted: memory is taken for what has come, never for what is told.

use super::crc::Crc;
use super::decode::Decoder;
use super::extent::{self, ShortString};
use super::lzf;
use super::parts::{Kind, Part};
use super::read::{Cursor, Malformed, Text, TextHead};
use crate::limits::STRING_MAX;
use crate::types::Millis;
use std::borrow::Cow;
use std::fmt;

/// Values that were written in so many bytes are handed on as they are.
pub const WHOLE_MAX: usize = 128 * 1024;

/// The most bytes of a long string in one piece.
const PIECE: usize = 64 * 1024;

/// The most bytes that must lie together: the longest field with the longest value, and what stands around them.
const TOGETHER_MAX: usize = 2 * STRING_MAX + 64 * 1024;

/// The longest string of a whole value. Longer ones were never written by anybody, and no rope is longer.
const LONGEST: u64 = u32::MAX as u64;

/// The newest version of Redis's that is read, and those of Valkey's.
const REDIS_MAX: u16 = 13;
const VALKEY: std::ops::RangeInclusive<u16> = 80..=89;

/// What the names of this program's own facts begin with: it makes a checksum always, so that one of 0 is damage.
const OURS: &[u8] = b"damselfly-";

/// The first version with a checksum.
const SUMMED: u16 = 5;

/// Bytes of the head: what it is, and its version.
pub const HEAD: usize = 9;

/// A file that cannot be read on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileError {
    /// How many bytes stand before the place.
    pub at: u64,
    /// The key that was being read, and its database.
    pub key: Option<(u64, Vec<u8>)>,
    /// Why.
    pub why: Cow<'static, str>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {}", self.why, self.at)?;
        if let Some((db, key)) = &self.key {
            let shown = String::from_utf8_lossy(&key[..key.len().min(128)]);
            write!(f, ", key '{}' of database {db}", shown.escape_debug())?;
        }
        write!(f, ")")
    }
}

impl std::error::Error for FileError {}

/// How a key was used where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Used {
    /// Not for so many seconds.
    Idle(u64),
    /// So often, on the logarithmic scale of LFU.
    Often(u8),
}

/// What is known of a key beside its value.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts<'a> {
    /// Its database.
    pub db: u64,
    /// Its name.
    pub key: &'a [u8],
    /// Until when it lives.
    pub expires: Option<Millis>,
    /// How it was used.
    pub used: Option<Used>,
    /// The type byte of its value.
    pub form: u8,
    /// Where its value begins in the file.
    pub at: u64,
}

/// What comes next.
#[derive(Debug)]
pub enum Event<'a> {
    /// More bytes must be pushed.
    More,
    /// Something said about the file.
    Aux(Cow<'a, [u8]>, Cow<'a, [u8]>),
    /// The keys that follow are of this database.
    Database(u64),
    /// So many keys follow in it.
    Sizes(u64),
    /// A library of functions; nothing of a form that no release ever wrote.
    Function(Option<Cow<'a, [u8]>>),
    /// Something of a module's, beside values, was left out.
    ModuleData,
    /// A key, and its value as it is written, without the type.
    Whole(KeyFacts<'a>, &'a [u8]),
    /// A key whose value follows.
    Begin(KeyFacts<'a>, Kind),
    /// Bytes of its string.
    Bytes(&'a [u8]),
    /// A part of its value.
    Part(Part<'a>),
    /// It is whole.
    Ended,
    /// All of it has been read, and is what was written.
    End,
}

/// Whether what begins so can be read, and its version; nothing while there are fewer than [`HEAD`] bytes.
pub fn version(bytes: &[u8]) -> Result<Option<u16>, FileError> {
    let error = |why: String| FileError { at: 0, key: None, why: why.into() };
    let Some(magic) = magic(bytes) else {
        return Err(error(
            "this is no RDB file: it does not begin with REDIS or VALKEY".to_owned(),
        ));
    };
    let Some(digits) = bytes.get(magic.len()..HEAD) else { return Ok(None) };
    let text = String::from_utf8_lossy(digits);
    let version = text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok());
    match version.flatten() {
        Some(version) if (1..=REDIS_MAX).contains(&version) || VALKEY.contains(&version) => {
            Ok(Some(version))
        }
        _ => Err(error(format!(
            "RDB version '{}' is not known here: versions 1 to {REDIS_MAX} of Redis and {} to {} of Valkey are read",
            text.escape_debug(),
            VALKEY.start(),
            VALKEY.end(),
        ))),
    }
}

/// Whether what begins so says that it is an RDB, and of which version: whether that one can be read or not.
pub fn says_version(bytes: &[u8]) -> bool {
    let digits = magic(bytes).and_then(|magic| bytes.get(magic.len()..HEAD));
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// Which of the two words it begins with, as far as it goes.
fn magic(bytes: &[u8]) -> Option<&'static [u8]> {
    let magics: [&[u8]; 2] = [b"REDIS", b"VALKEY"];
    let is_one = |magic: &&[u8]| bytes.iter().zip(*magic).all(|(byte, other)| byte == other);
    magics.into_iter().find(is_one)
}

/// Reading under way. After an error it is of no more use.
pub struct Reader {
    window: Vec<u8>,
    /// What of the window is read.
    at: usize,
    /// Bytes before the window.
    before: u64,
    crc: Crc,
    /// Whether the file says that this program wrote it.
    is_ours: bool,
    /// What of the window is summed.
    summed: usize,
    /// The whole of the window is not enough to go on before it has so many bytes.
    wants: usize,
    version: u16,
    state: State,
    db: u64,
    key: Vec<u8>,
    /// What was unpacked last.
    unpacked: Vec<u8>,
    marks: Marks,
}

/// What was said of the next key.
#[derive(Default)]
struct Marks {
    expires: Option<Millis>,
    used: Option<Used>,
    /// Where its name is.
    key: Option<Text>,
}

enum State {
    Head,
    /// Between keys.
    Open,
    /// A long string: how many bytes are still to come.
    String(u64),
    /// The same by LZF: its own bytes still to come, what it comes to, and what of it is not handed on yet.
    Packed {
        left: usize,
        length: usize,
        unpacking: lzf::Unpacking,
        out: Vec<u8>,
        is_out: bool,
    },
    /// Another long value.
    Value(Box<Decoder>),
    /// What a module said beside values.
    Beside(Box<Decoder>),
    Checksum,
    End,
}

/// What stands between keys, by its first byte.
mod opcode {
    pub(super) const SLOT_INFO: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const FUNCTION_BEFORE: u8 = 246;
    pub(super) const MODULE: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const OFTEN: u8 = 249;
    pub(super) const AUX: u8 = 250;
    pub(super) const SIZES: u8 = 251;
    pub(super) const UNTIL_MS: u8 = 252;
    pub(super) const UNTIL: u8 = 253;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            window: Vec::new(),
            at: 0,
            before: 0,
            crc: Crc::default(),
            is_ours: false,
            summed: 0,
            wants: HEAD,
            version: 0,
            state: State::Head,
            db: 0,
            key: Vec::new(),
            unpacked: Vec::new(),
            marks: Marks::default(),
        }
    }
}

impl Reader {
    /// Takes more bytes, not many at once: that they are summed takes time.
    pub fn push(&mut self, bytes: &[u8]) {
        let done = match &mut self.state {
            State::Value(decoder) | State::Beside(decoder) => {
                let done = decoder.needs_from();
                decoder.forget(done);
                done
            }
            // Nobody reads what is behind the end.
            State::End => self.window.len(),
            _ => self.at,
        };
        self.sum(done);
        self.before += done as u64;
        self.at = self.at.saturating_sub(done);
        self.summed = self.summed.saturating_sub(done);
        self.wants = self.wants.saturating_sub(done);
        self.window.drain(..done);
        self.window.extend_from_slice(bytes);
    }

    /// How many bytes are read.
    pub fn offset(&self) -> u64 {
        let at = match &self.state {
            State::Value(decoder) | State::Beside(decoder) => decoder.at(),
            _ => self.at,
        };
        self.before + at as u64
    }

    /// Its version, once it is known.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Whether all of it has been read.
    pub fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// No more bytes come.
    pub fn end(&self) -> Result<(), FileError> {
        if self.is_at_end() {
            return Ok(());
        }
        if matches!(self.state, State::Head) {
            version(&self.window)?;
        }
        let at = self.window.len();
        let error = Malformed { at, why: "the file ends here, in the middle of itself" };
        Err(match self.state {
            State::String(_) | State::Packed { .. } | State::Value(_) => self.fault(error),
            _ => self.fault_between(error),
        })
    }

    /// Goes on.
    pub fn next(&mut self) -> Result<Event<'_>, FileError> {
        if self.window.len() < self.wants {
            return Ok(Event::More);
        }
        match self.state {
            State::Head => self.head(),
            State::Open => self.open(),
            State::String(_) => self.string(),
            State::Packed { .. } => self.packed(),
            State::Value(_) => self.part(),
            State::Beside(_) => self.beside(),
            State::Checksum => self.checksum(),
            State::End => Ok(Event::End),
        }
    }

    /// Sums up to a place.
    fn sum(&mut self, to: usize) {
        if to > self.summed && self.version >= SUMMED && !matches!(self.state, State::Checksum) {
            self.crc.add(&self.window[self.summed..to]);
        }
        self.summed = self.summed.max(to);
    }

    /// There must be more. All that there is belongs to what is not whole.
    fn more(&mut self, wants: usize) -> Result<Event<'_>, FileError> {
        let length = self.window.len();
        if wants.max(length) - self.at.min(length) > TOGETHER_MAX {
            let why = "a string within a value that is longer than any can be";
            return Err(self.fault_between(Malformed { at: self.at, why }));
        }
        self.sum(length);
        self.wants = wants.max(length + 1);
        Ok(Event::More)
    }

    /// An error in the value of the key that is being read.
    fn fault(&self, error: Malformed) -> FileError {
        let key = Some((self.db, self.key.clone()));
        FileError { key, ..self.fault_between(error) }
    }

    fn fault_between(&self, Malformed { at, why }: Malformed) -> FileError {
        FileError { at: self.before + at as u64, key: None, why: why.into() }
    }

    fn head(&mut self) -> Result<Event<'_>, FileError> {
        let Some(version) = version(&self.window)? else { return self.more(HEAD) };
        (self.version, self.at, self.state) = (version, HEAD, State::Open);
        self.open()
    }

    /// What stands between keys, up to what somebody wants to know.
    fn open(&mut self) -> Result<Event<'_>, FileError> {
        loop {
            if let Some(short) = extent::short_string(&self.window, self.at) {
                return Ok(self.short(short));
            }
            let mut cursor = Cursor::at(&self.window, self.at);
            self.marks.key = None;
            let found = read(&mut cursor, self.version, &mut self.marks);
            let (at, wants) = (cursor.at, cursor.wants);
            match found {
                Ok(Found::Nothing) => self.at = at,
                Ok(found) => {
                    let from = std::mem::replace(&mut self.at, at);
                    return self.found(found, from);
                }
                Err(error) if error.is_short() => return self.more(wants),
                Err(error) => {
                    let Some(key) = self.marks.key.take() else {
                        return Err(self.fault_between(error));
                    };
                    self.keep_key(&key)?;
                    return Err(self.fault(error));
                }
            }
        }
    }

    fn keep_key(&mut self, key: &Text) -> Result<(), FileError> {
        self.key.clear();
        match bytes_of(key, &self.window) {
            Ok(key) => {
                self.key.extend_from_slice(&key);
                Ok(())
            }
            Err(error) => Err(self.fault_between(error)),
        }
    }

    /// A short key with a short string.
    #[inline]
    fn short(&mut self, ShortString { key, value }: ShortString) -> Event<'_> {
        let (expires, used) = (self.marks.expires.take(), self.marks.used.take());
        self.at = value.end;
        let (key, at) = (&self.window[key], self.before + value.start as u64);
        let facts = KeyFacts { db: self.db, key, expires, used, form: STRING, at };
        Event::Whole(facts, &self.window[value])
    }

    /// What was found between `from` and what is read now.
    fn found(&mut self, found: Found, from: usize) -> Result<Event<'_>, FileError> {
        match found {
            Found::Nothing => self.open(),
            Found::Database(db) => {
                self.db = db;
                Ok(Event::Database(db))
            }
            Found::Sizes(keys) => Ok(Event::Sizes(keys)),
            Found::Module => {
                self.state = State::Beside(Box::new(Decoder::beside(self.at)));
                self.beside()
            }
            Found::Aux(name, value) => {
                let aux = |text| bytes_of(text, &self.window);
                match (aux(&name), aux(&value)) {
                    (Ok(name), Ok(value)) => {
                        self.is_ours |= name.starts_with(OURS);
                        Ok(Event::Aux(name, value))
                    }
                    (Err(error), _) | (_, Err(error)) => Err(self.fault_between(error)),
                }
            }
            Found::Function(None) => Ok(Event::Function(None)),
            Found::Function(Some(code)) => match bytes_of(&code, &self.window) {
                Ok(code) => Ok(Event::Function(Some(code))),
                Err(error) => Err(self.fault_between(error)),
            },
            Found::Whole(form, key, begins) => {
                self.keep_key(&key)?;
                let Marks { expires, used, .. } = std::mem::take(&mut self.marks);
                let at = self.before + begins as u64;
                let facts = KeyFacts { db: self.db, key: &self.key, expires, used, form, at };
                Ok(Event::Whole(facts, &self.window[begins..self.at]))
            }
            Found::Long(form, key) => {
                self.keep_key(&key)?;
                let begins = self.at;
                self.begin_long(form, begins, from)
            }
            Found::End => {
                self.sum(self.at);
                self.state = State::Checksum;
                self.checksum()
            }
        }
    }

    /// A long value begins; everything about its key stands from `from` on.
    fn begin_long(&mut self, form: u8, begins: usize, from: usize) -> Result<Event<'_>, FileError> {
        let kind = match self.long(form, begins) {
            Ok(kind) => kind,
            Err(error) if error.is_short() => {
                // All of it is read once more.
                self.at = from;
                return self.more(0);
            }
            Err(error) => return Err(self.fault(error)),
        };
        let Marks { expires, used, .. } = std::mem::take(&mut self.marks);
        let at = self.before + begins as u64;
        let facts = KeyFacts { db: self.db, key: &self.key, expires, used, form, at };
        Ok(Event::Begin(facts, kind))
    }

    /// How a long value is read on.
    fn long(&mut self, form: u8, begins: usize) -> Result<Kind, Malformed> {
        if form != STRING {
            let decoder = Decoder::begin_at(form, self.version, &self.window, begins)?;
            let kind = decoder.kind();
            self.state = State::Value(Box::new(decoder));
            return Ok(kind);
        }
        let mut cursor = Cursor::at(&self.window, begins);
        let head = cursor.text_head()?;
        self.at = cursor.at;
        let malformed = |why| Malformed { at: begins, why };
        let length = match head {
            TextHead::Raw(length) => length,
            TextHead::Packed(_, length) => length as u64,
            TextHead::Short => 0,
        };
        if length > LONGEST {
            return Err(malformed("a string that is longer than any can be"));
        }
        self.state = match head {
            TextHead::Packed(left, length) if !lzf::is_possible(left, length) => {
                return Err(malformed("so few bytes of LZF cannot be so many"));
            }
            TextHead::Packed(left, length) => {
                let (unpacking, out) = (lzf::Unpacking::default(), Vec::new());
                State::Packed { left, length, unpacking, out, is_out: false }
            }
            _ => State::String(length),
        };
        Ok(Kind::String)
    }

    /// Some bytes of a long string.
    fn string(&mut self) -> Result<Event<'_>, FileError> {
        let State::String(left) = &mut self.state else { unreachable!("asked for in this state") };
        if *left == 0 {
            self.state = State::Open;
            return Ok(Event::Ended);
        }
        let there = self.window.len() - self.at;
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(there).min(PIECE);
        if count == 0 {
            return self.more(0);
        }
        *left -= count as u64;
        self.at += count;
        Ok(Event::Bytes(&self.window[self.at - count..self.at]))
    }

    /// The same of one that is packed.
    fn packed(&mut self) -> Result<Event<'_>, FileError> {
        let handed = &mut self.unpacked;
        let State::Packed { left, length, unpacking, out, is_out } = &mut self.state else {
            unreachable!("asked for in this state")
        };
        if *is_out {
            self.state = State::Open;
            return Ok(Event::Ended);
        }
        let there = &self.window[self.at..];
        let is_all = there.len() >= *left;
        let packed = &there[..there.len().min(*left)];
        let before = out.len();
        let more = unpacking.some(packed, is_all, *length, PIECE + lzf::BACK_MAX, out);
        let read = unpacking.forget();
        (*left, self.at) = (*left - read, self.at + read);
        let Some(is_end) = more else {
            let error = Malformed { at: self.at, why: "LZF does not hold" };
            return Err(self.fault(error));
        };
        if out.len() == before && !is_end {
            return self.more(0);
        }
        *is_out = is_end;
        handed.clear();
        if is_end {
            std::mem::swap(handed, out);
        } else {
            unpacking.take(out, |taken| handed.extend_from_slice(taken));
        }
        Ok(Event::Bytes(&self.unpacked))
    }

    /// A part of a long value.
    fn part(&mut self) -> Result<Event<'_>, FileError> {
        let step = match &mut self.state {
            State::Value(decoder) => decoder.step_of(&self.window),
            _ => unreachable!("asked for in this state"),
        };
        match step {
            Ok(None) => self.behind(),
            Ok(Some(step)) => match &self.state {
                State::Value(decoder) => Ok(Event::Part(decoder.part(step, &self.window))),
                _ => unreachable!("asked for in this state"),
            },
            Err(error) if error.is_short() => self.more_inside(),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// What a module said beside values is passed over.
    fn beside(&mut self) -> Result<Event<'_>, FileError> {
        loop {
            let State::Beside(decoder) = &mut self.state else {
                unreachable!("asked for in this state")
            };
            match decoder.step_of(&self.window) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.behind()?;
                    return Ok(Event::ModuleData);
                }
                Err(error) if error.is_short() => return self.more_inside(),
                Err(error) => return Err(self.fault_between(error)),
            }
        }
    }

    /// A long value is read.
    fn behind(&mut self) -> Result<Event<'_>, FileError> {
        if let State::Value(decoder) | State::Beside(decoder) = &self.state {
            self.at = decoder.at();
        }
        self.state = State::Open;
        Ok(Event::Ended)
    }

    /// There must be more of a long value.
    fn more_inside(&mut self) -> Result<Event<'_>, FileError> {
        if let State::Value(decoder) | State::Beside(decoder) = &self.state {
            self.at = decoder.needs_from();
        }
        self.more(0)
    }

    fn checksum(&mut self) -> Result<Event<'_>, FileError> {
        if self.version >= SUMMED {
            let mut cursor = Cursor::at(&self.window, self.at);
            let Ok(told) = cursor.fixed64() else {
                self.wants = self.at + size_of::<u64>();
                return Ok(Event::More);
            };
            if told != self.crc.0 && (told != 0 || self.is_ours) {
                let why = "the checksum is not that of the bytes before it: the file is damaged";
                return Err(self.fault_between(Malformed { at: self.at, why }));
            }
            self.at = cursor.at;
        }
        self.state = State::End;
        Ok(Event::End)
    }
}

/// The type of strings.
const STRING: u8 = 0;

/// A string's bytes, unpacked where they are packed.
fn bytes_of<'a>(text: &Text, window: &'a [u8]) -> Result<Cow<'a, [u8]>, Malformed> {
    match text {
        Text::Int(number) => Ok(Cow::Owned(number.to_string().into_bytes())),
        Text::Raw(range) => Ok(Cow::Borrowed(&window[range.clone()])),
        Text::Packed(range, length) => {
            let malformed = Malformed { at: range.start, why: "LZF does not hold" };
            lzf::unpack(&window[range.clone()], *length).map(Cow::Owned).ok_or(malformed)
        }
    }
}

/// Reads what stands between keys, or a key with its value as far as that is short.
fn read(cursor: &mut Cursor<'_>, version: u16, marks: &mut Marks) -> Result<Found, Malformed> {
    let first = cursor.byte()?;
    match first {
        opcode::UNTIL => {
            let until = i64::from(i32::from_le_bytes(cursor.array()?)) * 1000;
            marks.expires = Some(until_ms(until));
        }
        opcode::UNTIL_MS => marks.expires = Some(until_ms(i64::from_le_bytes(cursor.array()?))),
        opcode::IDLE => marks.used = Some(Used::Idle(cursor.length()?)),
        opcode::OFTEN => marks.used = Some(Used::Often(cursor.byte()?)),
        opcode::SLOT_INFO => {
            for _ in 0..3 {
                cursor.length()?;
            }
        }
        opcode::SIZES => {
            let keys = cursor.length()?;
            cursor.length()?;
            return Ok(Found::Sizes(keys));
        }
        opcode::DATABASE => return Ok(Found::Database(cursor.length()?)),
        opcode::AUX => return Ok(Found::Aux(cursor.text()?, cursor.text()?)),
        opcode::FUNCTION => return Ok(Found::Function(Some(cursor.text()?))),
        opcode::FUNCTION_BEFORE => {
            cursor.text()?;
            cursor.text()?;
            if cursor.length()? != 0 {
                cursor.text()?;
            }
            cursor.text()?;
            return Ok(Found::Function(None));
        }
        opcode::MODULE => {
            cursor.length()?;
            return Ok(Found::Module);
        }
        opcode::END => return Ok(Found::End),
        form => return key(form, cursor, version, marks),
    }
    Ok(Found::Nothing)
}

/// An instant that is before all time is at its beginning.
fn until_ms(until: i64) -> Millis {
    Millis(u64::try_from(until).unwrap_or(0))
}

/// A key and how long its value is. Only so much is looked at as a short one has.
fn key(
    form: u8,
    cursor: &mut Cursor<'_>,
    version: u16,
    marks: &mut Marks,
) -> Result<Found, Malformed> {
    let key = cursor.text()?;
    marks.key = Some(key.clone());
    let begins = cursor.at;
    let mut value = cursor.until(begins.saturating_add(WHOLE_MAX));
    let skipped = if form == STRING {
        string_fits(&mut value)
    } else {
        extent::skip(form, version, &mut value)
    };
    match skipped {
        Ok(()) => {
            cursor.at = value.at;
            Ok(Found::Whole(form, key, begins))
        }
        Err(error) if error.is_short() && value.wants - begins > WHOLE_MAX => {
            Ok(Found::Long(form, key))
        }
        Err(error) => {
            cursor.wants = value.wants;
            Err(error)
        }
    }
}

/// Goes behind a string that is short also when it is unpacked.
fn string_fits(value: &mut Cursor<'_>) -> Result<(), Malformed> {
    let mut head = *value;
    let is_long = match head.text_head() {
        Ok(TextHead::Packed(_, length)) => length > WHOLE_MAX,
        _ => false,
    };
    if is_long {
        return value.take(usize::MAX).map(drop);
    }
    value.text().map(drop)
}

/// What stands between keys, where it lies.
enum Found {
    /// It is about the next key.
    Nothing,
    Aux(Text, Text),
    Database(u64),
    Sizes(u64),
    Function(Option<Text>),
    Module,
    /// A key with a value of this type, which begins here and ends where reading has come to.
    Whole(u8, Text, usize),
    /// One with a long value, which begins where reading has come to.
    Long(u8, Text),
    End,
}
