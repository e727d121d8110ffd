//! One page of a tree: a counted block of packed elements that several may hold and only a lone holder
//! changes.
//!
//! ```text
//!   Page ──► +--------+-------+-------+-------+--------+-------+
//!            | strong | bytes | lines | count | height | marks |                 header, 16 bytes
//!            | 8      | 2     | 2     | 2     | 1      | 1     |
//!            +--------+-------+-------+-------+--------+-------+
//!            | node: elements, heap bytes, encoded bytes below |                 3 x 8 bytes
//!            +-------------------------------------------------+
//!            | bytes of element 0 | of element 1 | ...  ──►             free     |
//!            |     ◄──  where they end, 1 or 2 bytes each | keys, 0, 4, 8 or 16  |
//!            +-------------------------------------------------------------------+
//!
//!   an element's bytes, in a leaf:  head                       or  pointer to a rope (the tail) | head
//!                       in a node:  pointer to a page one lower | elements below it (8) | tie
//! ```
//!
//! The keys stand together at the foot, so that a search reads them and nothing else. Ends of 1 byte serve
//! while a leaf has up to 255 bytes of elements and no pointers: a small collection is such a leaf. In ends
//! of 2 bytes the top bit says that the element begins with a pointer.
//!
//! A block is as long as what is in it, rounded up to what allocators give anyway; it grows and shrinks with
//! its elements.
//!
//! This file, `look` and `alone` hold the unsafe code. What makes it sound:
//! 1. A `Page` owns one of `strong` references to its block, which lives while there is one. A [`PageRef`]
//!    borrows from such an owner and lives no longer.
//! 2. Nobody writes into a block (its `strong` apart) but through `&mut Page` while `strong` is 1. Then no
//!    other `Page` points there, and no `PageRef` can: it would borrow the one that is borrowed mutably. A
//!    count of 1 cannot grow meanwhile, since only holders make holders. It is read with acquire and counted
//!    down with release, so that what former holders read was read before.
//! 3. The header's `bytes`, `count` and `marks` say where everything stands ([`Form`]). All of it is
//!    initialized whenever a function that others can call returns; an element whose end is marked begins
//!    with a pointer that the page owns: in a leaf from `Chunk::into_raw`, in a node from `Page::into_raw`.
//!    All entries of nodes are marked.
//! 4. `lines` times 16 is what the block was allocated with.
//! 5. `strong` never comes near overflow: each reference takes 8 bytes of memory, or is refused.

mod alone;
mod look;

use crate::value::aside::{self, Aside};
use crate::value::chunk::Chunk;
use crate::value::rope::Rope;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What a page is searched by first: plain numbers of 0, 4, 8 or 16 bytes.
pub trait Key: Copy + Ord + std::fmt::Debug + Send + Sync + 'static {}
impl Key for () {}
impl Key for u32 {}
impl Key for u64 {}
impl Key for u128 {}

/// Sums over the elements of a tree or a part of it. Differences of two are made with wrapping numbers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Totals {
    /// How many elements.
    pub(super) count: u64,
    /// Bytes on the heap, whoever else holds them.
    pub(super) heap: u64,
    /// What the elements take as a whole, as their order measures it.
    pub(super) encoded: u64,
}

impl Totals {
    pub(super) fn add(&mut self, more: Totals) {
        self.count = self.count.wrapping_add(more.count);
        self.heap = self.heap.wrapping_add(more.heap);
        self.encoded = self.encoded.wrapping_add(more.encoded);
    }

    pub(super) fn minus(self, other: Totals) -> Totals {
        Totals {
            count: self.count.wrapping_sub(other.count),
            heap: self.heap.wrapping_sub(other.heap),
            encoded: self.encoded.wrapping_sub(other.encoded),
        }
    }
}

/// The most levels of a tree. Nodes have at least five entries each (of the longest ties, a third full)
/// but at the edges: with that many levels more elements than memory has room for.
pub(super) const LEVELS: usize = 16;

const LINE: usize = 16;

/// Ends are 2 bytes long.
const WIDE: u8 = 1;
/// There are or were elements with pointers.
const POINTERS: u8 = 2;

/// In an end of 2 bytes: the element begins with a pointer.
const HAS_POINTER: u16 = 1 << 15;

const POINTER: usize = 8;
/// Before the tie of a node's entry: pointer and count.
const ENTRY: usize = 16;

