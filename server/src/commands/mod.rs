//! Commands that run where the connection lives: about the connection, the server, transactions and
//! replication. Declared like all others, with their function beside the declaration.

mod connection;
mod replication;
mod server;
mod transactions;

use crate::connection::Session;
use engine::command::{Args, Command, Flags, Group, Keys, Outcome, Registry, Run};
use engine::resp::ReplyWriter;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

/// A function that answers at once.
pub type Now = fn(&mut Session, Args<'_>, &mut ReplyWriter<'_>) -> Outcome;

/// A function that has to wait for others.
pub type Later = for<'a> fn(&'a mut Session, Args<'a>, &'a mut Vec<u8>) -> Waiting<'a>;

/// What a [`Later`] function returns.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// The function of a front command.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Answers at once.
    Now(Now),
    /// Waits; a fence in its connection's pipeline.
    Later(Later),
}

/// A front command: the declaration and its function.
pub struct FrontCommand {
    /// As every command's; its `run` is `Run::Front`.
    pub command: Command,
    /// What it does.
    pub handler: Handler,
}

/// A declaration with what commands in front have in common: no keys, and a constant cost.
const fn declare(
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

/// All front commands, in the order of the manual.
fn families() -> Vec<&'static [&'static FrontCommand]> {
    let mut families = vec![connection::COMMANDS, transactions::COMMANDS, replication::COMMANDS];
    families.extend(server::FAMILIES);
    families
}

/// The registry of all commands of the program, and the functions of those that run in front, by id.
pub fn registry() -> (&'static Registry, Vec<Option<Handler>>) {
    let front: Vec<&'static Command> =
        families().into_iter().flatten().map(|front| &front.command).collect();
    let mut lists: Vec<&[&'static Command]> = engine::commands::families().to_vec();
    lists.push(&front);
    let registry: &'static Registry = Box::leak(Box::new(Registry::new(lists)));
    let handlers: HashMap<&str, Handler> =
        families().into_iter().flatten().map(|front| (front.command.name, front.handler)).collect();
    let mut by_id = vec![None; registry.len()];
    for entry in registry.iter_all() {
        by_id[usize::from(entry.id)] = handlers.get(entry.name()).copied();
    }
    (registry, by_id)
}
