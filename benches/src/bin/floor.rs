//! The floor: what a server costs that does nothing but its socket calls.
//!
//! One thread, one epoll set, one `recv` and one `send` for all requests that came together. It finds
//! where commands end, and answers `$-1` to a GET and `+OK` to anything else. What a real server takes
//! beyond this it takes for doing something.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Room for arriving bytes of one connection at first; it doubles when a command does not fit.
const INPUT_BYTES: usize = 16 * 1024;

/// Events that one call of epoll brings.
const EVENTS: usize = 256;

/// A connection and the beginning of a command that has not wholly come.
struct Connection {
    socket: OwnedFd,
    input: Vec<u8>,
    filled: usize,
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let Some(port) = port else {
        writeln!(io::stderr(), "floor: the only argument is a port")?;
        std::process::exit(2);
    };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    // SAFETY: no pointers; the descriptor that comes back is nobody else's.
    let epoll = unsafe {
        let descriptor = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    watch(&epoll, listener.as_raw_fd(), u64::MAX)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    let mut output = Vec::new();
    loop {
        let (start, max) = (events.as_mut_ptr(), EVENTS as libc::c_int);
        // SAFETY: `start` is valid for writing `max` events.
        let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), start, max, -1) };
        for event in &events[..count.max(0) as usize] {
            let number = event.u64 as usize;
            if event.u64 == u64::MAX {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let socket = OwnedFd::from(stream);
                watch(&epoll, socket.as_raw_fd(), connections.len() as u64)?;
                let input = vec![0; INPUT_BYTES];
                connections.push(Some(Connection { socket, input, filled: 0 }));
            } else if let Some(connection) = &mut connections[number]
                && !connection.serve(&mut output)
            {
                connections[number] = None;
            }
        }
    }
}

fn watch(epoll: &OwnedFd, descriptor: RawFd, number: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number };
    // SAFETY: both descriptors are open, and the event lives during the call.
    let answer = unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Connection {
    /// One read, and one write for all commands that it completed. `false`: the connection is over.
    fn serve(&mut self, output: &mut Vec<u8>) -> bool {
        if self.filled == self.input.len() {
            self.input.resize(self.input.len() * 2, 0);
        }
        let spare = &mut self.input[self.filled..];
        let (start, len) = (spare.as_mut_ptr().cast(), spare.len());
        // SAFETY: `start` is valid for writing `len` bytes during the call.
        let read = unsafe { libc::recv(self.socket.as_raw_fd(), start, len, 0) };
        if read <= 0 {
            return false;
        }
        self.filled += read as usize;
        output.clear();
        let mut handled = 0;
        while let Some(length) = command_length(&self.input[handled..self.filled]) {
            let is_get = self.input[handled..].starts_with(b"*2\r\n$3\r\nGET");
            output.extend_from_slice(if is_get { b"$-1\r\n" } else { b"+OK\r\n" });
            handled += length;
        }
        self.input.copy_within(handled..self.filled, 0);
        self.filled -= handled;
        output.is_empty() || self.send(output)
    }

    fn send(&self, mut output: &[u8]) -> bool {
        // Blocks where the client does not read: the load generator always does.
        while !output.is_empty() {
            let (start, len) = (output.as_ptr().cast(), output.len());
            // SAFETY: `start` is valid for reading `len` bytes during the call.
            let sent =
                unsafe { libc::send(self.socket.as_raw_fd(), start, len, libc::MSG_NOSIGNAL) };
            if sent <= 0 {
                return false;
            }
            output = &output[sent as usize..];
        }
        true
    }
}

/// The bytes of the command at the beginning of `input`, if it has come wholly.
fn command_length(input: &[u8]) -> Option<usize> {
    let (count, mut at) = number_line(input, b'*')?;
    for _ in 0..count {
        let (length, line) = number_line(&input[at..], b'$')?;
        at = at.checked_add(line)?.checked_add(length)?.checked_add(2)?;
        if at > input.len() {
            return None;
        }
    }
    Some(at)
}

/// The number in a line that begins with `marker`, and the line's bytes. The load generator sends
/// nothing else, so what is no such line counts as one that has not come.
fn number_line(input: &[u8], marker: u8) -> Option<(usize, usize)> {
    let mut number = 0usize;
    if *input.first()? != marker {
        return None;
    }
    for (at, byte) in input.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(usize::from(byte - b'0'))?
            }
            b'\r' => return (input.len() > at + 1).then_some((number, at + 2)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_where_its_last_argument_does_and_not_before() {
        let whole = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n";
        for end in 0..whole.len() {
            assert_eq!(command_length(&whole[..end]), None, "{end}");
        }
        let mut two = whole.to_vec();
        two.extend_from_slice(b"*1\r\n");
        assert_eq!(command_length(&two), Some(whole.len()));
        assert_eq!(command_length(b"PING\r\n"), None);
    }
}
