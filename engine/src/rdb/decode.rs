//! Values of every form that was ever written, as parts.
//!
//! ```text
//!   type | form                                    type | form
//!      0 | a string                                  14 | list: count, ziplists
//!      1 | list: count, strings                      15 | stream, 19 and 21 its later versions
//!      2 | set: count, strings                       16 | hash: listpack
//!      3 | sorted set: count, (string, text)         17 | sorted set: listpack
//!      4 | hash: count, (string, string)             18 | list: count, (1, string) or (2, listpack)
//!      5 | sorted set: count, (string, double)       20 | set: listpack
//!      7 | a module's: id, (opcode, what it says)    22 | hash: count, (until, string, string)
//!      9 | hash: zipmap                              23 | hash: listpack of field, value, until
//!     10 | list: ziplist                             24 | as 22, `until` counted from a least one
//!     11 | set: intset                               25 | as 23, the least one before it
//!     12 | sorted set: ziplist
//!     13 | hash: ziplist                   22 of Valkey 9: count, (string, string, until or -1)
//! ```

use super::packs::{Form, Pack};
use super::parts::{Kind, Part, Spot, Step, Strings};
use super::read::{Cursor, Malformed, Text};
use super::stream::Stream;
use crate::types::Millis;
use crate::value::number::parse_f64_redis;

/// Versions from here on are Valkey's own; those before 12 it has in common with Redis.
const VALKEY: u16 = 80;

/// A value being decoded. What is read is handed in with each step, and is the same each time.
///
/// Where only the first bytes of it are there, an error may say that it has too few ([`Malformed::is_short`]):
/// then nothing has happened, and the same step is done when there are more. What it does not need any more is
/// not handed in again ([`Decoder::forget`]).
pub struct Decoder {
    kind: Kind,
    at: usize,
    layout: Layout,
    strings: Strings,
    /// Whether there was anything yet.
    any: bool,
    /// A part that was read, and of which strings are still packed.
    packed: Option<Step>,
}

#[derive(Clone)]
enum Layout {
    String(Text),
    Plain { left: u64, item: Item },
    Packs { packs: Packs, pack: Option<Pack>, item: Item },
    Stream(Box<Stream>),
    Module,
    End,
}

/// What stands together.
#[derive(Clone, Copy)]
enum Item {
    Element,
    Pair,
    TextScore,
    Score,
    /// The least time that a field lives until, if all others are counted from there.
    UntilPair(Option<u64>),
    PairUntil,
}

/// Small collections to come.
#[derive(Clone, Copy)]
enum Packs {
    None,
    Ziplists(u64),
    Quicklist(u64),
}

impl Decoder {
    /// Reads the first byte, which is the type, and what stands before the parts. `version` is that of the
    /// payload or file.
    pub fn begin(bytes: &[u8], version: u16) -> Result<Decoder, Malformed> {
        let number = Cursor::at(bytes, 0).byte()?;
        Decoder::begin_at(number, version, bytes, 1)
    }

    /// The same of a type that stands elsewhere; the rest begins at a place.
    pub(super) fn begin_at(
        number: u8,
        version: u16,
        bytes: &[u8],
        at: usize,
    ) -> Result<Decoder, Malformed> {
        let mut cursor = Cursor::at(bytes, at);
        let mut strings = Strings::NONE;
        let (kind, layout) = layout(number, version, &mut cursor, bytes, &mut strings)?;
        Ok(Decoder { kind, at: cursor.at, layout, strings, any: false, packed: None })
    }

    /// What a module has said beside values, from a place on.
    pub(super) fn beside(at: usize) -> Decoder {
        let (kind, layout, strings) = (Kind::Module, Layout::Module, Strings::NONE);
        Decoder { kind, at, layout, strings, any: false, packed: None }
    }

    /// Nothing before here is needed any more.
    pub(super) fn needs_from(&self) -> usize {
        let is_inside = match &self.layout {
            Layout::Packs { pack, .. } => pack.is_some(),
            Layout::Stream(stream) => stream.is_inside(),
            _ => false,
        };
        self.strings.blob.lies_from().filter(|_| is_inside).unwrap_or(self.at)
    }

