//! Where a link's machine stands among those who tell it what happened and who perform what it says.
//!
//! What takes no time is performed at once, in the order in which the machine says it; the rest waits in a
//! queue for the link's task. The same for sockets and for the model, which differ in their [`Surroundings`], and for
//! masters of every kind, which differ in their machine.

use super::event::{Event, Steerable};
use super::machine::Machine;
use super::reason::Reason;
use super::rules::Rules;
use crate::bell::Bell;
use futures_lite::future;
use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Weak;
use std::time::{Duration, Instant};

/// What a machine has no part in.
pub trait Surroundings<M: Steerable = Machine> {
    /// The time.
    fn now(&self) -> Instant;
    /// The configuration.
    fn rules(&self) -> Rules;
    /// Performs what takes no time.
    fn perform_at_once(&self, action: M::Action);
}

/// A link, as the session that it runs knows it.
pub trait Steered<M: Steerable = Machine>: Surroundings<M> {
    /// Where its machine stands.
    fn helm(&self) -> &Helm<M>;
    /// Something happened in an attempt or its session.
    fn happened(&self, attempt: u64, happened: M::Happened) {
        self.helm().happened(attempt, happened);
    }
    /// Whether DEBUG REPLICA PAUSE holds.
    fn is_paused(&self) -> bool;
}

/// See the module's doc.
pub struct Helm<M: Steerable = Machine> {
    machine: RefCell<M>,
    around: Weak<dyn Surroundings<M>>,
    queue: RefCell<VecDeque<M::Action>>,
    /// There is more in the queue, or time matters sooner.
    bell: Bell,
}

impl<M: Steerable> Helm<M> {
    /// `machine` in its surroundings.
    pub fn new(machine: M, around: Weak<dyn Surroundings<M>>) -> Helm<M> {
        Helm {
            machine: RefCell::new(machine),
            around,
            queue: RefCell::default(),
            bell: Bell::default(),
        }
    }

    /// The machine, to look at it.
    pub fn machine(&self) -> Ref<'_, M> {
        self.machine.borrow()
    }

    /// Something happened.
    pub fn step(&self, event: Event<M::Happened>) {
        let Some(around) = self.around.upgrade() else { return };
        let rules = around.rules();
        let actions = self.machine.borrow_mut().step(event, around.now(), &rules);
        let mut rings = self.machine().may_be_due_sooner();
        for action in actions {
            if M::takes_time(&action) {
                self.queue.borrow_mut().push_back(action);
                rings = true;
            } else {
                around.perform_at_once(action);
            }
        }
        if rings {
            self.bell.ring();
        }
    }

    /// Something happened in an attempt or its session.
    pub fn happened(&self, attempt: u64, happened: M::Happened) {
        self.step(Event::Attempt(attempt, happened));
    }

    /// The next action that takes time; none once the link has ended.
    pub async fn next<F: Future<Output = ()>>(
        &self,
        sleep: impl Fn(Duration) -> F,
    ) -> Option<M::Action> {
        loop {
            if let Some(action) = self.queue.borrow_mut().pop_front() {
                return Some(action);
            }
            if self.machine().is_ended() {
                return None;
            }
            self.wait(&sleep).await;
        }
    }

    /// Waits until this attempt is not meant to go on.
    pub async fn left<F: Future<Output = ()>>(&self, attempt: u64, sleep: impl Fn(Duration) -> F) {
        while self.machine().is_meeting(attempt) {
            self.wait(&sleep).await;
        }
    }

    /// Performs a part of meeting, as long as the attempt is meant to go on: it is dropped where it stands.
    pub async fn meet<F: Future<Output = ()>>(
        &self,
        attempt: u64,
        sleep: impl Fn(Duration) -> F,
        work: impl Future<Output = Result<M::Happened, Reason>>,
    ) {
        let left = async {
            self.left(attempt, sleep).await;
            None
        };
        let done = future::or(left, async { Some(work.await) }).await;
        if let Some(done) = done {
            self.happened(attempt, done.unwrap_or_else(M::failed));
        }
    }

    /// Waits for the bell or for the time that matters to the machine.
    async fn wait<F: Future<Output = ()>>(&self, sleep: &impl Fn(Duration) -> F) {
        let Some(around) = self.around.upgrade() else { return };
        let (now, due) = (around.now(), self.machine().due(&around.rules()));
        let is_due = match due {
            None => {
                self.bell.wait().await;
                false
            }
            Some(due) => due <= now || !self.bell.wait_unless(sleep(due - now)).await,
        };
        if is_due {
            self.step(Event::Time);
        }
    }
}
