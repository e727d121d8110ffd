//! What goes on in slices: the shard does some of it, serves others, and comes back.
//!
//! ```text
//!   mailbox turn | slice of A | connections ... | mailbox turn | slice of B | ... | slice of A, the last
//!                  keys of A stay open meanwhile, in the lock table ────────────────► reply, keys free
//! ```
//!
//! Who runs slices is the executor's front, one after each turn of its mailbox (`exec::Front`).

use super::body::{Running, Shard, append};
use super::locks::{EntryId, Wants};
use super::message::{Answer, Batch};
use super::run::hush;
use super::turn::Turn;
use crate::command::shape::Slices;
use crate::command::{Call, Refusal};
use crate::db::Made;
use crate::resp::Output;

/// Slices after which whoever asked is told that it takes long: some 10 ms of work.
const LONG_SLICES: u32 = 200;

impl Shard {
    /// A slice of the batch's next command, whose keys it has in hand.
    pub(super) fn slice_of_command(
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
            batch.sliced += 1;
            if batch.sliced == LONG_SLICES && batch.tells && batch.next().0.only_reads() {
                self.answer(batch.reply_to, Answer::TakesLong);
            }
            batch.slices = Some(slices);
            self.running.push_back(Running::Command { entry, wants, batch, made });
            return;
        }
        batch.sliced = 0;
        batch.note_ran();
        if !made.frame.is_empty() {
            append(&mut self.log, self.id, &made.frame, None);
            batch.written = self.log.lsn();
        }
        self.keys.serve_logged(made);
        self.serve_sleepers();
        self.locks.release(entry, &wants, &mut self.granted);
        self.run_batch(batch);
    }

    /// One slice of the batch's next command; whether it was the last, and the reply is written.
    pub(super) fn run_slices(&mut self, slices: &mut Slices, batch: &mut Batch) -> bool {
        let start = batch.next_start();
        let (call, replies) = batch.next();
        let mut turn = Turn::begin();
        // Nobody wants the rest of what only reads; what writes is done, whoever reads the reply.
        let left = if call.only_reads() { call.who.room.unless_left() } else { Ok(()) };
        let outcome = loop {
            if let Err(left) = left {
                break Err(left);
            }
            self.keys.go_on_with_command(&call.entry.called);
            let piece = self.within_begun(&call, replies, |cx| match slices(cx) {
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
        self.stats[id].nanos += turn.took().as_nanos() as u64;
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
        call: &Call<'_>,
        outcome: Result<(), Refusal>,
        start: usize,
        replies: &mut Output,
    ) {
        let outcome = outcome.or_else(Refusal::unless_unwanted);
        if let Err(refusal) = &outcome {
            self.stats[id].failed += 1;
            replies.truncate(start);
            self.refuse(refusal, call.protocol, replies);
        }
        hush(call, start, outcome.is_err(), replies);
    }
}
