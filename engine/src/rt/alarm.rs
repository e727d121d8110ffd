//! A timer that is a descriptor: going off is an edge, as what comes on a socket is.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::null_mut;
use std::time::Duration;

/// See the module's doc.
#[derive(Debug)]
pub(super) struct AlarmFd(OwnedFd);

impl AlarmFd {
    /// One that is not set. An error is a shortage of descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor, which becomes readable each time the alarm goes off.
    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Lets it go off once, after so long, which is not nothing. That it went off before is forgotten, so nobody needs
    /// to read.
    pub(super) fn set(&self, after: Duration) {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let (tv_sec, tv_nsec) = (after.as_secs() as libc::time_t, after.subsec_nanos().into());
        let once = libc::timespec { tv_sec, tv_nsec };
        let when = libc::itimerspec { it_interval: never, it_value: once };
        // SAFETY: `when` is valid during the call, and the old time is not asked for. It fails for wrong
        // arguments only.
        unsafe { libc::timerfd_settime(self.fd(), 0, &raw const when, null_mut()) };
    }
}
