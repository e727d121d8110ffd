//! Which sockets are ready: one epoll set an executor, and the ring told of the set as a whole.
//!
//! glommio asks the ring about each socket by itself. Every request that arrives then interrupts
//! the thread that serves the one before (the kernel completes a poll on the thread that asked),
//! which was a fifth of the CPU time of a request without pipelining. Here the kernel only marks a
//! socket in the set, and one call fetches all that were marked since the last; the ring, in which
//! the executor sleeps, hears of the set only when there is nothing left to do.
//!
//! ```text
//!   sockets, bell --(edges)--> epoll set --(one poll, only to sleep)--> glommio's ring
//!                                 |
//!                        poller task: fetch, wake the tasks, let them run, again
//! ```
//!
//! When no task is ready the poller sleeps: first for a moment in the set itself, as any event loop
//! does, then in the ring. The end of that moment is an alarm in the set, set once for all the sleeps
//! within it: a limit of each sleep's own would have the kernel set and unset a timer for each request,
//! which on a virtual machine costs as much as the request.
//!
//! Edges: a socket is told of once, when bytes (or room, or the end) come. [`Readiness`] remembers
//! what it was told, and forgets it when a call had to say "not now".

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::AsyncRead;
use futures_lite::future::yield_now;
use glommio::net::TcpStream;

use super::alarm::AlarmFd;
use super::task;
use super::wake::Bell;

/// Events fetched by one call: a busy shard has some ten, and the next call fetches the rest.
const EVENTS_MAX: usize = 256;

/// The bell's place in the set: no socket has this index.
const BELL: u64 = u64::MAX;

/// And the alarm's.
const ALARM: u64 = u64::MAX - 1;

const ZERO: libc::epoll_event = libc::epoll_event { events: 0, u64: 0 };

