//! A frame: what one task made, appended and applied as one.
//!
//! ```text
//!   one entry          entry                                        (its op is the head)
//!   more, one shard    70 | count varint (2 and up) | entries
//!   many shards        71 | transaction id varint (1 and up)
//!                         | shards: length varint, bitmap, bit 0 = shard 0, no zero byte at its end
//!                         | count varint (0 and up) | entries
//! ```
//!
//! Every entry counts one LSN; a part of a transaction without entries on this shard counts one too,
//! so that positions tell it apart from its absence. Positions lie only at the ends of frames.
//!
//! A frame does not know its own LSN nor its shard: these belong to the log that it stands in.

use super::error::DecodeError;
use super::lengths::is_in_pieces;
use super::pieces::{Bug, is_planted, pieces};
use super::record::{
    Cursor, Deadline, Effect, FrameEntry, OP_FRAME, OP_TRANSACTION, Payload, Record, Sink, Stop,
    begins_value,
};
use super::whole::Stretch;
use crate::types::{DbIndex, ShardId, TxId};

/// The most shards of a node, and so of a transaction (`--num_shards`): more than any machine has
/// CPUs for, and 128 bytes of bitmap.
pub const FRAME_SHARDS_MAX: usize = 1024;

/// The most entries of a frame. The receiver applies a frame in one go, so it must end in sight:
/// 16 M entries take seconds. A client's query buffer of 1 GB holds fewer commands than that.
pub const FRAME_ENTRIES_MAX: u64 = 1 << 24;

/// The longest frame on the wire: the receiver holds it whole before it applies it. Four values of
/// the largest size just do not fit; a node that makes a longer one makes its readers start anew.
pub const FRAME_BYTES_MAX: u64 = (1 << 31) - 1;

const BITMAP_BYTES_MAX: usize = FRAME_SHARDS_MAX / 8;

/// The most bytes before a frame's first entry: op, id, length, bitmap, count.
pub(super) const FRAME_HEAD_BYTES_MAX: usize = 1 + 10 + 2 + BITMAP_BYTES_MAX + 5;

/// Which shards a transaction touches. Never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shards<'a> {
    /// Bit `n % 8` of byte `n / 8` is shard `n`; the last byte is not 0.
    bitmap: &'a [u8],
}

impl<'a> Shards<'a> {
    /// Whether `shard` is touched.
    pub fn contains(&self, shard: ShardId) -> bool {
        self.bitmap.get(shard.index() / 8).is_some_and(|byte| byte >> (shard.0 % 8) & 1 == 1)
    }

    /// The shards, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + use<'a> {
        let bitmap = self.bitmap;
        (0..bitmap.len() * 8)
            .filter(move |shard| bitmap[shard / 8] >> (shard % 8) & 1 == 1)
            .map(|shard| ShardId(shard as u16))
    }

    /// How many shards are touched.
    pub fn count(&self) -> usize {
        self.bitmap.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The highest shard that is touched.
    pub fn highest(&self) -> ShardId {
        let last = self.bitmap.last().copied().unwrap_or(1);
        ShardId(((self.bitmap.len().max(1) - 1) * 8) as u16 + last.ilog2() as u16)
    }
}

/// An owned set of shards, to build a [`Transaction`] from.
#[derive(Clone, Debug)]
pub struct ShardSet {
    bitmap: [u8; BITMAP_BYTES_MAX],
    length: usize,
}

impl ShardSet {
    /// The set of these shards.
    ///
    /// # Panics
    /// If there is none, or one above [`FRAME_SHARDS_MAX`]: the node's own configuration forbids it.
    pub fn of(shards: impl IntoIterator<Item = ShardId>) -> ShardSet {
        let mut set = ShardSet { bitmap: [0; BITMAP_BYTES_MAX], length: 0 };
        for shard in shards {
            assert!(shard.index() < FRAME_SHARDS_MAX, "shard {shard} of {FRAME_SHARDS_MAX}");
            set.bitmap[shard.index() / 8] |= 1 << (shard.0 % 8);
            set.length = set.length.max(shard.index() / 8 + 1);
        }
        assert!(set.length > 0, "a transaction touches at least one shard");
        set
    }

