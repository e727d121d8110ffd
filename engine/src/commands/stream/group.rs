//! Groups and their consumers: XGROUP.

use super::words::{bad_subcommand, loose_id, no_group, strict_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::stream::{Confirm, Deliver, Dismiss, Id, PutGroup, RemoveGroup, Stream};

pub(super) const XGROUP: Command = Command {
    name: "xgroup",
    usage: "XGROUP <subcommand> [argument ...]",
    summary: "Makes and changes groups of consumers.",
    since: "5.0.0",
    cost: "Depends on the subcommand.",
    group: Group::Stream,
    flags: Flags::empty(),
    keys: Keys::NONE,
    run: Run::Here(container),
    examples: "",
};

/// The registry hands a request to a subcommand or refuses it.
pub(super) fn container(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    Err(Refusal::Syntax)
}

const NO_KEY: Refusal = Refusal::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

pub(super) const CREATE: Command = Command {
    name: "xgroup|create",
    usage: "XGROUP CREATE key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
    summary: "Makes a group that begins behind a number.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::SECOND.used(Uses::ADD),
    run: Run::Here(create),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XLEN jobs
        (integer) 0
        > XGROUP CREATE jobs team 0
        (error) BUSYGROUP Consumer Group name already exists
        > XGROUP CREATE jobs other 0 ENTRIESREAD -2
        (error) ERR value for ENTRIESREAD must be positive or -1
        > XGROUP CREATE jobs other 0 NONSENSE
        (error) ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
    "#,
};

/// The options of CREATE and SETID: MKSTREAM where it may stand, and how many entries were read.
fn options(mut args: Args<'_>, is_create: bool) -> Result<(bool, i64), Refusal> {
    let (mut makes, mut read) = (false, -1);
    args.seek(5);
    while args.left() > 0 {
        if is_create && args.word("MKSTREAM") {
            makes = true;
        } else if args.left() > 1 && args.word("ENTRIESREAD") {
            read = args.integer()?;
            if read < -1 {
                return Err(Refusal::fixed("ERR value for ENTRIESREAD must be positive or -1"));
            }
        } else {
            return Err(bad_subcommand(args, "XGROUP"));
        }
    }
    Ok((makes, read))
}

fn create(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (makes, read) = options(args, true)?;
    let (key, name) = (args.get(2), args.get(3));
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, key)?;
    if stream.is_none() && !makes {
        return Err(NO_KEY);
    }
    if args.len() > 8 {
        return Err(bad_subcommand(args, "XGROUP"));
    }
    let last = match args.get(4) {
        b"$" => stream.map_or(Id::ZERO, Stream::last_id),
        text => strict_id(text)?,
    };
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Refusal::fixed("BUSYGROUP Consumer Group name already exists"));
    }
    cx.keys.change(cx.db, key, &PutGroup { name, last, read, is_new: true });
    cx.reply.ok();
    Ok(())
}

pub(super) const SETID: Command = Command {
    name: "xgroup|setid",
    usage: "XGROUP SETID key group <id | $> [ENTRIESREAD entries-read]",
    summary: "Lets a group go on behind a number.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::WRITE,
    keys: Keys::SECOND.used(Uses::CHANGE),
    run: Run::Here(setid),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XGROUP SETID jobs team 7-0 ENTRIESREAD 7
        OK
        > XGROUP SETID jobs other 7-0
        (error) NOGROUP No such consumer group 'other' for key name 'jobs'
    "#,
};

/// A stream that must be there, and whose group must.
fn stream_of<'a>(cx: &'a mut Cx<'_>, args: Args<'_>) -> Result<&'a Stream, Refusal> {
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, args.get(2))?;
    let stream = stream.ok_or(NO_KEY)?;
    match stream.group(args.get(3)) {
        Some(_) => Ok(stream),
        None => Err(no_group(args.get(2), args.get(3))),
    }
}

fn setid(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (_, read) = options(args, false)?;
    let stream = stream_of(cx, args)?;
    if args.len() != 5 && args.len() != 7 {
        return Err(bad_subcommand(args, "XGROUP"));
    }
    let last = match args.get(4) {
        b"$" => stream.last_id(),
        text => loose_id(text, 0)?,
    };
    let moved = PutGroup { name: args.get(3), last, read, is_new: false };
    cx.keys.change(cx.db, args.get(2), &moved);
    cx.reply.ok();
    Ok(())
}

