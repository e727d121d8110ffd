//! Values of all types but strings, which lie in the item's own block: what the rooms above ask of them.

use super::tree::Near;
use crate::types::Millis;
use std::any::Any;
use std::fmt::Debug;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// A value that stands behind a reference. Whoever holds one holds the value as of then: an item whose
/// value somebody else holds goes on with a copy before it changes.
///
/// A type whose values are large makes itself of shared parts, so that a copy is cheap.
pub trait Object: Any + Debug + Send + Sync {
    /// The number of its type.
    fn type_number(&self) -> u8;

    /// Whether nothing is left in it, so that its key goes. A type whose values stay when they are empty
    /// says that they are not.
    fn is_empty(&self) -> bool;

    /// A hint that it will be looked at soon: brings the first block behind it into the cache.
    fn prefetch(&self) {}

    /// Asks for where an element is that will be looked at soon; `None` where that is not worth its time.
    fn near(&self, _element: &[u8]) -> Option<Near<'_>> {
        None
    }

    /// Where else will be looked, by what stands near, which is there now: of one that [goes on](Near::goes_on).
    fn behind(&self, _near: &Near<'_>) -> Option<Near<'_, u64>> {
        None
    }

    /// When something inside of it ends to be, the first that does.
    fn next_due(&self) -> Option<Millis> {
        None
    }

    /// The effect that takes out of it some of what has come to its end, a bounded piece of work: its number
    /// within the type, and its bytes.
    fn expiry(&self, _now: Millis) -> Option<(u8, Vec<u8>)> {
        None
    }

    /// What OBJECT ENCODING answers.
    fn encoding(&self) -> &'static str;

    /// The value as a whole, for [`Type::decode`](super::Type::decode).
    fn encode(&self, out: &mut Vec<u8>);

    /// How many bytes that is, in constant time.
    fn encoded_len(&self) -> usize;

    /// Whether it is written and read in slices: [`Object::encode_range`] takes time by the range and not by the
    /// value, and [`Object::decode_slice`] reads. A type whose values are large says yes.
    fn in_slices(&self) -> bool {
        false
    }

    /// Appends these bytes of what [`Object::encode`] writes.
    fn encode_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut whole = Vec::with_capacity(self.encoded_len());
        self.encode(&mut whole);
        out.extend_from_slice(whole.get(range).unwrap_or_default());
    }

    /// Adds what the next bytes of a value as a whole say, as many whole elements as they begin with, to what
    /// began as [`Type::empty`](super::Type); how many bytes these were. `at` bytes were taken before. What is
    /// left is given once more, with more behind it. `None` where the bytes, which come from another
    /// node, say nothing.
    fn decode_slice(&mut self, at: u64, bytes: &[u8]) -> Option<usize> {
        let _ = (at, bytes);
        None
    }

    /// Looks at a part of it, the first at 0: the bytes on the heap that nobody holds but those who hold the
    /// value as a whole, where the next part is, and how many blocks that took to see.
    fn kept_from(&self, at: u64) -> (u64, Option<u64>, usize) {
        let _ = at;
        (self.heap_bytes() as u64, None, 1)
    }

    /// What tells the blocks that it shares with its copies from all others, and how many hold all of them: of a type
    /// whose copy is a reference, whatever stands around that.
    fn shared_as(&self) -> Option<(usize, u64)> {
        None
    }

    /// The bytes on the heap, in constant time.
    fn heap_bytes(&self) -> usize;

    /// What equal values have in common, in parts whose order does not matter.
    fn digest(&self, part: &mut dyn FnMut(&[u8]));

    /// Another one that equals it, for who is about to change it.
    fn copy(&self) -> Arc<dyn Object>;

    /// How it stands in an item's own block, where it does: a type whose values are a pointer or two and whose
    /// copy is cheap says `const { &InItem::of::<Self>(NUMBER) }`. So a small one costs no block besides.
    fn in_item(&self) -> Option<&'static InItem> {
        None
    }
}

/// The most bytes of an object that stands in an item: two words.
const IN_ITEM_MAX: usize = 16;

/// Types whose objects may stand in items: so many numbers.
const IN_ITEM_TYPES: usize = 8;

/// How objects of one type stand in items.
pub struct InItem {
    number: u8,
    size: usize,
    see: fn(NonNull<u8>) -> NonNull<dyn Object>,
    put: unsafe fn(&dyn Object, NonNull<u8>),
}

/// Those that were ever put, by number.
static KNOWN: [OnceLock<&'static InItem>; IN_ITEM_TYPES] =
    [const { OnceLock::new() }; IN_ITEM_TYPES];

impl InItem {
    /// Of the type `T`, whose number this is.
    pub const fn of<T: Object + Clone>(number: u8) -> InItem {
        assert!((number as usize) < IN_ITEM_TYPES, "a type's number in three bits");
        assert!(size_of::<T>() <= IN_ITEM_MAX && align_of::<T>() <= align_of::<u64>());
        // One word or two: an item tells no other sizes apart once an object has left it.
        assert!(size_of::<T>() > 0 && size_of::<T>().is_multiple_of(size_of::<u64>()));
        InItem { number, size: size_of::<T>(), see: see::<T>, put: put::<T> }
    }

    /// How many bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The number by which [`InItem::numbered`] knows it, from now on.
    pub(super) fn number(&'static self) -> u8 {
        let known = KNOWN[usize::from(self.number)].get_or_init(|| self);
        assert!(known.size == self.size, "two types with the number {}", self.number);
        self.number
    }

    /// The one whose number was asked for before.
    #[inline]
    pub(super) fn numbered(number: u8) -> &'static InItem {
        KNOWN[usize::from(number)].get().expect("nothing stands in an item that was not put")
    }

    /// The object that stands at a place.
    #[inline]
    pub(super) fn see(&self, place: NonNull<u8>) -> NonNull<dyn Object> {
        (self.see)(place)
    }

    /// Puts one that equals `object`, which says that it is of this type, at a place.
    ///
    /// # Safety
    /// There is room for [`InItem::size`] bytes, aligned to 8.
    pub(super) unsafe fn put(&self, object: &dyn Object, place: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { (self.put)(object, place) }
    }
}

fn see<T: Object>(place: NonNull<u8>) -> NonNull<dyn Object> {
    place.cast::<T>()
}

unsafe fn put<T: Object + Clone>(object: &dyn Object, place: NonNull<u8>) {
    let object: &dyn Any = object;
    let object: &T = object.downcast_ref().expect("an object says of its own type how it stands");
    // SAFETY: the caller has room for a `T`, which `InItem::of` made sure is aligned to 8 at the most.
    unsafe { place.cast::<T>().write(object.clone()) };
}

/// Two values are equal if they are the same as a whole.
impl PartialEq for dyn Object {
    fn eq(&self, other: &dyn Object) -> bool {
        let whole = |object: &dyn Object| {
            let mut bytes = Vec::with_capacity(object.encoded_len());
            object.encode(&mut bytes);
            bytes
        };
        self.type_number() == other.type_number() && whole(self) == whole(other)
    }
}

impl Eq for dyn Object {}