    /// The set, borrowed.
    pub fn shards(&self) -> Shards<'_> {
        Shards { bitmap: &self.bitmap[..self.length] }
    }
}

/// The transaction of many shards that a frame is a part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transaction<'a> {
    /// Its place in the node's global order.
    pub id: TxId,
    /// Every shard whose log has a part of it.
    pub shards: Shards<'a>,
}

/// One whole frame in a receive buffer, checked to its last byte.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    transaction: Option<Transaction<'a>>,
    bytes: &'a [u8],
    body: usize,
    count: u32,
}

impl<'a> Frame<'a> {
    /// The transaction that this is a part of, if it is one of many shards.
    pub fn transaction(&self) -> Option<Transaction<'a>> {
        self.transaction
    }

    /// How many entries it has; 0 only in a transaction.
    pub fn entry_count(&self) -> usize {
        self.count as usize
    }

    /// How many LSNs it counts.
    pub fn lsn_count(&self) -> u64 {
        u64::from(self.count).max(1)
    }

    /// Its entries in order.
    pub fn entries(&self) -> Entries<'a> {
        Entries { cursor: Cursor::new(self.bytes, self.body), left: self.count }
    }

    /// Whether it is the beginning of a value that comes in pieces.
    pub(super) fn begins_value(&self) -> bool {
        self.bytes.first().is_some_and(|first| begins_value(*first))
    }

    /// Whether a value that came in pieces ends in it.
    pub(super) fn ends_value(&self) -> bool {
        let is_end = |entry| match entry {
            FrameEntry::Record(record) => matches!(record.effect, Effect::PutEnd { .. }),
            FrameEntry::Global(_) => false,
        };
        self.entries().any(is_end)
    }

    /// The frame as it came, to be kept for readers of one's own (J7).
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Iterates over the entries of a [`Frame`].
#[derive(Clone)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = FrameEntry<'a>;

    fn next(&mut self) -> Option<FrameEntry<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The decoder has been here before: this cannot fail.
        self.cursor.entry().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl std::fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

struct Head<'a> {
    transaction: Option<Transaction<'a>>,
    count: u32,
    body: usize,
}

fn head<'a>(bytes: &'a [u8]) -> Result<Head<'a>, Stop> {
    let mut cursor = Cursor::new(bytes, 0);
    let (transaction, count_min) = match cursor.byte()? {
        OP_FRAME => (None, 2),
        OP_TRANSACTION => (Some(transaction(&mut cursor)?), 0),
        _ => return Ok(Head { transaction: None, count: 1, body: 0 }),
    };
    let count = cursor.number()?;
    if !(count_min..=FRAME_ENTRIES_MAX).contains(&count) {
        return Err(DecodeError::BadEntryCount(count).into());
    }
    Ok(Head { transaction, count: count as u32, body: cursor.at() })
}

fn transaction<'a>(cursor: &mut Cursor<'a>) -> Result<Transaction<'a>, Stop> {
    let id = cursor.number()?;
    if id == 0 {
        return Err(DecodeError::ZeroTransaction.into());
    }
    let length = cursor.number()?;
    if length == 0 || length > BITMAP_BYTES_MAX as u64 {
        return Err(DecodeError::BadShards(length).into());
    }
    let bitmap = cursor.take(length as usize)?;
    if bitmap.last() == Some(&0) {
        return Err(DecodeError::BadShards(length).into());
    }
    Ok(Transaction { id: TxId(id), shards: Shards { bitmap } })
}

