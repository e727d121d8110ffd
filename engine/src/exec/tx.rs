//! A transaction driven by its coordinator, hop by hop: MULTI over several shards, and whatever else
//! needs more than one step.

use super::answers::collect;
use super::front::Breath;
use super::{Front, Route, Waiter, route_of};
use crate::command::shape::{Pick, Picks};
use crate::command::{Args, Call, Entry, Run};
use crate::resp::Output;
use crate::shard::{
    Answer, Batch, Begin, Commands, Done, ExecutorId, Hop, MANY_FROM, ManyKeys, Message, Mode,
    TxShared, Wants, Work, keys_of,
};
use crate::types::{ShardId, TxId, shard_of};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The keys that a transaction will touch, collected command by command.
pub struct TxKeys {
    keys: BTreeMap<ShardId, Vec<(u64, Mode)>>,
    everything: bool,
    /// Some command looks at all shards without wanting their keys alone.
    spread: bool,
    writes: bool,
    /// Whether every command is a task of one shard.
    is_one_task: bool,
}

impl Default for TxKeys {
    fn default() -> TxKeys {
        let (everything, spread, writes, is_one_task) = (false, false, false, true);
        TxKeys { keys: BTreeMap::new(), everything, spread, writes, is_one_task }
    }
}

impl TxKeys {
    /// Adds the keys of one command.
    pub fn add(&mut self, front: &Front, entry: &'static Entry, args: &Args<'_>) {
        self.note(front, entry, args);
        for (index, mode) in keys_of(entry, args) {
            self.add_key(front, args.get(index), mode);
        }
    }

    /// Notes what one command needs beside its keys.
    fn note(&mut self, front: &Front, entry: &'static Entry, args: &Args<'_>) {
        self.writes |= entry.writes();
        match &entry.command.run {
            run if run.is_barrier() => self.everything = true,
            // Whose keys only values name, all may be wanted.
            Run::Carry(_) if entry.command.keys.may_be_anywhere(args) => self.everything = true,
            Run::All(_) | Run::Walk(_) => self.spread = true,
            _ => {}
        }
        // A command without keys runs on some shard all the same, which must take part; where there
        // is one shard only, so does one that looks at all of them.
        match route_of(entry, args, front.node.shards()) {
            Route::One(shard) => drop(self.keys.entry(shard).or_default()),
            // Of many keys, though they may all be on one shard.
            Route::Many => self.is_one_task = false,
            Route::Front => {}
        }
    }

    /// Adds one key.
    pub fn add_key(&mut self, front: &Front, key: &[u8], mode: Mode) {
        let shard = shard_of(key, front.node.shards());
        self.keys.entry(shard).or_default().push((front.node.hash(key), mode));
    }

    /// Whether some command may change data.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Whether some command looks at this shard.
    pub(super) fn is_on(&self, shard: ShardId) -> bool {
        self.everything || self.spread || self.keys.contains_key(&shard)
    }

    /// The one shard that can run all of it as one task, if there is one.
    pub fn only_shard(&self) -> Option<ShardId> {
        let is_one = self.is_one_task && !self.everything && !self.spread && self.keys.len() == 1;
        self.keys.keys().next().copied().filter(|_| is_one)
    }

    /// Adds the keys of one command that may have very many, and says whose they are.
    pub(super) async fn add_picks(&mut self, front: &Front, call: &Call<'_>) -> Picks {
        self.note(front, call.entry, &call.args);
        let shards = usize::from(front.node.shards());
        let each = call.args.len() / shards;
        let mut keys: Vec<_> = (0..shards).map(|_| Vec::with_capacity(each)).collect();
        let picks = picks_of(front, call, |shard, key, mode| {
            keys[shard.index()].push((front.node.hash(key), mode));
        });
        let picks = picks.await;
        for (shard, _) in &picks {
            let keys = std::mem::take(&mut keys[shard.index()]);
            let all = self.keys.entry(*shard).or_default();
            if all.is_empty() { *all = keys } else { all.extend(keys) }
        }
        picks
    }

