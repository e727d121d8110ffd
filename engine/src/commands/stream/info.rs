//! What a stream is like: XINFO.

use super::group::{container, help_of};
use super::walk::{Range, Walk};
use super::words::{bad_subcommand, no_group, write_entry, write_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::value::stream::{Consumer, Id, Stream};
use crate::value::{Item, SharedValue, stream};

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
    run: Run::Here(consumers),
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

fn consumers(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (now, protocol) = (cx.now().0 as i64, cx.reply.protocol);
    let mut bytes = Vec::new();
    let mut reply = ReplyWriter::new(&mut bytes, protocol);
    let stream = stream_of(cx, args)?;
    let name = args.get(3);
    let group = stream.group(name).ok_or_else(|| no_group(args.get(2), name))?;
    reply.array(group.consumer_count());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk("name");
        reply.bulk(consumer.name());
        number(&mut reply, "pending", consumer.pending_count() as i64);
        number(&mut reply, "idle", now.wrapping_sub(consumer.seen).max(0));
        let inactive = match consumer.active {
            -1 => -1,
            active => now.wrapping_sub(active),
        };
        number(&mut reply, "inactive", inactive);
    }
    cx.reply.raw(&bytes);
    Ok(())
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
    run: Run::Here(groups),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XINFO GROUPS jobs
        (empty array)
        > XINFO GROUPS nothing
        (error) ERR no such key
    "#,
};

fn groups(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let protocol = cx.reply.protocol;
    let mut bytes = Vec::new();
    let mut reply = ReplyWriter::new(&mut bytes, protocol);
    let stream = stream_of(cx, args)?;
    reply.array(stream.group_count());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk("name");
        reply.bulk(name);
        number(&mut reply, "consumers", group.consumer_count() as i64);
        number(&mut reply, "pending", group.pending_count() as i64);
        progress(&mut reply, stream, group);
    }
    cx.reply.raw(&bytes);
    Ok(())
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
    let is_short = (1..=10).contains(&count) && stream.group_count() <= 4;
    let parts = parts_of(&shared, stream, count);
    let mut full = Full { shared, count, parts: parts.into_iter() };
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
    parts: std::vec::IntoIter<Part>,
}

enum Part {
    Facts,
    Entries(Box<Walk>),
    /// What stands before the groups.
    Groups,
    /// What is known of a group, up to what is pending.
    Group(Vec<u8>),
    /// Of what is pending in a group: from here, so many.
    Pending(Vec<u8>, Id, u64),
    Consumers(Vec<u8>),
    Consumer(Vec<u8>, u32),
    /// Of what is pending with a consumer.
    Own(Vec<u8>, u32, Id, u64),
}

/// Entries that are answered at a time.
const PIECE: u64 = 128;

fn parts_of(shared: &SharedValue, stream: &Stream, count: u64) -> Vec<Part> {
    let range = Range { from: Id::ZERO, to: Id::MAX, most: count, is_back: false };
    let walk = Box::new(Walk::of(shared.clone(), range));
    let most = |there: u64| if count == 0 { there } else { there.min(count) };
    let mut parts = vec![Part::Facts, Part::Entries(walk), Part::Groups];
    for (name, group) in stream.groups() {
        parts.push(Part::Group(name.to_vec()));
        parts.push(Part::Pending(name.to_vec(), Id::ZERO, most(group.pending_count())));
        parts.push(Part::Consumers(name.to_vec()));
        for consumer in group.consumers() {
            let Some((number, _)) = group.consumer_named(consumer.name()) else { continue };
            parts.push(Part::Consumer(name.to_vec(), number));
            let own = most(consumer.pending_count());
            parts.push(Part::Own(name.to_vec(), number, Id::ZERO, own));
        }
    }
    parts
}

impl Full {
    /// Writes a part or a piece of one; whether that was the last.
    fn more(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let Some(stream) = self.shared.object::<Stream>() else { return Ok(true) };
        if let Some(part) = self.parts.as_mut_slice().first_mut()
            && part.write(&mut cx.reply, stream, self.count)
        {
            self.parts.next();
        }
        cx.hold_room().map(|()| self.parts.len() == 0)
    }
}

impl Part {
    /// Writes a piece; whether that was the last of the part.
    fn write(&mut self, reply: &mut ReplyWriter<'_>, stream: &Stream, count: u64) -> bool {
        match self {
            Part::Facts => {
                reply.map(9);
                facts(reply, stream);
                reply.bulk("entries");
            }
            Part::Entries(walk) => return walk.more(reply, |_| ()),
            Part::Groups => {
                reply.bulk("groups");
                reply.array(stream.group_count());
            }
            Part::Group(name) => {
                let Some(group) = stream.group(name) else { return true };
                reply.map(7);
                reply.bulk("name");
                reply.bulk(&*name);
                progress(reply, stream, group);
                number(reply, "pel-count", group.pending_count() as i64);
                reply.bulk("pending");
                let pending = group.pending_count();
                reply.array((if count == 0 { pending } else { pending.min(count) }) as usize);
            }
            Part::Consumers(name) => {
                let Some(group) = stream.group(name) else { return true };
                reply.bulk("consumers");
                reply.array(group.consumer_count());
            }
            Part::Consumer(name, number) => {
                let group = stream.group(name);
                if let Some(consumer) = group.and_then(|group| group.consumer(*number)) {
                    consumer_facts(reply, consumer, count);
                }
            }
            Part::Pending(name, from, left) => {
                let Some(group) = stream.group(name) else { return true };
                let mut last = None;
                for pending in group.pending_from(*from).take(PIECE.min(*left) as usize) {
                    last = pending.id.after();
                    reply.array(4);
                    write_id(reply, pending.id);
                    let consumer = group.consumer(pending.consumer);
                    reply.bulk(consumer.map_or(&b""[..], Consumer::name));
                    reply.integer(pending.at as i64);
                    reply.integer(pending.times as i64);
                }
                return go_on(from, left, last);
            }
            Part::Own(name, number, from, left) => {
                let Some(group) = stream.group(name) else { return true };
                let Some(consumer) = group.consumer(*number) else { return true };
                let mut last = None;
                for id in consumer.pending_from(*from).take(PIECE.min(*left) as usize) {
                    last = id.after();
                    let pending = group.pending(id);
                    reply.array(3);
                    write_id(reply, id);
                    reply.integer(pending.map_or(0, |pending| pending.at as i64));
                    reply.integer(pending.map_or(0, |pending| pending.times as i64));
                }
                return go_on(from, left, last);
            }
        }
        true
    }
}

/// After a piece; whether it was the last.
fn go_on(from: &mut Id, left: &mut u64, last: Option<Id>) -> bool {
    *left -= PIECE.min(*left);
    *from = last.unwrap_or(Id::MAX);
    *left == 0 || last.is_none()
}

fn consumer_facts(reply: &mut ReplyWriter<'_>, consumer: &Consumer, count: u64) {
    reply.map(5);
    reply.bulk("name");
    reply.bulk(consumer.name());
    number(reply, "seen-time", consumer.seen);
    number(reply, "active-time", consumer.active);
    let pending = consumer.pending_count();
    number(reply, "pel-count", pending as i64);
    reply.bulk("pending");
    reply.array((if count == 0 { pending } else { pending.min(count) }) as usize);
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
