//! Keys that nobody named: all that match, or any one.

use crate::command::{All, Args, Command, Cx, Flags, Group, Keys, Part, Refusal, Run};
use crate::glob;
use crate::resp::{Protocol, ReplyWriter};
use crate::table::Cursor;
use crate::value::Item;

pub(super) const KEYS: Command = Command {
    name: "keys",
    usage: "KEYS pattern",
    summary: "Returns all keys that match a pattern. Blocks everybody meanwhile: SCAN does not.",
    since: "1.0.0",
    cost: "O(N) with N keys in the database.",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::DANGEROUS),
    keys: Keys::NONE,
    run: Run::All(All { check: any, part: keys, join: join_keys, barrier: true }),
    examples: r#"
        > SET {user}name Ada
        OK
        > SET visits 12
        OK
        > KEYS {user}n*
        1) "{user}name"
        > KEYS nothing*
        (empty array)
    "#,
};

fn any(_: Args<'_>, _: usize) -> Result<(), Refusal> {
    Ok(())
}

/// The elements are bulk strings, the same in both protocols.
fn keys(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Part, Refusal> {
    let (pattern, now) = (args.get(1), cx.now());
    let mut part = Part::default();
    let mut element = ReplyWriter::new(&mut part.bytes, Protocol::Resp2);
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        cursor = cx.keys.table(cx.db).walk(at, &mut |_, item: &Item| {
            let lives = item.deadline().is_none_or(|deadline| deadline > now);
            if lives && glob::matches(pattern, item.key()) {
                element.bulk(item.key());
                part.number += 1;
            }
        });
    }
    Ok(part)
}

fn join_keys(_: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>) {
    reply.array(parts.iter().map(|part| part.number as usize).sum());
    for part in parts {
        reply.raw(&part.bytes);
    }
}

pub(super) const RANDOMKEY: Command = Command {
    name: "randomkey",
    usage: "RANDOMKEY",
    summary: "Returns any one of the keys, each as likely as any other.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::NONE,
    run: Run::All(All { check: any, part: random_key, join: join_random, barrier: false }),
    examples: r#"
        > RANDOMKEY
        (nil)
        > SET only 1
        OK
        > RANDOMKEY
        "only"
    "#,
};

/// Draws that may hit an expired key before the shard says that it has none. Where so many in a row are
/// expired, the sweep is about to delete them.
const DRAWS_MAX: usize = 100;

/// One random key, and how many keys it stands for. Nothing is deleted here: the key may be open.
fn random_key(cx: &mut Cx<'_>, _: Args<'_>) -> Result<Part, Refusal> {
    let key = cx.keys.random_key(cx.db, DRAWS_MAX);
    let number = if key.is_some() { cx.keys.len(cx.db) as i64 } else { 0 };
    Ok(Part { number, bytes: key.unwrap_or_default() })
}

/// Chooses among the shards' keys, each shard as likely as it has keys.
fn join_random(_: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>) {
    let total: i64 = parts.iter().map(|part| part.number).sum();
    if total == 0 {
        return reply.nil();
    }
    let mut ticket = fastrand::i64(0..total);
    for part in parts {
        if ticket < part.number {
            return reply.bulk(&part.bytes);
        }
        ticket -= part.number;
    }
}