    pub(super) async fn wants(self, front: &Front) -> (Vec<(ShardId, Wants)>, bool) {
        if self.everything {
            let everything = front.node.all_shards().map(|shard| (shard, Wants::Everything));
            return (everything.collect(), self.writes);
        }
        let mut wants = Vec::with_capacity(self.keys.len());
        for (shard, keys) in self.keys {
            let keys = match keys.len() {
                ..MANY_FROM => Wants::keys(keys),
                _ => many(front, keys).await,
            };
            wants.push((shard, keys));
        }
        (wants, self.writes)
    }
}

/// Whose the keys of one command are, which may have very many; `add` is given each.
pub(super) async fn picks_of(
    front: &Front,
    call: &Call<'_>,
    mut add: impl FnMut(ShardId, &[u8], Mode),
) -> Picks {
    let shards = front.node.shards();
    let each = call.args.len() / usize::from(shards);
    let mut by_shard: Vec<Vec<Pick>> = (0..shards).map(|_| Vec::with_capacity(each)).collect();
    let mut keys = keys_of(call.entry, &call.args).enumerate().peekable();
    let mut breath = front.breath();
    while keys.peek().is_some() {
        for (index, (position, mode)) in keys.by_ref().take(Breath::LOOK) {
            let key = call.args.get(position);
            let shard = shard_of(key, shards);
            by_shard[shard.index()].push(Pick { index: index as u32, position: position as u32 });
            add(shard, key, mode);
        }
        if keys.peek().is_some() {
            breath.after(Breath::LOOK).await;
        }
    }
    let picks = by_shard.into_iter().enumerate();
    let picks = picks.filter(|(_, picks)| !picks.is_empty());
    picks.map(|(shard, picks)| (ShardId(shard as u16), picks)).collect()
}

/// Very many keys of one shard, put together in parts, so that others have their turn.
async fn many(front: &Front, keys: Vec<(u64, Mode)>) -> Wants {
    let (mut many, mut breath) = (ManyKeys::for_all_of(keys.len()), front.breath());
    for part in keys.chunks(Breath::LOOK) {
        many.count(part);
        breath.after(Breath::LOOK).await;
    }
    many.counted();
    for part in keys.chunks(Breath::LOOK) {
        many.place(part);
        breath.after(Breath::LOOK).await;
    }
    Wants::Many(Arc::new(many))
}

/// A transaction: all its keys are open on all its shards from its first hop on. It must be concluded.
pub struct Tx {
    pub(super) front: Rc<Front>,
    waiter: Waiter,
    id: TxId,
    shards: Vec<ShardId>,
    /// What it asks for, until it has.
    wants: Option<Vec<(ShardId, Wants)>>,
    writes: bool,
    touched: BTreeSet<ShardId>,
    is_over: bool,
}

impl Front {
    /// Puts a transaction into the global order and into the mailboxes of its shards. `work` makes
    /// each shard's first work, if the shards are to start by themselves once armed.
    ///
    /// One that needs this executor's own shard only has no place in that order, and begins at once: it
    /// waits there for keys that others have, and for nobody's turn.
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
        let is_here = self.shard_id().is_some_and(|here| *shards == [here]);
        let parts = |id| {
            given = id;
            let unarmed = AtomicUsize::new(shards.len());
            let shared = Arc::new(TxShared { id, shards, unarmed, writes, reply_to });
            let part = |(shard, wants)| {
                let work = work(shard);
                (shard, Begin { shared: shared.clone(), wants, work, concludes, applies: false })
            };
            wants.into_iter().map(part).collect::<Vec<_>>()
        };
        if !is_here {
            self.node.begin(parts);
            return given;
        }
        for (_, begin) in parts(self.node.next_tx()) {
            self.with_shard(|shard| shard.receive(Message::Begin(Box::new(begin))));
        }
        if self.is_running() {
            // What it has left to do goes on after turns of the mailbox: there is to be one.
            self.node.send(self.me, Message::Call(Box::new(|_| {})));
        }
        given
    }
}

impl Tx {
    /// A transaction over `keys`, which it asks for with its first hop.
    pub(super) async fn over(front: &Rc<Front>, keys: TxKeys) -> Tx {
        let (wants, writes) = keys.wants(front).await;
        if let Some((_, Wants::Everything)) = wants.first() {
            front.outwait(front.node.all_shards()).await;
        }
        Tx {
            front: front.clone(),
            waiter: front.waiter(),
            id: TxId(0),
            shards: wants.iter().map(|(shard, _)| *shard).collect(),
            wants: Some(wants),
            writes,
            touched: BTreeSet::new(),
            is_over: false,
        }
    }

