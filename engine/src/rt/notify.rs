//! Waiting for something that happens on the same executor.
//!
//! [`Notify`] is a condition variable for tasks: look at your condition, `wait`, look again.
//! Between the look and the wait no other task runs, so nothing is missed. [`Event`] is a flag that
//! is set once, and then stays set.
//!
//! Both are for one executor (neither `Send` nor `Sync`) and bound how many may wait: one task that
//! waits many thousand times at once overruns glommio's count of its wakers, which panics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// How many may wait on one [`Notify`] unless told otherwise: well below the 32,767 wakers of one
/// task at which glommio 0.9 panics.
pub const WAITERS_MAX: usize = 8192;

/// There are already as many waiters as allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyWaiters;

impl fmt::Display for TooManyWaiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many tasks wait for the same event")
    }
}

impl std::error::Error for TooManyWaiters {}

/// A condition variable of one executor.
pub struct Notify {
    /// In the order of their numbers, which is the order in which they came.
    waiters: RefCell<VecDeque<(u64, Waker)>>,
    next: Cell<u64>,
    waiters_max: usize,
}

impl Notify {
    /// With room for [`WAITERS_MAX`] waiters.
    pub fn new() -> Self {
        Self::with_limit(WAITERS_MAX)
    }

    /// With room for that many waiters.
    pub fn with_limit(waiters_max: usize) -> Self {
        Self { waiters: RefCell::new(VecDeque::new()), next: Cell::new(0), waiters_max }
    }

    /// Waits for the next notification. Only those count that come after the first poll.
    pub fn wait(&self) -> Wait<'_> {
        Wait { notify: self, state: WaitState::New }
    }

    /// Wakes the one that has waited longest, if any. If that one is dropped before it runs, the
    /// notification passes to the next.
    pub fn notify_one(&self) {
        let first = self.waiters.borrow_mut().pop_front();
        if let Some((_, waker)) = first {
            waker.wake();
        }
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        let all = std::mem::take(&mut *self.waiters.borrow_mut());
        for (_, waker) in all {
            waker.wake();
        }
    }

    /// How many wait.
    pub fn waiters(&self) -> usize {
        self.waiters.borrow().len()
    }

    fn position(&self, number: u64) -> Option<usize> {
        self.waiters.borrow().binary_search_by_key(&number, |(number, _)| *number).ok()
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("waiters", &self.waiters()).finish()
    }
}

/// The wait of [`Notify::wait`].
#[must_use = "waits only when awaited"]
#[derive(Debug)]
pub struct Wait<'a> {
    notify: &'a Notify,
    state: WaitState,
}

#[derive(Clone, Copy, Debug)]
enum WaitState {
    New,
    Waiting(u64),
    Done,
}

impl Future for Wait<'_> {
    type Output = Result<(), TooManyWaiters>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.state {
            WaitState::New => {
                let mut waiters = self.notify.waiters.borrow_mut();
                if waiters.len() >= self.notify.waiters_max {
                    return Poll::Ready(Err(TooManyWaiters));
                }
                let number = self.notify.next.get();
                self.notify.next.set(number + 1);
                waiters.push_back((number, cx.waker().clone()));
                drop(waiters);
                self.state = WaitState::Waiting(number);
                Poll::Pending
            }
            WaitState::Waiting(number) => {
                let Some(position) = self.notify.position(number) else {
                    self.state = WaitState::Done;
                    return Poll::Ready(Ok(()));
                };
                let mut waiters = self.notify.waiters.borrow_mut();
                if let Some((_, waker)) = waiters.get_mut(position)
                    && !waker.will_wake(cx.waker())
                {
                    *waker = cx.waker().clone();
                }
                Poll::Pending
            }
            WaitState::Done => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let WaitState::Waiting(number) = self.state else { return };
        match self.notify.position(number) {
            Some(position) => {
                let removed = self.notify.waiters.borrow_mut().remove(position);
                drop(removed);
            }
            // Notified, and dropped before it could act on it.
            None => self.notify.notify_one(),
        }
    }
}

/// A flag that is set once and awaited by many: "we are stopping".
#[derive(Debug, Default)]
pub struct Event {
    set: Cell<bool>,
    notify: Notify,
}

impl Event {
    /// Not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets it, for good, and wakes all that wait.
    pub fn set(&self) {
        self.set.set(true);
        self.notify.notify_all();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until it is set.
    pub async fn wait(&self) -> Result<(), TooManyWaiters> {
        while !self.set.get() {
            self.notify.wait().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    /// Polls once with a waker that does nothing.
    fn poll<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_notification_ends_one_wait_and_the_oldest() {
        let notify = Notify::new();
        let (mut first, mut second) = (pin!(notify.wait()), pin!(notify.wait()));
        assert_eq!((poll(first.as_mut()), poll(second.as_mut())), (None, None));
        notify.notify_one();
        assert_eq!(poll(second.as_mut()), None);
        assert_eq!(poll(first.as_mut()), Some(Ok(())));
        notify.notify_all();
        assert_eq!(poll(second.as_mut()), Some(Ok(())));
        assert_eq!(notify.waiters(), 0);
    }

    #[test]
    fn a_notification_of_a_wait_that_is_dropped_passes_to_the_next() {
        let notify = Notify::new();
        let mut second = pin!(notify.wait());
        {
            let mut first = pin!(notify.wait());
            assert_eq!(poll(first.as_mut()), None);
            assert_eq!(poll(second.as_mut()), None);
            notify.notify_one();
        }
        assert_eq!(poll(second.as_mut()), Some(Ok(())));
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_no_waiter() {
        let notify = Notify::new();
        assert_eq!(poll(pin!(notify.wait())), None);
        assert_eq!(notify.waiters(), 0);
    }

    #[test]
    fn more_waiters_than_allowed_are_refused() {
        let notify = Notify::with_limit(1);
        let mut first = pin!(notify.wait());
        assert_eq!(poll(first.as_mut()), None);
        assert_eq!(poll(pin!(notify.wait())), Some(Err(TooManyWaiters)));
        notify.notify_all();
        assert_eq!(poll(first.as_mut()), Some(Ok(())));
    }

    #[test]
    fn an_event_stays_set() {
        let event = Event::new();
        let mut before = pin!(event.wait());
        assert_eq!(poll(before.as_mut()), None);
        event.set();
        assert_eq!(poll(before.as_mut()), Some(Ok(())));
        assert_eq!(poll(pin!(event.wait())), Some(Ok(())));
        assert!(event.is_set());
    }
}
