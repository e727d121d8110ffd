//! SCAN: all keys, a few at a time.
//!
//! A cursor says on which shard the scan is and which hashes it has passed there:
//!
//! ```text
//!   bit 52 ................................ 10 | 9 ........ 0
//!       upper 43 bits of the next hash         | shard
//! ```
//!
//! It fits 53 bits, because some clients keep numbers as doubles. A key that is there from the first
//! call to the last is returned, whatever the tables do meanwhile (see `table`): the walk passes it
//! exactly once. Leaving out the lower 21 bits means that the next call begins a little earlier than
//! this one ended: by chance once in some 10^13 keys, one is returned twice. A cursor that nobody gave
//! out is not refused, as in Redis; it begins somewhere.

use super::keys::pattern;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Walk, Walked};
use crate::glob::Pattern;
use crate::limits::{SCAN_COST_MAX, SCAN_VISITED_MAX};
use crate::resp::ReplyWriter;
use crate::table::Cursor;
use crate::value::Item;
use std::sync::Arc;

pub(super) const SCAN: Command = Command {
    name: "scan",
    usage: "SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]",
    summary: "Returns some keys and a cursor for the next call; the cursor 0 begins and ends a scan.",
    since: "2.8.0",
    cost: "O(COUNT) for each call, O(N) for all of N keys.",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::NONE,
    run: Run::Walk(Walk { start, step, finish, alone: false, long: false }),
    examples: r#"
        > SET user:1 Ada
        OK
        > SCAN 0 MATCH user:* COUNT 100
        1) "0"
        2) 1) "user:1"
        > SCAN 0 TYPE list
        1) "0"
        2) (empty array)
        > SADD team Ada
        (integer) 1
        > SCAN 0 TYPE set
        1) "0"
        2) 1) "team"
        > DEL team
        (integer) 1
        > SCAN x
        (error) ERR invalid cursor
        > SCAN ""
        1) "0"
        2) 1) "user:1"
        > SCAN 0 COUNT 0
        (error) ERR syntax error
    "#,
};

const SHARD_BITS: u32 = 10;
const POSITION_BITS: u32 = 43;
/// The bits of a hash that a cursor leaves out.
const DROPPED_BITS: u32 = u64::BITS - POSITION_BITS;

/// What is visited when COUNT does not say.
const COUNT_DEFAULT: u64 = 10;

/// Buckets visited for each key asked for: bounds the time where most buckets are empty.
const BUCKETS_PER_KEY: u64 = 10;

/// What SCAN, SSCAN, HSCAN and ZSCAN are asked alike.
pub(in crate::commands) struct Asked<'a> {
    /// Of MATCH, not read yet.
    pattern: Option<&'a [u8]>,
    /// Of COUNT, at least one.
    pub(in crate::commands) count: u64,
}

impl Asked<'_> {
    /// The pattern of MATCH, read; `None` for one that everything fits.
    pub(in crate::commands) fn pattern(&self) -> Result<Option<Arc<Pattern>>, Refusal> {
        self.pattern.map_or(Ok(None), pattern)
    }
}

/// Elements of one value between two looks at what they cost.
const STEP: u64 = 16;

/// Visits up to `left` elements of one value from a cursor on, and no more once they have cost `cost_max`. `visit` is told
/// a cursor and how many elements, adds what they cost, and says where it goes on; so does this, with 0 at the end.
pub(in crate::commands) fn in_steps(
    mut cursor: u64,
    mut left: u64,
    cost_max: u64,
    mut visit: impl FnMut(u64, usize, &mut u64) -> u64,
) -> u64 {
    let mut cost = 0;
    loop {
        let step = left.min(STEP);
        cursor = visit(cursor, step as usize, &mut cost);
        left -= step;
        if cursor == 0 || left == 0 || cost >= cost_max {
            return cursor;
        }
    }
}

/// Reads the options from argument `begin` on. Whatever is neither MATCH nor COUNT is `other`'s: it takes its option and
/// what belongs to it, and says whether it was one.
pub(in crate::commands) fn asked<'a>(
    mut args: Args<'a>,
    begin: usize,
    mut other: impl FnMut(&mut Args<'a>) -> Result<bool, Refusal>,
) -> Result<Asked<'a>, Refusal> {
    let mut asked = Asked { pattern: None, count: COUNT_DEFAULT };
    args.seek(begin);
    while args.left() > 0 {
        if args.left() > 1 && args.word("MATCH") {
            asked.pattern = Some(args.required()?);
        } else if args.left() > 1 && args.word("COUNT") {
            let count = u64::try_from(args.integer()?).ok();
            asked.count = count.filter(|count| *count > 0).ok_or(Refusal::Syntax)?;
        } else if !other(&mut args)? {
            return Err(if args.word("NOVALUES") { NOVALUES_ELSEWHERE } else { Refusal::Syntax });
        }
    }
    Ok(asked)
}

