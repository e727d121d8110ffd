//! The keys of one shard: sixteen (or more) databases, looked up and changed.
//!
//! **One door.** Tables and items change in one file (`door`), whoever asks: a command, a master's record,
//! expiry, eviction. Around it hang those who must know what is there before it changes ([`Before`]), and
//! those who are told what has changed once the log holds it ([`Touched`]: WATCH).
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
mod dated;
mod digest;
mod door;
mod effects;
mod encodings;
mod events;
mod evict;
mod expiry;
mod graveyard;
mod lookup;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod policy;
mod random;
mod speaking;
mod sweep;
mod touched;
mod victims;
mod wait;
mod waits;
mod watch;
mod watchers;

pub use crate::value::Small;
pub use apply::Broken;
pub use digest::Digest;
pub use door::{Before, FlushedTable, TableId};
pub use encodings::Encodings;
pub use events::{Called, Events};
pub use graveyard::Going;
pub use policy::{
    Policy, PolicyKind, Pressure, UsedSoFar, journal_counted, journals_beside, pressure,
};
pub use touched::{Made, There, Touched, What};
pub use victims::Victims;
pub use waits::Awaited;
pub use watchers::{WatchFlag, WatchKey};

use crate::table::Table;
use crate::types::{DbIndex, Millis};
use crate::value::{Item, Near};
use door::Door;
use waits::Waits;
use watchers::Watchers;

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

/// What has changed since the start: numbers that only grow.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Changes of keys, of any kind.
    pub keys: u64,
    /// FLUSHALLs, once for each shard.
    pub flushes: u64,
}

impl std::iter::Sum for Changes {
    fn sum<I: Iterator<Item = Changes>>(all: I) -> Changes {
        all.fold(Changes::default(), |sum, more| Changes {
            keys: sum.keys + more.keys,
            flushes: sum.flushes + more.flushes,
        })
    }
}

/// All databases of one shard.
pub struct Keyspace {
    door: Door,
    now: Millis,
    role: Role,
    /// What the running task has made so far.
    made: Made,
    /// Whether records are kept; else they are only counted.
    telling: bool,
    /// Where effects write what they tell, used again and again.
    told_room: Vec<u8>,
    watchers: Watchers,
    speaker: events::Speaker,
    waits: Waits,
    /// Counters.
    pub stats: KeyStats,
    /// Changes that were counted before the counters were reset last.
    changes_before: u64,
    /// FLUSHALLs, of clients and of a master.
    pub flushes: u64,
    /// How accesses are remembered for eviction.
    pub(crate) policy: Policy,
    encodings: Encodings,
    /// The running command's client wants accesses not to be remembered.
    no_touch: bool,
    /// The running command is a master's, on a replica that keeps a journal of its own.
    commanded: bool,
    /// Random choices: eviction, sampling, RANDOMKEY.
    pub(crate) random: fastrand::Rng,
    pub(crate) sweep: sweep::SweepState,
    hunt: victims::Hunt,
    /// Whether clients are paused: then nothing is deleted that nobody asked to delete.
    paused: Option<Box<dyn Fn() -> bool>>,
}

impl Keyspace {
    /// An empty key space of `dbs` databases whose tables hash with `seed`.
    pub fn new(dbs: usize, seed: u64) -> Keyspace {
        Keyspace {
            door: Door::new(dbs, seed),
            now: Millis(0),
            role: Role::Master,
            made: Made::default(),
            telling: true,
            told_room: Vec::new(),
            watchers: Watchers::default(),
            speaker: events::Speaker::default(),
            waits: Waits::default(),
            stats: KeyStats::default(),
            changes_before: 0,
            flushes: 0,
            policy: Policy::default(),
            encodings: Encodings::default(),
            no_touch: false,
            commanded: false,
            // Not the seed itself: RANDOMKEY shows these dice to everybody.
            random: fastrand::Rng::with_seed(crate::table::hash_with(seed, b"dice")),
            sweep: sweep::SweepState::default(),
            hunt: victims::Hunt::default(),
            paused: None,
        }
    }

