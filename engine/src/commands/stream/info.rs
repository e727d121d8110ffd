//! What a stream is like: XINFO.

use super::group::{container, help_of};
use super::walk::{Range, Walk};
use super::words::{bad_subcommand, no_group, write_entry, write_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::value::stream::{Consumer, Id, Stream};
use crate::value::{Item, SharedValue, stream};
use std::collections::VecDeque;

pub(super) const XINFO: Command = Command {
    name: "xinfo",
    usage: "XINFO <subcommand> [argument ...]",
    summary: "Says what streams, groups and consumers are like.",
    since: "5.0.0",
    cost: "Depends on the subcommand.",
    group: Group::Stream,
    flags: Flags::empty(),
    keys: Keys::NONE,
    run: Run::Here(container),
    examples: "",
};

pub(super) const CONSUMERS: Command = Command {
    name: "xinfo|consumers",
    usage: "XINFO CONSUMERS key group",
    summary: "Returns the consumers of a group: what is pending with each, and since when it did nothing.",
    since: "5.0.0",
    cost: "O(N) with N consumers.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::READ),
    run: Run::Sliced(consumers),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XINFO CONSUMERS jobs team
        (empty array)
        > XINFO CONSUMERS jobs other
        (error) NOGROUP No such consumer group 'other' for key name 'jobs'
        > XINFO CONSUMERS nothing team
        (error) ERR no such key
    "#,
};

/// The stream that must be there.
fn stream_of<'a>(cx: &'a mut Cx<'_>, args: Args<'_>) -> Result<&'a Stream, Refusal> {
    cx.keys.object(cx.db, args.get(2))?.ok_or(Refusal::NoSuchKey)
}

fn consumers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let stream = stream_of(cx, args)?;
    let name = args.get(3);
    // Held as it is now: that is a few references.
    let group = stream.group(name).ok_or_else(|| no_group(args.get(2), name))?.clone();
    let (now, mut place) = (cx.now().0 as i64, 0);
    let is_short = group.consumer_count() <= PIECE as usize;
    let slices = move |cx: &mut Cx<'_>| {
        if place == 0 {
            cx.reply.array(group.consumer_count());
        }
        for consumer in group.consumers_from(place).take(PIECE as usize) {
            place += 1;
            short_facts(&mut cx.reply, &consumer, now);
        }
        cx.hold_room().map(|()| place >= group.consumer_count() as u64)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

fn short_facts(reply: &mut ReplyWriter<'_>, consumer: &Consumer<'_>, now: i64) {
    reply.map(4);
    reply.bulk("name");
    reply.bulk(consumer.name());
    number(reply, "pending", consumer.pending_count() as i64);
    number(reply, "idle", now.wrapping_sub(consumer.seen).max(0));
    let inactive = match consumer.active {
        -1 => -1,
        active => now.wrapping_sub(active),
    };
    number(reply, "inactive", inactive);
}

fn number(reply: &mut ReplyWriter<'_>, name: &str, number: i64) {
    reply.bulk(name);
    reply.integer(number);
}

fn number_or_nil(reply: &mut ReplyWriter<'_>, name: &str, number: Option<i64>) {
    reply.bulk(name);
    match number {
        Some(number) => reply.integer(number),
        None => reply.nil(),
    }
}

fn id(reply: &mut ReplyWriter<'_>, name: &str, id: Id) {
    reply.bulk(name);
    write_id(reply, id);
}

pub(super) const GROUPS: Command = Command {
    name: "xinfo|groups",
    usage: "XINFO GROUPS key",
    summary: "Returns the groups of a stream: how far each has come, what is pending, what is to come.",
    since: "5.0.0",
    cost: "O(N) with N groups.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::READ),
    run: Run::Sliced(groups),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XINFO GROUPS jobs
        (empty array)
        > XINFO GROUPS nothing
        (error) ERR no such key
    "#,
};

