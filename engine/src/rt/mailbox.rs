//! A queue into an executor: many senders on any thread, one receiver.
//!
//! ```text
//!   sender ----push---> [ m | m | m ] ---try_pop---> receiver
//!      |                                                |
//!      +--- parked? swap to false, wake ---<--- parked = true, then look once more
//! ```
//!
//! Going to sleep is: say so, fence, look again. Sending is: put, fence, look whether somebody
//! sleeps. One of the two sees the other, so no message is slept over; and only the first sender
//! after the receiver fell asleep pays for waking it. Who will look by himself soon may be patient
//! ([`Sender::push_unless`]): ending that is, in the same way, say so, fence, look.
//!
//! The queue has no bound of its own. Whoever sends has one: a connection has at most one batch
//! under way to each shard, so a shard's mailbox holds at most as many as there are connections.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crossbeam::queue::SegQueue;

use super::wake::ForeignWaker;

/// A new, empty queue.
pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        queue: SegQueue::new(),
        parked: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        senders: AtomicUsize::new(1),
        waker: Mutex::new(None),
    });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The end that puts. Clone it freely.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Puts `message` behind all others, and wakes the receiver if it sleeps.
    ///
    /// Never waits. Gives the message back if the receiver is gone.
    pub fn push(&self, message: T) -> Result<(), T> {
        self.push_unless(message, || false)
    }

    /// As [`push`](Sender::push); a receiver that sleeps is left asleep where `is_patient`, which is asked once the message
    /// is there. Who was patient and is no more has said so before it has its mailbox [rung](Sender::ring).
    pub fn push_unless(&self, message: T, is_patient: impl FnOnce() -> bool) -> Result<(), T> {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::Acquire) {
            return Err(message);
        }
        shared.queue.push(message);
        fence(Ordering::SeqCst);
        if shared.closed.load(Ordering::Relaxed) {
            // It left between the two looks, and may not have seen ours when it swept up. What is
            // in the message (a reply to send) must be dropped, or somebody waits for ever.
            shared.sweep();
            return Ok(());
        }
        if !is_patient() {
            shared.wake();
        }
        Ok(())
    }

    /// Wakes the receiver if it sleeps beside a message.
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.shared.wake();
        }
    }

    /// How many messages wait; only a hint, the receiver is at work meanwhile.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether no message waits; only a hint.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            fence(Ordering::SeqCst);
            self.shared.wake();
        }
    }
}

impl<T> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish()
    }
}

/// The end that takes. It may be moved to another thread, and then belongs there.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The oldest message, if there is one.
    pub fn try_pop(&mut self) -> Option<T> {
        self.shared.queue.pop()
    }

    /// The oldest message, when there is one; `None` when all senders are gone and it is empty.
    ///
    /// Dropping the wait loses nothing. Does not yield while there are messages: a loop over this
    /// yields by itself.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits until there is a message (`true`), or none can come any more (`false`).
    pub async fn wait(&mut self) -> bool {
        poll_fn(|cx| self.shared.poll_nonempty(cx)).await
    }

    /// As [`Receiver::recv`], for those who poll by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(message) = self.shared.queue.pop() {
            return Poll::Ready(Some(message));
        }
        self.shared.poll_nonempty(cx).map(|_| self.shared.queue.pop())
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        drop(self.shared.waker().take());
        self.shared.sweep();
    }
}

impl<T> std::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish()
    }
}

struct Shared<T> {
    queue: SegQueue<T>,
    /// The receiver sleeps, and nobody has woken it yet.
    parked: AtomicBool,
    /// The receiver is gone.
    closed: AtomicBool,
    senders: AtomicUsize,
    /// Set by the receiver before it parks; taken only by it.
    waker: Mutex<Option<ForeignWaker>>,
}

impl<T> Shared<T> {
    fn waker(&self) -> MutexGuard<'_, Option<ForeignWaker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a SeqCst fence: wakes the receiver if it sleeps and nobody else has.
    fn wake(&self) {
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel) {
            // Not with the lock in hand: who is woken takes it, and would wait for a sender who is stopped then, one of low
            // priority for instance, because the other one runs.
            let waker = self.waker().as_ref().map(ForeignWaker::waker);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn poll_nonempty(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if !self.queue.is_empty() {
            return Poll::Ready(true);
        }
        ForeignWaker::set(&mut self.waker(), cx.waker());
        self.parked.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let orphaned = self.senders.load(Ordering::Acquire) == 0;
        // The order matters: whoever dropped the last sender may have sent just before.
        let nonempty = !self.queue.is_empty();
        if nonempty || orphaned {
            self.parked.store(false, Ordering::Relaxed);
            return Poll::Ready(nonempty);
        }
        Poll::Pending
    }

    /// Drops all messages.
    fn sweep(&self) {
        while self.queue.pop().is_some() {}
    }
}
