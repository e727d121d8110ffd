//! What commands about connections have in common.

pub(super) use crate::commands::declare::FrontCommand;
pub(super) use crate::connection::Handler;

use crate::commands::declare;
use engine::command::{Args, Command, Flags, Group, Refusal};
use engine::resp::number::parse_i64;

/// Commands that a connection may always send, even before AUTH.
pub(super) const ALWAYS: Flags = Flags::NOSCRIPT
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::NO_AUTH)
    .union(Flags::ALLOW_BUSY);

/// Commands about one's own connection.
pub(super) const OWN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);

/// Commands about the connections of others.
pub(super) const OTHERS: Flags = OWN.union(Flags::ADMIN).union(Flags::DANGEROUS);

pub(super) const fn declare(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    flags: Flags,
    examples: &'static str,
    handler: Handler,
) -> FrontCommand {
    let declared = declare::declare(name, usage, summary, since, flags, examples);
    FrontCommand { command: Command { group: Group::Connection, ..declared }, handler }
}

/// As [`declare`], for a command that looks at all connections.
pub(super) const fn over_all(declared: FrontCommand) -> FrontCommand {
    let FrontCommand { command, handler } = declared;
    FrontCommand {
        command: Command { cost: "O(N) in the number of connections", ..command },
        handler,
    }
}

/// `on` or `off`.
pub(super) fn switch(word: &[u8]) -> Result<bool, Refusal> {
    match word {
        word if word.eq_ignore_ascii_case(b"on") => Ok(true),
        word if word.eq_ignore_ascii_case(b"off") => Ok(false),
        _ => Err(Refusal::Syntax),
    }
}

/// An integer, refused in the words of the option.
pub(super) fn integer(arg: &[u8], refused: &'static str) -> Result<i64, Refusal> {
    parse_i64(arg).ok_or(Refusal::fixed(refused))
}

/// A text that CLIENT LIST can show: printable ASCII without spaces.
pub(super) fn plain(arg: &[u8]) -> Option<&str> {
    std::str::from_utf8(arg).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Redis's refusal of a subcommand with too many arguments.
pub(super) fn at_most(args: &Args<'_>, most: usize) -> Result<(), Refusal> {
    if args.len() <= most {
        return Ok(());
    }
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    Err(Refusal::quoting(before, args.get(1), "'. Try CLIENT HELP."))
}
