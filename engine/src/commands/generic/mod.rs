//! The generic commands: about keys, whatever they hold.

mod copy;
mod database;
mod debug;
mod delete;
mod exists;
mod expire;
mod keys;
mod memory;
mod object;
mod populate;
mod rename;
mod scan;
mod ttl;

use crate::command::{Args, Command, Cx, Group, Keys, Outcome, Refusal, Run};

pub(super) const COMMANDS: &[&Command] = &[
    &delete::DEL,
    &delete::UNLINK,
    &exists::EXISTS,
    &exists::TOUCH,
    &exists::TYPE,
    &keys::KEYS,
    &keys::RANDOMKEY,
    &scan::SCAN,
    &rename::RENAME,
    &rename::RENAMENX,
    &copy::COPY,
    &copy::MOVE,
    &database::DBSIZE,
    &database::SWAPDB,
    &database::FLUSHDB,
    &database::FLUSHALL,
    &expire::EXPIRE,
    &expire::PEXPIRE,
    &expire::EXPIREAT,
    &expire::PEXPIREAT,
    &ttl::TTL,
    &ttl::PTTL,
    &ttl::EXPIRETIME,
    &ttl::PEXPIRETIME,
    &ttl::PERSIST,
    &object::OBJECT,
    &object::ENCODING,
    &object::FREQ,
    &object::IDLETIME,
    &object::REFCOUNT,
    &object::HELP,
    &memory::MEMORY,
    &memory::USAGE,
    &debug::DEBUG,
    &debug::DIGEST,
    &debug::DIGEST_VALUE,
    &debug::OBJECT,
    &populate::POPULATE,
];

/// What a container runs by itself. The registry hands a request to one of its subcommands or refuses
/// it, so nobody comes here.
fn container(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    Err(Refusal::Syntax)
}

/// The declaration of a command that only has subcommands.
const fn container_of(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    flags: crate::command::Flags,
) -> Command {
    Command {
        name,
        usage,
        summary,
        since,
        cost: "Depends on the subcommand.",
        group: Group::Generic,
        flags,
        keys: Keys::NONE,
        run: Run::Here(container),
        examples: "",
    }
}
