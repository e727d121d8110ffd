//! Changing a tree: an element at a place, or a range of them.
//!
//! ```text
//!   down    along the place: what others hold is copied on the way, and only that
//!   leaf    the element comes, goes or is replaced; a leaf that becomes too long is split in two
//!   up      a new page becomes an entry; a page that became too empty is joined with a neighbour or takes
//!           from it; a node that became too long is split; sums are kept
//! ```
//!
//! A page is joined with its neighbour where both together fill no more than 5/6 of one, so that it takes
//! a sixth of a page of new elements to split it again, and else both are made equal, so that each is a
//! twelfth above the third at which it would be joined.

use super::find::{Place, Tree, element, totals};
use super::order::{NewElement, Order, tie_between};
use super::page::{Key, LEVELS, Page, PageRef, Totals};
use crate::value::rope::Rope;
use std::ops::Range;

/// Beyond that a node is split: one more entry, with the longest of ties, fits its block all the same.
const fn node_most(limit: usize) -> usize {
    limit * 7 / 8
}

/// Below that a page is too empty.
pub(super) const fn least(limit: usize) -> usize {
    limit / 3
}

/// Up to that two pages become one.
const fn joined_most(limit: usize) -> usize {
    limit * 5 / 6
}

pub(super) fn limit<O: Order>(height: u8) -> usize {
    if height == 0 { O::LEAF } else { O::NODE }
}

/// An element whose bytes would take more of a leaf lies outside of it. So any split and any sharing of
/// bytes leaves each page its third.
const fn inline_max<O: Order>() -> usize {
    O::LEAF / 8
}

/// What stands before a leaf's elements, and more.
const SPARE: usize = 64;

