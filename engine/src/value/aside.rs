//! Trees that nobody holds any more, freed in slices. What they are made of is their owner's to know.
//!
//! ```text
//!   the last reference goes ─► aside ──┬─ a few pieces with each slice of the heartbeat
//!                                      └─ some with each leaf that is made on this thread
//! ```
//!
//! A thread that calls [`free_slice`] from time to time only puts a tree aside; other threads free at once.
//! Whoever makes leaves pays for them by freeing some: so a string that is overwritten again and again lies
//! where it lay before the last time, and what waits cannot grow, however busy the thread is.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

/// Pieces that are freed for each leaf that is made: more than one, so that what waits becomes less. Of a rope that
/// was copied on the way to one change they are a node, a leaf, and what else is left, which others hold.
const PAID: usize = 3;

/// Entries that are looked at to see what of a tree is its own, where others may hold parts of it. A rope that was
/// copied on the way to one change has up to 65 of them on each of its three levels; of what is not looked at as
/// much is taken to be its own as of what is.
const LOOKED_AT: usize = 256;

/// Entries that others hold are let go at once, so many in a row: that frees nothing, and costs next to nothing.
const SHARED_IN_A_ROW: usize = 256;

/// Bytes of values in all that waits on any thread.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// What is freed an entry at a time. Its drop puts a tree with entries aside, where there is a place.
pub(super) trait Tree {
    /// Bytes of the value in it that are freed with it, not held by others, as far as so many looks tell.
    fn own_bytes(&self, looks: &mut usize) -> usize;

    /// Whether others hold it too.
    fn is_shared(&self) -> bool;

    /// Whether there is anything left to take out.
    fn has_entries(&self) -> bool;

    /// Takes the last entry out of a tree that nobody else holds.
    fn pop(&mut self) -> Option<Self>
    where
        Self: Sized;
}

/// What of `whole` bytes below a node is freed with it, when `own` of those are that were looked at.
pub(super) fn estimate(own: usize, looked_at: usize, whole: usize) -> usize {
    if looked_at == 0 {
        return whole;
    }
    usize::try_from(own as u128 * whole as u128 / looked_at as u128).unwrap_or(usize::MAX)
}

/// Trees whose only reference is here, each with entries.
pub(super) struct Aside<T: Tree> {
    /// `None` on a thread that never frees in slices.
    trees: Option<Vec<Waiting<T>>>,
    /// What those count for that were put here since an entry was taken out of one.
    put: u64,
}

struct Waiting<T> {
    tree: T,
    /// What it counts for in [`WAITING`].
    counted: u64,
}

/// Where a thread has its own.
pub(super) type PerThread<T> = LocalKey<RefCell<Aside<T>>>;

impl<T: Tree> Aside<T> {
    pub(super) const fn none() -> Aside<T> {
        Aside { trees: None, put: 0 }
    }

    fn counted(&self) -> u64 {
        self.trees.iter().flatten().map(|waiting| waiting.counted).sum()
    }
}

impl<T: Tree> Drop for Aside<T> {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.counted(), Ordering::Relaxed);
    }
}

/// Bytes of values that nobody holds and that are not freed yet, on all threads, without the parts that they
/// share with values that somebody holds.
pub fn bytes_set_aside() -> u64 {
    WAITING.load(Ordering::Relaxed)
}

/// Puts a tree with entries aside, made of the only reference to it; false, and it is not made, where
/// nobody would free it.
pub(super) fn put<T: Tree>(place: &'static PerThread<T>, tree: impl FnOnce() -> T) -> bool {
    let put = |aside: &RefCell<Aside<T>>| {
        let Ok(mut aside) = aside.try_borrow_mut() else { return false };
        let Some(trees) = &mut aside.trees else { return false };
        let tree = tree();
        let counted = tree.own_bytes(&mut { LOOKED_AT }) as u64;
        trees.push(Waiting { tree, counted });
        aside.put += counted;
        WAITING.fetch_add(counted, Ordering::Relaxed);
        true
    };
    // While the thread ends there is no place any more, nor anybody who would look there.
    place.try_with(put).unwrap_or(false)
}

/// Frees up to so many of the pieces that were put aside on this thread; `false` when there were none.
/// From the first call on, trees are put aside on it.
pub(super) fn free_slice<T: Tree>(place: &'static PerThread<T>, pieces: usize) -> bool {
    place.with_borrow_mut(|aside| {
        aside.trees.get_or_insert_default();
    });
    free(place, pieces) > 0
}

/// Frees a little, if there is something.
#[inline]
pub(super) fn pay<T: Tree>(place: &'static PerThread<T>) {
    free(place, PAID);
}

/// Frees up to so many pieces; how many it were.
#[inline]
fn free<T: Tree>(place: &'static PerThread<T>, pieces: usize) -> usize {
    (0..pieces).take_while(|_| free_one(place)).count()
}

/// Frees one piece, and lets go what others hold before it; false when there is nothing.
fn free_one<T: Tree>(place: &'static PerThread<T>) -> bool {
    for let_go in 0..SHARED_IN_A_ROW {
        match take_entry(place) {
            None => return let_go > 0,
            Some(true) => {}
            Some(false) => break,
        }
    }
    true
}

/// Takes one entry out of the tree whose turn it is; whether others hold the entry.
fn take_entry<T: Tree>(place: &'static PerThread<T>) -> Option<bool> {
    let next = |aside: &RefCell<Aside<T>>| {
        let mut aside = aside.try_borrow_mut().ok()?;
        aside.put = 0;
        aside.trees.as_mut()?.pop()
    };
    let Waiting { mut tree, counted } = place.try_with(next).ok().flatten()?;
    let entry = tree.pop();
    let is_shared = entry.as_ref().is_some_and(Tree::is_shared);
    // One that has entries is put aside by its own drop, and counts for itself from then on.
    let alone = entry.as_ref().filter(|entry| !is_shared && !entry.has_entries());
    let own = alone.map_or(0, |entry| entry.own_bytes(&mut { LOOKED_AT }) as u64);
    let index = tree.has_entries().then(|| {
        place.with_borrow_mut(|aside| {
            let trees = aside.trees.get_or_insert_default();
            trees.push(Waiting { tree, counted });
            trees.len() - 1
        })
    });
    // Behind the one that it was in.
    drop(entry);
    place.with_borrow_mut(|aside| {
        let left = index.zip(aside.trees.as_mut()).and_then(|(index, trees)| trees.get_mut(index));
        let gone = match left {
            Some(left) => {
                let gone = left.counted.min(own + aside.put);
                left.counted -= gone;
                gone
            }
            None => counted,
        };
        WAITING.fetch_sub(gone, Ordering::Relaxed);
    });
    Some(is_shared)
}

/// What all that waits on this thread counts for.
#[cfg(test)]
pub(super) fn waiting_here<T: Tree>(place: &'static PerThread<T>) -> u64 {
    place.with_borrow(Aside::counted)
}
