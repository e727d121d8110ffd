//! The change of a leaf where nobody else holds a page on the way down to it: in one go, without a step up and down for
//! each level. See the page's own file for the layout and for what makes this sound.

use super::{Header, Key, LEVELS, Lent, POINTER, Page, Totals};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

impl<K: Key> Page<K> {
    /// Lets `edit` change a leaf at or below this page, if nobody else holds a page on the way; `slots` says the way, by
    /// height. It is told the slot there and whether the leaf is the first or the last of all, and answers by how
    /// much that became more; nothing where it did nothing. `false` where nothing was done.
    ///
    /// No page on the way comes or goes, so that only sums change in them.
    #[inline]
    pub(in crate::value::tree) fn edit_leaf(
        &mut self,
        slots: &[u16; LEVELS],
        edit: impl FnOnce(&mut Page<K>, usize, bool) -> Option<Totals>,
    ) -> bool {
        let (mut blocks, mut places) = ([self.0; LEVELS], [self.0.cast::<u8>(); LEVELS]);
        let (mut is_first, mut is_last) = (true, true);
        let mut page = self.borrow();
        let top = usize::from(page.height());
        for height in (1..=top).rev() {
            let at = usize::from(slots[height]);
            if page.holders() > 1 || at >= page.count() {
                return false;
            }
            (is_first, is_last) = (is_first && at == 0, is_last && at + 1 == page.count());
            // SAFETY: an entry that is there begins within the block.
            let place = unsafe { page.at(page.form().start + page.start(at)) };
            (blocks[height], places[height]) = (page.0, place);
            page = page.child(at);
        }
        let (leaf, at) = (page.0, usize::from(slots[0]));
        if page.holders() > 1 {
            return false;
        }
        if top == 0 {
            return edit(self, at, true).is_some();
        }
        // SAFETY: `self` is borrowed mutably and is the only holder of its block, and so is each page on the way of
        // the one below it: nobody else can look at any of them (promise 2). Until `lent` is dropped it owns the
        // reference to the leaf that its entry has, and then writes it back, as in `edit_child`.
        let mut lent =
            Lent { place: places[1], child: ManuallyDrop::new(Page(leaf, PhantomData::<K>)) };
        let outcome = edit(&mut lent.child, at, is_first || is_last);
        drop(lent);
        let Some(more) = outcome else { return false };
        let mut count = None;
        for (block, place) in blocks.iter().zip(&places).take(top + 1).skip(1) {
            // SAFETY: as above. A node's totals stand behind its header, and in an entry the count behind the pointer.
            unsafe {
                if let Some(count) = count {
                    place.add(POINTER).cast::<u64>().write_unaligned(count);
                }
                let totals = block.cast::<u8>().add(size_of::<Header>()).cast::<Totals>().as_mut();
                totals.add(more);
                count = Some(totals.count);
            }
        }
        true
    }

    /// Writes other bytes over those of an element at or below this page, where that is all there is to do: the same
    /// number of them, no tail before or afterwards, and nobody else holds a page on the way. `false`, having
    /// done nothing, where it is not. `slots` says the way, by height; the key stays.
    #[inline]
    pub(in crate::value::tree) fn overwrite(
        &mut self,
        slots: &[u16; LEVELS],
        head: &[&[u8]],
    ) -> bool {
        let mut page = self.borrow();
        let (at, end) = loop {
            let height = usize::from(page.height());
            let at = usize::from(slots[height]);
            if page.holders() > 1 || at >= page.count() {
                return false;
            }
            if height == 0 {
                break (page.start(at), page.end_of(at));
            }
            page = page.child(at);
        };
        let length = head.iter().map(|part| part.len()).sum::<usize>();
        if end - at != length || page.pointer(usize::from(slots[0])).is_some() {
            return false;
        }
        // SAFETY: `self` is borrowed mutably and is the only holder of its block, and so is each page on the way of
        // the one below it: nobody else can look at the leaf (promise 2). The element has these bytes there, which
        // are no pointer; what is written comes from outside of the block.
        unsafe {
            let mut place = page.at(page.form().start + at);
            for part in head {
                place.copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len());
                place = place.add(part.len());
            }
        }
        true
    }
}
