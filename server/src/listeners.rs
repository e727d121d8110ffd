//! The hub's way to the connections that listen: their executors are told, and who is over its limit is ended.

use crate::connection::ring;
use crate::server::{Counters, Server};
use engine::pubsub::{Counts, Host, Limits, Over};
use engine::shard::{ExecutorId, Message};
use std::sync::Weak;

/// See the module's doc.
pub(crate) struct Listeners(pub(crate) Weak<Server>);

impl Host for Listeners {
    fn tell(&self, executor: u16) {
        let Some(server) = self.0.upgrade() else { return };
        let there = self.0.clone();
        let wake = move |_: &mut _| {
            if let Some(server) = there.upgrade() {
                server.hub.take_told(executor).iter().for_each(|inbox| ring(inbox.client));
            }
        };
        server.node.send(ExecutorId(executor), Message::Call(Box::new(wake)));
    }

    fn end(&self, client: u64, over: Over, limits: &Limits) {
        if let Some(server) = self.0.upgrade() {
            end(&server, client, over, limits);
        }
    }
}

fn end(server: &Server, client: u64, over: Over, limits: &Limits) {
    let Some(client) = server.clients.find(client) else { return };
    Counters::add(&server.counters.output_disconnections, 1);
    let limit = if over.is_hard {
        format!("the hard limit of {} bytes", limits.hard_bytes)
    } else {
        let seconds = limits.soft_time.as_secs();
        format!("the soft limit of {} bytes, for {seconds} s", limits.soft_bytes)
    };
    tracing::warn!(
        "client id={} addr={} name={} omem={} is closed: over {limit} of client-output-buffer-limit pubsub",
        client.id,
        client.peer,
        client.words().name,
        over.waiting
    );
    server.clients.kill(&client);
}

/// Ends subscribers that have been over the soft limit for too long, also where nothing was said meanwhile.
pub(crate) fn end_slow(server: &Server) {
    let limits = server.hub.limits();
    if limits.soft_bytes == 0 || server.hub.counts() == Counts::default() {
        return;
    }
    for client in server.clients.all() {
        if let Some(inbox) = client.inbox()
            && let Some(over) = inbox.look(&limits)
        {
            end(server, client.id, over, &limits);
        }
    }
}
