//! Commands that only have subcommands.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run};

/// What a container runs by itself. The registry hands a request to one of its subcommands or refuses
/// it, so nobody comes here.
fn container(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    Err(Refusal::Syntax)
}

/// The declaration of a command that only has subcommands.
pub(super) const fn container_of(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    flags: Flags,
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
