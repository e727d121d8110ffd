//! Waiting for what is under way before asking for whole shards.
//!
//! Who wants a shard for itself alone (a snapshot's or a full sync's beginning, FLUSHALL, SWAPDB) is a
//! barrier in the shard's lock table: all that comes later waits behind it, and the barrier waits for what is there
//! already. If that is a SORT or a RESTORE of seconds, everybody would wait for it. So one looks first what is there,
//! waits until that is done while all others go on, and asks then. What begins between the two is waited for by all,
//! as ever. (A change of role and the like are seldom, hold much meanwhile, and do not look.)

use super::Front;
use crate::shard::{ExecutorId, Message, Shard};
use crate::types::ShardId;
use std::rc::Rc;

/// How often one looks whether somebody else has begun something meanwhile, and for how many milliseconds. Where there is
/// always something, the others are held up after all: whoever wants all must come to his turn.
const OUTWAITS_MAX: usize = 4;
const LOOKS_FOR: u64 = 1000;

impl Front {
    /// The same as [`outwait`](Front::outwait) on all shards, for who goes on with [`everywhere`](Front::everywhere). Whoever
    /// stops waiting leaves nothing behind.
    pub async fn outwait_all(self: &Rc<Front>) {
        self.outwait(self.node.all_shards()).await;
    }

    /// Waits until what is under way on these shards is done. To be called before something asks for the whole of
    /// them, since everybody else waits from then on: behind it, and with it for what takes long.
    pub(super) async fn outwait(
        self: &Rc<Front>,
        shards: impl ExactSizeIterator<Item = ShardId> + Clone,
    ) {
        let began = self.now();
        for _ in 0..OUTWAITS_MAX {
            let waiter = self.waiter();
            for shard in shards.clone() {
                let to = waiter.reply_to();
                let call = Message::Call(Box::new(move |shard: &mut Shard| shard.outwait(to)));
                self.node.send(ExecutorId::from(shard), call);
            }
            let mut had_to_wait = false;
            for _ in shards.clone() {
                had_to_wait |= waiter.value::<bool>().await;
            }
            if !had_to_wait || self.now().0.saturating_sub(began.0) >= LOOKS_FOR {
                return;
            }
        }
    }
}
