//! Running one command to its end on this shard: gates, function, frame, counters.

use super::body::{Message, Running, Shard, Waiting};
use super::locks::{EntryId, Wants};
use super::message::{Answer, Batch};
use super::stats::TIMED_EVERY;
use super::turn::Turn;
use super::wanted::Mode;
use crate::command::shape::{Did, Slices, Step};
use crate::command::{Args, Call, Cx, Entry, Flags, Refusal, Run, Walk, Walked, Whole};
use crate::db::{KeyStats, Made, Role};
use crate::limits::BATCH_REPLIES_MAX;
use crate::resp::Output;
use crate::rt::task::POLL_INTERVAL;
use std::time::{Duration, Instant};

/// Commands of a batch between two looks at how long it takes.
pub(super) const COMMANDS_PER_LOOK: usize = 16;

/// How long a batch may take before the others get their turn: as the visit of a connection.
const TURN_MAX: Duration = POLL_INTERVAL;

impl Shard {
    /// Runs a command of a connection that lives on this executor, if none of its keys is open.
    ///
    /// All its keys must be on this shard. Answers `false`, having done nothing, when it has to wait:
    /// then it goes into a batch.
    pub fn run_here(&mut self, call: &Call<'_>, out: &mut Output) -> bool {
        if !self.locks.is_quiet() && self.must_wait(call) {
            return false;
        }
        let KeyStats { hits, misses, .. } = self.keys.stats;
        let is_done = self.run_whole(call, out).is_none();
        if !is_done {
            // What takes long waits in a batch too, where it looks at its keys once more.
            (self.keys.stats.hits, self.keys.stats.misses) = (hits, misses);
        }
        is_done
    }

    /// Runs the commands of a batch, or as many as can run before one has to wait.
    pub(super) fn run_batch(&mut self, mut batch: Box<Batch>) {
        let mut turn = Turn::begin();
        while batch.is_unfinished() && batch.replies.whole() < BATCH_REPLIES_MAX {
            if batch.who.room.is_over() {
                // Its client is closed: what stands behind is not done.
                batch.give_up();
                break;
            }
            self.fetch_ahead(&batch);
            let (call, _) = batch.next();
            if !self.locks.is_quiet() && self.must_wait(&call) {
                let wants = self.wants_of(&call);
                self.park(batch, wants);
                return;
            }
            if let Some(slices) = self.run_batch_command(&mut batch) {
                let wants = self.wants_of(&batch.next().0);
                let entry = self.new_entry();
                if self.locks.request(entry, &wants) {
                    return self.go_on(entry, wants, batch, slices);
                }
                // A walk, which asks for no key, behind somebody who waits for the whole shard. Nothing
                // of it is done: it begins anew at its turn.
                self.entries.insert(entry, Waiting::Batch { batch, wants });
                return;
            }
            if batch.ran % COMMANDS_PER_LOOK == 0 && self.is_timed && turn.is_longer(TURN_MAX) {
                self.running.push_back(Running::Rest(batch));
                return;
            }
        }
        self.batch_done(batch);
    }

    /// Runs the batch's next command, whose keys are free or held for it.
    fn run_batch_command(&mut self, batch: &mut Batch) -> Option<Slices> {
        let before = self.log.lsn();
        let (call, replies) = batch.next();
        if let Some(slices) = self.run_whole(&call, replies) {
            return Some(slices);
        }
        batch.note_ran();
        let after = self.log.lsn();
        if after != before {
            batch.written = after;
        }
        None
    }

    fn batch_done(&mut self, mut batch: Box<Batch>) {
        batch.ran_on = self.id;
        let to = batch.reply_to;
        self.send(to.executor, Message::Answer(to.ticket, Answer::Batch(batch)));
    }

    /// Lets a batch wait until its next command's keys are free.
    fn park(&mut self, batch: Box<Batch>, wants: Wants) {
        let id = self.new_entry();
        let granted = self.locks.request(id, &wants);
        debug_assert!(!granted, "a batch parks only behind open keys");
        self.entries.insert(id, Waiting::Batch { batch, wants });
        if granted {
            self.granted.push_back(id);
        }
    }

