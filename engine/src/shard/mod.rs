//! One core's world: a shard's keys, its journal, and the order in which tasks touch them.
//!
//! A shard is a synchronous state machine. It is given messages and requests, runs each to its end,
//! and leaves what it has to say to other executors in its outbox. It knows no sockets, no timers and
//! no glommio, so that a seeded scheduler can drive the very same code ([`tests of the model`]).
//!
//! ```text
//!   request of a connection here ─► run_here ──┐ keys closed: runs in place
//!   Batch from elsewhere ──────────► receive ──┤
//!                                              │ keys open: waits in `locks`
//!   Begin / Armed / Hop ───────────► tx ───────┘
//!
//!   task ends ─► its frame goes to the log (transactions: in global order) ─► publish
//! ```
//!
//! Who may run when:
//! - nothing open ([`Locks::is_quiet`]): everything runs at once, without a look at any table;
//! - otherwise a command whose keys are open waits behind them, and so does what follows it in its
//!   batch.
//!
//! The files, from the ground up; each calls only what stands before it:
//!
//! ```text
//!   locks arriving held applying   who waits for which keys; what waits to be applied
//!   message               what executors send each other
//!   body                  what a shard consists of, and what it says
//!   frozen                a cut of one moment
//!   room                  memory, before a command runs
//!   run running           a command, a batch; what goes on in slices
//!   sleepers waits        who sleeps on keys; who is served, behind the task that has touched a key
//!   tx apply              transactions; an upstream's records, in order
//!   serve slices cut      what happens next: messages, granted keys; the background; a cut
//! ```
//!
//! [`tests of the model`]: ../../tests/model/index.html

mod address;
mod apply;
mod applying;
mod arriving;
mod body;
mod cut;
mod errors;
mod frozen;
mod gate;
mod held;
mod locks;
mod message;
mod pieces;
#[cfg(feature = "planted-bugs")]
pub mod planted;
#[cfg(not(feature = "planted-bugs"))]
mod planted;
mod room;
mod run;
mod running;
mod serve;
mod served;
mod sleepers;
mod slices;
mod stats;
mod turn;
mod tx;
mod waits;
mod wanted;

pub use address::{ExecutorId, ReplyTo, Ticket};
pub use applying::{Applied, ApplyBatch, Passed, PutValue};
pub use body::{Begin, Commands, Hop, Message, Shard, Unless, Work};
pub use errors::ErrorCounts;
pub use frozen::FrozenBeginning;
pub use gate::Gate;
pub(crate) use locks::MANY_FROM;
pub use locks::{EntryId, Locks, Wants};
pub(crate) use message::Patience;
pub use message::{Answer, Batch, BatchCommand, Done, TxShared};
pub use pieces::{Piece, Pieces};
pub(crate) use run::keys_of;
pub use sleepers::{Bedding, Claim, Tried, Woken};
pub use slices::Pace;
pub use stats::CommandStats;
pub use wanted::{ManyKeys, Mode};
