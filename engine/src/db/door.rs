//! The door: the one file in which a table or an item changes, whoever asks.
//!
//! ```text
//!   command ----------.
//!   a master's record |    before a change:      the place:          after a change:
//!   item of a sync    |--> whoever must keep --> the item, or    --> noted if somebody listens, served
//!   expiry, eviction  |    what is there         where it will be    when the frame stands in the log
//!   RENAME, COPY -----'    (`Before`)            (`KeyPlace`)        (`Touched`)
//! ```
//!
//! Tables and items are private to this file: what the others get of them cannot be changed. They say what
//! is to be done to a place ([`Door::edit`]) or to whole databases ([`Door::flush`], [`Door::swap`]); that
//! the hooks are served is no matter of theirs. While nobody listens that costs two branches.
//!
//! When an item was last used is no data: it is noted at looking ([`Door::look`]) and told to nobody.

use super::dated::Dated;
use super::graveyard::{Going, Graveyard};
use super::touched::{Touched, What};
use crate::journal::Deadline;
use crate::table::{Cursor, Sweep, Table};
use crate::types::{DbIndex, Millis};
use crate::value::{Item, NewValue, Object, Type, TypeEffect, Unfit};

/// A database's contents keep their identity when SWAPDB gives them another number: cuts walk
/// identities, so a swap in the middle neither skips nor repeats half a table (J4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TableId(pub u64);

/// Somebody who must know what is there before it changes: a cut that shows one moment.
pub trait Before {
    /// The key is about to be changed, made or removed; `item` is what stands there.
    fn key(&mut self, table: TableId, hash: u64, key: &[u8], item: Option<&Item>);

    /// All of a table goes. Whoever wants to keep it takes it; else it is given back.
    fn table(&mut self, table: TableId, items: FlushedTable) -> Option<FlushedTable>;
}

/// A table that is no database any more, as it was. Whoever has it gives it to
/// [`Keyspace::bury`](super::Keyspace::bury) in the end: dropping it would take too long.
pub struct FlushedTable(Table<Item>);

impl FlushedTable {
    /// To be looked at.
    pub fn items(&self) -> &Table<Item> {
        &self.0
    }
}

/// One logical database of one shard.
struct Database {
    id: TableId,
    table: Table<Item>,
    /// How many items have a deadline.
    expires: usize,
    /// Those that have deadlines inside.
    dated: Dated,
}

/// All databases of one shard, behind the door.
pub(super) struct Door {
    dbs: Vec<Database>,
    seed: u64,
    next_table: u64,
    before: Option<Box<dyn Before>>,
    /// By database: whose changes are noted, as a bit for each key's hash.
    heard: Vec<u64>,
    /// All bits where every change is noted.
    heard_anyhow: u64,
    graveyard: Graveyard,
}

/// Where a key is to be changed.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) db: DbIndex,
    pub(super) hash: u64,
    pub(super) key: &'a [u8],
}

/// The bit by which listeners to a key with this hash are found.
pub(super) fn heard_bit(hash: u64) -> u64 {
    1 << (hash >> 8 & 63)
}

impl Door {
    pub(super) fn new(dbs: usize, seed: u64) -> Door {
        let (before, graveyard) = (None, Graveyard::default());
        let (heard, heard_anyhow) = (vec![0; dbs], 0);
        let mut door =
            Door { dbs: Vec::new(), seed, next_table: 0, before, heard, heard_anyhow, graveyard };
        for _ in 0..dbs {
            let database = door.empty_database();
            door.dbs.push(database);
        }
        door
    }

