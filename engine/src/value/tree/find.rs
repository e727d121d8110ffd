//! Looking into a tree: by order, by position, and what is at a place.

use super::order::{Bound, Element, Order, TIE_MAX};
use super::page::{Key, LEVELS, Page, PageRef, Totals};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// A tree of elements in an order: see the module's front page. A clone is one reference, and goes on
/// holding what was there when it was made.
#[repr(transparent)]
pub struct Tree<O: Order> {
    pub(super) root: Option<Page<O::Key>>,
    pub(super) order: PhantomData<O>,
}

/// Where in a tree something is or would be: good until the tree is changed. Asking a changed tree for it, or
/// another one, answers anything or panics, and does no more harm.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The entry in each node and the element in the leaf, by height.
    pub(super) slots: [u16; LEVELS],
}

impl<O: Order> Default for Tree<O> {
    fn default() -> Self {
        Tree { root: None, order: PhantomData }
    }
}

impl<O: Order> Clone for Tree<O> {
    fn clone(&self) -> Self {
        Tree { root: self.root.clone(), order: PhantomData }
    }
}

impl<O: Order> Tree<O> {
    /// A tree without elements, which holds no block.
    pub fn new() -> Self {
        Tree::default()
    }

    pub(super) fn page(&self) -> Option<PageRef<'_, O::Key>> {
        self.root.as_ref().map(Page::borrow)
    }

    /// How many elements.
    #[inline]
    pub fn len(&self) -> u64 {
        self.page().map_or(0, PageRef::count_below)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Bytes on the heap, whoever else holds them, and as if no two parts of it were one.
    #[inline]
    pub fn heap_bytes(&self) -> u64 {
        self.page().map_or(0, PageRef::heap)
    }

    /// What all elements take, as the order measures them. Of a tree that is one leaf they are looked at.
    pub fn encoded_len(&self) -> u64 {
        self.page().map_or(0, |page| totals::<O>(page).encoded)
    }

    /// How many hold it as a whole.
    pub fn holders(&self) -> u64 {
        self.page().map_or(0, PageRef::holders)
    }

    /// What tells it from all other trees that there are now; the same for all clones.
    pub fn address(&self) -> usize {
        self.page().map_or(0, PageRef::address)
    }

    /// A hint that it will be looked at soon.
    #[inline]
    pub fn prefetch(&self) {
        if let Some(page) = self.page() {
            page.prefetch();
        }
    }

    /// The first place.
    pub fn start(&self) -> Place {
        Place { slots: [0; LEVELS] }
    }

    /// The place behind the last element.
    pub fn end(&self) -> Place {
        let mut place = self.start();
        let Some(mut page) = self.page() else { return place };
        loop {
            let height = usize::from(page.height());
            let last = page.count() - usize::from(height > 0);
            place.slots[height] = last as u16;
            if height == 0 {
                return place;
            }
            page = page.child(last);
        }
    }

    /// The place of the element with this number from the start on; beyond the last, the end.
    pub fn at(&self, mut index: u64) -> Place {
        let mut place = self.start();
        let Some(mut page) = self.page() else { return place };
        if index == 0 {
            return place;
        }
        if index >= page.count_below() {
            return self.end();
        }
        while page.height() > 0 {
            let slot;
            (slot, index) = page.entry_with(index);
            place.slots[usize::from(page.height())] = slot as u16;
            page = page.child(slot);
        }
        place.slots[0] = index as u16;
        place
    }

    /// The number of a place from the start on: how many elements are before it.
    pub fn rank(&self, place: &Place) -> u64 {
        let Some(mut page) = self.page() else { return 0 };
        let mut rank = 0;
        while page.height() > 0 {
            let slot = usize::from(place.slots[usize::from(page.height())]);
            rank += page.count_before(slot);
            page = page.child(slot);
        }
        rank + u64::from(place.slots[0])
    }

    /// The element at a place, that is: behind it.
    #[inline]
    pub fn get(&self, place: &Place) -> Option<Element<'_, O::Key>> {
        let (leaf, slot) = self.leaf_of(place)?;
        element(leaf, slot)
    }

    /// The element with this key and identity, and its place; or the place where it would be put.
    #[inline]
    pub fn find(&self, key: O::Key, identity: &[u8]) -> (Place, Option<Element<'_, O::Key>>) {
        let mut place = self.start();
        let Some(mut page) = self.page() else { return (place, None) };
        let bound = Bound::After(key, identity);
        while page.height() > 0 {
            let slot = entry_of::<O>(page, &bound);
            place.slots[usize::from(page.height())] = slot as u16;
            page = page.child(slot);
        }
        let (from, to) = same_key(page.keys_to_search(), key);
        let compared = |slot: usize| compare::<O>(page, slot, identity);
        let found = search(from, to, compared);
        let slot = found.unwrap_or_else(|slot| slot);
        place.slots[0] = slot as u16;
        (place, found.is_ok().then(|| element(page, slot)).flatten())
    }

    /// The first element with this key, and its place; or the place where it would be put. For orders in which
    /// elements may be equal: of these [`Tree::find`] may miss some, behind which others were removed.
    #[inline]
    pub fn first_of(&self, key: O::Key) -> (Place, Option<Element<'_, O::Key>>) {
        let place = self.seek(&Bound::Before(key, b""));
        let there = self.get(&place);
        if let Some(there) = there {
            return (place, Some(there).filter(|there| there.key == key));
        }
        let mut walk = self.walk(&place);
        match walk.next().filter(|next| next.key == key) {
            Some(next) => (walk.place_of_last(), Some(next)),
            None => (place, None),
        }
    }

    /// The place in the order. What is behind it may begin in the next leaf: [`Tree::from`] goes there.
    pub fn seek(&self, bound: &Bound<'_, O::Key>) -> Place {
        let mut place = self.start();
        let Some(mut page) = self.page() else { return place };
        while page.height() > 0 {
            let slot = entry_of::<O>(page, bound);
            place.slots[usize::from(page.height())] = slot as u16;
            page = page.child(slot);
        }
        let (from, to) = same_key(page.keys_to_search(), bound.key());
        let decided = |slot: usize| {
            let is_behind = bound.is_behind(|identity| compare::<O>(page, slot, identity));
            if is_behind { Ordering::Less } else { Ordering::Greater }
        };
        place.slots[0] = search(from, to, decided).unwrap_or_else(|slot| slot) as u16;
        place
    }

    /// The leaf of a place, and its slot there.
    #[inline]
    fn leaf_of(&self, place: &Place) -> Option<(PageRef<'_, O::Key>, usize)> {
        let mut page = self.page()?;
        while page.height() > 0 {
            let slot = usize::from(place.slots[usize::from(page.height())]);
            if slot >= page.count() {
                return None;
            }
            page = page.child(slot);
        }
        Some((page, usize::from(place.slots[0])))
    }

    /// Whether so many elements on one side of a place have this key, which is that of what comes there.
    #[inline]
    pub fn is_among(&self, place: &Place, key: O::Key, many: usize) -> bool {
        let Some((leaf, slot)) = self.leaf_of(place) else { return false };
        let keys = leaf.keys();
        let before = match slot.checked_sub(many) {
            Some(far) => keys[far] == key,
            // Those in the leaf are asked first: there is no other of the key behind one that has not.
            None => {
                keys[..slot].first().is_none_or(|first| *first == key) && {
                    let mut walk = self.walk(place);
                    let far = (0..many).map_while(|_| walk.back()).nth(many - 1);
                    far.is_some_and(|element| element.key == key)
                }
            }
        };
        before
            || match keys.get(slot + many - 1) {
                Some(far) => *far == key,
                None => {
                    keys[slot..].last().is_none_or(|last| *last == key)
                        && self.walk(place).nth(many - 1).is_some_and(|far| far.key == key)
                }
            }
    }

    /// Whether no element but the one at a place has its key.
    #[inline]
    pub fn is_only(&self, place: &Place) -> bool {
        let Some((leaf, slot)) = self.leaf_of(place) else { return false };
        let keys = leaf.keys();
        if slot > 0 && slot + 1 < keys.len() {
            return keys[slot - 1] != keys[slot] && keys[slot + 1] != keys[slot];
        }
        let (mut back, mut on) = (self.walk(place), self.walk(place));
        let Some(own) = on.next() else { return false };
        let is_other =
            |other: Option<Element<'_, O::Key>>| other.is_none_or(|it| it.key != own.key);
        is_other(back.back()) && is_other(on.next())
    }

    /// Looks at a part of the tree from an element on: how many bytes of its leaves nobody holds but those
    /// who hold the tree as a whole, where the next part begins, and how many pages that took to see.
    pub fn kept_from(&self, index: u64) -> (u64, u64, usize) {
        let Some(mut page) = self.page() else { return (0, 0, 0) };
        let mut start = 0;
        loop {
            if page.height() == 0 {
                return (page.heap(), start + page.count_below(), 1);
            }
            if page.height() == 1 {
                let leaves = (0..page.count()).map(|slot| page.child(slot));
                let own = leaves.filter(|leaf| leaf.holders() == 1).map(PageRef::heap).sum();
                return (own, start + page.count_below(), 1 + page.count());
            }
            let mut slot = 0;
            while slot + 1 < page.count() && index >= start + page.child_count(slot) {
                start += page.child_count(slot);
                slot += 1;
            }
            page = page.child(slot);
            if page.holders() > 1 {
                return (0, start + page.count_below(), 1);
            }
        }
    }
}