/// A page that nobody else holds is given a smaller block when it would fill less than this part of it.
const SHRINK: (usize, usize) = (5, 8);

#[repr(C, align(16))]
struct Header {
    strong: AtomicU64,
    bytes: u16,
    lines: u16,
    count: u16,
    height: u8,
    marks: u8,
}

/// A reference to a page, counted.
#[repr(transparent)]
pub(super) struct Page<K: Key>(NonNull<Header>, PhantomData<K>);

// SAFETY: blocks are read by any number of threads and changed by a lone holder only (promise 2); the count
// is atomic; what they own is `Send` and `Sync`.
unsafe impl<K: Key> Send for Page<K> {}
// SAFETY: see above.
unsafe impl<K: Key> Sync for Page<K> {}

/// A page that somebody else holds.
pub(super) struct PageRef<'a, K: Key>(NonNull<Header>, PhantomData<&'a Page<K>>);

impl<K: Key> Clone for PageRef<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Key> Copy for PageRef<'_, K> {}

// SAFETY: as for `&Page`.
unsafe impl<K: Key> Send for PageRef<'_, K> {}
// SAFETY: see above.
unsafe impl<K: Key> Sync for PageRef<'_, K> {}

/// Where things stand in a block.
#[derive(Clone, Copy)]
struct Form {
    /// Where the bytes of the elements begin.
    start: usize,
    bytes: usize,
    count: usize,
    /// Bytes of an end.
    end: usize,
    size: usize,
}

impl Form {
    const fn needed<K>(&self) -> usize {
        self.start + self.bytes + self.count * (size_of::<K>() + self.end)
    }

    const fn key_at<K>(&self, index: usize) -> usize {
        self.size - (self.count - index) * size_of::<K>()
    }

    const fn end_at<K>(&self, index: usize) -> usize {
        self.size - self.count * size_of::<K>() - (self.count - index) * self.end
    }
}

const fn start_of_bytes(height: u8) -> usize {
    size_of::<Header>() + if height > 0 { size_of::<Totals>() } else { 0 }
}

/// Blocks come in lines up to 128 bytes, above that in four sizes for each doubling: so allocators have them.
fn rounded(needed: usize) -> usize {
    let step = if needed <= 128 { LINE } else { needed.next_power_of_two() / 8 };
    needed.next_multiple_of(step)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<Header>()).expect("a page is shorter than 64 KiB")
}

/// What an element that comes into a page has at its beginning.
pub(super) enum Pointer<K: Key> {
    None,
    Tail(Rope),
    Child(Page<K>),
}

/// What happens to the pointers of elements that leave a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Dropped,
    Moved,
}

/// How elements of a page give way to others: `removed` of them from `at` on to `added` with `length` bytes.
#[derive(Clone, Copy)]
struct Change {
    at: usize,
    removed: usize,
    added: usize,
    length: usize,
    has_pointers: bool,
    leaving: Leaving,
}

impl Change {
    /// None at all.
    fn none(at: usize) -> Change {
        let leaving = Leaving::Dropped;
        Change { at, removed: 0, added: 0, length: 0, has_pointers: false, leaving }
    }
}

impl<K: Key> Page<K> {
    /// A page without elements.
    pub(super) fn new(height: u8) -> Page<K> {
        if height == 0 {
            aside::pay(&ASIDE);
        }
        let marks = if height > 0 { WIDE | POINTERS } else { 0 };
        let size = rounded(start_of_bytes(height));
        let page = Page::allocate(height, marks, size);
        if height > 0 {
            // SAFETY: a node's block has room for totals behind its header.
            unsafe { page.at(size_of::<Header>()).cast::<Totals>().write(Totals::default()) };
        }
        page
    }

    /// A leaf without elements, with room for so many, which have so many bytes.
    pub(super) fn with_room(count: usize, bytes: usize) -> Page<K> {
        aside::pay(&ASIDE);
        let (end, marks) = if bytes > usize::from(u8::MAX) { (2, WIDE) } else { (1, 0) };
        let form = Form { start: start_of_bytes(0), bytes, count, end, size: 0 };
        Page::allocate(0, marks, rounded(form.needed::<K>()))
    }