    /// So many of the first bytes, none of which is needed, are not handed in any more.
    pub(super) fn forget(&mut self, count: usize) {
        self.at -= count;
        self.strings.blob.forget(count);
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The string, if it is one: strings have no parts.
    pub fn string(&self) -> Option<&Text> {
        let Layout::String(text) = &self.layout else { return None };
        Some(text)
    }

    /// How far it has come.
    pub fn at(&self) -> usize {
        self.at
    }

    /// A piece of what leads to the next part: with [`Part::Skipped`] nothing was read, and a long string that is
    /// packed has come a little further.
    pub fn next_in_pieces<'a>(
        &'a mut self,
        bytes: &'a [u8],
    ) -> Result<Option<Part<'a>>, Malformed> {
        self.strings.is_patient = true;
        if self.packed.is_none() {
            let Some(step) = self.step(bytes)? else { return Ok(None) };
            self.packed = Some(step);
        } else {
            self.strings.unpack_some(bytes)?;
        }
        if self.strings.are_packed() {
            return Ok(Some(Part::Skipped));
        }
        let step = self.packed.take().unwrap_or(Step::Skipped);
        Ok(Some(self.strings.part(step, bytes)))
    }

    /// The next part.
    pub fn next<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Part<'a>>, Malformed> {
        let step = self.step(bytes)?;
        Ok(step.map(|step| self.strings.part(step, bytes)))
    }

    /// The same where `bytes` may go on: what has too few of them has not happened.
    pub(super) fn step_of(&mut self, bytes: &[u8]) -> Result<Option<Step>, Malformed> {
        let before = self.layout.clone();
        self.step(bytes).inspect_err(|_| self.layout = before)
    }

    /// The part that the last step has read.
    pub(super) fn part<'a>(&'a self, step: Step, bytes: &'a [u8]) -> Part<'a> {
        self.strings.part(step, bytes)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Option<Step>, Malformed> {
        let mut cursor = Cursor::at(bytes, self.at);
        let step = match &mut self.layout {
            Layout::String(_) | Layout::End => return Ok(None),
            Layout::Plain { left: 0, .. } => None,
            Layout::Plain { left, item } => {
                *left -= 1;
                Some(plain(*item, &mut cursor, bytes, &mut self.strings)?)
            }
            Layout::Packs { packs, pack, item } => {
                packed(packs, pack, *item, &mut cursor, bytes, &mut self.strings)?
            }
            Layout::Stream(stream) => stream.step(&mut cursor, bytes, &mut self.strings)?,
            Layout::Module => module(&mut cursor)?,
        };
        self.at = cursor.at;
        let Some(step) = step else {
            self.layout = Layout::End;
            // Old versions wrote collections without elements; a value that is one cannot be.
            let is_empty = !self.any && self.kind != Kind::Module;
            return if is_empty { cursor.malformed(EMPTY) } else { Ok(None) };
        };
        self.any = true;
        Ok(Some(step))
    }
}

/// Why a collection without elements is malformed.
pub const EMPTY: &str = "a collection without elements";

