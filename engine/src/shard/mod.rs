//! One core's world: a shard's keys, its journal, and the order in which tasks touch them.
//!
//! A shard is a synchronous state machine. It is given messages and requests, runs each to its end,
//! and leaves what it has to say to other executors in its outbox. It knows no sockets, no timers and
//! no glommio, so that a seeded scheduler can drive the very same code ([`tests of the model`]).
//!
//! ```text
//!   request of a connection here ─► run_here ──┐ keys closed: runs in place
//!   Batch from elsewhere ──────────► receive ──┤
//!                                              │ keys open: waits in `locks`
//!   Begin / Armed / Hop ───────────► tx ───────┘
//!
//!   task ends ─► its frame goes to the log (transactions: in global order) ─► publish
//! ```
//!
//! Who may run when:
//! - nothing open ([`Locks::is_quiet`]): everything runs at once, without a look at any table;
//! - otherwise a command whose keys are open waits behind them, and so does what follows it in its
//!   batch.
//!
//! [`tests of the model`]: ../../tests/model/index.html

mod apply;
mod cut;
mod errors;
mod held;
mod locks;
mod message;
mod pieces;
mod room;
mod run;
mod running;
mod slices;
mod tx;

pub use apply::{Applied, ApplyBatch, Passed};
pub use errors::ErrorCounts;
pub use held::{LargeId, LargeStep};
pub use locks::{EntryId, Locks, Mode, Wants};
pub(crate) use locks::{MANY_FROM, merge_duplicates};
pub use message::{
    Answer, Batch, BatchCommand, Begin, Commands, Done, ExecutorId, Hop, Message, ReplyTo, Ticket,
    TxShared, Unless, Work,
};
pub use pieces::{Piece, Pieces};
pub use room::Gate;
pub use run::CommandStats;
pub(crate) use run::keys_of;
pub use slices::Pace;

