//! Going along a tree, one element after the other, in either direction.

use super::find::{Place, Tree, element};
use super::order::{Bound, Element, Order};
use super::page::{LEVELS, PageRef};
use std::ops::Range;

/// Elements from a place on. [`Iterator::next`] goes towards the end, [`Walk::back`] towards the start; both
/// from the same place, so that one undoes the other.
pub struct Walk<'a, O: Order> {
    /// From the leaf up to the root; unused above it.
    pages: [Option<PageRef<'a, O::Key>>; LEVELS],
    place: Place,
}

impl<O: Order> Clone for Walk<'_, O> {
    fn clone(&self) -> Self {
        Walk { pages: self.pages, place: self.place }
    }
}

impl<O: Order> Tree<O> {
    /// The elements behind a place, one after the other.
    pub fn walk(&self, place: &Place) -> Walk<'_, O> {
        let mut walk = Walk { pages: [None; LEVELS], place: *place };
        if let Some(mut page) = self.page() {
            while page.height() > 0 {
                let height = usize::from(page.height());
                walk.pages[height] = Some(page);
                page = page.child(usize::from(place.slots[height]));
            }
            walk.pages[0] = Some(page);
        }
        walk
    }

    /// All elements, in their order.
    pub fn iter(&self) -> Walk<'_, O> {
        self.walk(&self.start())
    }

    /// The elements from a place in the order on.
    pub fn from(&self, bound: &Bound<'_, O::Key>) -> Walk<'_, O> {
        self.walk(&self.seek(bound))
    }

    /// The elements with these numbers from the start on, as far as there are.
    pub fn range(&self, range: Range<u64>) -> std::iter::Take<Walk<'_, O>> {
        let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        self.walk(&self.at(range.start)).take(count)
    }

    /// The elements before the one with this number, the last of them first.
    pub fn back_from(&self, index: u64) -> impl Iterator<Item = Element<'_, O::Key>> {
        let mut walk = self.walk(&self.at(index));
        std::iter::from_fn(move || walk.back())
    }
}

impl<O: Order<Key = u32>> Tree<O> {
    /// A step of a scan in the order of hashes: calls `see` for at least `count` elements from the hash
    /// `cursor` on, if there are as many, and all those with the hash of the last. The cursor that goes on
    /// behind them; 0 when there is nothing behind.
    ///
    /// An element that is there all the time is seen, however the tree changes between the steps: cursors
    /// are hashes, and no element's hash changes.
    pub fn scan<'a>(
        &'a self,
        cursor: u64,
        count: usize,
        mut see: impl FnMut(Element<'a, u32>),
    ) -> u64 {
        let Ok(from) = u32::try_from(cursor) else { return 0 };
        let mut last = None;
        for (seen, element) in self.from(&Bound::Before(from, b"")).enumerate() {
            if seen >= count.max(1) && last != Some(element.key) {
                return u64::from(element.key);
            }
            last = Some(element.key);
            see(element);
        }
        0
    }
}

impl<'a, O: Order> Walk<'a, O> {
    /// Where it is: behind the element that [`Iterator::next`] gave last.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where the element stands that [`Iterator::next`] gave last.
    pub fn place_of_last(&self) -> Place {
        let mut place = self.place;
        place.slots[0] -= 1;
        place
    }

    /// The element before the place, where it goes.
    pub fn back(&mut self) -> Option<Element<'a, O::Key>> {
        let leaf = self.pages[0]?;
        if let Some(slot) = self.place.slots[0].checked_sub(1) {
            self.place.slots[0] = slot;
            return element(leaf, usize::from(slot));
        }
        let mut height = 1;
        while self.place.slots.get(height) == Some(&0) && self.pages[height].is_some() {
            height += 1;
        }
        let node = self.pages.get(height).copied().flatten()?;
        let slot = self.place.slots[height] - 1;
        self.place.slots[height] = slot;
        self.down(height, node.child(usize::from(slot)), true);
        let last = self.place.slots[0];
        element(self.pages[0]?, usize::from(last))
    }

    /// Goes into a page below the node at a height: to its first element or to its last.
    fn down(&mut self, height: usize, mut page: PageRef<'a, O::Key>, to_last: bool) {
        for height in (0..height).rev() {
            let slot = if to_last { page.count() - 1 } else { 0 };
            self.place.slots[height] = slot as u16;
            self.pages[height] = Some(page);
            if height > 0 {
                page = page.child(slot);
            }
        }
    }

    /// Into the next leaf, if there is one.
    #[cold]
    fn next_leaf(&mut self) -> Option<()> {
        let mut height = 1;
        loop {
            let node = self.pages.get(height).copied().flatten()?;
            let slot = usize::from(self.place.slots[height]) + 1;
            if slot < node.count() {
                self.place.slots[height] = slot as u16;
                self.down(height, node.child(slot), false);
                return Some(());
            }
            height += 1;
        }
    }
}

impl<'a, O: Order> Iterator for Walk<'a, O> {
    type Item = Element<'a, O::Key>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a, O::Key>> {
        loop {
            let slot = self.place.slots[0];
            if let Some(found) = element(self.pages[0]?, usize::from(slot)) {
                self.place.slots[0] = slot + 1;
                return Some(found);
            }
            self.next_leaf()?;
        }
    }
}