    fn allocate(height: u8, marks: u8, size: usize) -> Page<K> {
        let layout = layout(size);
        // SAFETY: the layout has at least the header's size.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
        let block = block.cast::<Header>();
        let (strong, lines) = (AtomicU64::new(1), (size / LINE) as u16);
        let header = Header { strong, bytes: 0, lines, count: 0, height, marks };
        // SAFETY: the block begins with room for a header and is aligned for it.
        unsafe { block.write(header) };
        Page(block, PhantomData)
    }

    #[inline]
    pub(super) fn borrow(&self) -> PageRef<'_, K> {
        PageRef(self.0, PhantomData)
    }

    /// The reference as a pointer, which is to come back by [`Page::from_raw`].
    pub(super) fn into_raw(self) -> NonNull<()> {
        ManuallyDrop::new(self).0.cast()
    }

    /// # Safety
    /// The pointer comes from [`Page::into_raw`], whose reference the new page takes over.
    pub(super) unsafe fn from_raw(raw: NonNull<()>) -> Page<K> {
        Page(raw.cast(), PhantomData)
    }

    /// # Safety
    /// `offset` lies within the block or at its end.
    #[inline]
    unsafe fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<u8>().add(offset) }
    }

    fn own_header(&mut self) -> &mut Header {
        debug_assert_eq!(self.borrow().holders(), 1);
        // SAFETY: the callers have made sure that nobody else holds the block (promise 2).
        unsafe { self.0.as_mut() }
    }

    /// Makes this the only reference to its block, by a copy if others hold it.
    pub(super) fn make_own(&mut self) {
        if self.borrow().holders() > 1 {
            self.open(Change::none(0));
        }
    }

    /// Makes this the only reference to a block in which some elements have given way to others. What is new
    /// is left for the caller to write, before anybody looks: `added` keys and ends from `at` on, and
    /// `length` bytes where element `at` begins.
    #[inline]
    fn open(&mut self, change: Change) {
        let Change { at, removed, added, length, has_pointers, leaving } = change;
        let page = self.borrow();
        let (old, marks, is_lone) = (page.form(), page.header().marks, page.holders() == 1);
        assert!(at + removed <= old.count, "{removed} elements from {at} on of {}", old.count);
        let from = page.start(at);
        let to = if removed == 0 { from } else { page.start(at + removed) };
        let mut new = old;
        (new.bytes, new.count) = (old.bytes - (to - from) + length, old.count - removed + added);
        assert!(new.bytes < usize::from(HAS_POINTER), "a page of {} bytes", new.bytes);
        let marks = marks | if has_pointers { POINTERS } else { 0 };
        let is_wide = marks & POINTERS > 0 || new.bytes > usize::from(u8::MAX);
        let is_width_kept = !is_wide || old.end == 2;
        let needed = new.needed::<K>();
        // One that becomes fuller may have been given its room for what is to come.
        let is_full =
            needed >= old.needed::<K>() || old.size * SHRINK.0 / SHRINK.1 < needed.max(2 * LINE);
        let fits = needed <= old.size && is_full;
        if is_lone && is_width_kept && fits {
            if leaving == Leaving::Dropped {
                (at..at + removed).for_each(|index| self.drop_pointer(index));
            }
            self.shift(old, new, change, from, to);
        } else {
            new.end = if is_wide { 2 } else { 1 };
            new.size = rounded(new.needed::<K>());
            self.rebuild(old, new, change, from, to);
        }
        let header = self.own_header();
        (header.bytes, header.count) = (new.bytes as u16, new.count as u16);
        header.marks = if new.end == 2 { marks | WIDE } else { marks & !WIDE };
    }

    /// Does it within the block. What moves never runs into what has not moved yet: the bytes of elements
    /// grow upwards and the foot downwards into the free room between them, so whichever of the two becomes
    /// shorter goes first, and within the foot the part in whose direction the foot moves.
    #[inline]
    fn shift(&mut self, old: Form, new: Form, change: Change, from: usize, to: usize) {
        let Change { at, removed, added, length, .. } = change;
        let (kept, tail) = (at, old.count - at - removed);
        // SAFETY: all offsets are those of elements that are there, by the old form and by the new one, of
        // which both fit the block; `copy_to` allows overlaps; the order is argued above.
        unsafe {
            let bytes = || {
                let source = self.at(old.start + to);
                source.copy_to(self.at(new.start + from + length), old.bytes - to);
            };
            let heads = || {
                let source = self.at(old.end_at::<K>(0));
                source.copy_to(self.at(new.end_at::<K>(0)), kept * old.end);
            };
            let tails = || {
                let source = self.at(old.end_at::<K>(at + removed));
                source.copy_to(self.at(new.end_at::<K>(at + added)), tail * old.end);
            };
            let keys = || {
                let source = self.at(old.key_at::<K>(0));
                source.copy_to(self.at(new.key_at::<K>(0)), kept * size_of::<K>());
            };
            let foot = || match new.count.cmp(&old.count) {
                std::cmp::Ordering::Greater => (heads(), tails(), keys()),
                std::cmp::Ordering::Less => (keys(), tails(), heads()),
                std::cmp::Ordering::Equal => ((), (), ()),
            };
            if new.bytes <= old.bytes {
                bytes();
                foot();
            } else {
                foot();
                bytes();
            }
            self.move_ends(new, at + added..new.count, length.wrapping_sub(to - from));
        }
    }

    /// Does it in a new block, of which this is the only holder.
    fn rebuild(&mut self, old: Form, new: Form, change: Change, from: usize, to: usize) {
        let Change { at, removed, added, length, leaving, .. } = change;
        let (height, marks) = (self.borrow().height(), self.borrow().header().marks);
        let mut made = Page::<K>::allocate(height, marks, new.size);
        let after = at + removed;
        // SAFETY: as in `shift`, from one block into another.
        unsafe {
            let copy = |source: usize, target: usize, count: usize| {
                self.at(source).copy_to_nonoverlapping(made.at(target), count);
            };
            if height > 0 {
                let totals = size_of::<Header>();
                copy(totals, totals, size_of::<Totals>());
            }
            copy(old.start, new.start, from);
            copy(old.start + to, new.start + from + length, old.bytes - to);
            copy(old.key_at::<K>(0), new.key_at::<K>(0), at * size_of::<K>());
            let tail = (old.count - after) * size_of::<K>();
            copy(old.key_at::<K>(after), new.key_at::<K>(at + added), tail);
            let by = length.wrapping_sub(to - from);
            if new.end == old.end {
                copy(old.end_at::<K>(0), new.end_at::<K>(0), at * new.end);
                let tail = (old.count - after) * new.end;
                copy(old.end_at::<K>(after), new.end_at::<K>(at + added), tail);
                made.move_ends(new, at + added..new.count, by);
            } else {
                let end = |index: usize, target: usize, by: usize| {
                    let end = self.borrow().end(index).wrapping_add(by as u16);
                    let place = made.at(new.end_at::<K>(target));
                    if new.end == 2 {
                        place.cast::<u16>().write(end);
                    } else {
                        place.write(end as u8);
                    }
                };
                (0..at).for_each(|index| end(index, index, 0));
                (after..old.count).for_each(|index| end(index, index - removed + added, by));
            }
        }
        let before = std::mem::replace(self, made);
        if before.borrow().holders() > 1 {
            debug_assert!(leaving == Leaving::Dropped, "nothing is moved out of a shared page");
            // From now on the new page holds what both have; the old one is given up behind that.
            (0..at).chain(after..old.count).for_each(|index| before.hold_pointer(index));
            drop(before);
            return;
        }
        let mut before = before;
        if leaving == Leaving::Dropped {
            (at..after).for_each(|index| before.drop_pointer(index));
        }
        before.deallocate();
    }

    /// Gives the block back, without what its pointers hold.
    fn deallocate(self) {
        let page = ManuallyDrop::new(self);
        let layout = layout(page.borrow().block_bytes());
        // SAFETY: the block was allocated with this layout (promise 4), and the caller, who held the only
        // reference, gives it away.
        unsafe { dealloc(page.0.cast().as_ptr(), layout) };
    }

    /// One more reference to what the element points to, which the caller keeps.
    fn hold_pointer(&self, index: usize) {
        let page = self.borrow();
        if page.height() > 0 {
            std::mem::forget(page.child(index).hold());
        } else if let Some(tail) = page.tail(index) {
            std::mem::forget(tail.hold());
        }
    }

    /// Gives up what the element points to. The element is then to leave the page.
    fn drop_pointer(&mut self, index: usize) {
        let page = self.borrow();
        let Some(raw) = page.pointer(index) else { return };
        if page.height() > 0 {
            // SAFETY: the pointer's reference is the page's (promise 3), which gives it up.
            drop(unsafe { Page::<K>::from_raw(raw) });
        } else {
            // SAFETY: see above.
            drop(unsafe { Chunk::from_raw(raw) });
        }
    }

    /// Puts an element before the one at `at`, or in its place.
    #[inline]
    fn put(&mut self, at: usize, is_replaced: bool, key: K, pointer: Pointer<K>, head: &[&[u8]]) {
        let raw = match pointer {
            Pointer::None => None,
            Pointer::Tail(rope) => Some(rope.0.into_raw()),
            Pointer::Child(page) => Some(page.into_raw()),
        };
        let length = head.iter().map(|part| part.len()).sum::<usize>()
            + if raw.is_some() { POINTER } else { 0 };
        self.open(Change {
            removed: usize::from(is_replaced),
            added: 1,
            length,
            has_pointers: raw.is_some(),
            ..Change::none(at)
        });
        let form = self.borrow().form();
        let from = self.borrow().start(at);
        // SAFETY: `open` has made room for a key, an end and these bytes in a block that nobody else holds;
        // the bytes come from outside of it.
        unsafe {
            self.at(form.key_at::<K>(at)).cast::<K>().write(key);
            self.write_end(form, at, from + length, raw.is_some());
            let mut place = self.at(form.start + from);
            if let Some(raw) = raw {
                place.cast::<NonNull<()>>().write_unaligned(raw);
                place = place.add(POINTER);
            }
            for part in head {
                place.copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len());
                place = place.add(part.len());
            }
        }
    }

    /// # Safety
    /// The block is its holder's own and has this form.
    #[inline]
    unsafe fn write_end(&self, form: Form, index: usize, end: usize, has_pointer: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            let place = self.at(form.end_at::<K>(index));
            if form.end == 2 {
                let mark = if has_pointer { HAS_POINTER } else { 0 };
                place.cast::<u16>().write(end as u16 | mark);
            } else {
                place.write(end as u8);
            }
        }
    }

    /// Puts an element of a leaf before the one at `at`, or in its place.
    #[inline]
    pub(super) fn put_element(
        &mut self,
        at: usize,
        is_replaced: bool,
        key: K,
        tail: Option<Rope>,
        head: &[&[u8]],
    ) {
        assert_eq!(self.borrow().height(), 0);
        self.put(at, is_replaced, key, tail.map_or(Pointer::None, Pointer::Tail), head);
    }

    /// Puts a page that is one lower before the entry at `at`, with the separator before it.
    pub(super) fn put_child(&mut self, at: usize, child: Page<K>, key: K, tie: &[u8]) {
        assert_eq!(self.borrow().height(), child.borrow().height() + 1);
        let count = child.borrow().count_below().to_ne_bytes();
        self.put(at, false, key, Pointer::Child(child), &[&count, tie]);
    }

    /// Takes a page out of a node.
    pub(super) fn take_child(&mut self, at: usize) -> Page<K> {
        assert!(self.borrow().height() > 0 && at < self.borrow().count());
        self.make_own();
        // SAFETY: the entry begins with a pointer whose reference the page owns, and gives away with the
        // entry, which is forgotten.
        let child = unsafe { Page::from_raw(self.borrow().blob_pointer(at)) };
        self.remove_as(at..at + 1, Leaving::Moved);
        child
    }

    /// Gives an entry another separator.
    pub(super) fn set_separator(&mut self, at: usize, key: K, tie: &[u8]) {
        let child = self.take_child(at);
        self.put_child(at, child, key, tie);
    }

    /// Removes elements or entries, with what they point to.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.remove_as(range, Leaving::Dropped);
    }

    fn remove_as(&mut self, range: Range<usize>, leaving: Leaving) {
        self.open(Change { removed: range.len(), leaving, ..Change::none(range.start) });
    }

    /// Moves elements of another page of the same height here, before the one at `at`.
    pub(super) fn take_from(&mut self, at: usize, source: &mut Page<K>, range: Range<usize>) {
        assert_eq!(self.borrow().height(), source.borrow().height());
        source.make_own();
        let (theirs, page) = (source.borrow().form(), source.borrow());
        assert!(range.end <= theirs.count, "{range:?} of {} elements", theirs.count);
        let (from, to) = (page.start(range.start), page.start(range.end));
        let has_pointers = range.clone().any(|index| page.pointer(index).is_some());
        let (added, length) = (range.len(), to - from);
        self.open(Change { added, length, has_pointers, ..Change::none(at) });
        let ours = self.borrow().form();
        let start = self.borrow().start(at);
        // SAFETY: `open` has made room for these keys, ends and bytes in a block that nobody else holds, and
        // that is not the source's. The references go with the pointers: the source forgets them.
        unsafe {
            let keys = source.at(theirs.key_at::<K>(range.start)).cast::<K>();
            let place = self.at(ours.key_at::<K>(at)).cast::<K>();
            place.copy_from_nonoverlapping(keys, range.len());
            let bytes = source.at(theirs.start + from);
            self.at(ours.start + start).copy_from_nonoverlapping(bytes, to - from);
            for (index, target) in range.clone().zip(at..) {
                let (end, has_pointer) = (page.end_of(index), page.pointer(index).is_some());
                self.write_end(ours, target, start + end - from, has_pointer);
            }
        }
        source.remove_as(range, Leaving::Moved);
    }

    /// Lets `edit` change a page below this node.
    pub(super) fn edit_child<R>(&mut self, at: usize, edit: impl FnOnce(&mut Page<K>) -> R) -> R {
        assert!(self.borrow().height() > 0 && at < self.borrow().count());
        self.make_own();
        let form = self.borrow().form();
        // SAFETY: the entry's bytes begin with a pointer, which the page owns, and a count. Until `lent` is
        // dropped, at the end of this function or of a panic, `lent` owns that reference, and then writes it
        // back, whatever it has become; nobody reads it from the entry meanwhile, since `self` is borrowed.
        let mut lent = unsafe {
            let place = self.at(form.start + self.borrow().start(at));
            let child = Page::from_raw(place.cast::<NonNull<()>>().read_unaligned());
            Lent { place, child: ManuallyDrop::new(child) }
        };
        edit(&mut lent.child)
    }

    /// Sets what is below the node, the node's own block apart.
    pub(super) fn set_totals(&mut self, totals: Totals) {
        assert!(self.borrow().height() > 0);
        self.make_own();
        // SAFETY: a node's totals stand behind its header, and nobody else holds it.
        unsafe { self.at(size_of::<Header>()).cast::<Totals>().write(totals) };
    }
}