fn groups(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let is_short = stream_of(cx, args)?.group_count() <= PIECE as usize;
    let shared = cx.keys.peek(cx.db, args.get(2)).map(Item::share).ok_or(Refusal::NoSuchKey)?;
    let mut last: Option<Vec<u8>> = None;
    let slices = move |cx: &mut Cx<'_>| {
        let Some(stream) = shared.object::<Stream>() else { return Err(Refusal::WrongType) };
        if last.is_none() {
            cx.reply.array(stream.group_count());
        }
        let (mut count, mut behind) = (0, None);
        for (name, group) in stream.groups_behind(last.as_deref()).take(PIECE as usize) {
            group_facts(&mut cx.reply, stream, name, group);
            (count, behind) = (count + 1, Some(name));
        }
        last = behind.map(<[u8]>::to_vec);
        cx.hold_room().map(|()| count < PIECE)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

fn group_facts(reply: &mut ReplyWriter<'_>, stream: &Stream, name: &[u8], group: &stream::Group) {
    reply.map(6);
    reply.bulk("name");
    reply.bulk(name);
    number(reply, "consumers", group.consumer_count() as i64);
    number(reply, "pending", group.pending_count() as i64);
    progress(reply, stream, group);
}

/// How far a group has come.
fn progress(reply: &mut ReplyWriter<'_>, stream: &Stream, group: &stream::Group) {
    id(reply, "last-delivered-id", group.last);
    number_or_nil(reply, "entries-read", Some(group.read).filter(|read| *read != -1));
    number_or_nil(reply, "lag", stream.lag(group));
}

pub(super) const STREAM: Command = Command {
    name: "xinfo|stream",
    usage: "XINFO STREAM key [FULL [COUNT count]]",
    summary: "Returns what a stream knows of itself, with its first and last entry; FULL with entries, groups \
              and what is pending, ten of each unless COUNT says otherwise.",
    since: "5.0.0",
    cost: "O(1), with FULL O(N) with N returned entries.",
    group: Group::Stream,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::READ),
    run: Run::Sliced(stream_info),
    examples: r#"
        > XINFO STREAM nothing
        (error) ERR no such key
        > XADD jobs 1-1 do this
        "1-1"
        > XINFO STREAM jobs LONG
        (error) ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.
    "#,
};

fn stream_info(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    stream_of(cx, args)?;
    let count = match args.len() {
        3 => None,
        4 | 6 if args.get(3).eq_ignore_ascii_case(b"FULL") => {
            let mut count = 10;
            if args.len() == 6 {
                if !args.get(4).eq_ignore_ascii_case(b"COUNT") {
                    return Err(bad_subcommand(args, "XINFO"));
                }
                let mut args = args;
                args.seek(5);
                count = u64::try_from(args.integer()?).unwrap_or(count);
            }
            Some(count)
        }
        _ => return Err(bad_subcommand(args, "XINFO")),
    };
    let shared = cx.keys.peek(cx.db, args.get(2)).map(Item::share);
    let shared = shared.ok_or(Refusal::NoSuchKey)?;
    let Some(stream) = shared.object::<Stream>() else { return Err(Refusal::WrongType) };
    let Some(count) = count else {
        short_info(&mut cx.reply, stream);
        return Ok(Whole::Done);
    };
    let consumers: usize = stream.groups().take(5).map(|(_, it)| it.consumer_count()).sum();
    let is_few = stream.group_count() <= 4 && consumers <= 16;
    let is_short = (1..=10).contains(&count) && is_few;
    let parts = parts_of(&shared, count);
    let mut full = Full { shared, count, parts };
    Whole::of(Box::new(move |cx| full.more(cx)), is_short, cx)
}

/// What the short form and the full one begin with.
fn facts(reply: &mut ReplyWriter<'_>, stream: &Stream) {
    number(reply, "length", stream.len() as i64);
    let packs = stream.pack_count() as i64;
    number(reply, "radix-tree-keys", packs);
    // A leaf for each, and the nodes above: a tree of Redis's has a few more or less.
    number(reply, "radix-tree-nodes", packs + 1);
    id(reply, "last-generated-id", stream.last_id());
    id(reply, "max-deleted-entry-id", stream.max_deleted());
    number(reply, "entries-added", stream.added() as i64);
    id(reply, "recorded-first-entry-id", stream.first());
}

fn short_info(reply: &mut ReplyWriter<'_>, stream: &Stream) {
    reply.map(10);
    facts(reply, stream);
    number(reply, "groups", stream.group_count() as i64);
    for (name, edge) in [("first-entry", stream.first()), ("last-entry", stream.top())] {
        reply.bulk(name);
        if stream.is_empty() {
            reply.nil();
        }
        stream.visit(edge, edge, |id, fields| {
            write_entry(reply, id, fields);
            false
        });
    }
}

/// The full form, part by part.
struct Full {
    shared: SharedValue,
    /// Entries of each kind; 0 is all.
    count: u64,
    parts: VecDeque<Part>,
}

enum Part {
    Facts,
    Entries(Box<Walk>),
    /// What stands before the groups.
    Groups,
    /// The group behind the one of this name; the first.
    Behind(Option<Vec<u8>>),
    /// What is known of a group, up to what is pending.
    Group(Vec<u8>),
    /// Of what is pending in a group: from here, so many.
    Pending(Vec<u8>, Id, u64),
    /// Its consumers, behind so many.
    Consumers(Vec<u8>, u64),
    /// Of what is pending with the last of them: from here, so many.
    Own(Vec<u8>, u64, Id, u64),
}

/// Entries or consumers that are answered at a time.
const PIECE: u64 = 128;

fn parts_of(shared: &SharedValue, count: u64) -> VecDeque<Part> {
    let range = Range { from: Id::ZERO, to: Id::MAX, most: count, is_back: false };
    let walk = Box::new(Walk::of(shared.clone(), range));
    [Part::Facts, Part::Entries(walk), Part::Groups].into()
}

