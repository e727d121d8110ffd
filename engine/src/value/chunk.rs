//! One piece of a large value: a counted block that several may hold and only a lone holder changes.
//!
//! ```text
//!   Chunk ──► +--------+-------+------+---------+--------+--------------------------------------+
//!             | strong | bytes | room | entries | height | leaf: bytes of the value             |
//!             | 8      | 4     | 2    | 1       | 1      | node: pointers to chunks one lower   |
//!             +--------+-------+------+---------+--------+--------------------------------------+
//! ```
//!
//! Whoever holds a chunk holds all below it as it is now. A holder that wants to change it and is not
//! alone gets a copy: of a leaf its bytes, of a node one more reference to each of its entries. So a
//! change copies the chunks on its way down that others hold, and no more.
//!
//! Who lets the last reference to a tree go would free thousands of blocks at once: see [`aside`].
//!
//! This file holds the unsafe code. What makes it sound:
//! 1. A `Chunk` owns one of `strong` references to its block, which lives while there is one. A
//!    [`ChunkRef`] borrows from such an owner and lives no longer.
//! 2. Nobody writes into a block (its `strong` apart) but through `&mut Chunk` while `strong` is 1. Then
//!    no other `Chunk` points there, and no `ChunkRef` can: it would borrow the one that is borrowed
//!    mutably. A count of 1 cannot grow meanwhile, since only holders make holders. It is read with
//!    acquire and counted down with release, so that what former holders read was read before.
//! 3. Of a leaf the first `bytes` of `room` bytes are initialized; of a node the first `entries` of
//!    `room` places hold chunks that the node owns. A block is as long as header and room.
//! 4. `strong` never comes near overflow: each reference takes 8 bytes of memory, or is refused.
//!
//! Of a root `strong` also says how many items it is the value of, in its upper bits: who else holds it
//! knows so whether it is data that is there anyway. And of a node whether it was ever copied: of one that was not
//! nobody holds a part.

mod left;

pub use self::left::Left;

use super::aside::{self, Aside, Tree};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// A leaf's block, header included. Copying that much takes some 5 us, and a string of 512 MiB has some
/// 8,000 of them. A little less than 64 KiB: allocators add a word of their own, and what is then above a
/// size of theirs takes the next one (a quarter more memory, measured).
pub(super) const LEAF_BLOCK: usize = 64 * 1024 - 32;

/// The most bytes of a leaf.
pub(super) const LEAF_BYTES: usize = LEAF_BLOCK - size_of::<Header>();

/// The most entries of a node: copying one is 64 counts, and three levels of them carry 16 GiB.
pub(super) const FAN_OUT: usize = 64;

const ROUNDING: usize = 16;

/// One item in `strong`: a trillion references below it are more than memory has room for.
const ITEM: usize = 1 << 40;

/// The references in `strong`.
const REFERENCES: usize = ITEM - 1;

/// The mark in `strong` of a node whose entries may have other holders than itself: it was copied, or is a copy.
const PARTED: usize = 1 << 63;

#[repr(C, align(16))]
struct Header {
    strong: AtomicUsize,
    bytes: u32,
    room: u16,
    entries: u8,
    height: u8,
}

/// A reference to a chunk, counted.
#[repr(transparent)]
pub(super) struct Chunk(NonNull<Header>);

// SAFETY: blocks are read by any number of threads and changed by a lone holder only (promise 2); the
// count is atomic.
unsafe impl Send for Chunk {}
// SAFETY: see above.
unsafe impl Sync for Chunk {}

thread_local! {
    /// Nodes that nobody holds any more.
    static ASIDE: RefCell<Aside<Chunk>> = const { RefCell::new(Aside::none()) };
}

impl Tree for Chunk {
    fn own_bytes(&self, looks: &mut usize) -> usize {
        own_bytes(self.borrow(), looks)
    }

    fn is_shared(&self) -> bool {
        self.borrow().holders() > 1
    }

    fn has_entries(&self) -> bool {
        self.borrow().entries() > 0
    }

    fn pop(&mut self) -> Option<Chunk> {
        let last = self.borrow().entries().checked_sub(1)?;
        assert_eq!(self.borrow().holders(), 1);
        let bytes = entry_bytes(self, last);
        let header = self.own_header();
        header.entries = last as u8;
        header.bytes -= bytes as u32;
        // SAFETY: the entry was initialized, and is not counted as the node's any more.
        Some(unsafe { self.body().cast::<Chunk>().add(last).read() })
    }
}

