//! What MULTI has queued, ready to run: in batches as they go to a shard, with the keys they need.
//!
//! ```text
//!   all keys on one shard:  one message with all batches there, one back      (one task)
//!   on several:             commands in a row that each run on one shard, whichever: one hop to all of them
//! ```

use super::answers::collect;
use super::tx::{Tx, TxKeys};
use super::{Front, Route, route_of};
use crate::command::{Args, Call, Entry, Flags, Who};
use crate::limits::{BATCH_BYTES_MAX, BATCH_REPLIES_MAX};
use crate::resp::{Output, Protocol};
use crate::shard::{Batch, Commands, Done, Mode, Unless, Work};
use crate::types::{DbIndex, ShardId};
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::rc::Rc;
use std::time::Duration;

/// Commands of one hop to several shards: to sort them takes some 500 us, and each hop costs as much as some
/// hundreds of them.
const ROW_COMMANDS_MAX: usize = 4096;

/// Requests in the order in which they are to run.
#[derive(Default)]
pub struct Queue {
    batches: Vec<Box<Batch>>,
    keys: TxKeys,
    /// Each command once.
    kinds: Vec<&'static Entry>,
    len: usize,
    bytes: usize,
}

impl Queue {
    /// Adds a request.
    pub fn push(&mut self, front: &Front, call: &Call<'_>) {
        if self.batches.last().is_none_or(|batch| batch.is_full()) {
            self.bytes += self.batches.last().map_or(0, |batch| batch.heap_bytes());
            self.batches.push(front.batch_of(call));
        }
        if let Some(batch) = self.batches.last_mut() {
            batch.push(call.entry, call.args);
        }
        self.keys.add(front, call.entry, &call.args);
        self.len += 1;
        if !self.kinds.iter().any(|kind| kind.id == call.entry.id) {
            self.kinds.push(call.entry);
        }
    }

    /// Adds a key that must not change before the queue runs.
    pub fn watch(&mut self, front: &Front, key: &[u8]) {
        self.keys.add_key(front, key, Mode::Shared);
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory that the requests take.
    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.batches.last().map_or(0, |batch| batch.heap_bytes())
    }

    /// The commands, each once.
    pub fn kinds(&self) -> &[&'static Entry] {
        &self.kinds
    }

    /// Whether one of the commands may change data.
    pub fn writes(&self) -> bool {
        self.kinds.iter().any(|entry| entry.writes())
    }

    /// Whether one of the commands may be told to replicas.
    pub fn may_change(&self) -> bool {
        self.kinds.iter().any(|entry| entry.may_change())
    }

    /// Whether one of the commands may need memory.
    pub fn needs_memory(&self) -> bool {
        self.kinds.iter().any(|entry| entry.command.flags.contains(Flags::DENYOOM))
    }

    /// The shard that can run all of it as one task, if there is one.
    pub fn only_shard(&self) -> Option<ShardId> {
        let is_front = self.kinds.iter().any(|entry| entry.command.is_front());
        self.keys.only_shard().filter(|_| !is_front)
    }

    /// The requests.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Entry, Args<'_>)> + Clone {
        self.batches.iter().flat_map(|batch| batch.iter())
    }

    /// Takes all keys, and waits for them; the queue keeps its requests.
    pub async fn begin(&mut self, front: &Rc<Front>) -> Tx {
        Tx::begin(front, std::mem::take(&mut self.keys)).await
    }

    /// Runs all of it as one task on the shard that has all keys; `None` where `unless` says so.
    pub async fn run_at_once(
        self,
        front: &Rc<Front>,
        shard: ShardId,
        as_of: &Setting<'_>,
        unless: Option<Unless>,
    ) -> Option<(Vec<Box<Batch>>, bool)> {
        let writes = self.writes();
        let mut batches = self.batches;
        for batch in &mut batches {
            as_of.prepare(batch);
        }
        let (waiter, mut work) = (front.waiter(), Commands::new(batches));
        work.unless = unless;
        let mut work = Some(work);
        let (wants, _) = self.keys.wants(front).await;
        front.begin(&waiter, wants, writes, |_| work.take().map(Work::Commands), true);
        match collect(&waiter, 1).await.pop() {
            Some((at, Done::Commands(batches))) if at == shard => Some((batches, writes)),
            _ => None,
        }
    }
}

