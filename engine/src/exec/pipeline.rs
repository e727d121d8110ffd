//! The requests of one read buffer: run here, or sent as at most one batch per shard, with the
//! replies put back in order.
//!
//! ```text
//!   GET a (here)  SET b (shard 2)  GET c (here)  GET d (shard 2)
//!   out: reply a │ pieces: [remote 2] [local 1] [remote 2]   batches: 2 -> {SET b, GET d}
//! ```
//!
//! Until the first request that goes elsewhere, replies are written straight into the connection's
//! output. Commands on different shards of one pipeline may become visible to others in either order
//! (docs/decisions/pipeline-order.md); on one shard they keep their order.

use super::{Front, Route, route_of};
use crate::command::Call;
use crate::limits::{BATCH_COMMANDS_MAX, BATCH_REPLIES_MAX};
use crate::resp::Output;
use crate::shard::{Answer, Batch, ExecutorId, Message, Shard};
use crate::types::{Lsn, ShardId};
use std::collections::VecDeque;
use std::rc::Rc;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It ran, or is on its way: more may be added.
    Yes,
    /// It must be run alone after a [`flush`](Pipeline::flush): it needs several shards or none.
    Fence,
    /// The pipeline is full: flush, then add it again.
    Full,
}

/// Where a reply comes from.
enum Piece {
    Local(usize),
    Remote(ShardId),
}

/// A connection's pipeline; reused from one read buffer to the next.
#[derive(Default)]
pub struct Pipeline {
    /// Batches to send, by shard.
    batches: Vec<Option<Box<Batch>>>,
    /// Used batches, their memory kept.
    spare: Vec<Box<Batch>>,
    pieces: VecDeque<Piece>,
    /// Batches that came home, by shard, with the index of the next reply to use.
    home: Vec<Option<(Box<Batch>, usize)>>,
    /// Replies of commands that ran here after the first one that went elsewhere.
    local: Output,
    /// Bytes of `local` that have been used.
    local_used: usize,
    /// The journal position after this connection's last write, per shard: what WAIT waits for.
    written: Vec<Lsn>,
}

/// A used batch above this size is not kept: neither one large value nor one long pipeline must stay with
/// a connection, which may be idle from now on.
const SPARE_BYTES_MAX: usize = 8 * 1024;
/// Used batches kept.
const SPARES_MAX: usize = 4;
/// Places for pieces kept.
const PIECES_KEPT: usize = 128;

impl Pipeline {
    /// The journal position after this connection's last write, per shard (empty: it never wrote).
    pub fn written(&self) -> &[Lsn] {
        &self.written
    }

    /// Notes a write of this connection.
    pub fn wrote(&mut self, shard: ShardId, lsn: Lsn) {
        if self.written.len() <= shard.index() {
            self.written.resize(shard.index() + 1, Lsn(0));
        }
        self.written[shard.index()] = lsn;
    }

