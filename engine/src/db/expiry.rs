//! Expiry on a master: what nobody looks for is found by a paced sweep.
//!
//! The table keeps, per segment, a lower bound of its items' deadlines, so a sweep passes segments in
//! which nothing can be due for a few nanoseconds each. No memory is spent per key. A sweep deletes what
//! it finds and tells, like the lazy deletion of a reader does; open keys are left for the next round.
//!
//! What ends inside of values (fields of hashes) is found by the first time of each, which is noted (`dated`).

use super::door::At;
use super::touched::What;
use super::{Keyspace, Role};
use crate::table::Cursor;
use crate::types::DbIndex;
use crate::value::SentEffect;

/// Segments searched in one slice: some 10 us each, so about one slice of a shard's time.
const SEGMENTS_PER_SLICE: usize = 8;

/// Items deleted in one slice: a deletion with its record costs up to 2 us where memory is cold, and all of
/// a segment's 900 items may be due at one instant.
const DELETED_PER_SLICE: usize = 256;

impl Keyspace {
    /// Deletes an item whose time has come, and tells.
    pub(super) fn expire(&mut self, at: At<'_>) {
        if self.remove_present(at, What::Expired) {
            self.stats.expired += 1;
        }
    }

    /// Deletes expired items found in one slice of the sweep. Answers whether it should be called again
    /// soon: `false` once it has gone round all databases.
    pub fn sweep_slice(&mut self, is_open: &mut dyn FnMut(u64) -> bool) -> bool {
        if self.role == Role::Replica || self.is_paused() || self.sweep.is_off {
            return false;
        }
        while self.door.expires(DbIndex(self.sweep.db as u16)) == 0 {
            if !self.next_swept_db() {
                return false;
            }
        }
        let db = DbIndex(self.sweep.db as u16);
        // Of no command.
        self.begin_record();
        let mut due = Vec::new();
        let next = self.search_due(db, is_open, &mut due);
        for (hash, key) in due {
            self.expire(At { db, hash, key: &key });
        }
        match next {
            Some(next) => {
                self.sweep.cursor = next;
                true
            }
            None => self.next_swept_db(),
        }
    }

    /// Searches some segments for what is due, a slice's worth of it. Answers where to go on: at a segment that
    /// holds more of it once again.
    fn search_due(
        &mut self,
        db: DbIndex,
        is_open: &mut dyn FnMut(u64) -> bool,
        due: &mut Vec<(u64, Box<[u8]>)>,
    ) -> Option<Cursor> {
        let (now, mut cursor) = (self.now.0, self.sweep.cursor);
        for _ in 0..SEGMENTS_PER_SLICE {
            let mut holds_more = false;
            let sweep = self.door.sweep(db, cursor, now, 1, &mut |hash, item| {
                if is_open(hash) {
                    return false;
                }
                holds_more = due.len() >= DELETED_PER_SLICE;
                if !holds_more {
                    due.push((hash, Box::from(crate::table::TableEntry::key(item))));
                }
                !holds_more
            });
            if holds_more {
                return Some(cursor);
            }
            cursor = sweep.next?;
            if sweep.searched == 0 {
                break;
            }
        }
        Some(cursor)
    }

    /// Whether what has expired is deleted though nobody looks for it.
    pub fn set_active_expire(&mut self, is_on: bool) {
        self.sweep.is_off = !is_on;
    }

    /// Takes out of one value what has come to its end inside of it, and tells. Answers whether it should be
    /// called again soon. Open keys are left for later.
    pub fn sweep_inside(&mut self, is_open: &mut dyn FnMut(u64) -> bool) -> bool {
        /// Open keys that are passed over, of which there may be many: the next heartbeat asks again.
        const SKIPPED: usize = 16;
        if self.role == Role::Replica || self.is_paused() || self.sweep.is_off {
            return false;
        }
        for db in self.dbs() {
            for skipped in 0..SKIPPED {
                let Some(key) = self.door.dated(db).due(self.now, skipped) else { break };
                let at = At { db, hash: self.hash(&key), key: &key };
                if !is_open(at.hash) {
                    // No command calls it anything.
                    self.begin_record();
                    self.tidy(at);
                    self.door.note_dated(at);
                    return true;
                }
            }
        }
        false
    }

    /// Takes out of a value some of what has come to its end inside of it, and tells.
    pub(super) fn tidy(&mut self, at: At<'_>) {
        let Some(item) = self.door.table(at.db).get(at.hash, at.key) else { return };
        let due = item.object().filter(|it| it.next_due().is_some_and(|due| due <= self.now));
        if let Some((op, bytes)) = due.and_then(|object| object.expiry(self.now)) {
            let effect = SentEffect { change: item.kind().change(op), bytes };
            let called = self.speaker.called_now.replace("hexpired");
            // That it ends is no access.
            let no_touch = std::mem::replace(&mut self.no_touch, true);
            self.change_as_sent(at.db, at.key, &effect);
            (self.speaker.called_now, self.no_touch) = (called, no_touch);
        }
    }

    fn next_swept_db(&mut self) -> bool {
        self.sweep.cursor = Cursor::START;
        self.sweep.db = (self.sweep.db + 1) % self.door.count();
        self.sweep.db != 0
    }
}
