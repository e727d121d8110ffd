//! Integers of any width inside strings: BITFIELD and its reading half.
//!
//! A request is read twice: first for its mistakes and for how far it reaches, then to be performed.
//! Every operation that writes tells the few bytes that it changed.

use super::bit::BITS_MAX;
use super::integer::{IntegerType, Overflow, WINDOW};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::db::Keyspace;
use crate::resp::number::parse_i64;
use crate::types::DbIndex;
use crate::value::Value;
use crate::value::string::Effect;

pub(super) const BITFIELD: Command = Command {
    name: "bitfield",
    usage: "BITFIELD key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
            <SET encoding offset value | INCRBY encoding offset increment> ...]",
    summary: "Reads, sets and adds to integers of any width inside a string.",
    since: "3.2.0",
    cost: "O(1) for each operation",
    group: Group::Bitmap,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used_as_asked(
        Uses::READ_CHANGE,
        uses_of_bitfield,
        "This command allows both access and modification of the key",
    ),
    run: Run::Here(bitfield),
    examples: r#"
        > BITFIELD counts INCRBY u8 0 250 GET u4 0
        1) (integer) 250
        2) (integer) 15
        > BITFIELD counts OVERFLOW SAT INCRBY u8 #0 10 OVERFLOW FAIL INCRBY u8 #0 1
        1) (integer) 255
        2) (nil)
        > BITFIELD counts SET i8 #1 -1
        1) (integer) 0
        > BITFIELD counts GET u64 0
        (error) ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
    "#,
};

pub(super) const BITFIELD_RO: Command = Command {
    name: "bitfield_ro",
    usage: "BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]",
    summary: "Reads integers of any width inside a string.",
    since: "6.0.0",
    cost: "O(1) for each operation",
    group: Group::Bitmap,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE,
    run: Run::Here(bitfield_ro),
    examples: r#"
        > SET letters ab
        OK
        > BITFIELD_RO letters GET u8 0 GET u8 #1
        1) (integer) 97
        2) (integer) 98
        > BITFIELD_RO letters SET u8 0 1
        (error) ERR BITFIELD_RO only supports the GET subcommand
    "#,
};

/// A request that only GETs looks only. As in Redis the words alone decide, and numbers that cannot be read
/// do not matter.
fn uses_of_bitfield(args: &Args<'_>) -> Uses {
    let mut args = *args;
    args.seek(2);
    while args.left() > 0 {
        let operands = if args.left() > 2 && args.word("GET") {
            2
        } else if args.left() > 1 && args.word("OVERFLOW") {
            1
        } else {
            return Uses::READ_CHANGE;
        };
        args.seek(args.len() - args.left() + operands);
    }
    Uses::READ
}

/// What is done with one integer.
#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    action: Action,
    integer: IntegerType,
    offset: u64,
    overflow: Overflow,
}

impl Operation {
    /// One more than the index of the last byte that it touches.
    fn end(self) -> usize {
        (self.offset + u64::from(self.integer.bits)).div_ceil(8) as usize
    }
}

/// Reads operations one after the other; what OVERFLOW says holds until it says something else.
struct Operations<'a> {
    args: Args<'a>,
    overflow: Overflow,
}

impl<'a> Operations<'a> {
    fn of(args: Args<'a>) -> Operations<'a> {
        let mut args = args;
        args.seek(2);
        Operations { args, overflow: Overflow::Wrap }
    }

    fn next(&mut self) -> Result<Option<Operation>, Refusal> {
        while self.args.word("OVERFLOW") {
            self.overflow = self.parse_overflow()?;
        }
        if self.args.left() == 0 {
            return Ok(None);
        }
        let (action, arguments): (fn(i64) -> Action, usize) = if self.args.word("GET") {
            (|_| Action::Get, 2)
        } else if self.args.word("SET") {
            (Action::Set, 3)
        } else if self.args.word("INCRBY") {
            (Action::Add, 3)
        } else {
            return Err(Refusal::Syntax);
        };
        if self.args.left() < arguments {
            return Err(Refusal::Syntax);
        }
        let integer = IntegerType::parse(self.args.required()?).ok_or(INVALID_TYPE)?;
        let offset = offset_of(self.args.required()?, integer).ok_or(Refusal::BitOffset)?;
        let number = if arguments == 3 { self.args.integer()? } else { 0 };
        Ok(Some(Operation { action: action(number), integer, offset, overflow: self.overflow }))
    }

    fn parse_overflow(&mut self) -> Result<Overflow, Refusal> {
        let word = self.args.required()?;
        for (name, overflow) in
            [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)]
        {
            if word.eq_ignore_ascii_case(name.as_bytes()) {
                return Ok(overflow);
            }
        }
        Err(Refusal::fixed("ERR Invalid OVERFLOW type specified"))
    }
}

