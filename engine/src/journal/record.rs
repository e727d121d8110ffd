//! One record: what happened to one key, as bytes.
//!
//! A record is an *effect*: it can be applied knowing only its key's own state, without a clock and
//! without chance (J1). This file knows the bytes of one entry of a frame; it does not know frames,
//! positions or the log, nor what a change inside a value means: that is its type's own
//! (`crate::value`), and to the journal a number and bytes.
//!
//! ```text
//!   entry    +----+---------+--------------+--------------------+-----+-------+
//!   (record) | op | db      | key length   | what the op wants: | key | value |
//!            |    | if op & | varint       | time, number of    |     |       |
//!            |    | 0x80    |              | change, length, int|     |       |
//!            +----+---------+--------------+--------------------+-----+-------+
//!   SET k v in database 0:  01 01 01 'k' 'v'           three bytes beside key and value
//!
//!   01 02  put, no deadline   (value as bytes, as integer)      0e      put begins: type, length
//!                                                               0f      put goes on: bytes
//!                                                               10      put ends: deadline
//!   03 04  put, deadline at                                     60      every database emptied
//!   05 06  put, deadline kept                                   61      one database emptied
//!   07     remove                                               62      two databases swapped
//!   08 09  deadline set, deadline dropped                       63..6f  global effects, free
//!   0a     change inside the value, by its type's number        70 71   heads of frames (frame.rs)
//!   0b..0d put of another type than string, by its number:      72..7f  free, marks among them
//!          no deadline, deadline at, deadline kept
//!   18 19  message in the channel that the key names: PUBLISH, SPUBLISH; changes nothing
//! ```
//!
//! Numbers are LEB128 varints, integers zigzag. Everything has exactly one encoding: a number of
//! more bytes than it needs, or database 0 spelled out, is refused. So what was decoded and encoded
//! again is the same bytes, and a replica may hand on either.
//!
//! A value of any length is told in pieces (`pieces`): its beginning and its parts change nothing, and stand
//! in frames of their own right before the frame that has its end.
//!
//! The value stands last, so that a large one can stand in the log as a reference (J5): the bytes on
//! the wire are those of an inline value.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::DecodeError;
use super::lengths::{KEY_BYTES_MAX, VALUE_BYTES_MAX, is_in_pieces, piece_bytes_max};
use super::whole::{Stretch, Whole};
use crate::pubsub::Scope;
use crate::types::{DbIndex, Millis};
use crate::value::{
    ChangeHead, Item, NewValue, Object, Rope, SharedValue, Type, Value as StringValue,
};
use crate::varint::{self, Unread};

/// The longest change inside a value: as many bytes, and the numbers before them.
const CHANGE_BYTES_MAX: u64 = (VALUE_BYTES_MAX + ChangeHead::BYTES_MAX) as u64;

/// Payloads longer than this stand in the log as a counted reference. Below it a copy is cheaper
/// than a reference that keeps the old value alive; above it the copy would stall the shard.
pub const INLINE_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// What becomes of a key's deadline when its value is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// The key lives until it is removed.
    None,
    /// The key is dead from this instant.
    At(Millis),
    /// The deadline stays what it is.
    Keep,
}

