//! A frozen cut of one shard: its data of one moment, read while writes go on.
//!
//! Whoever is about to change a key that the walk has not reached has a reference to what stands there
//! taken first, however large that is. What was taken is read next, so that it is held for as short as can be; the walk
//! passes over keys that were taken, and over those that were not there at the cut's moment.
//!
//! ```text
//!   hashes  |==== walked ====|c ......................... to be walked ........................|
//!   a write       nothing           first of its key: item, if any ──► held;  key ──► taken
//!   more()        held, one after the other; then bucket by bucket, without what was taken
//! ```
//!
//! A table that is flushed away is taken whole. SWAPDB changes nothing: items carry the number that their
//! table had at the cut's moment.
//!
//! What is held counts ([`held_total`]) and has a bound: where it would be passed the cut fails, and
//! the writer goes on. The nearer it comes, the longer the slices are in which the cut is read.

use super::CutId;
use crate::db::{Before, FlushedTable, Keyspace, Policy, TableId, UsedSoFar};
use crate::rdb::file_write::{self, Head, InPlace, Rest, Used};
use crate::rdb::forms::Recipient;
use crate::table::{Cursor, Table};
use crate::types::{DbIndex, Millis};
use crate::value::{Item, SharedValue};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one part carries before it ends: as those of merged cuts.
const PART_BYTES: usize = 128 * 1024;

/// The longest string that is written where it stands, some 10 us with packing; longer ones are held
/// and written in pieces.
const STRING_AT_ONCE: usize = 4096;

/// The same of other values, which take longer by the byte.
const OBJECT_AT_ONCE: usize = 2048;

/// Bytes of one bucket that are written at once; the rest of it is held, which costs next to nothing.
const BUCKET_AT_ONCE: usize = 8192;

/// What a key that was taken takes beside its bytes: its place in the tree, and the blocks of both copies.
const TAKEN_BYTES: usize = 112;

/// Entries that are given back at a time when a cut is over before its end.
const CLEARED_AT_ONCE: usize = 64;

/// One value counts for no more than this share of the bound: it is read next, and most of its
/// parts may be the data's as well.
const VALUE_SHARE: u64 = 8;

static HELD: AtomicU64 = AtomicU64::new(0);

/// Bytes that frozen cuts hold, on all shards. What a value shares with the one that is there now counts as
/// well.
pub fn held_total() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// Why a cut cannot be gone on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrozenFailure {
    /// More was written meanwhile than may be held.
    TooMuchHeld,
    /// Memory was short, and what the cut held was flushed.
    MemoryWanted,
}

impl std::fmt::Display for FrozenFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FrozenFailure::TooMuchHeld => {
                "more was changed meanwhile than may be held back for the snapshot (a quarter of \
                 maxmemory): begin another one when less is written, or raise maxmemory"
            }
            FrozenFailure::MemoryWanted => {
                "memory was short and the databases were flushed meanwhile"
            }
        })
    }
}

/// What some slices of a frozen cut found: bytes of an RDB file.
#[derive(Default)]
pub struct FrozenPart {
    /// Keys with their values, each behind its database.
    pub bytes: Vec<u8>,
    /// Keys whose values ended in it.
    pub keys: u64,
    /// The last value goes on in the next part: nothing may come between.
    pub is_open: bool,
    /// Whether this was the last part.
    pub is_done: bool,
    /// There will be no more, because of this.
    pub failed: Option<FrozenFailure>,
    /// Bytes that are held on this shard now.
    pub held: u64,
    /// The database that its last key is of.
    db: Option<DbIndex>,
}

impl FrozenPart {
    /// Whether it is as long as a part may be, or the last one.
    pub fn is_full(&self) -> bool {
        self.is_done || self.failed.is_some() || self.bytes.len() >= PART_BYTES
    }
}

/// A frozen cut under way on one shard; the door has another reference to it.
#[derive(Clone)]
pub struct FrozenCut(Rc<RefCell<Frozen>>);

struct Frozen {
    id: CutId,
    /// Tables to be walked; the last one is walked now.
    tables: Vec<Walked>,
    cursor: Cursor,
    /// What was there before changes, to be written next.
    held: VecDeque<Held>,
    /// The rest of a value whose beginning is written.
    rest: Option<Rest>,
    /// What the value under way counts for.
    rest_counts: u64,
    /// Flushed tables that were walked.
    gone: Vec<FlushedTable>,
    bound: u64,
    /// Of [`HELD`].
    held_bytes: u64,
    /// The same where one value counts for no more than its share.
    charged: u64,
    failed: Option<FrozenFailure>,
    /// For whom it is written.
    recipient: Recipient,
    /// Nobody waits for it.
    is_at_leisure: bool,
}