thread_local! {
    static ASIDE: RefCell<Aside<Going>> = const { RefCell::new(Aside::none()) };
}

/// Frees up to so many of the pages that were put aside on this thread; `false` when there were none. From
/// the first call on, nodes are put aside on it.
pub(in crate::value) fn free_slice(pages: usize) -> bool {
    aside::free_slice(&ASIDE, pages)
}

/// A page that is to be freed, whatever its keys are: it owns a reference.
struct Going {
    block: NonNull<()>,
    calls: &'static GoingCalls,
}

/// What is done with it, by the functions of its own type.
struct GoingCalls {
    own_bytes: unsafe fn(NonNull<()>, &mut usize) -> usize,
    is_shared: unsafe fn(NonNull<()>) -> bool,
    has_entries: unsafe fn(NonNull<()>) -> bool,
    pop: unsafe fn(NonNull<()>) -> Option<NonNull<()>>,
    drop: unsafe fn(NonNull<()>),
}

impl aside::Tree for Going {
    fn own_bytes(&self, looks: &mut usize) -> usize {
        // SAFETY: the block is a page of the type whose functions these are, held by `self`.
        unsafe { (self.calls.own_bytes)(self.block, looks) }
    }

    fn is_shared(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.calls.is_shared)(self.block) }
    }

    fn has_entries(&self) -> bool {
        // SAFETY: as above.
        unsafe { (self.calls.has_entries)(self.block) }
    }

    fn pop(&mut self) -> Option<Going> {
        // SAFETY: as above, and nobody else holds it: what is put aside is the last reference.
        let block = unsafe { (self.calls.pop)(self.block) }?;
        Some(Going { block, calls: self.calls })
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // SAFETY: as above; the reference is given up.
        unsafe { (self.calls.drop)(self.block) }
    }
}

