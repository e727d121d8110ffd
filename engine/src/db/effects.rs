//! Effects: the only ways to change data. Each changes the table and tells the frame.
//!
//! ```text
//!   perform-and-tell (here)  ---.
//!                               |--> one body for each effect --> the door
//!   apply a record (apply.rs) --'
//! ```

use super::door::At;
use super::touched::What;
use super::{Broken, Keyspace, Role, WrongType};
use crate::journal::{Change, Deadline, Effect, FrameBuilder, FrameEntry, Global, Payload, Record};
use crate::pubsub::Scope;
use crate::types::{DbIndex, Millis};
use crate::value::{Item, NewValue, Object, SentEffect, Told, Type, TypeEffect, Unfit};

/// Bytes that are kept for what the next effect tells: more than nearly all of them have.
const TOLD_ROOM_KEPT: usize = 4096;

impl Keyspace {
    /// Creates or replaces `key`.
    ///
    /// `Deadline::Keep` keeps the deadline of the item that is replaced, which must be there. A deadline
    /// that has already passed deletes instead (and tells the deletion): a replica must never hold what
    /// its master does not.
    pub fn put(&mut self, db: DbIndex, key: &[u8], value: NewValue<'_>, deadline: Deadline) {
        if let Deadline::At(at) = deadline
            && at <= self.now
            && self.role == Role::Master
        {
            self.remove(db, key);
            return;
        }
        let (hash, telling) = (self.hash(key), self.telling);
        let at = At { db, hash, key };
        if self.event_mark().is_some() {
            // Who listens to keys is told that another one was there, whose time had come.
            self.make_way(at);
        }
        self.perform_put(at, value, deadline, |frame, item| {
            tell(frame, telling, |frame| {
                frame.push_put(db, key, Payload::of(item), deadline);
            });
        });
    }

    /// Deletes `key`; `false` when it was not there.
    pub fn remove(&mut self, db: DbIndex, key: &[u8]) -> bool {
        let at = At { db, hash: self.hash(key), key };
        !self.vanished(at) && self.remove_present(at, What::Deleted)
    }

    /// Deletes `key` whatever its deadline says.
    pub(super) fn remove_present(&mut self, at: At<'_>, why: What) -> bool {
        let removed = self.perform_remove(at, why);
        if removed {
            self.tell(at, Effect::Remove);
        }
        removed
    }

    /// Sets or drops the deadline of an existing `key`; `false` when it is not there. A deadline that
    /// has passed deletes the key.
    pub fn set_deadline(&mut self, db: DbIndex, key: &[u8], deadline: Option<Millis>) -> bool {
        let at = At { db, hash: self.hash(key), key };
        if self.vanished(at) {
            return false;
        }
        if deadline.is_some_and(|at| at <= self.now) && self.role == Role::Master {
            return self.remove_present(at, What::Deleted);
        }
        let there = self.perform_deadline(at, deadline);
        if there {
            self.tell(at, Effect::SetDeadline(deadline));
        }
        there
    }

    /// Has an effect inside the value at `key`, which a key that is not there gets empty; answers with
    /// what the effect says of itself. The caller has checked the type and that the effect fits. A key
    /// whose value has become empty goes, and that is told as well.
    pub fn change<E: TypeEffect>(&mut self, db: DbIndex, key: &[u8], effect: &E) -> E::Done {
        let at = At { db, hash: self.hash(key), key };
        self.make_way(at);
        let mark = self.event_mark();
        let done = self.perform_change(at, E::TYPE, |item| effect.perform(item));
        let (done, is_empty) =
            done.unwrap_or_else(|broken| panic!("a command's own effect is {broken:?}"));
        self.told_change(at, effect, is_empty, mark);
        done
    }

