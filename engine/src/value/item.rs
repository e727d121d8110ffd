//! One key with its value: a thin pointer to one block.
//!
//! ```text
//!  0       1          4         8              8 or 16          8 to 20        + key_len
//!  +-------+----------+---------+--------------+----------------+--------------+------------------------+
//!  | flags | clock    | key_len | deadline, if | val_len, if it | key          | integer: 8 bytes       |
//!  | u8    | u24      | u32     | there is one | is inline      |              | inline:  val_len bytes |
//!  |       |          |         | (8 bytes)    | (u32)          |              | large:   pointer       |
//!  |       |          |         |              |                |              | object:  pointer, 16   |
//!  |       |          |         |              |                |              | bytes, or itself,      |
//!  |       |          |         |              |                |              | aligned to 8           |
//!  +-------+----------+---------+--------------+----------------+--------------+------------------------+
//!  |  ------------------------- rounded up to a multiple of 16 --------------------------------------- |
//!
//!  flags:  0..3  how the value is stored; from 8 on an object of the type 0 to 7 that stands in the block
//!          6     the value was edited in place: "raw", whatever its length
//!          7     there is a deadline
//! ```
//!
//! A key of 16 bytes with a value of 32 and no deadline fills one line of 64; with a small hash, which is one word, it
//! takes 32. Blocks are rounded because
//! allocators round anyway: a value that changes within the rounding, or a deadline that fits it, is
//! written in place.
//!
//! Large strings are ropes ([`Rope`]) and values of other types stand behind an `Arc<dyn Object>`: changed in
//! place while nobody else holds them. Where somebody does, what a change touches of a rope is copied before
//! it, and an object as it sees fit. An object that is a pointer or two stands in the block itself
//! ([`InItem`]): who wants to hold it gets a copy, and parts of it are shared as it sees fit. Nothing else is ever
//! shared, so this is the whole copy-on-write rule.
//!
//! Unsafe code stands here, in `object`, `chunk` and `tree`. What makes it sound:
//! 1. `Item` owns the block; nobody else has the pointer; references into it borrow the item.
//! 2. The block's length is `Shape::of(header).block()`: every change of shape reallocates to that.
//! 3. Header, key, deadline (if flagged), length (if inline) and tail are initialized whenever a method returns; a tail of
//!    kind `Large` holds a pointer from `Chunk::into_raw`, one of kind `Object` a pointer from
//!    `Arc::into_raw`, whose reference the item owns; one of a kind from `IN_ITEM` on an object that
//!    `InItem::put` of that number put there, as many bytes as that one says, at a place aligned to 8.
//! 4. Blocks are aligned to 8, and an object moves within one by multiples of 8 only.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::any::Any;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use super::chunk::{Chunk, ChunkRef};
use super::object::{InItem, Object};
use super::rope::{Rope, RopeRef};
use super::shared::{Digits, NewValue, SharedValue, Value};
use crate::table::{TableEntry, prefetch};
use crate::types::Millis;

/// The longest value that lies in the item's own block.
///
/// At this length the second block of a large value costs a few hundredths, and copying it, which sharing
/// a small value means, costs less than the cache misses of reading it.
pub const INLINE_MAX: usize = 1024;

/// The longest string that Redis calls "embstr".
const EMBSTR_MAX: usize = 44;

/// See the module's doc.
#[repr(transparent)]
pub struct Item(NonNull<u8>);

// SAFETY: the item owns its block, and a value behind it is a `Rope` or an `Arc<dyn Object>`, which are Send.
// All reading through a shared reference is of plain memory, so that Sync holds too.
unsafe impl Send for Item {}
// SAFETY: see above.
unsafe impl Sync for Item {}

