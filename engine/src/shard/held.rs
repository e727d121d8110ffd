//! On a replica, during a full sync: keys whose items are large and on their way in pieces.
//!
//! ```text
//!   flow    begins K | log 8 | piece | log 9: APPEND K | piece, the last | log 10: DEL K
//!   here    K held   | ...           | kept aside      | K, APPEND K     | DEL K
//! ```
//!
//! An item contains what happened to its key up to where it begins on its flow. What happens later waits
//! here until the item is whole, and is then applied to it. Other keys of the same frame do not wait:
//! nobody reads while a full sync runs, and it is complete only when every item is.
//!
//! What is kept is bounded by the sender: it sends about as many bytes of the journal as of pieces, and a
//! record that replaces the value makes those before it needless. A sender that does not keep to that is
//! stopped at the size of the largest item.

use super::arriving::Coming;
use super::planted;
use crate::journal::{Deadline, Effect, FRAME_BYTES_MAX, FrameBuilder, Global, Record};
use crate::types::DbIndex;
use std::collections::{HashMap, VecDeque};

/// Names a large item within a session: its flow, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LargeId {
    /// The flow.
    pub flow: u16,
    /// As its sender counts.
    pub number: u64,
}

/// What a batch says of a large item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LargeStep {
    /// Its pieces follow: from here on its key is held.
    Begins {
        /// Its name.
        id: LargeId,
        /// Its database as of now.
        db: DbIndex,
        /// Its key.
        key: Vec<u8>,
    },
    /// It is whole: the batch's frame.
    Whole {
        /// Its name.
        id: LargeId,
        /// Its key.
        key: Vec<u8>,
    },
}

/// One held key.
pub(super) struct Held {
    id: LargeId,
    /// The database, whatever its number is now.
    pub(super) db: DbIndex,
    /// What happened to the key since, each record a frame of its own.
    pub(super) records: Vec<u8>,
    /// Values that came in pieces, of the records that are their ends.
    pub(super) values: VecDeque<Coming>,
}

/// All held keys of a shard.
#[derive(Default)]
pub(super) struct HeldKeys {
    /// By key: one for each database that holds it.
    keys: HashMap<Vec<u8>, Vec<Held>>,
}

impl HeldKeys {
    pub(super) fn begin(&mut self, id: LargeId, db: DbIndex, key: &[u8]) -> Result<(), String> {
        let held = self.keys.entry(key.to_vec()).or_default();
        if held.iter().any(|one| one.db == db) {
            return Err("an item begins while it is on its way already".to_owned());
        }
        held.push(Held { id, db, records: Vec::new(), values: VecDeque::new() });
        Ok(())
    }

    /// Gives a key back.
    pub(super) fn end(&mut self, id: LargeId, key: &[u8]) -> Option<Held> {
        let held = self.keys.get_mut(key)?;
        let place = held.iter().position(|one| one.id == id)?;
        let one = held.swap_remove(place);
        if held.is_empty() {
            self.keys.remove(key);
        }
        Some(one)
    }

    /// Keeps a record if its key is held, and the value that it is the end of; answers whether it is.
    pub(super) fn hold(
        &mut self,
        record: &Record<'_>,
        value: &mut Option<Coming>,
    ) -> Result<bool, String> {
        if matches!(record.effect, Effect::Message(..)) {
            // Of a channel, and no key's.
            return Ok(false);
        }
        if self.keys.is_empty() || planted::records_do_not_wait() {
            return Ok(false);
        }
        let held = self.keys.get_mut(record.key);
        let Some(held) = held.and_then(|held| held.iter_mut().find(|one| one.db == record.db))
        else {
            return Ok(false);
        };
        match record.effect {
            Effect::Remove
            | Effect::Put { deadline: Deadline::None | Deadline::At(_), .. }
            | Effect::PutEnd { deadline: Deadline::None | Deadline::At(_) } => {
                held.records.clear();
                held.values.clear();
            }
            _ => {}
        }
        held.values.extend(value.take());
        let mut frame = FrameBuilder::new();
        frame.push(record);
        held.records.extend_from_slice(&frame.to_wire(None));
        let kept = held.records.len() as u64;
        if kept > FRAME_BYTES_MAX {
            return Err(format!("{kept} bytes of records wait for one item"));
        }
        Ok(true)
    }

    /// Databases are emptied or change their numbers.
    pub(super) fn note_global(&mut self, global: Global) {
        self.keys.retain(|_, held| {
            held.retain_mut(|one| match global {
                Global::FlushAll => false,
                Global::FlushDb(db) => one.db != db,
                Global::SwapDb(here, there) => {
                    if one.db == here {
                        one.db = there;
                    } else if one.db == there {
                        one.db = here;
                    }
                    true
                }
            });
            !held.is_empty()
        });
    }
}
