//! What must be true of every tree.

use super::change::{least, limit, sum_of_children};
use super::find::{Tree, element};
use super::order::{Element, Identity, Order, TIE_MAX};
use super::page::PageRef;

impl<O: Order> Tree<O> {
    /// Asserts all that must be true of a tree, and how full its pages are.
    pub(super) fn check(&self) {
        let Some(page) = self.page() else { return };
        let mut last = None;
        check_page::<O>(page, (true, true), &mut last);
        assert!(page.height() == 0 || page.count() > 1, "a root of one entry");
        assert_eq!(self.iter().count() as u64, self.len());
    }
}

fn check_page<'a, O: Order>(
    page: PageRef<'a, O::Key>,
    (is_first, is_last): (bool, bool),
    last: &mut Option<Element<'a, O::Key>>,
) {
    let limit = limit::<O>(page.height());
    assert!(page.used() <= page.block_bytes() && page.block_bytes() <= limit, "{}", page.used());
    assert!(page.count() > 0);
    if !is_first && !is_last {
        assert!(page.used() >= least(limit), "{} of {limit}, {}", page.used(), page.height());
    }
    if page.height() == 0 {
        for slot in 0..page.count() {
            let this = element(page, slot).expect("one of its elements");
            if let Some(before) = *last {
                assert!(is_ascending::<O>(before, this), "{before:?} {this:?}");
            }
            *last = Some(this);
        }
        return;
    }
    let count = page.count();
    for slot in 0..count {
        let child = page.child(slot);
        assert_eq!(child.height() + 1, page.height());
        assert_eq!(child.count_below(), page.child_count(slot));
        if slot > 0 {
            let mut leaf = child;
            while leaf.height() > 0 {
                leaf = leaf.child(0);
            }
            let (first, before) = (element(leaf, 0).expect("an element"), last.expect("elements"));
            let (key, tie) = (page.keys()[slot], page.tie(slot));
            let compared = |other: Element<'_, O::Key>| {
                other.key.cmp(&key).then_with(|| O::identity(other).compare(tie))
            };
            if size_of::<O::Key>() > 0 {
                assert!(compared(first).is_ge(), "{first:?} {tie:?}");
                assert!(compared(before).is_lt() || tie.len() >= TIE_MAX, "{before:?}");
            }
        }
        check_page::<O>(child, (is_first && slot == 0, is_last && slot + 1 == count), last);
    }
    assert_eq!(page.totals(), sum_of_children::<O>(page));
}

fn is_ascending<O: Order>(before: Element<'_, O::Key>, behind: Element<'_, O::Key>) -> bool {
    let bytes = |identity| match identity {
        Identity::Bytes(bytes) => bytes.to_vec(),
        Identity::Rope(rope, from, to) => rope.stretches(from..to).flatten().copied().collect(),
    };
    size_of::<O::Key>() == 0
        || before.key < behind.key
        || (before.key == behind.key && bytes(O::identity(before)) < bytes(O::identity(behind)))
}
