//! What the machines of all links have in common: what they are told, and what a helm has to know of them.

use super::reason::Reason;
use super::rules::Rules;
use std::time::Instant;

/// What happened; `H` is what an attempt, or its session, brings.
#[derive(Debug)]
pub enum Event<H> {
    /// The link is to be followed.
    Begin,
    /// Time has passed.
    Time,
    /// An operator asks for this master once more.
    Meant,
    /// ... and the next attempt need not wait its turn.
    Hurry,
    /// The link is to end.
    Stop,
    /// The session is to end, not the link.
    Kill,
    /// An attempt of this number brought something.
    Attempt(u64, H),
}

/// A link's machine, as its helm sees it.
pub trait Steerable {
    /// What an attempt, or its session, brings.
    type Happened;
    /// What is to be done.
    type Action;

    /// Takes what happened; answers what is to be done.
    fn step(
        &mut self,
        event: Event<Self::Happened>,
        now: Instant,
        rules: &Rules,
    ) -> Vec<Self::Action>;

    /// When [`Event::Time`] is due, if nothing happens before.
    fn due(&self, rules: &Rules) -> Option<Instant>;

    /// Whether this attempt is still under way, and nothing has changed here.
    fn is_meeting(&self, attempt: u64) -> bool;

    /// Whether it has ended for good.
    fn is_ended(&self) -> bool;

    /// Whether time may matter sooner now than before: who waits for it looks again.
    fn may_be_due_sooner(&self) -> bool;

    /// Whether an action waits for the link's task; the others are performed at once.
    fn takes_time(action: &Self::Action) -> bool;

    /// An attempt has come to nothing.
    fn failed(reason: Reason) -> Self::Happened;
}