impl<K: Key> Page<K> {
    /// Whoever calls one of these says that the pointer comes from `Page::<K>::into_raw`, and that its
    /// reference is the caller's.
    const GOING: GoingCalls = GoingCalls {
        own_bytes: |block, looks| {
            // SAFETY: the caller's promise.
            own_bytes(unsafe { PageRef::<K>::from_raw(block) }, looks)
        },
        is_shared: |block| {
            // SAFETY: the caller's promise.
            unsafe { PageRef::<K>::from_raw(block) }.holders() > 1
        },
        has_entries: |block| {
            // SAFETY: the caller's promise.
            let page = unsafe { PageRef::<K>::from_raw(block) };
            page.height() > 0 && page.count() > 0
        },
        pop: |block| {
            // SAFETY: the caller's promise. The reference stays the caller's.
            let page = unsafe { Page::<K>::from_raw(block) };
            ManuallyDrop::new(page).pop().map(Page::into_raw)
        },
        drop: |block| {
            // SAFETY: the caller's promise.
            drop(unsafe { Page::<K>::from_raw(block) });
        },
    };

    /// Takes the last entry out of a node that nobody else holds, without another block for it.
    fn pop(&mut self) -> Option<Page<K>> {
        let page = self.borrow();
        let last = page.count().checked_sub(1).filter(|_| page.height() > 0)?;
        let (child, old) = (page.blob_pointer(last), page.form());
        let mut totals = page.totals();
        totals.heap = totals.heap.wrapping_sub(page.child(last).heap());
        let mut new = old;
        (new.bytes, new.count) = (page.start(last), last);
        let change = Change { removed: 1, leaving: Leaving::Moved, ..Change::none(last) };
        self.shift(old, new, change, new.bytes, old.bytes);
        let header = self.own_header();
        (header.bytes, header.count) = (new.bytes as u16, new.count as u16);
        self.set_totals(totals);
        // SAFETY: the entry began with that pointer, whose reference was the node's, and is gone.
        Some(unsafe { Page::from_raw(child) })
    }
}

