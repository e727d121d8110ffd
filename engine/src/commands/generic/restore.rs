//! RESTORE: a value as Redis wrote it.
//!
//! A long payload is summed up, looked at and stored in slices. Whatever its type, all of it is decoded and
//! checked before anything else is said about it.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::db::UsedSoFar;
use crate::journal::Deadline;
use crate::limits::STRING_MAX;
use crate::rdb::{Assembly, Crc, Decoder, Kind, Malformed, Part, Text, dump, lzf};
use crate::resp::number::parse_i64;
use crate::types::Millis;
use crate::value::{NewValue, Rope, SharedValue};
use std::ops::Range;

pub(super) const RESTORE: Command = Command {
    name: "restore",
    usage: "RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] \
            [FREQ frequency]",
    summary: "Creates a key from what DUMP returned, here or in a Redis or Valkey.",
    since: "2.6.0",
    cost: "O(N) with a value of N bytes.",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::DANGEROUS),
    keys: Keys::ONE.used(Uses::REPLACE),
    run: Run::Sliced(restore),
    examples: r#"
        > RESTORE visits 0 "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd"
        OK
        > GET visits
        "12"
        > RESTORE visits 0 "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd"
        (error) BUSYKEY Target key name already exists.
        > RESTORE visits 5000 "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd" REPLACE
        OK
        > PTTL visits
        (integer) 5000
        > RESTORE visits 1 "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd" REPLACE ABSTTL IDLETIME 7
        OK
        > GET visits
        (nil)
        > RESTORE visits -1 "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd"
        (error) ERR Invalid TTL value, must be >= 0
        > RESTORE visits 0 "\x00\xc0\x0d\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd"
        (error) ERR DUMP payload version or checksum are wrong
        > RESTORE visits 0 payload FREQ 256
        (error) ERR Invalid FREQ value, must be >= 0 and <= 255
        > RESTORE visits 0 payload IDLETIME 1 FREQ 1
        (error) ERR syntax error
    "#,
};

const BAD_DATA: Refusal = Refusal::fixed("ERR Bad data format");
const BAD_SUM: Refusal = Refusal::fixed("ERR DUMP payload version or checksum are wrong");

#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    used: Option<UsedSoFar>,
}

impl Options {
    fn parse(mut args: Args<'_>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        args.seek(4);
        while args.left() > 0 {
            let is_idle = matches!(options.used, Some(UsedSoFar::Idle(_)));
            let is_often = matches!(options.used, Some(UsedSoFar::Often(_)));
            if args.word("REPLACE") {
                options.replace = true;
            } else if args.word("ABSTTL") {
                options.absolute = true;
            } else if args.left() > 1 && !is_often && args.word("IDLETIME") {
                let refusal = Refusal::fixed("ERR Invalid IDLETIME value, must be >= 0");
                let seconds = u64::try_from(args.integer()?).map_err(|_| refusal)?;
                options.used = Some(UsedSoFar::Idle(seconds));
            } else if args.left() > 1 && !is_idle && args.word("FREQ") {
                let refusal = Refusal::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
                let counter = u8::try_from(args.integer()?).map_err(|_| refusal)?;
                options.used = Some(UsedSoFar::Often(counter));
            } else {
                return Err(Refusal::Syntax);
            }
        }
        Ok(options)
    }
}

