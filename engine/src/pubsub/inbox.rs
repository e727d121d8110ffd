//! What one subscriber has still to be sent.

use super::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a message costs beside its bytes: its place in the queue.
const PLACE: usize = size_of::<Arc<Message>>();

/// When a subscriber that does not read is ended (`client-output-buffer-limit pubsub`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// At once above so many bytes; 0 is no limit.
    pub hard_bytes: u64,
    /// Above so many bytes for [`soft_time`](Limits::soft_time); 0 is no limit.
    pub soft_bytes: u64,
    /// For how long the soft limit may be exceeded.
    pub soft_time: Duration,
}

/// Which limit a subscriber has come over, and with how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Over {
    /// Bytes that wait for it.
    pub waiting: u64,
    /// Whether it is the hard limit.
    pub is_hard: bool,
}

/// The messages for one connection.
#[derive(Debug)]
pub struct Inbox {
    /// The client's id.
    pub client: u64,
    /// The executor on which it lives.
    pub executor: u16,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Message>>,
    /// Bytes in the queue, and of what was taken out of it and is not sent yet.
    waiting: usize,
    /// Messages that were taken out and are not sent yet.
    taken: usize,
    /// Since when it has been above the soft limit.
    soft_since: Option<Instant>,
    /// Its executor knows that something is here.
    is_told: bool,
    /// It is to be ended: nothing more is kept for it.
    is_over: bool,
}

/// What is to be done about an inbox that something was put into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// Nothing: its executor knows.
    Done,
    /// Its executor is to be told.
    Tell,
    /// It has come over a limit.
    Over(Over),
}

impl Inbox {
    /// An empty one.
    pub fn new(client: u64, executor: u16) -> Arc<Inbox> {
        Arc::new(Inbox { client, executor, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message behind the others.
    pub(super) fn put(&self, message: &Arc<Message>, limits: &Limits) -> Put {
        let mut state = self.state();
        if state.is_over {
            return Put::Done;
        }
        state.waiting += message.len() + PLACE;
        if let Some(over) = state.judge(limits) {
            return Put::Over(over);
        }
        state.queue.push_back(message.clone());
        if std::mem::replace(&mut state.is_told, true) { Put::Done } else { Put::Tell }
    }

    /// Whether it has been above the soft limit for too long, though nothing was said meanwhile.
    pub fn look(&self, limits: &Limits) -> Option<Over> {
        let mut state = self.state();
        if state.is_over { None } else { state.judge(limits) }
    }

    /// Takes messages out, some of them where they are many; what they cost counts until they are
    /// [`sent`](Inbox::sent). None: then the executor is told of the next one.
    pub fn take(&self) -> Vec<Arc<Message>> {
        /// Enough for one write, few enough for the others on the executor.
        const BYTES: usize = 128 * 1024;
        let mut state = self.state();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES
            && let Some(message) = state.queue.pop_front()
        {
            bytes += message.len();
            taken.push(message);
        }
        state.taken += taken.len();
        if taken.is_empty() {
            state.is_told = false;
            state.queue.shrink_to(64);
        }
        taken
    }

    /// What was taken has been sent.
    pub fn sent(&self, messages: &[Arc<Message>]) {
        let bytes: usize = messages.iter().map(|message| message.len() + PLACE).sum();
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(bytes);
        state.taken = state.taken.saturating_sub(messages.len());
    }

    /// Nobody wants what is in it.
    pub fn forget(&self) {
        let mut state = self.state();
        let bytes: usize = state.queue.drain(..).map(|message| message.len() + PLACE).sum();
        state.waiting = state.waiting.saturating_sub(bytes);
    }

    /// Bytes that wait for it, and how many messages: in the queue, or on their way to it.
    pub fn waiting(&self) -> (u64, usize) {
        let state = self.state();
        (state.waiting as u64, state.queue.len() + state.taken)
    }

    /// Whether it has come over a limit.
    pub fn is_over(&self) -> bool {
        self.state().is_over
    }
}

impl State {
    /// Whether a limit is exceeded: then nothing is kept any more.
    fn judge(&mut self, limits: &Limits) -> Option<Over> {
        let waiting = self.waiting as u64;
        let is_hard = limits.hard_bytes != 0 && waiting > limits.hard_bytes;
        let is_soft = limits.soft_bytes != 0 && waiting > limits.soft_bytes;
        if !is_soft {
            self.soft_since = None;
        }
        let is_late = is_soft && {
            let now = Instant::now();
            now.duration_since(*self.soft_since.get_or_insert(now)) > limits.soft_time
        };
        if !is_hard && !is_late {
            return None;
        }
        self.is_over = true;
        self.queue = VecDeque::new();
        Some(Over { waiting, is_hard })
    }
}
