//! What a command *is*: one constant that declares it, and everything that follows from it.
//!
//! A [`Command`] is plain data: names, texts, flags, where its keys stand, and how it runs. Arity,
//! `COMMAND`'s answers, ACL categories, key extraction, the plan over the shards and the generic tests
//! are derived from it, here and in the rooms above; nothing is said twice.
//!
//! A command's function is synchronous and sees one shard. How it is spread over several is its
//! *shape* ([`shape`]). What is on its way to be run is a [`Call`].
//!
//! What this room does not know: sockets, connections, other shards, the journal's bytes.

mod args;
mod call;
mod counted;
mod cx;
mod declared;
mod keys;
mod long;
mod refusal;
mod registry;
mod room;
pub mod shape;
mod who;

pub use args::{Args, OwnedArgs};
pub use call::{Call, OwnedCall};
pub use counted::Counted;
pub use cx::Cx;
pub use declared::{Command, Flags, Group};
pub use keys::{Begin, Extent, KeyRange, Keys, Spec, Uses, Word};
pub use long::LongArg;
pub use refusal::{Outcome, Refusal};
pub use registry::{Entry, Recent, Registry, arity_of};
pub use room::ReplyRoom;
pub use shape::{
    All, Carried, Carry, Decided, Decision, Each, Found, Join, Part, Run, Walk, Walked, Whole,
    Write,
};
pub use who::Who;
