//! Commands over several shards, whatever their shape: one driver.
//!
//! The shape says how the command splits and how its parts join (`command::shape`); the transaction
//! carries the steps to the shards. A command that comes alone is a transaction of its own: the first hop
//! takes the beginning along, the last one the conclusion, so that what needs one hop is one message to
//! every shard and one back.

use super::answers::collect;
use super::front::Breath;
use super::tx::{Tx, TxKeys, picks_of};
use super::{Front, Route, Waiter, route_of};
use crate::command::shape::{
    Did, Joined, MANY_KEYS, NodeFacts, Picks, Pondering, Step, within_room,
};
use crate::command::{All, Call, OwnedArgs, OwnedCall, Part, Refusal, Run, Walk, Walked};
use crate::resp::{Output, ReplyWriter};
use crate::shard::{Answer, Batch, Begin, Done, ExecutorId, Message, Shard, TxShared, Wants, Work};
use crate::types::ShardId;
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
    pub async fn run_wide(self: &Rc<Front>, call: &Call<'_>, out: &mut Output) {
        match route_of(call.entry, &call.args, self.node.shards()) {
            Route::One(shard) => self.run_one(shard, call, out).await,
            _ => self.run_spread(None, call, out).await,
        }
    }

    async fn run_one(self: &Rc<Front>, shard: ShardId, call: &Call<'_>, out: &mut Output) {
        let waiter = self.waiter();
        let mut batch = Batch::new(waiter.reply_to(), call.db, call.protocol, call.who.clone());
        batch.push(call.entry, call.args);
        self.node.send(ExecutorId::from(shard), Message::Batch(Box::new(batch)));
        let Answer::Batch(mut batch) = waiter.next().await else {
            unreachable!("a batch answers with itself")
        };
        batch.take_reply(0, out);
    }

    /// Runs one command that is spread over shards: within a transaction under way, or on its own.
    pub(super) async fn run_spread(
        self: &Rc<Front>,
        tx: Option<&mut Tx>,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        let (start, began) = (out.len(), Instant::now());
        let mut reply = out.writer(call.protocol);
        let outcome = match (&call.entry.command.run, tx) {
            (Run::Walk(walk), _) => self.walk(walk, call, &mut reply).await,
            (Run::All(All { barrier: false, .. }), _) => self.ask_all(call, &mut reply).await,
            (_, Some(tx)) => self.drive_within(tx, call, &mut reply).await,
            (_, None) => self.drive_alone(call, &mut reply).await,
        };
        let is_unread = call.who.silent || call.who.is_master;
        out.truncate(if outcome.is_err() || is_unread { start } else { out.len() });
        self.ran_wide(call.entry, began, outcome, call.protocol, out);
    }

    async fn drive_alone(
        self: &Rc<Front>,
        call: &Call<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        call.check(self.facts())?;
        self.admit(call).await?;
        let mut keys = TxKeys::default();
        let picks = keys.add_picks(self, call).await;
        let mut tx = Tx::over(self, keys).await;
        let outcome = tx.drive(call, picks, true, reply).await;
        tx.conclude().await;
        outcome
    }

    async fn drive_within(
        self: &Rc<Front>,
        tx: &mut Tx,
        call: &Call<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        call.check(self.facts())?;
        let picks = picks_of(self, call, |_, _, _| {}).await;
        tx.drive(call, picks, false, reply).await
    }

    /// An empty batch of this call's kind, that nobody waits for yet.
    pub fn batch_of(&self, call: &Call<'_>) -> Box<Batch> {
        Box::new(Batch::new(self.nobody(), call.db, call.protocol, call.who.clone()))
    }

    /// The call for other shards; the arguments may be very many.
    async fn own(&self, call: &Call<'_>) -> OwnedCall {
        if call.args.len() <= MANY_KEYS {
            return call.to_owned();
        }
        let (mut copying, mut breath) = (OwnedArgs::copying(call.args), self.breath());
        let args = loop {
            match copying.more() {
                Some(args) => break args,
                None => breath.after(Breath::LOOK).await,
            }
        };
        call.with_args(args)
    }

    pub(super) fn facts(&self) -> NodeFacts {
        let (shards, dbs, now) = (self.node.shards(), self.node.dbs(), self.now());
        NodeFacts { shards, dbs, now, encodings: self.encodings() }
    }

    /// Asks every shard for its part, each when it can.
    async fn ask_all(
        self: &Rc<Front>,
        call: &Call<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        call.check(self.facts())?;
        let owned = call.to_owned();
        let part = move |shard: &mut Shard| {
            let mut step = Step::All(Part::default());
            loop {
                if let Some(did) = shard.run_step(&owned.view(), &mut step)? {
                    return Ok(did);
                }
            }
        };
        let parts: Vec<Result<Did, Refusal>> = self.call_all(part).await;
        let parts = self.node.all_shards().zip(parts).map(|(shard, part)| Ok((shard, part?)));
        let parts: Vec<(ShardId, Did)> = parts.collect::<Result<_, Refusal>>()?;
        call.join(self.facts(), parts, reply).map(drop)
    }

    /// Goes from shard to shard until the walk has come to its end.
    async fn walk(
        self: &Rc<Front>,
        walk: &'static Walk,
        call: &Call<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        let mut walked = (walk.start)(call.args)?;
        let (owned, mut breath) = (call.to_owned(), self.breath());
        while walked.shard < self.node.shards() {
            self.admit(call).await?;
            let goes_on;
            (walked, goes_on) = self.walk_step(walk, owned.clone(), walked).await?;
            call.who.hold_room(walked.bytes.len())?;
            if !goes_on {
                break;
            }
            breath.after(Breath::LOOK).await;
        }
        (walk.finish)(&walked, self.node.shards(), reply);
        Ok(())
    }

    async fn walk_step(
        self: &Rc<Front>,
        walk: &'static Walk,
        call: OwnedCall,
        mut walked: Walked,
    ) -> Result<(Walked, bool), Refusal> {
        let shard = ShardId(walked.shard);
        let step = move |shard: &mut Shard| {
            let goes_on = shard.run_walk_step(walk, &call.view(), &mut walked)?;
            Ok((walked, goes_on))
        };
        if walk.alone { self.alone(shard, step).await } else { self.call(shard, step).await }
    }

    /// Runs a function on all shards as one transaction that is alone on every shard: nothing is
    /// half done anywhere when it runs. Its changes, if `writes`, are one frame. It has its place among all others when this
    /// is polled first, and holds up everybody until what is under way is done: who has time
    /// [outwaits](Front::outwait_all) that before.
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
        self.outwait([shard].into_iter()).await;
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
}