impl Item {
    /// An item with an access clock of 0. Keys are shorter than 4 GiB (requests are bounded far below).
    pub fn new(key: &[u8], value: NewValue<'_>, deadline: Option<Millis>) -> Self {
        let tail = Tail::from(value);
        let deadline_flag = if deadline.is_some() { HAS_DEADLINE } else { 0 };
        let header = Header {
            flags_clock: u32::from(tail.kind() | deadline_flag),
            key_len: u32::try_from(key.len()).expect("a key is shorter than 4 GiB"),
        };
        let shape = Shape::of(header, tail.val_len());
        let layout = shape.block();
        // SAFETY: the layout has at least the header's size, so it is not empty.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(layout) };
        let mut item = Self(block);
        // SAFETY: the block has the length of the shape, which has room for the header at 0, for a
        // deadline behind it if flagged, and for the key at `key_at`; `key` is no part of a new block. The
        // length, if it is inline, is written with the tail.
        unsafe {
            block.cast::<Header>().write(header);
            if let Some(Millis(deadline)) = deadline {
                block.add(DEADLINE_AT).cast::<u64>().write_unaligned(deadline);
            }
            block.add(shape.key_at).copy_from_nonoverlapping(NonNull::from(key).cast(), key.len());
        }
        item.write_tail(tail);
        item
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let header = self.header();
        // SAFETY: `key_len` bytes at `key_at` are the key, initialized and inside the block; the
        // reference borrows the item, whose key never changes.
        unsafe {
            let start = self.0.add(header.key_at());
            std::slice::from_raw_parts(start.as_ptr(), header.key_len as usize)
        }
    }

    /// When the item ends to be, if it does.
    #[inline]
    pub fn deadline(&self) -> Option<Millis> {
        if !self.header().has(HAS_DEADLINE) {
            return None;
        }
        // SAFETY: the flag says that 8 initialized bytes stand there; they need not be aligned.
        Some(Millis(unsafe { self.0.add(DEADLINE_AT).cast::<u64>().read_unaligned() }))
    }

    /// Sets or removes the deadline.
    pub fn set_deadline(&mut self, deadline: Option<Millis>) {
        let had = self.header().has(HAS_DEADLINE);
        match (had, deadline) {
            (false, Some(_)) => self.insert_deadline_room(),
            (true, None) => self.remove_deadline_room(),
            _ => {}
        }
        if let Some(Millis(deadline)) = deadline {
            // SAFETY: the flag is set now, so these 8 bytes belong to the deadline.
            unsafe { self.0.add(DEADLINE_AT).cast::<u64>().write_unaligned(deadline) };
        }
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(&self) -> Option<Value<'_>> {
        let header = self.header();
        let tail = self.tail_start();
        // SAFETY: the kind says what the tail holds (promise 3).
        unsafe {
            match header.kind() {
                KIND_INT => Some(Value::Int(tail.cast::<i64>().read_unaligned())),
                KIND_INLINE => {
                    let length = self.val_len();
                    Some(Value::Bytes(std::slice::from_raw_parts(tail.as_ptr(), length)))
                }
                KIND_LARGE => Some(self.borrow_large().into()),
                _ => None,
            }
        }
    }

