//! Received bytes in, work for shards out, answers of shards in: a session with the master without its
//! sockets.
//!
//! ```text
//!   messages of a flow ─► receive ─► gather ─► hand_out ─► shards ─► answers ─► take_in ─► relay
//! ```
//!
//! [`apply`] goes round this way for as long as a session lasts; `session` has it over sockets, the model in
//! memory.

use super::gather::{AsOne, Dispatch, Gather};
use super::machine::Happened;
use super::reason::Reason;
use crate::bell::Bell;
use crate::handshake::Terms;
use crate::planted;
use crate::relay::Relay;
use engine::exec::{ApplyPart, Front, Waiter};
use engine::libraries::Libraries;
use engine::shard::{
    Answer, Applied, ApplyBatch, Done, ExecutorId, Message, PutValue, Shard, Wants,
};
use engine::types::{Lsn, Millis, ShardId, TxId};
use futures_lite::future;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// See the module's doc.
pub struct Applier {
    front: Rc<Front>,
    waiter: Waiter,
    gather: RefCell<Gather>,
    relay: Rc<RefCell<Relay>>,
    /// Nothing is handed out for now, so that the data stands at one position.
    is_held: Cell<bool>,
    /// Rung when nothing is on its way to shards while it is held, and at the end.
    rests: Bell,
}

/// A unit that one shard has applied.
struct UnitApplied {
    unit: u64,
    error: Option<String>,
    values: Vec<PutValue>,
}

/// What an answer of a shard came to.
struct Taken {
    /// A position has moved.
    moved: bool,
    /// A record did not fit what it found: the copy is not exact any more.
    broken: Option<String>,
}

/// Whom an applier works for: a session under way.
pub trait Applies {
    /// Its applier.
    fn applier(&self) -> &Applier;
    /// Rung when something has arrived, and when the session has ended.
    fn arrived(&self) -> &Bell;
    /// Whether it has ended: then nothing more is handed out.
    fn is_broken(&self) -> bool;
    /// Whether the data is the master's.
    fn is_stable(&self) -> bool;
    /// The time as of which positions move.
    fn now(&self) -> Millis;
    /// Tells the machine what happened.
    fn happened(&self, happened: Happened);
    /// The same of what ends the session.
    fn broke(&self, reason: Reason);
    /// A position has moved: there may be something to say on the flows.
    fn wake_flows(&self);
    /// Something was handed out: flows may be read from.
    fn give_credit(&self);
}

/// Hands out what may be applied and takes in what was, until the session breaks and nothing is out.
pub async fn apply(session: &impl Applies) {
    let applier = session.applier();
    loop {
        if !session.is_broken()
            && !applier.is_held.get()
            && let Err(error) = applier.hand_out()
        {
            session.broke(Reason::Malformed(error));
        }
        if applier.is_held.get() && applier.is_settled() {
            applier.rests.ring();
        }
        if session.is_broken() && applier.is_settled() {
            return;
        }
        // After handing out: the last to arrive may be nothing but the word that items are complete.
        if !session.is_stable() && applier.is_complete() {
            session.happened(Happened::Complete);
        }
        let answered = async { Some(applier.waiter.next().await) };
        let arrived = async {
            session.arrived().wait().await;
            None
        };
        if let Some(answer) = future::or(answered, arrived).await {
            take_in(session, answer);
            while let Some(answer) = applier.waiter.try_next() {
                take_in(session, answer);
            }
        }
        session.give_credit();
    }
}

fn take_in(session: &impl Applies, answer: Answer) {
    let Taken { moved, broken } = session.applier().take_in(answer, session.now());
    if let Some(error) = broken {
        // The copy is not exact any more: start anew rather than go on.
        session.broke(Reason::BrokenPromise(error));
    }
    if moved {
        session.wake_flows();
    }
}

impl Applier {
    /// The applier of a session on `terms` whose flows begin at `starts`.
    pub fn new(
        front: Rc<Front>,
        terms: &Terms,
        starts: &[Lsn],
        relay: Rc<RefCell<Relay>>,
    ) -> Applier {
        let walks = if terms.full { terms.walks } else { 0 };
        let gather = Gather::new(starts, front.node.shards(), terms.seed, walks, terms.dbs);
        let waiter = front.waiter();
        let (is_held, rests) = (Cell::new(false), Bell::default());
        Applier { front, waiter, gather: RefCell::new(gather), relay, is_held, rests }
    }

    /// Hands out nothing more until it is [let go](Applier::let_go), and waits until what was is applied. For one
    /// at a time.
    pub async fn hold(&self) {
        if planted::saves_do_not_hold() {
            return;
        }
        self.is_held.set(true);
        while !self.is_settled() {
            self.rests.wait().await;
        }
    }

