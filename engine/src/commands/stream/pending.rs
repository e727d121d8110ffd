//! What was delivered and not confirmed: XACK, XPENDING.

use super::words::{ids_from, interval_end, interval_start, no_key_or_group, write_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::resp::number::parse_i64;
use crate::value::stream::{Confirm, Id, Pending, Stream};
use crate::value::{Item, stream};

pub(super) const XACK: Command = Command {
    name: "xack",
    usage: "XACK key group id [id ...]",
    summary: "Confirms entries that were delivered to a group; returns how many were pending.",
    since: "5.0.0",
    cost: "O(N) with N numbers.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Sliced(xack),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XGROUP CREATE jobs team 0
        OK
        > XCLAIM jobs team ann 0 1-1 FORCE JUSTID
        1) "1-1"
        > XACK jobs team 1-1 5-5
        (integer) 1
        > XACK jobs other 1-1
        (integer) 0
    "#,
};

fn xack(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    /// Numbers that are looked for at once: some 100 us.
    const FEW: usize = 64;
    let (db, key, name) = (cx.db, args.get(1), args.get(2));
    let stream: Option<&Stream> = cx.keys.object(db, key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    }
    let ids = ids_from(args, 3)?;
    let (key, name, is_short) = (key.to_vec(), name.to_vec(), ids.len() <= FEW);
    let (mut ids, mut confirmed) = (ids.into_iter(), 0);
    let slices = move |cx: &mut Cx<'_>| {
        let some = ids.by_ref().take(FEW).collect::<Vec<Id>>().into_iter();
        let stream: Option<&Stream> = cx.keys.object_to_change(db, &key)?;
        if let Some(group) = stream.and_then(|stream| stream.group(&name)) {
            let mut there: Vec<Id> = some.filter(|id| group.pending(*id).is_some()).collect();
            there.sort_unstable();
            there.dedup();
            if !there.is_empty() {
                confirmed += cx.keys.change(db, &key, &Confirm { group: &name, ids: there });
            }
        }
        let is_done = ids.len() == 0;
        if is_done {
            cx.reply.count(confirmed);
        }
        Ok(is_done)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

pub(super) const XPENDING: Command = Command {
    name: "xpending",
    usage: "XPENDING key group [[IDLE min-idle-time] start end count [consumer]]",
    summary: "Returns how many entries are pending in a group and with whom; or which they are, since when \
              and how often they were delivered.",
    since: "5.0.0",
    cost: "O(N) with N returned or passed entries.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(xpending),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XGROUP CREATE jobs team 0
        OK
        > XCLAIM jobs team ann 0 1-1 FORCE JUSTID
        1) "1-1"
        > XPENDING jobs team
        1) (integer) 1
        2) "1-1"
        3) "1-1"
        4) 1) 1) "ann"
              2) "1"
        > XPENDING jobs team IDLE 100000 - + 10 ann
        (empty array)
        > XPENDING jobs other
        (error) NOGROUP No such key 'jobs' or consumer group 'other'
        > XPENDING jobs team - +
        (error) ERR syntax error
    "#,
};

/// Which pending entries are asked for.
struct Asked {
    idle: i64,
    from: Id,
    to: Id,
    count: u64,
    consumer: Option<Vec<u8>>,
}

impl Asked {
    fn parse(args: Args<'_>) -> Result<Option<Asked>, Refusal> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(Refusal::Syntax);
        }
        let integer = |index| parse_i64(args.get(index)).ok_or(Refusal::NotInteger);
        let (mut idle, mut at) = (0, 3);
        if args.get(3).eq_ignore_ascii_case(b"IDLE") {
            idle = integer(4)?;
            if args.len() < 8 {
                return Err(Refusal::Syntax);
            }
            at = 5;
        }
        let count = integer(at + 2)?.max(0) as u64;
        let (from, to) = (interval_start(args.get(at))?, interval_end(args.get(at + 1))?);
        let consumer = (at + 3 < args.len()).then(|| args.get(at + 3).to_vec());
        Ok(Some(Asked { idle, from, to, count, consumer }))
    }
}