enum Change<'n, K> {
    Insert(NewElement<'n, K>),
    Replace(NewElement<'n, K>),
    Remove,
}

/// A page that was split off, and what separates it from the one before.
struct Split<K: Key> {
    page: Page<K>,
    key: K,
    tie: Vec<u8>,
}

/// What happened to a page: by how much it and all below it, with what was split off, became more.
struct Outcome<K: Key> {
    more: Totals,
    split: Option<Split<K>>,
}

/// Whether a page is the first or the last of its level. There elements often come one behind the other:
/// the full page is left as it is then, and the new one begins with the new element alone.
#[derive(Clone, Copy)]
struct Edges {
    is_first: bool,
    is_last: bool,
}

impl<O: Order> Tree<O> {
    /// Puts an element at a place: before the one that is there. In an order of keys the place is that which
    /// [`Tree::find`] gave for the element.
    #[inline]
    pub fn insert(&mut self, place: &Place, new: NewElement<'_, O::Key>) {
        self.change(place, Change::Insert(new));
    }

    /// Puts another element in place of the one there. Key and identity are the same, unless the order has
    /// neither.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn replace(&mut self, place: &Place, new: NewElement<'_, O::Key>) {
        // Nearly all are as long as what they replace.
        if new.tail.is_none()
            && self.root.as_mut().is_some_and(|root| root.overwrite(&place.slots, new.head))
        {
            return;
        }
        self.change(place, Change::Replace(new));
    }

    /// Removes the element at a place.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn remove(&mut self, place: &Place) {
        self.change(place, Change::Remove);
    }

    /// Puts an element behind the last.
    pub fn push(&mut self, new: NewElement<'_, O::Key>) {
        self.insert(&self.end(), new);
    }

    /// Removes the elements with these numbers from the start on, as far as there are.
    pub fn remove_range(&mut self, range: Range<u64>) {
        let range = range.start..range.end.min(self.len());
        if range.start >= range.end {
            return;
        }
        if range.end - range.start == self.len() {
            self.root = None;
            return;
        }
        if let Some(root) = &mut self.root {
            cut::<O>(root, range);
            if is_long::<O>(root.borrow()) {
                let from = middle(root.borrow());
                let split = split_node::<O>(root, from);
                raise::<O>(root, split);
            }
        }
        self.lower();
    }

    /// Makes a leaf for the elements that are about to be put into a tree without any: so many, which have so many
    /// bytes. What it is given too much stays its own until it is copied or elements go.
    pub fn make_room(&mut self, count: usize, bytes: usize) {
        let needed = bytes + count * (size_of::<O::Key>() + 2) + SPARE;
        if self.root.is_none() && count > 0 && needed <= O::LEAF {
            self.root = Some(Page::with_room(count, bytes));
        }
    }

    fn change(&mut self, place: &Place, change: Change<'_, O::Key>) {
        if let Change::Insert(NewElement { head, tail: None, .. }) = &change {
            let length = head.iter().map(|part| part.len()).sum();
            // A longer one lies outside of the leaf.
            self.make_room(usize::from(length <= inline_max::<O>()), length);
        }
        if self.change_leaf_alone(place, &change) {
            return;
        }
        let root = self.root.get_or_insert_with(|| Page::new(0));
        let edges = Edges { is_first: true, is_last: true };
        let outcome = change_page::<O>(root, place, change, edges);
        if let Some(split) = outcome.split {
            raise::<O>(root, split);
        }
        self.lower();
    }

    /// What most changes are: nobody else holds a page on the way, and the leaf becomes neither too long nor too
    /// short. `false`, having done nothing, where it is another one.
    #[inline]
    fn change_leaf_alone(&mut self, place: &Place, change: &Change<'_, O::Key>) -> bool {
        let Some(root) = &mut self.root else { return false };
        root.edit_leaf(&place.slots, |leaf, slot, is_edge| {
            let page = leaf.borrow();
            let mut more = Totals::default();
            match change {
                Change::Insert(NewElement { key, head, tail: None }) => {
                    let length = head.iter().map(|part| part.len()).sum::<usize>();
                    if length > inline_max::<O>() || page.used_with(length) > O::LEAF {
                        return None;
                    }
                    if !leaf.put_alone(slot, *key, head, length) {
                        let before = leaf.borrow().heap();
                        leaf.put_element(slot, false, *key, None, head);
                        more.heap = leaf.borrow().heap().wrapping_sub(before);
                    }
                    more.encoded = element(leaf.borrow(), slot).map_or(0, O::encoded);
                    more.count = 1;
                }
                Change::Remove => {
                    let old = element(page, slot)?;
                    // Its ends may become shorter with it.
                    let left = (page.used() - page.used_by(slot)).saturating_sub(page.count());
                    if page.count() == 1 || !is_edge && left < least(O::LEAF) {
                        return None;
                    }
                    more.encoded = 0u64.wrapping_sub(O::encoded(old));
                    more.count = 0u64.wrapping_sub(1);
                    if !leaf.remove_alone(slot) {
                        let before = leaf.borrow().heap();
                        leaf.remove(slot..slot + 1);
                        more.heap = leaf.borrow().heap().wrapping_sub(before);
                    }
                }
                _ => return None,
            }
            Some(more)
        })
    }

    /// Makes the tree no higher than it must be.
    fn lower(&mut self) {
        while let Some(root) = &mut self.root {
            match (root.borrow().height(), root.borrow().count()) {
                (_, 0) => self.root = None,
                (1.., 1) => *root = root.take_child(0),
                _ => return,
            }
        }
    }
}

/// Puts a node above a root that was split.
fn raise<O: Order>(root: &mut Page<O::Key>, split: Split<O::Key>) {
    let Split { page, key, tie } = split;
    let height = root.borrow().height() + 1;
    assert!(usize::from(height) < LEVELS, "a tree of {LEVELS} levels");
    let left = std::mem::replace(root, Page::new(height));
    let mut sum = totals::<O>(left.borrow());
    sum.add(totals::<O>(page.borrow()));
    // What separates the first entry from nothing is never looked at.
    root.put_child(0, left, key, b"");
    root.put_child(1, page, key, &tie);
    root.set_totals(sum);
}

