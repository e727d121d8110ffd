//! Trees that nobody holds any more, freed in slices. What they are made of is their owner's to know.
//!
//! ```text
//!   the last reference goes ─► aside ──┬─ a few pieces with each slice of the heartbeat
//!                                      └─ two with each leaf that is made on this thread
//! ```
//!
//! A thread that calls [`free_slice`] from time to time only puts a tree aside; other threads free at once.
//! Whoever makes leaves pays for them by freeing some: so a string that is overwritten again and again lies
//! where it lay before the last time, and what waits cannot grow, however busy the thread is.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

/// Pieces that are freed for each leaf that is made: more than one, so that what waits becomes less.
const PAID: usize = 2;

/// Bytes of values in all that waits on any thread.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// What is freed an entry at a time. Its drop puts a tree with entries aside, where there is a place.
pub(super) trait Tree {
    /// Bytes of the value in it.
    fn bytes(&self) -> usize;

    /// Whether there is anything left to take out.
    fn has_entries(&self) -> bool;

    /// Takes the last entry out of a tree that nobody else holds.
    fn pop(&mut self) -> Option<Self>
    where
        Self: Sized;
}

/// Trees whose only reference is here, each with entries; `None` on a thread that never frees in slices.
pub(super) struct Aside<T: Tree>(Option<Vec<T>>);

/// Where a thread has its own.
pub(super) type PerThread<T> = LocalKey<RefCell<Aside<T>>>;

impl<T: Tree> Aside<T> {
    pub(super) const fn none() -> Aside<T> {
        Aside(None)
    }
}

impl<T: Tree> Drop for Aside<T> {
    fn drop(&mut self) {
        let waiting = self.0.iter().flatten().map(|tree| tree.bytes() as u64).sum();
        WAITING.fetch_sub(waiting, Ordering::Relaxed);
    }
}

/// Bytes of values that nobody holds and that are not freed yet, on all threads. Where such a value shares
/// parts with another that is held, these count too.
pub fn bytes_set_aside() -> u64 {
    WAITING.load(Ordering::Relaxed)
}

/// Puts a tree with entries aside, made of the only reference to it; false, and it is not made, where
/// nobody would free it.
pub(super) fn put<T: Tree>(place: &'static PerThread<T>, tree: impl FnOnce() -> T) -> bool {
    let put = |aside: &RefCell<Aside<T>>| match aside.try_borrow_mut().map(|mut aside| {
        let list = aside.0.as_mut()?;
        list.push(tree());
        list.last().map(|tree| tree.bytes() as u64)
    }) {
        Ok(Some(bytes)) => {
            WAITING.fetch_add(bytes, Ordering::Relaxed);
            true
        }
        _ => false,
    };
    // While the thread ends there is no place any more, nor anybody who would look there.
    place.try_with(put).unwrap_or(false)
}

/// Frees up to so many of the pieces that were put aside on this thread; `false` when there were none.
/// From the first call on, trees are put aside on it.
pub(super) fn free_slice<T: Tree>(place: &'static PerThread<T>, pieces: usize) -> bool {
    place.with_borrow_mut(|aside| {
        aside.0.get_or_insert_default();
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

fn free_one<T: Tree>(place: &'static PerThread<T>) -> bool {
    let next = |aside: &RefCell<Aside<T>>| aside.try_borrow_mut().ok()?.0.as_mut()?.pop();
    let Some(mut tree) = place.try_with(next).ok().flatten() else { return false };
    let entry = tree.pop();
    let bytes = entry.as_ref().map_or(0, |entry| entry.bytes() as u64);
    WAITING.fetch_sub(bytes, Ordering::Relaxed);
    if tree.has_entries() {
        // Counted all the time.
        place.with_borrow_mut(|aside| aside.0.get_or_insert_default().push(tree));
    }
    // An entry that has entries is put aside by its own drop, behind the one that it was in.
    drop(entry);
    true
}
