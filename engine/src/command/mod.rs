//! What a command *is*: one constant that declares it, and everything that follows from it.
//!
//! A [`Command`] is plain data: names, texts, flags, where its keys stand, and how it runs. Arity,
//! `COMMAND`'s answers, ACL categories, key extraction, the plan over the shards and the generic tests
//! are derived from it, here and in the rooms above; nothing is said twice.
//!
//! A command's function is synchronous and sees one shard. How it is spread over several is its
//! *shape* ([`Run`]):
//!
//! ```text
//!   Here   all keys on one shard              GET, SET, APPEND
//!   Each   every key's shard does its part    MGET, MSET, DEL
//!   Carry  read there, decide, write here     RENAME, COPY, BITOP, MSETNX
//!   All    every shard                        DBSIZE, FLUSHALL
//!   Walk   shard by shard, in bounded steps   SCAN, KEYS, DEBUG POPULATE
//!   Front  no keys: where the connection is   CLIENT, CONFIG, INFO
//! ```
//!
//! What this room does not know: sockets, connections, other shards, the journal's bytes.

mod args;
mod cx;
mod keys;
mod refusal;
mod registry;
mod room;

pub use args::{Args, OwnedArgs};
pub use cx::Cx;
pub use keys::{Keys, Uses};
pub use refusal::{Outcome, Refusal};
pub use registry::{Entry, Registry, arity_of};
pub use room::ReplyRoom;

use crate::glob::Pattern;
use crate::resp::ReplyWriter;
use crate::types::{DbIndex, Millis};
use crate::value::SharedValue;
use bitflags::bitflags;
use std::sync::Arc;

/// One command, declared in one place.
#[derive(Debug)]
pub struct Command {
    /// Lower-case name; a subcommand is written `container|sub`.
    pub name: &'static str,
    /// The request as the manual writes it; the arity is derived from it.
    pub usage: &'static str,
    /// One sentence for the manual.
    pub summary: &'static str,
    /// The Redis version that introduced it.
    pub since: &'static str,
    /// Time complexity.
    pub cost: &'static str,
    /// Chapter of the manual and ACL category.
    pub group: Group,
    /// What the gates ask about it.
    pub flags: Flags,
    /// Where its keys stand.
    pub keys: Keys,
    /// How it runs.
    pub run: Run,
    /// A transcript: `> request` lines followed by redis-cli's rendering of the reply.
    pub examples: &'static str,
}

/// Chapters of the command reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Strings and counters.
    String,
    /// Bitmaps.
    Bitmap,
    /// Commands about keys whatever they hold.
    Generic,
    /// About the client's own connection.
    Connection,
    /// About the server.
    Server,
    /// MULTI and its kin.
    Transactions,
}

impl Group {
    /// As `COMMAND DOCS` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Generic => "generic",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
        }
    }
}

bitflags! {
    /// What the gates, ACL categories and `COMMAND INFO` need to know; Redis's own words.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Flags: u32 {
        /// May change data.
        const WRITE = 1;
        /// Reads data and never changes it.
        const READONLY = 1 << 1;
        /// Refused when memory is full.
        const DENYOOM = 1 << 2;
        /// For operators.
        const ADMIN = 1 << 3;
        /// Publish and subscribe.
        const PUBSUB = 1 << 4;
        /// Not from scripts.
        const NOSCRIPT = 1 << 5;
        /// May wait for data.
        const BLOCKING = 1 << 6;
        /// Allowed while the data set is being loaded.
        const LOADING = 1 << 7;
        /// Allowed on a replica whose link is down and that must not serve stale data.
        const STALE = 1 << 8;
        /// Constant or logarithmic time.
        const FAST = 1 << 9;
        /// Allowed before AUTH.
        const NO_AUTH = 1 << 10;
        /// Refused inside MULTI.
        const NO_MULTI = 1 << 11;
        /// Allowed while a script runs too long.
        const ALLOW_BUSY = 1 << 12;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 13;
        /// Keys cannot be found by first, last and step alone.
        const MOVABLE_KEYS = 1 << 14;
        /// Refused while loading asynchronously.
        const NO_ASYNC_LOADING = 1 << 15;
        /// A data-less command that belongs to the ACL category `keyspace`.
        const KEYSPACE = 1 << 16;
        /// A command that belongs to the ACL category `dangerous`.
        const DANGEROUS = 1 << 17;
        /// Its arguments are not shown in the slow log.
        const SENSITIVE = 1 << 18;
        /// Does not stand in the slow log.
        const SKIP_SLOWLOG = 1 << 19;
        /// Belongs to the ACL category `admin` without being an operator's alone.
        const ADMIN_CATEGORY = 1 << 20;
    }
}

/// How a command is spread over shards. Functions are synchronous and see one shard.
#[derive(Debug)]
pub enum Run {
    /// All keys on one shard.
    Here(fn(&mut Cx<'_>, Args<'_>) -> Outcome),
    /// Every key's shard does its part; the coordinator joins.
    Each(Each),
    /// Read on the keys' shards, decide once, write on the keys' shards: one transaction.
    Carry(Carry),
    /// Every shard does the same; the coordinator joins.
    All(All),
    /// From shard to shard, in bounded steps.
    Walk(Walk),
    /// Runs where the connection lives, without touching keys; the front (server) has the function.
    Front,
}