/// Finds frames in received bytes.
///
/// Remembers how far into an incomplete frame it has looked, so that a long frame which arrives in
/// many pieces is looked at once. One decoder per stream; give it the bytes from the end of the last
/// frame on, each time with more of them.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Without this many bytes there is nothing to look for.
    needed: usize,
    /// Entries of the incomplete frame that have been checked, and where the next one begins.
    checked: u32,
    at: usize,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// The first frame in `bytes` and its length, or nothing as long as it is incomplete.
    ///
    /// After an error the stream has no next frame: drop it.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Frame<'a>, usize)>, DecodeError> {
        if bytes.len() < self.needed.max(1) {
            return Ok(None);
        }
        match self.scan(bytes) {
            Ok(frame) => {
                *self = Decoder::default();
                Ok(Some((frame, frame.bytes.len())))
            }
            Err(Stop::Bad(error)) => Err(error),
            Err(Stop::More(needed)) if needed as u64 > FRAME_BYTES_MAX => {
                Err(DecodeError::FrameTooLong(needed as u64))
            }
            Err(Stop::More(needed)) => {
                self.needed = needed;
                Ok(None)
            }
        }
    }

    /// How many bytes there must be, at least, before the next call can find a frame.
    pub fn needed(&self) -> usize {
        self.needed
    }

    fn scan<'a>(&mut self, bytes: &'a [u8]) -> Result<Frame<'a>, Stop> {
        let head = head(bytes)?;
        if self.checked == 0 {
            self.at = head.body;
        }
        while self.checked < head.count {
            let mut cursor = Cursor::new(bytes, self.at);
            let entry = cursor.entry()?;
            if head.transaction.is_none() && matches!(entry, FrameEntry::Global(_)) {
                return Err(DecodeError::GlobalOutsideTransaction.into());
            }
            if cursor.at() as u64 > FRAME_BYTES_MAX {
                return Err(DecodeError::FrameTooLong(cursor.at() as u64).into());
            }
            self.at = cursor.at();
            self.checked += 1;
        }
        let frame = bytes.get(..self.at).ok_or(Stop::More(self.at))?;
        let Head { transaction, count, body } = head;
        Ok(Frame { transaction, bytes: frame, body, count })
    }
}

/// The length of the frame at the start of `bytes` and how many LSNs it counts.
pub(super) fn measure(bytes: &[u8]) -> Option<(usize, u64)> {
    let (frame, length) = Decoder::new().next(bytes).ok()??;
    Some((length, frame.lsn_count()))
}

/// A builder that is used again keeps so much memory: more than nearly all frames have, and little
/// beside a node.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// The entries of a frame while its transaction is still under way.
///
/// They are encoded at once, so that nothing of the key space is borrowed until the transaction
/// concludes. Reusable: [`FrameBuilder::clear`] keeps the room.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    bytes: Vec<u8>,
    /// Large payloads and where in `bytes` they belong, ascending.
    large: Vec<(usize, Stretch)>,
    large_bytes: u64,
    count: u64,
    /// What stands before it, each in a frame of its own.
    ahead: Ahead,
    has_global: bool,
    /// An entry was too long for the wire.
    unfit: bool,
}

/// Pieces of values that end in a frame, in frames of one record each.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The frames, without the bytes of values.
    pub(super) bytes: Vec<u8>,
    /// Where each frame ends there, and the bytes of a value that stand at its end.
    pub(super) frames: Vec<(usize, Option<Stretch>)>,
    /// All bytes of values.
    pub(super) part_bytes: u64,
}

impl Ahead {
    fn push(&mut self, record: &Record<'_>) {
        let part = record.encode(&mut self.bytes);
        self.part_bytes += part.as_ref().map_or(0, |part| part.length as u64);
        self.frames.push((self.bytes.len(), part));
    }

    /// The frames as bytes, and what belongs behind them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&Stretch>)> {
        let mut start = 0;
        self.frames.iter().map(move |(end, part)| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            (bytes, part.as_ref())
        })
    }
}

impl FrameBuilder {
    /// A frame without entries.
    pub fn new() -> FrameBuilder {
        FrameBuilder::default()
    }

    /// Adds a change of one key.
    pub fn push(&mut self, record: &Record<'_>) {
        self.unfit |= !record.fits();
        let large = record.encode(&mut self.bytes);
        self.pushed(large);
    }

