//! What executors send each other. Everything that crosses a core is a [`Message`] in a mailbox.
//!
//! Functions may be sent too. `S` is what they run on: the shard, which this file knows nothing of.

use super::address::{ReplyTo, Ticket};
use super::applying::ApplyBatch;
use super::locks::Wants;
use crate::command::shape::{Did, Slices, Step};
use crate::command::{Args, Call, Entry, LongArg, OwnedCall, Refusal, Who};
use crate::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX};
use crate::resp::{Output, Protocol, Span};
use crate::types::{DbIndex, Lsn, ShardId, TxId};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Work or an answer on its way between executors.
pub enum Message<S> {
    /// Commands of one connection for one shard.
    Batch(Box<Batch>),
    /// A transaction's part for this shard arrives, in the global order.
    Begin(Box<Begin<S>>),
    /// All shards of this transaction have granted its keys.
    Armed(TxId),
    /// The next step of a transaction that is driven by its coordinator.
    Hop(Box<Hop<S>>),
    /// Records of an upstream flow.
    Apply(Box<ApplyBatch>),
    /// A function to run on the shard between tasks.
    Call(Box<dyn FnOnce(&mut S) + Send>),
    /// An answer to a waiting task.
    Answer(Ticket, Answer),
    /// Something for the executor's own service (the replication executor's sessions and flows).
    Service(Box<dyn Any + Send>),
}

/// What a waiting task gets.
pub enum Answer {
    /// The batch comes home with its replies.
    Batch(Box<Batch>),
    /// A batch whose asker wanted to know is at a command that takes long.
    TakesLong,
    /// The transaction's keys are granted everywhere: hops may be sent.
    Armed,
    /// One shard did its hop.
    Done(ShardId, Done),
    /// The result of a call.
    Value(Box<dyn Any + Send>),
}

/// Commands of one connection that one shard can run alone, in order; it travels there and back.
pub struct Batch {
    /// Who waits for it.
    pub reply_to: ReplyTo,
    /// The shard that ran it.
    pub ran_on: ShardId,
    /// The connection's database.
    pub db: DbIndex,
    /// The connection's protocol.
    pub protocol: Protocol,
    /// Who asks.
    pub who: Who,
    /// The requests' bytes, one after the other.
    pub bytes: Vec<u8>,
    /// Where the arguments stand in `bytes`.
    pub spans: Vec<Span>,
    /// Arguments that stand elsewhere, of all requests.
    long: Vec<LongArg>,
    /// The commands.
    pub commands: Vec<BatchCommand>,
    /// How many have been run.
    pub ran: usize,
    /// The replies, one after the other.
    pub replies: Output,
    /// Where each reply ends in `replies`.
    pub ends: Vec<usize>,
    /// The shard's journal head after the last command that wrote; 0 when none did.
    pub written: Lsn,
    /// The next command has begun and goes on in slices.
    pub(super) slices: Option<Slices>,
    /// Whether its asker wants to know when a command that only reads takes long.
    pub tells: bool,
    /// Slices that the command has had.
    pub(super) sliced: u32,
    /// From here on a command of a transaction is slow.
    pub slow_from: Option<Duration>,
    /// Which commands were, and how long they took.
    pub slow: Vec<(u32, Duration)>,
    /// Its asker may be patient.
    pub(crate) patience: Option<Arc<Patience>>,
}

/// Whether somebody who asks shards for something will look by himself whether it is done, soon: nobody wakes him then.
#[derive(Default, Debug)]
pub(crate) struct Patience(AtomicBool);

impl Patience {
    /// From now on, or no more. Who is no more looks afterwards.
    pub(crate) fn set(&self, is_patient: bool) {
        self.0.store(is_patient, Ordering::Relaxed);
    }

    /// Whether he is.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One command of a batch: its declaration and its arguments' spans.
#[derive(Clone, Copy)]
pub struct BatchCommand {
    /// What to run.
    pub entry: &'static Entry,
    /// Index of its first span.
    pub first: u32,
    /// How many spans it has.
    pub count: u32,
}

impl Batch {
    /// An empty batch.
    pub fn new(reply_to: ReplyTo, db: DbIndex, protocol: Protocol, who: Who) -> Batch {
        Batch {
            reply_to,
            ran_on: ShardId(0),
            db,
            protocol,
            who,
            bytes: Vec::new(),
            spans: Vec::new(),
            long: Vec::new(),
            commands: Vec::new(),
            ran: 0,
            replies: Output::default(),
            ends: Vec::new(),
            written: Lsn(0),
            slices: None,
            tells: false,
            sliced: 0,
            slow_from: None,
            slow: Vec::new(),
            patience: None,
        }
    }

    /// Makes a used batch empty again, keeping its memory.
    pub fn reset(&mut self, reply_to: ReplyTo, db: DbIndex, protocol: Protocol) {
        self.bytes.clear();
        self.spans.clear();
        self.long.clear();
        self.commands.clear();
        self.replies.clear();
        self.ends.clear();
        (self.reply_to, self.db, self.protocol) = (reply_to, db, protocol);
        (self.ran, self.written) = (0, Lsn(0));
    }

    /// Whether it is as long as it may become: the next command goes into another one.
    pub fn is_full(&self) -> bool {
        self.commands.len() >= BATCH_COMMANDS_MAX || self.bytes.len() >= BATCH_BYTES_MAX
    }

