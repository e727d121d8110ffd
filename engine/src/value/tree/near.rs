//! What will be looked for soon in a large tree: its leaf is brought into the cache ahead, in three steps, so
//! that those of several commands are on their way together. Changes nothing and answers nothing.
//!
//! ```text
//!   near           down to the leaf, which is not touched: its header is asked for
//!   fetch_keys     the header is there: the lines of the keys are asked for
//!   fetch_element  the keys are there: the element is asked for
//!   goes_on        the element is there, and says what will be looked for in another tree: the same once more
//! ```
//!
//! One alone is found just as fast without.

use super::find::{Tree, element, entry_of};
use super::hint::Near;
use super::order::{Bound, Element, Order};
use super::page::Key;

impl<O: Order> Tree<O> {
    /// Asks for the leaf of what has this key; `None` where all is one leaf.
    #[inline]
    pub fn near(&self, key: O::Key) -> Option<Near<'_, O::Key>> {
        let mut page = self.page().filter(|page| page.height() > 0)?;
        let bound = Bound::AfterKey(key);
        loop {
            let is_last = page.height() == 1;
            page = page.child(entry_of::<O>(page, &bound));
            if is_last {
                page.prefetch();
                return Some(Near { leaf: page, key, goes_on: false });
            }
        }
    }
}

impl<'a, K: Key> Near<'a, K> {
    /// The first element of the key that is there.
    #[inline]
    pub(in crate::value) fn element(&self) -> Option<Element<'a, K>> {
        element(self.leaf, self.slot()).filter(|element| element.key == self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Element, Identity, NewElement};
    use super::*;

    struct ByNumber;

    impl Order for ByNumber {
        type Key = u32;
        const LEAF: usize = 256;
        const NODE: usize = 256;

        fn identity(element: Element<'_, u32>) -> Identity<'_> {
            Identity::Bytes(element.head)
        }
    }

    #[test]
    fn the_leaf_that_is_asked_for_is_where_the_element_is() {
        let mut tree = Tree::<ByNumber>::new();
        assert!(tree.near(1).is_none(), "there is nothing to ask for");
        for key in 0..2000 {
            let (place, _) = tree.find(key * 2, b"");
            tree.insert(&place, NewElement { key: key * 2, head: &[b"element"], tail: None });
            if key == 3 {
                assert!(tree.near(2).is_none(), "one leaf is found by its own address");
            }
        }
        for key in 0..2000 {
            let near = tree.near(key * 2).expect("a leaf");
            near.fetch_keys();
            near.fetch_element();
            assert_eq!(near.element().map(|element| element.key), Some(key * 2));
            // Of what is not there no more is wanted than that nothing happens.
            let other = tree.near(key * 2 + 1).expect("a leaf");
            other.fetch_element();
            assert!(other.element().is_none());
        }
        tree.near(u32::MAX).expect("a leaf").fetch_element();
    }
}