    /// The seed of the tables' hash: a receiver of a cut needs it to understand the cursor.
    pub fn seed(&self) -> u64 {
        self.door.seed()
    }

    /// How many databases there are.
    pub fn db_count(&self) -> usize {
        self.door.count()
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
        self.door.table(db).len()
    }

    /// Whether no database holds a key.
    pub fn is_empty(&self) -> bool {
        self.door.tables().all(Table::is_empty)
    }

    /// Keys of all databases.
    pub fn total_len(&self) -> usize {
        self.door.tables().map(Table::len).sum()
    }

    /// Keys of `db` that have a deadline.
    pub fn expires(&self, db: DbIndex) -> usize {
        self.door.expires(db)
    }

    /// Bytes of the tables themselves, items excluded.
    pub fn table_bytes(&self) -> usize {
        self.door.tables().map(Table::heap_bytes).sum()
    }

    /// The identity of the table that is database `db` now.
    pub fn table_id(&self, db: DbIndex) -> TableId {
        self.door.id(db)
    }

    /// Which database the table `id` is now; `None` when it was flushed away.
    pub fn db_of(&self, id: TableId) -> Option<DbIndex> {
        self.dbs().find(|&db| self.door.id(db) == id)
    }

    /// The table of `db`, for walks.
    pub fn table(&self, db: DbIndex) -> &Table<Item> {
        self.door.table(db)
    }

    /// Flushed tables of the node that are not freed yet.
    pub fn going(&self) -> &Going {
        self.door.going()
    }

    /// Counts flushed tables with the other shards of the node; before there are any.
    pub fn share_going(&mut self, going: Going) {
        self.door.share_going(going);
    }

    /// The hash of `key` in this shard's tables.
    pub fn hash(&self, key: &[u8]) -> u64 {
        crate::table::hash_with(self.door.seed(), key)
    }

