//! Trees that nobody holds any more, freed in slices.
//!
//! ```text
//!   the last reference goes ─► aside ──┬─ a few chunks with each slice of the heartbeat
//!                                      └─ two with each leaf that is made on this thread
//! ```
//!
//! A thread that calls [`free_slice`] from time to time only puts a tree aside; other threads free at once.
//! Whoever makes leaves pays for them by freeing some: so a string that is overwritten again and again lies
//! where it lay before the last time, and what waits cannot grow, however busy the thread is.

use super::{Chunk, Header};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Chunks that are freed for each leaf that is made: more than one, so that what waits becomes less.
const PAID: usize = 2;

/// Bytes of values in all that waits on any thread.
static WAITING: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static ASIDE: RefCell<Aside> = const { RefCell::new(Aside(None)) };
}

/// Nodes whose only reference is here, each with entries; `None` on a thread that never frees in slices.
struct Aside(Option<Vec<Chunk>>);

impl Drop for Aside {
    fn drop(&mut self) {
        let waiting = self.0.iter().flatten().map(|node| node.borrow().bytes() as u64).sum();
        WAITING.fetch_sub(waiting, Ordering::Relaxed);
    }
}

/// Bytes of values that nobody holds and that are not freed yet, on all threads. Where such a value shares
/// parts with another that is held, these count too.
pub fn bytes_set_aside() -> u64 {
    WAITING.load(Ordering::Relaxed)
}

/// Puts a node with entries aside whose only reference is given away by that; false where nobody would free
/// it.
pub(super) fn put(node: NonNull<Header>) -> bool {
    let put = |aside: &RefCell<Aside>| match aside.try_borrow_mut().map(|mut aside| {
        let list = aside.0.as_mut()?;
        list.push(Chunk(node));
        list.last().map(|node| node.borrow().bytes() as u64)
    }) {
        Ok(Some(bytes)) => {
            WAITING.fetch_add(bytes, Ordering::Relaxed);
            true
        }
        _ => false,
    };
    // While the thread ends there is no place any more, nor anybody who would look there.
    ASIDE.try_with(put).unwrap_or(false)
}

/// Frees up to so many of the chunks that were put aside on this thread; `false` when there were none.
/// From the first call on, trees are put aside on it.
pub fn free_slice(chunks: usize) -> bool {
    ASIDE.with_borrow_mut(|aside| {
        aside.0.get_or_insert_default();
    });
    free(chunks) > 0
}

/// Frees a little, if there is something.
#[inline]
pub(super) fn pay() {
    free(PAID);
}

/// Frees up to so many chunks; how many it were.
#[inline]
fn free(chunks: usize) -> usize {
    (0..chunks).take_while(|_| free_one()).count()
}

fn free_one() -> bool {
    let next = |aside: &RefCell<Aside>| aside.try_borrow_mut().ok()?.0.as_mut()?.pop();
    let Some(mut node) = ASIDE.try_with(next).ok().flatten() else { return false };
    let entry = node.pop();
    let bytes = entry.as_ref().map_or(0, |entry| entry.borrow().bytes() as u64);
    WAITING.fetch_sub(bytes, Ordering::Relaxed);
    if node.borrow().entries() > 0 {
        // Counted all the time.
        let back = |aside: &RefCell<Aside>| aside.borrow_mut().0.get_or_insert_default().push(node);
        ASIDE.with(back);
    }
    // An entry that is a node is put aside by its own drop, behind the one that it was in.
    drop(entry);
    true
}