fn restore(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.get(1);
    let options = Options::parse(args)?;
    if !options.replace && cx.keys.exists(cx.db, key) {
        return Err(Refusal::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl = parse_i64(args.get(2)).ok_or(Refusal::NotInteger)?;
    let refusal = Refusal::fixed("ERR Invalid TTL value, must be >= 0");
    let deadline = match u64::try_from(ttl).map_err(|_| refusal)? {
        0 => Deadline::None,
        ttl if options.absolute => Deadline::At(Millis(ttl)),
        // No longer than any other way to set a deadline allows.
        ttl => Deadline::At(Millis(ttl.saturating_add(cx.now().0).min(i64::MAX as u64))),
    };
    let payload = match args.pieces(3) {
        Some(pieces) => Payload::Pieces(pieces.clone()),
        None => Payload::Together(args.get(3).to_vec()),
    };
    let version = dump::version(&payload.end()).ok_or(BAD_SUM)?;
    let is_short = payload.len() <= PIECE;
    let mut restoring = Restoring {
        key: key.to_vec(),
        deadline,
        used: options.used,
        payload,
        version,
        stage: Stage::Summing(Crc::default(), 0),
    };
    Whole::of(Box::new(move |cx| restoring.more(cx)), is_short, cx)
}

/// Bytes that are summed up, unpacked or copied in one piece: some 30 us.
const PIECE: usize = 64 * 1024;
/// What the parts that are looked at in one piece may take, each counting as [`PART`] more: some 30 us. One part
/// may be longer.
const PARTS: usize = 64 * 1024;
const PART: usize = 512;

/// A RESTORE under way.
struct Restoring {
    key: Vec<u8>,
    deadline: Deadline,
    used: Option<UsedSoFar>,
    payload: Payload,
    version: u16,
    stage: Stage,
}

/// A payload as it came, or together.
enum Payload {
    Together(Vec<u8>),
    Pieces(Rope),
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Payload::Together(bytes) => bytes.len(),
            Payload::Pieces(pieces) => pieces.len(),
        }
    }

    /// Some bytes from a place on, at most a piece.
    fn stretch(&self, range: Range<usize>) -> &[u8] {
        let bytes = match self {
            Payload::Together(bytes) => bytes.get(range.start..).unwrap_or_default(),
            Payload::Pieces(pieces) => pieces.borrow().stretch(range.start),
        };
        &bytes[..bytes.len().min(range.len()).min(PIECE)]
    }

    /// A few of its bytes.
    fn part(&self, range: Range<usize>) -> Vec<u8> {
        let (mut part, mut at) = (Vec::new(), range.start);
        while at < range.end.min(self.len()) {
            let stretch = self.stretch(at..range.end);
            part.extend_from_slice(stretch);
            at += stretch.len();
        }
        part
    }

    /// What stands behind the value.
    fn end(&self) -> Vec<u8> {
        self.part(self.len().saturating_sub(dump::FOOTER)..self.len())
    }

    /// The value, once it lies together.
    fn value(&self) -> &[u8] {
        match self {
            Payload::Together(bytes) => &bytes[..bytes.len() - dump::FOOTER],
            Payload::Pieces(_) => &[],
        }
    }
}

enum Stage {
    /// So far, and up to where.
    Summing(Crc, usize),
    /// What came in pieces and must lie together to be read.
    Joining(Vec<u8>),
    /// A value of several parts.
    Looking(Box<Looking>),
    /// A long string: what is copied already.
    Copying(Range<usize>, Rope),
    /// A packed one: what is unpacked already, and its end, to which what follows may refer.
    Unpacking(lzf::Unpacking, Range<usize>, usize, Rope, Vec<u8>),
}

impl Restoring {
    /// Does a piece; whether it was the last one.
    fn more(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let value = match &mut self.stage {
            Stage::Summing(crc, at) => {
                let summed = self.payload.len() - size_of::<u64>();
                let stretch = self.payload.stretch(*at..summed);
                crc.add(stretch);
                *at += stretch.len();
                if *at < summed {
                    return Ok(false);
                }
                if !dump::fits(&self.payload.end(), *crc) {
                    return Err(BAD_SUM);
                }
                return self.begin(cx);
            }
            Stage::Joining(bytes) => {
                let stretch = self.payload.stretch(bytes.len()..self.payload.len());
                bytes.extend_from_slice(stretch);
                if bytes.len() < self.payload.len() {
                    return Ok(false);
                }
                self.payload = Payload::Together(std::mem::take(bytes));
                return self.begin(cx);
            }
            Stage::Looking(looking) => {
                let Some(built) = looking.more(self.payload.value())? else { return Ok(false) };
                self.store(cx, built);
                return Ok(true);
            }
            Stage::Copying(range, rope) => {
                let stretch = self.payload.stretch(range.clone());
                rope.write(rope.len(), stretch);
                range.start += stretch.len();
                if range.start < range.end {
                    return Ok(false);
                }
                rope.clone()
            }
            Stage::Unpacking(unpacking, packed, length, rope, out) => {
                let packed = self.payload.value().get(packed.clone()).unwrap_or_default();
                let until = PIECE + lzf::BACK_MAX;
                let is_end = unpacking.more(packed, *length, until, out).ok_or(BAD_DATA)?;
                unpacking.take(out, |taken| rope.write(rope.len(), taken));
                if !is_end {
                    return Ok(false);
                }
                rope.write(rope.len(), out);
                rope.clone()
            }
        };
        self.stage = Stage::Summing(Crc::default(), 0);
        self.store(cx, NewValue::Shared(SharedValue::Large(value)));
        Ok(true)
    }

