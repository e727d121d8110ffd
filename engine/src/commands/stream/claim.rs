//! Taking over what is pending with other consumers: XCLAIM, XAUTOCLAIM.
//!
//! First all is decided and noted, some entries at a time; then the reply is written.

use super::words::{interval_start, no_key_or_group, strict_id, write_entry, write_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::resp::number::parse_i64;
use crate::types::DbIndex;
use crate::value::stream::{Confirm, Deliver, Id, Pending, PutGroup, Stream};

pub(super) const XCLAIM: Command = Command {
    name: "xclaim",
    usage: "XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] \
            [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
    summary: "Makes entries that are pending with other consumers this one's, and returns them.",
    since: "5.0.0",
    cost: "O(N log(M)) with N numbers and M pending entries.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Sliced(xclaim),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XGROUP CREATE jobs team 0
        OK
        > XCLAIM jobs team ann 0 1-1 FORCE JUSTID
        1) "1-1"
        > XCLAIM jobs team bob 0 1-1 5-5
        1) 1) "1-1"
           2) 1) "do"
              2) "this"
        > XCLAIM jobs team ann 0 1-1 JUSTID
        1) "1-1"
        > XCLAIM jobs team ann 100000 1-1
        (empty array)
        > XCLAIM jobs other ann 0 1-1
        (error) NOGROUP No such key 'jobs' or consumer group 'other'
        > XCLAIM jobs team ann 0 1-1 NONSENSE
        (error) ERR Unrecognized XCLAIM option 'NONSENSE'
    "#,
};

pub(super) const XAUTOCLAIM: Command = Command {
    name: "xautoclaim",
    usage: "XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]",
    summary: "Makes entries that have been pending for long this consumer's, from a number on; returns where \
              to go on, the entries, and the numbers of those that are deleted.",
    since: "6.2.0",
    cost: "O(1) if COUNT is small.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(xautoclaim),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XADD jobs 1-2 do that
        "1-2"
        > XGROUP CREATE jobs team 0
        OK
        > XCLAIM jobs team ann 0 1-1 1-2 FORCE JUSTID
        1) "1-1"
        2) "1-2"
        > XDEL jobs 1-1
        (integer) 1
        > XAUTOCLAIM jobs team bob 0 0 COUNT 1
        1) "1-2"
        2) (empty array)
        3) 1) "1-1"
        > XAUTOCLAIM jobs team bob 0 0 JUSTID
        1) "0-0"
        2) 1) "1-2"
        3) (empty array)
        > XAUTOCLAIM jobs team bob 0 0 COUNT 0
        (error) ERR COUNT must be > 0
    "#,
};

/// Who takes what over, and how that is noted.
struct Claim {
    db: DbIndex,
    key: Vec<u8>,
    group: Vec<u8>,
    consumer: Vec<u8>,
    min_idle: i64,
    /// When it is said to have been delivered; now where that is not told.
    at: Option<i64>,
    times: Option<u64>,
    force: bool,
    just_ids: bool,
    /// The group has come so far at least.
    last: Id,
    claimed: Vec<Id>,
    deleted: Vec<Id>,
    /// Of the reply: how many are written.
    written: usize,
}

impl Claim {
    fn of(cx: &Cx<'_>, args: Args<'_>, min_idle: i64) -> Claim {
        Claim {
            db: cx.db,
            key: args.get(1).to_vec(),
            group: args.get(2).to_vec(),
            consumer: args.get(3).to_vec(),
            min_idle: min_idle.max(0),
            at: None,
            times: None,
            force: false,
            just_ids: false,
            last: Id::ZERO,
            claimed: Vec::new(),
            deleted: Vec::new(),
            written: 0,
        }
    }

