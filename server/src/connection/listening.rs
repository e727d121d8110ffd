//! A connection that listens to channels: begins, ends, and passes on what was said.
//!
//! Messages leave behind the reply to a request, and between two waits for requests: they come where they can be told
//! from replies. The inbox's bounds are the hub's business ([`crate::listeners`]).

use super::sending;
use super::session::{Session, breathe_after};
use super::subscriber::{Kind, Subscriber};
use engine::command::Refusal;
use engine::glob::Pattern;
use engine::pubsub::Message;
use engine::resp::{Output, Protocol, ReplyWriter};
use replication::transport::Transport;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

impl Session {
    /// Begins to listen, and says so.
    pub(crate) fn subscribe(
        &mut self,
        kind: Kind,
        name: &[u8],
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        let pattern = match kind {
            Kind::Pattern => Some(Pattern::new(name).ok_or(Refusal::LongPattern)?),
            _ => None,
        };
        let (client, executor) = (self.client.id, self.front.me.0);
        let make = || Box::new(Subscriber::new(client, executor));
        let subscriber = self.subscriber.get_or_insert_with(make);
        self.client.listens_by(&subscriber.inbox);
        if subscriber.names(kind).insert(Box::from(name)) && !subscriber.stays(kind, name) {
            match pattern {
                Some(pattern) => {
                    self.server.hub.subscribe_pattern(name, pattern, &subscriber.inbox);
                }
                None => self.server.hub.subscribe(kind.scope(), name, &subscriber.inbox),
            }
        }
        confirm(kind, true, Some(name), subscriber.count(kind), reply);
        self.note_subscriptions();
        Ok(())
    }

    /// Ends listening to one name, or to all of the kind, and says so.
    pub(crate) fn unsubscribe(
        &mut self,
        kind: Kind,
        name: Option<&[u8]>,
        reply: &mut ReplyWriter<'_>,
    ) {
        let all: Vec<Box<[u8]>> = match (name, &mut self.subscriber) {
            (Some(name), _) => vec![Box::from(name)],
            (None, Some(subscriber)) => subscriber.names(kind).iter().cloned().collect(),
            (None, None) => Vec::new(),
        };
        for name in &all {
            self.leave(kind, name);
            // What was said before comes before the word that it is over; but EXEC's reply holds no messages:
            // they come behind it.
            if !self.in_exec {
                self.take_messages(reply, usize::MAX);
            }
            let left = self.subscriber.as_ref().map_or(0, |subscriber| subscriber.count(kind));
            confirm(kind, false, Some(name), left, reply);
        }
        if all.is_empty() {
            let left = self.subscriber.as_ref().map_or(0, |subscriber| subscriber.count(kind));
            confirm(kind, false, None, left, reply);
        }
        self.note_subscriptions();
    }

    fn leave(&mut self, kind: Kind, name: &[u8]) {
        let Some(subscriber) = &mut self.subscriber else { return };
        if !subscriber.names(kind).remove(name) {
            return;
        }
        subscriber.leaving.insert((kind, Box::from(name)));
        // What EXEC's commands have said is said when all of them have run, and it listened then.
        if !self.in_exec {
            self.leave_for_good();
        }
    }

    /// The names that it has left are the hub's no more.
    pub(super) fn leave_for_good(&mut self) {
        let Some(subscriber) = &mut self.subscriber else { return };
        for (kind, name) in std::mem::take(&mut subscriber.leaving) {
            match kind {
                Kind::Pattern => self.server.hub.unsubscribe_pattern(&name, &subscriber.inbox),
                _ => self.server.hub.unsubscribe(kind.scope(), &name, &subscriber.inbox),
            }
        }
    }

    /// The end of EXEC: what its commands have said has been said.
    pub(super) fn leave_behind_exec(&mut self) {
        self.leave_for_good();
        if let Some(subscriber) = &self.subscriber
            && self.protocol == Protocol::Resp2
            && !subscriber.listens()
        {
            // Whoever listens to nothing takes a message for a reply there.
            subscriber.inbox.forget();
        }
    }