fn layout(
    number: u8,
    version: u16,
    cursor: &mut Cursor<'_>,
    all: &[u8],
    strings: &mut Strings,
) -> Result<(Kind, Layout), Malformed> {
    let least = |cursor: &mut Cursor<'_>| cursor.fixed64().map(Some);
    let (kind, item) = match number {
        0 => return Ok((Kind::String, Layout::String(cursor.text()?))),
        1 => (Kind::List, Item::Element),
        2 => (Kind::Set, Item::Element),
        3 => (Kind::SortedSet, Item::TextScore),
        4 => (Kind::Hash, Item::Pair),
        5 => (Kind::SortedSet, Item::Score),
        22 if version >= VALKEY => (Kind::Hash, Item::PairUntil),
        22 => (Kind::Hash, Item::UntilPair(None)),
        24 => (Kind::Hash, Item::UntilPair(least(cursor)?)),
        7 => {
            cursor.length()?;
            return Ok((Kind::Module, Layout::Module));
        }
        14 => return Ok((Kind::List, several(Packs::Ziplists(cursor.length()?)))),
        18 => return Ok((Kind::List, several(Packs::Quicklist(cursor.length()?)))),
        15 | 19 | 21 => {
            let version = match number {
                15 => 1,
                19 => 2,
                _ => 3,
            };
            let stream = Stream::begin(version, cursor)?;
            return Ok((Kind::Stream, Layout::Stream(Box::new(stream))));
        }
        _ => {
            let (kind, form, item) = match number {
                9 => (Kind::Hash, Form::Zipmap, Item::Pair),
                10 => (Kind::List, Form::Ziplist, Item::Element),
                11 => (Kind::Set, Form::Intset, Item::Element),
                12 => (Kind::SortedSet, Form::Ziplist, Item::Score),
                13 => (Kind::Hash, Form::Ziplist, Item::Pair),
                16 => (Kind::Hash, Form::Listpack, Item::Pair),
                17 => (Kind::SortedSet, Form::Listpack, Item::Score),
                20 => (Kind::Set, Form::Listpack, Item::Element),
                23 => (Kind::Hash, Form::Listpack, Item::PairUntil),
                25 => {
                    least(cursor)?;
                    (Kind::Hash, Form::Listpack, Item::PairUntil)
                }
                _ => return cursor.malformed("no such type of a value"),
            };
            let pack = Some(open(form, cursor, all, strings)?);
            return Ok((kind, Layout::Packs { packs: Packs::None, pack, item }));
        }
    };
    Ok((kind, Layout::Plain { left: cursor.length()?, item }))
}

fn several(packs: Packs) -> Layout {
    Layout::Packs { packs, pack: None, item: Item::Element }
}

/// Reads a small collection and begins to go through it.
fn open(
    form: Form,
    cursor: &mut Cursor<'_>,
    all: &[u8],
    strings: &mut Strings,
) -> Result<Pack, Malformed> {
    strings.blob = cursor.blob()?;
    let pack = Pack::begin(form, strings.blob.bytes(all));
    pack.map_err(|error| strings.blob.outside(error))
}

/// An item whose strings stand one after the other.
fn plain(
    item: Item,
    cursor: &mut Cursor<'_>,
    all: &[u8],
    strings: &mut Strings,
) -> Result<Step, Malformed> {
    let until = match item {
        Item::UntilPair(least) => match (cursor.length()?, least) {
            (0, _) => None,
            (after, Some(least)) => Some(time(least.saturating_add(after - 1), cursor)?),
            (until, None) => Some(time(until, cursor)?),
        },
        _ => None,
    };
    strings.first = strings.outside(cursor.text()?, all)?;
    strings.second = match item {
        Item::Pair | Item::UntilPair(_) | Item::PairUntil => {
            strings.outside(cursor.text()?, all)?
        }
        _ => Spot::Nowhere,
    };
    Ok(match item {
        Item::Element => Step::Element,
        Item::Pair | Item::UntilPair(_) => Step::Field(until),
        Item::PairUntil => {
            let until = cursor.fixed64()?;
            Step::Field(if until == u64::MAX { None } else { Some(time(until, cursor)?) })
        }
        Item::Score => Step::Member(number(cursor.double()?, cursor)?),
        Item::TextScore => Step::Member(text_score(cursor)?),
    })
}

/// A score as it was written until Redis 3.2: as text, or as one of three lengths that it cannot have.
fn text_score(cursor: &mut Cursor<'_>) -> Result<f64, Malformed> {
    let score = match cursor.byte()? {
        255 => Some(f64::NEG_INFINITY),
        254 => Some(f64::INFINITY),
        253 => None,
        length => parse_f64_redis(cursor.take(usize::from(length))?),
    };
    number(score.unwrap_or(f64::NAN), cursor)
}