fn change_page<O: Order>(
    page: &mut Page<O::Key>,
    place: &Place,
    change: Change<'_, O::Key>,
    edges: Edges,
) -> Outcome<O::Key> {
    let height = page.borrow().height();
    let slot = usize::from(place.slots[usize::from(height)]);
    let is_growing = matches!(change, Change::Insert(_));
    if height == 0 {
        return change_leaf::<O>(page, slot, change, edges);
    }
    let block = page.borrow().block_bytes() as u64;
    let below = Edges {
        is_first: edges.is_first && slot == 0,
        is_last: edges.is_last && slot + 1 == page.borrow().count(),
    };
    let Outcome { mut more, split } =
        page.edit_child(slot, |child| change_page::<O>(child, place, change, below));
    match split {
        Some(Split { page: behind, key, tie }) => page.put_child(slot + 1, behind, key, &tie),
        // What is at an edge becomes empty one by one, or full.
        None if is_growing
            || (below.is_first || below.is_last) && page.borrow().child(slot).count() > 0 => {}
        None => more.heap = more.heap.wrapping_add(mend::<O>(page, slot)),
    }
    let mut sum = page.borrow().totals();
    sum.add(more);
    page.set_totals(sum);
    let split = is_long::<O>(page.borrow()).then(|| {
        let count = page.borrow().count();
        let from = match () {
            () if is_growing && edges.is_last && slot + 2 == count => count - 1,
            () if is_growing && edges.is_first && slot == 0 => 1,
            () => middle(page.borrow()),
        };
        let split = split_node::<O>(page, from);
        more.heap = more.heap.wrapping_add(split.page.borrow().block_bytes() as u64);
        split
    });
    let own = (page.borrow().block_bytes() as u64).wrapping_sub(block);
    more.heap = more.heap.wrapping_add(own);
    Outcome { more, split }
}

/// Whether a node is to be split.
fn is_long<O: Order>(page: PageRef<'_, O::Key>) -> bool {
    page.height() > 0 && page.used() > node_most(O::NODE)
}

/// Splits a node before one of its entries; the sums of both are what its own were.
fn split_node<O: Order>(page: &mut Page<O::Key>, from: usize) -> Split<O::Key> {
    let (sum, count) = (page.borrow().totals(), page.borrow().count());
    let mut behind = Page::new(page.borrow().height());
    behind.take_from(0, page, from..count);
    // Of leaves each element is looked at: at an edge one of the two has a single entry.
    let theirs = match from <= count / 2 {
        true => sum.minus(sum_of_children::<O>(page.borrow())),
        false => sum_of_children::<O>(behind.borrow()),
    };
    behind.set_totals(theirs);
    page.set_totals(sum.minus(theirs));
    let (key, tie) = (behind.borrow().keys()[0], behind.borrow().tie(0).to_vec());
    Split { page: behind, key, tie }
}

/// Splits an entry of a node, if it is there, that became too long: where pages are joined or share, what separates
/// them then may be longer than what did before. By how much the heap became more.
fn split_below<O: Order>(node: &mut Page<O::Key>, slot: usize) -> u64 {
    let page = node.borrow();
    if slot >= page.count() || !is_long::<O>(page.child(slot)) {
        return 0;
    }
    let before = page.child(slot).heap();
    let Split { page: behind, key, tie } = node.edit_child(slot, |child| {
        let from = middle(child.borrow());
        split_node::<O>(child, from)
    });
    let after = node.borrow().child(slot).heap() + behind.borrow().heap();
    node.put_child(slot + 1, behind, key, &tie);
    after.wrapping_sub(before)
}

