//! Keys that nobody named: all that match, or any one.

use crate::command::{
    All, Args, Command, Cx, Flags, Group, Keys, Part, Refusal, Run, Walk, Walked,
};
use crate::glob::Pattern;
use crate::resp::ReplyWriter;
use crate::table::Cursor;
use crate::value::Item;
use std::sync::Arc;

pub(super) const KEYS: Command = Command {
    name: "keys",
    usage: "KEYS pattern",
    summary: "Returns all keys that match a pattern. Goes over all keys in slices, between which others \
              run; SCAN returns them a few at a time.",
    since: "1.0.0",
    cost: "O(N) with N keys in the database.",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::DANGEROUS),
    keys: Keys::NONE,
    run: Run::Walk(Walk { start, step, finish, alone: false, long: true }),
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

/// What one slice may cost, in bytes looked at and steps of matching: some 800 short keys, a third of a millisecond.
const SLICE_COST: u64 = 128 * 1024;

/// What a key costs beside its bytes: finding it, in an empty bucket or not.
const COST_PER_VISIT: u64 = 64;

fn start(args: Args<'_>) -> Result<Walked, Refusal> {
    Ok(Walked { pattern: pattern(args.get(1))?, ..Walked::default() })
}

/// A pattern, read; `None` for the one that everything fits, which need not be asked.
pub(super) fn pattern(text: &[u8]) -> Result<Option<Arc<Pattern>>, Refusal> {
    let pattern = Pattern::new(text).ok_or(Refusal::LongPattern)?;
    Ok((!pattern.fits_all()).then(|| Arc::new(pattern)))
}

/// One slice. The walk passes a key that is there from beginning to end exactly once, whatever happens
/// to the table between two slices. Expired keys are left out, not deleted: they may be open.
fn step(cx: &mut Cx<'_>, _: Args<'_>, walked: &mut Walked) -> Result<bool, Refusal> {
    let now = cx.now();
    let mut cost = 0;
    while cost < SLICE_COST {
        cost += COST_PER_VISIT;
        let next = cx.keys.table(cx.db).walk(Cursor(walked.position), &mut |_, item: &Item| {
            cost += COST_PER_VISIT + item.key().len() as u64;
            let lives = item.deadline().is_none_or(|deadline| deadline > now);
            let asked = walked.pattern.as_deref();
            if lives && asked.is_none_or(|pattern| pattern.fits_counted(item.key(), &mut cost)) {
                cx.reply.bulk(item.key());
                walked.found += 1;
            }
        });
        match next {
            Some(next) => walked.position = next.0,
            None => {
                walked.next_shard();
                break;
            }
        }
    }
    Ok(true)
}

fn finish(walked: &Walked, _: u16, reply: &mut ReplyWriter<'_>) {
    reply.array(walked.found);
    reply.raw(&walked.bytes);
}

fn any(_: Args<'_>, _: usize) -> Result<(), Refusal> {
    Ok(())
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

/// One random key, and how many keys it stands for. Nothing is deleted here: the key may be open.
fn random_key(cx: &mut Cx<'_>, _: Args<'_>, part: &mut Part) -> Result<bool, Refusal> {
    let (bytes, living) = cx.keys.random_key(cx.db).unwrap_or_default();
    (part.number, part.bytes) = (living as i64, bytes);
    Ok(true)
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