    fn empty_database(&mut self) -> Database {
        let id = TableId(self.next_table);
        self.next_table += 1;
        Database { id, table: Table::new(self.seed), expires: 0, dated: Dated::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.dbs.len()
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    #[inline]
    pub(super) fn table(&self, db: DbIndex) -> &Table<Item> {
        &self.dbs[db.index()].table
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Table<Item>> {
        self.dbs.iter().map(|database| &database.table)
    }

    /// So many entries will come, as [`Table::expect`].
    pub(super) fn expect(&mut self, db: DbIndex, entries: usize) {
        self.dbs[db.index()].table.expect(entries);
    }

    #[inline]
    pub(super) fn expires(&self, db: DbIndex) -> usize {
        self.dbs[db.index()].expires
    }

    /// Which items have deadlines inside.
    #[inline]
    pub(super) fn dated(&self, db: DbIndex) -> &Dated {
        &self.dbs[db.index()].dated
    }

    /// The first time inside of an item is another one than was noted.
    pub(super) fn note_dated(&mut self, at: At<'_>) {
        let Database { table, dated, .. } = &mut self.dbs[at.db.index()];
        let due = table.get(at.hash, at.key).and_then(due_inside);
        dated.forget(at.key);
        if let Some(due) = due {
            dated.note(at.key, due);
        }
    }

    pub(super) fn id(&self, db: DbIndex) -> TableId {
        self.dbs[db.index()].id
    }

    /// Who is asked before changes from now on; who was, until now.
    pub(super) fn set_before(
        &mut self,
        before: Option<Box<dyn Before>>,
    ) -> Option<Box<dyn Before>> {
        std::mem::replace(&mut self.before, before)
    }

    /// Whether somebody is asked before changes.
    #[inline]
    pub(super) fn is_watched_before(&self) -> bool {
        self.before.is_some()
    }

    /// Whose changes are noted in `db`: bits of [`heard_bit`].
    pub(super) fn set_heard(&mut self, db: DbIndex, bits: u64) {
        self.heard[db.index()] = bits | self.heard_anyhow;
    }

    /// Whether every change is noted from now on, whatever [`set_heard`](Door::set_heard) says next.
    pub(super) fn hear_all(&mut self, all: bool) {
        self.heard_anyhow = if all { u64::MAX } else { 0 };
    }

    pub(super) fn heard(&self, db: DbIndex) -> u64 {
        self.heard[db.index()]
    }

    /// The item at a key, which is given the access clock that `clock` says.
    #[inline]
    pub(super) fn look(&mut self, at: At<'_>, clock: impl FnOnce(&Item) -> u32) -> Option<&Item> {
        let item = self.dbs[at.db.index()].table.get_mut(at.hash, at.key)?;
        let clock = clock(item);
        if clock != item.clock() {
            item.set_clock(clock);
        }
        Some(item)
    }

    /// Searches for items that are due, as [`Table::sweep_due`], which notes what it learns.
    pub(super) fn sweep(
        &mut self,
        db: DbIndex,
        from: Cursor,
        now: u64,
        segments: usize,
        on_due: &mut dyn FnMut(u64, &Item) -> bool,
    ) -> Sweep {
        self.dbs[db.index()].table.sweep_due(from, now, segments, on_due)
    }

    /// Lets `edit` do something to the key's place. What came of it is added to `touched` if somebody
    /// listens.
    #[inline]
    pub(super) fn edit<R>(
        &mut self,
        at: At<'_>,
        touched: &mut Vec<Touched>,
        edit: impl FnOnce(&mut KeyPlace<'_>) -> R,
    ) -> R {
        let database = &mut self.dbs[at.db.index()];
        if let Some(before) = &mut self.before {
            before.key(database.id, at.hash, at.key, database.table.get(at.hash, at.key));
        }
        let mut place = KeyPlace { database, hash: at.hash, key: at.key, what: None };
        let result = edit(&mut place);
        if self.heard[at.db.index()] & heard_bit(at.hash) != 0
            && let Some(what) = place.what
        {
            touched.push(Touched { db: at.db, key: Box::from(at.key), what });
        }
        result
    }

    /// Empties a database.
    pub(super) fn flush(&mut self, db: DbIndex) {
        if self.table(db).is_empty() {
            // Nothing to free; the identity may stay, since a cut of nothing is complete either way.
            return;
        }
        let fresh = self.empty_database();
        let Database { id, table, .. } = std::mem::replace(&mut self.dbs[db.index()], fresh);
        let flushed = FlushedTable(table);
        let left = match &mut self.before {
            Some(before) => before.table(id, flushed),
            None => Some(flushed),
        };
        left.into_iter().for_each(|flushed| self.bury(flushed));
    }

    /// Nobody looks at a table any more.
    pub(super) fn bury(&mut self, flushed: FlushedTable) {
        self.graveyard.take(flushed.0.into_drain());
    }

    pub(super) fn going(&self) -> &Going {
        self.graveyard.going()
    }

    pub(super) fn share_going(&mut self, going: Going) {
        self.graveyard.share(going);
    }

    /// Exchanges the numbers of two databases. Whoever listens listens to a number.
    pub(super) fn swap(&mut self, one: DbIndex, other: DbIndex) {
        self.dbs.swap(one.index(), other.index());
    }

    /// Frees up to `entries` entries of flushed tables and a quarter as many chunks of large values; `false` when
    /// nothing is left to free.
    pub(super) fn free_slice(&mut self, entries: usize) -> bool {
        // A chunk of 64 KiB takes longer than an entry.
        let values = crate::value::free_slice(entries.div_ceil(4));
        self.free_flushed(entries) || values
    }

    /// Frees up to `entries` entries of flushed tables; `false` when there were none.
    pub(super) fn free_flushed(&mut self, entries: usize) -> bool {
        self.graveyard.free_slice(entries)
    }
}

/// What a key holds, to be changed. Each method does one thing whole: the table's own books are kept and
/// what happened is noted.
pub(super) struct KeyPlace<'a> {
    database: &'a mut Database,
    hash: u64,
    key: &'a [u8],
    what: Option<What>,
}

impl KeyPlace<'_> {
    /// Puts a value there and gives it the access clock that `clock` says; `told` sees the outcome.
    ///
    /// `Deadline::Keep` keeps the deadline of an item that is replaced; `None` without such an item.
    #[inline]
    pub(super) fn put<R>(
        &mut self,
        value: NewValue<'_>,
        deadline: Deadline,
        clock: impl FnOnce(&Item) -> u32,
        told: impl FnOnce(&Item) -> R,
    ) -> R {
        let Database { table, expires, dated, .. } = &mut *self.database;
        let instant = instant(deadline);
        let result = match table.get_mut(self.hash, self.key) {
            Some(item) => {
                item.set(value);
                if !dated.is_empty() {
                    dated.forget(self.key);
                }
                note_inside(item, dated);
                if deadline != Deadline::Keep {
                    date(item, instant, expires);
                }
                item.set_clock(clock(item));
                self.what = Some(What::Changed);
                told(item)
            }
            None => return self.make(value, instant, clock, told),
        };
        if let Some(at) = instant {
            table.note_due(self.hash, at.0);
        }
        result
    }

    /// Puts a value where none is, as [`put`](KeyPlace::put); nothing happens where one is.
    #[inline]
    pub(super) fn put_new<R>(
        &mut self,
        value: NewValue<'_>,
        deadline: Option<Millis>,
        clock: impl FnOnce(&Item) -> u32,
        told: impl FnOnce(&Item) -> R,
    ) -> Option<R> {
        let is_there = self.database.table.get(self.hash, self.key).is_some();
        (!is_there).then(|| self.make(value, deadline, clock, told))
    }

    #[inline]
    fn make<R>(
        &mut self,
        value: NewValue<'_>,
        deadline: Option<Millis>,
        clock: impl FnOnce(&Item) -> u32,
        told: impl FnOnce(&Item) -> R,
    ) -> R {
        let Database { table, expires, dated, .. } = &mut *self.database;
        *expires += usize::from(deadline.is_some());
        let mut item = Item::new(self.key, value, deadline);
        item.set_clock(clock(&item));
        note_inside(&item, dated);
        self.what = Some(What::Created);
        told(table.insert_unique(self.hash, item))
    }

    /// Takes the item away, for the reason `why`; `false` when there is none.
    pub(super) fn remove(&mut self, why: What) -> bool {
        let Some(item) = self.database.table.remove(self.hash, self.key) else { return false };
        self.database.expires -= usize::from(item.deadline().is_some());
        if !self.database.dated.is_empty() {
            self.database.dated.forget(self.key);
        }
        self.what = Some(why);
        true
    }

    /// Sets or drops the deadline, and the access clock that `clock` says; `false` when there is no item.
    pub(super) fn set_deadline(
        &mut self,
        deadline: Option<Millis>,
        clock: impl FnOnce(&Item) -> u32,
    ) -> bool {
        let Database { table, expires, .. } = &mut *self.database;
        let Some(item) = table.get_mut(self.hash, self.key) else { return false };
        date(item, deadline, expires);
        item.set_clock(clock(item));
        if let Some(at) = deadline {
            table.note_due(self.hash, at.0);
        }
        self.what = Some(What::Deadline);
        true
    }

    /// Lets `perform` change the value, which is of type `kind`, and gives it the access clock that `clock` says; where there
    /// is no item, it is one with an empty value. `None` when the value is of another type.
    /// When `perform` fails, an item that was made for it goes again.
    #[inline]
    pub(super) fn change<R, E>(
        &mut self,
        kind: &'static Type,
        clock: impl FnOnce(&Item) -> u32,
        perform: impl FnOnce(&mut Item) -> Result<R, E>,
    ) -> Option<Result<R, E>> {
        let Database { table, dated, .. } = &mut *self.database;
        if let Some(item) = table.get_mut(self.hash, self.key) {
            if item.kind() != kind {
                return None;
            }
            let outcome = perform(item);
            note_inside(item, dated);
            item.set_clock(clock(item));
            self.what = outcome.is_ok().then_some(What::Changed);
            return Some(outcome);
        }
        let mut item = Item::new(self.key, (kind.empty)(), None);
        item.set_clock(clock(&item));
        let outcome = perform(&mut item);
        if outcome.is_ok() {
            note_inside(&item, dated);
            table.insert_unique(self.hash, item);
            self.what = Some(What::Created);
        }
        Some(outcome)
    }
}

/// An effect that was decided on, if one was, and what it came to: what it says of itself, and whether nothing is left.
type Decided<E> = Option<(E, Result<(<E as TypeEffect>::Done, bool), Unfit>)>;

impl KeyPlace<'_> {
    /// As [`change`](KeyPlace::change), with an effect that `decide` finds by what is there: `Ok(None)` where that is
    /// no `T`. Nobody has decided, and nothing has happened, where the time of what is there has come at `now`.
    #[inline]
    pub(super) fn decide<T: Object, E: TypeEffect, D: FnOnce(Option<&T>) -> Option<E>>(
        &mut self,
        kind: &'static Type,
        now: Millis,
        clock: impl FnOnce(&Item) -> u32,
        decide: D,
    ) -> Result<Option<Decided<E>>, D> {
        let Database { table, dated, .. } = &mut *self.database;
        if let Some(item) = table.get_mut(self.hash, self.key) {
            if item.deadline().is_some_and(|deadline| deadline <= now) {
                return Err(decide);
            }
            if item.object_as::<T>().is_none() {
                return Ok(None);
            }
            // Also where nothing comes of it: somebody asked for it.
            item.set_clock(clock(item));
            let object = item.object_as::<T>();
            let Some(effect) = decide(object) else { return Ok(Some(None)) };
            let done = effect.perform(item);
            let object = item.object();
            let is_empty = object.is_some_and(Object::is_empty);
            if let Some(due) = object.and_then(Object::next_due) {
                dated.note(self.key, due);
            }
            self.what = done.is_ok().then_some(What::Changed);
            return Ok(Some(Some((effect, done.map(|done| (done, is_empty))))));
        }
        let Some(effect) = decide(None) else { return Ok(Some(None)) };
        let outcome = self.change(kind, clock, |item| {
            let done = effect.perform(item)?;
            Ok((done, item.object().is_some_and(Object::is_empty)))
        });
        Ok(outcome.map(|outcome| Some((effect, outcome))))
    }
}

/// Gives an item of a database another deadline, or none; `expires` counts those that have one.
fn date(item: &mut Item, deadline: Option<Millis>, expires: &mut usize) {
    let had = item.deadline().is_some();
    if had || deadline.is_some() {
        item.set_deadline(deadline);
        *expires = *expires + usize::from(deadline.is_some()) - usize::from(had);
    }
}

fn due_inside(item: &Item) -> Option<Millis> {
    item.object().and_then(Object::next_due)
}

/// Notes when something inside of an item ends, if it does.
#[inline]
fn note_inside(item: &Item, dated: &mut Dated) {
    if let Some(due) = due_inside(item) {
        dated.note(item.key(), due);
    }
}

/// The instant that a fresh item gets.
fn instant(deadline: Deadline) -> Option<Millis> {
    match deadline {
        Deadline::At(at) => Some(at),
        Deadline::None | Deadline::Keep => None,
    }
}
