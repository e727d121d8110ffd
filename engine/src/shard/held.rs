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

/// One held key.
pub(super) struct Held {
    /// What its pieces call it: its database as of where it began.
    named: DbIndex,
    /// The database, whatever its number is now; none if it was emptied.
    pub(super) db: Option<DbIndex>,
    /// What has come of the item.
    pub(super) item: Coming,
    /// What happened to the key since, each record a frame of its own.
    pub(super) records: Vec<u8>,
    /// Values that came in pieces, of the records that are their ends.
    pub(super) values: VecDeque<Coming>,
}

/// All held keys of a shard.
#[derive(Default)]
pub(super) struct HeldKeys {
    /// By key, in the order in which they began: a sender finishes them in that order, and so one that is
    /// named like another comes after it.
    keys: HashMap<Vec<u8>, Vec<Held>>,
}

impl HeldKeys {
    /// An item begins whose pieces follow: from here on its key is held.
    pub(super) fn begin(&mut self, record: &Record<'_>, item: Coming) -> Result<(), String> {
        let held = self.keys.entry(record.key.to_vec()).or_default();
        if held.iter().any(|one| one.db == Some(record.db)) {
            return Err("an item begins while it is on its way already".to_owned());
        }
        let (db, records, values) = (Some(record.db), Vec::new(), VecDeque::new());
        held.push(Held { named: record.db, db, item, records, values });
        Ok(())
    }

    /// The next piece of an item.
    pub(super) fn part(&mut self, record: &Record<'_>, part: &[u8]) -> Result<(), String> {
        let held = self.keys.get_mut(record.key);
        let first = held.and_then(|held| held.iter_mut().find(|one| one.named == record.db));
        first.ok_or("a piece of an item that did not begin")?.item.add(part)
    }

    /// An item is whole: gives its key back.
    pub(super) fn end(&mut self, record: &Record<'_>) -> Result<Held, String> {
        let unknown = "the end of an item that did not begin";
        let held = self.keys.get_mut(record.key).ok_or(unknown)?;
        let place = held.iter().position(|one| one.named == record.db).ok_or(unknown)?;
        let one = held.remove(place);
        if held.is_empty() {
            self.keys.remove(record.key);
        }
        one.item.check_whole()?;
        Ok(one)
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
        let is_its = |one: &&mut Held| one.db == Some(record.db);
        let Some(held) = held.and_then(|held| held.iter_mut().find(is_its)) else {
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
        let values: u64 = held.values.iter().map(Coming::kept).sum();
        let kept = held.records.len() as u64 + values;
        if kept > FRAME_BYTES_MAX.max(held.item.length().saturating_mul(2)) {
            return Err(format!("{kept} bytes of records wait for one item"));
        }
        Ok(true)
    }

    /// Databases are emptied or change their numbers. Of what is emptied the pieces still come.
    pub(super) fn note_global(&mut self, global: Global) {
        for one in self.keys.values_mut().flatten() {
            let Some(db) = one.db else { continue };
            one.db = match global {
                Global::FlushAll => None,
                Global::FlushDb(emptied) => Some(db).filter(|db| *db != emptied),
                Global::SwapDb(here, there) if db == here => Some(there),
                Global::SwapDb(here, there) if db == there => Some(here),
                Global::SwapDb(..) => Some(db),
            };
            if one.db.is_none() {
                one.item.let_go();
                (one.records, one.values) = (Vec::new(), VecDeque::new());
            }
        }
    }
}
