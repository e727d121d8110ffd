//! What commands about the node have in common.

pub(super) use crate::commands::declare::{FrontCommand, declare};
pub(super) use crate::connection::Handler;

use crate::connection::Session;
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::resp::ReplyWriter;

/// Allowed whatever state the node is in.
pub(super) const ALWAYS: Flags = Flags::LOADING.union(Flags::STALE);

/// For operators, whatever state the node is in.
pub(super) const ADMIN: Flags = ALWAYS.union(Flags::ADMIN).union(Flags::NOSCRIPT);

/// Names, or patterns of names, in one request: what is told of each takes some kilobytes of the reply or
/// some 10 us, in one go.
const NAMES_MAX: usize = 1024;

/// Refuses a request (of two words) about more than [`NAMES_MAX`] names.
pub(super) fn few_names(args: Args<'_>) -> Outcome {
    if args.len() - 2 > NAMES_MAX {
        return Err(Refusal::fixed("ERR at most 1024 names in one request"));
    }
    Ok(())
}

/// What a container runs by itself. The registry hands a request to one of its subcommands or refuses
/// it, so nobody comes here.
pub(super) const CONTAINER: Handler = Handler::Now(|_, _, _| Err(Refusal::Syntax));

/// HELP of a container.
pub(super) const HELP: Handler = Handler::Now(help);

/// The lines follow from the declarations of the subcommands.
fn help(session: &mut Session, args: Args<'_>, reply: &mut ReplyWriter<'_>) -> Outcome {
    let container = session.server.registry.find(args.get(0)).ok_or(Refusal::Syntax)?;
    let name = container.name().to_ascii_uppercase();
    let of_one = |line: &str| line.strip_prefix(&name).unwrap_or(line).trim_start().to_owned();
    reply.array(1 + 2 * container.subcommands.len());
    reply.simple(format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for entry in &container.subcommands {
        reply.simple(of_one(entry.command.usage));
        reply.simple(format!("    {}", entry.command.summary));
    }
    Ok(())
}