/// The bytes of a value.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// An integer, standing for its decimal text.
    Int(i64),
    /// Bytes borrowed from the value or from the receive buffer.
    Bytes(&'a [u8]),
    /// Bytes that the log may keep a reference to instead of a copy.
    Shared(Rope),
    /// The same of a whole value of another type than string, whose bytes are made when they are wanted.
    Object(Arc<dyn Object>),
    /// A whole value of another type than string, by its type's number, as that type writes it.
    Typed(u8, Arc<Vec<u8>>),
    /// The same, received.
    TypedBytes(u8, &'a [u8]),
    /// A part of a value's bytes: the whole tree and a range of it. Only of the tree as a whole is it known that
    /// it is the data, which costs the log nothing.
    Part(Stretch),
}

/// Whether what tells an object refers to it: it can be written in slices, and is worth a reference.
fn is_referred(object: &dyn Object) -> bool {
    let length = object.encoded_len();
    object.in_slices() && (length > INLINE_PAYLOAD_BYTES_MAX || is_in_pieces(length))
}

impl<'a> Payload<'a> {
    /// What stands for an item's value: the bytes themselves, or one more reference to a large string.
    pub fn of(item: &'a Item) -> Payload<'a> {
        match item.string() {
            Some(StringValue::Int(number)) => Payload::Int(number),
            Some(StringValue::Bytes(bytes)) => Payload::Bytes(bytes),
            Some(StringValue::Rope(rope)) => Payload::Shared(rope.hold()),
            None => match item.share() {
                SharedValue::Object(object) if is_referred(&*object) => Payload::Object(object),
                _ => {
                    let mut whole = Vec::with_capacity(item.encoded_len());
                    if let Some(object) = item.object() {
                        object.encode(&mut whole);
                    }
                    Payload::Typed(item.kind().number, Arc::new(whole))
                }
            },
        }
    }

    /// The value that it stands for; `None` if it is none.
    pub fn value(&self) -> Option<NewValue<'_>> {
        match self {
            Payload::Int(number) => Some(NewValue::Int(*number)),
            Payload::Bytes(bytes) => Some(NewValue::Bytes(bytes)),
            Payload::Shared(shared) => Some(NewValue::Shared(SharedValue::Large(shared.clone()))),
            Payload::Object(object) => Some(NewValue::Object(Arc::clone(object))),
            Payload::Typed(number, bytes) => (Type::numbered(*number)?.decode)(bytes),
            Payload::TypedBytes(number, bytes) => (Type::numbered(*number)?.decode)(bytes),
            Payload::Part(_) => None,
        }
    }

    /// The bytes together, unless this is an integer; those of a long value are copied for it.
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Payload::Shared(shared) => Some(match shared.borrow().together() {
                Some(bytes) => Cow::Borrowed(bytes),
                None => Cow::Owned(shared.borrow().to_vec()),
            }),
            Payload::Object(object) => {
                let mut bytes = Vec::with_capacity(object.encoded_len());
                object.encode(&mut bytes);
                Some(Cow::Owned(bytes))
            }
            Payload::Part(part) => Some(Cow::Owned(part.to_vec())),
            _ => self.plain().map(Cow::Borrowed),
        }
    }

    /// The bytes, unless this is an integer or a reference.
    #[inline]
    fn plain(&self) -> Option<&[u8]> {
        match self {
            Payload::Int(_) | Payload::Shared(_) | Payload::Object(_) | Payload::Part(_) => None,
            Payload::Bytes(bytes) | Payload::TypedBytes(_, bytes) => Some(bytes),
            Payload::Typed(_, whole) => Some(whole),
        }
    }

    /// How many bytes stand behind the record's head; none for an integer.
    pub(super) fn length(&self) -> usize {
        match self {
            Payload::Shared(shared) => shared.len(),
            Payload::Object(object) => object.encoded_len(),
            Payload::Part(part) => part.length,
            _ => self.plain().map_or(0, <[u8]>::len),
        }
    }

    /// The number of the type, where it is said.
    pub fn kind(&self) -> Option<u8> {
        match self {
            Payload::Typed(number, _) | Payload::TypedBytes(number, _) => Some(*number),
            Payload::Object(object) => Some(object.type_number()),
            _ => None,
        }
    }
}

/// Two payloads are equal if they are the same on the wire: who owns the bytes does not matter.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Payload::Int(mine), Payload::Int(theirs)) => mine == theirs,
            _ => {
                let same_kind = self.kind() == other.kind();
                same_kind && self.bytes().is_some() && self.bytes() == other.bytes()
            }
        }
    }
}

impl Eq for Payload<'_> {}