struct Walked {
    id: TableId,
    /// Its number at the cut's moment.
    db: DbIndex,
    /// Keys that the walk is to pass over, by their hashes.
    taken: BTreeMap<u64, Taken>,
    /// It is no database any more.
    flushed: Option<FlushedTable>,
}

/// Keys of one hash: hardly ever more than one.
struct Taken {
    key: Box<[u8]>,
    others: Vec<Box<[u8]>>,
}

impl Taken {
    fn has(&self, key: &[u8]) -> bool {
        *self.key == *key || self.others.iter().any(|other| **other == *key)
    }

    /// How many bytes its names take, and what they were charged where each counts for so many at the most.
    fn bytes(&self, most: u64) -> (u64, u64) {
        let names = [&self.key].into_iter().chain(&self.others);
        let bytes = names.map(|key| (key.len() + TAKEN_BYTES) as u64);
        bytes.fold((0, 0), |(all, charge), bytes| (all + bytes, charge + bytes.min(most)))
    }
}

/// What was there.
struct Held {
    db: DbIndex,
    key: Box<[u8]>,
    value: SharedValue,
    deadline: Option<Millis>,
    clock: u32,
    counts: u64,
}

impl Held {
    fn of(db: DbIndex, item: &Item) -> Held {
        Held {
            db,
            key: item.key().into(),
            value: item.share(),
            deadline: item.deadline(),
            clock: item.clock(),
            counts: item.heap_bytes() as u64,
        }
    }
}

/// As of when and how a slice is written.
#[derive(Clone, Copy)]
struct Manner {
    policy: Policy,
    now: Millis,
}

impl Manner {
    fn used(&self, clock: u32) -> Option<Used> {
        self.policy.used_so_far(clock, self.now).map(|used| match used {
            UsedSoFar::Idle(seconds) => Used::Idle(seconds),
            UsedSoFar::Often(times) => Used::Often(times),
        })
    }
}

/// A part, and for whom it is.
struct Out<'p> {
    part: &'p mut FrozenPart,
    recipient: Recipient,
}

impl Out<'_> {
    fn item(&mut self, db: DbIndex, head: Head<'_>, value: InPlace<'_>) -> Option<Rest> {
        if self.part.bytes.capacity() == 0 {
            self.part.bytes.reserve(PART_BYTES + BUCKET_AT_ONCE);
        }
        if self.part.db != Some(db) {
            file_write::database(db, &mut self.part.bytes);
            self.part.db = Some(db);
        }
        file_write::item(head, value, self.recipient, &mut self.part.bytes)
    }
}

impl FrozenCut {
    /// A cut of all that `keys` holds now, which may hold `bound` bytes. The door is to ask it from now on.
    pub fn begin(id: CutId, keys: &Keyspace, bound: u64) -> FrozenCut {
        let walked = |index: usize| {
            let db = DbIndex(index as u16);
            Walked { id: keys.table_id(db), db, taken: BTreeMap::new(), flushed: None }
        };
        FrozenCut(Rc::new(RefCell::new(Frozen {
            id,
            tables: (0..keys.db_count()).rev().map(walked).collect(),
            cursor: Cursor::START,
            held: VecDeque::new(),
            rest: None,
            rest_counts: 0,
            gone: Vec::new(),
            bound,
            held_bytes: 0,
            charged: 0,
            failed: None,
            recipient: Recipient::default(),
            is_at_leisure: false,
        })))
    }

    /// For whom it is written, before any of it is, and whether nobody waits for it.
    pub fn write_for(&self, recipient: Recipient, is_at_leisure: bool) {
        let mut cut = self.0.borrow_mut();
        (cut.recipient, cut.is_at_leisure) = (recipient, is_at_leisure);
    }

    /// Whether nobody waits for it.
    pub fn is_at_leisure(&self) -> bool {
        self.0.borrow().is_at_leisure
    }

    /// Its name.
    pub fn id(&self) -> CutId {
        self.0.borrow().id
    }

    /// Puts more into a part: until that is long, or until `is_over` says so. Nothing may be changed meanwhile.
    pub fn more(&self, keys: &Keyspace, part: &mut FrozenPart, is_over: &mut dyn FnMut() -> bool) {
        let manner = Manner { policy: keys.policy, now: keys.now() };
        let mut cut = self.0.borrow_mut();
        let mut out = Out { part, recipient: cut.recipient };
        while cut.failed.is_none() {
            if !cut.step(keys, &manner, &mut out) {
                out.part.is_done = true;
                break;
            }
            if out.part.bytes.len() >= PART_BYTES || is_over() {
                break;
            }
        }
        part.is_open = cut.rest.is_some();
        part.failed = cut.failed;
        part.held = cut.held_bytes;
    }