fn change_leaf<O: Order>(
    leaf: &mut Page<O::Key>,
    slot: usize,
    change: Change<'_, O::Key>,
    edges: Edges,
) -> Outcome<O::Key> {
    let before = leaf.borrow().heap();
    let mut more = Totals::default();
    let (new, is_replaced) = match change {
        Change::Insert(new) => (Some(new), false),
        Change::Replace(new) => (Some(new), true),
        Change::Remove => (None, true),
    };
    if is_replaced {
        let Some(old) = element(leaf.borrow(), slot) else { panic!("no element at {slot}") };
        more.count = more.count.wrapping_sub(1);
        more.encoded = more.encoded.wrapping_sub(O::encoded(old));
    }
    let Some(NewElement { key, head, mut tail }) = new else {
        leaf.remove(slot..slot + 1);
        more.heap = leaf.borrow().heap().wrapping_sub(before);
        return Outcome { more, split: None };
    };
    let whole: Vec<u8>;
    let mut head = head;
    let mut length = head.iter().map(|part| part.len()).sum::<usize>();
    if length > inline_max::<O>() {
        assert!(tail.is_none(), "{length} bytes before a tail");
        whole = head.concat();
        (tail, head, length) = (Some(Rope::of(&whole)), &[], 0);
    }
    let length = length + if tail.is_some() { size_of::<Rope>() } else { 0 };
    let given_up = if is_replaced { leaf.borrow().used_by(slot) } else { 0 };
    let mut behind = None;
    let (page, at) = if leaf.borrow().used_with(length) - given_up <= O::LEAF {
        leaf.put_element(slot, is_replaced, key, tail, head);
        (leaf.borrow(), slot)
    } else {
        if is_replaced {
            leaf.remove(slot..slot + 1);
        }
        let (split, at) = split_leaf::<O>(leaf, slot, edges);
        let split = behind.insert(split);
        let (page, at) = at.map_or((&mut *leaf, slot), |at| (split, at));
        page.put_element(at, false, key, tail, head);
        (page.borrow(), at)
    };
    more.count = more.count.wrapping_add(1);
    let put = element(page, at).expect("it was put there");
    more.encoded = more.encoded.wrapping_add(O::encoded(put));
    more.heap = leaf.borrow().heap().wrapping_sub(before);
    let split = behind.map(|page| {
        more.heap = more.heap.wrapping_add(page.borrow().heap());
        let (key, tie) = separator::<O>(leaf.borrow(), page.borrow());
        Split { page, key, tie }
    });
    Outcome { more, split }
}

/// Splits a leaf before an element is put at a slot: the leaf behind it, and the element's slot there if it
/// goes there.
fn split_leaf<O: Order>(
    leaf: &mut Page<O::Key>,
    slot: usize,
    edges: Edges,
) -> (Page<O::Key>, Option<usize>) {
    let count = leaf.borrow().count();
    let mut behind = Page::new(0);
    if slot == count && edges.is_last {
        return (behind, Some(0));
    }
    if slot == 0 && edges.is_first {
        // The elements stay where they are, which becomes the leaf behind.
        std::mem::swap(leaf, &mut behind);
        return (behind, None);
    }
    let from = middle(leaf.borrow());
    behind.take_from(0, leaf, from..count);
    (behind, slot.checked_sub(from).filter(|at| *at > 0))
}

/// The first element of a page in its second half of bytes, and at least the second.
fn middle<K: Key>(page: PageRef<'_, K>) -> usize {
    let half = (0..page.count()).map(|slot| page.used_by(slot)).sum::<usize>() / 2;
    upto(page, half, 0..page.count()).clamp(1, page.count() - 1)
}

/// How many elements of a page, in this order, are nearest to so many bytes.
fn upto<K: Key>(page: PageRef<'_, K>, bytes: usize, slots: impl Iterator<Item = usize>) -> usize {
    let (mut taken, mut count) = (0, 0);
    for slot in slots {
        let used = page.used_by(slot);
        if taken + used / 2 >= bytes {
            break;
        }
        taken += used;
        count += 1;
    }
    count
}