/// What happened to the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect<'a> {
    /// The key now holds this value, whatever it held before.
    Put {
        /// The value.
        value: Payload<'a>,
        /// Its deadline.
        deadline: Deadline,
    },
    /// The key is gone (deleted, expired, evicted, renamed away).
    Remove,
    /// The key lives on with this deadline, or with none.
    SetDeadline(Option<Millis>),
    /// Something happened inside the value; a key that was not there holds what came of it.
    Change(Change<'a>),
    /// A value follows in parts. Nothing has happened to the key yet.
    PutBegin {
        /// The number of its type.
        kind: u8,
        /// How many bytes it has as a whole.
        length: u64,
    },
    /// The next bytes of that value.
    PutPart(Payload<'a>),
    /// The value is whole: the key now holds it.
    PutEnd {
        /// Its deadline.
        deadline: Deadline,
    },
    /// Nothing happened to any key: somebody said this in the channel that the key names. It stands in the log of the
    /// shard that a key of that name would be on.
    Message(Scope, Payload<'a>),
}

/// What happened inside a value. Only its type knows what this says.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Which change of which type.
    pub what: u16,
    /// How the change's bytes begin, where that does not stand beside the rest.
    pub head: ChangeHead,
    /// The rest of them; never an integer.
    pub body: Payload<'a>,
}

impl<'a> Change<'a> {
    /// A change whose bytes stand together.
    pub fn new(what: u16, bytes: &'a [u8]) -> Change<'a> {
        Change { what, head: ChangeHead::default(), body: Payload::Bytes(bytes) }
    }

    fn body(&self) -> Cow<'_, [u8]> {
        self.body.bytes().unwrap_or_default()
    }
}

/// Two changes are equal if they are the same on the wire.
impl PartialEq for Change<'_> {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |change: &Self| [change.head.as_bytes(), &change.body()].concat();
        self.what == other.what && bytes(self) == bytes(other)
    }
}

impl Eq for Change<'_> {}

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// The database of the key when the record was made.
    pub db: DbIndex,
    /// The key.
    pub key: &'a [u8],
    /// What happened to it.
    pub effect: Effect<'a>,
}

/// A change of whole databases. Stands in every shard's log under one transaction id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Global {
    /// Every database is empty.
    FlushAll,
    /// This database is empty.
    FlushDb(DbIndex),
    /// The two databases have changed their numbers.
    SwapDb(DbIndex, DbIndex),
}

/// What a frame is made of. Each entry counts one LSN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameEntry<'a> {
    /// A change of one key.
    Record(Record<'a>),
    /// A change of whole databases.
    Global(Global),
}

// Ops. A put's op plus one is the same with an integer for a value.
const OP_PUT: u8 = 0x01;
const OP_PUT_AT: u8 = 0x03;
const OP_PUT_KEEP: u8 = 0x05;
const OP_REMOVE: u8 = 0x07;
const OP_DEADLINE_AT: u8 = 0x08;
const OP_DEADLINE_NONE: u8 = 0x09;
const OP_CHANGE: u8 = 0x0a;
const OP_PUT_TYPED: u8 = 0x0b;
const OP_PUT_TYPED_AT: u8 = 0x0c;
const OP_PUT_TYPED_KEEP: u8 = 0x0d;
const OP_PUT_BEGIN: u8 = 0x0e;
const OP_PUT_PART: u8 = 0x0f;
const OP_PUT_END: u8 = 0x10;
const OP_MESSAGE: u8 = 0x18;
const OP_SHARD_MESSAGE: u8 = 0x19;
const OP_FLUSH_ALL: u8 = 0x60;
const OP_FLUSH_DB: u8 = 0x61;
const OP_SWAP_DB: u8 = 0x62;
pub(super) const OP_FRAME: u8 = 0x70;
pub(super) const OP_TRANSACTION: u8 = 0x71;
const OP_HAS_DB: u8 = 0x80;

/// The most bytes that an entry takes beside its key and its inline value:
/// op 1, db 3, key length 5, time or number of the change 10, type 2, value length or integer 10,
/// the beginning of a change.
pub(super) const ENTRY_HEAD_BYTES_MAX: usize = 31 + ChangeHead::BYTES_MAX;

