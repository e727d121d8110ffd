//! Which shards a request needs.

use crate::command::shape::MANY_KEYS;
use crate::command::{All, Args, Entry, Flags, Run, Walk};
use crate::types::{ShardId, shard_of};

/// Where a request runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Wholly on this shard.
    One(ShardId),
    /// On several shards: a transaction.
    Many,
    /// Without shards, where the connection lives.
    Front,
}

/// Where `args` runs on a node of `shards` shards.
pub fn route_of(entry: &Entry, args: &Args<'_>, shards: u16) -> Route {
    match entry.command.run {
        Run::Front => Route::Front,
        Run::All(All { barrier: false, .. })
        | Run::Walk(Walk { alone: false, long: false, .. })
            if shards == 1 =>
        {
            Route::One(ShardId(0))
        }
        Run::All(_) | Run::Walk(_) => Route::Many,
        // Very many keys go on in slices, with all of them in hand.
        Run::Each(_) | Run::Carry(_) | Run::Wait(_) if args.len() > MANY_KEYS => Route::Many,
        // Of keys of any shard, which only values name.
        Run::Carry(_) if shards > 1 && entry.command.keys.may_be_anywhere(args) => Route::Many,
        Run::Here(_) | Run::Sliced(_) | Run::Each(_) | Run::Carry(_) | Run::Wait(_) => {
            if shards == 1 {
                return Route::One(ShardId(0));
            }
            let mut positions = entry.command.keys.positions(args);
            // A request without the keys it should have is refused by any shard just as well.
            let Some(first) = positions.next() else {
                return Route::One(without_keys(entry, args, shards));
            };
            let shard = shard_of(args.get(first), shards);
            if positions.all(|index| shard_of(args.get(index), shards) == shard) {
                Route::One(shard)
            } else {
                Route::Many
            }
        }
    }
}

/// Where a request without keys runs: a message where a key of its channel's name would be, so that one shard
/// alone speaks in a channel; whatever else, on the first shard.
fn without_keys(entry: &Entry, args: &Args<'_>, shards: u16) -> ShardId {
    let speaks = entry.command.flags.contains(Flags::PUBSUB) && args.len() > 1;
    if speaks { shard_of(args.get(1), shards) } else { ShardId(0) }
}
