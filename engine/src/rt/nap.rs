//! A short wait that costs little: the end of it is an event like a socket's.
//!
//! A timer of glommio's is in its ring, where an executor sleeps that has nothing to do for long; who waits for a
//! millisecond, a thousand times a second, has an alarm of its own in the set of the sockets (`poller`), set by one
//! call.

use super::poller::Readiness;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;
use std::time::Instant;

/// See the module's doc. For one task at a time.
#[derive(Debug)]
pub struct Nap {
    // Taken out of the set before the descriptor is closed.
    readiness: Readiness,
    alarm: OwnedFd,
    /// When it goes off, as it was set last.
    set: Cell<Option<Instant>>,
}

impl Nap {
    /// One of the current executor's. An error is a shortage of descriptors.
    pub fn new() -> io::Result<Nap> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let alarm = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if alarm < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        let alarm = unsafe { OwnedFd::from_raw_fd(alarm) };
        let readiness = Readiness::new(alarm.as_raw_fd())?;
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
                let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
                let (tv_sec, tv_nsec) =
                    (left.as_secs() as libc::time_t, left.subsec_nanos().into());
                let once = libc::timespec { tv_sec, tv_nsec };
                let when = libc::itimerspec { it_interval: never, it_value: once };
                let alarm = self.alarm.as_raw_fd();
                // SAFETY: `when` is valid during the call, and the old time is not asked for. It fails for wrong
                // arguments only. Setting it anew forgets that it went off, so nobody needs to read.
                unsafe { libc::timerfd_settime(alarm, 0, &raw const when, null_mut()) };
            }
            self.readiness.readable().await;
            self.set.set(None);
        }
    }
}