/// Where encoded bytes go: a chunk's free room or a growing buffer.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    fn put_number(&mut self, number: u64) {
        varint::write(number, |byte| self.put_byte(byte));
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A slice that is filled from the front.
pub(super) struct Room<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl<'a> Room<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Room<'a> {
        Room { bytes, used: 0 }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl Sink for Room<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.bytes[self.used] = byte;
        self.used += 1;
    }
}

impl FrameEntry<'_> {
    /// Whether the wire can carry this: lengths within limits. Commands keep these limits; the log
    /// asks again because it must not write what no decoder accepts.
    pub(super) fn fits(&self) -> bool {
        match self {
            FrameEntry::Record(record) => record.fits(),
            FrameEntry::Global(_) => true,
        }
    }

    /// Writes the entry; a large payload is left out and returned, to stand right after it.
    pub(super) fn encode(&self, sink: &mut impl Sink) -> Option<Stretch> {
        match self {
            FrameEntry::Record(record) => return record.encode(sink),
            FrameEntry::Global(Global::FlushAll) => sink.put_byte(OP_FLUSH_ALL),
            FrameEntry::Global(Global::FlushDb(db)) => {
                sink.put_byte(OP_FLUSH_DB);
                sink.put_number(u64::from(db.0));
            }
            FrameEntry::Global(Global::SwapDb(one, other)) => {
                sink.put_byte(OP_SWAP_DB);
                sink.put_number(u64::from(one.0));
                sink.put_number(u64::from(other.0));
            }
        }
        None
    }
}

