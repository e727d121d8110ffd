//! What stands for the network: pipes that deliver in order, in pieces, when it pleases them, and as a
//! rule what was sent.

use replication::bell::Bell;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes on their way in one direction.
pub(crate) struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    wakers: RefCell<Vec<Waker>>,
    closed: Cell<bool>,
    frozen: Cell<bool>,
    /// A bit of what is delivered next is flipped.
    damages: Cell<bool>,
    /// Bytes delivered at once.
    piece: usize,
    /// A writer waits above it.
    capacity: usize,
}

impl Pipe {
    fn new(dice: &mut fastrand::Rng) -> Pipe {
        Pipe {
            bytes: RefCell::default(),
            wakers: RefCell::default(),
            closed: Cell::new(false),
            frozen: Cell::new(false),
            damages: Cell::new(false),
            piece: [300, 4_000, 60_000, 1 << 20][dice.usize(..4)],
            capacity: [2_000, 50_000, 1 << 20][dice.usize(..3)],
        }
    }

    /// Sends; the writer waits while too much is under way.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<(), String> {
        poll_fn(|cx| {
            if self.closed.get() {
                return Poll::Ready(Err("the connection is closed".to_owned()));
            }
            if self.bytes.borrow().len() >= self.capacity {
                return self.wait(cx);
            }
            self.bytes.borrow_mut().extend(bytes);
            self.wake();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Receives a piece.
    pub(crate) async fn read(
        &self,
        out: &mut Vec<u8>,
        dice: &mut fastrand::Rng,
    ) -> Result<(), String> {
        poll_fn(|cx| {
            let mut bytes = self.bytes.borrow_mut();
            if bytes.is_empty() && self.closed.get() {
                return Poll::Ready(Err("the connection is closed".to_owned()));
            }
            if bytes.is_empty() || (self.frozen.get() && !self.closed.get()) {
                return self.wait(cx);
            }
            // A huge backlog in tiny pieces would only cost time.
            let piece = self.piece.max(bytes.len() / 64);
            let length = dice.usize(1..=piece).min(bytes.len());
            let (front, back) = bytes.as_slices();
            let first = length.min(front.len());
            out.extend_from_slice(&front[..first]);
            out.extend_from_slice(&back[..length - first]);
            if self.damages.take() {
                let place = out.len() - 1 - dice.usize(..length);
                out[place] ^= 1 << dice.u8(..8);
            }
            bytes.drain(..length);
            self.wake();
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.wakers.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&self) {
        self.wakers.borrow_mut().drain(..).for_each(Waker::wake);
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.set(frozen);
        self.wake();
    }

    /// Damages a bit of what comes next.
    pub(crate) fn damage(&self) {
        self.damages.set(true);
    }

    fn close(&self, lost: bool) {
        self.closed.set(true);
        if lost {
            self.bytes.borrow_mut().clear();
        }
        self.wake();
    }
}

/// One flow's connection.
pub(crate) struct Wire {
    pub(crate) down: Pipe,
    pub(crate) up: Pipe,
}

/// The connections of one session.
pub(crate) struct Conn {
    pub(crate) wires: Vec<Wire>,
    pub(crate) closed: Cell<bool>,
    /// Rung at the end.
    pub(crate) closing: Bell,
}

impl Conn {
    pub(crate) fn new(flows: usize, dice: &mut fastrand::Rng) -> Rc<Conn> {
        let mut wire = |_| Wire { down: Pipe::new(dice), up: Pipe::new(dice) };
        let wires = (0..flows).map(&mut wire).collect();
        Rc::new(Conn { wires, closed: Cell::new(false), closing: Bell::default() })
    }

    /// Ends all connections; with `lost` what is on its way never arrives.
    pub(crate) fn close(&self, lost: bool) {
        self.closed.set(true);
        for wire in &self.wires {
            wire.down.close(lost);
            wire.up.close(lost);
        }
        self.closing.ring();
    }
}
