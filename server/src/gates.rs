//! What a request must pass before it runs, in order. Each gate asks one question.

use crate::clients::Client;
use crate::config::Config;
use crate::server::Server;
use engine::command::{Entry, Flags, Refusal, Registry};
use std::sync::atomic::Ordering;

/// Who asks, as far as the gates look at it.
pub(crate) struct Asker<'a> {
    pub(crate) server: &'a Server,
    pub(crate) config: &'a Config,
    pub(crate) client: &'a Client,
    /// Commands are open to it: AUTH was passed, or is not needed.
    pub(crate) may_ask: bool,
    /// MULTI was sent, and not yet EXEC.
    pub(crate) is_queueing: bool,
}

type Gate = fn(&Asker<'_>, &Entry) -> Result<(), Refusal>;

/// The gates, in the order in which Redis asks.
const GATES: &[Gate] = &[
    authenticated,
    unrestricted,
    running,
    allowed_in_multi,
    persisted,
    enough_replicas,
    writable,
    allowed_to_subscribers,
    loaded,
];

/// Lets the command through, or says why not.
pub(crate) fn pass(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    GATES.iter().try_for_each(|gate| gate(asker, entry))
}

/// Whether no gate is closed to anybody who may ask and does not queue: then none is asked about each command.
pub(crate) fn are_open(server: &Server, config: &Config, client: &Client) -> bool {
    let is_unrestricted = client.admin || config.restricted_commands.is_empty();
    let is_writable = !server.status.is_replica() && !server.stopping.load(Ordering::Acquire);
    is_unrestricted
        && is_writable
        && !only_listens(client)
        && !server.status.is_loading()
        && config.min_replicas_to_write == 0
        && !is_unpersisted(server, config)
}

fn authenticated(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    if asker.may_ask || entry.command.flags.contains(Flags::NO_AUTH) {
        return Ok(());
    }
    if matches!(entry.name(), "replconf" | "dfly" | "psync" | "sync") {
        asker.server.turned_away.by_password(asker.client.peer.parse().ok());
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

fn unrestricted(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    if asker.client.admin || !asker.server.restricted[usize::from(entry.id)] {
        return Ok(());
    }
    Err(Refusal::fixed("ERR Cannot execute restricted command (admin only)"))
}

/// A node that stops takes no more writes: its replicas are given what there is. Nor does it make copies for followers:
/// its last snapshot would wait for them.
fn running(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    let copies = matches!(entry.name(), "psync" | "sync");
    if !(entry.writes() || copies) || !asker.server.stopping.load(Ordering::Acquire) {
        return Ok(());
    }
    Err(match copies {
        // Whoever reads this comes back later.
        true => Refusal::fixed("NOMASTERLINK Can't SYNC while this node is stopping"),
        false => Refusal::fixed("ERR this node is stopping and takes no more writes"),
    })
}

fn allowed_in_multi(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    if asker.is_queueing && entry.command.flags.contains(Flags::NO_MULTI) {
        return Err(Refusal::fixed("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

/// Whether writes are refused, as what `save` asks for has failed.
fn is_unpersisted(server: &Server, config: &Config) -> bool {
    server.snapshots.is_failing()
        && config.stop_writes_on_bgsave_error
        && !config.save.is_empty()
        && !config.dbfilename.is_empty()
        && !server.status.is_replica()
}

fn persisted(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    // PING too, as in Redis: whoever watches over the node is to see it.
    let is_asked = entry.writes() || entry.name() == "ping";
    if !is_asked || !is_unpersisted(asker.server, asker.config) {
        return Ok(());
    }
    Err(Refusal::fixed(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
         Commands that may modify the data set are disabled, because this instance is configured to report \
         errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
         the Redis logs for details about the RDB error.",
    ))
}

fn enough_replicas(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    let needed = asker.config.min_replicas_to_write;
    let is_off = needed == 0 || asker.config.min_replicas_max_lag.is_zero();
    if is_off || !entry.writes() || asker.server.status.is_replica() {
        return Ok(());
    }
    if asker.server.status.good_replicas() < needed {
        return Err(Refusal::fixed("NOREPLICAS Not enough good replicas to write."));
    }
    Ok(())
}

fn writable(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    if entry.writes() && asker.server.status.is_replica() {
        return Err(Refusal::ReadOnly);
    }
    Ok(())
}

fn only_listens(client: &Client) -> bool {
    client.is_subscriber() && client.protocol.load(Ordering::Relaxed) == 2
}

/// In RESP2 a message cannot be told from a reply: while it listens, a connection asks for nothing else.
fn allowed_to_subscribers(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    let is_open = !only_listens(asker.client)
        || matches!(
            entry.name(),
            "subscribe"
                | "ssubscribe"
                | "psubscribe"
                | "unsubscribe"
                | "sunsubscribe"
                | "punsubscribe"
                | "ping"
                | "quit"
                | "reset"
        );
    if is_open {
        return Ok(());
    }
    let after = "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    Err(Refusal::quoting("ERR Can't execute '", entry.name().as_bytes(), after))
}

fn is_about_copies(name: &str) -> bool {
    let command = name.split('|').next().unwrap_or_default();
    matches!(command, "replicaof" | "slaveof" | "replconf" | "psync" | "sync" | "dfly" | "failover")
}

fn loaded(asker: &Asker<'_>, entry: &Entry) -> Result<(), Refusal> {
    let is_closed = !entry.command.flags.contains(Flags::LOADING)
        // Redis names DEBUG as a whole one that runs meanwhile; what looks at keys would see half of them.
        || entry.name().starts_with("debug|") && !entry.command.is_front()
        // What is read from a file is nobody's copy yet, nor may anybody's come between.
        || asker.server.loading.is_under_way() && is_about_copies(entry.name());
    if asker.server.status.is_loading() && is_closed {
        return Err(Refusal::LOADING);
    }
    Ok(())
}
