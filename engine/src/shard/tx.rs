//! Transactions of several keys or several shards, seen from one shard.
//!
//! ```text
//!   Begin ─► Waiting (keys asked for) ─► granted here ─► armed everywhere ─► hops ─► concluded ─► logged
//!                                          │ unarmed -= 1      ▲
//!                                          └── last one says ──┘  Armed to all, or to the coordinator
//! ```
//!
//! Nothing runs before all shards have granted all keys, and keys stay open until the frame is in the
//! log. Frames of many-shard transactions that may write go to the log in the global order, also when
//! their keys are disjoint (J2): a concluded transaction waits in `order` for those before it.
//! The global order is the order of arrival: a coordinator takes the id and puts `Begin` into all
//! mailboxes under one lock (`exec::order`).

use super::address::ExecutorId;
use super::body::{
    Begin, Commands, Concluded, Hop, Message, Ordered, Running, Shard, TxHere, Waiting, Work,
    append,
};
use super::locks::Wants;
use super::message::{Answer, Batch, Done};
use super::planted;
use super::run::COMMANDS_PER_LOOK;
use super::turn::Turn;
use crate::db::{Keyspace, Made};
use crate::limits::BATCH_REPLIES_MAX;
use crate::types::{DbIndex, ShardId, TxId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Shard {
    /// A transaction arrives.
    pub(super) fn begin(&mut self, begin: Begin) {
        let entry = self.new_entry();
        let id = begin.shared.id;
        if begin.shared.writes && begin.shared.shards.len() > 1 {
            self.order.push_back(Ordered { id, concluded: None });
        }
        // Until all shards are armed there is time for them to come.
        self.fetch_wanted(&begin.wants, begin.work.as_ref(), Keyspace::prefetch_at);
        let granted = self.locks.request(entry, &begin.wants);
        self.entries.insert(entry, Waiting::Tx(id));
        let Begin { shared, wants, work, concludes, applies } = begin;
        let made = Made::default();
        let applies = applies.then(|| self.applying.push_tx(id));
        self.transactions
            .insert(id, TxHere { shared, entry, wants, work, concludes, applies, made });
        if granted {
            self.granted.push_back(entry);
        }
    }

    /// Brings what a step's keys need into the cache, together.
    fn fetch_wanted(
        &self,
        wants: &Wants,
        work: Option<&Work>,
        fetch: impl Fn(&Keyspace, DbIndex, u64),
    ) {
        /// Of more the first would be gone again when they are wanted.
        const KEYS_MAX: usize = 64;
        if let (Wants::Keys(keys), Some(Work::Step(call, _))) = (wants, work) {
            let db = call.view().db;
            keys.iter().take(KEYS_MAX).for_each(|(hash, _)| fetch(&self.keys, db, *hash));
        }
    }

    /// All keys of the transaction are granted on this shard; the last shard tells the others. Whether it is
    /// armed by that, and does what it has brought along.
    pub(super) fn granted_here(&mut self, id: TxId) -> bool {
        let tx = &self.transactions[&id];
        let shared = tx.shared.clone();
        if shared.unarmed.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        if tx.work.is_none() {
            let to = shared.reply_to;
            self.send(to.executor, Message::Answer(to.ticket, Answer::Armed));
            return false;
        }
        for &shard in &shared.shards {
            if shard != self.id {
                self.send(ExecutorId::from(shard), Message::Armed(id));
            }
        }
        true
    }

    /// Does the work that an armed transaction brought along.
    pub(super) fn run_armed(&mut self, id: TxId) {
        if let Some(tx) = self.transactions.get(&id) {
            self.fetch_wanted(&tx.wants, tx.work.as_ref(), Keyspace::prefetch_item_at);
        }
        let tx = self.transactions.get_mut(&id).expect("an armed transaction has begun here");
        let work = tx.work.take().expect("only a transaction with work is armed by shards");
        let shared = tx.shared.clone();
        let touched: &[ShardId] = if shared.writes { &shared.shards } else { &[] };
        let conclude = tx.concludes.then(|| Arc::from(touched));
        self.run_hop(id, work, conclude);
    }

    /// The coordinator's next step.
    pub(super) fn hop(&mut self, hop: Hop) {
        self.run_hop(hop.tx, hop.work, hop.conclude);
    }

    pub(super) fn run_hop(&mut self, id: TxId, mut work: Work, conclude: Option<Arc<[ShardId]>>) {
        let tx = self.transactions.get_mut(&id).expect("a hop's transaction has begun here");
        let reply_to = tx.shared.reply_to;
        let own = std::mem::take(&mut tx.made);
        let outside = self.keys.swap_made(own);
        let done = self.run_work(&mut work);
        let own = self.keys.swap_made(outside);
        match (done, conclude) {
            (Some(done), Some(touched)) => return self.conclude(id, own, &touched, done),
            (Some(done), None) => self.answer(reply_to, Answer::Done(self.id, done)),
            (None, conclude) => self.running.push_back(Running::Hop(id, work, conclude)),
        }
        self.transactions.get_mut(&id).expect("still under way").made = own;
    }

    /// A slice of the work; `None` when there is more.
    fn run_work(&mut self, work: &mut Work) -> Option<Done> {
        match work {
            Work::Nothing => Some(Done::Nothing),
            Work::Step(call, step) => {
                let mut turn = Turn::begin();
                loop {
                    match self.run_step(&call.view(), step) {
                        Ok(Some(did)) => return Some(Done::Did(did)),
                        Err(refusal) => return Some(Done::Refused(refusal)),
                        Ok(None) if self.is_over(&mut turn) => return None,
                        Ok(None) => {}
                    }
                }
            }
            Work::Commands(commands) => self.run_commands(commands),
            Work::Call(_) => match std::mem::replace(work, Work::Nothing) {
                Work::Call(call) => Some(Done::Value(call(self))),
                _ => unreachable!("it was a call"),
            },
        }
    }

    /// Commands of a MULTI: their records stay in the transaction's frame.
    fn run_commands(&mut self, commands: &mut Commands) -> Option<Done> {
        if let Some(unless) = commands.unless.take()
            && unless(self)
        {
            return Some(Done::Nothing);
        }
        let mut turn = Turn::begin();
        while let Some(batch) = commands.batches.get_mut(commands.at) {
            if !batch.is_unfinished() {
                commands.made += batch.replies.whole();
                commands.at += 1;
                let next = commands.batches.get_mut(commands.at);
                if let Some(next) = next.filter(|_| commands.made >= BATCH_REPLIES_MAX) {
                    next.replies.hold_readily();
                }
                continue;
            }
            self.fetch_ahead(batch);
            let began = turn.now();
            self.run_in_tx(batch);
            let now = turn.look();
            if batch.slices.is_none() && batch.slow_from.is_some_and(|limit| now - began >= limit) {
                batch.slow.push((batch.ran as u32 - 1, now - began));
            }
            // Where there are too many replies for the client it is closed: nobody will read them.
            if batch.ran % COMMANDS_PER_LOOK == 0
                && batch.who.room.hold(commands.made + batch.replies.whole()).is_err()
            {
                batch.replies.clear();
                batch.ends.fill(0);
            }
            if self.was_over(&turn) {
                return None;
            }
        }
        Some(Done::Commands(std::mem::take(&mut commands.batches)))
    }

    fn run_in_tx(&mut self, batch: &mut Batch) {
        let slices = batch.slices.take();
        let (call, replies) = batch.next();
        let is_unread = call.who.room.is_over() && !call.entry.writes();
        match slices {
            Some(mut slices) => {
                if !self.run_slices(&mut slices, batch) {
                    batch.slices = Some(slices);
                    return;
                }
            }
            None if is_unread => {}
            None => {
                batch.slices = self.run_untold(&call, replies);
                if batch.slices.is_some() {
                    return;
                }
            }
        }
        batch.note_ran();
    }

    /// The transaction has run. Its frame goes to the log when those before it have gone.
    fn conclude(&mut self, id: TxId, made: Made, touched: &Arc<[ShardId]>, done: Done) {
        let tx = self.transactions.remove(&id).expect("concluded once");
        let here = touched.contains(&self.id);
        let concluded = Concluded {
            entry: tx.entry,
            wants: tx.wants,
            made,
            touched: here.then(|| touched.clone()),
            reply_to: tx.shared.reply_to,
            done,
        };
        let in_order = !planted::frames_in_order_of_conclusion();
        if here && touched.len() > 1 && tx.shared.shards.len() > 1 && in_order {
            let place = self.order.iter_mut().find(|ordered| ordered.id == id);
            place.expect("a writing transaction has its place").concluded = Some(concluded);
        } else {
            // Alone in this log (or not in it at all): no other log has a part to agree with.
            self.order.retain(|ordered| ordered.id != id);
            self.log_concluded(id, concluded);
        }
        self.log_in_order();
    }

    fn log_in_order(&mut self) {
        while let Some(Ordered { concluded: Some(_), .. }) = self.order.front() {
            let Some(Ordered { id, concluded: Some(concluded) }) = self.order.pop_front() else {
                return;
            };
            self.log_concluded(id, concluded);
        }
    }

    fn log_concluded(&mut self, id: TxId, concluded: Concluded) {
        let Concluded { entry, wants, made, touched, reply_to, done } = concluded;
        let frame = &made.frame;
        match touched {
            Some(touched) if touched.len() > 1 => {
                append(&mut self.log, self.id, frame, Some((id, &touched)));
            }
            _ if !frame.is_empty() => append(&mut self.log, self.id, frame, None),
            _ => {}
        }
        self.keys.serve_logged(made);
        self.log.settle(self.keys.now());
        // Before anybody else has the keys.
        self.serve_sleepers();
        self.locks.release(entry, &wants, &mut self.granted);
        self.answer(reply_to, Answer::Done(self.id, done));
    }
}
