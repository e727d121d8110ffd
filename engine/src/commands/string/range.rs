//! Strings by their bytes: length, parts, and writing parts.

use super::reply::reply_part;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::journal::Deadline;
use crate::limits::STRING_MAX;
use crate::value::string::{Effect, Written};
use crate::value::{Rope, Value};
use std::ops::Range;

pub(super) const STRLEN: Command = Command {
    name: "strlen",
    usage: "STRLEN key",
    summary: "Returns the length of the string at a key, 0 if there is none.",
    since: "2.2.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(strlen),
    examples: r#"
        > SET greeting "hello world"
        OK
        > STRLEN greeting
        (integer) 11
        > STRLEN nothing
        (integer) 0
    "#,
};

fn strlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let length = cx.keys.string(cx.db, args.get(1))?.map_or(0, Value::len);
    cx.reply.count(length);
    Ok(())
}

pub(super) const APPEND: Command = Command {
    name: "append",
    usage: "APPEND key value",
    summary: "Appends to the string at a key, creating it, and returns its new length.",
    since: "2.0.0",
    cost: "O(M) for M appended bytes, amortized",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::ADD),
    run: Run::Sliced(append),
    examples: r#"
        > APPEND greeting "hello"
        (integer) 5
        > APPEND greeting " world"
        (integer) 11
        > GET greeting
        "hello world"
    "#,
};

fn append(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let (key, (more, _)) = (args.get(1), args.beginning(2, 0));
    if let Some(bytes) = args.pieces(2)
        && let Some(length) = cx.keys.string_to_change(cx.db, key)?.map(Value::len)
    {
        let is_too_long = length + more > STRING_MAX;
        return if is_too_long { Err(Refusal::TooLong) } else { in_slices(key, None, bytes) };
    }
    let length = match cx.keys.string_to_change(cx.db, key)?.map(Value::len) {
        None => {
            // A first part may be a number, which is stored as one.
            cx.keys.put(cx.db, key, args.value(2), Deadline::None);
            more
        }
        Some(length) if length + more > STRING_MAX => return Err(Refusal::TooLong),
        // Nothing at all is a change like any other: whoever watches the key is told, as in Redis.
        Some(_) => cx.keys.change(cx.db, key, &Effect::Append(args.get(2))),
    };
    cx.reply.count(length);
    Ok(Whole::Done)
}

/// Writes so many bytes that it goes on in slices: it is made aside, and the value becomes it at the end.
fn in_slices(key: &[u8], offset: Option<u64>, bytes: &Rope) -> Result<Whole, Refusal> {
    let (key, bytes) = (key.to_vec(), bytes.clone());
    let mut writing: Option<Writing> = None;
    Ok(Whole::Later(Box::new(move |cx| {
        let before = cx.keys.string_to_change(cx.db, &key)?;
        let writing = match &mut writing {
            Some(writing) if writing.length == before.map(Value::len) => writing,
            // It begins; or the key's time has come meanwhile, and it begins anew with nothing.
            place => place.insert(Writing::of(before)),
        };
        let stretch = bytes.borrow().stretch(writing.done);
        let at = offset.map_or(writing.length.unwrap_or(0), |offset| offset as usize);
        writing.whole.write(at + writing.done, stretch);
        writing.done += stretch.len();
        if writing.done < bytes.len() {
            return Ok(false);
        }
        let written = Written { whole: writing.whole.clone(), offset, bytes: bytes.clone() };
        let length = cx.keys.change(cx.db, &key, &written);
        cx.reply.count(length);
        Ok(true)
    })))
}

/// Many bytes that are being written.
struct Writing {
    /// The value's length before, if there is one.
    length: Option<usize>,
    /// What it will be, with as many bytes written as `done` says.
    whole: Rope,
    done: usize,
}

impl Writing {
    fn of(before: Option<Value<'_>>) -> Writing {
        let whole = match before {
            None => Rope::of(b""),
            Some(Value::Rope(rope)) => rope.hold(),
            Some(value) => value.with_bytes(Rope::of),
        };
        Writing { length: before.map(Value::len), whole, done: 0 }
    }
}

pub(super) const GETRANGE: Command = Command {
    name: "getrange",
    usage: "GETRANGE key start end",
    summary: "Returns the bytes from start to end, both included; negative ones count from the end.",
    since: "2.4.0",
    cost: "O(N) for N returned bytes",
    group: Group::String,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    run: Run::Here(getrange),
    examples: r#"
        > SET greeting "hello world"
        OK
        > GETRANGE greeting 0 4
        "hello"
        > GETRANGE greeting -5 -1
        "world"
        > GETRANGE greeting 20 30
        ""
    "#,
};

pub(super) const SUBSTR: Command = Command {
    name: "substr",
    usage: "SUBSTR key start end",
    summary: "Returns the bytes from start to end. Use GETRANGE instead.",
    since: "1.0.0",
    cost: "O(N) for N returned bytes",
    group: Group::String,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    run: Run::Here(getrange),
    examples: r#"
        > SET greeting "hello world"
        OK
        > SUBSTR greeting 6 -1
        "world"
    "#,
};

fn getrange(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let (start, end) = (args.integer()?, args.integer()?);
    let Some(value) = cx.keys.string(cx.db, key)? else {
        cx.reply.bulk(b"");
        return Ok(());
    };
    reply_part(&mut cx.reply, value, part_of(value.len(), start, end));
    Ok(())
}

/// The bytes from `start` to `end`, both included and counted from the end where negative.
fn part_of(length: usize, start: i64, end: i64) -> Range<usize> {
    let length = length as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    // Both before the beginning would meet at 0; Redis looks at them first.
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let (start, end) = (from_front(start), from_front(end).min(length - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

pub(super) const SETRANGE: Command = Command {
    name: "setrange",
    usage: "SETRANGE key offset value",
    summary: "Overwrites the string at a key from offset on, zero-filling up to there.",
    since: "2.2.0",
    cost: "O(M) for M written bytes",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Sliced(setrange),
    examples: r#"
        > SET greeting "hello world"
        OK
        > SETRANGE greeting 6 redis
        (integer) 11
        > GET greeting
        "hello redis"
        > SETRANGE padded 3 x
        (integer) 4
        > GET padded
        "\x00\x00\x00x"
        > SETRANGE greeting -1 x
        (error) ERR offset is out of range
    "#,
};

fn setrange(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let offset = usize::try_from(args.integer()?).map_err(|_| Refusal::OffsetRange)?;
    if let Some(bytes) = args.pieces(3) {
        cx.keys.string_to_change(cx.db, key)?;
        let is_too_long = offset.saturating_add(bytes.len()) > STRING_MAX;
        let offset = Some(offset as u64);
        return if is_too_long { Err(Refusal::TooLong) } else { in_slices(key, offset, bytes) };
    }
    let bytes = args.required()?;
    let mut length = cx.keys.string_to_change(cx.db, key)?.map_or(0, Value::len);
    if !bytes.is_empty() {
        if offset.saturating_add(bytes.len()) > STRING_MAX {
            return Err(Refusal::TooLong);
        }
        let effect = Effect::SetRange { offset: offset as u64, bytes };
        length = cx.keys.change(cx.db, key, &effect);
    }
    cx.reply.count(length);
    Ok(Whole::Done)
}