/// How a connection stands when its queue runs.
pub struct Setting<'a> {
    /// SELECT.
    pub db: DbIndex,
    /// HELLO.
    pub protocol: Protocol,
    /// Who asks.
    pub who: &'a Who,
    /// From when on a command is slow.
    pub slow_from: Option<Duration>,
    /// Bytes of replies that stand before theirs.
    pub replied: usize,
}

impl Setting<'_> {
    /// Tells a batch how its commands are to run.
    pub fn prepare(&self, batch: &mut Batch) {
        (batch.db, batch.protocol, batch.slow_from) = (self.db, self.protocol, self.slow_from);
        batch.who = self.who.clone();
        if self.replied >= BATCH_REPLIES_MAX {
            batch.replies.hold_readily();
        }
    }
}

/// Commands in a row each of which runs wholly on one shard: one hop takes them to their shards. What they see
/// of each other is on one shard, where they keep their order.
#[derive(Default)]
pub struct Row {
    /// By shard, and whether one of its commands writes.
    batches: BTreeMap<ShardId, (Box<Batch>, bool)>,
    /// The shard of each command.
    order: Vec<ShardId>,
}

impl Row {
    /// Takes as many as there are at the front of what is `left`, and as a hop may have.
    pub fn take<'a>(
        front: &Front,
        setting: &Setting<'_>,
        left: &mut Peekable<impl Iterator<Item = (&'static Entry, Args<'a>)>>,
    ) -> Row {
        let (mut row, mut bytes) = (Row::default(), 0);
        let shards = front.node.shards();
        while row.order.len() < ROW_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
            let Some((entry, args)) = left.peek() else { break };
            let Route::One(shard) = route_of(entry, args, shards) else { break };
            let Some((entry, args)) = left.next() else { break };
            let (batch, writes) = row.batches.entry(shard).or_insert_with(|| {
                let Setting { db, protocol, who, .. } = *setting;
                let mut batch = front.batch_of(&Call { entry, db, protocol, who, args });
                setting.prepare(&mut batch);
                (batch, false)
            });
            *writes |= entry.writes();
            let before = batch.bytes.len();
            batch.push(entry, args);
            bytes += batch.bytes.len() - before;
            row.order.push(shard);
        }
        row
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Runs them within a transaction whose keys theirs are among; they come home with their replies.
    pub async fn run(self, tx: &mut Tx) -> Home {
        let batches = tx.run_batches(self.batches).await;
        Home { batches, order: self.order.into_iter() }
    }
}

/// Commands that have come home.
pub struct Home {
    batches: Vec<(ShardId, Box<Batch>, usize)>,
    order: std::vec::IntoIter<ShardId>,
}

impl Home {
    /// The batches.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().map(|(_, batch, _)| &**batch)
    }

    /// Bytes of all replies that have not been taken.
    pub fn whole(&self) -> usize {
        self.batches().map(|batch| batch.replies.whole()).sum()
    }

    /// The replies as they are, where all of them come from one shard.
    pub fn take_as_one(&mut self) -> Option<Output> {
        match self.batches.as_mut_slice() {
            [(_, batch, 0)] => {
                self.order = Vec::new().into_iter();
                Some(std::mem::take(&mut batch.replies))
            }
            _ => None,
        }
    }

    /// Appends some of the replies to `out`, in the order of the commands; whether those were the last.
    pub fn take_some(&mut self, out: &mut Output) -> bool {
        /// Some 10 us.
        const REPLIES: usize = 256;
        for shard in self.order.by_ref().take(REPLIES) {
            let from = self.batches.iter_mut().find(|(home, ..)| *home == shard);
            let (_, batch, next) = from.expect("a command's shard has a batch of it");
            batch.take_reply(*next, out);
            *next += 1;
        }
        self.order.len() == 0
    }
}