    /// Whether commands are left that have not run: there were too many bytes of replies.
    pub fn is_unfinished(&self) -> bool {
        self.ran < self.commands.len()
    }

    /// Whoever asks is closed: the commands that are left are answered by nothing.
    pub fn give_up(&mut self) {
        while self.is_unfinished() {
            self.note_ran();
        }
    }

    /// Forgets the replies, which have been used, so that the rest can run.
    pub fn forget_replies(&mut self) {
        self.ends.clear();
        if self.replies.capacity() > 2 * crate::limits::BATCH_REPLIES_MAX {
            self.replies = Output::default();
        }
        self.replies.clear();
    }

    /// Where the reply of the next command begins.
    pub(super) fn next_start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The next command to run, and where its reply goes.
    pub fn next(&mut self) -> (Call<'_>, &mut Output) {
        let Batch { db, protocol, ref who, ref bytes, ref spans, ref long, .. } = *self;
        let BatchCommand { entry, first, count } = self.commands[self.ran];
        let spans = &spans[first as usize..(first + count) as usize];
        let args = Args::new(bytes, spans).with_long(long);
        (Call { entry, db, protocol, who, args }, &mut self.replies)
    }

    /// The next command has run.
    pub fn note_ran(&mut self) {
        self.ends.push(self.replies.len());
        self.ran += 1;
    }

    /// Adds a command, copying its arguments but long ones.
    pub fn push(&mut self, entry: &'static Entry, args: Args<'_>) {
        let first = self.spans.len() as u32;
        for index in 0..args.len() {
            args.copy_to(index, &mut self.bytes, &mut self.spans, &mut self.long);
        }
        self.commands.push(BatchCommand { entry, first, count: args.len() as u32 });
    }

    /// The commands that it began with.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Entry, Args<'_>)> + Clone {
        self.commands.iter().map(|&BatchCommand { entry, first, count }| {
            let spans = &self.spans[first as usize..(first + count) as usize];
            (entry, Args::new(&self.bytes, spans).with_long(&self.long))
        })
    }

    /// The memory that it has for itself, used or not.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.replies.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.commands.capacity() * size_of::<BatchCommand>()
            + self.ends.capacity() * size_of::<usize>()
            + self.long.iter().map(LongArg::heap_bytes).sum::<usize>()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The reply of command `index`, counted from the first whose reply is here.
    /// It moves; those before it must have been taken.
    pub fn take_reply(&mut self, index: usize, out: &mut Output) {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        out.take_from(&mut self.replies, start..self.ends[index]);
    }
}

/// What the shards of one transaction share.
pub struct TxShared {
    /// Its place in the global order.
    pub id: TxId,
    /// The shards that take part, in ascending order.
    pub shards: Box<[ShardId]>,
    /// How many of them have not granted all keys yet.
    pub unarmed: AtomicUsize,
    /// Whether it may change data: then its frames keep the global order.
    pub writes: bool,
    /// Who drives it.
    pub reply_to: ReplyTo,
}

/// A transaction arrives at a shard.
pub struct Begin<S> {
    /// What all its shards share.
    pub shared: Arc<TxShared>,
    /// The keys it needs here.
    pub wants: Wants,
    /// What to do as soon as all shards are armed. Without it the coordinator drives the transaction
    /// by hops from the start.
    pub work: Option<Work<S>>,
    /// Whether the transaction concludes with that work.
    pub concludes: bool,
    /// Whether it applies records of an upstream: then it keeps its place among them.
    pub applies: bool,
}

/// A step of a driven transaction on one shard.
pub struct Hop<S> {
    /// Which transaction.
    pub tx: TxId,
    /// What to do.
    pub work: Work<S>,
    /// With the last hop: the shards whose logs get a part of the frame.
    pub conclude: Option<Arc<[ShardId]>>,
}

/// What a transaction does on one shard in one hop.
pub enum Work<S> {
    /// Nothing (a hop that only concludes).
    Nothing,
    /// This shard's step of a command over several shards.
    Step(OwnedCall, Step),
    /// Whole commands (of a MULTI) whose keys are all here.
    Commands(Commands<S>),
    /// A function.
    Call(Box<dyn FnOnce(&mut S) -> Box<dyn Any + Send> + Send>),
}

/// Asks once more, on the shard and with the keys in hand, whether to run at all.
pub(super) type Unless<S> = Box<dyn FnOnce(&mut S) -> bool + Send>;

/// Commands of a MULTI, in order.
pub struct Commands<S> {
    /// The commands; those of one batch have one database and one protocol.
    pub batches: Vec<Box<Batch>>,
    /// The first batch that has not run to its end.
    pub(super) at: usize,
    /// Bytes of replies so far.
    pub(super) made: usize,
    /// Where this says so, nothing runs and the answer is [`Done::Nothing`].
    pub unless: Option<Unless<S>>,
}

impl<S> Commands<S> {
    /// These commands, without a condition.
    pub fn new(batches: Vec<Box<Batch>>) -> Commands<S> {
        Commands { batches, at: 0, made: 0, unless: None }
    }
}

/// What a hop came to on one shard.
pub enum Done {
    /// Nothing to say.
    Nothing,
    /// What a step came to.
    Did(Did),
    /// The commands come home with their replies.
    Commands(Vec<Box<Batch>>),
    /// The result of a function.
    Value(Box<dyn Any + Send>),
    /// The work was refused.
    Refused(Refusal),
}
