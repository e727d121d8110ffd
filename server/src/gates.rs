//! What a request must pass before it runs, in order. Each gate asks one question.

use crate::connection::Session;
use engine::command::{Entry, Flags, Refusal, Registry};
use std::hint::black_box;
use std::sync::atomic::Ordering;

type Gate = fn(&Session, &Entry) -> Result<(), Refusal>;

/// The gates, in the order in which Redis asks.
const GATES: &[Gate] =
    &[authenticated, unrestricted, running, allowed_in_multi, enough_replicas, writable, loaded];

/// Lets the command through, or says why not.
pub(crate) fn pass(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    GATES.iter().try_for_each(|gate| gate(session, entry))
}

/// Compares in a time that depends on nothing but the length of what was given.
pub(crate) fn is_same(given: &[u8], secret: &[u8]) -> bool {
    let mut different = usize::from(given.len() != secret.len());
    for (index, byte) in given.iter().enumerate() {
        let other = secret.get(index).or(secret.first()).copied().unwrap_or_default();
        different |= usize::from(black_box(byte ^ other));
    }
    black_box(different) == 0
}

fn authenticated(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if session.may_ask() || entry.command.flags.contains(Flags::NO_AUTH) {
        return Ok(());
    }
    if matches!(entry.name(), "replconf" | "dfly") {
        session.server.turned_away.by_password(session.client.peer.parse().ok());
    }
    Err(Refusal::fixed("NOAUTH Authentication required."))
}

/// Which commands `restricted_commands` keeps for the admin port, by id.
pub(crate) fn restricted(registry: &Registry, names: &[String]) -> Result<Vec<bool>, String> {
    let mut restricted = vec![false; registry.len()];
    for name in names {
        let name = name.to_ascii_lowercase();
        let mut is_known = false;
        for entry in registry.iter_all() {
            let parent = entry.name().split('|').next().unwrap_or_default();
            if entry.name() == name || parent == name {
                restricted[usize::from(entry.id)] = true;
                is_known = true;
            }
        }
        if !is_known {
            return Err(format!("--restricted_commands: there is no command '{name}'"));
        }
    }
    Ok(restricted)
}

fn unrestricted(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if session.client.admin || !session.server.restricted[usize::from(entry.id)] {
        return Ok(());
    }
    Err(Refusal::fixed("ERR Cannot execute restricted command (admin only)"))
}

/// A node that stops takes no more writes: its replicas are given what there is.
fn running(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if entry.writes() && session.server.stopping.load(Ordering::Acquire) {
        return Err(Refusal::fixed("ERR this node is stopping and takes no more writes"));
    }
    Ok(())
}

fn allowed_in_multi(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if session.multi.is_some() && entry.command.flags.contains(Flags::NO_MULTI) {
        return Err(Refusal::fixed("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

fn enough_replicas(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    let needed = session.config.min_replicas_to_write;
    let is_off = needed == 0 || session.config.min_replicas_max_lag.is_zero();
    if is_off || !entry.writes() || session.server.status.is_replica() {
        return Ok(());
    }
    if session.server.status.good_replicas() < needed {
        return Err(Refusal::fixed("NOREPLICAS Not enough good replicas to write."));
    }
    Ok(())
}

fn writable(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if entry.writes() && session.server.status.is_replica() {
        return Err(Refusal::ReadOnly);
    }
    Ok(())
}

fn loaded(session: &Session, entry: &Entry) -> Result<(), Refusal> {
    if session.server.status.is_loading() && !entry.command.flags.contains(Flags::LOADING) {
        return Err(Refusal::fixed("LOADING Damselfly is loading the dataset in memory"));
    }
    Ok(())
}