    /// Takes over some entries: those that are asked for by their numbers, with what is pending of each.
    fn take(
        &mut self,
        cx: &mut Cx<'_>,
        some: impl Iterator<Item = (Id, Option<Pending>)>,
    ) -> Result<(), Refusal> {
        let now = cx.now().0 as i64;
        let at = self.at.filter(|at| (0..=now).contains(at)).unwrap_or(now);
        let stream: Option<&Stream> = cx.keys.object_to_change(self.db, &self.key)?;
        let found = stream.and_then(|stream| Some((stream, stream.group(&self.group)?)));
        let Some((stream, group)) = found else { return Ok(()) };
        let (mut entries, mut gone): (Vec<(Id, u64, u64)>, Vec<Id>) = (Vec::new(), Vec::new());
        for (id, pending) in some {
            // The same number may be asked for again.
            let own = entries.iter().rev().find(|(other, ..)| *other == id);
            let pending = match own {
                Some((id, at, times)) => {
                    let consumer = u32::MAX;
                    Some(Pending { id: *id, consumer, at: *at, times: *times })
                }
                None if gone.contains(&id) => None,
                None => pending,
            };
            if !stream.has(id) {
                if pending.is_some() {
                    gone.push(id);
                }
                continue;
            }
            let is_idle = |pending: &Pending| {
                self.min_idle == 0 || now.wrapping_sub(pending.at as i64) >= self.min_idle
            };
            let times = match pending {
                None if !self.force => continue,
                None => 1,
                Some(pending) if !is_idle(&pending) => continue,
                Some(pending) => pending.times,
            };
            let more = u64::from(!self.just_ids);
            let times = self.times.unwrap_or_else(|| times.wrapping_add(more));
            entries.retain(|(other, ..)| *other != id);
            entries.push((id, at as u64, times));
            self.claimed.push(id);
        }
        let there = group.consumer_named(&self.consumer);
        let (is_new, before) = (there.is_none(), there.map_or(-1, |it| it.active));
        let active = if entries.is_empty() { before } else { now };
        let last = group.last.max(self.last);
        let put = PutGroup { name: &self.group, last, read: group.read, is_new: false };
        let consumer = &self.consumer;
        let deliver = Deliver { group: put, consumer, is_new, seen: now, active, entries };
        cx.keys.change(self.db, &self.key, &deliver);
        if !gone.is_empty() {
            self.deleted.extend_from_slice(&gone);
            cx.keys.change(self.db, &self.key, &Confirm { group: &self.group, ids: gone });
        }
        Ok(())
    }

    /// Answers with some of what was claimed; whether that was the last.
    fn write(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let end = self.claimed.len().min(self.written + PIECE);
        let (some, db) = (&self.claimed[self.written..end], self.db);
        if self.just_ids {
            some.iter().for_each(|id| write_id(&mut cx.reply, *id));
        } else {
            let mut bytes = Vec::new();
            let mut reply = ReplyWriter::new(&mut bytes, cx.reply.protocol);
            if let Some(stream) = cx.keys.object_to_change::<Stream>(db, &self.key)? {
                for id in some {
                    stream.visit(*id, *id, |id, fields| {
                        write_entry(&mut reply, id, fields);
                        false
                    });
                }
            }
            cx.reply.raw(&bytes);
        }
        self.written = end;
        cx.hold_room().map(|()| end == self.claimed.len())
    }
}

/// Entries that are taken over, or answered with, at a time: some 100 us.
const PIECE: usize = 64;

fn integer(text: &[u8], refusal: &'static str) -> Result<i64, Refusal> {
    parse_i64(text).ok_or(Refusal::fixed(refusal))
}

fn xclaim(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let (key, name) = (args.get(1), args.get(2));
    let stream: Option<&Stream> = cx.keys.object(cx.db, key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_key_or_group(key, name));
    }
    let min_idle = integer(args.get(4), "ERR Invalid min-idle-time argument for XCLAIM")?;
    let mut claim = Claim::of(cx, args, min_idle);
    let ids: Vec<Id> = args.from(5).map_while(|text| strict_id(text).ok()).collect();
    args.seek(5 + ids.len());
    let now = cx.now().0 as i64;
    while args.left() > 0 {
        let has_more = args.left() > 1;
        if args.word("FORCE") {
            claim.force = true;
        } else if args.word("JUSTID") {
            claim.just_ids = true;
        } else if has_more && args.word("IDLE") {
            const BAD: &str = "ERR Invalid IDLE option argument for XCLAIM";
            claim.at = Some(now.wrapping_sub(integer(args.required()?, BAD)?));
        } else if has_more && args.word("TIME") {
            const BAD: &str = "ERR Invalid TIME option argument for XCLAIM";
            claim.at = Some(integer(args.required()?, BAD)?);
        } else if has_more && args.word("RETRYCOUNT") {
            const BAD: &str = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
            claim.times = u64::try_from(integer(args.required()?, BAD)?).ok();
        } else if has_more && args.word("LASTID") {
            claim.last = strict_id(args.required()?)?;
        } else {
            let option = args.required()?;
            return Err(Refusal::quoting("ERR Unrecognized XCLAIM option '", option, "'"));
        }
    }
    let is_short = ids.len() <= PIECE;
    let (mut ids, mut is_taken) = (ids.into_iter(), false);
    let slices = move |cx: &mut Cx<'_>| {
        if is_taken {
            return claim.write(cx);
        }
        let stream: Option<&Stream> = cx.keys.object_to_change(claim.db, &claim.key)?;
        let group = stream.and_then(|stream| stream.group(&claim.group));
        let pending = |id: Id| (id, group.and_then(|group| group.pending(id)));
        let some: Vec<_> = ids.by_ref().take(PIECE).map(pending).collect();
        claim.take(cx, some.into_iter())?;
        if ids.len() == 0 {
            is_taken = true;
            cx.reply.array(claim.claimed.len());
        }
        Ok(false)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

