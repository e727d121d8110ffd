//! A node in one thread, driven step by step by a seeded scheduler. For tests only.
//!
//! What runs here is the very code of the program (shards, coordinators, mailboxes, journal); only what
//! the runtime does is played: which executor takes its next message, which task is polled, what time it
//! is. The seed decides, so that an order of events that breaks a promise can be repeated.
//!
//! ```text
//!   World   tasks, virtual time, dice ── step: one message of one executor, or one poll of one task
//!     ├─ ModelNode   shards + one executor without a shard; real mailboxes
//!     │    └─ Client   what a connection does with requests: pipelines, transactions
//!     └─ ModelNode   (several nodes may live in one world)
//! ```
//!
//! Time stands still while anything can be done; when nothing can, it moves on to the next timer.
//!
//! What this does not play: sockets, weak memory (that is `loom`'s), and how long things take.

mod client;
pub mod counters;
mod node;
mod world;

pub use client::{Client, Request, decode_replies};
pub use node::{DBS, ModelNode, drain, registry};
pub use world::{Joined, World};
