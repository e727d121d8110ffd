//! Channels: who listens to which, and what is said in them.
//!
//! ```text
//!   PUBLISH ──► shard of slot(channel) ──► its journal (replicas) ──► Hub::say ──┐  one message, encoded once
//!   key event ─► the key's shard ───────────────────────────────────► Hub::say ──┤
//!                                                                                ▼
//!   hub: channel -> subscribers, pattern -> subscribers ──► inbox of each ──► its connection, on its executor
//! ```
//!
//! One hub serves the whole node. Whoever says something puts one more reference to the message into each
//! subscriber's inbox and goes on: it never waits for a subscriber, and pays itself for how many there are. A
//! connection empties its inbox behind each reply, and when it has nothing else to do. An inbox is bounded ([`Limits`]): whoever
//! comes over that is ended by the [`Host`].
//!
//! Order: what is said in one channel is said by one shard, and an inbox is first in, first out. While a
//! subscription is taken back nobody speaks in its channel, so nothing comes behind the word that it has
//! ended once the inbox has been emptied. (In EXEC it is taken back at the end, when all that was to be said is said.)
//!
//! This room does not know: connections, keys, the journal, and what the messages mean.

mod hub;
mod inbox;
mod message;

pub use hub::{Counts, Host, Hub};
pub use inbox::{Inbox, Limits, Over};
pub use message::{Message, Scope};

#[cfg(test)]
mod tests;