    /// Whether requests are on their way (a flush has something to wait for).
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a request, running it at once if its keys are here and nothing is in the way. `shard` is
    /// this executor's own, borrowed for the whole read buffer.
    pub fn add(
        &mut self,
        front: &Front,
        shard: &mut Shard,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Added {
        let Route::One(place) = route_of(call.entry, &call.args, front.node.shards()) else {
            return Added::Fence;
        };
        if self.local.whole() >= BATCH_REPLIES_MAX {
            return Added::Full;
        }
        let here = ExecutorId::from(place) == front.me;
        if here && !self.has_batch(place) {
            let before = shard.head();
            let start = self.local.len();
            let output = if self.pieces.is_empty() { &mut *out } else { &mut self.local };
            if shard.run_here(call, output) {
                if !self.pieces.is_empty() {
                    self.pieces.push_back(Piece::Local(self.local.len() - start));
                }
                if shard.head() != before {
                    self.wrote(place, shard.head());
                }
                return Added::Yes;
            }
        }
        self.send_later(front, place, call)
    }

    fn has_batch(&self, shard: ShardId) -> bool {
        self.batches.get(shard.index()).is_some_and(Option::is_some)
    }

    fn send_later(&mut self, front: &Front, place: ShardId, call: &Call<'_>) -> Added {
        if self.batches.len() <= place.index() {
            self.batches.resize_with(usize::from(front.node.shards()), || None);
        }
        let batch = self.batches[place.index()].get_or_insert_with(|| {
            let nobody = front.nobody();
            match self.spare.pop() {
                Some(mut batch) => {
                    batch.reset(nobody, call.db, call.protocol);
                    batch
                }
                None => Box::new(Batch::new(nobody, call.db, call.protocol, call.who.clone())),
            }
        });
        if batch.commands.len() >= BATCH_COMMANDS_MAX {
            return Added::Full;
        }
        (batch.who.no_touch, batch.who.silent) = (call.who.no_touch, call.who.silent);
        batch.push(call.entry, call.args);
        self.pieces.push_back(Piece::Remote(place));
        Added::Yes
    }

    /// Forgets the commands that no other shard has got yet; they are answered by nothing.
    pub fn forget_unsent(&mut self) {
        for batch in self.batches.iter_mut().flatten() {
            batch.give_up();
        }
    }

    /// Sends the batches, waits for them, and appends outstanding replies to `out` in order.
    ///
    /// Answers whether replies are still outstanding: then there are too many bytes of them to hold
    /// at a time, and the rest runs with the next flush, before which `out` should be sent.
    pub async fn flush(&mut self, front: &Rc<Front>, out: &mut Output) -> bool {
        self.flush_beside(front, out, std::future::pending).await
    }

    /// The same, with something that goes on beside it from when a command takes long.
    pub async fn flush_beside<F: Future<Output = ()>>(
        &mut self,
        front: &Rc<Front>,
        out: &mut Output,
        beside: impl FnOnce() -> F,
    ) -> bool {
        if self.pieces.is_empty() {
            return false;
        }
        let waiter = front.waiter();
        let mut sent = 0;
        for (shard, slot) in self.batches.iter_mut().enumerate() {
            if let Some(mut batch) = slot.take() {
                batch.reply_to = waiter.reply_to();
                batch.tells = true;
                front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
                sent += 1;
            }
        }
        self.home.resize_with(self.batches.len(), || None);
        let (mut beside, mut going) = (Some(beside), None);
        while sent > 0 {
            let batch = match waiter.next_beside(&mut going).await {
                Answer::Batch(batch) => batch,
                Answer::TakesLong => {
                    going = going.or_else(|| beside.take().map(|beside| Box::pin(beside())));
                    continue;
                }
                _ => unreachable!("a batch answers with itself"),
            };
            sent -= 1;
            if batch.written != Lsn(0) {
                self.wrote(batch.ran_on, batch.written);
            }
            let shard = batch.ran_on.index();
            self.home[shard] = Some((batch, 0));
        }
        self.assemble(out);
        self.clean_up();
        !self.pieces.is_empty()
    }

    /// Appends replies in order, up to the first that is not here.
    fn assemble(&mut self, out: &mut Output) {
        while let Some(piece) = self.pieces.front() {
            match piece {
                Piece::Local(len) => {
                    let used = self.local_used;
                    out.take_from(&mut self.local, used..used + len);
                    self.local_used += len;
                }
                Piece::Remote(shard) => {
                    let home = self.home[shard.index()].as_mut().expect("every batch came home");
                    let (batch, next) = home;
                    if *next == batch.ends.len() {
                        return;
                    }
                    batch.take_reply(*next, out);
                    *next += 1;
                }
            }
            self.pieces.pop_front();
        }
        self.local.clear();
        self.local_used = 0;
        if self.local.capacity() > SPARE_BYTES_MAX {
            self.local = Output::default();
        }
        self.pieces.shrink_to(PIECES_KEPT);
    }

    /// Batches whose replies are used go out again if they are unfinished, and to the spare ones if not.
    fn clean_up(&mut self) {
        for (home, slot) in self.home.iter_mut().zip(&mut self.batches) {
            let Some((mut batch, next)) = home.take() else { continue };
            if next < batch.ends.len() {
                *home = Some((batch, next));
            } else if batch.is_unfinished() {
                batch.forget_replies();
                *slot = Some(batch);
            } else if batch.heap_bytes() <= SPARE_BYTES_MAX && self.spare.len() < SPARES_MAX {
                self.spare.push(batch);
            }
        }
    }
}