    /// How much of what it may hold it holds, in percent.
    pub fn pressure(&self) -> u64 {
        let cut = self.0.borrow();
        cut.charged * 100 / cut.bound.max(1)
    }

    /// Whether it keeps a table that was flushed.
    pub fn keeps_flushed(&self) -> bool {
        self.0.borrow().tables.iter().any(|walked| walked.flushed.is_some())
    }

    /// Lets it fail, for this reason.
    pub fn fail(&self, why: FrozenFailure) {
        self.0.borrow_mut().failed.get_or_insert(why);
    }

    /// The flushed tables that it needs no more: all that it has when it has failed.
    pub fn take_gone(&self) -> Vec<FlushedTable> {
        let mut cut = self.0.borrow_mut();
        if cut.failed.is_some() {
            let kept: Vec<_> =
                cut.tables.iter_mut().filter_map(|walked| walked.flushed.take()).collect();
            cut.gone.extend(kept);
        }
        std::mem::take(&mut cut.gone)
    }

    /// Gives some of what it holds back; whether nothing is left. It has failed from now on, if it was not at its end.
    pub fn clear_some(&self) -> bool {
        self.fail(FrozenFailure::MemoryWanted);
        self.0.borrow_mut().clear_some()
    }
}

impl Frozen {
    /// Writes a little; `false` when there is nothing left.
    fn step(&mut self, keys: &Keyspace, manner: &Manner, out: &mut Out<'_>) -> bool {
        if let Some(rest) = &mut self.rest {
            if rest.more(&mut out.part.bytes) {
                self.rest = None;
                let counts = std::mem::take(&mut self.rest_counts);
                self.give_back(counts);
                out.part.keys += 1;
            }
            return true;
        }
        if let Some(held) = self.held.pop_front() {
            let Held { db, key, value, deadline, clock, counts } = held;
            let head = Head { key: &key, deadline, used: manner.used(clock) };
            self.rest = out.item(db, head, InPlace::of(&value));
            match self.rest {
                Some(_) => self.rest_counts = counts,
                None => {
                    self.give_back(counts);
                    out.part.keys += 1;
                }
            }
            return true;
        }
        self.walk_bucket(keys, manner, out)
    }

    fn walk_bucket(&mut self, keys: &Keyspace, manner: &Manner, out: &mut Out<'_>) -> bool {
        let bound_of_one = self.share_of(u64::MAX);
        let Frozen { tables, cursor, held, gone, .. } = self;
        let Some(walked) = tables.last_mut() else { return false };
        let table: Option<&Table<Item>> = match &walked.flushed {
            Some(flushed) => Some(flushed.items()),
            // Gone without having been given: it was empty.
            None => keys.db_of(walked.id).map(|db| keys.table(db)),
        };
        let (db, taken, start) = (walked.db, &walked.taken, out.part.bytes.len());
        let (mut counts, mut charge, most) = (0, 0, bound_of_one);
        // What is taken behind the cursor is forgotten: few buckets have any of it.
        let first_taken = taken.first_key_value().map_or(u64::MAX, |(hash, _)| *hash);
        let next = table.and_then(|table| {
            table.walk(*cursor, &mut |hash, item| {
                let is_taken = || taken.get(&hash).is_some_and(|taken| taken.has(item.key()));
                if hash >= first_taken && is_taken() {
                    return;
                }
                if out.part.bytes.len() - start > BUCKET_AT_ONCE || !is_short(item) {
                    let item = Held::of(db, item);
                    counts += item.counts;
                    charge += item.counts.min(most);
                    return held.push_back(item);
                }
                write_short(db, item, manner, out);
            })
        });
        let passed = match next {
            Some(next) => {
                *cursor = next;
                forget(&mut walked.taken, next.0, most)
            }
            None => {
                let rest = forget(&mut walked.taken, u64::MAX, most);
                gone.extend(walked.flushed.take());
                tables.pop();
                *cursor = Cursor::START;
                rest
            }
        };
        self.take_up_as(counts, charge);
        self.give_back_as(passed.0, passed.1);
        true
    }

    /// One value, or one name, is held from now on.
    fn take_up(&mut self, bytes: u64) {
        self.take_up_as(bytes, self.share_of(bytes));
    }

    /// It is held no more.
    fn give_back(&mut self, bytes: u64) {
        self.give_back_as(bytes, self.share_of(bytes));
    }