pub(super) const DESTROY: Command = Command {
    name: "xgroup|destroy",
    usage: "XGROUP DESTROY key group",
    summary: "Deletes a group, and what is pending in it; 1 if there was one.",
    since: "5.0.0",
    cost: "O(N) with N consumers.",
    group: Group::Stream,
    flags: Flags::WRITE,
    keys: Keys::SECOND.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Here(destroy),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XGROUP DESTROY jobs team
        (integer) 1
        > XGROUP DESTROY jobs team
        (integer) 0
    "#,
};

fn destroy(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (key, name) = (args.get(2), args.get(3));
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, key)?;
    let is_there = stream.ok_or(NO_KEY)?.group(name).is_some();
    if is_there {
        cx.keys.change(cx.db, key, &RemoveGroup(name));
    }
    cx.reply.integer(i64::from(is_there));
    Ok(())
}

pub(super) const CREATECONSUMER: Command = Command {
    name: "xgroup|createconsumer",
    usage: "XGROUP CREATECONSUMER key group consumer",
    summary: "Makes a consumer; 1 if there was none.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::SECOND.used(Uses::ADD),
    run: Run::Here(create_consumer),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XGROUP CREATECONSUMER jobs team ann
        (integer) 1
        > XGROUP CREATECONSUMER jobs team ann
        (integer) 0
    "#,
};

fn create_consumer(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let seen = cx.now().0 as i64;
    let (key, name, consumer) = (args.get(2), args.get(3), args.get(4));
    let stream = stream_of(cx, args)?;
    let Some(group) = stream.group(name) else { return Err(no_group(key, name)) };
    let is_there = group.consumer_named(consumer).is_some();
    if !is_there {
        let group = PutGroup { name, last: group.last, read: group.read, is_new: false };
        let deliver =
            Deliver { group, consumer, is_new: true, seen, active: -1, entries: Vec::new() };
        cx.keys.change(cx.db, key, &deliver);
    }
    cx.reply.integer(i64::from(!is_there));
    Ok(())
}

pub(super) const DELCONSUMER: Command = Command {
    name: "xgroup|delconsumer",
    usage: "XGROUP DELCONSUMER key group consumer",
    summary: "Deletes a consumer and what is pending with it; returns how many entries that were.",
    since: "5.0.0",
    cost: "O(N) with N entries that are pending with it.",
    group: Group::Stream,
    flags: Flags::WRITE,
    keys: Keys::SECOND.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(delete_consumer),
    examples: r#"
        > XGROUP CREATE jobs team $ MKSTREAM
        OK
        > XGROUP CREATECONSUMER jobs team ann
        (integer) 1
        > XADD jobs 1-1 do this
        "1-1"
        > XCLAIM jobs team ann 0 1-1 FORCE JUSTID
        1) "1-1"
        > XGROUP DELCONSUMER jobs team ann
        (integer) 1
        > XGROUP DELCONSUMER jobs team ann
        (integer) 0
    "#,
};

fn delete_consumer(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    /// Entries that are let go of at once: some 100 us.
    const FEW: usize = 128;
    let (key, name, consumer) = (args.get(2), args.get(3), args.get(4));
    let stream = stream_of(cx, args)?;
    let found = stream.group(name).and_then(|group| group.consumer_named(consumer));
    let Some(pending) = found.map(|consumer| consumer.pending_count()) else {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    };
    let (db, key, name, consumer) = (cx.db, key.to_vec(), name.to_vec(), consumer.to_vec());
    let slices = move |cx: &mut Cx<'_>| {
        let stream: Option<&Stream> = cx.keys.object_to_change(db, &key)?;
        let group = stream.and_then(|stream| stream.group(&name));
        let found = group.and_then(|group| group.consumer_named(&consumer));
        if let Some(found) = found {
            if found.pending_count() > FEW as u64 {
                let ids = found.pending_from(Id::ZERO).take(FEW).collect();
                cx.keys.change(db, &key, &Confirm { group: &name, ids });
                return Ok(false);
            }
            cx.keys.change(db, &key, &Dismiss { group: &name, consumer: &consumer });
        }
        cx.reply.count(pending as usize);
        Ok(true)
    };
    Whole::of(Box::new(slices), pending <= FEW as u64, cx)
}

pub(super) const HELP: Command = Command {
    name: "xgroup|help",
    usage: "XGROUP HELP",
    summary: "Says what XGROUP can do.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::LOADING.union(Flags::STALE),
    keys: Keys::NONE,
    run: Run::Here(help),
    examples: "",
};

const HELP_LINES: &[&str] = &[
    "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
    "HELP",
    "    Prints this help.",
];

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    help_of(cx, HELP_LINES);
    Ok(())
}

pub(super) fn help_of(cx: &mut Cx<'_>, lines: &[&str]) {
    cx.reply.array(lines.len());
    lines.iter().for_each(|line| cx.reply.simple(line));
}
