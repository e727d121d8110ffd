//! Commands that run where the connection lives: about the connection, the server, transactions and
//! replication. Declared like all others, with their function beside the declaration.

mod connection;
mod declare;
mod pubsub;
mod replication;
mod server;
mod transactions;

use crate::connection::{Handler, Handlers};
use declare::FrontCommand;
use engine::command::{Command, Registry};
use std::collections::HashMap;

/// All front commands, in the order of the manual.
fn families() -> Vec<&'static [&'static FrontCommand]> {
    let mut families = vec![connection::COMMANDS, transactions::COMMANDS, pubsub::COMMANDS];
    families.push(replication::COMMANDS);
    families.extend(server::FAMILIES);
    families
}

/// The registry of all commands of the program, and the functions of those that run in front, by id.
pub fn registry() -> (&'static Registry, Handlers) {
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
    (registry, by_id.leak())
}
