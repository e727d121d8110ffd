//! A reply from another executor: asked for once, given at most once, and the slot used again.
//!
//! A [`ReplySlot`] belongs to the one who asks. [`ReplySlot::sender`] begins a round and gives the
//! [`ReplyTo`] that travels in the message; [`ReplySlot::recv`] waits for what comes back. One
//! allocation when the slot is made, none per round.
//!
//! A `ReplyTo` that is dropped unused answers `None`: a request that is lost is never waited for in
//! vain. A reply to an earlier round (the asker has given up and asked anew) is dropped.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::wake::ForeignWaker;

/// The asker's side.
pub struct ReplySlot<T> {
    shared: Arc<Mutex<ReplyState<T>>>,
}

/// The answerer's side: exactly one answer.
pub struct ReplyTo<T> {
    shared: Arc<Mutex<ReplyState<T>>>,
    round: u64,
}

struct ReplyState<T> {
    round: u64,
    progress: Progress<T>,
    waker: Option<ForeignWaker>,
}

enum Progress<T> {
    /// Nothing asked, or the answer is taken, or there will be none.
    Idle,
    /// Asked, not answered.
    Asked,
    Answered(T),
}

impl<T> ReplySlot<T> {
    /// A slot in which nothing has been asked.
    pub fn new() -> Self {
        let state = ReplyState { round: 0, progress: Progress::Idle, waker: None };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Begins a round. What is still to come of the one before will be dropped.
    pub fn sender(&mut self) -> ReplyTo<T> {
        let mut state = lock(&self.shared);
        state.round += 1;
        let round = state.round;
        let stale = std::mem::replace(&mut state.progress, Progress::Asked);
        drop(state);
        drop(stale);
        ReplyTo { shared: Arc::clone(&self.shared), round }
    }

    /// The answer of this round; `None` if there will be none. Dropping the wait loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| {
            let mut state = lock(&self.shared);
            match std::mem::replace(&mut state.progress, Progress::Idle) {
                Progress::Answered(value) => Poll::Ready(Some(value)),
                Progress::Idle => Poll::Ready(None),
                Progress::Asked => {
                    state.progress = Progress::Asked;
                    ForeignWaker::set(&mut state.waker, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<T> Default for ReplySlot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for ReplySlot<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = lock(&self.shared);
            state.round += 1;
            state.waker.take()
        };
        drop(waker);
    }
}

impl<T> ReplyTo<T> {
    /// Answers. Nobody may be waiting any more; then the value is dropped.
    pub fn send(self, value: T) {
        self.finish(Progress::Answered(value));
    }

    fn finish(&self, answer: Progress<T>) {
        let mut state = lock(&self.shared);
        if state.round != self.round || !matches!(state.progress, Progress::Asked) {
            // Unlock before the value is dropped: its drop may do anything.
            drop(state);
            return;
        }
        state.progress = answer;
        if let Some(waker) = &state.waker {
            waker.wake();
        }
    }
}

impl<T> Drop for ReplyTo<T> {
    fn drop(&mut self) {
        // After `send` the round is no longer `Asked`, and this does nothing.
        self.finish(Progress::Idle);
    }
}

impl<T> std::fmt::Debug for ReplySlot<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplySlot").finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for ReplyTo<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyTo").field("round", &self.round).finish_non_exhaustive()
    }
}

fn lock<T>(shared: &Mutex<ReplyState<T>>) -> MutexGuard<'_, ReplyState<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn a_slot_serves_round_after_round() {
        let mut slot = ReplySlot::new();
        for round in 0..1000 {
            let reply = slot.sender();
            let answerer =
                (round % 100 == 0).then(|| std::thread::spawn(move || reply.send(round)));
            if let Some(answerer) = answerer {
                assert_eq!(block_on(slot.recv()), Some(round));
                answerer.join().unwrap();
            } else {
                assert_eq!(block_on(slot.recv()), None, "the answerer is dropped");
            }
        }
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_taken_for_the_next() {
        let mut slot = ReplySlot::new();
        let late = slot.sender();
        assert_eq!(block_on(poll_once(slot.recv())), None);
        let reply = slot.sender();
        late.send(1);
        assert_eq!(block_on(poll_once(slot.recv())), None);
        reply.send(2);
        assert_eq!(block_on(slot.recv()), Some(2));
        assert_eq!(block_on(slot.recv()), None, "nothing more is asked");
    }

    #[test]
    fn an_answer_to_nobody_is_dropped() {
        let witness = Arc::new(());
        let mut slot = ReplySlot::new();
        let reply = slot.sender();
        drop(slot);
        reply.send(Arc::clone(&witness));
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
