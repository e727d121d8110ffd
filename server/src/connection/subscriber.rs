//! What a connection listens to, and the bell that wakes it.
//!
//! ```text
//!   hub ─► inbox ─► (its executor is told) ─► bell ─► the connection wakes, writes, waits again
//! ```

use engine::pubsub::{Inbox, Message, Scope};
use engine::resp::Protocol;
use futures_lite::future::or;
use replication::bell::Bell;
use replication::transport::Transport;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io::IoSlice;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

thread_local! {
    /// The bells of this executor's subscribers, by client.
    static BELLS: RefCell<HashMap<u64, Rc<Bell>>> = RefCell::default();
}

/// Something came for a client of this executor.
pub(crate) fn ring(client: u64) {
    let bell = BELLS.with_borrow(|bells| bells.get(&client).cloned());
    if let Some(bell) = bell {
        bell.ring();
    }
}

pub(super) type Names = BTreeSet<Box<[u8]>>;

/// What a connection listens to.
pub(crate) struct Subscriber {
    pub(super) inbox: Arc<Inbox>,
    bell: Rc<Bell>,
    pub(super) plain: Names,
    pub(super) sharded: Names,
    pub(super) patterns: Names,
    /// Names that it has left, which the hub has still.
    pub(super) leaving: BTreeSet<(Kind, Box<[u8]>)>,
}

impl Subscriber {
    pub(super) fn new(client: u64, executor: u16) -> Subscriber {
        let bell = Rc::new(Bell::default());
        BELLS.with_borrow_mut(|bells| bells.insert(client, bell.clone()));
        let (plain, sharded, patterns, leaving) = Default::default();
        Subscriber { inbox: Inbox::new(client, executor), bell, plain, sharded, patterns, leaving }
    }

    /// Whether the hub has a name still, which was being left: it is no more.
    pub(super) fn stays(&mut self, kind: Kind, name: &[u8]) -> bool {
        !self.leaving.is_empty() && self.leaving.remove(&(kind, Box::from(name)))
    }

    /// Whether there is something that it listens to.
    pub(super) fn listens(&self) -> bool {
        [&self.plain, &self.sharded, &self.patterns].iter().any(|names| !names.is_empty())
    }

    /// Waits until something comes, or has come since this returned last: whoever looked into the inbox and did
    /// something else before it waits misses nothing.
    pub(super) async fn rung(&self) {
        self.bell.wait().await;
    }

    /// The output of `wait`; what is said meanwhile is passed on. What was to be written before has been.
    pub(super) async fn pass_on_during<T>(
        &self,
        transport: &Transport,
        protocol: Protocol,
        wait: impl Future<Output = T>,
    ) -> T {
        let mut wait = pin!(wait);
        loop {
            let has_more = self.pass_on(transport, protocol).await;
            let rung = async {
                if !has_more {
                    self.rung().await;
                }
                None
            };
            if let Some(output) = or(async { Some((&mut wait).await) }, rung).await {
                return output;
            }
        }
    }

    /// Writes some of what has come; `false` when there was nothing. Whoever does not read waits for itself: its inbox
    /// is bounded, and it is ended at the bound.
    async fn pass_on(&self, transport: &Transport, protocol: Protocol) -> bool {
        let messages = self.inbox.take();
        let first = [Message::first(protocol)];
        for message in &messages {
            let mut slices = [&first, message.rest()].map(IoSlice::new);
            // A connection that is broken is found so by whoever waits.
            let _ = transport.write_vectored(&mut slices).await;
        }
        self.inbox.sent(&messages);
        !messages.is_empty()
    }

    pub(super) fn names(&mut self, kind: Kind) -> &mut Names {
        match kind {
            Kind::Channel => &mut self.plain,
            Kind::Shard => &mut self.sharded,
            Kind::Pattern => &mut self.patterns,
        }
    }

    /// What a reply to a subscription counts.
    pub(super) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.sharded.len(),
            Kind::Channel | Kind::Pattern => self.plain.len() + self.patterns.len(),
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        BELLS.with_borrow_mut(|bells| bells.remove(&self.inbox.client));
    }
}

/// What is listened to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// SUBSCRIBE.
    Channel,
    /// SSUBSCRIBE.
    Shard,
    /// PSUBSCRIBE.
    Pattern,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Channel, Kind::Shard, Kind::Pattern];

    pub(super) fn scope(self) -> Scope {
        if self == Kind::Shard { Scope::Sharded } else { Scope::Plain }
    }

    pub(super) fn word(self, begins: bool) -> &'static str {
        match (self, begins) {
            (Kind::Channel, true) => "subscribe",
            (Kind::Channel, false) => "unsubscribe",
            (Kind::Shard, true) => "ssubscribe",
            (Kind::Shard, false) => "sunsubscribe",
            (Kind::Pattern, true) => "psubscribe",
            (Kind::Pattern, false) => "punsubscribe",
        }
    }
}