impl<'a> Record<'a> {
    fn payload(&self) -> Option<&Payload<'a>> {
        match &self.effect {
            Effect::Put { value, .. } | Effect::Message(_, value) => Some(value),
            Effect::Change(change) => Some(&change.body),
            Effect::PutPart(part) => Some(part),
            Effect::Remove
            | Effect::SetDeadline(_)
            | Effect::PutBegin { .. }
            | Effect::PutEnd { .. } => None,
        }
    }

    pub(super) fn fits(&self) -> bool {
        let length = match self.payload() {
            Some(Payload::Int(_)) => INT_TEXT_BYTES_MAX,
            Some(payload) => payload.length() as u64,
            None => 0,
        };
        self.key.len() <= KEY_BYTES_MAX && length <= VALUE_BYTES_MAX as u64
    }

    /// What stands before the payload and counts as part of it.
    fn head(&self) -> &[u8] {
        match &self.effect {
            Effect::Change(change) => change.head.as_bytes(),
            _ => &[],
        }
    }

    /// At least as many bytes as [`Record::encode`] writes, if the value stands inline and the
    /// record fits whatever the limits say in detail; otherwise none.
    #[inline]
    pub(super) fn inline_bound(&self) -> Option<usize> {
        let value = self.payload().map_or(0, Payload::length);
        // These are always referred to.
        let is_referred = matches!(self.payload(), Some(Payload::Part(_) | Payload::Object(_)));
        let fits = value <= INLINE_PAYLOAD_BYTES_MAX && self.key.len() <= KEY_BYTES_MAX;
        let fits = fits && !is_referred;
        fits.then(|| ENTRY_HEAD_BYTES_MAX + self.key.len() + value)
    }

    /// Writes the record with all that belongs to it.
    pub(super) fn encode_whole(&self, out: &mut Vec<u8>) {
        if let Some(payload) = self.encode(out) {
            payload.put(0..payload.length, out);
        }
    }

    /// Writes the record; a large payload is left out and returned, to stand right after it.
    #[inline]
    pub(super) fn encode(&self, sink: &mut impl Sink) -> Option<Stretch> {
        let mut kind = self.payload().and_then(Payload::kind).map(u64::from);
        let (op, number) = match &self.effect {
            Effect::Put { value, deadline } => put_op(value, *deadline),
            Effect::Remove => (OP_REMOVE, None),
            Effect::SetDeadline(Some(at)) => (OP_DEADLINE_AT, Some(at.0)),
            Effect::SetDeadline(None) => (OP_DEADLINE_NONE, None),
            Effect::Change(change) => (OP_CHANGE, Some(u64::from(change.what))),
            Effect::PutBegin { kind: number, length } => {
                kind = Some(*length);
                (OP_PUT_BEGIN, Some(u64::from(*number)))
            }
            Effect::PutPart(_) => (OP_PUT_PART, None),
            Effect::PutEnd { deadline: Deadline::None } => (OP_PUT_END, Some(END_NONE)),
            Effect::PutEnd { deadline: Deadline::Keep } => (OP_PUT_END, Some(END_KEEP)),
            Effect::PutEnd { deadline: Deadline::At(at) } => {
                kind = Some(at.0);
                (OP_PUT_END, Some(END_AT))
            }
            Effect::Message(Scope::Plain, _) => (OP_MESSAGE, None),
            Effect::Message(Scope::Sharded, _) => (OP_SHARD_MESSAGE, None),
        };
        if self.db.0 == 0 {
            sink.put_byte(op);
        } else {
            sink.put_byte(op | OP_HAS_DB);
            sink.put_number(u64::from(self.db.0));
        }
        sink.put_number(self.key.len() as u64);
        if let Some(number) = number {
            sink.put_number(number);
        }
        if let Some(kind) = kind {
            sink.put_number(kind);
        }
        match self.payload() {
            Some(Payload::Int(int)) => sink.put_number(varint::zigzag(*int)),
            Some(payload) => sink.put_number((self.head().len() + payload.length()) as u64),
            None => {}
        }
        sink.put(self.key);
        sink.put(self.head());
        if let Some(Payload::Shared(shared)) = self.payload() {
            if shared.len() > INLINE_PAYLOAD_BYTES_MAX {
                return Some(Stretch::whole(Whole::Rope(shared.clone())));
            }
            shared.borrow().stretches(0..shared.len()).for_each(|stretch| sink.put(stretch));
            return None;
        }
        match self.payload() {
            Some(Payload::Part(part)) => return Some(part.clone()),
            Some(Payload::Object(object)) => {
                return Some(Stretch::whole(Whole::of(Arc::clone(object))));
            }
            _ => {}
        }
        let value = self.payload().and_then(Payload::plain).unwrap_or_default();
        if value.len() > INLINE_PAYLOAD_BYTES_MAX {
            return Some(Stretch::whole(Whole::Rope(Rope::of(value))));
        }
        sink.put(value);
        None
    }
}

// What stands for the deadline of a value that came in pieces.
const END_NONE: u64 = 0;
const END_KEEP: u64 = 1;
const END_AT: u64 = 2;

/// Whether a frame that begins with this byte is the beginning of a value in pieces, alone.
pub(super) fn begins_value(first: u8) -> bool {
    first & !OP_HAS_DB == OP_PUT_BEGIN
}

/// The op of a put, and the number that it wants.
fn put_op(value: &Payload<'_>, deadline: Deadline) -> (u8, Option<u64>) {
    let (typed, int) = (value.kind().is_some(), u8::from(matches!(value, Payload::Int(_))));
    match deadline {
        Deadline::None if typed => (OP_PUT_TYPED, None),
        Deadline::None => (OP_PUT + int, None),
        Deadline::At(at) if typed => (OP_PUT_TYPED_AT, Some(at.0)),
        Deadline::At(at) => (OP_PUT_AT + int, Some(at.0)),
        Deadline::Keep if typed => (OP_PUT_TYPED_KEEP, None),
        Deadline::Keep => (OP_PUT_KEEP + int, None),
    }
}

/// The longest decimal text of an integer, `-9223372036854775808`.
const INT_TEXT_BYTES_MAX: u64 = 20;