/// Frees up to so many of the chunks that nobody holds any more and that were put aside on this thread;
/// `false` when there were none. From the first call on, they are put aside on it.
pub(super) fn free_slice(chunks: usize) -> bool {
    aside::free_slice(&ASIDE, chunks)
}

/// What the trees count for that wait on this thread.
#[cfg(test)]
pub(super) fn waiting_here() -> u64 {
    aside::waiting_here(&ASIDE)
}

/// A chunk that somebody else holds.
#[derive(Clone, Copy)]
pub(super) struct ChunkRef<'a>(NonNull<Header>, PhantomData<&'a Chunk>);

// SAFETY: as for `&Chunk`.
unsafe impl Send for ChunkRef<'_> {}
// SAFETY: see above.
unsafe impl Sync for ChunkRef<'_> {}

/// How a block with this height and room is laid out.
fn layout(height: u8, room: usize) -> Layout {
    let entry = if height == 0 { 1 } else { size_of::<Chunk>() };
    let size = size_of::<Header>() + room * entry;
    Layout::from_size_align(size.next_multiple_of(ROUNDING), align_of::<Header>())
        .expect("a chunk is smaller than 64 KiB and a line")
}

impl Chunk {
    /// A leaf without bytes, with room for at least so many.
    pub(super) fn leaf(room: usize) -> Chunk {
        assert!(room <= LEAF_BYTES, "a leaf of {room} bytes");
        aside::pay(&ASIDE);
        Chunk::make(0, room.next_multiple_of(ROUNDING))
    }

    /// A node without entries, with room for so many.
    pub(super) fn node(height: u8, room: usize) -> Chunk {
        assert!(height > 0 && room <= FAN_OUT, "a node of {room} entries at height {height}");
        Chunk::make(height, room)
    }

    fn make(height: u8, room: usize) -> Chunk {
        let layout = layout(height, room);
        // SAFETY: the layout has at least the header's size.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
        let block = block.cast::<Header>();
        let strong = AtomicUsize::new(1);
        // SAFETY: the block begins with room for a header and is aligned for it.
        unsafe { block.write(Header { strong, bytes: 0, room: room as u16, entries: 0, height }) };
        Chunk(block)
    }

