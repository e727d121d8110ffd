//! A short wait that costs little: the end of it is an event like a socket's.
//!
//! A timer of glommio's is in its ring, where an executor sleeps that has nothing to do for long; who waits for a
//! millisecond, a thousand times a second, has an alarm of its own in the set of the sockets (`poller`), set by one
//! call.

use super::alarm::AlarmFd;
use super::poller::Readiness;
use std::cell::Cell;
use std::io;
use std::time::Instant;

/// See the module's doc. For one task at a time.
#[derive(Debug)]
pub struct Nap {
    // Taken out of the set before the descriptor is closed.
    readiness: Readiness,
    alarm: AlarmFd,
    /// When it goes off, as it was set last.
    set: Cell<Option<Instant>>,
}

impl Nap {
    /// One of the current executor's. An error is a shortage of descriptors.
    pub fn new() -> io::Result<Nap> {
        let alarm = AlarmFd::new()?;
        let readiness = Readiness::new(alarm.fd())?;
        Ok(Nap { readiness, alarm, set: Cell::new(None) })
    }

    /// Waits until then. May be dropped; the same time again costs no further call.
    pub async fn until(&self, when: Instant) {
        while let Some(left) = when.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            // Gone off while nobody waited: what was set is over.
            let is_over = self.readiness.may_read();
            if self.set.replace(Some(when)) != Some(when) || is_over {
                self.readiness.drained();
                self.alarm.set(left);
            }
            self.readiness.readable().await;
            self.set.set(None);
        }
    }
}