    /// The value, if it is a string that does not lie in the item's own block.
    pub fn rope(&self) -> Option<RopeRef<'_>> {
        (self.header().kind() == KIND_LARGE).then(|| self.borrow_large())
    }

    /// The value, if it is not a string.
    #[inline]
    pub fn object(&self) -> Option<&dyn Object> {
        match self.header().kind() {
            KIND_OBJECT => {}
            // SAFETY: a tail of this kind is such an object, and it is not changed while the item is borrowed.
            kind @ IN_ITEM.. => return Some(unsafe { self.see_in_item(kind).as_ref() }),
            _ => return None,
        }
        // SAFETY: as in `string`: a tail of this kind points to what an Arc of the item's keeps alive,
        // and it is not changed while the item is borrowed.
        Some(unsafe { &*self.tail_start().cast::<*const dyn Object>().read_unaligned() })
    }

    /// The value as `T`, if it is one.
    #[inline]
    pub fn object_as<T: Object>(&self) -> Option<&T> {
        let object: &dyn Any = self.object()?;
        object.downcast_ref::<T>()
    }

    /// The value as `T`, to be changed by its type; a copy of it where somebody else holds it.
    pub fn object_mut<T: Object>(&mut self) -> Option<&mut T> {
        if let kind @ IN_ITEM.. = self.header().kind() {
            // SAFETY: as in `object`; `&mut self` is held as long as the reference that is made here.
            let object: &mut dyn Any = unsafe { self.see_in_item(kind).as_mut() };
            return object.downcast_mut::<T>();
        }
        let object: &dyn Any = self.object()?;
        object.downcast_ref::<T>()?;
        let mut held = self.borrow_object();
        if Arc::get_mut(&mut held).is_none() {
            let copy = held.copy();
            self.set_tail(Tail::Object(copy), 0);
        }
        let mut held = self.borrow_object();
        let object: *mut dyn Object = Arc::get_mut(&mut held)?;
        // SAFETY: the Arc that is the item's keeps it alive and is the only one. `&mut self` is held as
        // long as the reference that is made here.
        let object: &mut dyn Any = unsafe { &mut *object };
        object.downcast_mut::<T>()
    }

    /// How long the value is when it is written as a whole.
    pub fn encoded_len(&self) -> usize {
        let string = || self.string().map_or(0, Value::len);
        self.object().map_or_else(string, |object| object.encoded_len())
    }

    /// The value as a string has it; of another value nothing.
    fn value(&self) -> Value<'_> {
        self.string().unwrap_or(Value::Bytes(b""))
    }

    /// What OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        let header = self.header();
        match header.kind() {
            KIND_OBJECT | IN_ITEM.. => self.object().map_or("", |object| object.encoding()),
            KIND_INT => "int",
            KIND_INLINE if !header.has(IS_RAW) && self.val_len() <= EMBSTR_MAX => "embstr",
            _ => "raw",
        }
    }

    /// Replaces the value; key, deadline and clock stay.
    pub fn set(&mut self, value: NewValue<'_>) {
        self.set_tail(Tail::from(value), 0);
    }

    /// Appends to the value as bytes and returns its new length.
    pub(super) fn append(&mut self, more: &[u8]) -> usize {
        let at = self.value().len();
        if more.is_empty() && self.header().kind() == KIND_LARGE {
            // Nothing to write: no reason to copy what others hold.
            return at;
        }
        self.edit(at, more)
    }

    /// Overwrites the value from `offset` on, with zeros before it where the value was shorter, and
    /// returns its new length. The caller bounds offset and length (512 MiB in Redis).
    pub(super) fn set_range(&mut self, offset: usize, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return self.value().len();
        }
        self.edit(offset, bytes)
    }

    /// Makes the value this long string, which was made of it, and returns its length.
    pub(super) fn become_rope(&mut self, rope: Rope) -> usize {
        let length = rope.len();
        drop(self.take_large(true));
        self.set_tail(Tail::from(NewValue::Shared(SharedValue::Large(rope))), IS_RAW);
        length
    }

    /// Makes the value these bytes, as an edit of what was there, and returns their number.
    pub(super) fn rewrite(&mut self, bytes: &[u8]) -> usize {
        self.set_tail(Tail::from(NewValue::Bytes(bytes)), IS_RAW);
        bytes.len()
    }

    /// The value as of now, to be kept by others.
    pub fn share(&self) -> SharedValue {
        match self.header().kind() {
            KIND_LARGE => return SharedValue::Large(self.borrow_large().hold()),
            KIND_OBJECT => return SharedValue::Object(Arc::clone(&self.borrow_object())),
            IN_ITEM.. => {
                let object = self.object().expect("its kind says so");
                return SharedValue::Object(object.copy());
            }
            _ => {}
        }
        match self.value() {
            Value::Int(number) => SharedValue::Int(number),
            Value::Bytes(bytes) => SharedValue::Small(bytes.into()),
            Value::Rope(rope) => SharedValue::Large(rope.hold()),
        }
    }

    /// The access clock: 24 bits whose meaning is the evictor's.
    pub fn clock(&self) -> u32 {
        self.header().flags_clock >> 8
    }

    /// Sets the access clock to the low 24 bits of `clock`.
    pub fn set_clock(&mut self, clock: u32) {
        let header = self.header_mut();
        header.flags_clock = (clock << 8) | (header.flags_clock & 0xff);
    }

    /// The bytes that the item holds on the heap. Those of a large value count in full, whoever else
    /// holds it.
    pub fn heap_bytes(&self) -> usize {
        let block = self.shape().block().size();
        match self.header().kind() {
            KIND_LARGE => block + self.borrow_large().heap_bytes(),
            KIND_OBJECT => block + self.object().map_or(0, |object| object.heap_bytes()),
            // Its own bytes are the block's.
            kind @ IN_ITEM.. => {
                let besides = self.object().map_or(0, |object| object.heap_bytes());
                block + besides.saturating_sub(InItem::numbered(kind - IN_ITEM).size())
            }
            _ => block,
        }
    }
}

