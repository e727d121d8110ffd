//! The change of a leaf where nobody else holds a page on the way down to it: in one go, without a step up and down for
//! each level. See the page's own file for the layout and for what makes this sound.

use super::{
    Form, HAS_POINTER, Header, Key, LEVELS, LINE, Lent, POINTER, POINTERS, Page, PageRef, SHRINK,
    Totals,
};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
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
        let (mut is_first, mut is_last) = (true, true);
        let mut entry = self.0.cast::<u8>();
        let mut page = self.borrow();
        let top = page.height();
        while page.height() > 0 {
            let at = usize::from(slots[usize::from(page.height())]);
            if page.holders() > 1 || at >= page.count() {
                return false;
            }
            (is_first, is_last) = (is_first && at == 0, is_last && at + 1 == page.count());
            (entry, page) = page.entry_alone(at);
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
            Lent { place: entry, child: ManuallyDrop::new(Page(leaf, PhantomData::<K>)) };
        let outcome = edit(&mut lent.child, at, is_first || is_last);
        drop(lent);
        let Some(more) = outcome else { return false };
        self.count_alone(slots, more);
        true
    }

    /// Counts what the leaf has become more, on the same way: in the sums of each node, and in the entry of each that
    /// is below another. The leaf's own entry has its count.
    #[inline]
    fn count_alone(&mut self, slots: &[u16; LEVELS], more: Totals) {
        let mut page = self.borrow();
        while page.height() > 0 {
            let (entry, child) = page.entry_alone(usize::from(slots[usize::from(page.height())]));
            // SAFETY: the caller has made sure that nobody else holds a page on the way, and borrows all of them mutably
            // by `self`; the references that are made here end before the next page is looked at. A node's totals stand
            // behind its header, and in an entry the count behind the pointer.
            unsafe {
                let totals = page.at(size_of::<Header>()).cast::<Totals>().as_mut();
                totals.add(more);
                if child.height() > 0 {
                    let count = entry.add(POINTER).cast::<u64>();
                    count.write_unaligned(count.read_unaligned().wrapping_add(more.count));
                }
            }
            page = child;
        }
    }

    /// Puts an element before the one at `at`, where that is all there is to do: nobody else holds the leaf, the block has
    /// room for it, ends stay as long as they are, and there are no pointers. `false`, having done nothing, where it is
    /// not. `head` has `length` bytes.
    #[inline]
    pub(in crate::value::tree) fn put_alone(
        &mut self,
        at: usize,
        key: K,
        head: &[&[u8]],
        length: usize,
    ) -> bool {
        let page = self.borrow();
        let (old, marks) = (page.form(), page.header().marks);
        let bytes = old.bytes + length;
        let fits = if old.end == 2 { HAS_POINTER } else { u16::from(u8::MAX) + 1 };
        let new = Form { bytes, count: old.count + 1, ..old };
        if marks & POINTERS > 0
            || bytes >= usize::from(fits)
            || at > old.count
            || new.needed::<K>() > old.size
            || page.height() > 0
            || page.holders() > 1
        {
            return false;
        }
        let (from, behind) = (page.start(at), old.count - at);
        // SAFETY: nobody else holds the block. All offsets are those of elements that are there, by the old form and by the
        // new one, of which both fit the block; `copy_to` allows overlaps. The foot grows downwards into the free room,
        // its lowest part first; then the bytes grow upwards into what is left of it. What is new comes from outside.
        unsafe {
            let place = |offset: usize| self.at(offset);
            place(old.end_at::<K>(0)).copy_to(place(new.end_at::<K>(0)), at * old.end);
            if size_of::<K>() > 0 {
                let ends = place(old.end_at::<K>(at));
                ends.copy_to(place(new.end_at::<K>(at + 1)), behind * old.end);
                place(old.key_at::<K>(0)).copy_to(place(new.key_at::<K>(0)), at * size_of::<K>());
                place(new.key_at::<K>(at)).cast::<K>().write(key);
            }
            self.move_ends(new, at + 1..new.count, length);
            self.write_end(new, at, from + length, false);
            let mut target = self.at(new.start + from);
            target.copy_to(target.add(length), old.bytes - from);
            for part in head {
                target.copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len());
                target = target.add(part.len());
            }
        }
        let header = self.own_header();
        (header.bytes, header.count) = (new.bytes as u16, new.count as u16);
        true
    }

    /// Removes an element, where that is all there is to do: as [`Page::put_alone`], and the block does not become too
    /// large.
    #[inline]
    pub(in crate::value::tree) fn remove_alone(&mut self, at: usize) -> bool {
        let page = self.borrow();
        let (old, marks) = (page.form(), page.header().marks);
        if marks & POINTERS > 0 || page.height() > 0 || at >= old.count || page.holders() > 1 {
            return false;
        }
        let (from, to) = (page.start(at), page.end_of(at));
        let length = to - from;
        let new = Form { bytes: old.bytes - length, count: old.count - 1, ..old };
        if old.size * SHRINK.0 / SHRINK.1 >= new.needed::<K>().max(2 * LINE) {
            return false;
        }
        // SAFETY: as in `put_alone`, in the opposite order.
        unsafe {
            let place = |offset: usize| self.at(offset);
            place(old.start + to).copy_to(place(old.start + from), old.bytes - to);
            if size_of::<K>() > 0 {
                place(old.key_at::<K>(0)).copy_to(place(new.key_at::<K>(0)), at * size_of::<K>());
                let ends = place(old.end_at::<K>(at + 1));
                ends.copy_to(place(new.end_at::<K>(at)), (new.count - at) * old.end);
            }
            place(old.end_at::<K>(0)).copy_to(place(new.end_at::<K>(0)), at * old.end);
            self.move_ends(new, at..new.count, 0usize.wrapping_sub(length));
        }
        let header = self.own_header();
        (header.bytes, header.count) = (new.bytes as u16, new.count as u16);
        true
    }

    /// Adds a number to ends, which keep their marks.
    ///
    /// # Safety
    /// The block is its holder's own, and in this form these ends are there.
    #[inline]
    pub(super) unsafe fn move_ends(&mut self, form: Form, slots: Range<usize>, by: usize) {
        // SAFETY: the caller's promise. Ends of 2 bytes are aligned to 2: they stand before keys, whose length is even, at the
        // block's end.
        unsafe {
            let ends = self.at(form.end_at::<K>(slots.start));
            if form.end == 2 {
                let ends = std::slice::from_raw_parts_mut(ends.cast::<u16>().as_ptr(), slots.len());
                ends.iter_mut().for_each(|end| *end = end.wrapping_add(by as u16));
            } else {
                let ends = std::slice::from_raw_parts_mut(ends.as_ptr(), slots.len());
                ends.iter_mut().for_each(|end| *end = end.wrapping_add(by as u8));
            }
        }
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

impl<'a, K: Key> PageRef<'a, K> {
    /// Where an entry of a node begins, and the page below it.
    #[inline]
    fn entry_alone(self, at: usize) -> (NonNull<u8>, PageRef<'a, K>) {
        // SAFETY: an entry that is there begins within the block.
        let entry = unsafe { self.at(self.form().start + self.start(at)) };
        (entry, self.child(at))
    }
}