impl Full {
    /// Writes a part or a piece of one; whether that was the last.
    fn more(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let Some(stream) = self.shared.object::<Stream>() else { return Ok(true) };
        if let Some(part) = self.parts.pop_front()
            && let Some(next) = part.write(&mut cx.reply, stream, self.count)
        {
            self.parts.push_front(next);
        }
        cx.hold_room().map(|()| self.parts.is_empty())
    }
}

/// How many are answered of those that there are.
fn most(there: u64, count: u64) -> u64 {
    if count == 0 { there } else { there.min(count) }
}

impl Part {
    /// Writes a piece; what comes next then, before the other parts.
    fn write(self, reply: &mut ReplyWriter<'_>, stream: &Stream, count: u64) -> Option<Part> {
        match self {
            Part::Facts => {
                reply.map(9);
                facts(reply, stream);
                reply.bulk("entries");
                None
            }
            Part::Entries(mut walk) => {
                let is_done = walk.more(reply, |_| ());
                (!is_done).then_some(Part::Entries(walk))
            }
            Part::Groups => {
                reply.bulk("groups");
                reply.array(stream.group_count());
                Some(Part::Behind(None))
            }
            Part::Behind(name) => {
                let (next, _) = stream.groups_behind(name.as_deref()).next()?;
                Some(Part::Group(next.to_vec()))
            }
            Part::Group(name) => {
                let group = stream.group(&name)?;
                reply.map(7);
                reply.bulk("name");
                reply.bulk(&*name);
                progress(reply, stream, group);
                number(reply, "pel-count", group.pending_count() as i64);
                reply.bulk("pending");
                let most = most(group.pending_count(), count);
                reply.array(most as usize);
                Some(Part::Pending(name, Id::ZERO, most))
            }
            Part::Pending(name, from, left) => {
                let group = stream.group(&name)?;
                let mut last = None;
                for pending in group.pending_from(from).take(PIECE.min(left) as usize) {
                    last = pending.id.after();
                    reply.array(4);
                    write_id(reply, pending.id);
                    reply.bulk(&*group.name_of(pending.consumer).unwrap_or_default());
                    reply.integer(pending.at as i64);
                    reply.integer(pending.times as i64);
                }
                if let Some(from) = last.filter(|_| left > PIECE) {
                    return Some(Part::Pending(name, from, left - PIECE));
                }
                reply.bulk("consumers");
                reply.array(group.consumer_count());
                Some(Part::Consumers(name, 0))
            }
            Part::Consumers(name, place) => consumers_piece(reply, stream, count, name, place),
            Part::Own(name, place, from, left) => {
                let group = stream.group(&name)?;
                let consumer = group.consumers_from(place - 1).next()?;
                let mut last = None;
                for id in consumer.pending_from(from).take(PIECE.min(left) as usize) {
                    last = id.after();
                    let pending = group.pending(id);
                    reply.array(3);
                    write_id(reply, id);
                    reply.integer(pending.map_or(0, |pending| pending.at as i64));
                    reply.integer(pending.map_or(0, |pending| pending.times as i64));
                }
                Some(match last.filter(|_| left > PIECE) {
                    Some(from) => Part::Own(name, place, from, left - PIECE),
                    None => Part::Consumers(name, place),
                })
            }
        }
    }
}

/// Some consumers, up to the first with which something is pending.
fn consumers_piece(
    reply: &mut ReplyWriter<'_>,
    stream: &Stream,
    count: u64,
    name: Vec<u8>,
    mut place: u64,
) -> Option<Part> {
    let group = stream.group(&name)?;
    for consumer in group.consumers_from(place).take(PIECE as usize) {
        place += 1;
        consumer_facts(reply, &consumer, count);
        let own = most(consumer.pending_count(), count);
        if own > 0 {
            return Some(Part::Own(name, place, Id::ZERO, own));
        }
    }
    let is_last = place >= group.consumer_count() as u64;
    Some(if is_last { Part::Behind(Some(name)) } else { Part::Consumers(name, place) })
}

fn consumer_facts(reply: &mut ReplyWriter<'_>, consumer: &Consumer<'_>, count: u64) {
    reply.map(5);
    reply.bulk("name");
    reply.bulk(consumer.name());
    number(reply, "seen-time", consumer.seen);
    number(reply, "active-time", consumer.active);
    let pending = consumer.pending_count();
    number(reply, "pel-count", pending as i64);
    reply.bulk("pending");
    reply.array(most(pending, count) as usize);
}

pub(super) const HELP: Command = Command {
    name: "xinfo|help",
    usage: "XINFO HELP",
    summary: "Says what XINFO can do.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::LOADING.union(Flags::STALE),
    keys: Keys::NONE,
    run: Run::Here(help),
    examples: "",
};

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    help_of(
        cx,
        &[
            "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CONSUMERS <key> <groupname>",
            "    Show consumers of <groupname>.",
            "GROUPS <key>",
            "    Show the stream consumer groups.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Show information about the stream.",
            "HELP",
            "    Prints this help.",
        ],
    );
    Ok(())
}
