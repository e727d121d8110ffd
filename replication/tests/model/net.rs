//! What stands for the network: pipes that deliver in order, in pieces, when it pleases them, and as a
//! rule what was sent. That one end has gone the other hears later, or never.

use crate::time::Time;
use engine::model::World;
use replication::roads::Line;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes on their way in one direction.
pub(crate) struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    wakers: RefCell<Vec<Waker>>,
    /// Its reader, its writer knows that it has ended.
    ended: [Cell<bool>; 2],
    /// What is on its way never arrives.
    is_lost: Cell<bool>,
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
            ended: Default::default(),
            is_lost: Cell::new(false),
            frozen: Cell::new(false),
            damages: Cell::new(false),
            piece: [300, 4_000, 60_000, 1 << 20][dice.usize(..4)],
            capacity: [2_000, 50_000, 1 << 20][dice.usize(..3)],
        }
    }

    /// Sends; the writer waits while too much is under way.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<(), String> {
        poll_fn(|cx| {
            if self.ended[WRITER].get() {
                return Poll::Ready(Err(BROKEN.to_owned()));
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

    /// Receives a piece; nothing any more once it has ended.
    pub(crate) async fn read(
        &self,
        out: &mut Vec<u8>,
        most: usize,
        dice: &RefCell<fastrand::Rng>,
        world: &World,
    ) -> Result<usize, String> {
        poll_fn(|cx| {
            let dice = &mut *dice.borrow_mut();
            let mut bytes = self.bytes.borrow_mut();
            let has_ended = self.ended[READER].get();
            if has_ended && (bytes.is_empty() || self.is_lost.get()) {
                let lost = self.is_lost.get().then(|| Err(BROKEN.to_owned()));
                return Poll::Ready(lost.unwrap_or(Ok(0)));
            }
            if bytes.is_empty() || (self.frozen.get() && !has_ended) {
                return self.wait(cx);
            }
            // A huge backlog in tiny pieces would only cost time.
            let piece = self.piece.max(bytes.len() / 64);
            let length = dice.usize(1..=piece).min(bytes.len()).min(most);
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
            world.note(&out[out.len() - length..]);
            Poll::Ready(Ok(length))
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

    fn end(&self, whose: usize, lost: bool) {
        self.ended[whose].set(true);
        self.is_lost.set(lost || self.is_lost.get());
        self.wake();
    }
}

const READER: usize = 0;
const WRITER: usize = 1;

/// One connection.
pub(crate) struct Wire {
    /// From the master.
    pub(crate) down: Pipe,
    /// To it.
    pub(crate) up: Pipe,
}

impl Wire {
    fn new(dice: &mut fastrand::Rng) -> Wire {
        Wire { down: Pipe::new(dice), up: Pipe::new(dice) }
    }

    fn end(&self, side: Side, lost: bool) {
        let (down, up) = match side {
            Side::Replica => (READER, WRITER),
            Side::Master => (WRITER, READER),
        };
        self.down.end(down, lost);
        self.up.end(up, lost);
    }
}

/// One end of a connection.
pub(crate) struct End {
    conn: Rc<Conn>,
    wire: Rc<Wire>,
    side: Side,
    dice: RefCell<fastrand::Rng>,
}

impl Line for End {
    async fn read(&self, buffer: &mut Vec<u8>, most: usize) -> Result<usize, String> {
        let pipe = match self.side {
            Side::Replica => &self.wire.down,
            Side::Master => &self.wire.up,
        };
        pipe.read(buffer, most, &self.dice, self.conn.time.world()).await
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), String> {
        let pipe = match self.side {
            Side::Replica => &self.wire.up,
            Side::Master => &self.wire.down,
        };
        pipe.write(bytes).await
    }

    async fn write_both(&self, head: &[u8], body: &[u8]) -> Result<(), String> {
        self.write(&[head, body].concat()).await
    }

    /// A replica closes all connections of an attempt at once, and its master hears of it later. What a
    /// master closes its replica hears of once it has what was sent.
    fn close(&self) {
        match self.side {
            Side::Replica => self.conn.close_by_replica(),
            Side::Master => {
                self.wire.end(Side::Master, false);
                self.wire.end(Side::Replica, false);
            }
        }
    }
}

/// What is said of a connection that has ended in the middle of something.
pub(crate) const BROKEN: &str = "the connection is broken";

/// Who finds that connections have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Replica,
    Master,
}

/// The connections of one attempt, and its session.
pub(crate) struct Conn {
    time: Time,
    /// How long it takes until the other end hears of what one does, at most.
    road: u64,
    dice: RefCell<fastrand::Rng>,
    control: Rc<Wire>,
    pub(crate) wires: RefCell<Vec<Rc<Wire>>>,
    /// The way is gone without a word: the other end never hears that this one has.
    pub(crate) is_mute: Cell<bool>,
    /// Since when the master's end could know that it has ended.
    pub(crate) over: Cell<Option<std::time::Instant>>,
    has_closed: Cell<bool>,
}

impl Conn {
    pub(crate) fn new(time: Time, road: u64, mut dice: fastrand::Rng) -> Rc<Conn> {
        Rc::new(Conn {
            time,
            road,
            control: Rc::new(Wire::new(&mut dice)),
            dice: RefCell::new(dice),
            wires: RefCell::default(),
            is_mute: Cell::new(false),
            over: Cell::new(None),
            has_closed: Cell::new(false),
        })
    }

    /// Makes the connections of so many flows.
    pub(crate) fn connect(&self, flows: usize) {
        let dice = &mut *self.dice.borrow_mut();
        self.wires.borrow_mut().extend((0..flows).map(|_| Rc::new(Wire::new(dice))));
    }

    /// One end of the control connection.
    pub(crate) fn control(self: &Rc<Conn>, side: Side) -> End {
        self.end_of(self.control.clone(), side)
    }

    /// One end of a flow's.
    pub(crate) fn flow(self: &Rc<Conn>, flow: usize, side: Side) -> End {
        self.end_of(self.wires.borrow()[flow].clone(), side)
    }

    fn end_of(self: &Rc<Conn>, wire: Rc<Wire>, side: Side) -> End {
        let dice = RefCell::new(self.dice.borrow_mut().fork());
        End { conn: self.clone(), wire, side, dice }
    }

    /// So long a step over this road takes.
    pub(crate) fn delay(&self) -> u64 {
        self.dice.borrow_mut().u64(..=self.road)
    }

    /// As long as what was lost on the way, and is sent again, and again, may take.
    pub(crate) fn long_delay(&self) -> u64 {
        let is_lost = self.dice.borrow_mut().u8(..4) == 0;
        if is_lost { self.dice.borrow_mut().u64(..=20 * self.road) } else { self.delay() }
    }

    fn end_flows(&self, side: Side, lost: bool) {
        self.wires.borrow().iter().for_each(|wire| wire.end(side, lost));
    }

    /// The replica closes all of them; the master hears of it later.
    pub(crate) fn close_by_replica(self: &Rc<Conn>) {
        if self.has_closed.replace(true) {
            return;
        }
        self.control.end(Side::Replica, false);
        self.end_flows(Side::Replica, false);
        let (conn, delay) = (self.clone(), self.long_delay());
        self.time.spawn("close", async move {
            conn.time.sleep_ms(delay).await;
            if !conn.is_mute.get() {
                conn.over.set(Some(conn.time.now()));
                conn.control.end(Side::Master, false);
                conn.end_flows(Side::Master, false);
            }
        });
    }

    /// Everything breaks, and what is on its way is lost.
    pub(crate) fn cut(&self) {
        self.over.set(self.over.get().or(Some(self.time.now())));
        for side in [Side::Replica, Side::Master] {
            self.control.end(side, true);
            self.end_flows(side, true);
        }
    }

    /// The replica finds that the way is gone, the master never does.
    pub(crate) fn vanish(&self) {
        self.is_mute.set(true);
        self.control.end(Side::Replica, true);
        self.end_flows(Side::Replica, true);
    }
}
