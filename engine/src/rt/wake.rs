//! Wakers that may be kept, used and dropped on any thread.
//!
//! A task's own waker belongs to its executor: glommio 0.9 may free a task twice when one is dropped
//! elsewhere, and loses about one wake-up from elsewhere in 2,500 (it sleeps over tasks that are
//! ready when its own event descriptor rings between its two looks). So no such waker ever leaves
//! its thread. What other threads get is a number and a bell:
//!
//! ```text
//!   executor's thread                              any thread
//!   table  [ 0: waker | 1: waker | ... ]           ForeignWaker { number, bell }
//!            ^                                           |
//!            +-- poller <-- queue of numbers <--- push --+
//!                   ^                                    |
//!                   +---- event descriptor <--- only if the executor sleeps
//! ```
//!
//! Going to sleep is: say so, fence, look at the queue again. Ringing is: push, fence, look whether
//! somebody sleeps. One of the two sees the other. The queue holds each waker at most once, so it is
//! bounded by how many there are.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Wake, Waker};

use crossbeam::queue::SegQueue;

/// A waker for other threads: of a task of this executor, or of whatever polls where there is none.
#[derive(Debug)]
pub struct ForeignWaker(Kind);

#[derive(Debug)]
enum Kind {
    /// Of a task of an executor.
    Numbered(Arc<Numbered>),
    /// Polled outside any executor, by something whose wakers go anywhere.
    Plain(Waker),
}

impl ForeignWaker {
    /// For the task that is being polled with `waker` now.
    pub fn new(waker: &Waker) -> Self {
        let bell = CURRENT.with_borrow(|current| current.as_ref().map(Arc::clone));
        match bell {
            None => Self(Kind::Plain(waker.clone())),
            Some(bell) => {
                let number = TABLE.with_borrow_mut(|table| table.insert(waker.clone()));
                Self(Kind::Numbered(Arc::new(Numbered {
                    number,
                    bell,
                    queued: AtomicBool::new(false),
                })))
            }
        }
    }

    /// From now on for the task that is being polled with `waker`, which may be another one, and
    /// on another thread than before.
    pub fn renew(&mut self, waker: &Waker) {
        match &mut self.0 {
            Kind::Numbered(numbered) if numbered.is_here() => {
                let number = numbered.number;
                let old = TABLE.with_borrow_mut(|table| table.renew(number, waker));
                // With the last waker a task may go, and with it others of this table.
                drop(old);
            }
            Kind::Plain(plain) if !has_bell() => plain.clone_from(waker),
            _ => *self = Self::new(waker),
        }
    }

    /// As [`ForeignWaker::new`] into an empty place, [`ForeignWaker::renew`] into a full one.
    pub fn set<'a>(place: &'a mut Option<Self>, waker: &Waker) -> &'a Self {
        if let Some(old) = place.as_mut() {
            old.renew(waker);
        }
        place.get_or_insert_with(|| Self::new(waker))
    }

    /// Wakes the task, from any thread.
    pub fn wake(&self) {
        match &self.0 {
            Kind::Numbered(numbered) => numbered.wake_by_ref(),
            Kind::Plain(waker) => waker.wake_by_ref(),
        }
    }

    /// The same as a [`Waker`] of the standard library; costs no allocation.
    pub fn waker(&self) -> Waker {
        match &self.0 {
            Kind::Numbered(numbered) => Waker::from(Arc::clone(numbered)),
            Kind::Plain(waker) => waker.clone(),
        }
    }
}

/// A place in the table of one executor. The place is given back when the last of its names goes.
#[derive(Debug)]
struct Numbered {
    number: usize,
    bell: Arc<Bell>,
    /// In the bell's queue, and not yet taken out of it.
    queued: AtomicBool,
}

impl Numbered {
    /// Whether this thread is the executor's.
    fn is_here(&self) -> bool {
        CURRENT
            .try_with(|current| {
                current.borrow().as_ref().is_some_and(|bell| Arc::ptr_eq(bell, &self.bell))
            })
            .unwrap_or(false)
    }
}

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_here() {
            TABLE.with_borrow(|table| table.wake(self.number));
        } else if !self.queued.swap(true, Ordering::AcqRel) {
            self.bell.put(Item::Wake(Arc::clone(self)));
            self.bell.ring();
        }
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        if self.is_here() {
            let waker = TABLE.with_borrow_mut(|table| table.remove(self.number));
            drop(waker);
        } else {
            // Nobody waits for that: it is seen when the executor looks the next time.
            self.bell.put(Item::Forget(self.number));
        }
    }
}

