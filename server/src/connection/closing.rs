//! Clients that are closed because of their limits: each is counted, and one line of the log names the
//! client, what it had, and the setting to raise.

use super::Session;
use crate::server::Counters;
use std::io;
use std::time::Duration;

/// Which of the limits of `client-output-buffer-limit` a client came over.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    /// The hard one, of so many bytes.
    Hard(u64),
    /// The soft one, of so many bytes, for so long.
    Soft(u64, Duration),
}

/// A client has more replies waiting than it may have: it ends.
pub(super) fn over_output(session: &Session, waiting: u64, limit: Limit) -> io::Error {
    Counters::add(&session.server.counters.output_disconnections, 1);
    let limit = match limit {
        Limit::Hard(bytes) => format!("the hard limit of {bytes} bytes"),
        Limit::Soft(bytes, time) => {
            format!("the soft limit of {bytes} bytes, for {} s", time.as_secs())
        }
    };
    let class = if session.client.is_subscriber() { "pubsub" } else { "normal" };
    tracing::warn!(
        "{} omem={waiting} is closed: over {limit} of client-output-buffer-limit {class}",
        name(session)
    );
    io::ErrorKind::OutOfMemory.into()
}

/// A client has taken nothing of its replies for the setting `timeout`: it ends.
pub(super) fn took_nothing(session: &Session) -> io::Error {
    Counters::add(&session.server.counters.timed_out, 1);
    let (client, seconds) = (name(session), session.config.timeout.as_secs());
    tracing::info!("{client} is closed: it took nothing of its replies for {seconds} s (timeout)");
    io::ErrorKind::TimedOut.into()
}

/// A client has asked for something larger than a request may be: it ends.
pub(super) fn over_query(session: &Session) {
    Counters::add(&session.server.counters.query_disconnections, 1);
    tracing::warn!(
        "{} is closed: its request is over the limit of {} bytes of client-query-buffer-limit",
        name(session),
        session.request_limit()
    );
}

/// A client's queue of MULTI is as large as a request may be: it is told, and may go on.
pub(super) fn over_queue(session: &Session) {
    tracing::warn!(
        "{}: its MULTI is refused, over the limit of {} bytes of client-query-buffer-limit",
        name(session),
        session.request_limit()
    );
}

/// As CLIENT LIST names it.
fn name(session: &Session) -> String {
    let client = &session.client;
    format!("client id={} addr={} name={}", client.id, client.peer, client.words().name)
}
