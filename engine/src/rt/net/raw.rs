//! The few system calls that sockets need and the standard library does not offer.
//!
//! All of them return at once; "not now" is `Ok(None)`.

use std::io::{self, IoSlice};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The kernel takes no more pieces than this at once.
const PIECES_MAX: usize = libc::UIO_MAXIOV as usize;

/// Makes a non-negative answer a number, "not now" `None`, and repeats what a signal interrupted.
fn attempt(mut call: impl FnMut() -> isize) -> io::Result<Option<usize>> {
    loop {
        let answer = call();
        if let Ok(count) = usize::try_from(answer) {
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

pub(super) fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `start` is valid for writing `len` bytes during the call.
    attempt(|| unsafe { libc::recv(fd, start, len, libc::MSG_DONTWAIT) })
}

pub(super) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: `start` is valid for reading `len` bytes during the call.
    attempt(|| unsafe { libc::send(fd, start, len, flags) })
}

pub(super) fn send_pieces(fd: RawFd, pieces: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: msghdr is plain numbers and pointers, for which all zero means "none".
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice is promised to be laid out as iovec. sendmsg does not write through this pointer.
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len().min(PIECES_MAX);
    // SAFETY: `message` points to that many pieces, each valid for reading during the call.
    attempt(|| unsafe { libc::sendmsg(fd, &raw const message, flags) })
}

/// A connection that waits at `listener`, non-blocking, and closed in child processes.
pub(super) fn accept(listener: RawFd) -> io::Result<Option<(OwnedFd, socket2::SockAddr)>> {
    let mut fd = -1;
    // SAFETY: the closure is given a zeroed address of the stated length, which accept4 fills.
    let accepted = unsafe {
        socket2::SockAddr::try_init(|address, len| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            fd = libc::accept4(listener, address.cast(), len, flags);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        })
    };
    match accepted {
        // SAFETY: accept4 has just given us this descriptor, and nobody else knows it.
        Ok(((), address)) => Ok(Some((unsafe { OwnedFd::from_raw_fd(fd) }, address))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
