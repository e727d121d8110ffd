//! What a connection listens to, and the bell that wakes it.
//!
//! ```text
//!   hub ─► inbox ─► (its executor is told) ─► bell ─► the connection wakes, writes, waits again
//! ```

use engine::pubsub::{Inbox, Scope};
use engine::rt::Notify;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

thread_local! {
    /// The bells of this executor's subscribers, by client.
    static BELLS: RefCell<HashMap<u64, Rc<Notify>>> = RefCell::default();
}

/// Something came for a client of this executor.
pub(crate) fn ring(client: u64) {
    let bell = BELLS.with_borrow(|bells| bells.get(&client).cloned());
    if let Some(bell) = bell {
        bell.notify_all();
    }
}

pub(super) type Names = BTreeSet<Box<[u8]>>;

/// What a connection listens to.
pub(crate) struct Subscriber {
    pub(super) inbox: Arc<Inbox>,
    bell: Rc<Notify>,
    pub(super) plain: Names,
    pub(super) sharded: Names,
    pub(super) patterns: Names,
}

impl Subscriber {
    pub(super) fn new(client: u64, executor: u16) -> Subscriber {
        let bell = Rc::new(Notify::new());
        BELLS.with_borrow_mut(|bells| bells.insert(client, bell.clone()));
        let (plain, sharded, patterns) = Default::default();
        Subscriber { inbox: Inbox::new(client, executor), bell, plain, sharded, patterns }
    }

    /// Waits until something comes.
    pub(super) async fn rung(&self) {
        if self.bell.wait().await.is_err() {
            // One task waits for each.
            std::future::pending::<()>().await;
        }
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
