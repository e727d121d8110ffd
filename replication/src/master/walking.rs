//! What brings the items of our shards to the flows.

use super::feed;
use super::reason::Reason;
use super::session::{Outflow, Session};
use crate::roads::Roads;
use crate::standing::Walks;
use engine::cut::CutPart;
use engine::exec::Front;
use engine::types::ShardId;
use std::rc::Rc;
use std::time::Duration;

/// How often a walker that waits for its flows looks whether it may go on.
const DRAINED_EVERY: Duration = Duration::from_secs(1);

/// How long a walker waits for a key that a transaction has open, until it looks again.
const OPEN_KEY_LOOK_EVERY: Duration = Duration::from_millis(1);

/// Brings the items of one of our shards to the flows, part by part.
pub(super) async fn walk<R: Roads>(
    session: Rc<Session<R>>,
    front: Rc<Front>,
    shard: ShardId,
    walks: Walks,
) {
    let feeds = |flow: &&Rc<Outflow<R::Line>>| walks.feeds(shard, flow.index);
    let flows: Vec<_> = session.flows.iter().filter(feeds).cloned().collect();
    let (cut, mut before) = (session.cut, 0);
    while !session.is_ended() {
        for flow in &flows {
            if let Some(sender) = &mut *flow.sender.borrow_mut() {
                sender.ask(shard.0);
            }
        }
        let Some(mut part) = front.call(shard, move |shard| shard.cut_more(cut)).await else {
            return session.end(Reason::CutDropped);
        };
        let brings = deliver(&flows, &mut part);
        session.items_done.set(session.items_done.get() + part.progress.0 - before);
        before = part.progress.0;
        if part.done {
            return;
        }
        if !brings {
            session.roads.sleep(OPEN_KEY_LOOK_EVERY).await;
        }
        for flow in &flows {
            let is_full = || flow.part_bytes.get() > held_max(&session) && !session.is_ended();
            while is_full() {
                flow.drained.wait_unless(session.roads.sleep(DRAINED_EVERY)).await;
                // A bell is heard by one: on a chain all our walkers feed this flow.
                if !is_full() {
                    flow.drained.ring();
                }
            }
        }
    }
}

/// Parts held for a flow, at most: where a full sync is slowed, no more than goes in a moment, so that
/// what counts as sent is nearly so.
fn held_max<R: Roads>(session: &Session<R>) -> u64 {
    match session.settings.borrow().full_sync_bytes_per_second {
        0 => R::PARTS_BYTES_MAX,
        limit => R::PARTS_BYTES_MAX.min(limit / 4),
    }
}

/// Puts a part's items into their flows; answers whether it brought any of them further.
fn deliver<L>(flows: &[Rc<Outflow<L>>], part: &mut CutPart) -> bool {
    let mut brings = false;
    for flow in flows {
        if let Some(sender) = &mut *flow.sender.borrow_mut() {
            let delivered = feed::deliver(sender, flow.index, part);
            flow.part_bytes.set(flow.part_bytes.get() + delivered.bytes);
            brings |= delivered.brings;
            // Not in vain: a flow that is woken has something to say.
            if delivered.wakes {
                flow.wake.ring();
            }
        }
    }
    brings
}