#[inline]
pub(super) fn element<K: Key>(leaf: PageRef<'_, K>, slot: usize) -> Option<Element<'_, K>> {
    let key = *leaf.keys().get(slot)?;
    let (head, tail) = leaf.element(slot);
    Some(Element { key, head, tail })
}

#[inline]
fn compare<O: Order>(leaf: PageRef<'_, O::Key>, slot: usize, identity: &[u8]) -> Ordering {
    element(leaf, slot).map_or(Ordering::Greater, |element| O::identity(element).compare(identity))
}

/// What is in a page and below it, its own block with it.
pub(super) fn totals<O: Order>(page: PageRef<'_, O::Key>) -> Totals {
    let heap = page.heap();
    if page.height() > 0 {
        return Totals { heap, ..page.totals() };
    }
    let elements = (0..page.count()).filter_map(|slot| element(page, slot));
    Totals { count: page.count() as u64, heap, encoded: elements.map(O::encoded).sum() }
}

/// Which of the sorted keys are this one.
#[inline]
fn same_key<K: Key>(keys: &[K], key: K) -> (usize, usize) {
    let from = keys.partition_point(|other| *other < key);
    // Few have the same, if any; then many of them.
    let mut to = from;
    while keys.get(to) == Some(&key) {
        to += 1;
        if to == from + 4 {
            return (from, to + keys[to..].partition_point(|other| *other <= key));
        }
    }
    (from, to)
}

/// As `binary_search_by`, on numbers.
#[inline]
fn search(
    mut from: usize,
    mut to: usize,
    compared: impl Fn(usize) -> Ordering,
) -> Result<usize, usize> {
    while from < to {
        let middle = from.midpoint(to);
        match compared(middle) {
            Ordering::Less => from = middle + 1,
            Ordering::Greater => to = middle,
            Ordering::Equal => return Ok(middle),
        }
    }
    Err(from)
}

/// The entry of a node below which a place in the order is. What separates the first one from what is before
/// the node is not looked at.
#[inline]
pub(super) fn entry_of<O: Order>(node: PageRef<'_, O::Key>, bound: &Bound<'_, O::Key>) -> usize {
    let (from, to) = same_key(&node.keys_to_search()[1..], bound.key());
    let decided = |slot: usize| {
        let is_behind = bound.is_behind(|identity| compare_tie::<O>(node, slot + 1, identity));
        // An entry whose separator equals the place's is the place's.
        if is_behind { Ordering::Less } else { Ordering::Greater }
    };
    search(from, to, decided).unwrap_or_else(|slot| slot)
}

/// How the separator before an entry compares.
fn compare_tie<O: Order>(node: PageRef<'_, O::Key>, slot: usize, identity: &[u8]) -> Ordering {
    let tie = node.tie(slot);
    if tie.len() < TIE_MAX || !identity.starts_with(tie) {
        return tie.cmp(identity);
    }
    let mut page = node.child(slot);
    while page.height() > 0 {
        page = page.child(0);
    }
    // The first that is there now may have a higher key than the one that the tie was made of.
    if page.keys().first() != node.keys().get(slot) {
        return Ordering::Greater;
    }
    compare::<O>(page, 0, identity)
}
