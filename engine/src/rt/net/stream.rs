//! A connection, owned by one executor.
//!
//! All methods take `&self`: one task may read while another writes. Two readers, or two writers,
//! of one stream are a mistake: only the last to wait is woken.
//!
//! A wait that is dropped leaves the stream as it was: bytes stay in the kernel until a call
//! returns them, and no timer is left.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::address::{Peer, canonical};
use super::raw;
use crate::rt::poller::Readiness;
use crate::rt::time::timeout;

/// A connection that belongs to no executor yet: send it to one, and make it a [`Stream`] there.
/// Dropping it closes it.
#[derive(Debug)]
pub struct Accepted {
    /// The socket.
    pub fd: OwnedFd,
    /// Who is at the other end.
    pub peer: Peer,
}

/// A connection of the current executor. Dropping it closes it.
#[derive(Debug)]
pub struct Stream {
    /// Made when something first has to wait; before the descriptor, because it is dropped first.
    readiness: OnceCell<Readiness>,
    /// Reads that found something since the last that had to wait.
    in_a_row: Cell<u32>,
    fd: OwnedFd,
    peer: Peer,
}

/// After so many reads that found something at once, the other tasks get their turn: a peer that
/// sends as fast as we read must not have the executor for itself. Enough that a bulk transfer does
/// not notice.
const READS_IN_A_ROW_MAX: u32 = 16;

