//! What commands about channels have in common.

pub(super) use crate::commands::declare::FrontCommand;
pub(super) use crate::connection::Handler;

use crate::commands::declare;
use engine::command::{Command, Flags, Group};

pub(super) const fn declare(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    cost: &'static str,
    flags: Flags,
    handler: Handler,
) -> FrontCommand {
    let declared = declare::declare(name, usage, summary, since, flags, "");
    FrontCommand { command: Command { group: Group::PubSub, cost, ..declared }, handler }
}
