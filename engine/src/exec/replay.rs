//! A master's commands, run again here in its order: one that tells what it ran, and not what came of it.
//!
//! ```text
//!   add ─► lane of shard 0: [away] [waits: db 0] [db 1]     one batch of a lane is away at a time: a batch may
//!          lane of shard 1: [away] [waits: db 0]            have to wait for keys, and none may overtake it
//!   alone ─► settled ─► a command of several shards, or MULTI's queue as one transaction
//! ```
//!
//! On one shard commands keep their order; those of different shards may become visible in either order, as in
//! [`Pipeline`](super::Pipeline). Whoever adds a command says where it begins in the master's stream: what
//! stands before the first that is not done is applied.

use super::{Front, Queue, Route, Row, Setting, Tx, TxKeys, Waiter, route_of};
use crate::command::{Args, Call, Entry, OwnedArgs, Who};
use crate::limits::BATCH_COMMANDS_MAX;
use crate::resp::{Output, Protocol};
use crate::shard::{Answer, Batch, ExecutorId, Message};
use crate::types::DbIndex;
use std::collections::VecDeque;
use std::rc::Rc;

/// Bytes of commands in one batch: it is sent when the lane is free, and copied while it grows.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Used batches kept, and how large such a one may be: all of them together a few megabytes.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX;

/// A command that did not do here what it did there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// Its name.
    pub command: &'static str,
    /// What it was answered.
    pub error: String,
}

/// One of MULTI's commands.
pub struct Queued {
    entry: &'static Entry,
    db: DbIndex,
    args: OwnedArgs,
}

impl Queued {
    /// A command as it stands in `db`.
    pub fn new(db: DbIndex, entry: &'static Entry, args: Args<'_>) -> Queued {
        Queued { entry, db, args: OwnedArgs::copy(args) }
    }
}

/// See the module's doc.
pub struct Replay {
    front: Rc<Front>,
    waiter: Waiter,
    who: Who,
    lanes: Vec<Lane>,
    spare: Vec<Box<Batch>>,
    /// Bytes of what is not done.
    held: usize,
    misfit: Option<Misfit>,
}

/// What one shard has to do.
#[derive(Default)]
struct Lane {
    /// Where the batch that is away begins in the stream, and its bytes.
    away: Option<(u64, usize)>,
    waits: VecDeque<(u64, Box<Batch>)>,
}

impl Lane {
    /// Where the first command that is not done begins.
    fn first(&self) -> Option<u64> {
        let waits = self.waits.front().map(|(at, _)| *at);
        self.away.map(|(at, _)| at).or(waits)
    }
}

impl Replay {
    /// Nothing has been added yet.
    pub fn new(front: Rc<Front>) -> Replay {
        let lanes = front.node.all_shards().map(|_| Lane::default()).collect();
        let who = Who { is_master: true, ..Who::default() };
        let (waiter, spare) = (front.waiter(), Vec::new());
        Replay { front, waiter, who, lanes, spare, held: 0, misfit: None }
    }

    /// Adds a command that begins `at`. Answers `false` if it is none that one shard can run: then it has to be
    /// run [alone](Replay::alone).
    pub fn add(&mut self, db: DbIndex, entry: &'static Entry, args: Args<'_>, at: u64) -> bool {
        let Route::One(shard) = route_of(entry, &args, self.front.node.shards()) else {
            return false;
        };
        let has_room = |batch: &Batch| {
            let is_short = batch.commands.len() < BATCH_COMMANDS_MAX;
            batch.db == db && is_short && batch.bytes.len() < BATCH_BYTES_MAX
        };
        let lane = &mut self.lanes[shard.index()];
        if !lane.waits.back().is_some_and(|(_, batch)| has_room(batch)) {
            let nobody = self.front.nobody();
            let batch = match self.spare.pop() {
                Some(mut batch) => {
                    batch.reset(nobody, db, Protocol::Resp2);
                    batch
                }
                None => Box::new(Batch::new(nobody, db, Protocol::Resp2, self.who.clone())),
            };
            lane.waits.push_back((at, batch));
        }
        let Some((_, batch)) = lane.waits.back_mut() else { return false };
        let before = batch.bytes.len();
        batch.push(entry, args);
        self.held += batch.bytes.len() - before;
        true
    }

    /// Sends what waits to shards that have nothing of ours.
    pub fn send(&mut self) {
        (0..self.lanes.len()).for_each(|shard| self.send_to(shard));
    }

    fn send_to(&mut self, shard: usize) {
        let lane = &mut self.lanes[shard];
        if lane.away.is_some() {
            return;
        }
        let Some((at, mut batch)) = lane.waits.pop_front() else { return };
        lane.away = Some((at, batch.bytes.len()));
        batch.reply_to = self.waiter.reply_to();
        self.front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
    }

    /// Bytes of commands that are not done.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether everything that was added is done.
    pub fn is_settled(&self) -> bool {
        self.lanes.iter().all(|lane| lane.away.is_none() && lane.waits.is_empty())
    }

