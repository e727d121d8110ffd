//! A transaction driven by its coordinator, hop by hop: MULTI over several shards, and whatever else
//! needs more than one step.

use super::wide::{ask_all, carry_on, collect, gather_by_shard, join_parts, run_walk, split_each};
use super::{Front, Place, Waiter, place_of};
use crate::command::{All, Args, Entry, Flags, OwnedArgs, Refusal, ReplyRoom, Run, Walk};
use crate::resp::{Protocol, ReplyWriter};
use crate::shard::{
    Answer, Batch, Begin, Done, ExecutorId, Hop, Message, Mode, TxShared, Wants, Work,
};
use crate::types::{DbIndex, ShardId, TxId, shard_of};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// The keys that a transaction will touch, collected command by command.
#[derive(Default)]
pub struct TxKeys {
    keys: BTreeMap<ShardId, Vec<(u64, Mode)>>,
    everything: bool,
    /// Some command looks at all shards without wanting their keys alone.
    spread: bool,
    writes: bool,
}

impl TxKeys {
    /// Adds the keys of one command.
    pub fn add(&mut self, front: &Front, entry: &Entry, args: &Args<'_>) {
        let write = entry.command.flags.contains(Flags::WRITE);
        self.writes |= write;
        match entry.command.run {
            Run::All(All { barrier: true, .. }) | Run::Walk(Walk { long: true, .. }) => {
                self.everything = true;
            }
            Run::All(_) | Run::Walk(_) => self.spread = true,
            _ => {}
        }
        // A command without keys runs on some shard all the same, which must take part; where there
        // is one shard only, so does one that looks at all of them.
        if let Place::One(shard) = place_of(entry, args, front.node.shards()) {
            self.keys.entry(shard).or_default();
        }
        let mode = if write { Mode::Exclusive } else { Mode::Shared };
        for index in entry.command.keys.positions(args) {
            self.add_key(front, args.get(index), mode);
        }
    }

    /// Adds one key.
    pub fn add_key(&mut self, front: &Front, key: &[u8], mode: Mode) {
        let shard = shard_of(key, front.node.shards());
        self.keys.entry(shard).or_default().push((front.node.hash(key), mode));
    }

    /// The one shard that all keys are on, if they are (shard 0 when there are no keys at all).
    pub fn only_shard(&self, front: &Front) -> Option<ShardId> {
        if front.node.shards() == 1 {
            return Some(ShardId(0));
        }
        match self.keys.len() {
            _ if self.everything || self.spread => None,
            0 => Some(ShardId(0)),
            1 => self.keys.keys().next().copied(),
            _ => None,
        }
    }

    pub(super) fn wants(self, front: &Front) -> (Vec<(ShardId, Wants)>, bool) {
        let wants = if self.everything {
            front.node.all_shards().map(|shard| (shard, Wants::Everything)).collect()
        } else {
            self.keys.into_iter().map(|(shard, keys)| (shard, Wants::keys(keys))).collect()
        };
        (wants, self.writes)
    }
}

/// A transaction under way: all its keys are open on all its shards. It must be concluded.
pub struct Tx {
    front: Rc<Front>,
    waiter: Waiter,
    id: TxId,
    shards: Vec<ShardId>,
    touched: BTreeSet<ShardId>,
    /// CLIENT NO-TOUCH: commands leave the access times of keys alone.
    pub no_touch: bool,
    /// What the connection's replies may take.
    pub room: ReplyRoom,
}

impl Front {
    /// Puts a transaction into the global order and into the mailboxes of its shards. `work` makes
    /// each shard's first work, if the shards are to start by themselves once armed.
    pub(super) fn begin(
        self: &Rc<Front>,
        waiter: &Waiter,
        wants: Vec<(ShardId, Wants)>,
        writes: bool,
        mut work: impl FnMut(ShardId) -> Option<Work>,
        concludes: bool,
    ) -> TxId {
        let mut given = TxId(0);
        let shards: Box<[ShardId]> = wants.iter().map(|(shard, _)| *shard).collect();
        let reply_to = waiter.reply_to();
        self.node.begin(|id| {
            given = id;
            let unarmed = AtomicUsize::new(shards.len());
            let shared = Arc::new(TxShared { id, shards, unarmed, writes, reply_to });
            let part = |(shard, wants)| {
                let work = work(shard);
                (shard, Begin { shared: shared.clone(), wants, work, concludes, applies: false })
            };
            wants.into_iter().map(part).collect()
        });
        given
    }
}