    /// Several, each of which has its own share: what they were charged goes when they go, to the byte.
    fn take_up_as(&mut self, bytes: u64, charge: u64) {
        self.held_bytes += bytes;
        self.charged += charge;
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back_as(&mut self, bytes: u64, charge: u64) {
        let bytes = bytes.min(self.held_bytes);
        self.held_bytes -= bytes;
        self.charged = self.charged.saturating_sub(charge);
        HELD.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn share_of(&self, bytes: u64) -> u64 {
        bytes.min(self.bound / VALUE_SHARE)
    }

    fn clear_some(&mut self) -> bool {
        self.rest = None;
        for _ in 0..CLEARED_AT_ONCE {
            if self.held.pop_front().is_some() {
                continue;
            }
            let Some(walked) = self.tables.last_mut() else {
                let left = self.held_bytes;
                self.give_back(left);
                return true;
            };
            if walked.taken.pop_first().is_none() {
                self.gone.extend(walked.flushed.take());
                self.tables.pop();
            }
        }
        false
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        HELD.fetch_sub(self.held_bytes, Ordering::Relaxed);
    }
}

impl Before for FrozenCut {
    fn key(&mut self, table: TableId, hash: u64, key: &[u8], item: Option<&Item>) {
        let mut cut = self.0.borrow_mut();
        let cut = &mut *cut;
        if cut.failed.is_some() {
            return;
        }
        let Some(place) = cut.tables.iter().rposition(|walked| walked.id == table) else { return };
        let is_walked_now = place + 1 == cut.tables.len();
        if is_walked_now && cut.cursor.has_passed(hash) && !planted::holds_what_was_passed() {
            return;
        }
        let walked = &mut cut.tables[place];
        let db = walked.db;
        match walked.taken.get_mut(&hash) {
            Some(taken) if taken.has(key) => return,
            Some(taken) => taken.others.push(key.into()),
            None => {
                let others = Vec::new();
                drop(walked.taken.insert(hash, Taken { key: key.into(), others }));
            }
        }
        let mut bytes = (key.len() + TAKEN_BYTES) as u64;
        if let Some(item) = item {
            let held = Held::of(db, item);
            bytes += held.counts;
            cut.take_up(held.counts);
            bytes -= held.counts;
            cut.held.push_back(held);
        }
        cut.take_up(bytes);
        if cut.charged > cut.bound {
            cut.failed = Some(FrozenFailure::TooMuchHeld);
        }
    }

    fn table(&mut self, table: TableId, items: FlushedTable) -> Option<FlushedTable> {
        let mut cut = self.0.borrow_mut();
        if cut.failed.is_some() || planted::lets_flushed_tables_go() {
            return Some(items);
        }
        match cut.tables.iter_mut().find(|walked| walked.id == table) {
            Some(walked) => {
                walked.flushed = Some(items);
                None
            }
            None => Some(items),
        }
    }
}

/// Whether an item is written where it stands.
fn is_short(item: &Item) -> bool {
    let most = if item.object().is_some() { OBJECT_AT_ONCE } else { STRING_AT_ONCE };
    item.encoded_len() <= most
}

fn write_short(db: DbIndex, item: &Item, manner: &Manner, out: &mut Out<'_>) {
    let value = match (item.string(), item.object()) {
        (Some(string), _) => InPlace::String(string),
        (None, Some(object)) => InPlace::Object(object),
        (None, None) => return,
    };
    let used = manner.used(item.clock());
    let head = Head { key: item.key(), deadline: item.deadline(), used };
    if let Some(mut rest) = out.item(db, head, value) {
        while !rest.more(&mut out.part.bytes) {}
    }
    out.part.keys += 1;
}

/// Forgets keys that the walk has passed; how many bytes they took, and what they were charged.
fn forget(taken: &mut BTreeMap<u64, Taken>, passed: u64, most: u64) -> (u64, u64) {
    let (mut all, mut charge) = (0, 0);
    while let Some(first) = taken.first_entry().filter(|first| *first.key() < passed) {
        let (bytes, charged) = first.remove().bytes(most);
        (all, charge) = (all + bytes, charge + charged);
    }
    (all, charge)
}

/// Test-only switches that plant the bugs of this file's stories.
#[cfg(feature = "planted-bugs")]
pub mod planted {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Keys that the walk has passed are held too, and so written twice, as they were later.
    pub static HOLDS_WHAT_WAS_PASSED: AtomicBool = AtomicBool::new(false);

    /// A table that is flushed in the middle is not in the cut.
    pub static LETS_FLUSHED_TABLES_GO: AtomicBool = AtomicBool::new(false);

    pub(crate) fn holds_what_was_passed() -> bool {
        HOLDS_WHAT_WAS_PASSED.load(Ordering::Relaxed)
    }

    pub(crate) fn lets_flushed_tables_go() -> bool {
        LETS_FLUSHED_TABLES_GO.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod planted {
    pub(crate) fn holds_what_was_passed() -> bool {
        false
    }

    pub(crate) fn lets_flushed_tables_go() -> bool {
        false
    }
}

#[cfg(test)]
#[path = "frozen_tests.rs"]
mod tests;
