//! SAVE and its kin: refused clearly, because there are no snapshots yet.
//!
//! An `OK` would let an operator believe that the data is on disk.

use super::super::{FrontCommand, Handler};
use super::{ADMIN, declare};
use engine::command::{Command, Flags, Refusal};

pub(super) const COMMANDS: &[&FrontCommand] = &[&SAVE, &BGSAVE, &LASTSAVE, &BGREWRITEAOF];

const NOT_YET: Handler = Handler::Now(|_, _, _| {
    Err(Refusal::fixed("ERR snapshots are not supported yet: nothing is written to disk"))
});

const fn command(name: &'static str, usage: &'static str, summary: &'static str) -> Command {
    declare(name, usage, summary, "1.0.0", ADMIN.union(Flags::NO_ASYNC_LOADING), "")
}

static SAVE: FrontCommand = FrontCommand {
    command: command("save", "SAVE", "Would write a snapshot; refused, there are none yet."),
    handler: NOT_YET,
};

static BGSAVE: FrontCommand = FrontCommand {
    command: command(
        "bgsave",
        "BGSAVE [SCHEDULE]",
        "Would write a snapshot in the background; refused, there are none yet.",
    ),
    handler: NOT_YET,
};

static LASTSAVE: FrontCommand = FrontCommand {
    command: command(
        "lastsave",
        "LASTSAVE",
        "Would say when the last snapshot was written; refused, there are none yet.",
    ),
    handler: NOT_YET,
};

static BGREWRITEAOF: FrontCommand = FrontCommand {
    command: command(
        "bgrewriteaof",
        "BGREWRITEAOF",
        "Would rewrite the append-only file; refused, there is none.",
    ),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed("ERR there is no append-only file: nothing is written to disk"))
    }),
};