const INVALID_TYPE: Refusal = Refusal::fixed(
    "ERR Invalid bitfield type. Use something like i16 u8. \
     Note that u64 is not supported but i64 is.",
);

/// The offset in bits; `#n` stands for n times the type's width.
///
/// The whole integer must lie within the longest string. Redis looks only at the first bit, and lets a
/// string grow a few bytes beyond its own limit, which replicas here would rightly refuse.
fn offset_of(text: &[u8], integer: IntegerType) -> Option<u64> {
    let (text, scale) = match text {
        [b'#', text @ ..] => (text, u64::from(integer.bits)),
        text => (text, 1),
    };
    let offset = u64::try_from(parse_i64(text)?).ok()?.checked_mul(scale)?;
    (offset < BITS_MAX && offset + u64::from(integer.bits) <= BITS_MAX).then_some(offset)
}

fn bitfield(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    run(cx, args, false)
}

fn bitfield_ro(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    run(cx, args, true)
}

fn run(cx: &mut Cx<'_>, args: Args<'_>, only_reads: bool) -> Outcome {
    let key = args.get(1);
    let (mut count, mut reach) = (0, None);
    let mut operations = Operations::of(args);
    while let Some(operation) = operations.next()? {
        count += 1;
        if !matches!(operation.action, Action::Get) {
            reach = reach.max(Some(operation.end()));
        }
    }
    if reach.is_some() && only_reads {
        return Err(Refusal::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    if reach.is_none() {
        // Only a request that does not write counts as a read.
        cx.keys.string(cx.db, key)?;
    }
    cx.reply.array(count);
    let (mut operations, mut has_written) = (Operations::of(args), false);
    while let Some(operation) = operations.next()? {
        let number = perform(cx, key, operation)?;
        has_written |= number.is_some() && !matches!(operation.action, Action::Get);
        match number {
            Some(number) => cx.reply.integer(number),
            None => cx.reply.nil(),
        }
    }
    match reach {
        Some(reach) if has_written => grow(cx.keys, cx.db, key, reach),
        // All that was to be written failed: the room is made all the same, but it is no event.
        Some(reach) => cx.keys.unsaid(|keys| grow(keys, cx.db, key, reach)),
        None => Ok(()),
    }
}

/// Does one operation; `None` where it failed because of an overflow.
fn perform(cx: &mut Cx<'_>, key: &[u8], operation: Operation) -> Result<Option<i64>, Refusal> {
    let Operation { action, integer, offset, overflow } = operation;
    let (at, shift) = ((offset / 8) as usize, (offset % 8) as u32);
    let (window, length) = match cx.keys.string_to_change(cx.db, key)? {
        Some(value) => (window_of(value, at), value.len()),
        None => ([0; WINDOW], 0),
    };
    let old = integer.read(window, shift);
    let (wanted, is_set) = match action {
        Action::Get => return Ok(Some(old)),
        Action::Set(number) => (integer.of_argument(number, overflow), true),
        Action::Add(increment) => (i128::from(old) + i128::from(increment), false),
    };
    let Some(new) = integer.fit(wanted, overflow) else { return Ok(None) };
    let mut changed = window;
    integer.write(&mut changed, shift, new);
    if changed != window || operation.end() > length {
        let bytes = &changed[..integer.touches(shift)];
        cx.keys.change(cx.db, key, &Effect::SetRange { offset: at as u64, bytes });
    }
    Ok(Some(if is_set { old } else { new }))
}

/// The bytes from `at` on, continued with zeros.
fn window_of(value: Value<'_>, at: usize) -> [u8; WINDOW] {
    let (mut window, mut filled) = ([0; WINDOW], 0);
    value.with_stretches(at..at + WINDOW, |part| {
        window[filled..filled + part.len()].copy_from_slice(part);
        filled += part.len();
    });
    window
}

/// As in Redis, a request that may write makes room for all that it names, also for what then fails.
fn grow(keys: &mut Keyspace, db: DbIndex, key: &[u8], reach: usize) -> Outcome {
    let length = keys.string_to_change(db, key)?.map_or(0, Value::len);
    if length < reach {
        let offset = reach as u64 - 1;
        keys.change(db, key, &Effect::SetRange { offset, bytes: &[0] });
    }
    Ok(())
}
