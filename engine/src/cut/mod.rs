//! A merged cut of one shard: its items, taken as a walk reaches them, each with the LSN as of which it
//! was read.
//!
//! A cut costs the shard nothing but the reading: no fork, no copy of the table, no pre-images. It is
//! driven by whoever sends it: each [`Shard::cut_more`] walks about one slice and answers with encoded
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
//! A large value is handed out as a reference ([`LargeItem`]): it is sent in pieces, between which the log
//! goes on. Who receives it holds its key's later records back until it is whole.
//!
//! On a replica the labels are the upstream's: an item belongs to the upstream shard of its slot and
//! carries that shard's LSN up to which everything was applied here (J7).

use crate::db::TableId;
use crate::journal::{Deadline, Effect, FrameBuilder, Payload, Record};
use crate::shard::Shard;
use crate::table::Cursor;
use crate::types::{DbIndex, Lsn, ShardId, shard_of_slot, slot_of};
use crate::value::Item;

/// Names a cut; unique on this node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CutId(pub u64);

/// A cut under way on one shard.
pub struct Cut {
    id: CutId,
    /// Tables still to be walked; the last one is walked now.
    tables: Vec<TableId>,
    cursor: Cursor,
    /// Whose coordinates the labels are in.
    labels: Labels,
    /// Items sent so far.
    items: u64,
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
    pub large: Vec<LargeItem>,
}

impl CutGroup {
    /// How many bytes the items take on the wire, about.
    pub fn wire_bytes(&self) -> u64 {
        self.items.wire_bytes() + self.large.iter().map(|item| item.frame.wire_bytes()).sum::<u64>()
    }
}

/// One item that is sent in pieces: a reference to its value as of the label, not a copy.
pub struct LargeItem {
    /// Its database as of the label.
    pub db: DbIndex,
    /// Its key.
    pub key: Vec<u8>,
    /// A frame with its `Put` record alone.
    pub frame: FrameBuilder,
}

/// Values longer than this are sent in pieces, so that the journal goes on meanwhile. At 1 Gbit/s it is
/// 2 ms.
pub const LARGE_ITEM_BYTES: usize = 256 * 1024;

/// Keys longer than this are not named apart from their items: those are sent whole.
const LARGE_ITEM_KEY_MAX: usize = 64 * 1024;

/// Bytes that one part carries before it ends: enough to fill a few TLS records, small enough that two
/// parts a flow are cheap to hold.
const PART_BYTES: u64 = 128 * 1024;

/// Buckets walked in one part at the most: bounds the slice where the table is nearly empty.
const PART_BUCKETS: usize = 256;

/// One slice's limits, counted down.
struct Budget {
    bytes: u64,
    buckets: usize,
}

impl Shard {
    /// Begins a cut of what the shard holds now. To be called inside a transaction that is alone on
    /// every shard, so that no other transaction straddles it.
    pub fn cut_begin(&mut self, id: CutId, labels: Labels) -> Lsn {
        let tables: Vec<TableId> = (0..self.keys.db_count())
            .rev()
            .map(|index| self.keys.table_id(DbIndex(index as u16)))
            .collect();
        self.cuts.push(Cut { id, tables, cursor: Cursor::START, labels, items: 0 });
        self.log.lsn()
    }

    /// Ends a cut early.
    pub fn cut_drop(&mut self, id: CutId) {
        self.cuts.retain(|cut| cut.id != id);
    }

    /// The next part of a cut; `None` when there is no such cut (any more).
    pub fn cut_more(&mut self, id: CutId) -> Option<CutPart> {
        let index = self.cuts.iter().position(|cut| cut.id == id)?;
        let mut cut = self.cuts.swap_remove(index);
        let mut budget = Budget { bytes: PART_BYTES, buckets: PART_BUCKETS };
        let mut groups: Vec<CutGroup> = Vec::new();
        // While a transaction has the whole shard, databases may have been swapped or emptied although
        // the log does not say so yet: neither walk nor tell how far the walk has come in which.
        let pauses = self.locks.has_barrier();
        while !pauses && budget.bytes > 0 && budget.buckets > 0 {
            let Some(&table) = cut.tables.last() else { break };
            if !self.walk_bucket(&mut cut, table, &mut groups, &mut budget) {
                break;
            }
        }
        let part = CutPart {
            cut: id,
            shard: self.id,
            groups,
            read_at: self.read_at(cut.labels),
            boundaries: if pauses { Vec::new() } else { self.boundaries(&cut) },
            done: cut.tables.is_empty(),
            progress: (cut.items, self.keys.total_len() as u64),
        };
        if !part.done {
            self.cuts.push(cut);
        }
        Some(part)
    }