    /// A parked batch's keys are its own now: runs that command, gives the keys back, goes on.
    pub(super) fn resume_batch(&mut self, id: EntryId, mut batch: Box<Batch>, wants: Wants) {
        match self.run_batch_command(&mut batch) {
            Some(slices) => self.go_on(id, wants, batch, slices),
            None => {
                self.locks.release(id, &wants, &mut self.granted);
                self.run_batch(batch);
            }
        }
    }

    pub(super) fn must_wait(&self, call: &Call<'_>) -> bool {
        let command = call.entry.command;
        match command.run {
            Run::All(_) | Run::Walk(_) | Run::Front => false,
            _ => keys_of(call.entry, &call.args).any(|(index, mode)| {
                self.locks.must_wait(self.keys.hash(call.args.get(index)), mode)
            }),
        }
    }

    fn wants_of(&self, call: &Call<'_>) -> Wants {
        let keys = keys_of(call.entry, &call.args);
        Wants::keys(keys.map(|(index, mode)| (self.keys.hash(call.args.get(index)), mode)))
    }

    /// Runs a command all of whose keys are here, and puts its frame into the log.
    /// What is not done with one piece of work is given back, and goes on in slices.
    fn run_whole(&mut self, call: &Call<'_>, out: &mut Output) -> Option<Slices> {
        let needs_memory = call.entry.command.flags.contains(Flags::DENYOOM);
        let is_asked = needs_memory && !call.who.is_master;
        if is_asked && self.closed_to(call).is_none() && !self.make_room() {
            let start = out.len();
            self.stats[usize::from(call.entry.id)].rejected += 1;
            self.refuse(&Refusal::OutOfMemory, call.protocol, out);
            hush(call, start, true, out);
            return None;
        }
        let slices = self.run_untold(call, out);
        self.log_frame();
        self.serve_sleepers();
        slices
    }

