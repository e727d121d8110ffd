//! A port, or a path, that others connect to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::address::{Peer, canonical};
use super::raw;
use super::stream::Accepted;
use crate::rt::poller::Readiness;
use crate::rt::time::sleep;

/// How long accepting first pauses when there are no descriptors or no memory for a connection.
const SHORTAGE_WAIT_MIN: Duration = Duration::from_millis(10);
/// And at most: a connection that closes is noticed this late.
const SHORTAGE_WAIT_MAX: Duration = Duration::from_secs(1);

/// A listening socket. Dropping it frees its port (or path) at once.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// The path of a Unix-domain socket, to be removed in the end.
    path: Option<PathBuf>,
}

impl Listener {
    /// Listens on `address`, alone: a port that somebody listens on is an error of kind
    /// `AddrInUse`. An IPv6 address takes IPv6 connections only.
    ///
    /// May be called outside an executor.
    pub fn bind(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        Self::bind_tcp(address, backlog, true)
    }

    /// Listens on `port` of all addresses: IPv6 and IPv4 together where there is IPv6, else IPv4.
    pub fn bind_any(port: u16, backlog: u32) -> io::Result<Self> {
        let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        match Self::bind_tcp(six, backlog, false) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                Self::bind_tcp(four, backlog, true)
            }
            answer => answer,
        }
    }

    /// Listens on a Unix-domain socket. A socket that is left there and that nobody answers is
    /// replaced; whatever else stands there is somebody's and stays.
    pub fn bind_unix(path: &Path, backlog: u32) -> io::Result<Self> {
        let at = || format!("unix socket {}", path.display());
        let address = SockAddr::unix(path).map_err(|_| {
            let text = format!("cannot listen on {}: the path is too long", at());
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let found = path.symlink_metadata().map(|found| found.file_type()).ok();
        if let Some(kind) = found.filter(|kind| !kind.is_socket()) {
            let what = match kind {
                kind if kind.is_dir() => "a directory",
                kind if kind.is_symlink() => "a symbolic link",
                kind if kind.is_file() => "a file",
                _ => "something else",
            };
            let text = format!(
                "cannot listen on {}: there is {what}, not a socket: remove it or choose another path",
                at()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if found.is_some() {
            let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            if probe.connect(&address).is_ok() {
                return Err(explain(io::ErrorKind::AddrInUse.into(), &at()));
            }
            std::fs::remove_file(path).map_err(|error| explain(error, &at()))?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let mut listener = Self::listen(socket, &address, backlog, &at())?;
        listener.path = Some(path.to_owned());
        Ok(listener)
    }

    fn bind_tcp(address: SocketAddr, backlog: u32, one_family: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Connections that linger after a restart do not block the port. Another listener does,
        // as long as neither says SO_REUSEPORT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(one_family)?;
        }
        Self::listen(socket, &address.into(), backlog, &address.to_string())
    }

    fn listen(socket: Socket, address: &SockAddr, backlog: u32, at: &str) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        socket
            .bind(address)
            .and_then(|()| socket.listen(backlog))
            .map_err(|error| explain(error, at))?;
        Ok(Self { socket, path: None })
    }

    /// The next connection.
    ///
    /// Connections that break before they are taken are passed over. When there are no descriptors
    /// or no memory, this pauses (and says so in the log, once) and tries again. An error means
    /// that the listener itself is broken or closed.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let mut pause = SHORTAGE_WAIT_MIN;
        loop {
            let shortage = match self.try_accept() {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => match Readiness::new(self.socket.as_raw_fd()) {
                    Ok(readiness) => {
                        readiness.readable().await;
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            match shortage.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    if pause == SHORTAGE_WAIT_MIN {
                        log::warn!("cannot accept connections for now: {shortage}");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(SHORTAGE_WAIT_MAX);
                }
                // What accept(2) lists as troubles of the one connection, and a signal.
                Some(
                    libc::ECONNABORTED
                    | libc::EINTR
                    | libc::EPERM
                    | libc::EPROTO
                    | libc::ENETDOWN
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET
                    | libc::EHOSTUNREACH
                    | libc::ENETUNREACH,
                ) => {}
                _ => return Err(shortage),
            }
        }
    }

    /// The next connection, if one waits. Errors are the kernel's own.
    pub fn try_accept(&self) -> io::Result<Option<Accepted>> {
        let Some((fd, address)) = raw::accept(self.socket.as_raw_fd())? else { return Ok(None) };
        Ok(Some(Accepted { fd, peer: Peer::from_socket(&address) }))
    }

    /// Stops listening: those who connect are refused, and a waiting [`Listener::accept`] fails.
    pub fn close(&self) {
        // Nothing to do about a failure; it says that nobody listens.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The address it listens on (with the port that was chosen for port 0), unless it is a path.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket().map(canonical)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Closing alone is not enough where a child process has inherited the socket: it would go on
        // accepting connections that nobody serves.
        self.close();
        if let Some(path) = &self.path {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The error, of the same kind, with the address and in the words of the operator.
fn explain(error: io::Error, at: &str) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot listen on {at}: it is in use by another process")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("cannot listen on {at}: this machine has no such address")
        }
        _ => format!("cannot listen on {at}: {error}"),
    };
    io::Error::new(error.kind(), text)
}
