//! Requests that may wait for keys, as their connection drives them.
//!
//! ```text
//!   all keys on one shard   tried there, at once or in a transaction of that shard
//!   on several              hop 1: look everywhere ─┬─ something: hop 2 takes it
//!                                                   └─ nothing:   hop 2 lets it sleep everywhere
//! ```
//!
//! Looking, and taking or falling asleep, are one transaction, so that nothing comes in between. Who sleeps is
//! answered by the shard that has something for it; time, the client's end and whoever else wants to end the
//! wait are the connection's business.

use super::answers::collect;
use super::tx::{Tx, TxKeys, picks_of};
use super::wide::did;
use super::{Front, Route, Waiter, route_of};
use crate::command::shape::{Joined, Pick, Picks, Run, Take};
use crate::command::{Call, OwnedCall, Refusal};
use crate::resp::{Output, ReplyWriter};
use crate::shard::{
    Answer, Bedding, Claim, Done, ExecutorId, Message, ReplyTo, Shard, Tried, Woken, Work,
};
use crate::types::{Lsn, ShardId};
use std::any::Any;
use std::rc::Rc;
use std::time::Instant;

/// A request that sleeps. It is to be given up, or to be answered; dropped it is given up.
pub struct Asleep {
    front: Rc<Front>,
    waiter: Waiter,
    call: OwnedCall,
    claim: Claim,
    /// Where it sleeps, and under which number.
    places: Vec<(ShardId, u64)>,
}

/// What became of one that was woken.
pub enum Slept {
    /// Its reply is written. It may have written, up to there.
    Replied(Option<(ShardId, Lsn)>),
    /// It sleeps on: somebody else was faster.
    On,
    /// The node is a replica now.
    RoleChanged,
    /// Somebody has something to say to its connection.
    Called,
}

