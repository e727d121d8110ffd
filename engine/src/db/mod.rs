//! The keys of one shard: sixteen (or more) databases, looked up and changed.
//!
//! **Change and tell in one breath.** The only ways to change data are the effect methods
//! ([`Keyspace::put`], [`remove`](Keyspace::remove), [`set_deadline`](Keyspace::set_deadline),
//! [`change`](Keyspace::change) and the global ones). Each changes the table *and* puts the record into
//! the running task's frame; nobody can do one without the other. [`Keyspace::apply`] is the reading half:
//! it performs a record and tells nobody. What happens inside a value is performed by its type, in both
//! cases.
//!
//! **Whose clock.** A master deletes what has expired when somebody looks for it, and tells. A replica
//! never does: it only hides the item from readers until the master's record arrives (J1). Nor does a
//! master while its clients are paused.
//!
//! This room does not know: commands, replies, other shards, transactions, when the frame is written
//! to the log.

mod apply;
mod digest;
mod effects;
mod evict;
mod expiry;
mod lookup;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod random;
mod watch;

pub use apply::Broken;
pub use digest::Digest;
pub use evict::{Policy, PolicyKind, Pressure, Victims, pressure};
pub use watch::{WatchFlag, WatchKey};

use crate::journal::FrameBuilder;
use crate::table::{Drain, Table};
use crate::types::{DbIndex, Millis};
use crate::value::Item;
use watch::Watchers;

/// The key holds another type than the command works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongType;

/// Whether this node decides about expiry and eviction, or follows somebody who does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Expires and evicts, and tells.
    Master,
    /// Hides what has expired; deletes only what its master's records delete.
    Replica,
}

/// A database's contents keep their identity when SWAPDB gives them another number: cuts walk
/// identities, so a swap in the middle neither skips nor repeats half a table (J4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TableId(pub u64);

/// Counters of one shard's keys, since start or `CONFIG RESETSTAT`.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct KeyStats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys deleted because their time had come.
    pub expired: u64,
    /// Keys deleted to make room.
    pub evicted: u64,
    /// Changes of any kind.
    pub mutations: u64,
}

/// One logical database of one shard.
pub(crate) struct Database {
    pub(crate) id: TableId,
    pub(crate) table: Table<Item>,
    /// How many items have a deadline.
    pub(crate) expires: usize,
}

/// All databases of one shard.
pub struct Keyspace {
    pub(crate) dbs: Vec<Database>,
    seed: u64,
    next_table: u64,
    now: Millis,
    role: Role,
    /// What the running task has told so far.
    frame: FrameBuilder,
    /// Whether records are kept; else they are only counted.
    telling: bool,
    watchers: Watchers,
    /// Tables that FLUSHALL took away, freed in slices.
    graveyard: Vec<Drain<Item>>,
    /// Counters.
    pub stats: KeyStats,
    /// How accesses are remembered for eviction.
    pub(crate) policy: Policy,
    /// The running command's client wants accesses not to be remembered.
    no_touch: bool,
    /// Random choices: eviction, sampling, RANDOMKEY.
    pub(crate) random: fastrand::Rng,
    pub(crate) sweep: expiry::SweepState,
    hunt: evict::Hunt,
    /// Whether clients are paused: then nothing is deleted that nobody asked to delete.
    paused: Option<Box<dyn Fn() -> bool>>,
}

impl Keyspace {
    /// An empty key space of `dbs` databases whose tables hash with `seed`.
    pub fn new(dbs: usize, seed: u64) -> Keyspace {
        let mut keyspace = Keyspace {
            dbs: Vec::with_capacity(dbs),
            seed,
            next_table: 0,
            now: Millis(0),
            role: Role::Master,
            frame: FrameBuilder::default(),
            telling: true,
            watchers: Watchers::default(),
            graveyard: Vec::new(),
            stats: KeyStats::default(),
            policy: Policy::default(),
            no_touch: false,
            // Not the seed itself: RANDOMKEY shows these dice to everybody.
            random: fastrand::Rng::with_seed(crate::table::hash_with(seed, b"dice")),
            sweep: expiry::SweepState::default(),
            hunt: evict::Hunt::default(),
            paused: None,
        };
        for _ in 0..dbs {
            let database = keyspace.empty_database();
            keyspace.dbs.push(database);
        }
        keyspace
    }

