//! A tree, or a box of something else, in one word: for types of which the many small values are a tree and
//! nothing besides.
//!
//! ```text
//!   ...0   the tree's own word: its first page, aligned to 16, or nothing
//!   ...1   a box of `B`, one byte further on
//! ```
//!
//! What makes the unsafe code sound: a word whose lowest bit is set was made by [`TreeOr::boxed`] and owns that
//! box; any other one is a whole `Tree<O>`, to be used and dropped as one. The bit can be asked for in either case,
//! since both are a pointer or null.

use super::Tree;
use super::order::Order;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

/// See the module's front page.
pub struct TreeOr<O: Order, B>(Word<O>, PhantomData<Box<B>>);

#[repr(C)]
union Word<O: Order> {
    tree: ManuallyDrop<Tree<O>>,
    boxed: *mut u8,
}

/// Which of the two it is.
pub enum Either<T, B> {
    /// The tree.
    Tree(T),
    /// What is boxed.
    Boxed(B),
}

// SAFETY: it owns a `Tree<O>` or a `Box<B>`.
unsafe impl<O: Order, B: Send> Send for TreeOr<O, B> where Tree<O>: Send {}
// SAFETY: see above; what a shared reference gives is a shared reference to one of them.
unsafe impl<O: Order, B: Sync> Sync for TreeOr<O, B> where Tree<O>: Sync {}

impl<O: Order, B> TreeOr<O, B> {
    const FITS: () = assert!(
        size_of::<Tree<O>>() == size_of::<*mut u8>()
            && size_of::<Word<O>>() == size_of::<*mut u8>()
            && align_of::<B>() > 1,
        "a tree is one word, and a box leaves the lowest bit free"
    );

    /// A tree.
    pub fn tree(tree: Tree<O>) -> Self {
        const { Self::FITS };
        Self(Word { tree: ManuallyDrop::new(tree) }, PhantomData)
    }

    /// Something else.
    pub fn boxed(it: B) -> Self {
        const { Self::FITS };
        let boxed = Box::into_raw(Box::new(it)).cast::<u8>().wrapping_add(1);
        Self(Word { boxed }, PhantomData)
    }

    /// Where the box is, if it is one.
    #[inline]
    fn place(&self) -> Option<*mut B> {
        // SAFETY: see the module's front page: both are a pointer or null.
        let boxed = unsafe { self.0.boxed };
        (boxed.addr() & 1 != 0).then(|| boxed.wrapping_sub(1).cast())
    }

    /// What it is.
    #[inline]
    pub fn get(&self) -> Either<&Tree<O>, &B> {
        match self.place() {
            // SAFETY: the box is this one's own, and borrowed with it.
            Some(boxed) => Either::Boxed(unsafe { &*boxed }),
            // SAFETY: where there is no box it is a tree.
            None => Either::Tree(unsafe { &self.0.tree }),
        }
    }

    /// What it is, to be changed.
    #[inline]
    pub fn get_mut(&mut self) -> Either<&mut Tree<O>, &mut B> {
        match self.place() {
            // SAFETY: as above; `&mut self` is held as long as the reference that is made here.
            Some(boxed) => Either::Boxed(unsafe { &mut *boxed }),
            // SAFETY: as above.
            None => Either::Tree(unsafe { &mut self.0.tree }),
        }
    }
}

impl<O: Order, B> Drop for TreeOr<O, B> {
    fn drop(&mut self) {
        match self.place() {
            // SAFETY: it is dropped once, as what it is: a box that `boxed` made.
            Some(boxed) => drop(unsafe { Box::from_raw(boxed) }),
            // SAFETY: the same of a tree.
            None => unsafe { ManuallyDrop::drop(&mut self.0.tree) },
        }
    }
}

impl<O: Order, B: Clone> Clone for TreeOr<O, B> {
    fn clone(&self) -> Self {
        match self.get() {
            Either::Tree(tree) => TreeOr::tree(tree.clone()),
            Either::Boxed(it) => TreeOr::boxed(it.clone()),
        }
    }
}

impl<O: Order, B> Default for TreeOr<O, B> {
    fn default() -> Self {
        TreeOr::tree(Tree::new())
    }
}