    /// Begins a transaction over `keys` and waits until all of them are granted on all shards.
    pub async fn begin(front: &Rc<Front>, keys: TxKeys) -> Tx {
        let mut tx = Tx::over(front, keys).await;
        if let Some(wants) = tx.wants.take()
            && !wants.is_empty()
        {
            tx.id = front.begin(&tx.waiter, wants, tx.writes, |_| None, false);
            let Answer::Armed = tx.waiter.next().await else {
                unreachable!("a driven transaction is told when it is armed")
            };
        }
        tx
    }

    /// Runs one command inside the transaction; its keys were among those it began with.
    pub async fn run(&mut self, call: &Call<'_>, out: &mut Output) {
        let front = self.front.clone();
        match route_of(call.entry, &call.args, front.node.shards()) {
            Route::One(shard) => self.run_one(shard, call, out).await,
            _ => front.run_spread(Some(self), call, out).await,
        }
    }

    async fn run_one(&mut self, shard: ShardId, call: &Call<'_>, out: &mut Output) {
        let mut batch = self.front.batch_of(call);
        batch.push(call.entry, call.args);
        let batches = [(shard, (batch, call.entry.writes()))];
        for (_, mut batch, _) in self.run_batches(batches).await {
            batch.take_reply(0, out);
        }
    }

    /// Runs commands on their shards, one batch for each, which may write; they come home with their replies,
    /// none of which has been taken.
    pub(super) async fn run_batches(
        &mut self,
        batches: impl IntoIterator<Item = (ShardId, (Box<Batch>, bool))>,
    ) -> Vec<(ShardId, Box<Batch>, usize)> {
        let mut work = Vec::new();
        for (shard, (batch, writes)) in batches {
            if writes {
                self.touched.insert(shard);
            }
            work.push((shard, Work::Commands(Commands::new(vec![batch]))));
        }
        let home = |(shard, done)| match done {
            Done::Commands(batches) => batches.into_iter().map(move |batch| (shard, batch, 0)),
            _ => unreachable!("commands come home"),
        };
        self.hop(work, false, false).await.into_iter().flat_map(home).collect()
    }

    /// Sends one hop to some of the transaction's shards and waits for all of them. The first hop of a
    /// transaction that has not begun takes the beginning along, the last one the conclusion.
    pub(super) async fn hop(
        &mut self,
        work: Vec<(ShardId, Work)>,
        writes: bool,
        is_last: bool,
    ) -> Vec<(ShardId, Done)> {
        let mut work: BTreeMap<ShardId, Work> = work.into_iter().collect();
        let is_ours = |shard| self.shards.contains(shard);
        assert!(work.keys().all(is_ours), "a hop stays within the transaction's shards");
        if writes {
            self.touched.extend(work.keys());
        }
        self.is_over = is_last;
        if let Some(wants) = self.wants.take() {
            let work = |shard| Some(work.remove(&shard).unwrap_or(Work::Nothing));
            self.id = self.front.begin(&self.waiter, wants, self.writes, work, is_last);
            return collect(&self.waiter, self.shards.len()).await;
        }
        let conclude: Option<Arc<[ShardId]>> =
            is_last.then(|| self.touched.iter().copied().collect());
        let mut count = 0;
        for &shard in &self.shards {
            let work = match work.remove(&shard) {
                Some(work) => work,
                None if is_last => Work::Nothing,
                None => continue,
            };
            let hop = Hop { tx: self.id, work, conclude: conclude.clone() };
            self.front.node.send(ExecutorId::from(shard), Message::Hop(Box::new(hop)));
            count += 1;
        }
        collect(&self.waiter, count).await
    }

    /// Ends the transaction, if its last hop has not: its frame goes to the logs of the shards that it
    /// changed. Answers whether there are any.
    pub async fn conclude(mut self) -> bool {
        if !self.is_over && self.wants.is_none() {
            self.hop(Vec::new(), false, true).await;
        }
        !self.touched.is_empty()
    }
}