    fn empty_database(&mut self) -> Database {
        let id = TableId(self.next_table);
        self.next_table += 1;
        Database { id, table: Table::new(self.seed), expires: 0 }
    }

    /// The seed of the tables' hash: a receiver of a cut needs it to understand the cursor.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many databases there are.
    pub fn db_count(&self) -> usize {
        self.dbs.len()
    }

    /// The time that everything in the running task agrees on.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Sets the time, once per task.
    pub fn set_now(&mut self, now: Millis) {
        self.now = now;
    }

    /// Who decides about expiry here.
    pub fn role(&self) -> Role {
        self.role
    }

    /// A promotion or demotion.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// How to find out whether clients are paused (CLIENT PAUSE).
    pub fn set_paused(&mut self, paused: impl Fn() -> bool + 'static) {
        self.paused = Some(Box::new(paused));
    }

    /// Whether nothing is deleted on the node's own account just now: a pause is for positions to stand
    /// still, so what expires is hidden, nothing is evicted, and the deletions come afterwards.
    pub fn is_paused(&self) -> bool {
        self.paused.as_ref().is_some_and(|paused| paused())
    }

    /// Keys in `db`, expired ones that nobody has looked for included (as Redis's DBSIZE).
    pub fn len(&self, db: DbIndex) -> usize {
        self.dbs[db.index()].table.len()
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        self.dbs.iter().all(|db| db.table.len() == 0)
    }

    /// Keys of all databases.
    pub fn total_len(&self) -> usize {
        self.dbs.iter().map(|db| db.table.len()).sum()
    }

    /// Keys of `db` that have a deadline.
    pub fn expires(&self, db: DbIndex) -> usize {
        self.dbs[db.index()].expires
    }

    /// Bytes of the tables themselves, items excluded.
    pub fn table_bytes(&self) -> usize {
        self.dbs.iter().map(|db| db.table.heap_bytes()).sum()
    }

    /// The identity of the table that is database `db` now.
    pub fn table_id(&self, db: DbIndex) -> TableId {
        self.dbs[db.index()].id
    }

    /// Which database the table `id` is now; `None` when it was flushed away.
    pub fn db_of(&self, id: TableId) -> Option<DbIndex> {
        self.dbs.iter().position(|db| db.id == id).map(|index| DbIndex(index as u16))
    }

    /// The table of `db`, for walks.
    pub fn table(&self, db: DbIndex) -> &Table<Item> {
        &self.dbs[db.index()].table
    }

    /// The hash of `key` in this shard's tables.
    pub fn hash(&self, key: &[u8]) -> u64 {
        crate::table::hash_with(self.seed, key)
    }

    /// Brings the bucket of `key` into the cache ahead of its command.
    pub fn prefetch(&self, db: DbIndex, key: &[u8]) {
        self.dbs[db.index()].table.prefetch(self.hash(key));
    }

    /// Whether records are kept for the journal, or only counted because it keeps none. Changes only
    /// while no task is under way.
    pub fn set_telling(&mut self, telling: bool) {
        assert!(self.frame.is_empty(), "a frame is told as a whole or not at all");
        self.telling = telling;
    }

    /// Brings the item of `key` into the cache, once its bucket is there.
    pub fn prefetch_item(&self, db: DbIndex, key: &[u8]) {
        self.dbs[db.index()].table.prefetch_entry(self.hash(key));
    }

    /// The frame of the running task.
    pub fn frame(&mut self) -> &mut FrameBuilder {
        &mut self.frame
    }

    /// Puts another frame in place (a transaction's own, between its hops) and returns the old one.
    pub fn swap_frame(&mut self, frame: FrameBuilder) -> FrameBuilder {
        std::mem::replace(&mut self.frame, frame)
    }

    /// Frees up to `entries` entries of flushed tables; `false` when nothing is left to free.
    pub fn free_slice(&mut self, entries: usize) -> bool {
        let Some(table) = self.graveyard.last_mut() else { return false };
        if table.step(entries) {
            self.graveyard.pop();
        }
        true
    }

    /// Zeroes the counters (`CONFIG RESETSTAT`).
    pub fn reset_stats(&mut self) {
        self.stats = KeyStats::default();
    }
}
