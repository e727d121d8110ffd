//! The word to stop, who may give it, and who waits for what becomes of it.
//!
//! ```text
//!   SHUTDOWN, signals ── Stop ──► stop::wait ─┬─ the program ends: nobody is answered, connections close
//!   SHUTDOWN ABORT ── Stop::Not ──►           └─ it goes on: all who wait are answered
//! ```

use engine::rt::{Receiver, Sender, mailbox};
use engine::shard::ReplyTo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Why the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// In order: replicas get what they lack first.
    InOrder(LastSnapshot),
    /// Without waiting for replicas.
    Now(LastSnapshot),
    /// It does not: what has begun is taken back.
    Not,
}

/// What is written before the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastSnapshot {
    /// A snapshot, if there is a name for it: it does not end where that fails.
    Usual,
    /// A snapshot; it ends also where that fails.
    IfPossible,
    /// None.
    Skip,
}

impl Stop {
    /// What is written before; nothing where it does not end.
    pub fn snapshot(self) -> Option<LastSnapshot> {
        match self {
            Stop::InOrder(snapshot) | Stop::Now(snapshot) => Some(snapshot),
            Stop::Not => None,
        }
    }
}

/// Those who are told; one who leaves and asks again stands there twice. Others wait for the end.
const WAITING_MAX: usize = 10_000;

/// Sends the word to stop to whoever waits for it.
#[derive(Clone, Debug)]
pub struct Stopper {
    words: Sender<Stop>,
    /// It was told to end, and has not gone on since.
    asked: Arc<AtomicBool>,
    /// Those who are answered if it goes on.
    waiting: Arc<Mutex<Vec<ReplyTo>>>,
}

impl Stopper {
    /// The word, and where it is waited for.
    pub fn new() -> (Stopper, Receiver<Stop>) {
        let (words, receiver) = mailbox();
        (Stopper { words, asked: Arc::default(), waiting: Arc::default() }, receiver)
    }

    /// Asks the program to end, or not to.
    pub fn stop(&self, stop: Stop) {
        if stop != Stop::Not {
            self.asked.store(true, Ordering::Release);
        }
        // A closed mailbox: it is ending already.
        let _ = self.words.push(stop);
    }

    /// Whether it was told to end, and has not gone on since.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Who wants to know if it goes on; to be said before [`stop`](Stopper::stop).
    pub fn tell(&self, to: ReplyTo) {
        let mut waiting = self.waiting();
        if waiting.len() < WAITING_MAX {
            waiting.push(to);
        }
    }

    /// It goes on: those who are to be told.
    pub fn goes_on(&self) -> Vec<ReplyTo> {
        self.asked.store(false, Ordering::Release);
        std::mem::take(&mut self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<ReplyTo>> {
        // A panic aborts the program, so a poisoned lock is never met.
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
