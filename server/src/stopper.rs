//! The word to stop, and who may give it.

use engine::rt::{Receiver, Sender, mailbox};

/// Why the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// In order: replicas get what they lack first.
    InOrder,
    /// At once.
    Now,
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