/// What separates a leaf from the one before.
fn separator<O: Order>(
    before: PageRef<'_, O::Key>,
    behind: PageRef<'_, O::Key>,
) -> (O::Key, Vec<u8>) {
    let last = before.count().checked_sub(1).and_then(|last| element(before, last));
    let (Some(last), Some(first)) = (last, element(behind, 0)) else {
        panic!("a leaf without elements")
    };
    let tie = match last.key == first.key {
        true => tie_between(O::identity(last), O::identity(first)),
        false => Vec::new(),
    };
    (first.key, tie)
}

pub(super) fn sum_of_children<O: Order>(node: PageRef<'_, O::Key>) -> Totals {
    let mut sum = Totals::default();
    (0..node.count()).for_each(|slot| sum.add(totals::<O>(node.child(slot))));
    sum
}

/// After elements have gone from an entry of a node: takes the entry away if there is nothing in it, and
/// joins it with a neighbour or shares with that if there is little. By how much the heap became more.
fn mend<O: Order>(node: &mut Page<O::Key>, slot: usize) -> u64 {
    let (page, child) = (node.borrow(), node.borrow().child(slot));
    if child.count() == 0 {
        let heap = child.heap();
        node.remove(slot..slot + 1);
        return 0u64.wrapping_sub(heap);
    }
    let limit = limit::<O>(child.height());
    if child.used() >= least(limit) || page.count() == 1 {
        return 0;
    }
    let left = if slot + 1 < page.count() { slot } else { slot - 1 };
    let before = page.child(left).heap() + page.child(left + 1).heap();
    let (key, tie) = (page.keys()[left + 1], page.tie(left + 1).to_vec());
    let mut behind = node.take_child(left + 1);
    let height = behind.borrow().height();
    if height > 0 {
        behind.set_separator(0, key, &tie);
    }
    let seam = node.edit_child(left, |front| share::<O>(front, &mut behind, limit));
    let mut after = node.borrow().child(left).heap();
    let is_joined = behind.borrow().count() == 0;
    if !is_joined {
        after += behind.borrow().heap();
        let (key, tie) = match height {
            0 => separator::<O>(node.borrow().child(left), behind.borrow()),
            _ => (behind.borrow().keys()[0], behind.borrow().tie(0).to_vec()),
        };
        node.put_child(left + 1, behind, key, &tie);
    }
    let mut more = after.wrapping_sub(before);
    if height > 0 {
        // Where two nodes met, pages that had no neighbour have one now, and may need it.
        let (slot, seam) = (left + seam.0, seam.1);
        more = more.wrapping_add(mend_below::<O>(node, slot, seam));
        more = more.wrapping_add(mend_below::<O>(node, slot, seam.wrapping_sub(1)));
        more = more.wrapping_add(split_below::<O>(node, slot));
    }
    if node.borrow().count() > 1 && node.borrow().child(left).used() < least(limit) {
        more = more.wrapping_add(mend::<O>(node, left));
    }
    more
}

/// Joins two neighbours, the second of which is left without elements, or makes them equal. In which
/// of them those that were neighbours over the edge stand then, and where the second of these.
fn share<O: Order>(
    front: &mut Page<O::Key>,
    behind: &mut Page<O::Key>,
    limit: usize,
) -> (usize, usize) {
    front.make_own();
    behind.make_own();
    let (ours, theirs) = (front.borrow(), behind.borrow());
    let (count, their_count) = (ours.count(), theirs.count());
    let bytes =
        |page: PageRef<'_, O::Key>| (0..page.count()).map(|slot| page.used_by(slot)).sum::<usize>();
    let (our_bytes, their_bytes) = (bytes(ours), bytes(theirs));
    let half = (our_bytes + their_bytes) / 2;
    let mut seam = (0, count);
    if ours.used() + their_bytes <= joined_most(limit) {
        front.take_from(count, behind, 0..their_count);
    } else if our_bytes < half {
        let moved = upto(theirs, half - our_bytes, 0..their_count);
        front.take_from(count, behind, 0..moved);
    } else {
        let moved = upto(ours, half - their_bytes, (0..count).rev());
        behind.take_from(0, front, count - moved..count);
        seam = (1, moved);
    }
    if front.borrow().height() > 0 {
        let mut sum = front.borrow().totals();
        sum.add(behind.borrow().totals());
        let theirs = match behind.borrow().count() {
            0 => Totals::default(),
            _ => sum_of_children::<O>(behind.borrow()),
        };
        behind.set_totals(theirs);
        front.set_totals(sum.minus(theirs));
    }
    seam
}

