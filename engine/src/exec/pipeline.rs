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

use super::{Front, Place, place_of};
use crate::command::{Args, Entry};
use crate::limits::BATCH_COMMANDS_MAX;
use crate::resp::Protocol;
use crate::shard::{Answer, Batch, ExecutorId, Message, Shard};
use crate::types::{DbIndex, Lsn, ShardId};
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
    pieces: Vec<Piece>,
    /// Replies of commands that ran here after the first one that went elsewhere.
    local: Vec<u8>,
    /// The journal position after this connection's last write, per shard: what WAIT waits for.
    written: Vec<Lsn>,
}

/// A used batch above this size is not kept: one large value must not stay with a connection.
const SPARE_BYTES_MAX: usize = 64 * 1024;

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
    #[allow(clippy::too_many_arguments, reason = "a request, its context and its output")]
    pub fn add(
        &mut self,
        front: &Front,
        shard: &mut Shard,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Added {
        let Place::One(place) = place_of(entry, &args, front.node.shards()) else {
            return Added::Fence;
        };
        let here = ExecutorId::from(place) == front.me;
        if here && !self.has_batch(place) {
            let before = shard.head();
            let start = self.local.len();
            let output = if self.pieces.is_empty() { &mut *out } else { &mut self.local };
            if shard.run_here(entry, db, args, protocol, output) {
                if !self.pieces.is_empty() {
                    self.pieces.push(Piece::Local(self.local.len() - start));
                }
                if shard.head() != before {
                    self.wrote(place, shard.head());
                }
                return Added::Yes;
            }
        }
        self.send_later(front, place, entry, db, protocol, args)
    }

    fn has_batch(&self, shard: ShardId) -> bool {
        self.batches.get(shard.index()).is_some_and(Option::is_some)
    }

    fn send_later(
        &mut self,
        front: &Front,
        place: ShardId,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
    ) -> Added {
        if self.batches.len() <= place.index() {
            self.batches.resize_with(usize::from(front.node.shards()), || None);
        }
        let batch = self.batches[place.index()].get_or_insert_with(|| {
            let nobody = crate::shard::ReplyTo {
                executor: front.me,
                ticket: crate::shard::Ticket { index: u32::MAX, generation: 0 },
            };
            match self.spare.pop() {
                Some(mut batch) => {
                    batch.reset(nobody, db, protocol);
                    batch
                }
                None => Box::new(Batch::new(nobody, db, protocol)),
            }
        });
        if batch.commands.len() >= BATCH_COMMANDS_MAX {
            return Added::Full;
        }
        batch.push(entry, args);
        self.pieces.push(Piece::Remote(place));
        Added::Yes
    }

    /// Sends the batches, waits for them, and appends all outstanding replies to `out` in order.
    pub async fn flush(&mut self, front: &Rc<Front>, out: &mut Vec<u8>) {
        if self.pieces.is_empty() {
            return;
        }
        let waiter = front.waiter();
        let mut sent = 0;
        for (shard, slot) in self.batches.iter_mut().enumerate() {
            if let Some(mut batch) = slot.take() {
                batch.reply_to = waiter.reply_to();
                front.node.send(ExecutorId(shard as u16), Message::Batch(batch));
                sent += 1;
            }
        }
        let mut home: Vec<Option<Box<Batch>>> = Vec::new();
        home.resize_with(self.batches.len(), || None);
        for _ in 0..sent {
            let Answer::Batch(batch) = waiter.next().await else {
                unreachable!("a batch answers with itself")
            };
            let shard = batch.ran_on.index();
            home[shard] = Some(batch);
        }
        self.assemble(&mut home, out);
    }

    fn assemble(&mut self, home: &mut [Option<Box<Batch>>], out: &mut Vec<u8>) {
        let mut next = vec![0usize; home.len()];
        let mut local = 0;
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Local(len) => {
                    out.extend_from_slice(&self.local[local..local + len]);
                    local += len;
                }
                Piece::Remote(shard) => {
                    let batch = home[shard.index()].as_ref().expect("every batch came home");
                    out.extend_from_slice(batch.reply(next[shard.index()]));
                    next[shard.index()] += 1;
                }
            }
        }
        self.local.clear();
        for batch in home.iter_mut().filter_map(Option::take) {
            if batch.written != Lsn(0) {
                self.wrote(batch.ran_on, batch.written);
            }
            let bytes = batch.bytes.capacity() + batch.replies.capacity();
            if bytes <= SPARE_BYTES_MAX && self.spare.len() < 4 {
                self.spare.push(batch);
            }
        }
    }
}