/// Why decoding stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It takes at least this many bytes, counted from the cursor's start.
    More(usize),
    /// It is no frame, however many bytes follow.
    Bad(DecodeError),
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Stop {
        Stop::Bad(error)
    }
}

/// Reads from received bytes, of which any prefix may have arrived.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::More(self.at.saturating_add(1)))?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, Stop> {
        let bytes = self.bytes.get(self.at..).unwrap_or_default();
        match varint::read(bytes) {
            Ok((number, used)) => {
                self.at += used;
                Ok(number)
            }
            Err(Unread::More) => Err(Stop::More(self.at.saturating_add(bytes.len() + 1))),
            Err(Unread::Bad) => Err(DecodeError::BadNumber.into()),
        }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    fn database(&mut self) -> Result<DbIndex, Stop> {
        let number = self.number()?;
        Ok(DbIndex(u16::try_from(number).map_err(|_| DecodeError::BadDatabase(number))?))
    }

    /// Reads one entry whole.
    pub(super) fn entry(&mut self) -> Result<FrameEntry<'a>, Stop> {
        let op = self.byte()?;
        match op {
            OP_FLUSH_ALL => Ok(FrameEntry::Global(Global::FlushAll)),
            OP_FLUSH_DB => Ok(FrameEntry::Global(Global::FlushDb(self.database()?))),
            OP_SWAP_DB => {
                Ok(FrameEntry::Global(Global::SwapDb(self.database()?, self.database()?)))
            }
            _ => Ok(FrameEntry::Record(self.record(op)?)),
        }
    }

    /// The database and the length of the key, which stand before all that an op wants.
    fn name(&mut self, op: u8) -> Result<(DbIndex, u64), Stop> {
        let db = if op & OP_HAS_DB == 0 { DbIndex(0) } else { self.database()? };
        if op & OP_HAS_DB != 0 && db.0 == 0 {
            return Err(DecodeError::BadDatabase(0).into());
        }
        let key_length = self.number()?;
        if key_length > KEY_BYTES_MAX as u64 {
            return Err(DecodeError::KeyTooLong(key_length).into());
        }
        Ok((db, key_length))
    }

    /// The beginning, a part or the end of a value that comes in pieces.
    fn piece(&mut self, op: u8) -> Result<Record<'a>, Stop> {
        let (db, key_length) = self.name(op)?;
        let key_length = key_length as usize;
        let (key, effect) = match op & !OP_HAS_DB {
            OP_PUT_BEGIN => {
                let kind = self.number()?;
                let kind = u8::try_from(kind).map_err(|_| DecodeError::BadType(kind))?;
                let length = self.number()?;
                if kind == 0 && length > VALUE_BYTES_MAX as u64 {
                    return Err(DecodeError::ValueTooLong(length).into());
                }
                (self.take(key_length)?, Effect::PutBegin { kind, length })
            }
            OP_PUT_PART => {
                let length = self.number()?;
                if length > piece_bytes_max(key_length) as u64 {
                    return Err(DecodeError::ValueTooLong(length).into());
                }
                let both = self.take(key_length + length as usize)?;
                let (key, bytes) = both.split_at(key_length);
                (key, Effect::PutPart(Payload::Bytes(bytes)))
            }
            _ => {
                let deadline = match self.number()? {
                    END_NONE => Deadline::None,
                    END_KEEP => Deadline::Keep,
                    END_AT => Deadline::At(Millis(self.number()?)),
                    other => return Err(DecodeError::BadDeadline(other).into()),
                };
                (self.take(key_length)?, Effect::PutEnd { deadline })
            }
        };
        Ok(Record { db, key, effect })
    }

    fn record(&mut self, op: u8) -> Result<Record<'a>, Stop> {
        if (OP_PUT_BEGIN..=OP_PUT_END).contains(&(op & !OP_HAS_DB)) {
            return self.piece(op);
        }
        let shape = Shape::of(op & !OP_HAS_DB).ok_or(DecodeError::UnknownOp(op))?;
        let (db, key_length) = self.name(op)?;
        let number = if shape.number { self.number()? } else { 0 };
        if shape.op == OP_CHANGE && number > u64::from(u16::MAX) {
            return Err(DecodeError::BadChange(number).into());
        }
        let kind = if shape.is_typed() { self.number()? } else { 0 };
        if shape.is_typed() && !(1..=u64::from(u8::MAX)).contains(&kind) {
            return Err(DecodeError::BadType(kind).into());
        }
        let value = if shape.value == Value::None { 0 } else { self.number()? };
        let longest = match shape.op {
            OP_CHANGE => CHANGE_BYTES_MAX,
            _ => VALUE_BYTES_MAX as u64,
        };
        if shape.value == Value::Bytes && value > longest {
            return Err(DecodeError::ValueTooLong(value).into());
        }
        let inline = if shape.value == Value::Bytes { value as usize } else { 0 };
        // Asks for both at once, so that the caller learns how much to wait for.
        let both = self.take(key_length as usize + inline)?;
        let (key, bytes) = both.split_at(key_length as usize);
        let payload = match shape.value {
            Value::Int => Payload::Int(varint::unzigzag(value)),
            _ if shape.is_typed() => Payload::TypedBytes(kind as u8, bytes),
            _ => Payload::Bytes(bytes),
        };
        Ok(Record { db, key, effect: shape.effect(number, payload) })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Bytes,
    Int,
}