/// The first 8 bytes of a block.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    flags_clock: u32,
    key_len: u32,
}

const KIND_MASK: u8 = 0x0f;
const KIND_INT: u8 = 0;
const KIND_INLINE: u8 = 1;
const KIND_LARGE: u8 = 2;
const KIND_OBJECT: u8 = 3;
/// What is left of an object whose reference was given up: as many bytes that mean nothing.
const KIND_GONE: u8 = 4;
/// The same of an object that stood in the block: of one of 8 bytes, and one of 16.
const KIND_GONE_WORD: u8 = 5;
const KIND_GONE_WORDS: u8 = 6;
/// From here on: an object that stands in the block, of the type whose number is added.
const IN_ITEM: u8 = 8;
const IS_RAW: u8 = 0x40;
const HAS_DEADLINE: u8 = 0x80;

const DEADLINE_AT: usize = size_of::<Header>();
const DEADLINE_BYTES: usize = 8;
/// Of the length of an inline value.
const LENGTH_BYTES: usize = size_of::<u32>();
const ROUNDING: usize = 16;

impl Header {
    fn has(&self, flag: u8) -> bool {
        self.flags_clock as u8 & flag != 0
    }

    fn kind(&self) -> u8 {
        self.flags_clock as u8 & KIND_MASK
    }

    /// The same with another kind, and without what depended on the one before.
    fn with_kind(self, kind: u8) -> Header {
        let flags_clock = self.flags_clock & !u32::from(KIND_MASK | IS_RAW) | u32::from(kind);
        Header { flags_clock, ..self }
    }

    /// Where the length of an inline value stands, and else the key.
    fn length_at(&self) -> usize {
        DEADLINE_AT + if self.has(HAS_DEADLINE) { DEADLINE_BYTES } else { 0 }
    }

    fn key_at(&self) -> usize {
        self.length_at() + if self.kind() == KIND_INLINE { LENGTH_BYTES } else { 0 }
    }

    #[inline]
    fn tail_at(&self) -> usize {
        let behind_key = self.key_at() + self.key_len as usize;
        match self.kind() {
            KIND_GONE_WORD | KIND_GONE_WORDS | IN_ITEM.. => {
                behind_key.next_multiple_of(align_of::<u64>())
            }
            _ => behind_key,
        }
    }
}

/// Where things stand in a block.
struct Shape {
    key_at: usize,
    end: usize,
}

impl Shape {
    /// `val_len`: of an inline value.
    fn of(header: Header, val_len: usize) -> Self {
        let tail_len = match header.kind() {
            KIND_INLINE => val_len,
            KIND_OBJECT | KIND_GONE => size_of::<*const dyn Object>(),
            KIND_GONE_WORDS => 2 * size_of::<u64>(),
            kind @ IN_ITEM.. => InItem::numbered(kind - IN_ITEM).size(),
            _ => 8,
        };
        Self { key_at: header.key_at(), end: header.tail_at() + tail_len }
    }

    fn block(&self) -> Layout {
        Layout::from_size_align(self.end.next_multiple_of(ROUNDING), align_of::<u64>())
            .expect("a key and an inline value are shorter than half the address space")
    }
}

/// A value in the form in which an item stores it.
enum Tail<'a> {
    Int(i64),
    Inline(&'a [u8]),
    InlineOwned(Vec<u8>),
    Large(Rope),
    Object(Arc<dyn Object>),
    InItem(&'static InItem, Arc<dyn Object>),
}

impl<'a> From<NewValue<'a>> for Tail<'a> {
    fn from(value: NewValue<'a>) -> Self {
        match value {
            NewValue::Int(number) | NewValue::Shared(SharedValue::Int(number)) => Self::Int(number),
            NewValue::Bytes(bytes) if bytes.len() <= INLINE_MAX => Self::Inline(bytes),
            NewValue::Bytes(bytes) => Self::Large(Rope::of(bytes)),
            NewValue::Owned(bytes) => Self::from_vec(bytes),
            NewValue::Shared(SharedValue::Small(bytes)) => Self::from_vec(bytes.into_vec()),
            NewValue::Shared(SharedValue::Large(rope)) if rope.len() <= INLINE_MAX => {
                Self::InlineOwned(rope.borrow().to_vec())
            }
            NewValue::Shared(SharedValue::Large(rope)) => Self::Large(rope),
            NewValue::Object(object) | NewValue::Shared(SharedValue::Object(object)) => {
                match object.in_item() {
                    Some(how) => Self::InItem(how, object),
                    None => Self::Object(object),
                }
            }
        }
    }
}

