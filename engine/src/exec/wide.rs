//! Commands over several shards, each as one transaction.
//!
//! `Each` and `All` commands bring their work along and conclude with it: one message to every shard,
//! one back. `Carry` commands bring the gathering along and are decided here.

use super::tx::TxKeys;
use super::{Front, Place, Waiter, place_of};
use crate::command::{
    All, Args, Carried, Carry, Decision, Each, Entry, Join, OwnedArgs, Part, Refusal, ReplyRoom,
    Run, Walk, Walked, Write,
};
use crate::resp::{Protocol, ReplyWriter};
use crate::shard::{
    Answer, Batch, Begin, Done, EachDone, ExecutorId, Hop, Message, Shard, TxShared, Wants, Work,
};
use crate::types::{DbIndex, ShardId, shard_of};
use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// What a transaction that applies an upstream's frame does on one shard.
pub type ApplyPart = Box<dyn FnOnce(&mut Shard) -> Box<dyn Any + Send> + Send>;

impl Front {
    /// Runs one command that needs several shards (or one, behind a fence) and appends its reply.
    /// `no_touch` leaves the access times of keys alone; the reply takes its place of `room`.
    #[allow(clippy::too_many_arguments, reason = "a request, its context and its output")]
    pub async fn run_wide(
        self: &Rc<Front>,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        no_touch: bool,
        room: &ReplyRoom,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) {
        let (start, began) = (out.len(), Instant::now());
        let shards = self.node.shards();
        let mut reply = ReplyWriter::new(out, protocol);
        let outcome = match (&entry.command.run, place_of(entry, &args, shards)) {
            (_, Place::One(shard)) => {
                let mut batch = Batch::new(self.nobody(), db, protocol);
                batch.no_touch = no_touch;
                batch.room = room.clone();
                batch.push(entry, args);
                return self.run_one(shard, Box::new(batch), out).await;
            }
            (Run::Each(each), _) => {
                self.wide_each(each, entry, db, (no_touch, room), args, &mut reply).await
            }
            (Run::Carry(carry), _) => self.wide_carry(carry, entry, db, args, &mut reply).await,
            (Run::All(all), _) => self.wide_all(all, entry, db, args, &mut reply).await,
            (Run::Walk(walk), _) => {
                return run_walk(self, walk, entry, db, protocol, room, args, out).await;
            }
            (Run::Here(_), _) => {
                Err(Refusal::fixed("CROSSSLOT Keys in request don't hash to the same slot"))
            }
            (Run::Front, _) => unreachable!("the front's commands do not come here"),
        };
        out.truncate(if outcome.is_err() { start } else { out.len() });
        self.ran_wide(entry, began, outcome, protocol, out);
    }

    async fn run_one(self: &Rc<Front>, shard: ShardId, mut batch: Box<Batch>, out: &mut Vec<u8>) {
        let waiter = self.waiter();
        batch.reply_to = waiter.reply_to();
        self.node.send(ExecutorId::from(shard), Message::Batch(batch));
        let Answer::Batch(batch) = waiter.next().await else {
            unreachable!("a batch answers with itself")
        };
        out.extend_from_slice(batch.reply(0));
    }

    async fn wide_each(
        self: &Rc<Front>,
        each: &Each,
        entry: &'static Entry,
        db: DbIndex,
        (no_touch, room): (bool, &ReplyRoom),
        args: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        let mut split = split_each(entry, each, args, self.node.shards())?;
        self.admit(entry).await?;
        let protocol = reply.protocol;
        let (wants, writes) = self.wants_of(entry, &args);
        let waiter = self.waiter();
        let count = wants.len();
        let work = |shard| {
            let args = split.parts.remove(&shard)?;
            Some(Work::Each { entry, db, protocol, no_touch, room: room.clone(), args })
        };
        self.begin(&waiter, wants, writes, work, true);
        let done = collect(&waiter, count).await;
        join_each(each, &split.owners, done, reply)
    }