    /// Ends all of it, and says nothing: RESET, or the connection's end.
    pub(crate) async fn forget_subscriptions(&mut self) {
        let mut done = 0;
        for kind in Kind::ALL {
            while let Some(subscriber) = &mut self.subscriber
                && let Some(name) = subscriber.names(kind).first().cloned()
            {
                self.leave(kind, &name);
                breathe_after(done).await;
                done += 1;
            }
        }
        self.note_subscriptions();
        // What nobody wants any more goes with it.
        self.subscriber = None;
        self.client.listens_no_more();
    }

    /// Writes what a request has said to its own connection, behind its reply; up to about so many bytes, since others may say
    /// more meanwhile.
    pub(super) fn tell_itself(&self, out: &mut Output, most: usize) {
        if self.subscriber.as_deref().is_some_and(Subscriber::listens) {
            self.take_messages(&mut ReplyWriter::new(out, self.protocol), most);
        }
    }

    /// Others see what is listened to; and the limits are those of subscribers, or no more.
    fn note_subscriptions(&mut self) {
        let counts = self.subscriber.as_ref().map_or([0; 3], |subscriber| {
            [&subscriber.plain, &subscriber.patterns, &subscriber.sharded].map(BTreeSet::len)
        });
        let places = [&self.client.channels, &self.client.patterns, &self.client.shard_channels];
        for (place, count) in places.into_iter().zip(counts) {
            place.store(count as u32, Ordering::Relaxed);
        }
        self.subscriptions_changed();
    }

    /// Writes the messages that are there, all of them unless that becomes more than so many bytes.
    fn take_messages(&self, reply: &mut ReplyWriter<'_>, most: usize) {
        let Some(subscriber) = &self.subscriber else { return };
        while reply.out.len() < most {
            let messages = subscriber.inbox.take();
            if messages.is_empty() {
                return;
            }
            for message in &messages {
                reply.raw(&[Message::first(self.protocol)]);
                reply.raw(message.rest());
            }
            subscriber.inbox.sent(&messages);
        }
    }
}

/// Messages above this size are written as they are: a copy of each for each of many subscribers would be much.
const WRITTEN_APART: usize = 64 * 1024;

/// Sends what has come, until there is nothing more. What was to be sent before has been.
pub(super) async fn deliver(
    transport: &Transport,
    session: &mut Session,
    out: &mut Output,
) -> io::Result<()> {
    session.delivers = true;
    let delivered = deliver_all(transport, session, out).await;
    session.delivers = false;
    delivered
}

async fn deliver_all(
    transport: &Transport,
    session: &mut Session,
    out: &mut Output,
) -> io::Result<()> {
    while let Some(subscriber) = &session.subscriber {
        let inbox = subscriber.inbox.clone();
        let messages = inbox.take();
        if messages.is_empty() {
            break;
        }
        let first = Message::first(session.protocol);
        for message in &messages {
            out.push(first);
            if message.len() < WRITTEN_APART {
                out.extend_from_slice(message.rest());
                continue;
            }
            sending::send(transport, session, out).await?;
            sending::send_apart(transport, session, message.rest()).await?;
        }
        sending::send(transport, session, out).await?;
        inbox.sent(&messages);
    }
    Ok(())
}

/// The word that listening has begun or ended; in RESP3 it is a push, as in Redis.
fn confirm(
    kind: Kind,
    begins: bool,
    name: Option<&[u8]>,
    count: usize,
    reply: &mut ReplyWriter<'_>,
) {
    match reply.protocol {
        Protocol::Resp3 => reply.push(3),
        Protocol::Resp2 => reply.array(3),
    }
    reply.bulk(kind.word(begins));
    reply.bulk_or_nil(name);
    reply.count(count);
}
