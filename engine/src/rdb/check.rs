//! Whether the parts of a stream go together: what no part can tell by itself. Of other types whoever puts a value together
//! sees it.

use super::parts::{Part, StreamId};
use crate::value::Value;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

/// Looks at the parts of one stream, one after the other. It takes some 20 bytes for each that has a name.
#[derive(Default)]
pub(super) struct Check {
    hashers: [RandomState; 2],
    /// Names by two hashes of 64 bits.
    groups: HashSet<(u64, u64)>,
    consumers: HashSet<(u64, u64)>,
    /// Of the group: what is pending, and whether with somebody.
    pending: HashMap<StreamId, bool>,
    unclaimed: usize,
}

impl Check {
    fn hash(&self, name: Value<'_>) -> (u64, u64) {
        let [one, other] = &self.hashers;
        name.with_bytes(|bytes| (one.hash_one(bytes), other.hash_one(bytes)))
    }

    /// Adds a part. The error says what does not go together.
    pub(super) fn add(&mut self, part: &Part<'_>) -> Result<(), &'static str> {
        let is_new = match *part {
            Part::Group { name, .. } => {
                self.end()?;
                self.pending.clear();
                self.consumers.clear();
                let hash = self.hash(name);
                self.groups.insert(hash)
            }
            Part::Pending { id, .. } => {
                self.unclaimed += 1;
                self.pending.insert(id, false).is_none()
            }
            Part::Consumer { name, .. } => {
                let hash = self.hash(name);
                self.consumers.insert(hash)
            }
            Part::Claimed(id) => {
                let Some(is_claimed) = self.pending.get_mut(&id) else {
                    return Err("pending with a consumer and not with its group");
                };
                self.unclaimed = self.unclaimed.saturating_sub(1);
                !std::mem::replace(is_claimed, true)
            }
            // Entries come in order, and their fields may repeat.
            _ => true,
        };
        if is_new { Ok(()) } else { Err("the same twice") }
    }

    /// After the last part.
    pub(super) fn end(&self) -> Result<(), &'static str> {
        if self.unclaimed == 0 { Ok(()) } else { Err("pending with a group and with no consumer") }
    }
}
