//! Whether the parts of a value go together: what no part can tell by itself.

use super::parts::{Part, StreamId};
use crate::value::Value;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

/// Looks at the parts of one value, one after the other. It takes some 20 bytes for each that has a name.
pub struct Check {
    hashers: [RandomState; 2],
    /// Names by two hashes of 64 bits, spread over several sets, so that none of them grows for long.
    names: Vec<HashSet<(u64, u64)>>,
    /// Fields of a stream's entry that may repeat, still to come.
    entry_fields: u64,
    groups: HashSet<(u64, u64)>,
    consumers: HashSet<(u64, u64)>,
    /// Of the group: what is pending, and whether with somebody.
    pending: HashMap<StreamId, bool>,
    unclaimed: usize,
}

/// Bytes of a payload for each set of names: a set grows up to some thousand names.
const BYTES_PER_SET: usize = 64 * 1024;
/// Where more would only cost memory.
const SETS_MAX: usize = 4096;

impl Check {
    /// For a value that was written in so many bytes.
    pub fn of(bytes: usize) -> Check {
        let sets = (bytes / BYTES_PER_SET + 1).min(SETS_MAX);
        Check {
            hashers: [RandomState::default(), RandomState::default()],
            names: vec![HashSet::new(); sets],
            entry_fields: 0,
            groups: HashSet::new(),
            consumers: HashSet::new(),
            pending: HashMap::new(),
            unclaimed: 0,
        }
    }

    fn hash(&self, name: Value<'_>) -> (u64, u64) {
        let [one, other] = &self.hashers;
        name.with_bytes(|bytes| (one.hash_one(bytes), other.hash_one(bytes)))
    }

    /// Adds a part of a list where `is_list`, else of another value. The error says what does not go together.
    pub fn add(&mut self, part: &Part<'_>, is_list: bool) -> Result<(), &'static str> {
        let is_new = match *part {
            Part::Element(_) if is_list => true,
            Part::Field { .. } if self.entry_fields > 0 => {
                self.entry_fields -= 1;
                true
            }
            Part::Element(name) | Part::Member { member: name, .. } => self.add_name(name),
            Part::Field { field, .. } => self.add_name(field),
            Part::Entry { fields, .. } => {
                self.entry_fields = fields;
                true
            }
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
            Part::Facts(_) | Part::Skipped => true,
        };
        if is_new { Ok(()) } else { Err("the same twice") }
    }

    fn add_name(&mut self, name: Value<'_>) -> bool {
        let hash = self.hash(name);
        let set = (hash.1 >> 32) as usize % self.names.len();
        self.names[set].insert(hash)
    }

    /// Lets some of what it knows go; whether that was all. Many names at once would take milliseconds.
    pub fn let_go(&mut self) -> bool {
        drop(self.names.pop());
        self.names.is_empty()
    }

    /// After the last part.
    pub fn end(&self) -> Result<(), &'static str> {
        if self.unclaimed == 0 { Ok(()) } else { Err("pending with a group and with no consumer") }
    }
}