/// What an executor hears from other threads.
#[derive(Debug)]
pub(super) struct Bell {
    /// Rung by writing to it. It is never read: the poller hears each write as an edge.
    event: OwnedFd,
    /// The executor is about to sleep, or sleeps, and nobody has rung yet.
    asleep: AtomicBool,
    /// The executor has ended.
    closed: AtomicBool,
    queue: SegQueue<Item>,
}

#[derive(Debug)]
enum Item {
    Wake(Arc<Numbered>),
    Forget(usize),
}

impl Bell {
    /// The bell of the current thread, which becomes an executor's; until [`leave`].
    pub(super) fn enter() -> io::Result<Arc<Self>> {
        // SAFETY: no pointers are passed.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        let bell = Arc::new(Self {
            // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
            event: unsafe { OwnedFd::from_raw_fd(event) },
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            queue: SegQueue::new(),
        });
        CURRENT.set(Some(Arc::clone(&bell)));
        Ok(bell)
    }

    /// The descriptor that becomes readable, once more, each time a sleeper is rung for.
    pub(super) fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Wakes the tasks that other threads have woken; how many.
    pub(super) fn answer(&self) -> usize {
        let mut woken = 0;
        while let Some(item) = self.queue.pop() {
            match item {
                Item::Wake(numbered) => {
                    // Before the task runs: what is told after this is told anew.
                    numbered.queued.swap(false, Ordering::AcqRel);
                    TABLE.with_borrow(|table| table.wake(numbered.number));
                    woken += 1;
                }
                Item::Forget(number) => {
                    drop(TABLE.with_borrow_mut(|table| table.remove(number)));
                }
            }
        }
        woken
    }

    /// Says that the executor is about to sleep. `false`: it must not, something was rung before.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let may = self.queue.is_empty();
        if !may {
            self.awake();
        }
        may
    }

    /// Says that the executor looks at the queue by itself.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    fn put(&self, item: Item) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.queue.push(item);
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            self.sweep();
        }
    }

    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            let one = 1u64;
            // SAFETY: `one` is valid for reading 8 bytes. It cannot fail before 2^64 - 1 rings.
            unsafe { libc::write(self.fd(), (&raw const one).cast(), size_of::<u64>()) };
        }
    }

    /// What nobody will hear any more. The items hold the bell itself, so they must not stay.
    fn sweep(&self) {
        while self.queue.pop().is_some() {}
    }
}

/// The current thread is no executor's any more: what is told to it from now on is dropped.
pub(super) fn leave() {
    let Some(bell) = CURRENT.take() else { return };
    bell.closed.store(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    bell.sweep();
    let table = TABLE.take();
    drop(table);
}

fn has_bell() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

thread_local! {
    /// The bell of this thread's executor.
    static CURRENT: RefCell<Option<Arc<Bell>>> = const { RefCell::new(None) };
    /// The wakers behind the numbers.
    static TABLE: RefCell<Table> = const { RefCell::new(Table::new()) };
}

/// Wakers by number; a number is used again after it was given back.
#[derive(Default)]
struct Table {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Table {
    const fn new() -> Self {
        Self { wakers: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, waker: Waker) -> usize {
        match self.free.pop() {
            Some(number) => {
                self.wakers[number] = Some(waker);
                number
            }
            None => {
                self.wakers.push(Some(waker));
                self.wakers.len() - 1
            }
        }
    }

    /// The waker that was there, to be dropped when the table is no longer borrowed.
    fn renew(&mut self, number: usize, waker: &Waker) -> Option<Waker> {
        let old = self.wakers.get_mut(number)?.as_mut()?;
        (!old.will_wake(waker)).then(|| std::mem::replace(old, waker.clone()))
    }

    /// The waker, to be dropped when the table is no longer borrowed.
    fn remove(&mut self, number: usize) -> Option<Waker> {
        let waker = self.wakers.get_mut(number)?.take();
        self.free.push(number);
        waker
    }

    /// Waking an executor's own task only puts it into its queue: nothing runs in here.
    fn wake(&self, number: usize) {
        if let Some(Some(waker)) = self.wakers.get(number) {
            waker.wake_by_ref();
        }
    }
}