    /// The chunk, to be looked at.
    #[inline]
    pub(super) fn borrow(&self) -> ChunkRef<'_> {
        ChunkRef(self.0, PhantomData)
    }

    /// The reference as a pointer, which is to come back by [`Chunk::from_raw`].
    pub(super) fn into_raw(self) -> NonNull<()> {
        std::mem::ManuallyDrop::new(self).0.cast()
    }

    /// # Safety
    /// The pointer comes from [`Chunk::into_raw`], whose reference the new chunk takes over.
    pub(super) unsafe fn from_raw(raw: NonNull<()>) -> Chunk {
        Chunk(raw.cast())
    }

    /// The header, to be changed.
    fn own_header(&mut self) -> &mut Header {
        debug_assert_eq!(self.borrow().holders(), 1);
        // SAFETY: the callers have made sure that nobody else holds the block (promise 2).
        unsafe { self.0.as_mut() }
    }

    /// Where the leaf's bytes or the node's entries stand.
    fn body(&self) -> NonNull<u8> {
        // SAFETY: every block is at least as long as the header.
        unsafe { self.0.add(1).cast() }
    }

    /// Makes this the only reference to the block, which has room for at least `wanted` bytes or entries
    /// then: by a copy if others hold it.
    fn make_own(&mut self, wanted: usize, spare: usize) {
        let (height, most) = match self.borrow().height() {
            0 => (0, LEAF_BYTES),
            height => (height, FAN_OUT),
        };
        assert!(wanted <= most, "{wanted} into a chunk of at most {most}");
        let room = usize::from(self.borrow().header().room);
        let is_lone = self.borrow().holders() == 1;
        if is_lone && wanted <= room {
            return;
        }
        let grown = if wanted <= room { room } else { (wanted + spare).min(most) };
        if !is_lone {
            *self = self.borrow().copy(grown);
            return;
        }
        let grown = if height == 0 { grown.next_multiple_of(ROUNDING) } else { grown };
        let (old, new) = (layout(height, room), layout(height, grown));
        // SAFETY: the block was allocated with `old` (promise 3) and nobody else points to it; the new
        // size is one that `Layout` accepted.
        let block = unsafe { realloc(self.0.cast().as_ptr(), old, new.size()) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(new) };
        self.0 = block.cast();
        self.own_header().room = grown as u16;
    }

    /// Writes into a leaf, which becomes longer where the bytes reach beyond its end.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.write_with(at, bytes.len(), |place| {
            // SAFETY: the place has room for these bytes, which come from outside of a block that nobody
            // else holds.
            unsafe { place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        });
    }

    /// Makes a leaf `length` bytes long by zeros at its end.
    pub(super) fn write_zeros_to(&mut self, length: usize) {
        let at = self.borrow().bytes();
        let count = length.saturating_sub(at);
        // SAFETY: the place has room for these zeros.
        self.write_with(at, count, |place| unsafe { place.write_bytes(0, count) });
    }

    /// Lets `write` initialize `count` bytes of a leaf from `at` on.
    fn write_with(&mut self, at: usize, count: usize, write: impl FnOnce(NonNull<u8>)) {
        let before = self.borrow().bytes();
        assert!(self.borrow().height() == 0 && at <= before, "{at} of a leaf of {before} bytes");
        let after = before.max(at + count);
        self.make_own(after, before);
        // SAFETY: the leaf is its holder's own, and has room for `after` bytes.
        write(unsafe { self.body().add(at) });
        self.own_header().bytes = after as u32;
    }

    /// Puts one more entry at a node's end.
    pub(super) fn push(&mut self, entry: Chunk) {
        let (height, entries) = (self.borrow().height(), self.borrow().entries());
        assert!(height > 0 && entry.borrow().height() == height - 1, "an entry of another height");
        if entry.borrow().holders() > 1 || entry.borrow().is_parted() {
            self.borrow().mark_parted();
        }
        let bytes = self.borrow().bytes() + entry.borrow().bytes();
        self.make_own(entries + 1, entries);
        // SAFETY: the node is its holder's own, and has room for this entry.
        unsafe { self.body().cast::<Chunk>().add(entries).write(entry) };
        let header = self.own_header();
        header.entries += 1;
        header.bytes = u32::try_from(bytes).expect("values are shorter than 4 GiB");
    }

    /// Lets `edit` change an entry of a node.
    pub(super) fn edit(&mut self, index: usize, edit: impl FnOnce(&mut Chunk)) {
        let entries = self.borrow().entries();
        assert!(index < entries, "entry {index} of {entries}");
        self.make_own(entries, 0);
        // SAFETY: the entry is initialized (promise 3) and owned by a node that nobody else holds.
        let entry = unsafe { self.body().cast::<Chunk>().add(index).as_mut() };
        let before = entry.borrow().bytes();
        edit(entry);
        let bytes = self.borrow().bytes() - before + entry_bytes(self, index);
        self.own_header().bytes = u32::try_from(bytes).expect("values are shorter than 4 GiB");
    }
}

/// Bytes of a chunk that only one holds and of what is below it, without what others hold of it too, as far as so many looks tell.
pub(super) fn own_bytes(chunk: ChunkRef<'_>, looks: &mut usize) -> usize {
    if chunk.height() == 0 || !chunk.is_parted() {
        return chunk.bytes();
    }
    let (mut own, mut seen) = (0, 0);
    for index in 0..chunk.entries() {
        if *looks == 0 {
            break;
        }
        *looks -= 1;
        let entry = chunk.entry(index);
        seen += entry.bytes();
        own += if entry.holders() > 1 { 0 } else { own_bytes(entry, looks) };
    }
    aside::estimate(own, seen, chunk.bytes())
}

fn entry_bytes(node: &Chunk, index: usize) -> usize {
    node.borrow().entry(index).bytes()
}