/// Both directions at once, so that a socket enters the set once in its life.
const INTEREST: u32 =
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET).cast_unsigned();
const READ_INTEREST: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP).cast_unsigned();
/// Of one that is not listened to: nothing but that it is broken, which always is told.
const EDGES: u32 = libc::EPOLLET.cast_unsigned();
const READ_SIGNS: u32 =
    (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
const WRITE_SIGNS: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
const END_SIGNS: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();

/// The set of the current executor.
pub(super) struct Poller {
    set: OwnedFd,
    bell: Arc<Bell>,
    alarm: Alarm,
    sockets: RefCell<Sockets>,
    events: RefCell<Vec<libc::epoll_event>>,
    /// The ring was asked to say when there is something in the set, and has not.
    is_in_ring: Cell<bool>,
}

#[derive(Default)]
struct Sockets {
    places: Vec<Option<Rc<PollerState>>>,
    free: Vec<usize>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Poller>>> = const { RefCell::new(None) };
}

impl Poller {
    /// The poller of the current thread, which becomes an executor's; until [`Poller::leave`].
    pub(super) fn enter(bell: Arc<Bell>) -> io::Result<Rc<Self>> {
        // SAFETY: no pointers are passed.
        let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        let edge = (libc::EPOLLIN | libc::EPOLLET).cast_unsigned();
        control(&set, libc::EPOLL_CTL_ADD, bell.fd(), edge, BELL)?;
        let alarm = Alarm::new()?;
        control(&set, libc::EPOLL_CTL_ADD, alarm.fd.fd(), edge, ALARM)?;
        let poller = Rc::new(Self {
            set,
            bell,
            alarm,
            sockets: RefCell::default(),
            events: RefCell::new(vec![ZERO; EVENTS_MAX]),
            is_in_ring: Cell::new(false),
        });
        CURRENT.set(Some(Rc::clone(&poller)));
        task::sockets_are_looked_at(Some(Poller::glance));
        Ok(poller)
    }

    /// The current thread is no executor's any more.
    pub(super) fn leave() {
        CURRENT.set(None);
        task::sockets_are_looked_at(None);
    }

    /// Wakes the tasks whose sockets are ready or whom other threads have woken, and lets them run;
    /// sleeps when there are none. Never ends.
    pub(super) async fn run(self: Rc<Self>) {
        loop {
            let busy = others_are_ready().await;
            if !task::ring_is_wanted() {
                let found = if !busy && self.bell.may_sleep() {
                    let found = self.doze();
                    self.bell.awake();
                    found
                } else {
                    self.look(0).max(1)
                };
                if found > 0 {
                    task::yield_if_needed().await;
                    continue;
                }
            } else if task::only_looks_are_wanted() {
                // With those who want it: what is in the set needs no poll of the ring's then.
                task::let_ring_look().await;
                self.look(0);
                continue;
            }
            if self.bell.may_sleep() {
                self.is_in_ring.set(true);
                ring_hears_of(&self.set).await;
                self.is_in_ring.set(false);
                self.bell.awake();
                task::looked();
            }
            self.look(0);
            if task::look_is_due() {
                // Where other threads always want something it does not sleep: files and timers have their turn all the same.
                task::let_ring_look().await;
            }
        }
    }

    /// Wakes the tasks of this executor for which there is something now; `false` where that is the ring's at the moment:
    /// what is in the set is what wakes the poller there, and nobody may take it away.
    pub(super) fn glance() -> bool {
        CURRENT.with_borrow(|current| match current {
            Some(poller) if !poller.is_in_ring.get() => {
                poller.look(0);
                true
            }
            _ => false,
        })
    }

    /// Sleeps in the set. How much there was, also before in the same short sleep: if nothing, that has
    /// ended.
    fn doze(&self) -> usize {
        self.alarm.set();
        let found = self.look(-1);
        if self.alarm.is_set.get() {
            // A signal may have ended the sleep, with nothing found: the next one goes on.
            return found.max(1);
        }
        found + usize::from(self.alarm.is_busy.get())
    }

    /// Wakes those for whom there is something now, or within `millis` (for ever: -1). How much there was.
    fn look(&self, millis: i32) -> usize {
        let mut events = self.events.borrow_mut();
        let (set, start) = (self.set.as_raw_fd(), events.as_mut_ptr());
        let max = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // SAFETY: `start` is valid for writing `max` events.
        let found = unsafe { libc::epoll_wait(set, start, max, millis) };
        // It fails only for arguments that are wrong (ours are not), or a signal: then look again.
        let found = usize::try_from(found).unwrap_or(0);
        let sockets = self.sockets.borrow();
        let mut alarms = 0;
        for event in &events[..found] {
            let (signs, index) = (event.events, event.u64);
            if index == ALARM {
                self.alarm.is_set.set(false);
                alarms += 1;
            } else if index != BELL
                && let Some(Some(state)) = sockets.places.get(index as usize)
            {
                state.tell(signs);
            }
        }
        let found = found - alarms + self.bell.answer();
        if found > 0 && alarms == 0 {
            self.alarm.is_busy.set(true);
        }
        found
    }
}

/// As [`task::yield_now`], and looks at the sockets and at what other threads want in any case: whoever has something now runs
/// first. That is one call of the kernel's, or some ten where a file is being written here; for work in slices that are as
/// long as it is worth.
pub async fn glance() {
    if Poller::glance() && !task::look_is_due() {
        task::yield_now().await;
    } else {
        task::let_ring_look().await;
    }
}

/// Lets every task that is ready run, and tells whether there are such again.
async fn others_are_ready() -> bool {
    yield_now().await;
    let before = task::polls();
    yield_now().await;
    task::polls() != before
}

/// An executor that has nothing to do sleeps in the set first, until nothing has come for this long (or
/// twice): that costs one call, and the ring six. Long sleeps are the ring's, which also knows the timers;
/// these are late by no more than that.
const SHORT_SLEEP: Duration = Duration::from_millis(1);

/// Ends a short sleep in the set.
struct Alarm {
    fd: AlarmFd,
    /// It will go off.
    is_set: Cell<bool>,
    /// Something came since it was set: when it goes off, the executor is not idle.
    is_busy: Cell<bool>,
}

impl Alarm {
    fn new() -> io::Result<Self> {
        let fd = AlarmFd::new()?;
        Ok(Self { fd, is_set: Cell::new(false), is_busy: Cell::new(false) })
    }

    /// Lets it go off after [`SHORT_SLEEP`], unless it will anyway.
    fn set(&self) {
        if self.is_set.replace(true) {
            return;
        }
        self.is_busy.set(false);
        self.fd.set(SHORT_SLEEP);
    }
}

/// Waits until the ring says that there is something in the set, also what came before.
///
/// glommio lets nobody ask its ring about a descriptor; it polls what it takes for a stream, once
/// when it is made, and then tries to receive. So it is given a second name of the set, and what
/// comes of receiving from it (an error) is not looked at.
async fn ring_hears_of(set: &OwnedFd) {
    let Ok(second) = set.as_fd().try_clone_to_owned() else {
        // No descriptor left. The timer of `yield_now` lets the ring run; then look again.
        return super::time::sleep(SHORTAGE_WAIT).await;
    };
    // SAFETY: we own the descriptor and give it away; it is closed when the TcpStream is dropped.
    let mut stream = unsafe { TcpStream::from_raw_fd(second.into_raw_fd()) };
    let _ = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut [0])).await;
}

/// How long an executor sleeps that has no descriptor left to sleep better.
const SHORTAGE_WAIT: Duration = Duration::from_millis(1);

