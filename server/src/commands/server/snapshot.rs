//! SAVE and its kin: refused clearly, because there are no snapshots yet.
//!
//! An `OK` would let an operator believe that the data is on disk.

use super::common::{ALWAYS, FrontCommand, Handler, declare};
use engine::command::{Command, Flags, Refusal};

pub(super) const COMMANDS: &[&FrontCommand] = &[&SAVE, &BGSAVE, &LASTSAVE, &BGREWRITEAOF];

const NO_SNAPSHOTS: Refusal =
    Refusal::fixed("ERR snapshots are not supported yet: nothing is written to disk");

const NOT_YET: Handler = Handler::Now(|_, _, _| Err(NO_SNAPSHOTS));

/// Writing is an operator's matter, and not while there is nothing whole to be written.
const WRITES: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);

const fn command(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    flags: Flags,
) -> Command {
    declare(name, usage, summary, "1.0.0", flags, "")
}

static SAVE: FrontCommand = FrontCommand {
    command: command(
        "save",
        "SAVE",
        "Would write a snapshot; refused, there are none yet.",
        WRITES.union(Flags::NO_MULTI),
    ),
    handler: NOT_YET,
};

static BGSAVE: FrontCommand = FrontCommand {
    command: command(
        "bgsave",
        "BGSAVE [SCHEDULE]",
        "Would write a snapshot in the background; refused, there are none yet.",
        WRITES,
    ),
    handler: Handler::Now(|_, args, _| {
        let is_schedule = args.len() == 2 && args.get(1).eq_ignore_ascii_case(b"schedule");
        match args.len() == 1 || is_schedule {
            true => Err(NO_SNAPSHOTS),
            false => Err(Refusal::Syntax),
        }
    }),
};

static LASTSAVE: FrontCommand = FrontCommand {
    command: command(
        "lastsave",
        "LASTSAVE",
        "Would say when the last snapshot was written; refused, there are none yet.",
        ALWAYS.union(Flags::FAST).union(Flags::ADMIN_CATEGORY).union(Flags::DANGEROUS),
    ),
    handler: NOT_YET,
};

static BGREWRITEAOF: FrontCommand = FrontCommand {
    command: command(
        "bgrewriteaof",
        "BGREWRITEAOF",
        "Would rewrite the append-only file; refused, there is none.",
        WRITES,
    ),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed("ERR there is no append-only file: nothing is written to disk"))
    }),
};
