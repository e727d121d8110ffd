//! Commands of a master that are run as one transaction: a MULTI, what is for several shards, and what came behind
//! either while it had to wait.
//!
//! ```text
//!   SET a | MSET b c | MULTI INCR d; LPUSH e EXEC | SET f     a row: each is for one shard, or a part of it is: one hop
//!   SUNIONSTORE g h i                                         a wide one: a group by itself
//!   MULTI SET j; RENAME k l; SET m EXEC                       row, wide one, row: all that a MULTI has is one group
//! ```
//!
//! All of it becomes visible at once, and is one frame for replicas of this node: there is one hop for many commands
//! where they come faster than hops go. What may take long (a wide one) has its keys for itself alone.

use super::misfit::Misfit;
use super::tx::{Tx, TxKeys};
use super::{Front, Route, route_of};
use crate::command::shape::MANY_KEYS;
use crate::command::{Args, Call, Entry, OwnedArgs, Run, Who};
use crate::resp::{Output, Protocol};
use crate::shard::{Batch, Commands, Done, Work};
use crate::types::{DbIndex, ShardId, shard_of};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Commands and bytes of a group, above which nothing joins it; as much again may go along with it. Its keys are open
/// until all of it is done, and who reads one of them waits so long: some 200 us of work.
const COMMANDS_MAX: usize = 256;
const BYTES_MAX: usize = 64 * 1024;

/// A command that is kept until it can run.
pub(super) struct Queued {
    entry: &'static Entry,
    db: DbIndex,
    args: OwnedArgs,
}

impl Queued {
    /// A copy of a command.
    pub(super) fn of(call: &Call<'_>) -> Queued {
        Queued { entry: call.entry, db: call.db, args: OwnedArgs::copy(call.args) }
    }

    /// As it runs.
    pub(super) fn call<'a>(&'a self, who: &'a Who) -> Call<'a> {
        let (entry, db, protocol, args) = (self.entry, self.db, Protocol::Resp2, self.args.view());
        Call { entry, db, protocol, who, args }
    }
}

/// See the module's doc.
pub(super) struct Group {
    /// Where its first command begins in the stream.
    pub(super) at: u64,
    keys: TxKeys,
    parts: Vec<Part>,
    commands: usize,
    bytes: usize,
    /// Whether some of it is wide.
    is_wide: bool,
    /// Whether its keys are not among `keys`: they are very many, and looked at when it runs.
    is_vast: bool,
}

enum Part {
    /// Commands in a row, each wholly on one shard. Those of one batch have one database.
    Row(BTreeMap<ShardId, Vec<Box<Batch>>>),
    /// One that needs several shards, and more than a hop.
    Wide(Queued),
}

impl Group {
    /// Nothing yet, of what begins `at`.
    pub(super) fn new(at: u64) -> Group {
        let (keys, parts) = (TxKeys::default(), Vec::new());
        let (commands, bytes, is_wide, is_vast) = (0, 0, false, false);
        Group { at, keys, parts, commands, bytes, is_wide, is_vast }
    }

    /// One command that begins `at`, of so many keys that they are looked at in pieces, when it runs.
    pub(super) fn vast(at: u64, call: &Call<'_>) -> Group {
        let parts = vec![Part::Wide(Queued::of(call))];
        let bytes = bytes_of(&call.args);
        Group { parts, bytes, is_wide: true, is_vast: true, ..Group::new(at) }
    }