    /// Up to where the stream is applied, all before `end` having been added.
    pub fn applied(&self, end: u64) -> u64 {
        self.lanes.iter().filter_map(Lane::first).min().unwrap_or(end)
    }

    /// The first command that did not fit, since this was asked last.
    pub fn take_misfit(&mut self) -> Option<Misfit> {
        self.misfit.take()
    }

    /// Waits until a shard has done something. Nothing is lost when it is dropped.
    pub async fn progress(&mut self) {
        let answer = self.waiter.next().await;
        self.take(answer);
        while let Some(answer) = self.waiter.try_next() {
            self.take(answer);
        }
    }

    /// Waits until everything that was added is done.
    pub async fn settle(&mut self) {
        self.send();
        while !self.is_settled() {
            self.progress().await;
        }
    }

    fn take(&mut self, answer: Answer) {
        let Answer::Batch(mut batch) = answer else { unreachable!("a batch answers with itself") };
        let shard = batch.ran_on.index();
        self.note_misfits(&batch);
        if batch.is_unfinished() {
            batch.forget_replies();
            batch.reply_to = self.waiter.reply_to();
            self.front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
            return;
        }
        if let Some((_, bytes)) = self.lanes[shard].away.take() {
            self.held -= bytes;
        }
        if batch.heap_bytes() <= SPARE_BYTES_MAX && self.spare.len() < SPARES_MAX {
            self.spare.push(batch);
        }
        self.send_to(shard);
    }

    /// Nobody wants the replies: all that there are are errors.
    fn note_misfits(&mut self, batch: &Batch) {
        if batch.replies.whole() == 0 {
            return;
        }
        let (mut start, replies) = (0, batch.replies.to_bytes());
        let ran = batch.iter().skip(batch.ran - batch.ends.len());
        for ((entry, _), end) in ran.zip(batch.ends.iter().copied()) {
            self.note_reply(entry, &replies[start..end]);
            start = end;
        }
    }

    fn note_reply(&mut self, entry: &'static Entry, reply: &[u8]) {
        let Some(error) = reply.strip_prefix(b"-") else { return };
        if self.misfit.is_none() {
            let error = String::from_utf8_lossy(error.trim_ascii_end()).into_owned();
            self.misfit = Some(Misfit { command: entry.name(), error });
        }
    }

    /// Runs one command behind everything that was added, whatever its shape.
    pub async fn alone(&mut self, db: DbIndex, entry: &'static Entry, args: Args<'_>) {
        self.settle().await;
        let (front, who, protocol) = (self.front.clone(), self.who.clone(), Protocol::Resp2);
        let mut out = Output::default();
        front.run_wide(&Call { entry, db, protocol, who: &who, args }, &mut out).await;
        self.note_reply(entry, &out.to_bytes());
    }

    /// Runs MULTI's commands as one transaction, behind everything that was added.
    pub async fn as_one(&mut self, commands: &[Queued]) {
        self.settle().await;
        let (front, who) = (self.front.clone(), self.who.clone());
        let is_of_one_db = commands.windows(2).all(|pair| pair[0].db == pair[1].db);
        if let Some(first) = commands.first().filter(|_| is_of_one_db) {
            let mut queue = Queue::default();
            for Queued { entry, db, args } in commands {
                let (protocol, args) = (Protocol::Resp2, args.view());
                queue.push(&front, &Call { entry, db: *db, protocol, who: &who, args });
            }
            if let Some(shard) = queue.only_shard() {
                let setting = setting(first.db, &who);
                let done = queue.run_at_once(&front, shard, &setting, None).await;
                done.iter().flat_map(|(batches, _)| batches).for_each(|it| self.note_misfits(it));
                return;
            }
        }
        let mut keys = TxKeys::default();
        commands.iter().for_each(|it| keys.add(&front, it.entry, &it.args.view()));
        let mut tx = Tx::begin(&front, keys).await;
        for of_one_db in commands.chunk_by(|one, next| one.db == next.db) {
            self.run_in_order(of_one_db, &mut tx, &who).await;
        }
        tx.conclude().await;
    }

    async fn run_in_order(&mut self, commands: &[Queued], tx: &mut Tx, who: &Who) {
        let Some(db) = commands.first().map(|first| first.db) else { return };
        let front = self.front.clone();
        let mut rest = commands.iter().map(|it| (it.entry, it.args.view())).peekable();
        loop {
            let row = Row::take(&front, &setting(db, who), &mut rest);
            if !row.is_empty() {
                let home = row.run(tx).await;
                home.batches().for_each(|batch| self.note_misfits(batch));
                continue;
            }
            let Some((entry, args)) = rest.next() else { return };
            let (mut out, protocol) = (Output::default(), Protocol::Resp2);
            tx.run(&Call { entry, db, protocol, who, args }, &mut out).await;
            self.note_reply(entry, &out.to_bytes());
        }
    }
}

fn setting(db: DbIndex, who: &Who) -> Setting<'_> {
    Setting { db, protocol: Protocol::Resp2, who, slow_from: None, replied: 0 }
}