    async fn wide_carry(
        self: &Rc<Front>,
        carry: &Carry,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        (carry.check)(args)?;
        self.admit(entry).await?;
        let mut parts: BTreeMap<ShardId, Work> =
            gather_by_shard(entry, db, args, self.node.shards()).into_iter().collect();
        let (wants, writes) = self.wants_of(entry, &args);
        let shards: Vec<ShardId> = wants.iter().map(|(shard, _)| *shard).collect();
        let waiter = self.waiter();
        let tx = self.begin(&waiter, wants, writes, |shard| parts.remove(&shard), false);
        let done = collect(&waiter, shards.len()).await;
        let decided = carry_on(self, carry, db, args, done, reply);
        let (mut writes, outcome) = match decided {
            Ok(writes) => (writes, Ok(())),
            Err(refusal) => (BTreeMap::new(), Err(refusal)),
        };
        let touched: Arc<[ShardId]> = writes.keys().copied().collect();
        for &shard in &shards {
            let work = writes.remove(&shard).map_or(Work::Nothing, Work::Writes);
            let hop = Hop { tx, work, conclude: Some(touched.clone()) };
            self.node.send(ExecutorId::from(shard), Message::Hop(Box::new(hop)));
        }
        collect(&waiter, shards.len()).await;
        outcome
    }

    async fn wide_all(
        self: &Rc<Front>,
        all: &All,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        if !all.barrier {
            return ask_all(self, all, entry, db, args, reply).await;
        }
        (all.check)(args, self.node.dbs())?;
        let protocol = reply.protocol;
        let shared = Arc::new(OwnedArgs::copy(args));
        let waiter = self.waiter();
        let wants: Vec<_> = self.node.all_shards().map(|s| (s, Wants::Everything)).collect();
        let count = wants.len();
        let work = |_| Some(Work::All { entry, db, protocol, args: shared.clone() });
        self.begin(&waiter, wants, entry.writes(), work, true);
        let done = collect(&waiter, count).await;
        join_parts(all, args, done, reply)
    }

    /// Runs a function on all shards as one transaction that is alone on every shard: nothing is
    /// half done anywhere when it runs. Its changes, if `writes`, are one frame.
    pub async fn everywhere<T: Send + 'static>(
        self: &Rc<Front>,
        writes: bool,
        call: impl Fn(&mut Shard) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let waiter = self.waiter();
        let wants: Vec<_> = self.node.all_shards().map(|s| (s, Wants::Everything)).collect();
        let count = wants.len();
        let work = |_| {
            let call = call.clone();
            Some(Work::Call(Box::new(move |shard| Box::new(call(shard)))))
        };
        self.begin(&waiter, wants, writes, work, true);
        let done = collect(&waiter, count).await;
        let value = |(_, done)| match done {
            Done::Value(value) => *value.downcast().expect("a call answers with its own type"),
            _ => unreachable!("a call answers with a value"),
        };
        done.into_iter().map(value).collect()
    }

    /// Puts a transaction that applies an upstream's frame into the global order: `parts` are the keys
    /// it needs on each shard and what it does there, all at once. Each shard answers `waiter` with a
    /// [`Done::Value`].
    pub fn apply_as_one(
        self: &Rc<Front>,
        waiter: &Waiter,
        parts: Vec<(ShardId, Wants, ApplyPart)>,
    ) {
        let mut work: BTreeMap<ShardId, ApplyPart> = BTreeMap::new();
        let mut wants = Vec::with_capacity(parts.len());
        for (shard, keys, part) in parts {
            wants.push((shard, keys));
            work.insert(shard, part);
        }
        let shards: Box<[ShardId]> = wants.iter().map(|(shard, _)| *shard).collect();
        let reply_to = waiter.reply_to();
        self.node.begin(|id| {
            let unarmed = AtomicUsize::new(shards.len());
            let shared = Arc::new(TxShared { id, shards, unarmed, writes: false, reply_to });
            let begin = |(shard, wants)| {
                let work = work.remove(&shard).map(Work::Call);
                let shared = shared.clone();
                (shard, Begin { shared, wants, work, concludes: true, applies: true })
            };
            wants.into_iter().map(begin).collect()
        });
    }

    /// Runs a function on one shard as a transaction that is alone there. Its changes are one frame.
    async fn alone<T: Send + 'static>(
        self: &Rc<Front>,
        shard: ShardId,
        call: impl FnOnce(&mut Shard) -> T + Send + 'static,
    ) -> T {
        let waiter = self.waiter();
        let mut call = Some(call);
        let work = |_| {
            let call = call.take()?;
            Some(Work::Call(Box::new(move |shard| Box::new(call(shard)))))
        };
        self.begin(&waiter, vec![(shard, Wants::Everything)], true, work, true);
        let Answer::Done(_, Done::Value(value)) = waiter.next().await else {
            unreachable!("a call answers with a value")
        };
        *value.downcast().expect("a call answers with its own type")
    }

    fn wants_of(&self, entry: &Entry, args: &Args<'_>) -> (Vec<(ShardId, Wants)>, bool) {
        let mut keys = TxKeys::default();
        keys.add(self, entry, args);
        keys.wants(self)
    }
}

