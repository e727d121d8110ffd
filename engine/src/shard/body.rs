//! What a shard consists of, and what it says: the lowest of the files that work on it.

use super::address::{ExecutorId, ReplyTo};
use super::applying::{ApplyPlace, Applying};
use super::errors::ErrorCounts;
use super::gate::Gate;
use super::locks::{EntryId, Locks, Map, Wants};
use super::message::{self, Answer, Batch, Done, TxShared};
use super::pieces::Pieces;
use super::served::Served;
use super::sleepers::Sleepers;
use super::stats::CommandStats;
use super::turn::Turn;
use crate::command::Refusal;
use crate::cut::{Cut, FrozenCut};
use crate::db::{Keyspace, Made, WatchKey};
use crate::journal::{FrameBuilder, LogWriter, ShardSet, Transaction};
use crate::limits::RUN_SLICE_MICROS;
use crate::resp::{Protocol, ReplyWriter};
use crate::types::{Lsn, Millis, ShardId, TxId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Work or an answer on its way between executors.
pub type Message = message::Message<Shard>;
/// A transaction arrives at a shard.
pub type Begin = message::Begin<Shard>;
/// A step of a driven transaction on one shard.
pub type Hop = message::Hop<Shard>;
/// What a transaction does on one shard in one hop.
pub type Work = message::Work<Shard>;
/// Commands of a MULTI, in order.
pub type Commands = message::Commands<Shard>;
/// Asks once more, on the shard and with the keys in hand, whether to run at all.
pub type Unless = message::Unless<Shard>;

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
    /// The frozen cut under way.
    pub(super) frozen: Option<FrozenCut>,
    /// When somebody was served, for the length of its slices.
    pub(super) served: Served,
    /// The data is read from a file: clients do not write.
    pub(super) is_reading: bool,
    pub(crate) locks: Locks,
    next_entry: u64,
    /// What waits or holds in `locks`.
    pub(super) entries: Map<EntryId, Waiting>,
    /// Transactions by id.
    pub(super) transactions: Map<TxId, TxHere>,
    /// Transactions that may write, in global order, until their frames are in the log.
    pub(super) order: VecDeque<Ordered>,
    /// Entries that were granted and have not been served yet.
    pub(super) granted: VecDeque<EntryId>,
    /// What goes on in slices.
    pub(super) running: VecDeque<Running>,
    /// Whether slices are measured by the clock; else each is as short as can be, so that a model's seed
    /// decides alone.
    pub(super) is_timed: bool,
    /// Records of upstream flows that wait for open keys.
    pub(super) applying: Applying,
    /// Requests that sleep on keys.
    pub(super) sleepers: Sleepers,
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
            frozen: None,
            served: Served::default(),
            is_reading: false,
            locks: Locks::default(),
            next_entry: 1,
            entries: Map::default(),
            transactions: Map::default(),
            order: VecDeque::new(),
            granted: VecDeque::new(),
            running: VecDeque::new(),
            is_timed: false,
            applying: Applying::default(),
            sleepers: Sleepers::default(),
            outbox: Vec::new(),
        }
    }

    /// Sets the time for the tasks that follow.
    pub fn set_now(&mut self, now: Millis) {
        self.keys.set_now(now);
    }

    /// Whether the journal keeps records or only counts them. Changes while no transaction is under way.
    pub fn set_keeping(&mut self, keeping: bool) {
        self.log.set_keeping(keeping);
        self.keys.set_telling(keeping);
    }

    /// Whether the data is read from a file: then it alone writes.
    pub fn set_reading(&mut self, reading: bool) {
        self.is_reading = reading;
    }

    /// Begins a new journal, of a new history, that keeps records. Readers of the old one end.
    pub fn begin_journal(&mut self) {
        self.log.set_keeping(false);
        self.log = LogWriter::new();
        self.keys.set_telling(true);
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

    /// The head of this shard's journal, records of the running task included.
    pub fn head(&self) -> Lsn {
        self.log.lsn()
    }

    /// Lets slices be measured by the clock: somebody runs them between other work.
    pub fn set_timed(&mut self) {
        self.is_timed = true;
    }

    /// Whether something goes on in slices.
    pub fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn is_over(&self, turn: &mut Turn) -> bool {
        !self.is_timed || turn.is_longer(Duration::from_micros(RUN_SLICE_MICROS))
    }

    /// The same as of the last look.
    pub(super) fn was_over(&self, turn: &Turn) -> bool {
        !self.is_timed || turn.was_longer(Duration::from_micros(RUN_SLICE_MICROS))
    }

    /// Brings what the keys of a batch's next commands need into the cache, every so many commands.
    pub(super) fn fetch_ahead(&self, batch: &Batch) {
        /// As many as are parsed ahead of running.
        const KEYS: usize = 16;
        if batch.ran % KEYS != 0 {
            return;
        }
        let next = batch.iter().skip(batch.ran).take(KEYS);
        let keys = next.flat_map(|(entry, args)| {
            entry.command.keys.positions(&args).map(move |position| args.get(position))
        });
        self.keys.fetch_ahead::<KEYS>(batch.db, keys);
    }

    /// Puts the records of the running task into the log, as one frame.
    pub(super) fn log_frame(&mut self) {
        if self.keys.made().is_empty() {
            return;
        }
        append(&mut self.log, self.id, &self.keys.made().frame, None);
        self.keys.logged();
        self.log.settle(self.keys.now());
    }

    /// Writes an error and counts it.
    pub fn refuse(&mut self, refusal: &Refusal, protocol: Protocol, out: &mut Vec<u8>) {
        self.errors.note(&refusal.text());
        ReplyWriter::new(out, protocol).error(refusal.bytes());
    }
}

