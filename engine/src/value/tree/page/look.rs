//! What can be seen of a page. See the page's own file for the layout and for what makes this sound.

use super::{
    ENTRY, Form, HAS_POINTER, Header, Key, LINE, POINTER, POINTERS, Page, PageRef, Totals,
};
use super::{WIDE, start_of_bytes};
use crate::table::prefetch;
use crate::value::chunk::ChunkRef;
use crate::value::rope::RopeRef;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// An entry of a node without a tie.
#[repr(C)]
struct EvenEntry {
    _page: NonNull<()>,
    count: u64,
}

impl<'a, K: Key> PageRef<'a, K> {
    /// # Safety
    /// The pointer comes from [`Page::into_raw`], and its reference is held for `'a`.
    pub(super) unsafe fn from_raw(raw: NonNull<()>) -> PageRef<'a, K> {
        PageRef(raw.cast(), PhantomData)
    }

    #[inline]
    pub(super) fn header(self) -> &'a Header {
        // SAFETY: the block begins with an initialized header and lives for `'a` (promise 1).
        unsafe { self.0.as_ref() }
    }

    /// A hint that it will be looked at soon: its first two lines, which is all of a small one.
    #[inline]
    pub(in crate::value::tree) fn prefetch(self) {
        let start = self.0.as_ptr().cast::<u8>();
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }

    #[inline]
    pub(super) fn form(self) -> Form {
        let header = self.header();
        Form {
            start: start_of_bytes(header.height),
            bytes: usize::from(header.bytes),
            count: usize::from(header.count),
            end: usize::from(header.marks & WIDE) + 1,
            size: usize::from(header.lines) * LINE,
        }
    }

    /// # Safety
    /// `offset` lies within the block or at its end.
    #[inline]
    pub(super) unsafe fn at(self, offset: usize) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<u8>().add(offset) }
    }

    /// 0 for a leaf, for a node one more than for its entries.
    #[inline]
    pub(in crate::value::tree) fn height(self) -> u8 {
        self.header().height
    }

    /// Elements of a leaf, entries of a node.
    #[inline]
    pub(in crate::value::tree) fn count(self) -> usize {
        usize::from(self.header().count)
    }

    /// How many hold it.
    pub(in crate::value::tree) fn holders(self) -> u64 {
        self.header().strong.load(Ordering::Acquire)
    }

    /// What tells it from all other pages that there are now.
    pub(in crate::value::tree) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// One more reference.
    pub(in crate::value::tree) fn hold(self) -> Page<K> {
        // Whoever has one reference may make another; nothing is read by it.
        let before = self.header().strong.fetch_add(1, Ordering::Relaxed);
        assert!(before <= u64::MAX / 2, "a page with {before} references");
        Page(self.0, PhantomData)
    }

    /// Bytes on the heap, without what it points to.
    #[inline]
    pub(in crate::value::tree) fn block_bytes(self) -> usize {
        usize::from(self.header().lines) * LINE
    }

    /// Bytes of the block that are in use.
    #[inline]
    pub(in crate::value::tree) fn used(self) -> usize {
        self.form().needed::<K>()
    }

    /// What a new element of so many bytes would make it use.
    #[inline]
    pub(in crate::value::tree) fn used_with(self, length: usize) -> usize {
        let mut form = self.form();
        (form.bytes, form.count, form.end) = (form.bytes + length, form.count + 1, 2);
        form.needed::<K>()
    }

    /// What an element takes of it.
    pub(in crate::value::tree) fn used_by(self, index: usize) -> usize {
        self.end_of(index) - self.start(index) + size_of::<K>() + self.form().end
    }

    /// Bytes on the heap, with all below it.
    pub(in crate::value::tree) fn heap(self) -> u64 {
        let own = self.block_bytes() as u64;
        if self.height() > 0 {
            return own + self.totals().heap;
        }
        own + self.tails().map(|tail| tail.heap_bytes() as u64).sum::<u64>()
    }

    pub(super) fn tails(self) -> impl Iterator<Item = RopeRef<'a>> {
        let count = if self.header().marks & POINTERS > 0 { self.count() } else { 0 };
        (0..count).filter_map(move |index| self.tail(index))
    }

    /// What is below a node, its own block apart.
    #[inline]
    pub(in crate::value::tree) fn totals(self) -> Totals {
        assert!(self.height() > 0);
        // SAFETY: a node's totals stand behind its header, initialized.
        unsafe { self.at(size_of::<Header>()).cast::<Totals>().read() }
    }

    /// Elements in it and below it.
    #[inline]
    pub(in crate::value::tree) fn count_below(self) -> u64 {
        if self.height() > 0 { self.totals().count } else { self.count() as u64 }
    }

    /// The keys, all of which come from memory at once: for a search in them, which would fetch one line after
    /// the other where they are in no cache.
    #[inline]
    pub(in crate::value::tree) fn keys_to_search(self) -> &'a [K] {
        let form = self.form();
        let mut line = form.end_at::<K>(0);
        while line < form.size {
            // SAFETY: the foot lies within the block.
            prefetch(unsafe { self.at(line) }.as_ptr());
            line += 64;
        }
        self.keys()
    }

    /// A hint that an element will be looked at soon.
    #[inline]
    pub(in crate::value::tree) fn prefetch_element(self, index: usize) {
        let start = self.blob(index).as_ptr();
        prefetch(start);
        prefetch(start.wrapping_add(64));
    }

    /// The keys of its elements, or those that separate its entries.
    #[inline]
    pub(in crate::value::tree) fn keys(self) -> &'a [K] {
        let form = self.form();
        // SAFETY: `count` keys stand at the block's end, which is aligned to 16 like the block, and nobody
        // changes them during `'a` (promises 2 and 3).
        unsafe {
            let keys = self.at(form.key_at::<K>(0)).cast::<K>();
            std::slice::from_raw_parts(keys.as_ptr(), form.count)
        }
    }

    /// An end as it stands there, with its mark.
    #[inline]
    pub(super) fn end(self, index: usize) -> u16 {
        let form = self.form();
        debug_assert!(index < form.count);
        // SAFETY: the callers ask for elements that are there; ends of 2 bytes are aligned (see `move_ends`).
        unsafe {
            let place = self.at(form.end_at::<K>(index));
            if form.end == 2 { place.cast::<u16>().read() } else { u16::from(place.read()) }
        }
    }

    #[inline]
    pub(super) fn end_of(self, index: usize) -> usize {
        usize::from(self.end(index) & !HAS_POINTER)
    }

    /// Where the bytes of an element begin; of the one behind the last, where it would.
    #[inline]
    pub(super) fn start(self, index: usize) -> usize {
        if index == 0 { 0 } else { self.end_of(index - 1) }
    }

    /// All bytes of an element, from its pointer on.
    #[inline]
    pub(super) fn blob(self, index: usize) -> &'a [u8] {
        assert!(index < self.count(), "element {index} of {}", self.count());
        let (from, to) = (self.start(index), self.end_of(index));
        // SAFETY: the bytes are initialized, and nobody changes them during `'a` (promises 2 and 3).
        unsafe {
            let place = self.at(self.form().start + from);
            std::slice::from_raw_parts(place.as_ptr(), to - from)
        }
    }

    #[inline]
    pub(super) fn blob_pointer(self, index: usize) -> NonNull<()> {
        let blob = NonNull::from(self.blob(index)).cast::<NonNull<()>>();
        // SAFETY: the callers know that the element begins with a pointer.
        unsafe { blob.read_unaligned() }
    }

    #[inline]
    pub(super) fn pointer(self, index: usize) -> Option<NonNull<()>> {
        let is_marked = self.header().marks & WIDE > 0 && self.end(index) & HAS_POINTER > 0;
        is_marked.then(|| self.blob_pointer(index))
    }

    /// An element of a leaf: its head, and the tail if there is one.
    #[inline]
    pub(in crate::value::tree) fn element(self, index: usize) -> (&'a [u8], Option<RopeRef<'a>>) {
        debug_assert_eq!(self.height(), 0);
        let blob = self.blob(index);
        match self.tail(index) {
            None => (blob, None),
            tail => (&blob[POINTER..], tail),
        }
    }

    #[inline]
    pub(super) fn tail(self, index: usize) -> Option<RopeRef<'a>> {
        if self.height() > 0 {
            return None;
        }
        // SAFETY: a marked element of a leaf begins with a pointer from `Chunk::into_raw`, whose reference
        // the page owns while it lives.
        self.pointer(index).map(|raw| RopeRef(unsafe { ChunkRef::from_raw(raw) }))
    }

    /// A page below a node.
    #[inline]
    pub(in crate::value::tree) fn child(self, index: usize) -> PageRef<'a, K> {
        assert!(self.height() > 0);
        // SAFETY: an entry of a node begins with a pointer from `Page::into_raw`, whose reference the node
        // owns while it lives.
        unsafe { PageRef::from_raw(self.blob_pointer(index)) }
    }

    /// How many elements are below an entry of a node, without a look at it.
    #[inline]
    pub(in crate::value::tree) fn child_count(self, index: usize) -> u64 {
        debug_assert!(self.height() > 0);
        let count = self.blob(index)[POINTER..ENTRY].try_into();
        u64::from_ne_bytes(count.expect("an entry has a count"))
    }

    /// How many elements are below each entry of a node, one after the other.
    #[inline]
    pub(in crate::value::tree) fn child_counts(self) -> impl Iterator<Item = u64> + use<'a, K> {
        assert!(self.height() > 0);
        let form = self.form();
        let mut from = form.start;
        (0..form.count).map(move |index| {
            // SAFETY: entries have ends of 2 bytes, aligned to 2, and begin with a pointer and a count; all are
            // initialized, and nobody changes them during `'a` (promises 2 and 3).
            unsafe {
                let count = self.at(from + POINTER).cast::<u64>().read_unaligned();
                let end = self.at(form.end_at::<K>(index)).cast::<u16>().read();
                from = form.start + usize::from(end & !HAS_POINTER);
                count
            }
        })
    }

    /// The entries of a node in which none has a tie, as nearly all are: one as long as the other.
    #[inline]
    fn even_entries(self) -> Option<&'a [EvenEntry]> {
        let form = self.form();
        if self.height() == 0 || form.bytes != form.count * ENTRY {
            return None;
        }
        // SAFETY: each entry has a pointer and a count at least, so that all of them have just these. They are
        // initialized and aligned to 8 as what stands before them is, and nobody changes them during `'a` (promises 2
        // and 3).
        Some(unsafe {
            let entries = self.at(form.start).cast::<EvenEntry>();
            std::slice::from_raw_parts(entries.as_ptr(), form.count)
        })
    }

    /// How many elements of a node are before an entry.
    #[inline]
    pub(in crate::value::tree) fn count_before(self, slot: usize) -> u64 {
        let Some(entries) = self.even_entries() else {
            return self.child_counts().take(slot).sum();
        };
        let sum = |entries: &[EvenEntry]| entries.iter().map(|entry| entry.count).sum::<u64>();
        let (before, behind) = entries.split_at(slot);
        if slot <= entries.len() / 2 { sum(before) } else { self.totals().count - sum(behind) }
    }

    /// The entry of a node below which the element with a number is, and its number there. There is one.
    #[inline]
    pub(in crate::value::tree) fn entry_with(self, mut index: u64) -> (usize, u64) {
        let all = self.totals().count;
        if let Some(entries) = self.even_entries().filter(|_| index > all / 2) {
            let mut start = all;
            for (slot, entry) in entries.iter().enumerate().rev() {
                start -= entry.count;
                if start <= index {
                    return (slot, index - start);
                }
            }
        }
        let mut slot = 0;
        for count in self.child_counts() {
            if index < count {
                break;
            }
            index -= count;
            slot += 1;
        }
        (slot, index)
    }

    /// What stands with the key before an entry of a node.
    #[inline]
    pub(in crate::value::tree) fn tie(self, index: usize) -> &'a [u8] {
        debug_assert!(self.height() > 0);
        &self.blob(index)[ENTRY..]
    }
}
