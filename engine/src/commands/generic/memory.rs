//! MEMORY USAGE: what a key costs. The other subcommands are about the whole program and live with it.

use super::container::container_of;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};

pub(super) const MEMORY: Command = container_of(
    "memory",
    "MEMORY <subcommand> [argument ...]",
    "Says what memory is used for.",
    "4.0.0",
    Flags::empty(),
);

pub(super) const USAGE: Command = Command {
    name: "memory|usage",
    usage: "MEMORY USAGE key [SAMPLES count]",
    summary: "Returns the bytes that a key and its value take, with their share of the table.",
    since: "4.0.0",
    cost: "O(1)",
    group: Group::Server,
    flags: Flags::READONLY,
    keys: Keys::SECOND.used(Uses::RO),
    run: Run::Here(usage),
    examples: r#"
        > SET greeting hello
        OK
        > MEMORY USAGE greeting
        (integer) 44
        > MEMORY USAGE nothing
        (nil)
        > MEMORY USAGE greeting SAMPLES
        (error) ERR syntax error
    "#,
};

/// What the table takes for an entry, about: a pointer, a tag, and the room that stays free.
const TABLE_BYTES_PER_KEY: usize = 12;

fn usage(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    args.seek(3);
    while args.left() > 0 {
        // Nothing is sampled, because what a value takes is known exactly.
        if args.left() < 2 || !args.word("SAMPLES") || args.integer()? < 0 {
            return Err(Refusal::Syntax);
        }
    }
    match cx.keys.peek(cx.db, args.get(2)) {
        Some(item) => cx.reply.count(item.heap_bytes() + TABLE_BYTES_PER_KEY),
        None => cx.reply.nil(),
    }
    Ok(())
}
