//! Where an element of a large tree will be looked for soon: see `near`, which finds it.

use super::page::{Key, PageRef};

/// Where an element is, or would be, in a tree of more than one page.
#[derive(Clone, Copy)]
pub struct Near<'a, K: Key = u32> {
    pub(super) leaf: PageRef<'a, K>,
    pub(super) key: K,
    pub(super) goes_on: bool,
}

impl<'a, K: Key> Near<'a, K> {
    /// What is found there says where else will be looked.
    pub(in crate::value) fn and_goes_on(self) -> Near<'a, K> {
        Near { goes_on: true, ..self }
    }

    /// Whether it does.
    #[inline]
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Asks for the keys.
    #[inline]
    pub fn fetch_keys(&self) {
        self.leaf.keys_to_search();
    }

    /// Asks for the element.
    #[inline]
    pub fn fetch_element(&self) {
        let slot = self.slot();
        if slot < self.leaf.count() {
            self.leaf.prefetch_element(slot);
        }
    }

    /// Which one it is there, or would be.
    #[inline]
    pub(super) fn slot(&self) -> usize {
        self.leaf.keys().partition_point(|other| *other < self.key)
    }
}