/// Children of a node that are looked at to see how many of them others hold too.
const CHILDREN_LOOKED_AT: usize = 3;

/// Bytes of a page that only one holds and of what is below it, without what others hold of it too, as far as
/// so many looks tell.
fn own_bytes<K: Key>(page: PageRef<'_, K>, looks: &mut usize) -> usize {
    let own_block = page.block_bytes();
    if page.height() == 0 {
        return own_block + page.tails().map(|tail| tail.own_bytes(looks)).sum::<usize>();
    }
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (mut own, mut seen) = (0, 0);
    // A few: what has not been looked at for long takes long to come from memory.
    for index in (0..page.count()).step_by(page.count().div_ceil(CHILDREN_LOOKED_AT).max(1)) {
        if *looks == 0 {
            break;
        }
        *looks -= 1;
        let child = page.child(index);
        seen += bytes(child.heap());
        own += if child.holders() > 1 { 0 } else { own_bytes(child, looks) };
    }
    own_block + aside::estimate(own, seen, bytes(page.totals().heap))
}

/// The child of a node that is being changed.
struct Lent<K: Key> {
    place: NonNull<u8>,
    child: ManuallyDrop<Page<K>>,
}

impl<K: Key> Drop for Lent<K> {
    fn drop(&mut self) {
        let count = self.child.borrow().count_below();
        // SAFETY: see `edit_child`.
        unsafe {
            self.place.cast::<NonNull<()>>().write_unaligned(self.child.0.cast());
            self.place.add(POINTER).cast::<u64>().write_unaligned(count);
        }
    }
}

impl<K: Key> Clone for Page<K> {
    fn clone(&self) -> Page<K> {
        self.borrow().hold()
    }
}

impl<K: Key> Drop for Page<K> {
    fn drop(&mut self) {
        if self.borrow().header().strong.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // What the others did with it was before.
        fence(Ordering::Acquire);
        // The last reference is ours again: nobody else can count now.
        self.borrow().header().strong.store(1, Ordering::Relaxed);
        let (height, count) = (self.borrow().height(), self.borrow().count());
        let going = || Going { block: self.0.cast(), calls: const { &Page::<K>::GOING } };
        if height > 0 && count > 0 && aside::put(&ASIDE, going) {
            return;
        }
        if self.borrow().header().marks & POINTERS > 0 {
            (0..count).for_each(|index| self.drop_pointer(index));
        }
        // SAFETY: the block was allocated with this layout (promise 4), nobody else holds it, and what it
        // pointed to is given up.
        unsafe { dealloc(self.0.cast().as_ptr(), layout(self.borrow().block_bytes())) };
    }
}