impl Tail<'_> {
    fn from_vec(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            ..=INLINE_MAX => Self::InlineOwned(bytes),
            _ => Self::Large(Rope::of(&bytes)),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Int(_) => KIND_INT,
            Self::Inline(_) | Self::InlineOwned(_) => KIND_INLINE,
            Self::Large(_) => KIND_LARGE,
            Self::Object(_) => KIND_OBJECT,
            Self::InItem(how, _) => IN_ITEM + how.number(),
        }
    }

    /// The length, of an inline value.
    fn val_len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::InlineOwned(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl Item {
    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: every block begins with an initialized header and is aligned to 8.
        unsafe { self.0.cast().as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as in `header`; `&mut self` makes the reference unique.
        unsafe { self.0.cast().as_mut() }
    }

    #[inline]
    fn tail_start(&self) -> NonNull<u8> {
        let header = self.header();
        // SAFETY: the tail begins inside the block, or at its end if it is empty.
        unsafe { self.0.add(header.tail_at()) }
    }

    /// The length of an inline value; 0 of others.
    #[inline]
    fn val_len(&self) -> usize {
        let header = self.header();
        if header.kind() != KIND_INLINE {
            return 0;
        }
        // SAFETY: of this kind 4 initialized bytes stand there, at a multiple of 8.
        unsafe { self.0.add(header.length_at()).cast::<u32>().read() as usize }
    }

    /// Notes the length of an inline value, for which the block has the right shape already.
    fn set_val_len(&mut self, val_len: usize) {
        let header = self.header();
        assert_eq!(header.kind(), KIND_INLINE);
        // SAFETY: of this kind 4 bytes stand there, at a multiple of 8.
        unsafe { self.0.add(header.length_at()).cast::<u32>().write(val_len as u32) };
    }

    fn shape(&self) -> Shape {
        Shape::of(*self.header(), self.val_len())
    }

    /// Makes the block as long as another shape needs it. What both have in common keeps its bytes.
    fn resize(&mut self, old: &Shape, new: &Shape) {
        let (old, new) = (old.block(), new.block());
        if old.size() != new.size() {
            // SAFETY: the block was allocated with `old` (promise 2); the new size is not 0, and rounded
            // up to the alignment it does not overflow because `Layout` accepted it.
            let block = unsafe { realloc(self.0.as_ptr(), old, new.size()) };
            let Some(block) = NonNull::new(block) else { handle_alloc_error(new) };
            self.0 = block;
        }
    }

    /// Moves what stands from one place up to another by some bytes up or down.
    ///
    /// # Safety
    /// The block is long enough before and behind, and what is overwritten means nothing any more.
    unsafe fn shift(&mut self, from: usize, to: usize, target: usize) {
        // SAFETY: the caller's promise; `copy` allows the overlap.
        unsafe { self.0.add(from).copy_to(self.0.add(target), to - from) };
    }

    fn insert_deadline_room(&mut self) {
        let old = self.shape();
        let mut header = *self.header();
        header.flags_clock |= u32::from(HAS_DEADLINE);
        self.resize(&old, &Shape::of(header, self.val_len()));
        // SAFETY: the block is now at least 8 bytes longer than the old `end`; all behind the header, which
        // stands together, moves up by 8.
        unsafe { self.shift(DEADLINE_AT, old.end, DEADLINE_AT + DEADLINE_BYTES) };
        *self.header_mut() = header;
    }

    fn remove_deadline_room(&mut self) {
        let (old, val_len) = (self.shape(), self.val_len());
        let mut header = *self.header();
        header.flags_clock &= !u32::from(HAS_DEADLINE);
        // SAFETY: the 8 bytes behind the header are the deadline's; all behind them moves down over them. Nothing
        // reads the block by its old shape before the new header is stored.
        unsafe { self.shift(DEADLINE_AT + DEADLINE_BYTES, old.end, DEADLINE_AT) };
        *self.header_mut() = header;
        self.resize(&old, &Shape::of(header, val_len));
    }

    /// Replaces the value, whatever it was, and sets the flags `flags` of what may depend on it.
    fn set_tail(&mut self, tail: Tail<'_>, flags: u8) {
        self.drop_shared();
        let (old, key_len) = (self.shape(), self.header().key_len as usize);
        let header = self.header().with_kind(tail.kind() | flags);
        let new = Shape::of(header, tail.val_len());
        // SAFETY: both shapes have room for the key where they say it stands; what is between the header and the
        // key, and behind it, is the old value's and means nothing any more. A longer block is made before the
        // key moves up, a shorter one after it has moved down, so that it is within the block all the time.
        unsafe {
            if new.key_at < old.key_at {
                self.shift(old.key_at, old.key_at + key_len, new.key_at);
            }
            self.resize(&old, &new);
            if new.key_at > old.key_at {
                self.shift(old.key_at, old.key_at + key_len, new.key_at);
            }
        }
        *self.header_mut() = header;
        self.write_tail(tail);
    }

    /// Writes a tail for which the block has the right shape already.
    fn write_tail(&mut self, tail: Tail<'_>) {
        debug_assert_eq!(tail.kind(), self.header().kind());
        if tail.kind() == KIND_INLINE {
            self.set_val_len(tail.val_len());
        }
        let start = self.tail_start();
        let write_bytes = |bytes: &[u8]| {
            // SAFETY: an inline tail has room for `val_len` bytes, which is the length of `bytes`; they
            // come from outside of this block.
            unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        };
        match tail {
            // SAFETY: a tail of this kind has 8 bytes.
            Tail::Int(number) => unsafe { start.cast::<i64>().write_unaligned(number) },
            Tail::Inline(bytes) => write_bytes(bytes),
            Tail::InlineOwned(bytes) => write_bytes(&bytes),
            // SAFETY: a tail of this kind has 8 bytes, enough for a pointer.
            Tail::Large(large) => unsafe {
                large.0.borrow().enter_item();
                start.cast::<NonNull<()>>().write_unaligned(large.0.into_raw());
            },
            // SAFETY: a tail of this kind has the size of such a pointer.
            Tail::Object(object) => unsafe {
                start.cast::<*const dyn Object>().write_unaligned(Arc::into_raw(object));
            },
            // SAFETY: a tail of this kind has the object's size and is aligned.
            Tail::InItem(how, object) => unsafe { how.put(&*object, start) },
        }
    }

    /// Writes `bytes` at `offset` of the value as bytes, filling with zeros where it was shorter.
    fn edit(&mut self, offset: usize, bytes: &[u8]) -> usize {
        if let Value::Int(number) = self.value() {
            self.set_tail(Tail::Inline(Digits::new().of(number)), IS_RAW);
        }
        let old_len = self.value().len();
        let end = offset.checked_add(bytes.len()).expect("the caller bounds the length");
        let new_len = old_len.max(end);
        if self.header().kind() == KIND_INLINE {
            if new_len <= INLINE_MAX {
                self.resize(&self.shape(), &Shape::of(*self.header(), new_len));
                self.header_mut().flags_clock |= u32::from(IS_RAW);
                self.set_val_len(new_len);
                let start = self.tail_start();
                // SAFETY: the tail has room for `new_len` bytes, of which the first `old_len` are
                // initialized; the rest is made so before anybody reads it. `bytes` comes from outside.
                unsafe {
                    start.add(old_len).write_bytes(0, new_len - old_len);
                    let source = NonNull::from(bytes).cast();
                    start.add(offset).copy_from_nonoverlapping(source, bytes.len());
                }
                return new_len;
            }
            let large = self.value().with_bytes(Rope::of);
            self.set_tail(Tail::Large(large), IS_RAW);
        }
        if let Some(mut large) = self.take_large(true) {
            large.write(offset, bytes);
            self.header_mut().flags_clock |= u32::from(KIND_LARGE | IS_RAW);
            self.write_tail(Tail::Large(large));
        }
        new_len
    }

    /// The large value.
    #[inline]
    fn borrow_large(&self) -> RopeRef<'_> {
        assert_eq!(self.header().kind(), KIND_LARGE);
        // SAFETY: the tail holds a pointer from `Chunk::into_raw`, and the item owns its reference: it
        // gives it up only through `&mut self`, when nobody borrows from the item.
        unsafe {
            let root = self.tail_start().cast::<NonNull<()>>().read_unaligned();
            RopeRef(ChunkRef::from_raw(root))
        }
    }

    /// The reference that the item holds to its object, without taking it away.
    fn borrow_object(&self) -> ManuallyDrop<Arc<dyn Object>> {
        assert_eq!(self.header().kind(), KIND_OBJECT);
        // SAFETY: the tail holds a pointer from `Arc::into_raw` whose reference the item owns; it stays
        // owned by the item because the Arc made here is never dropped.
        ManuallyDrop::new(unsafe {
            Arc::from_raw(self.tail_start().cast::<*const dyn Object>().read_unaligned())
        })
    }

    /// The object of this kind that stands in the block.
    #[inline]
    fn see_in_item(&self, kind: u8) -> NonNull<dyn Object> {
        InItem::numbered(kind - IN_ITEM).see(self.tail_start())
    }

    /// Gives up the reference to a large value, if there is one, for good or to change it. The tail is then
    /// to be overwritten.
    fn take_large(&mut self, to_change: bool) -> Option<Rope> {
        if self.header().kind() != KIND_LARGE {
            return None;
        }
        // From here on the tail is a plain number, so that nobody drops the reference twice.
        self.header_mut().flags_clock &= !u32::from(KIND_MASK);
        // SAFETY: the tail held a pointer from `Chunk::into_raw` whose reference the item owned till now.
        let large = Rope(unsafe { Chunk::from_raw(self.tail_start().cast().read_unaligned()) });
        large.0.borrow().leave_item(to_change);
        Some(large)
    }

    /// Gives up the reference to a value outside of the block, if there is one. The tail is then to be
    /// overwritten.
    fn drop_shared(&mut self) {
        drop(self.take_large(false));
        if self.header().kind() == KIND_OBJECT {
            let held = ManuallyDrop::into_inner(self.borrow_object());
            // For the same reason as there.
            self.header_mut().flags_clock &= !u32::from(KIND_MASK);
            self.header_mut().flags_clock |= u32::from(KIND_GONE);
            drop(held);
        }
        if let kind @ IN_ITEM.. = self.header().kind() {
            let object = self.see_in_item(kind);
            let words = InItem::numbered(kind - IN_ITEM).size() / size_of::<u64>();
            let gone = if words == 1 { KIND_GONE_WORD } else { KIND_GONE_WORDS };
            self.header_mut().flags_clock &= !u32::from(KIND_MASK);
            self.header_mut().flags_clock |= u32::from(gone);
            // SAFETY: the kind says that an object stands there; now nobody takes it for one any more.
            unsafe { object.drop_in_place() };
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.drop_shared();
        // SAFETY: the block was allocated with this layout (promise 2; what a reference leaves behind has
        // the reference's length), and nobody uses the item after its drop.
        unsafe { dealloc(self.0.as_ptr(), self.shape().block()) };
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("key", &self.key().escape_ascii().to_string())
            .field("deadline", &self.deadline())
            .field("encoding", &self.encoding())
            .field("len", &self.encoded_len())
            .finish()
    }
}

impl TableEntry for Item {
    #[inline]
    fn key(&self) -> &[u8] {
        self.key()
    }

    #[inline]
    fn due(&self) -> u64 {
        self.deadline().map_or(u64::MAX, |Millis(deadline)| deadline)
    }

    #[inline]
    fn prefetch(&self) {
        prefetch(self.0.as_ptr());
    }

    #[inline]
    fn prefetch_behind(&self) {
        if let Some(object) = self.object() {
            object.prefetch();
        }
    }
}

#[cfg(test)]
#[path = "item_tests.rs"]
mod tests;