    /// The checksum holds: finds out what the value is.
    fn begin(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let empty = || Rope::of(b"");
        if let Payload::Pieces(_) = self.payload {
            let value = self.payload.len() - dump::FOOTER;
            self.stage = match dump::plain_string(&self.payload.part(0..dump::HEAD_MAX), value) {
                Some(range) => Stage::Copying(range, empty()),
                None => Stage::Joining(Vec::with_capacity(self.payload.len())),
            };
            return Ok(false);
        }
        let value = self.payload.value();
        let decoder = Decoder::begin(value, self.version).map_err(refused)?;
        match decoder.string().cloned() {
            Some(Text::Int(number)) => {
                self.store(cx, NewValue::Int(number));
                return Ok(true);
            }
            Some(Text::Raw(range)) if range.len() <= PIECE => {
                let bytes = value[range].to_vec();
                self.store(cx, NewValue::from_vec(bytes));
                return Ok(true);
            }
            Some(Text::Packed(range, length)) if length <= PIECE => {
                let bytes = lzf::unpack(&value[range], length).ok_or(BAD_DATA)?;
                self.store(cx, NewValue::from_vec(bytes));
                return Ok(true);
            }
            Some(Text::Packed(_, length)) if length > STRING_MAX => return Err(BAD_DATA),
            Some(Text::Raw(range)) => self.stage = Stage::Copying(range, empty()),
            Some(Text::Packed(range, length)) => {
                let unpacking = lzf::Unpacking::default();
                self.stage = Stage::Unpacking(unpacking, range, length, empty(), Vec::new());
            }
            None => {
                let limits = cx.keys.encodings().of_forms();
                let form = value.first().copied().unwrap_or_default();
                let assembly = Assembly::new(decoder.kind(), form, &limits);
                self.stage = Stage::Looking(Box::new(Looking { decoder, assembly }));
            }
        }
        Ok(false)
    }

    fn store(&mut self, cx: &mut Cx<'_>, value: NewValue<'_>) {
        cx.keys.put(cx.db, &self.key, value, self.deadline);
        if let Some(used) = self.used {
            cx.keys.set_used(cx.db, &self.key, used);
        }
        cx.reply.ok();
    }
}

/// Where and why is nothing that Redis's clients expect in the reply; a debug log has it.
fn refused(Malformed { at, why }: Malformed) -> Refusal {
    log::debug!("RESTORE: {why} (byte {at})");
    BAD_DATA
}

/// The value is one, of a type that this node has not.
fn not_here(kind: Kind) -> Refusal {
    match kind {
        // As where Redis has not the module.
        Kind::Module => BAD_DATA,
        _ => Refusal::made(format!("ERR RESTORE does not know this type yet: {}", kind.name())),
    }
}

/// A value whose parts are looked at, and put together as far as they are right.
struct Looking {
    decoder: Decoder,
    assembly: Assembly,
}

impl Looking {
    /// Looks at some parts; the value once there are no more.
    fn more(&mut self, value: &[u8]) -> Result<Option<NewValue<'static>>, Refusal> {
        if !self.look(value).map_err(refused)? {
            return Ok(None);
        }
        let at = self.decoder.at();
        match self.assembly.end().map_err(|why| refused(Malformed { at, why }))? {
            None => Err(not_here(self.decoder.kind())),
            value => Ok(value),
        }
    }

    /// Whether there are no more.
    fn look(&mut self, value: &[u8]) -> Result<bool, Malformed> {
        let mut room = PARTS;
        while room > 0 {
            let at = self.decoder.at();
            let Some(part) = self.decoder.next_in_pieces(value)? else { return Ok(true) };
            if part == Part::Skipped {
                // A piece of a long string, or something of a module's.
                return Ok(false);
            }
            room = room.saturating_sub(part.len() + PART);
            self.assembly.add(&part).map_err(|why| Malformed { at, why })?;
        }
        Ok(false)
    }
}
