//! The word to stop, and who may give it.

use engine::rt::{Receiver, Sender, mailbox};

/// Why the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// In order: replicas get what they lack first.
    InOrder(LastSnapshot),
    /// Without waiting for replicas.
    Now(LastSnapshot),
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
    /// What is written before.
    pub fn snapshot(self) -> LastSnapshot {
        let (Stop::InOrder(snapshot) | Stop::Now(snapshot)) = self;
        snapshot
    }
}

/// Sends the word to stop to whoever waits for it.
#[derive(Clone, Debug)]
pub struct Stopper(Sender<Stop>);

impl Stopper {
    /// The word, and where it is waited for.
    pub fn new() -> (Stopper, Receiver<Stop>) {
        let (sender, receiver) = mailbox();
        (Stopper(sender), receiver)
    }

    /// Asks the program to end.
    pub fn stop(&self, stop: Stop) {
        // A closed mailbox: it is ending already.
        let _ = self.0.push(stop);
    }
}
