//! Counting bits and searching for one.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Whole};
use crate::resp::number::parse_i64;
use crate::value::{Item, SharedValue, Value};
use std::ops::Range;

pub(super) const BITCOUNT: Command = Command {
    name: "bitcount",
    usage: "BITCOUNT key [start end [BYTE | BIT]]",
    summary: "Counts the bits that are 1, in the whole string or from start to end.",
    since: "2.6.0",
    cost: "O(N) for N bytes",
    group: Group::Bitmap,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    run: Run::Sliced(bitcount),
    examples: r#"
        > SET word foobar
        OK
        > BITCOUNT word
        (integer) 26
        > BITCOUNT word 1 1
        (integer) 6
        > BITCOUNT word 5 30 BIT
        (integer) 17
    "#,
};

fn bitcount(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let mut span = Span::WHOLE;
    if args.left() > 0 {
        if !matches!(args.left(), 2 | 3) {
            return Err(Refusal::Syntax);
        }
        let (start, end) = (args.integer()?, args.integer()?);
        span = Span { start, end: Some(end), in_bits: is_in_bits(args.next())? };
    }
    // Both before the beginning would meet at 0: BITCOUNT, unlike BITPOS, looks at them first.
    let is_backwards = span.end.is_some_and(|end| end < 0 && span.start < 0 && span.start > end);
    if let Some(value) = large(cx, key)? {
        let bits = span.bits_of(value.string().len()).filter(|_| !is_backwards);
        let (mut left, mut count) = (bits.unwrap_or_default(), 0);
        return Ok(Whole::Later(Box::new(move |cx| {
            with_pieces(value.string(), piece_of(&mut left), |bytes, _, bits| {
                count += count_ones(bytes, bits);
            });
            if left.is_empty() {
                cx.reply.integer(count as i64);
            }
            Ok(left.is_empty())
        })));
    }
    let count = cx.keys.string(cx.db, key)?.map_or(0, |value| {
        let mut count = 0;
        let bits = span.bits_of(value.len()).filter(|_| !is_backwards).unwrap_or_default();
        with_pieces(value, bits, |bytes, _, bits| count += count_ones(bytes, bits));
        count
    });
    cx.reply.integer(count as i64);
    Ok(Whole::Done)
}

/// From here on a string is looked at in slices: some 20 us of work.
const LARGE: usize = 256 * 1024;

/// A reference to the string, if it is large.
fn large(cx: &mut Cx<'_>, key: &[u8]) -> Result<Option<SharedValue>, Refusal> {
    let is_large = |item: &&Item| item.string().is_some_and(|value| value.len() >= LARGE);
    let shared = cx.keys.peek(cx.db, key).filter(is_large).map(|item| item.share());
    if shared.is_some() {
        // The read counts, and only strings can be read.
        cx.keys.string(cx.db, key)?;
    }
    Ok(shared)
}

/// Takes the next piece of what is left, up to a whole byte.
fn piece_of(left: &mut Range<usize>) -> Range<usize> {
    let middle = (left.start / 8 + LARGE / 4).saturating_mul(8).min(left.end);
    let piece = left.start..middle.max(left.start);
    left.start = piece.end;
    piece
}

pub(super) const BITPOS: Command = Command {
    name: "bitpos",
    usage: "BITPOS key bit [start [end [BYTE | BIT]]]",
    summary: "Returns the offset of the first bit that is 1 or 0, -1 if there is none.",
    since: "2.8.7",
    cost: "O(N) for N bytes",
    group: Group::Bitmap,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    run: Run::Sliced(bitpos),
    examples: r#"
        > SET mask "\xff\xf0\x00"
        OK
        > BITPOS mask 0
        (integer) 12
        > BITPOS mask 1 2
        (integer) -1
        > BITPOS mask 1 7 15 BIT
        (integer) 7
        > BITPOS mask 2
        (error) ERR The bit argument must be 1 or 0.
    "#,
};

