//! Cuts of a shard, read a slice at a time.

use super::body::Shard;
use crate::cut::{Cut, CutGroup, CutId, CutPart, Labels, planted};
use crate::db::TableId;
use crate::journal::{
    Deadline, Effect, FrameBuilder, ItemInPieces, Payload, Record, is_item_in_pieces,
};
use crate::table::Cursor;
use crate::types::{DbIndex, Lsn, shard_of_slot, slot_of};
use crate::value::{Item, Value};

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
            // A whole number is no bytes, however long its digits are.
            let is_number = matches!(item.string(), Some(Value::Int(_)));
            if !is_number && is_item_in_pieces(item.encoded_len()) {
                let item = ItemInPieces::of(db, item);
                budget.bytes = budget.bytes.saturating_sub(item.value_bytes());
                group.large.push(item);
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
