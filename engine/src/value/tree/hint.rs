//! Where an element of a large tree will be looked for soon: see `near`, which finds it.

use super::page::PageRef;

/// Where an element is, or would be, in a tree of more than one page.
#[derive(Clone, Copy)]
pub struct Near<'a> {
    pub(super) leaf: PageRef<'a, u32>,
    pub(super) key: u32,
}

impl Near<'_> {
    /// Asks for the keys.
    #[inline]
    pub fn fetch_keys(&self) {
        self.leaf.keys_to_search();
    }

    /// Asks for the element.
    #[inline]
    pub fn fetch_element(&self) {
        let slot = self.leaf.keys().partition_point(|other| *other < self.key);
        if slot < self.leaf.count() {
            self.leaf.prefetch_element(slot);
        }
    }
}