    /// As [`object_to_change`](Keyspace::object_to_change) and [`change`](Keyspace::change), with one look for both:
    /// `decide` sees the value, `None` where there is no such key, and says what is to happen to it, if anything.
    /// Answers with what the effect says of itself.
    #[inline]
    pub fn decide<T: Object, E: TypeEffect>(
        &mut self,
        db: DbIndex,
        key: &[u8],
        decide: impl FnOnce(Option<&T>) -> Option<E>,
    ) -> Result<Option<E::Done>, WrongType> {
        if self.door.is_watched_before() || self.has_dated_in(db) {
            return self.decide_slowly(db, key, decide);
        }
        let at = At { db, hash: self.hash(key), key };
        let mark = self.event_mark();
        let Keyspace { door, made, policy, now, random, commanded, no_touch, .. } = self;
        // A master's command finds what has expired here.
        let due_at = if *commanded { Millis(0) } else { *now };
        let clock = |item: &Item| policy.clock_unless(*no_touch, item, *now, random);
        let outcome =
            door.edit(at, &mut made.touched, |place| place.decide(E::TYPE, due_at, clock, decide));
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(decide) => return self.decide_slowly(db, key, decide),
        };
        let Some((effect, outcome)) = outcome.ok_or(WrongType)? else { return Ok(None) };
        let (done, is_empty) =
            outcome.unwrap_or_else(|unfit| panic!("a command's own effect is {unfit:?}"));
        self.stats.mutations += 1;
        self.told_change(at, &effect, is_empty, mark);
        Ok(Some(done))
    }

    /// As [`decide`](Keyspace::decide), where there is more to do before it changes, or even before it is looked at.
    #[cold]
    fn decide_slowly<T: Object, E: TypeEffect>(
        &mut self,
        db: DbIndex,
        key: &[u8],
        decide: impl FnOnce(Option<&T>) -> Option<E>,
    ) -> Result<Option<E::Done>, WrongType> {
        let effect = decide(self.object_to_change(db, key)?);
        Ok(effect.map(|effect| self.change(db, key, &effect)))
    }

    /// Tells of a change inside a value, and of the end of the key where nothing is left in it.
    #[inline]
    fn told_change<E: TypeEffect>(
        &mut self,
        at: At<'_>,
        effect: &E,
        is_empty: bool,
        mark: Option<usize>,
    ) {
        let Keyspace { made, telling, told_room, .. } = self;
        tell(&mut made.frame, *telling, |frame| {
            told_room.clear();
            let Told { op, head, bytes } = effect.told(told_room);
            let body = match effect.told_pieces() {
                Some(pieces) => Payload::Shared(pieces.clone()),
                None => Payload::Bytes(bytes),
            };
            let effect = Effect::Change(Change { what: E::TYPE.change(op), head, body });
            frame.push(&Record { db: at.db, key: at.key, effect });
            told_room.shrink_to(TOLD_ROOM_KEPT);
        });
        if !self.made.touched.is_empty() {
            self.note_whether_tended(at, E::TYPE, || effect.told(&mut Vec::new()).op);
        }
        if let Some(mark) = mark {
            let mut room = Vec::new();
            let Told { op, head, bytes } = effect.told(&mut room);
            let bytes = if head.as_bytes().is_empty() { bytes } else { head.as_bytes() };
            self.note_change(at, E::TYPE, (op, bytes), mark);
        }
        if is_empty {
            self.remove_present(at, What::Deleted);
        }
    }

    /// Has an effect that was decided on elsewhere by what was found here: while the keys were held all
    /// the same, but their time may have come since. What does not fit any more is not done, nor told.
    pub fn change_as_sent(&mut self, db: DbIndex, key: &[u8], effect: &SentEffect) {
        let at = At { db, hash: self.hash(key), key };
        self.make_way(at);
        let SentEffect { change, bytes } = effect;
        let (kind, op) = Type::of_change(*change).expect("a type sends effects of its own");
        let mark = self.event_mark();
        let performed = self.perform_change(at, kind, |item| (kind.perform)(item, op, bytes));
        let Ok(((), is_empty)) = performed else { return };
        self.tell(at, Effect::Change(Change::new(*change, bytes)));
        self.note_whether_tended(at, kind, || op);
        if let Some(mark) = mark {
            self.note_change(at, kind, (op, bytes), mark);
        }
        if is_empty {
            self.remove_present(at, What::Deleted);
        }
    }

    /// Who waits at a key is not woken by what it cannot be waiting for: a group's place in a stream, a consumer.
    fn note_whether_tended(&mut self, at: At<'_>, kind: &'static Type, op: impl FnOnce() -> u8) {
        let Some(wakes) = kind.wakes else { return };
        let last = self.made.touched.last_mut();
        let last = last.filter(|last| last.what == What::Changed && *last.key == *at.key);
        if let Some(last) = last.filter(|last| last.db == at.db && !wakes(op())) {
            last.what = What::Tended;
        }
    }

    /// Empties all databases.
    pub fn flush_all(&mut self) {
        self.flushes += 1;
        self.perform_flush_all();
        self.made.frame.push_entry(&FrameEntry::Global(Global::FlushAll));
    }

    /// Empties one database.
    pub fn flush_db(&mut self, db: DbIndex) {
        self.perform_flush(db);
        self.made.frame.push_entry(&FrameEntry::Global(Global::FlushDb(db)));
    }

    /// Exchanges two databases: their contents change numbers, nothing moves.
    pub fn swap_db(&mut self, one: DbIndex, other: DbIndex) {
        self.perform_swap(one, other);
        self.made.frame.push_entry(&FrameEntry::Global(Global::SwapDb(one, other)));
    }

    /// Puts a message to subscribers into the frame. It changes no data.
    pub(super) fn tell_message(&mut self, scope: Scope, channel: &[u8], payload: &[u8]) {
        tell(&mut self.made.frame, self.telling, |frame| {
            let effect = Effect::Message(scope, Payload::Bytes(payload));
            frame.push(&Record { db: DbIndex(0), key: channel, effect });
        });
    }

    #[inline]
    fn tell(&mut self, At { db, key, .. }: At<'_>, effect: Effect<'_>) {
        tell(&mut self.made.frame, self.telling, |frame| frame.push(&Record { db, key, effect }));
    }
}