    /// Whether these may join it: not where some of it, or of them, may take long.
    pub(super) fn has_room_for(&self, front: &Front, calls: &[Call<'_>]) -> bool {
        let is_wide = |call| matches!(Shape::of(front, call), Shape::Wide);
        self.is_short() && !self.is_wide && !calls.iter().any(is_wide)
    }

    /// Whether it is as long as it may become.
    pub(super) fn is_full(&self) -> bool {
        self.is_wide || !self.is_short()
    }

    fn is_short(&self) -> bool {
        self.commands < COMMANDS_MAX && self.bytes < BYTES_MAX
    }

    /// Whether so many commands, of so many bytes, that wait in lanes may go along with it.
    pub(super) fn takes_along(&self, commands: usize, bytes: usize) -> bool {
        commands == 0 || (!self.is_wide && commands <= COMMANDS_MAX && bytes <= BYTES_MAX)
    }

    /// Bytes of its commands.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has something to do on this shard.
    pub(super) fn is_on(&self, shard: ShardId) -> bool {
        self.is_vast || self.keys.is_on(shard)
    }

    /// Adds a command.
    pub(super) fn push(&mut self, front: &Front, call: &Call<'_>) {
        self.keys.add(front, call.entry, &call.args);
        self.commands += 1;
        self.bytes += bytes_of(&call.args);
        match Shape::of(front, call) {
            Shape::Here(shard) => self.push_to(shard, front, call),
            Shape::Each(stride) => {
                for (shard, args) in by_shard(front, call, stride) {
                    self.push_to(shard, front, &Call { args: args.view(), ..*call });
                }
            }
            Shape::Wide => {
                self.is_wide = true;
                self.parts.push(Part::Wide(Queued::of(call)));
            }
        }
    }

    fn push_to(&mut self, shard: ShardId, front: &Front, call: &Call<'_>) {
        if !matches!(self.parts.last(), Some(Part::Row(_))) {
            self.parts.push(Part::Row(BTreeMap::new()));
        }
        let Some(Part::Row(row)) = self.parts.last_mut() else { return };
        let batches = row.entry(shard).or_default();
        if !batches.last().is_some_and(|batch| batch.db == call.db && !batch.is_full()) {
            batches.push(front.batch_of(call));
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(call.entry, call.args);
        }
    }

    /// Takes what waited for its turn on a shard of the group, before all that is in it.
    pub(super) fn take_along(&mut self, front: &Front, shard: ShardId, waits: Vec<Box<Batch>>) {
        if waits.is_empty() {
            return;
        }
        let commands = waits.iter().flat_map(|batch| batch.iter());
        commands.for_each(|(entry, args)| self.keys.add(front, entry, &args));
        if !matches!(self.parts.first(), Some(Part::Row(_))) {
            self.parts.insert(0, Part::Row(BTreeMap::new()));
        }
        if let Some(Part::Row(row)) = self.parts.first_mut() {
            row.entry(shard).or_default().splice(..0, waits);
        }
    }

    /// Runs all of it; answers with the first that did not fit.
    pub(super) async fn run(self, front: Rc<Front>, who: Who) -> Option<Misfit> {
        let Group { keys, parts, .. } = self;
        if let [Part::Wide(only)] = parts.as_slice() {
            // As if it came by itself: its beginning and its end go with its own hops.
            drop(keys);
            let (call, mut out) = (only.call(&who), Output::default());
            front.run_wide(&call, &mut out).await;
            return Misfit::of(call.entry, &out.to_bytes());
        }
        let (mut misfit, mut left, writes) = (None, parts.len(), keys.writes());
        let mut tx = Tx::over(&front, keys).await;
        for part in parts {
            left -= 1;
            let of_part = match part {
                Part::Row(row) => run_row(&mut tx, row, writes, left == 0).await,
                Part::Wide(one) => {
                    let (call, mut out) = (one.call(&who), Output::default());
                    tx.run(&call, &mut out).await;
                    Misfit::of(call.entry, &out.to_bytes())
                }
            };
            misfit = misfit.or(of_part);
        }
        tx.conclude().await;
        misfit
    }
}

/// How a command is put into a group.
enum Shape {
    /// As it is, for one shard.
    Here(ShardId),
    /// Key by key the same, with so many arguments each: as one for each shard, of its keys. The group is seen whole.
    Each(usize),
    /// As a part of its own.
    Wide,
}

impl Shape {
    fn of(front: &Front, call: &Call<'_>) -> Shape {
        match (route_of(call.entry, &call.args, front.node.shards()), &call.entry.command.run) {
            (Route::One(shard), _) => Shape::Here(shard),
            (_, Run::Each(each)) if call.args.len() <= MANY_KEYS => Shape::Each(each.stride),
            _ => Shape::Wide,
        }
    }
}

fn bytes_of(args: &Args<'_>) -> usize {
    (0..args.len()).map(|index| args.beginning(index, 0).0).sum()
}

/// A command of many keys as one for each shard, of its keys there.
fn by_shard(front: &Front, call: &Call<'_>, stride: usize) -> BTreeMap<ShardId, OwnedArgs> {
    let mut parts: BTreeMap<ShardId, OwnedArgs> = BTreeMap::new();
    for key in (1..call.args.len()).step_by(stride) {
        let part = parts.entry(shard_of(call.args.get(key), front.node.shards())).or_default();
        if part.view().is_empty() {
            part.push_of(call.args, 0);
        }
        (key..call.args.len().min(key + stride)).for_each(|index| part.push_of(call.args, index));
    }
    parts
}

async fn run_row(
    tx: &mut Tx,
    row: BTreeMap<ShardId, Vec<Box<Batch>>>,
    writes: bool,
    is_last: bool,
) -> Option<Misfit> {
    let work = row.into_iter().map(|(shard, it)| (shard, Work::Commands(Commands::new(it))));
    let done = tx.hop(work.collect(), writes, is_last).await;
    done.iter().find_map(|(_, done)| match done {
        Done::Commands(batches) => batches.iter().find_map(|batch| Misfit::in_batch(batch)),
        _ => None,
    })
}