/// Mends an entry of an entry.
fn mend_below<O: Order>(node: &mut Page<O::Key>, slot: usize, below: usize) -> u64 {
    let child = node.borrow().child(slot);
    if below >= child.count() || child.count() == 1 {
        return 0;
    }
    let grandchild = child.child(below);
    if grandchild.used() >= least(limit::<O>(grandchild.height())) {
        return 0;
    }
    node.edit_child(slot, |child| {
        let block = child.borrow().block_bytes() as u64;
        let below = mend::<O>(child, below);
        let mut sum = child.borrow().totals();
        sum.heap = sum.heap.wrapping_add(below);
        child.set_totals(sum);
        below.wrapping_add((child.borrow().block_bytes() as u64).wrapping_sub(block))
    })
}

/// Removes some of the elements of a page and below it, numbered from its first on, and not all of them: by
/// how much it became more.
fn cut<O: Order>(page: &mut Page<O::Key>, range: Range<u64>) -> Totals {
    let before = page.borrow();
    if before.height() == 0 {
        let (whole, heap) = (range.start as usize..range.end as usize, before.heap());
        let gone = whole.clone().filter_map(|slot| element(before, slot)).map(O::encoded);
        let (count, encoded) = (range.end - range.start, gone.sum::<u64>());
        page.remove(whole);
        let heap = page.borrow().heap().wrapping_sub(heap);
        return Totals {
            count: 0u64.wrapping_sub(count),
            heap,
            encoded: 0u64.wrapping_sub(encoded),
        };
    }
    let block = before.block_bytes() as u64;
    let mut more = Totals::default();
    // From the last entry on, so that numbers stay true.
    let mut end = before.totals().count;
    let mut whole = 0..0;
    for slot in (0..before.count()).rev() {
        let start = end - page.borrow().child_count(slot);
        let inside = range.start.max(start)..range.end.min(end);
        if inside.start < inside.end {
            if inside == (start..end) {
                whole = slot..whole.end.max(slot + 1);
                more = more.minus(totals::<O>(page.borrow().child(slot)));
            } else {
                let inside = inside.start - start..inside.end - start;
                more.add(page.edit_child(slot, |child| cut::<O>(child, inside)));
            }
        }
        end = start;
    }
    // Entries that were cut stand beside those that went, or alone.
    let mut seam = whole.start;
    if whole.is_empty() {
        let mut end = 0;
        let counts = (0..page.borrow().count()).map(|slot| page.borrow().child_count(slot));
        seam = counts
            .take_while(|count| {
                end += count;
                end <= range.start
            })
            .count();
    }
    page.remove(whole);
    // What stands at the seam may have been cut, and what is before it.
    for slot in [seam + 1, seam, seam.wrapping_sub(1)] {
        if slot < page.borrow().count() {
            more.heap = more.heap.wrapping_add(mend::<O>(page, slot));
        }
        more.heap = more.heap.wrapping_add(split_below::<O>(page, slot));
    }
    let mut sum = page.borrow().totals();
    sum.add(more);
    page.set_totals(sum);
    more.heap = more.heap.wrapping_add((page.borrow().block_bytes() as u64).wrapping_sub(block));
    more
}