fn xautoclaim(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    /// What Redis's arithmetic holds.
    const COUNT_MAX: i64 = i64::MAX / 16;
    let (key, name) = (args.get(1), args.get(2));
    let min_idle = integer(args.get(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = interval_start(args.get(5))?;
    let mut claim = Claim::of(cx, args, min_idle);
    let mut count = 100;
    args.seek(6);
    while args.left() > 0 {
        if args.left() > 1 && args.word("COUNT") {
            count = parse_i64(args.required()?)
                .filter(|count| (1..=COUNT_MAX).contains(count))
                .ok_or(Refusal::fixed("ERR COUNT must be > 0"))?;
        } else if args.word("JUSTID") {
            claim.just_ids = true;
        } else {
            return Err(Refusal::Syntax);
        }
    }
    let stream: Option<&Stream> = cx.keys.object(cx.db, key)?;
    if stream.is_none_or(|stream| stream.group(name).is_none()) {
        return Err(no_key_or_group(key, name));
    }
    let mut search = Search { next: Some(start), attempts: count * 10, count };
    let is_short = count <= PIECE as i64;
    let mut is_taken = false;
    let slices = move |cx: &mut Cx<'_>| {
        if !is_taken {
            let some = search.some(cx, &claim)?;
            claim.take(cx, some.into_iter())?;
            if search.is_going_on() {
                return Ok(false);
            }
            is_taken = true;
            cx.reply.array(3);
            let end = search.end(cx, &claim)?;
            write_id(&mut cx.reply, end);
            cx.reply.array(claim.claimed.len());
            return Ok(false);
        }
        let is_done = claim.write(cx)?;
        if is_done {
            cx.reply.array(claim.deleted.len());
            claim.deleted.iter().for_each(|id| write_id(&mut cx.reply, *id));
        }
        Ok(is_done)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

/// A search for entries that have been pending for long.
struct Search {
    /// Where it goes on; nowhere at the end.
    next: Option<Id>,
    /// Entries that are looked at, and that are found, at the most.
    attempts: i64,
    count: i64,
}

impl Search {
    fn is_going_on(&self) -> bool {
        self.next.is_some() && self.attempts > 0 && self.count > 0
    }

    /// Looks at some; those that are to be taken over, or are deleted.
    fn some(
        &mut self,
        cx: &mut Cx<'_>,
        claim: &Claim,
    ) -> Result<Vec<(Id, Option<Pending>)>, Refusal> {
        let now = cx.now().0 as i64;
        let mut some = Vec::new();
        let stream: Option<&Stream> = cx.keys.object_to_change(claim.db, &claim.key)?;
        let found = stream.and_then(|stream| Some((stream, stream.group(&claim.group)?)));
        let (Some((stream, group)), Some(from)) = (found, self.next.take()) else {
            return Ok(some);
        };
        let mut last = None;
        let mut seen = 0;
        for pending in group.pending_from(from) {
            if seen == PIECE || self.attempts <= 0 || self.count <= 0 {
                break;
            }
            seen += 1;
            self.attempts -= 1;
            last = Some(pending.id);
            let is_idle =
                claim.min_idle == 0 || now.wrapping_sub(pending.at as i64) >= claim.min_idle;
            if is_idle || !stream.has(pending.id) {
                self.count -= 1;
                some.push((pending.id, Some(pending)));
            }
        }
        // Nothing more: the end of what is pending.
        let is_stopped = seen == PIECE || self.attempts <= 0 || self.count <= 0;
        self.next = if is_stopped { last.and_then(Id::after) } else { None };
        Ok(some)
    }

    /// Where another XAUTOCLAIM is to go on.
    fn end(&self, cx: &mut Cx<'_>, claim: &Claim) -> Result<Id, Refusal> {
        let stream: Option<&Stream> = cx.keys.object_to_change(claim.db, &claim.key)?;
        let group = stream.and_then(|stream| stream.group(&claim.group));
        let next = self.next.and_then(|next| group?.pending_from(next).next());
        Ok(next.map_or(Id::ZERO, |pending| pending.id))
    }
}