/// What an entry of the lock table stands for.
pub(super) enum Waiting {
    /// A batch whose next command's keys are open.
    Batch { batch: Box<Batch>, wants: Wants },
    /// Records of an upstream flow whose keys are open, at their place among those.
    Apply(ApplyPlace),
    /// A transaction.
    Tx(TxId),
    /// Those who sleep on a key, which somebody holds.
    Sleepers { key: WatchKey, wants: Wants },
    /// One who wants to know when all that was here is done.
    Outwaits(ReplyTo),
}

/// A transaction's state on this shard.
pub(super) struct TxHere {
    pub(super) shared: Arc<TxShared>,
    pub(super) entry: EntryId,
    pub(super) wants: Wants,
    pub(super) work: Option<Work>,
    pub(super) concludes: bool,
    /// Of a transaction that applies an upstream's records: its place among those.
    pub(super) applies: Option<ApplyPlace>,
    pub(super) made: Made,
}

/// A transaction's place in the order of frames.
pub(super) struct Ordered {
    pub(super) id: TxId,
    pub(super) concluded: Option<Concluded>,
}

/// A transaction that has run and whose keys are still open.
pub(super) struct Concluded {
    pub(super) entry: EntryId,
    pub(super) wants: Wants,
    pub(super) made: Made,
    /// The shards whose logs hold a part; `None` when this shard's does not.
    pub(super) touched: Option<Arc<[ShardId]>>,
    pub(super) reply_to: ReplyTo,
    /// What the coordinator is told, once the frame stands in the log: WAIT asks for positions that
    /// hold what was answered.
    pub(super) done: Done,
}

/// Something under way.
pub(super) enum Running {
    /// The rest of a batch whose turn was over.
    Rest(Box<Batch>),
    /// The next command of a batch. Its keys are held; its records are in a frame of their own.
    Command { entry: EntryId, wants: Wants, batch: Box<Batch>, made: Made },
    /// A transaction's hop, and the shards that it concludes with.
    Hop(TxId, Work, Option<Arc<[ShardId]>>),
}

/// Appends a frame of shard `me`. A global record is a transaction also where there is only one shard.
pub(super) fn append(
    log: &mut LogWriter,
    me: ShardId,
    frame: &FrameBuilder,
    tx: Option<(TxId, &[ShardId])>,
) {
    let alone = [me];
    let tx = match tx {
        None if frame.has_global() => Some((TxId(log.lsn().0 + 1), alone.as_slice())),
        tx => tx,
    };
    match tx {
        None => drop(log.append_frame(frame, None)),
        Some((id, shards)) => {
            let set = ShardSet::of(shards.iter().copied());
            let transaction = Transaction { id, shards: set.shards() };
            log.append_frame(frame, Some(transaction));
        }
    }
}
