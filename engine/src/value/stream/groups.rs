//! All groups of a stream, by their names.

use super::group::{Group, named};
use super::part;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module's front page.
#[derive(Clone, Default)]
pub(super) struct Groups {
    by_name: BTreeMap<Arc<[u8]>, Arc<Group>>,
    heap: usize,
    encoded: usize,
}

/// A group's place in the map and the counts of what it is held by.
const PLACE_BYTES: usize = 64;

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Group> {
        self.by_name.get(name).map(|group| &**group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.by_name.iter().map(|(name, group)| (&**name, &**group))
    }

    /// Puts a group there, or another in its place.
    pub(super) fn put(&mut self, name: &[u8], group: Group) {
        self.remove(name);
        self.heap += PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded += named(name) + group.encoded_len();
        self.by_name.insert(name.into(), Arc::new(group));
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.by_name.remove(name) else { return false };
        self.heap -= PLACE_BYTES + name.len() + group.heap_bytes();
        self.encoded -= named(name) + group.encoded_len();
        true
    }

    /// Changes a group, if there is such a one; a copy of it where somebody else holds it.
    pub(super) fn edit<R>(&mut self, name: &[u8], edit: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let group = Arc::make_mut(self.by_name.get_mut(name)?);
        let (heap, encoded) = (group.heap_bytes(), group.encoded_len());
        let done = edit(group);
        self.heap = self.heap + group.heap_bytes() - heap;
        self.encoded = self.encoded + group.encoded_len() - encoded;
        Some(done)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap
    }

    pub(super) fn encoded_len(&self) -> usize {
        self.encoded
    }

    /// The last of the names.
    pub(super) fn last_name(&self) -> Option<Arc<[u8]>> {
        self.by_name.last_key_value().map(|(name, _)| name.clone())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.by_name.iter().for_each(|(name, group)| group.encode(name, out));
    }

    pub(super) fn encode_range(&self, cutting: &mut part::Cutting<'_>) {
        self.by_name.iter().for_each(|(name, group)| group.encode_range(name, cutting));
    }
}
