//! Reading entries: XLEN, XRANGE, XREVRANGE.

use super::walk::{Range, Walk};
use super::words::{interval_end, interval_start};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::Item;
use crate::value::stream::Stream;

pub(super) const XLEN: Command = Command {
    name: "xlen",
    usage: "XLEN key",
    summary: "Returns the number of entries.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(xlen),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 1-2 t 21
        "1-2"
        > XLEN sensor
        (integer) 2
        > XLEN nothing
        (integer) 0
    "#,
};

fn xlen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let stream: Option<&Stream> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.count(stream.map_or(0, Stream::len) as usize);
    Ok(())
}

pub(super) const XRANGE: Command = Command {
    name: "xrange",
    usage: "XRANGE key start end [COUNT count]",
    summary: "Returns the entries from one number to another, `(` before a number leaving it out.",
    since: "5.0.0",
    cost: "O(log(N)+M) with N entries of which M are returned.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(xrange),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 2-1 t 21 place roof
        "2-1"
        > XRANGE sensor - +
        1) 1) "1-1"
           2) 1) "t"
              2) "20"
        2) 1) "2-1"
           2) 1) "t"
              2) "21"
              3) "place"
              4) "roof"
        > XRANGE sensor (1-1 + COUNT 5
        1) 1) "2-1"
           2) 1) "t"
              2) "21"
              3) "place"
              4) "roof"
        > XRANGE sensor 3 +
        (empty array)
        > XRANGE nothing - +
        (empty array)
        > XRANGE sensor x +
        (error) ERR Invalid stream ID specified as stream command argument
        > XRANGE sensor (18446744073709551615-18446744073709551615 +
        (error) ERR invalid start ID for the interval
        > XRANGE sensor - + COUNT
        (error) ERR syntax error
    "#,
};

pub(super) const XREVRANGE: Command = Command {
    name: "xrevrange",
    usage: "XREVRANGE key end start [COUNT count]",
    summary: "Returns the entries from one number back to another.",
    since: "5.0.0",
    cost: "O(log(N)+M) with N entries of which M are returned.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(xrevrange),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 2-1 t 21
        "2-1"
        > XREVRANGE sensor + - COUNT 1
        1) 1) "2-1"
           2) 1) "t"
              2) "21"
        > XREVRANGE sensor (2-1 -
        1) 1) "1-1"
           2) 1) "t"
              2) "20"
    "#,
};

fn xrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    range(cx, args, false)
}

fn xrevrange(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    range(cx, args, true)
}

fn range(cx: &mut Cx<'_>, mut args: Args<'_>, is_back: bool) -> Result<Whole, Refusal> {
    let (start, end) = if is_back { (3, 2) } else { (2, 3) };
    let (from, to) = (interval_start(args.get(start))?, interval_end(args.get(end))?);
    let mut count = None;
    args.seek(4);
    while args.left() > 0 {
        if args.left() < 2 || !args.word("COUNT") {
            return Err(Refusal::Syntax);
        }
        count = Some(args.integer()?.max(0) as u64);
    }
    let range = Range { from, to, most: count.unwrap_or(0), is_back };
    let stream: Option<&Stream> = cx.keys.object(cx.db, args.get(1))?;
    match stream {
        None => cx.reply.array(0),
        Some(_) if count == Some(0) => cx.reply.nil_array(),
        Some(stream) if range.is_short(stream) => {
            range.write(stream, &mut cx.reply, |_| ());
        }
        Some(_) => {
            let Some(shared) = cx.keys.peek(cx.db, args.get(1)).map(Item::share) else {
                return Err(Refusal::NoSuchKey);
            };
            let mut walk = Walk::of(shared, range);
            return Ok(Whole::Later(Box::new(move |cx| {
                let is_done = walk.more(&mut cx.reply, |_| ());
                cx.hold_room().map(|()| is_done)
            })));
        }
    }
    Ok(Whole::Done)
}
