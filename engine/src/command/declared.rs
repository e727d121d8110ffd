//! One command as it is declared: a constant, from which everything else is derived.

use super::{Keys, Run};

use bitflags::bitflags;

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

impl Command {
    /// Whether the function lives with the connection.
    pub fn is_front(&self) -> bool {
        matches!(self.run, Run::Front)
    }
}

/// Chapters of the command reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Strings and counters.
    String,
    /// Bitmaps.
    Bitmap,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Hashes.
    Hash,
    /// HyperLogLogs.
    HyperLogLog,
    /// Places on the globe, in sorted sets.
    Geo,
    /// Streams.
    Stream,
    /// Publish and subscribe.
    PubSub,
    /// Scripts and functions.
    Scripting,
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
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::PubSub => "pubsub",
            Group::Scripting => "scripting",
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
        /// Runs without keys too, although it has some (EVAL).
        const NO_MANDATORY_KEYS = 1 << 14;
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
        /// Reads, and may all the same note something in what it reads.
        const MAY_REPLICATE = 1 << 21;
        /// Belongs to the ACL category `connection`, though it is of another chapter.
        const CONNECTION_CATEGORY = 1 << 22;
        /// Takes lists, sets and sorted sets: belongs to their ACL categories, and to none of its chapter's.
        const ELEMENTS_CATEGORIES = 1 << 23;
    }
}