impl Front {
    /// Tries a request that may wait; with nothing there, it sleeps from then on. Else its reply is written.
    pub async fn try_or_sleep(
        self: &Rc<Front>,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Option<Asleep> {
        let start = out.len();
        if self.did_at_once(call, out).await {
            return None;
        }
        let began = Instant::now();
        let outcome = self.try_request(call, out).await;
        match outcome {
            Ok(Some(asleep)) => {
                out.truncate(start);
                Some(asleep)
            }
            outcome => {
                self.end_request(call, began, outcome.map(drop), start, out);
                None
            }
        }
    }

    /// Whether a request that may take very much has found something, which it takes in slices as one that does not
    /// wait. Who is served while it sleeps takes all in one piece: what others put there in one piece.
    async fn did_at_once(self: &Rc<Front>, call: &Call<'_>, out: &mut Output) -> bool {
        let Run::Wait(wait) = &call.entry.command.run else { return false };
        // Without a reply nobody could tell.
        if !(wait.takes_many)(call.args) || call.who.silent {
            return false;
        }
        let (start, mut nothing) = (out.len(), Output::default());
        self.run_wide(call, out).await;
        (wait.nothing)(&mut nothing.writer(call.protocol));
        if out[start..] != nothing[..] {
            return true;
        }
        out.truncate(start);
        false
    }

    fn end_request(
        &self,
        call: &Call<'_>,
        began: Instant,
        outcome: Result<(), Refusal>,
        start: usize,
        out: &mut Output,
    ) {
        if outcome.is_err() || call.who.silent {
            out.truncate(start);
        }
        self.ran_wide(call.entry, began, outcome, call.protocol, out);
    }

    async fn try_request(
        self: &Rc<Front>,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<Option<Asleep>, Refusal> {
        call.check(self.facts())?;
        self.admit(call).await?;
        let (front, waiter) = (self.clone(), self.waiter());
        let (owned, claim) = (call.to_owned(), Claim::default());
        let mut asleep = Asleep { front, waiter, call: owned, claim, places: Vec::new() };
        let is_asleep = match route_of(call.entry, &call.args, self.node.shards()) {
            Route::One(shard) => asleep.try_on(shard, out).await?,
            _ => asleep.try_over(&mut out.writer(call.protocol)).await?,
        };
        if !is_asleep {
            // Nobody else has it: there is nothing to give up.
            asleep.claim.take();
        }
        Ok(is_asleep.then_some(asleep))
    }
}

impl Asleep {
    /// Where what wakes it is to be sent.
    pub fn reply_to(&self) -> ReplyTo {
        self.waiter.reply_to()
    }

    fn bedding(&self, keys: Vec<Pick>, needs_others: bool) -> Bedding {
        let (call, claim, reply_to) = (self.call.clone(), self.claim.clone(), self.reply_to());
        Bedding { call, keys, needs_others, claim, reply_to }
    }

    /// Tries it on the shard that has all keys; whether it sleeps.
    async fn try_on(&mut self, shard: ShardId, out: &mut Output) -> Result<bool, Refusal> {
        let call = self.call.view();
        let keys = Pick::all_of(&call.entry.command.keys, &call.args).collect();
        let mut bedding = Some(self.bedding(keys, false));
        if self.front.shard_id() == Some(shard)
            && let Some(ready) = bedding.take()
        {
            match self.front.with_shard(|shard| shard.try_here(ready)) {
                Ok(tried) => return self.tried(shard, tried, out),
                Err(busy) => bedding = Some(busy),
            }
        }
        let mut keys = TxKeys::default();
        keys.add(&self.front, call.entry, &call.args);
        let (wants, writes) = keys.wants(&self.front).await;
        let waiter = self.front.waiter();
        let work = |_| {
            let bedding = bedding.take()?;
            let work = move |shard: &mut Shard| -> Box<dyn Any + Send> {
                Box::new(shard.try_or_sleep(bedding))
            };
            Some(Work::Call(Box::new(work)))
        };
        self.front.begin(&waiter, wants, writes, work, true);
        match collect(&waiter, 1).await.pop() {
            Some((shard, Done::Value(value))) => {
                let tried = value.downcast().expect("a try answers with what came of it");
                self.tried(shard, *tried, out)
            }
            _ => unreachable!("a call answers with a value"),
        }
    }

    fn tried(&mut self, shard: ShardId, tried: Tried, out: &mut Output) -> Result<bool, Refusal> {
        match tried {
            Tried::Done(mut reply) => {
                let whole = 0..reply.len();
                out.take_from(&mut reply, whole);
                Ok(false)
            }
            Tried::Refused(refusal) => Err(refusal),
            Tried::Asleep(number) => {
                self.places.push((shard, number));
                Ok(true)
            }
        }
    }

    /// Tries it in a transaction over all its shards; whether it sleeps.
    async fn try_over(&mut self, reply: &mut ReplyWriter<'_>) -> Result<bool, Refusal> {
        let (front, owned) = (self.front.clone(), self.call.clone());
        let call = owned.view();
        let mut keys = TxKeys::default();
        let picks = keys.add_picks(&front, &call).await;
        let mut tx = Tx::over(&front, keys).await;
        let outcome = match self.look(&mut tx, picks.clone(), true, reply).await {
            Ok(true) => Ok(false),
            Ok(false) => {
                self.lie_down(&mut tx, picks).await;
                Ok(true)
            }
            Err(refusal) => Err(refusal),
        };
        tx.conclude().await;
        outcome
    }

    /// Looks at all keys and takes what there is; whether there was something. Then the transaction is over.
    async fn look(
        &self,
        tx: &mut Tx,
        picks: Picks,
        minds_promises: bool,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<bool, Refusal> {
        let (front, call) = (&self.front, self.call.view());
        let steps = call.split_to_wait(picks, minds_promises);
        let work = steps.into_iter().map(|(s, step)| (s, Work::Step(self.call.clone(), step)));
        let done = tx.hop(work.collect(), false, false).await;
        match call.join(front.facts(), did(done)?, reply)? {
            Joined::Nothing => Ok(false),
            joined => {
                tx.go_on(&call, &self.call, joined, true, true, reply).await?;
                Ok(true)
            }
        }
    }

    /// Falls asleep on all shards that have keys to sleep on.
    async fn lie_down(&mut self, tx: &mut Tx, picks: Picks) {
        let Run::Wait(wait) = &self.call.view().entry.command.run else { return };
        let needs_others = matches!(wait.take, Take::Carry(_));
        let mut work = Vec::new();
        for (shard, keys) in picks {
            if !keys.iter().any(|pick| wait.is_slept_on(*pick)) {
                continue;
            }
            let bedding = self.bedding(keys, needs_others);
            let fall = move |shard: &mut Shard| -> Box<dyn Any + Send> {
                Box::new(shard.fall_asleep(bedding))
            };
            work.push((shard, Work::Call(Box::new(fall))));
        }
        for (shard, done) in tx.hop(work, false, true).await {
            if let Done::Value(value) = done
                && let Ok(number) = value.downcast::<u64>()
            {
                self.places.push((shard, *number));
            }
        }
    }

    /// Sleeps until somebody has to say something. May be dropped and asked again.
    pub async fn woken(&self) -> Woken {
        loop {
            if let Answer::Value(value) = self.waiter.next().await
                && let Ok(woken) = value.downcast::<Woken>()
            {
                return *woken;
            }
        }
    }

    /// Does what it was woken for.
    pub async fn answer(&mut self, woken: Woken, out: &mut Output) -> Slept {
        let (start, began, owned) = (out.len(), Instant::now(), self.call.clone());
        let call = owned.view();
        let (outcome, written) = match woken {
            Woken::Called => return Slept::Called,
            Woken::RoleChanged => return Slept::RoleChanged,
            Woken::Refused(refusal) => (Err(refusal), None),
            Woken::Served(mut reply, shard, lsn) => {
                let whole = 0..reply.len();
                out.take_from(&mut reply, whole);
                (Ok(()), (lsn != Lsn(0)).then_some((shard, lsn)))
            }
            Woken::Look => match self.look_again(&mut out.writer(call.protocol)).await {
                Ok(false) => {
                    out.truncate(start);
                    self.post(|shard, number| shard.sleep_on(number));
                    return Slept::On;
                }
                outcome => (outcome.map(drop), None),
            },
        };
        self.claim.take();
        self.leave();
        self.front.end_request(&call, began, outcome, start, out);
        Slept::Replied(written)
    }

    /// Whether there is something, which is taken then.
    async fn look_again(&self, reply: &mut ReplyWriter<'_>) -> Result<bool, Refusal> {
        let (front, call) = (&self.front, self.call.view());
        let mut keys = TxKeys::default();
        keys.add(front, call.entry, &call.args);
        let picks = picks_of(front, &call, |_, _, _| {}).await;
        let mut tx = Tx::over(front, keys).await;
        let outcome = self.look(&mut tx, picks, false, reply).await;
        tx.conclude().await;
        outcome
    }

    /// Gives it up; `false` when it is too late: it was served, and is to be answered.
    pub fn give_up(&mut self) -> bool {
        let is_mine = self.claim.take();
        if is_mine {
            self.leave();
        }
        is_mine
    }

    /// One that was given up has a reply that is no refusal, which is written, or is refused.
    pub fn end(self, outcome: Result<(), Refusal>, out: &mut Output) {
        let (start, began, call) = (out.len(), Instant::now(), self.call.view());
        if outcome.is_ok() {
            out.writer(call.protocol).nil_array();
        }
        self.front.end_request(&call, began, outcome, start, out);
    }

    /// It sleeps nowhere any more.
    fn leave(&mut self) {
        self.post(|shard, number| shard.wake_up(number));
        self.places.clear();
    }

    fn post(&self, say: fn(&mut Shard, u64)) {
        for &(shard, number) in &self.places {
            let say = move |shard: &mut Shard| say(shard, number);
            self.front.node.send(ExecutorId::from(shard), Message::Call(Box::new(say)));
        }
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.give_up();
    }
}