impl<'a> ChunkRef<'a> {
    /// # Safety
    /// The pointer comes from [`Chunk::into_raw`], and its reference is held for `'a`.
    pub(super) unsafe fn from_raw(raw: NonNull<()>) -> ChunkRef<'a> {
        ChunkRef(raw.cast(), PhantomData)
    }

    #[inline]
    fn header(self) -> &'a Header {
        // SAFETY: the block begins with an initialized header and lives for `'a` (promise 1).
        unsafe { self.0.as_ref() }
    }

    /// 0 for a leaf, for a node one more than for its entries.
    #[inline]
    pub(super) fn height(self) -> u8 {
        self.header().height
    }

    /// Bytes of the value in this chunk and below it.
    #[inline]
    pub(super) fn bytes(self) -> usize {
        self.header().bytes as usize
    }

    /// Entries of a node.
    pub(super) fn entries(self) -> usize {
        usize::from(self.header().entries)
    }

    /// How many hold it.
    pub(super) fn holders(self) -> usize {
        self.header().strong.load(Ordering::Acquire) & REFERENCES
    }

    /// How many items it is the value of; of a leaf nobody counts that.
    pub(super) fn items(self) -> usize {
        (self.header().strong.load(Ordering::Relaxed) & !PARTED) / ITEM
    }

    /// Whether entries may have other holders than this node.
    fn is_parted(self) -> bool {
        self.header().strong.load(Ordering::Relaxed) & PARTED > 0
    }

    fn mark_parted(self) {
        self.header().strong.fetch_or(PARTED, Ordering::Relaxed);
    }

    /// It becomes an item's value.
    #[inline]
    pub(super) fn enter_item(self) {
        if self.height() > 0 {
            self.header().strong.fetch_add(ITEM, Ordering::Relaxed);
        }
    }

    /// It is an item's value no more, or is about to be changed.
    #[inline]
    pub(super) fn leave_item(self, is_changed: bool) {
        if self.height() > 0
            && self.header().strong.fetch_sub(ITEM, Ordering::Relaxed) & REFERENCES > 1
        {
            left::note(self.address(), is_changed);
        }
    }

    /// What tells it from all other chunks that there are now.
    pub(super) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Bytes on the heap, without what is below it.
    pub(super) fn block_bytes(self) -> usize {
        layout(self.height(), usize::from(self.header().room)).size()
    }

    /// A leaf's bytes; none of a node.
    #[inline]
    pub(super) fn leaf_bytes(self) -> &'a [u8] {
        if self.height() > 0 {
            return &[];
        }
        // SAFETY: the first `bytes` of a leaf are initialized, and nobody changes them during `'a`
        // (promises 2 and 3).
        unsafe { std::slice::from_raw_parts(self.0.add(1).cast().as_ptr(), self.bytes()) }
    }

    /// One of a node's entries.
    pub(super) fn entry(self, index: usize) -> ChunkRef<'a> {
        let entries = self.entries();
        assert!(index < entries, "entry {index} of {entries}");
        // SAFETY: the entry is initialized, and lives as long as the node that owns it.
        let entry: &'a Chunk = unsafe { self.0.add(1).cast::<Chunk>().add(index).as_ref() };
        entry.borrow()
    }

    /// One more reference.
    pub(super) fn hold(self) -> Chunk {
        // Whoever has one reference may make another; nothing is read by it.
        let before = self.header().strong.fetch_add(1, Ordering::Relaxed);
        assert!(before & REFERENCES <= REFERENCES / 2, "a chunk with {before} references");
        Chunk(self.0)
    }

    /// Another chunk of the same bytes or entries.
    fn copy(self, room: usize) -> Chunk {
        if self.height() == 0 {
            let mut leaf = Chunk::leaf(room);
            leaf.write(0, self.leaf_bytes());
            return leaf;
        }
        self.mark_parted();
        let mut node = Chunk::node(self.height(), room);
        (0..self.entries()).for_each(|index| node.push(self.entry(index).hold()));
        node
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        self.borrow().hold()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.borrow().header().strong.fetch_sub(1, Ordering::Release) & REFERENCES != 1 {
            return;
        }
        // What the others did with it was before.
        fence(Ordering::Acquire);
        // The last reference is ours again: nobody else can count now.
        let mark = self.borrow().header().strong.load(Ordering::Relaxed) & PARTED;
        self.borrow().header().strong.store(1 | mark, Ordering::Relaxed);
        if self.borrow().entries() > 0 {
            if aside::put(&ASIDE, || Chunk(self.0)) {
                return;
            }
            while let Some(entry) = self.pop() {
                drop(entry);
            }
        }
        let chunk = self.borrow();
        let layout = layout(chunk.height(), usize::from(chunk.header().room));
        // SAFETY: the block was allocated with this layout, nobody else holds it, and it has no entries.
        unsafe { dealloc(self.0.cast().as_ptr(), layout) };
    }
}
