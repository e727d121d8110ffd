//! Which values items gave up that others hold: whoever is charged for what only it holds looks again.

use std::cell::Cell;

/// So many are remembered.
const REMEMBERED: usize = 64;

struct Noted {
    count: Cell<u64>,
    addresses: [Cell<(usize, bool)>; REMEMBERED],
}

thread_local! {
    static NOTED: Noted =
        const { Noted { count: Cell::new(0), addresses: [const { Cell::new((0, false)) }; REMEMBERED] } };
}

/// An item on this thread has given up the value at this address: as a whole, or for a changed one.
#[cold]
pub(super) fn note(address: usize, is_changed: bool) {
    // A thread that ends has nobody who looks.
    let _ = NOTED.try_with(|noted| {
        let count = noted.count.get();
        noted.addresses[count as usize % REMEMBERED].set((address, is_changed));
        noted.count.set(count + 1);
    });
}

/// Which of them one who asks has seen. Any number may ask, each for itself.
#[derive(Default)]
pub struct Left(u64);

impl Left {
    /// Calls `look` with the addresses of what items on this thread have given up since the last time, and
    /// whether for a changed value that may share most of it; `false` when there were too many to remember.
    pub fn since_last(&mut self, mut look: impl FnMut(usize, bool)) -> bool {
        NOTED.with(|noted| {
            let seen = std::mem::replace(&mut self.0, noted.count.get());
            // More was seen than there is: on another thread.
            let is_known = (seen..=seen + REMEMBERED as u64).contains(&self.0);
            if is_known {
                let places = (seen..self.0).map(|count| count as usize % REMEMBERED);
                places.for_each(|place| {
                    let (address, is_changed) = noted.addresses[place].get();
                    look(address, is_changed);
                });
            }
            is_known
        })
    }
}