fn xpending(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let asked = Asked::parse(args)?;
    let (key, name) = (args.get(1), args.get(2));
    let stream: Option<&Stream> = cx.keys.object(cx.db, key)?;
    let Some(group) = stream.and_then(|stream| stream.group(name)) else {
        return Err(no_key_or_group(key, name));
    };
    let Some(asked) = asked else {
        // Held as it is now: that is a few references.
        let group = group.clone();
        return summary(cx, group);
    };
    let there = match &asked.consumer {
        None => group.pending_count(),
        Some(consumer) => match group.consumer_named(consumer) {
            Some(consumer) => consumer.pending_count(),
            None => {
                cx.reply.array(0);
                return Ok(Whole::Done);
            }
        },
    };
    let is_short = there <= PIECE as u64 || asked.idle <= 0 && asked.count <= PIECE as u64;
    let Some(shared) = cx.keys.peek(cx.db, key).map(Item::share) else {
        return Err(no_key_or_group(key, name));
    };
    let (name, mut found) = (name.to_vec(), Vec::new());
    let (mut from, mut written) = (Some(asked.from), 0);
    let slices = move |cx: &mut Cx<'_>| {
        let stream = shared.object::<Stream>();
        let Some(group) = stream.and_then(|stream| stream.group(&name)) else { return Ok(true) };
        let now = cx.now().0 as i64;
        if let Some(start) = from {
            from = look(group, &asked, start, now, &mut found);
            if from.is_some() {
                return Ok(false);
            }
            cx.reply.array(found.len());
        }
        let end = found.len().min(written + PIECE);
        for pending in &found[written..end] {
            write(&mut cx.reply, group, pending, now);
        }
        written = end;
        cx.hold_room().map(|()| written == found.len())
    };
    Whole::of(Box::new(slices), is_short, cx)
}

/// Pending entries that are looked at, or answered with, at a time: some 30 us.
const PIECE: usize = 256;

/// Looks at some; where the others begin.
fn look(
    group: &stream::Group,
    asked: &Asked,
    from: Id,
    now: i64,
    found: &mut Vec<Pending>,
) -> Option<Id> {
    let mut last = None;
    let mut see = |pending: Pending| {
        last = Some(pending.id);
        let is_asked = asked.idle == 0 || now.wrapping_sub(pending.at as i64) >= asked.idle;
        if is_asked && (found.len() as u64) < asked.count {
            found.push(pending);
        }
        (found.len() as u64) < asked.count
    };
    if asked.count == 0 {
        return None;
    }
    let goes_on = match &asked.consumer {
        None => {
            let some = group.pending_from(from).take_while(|pending| pending.id <= asked.to);
            some.take(PIECE).all(&mut see)
        }
        Some(consumer) => {
            let consumer = group.consumer_named(consumer)?;
            let some = consumer.pending_from(from).take_while(|id| *id <= asked.to);
            some.take(PIECE).filter_map(|id| group.pending(id)).all(&mut see)
        }
    };
    if goes_on { last?.after() } else { None }
}

fn write(reply: &mut ReplyWriter<'_>, group: &stream::Group, pending: &Pending, now: i64) {
    reply.array(4);
    write_id(reply, pending.id);
    reply.bulk(&*group.name_of(pending.consumer).unwrap_or_default());
    reply.integer(now.wrapping_sub(pending.at as i64).max(0));
    reply.integer(pending.times as i64);
}

/// How many entries are pending, from which to which, and how many with whom.
fn summary(cx: &mut Cx<'_>, group: stream::Group) -> Result<Whole, Refusal> {
    let (mut place, mut found, mut bytes) = (0, 0, Vec::new());
    let is_short = group.consumer_count() <= PIECE;
    let slices = move |cx: &mut Cx<'_>| {
        let mut with = ReplyWriter::new(&mut bytes, cx.reply.protocol);
        for consumer in group.consumers_from(place).take(PIECE) {
            place += 1;
            let pending = consumer.pending_count();
            if pending > 0 {
                found += 1;
                with.array(2);
                with.bulk(consumer.name());
                with.bulk_integer(pending as i64);
            }
        }
        if place < group.consumer_count() as u64 {
            return Ok(false);
        }
        let first = group.pending_from(Id::ZERO).next().map(|pending| pending.id);
        cx.reply.array(4);
        cx.reply.count(group.pending_count() as usize);
        match (first, group.pending_last()) {
            (Some(first), Some(last)) => {
                write_id(&mut cx.reply, first);
                write_id(&mut cx.reply, last);
                cx.reply.array(found);
                cx.reply.raw(&bytes);
            }
            _ => {
                cx.reply.nil();
                cx.reply.nil();
                cx.reply.nil_array();
            }
        }
        Ok(true)
    };
    Whole::of(Box::new(slices), is_short, cx)
}
