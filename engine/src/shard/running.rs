//! What goes on in slices: the shard does some of it, serves others, and comes back.
//!
//! ```text
//!   mailbox turn | slice of A | connections ... | mailbox turn | slice of B | ... | slice of A, the last
//!                  keys of A stay open meanwhile, in the lock table ────────────────► reply, keys free
//! ```
//!
//! Who runs slices is the executor's front, one after each turn of its mailbox (`exec::Front`).

use super::run::{append, hush};
use super::{Batch, EntryId, Piece, Shard, Wants, Work};
use crate::command::Refusal;
use crate::command::shape::Slices;
use crate::db::Made;
use crate::limits::RUN_SLICE_MICROS;
use crate::resp::Output;
use crate::types::{ShardId, TxId};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something under way.
pub(super) enum Running {
    /// The rest of a batch whose turn was over.
    Rest(Box<Batch>),
    /// The next command of a batch. Its keys are held; its records are in a frame of their own.
    Command { entry: EntryId, wants: Wants, batch: Box<Batch>, made: Made },
    /// A transaction's hop, and the shards that it concludes with.
    Hop(TxId, Work, Option<Arc<[ShardId]>>),
}

/// How long a task has had its turn, as of the last look.
pub(super) struct Turn {
    began: Instant,
    now: Instant,
}

impl Turn {
    pub(super) fn begin() -> Turn {
        let began = Instant::now();
        Turn { began, now: began }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn look(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    pub(super) fn is_longer(&mut self, than: Duration) -> bool {
        self.look().duration_since(self.began) >= than
    }
}

impl Shard {
    /// Lets slices be measured by the clock: somebody runs them between other work.
    pub fn set_timed(&mut self) {
        self.is_timed = true;
    }

    /// Whether something goes on in slices.
    pub fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    pub(super) fn is_over(&self, turn: &mut Turn) -> bool {
        !self.is_timed || turn.is_longer(Duration::from_micros(RUN_SLICE_MICROS))
    }

    /// One slice of what goes on; whether there is more.
    pub fn run_slice(&mut self) -> bool {
        let began = Instant::now();
        match self.running.pop_front() {
            None => return false,
            Some(Running::Rest(batch)) => self.run_batch(batch),
            Some(Running::Hop(id, work, conclude)) => self.run_hop(id, work, conclude),
            Some(Running::Command { entry, wants, batch, made }) => {
                self.slice_of_command(entry, wants, batch, made);
            }
        }
        self.settle();
        self.pieces.note(Piece::Slice, began.elapsed());
        self.is_running()
    }

    /// The batch's next command goes on in slices, with its keys in hand.
    pub(super) fn go_on(
        &mut self,
        entry: EntryId,
        wants: Wants,
        mut batch: Box<Batch>,
        slices: Slices,
    ) {
        batch.slices = Some(slices);
        let made = Made::default();
        self.running.push_back(Running::Command { entry, wants, batch, made });
    }

    fn slice_of_command(
        &mut self,
        entry: EntryId,
        wants: Wants,
        mut batch: Box<Batch>,
        made: Made,
    ) {
        let mut slices = batch.slices.take().expect("only what goes on in slices is here");
        let outside = self.keys.swap_made(made);
        let is_done = self.run_slices(&mut slices, &mut batch);
        let made = self.keys.swap_made(outside);
        if !is_done {
            batch.slices = Some(slices);
            self.running.push_back(Running::Command { entry, wants, batch, made });
            return;
        }
        batch.note_ran();
        if !made.frame.is_empty() {
            append(&mut self.log, self.id, &made.frame, None);
            batch.written = self.log.lsn();
        }
        self.keys.serve_logged(made);
        self.locks.release(entry, &wants, &mut self.granted);
        self.run_batch(batch);
    }

    /// One slice of the batch's next command; whether it was the last, and the reply is written.
    pub(super) fn run_slices(&mut self, slices: &mut Slices, batch: &mut Batch) -> bool {
        let start = batch.next_start();
        let (call, replies) = batch.next();
        let mut turn = Turn::begin();
        let outcome = loop {
            let piece = self.within(&call, replies, |cx| match slices(cx) {
                Ok(true) => {
                    // What was written in earlier slices takes room with the last one.
                    cx.counted = cx.reply.whole() - (cx.reply.out.len() - start);
                    cx.take_room().map(|()| true)
                }
                more => more,
            });
            match piece {
                Ok(false) if !self.is_over(&mut turn) => {}
                Ok(false) => break Ok(false),
                ended => break ended,
            }
        };
        let id = usize::from(call.entry.id);
        self.stats[id].nanos += turn.look().duration_since(turn.began).as_nanos() as u64;
        if matches!(outcome, Ok(false)) {
            return false;
        }
        self.stats[id].calls += 1;
        self.end_sliced(id, &call, outcome.map(drop), start, replies);
        true
    }

    fn end_sliced(
        &mut self,
        id: usize,
        call: &crate::command::Call<'_>,
        outcome: Result<(), Refusal>,
        start: usize,
        replies: &mut Output,
    ) {
        if let Err(refusal) = outcome.or_else(Refusal::unless_unwanted) {
            self.stats[id].failed += 1;
            replies.truncate(start);
            self.refuse(&refusal, call.protocol, replies);
        }
        hush(call, start, replies);
    }
}