/// Bytes that one read takes at the most: enough for the kernel's own bursts.
const SCRATCH: usize = 256 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Stream {
    /// Takes a connection over into the current executor.
    pub fn from_accepted(accepted: Accepted) -> Self {
        let Accepted { fd, peer } = accepted;
        Self { readiness: OnceCell::new(), in_a_row: Cell::new(0), fd, peer }
    }

    /// Connects to `address` over TCP.
    pub async fn connect(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        Self::connect_socket(socket, &address.into(), limit).await
    }

    /// Connects to a Unix-domain socket.
    pub async fn connect_unix(path: &Path, limit: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        Self::connect_socket(socket, &SockAddr::unix(path)?, limit).await
    }

    async fn connect_socket(s: Socket, address: &SockAddr, limit: Duration) -> io::Result<Self> {
        s.set_nonblocking(true)?;
        let connecting = match s.connect(address) {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
            Err(error) => return Err(error),
        };
        let peer = Peer::from_socket(address);
        let stream = Self::from_accepted(Accepted { fd: s.into(), peer });
        if connecting {
            // Sending nothing waits while the connection is being made, and sends nothing after.
            timeout(limit, stream.send_when_room(&[])).await??;
            if let Some(error) = SockRef::from(&stream).take_error()? {
                return Err(error);
            }
        }
        Ok(stream)
    }

    /// Reads what there is into `buffer`, waiting until there is something. 0: the peer has ended
    /// its side.
    ///
    /// `buffer` must not be empty: its 0 would say nothing.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buffer.is_empty(), "reading into nothing");
        poll_fn(|cx| self.poll_receive(cx, buffer)).await
    }

    /// Reads what there is, at most `limit` bytes (and no more than the scratch buffer holds), and shows it to `take`; waits until
    /// there is something. An empty slice: the peer has ended its side.
    ///
    /// All connections of an executor read into one scratch buffer: an idle connection holds none, and
    /// none is zeroed for a read. Dropping the wait loses nothing.
    pub async fn read_with<T>(&self, limit: usize, take: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        let mut take = Some(take);
        poll_fn(|cx| {
            SCRATCH_BUFFER.with_borrow_mut(|scratch| {
                if scratch.is_empty() {
                    scratch.resize(SCRATCH, 0);
                }
                let room = limit.clamp(1, SCRATCH);
                let read = std::task::ready!(self.poll_receive(cx, &mut scratch[..room]));
                Poll::Ready(read.map(|read| {
                    let take = take.take().expect("a future is not polled after it is ready");
                    take(&scratch[..read])
                }))
            })
        })
        .await
    }

    /// As [`Stream::read`], but `None` where that would wait.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = raw::receive(self.fd(), buffer)?;
        // Less than there was room for was all there was.
        if read.is_none_or(|read| read < buffer.len())
            && let Some(readiness) = self.readiness.get()
        {
            readiness.drained();
        }
        Ok(read)
    }

    /// Waits until [`Stream::try_read`] has an answer: bytes or the end. An error of the
    /// connection is told here.
    pub async fn readable(&self) -> io::Result<()> {
        // Receiving nothing waits while there is neither data nor the end, and takes nothing.
        poll_fn(|cx| self.poll_receive(cx, &mut [])).await.map(drop)
    }

    /// Whether what comes is told: while it is not, it wakes nobody, and waiting to read would be for ever.
    pub fn listen(&self, to_what_comes: bool) {
        if let Some(readiness) = self.readiness.get() {
            readiness.listen(to_what_comes);
        }
    }

    /// Waits until the peer has ended its side or the connection is broken, reading nothing: for whom
    /// its peer waits. No other task may wait to read meanwhile.
    pub async fn ended(&self) {
        match self.readiness() {
            Ok(readiness) => readiness.ended().await,
            // No descriptor can be watched: then nobody is told.
            Err(_) => std::future::pending().await,
        }
    }

    /// Writes all of `bytes`, waiting for room as often as needed.
    ///
    /// Dropped half-way, an unknown part is written: the connection is good for nothing more.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = match raw::send(self.fd(), bytes)? {
                Some(sent) => sent,
                None => self.send_when_room(bytes).await?,
            };
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Writes a first part of `bytes` (not empty), waiting until there is room. Dropping the wait
    /// writes nothing.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        match raw::send(self.fd(), bytes)? {
            Some(sent) => Ok(sent),
            None => self.send_when_room(bytes).await,
        }
    }

    /// Writes all of all `pieces`, with as few system calls as possible. They are consumed.
    pub async fn write_vectored(&self, mut pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        loop {
            // Also drops leading pieces that are empty.
            IoSlice::advance_slices(&mut pieces, 0);
            if pieces.is_empty() {
                return Ok(());
            }
            let sent = match raw::send_pieces(self.fd(), pieces)? {
                Some(sent) => sent,
                None => self.send_when_room(&pieces[0]).await?,
            };
            IoSlice::advance_slices(&mut pieces, sent);
        }
    }

    /// Sends a first part of `bytes` as soon as there is room.
    async fn send_when_room(&self, bytes: &[u8]) -> io::Result<usize> {
        let readiness = self.readiness()?;
        poll_fn(|cx| match raw::send(self.fd(), bytes)? {
            Some(sent) => Poll::Ready(Ok(sent)),
            None => {
                readiness.wake_to_write(cx);
                Poll::Pending
            }
        })
        .await
    }

    fn poll_receive(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let readiness = self.readiness()?;
        if readiness.may_read() {
            if self.in_a_row.get() >= READS_IN_A_ROW_MAX {
                self.in_a_row.set(0);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(read) = self.try_read(buffer)? {
                self.in_a_row.set(self.in_a_row.get() + 1);
                return Poll::Ready(Ok(read));
            }
        }
        self.in_a_row.set(0);
        readiness.wake_to_read(cx);
        Poll::Pending
    }

    /// In the set of the current executor from now on.
    fn readiness(&self) -> io::Result<&Readiness> {
        match self.readiness.get() {
            Some(readiness) => Ok(readiness),
            None => {
                let new = Readiness::new(self.fd())?;
                Ok(self.readiness.get_or_init(|| new))
            }
        }
    }

    /// Ends our sending side; the peer reads the end after all that was written.
    pub fn shutdown_write(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Write)
    }

    /// Ends both sides at once: waiting reads return 0, writes fail.
    pub fn shutdown(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Both)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The address of the other end, if it has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    /// The address of our end, if it has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        SockRef::from(self).local_addr().ok()?.as_socket().map(canonical)
    }

    /// Whether small writes go out at once.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self.peer {
            Peer::Internet(_) => SockRef::from(self).set_tcp_nodelay(nodelay),
            Peer::Local => Ok(()),
        }
    }

    /// Asks a silent peer for a sign of life after `seconds`, three times within as many again;
    /// 0 never asks.
    pub fn set_keepalive(&self, seconds: u32) -> io::Result<()> {
        let socket = SockRef::from(self);
        if matches!(self.peer, Peer::Local) {
            return Ok(());
        }
        if seconds == 0 {
            return socket.set_keepalive(false);
        }
        let interval = Duration::from_secs(u64::from((seconds / 3).max(1)));
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(u64::from(seconds)))
            .with_interval(interval)
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)
    }

    /// How long what was written may stay unacknowledged before the connection is broken off;
    /// `None` leaves it to the kernel.
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self.peer {
            Peer::Internet(_) => SockRef::from(self).set_tcp_user_timeout(limit),
            Peer::Local => Ok(()),
        }
    }

    /// Takes the connection out of this executor, to be handed to another. What was received and
    /// not read stays in the kernel and goes with it.
    pub fn into_accepted(self) -> Accepted {
        let Self { readiness, fd, peer, .. } = self;
        drop(readiness);
        Accepted { fd, peer }
    }

    /// The descriptor's number, as CLIENT LIST shows it.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd()
    }
}