fn bitpos(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let wanted = match args.integer()? {
        0 => false,
        1 => true,
        _ => return Err(Refusal::fixed("ERR The bit argument must be 1 or 0.")),
    };
    if args.left() > 3 {
        return Err(Refusal::Syntax);
    }
    let mut span = Span::WHOLE;
    if args.left() > 0 {
        span.start = args.integer()?;
    }
    if args.left() > 0 {
        // Redis looks at the unit before the end.
        let end = args.peek().and_then(parse_i64);
        args.required()?;
        span.in_bits = is_in_bits(args.next())?;
        span.end = Some(end.ok_or(Refusal::NotInteger)?);
    }
    // Without an end to the search the string goes on with zeros for ever.
    let behind = |bits: &Range<usize>| (!wanted && span.end.is_none()).then_some(bits.end);
    if let Some(value) = large(cx, key)? {
        let mut left = span.bits_of(value.string().len()).unwrap_or_default();
        let behind = behind(&left).filter(|_| !left.is_empty());
        return Ok(Whole::Later(Box::new(move |cx| {
            let found = position(value.string(), piece_of(&mut left), wanted);
            let is_over = found.is_some() || left.is_empty();
            if is_over {
                cx.reply.integer(found.or(behind).map_or(-1, |at| at as i64));
            }
            Ok(is_over)
        })));
    }
    let found = match cx.keys.string(cx.db, key)? {
        None => (!wanted).then_some(0),
        Some(value) => span
            .bits_of(value.len())
            .and_then(|bits| position(value, bits.clone(), wanted).or(behind(&bits))),
    };
    cx.reply.integer(found.map_or(-1, |at| at as i64));
    Ok(Whole::Done)
}

/// The first of the string's `bits` that is `wanted`.
fn position(value: Value<'_>, bits: Range<usize>, wanted: bool) -> Option<usize> {
    let mut found = None;
    with_pieces(value, bits, |bytes, before, bits| {
        let first = || first_bit(bytes, bits, wanted).map(|bit| before * 8 + bit);
        found = found.or_else(first);
    });
    found
}

/// Calls `look` with each piece of the string that has some of the `bits`: its bytes, how many come before
/// them, and which of its own bits are meant.
fn with_pieces(
    value: Value<'_>,
    bits: Range<usize>,
    mut look: impl FnMut(&[u8], usize, Range<usize>),
) {
    let mut at = bits.start / 8;
    value.with_stretches(at..bits.end.div_ceil(8), |bytes| {
        let end = at + bytes.len();
        look(bytes, at, bits.start.max(at * 8) - at * 8..bits.end.min(end * 8) - at * 8);
        at = end;
    });
}

/// Whether a span counts bits, given the word behind it: `BYTE`, `BIT` or none.
fn is_in_bits(unit: Option<&[u8]>) -> Result<bool, Refusal> {
    match unit {
        None => Ok(false),
        Some(word) if word.eq_ignore_ascii_case(b"BYTE") => Ok(false),
        Some(word) if word.eq_ignore_ascii_case(b"BIT") => Ok(true),
        Some(_) => Err(Refusal::Syntax),
    }
}

/// A part of a string as requests name it: both ends included, negative ones counted from the end.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Span {
    const WHOLE: Span = Span { start: 0, end: None, in_bits: false };

    /// Which bits of a string of `length` bytes this is; `None` when it is empty.
    fn bits_of(self, length: usize) -> Option<Range<usize>> {
        let end = self.end.unwrap_or(-1);
        let scale = if self.in_bits { 1 } else { 8 };
        let length = (length * (8 / scale)) as i64;
        let from_front = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
        let (start, end) = (from_front(self.start), from_front(end).min(length - 1));
        (start <= end).then(|| start as usize * scale..(end as usize + 1) * scale)
    }
}

/// How many of the `bits` are 1. The range is not empty and within the bytes.
fn count_ones(bytes: &[u8], bits: Range<usize>) -> u64 {
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let before = bytes[first] & !(0xff >> (bits.start % 8));
    let after = bytes[last] & (0xff_u16 >> ((bits.end - 1) % 8 + 1)) as u8;
    let mut words = bytes[first..=last].chunks_exact(8);
    let mut count = 0u64;
    for word in words.by_ref() {
        count += u64::from(word_of(word).count_ones());
    }
    count += words.remainder().iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
    count - u64::from(before.count_ones() + after.count_ones())
}

/// The first of the `bits` that is `wanted`. The range is not empty and within the bytes.
fn first_bit(bytes: &[u8], bits: Range<usize>, wanted: bool) -> Option<usize> {
    // Looked for is always a 1: what is searched for zeros is inverted on the way.
    let flip = if wanted { 0 } else { 0xff };
    let (mut at, end) = (bits.start / 8, bits.end.div_ceil(8));
    let head = (bytes[at] ^ flip) & (0xff >> (bits.start % 8));
    if head == 0 {
        at += 1;
        let skipped = u64::from_ne_bytes([flip; 8]);
        let words = bytes[at.min(end)..end].chunks_exact(8);
        at += words.take_while(|word| word_of(word) == skipped).count() * 8;
        at += bytes[at.min(end)..end].iter().take_while(|byte| **byte == flip).count();
    }
    if at >= end {
        return None;
    }
    let byte = if at == bits.start / 8 { head } else { bytes[at] ^ flip };
    let found = at * 8 + byte.leading_zeros() as usize;
    (found < bits.end).then_some(found)
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}
