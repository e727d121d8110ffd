//! The node: mailboxes of all executors, and the one global order of many-shard transactions.

use crate::command::Registry;
use crate::db::Going;
use crate::libraries::Libraries;
use crate::rt::mailbox::Sender;
use crate::shard::{Begin, ExecutorId, Message, Patience, Pieces};
use crate::types::{ShardId, TxId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What all executors of this node share.
pub struct Node {
    /// One mailbox per executor: the shards', then the replication executor's and that for files.
    mailboxes: Vec<Sender<Message>>,
    /// How many of them are shards.
    shards: u16,
    /// How many databases there are.
    dbs: usize,
    /// The seed of all shards' tables: the front hashes keys for their locks.
    seed: u64,
    registry: &'static Registry,
    /// How long each executor's pieces of work are.
    pieces: Vec<Arc<Pieces>>,
    /// Flushed tables of all shards.
    going: Going,
    libraries: Libraries,
    next_tx: AtomicU64,
    /// Held while a transaction's parts are put into the mailboxes: mailboxes are first in, first
    /// out, so every shard sees the transactions in one order. The section is a few pushes long.
    order: Mutex<()>,
}

impl Node {
    /// A node of `shards` shards; `mailboxes` has one more entry for each further executor, as `ExecutorId` says.
    pub fn new(
        mailboxes: Vec<Sender<Message>>,
        shards: u16,
        dbs: usize,
        seed: u64,
        registry: &'static Registry,
    ) -> Node {
        assert!(mailboxes.len() >= usize::from(shards), "every shard has a mailbox");
        let (next_tx, order) = (AtomicU64::new(1), Mutex::new(()));
        let pieces = mailboxes.iter().map(|_| Arc::default()).collect();
        let (going, libraries) = (Going::default(), Libraries::default());
        Node { mailboxes, pieces, shards, dbs, seed, registry, going, libraries, next_tx, order }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// How many databases there are.
    pub fn dbs(&self) -> usize {
        self.dbs
    }

    /// The seed of all shards' tables.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash of a key in every shard's tables.
    pub fn hash(&self, key: &[u8]) -> u64 {
        crate::table::hash_with(self.seed, key)
    }

    /// How long the pieces of work of each executor are.
    pub fn pieces(&self) -> &[Arc<Pieces>] {
        &self.pieces
    }

    /// Flushed tables of all shards that are not freed yet.
    pub fn going(&self) -> &Going {
        &self.going
    }

    /// Libraries of functions.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// The commands.
    pub fn registry(&self) -> &'static Registry {
        self.registry
    }

    /// All shards, in order.
    pub fn all_shards(&self) -> impl ExactSizeIterator<Item = ShardId> + Clone + use<> {
        (0..self.shards).map(ShardId)
    }

    /// Puts a message into an executor's mailbox.
    pub fn send(&self, to: ExecutorId, message: Message) {
        // A closed mailbox means that the executor has stopped: nobody waits for what is lost.
        let _ = self.mailboxes[usize::from(to.0)].push(message);
    }

    /// Puts a message into the mailbox of one who may be patient.
    pub(super) fn send_to_patient(&self, to: ExecutorId, message: Message, patience: &Patience) {
        let mailbox = &self.mailboxes[usize::from(to.0)];
        let _ = mailbox.push_unless(message, || patience.is_set());
    }

    /// Has an executor look into its mailbox.
    pub(super) fn ring(&self, executor: ExecutorId) {
        self.mailboxes[usize::from(executor.0)].ring();
    }

    /// An id for a transaction.
    pub(super) fn next_tx(&self) -> TxId {
        TxId(self.next_tx.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives the transaction its place in the global order: `parts` makes the `Begin`s for that id.
    pub fn begin(&self, parts: impl FnOnce(TxId) -> Vec<(ShardId, Begin)>) {
        // A poisoned lock only means that another executor panicked, which aborts the process.
        let _order = self.order.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (shard, begin) in parts(self.next_tx()) {
            self.send(ExecutorId::from(shard), Message::Begin(Box::new(begin)));
        }
    }
}
