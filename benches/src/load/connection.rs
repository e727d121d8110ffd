//! One connection: what is still to be sent, what is awaited, what has arrived.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use engine::resp::{ReplyLimits, ReplyScanner};

use super::command::Expected;
use super::link::{Link, TlsContext};

/// Room for arriving bytes at first; it doubles when a reply does not fit.
const INPUT_BYTES: usize = 64 * 1024;

/// A request that was written and not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// When it was to be sent, in nanoseconds since the run began.
    pub(super) intended: u64,
    pub(super) expected: Expected,
}

pub(super) struct Connection {
    link: Link,
    /// Requests are appended here; `sent` bytes of it are gone.
    pub(super) output: Vec<u8>,
    sent: usize,
    /// Of its bytes, `filled` have arrived and are not judged.
    input: Vec<u8>,
    filled: usize,
    scanner: ReplyScanner,
    /// Unanswered requests, oldest first. Bounded by the pipeline.
    pub(super) pending: VecDeque<Pending>,
    /// Whether epoll was asked to tell when the socket takes bytes.
    pub(super) awaits_room: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, tls: Option<&TlsContext>) -> io::Result<Connection> {
        Ok(Connection {
            link: Link::connect(address, tls)?,
            output: Vec::new(),
            sent: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            scanner: ReplyScanner::new(ReplyLimits::default()),
            pending: VecDeque::new(),
            awaits_room: false,
        })
    }

    pub(super) fn descriptor(&self) -> std::os::fd::RawFd {
        self.link.descriptor()
    }

    /// Sends what the socket takes; true if all is gone.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.link.send(&self.output[self.sent..])? {
                0 => return Ok(false),
                sent => self.sent += sent,
            }
        }
        self.output.clear();
        self.sent = 0;
        if self.link.has_unsent() {
            self.link.send(&[])?;
        }
        Ok(!self.link.has_unsent())
    }

    /// Reads what has arrived and hands every whole reply to `judge`, with the request it answers.
    pub(super) fn receive(&mut self, mut judge: impl FnMut(&[u8], Pending)) -> io::Result<()> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(self.input.len() * 2, 0);
            }
            let Some(length) = self.link.receive(&mut self.input[self.filled..])? else {
                return Ok(());
            };
            let is_full = self.filled + length == self.input.len();
            self.filled += length;
            self.judge_replies(&mut judge)?;
            // One reply per read is the rule without pipelining: asking again would cost a system
            // call for nothing.
            if !is_full && !self.link.has_tls() {
                return Ok(());
            }
        }
    }

    fn judge_replies(&mut self, judge: &mut impl FnMut(&[u8], Pending)) -> io::Result<()> {
        let mut start = 0;
        while let Some(length) = self
            .scanner
            .next(&self.input[start..self.filled])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            let Some(pending) = self.pending.pop_front() else {
                let message = "a reply to no request";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            judge(&self.input[start..start + length], pending);
            start += length;
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}
