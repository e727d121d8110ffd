//! What the shards of a transaction answer.

use super::Waiter;
use crate::shard::{Answer, Done};
use crate::types::ShardId;

/// Waits until so many shards have done their hop; answers with what they did, by shard.
pub(super) async fn collect(waiter: &Waiter, count: usize) -> Vec<(ShardId, Done)> {
    let mut done = Vec::with_capacity(count);
    for _ in 0..count {
        let Answer::Done(shard, one) = waiter.next().await else {
            unreachable!("a hop answers with what it did")
        };
        done.push((shard, one));
    }
    done.sort_by_key(|(shard, _)| *shard);
    done
}