impl Tx {
    /// Begins a transaction over `keys` and waits until all of them are granted on all shards.
    pub async fn begin(front: &Rc<Front>, keys: TxKeys) -> Tx {
        let waiter = front.waiter();
        let (wants, writes) = keys.wants(front);
        let shards: Vec<ShardId> = wants.iter().map(|(shard, _)| *shard).collect();
        let id = if shards.is_empty() {
            TxId(0)
        } else {
            let id = front.begin(&waiter, wants, writes, |_| None, false);
            let Answer::Armed = waiter.next().await else {
                unreachable!("a driven transaction is told when it is armed")
            };
            id
        };
        Tx {
            front: front.clone(),
            waiter,
            id,
            shards,
            touched: BTreeSet::new(),
            no_touch: false,
            room: ReplyRoom::default(),
        }
    }

    /// Runs one command inside the transaction; its keys were among those it began with.
    pub async fn run(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) {
        let (shards, no_touch) = (self.front.node.shards(), self.no_touch);
        if let Place::One(shard) = place_of(entry, &args, shards) {
            return self.run_one(shard, entry, db, protocol, args, out).await;
        }
        let (start, began) = (out.len(), Instant::now());
        let mut reply = ReplyWriter::new(out, protocol);
        let outcome = match &entry.command.run {
            Run::Each(each) => match split_each(entry, each, args, shards) {
                Ok(split) => {
                    let room = &self.room;
                    let work = |args| {
                        let room = room.clone();
                        Work::Each { entry, db, protocol, no_touch, room, args }
                    };
                    let parts = split.parts.into_iter().map(|(s, a)| (s, work(a))).collect();
                    let done = self.hop(parts, entry.writes()).await;
                    super::wide::join_each(each, &split.owners, done, &mut reply)
                }
                Err(refusal) => Err(refusal),
            },
            Run::Carry(carry) => match (carry.check)(args) {
                Ok(()) => {
                    let parts = gather_by_shard(entry, db, args, shards);
                    let done = self.hop(parts, false).await;
                    let decided = carry_on(&self.front, carry, db, args, done, &mut reply);
                    match decided {
                        Ok(writes) => {
                            let parts = writes.into_iter().map(|(s, w)| (s, Work::Writes(w)));
                            self.hop(parts.collect(), true).await;
                            Ok(())
                        }
                        Err(refusal) => Err(refusal),
                    }
                }
                Err(refusal) => Err(refusal),
            },
            Run::All(all) => self.run_all(all, entry, db, args, &mut reply).await,
            Run::Walk(walk) => {
                let (front, room) = (self.front.clone(), self.room.clone());
                return run_walk(&front, walk, entry, db, protocol, &room, args, out).await;
            }
            Run::Here(_) => {
                Err(Refusal::fixed("CROSSSLOT Keys in request don't hash to the same slot"))
            }
            Run::Front => unreachable!("run by the front"),
        };
        out.truncate(if outcome.is_err() { start } else { out.len() });
        self.front.ran_wide(entry, began, outcome, protocol, out);
    }

    async fn run_all(
        &mut self,
        all: &All,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        if !all.barrier {
            return ask_all(&self.front, all, entry, db, args, reply).await;
        }
        (all.check)(args, self.front.node.dbs())?;
        let (protocol, shared) = (reply.protocol, Arc::new(OwnedArgs::copy(args)));
        let part = |s| (s, Work::All { entry, db, protocol, args: shared.clone() });
        let parts = self.front.node.all_shards().map(part).collect();
        let done = self.hop(parts, entry.writes()).await;
        join_parts(all, args, done, reply)
    }

    async fn run_one(
        &mut self,
        shard: ShardId,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) {
        let mut batch = Box::new(Batch::new(self.waiter.reply_to(), db, protocol));
        batch.no_touch = self.no_touch;
        batch.room = self.room.clone();
        batch.push(entry, args);
        let done = self.hop(vec![(shard, Work::Commands(batch))], entry.writes()).await;
        for (_, done) in done {
            if let Done::Commands(batch) = done {
                out.extend_from_slice(batch.reply(0));
            }
        }
    }

    /// Sends one hop to some of the transaction's shards and waits for all of them.
    pub async fn hop(&mut self, work: Vec<(ShardId, Work)>, writes: bool) -> Vec<(ShardId, Done)> {
        let count = work.len();
        for (shard, work) in work {
            assert!(self.shards.contains(&shard), "a hop stays within the transaction's shards");
            if writes {
                self.touched.insert(shard);
            }
            let hop = Hop { tx: self.id, work, conclude: None };
            self.front.node.send(ExecutorId::from(shard), Message::Hop(Box::new(hop)));
        }
        collect(&self.waiter, count).await
    }

    /// Ends the transaction: its frame goes to the logs of the shards that it changed. Answers whether
    /// there are any.
    pub async fn conclude(self) -> bool {
        let touched: Arc<[ShardId]> = self.touched.iter().copied().collect();
        for &shard in &self.shards {
            let hop = Hop { tx: self.id, work: Work::Nothing, conclude: Some(touched.clone()) };
            self.front.node.send(ExecutorId::from(shard), Message::Hop(Box::new(hop)));
        }
        collect(&self.waiter, self.shards.len()).await;
        !touched.is_empty()
    }
}