/// Waits until so many shards have done their hop; answers with what they did, by shard.
pub(super) async fn collect(waiter: &Waiter, count: usize) -> Vec<(ShardId, Done)> {
    let mut done = Vec::with_capacity(count);
    for _ in 0..count {
        let Answer::Done(shard, one) = waiter.next().await else {
            unreachable!("a hop answers with what it did")
        };
        done.push((shard, one));
    }
    done.sort_by_key(|(shard, _)| *shard);
    done
}

/// An `Each` command cut up by shard.
pub(super) struct Split {
    /// Each shard's own request: the name and its keys (and values).
    pub(super) parts: BTreeMap<ShardId, OwnedArgs>,
    /// Whose key each of the command's keys is, in their order.
    pub(super) owners: Vec<ShardId>,
}

pub(super) fn split_each(
    entry: &Entry,
    each: &Each,
    args: Args<'_>,
    shards: u16,
) -> Result<Split, Refusal> {
    if (args.len() - entry.command.keys.first) % each.stride != 0 {
        return Err(Refusal::Arity(entry.name().to_owned()));
    }
    let mut split = Split { parts: BTreeMap::new(), owners: Vec::new() };
    for index in entry.command.keys.positions(&args) {
        let shard = shard_of(args.get(index), shards);
        let part = split.parts.entry(shard).or_insert_with(|| [args.get(0)].into_iter().collect());
        for offset in 0..each.stride {
            part.push(args.get(index + offset));
        }
        split.owners.push(shard);
    }
    Ok(split)
}

pub(super) fn join_each(
    each: &Each,
    owners: &[ShardId],
    done: Vec<(ShardId, Done)>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), Refusal> {
    let mut parts: BTreeMap<ShardId, (EachDone, usize)> = BTreeMap::new();
    for (shard, one) in done {
        match one {
            Done::Each(part) => drop(parts.insert(shard, (part, 0))),
            Done::Refused(refusal) => return Err(refusal),
            _ => unreachable!("an Each hop answers with its part"),
        }
    }
    match each.join {
        Join::Ok => reply.ok(),
        Join::Sum => reply.integer(parts.values().map(|(part, _)| part.sum).sum()),
        Join::Array => {
            reply.array(owners.len());
            for owner in owners {
                let (part, next) = parts.get_mut(owner).expect("every owner answered");
                let start = if *next == 0 { 0 } else { part.ends[*next - 1] };
                reply.raw(&part.bytes[start..part.ends[*next]]);
                *next += 1;
            }
        }
    }
    Ok(())
}

pub(super) fn gather_by_shard(
    entry: &'static Entry,
    db: DbIndex,
    args: Args<'_>,
    shards: u16,
) -> Vec<(ShardId, Work)> {
    let mut by_shard: BTreeMap<ShardId, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, position) in entry.command.keys.positions(&args).enumerate() {
        let shard = shard_of(args.get(position), shards);
        by_shard.entry(shard).or_default().push((index, position));
    }
    let args = Arc::new(OwnedArgs::copy(args));
    let work = |keys| Work::Gather { entry, db, keys, args: args.clone() };
    by_shard.into_iter().map(|(shard, keys)| (shard, work(keys))).collect()
}