    /// Brings what the commands of these keys will look at into the cache, of the first `N` of them: their
    /// buckets, then their items. On their way together they take hardly longer than one.
    #[inline]
    pub fn fetch_ahead<'k, const N: usize>(
        &self,
        db: DbIndex,
        keys: impl Iterator<Item = &'k [u8]>,
    ) {
        let (mut hashes, mut count) = ([0; N], 0);
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash(key);
            self.prefetch_at(db, *hash);
            count += 1;
        }
        // One alone is looked for just as well.
        if count > 1 {
            hashes[..count].iter().for_each(|hash| self.prefetch_item_at(db, *hash));
        }
    }

    /// Brings the bucket of a key that is hashed already into the cache ahead of its command.
    #[inline]
    pub fn prefetch_at(&self, db: DbIndex, hash: u64) {
        self.door.table(db).prefetch(hash);
    }

    /// Brings the item of a key that is hashed already into the cache, once its bucket is there.
    #[inline]
    pub fn prefetch_item_at(&self, db: DbIndex, hash: u64) {
        self.door.table(db).prefetch_entry(hash);
    }

    /// Brings what stands behind the item of a key into the cache, once the item is there.
    #[inline]
    pub fn prefetch_value_at(&self, db: DbIndex, hash: u64) {
        self.door.table(db).prefetch_behind(hash);
    }

    /// Brings elements of collections into the cache that the first `N` of these hashed keys' commands name, once the
    /// values are there.
    #[inline]
    pub fn fetch_elements<'k, const N: usize>(
        &self,
        db: DbIndex,
        wanted: impl Iterator<Item = (u64, &'k [u8])>,
    ) {
        let table = self.door.table(db);
        let mut near = [const { None }; N];
        // Often all are of one key.
        let mut last = None;
        for (near, (hash, element)) in near.iter_mut().zip(wanted) {
            let object = match last {
                Some((before, object)) if before == hash => object,
                _ => table.likely(hash).and_then(Item::object),
            };
            last = Some((hash, object));
            *near = object.and_then(|it| Some((it, it.near(element)?)));
        }
        near.iter().flatten().for_each(|(_, near)| near.fetch_keys());
        near.iter().flatten().for_each(|(_, near)| near.fetch_element());
        if near.iter().flatten().any(|(_, near)| near.goes_on()) {
            let mut behind = [const { None }; N];
            for (behind, (object, near)) in behind.iter_mut().zip(near.iter().flatten()) {
                *behind = object.behind(near);
            }
            behind.iter().flatten().for_each(Near::fetch_keys);
            behind.iter().flatten().for_each(Near::fetch_element);
        }
    }

    /// Whether records are kept for the journal, or only counted because it keeps none. Changes only
    /// while no task is under way.
    pub fn set_telling(&mut self, telling: bool) {
        assert!(self.made.is_empty(), "a frame is told as a whole or not at all");
        self.telling = telling;
    }

    /// What the running task has made so far.
    #[inline]
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Puts what another task has made in place (a transaction's own, between its hops) and returns what
    /// was there. The time goes with it: a task that goes on in pieces, or hop by hop, keeps that of its
    /// first one, and none of its keys expires under its hands.
    pub fn swap_made(&mut self, made: Made) -> Made {
        let outside = self.now;
        self.now = made.now.unwrap_or(outside);
        let made = std::mem::replace(&mut self.made, made);
        Made { now: Some(outside), ..made }
    }

    /// What the running task has made stands in the log: whom it concerns is served, and another task
    /// may begin.
    #[inline]
    pub fn logged(&mut self) {
        self.made.frame.clear();
        if !self.made.touched.is_empty() {
            let mut touched = std::mem::take(&mut self.made.touched);
            self.serve(&mut touched);
            self.made.touched = touched;
        }
        if !self.made.said.is_empty() {
            let mut said = std::mem::take(&mut self.made.said);
            self.speak(&mut said);
            self.made.said = said;
        }
    }

    /// The same for what another task has made.
    pub fn serve_logged(&mut self, mut made: Made) {
        self.serve(&mut made.touched);
        self.speak(&mut made.said);
    }

    #[cold]
    fn serve(&mut self, touched: &mut Vec<Touched>) {
        for touched in touched.drain(..) {
            if touched.what != What::Tended {
                self.waits.note(touched.db, &touched.key);
            }
            self.watchers.note(touched);
        }
    }

    /// Who is asked before anything changes from now on; who was, until now.
    pub fn set_before(&mut self, before: Option<Box<dyn Before>>) -> Option<Box<dyn Before>> {
        self.door.set_before(before)
    }

    /// Gives up a table that somebody kept who was asked before changes.
    pub fn bury(&mut self, flushed: FlushedTable) {
        self.door.bury(flushed);
    }

    /// Whether a value has something inside that ends by itself.
    pub fn has_dated(&self) -> bool {
        self.dbs().any(|db| !self.door.dated(db).is_empty())
    }

    /// All databases by number.
    fn dbs(&self) -> impl Iterator<Item = DbIndex> + use<> {
        (0..self.door.count()).map(|index| DbIndex(index as u16))
    }

    /// Frees up to `entries` entries of flushed tables; `false` when nothing is left to free.
    pub fn free_slice(&mut self, entries: usize) -> bool {
        self.door.free_slice(entries)
    }

    /// Of flushed tables alone; `false` when there were none.
    pub fn free_flushed(&mut self, entries: usize) -> bool {
        self.door.free_flushed(entries)
    }

    /// Zeroes the counters (`CONFIG RESETSTAT`).
    pub fn reset_stats(&mut self) {
        self.changes_before += self.stats.mutations;
        self.stats = KeyStats::default();
    }

    /// Changes since the start, whoever asked for them: a client, a master, time.
    pub fn changes(&self) -> Changes {
        Changes { keys: self.changes_before + self.stats.mutations, flushes: self.flushes }
    }
}