    /// Walks one bucket; `false` when it has to be waited for, because a transaction has one of its
    /// keys open.
    fn walk_bucket(
        &self,
        cut: &mut Cut,
        table: TableId,
        groups: &mut Vec<CutGroup>,
        budget: &mut Budget,
    ) -> bool {
        let db = if planted::cut_goes_by_number() {
            Some(DbIndex(cut.tables.len() as u16 - 1))
        } else {
            self.keys.db_of(table)
        };
        let Some(db) = db else {
            cut.next_table();
            return true;
        };
        budget.buckets -= 1;
        // Not only the keys that are found count: one that a transaction has deleted is open too, and
        // its record is still to come.
        if !self.locks.is_quiet() && !planted::cut_reads_open_keys() {
            let end = self.keys.table(db).walk(cut.cursor, &mut |_, _| ());
            if self.locks.any_open(cut.cursor.0, end.map(|end| end.0)) {
                return false;
            }
        }
        let next = self.keys.table(db).walk(cut.cursor, &mut |_, item| {
            let (flow, label) = self.label(cut.labels, item.key());
            let group = group_of(groups, flow, label);
            let before = group.items.wire_bytes();
            if item.encoded_len() > LARGE_ITEM_BYTES && item.key().len() <= LARGE_ITEM_KEY_MAX {
                let mut frame = FrameBuilder::new();
                push_item(&mut frame, db, item);
                budget.bytes = budget.bytes.saturating_sub(frame.wire_bytes());
                group.large.push(LargeItem { db, key: item.key().to_vec(), frame });
            } else {
                push_item(&mut group.items, db, item);
            }
            budget.bytes = budget.bytes.saturating_sub(group.items.wire_bytes() - before);
            cut.items += 1;
        });
        match next {
            Some(next) => cut.cursor = next,
            None => cut.next_table(),
        }
        true
    }

    fn label(&self, labels: Labels, key: &[u8]) -> (u16, Lsn) {
        match labels {
            Labels::Own => (self.id.0, self.log.lsn()),
            Labels::Upstream(shards) => {
                let flow = shard_of_slot(slot_of(key), shards).0;
                let reached = self.reached().get(usize::from(flow));
                (flow, reached.copied().unwrap_or_default())
            }
        }
    }

    fn read_at(&self, labels: Labels) -> Vec<(u16, Lsn)> {
        match labels {
            Labels::Own => vec![(self.id.0, self.log.lsn())],
            Labels::Upstream(shards) => {
                let reached = |flow: u16| self.reached().get(usize::from(flow)).copied();
                (0..shards).map(|flow| (flow, reached(flow).unwrap_or_default())).collect()
            }
        }
    }

    fn boundaries(&self, cut: &Cut) -> Vec<u64> {
        let boundary = |index: usize| {
            let table = self.keys.table_id(DbIndex(index as u16));
            match cut.tables.iter().rposition(|&known| known == table) {
                // Walked already, or newer than the cut: all that it holds is in the log.
                None => u64::MAX,
                Some(place) if place + 1 == cut.tables.len() => cut.cursor.0,
                Some(_) => 0,
            }
        };
        (0..self.keys.db_count()).map(boundary).collect()
    }
}

impl Cut {
    fn next_table(&mut self) {
        self.tables.pop();
        self.cursor = Cursor::START;
    }
}

fn group_of(groups: &mut Vec<CutGroup>, flow: u16, label: Lsn) -> &mut CutGroup {
    let place = groups.iter().position(|group| group.flow == flow).unwrap_or_else(|| {
        groups.push(CutGroup { flow, label, items: FrameBuilder::new(), large: Vec::new() });
        groups.len() - 1
    });
    &mut groups[place]
}

/// Encodes an item as the record that puts it in place, whatever stood there.
fn push_item(frame: &mut FrameBuilder, db: DbIndex, item: &Item) {
    let deadline = item.deadline().map_or(Deadline::None, Deadline::At);
    let effect = Effect::Put { value: Payload::of(item), deadline };
    frame.push(&Record { db, key: item.key(), effect });
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

    pub(super) fn cut_reads_open_keys() -> bool {
        CUT_READS_OPEN_KEYS.load(Ordering::Relaxed)
    }

    pub(super) fn cut_goes_by_number() -> bool {
        CUT_GOES_BY_DATABASE_NUMBER.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod planted {
    pub(super) fn cut_reads_open_keys() -> bool {
        false
    }

    pub(super) fn cut_goes_by_number() -> bool {
        false
    }
}