/// Decides a `Carry` command on what was gathered; answers with each shard's writes.
pub(super) fn carry_on(
    front: &Front,
    carry: &Carry,
    db: DbIndex,
    args: Args<'_>,
    done: Vec<(ShardId, Done)>,
    reply: &mut ReplyWriter<'_>,
) -> Result<BTreeMap<ShardId, Vec<Write>>, Refusal> {
    let mut gathered: Vec<(usize, Carried)> = Vec::new();
    for (_, one) in done {
        match one {
            Done::Gathered(part) => gathered.extend(part),
            Done::Refused(refusal) => return Err(refusal),
            _ => unreachable!("a gathering answers with what it found"),
        }
    }
    gathered.sort_by_key(|(index, _)| *index);
    let carried: Vec<Carried> = gathered.into_iter().map(|(_, found)| found).collect();
    let mut decision =
        Decision { db, dbs: front.node.dbs(), now: front.now(), reply: reply.reborrow() };
    let mut by_shard: BTreeMap<ShardId, Vec<Write>> = BTreeMap::new();
    for write in (carry.decide)(&mut decision, args, &carried)? {
        by_shard.entry(shard_of(write.key(), front.node.shards())).or_default().push(write);
    }
    Ok(by_shard)
}

pub(super) fn join_parts(
    all: &All,
    args: Args<'_>,
    done: Vec<(ShardId, Done)>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), Refusal> {
    let mut parts: Vec<Part> = Vec::with_capacity(done.len());
    for (_, one) in done {
        match one {
            Done::Part(part) => parts.push(part),
            Done::Refused(refusal) => return Err(refusal),
            _ => unreachable!("an All hop answers with its part"),
        }
    }
    (all.join)(args, &parts, reply);
    Ok(())
}

/// Asks every shard for its part, each when it can.
pub(super) async fn ask_all(
    front: &Rc<Front>,
    all: &All,
    entry: &'static Entry,
    db: DbIndex,
    args: Args<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), Refusal> {
    (all.check)(args, front.node.dbs())?;
    let protocol = reply.protocol;
    let shared = Arc::new(OwnedArgs::copy(args));
    let part =
        move |shard: &mut Shard| (shard.id, shard.run_all_part(entry, db, protocol, shared.view()));
    let done = front.call_all(part).await;
    join_parts(all, args, done, reply)
}

/// Goes from shard to shard until the walk has come to its end.
#[allow(clippy::too_many_arguments, reason = "a request, its context and its output")]
pub(super) async fn run_walk(
    front: &Rc<Front>,
    walk: &'static Walk,
    entry: &'static Entry,
    db: DbIndex,
    protocol: Protocol,
    room: &ReplyRoom,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    let began = Instant::now();
    let outcome = match walk_all(front, walk, entry, db, protocol, room, args).await {
        Ok(walked) => {
            (walk.finish)(&walked, front.node.shards(), &mut ReplyWriter::new(out, protocol));
            Ok(())
        }
        Err(refusal) => Err(refusal),
    };
    front.ran_wide(entry, began, outcome, protocol, out);
}

async fn walk_all(
    front: &Rc<Front>,
    walk: &'static Walk,
    entry: &'static Entry,
    db: DbIndex,
    protocol: Protocol,
    room: &ReplyRoom,
    args: Args<'_>,
) -> Result<Walked, Refusal> {
    let mut walked = (walk.start)(args)?;
    let owned = Arc::new(OwnedArgs::copy(args));
    while walked.shard < front.node.shards() {
        front.admit(entry).await?;
        let (shard, args) = (ShardId(walked.shard), owned.clone());
        let mut moving = std::mem::take(&mut walked);
        let step = move |shard: &mut Shard| {
            let goes_on =
                shard.run_walk_step(walk, entry, db, protocol, args.view(), &mut moving)?;
            Ok::<_, Refusal>((moving, goes_on))
        };
        let done =
            if walk.alone { front.alone(shard, step).await } else { front.call(shard, step).await };
        let goes_on;
        (walked, goes_on) = done?;
        room.hold(walked.bytes.len())?;
        if !goes_on {
            break;
        }
        if walk.long {
            front.breathe().await;
        }
    }
    Ok(walked)
}
