//! What a front command is, and what those have in common.

use crate::connection::Handler;
use engine::command::{Command, Flags, Group, Keys, Run};

/// A front command: the declaration and its function.
pub(super) struct FrontCommand {
    /// As every command's; its `run` is `Run::Front`.
    pub(super) command: Command,
    /// What it does.
    pub(super) handler: Handler,
}

/// A declaration with what commands in front have in common: no keys, and a constant cost.
pub(super) const fn declare(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    flags: Flags,
    examples: &'static str,
) -> Command {
    Command {
        name,
        usage,
        summary,
        since,
        cost: "O(1)",
        group: Group::Server,
        flags,
        keys: Keys::NONE,
        run: Run::Front,
        examples,
    }
}