use crate::cut::Cut;
use crate::db::Keyspace;
use crate::journal::LogWriter;
use crate::types::{Millis, ShardId, TxId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// One shard.
pub struct Shard {
    /// Which one.
    pub id: ShardId,
    /// Of how many.
    pub shards: u16,
    /// Its keys.
    pub keys: Keyspace,
    /// Its journal.
    pub log: LogWriter,
    /// Counters per command id.
    pub stats: Vec<CommandStats>,
    /// Error replies of commands that ran here.
    pub errors: ErrorCounts,
    /// What the shard asks before it runs a command that may need memory.
    pub gate: Gate,
    /// How long the executor's pieces of work are.
    pub pieces: Arc<Pieces>,
    /// Cuts under way, the oldest first.
    pub cuts: Vec<Cut>,
    pub(crate) locks: Locks,
    next_entry: u64,
    /// What waits or holds in `locks`.
    entries: HashMap<EntryId, tx::Waiting>,
    /// Transactions by id.
    transactions: HashMap<TxId, tx::Transaction>,
    /// Transactions that may write, in global order, until their frames are in the log.
    order: VecDeque<tx::Ordered>,
    /// Entries that were granted and have not been served yet.
    granted: VecDeque<EntryId>,
    /// What goes on in slices.
    running: VecDeque<running::Running>,
    /// Whether slices are measured by the clock; else each is as short as can be, so that a model's seed
    /// decides alone.
    is_timed: bool,
    /// Records of upstream flows that wait for open keys.
    applying: apply::Applying,
    outbox: Vec<(ExecutorId, Message)>,
}

impl Shard {
    /// An empty shard.
    pub fn new(id: ShardId, shards: u16, keys: Keyspace, commands: usize) -> Shard {
        Shard {
            id,
            shards,
            keys,
            log: LogWriter::new(),
            stats: vec![CommandStats::default(); commands],
            errors: ErrorCounts::default(),
            gate: Gate::new(shards),
            pieces: Arc::default(),
            cuts: Vec::new(),
            locks: Locks::default(),
            next_entry: 1,
            entries: HashMap::new(),
            transactions: HashMap::new(),
            order: VecDeque::new(),
            granted: VecDeque::new(),
            running: VecDeque::new(),
            is_timed: false,
            applying: apply::Applying::default(),
            outbox: Vec::new(),
        }
    }

    /// Sets the time for the tasks that follow.
    pub fn set_now(&mut self, now: Millis) {
        self.keys.set_now(now);
    }

    /// Does what a message asks.
    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Batch(batch) => self.run_batch(batch),
            Message::Begin(begin) => self.begin(*begin),
            Message::Armed(tx) => self.armed(tx),
            Message::Hop(hop) => self.hop(*hop),
            Message::Apply(batch) => self.apply_arrives(batch),
            Message::Call(call) => {
                call(self);
                // What a look has deleted stands in the log before anything that comes after it.
                self.log_frame();
            }
            Message::Answer(..) | Message::Service(_) => {
                unreachable!("answers go to the executor's front, not to its shard")
            }
        }
        self.settle();
    }

    /// Serves entries that were granted meanwhile, until there are none.
    pub(crate) fn settle(&mut self) {
        while let Some(entry) = self.granted.pop_front() {
            self.serve(entry);
        }
    }

    /// Whether the journal keeps records or only counts them. Changes while no transaction is under way.
    pub fn set_keeping(&mut self, keeping: bool) {
        self.log.set_keeping(keeping);
        self.keys.set_telling(keeping);
    }

    /// Begins a new journal, of a new history, that keeps records. Readers of the old one end.
    pub fn begin_journal(&mut self) {
        self.log.set_keeping(false);
        self.log = LogWriter::new();
        self.keys.set_telling(true);
    }

    /// Makes what the tasks since the last call wrote visible to readers of the journal.
    pub fn publish(&mut self) {
        // Commands log their own frames. Left here is only what a call has deleted by looking.
        self.log_frame();
        self.tell_victims();
        self.log.publish(self.keys.now());
    }

    /// Messages for other executors (and for the front of this one), in order.
    pub fn take_outbox(&mut self) -> std::vec::Drain<'_, (ExecutorId, Message)> {
        self.outbox.drain(..)
    }

    /// Whether there is something in the outbox.
    pub fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Answers a waiting task.
    pub fn answer(&mut self, to: ReplyTo, answer: Answer) {
        self.send(to.executor, Message::Answer(to.ticket, answer));
    }

    pub(crate) fn send(&mut self, to: ExecutorId, message: Message) {
        self.outbox.push((to, message));
    }

    pub(crate) fn new_entry(&mut self) -> EntryId {
        let id = EntryId(self.next_entry);
        self.next_entry += 1;
        id
    }

    /// Zeroes all counters (`CONFIG RESETSTAT`).
    pub fn reset_stats(&mut self) {
        self.stats.fill(CommandStats::default());
        self.errors = ErrorCounts::default();
        self.keys.reset_stats();
    }

    /// Entries that hold or wait for keys: for INFO and for the model's check that nothing is stuck.
    pub fn open_entries(&self) -> usize {
        self.locks.len()
    }
}

/// Test-only switches that plant the bugs of this room's stories.
#[cfg(feature = "planted-bugs")]
pub mod planted {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Frames of many-shard transactions go to the log as they conclude, in whatever order that is on
    /// each shard (J2).
    pub static FRAMES_IN_ORDER_OF_CONCLUSION: AtomicBool = AtomicBool::new(false);

    /// Records of a key whose item is on its way in pieces are applied at once (J4): the item, when it
    /// is whole, undoes them.
    pub static RECORDS_DO_NOT_WAIT_FOR_THEIR_ITEM: AtomicBool = AtomicBool::new(false);

    pub(super) fn frames_in_order_of_conclusion() -> bool {
        FRAMES_IN_ORDER_OF_CONCLUSION.load(Ordering::Relaxed)
    }

    pub(super) fn records_do_not_wait() -> bool {
        RECORDS_DO_NOT_WAIT_FOR_THEIR_ITEM.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod planted {
    pub(super) fn frames_in_order_of_conclusion() -> bool {
        false
    }

    pub(super) fn records_do_not_wait() -> bool {
        false
    }
}