    /// Adds that a key holds a value, which may have any length: what is too long for one record goes ahead in
    /// pieces, and only its end is an entry.
    pub fn push_put(&mut self, db: DbIndex, key: &[u8], value: Payload<'_>, deadline: Deadline) {
        if !is_in_pieces(value.length()) {
            return self.push(&Record { db, key, effect: Effect::Put { value, deadline } });
        }
        let (kind, length) = (value.kind().unwrap_or_default(), value.length() as u64);
        if !is_planted(Bug::NoBeginning) {
            self.ahead.push(&Record { db, key, effect: Effect::PutBegin { kind, length } });
        }
        for (index, part) in pieces(&value, key.len()).into_iter().enumerate() {
            if index == 1 && is_planted(Bug::LostPart) {
                continue;
            }
            let key = if index == 1 && is_planted(Bug::OtherKey) { b"another" } else { key };
            let effect = Effect::PutPart(Payload::Part(part));
            self.ahead.push(&Record { db, key, effect });
        }
        self.push(&Record { db, key, effect: Effect::PutEnd { deadline } });
    }

    /// Adds any entry.
    pub fn push_entry(&mut self, entry: &FrameEntry<'_>) {
        self.unfit |= !entry.fits();
        self.has_global |= matches!(entry, FrameEntry::Global(_));
        let large = entry.encode(&mut self.bytes);
        self.pushed(large);
    }

    /// Counts an entry without keeping it: for a log that only counts.
    pub fn count_one(&mut self) {
        self.count += 1;
    }

    fn pushed(&mut self, large: Option<Stretch>) {
        self.count += 1;
        if let Some(payload) = large {
            self.large_bytes += payload.length as u64;
            self.large.push((self.bytes.len(), payload));
        }
    }

    /// How many entries were added.
    pub fn entry_count(&self) -> u64 {
        self.count
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes the entries take on the wire, without what goes ahead.
    pub fn wire_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.large_bytes
    }

    /// What goes ahead, each in a frame of its own.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Whether a frame of these entries can be carried. A command or script that writes without end
    /// asks this; a frame that cannot be carried makes every reader of the log start anew.
    pub fn fits(&self) -> bool {
        !self.unfit
            && self.count <= FRAME_ENTRIES_MAX
            && self.wire_bytes() + FRAME_HEAD_BYTES_MAX as u64 <= FRAME_BYTES_MAX
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
        self.large.clear();
        self.large_bytes = 0;
        if !self.ahead.bytes.is_empty() {
            self.ahead = Ahead::default();
        }
        self.count = 0;
        self.has_global = false;
        self.unfit = false;
    }

    /// Whether a change of whole databases is among the entries: such a frame is a transaction.
    pub fn has_global(&self) -> bool {
        self.has_global
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn large(&self) -> &[(usize, Stretch)] {
        &self.large
    }

    /// All bytes of values that are referred to.
    pub(super) fn large_bytes(&self) -> u64 {
        self.large_bytes + self.ahead.part_bytes
    }

    /// Writes what stands before the entries.
    pub(super) fn encode_head(&self, transaction: Option<Transaction<'_>>, sink: &mut impl Sink) {
        if let Some(Transaction { id, shards }) = transaction {
            sink.put_byte(OP_TRANSACTION);
            sink.put_number(id.0);
            sink.put_number(shards.bitmap.len() as u64);
            sink.put(shards.bitmap);
            sink.put_number(self.count);
        } else if self.count != 1 {
            sink.put_byte(OP_FRAME);
            sink.put_number(self.count);
        }
    }

    /// The frame as it goes over the wire, what goes ahead before it, large payloads copied in.
    pub fn to_wire(&self, transaction: Option<Transaction<'_>>) -> Vec<u8> {
        let mut wire = Vec::new();
        for (frame, part) in self.ahead.iter() {
            wire.extend_from_slice(frame);
            part.iter().for_each(|part| part.put(0..part.length, &mut wire));
        }
        self.encode_head(transaction, &mut wire);
        let mut done = 0;
        for (at, payload) in &self.large {
            wire.extend_from_slice(&self.bytes[done..*at]);
            payload.put(0..payload.length, &mut wire);
            done = *at;
        }
        wire.extend_from_slice(&self.bytes[done..]);
        wire
    }
}