/// The one body of each effect: what a command does and tells, and what a record does and tells nobody.
impl Keyspace {
    /// `told` puts the outcome into the frame, or does not.
    #[inline]
    pub(super) fn perform_put(
        &mut self,
        at: At<'_>,
        value: NewValue<'_>,
        deadline: Deadline,
        told: impl FnOnce(&mut FrameBuilder, &Item),
    ) {
        let mark = self.event_mark();
        let Keyspace { door, made, policy, now, random, stats, .. } = self;
        stats.mutations += 1;
        let heard = door.edit(at, &mut made.touched, |place| {
            // When it was used on the master is not told: for a replica it is used now.
            let clock = |item: &Item| policy.clock(item, *now, random);
            place.put(value, deadline, clock, |item| {
                told(&mut made.frame, item);
                mark.map(|mark| (item.kind(), mark))
            })
        });
        if let Some((kind, mark)) = heard {
            self.note_put(at, kind, deadline, mark);
        }
    }

    /// Puts a value where none is; whether there was none.
    #[inline]
    pub(super) fn perform_load(
        &mut self,
        at: At<'_>,
        value: NewValue<'_>,
        deadline: Option<Millis>,
    ) -> bool {
        let mark = self.event_mark();
        let Keyspace { door, made, policy, now, random, stats, .. } = self;
        let put = door.edit(at, &mut made.touched, |place| {
            let clock = |item: &Item| policy.clock(item, *now, random);
            place.put_new(value, deadline, clock, |item| mark.map(|mark| (item.kind(), mark)))
        });
        let Some(heard) = put else { return false };
        stats.mutations += 1;
        if let Some((kind, mark)) = heard {
            self.note_put(at, kind, deadline.map_or(Deadline::None, Deadline::At), mark);
        }
        true
    }

    pub(super) fn perform_remove(&mut self, at: At<'_>, why: What) -> bool {
        let removed = self.door.edit(at, &mut self.made.touched, |place| place.remove(why));
        self.stats.mutations += u64::from(removed);
        if removed && self.event_mark().is_some() {
            self.note_removed(at, why);
        }
        removed
    }

    pub(super) fn perform_deadline(&mut self, at: At<'_>, deadline: Option<Millis>) -> bool {
        let Keyspace { door, made, policy, now, random, no_touch, .. } = self;
        let clock = |item: &Item| policy.clock_unless(*no_touch, item, *now, random);
        let there = door.edit(at, &mut made.touched, |place| place.set_deadline(deadline, clock));
        self.stats.mutations += u64::from(there);
        if there && self.event_mark().is_some() {
            self.note_deadline(at, deadline.is_some());
        }
        there
    }

    /// Answers also whether the value is empty now.
    #[inline]
    pub(super) fn perform_change<R>(
        &mut self,
        at: At<'_>,
        kind: &'static Type,
        perform: impl FnOnce(&mut Item) -> Result<R, Unfit>,
    ) -> Result<(R, bool), Broken> {
        let Keyspace { door, made, policy, now, random, stats, no_touch, .. } = self;
        let outcome = door.edit(at, &mut made.touched, |place| {
            place.change(
                kind,
                |item| policy.clock_unless(*no_touch, item, *now, random),
                |item| Ok((perform(item)?, item.object().is_some_and(Object::is_empty))),
            )
        });
        let done = outcome.ok_or(Broken::OtherType)?.map_err(Broken::Unfit)?;
        stats.mutations += 1;
        Ok(done)
    }

    pub(super) fn perform_flush_all(&mut self) {
        self.stats.mutations += 1;
        for index in 0..self.door.count() {
            self.flush_untold(DbIndex(index as u16));
        }
    }

    pub(super) fn perform_flush(&mut self, db: DbIndex) {
        self.stats.mutations += 1;
        self.flush_untold(db);
    }

    fn flush_untold(&mut self, db: DbIndex) {
        if self.door.heard(db) != 0 {
            self.watchers.database_goes(db, self.door.table(db), &mut self.made.touched);
            self.waits.databases_change(&[db], &mut self.made.touched);
        }
        self.door.flush(db);
    }

    pub(super) fn perform_swap(&mut self, one: DbIndex, other: DbIndex) {
        self.stats.mutations += 1;
        if one == other {
            return;
        }
        if self.door.heard(one) | self.door.heard(other) != 0 {
            let (door, now) = (&self.door, self.now);
            let (one, other) = ((one, door.table(one)), (other, door.table(other)));
            let dbs = [one.0, other.0];
            self.watchers.databases_swap(now, one, other, &mut self.made.touched);
            self.waits.databases_change(&dbs, &mut self.made.touched);
        }
        self.door.swap(one, other);
    }
}

/// Puts a record into the frame, or only counts it.
#[inline]
fn tell(frame: &mut FrameBuilder, telling: bool, push: impl FnOnce(&mut FrameBuilder)) {
    if telling { push(frame) } else { frame.count_one() }
}