fn number(score: f64, cursor: &Cursor<'_>) -> Result<f64, Malformed> {
    if score.is_nan() { cursor.malformed("a score that is no number") } else { Ok(score) }
}

/// An item of a small collection, or of the next one.
fn packed(
    packs: &mut Packs,
    pack: &mut Option<Pack>,
    item: Item,
    cursor: &mut Cursor<'_>,
    all: &[u8],
    strings: &mut Strings,
) -> Result<Option<Step>, Malformed> {
    loop {
        if let Some(pack) = pack {
            let step = packed_item(pack, item, all, strings);
            if let Some(step) = step.map_err(|error| strings.blob.outside(error))? {
                return Ok(Some(step));
            }
        }
        *pack = match packs {
            Packs::None | Packs::Ziplists(0) | Packs::Quicklist(0) => return Ok(None),
            Packs::Ziplists(left) => {
                *left -= 1;
                Some(open(Form::Ziplist, cursor, all, strings)?)
            }
            Packs::Quicklist(left) => {
                *left -= 1;
                match cursor.length()? {
                    1 => {
                        let text = cursor.text()?;
                        if text.is_empty() {
                            return cursor.malformed("a node of a list with nothing in it");
                        }
                        strings.first = strings.outside(text, all)?;
                        *pack = None;
                        return Ok(Some(Step::Element));
                    }
                    2 => Some(open(Form::Listpack, cursor, all, strings)?),
                    _ => return cursor.malformed("no such node of a list"),
                }
            }
        };
    }
}

fn packed_item(
    pack: &mut Pack,
    item: Item,
    all: &[u8],
    strings: &mut Strings,
) -> Result<Option<Step>, Malformed> {
    let Strings { blob, first, second, .. } = strings;
    let bytes = blob.bytes(all);
    let Some(text) = pack.next(bytes)? else { return Ok(None) };
    *first = Spot::inside(text);
    if matches!(item, Item::Element) {
        return Ok(Some(Step::Element));
    }
    let mut required = || {
        let text = pack.next(bytes)?;
        text.ok_or(Malformed { at: bytes.len(), why: "an uneven list" })
    };
    let other = required()?;
    if matches!(item, Item::Score) {
        let score = match &other {
            Text::Int(integer) => Some(*integer as f64),
            Text::Raw(range) | Text::Packed(range, _) => parse_f64_redis(&bytes[range.clone()]),
        };
        let malformed = Malformed { at: bytes.len(), why: "a score that is no number" };
        return score.filter(|score| !score.is_nan()).map(Step::Member).map(Some).ok_or(malformed);
    }
    *second = Spot::inside(other);
    if !matches!(item, Item::PairUntil) {
        return Ok(Some(Step::Field(None)));
    }
    match required()? {
        Text::Int(0) => Ok(Some(Step::Field(None))),
        Text::Int(until @ 1..) => Ok(Some(Step::Field(Some(Millis(until as u64))))),
        _ => Err(Malformed { at: bytes.len(), why: "a field with a time that is none" }),
    }
}

/// Until when a field lives: a time that can also be asked for.
fn time(until: u64, cursor: &Cursor<'_>) -> Result<Millis, Malformed> {
    match i64::try_from(until) {
        Ok(_) => Ok(Millis(until)),
        Err(_) => Err(Malformed { at: cursor.at, why: "a field with a time that is none" }),
    }
}

/// Something that a module wrote. Opcodes say how long it is.
fn module(cursor: &mut Cursor<'_>) -> Result<Option<Step>, Malformed> {
    match cursor.length()? {
        0 => return Ok(None),
        1 | 2 => {
            cursor.length()?;
        }
        3 => {
            cursor.take(4)?;
        }
        4 => {
            cursor.take(8)?;
        }
        5 => {
            cursor.text()?;
        }
        _ => return cursor.malformed("no such part of a module's value"),
    }
    Ok(Some(Step::Skipped))
}
