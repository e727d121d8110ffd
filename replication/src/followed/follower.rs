//! One follower: what is known of it, and what takes no time. `feed` runs it.

use super::copy::FullCopy;
use super::hello::{Asking, From};
use super::machine::{Machine, Stage};
use super::reason::Reason;
use super::stream::Stream;
use crate::bell::Bell;
use crate::info::{Progress, Replica, Speaks};
use crate::roads::Line;
use crate::transport::Transport;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// See the module's doc.
pub struct Follower {
    /// Names it.
    pub id: u64,
    /// How it asked.
    pub asking: Asking,
    /// How far it is.
    pub machine: RefCell<Machine>,
    /// Rung when there may be something to send.
    pub bell: Rc<Bell>,
    /// The copy that it takes.
    pub(super) copy: RefCell<Option<Rc<FullCopy>>>,
    /// Its connection.
    pub transport: Transport,
    began: Instant,
    /// When it was told last that its copy is prepared.
    comforted: Cell<Instant>,
}

impl Follower {
    /// One that asked like this.
    pub fn new(id: u64, asking: Asking, transport: Transport) -> Rc<Follower> {
        let now = Instant::now();
        // Who says SYNC is older than acknowledgements.
        let speaks = asking.from != From::Sync;
        Rc::new(Follower {
            id,
            asking,
            machine: RefCell::new(Machine::new(speaks, now)),
            bell: Rc::new(Bell::default()),
            copy: RefCell::default(),
            transport,
            began: now,
            comforted: Cell::new(now),
        })
    }

    /// Ends it, whoever reads or writes.
    pub fn end(&self, reason: Reason) {
        if self.machine.borrow_mut().end(reason) {
            self.transport.close_now();
            self.bell.ring();
        }
    }

    /// For how long it need not be told that its copy is prepared.
    pub(super) fn comfort_left(&self, every: Duration) -> Duration {
        every.saturating_sub(self.comforted.get().elapsed())
    }

    /// It is told.
    pub(super) fn comforted(&self) {
        self.comforted.set(Instant::now());
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.machine.borrow().ended().is_some()
    }

    /// Where it is reached.
    pub fn address(&self) -> String {
        let Asking { ip, port, .. } = &self.asking;
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    }

    /// What INFO and the metrics show.
    pub(super) fn describe(&self, stream: Option<&Stream>, now: Instant) -> Replica {
        let machine = self.machine.borrow();
        let progress =
            self.copy.borrow().as_ref().filter(|_| machine.stage() == Stage::Copying).map(|copy| {
                let (done, total) = (&copy.progress.keys, &copy.progress.keys_total);
                let seconds = now.saturating_duration_since(self.began).as_secs_f64();
                Progress::of(done.load(Ordering::Relaxed), total.load(Ordering::Relaxed), seconds)
            });
        let acked = machine.acked();
        let behind = acked.zip(stream);
        Replica {
            session: self.id,
            ip: self.asking.ip.clone(),
            port: self.asking.port,
            state: machine.state(),
            offset: acked.unwrap_or_default(),
            lags: behind.map(|(acked, stream)| stream.lags(acked, now)).unwrap_or_default(),
            last_ack_ms: machine.silence(now).as_millis() as u64,
            progress,
            speaks: Speaks::Commands {
                lag_bytes: behind
                    .map_or(0, |(acked, stream)| stream.backlog.end().saturating_sub(acked)),
            },
        }
    }
}

impl Transport {
    /// Ends it at once, whoever reads or writes.
    fn close_now(&self) {
        Line::close(self);
    }
}
