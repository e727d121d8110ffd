//! OBJECT: how a value is kept.

use super::container::container_of;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};

pub(super) const OBJECT: Command = container_of(
    "object",
    "OBJECT <subcommand> [argument ...]",
    "Says how a value is kept.",
    "2.2.3",
    Flags::empty(),
);

pub(super) const ENCODING: Command = Command {
    name: "object|encoding",
    usage: "OBJECT ENCODING key",
    summary: "Names the way in which a value is kept.",
    since: "2.2.3",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::RO),
    run: Run::Here(encoding),
    examples: r#"
        > SET visits 12
        OK
        > OBJECT ENCODING visits
        "int"
        > SET visits twelve
        OK
        > OBJECT ENCODING visits
        "embstr"
        > OBJECT ENCODING nothing
        (nil)
    "#,
};

fn encoding(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match cx.keys.peek(cx.db, args.get(2)) {
        Some(item) => cx.reply.bulk(item.encoding()),
        None => cx.reply.nil(),
    }
    Ok(())
}

pub(super) const FREQ: Command = Command {
    name: "object|freq",
    usage: "OBJECT FREQ key",
    summary: "Returns how often a key was used lately, on a logarithmic scale. Wants an LFU policy.",
    since: "4.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::RO),
    run: Run::Here(freq),
    examples: r#"
        > OBJECT FREQ nothing
        (nil)
    "#,
};

fn freq(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (policy, now) = (cx.keys.policy(), cx.now());
    match cx.keys.peek(cx.db, args.get(2)) {
        None => cx.reply.nil(),
        Some(_) if !policy.kind.is_lfu() => {
            return Err(Refusal::fixed(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
                 note that when switching between policies at runtime LRU and LFU data will take \
                 some time to adjust.",
            ));
        }
        Some(item) => cx.reply.integer(i64::from(policy.frequency(item, now))),
    }
    Ok(())
}

pub(super) const IDLETIME: Command = Command {
    name: "object|idletime",
    usage: "OBJECT IDLETIME key",
    summary: "Returns the seconds since a key was last used. Does not work with an LFU policy.",
    since: "2.2.3",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::RO),
    run: Run::Here(idletime),
    examples: r#"
        > SET visits 12
        OK
        > OBJECT IDLETIME visits
        (integer) 0
        > OBJECT IDLETIME nothing
        (nil)
    "#,
};

fn idletime(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (policy, now) = (cx.keys.policy(), cx.now());
    match cx.keys.peek(cx.db, args.get(2)) {
        None => cx.reply.nil(),
        Some(_) if policy.kind.is_lfu() => {
            return Err(Refusal::fixed(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that \
                 when switching between policies at runtime LRU and LFU data will take some time \
                 to adjust.",
            ));
        }
        Some(item) => cx.reply.integer(policy.idle_seconds(item, now) as i64),
    }
    Ok(())
}

pub(super) const REFCOUNT: Command = Command {
    name: "object|refcount",
    usage: "OBJECT REFCOUNT key",
    summary: "Returns 1 for every key that exists: values are not shared between keys.",
    since: "2.2.3",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::RO),
    run: Run::Here(refcount),
    examples: r#"
        > SET greeting hello
        OK
        > OBJECT REFCOUNT greeting
        (integer) 1
        > OBJECT REFCOUNT nothing
        (nil)
    "#,
};

fn refcount(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match cx.keys.peek(cx.db, args.get(2)) {
        Some(_) => cx.reply.integer(1),
        None => cx.reply.nil(),
    }
    Ok(())
}

pub(super) const HELP: Command = Command {
    name: "object|help",
    usage: "OBJECT HELP",
    summary: "Returns the subcommands.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::LOADING.union(Flags::STALE),
    keys: Keys::NONE,
    run: Run::Here(help),
    examples: "",
};

const HELP_LINES: [&str; 15] = [
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

fn help(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.reply.array(HELP_LINES.len());
    for line in HELP_LINES {
        cx.reply.simple(line);
    }
    Ok(())
}