    /// Hands out again.
    pub fn let_go(&self) {
        self.is_held.set(false);
    }

    /// The node's libraries of functions.
    pub fn libraries(&self) -> &Libraries {
        self.front.node.libraries()
    }

    /// Takes the whole messages out of what flow `flow` has received. Answers with the
    /// master's head if it said so: then it wants a sign of life.
    pub fn receive(&self, flow: u16, buffer: &mut Vec<u8>) -> Result<Option<Lsn>, String> {
        self.gather.borrow_mut().receive(flow, buffer)
    }

    /// Sends to the shards what may be applied now.
    fn hand_out(&self) -> Result<(), String> {
        loop {
            let next = self.gather.borrow_mut().next()?;
            match next {
                None => return Ok(()),
                Some(Dispatch::Batch(batch)) => {
                    let message = ApplyBatch {
                        reply_to: self.waiter.reply_to(),
                        unit: batch.unit,
                        frames: batch.frames,
                        are_items: batch.are_items,
                        reached: batch.reached,
                        passed: batch.passed,
                    };
                    let to = ExecutorId::from(batch.shard);
                    self.front.node.send(to, Message::Apply(Box::new(message)));
                }
                Some(Dispatch::AsOne(as_one)) => self.hand_out_as_one(as_one),
            }
        }
    }

    fn hand_out_as_one(&self, as_one: AsOne) {
        let AsOne { unit, parts, is_global, reached, passed } = as_one;
        let part = |(shard, frames): (ShardId, Vec<u8>)| {
            let wants = match is_global {
                true => Wants::Everything,
                false => Wants::of_frames(&frames, |key| self.front.node.hash(key)),
            };
            let (reached, passed) = (reached.clone(), passed.clone());
            let apply: ApplyPart = Box::new(move |shard: &mut Shard| {
                let error = shard.apply_frames(&frames, passed.as_deref()).err();
                for (flow, lsn) in reached {
                    shard.note_reached(flow, lsn);
                }
                let values = shard.take_values();
                Box::new(UnitApplied { unit, error, values }) as Box<dyn Any + Send>
            });
            (shard, wants, apply)
        };
        let parts = parts.into_iter().map(part).collect();
        self.front.apply_as_one(&self.waiter, parts);
    }

    /// A shard has answered: what is applied everywhere goes into the relay.
    fn take_in(&self, answer: Answer, now: Millis) -> Taken {
        let value = match answer {
            Answer::Value(value) | Answer::Done(_, Done::Value(value)) => value,
            _ => unreachable!("applying answers with a value"),
        };
        let applied = match value.downcast::<Applied>() {
            Ok(applied) => {
                let Applied { unit, error, values } = *applied;
                UnitApplied { unit, error, values }
            }
            Err(value) => *value.downcast::<UnitApplied>().expect("applying answers with its unit"),
        };
        let mut relay = self.relay.borrow_mut();
        let mut gather = self.gather.borrow_mut();
        if applied.error.is_some() {
            gather.failed(applied.unit);
            return Taken { moved: false, broken: applied.error };
        }
        gather.keep_values(applied.unit, applied.values);
        let moved = gather.completed(applied.unit, &mut relay, now);
        Taken { moved, broken: None }
    }

    /// Whether flow `flow` may be read from.
    pub fn wants_more(&self, flow: u16) -> bool {
        self.gather.borrow().wants_more(flow)
    }

    /// Whether the items of all flows are complete and everything handed out is applied.
    fn is_complete(&self) -> bool {
        self.gather.borrow().is_complete()
    }

    /// Items of a full sync that have come and were handed out.
    pub fn items_taken(&self) -> u64 {
        self.gather.borrow().items_taken()
    }

    /// Whether everything that was handed out is applied.
    pub fn is_settled(&self) -> bool {
        self.gather.borrow().is_settled()
    }

    /// The oldest transaction that waits for parts, and how much has come where they are awaited.
    pub fn waits_for(&self) -> Option<(TxId, u64)> {
        self.gather.borrow_mut().waits_for()
    }

    /// Per flow, what is applied.
    pub fn applied(&self) -> Vec<Lsn> {
        self.gather.borrow().applied()
    }

    /// What is applied of one flow.
    pub fn applied_of(&self, flow: u16) -> Lsn {
        self.gather.borrow().applied_of(flow)
    }

    /// Bytes received and not handed out, of the flow that holds most; and bytes handed out and not
    /// applied.
    pub fn held(&self) -> (usize, usize) {
        self.gather.borrow().held()
    }
}