/// The shape of commands whose parts are one key each.
#[derive(Debug)]
pub struct Each {
    /// Arguments per part: 1 (key) or 2 (key, value).
    pub stride: usize,
    /// Does one key; `value` is empty when the stride is 1. The number goes into [`Join::Sum`].
    pub one: fn(cx: &mut Cx<'_>, key: &[u8], value: &[u8]) -> Result<i64, Refusal>,
    /// How parts become the reply.
    pub join: Join,
}

/// How the parts of an [`Each`] or [`All`] command become one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `+OK` once all are done.
    Ok,
    /// An integer: the sum of the parts.
    Sum,
    /// An array of what each part wrote: one element a key, in the order of the keys.
    Array,
}

/// The shape of commands that read keys, decide, and then write keys.
#[derive(Debug)]
pub struct Carry {
    /// Checks the arguments before anything is read.
    pub check: fn(args: Args<'_>) -> Result<(), Refusal>,
    /// Reads one key on its shard. `index` counts the command's keys from 0; `args` is the whole
    /// request.
    pub gather:
        fn(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<Carried, Refusal>,
    /// Looks at what was gathered (in the order of the keys), writes the reply and says what changes.
    pub decide: fn(
        decision: &mut Decision<'_>,
        args: Args<'_>,
        carried: &[Carried],
    ) -> Result<Vec<Write>, Refusal>,
}

/// What a [`Carry`] brings from one key to the coordinator: nothing when the key does not exist.
pub type Carried = Option<Found>;

/// A value and its deadline, held by reference: however large, carrying it costs one reference.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value as of the gathering.
    pub value: SharedValue,
    /// When it expires, if it does.
    pub deadline: Option<Millis>,
}

/// What a [`Carry`]'s decision can see and say.
pub struct Decision<'a> {
    /// The connection's database.
    pub db: DbIndex,
    /// How many databases there are.
    pub dbs: usize,
    /// The time of the decision.
    pub now: Millis,
    /// Where the reply goes.
    pub reply: ReplyWriter<'a>,
}

/// One change that a [`Carry`]'s decision asks a shard to make.
#[derive(Clone, Debug)]
pub enum Write {
    /// Create or replace.
    Put {
        /// In which database.
        db: DbIndex,
        /// Under which key.
        key: Vec<u8>,
        /// What.
        value: SharedValue,
        /// Until when.
        deadline: Option<Millis>,
    },
    /// Delete.
    Remove {
        /// In which database.
        db: DbIndex,
        /// Which key.
        key: Vec<u8>,
    },
}

impl Write {
    /// The key that this changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Write::Put { key, .. } | Write::Remove { key, .. } => key,
        }
    }
}

/// The shape of commands that every shard runs.
#[derive(Debug)]
pub struct All {
    /// Checks the arguments before any shard is asked, given how many databases there are.
    pub check: fn(args: Args<'_>, dbs: usize) -> Result<(), Refusal>,
    /// One shard's part.
    pub part: fn(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Part, Refusal>,
    /// Makes the reply out of the parts, in the order of the shards.
    pub join: fn(args: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>),
    /// Whether no other transaction may run meanwhile: because it changes keys that it does not name,
    /// or because its answer must be as of one moment. Otherwise each shard answers when it can.
    pub barrier: bool,
}

/// The shape of commands that go from shard to shard in bounded steps.
///
/// ```text
///   start ─► Walked ─► step on its shard ─► step ... ─► finish
///                        └─ moves on within the shard, or to the next one
/// ```
#[derive(Debug)]
pub struct Walk {
    /// Checks the arguments and says where to begin.
    pub start: fn(args: Args<'_>) -> Result<Walked, Refusal>,
    /// Does a bounded piece of work on the shard where `walked` stands and moves it on. `Ok(false)`
    /// means that it has come to its end; so does walking past the last shard.
    pub step: fn(cx: &mut Cx<'_>, args: Args<'_>, walked: &mut Walked) -> Result<bool, Refusal>,
    /// The reply, given how many shards there are.
    pub finish: fn(walked: &Walked, shards: u16, reply: &mut ReplyWriter<'_>),
    /// Whether each step is a transaction that is alone on its shard: it changes keys that it does
    /// not name.
    pub alone: bool,
    /// Whether it goes over everything: then it goes step by step also where there is one shard only,
    /// and inside a transaction it wants everything to stand still.
    pub long: bool,
}

/// How far a [`Walk`] has come, and what it has found.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// The shard of the next step.
    pub shard: u16,
    /// Where the next step begins there; what it means is the command's own.
    pub position: u64,
    /// How much more may be visited.
    pub left: u64,
    /// The pattern that elements have to fit, read once for all steps.
    pub pattern: Option<Arc<Pattern>>,
    /// How many elements were found.
    pub found: usize,
    /// The elements, already written.
    pub bytes: Vec<u8>,
}

impl Walked {
    /// Goes on at the beginning of the next shard.
    pub fn next_shard(&mut self) {
        self.shard = self.shard.saturating_add(1);
        self.position = 0;
    }
}

/// One shard's answer to an [`All`] command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// A number, for sums.
    pub number: i64,
    /// Already written RESP elements, or other bytes.
    pub bytes: Vec<u8>,
}