fn control(set: &OwnedFd, what: i32, fd: RawFd, events: u32, index: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: index };
    // SAFETY: `event` is valid during the call.
    let answer = unsafe { libc::epoll_ctl(set.as_raw_fd(), what, fd, &raw mut event) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What is known of one descriptor, and who waits for it.
#[derive(Debug, Default)]
struct PollerState {
    reader: Side,
    writer: Side,
    /// The peer has ended, or the connection is broken: there will be no edge for it again.
    ended: Cell<bool>,
}

#[derive(Debug, Default)]
struct Side {
    ready: Cell<bool>,
    waits: Cell<bool>,
    /// Kept when it has been used: the next to wait is nearly always the same task.
    waker: RefCell<Option<Waker>>,
}

impl PollerState {
    fn tell(&self, signs: u32) {
        if signs & END_SIGNS != 0 {
            self.ended.set(true);
        }
        if signs & READ_SIGNS != 0 {
            self.reader.tell();
        }
        if signs & WRITE_SIGNS != 0 {
            self.writer.tell();
        }
    }
}

impl Side {
    fn tell(&self) {
        self.ready.set(true);
        if self.waits.replace(false)
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    fn wait(&self, waker: &Waker) {
        self.ready.set(false);
        self.watch(waker);
    }

    /// Wakes this task at the next sign, without forgetting what was told.
    fn watch(&self, waker: &Waker) {
        self.waits.set(true);
        let known = self.waker.borrow().as_ref().is_some_and(|old| old.will_wake(waker));
        if !known {
            // The old one is dropped when nothing is borrowed: a task may go with it.
            drop(self.waker.replace(Some(waker.clone())));
        }
    }
}

/// A descriptor in the set of the executor on which it first had to wait. Dropping it takes it out,
/// which must be done before the descriptor is closed.
pub(super) struct Readiness {
    poller: Rc<Poller>,
    fd: RawFd,
    index: usize,
    state: Rc<PollerState>,
    is_deaf: Cell<bool>,
}

impl Readiness {
    /// Puts `fd` into the current executor's set. What is ready already is told as an edge.
    pub(super) fn new(fd: RawFd) -> io::Result<Self> {
        let poller = CURRENT.with_borrow(|current| {
            Rc::clone(current.as_ref().expect("sockets are waited for on an executor"))
        });
        let state = Rc::new(PollerState::default());
        // Nothing is known yet: the first to read tries.
        state.reader.ready.set(true);
        let index = {
            let mut sockets = poller.sockets.borrow_mut();
            match sockets.free.pop() {
                Some(index) => {
                    sockets.places[index] = Some(Rc::clone(&state));
                    index
                }
                None => {
                    sockets.places.push(Some(Rc::clone(&state)));
                    sockets.places.len() - 1
                }
            }
        };
        let readiness = Self { poller, fd, index, state, is_deaf: Cell::new(false) };
        control(&readiness.poller.set, libc::EPOLL_CTL_ADD, fd, INTEREST, index as u64)?;
        Ok(readiness)
    }

    /// Whether what comes is told: else it wakes nobody, not even the executor, until it is told again. That the
    /// connection is broken always is, and that there is room, to who waits for it.
    pub(super) fn listen(&self, to_what_comes: bool) {
        if self.is_deaf.replace(!to_what_comes) == to_what_comes {
            self.tell_interest();
        }
    }

    /// To be told anew has what is ready now told as an edge.
    fn tell_interest(&self) {
        let deaf = if self.state.writer.waits.get() { INTEREST & !READ_INTEREST } else { EDGES };
        let interest = if self.is_deaf.get() { deaf } else { INTEREST };
        // It fails for wrong arguments only: the descriptor is in the set.
        let index = self.index as u64;
        let _ = control(&self.poller.set, libc::EPOLL_CTL_MOD, self.fd, interest, index);
    }

    /// Whether reading is worth a try.
    pub(super) fn may_read(&self) -> bool {
        self.state.reader.ready.get()
    }

    /// All that had come was read; what comes next is told. Not so after the end, which is told
    /// once and can stand behind the last bytes.
    pub(super) fn drained(&self) {
        if !self.state.ended.get() {
            self.state.reader.ready.set(false);
        }
    }

    /// After a call that said "not now": wakes this task when there is something to read.
    pub(super) fn wake_to_read(&self, cx: &Context<'_>) {
        self.state.reader.wait(cx.waker());
    }

    /// After a call that said "not now": wakes this task when there is room.
    pub(super) fn wake_to_write(&self, cx: &Context<'_>) {
        self.state.writer.wait(cx.waker());
        if self.is_deaf.get() {
            self.tell_interest();
        }
    }

    /// Waits until the peer has ended its side or the connection is broken; what there is to read
    /// stays as it is. Only while nobody waits to read.
    pub(super) async fn ended(&self) {
        poll_fn(|cx| {
            if self.state.ended.get() {
                return Poll::Ready(());
            }
            self.state.reader.watch(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Waits for something to read, or the end, or an error.
    pub(super) async fn readable(&self) {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) && self.may_read() {
                return Poll::Ready(());
            }
            self.wake_to_read(cx);
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        // It fails if the descriptor never came into the set.
        let _ = control(&self.poller.set, libc::EPOLL_CTL_DEL, self.fd, 0, 0);
        let mut sockets = self.poller.sockets.borrow_mut();
        let state = sockets.places[self.index].take();
        sockets.free.push(self.index);
        drop(sockets);
        drop(state);
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").field("fd", &self.fd).field("state", &self.state).finish()
    }
}