impl Tx {
    /// Runs one command within the transaction, given whose its keys are; one that is the command's own
    /// (`is_own`) concludes with the last hop.
    pub(super) async fn drive(
        &mut self,
        call: &Call<'_>,
        picks: Picks,
        is_own: bool,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        let owned = self.front.own(call).await;
        let is_last = !call.entry.command.run.may_go_on();
        let next = Joined::Steps(call.split(picks, self.front.facts()));
        self.go_on(call, &owned, next, is_last, is_own, reply).await
    }

    /// The same from a point on; `is_last`: the next steps are the last ones.
    pub(super) async fn go_on(
        &mut self,
        call: &Call<'_>,
        owned: &OwnedCall,
        mut next: Joined,
        mut is_last: bool,
        is_own: bool,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), Refusal> {
        let front = self.front.clone();
        let mut breath = front.breath();
        loop {
            next = match next {
                Joined::Reply => return Ok(()),
                Joined::Nothing => {
                    call.nothing(reply);
                    return Ok(());
                }
                Joined::Steps(steps) => {
                    let work =
                        steps.into_iter().map(|(s, step)| (s, Work::Step(owned.clone(), step)));
                    let writes = is_last && call.entry.writes();
                    let done = self.hop(work.collect(), writes, is_last && is_own).await;
                    is_last = true;
                    call.join(front.facts(), did(done)?, reply)?
                }
                Joined::Pieces(mut piece) => {
                    while !piece(reply) {
                        breath.after(Breath::LOOK).await;
                    }
                    Joined::Reply
                }
                Joined::Pondering(pondering) => front.ponder(pondering, call, reply).await?,
                Joined::More(going) => {
                    breath.after(Breath::LOOK).await;
                    let facts = front.facts();
                    let decided = going(&mut facts.decision(call.db, reply))?;
                    Joined::of(decided, facts.shards)
                }
                Joined::Looks(mut looking) => {
                    let parts = looking.take_parts();
                    let step = |part| Work::Step(owned.clone(), Step::Look(part));
                    let work = parts.map(|(shard, part)| (shard, step(part)));
                    let done = did(self.hop(work.collect(), false, false).await)?;
                    let looked = done.into_iter().filter_map(|(_, did)| match did {
                        Did::Looked(part) => Some(part),
                        _ => None,
                    });
                    let (then, found) = looking.found(looked);
                    let facts = front.facts();
                    let decided = then(&mut facts.decision(call.db, reply), found)?;
                    Joined::of(decided, facts.shards)
                }
            }
        }
    }
}

impl Front {
    async fn ponder(
        &self,
        mut pondering: Pondering,
        call: &Call<'_>,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<Joined, Refusal> {
        let (facts, mut breath) = (self.facts(), self.breath());
        loop {
            let ponder =
                |reply: &mut ReplyWriter<'_>| pondering(&mut facts.decision(call.db, reply));
            let decided = within_room(call.who, !call.only_reads(), reply, ponder)?;
            if let Some(writes) = decided {
                return Ok(Joined::writes(writes, facts.shards));
            }
            breath.after(Breath::LOOK).await;
        }
    }
}

/// What the shards did, or why one refused.
pub(super) fn did(done: Vec<(ShardId, Done)>) -> Result<Vec<(ShardId, Did)>, Refusal> {
    let did = |(shard, done)| match done {
        Done::Did(did) => Some(Ok((shard, did))),
        Done::Refused(refusal) => Some(Err(refusal)),
        // A shard that had nothing to do.
        _ => None,
    };
    done.into_iter().filter_map(did).collect()
}