/// What follows an op.
struct Shape {
    /// The op; for one with an integer value that of the same with bytes.
    op: u8,
    /// A time or the number of a change.
    number: bool,
    value: Value,
}

impl Shape {
    fn of(op: u8) -> Option<Shape> {
        let (base, number, takes_value) = match op {
            OP_PUT..OP_PUT_AT => (OP_PUT, false, true),
            OP_PUT_AT..OP_PUT_KEEP => (OP_PUT_AT, true, true),
            OP_PUT_KEEP..OP_REMOVE => (OP_PUT_KEEP, false, true),
            OP_REMOVE => (OP_REMOVE, false, false),
            OP_DEADLINE_AT => (OP_DEADLINE_AT, true, false),
            OP_DEADLINE_NONE => (OP_DEADLINE_NONE, false, false),
            OP_CHANGE => (OP_CHANGE, true, true),
            OP_PUT_TYPED | OP_PUT_TYPED_KEEP => (op, false, true),
            OP_PUT_TYPED_AT => (op, true, true),
            OP_MESSAGE | OP_SHARD_MESSAGE => (op, false, true),
            _ => return None,
        };
        let value = match takes_value {
            false => Value::None,
            true if op == base => Value::Bytes,
            true => Value::Int,
        };
        Some(Shape { op: base, number, value })
    }

    /// Whether the number of a type follows.
    fn is_typed(&self) -> bool {
        (OP_PUT_TYPED..=OP_PUT_TYPED_KEEP).contains(&self.op)
    }

    fn effect<'a>(&self, number: u64, payload: Payload<'a>) -> Effect<'a> {
        match self.op {
            OP_PUT | OP_PUT_TYPED => Effect::Put { value: payload, deadline: Deadline::None },
            OP_PUT_TYPED_KEEP => Effect::Put { value: payload, deadline: Deadline::Keep },
            OP_PUT_AT | OP_PUT_TYPED_AT => {
                Effect::Put { value: payload, deadline: Deadline::At(Millis(number)) }
            }
            OP_PUT_KEEP => Effect::Put { value: payload, deadline: Deadline::Keep },
            OP_DEADLINE_AT => Effect::SetDeadline(Some(Millis(number))),
            OP_DEADLINE_NONE => Effect::SetDeadline(None),
            OP_CHANGE => Effect::Change(Change {
                what: number as u16,
                head: ChangeHead::default(),
                body: payload,
            }),
            OP_MESSAGE => Effect::Message(Scope::Plain, payload),
            OP_SHARD_MESSAGE => Effect::Message(Scope::Sharded, payload),
            _ => Effect::Remove,
        }
    }
}
