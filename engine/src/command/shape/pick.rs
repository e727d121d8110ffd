//! What shapes go by: a request as they see it, and the keys of it that one shard has.

use crate::command::{Args, Keys};
use crate::types::{DbIndex, ShardId};

/// What a shape sees of a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The command's name.
    pub name: &'static str,
    /// Where its keys stand.
    pub keys: &'static Keys,
    /// The connection's database.
    pub db: DbIndex,
    /// The whole request.
    pub args: Args<'a>,
}

/// One of a command's keys: which one, and where it stands among the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Counted from 0.
    pub index: u32,
    /// The argument.
    pub position: u32,
}

impl Pick {
    /// All keys of a request, in its order.
    pub fn all_of<'a>(keys: &'a Keys, args: &Args<'a>) -> impl Iterator<Item = Pick> + use<'a> {
        let pick = |(index, position)| Pick { index, position: position as u32 };
        (0..).zip(keys.positions(args)).map(pick)
    }
}

/// Keys that a step does in one piece: some 20 us.
pub(super) const KEYS_PER_PIECE: usize = 64;

/// Keys of one request from which on it is a transaction that goes on in slices, also where all of them
/// are on one shard: some 100 us of work.
pub const MANY_KEYS: usize = 512;

/// A command's keys by the shards that have them, in the order of the shards.
pub type Picks = Vec<(ShardId, Vec<Pick>)>;