    /// As [`run_whole`](Shard::run_whole), leaving the records in the running frame. Memory was asked
    /// for before that frame began.
    pub(super) fn run_untold(&mut self, call: &Call<'_>, out: &mut Output) -> Option<Slices> {
        let (id, start) = (usize::from(call.entry.id), out.len());
        if let Some(refusal) = self.closed_to(call) {
            self.stats[id].rejected += 1;
            self.refuse(&refusal, call.protocol, out);
            hush(call, start, true, out);
            return None;
        }
        let timed = self.stats[id].calls % TIMED_EVERY == 0;
        let started = timed.then(Instant::now);
        let whole = |cx: &mut Cx<'_>| match call.whole(cx)? {
            Whole::Done => cx.take_room().map(|()| None),
            Whole::Later(slices) => Ok(Some(slices)),
        };
        let outcome = self.within(call, out, whole);
        if let Ok(Some(slices)) = outcome {
            // Whoever goes on has written nothing yet; if it has all the same, its reply would be there twice and all
            // that follow would be taken for others'.
            debug_assert_eq!(out.len(), start, "{} begins with a reply", call.entry.name());
            out.truncate(start);
            return Some(slices);
        }
        let stats = &mut self.stats[id];
        stats.calls += 1;
        if let Some(started) = started {
            let calls = if stats.calls == 1 { 1 } else { TIMED_EVERY };
            stats.nanos += started.elapsed().as_nanos() as u64 * calls;
        }
        let outcome = outcome.map(drop).or_else(Refusal::unless_unwanted);
        if let Err(refusal) = &outcome {
            self.stats[id].failed += 1;
            out.truncate(start);
            self.refuse(refusal, call.protocol, out);
        }
        hush(call, start, outcome.is_err(), out);
        None
    }

    /// This shard's step of a wider command, whose memory was asked for before it began.
    /// One piece of it; `None` when there is more.
    pub(crate) fn run_step(
        &mut self,
        call: &Call<'_>,
        step: &mut Step,
    ) -> Result<Option<Did>, Refusal> {
        // What was decided is done; what is still to be decided asks for the role.
        let is_going_on = matches!(step, Step::Writes(_));
        if let Some(refusal) = self.closed_to(call).filter(|_| !is_going_on) {
            return Err(refusal);
        }
        let (mut out, piece) = (Output::default(), |cx: &mut Cx<'_>| call.step(cx, step));
        if is_going_on {
            // What was decided: its shards have begun with a look at their keys.
            self.keys.go_on_with_command(&call.entry.called);
            return self.within_begun(call, &mut out, piece);
        }
        self.within(call, &mut out, piece)
    }

    /// One step of a `Walk` command; answers whether it goes on. A step that is alone on its shard is
    /// a transaction, which takes care of the frame.
    pub fn run_walk_step(
        &mut self,
        walk: &Walk,
        call: &Call<'_>,
        walked: &mut Walked,
    ) -> Result<bool, Refusal> {
        if let Some(refusal) = self.closed_to(call) {
            return Err(refusal);
        }
        let step = |cx: &mut Cx<'_>| walk.one_step(cx, call.args, walked);
        let goes_on = self.within(call, &mut Output::default(), step);
        if !walk.alone {
            self.log_frame();
        }
        goes_on
    }

    /// Runs a command's function with what it gets of this shard; its reply goes to `out`.
    #[inline]
    pub(super) fn within<T>(
        &mut self,
        call: &Call<'_>,
        out: &mut Output,
        function: impl FnOnce(&mut Cx<'_>) -> T,
    ) -> T {
        self.keys.begin_command(&call.entry.called);
        self.within_begun(call, out, function)
    }

    /// As [`within`](Shard::within), for what has begun.
    #[inline]
    pub(super) fn within_begun<T>(
        &mut self,
        call: &Call<'_>,
        out: &mut Output,
        function: impl FnOnce(&mut Cx<'_>) -> T,
    ) -> T {
        let (is_quiet, is_master) = (call.is_quiet(), call.who.is_master);
        if is_quiet {
            self.keys.set_no_touch(true);
        }
        if is_master {
            self.keys.set_commanded(true);
        }
        let (counted, reply) = (out.whole(), out.writer(call.protocol));
        let (shard, shards, who, db) = (self.id, self.shards, call.who, call.db);
        let (keys, writes) = (&mut self.keys, call.entry.writes());
        let done = function(&mut Cx { keys, db, reply, shard, shards, who, counted, writes });
        if is_quiet {
            self.keys.set_no_touch(false);
        }
        if is_master {
            self.keys.set_commanded(false);
        }
        done
    }

    /// Why a write is refused that has passed its connection's gate: since then the node has become a replica, or
    /// reads its data from a file. It would be nobody's history, or stand in the way of what the file has.
    #[inline]
    pub(super) fn closed_to(&self, call: &Call<'_>) -> Option<Refusal> {
        let is_closed = self.is_reading || self.keys.role() == Role::Replica;
        if !is_closed || !call.entry.writes() || call.who.is_master {
            return None;
        }
        self.closed_to_writes()
    }

    /// Why writes of clients are refused, if they are.
    pub fn closed_to_writes(&self) -> Option<Refusal> {
        match self.keys.role() {
            _ if self.is_reading => Some(Refusal::LOADING),
            Role::Replica => Some(Refusal::ReadOnly),
            Role::Master => None,
        }
    }

    /// The batch's next command goes on in slices, with its keys in hand.
    pub(super) fn go_on(
        &mut self,
        entry: EntryId,
        wants: Wants,
        mut batch: Box<Batch>,
        slices: Slices,
    ) {
        batch.slices = Some(slices);
        let made = Made::since(self.keys.now());
        self.running.push_back(Running::Command { entry, wants, batch, made });
    }
}

/// Lets go of a reply that nobody wants, and of the memory that a large one took.
#[inline]
pub(super) fn hush(call: &Call<'_>, start: usize, is_error: bool, out: &mut Output) {
    if call.who.silent || (call.who.is_master && !is_error) {
        out.truncate(start);
        if out.capacity() > BATCH_REPLIES_MAX {
            out.shrink_to(BATCH_REPLIES_MAX);
        }
    }
}

/// Where a request's keys stand, and how each is wanted: what a command only looks at it shares, also
/// where it changes another one.
pub(crate) fn keys_of<'a>(
    entry: &'static Entry,
    args: &'a Args<'_>,
) -> impl Iterator<Item = (usize, Mode)> + use<'a> {
    let changes = entry.may_change();
    entry.command.keys.each(args).map(move |(position, spec)| {
        let is_changed = changes && spec.uses_in(args).is_change();
        (position, if is_changed { Mode::Exclusive } else { Mode::Shared })
    })
}