/// What SCAN is asked, and the name of the type that keys must have.
fn options(args: Args<'_>) -> Result<(Asked<'_>, Option<&[u8]>), Refusal> {
    let mut type_name = None;
    let asked = asked(args, 2, |args| {
        let is_type = args.left() > 1 && args.word("TYPE");
        if is_type {
            type_name = Some(args.required()?);
        }
        Ok(is_type)
    })?;
    Ok((asked, type_name))
}

fn start(args: Args<'_>) -> Result<Walked, Refusal> {
    let cursor = cursor_of(args.get(1)).ok_or(Refusal::fixed("ERR invalid cursor"))?;
    let (asked, _) = options(args)?;
    let position = (cursor >> SHARD_BITS) << DROPPED_BITS;
    let left = asked.count.min(SCAN_VISITED_MAX);
    Ok(Walked {
        shard: (cursor & ((1 << SHARD_BITS) - 1)) as u16,
        position,
        from: position,
        left,
        budget: left * BUCKETS_PER_KEY,
        pattern: asked.pattern()?,
        ..Walked::default()
    })
}

/// Only hashes have values beside what is scanned.
const NOVALUES_ELSEWHERE: Refusal = Refusal::fixed("ERR NOVALUES option can only be used in HSCAN");

/// A cursor as C's `strtoul` reads it, which is what Redis does: nothing is 0, a sign may stand before
/// the digits, and a NUL ends them.
pub(in crate::commands) fn cursor_of(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    match text {
        [] => Some(0),
        [b'-', digits @ ..] => digits_of(digits).map(u64::wrapping_neg),
        [b'+', digits @ ..] => digits_of(digits),
        digits => digits_of(digits),
    }
}

fn digits_of(text: &[u8]) -> Option<u64> {
    // Rust's own parser would take a second sign.
    let plain = text.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// What one slice may cost, in bytes looked at and steps of matching: some 200 short keys, or 500 empty
/// buckets.
const SLICE_COST: u64 = 32 * 1024;

/// What a bucket and a key cost beside its bytes.
const COST_PER_VISIT: u64 = 64;

/// Walks over this shard until enough was visited, the keys were too long or hard to match for more, or
/// the shard ends; or a slice's worth of it. Expired keys are left out, not deleted: they may be open.
fn step(cx: &mut Cx<'_>, args: Args<'_>, walked: &mut Walked) -> Result<bool, Refusal> {
    let ((_, type_name), now) = (options(args)?, cx.now());
    let is_of_type = |item: &Item| {
        let name = item.kind().name.as_bytes();
        type_name.is_none_or(|asked| asked.eq_ignore_ascii_case(name))
    };
    let (mut slice, mut cost) = (0, 0);
    // A call that comes forward by less than its cursor tells would come back to where it began.
    while (walked.left > 0 && walked.budget > 0) || kept(walked.position) <= walked.from {
        if slice + cost >= SLICE_COST {
            walked.cost += cost;
            return Ok(true);
        }
        slice += COST_PER_VISIT;
        walked.budget = walked.budget.saturating_sub(1);
        let next = cx.keys.table(cx.db).walk(Cursor(walked.position), &mut |_, item: &Item| {
            walked.left = walked.left.saturating_sub(1);
            slice += COST_PER_VISIT;
            cost += item.key().len() as u64;
            let lives = item.deadline().is_none_or(|deadline| deadline > now);
            let asked = walked.pattern.as_deref();
            let fits = asked.is_none_or(|pattern| pattern.fits_counted(item.key(), &mut cost));
            if lives && fits && is_of_type(item) {
                cx.reply.bulk(item.key());
                walked.found += 1;
            }
        });
        if walked.cost + cost >= SCAN_COST_MAX {
            walked.left = 0;
        }
        match next {
            Some(next) => walked.position = next.0,
            None => {
                walked.next_shard();
                (walked.from, walked.cost) = (0, walked.cost + cost);
                return Ok(walked.left > 0);
            }
        }
    }
    Ok(false)
}

fn finish(walked: &Walked, shards: u16, reply: &mut ReplyWriter<'_>) {
    let position = walked.position >> DROPPED_BITS << SHARD_BITS;
    let cursor = if walked.shard < shards { position | u64::from(walked.shard) } else { 0 };
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor));
    reply.array(walked.found);
    reply.raw(&walked.bytes);
}

/// What a cursor keeps of a position.
fn kept(position: u64) -> u64 {
    position >> DROPPED_BITS << DROPPED_BITS
}

const _: () = assert!(crate::limits::SHARDS_MAX as u32 <= 1 << SHARD_BITS);
