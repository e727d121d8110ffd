//! Cuts of a shard. A frozen one, of one moment, stands in `frozen`; this is the merged one: the items of the shard, taken as a walk reaches them, each with the LSN as of which it
//! was read.
//!
//! A cut costs the shard nothing but the reading: no fork, no copy of the table, no pre-images. It is
//! driven by whoever sends it: each `Shard::cut_more` walks about one slice and answers with encoded
//! items. Since nothing is written within a slice, all its items carry one label: the journal's head.
//! A receiver that is sent the log up to the label, then the items, then the log from the label on
//! holds exactly the shard (J4).
//!
//! ```text
//!   shard        |--A--|----B----|--C--|            walk over home positions, table by table
//!   labels          7       7      12               head of the journal when the slice was read
//!   flow   log ..7, A, B, log 8..12, C, log 13..    merged by LSN
//! ```
//!
//! The walk goes over table *identities*: SWAPDB in the middle changes the number that items carry, not
//! what is walked; a table that was flushed away needs no walking. Items of open keys are waited for.
//!
//! A large value is handed out as a reference ([`ItemInPieces`]): it is sent in pieces, between which the log
//! goes on. Who receives it holds its key's later records back until it is whole.
//!
//! On a replica the labels are the upstream's: an item belongs to the upstream shard of its slot and
//! carries that shard's LSN up to which everything was applied here (J7).

mod frozen;

#[cfg(feature = "planted-bugs")]
pub use self::frozen::planted as frozen_planted;
pub use self::frozen::{FrozenCut, FrozenFailure, FrozenPart, held_total};

use crate::db::TableId;
use crate::journal::{FrameBuilder, ItemInPieces};
use crate::table::Cursor;
use crate::types::{Lsn, ShardId};

/// Names a cut; unique on this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CutId(pub u64);

/// A cut under way on one shard.
pub struct Cut {
    pub(crate) id: CutId,
    /// Tables still to be walked; the last one is walked now.
    pub(crate) tables: Vec<TableId>,
    pub(crate) cursor: Cursor,
    /// Whose coordinates the labels are in.
    pub(crate) labels: Labels,
    /// Items sent so far.
    pub(crate) items: u64,
}

/// Whose LSNs label the items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Labels {
    /// This shard's own journal.
    Own,
    /// The upstream's, which has so many shards.
    Upstream(u16),
}

/// What one slice of a cut found.
pub struct CutPart {
    /// Of which cut.
    pub cut: CutId,
    /// On which of our shards.
    pub shard: ShardId,
    /// Items by the flow that they go to.
    pub groups: Vec<CutGroup>,
    /// The LSN as of which the part was read, for each flow, also for those without items. The
    /// boundaries hold from there on: what a record up to there changes may have been gone already when
    /// the walk came by.
    pub read_at: Vec<(u16, Lsn)>,
    /// How far the walk has come, per database; `u64::MAX` where it is complete. Empty when the walk
    /// paused: what was known before may be of databases that have been swapped since.
    pub boundaries: Vec<u64>,
    /// Whether this was the last part.
    pub done: bool,
    /// Items sent so far, and how many keys the shard holds now.
    pub progress: (u64, u64),
}

/// Items of one part for one flow.
pub struct CutGroup {
    /// The flow: our own shard, or the upstream's.
    pub flow: u16,
    /// The LSN as of which they were read.
    pub label: Lsn,
    /// The items, as `Put` records.
    pub items: FrameBuilder,
    /// Those that are sent in pieces.
    pub large: Vec<ItemInPieces>,
}

impl CutGroup {
    /// How many bytes the items take on the wire, about.
    pub fn wire_bytes(&self) -> u64 {
        self.items.wire_bytes() + self.large.iter().map(ItemInPieces::value_bytes).sum::<u64>()
    }
}

impl Cut {
    /// One table is walked.
    pub(crate) fn next_table(&mut self) {
        self.tables.pop();
        self.cursor = Cursor::START;
    }
}

/// Test-only switches that plant the bugs of this room's stories.
#[cfg(feature = "planted-bugs")]
pub mod planted {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A cut reads keys that a transaction has open (J2): what the transaction did so far is both in
    /// the item and in the frame that follows.
    pub static CUT_READS_OPEN_KEYS: AtomicBool = AtomicBool::new(false);

    /// A walk goes by the numbers of databases (J4): SWAPDB in the middle makes it skip half a table.
    pub static CUT_GOES_BY_DATABASE_NUMBER: AtomicBool = AtomicBool::new(false);

    pub(crate) fn cut_reads_open_keys() -> bool {
        CUT_READS_OPEN_KEYS.load(Ordering::Relaxed)
    }

    pub(crate) fn cut_goes_by_number() -> bool {
        CUT_GOES_BY_DATABASE_NUMBER.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "planted-bugs"))]
pub(crate) mod planted {
    pub(crate) fn cut_reads_open_keys() -> bool {
        false
    }

    pub(crate) fn cut_goes_by_number() -> bool {
        false
    }
}
