//! Running one command to its end on this shard: gates, function, frame, counters.

use super::{Answer, Batch, Done, EachDone, EntryId, Message, Mode, Shard, Wants, tx::Waiting};
use crate::command::{
    All, Args, Carried, Carry, Cx, Decision, Each, Entry, Flags, Found, Join, Keys, Part, Refusal,
    Run, Walk, Walked, Write,
};
use crate::db::Role;
use crate::journal::{Deadline, FrameBuilder, ShardSet, Transaction};
use crate::limits::BATCH_REPLIES_MAX;
use crate::resp::{Protocol, ReplyWriter};
use crate::types::{DbIndex, Lsn, ShardId, TxId};
use crate::value::{Item, NewValue};

/// Counters of one command on one shard.
#[derive(Clone, Copy, Default, Debug)]
pub struct CommandStats {
    /// How often it ran.
    pub calls: u64,
    /// Nanoseconds it took: the first call, and one in [`TIMED_EVERY`] after it for all of them.
    pub nanos: u64,
    /// How often it answered with an error.
    pub failed: u64,
    /// How often a gate refused it before it ran.
    pub rejected: u64,
}

/// One call in so many is timed: two clock readings cost a tenth of a GET.
pub(super) const TIMED_EVERY: u64 = 32;

/// Whether CLIENT NO-TOUCH means this command: TOUCH touches all the same.
pub(super) fn touches_quietly(entry: &Entry) -> bool {
    entry.name() != "touch"
}

impl Shard {
    /// Runs a command of a connection that lives on this executor, if none of its keys is open.
    ///
    /// All its keys must be on this shard. Answers `false`, having done nothing, when it has to wait:
    /// then it goes into a batch.
    pub fn run_here(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.locks.is_quiet() && self.must_wait(entry, &args) {
            return false;
        }
        self.run_whole(entry, db, args, protocol, out);
        true
    }

    /// As [`run_here`](Shard::run_here), leaving the access times of keys alone (CLIENT NO-TOUCH).
    pub fn run_here_untouched(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> bool {
        self.keys.set_no_touch(touches_quietly(entry));
        let ran = self.run_here(entry, db, args, protocol, out);
        self.keys.set_no_touch(false);
        ran
    }

    /// Runs the commands of a batch, or as many as can run before one has to wait.
    pub(super) fn run_batch(&mut self, mut batch: Box<Batch>) {
        while batch.is_unfinished() && batch.replies.len() < BATCH_REPLIES_MAX {
            let command = batch.commands[batch.ran];
            let spans =
                &batch.spans[command.first as usize..(command.first + command.count) as usize];
            let args = Args::new(&batch.bytes, spans);
            if !self.locks.is_quiet() && self.must_wait(command.entry, &args) {
                let wants = self.wants_of(command.entry, &args);
                self.park(batch, wants);
                return;
            }
            self.run_batch_command(&mut batch);
        }
        self.batch_done(batch);
    }

    /// Runs the batch's next command, whose keys are free or held for it.
    pub(super) fn run_batch_command(&mut self, batch: &mut Batch) {
        let command = batch.commands[batch.ran];
        let spans = &batch.spans[command.first as usize..(command.first + command.count) as usize];
        let args = Args::new(&batch.bytes, spans);
        let before = self.log.lsn();
        self.keys.set_no_touch(batch.no_touch && touches_quietly(command.entry));
        std::mem::swap(&mut self.room, &mut batch.room);
        self.run_whole(command.entry, batch.db, args, batch.protocol, &mut batch.replies);
        std::mem::swap(&mut self.room, &mut batch.room);
        self.keys.set_no_touch(false);
        batch.ends.push(batch.replies.len());
        batch.ran += 1;
        let after = self.log.lsn();
        if after != before {
            batch.written = after;
        }
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
    pub(super) fn resume_batch(&mut self, id: EntryId, mut batch: Box<Batch>, wants: &Wants) {
        self.run_batch_command(&mut batch);
        self.locks.release(id, wants, &mut self.granted);
        self.run_batch(batch);
    }

    fn must_wait(&self, entry: &Entry, args: &Args<'_>) -> bool {
        let mode = mode_of(entry);
        match entry.command.run {
            Run::All(All { barrier: true, .. }) => !self.locks.is_quiet(),
            Run::All(_) | Run::Walk(_) | Run::Front => false,
            _ => entry
                .command
                .keys
                .positions(args)
                .any(|index| self.locks.must_wait(self.keys.hash(args.get(index)), mode)),
        }
    }

    fn wants_of(&self, entry: &Entry, args: &Args<'_>) -> Wants {
        if matches!(entry.command.run, Run::All(All { barrier: true, .. })) {
            return Wants::Everything;
        }
        let mode = mode_of(entry);
        let positions = entry.command.keys.positions(args);
        Wants::keys(positions.map(|index| (self.keys.hash(args.get(index)), mode)))
    }

    /// Runs a command all of whose keys are here, and puts its frame into the log.
    pub(super) fn run_whole(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        let needs_memory = entry.command.flags.contains(Flags::DENYOOM);
        if needs_memory && !self.is_closed_to(entry) && !self.make_room() {
            self.stats[usize::from(entry.id)].rejected += 1;
            return self.refuse(&Refusal::OutOfMemory, protocol, out);
        }
        self.run_untold(entry, db, args, protocol, out);
        self.log_frame();
    }

    /// As [`run_whole`](Shard::run_whole), leaving the records in the running frame. Memory was asked
    /// for before that frame began.
    pub(super) fn run_untold(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        args: Args<'_>,
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) {
        let id = usize::from(entry.id);
        if self.is_closed_to(entry) {
            self.stats[id].rejected += 1;
            self.refuse(&Refusal::ReadOnly, protocol, out);
            return;
        }
        let timed = self.stats[id].calls % TIMED_EVERY == 0;
        let started = timed.then(std::time::Instant::now);
        let start = out.len();
        let mut cx = self.cx(db, protocol, out);
        let outcome = run_shape(&mut cx, entry, args).and_then(|()| cx.take_room());
        let stats = &mut self.stats[id];
        stats.calls += 1;
        if let Some(started) = started {
            let calls = if stats.calls == 1 { 1 } else { TIMED_EVERY };
            stats.nanos += started.elapsed().as_nanos() as u64 * calls;
        }
        if let Err(refusal) = outcome {
            stats.failed += 1;
            out.truncate(start);
            self.refuse(&refusal, protocol, out);
        }
    }

    /// Writes an error and counts it.
    pub fn refuse(&mut self, refusal: &Refusal, protocol: Protocol, out: &mut Vec<u8>) {
        self.errors.note(&refusal.text());
        ReplyWriter::new(out, protocol).error(refusal.bytes());
    }

    /// Whether the node has become a replica since the command passed its connection's gate: a write
    /// now would be nobody's history.
    fn is_closed_to(&self, entry: &Entry) -> bool {
        self.keys.role() == Role::Replica && entry.writes()
    }

    /// Asks the gates for one hop of a wider command. Its memory was asked for before it began.
    fn may_hop(&self, entry: &Entry) -> Result<(), Refusal> {
        if self.is_closed_to(entry) {
            return Err(Refusal::ReadOnly);
        }
        Ok(())
    }

    /// What a command's function gets of this shard; its reply goes to `out`.
    fn cx<'a>(&'a mut self, db: DbIndex, protocol: Protocol, out: &'a mut Vec<u8>) -> Cx<'a> {
        let (counted, reply) = (out.len(), ReplyWriter::new(out, protocol));
        let (shard, shards, room) = (self.id, self.shards, &self.room);
        Cx { keys: &mut self.keys, db, reply, shard, shards, room, counted }
    }

    /// Puts the records of the running task into the log, as one frame.
    pub(super) fn log_frame(&mut self) {
        if self.keys.frame().is_empty() {
            return;
        }
        let mut frame = self.keys.swap_frame(std::mem::take(&mut self.spare_frame));
        self.append(&frame, None);
        frame.clear();
        self.spare_frame = frame;
    }

    /// Appends a frame. A global record is a transaction also where there is only one shard.
    pub(super) fn append(&mut self, frame: &FrameBuilder, tx: Option<(TxId, &[ShardId])>) {
        let alone = [self.id];
        let tx = match tx {
            None if frame.has_global() => Some((TxId(self.log.lsn().0 + 1), alone.as_slice())),
            tx => tx,
        };
        match tx {
            None => drop(self.log.append_frame(frame, None)),
            Some((id, shards)) => {
                let set = ShardSet::of(shards.iter().copied());
                let transaction = Transaction { id, shards: set.shards() };
                self.log.append_frame(frame, Some(transaction));
            }
        }
    }

    /// Runs this shard's keys of an `Each` command.
    pub(super) fn run_each(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
    ) -> Done {
        let Run::Each(each) = &entry.command.run else { unreachable!("planned as Each") };
        if let Err(refusal) = self.may_hop(entry) {
            return Done::Refused(refusal);
        }
        let (mut sum, mut bytes, mut ends) = (0, Vec::new(), Vec::new());
        let mut cx = self.cx(db, protocol, &mut bytes);
        let (mut index, mut large) = (1, false);
        while index < args.len() {
            let value = if each.stride > 1 { args.get(index + 1) } else { b"" };
            match (each.one)(&mut cx, args.get(index), value) {
                Ok(number) => sum += number,
                Err(refusal) => return Done::Refused(refusal),
            }
            if each.join == Join::Array {
                let rest = (index + 1..args.len()).map(|other| args.get(other));
                if let Err(refusal) = take_room_among(&mut cx, &mut large, rest) {
                    return Done::Refused(refusal);
                }
            }
            ends.push(cx.reply.out.len());
            index += each.stride;
        }
        Done::Each(EachDone { sum, bytes, ends })
    }

    /// Reads this shard's keys of a `Carry` command.
    pub(super) fn run_gather(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        keys: &[(usize, usize)],
        args: Args<'_>,
    ) -> Done {
        let Run::Carry(carry) = &entry.command.run else { unreachable!("planned as Carry") };
        if let Err(refusal) = self.may_hop(entry) {
            return Done::Refused(refusal);
        }
        let mut unused = Vec::new();
        let mut gathered = Vec::with_capacity(keys.len());
        for &(index, position) in keys {
            let mut cx = self.cx(db, Protocol::Resp2, &mut unused);
            match (carry.gather)(&mut cx, args.get(position), index, args) {
                Ok(found) => gathered.push((index, found)),
                Err(refusal) => return Done::Refused(refusal),
            }
        }
        Done::Gathered(gathered)
    }

    /// Makes the changes that a `Carry`'s decision asked for.
    pub(super) fn run_writes(&mut self, writes: Vec<Write>) -> Done {
        perform(&mut self.keys, writes);
        Done::Nothing
    }

    /// This shard's part of an `All` command.
    pub(crate) fn run_all_part(
        &mut self,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
    ) -> Done {
        let Run::All(all) = &entry.command.run else { unreachable!("planned as All") };
        if let Err(refusal) = self.may_hop(entry) {
            return Done::Refused(refusal);
        }
        let mut unused = Vec::new();
        let mut cx = self.cx(db, protocol, &mut unused);
        match (all.part)(&mut cx, args) {
            Ok(part) => Done::Part(part),
            Err(refusal) => Done::Refused(refusal),
        }
    }

    /// One step of a `Walk` command; answers whether it goes on. A step that is alone on its shard is
    /// a transaction, which takes care of the frame.
    pub fn run_walk_step(
        &mut self,
        walk: &Walk,
        entry: &'static Entry,
        db: DbIndex,
        protocol: Protocol,
        args: Args<'_>,
        walked: &mut Walked,
    ) -> Result<bool, Refusal> {
        self.may_hop(entry)?;
        let mut out = std::mem::take(&mut walked.bytes);
        let mut cx = self.cx(db, protocol, &mut out);
        let goes_on = (walk.step)(&mut cx, args, walked);
        walked.bytes = out;
        if !walk.alone {
            self.log_frame();
        }
        goes_on
    }
}

/// From here on a reply of several elements is made with foresight.
const LARGE_REPLY: usize = 4 * 1024 * 1024;

/// Takes room for one element of several, given the keys of those to come. When the reply turns out to be
/// large it is asked once whether all of them have room, and the memory is taken at once: a large reply
/// that is copied while it grows, or made in vain, holds everybody up.
fn take_room_among<'k>(
    cx: &mut Cx<'_>,
    large: &mut bool,
    rest: impl Iterator<Item = &'k [u8]>,
) -> Result<(), Refusal> {
    if !*large && cx.reply.out.len() >= LARGE_REPLY {
        *large = true;
        /// Around each element: `$`, digits and line ends.
        const AROUND: usize = 25;
        let mut bytes = 0;
        for key in rest {
            bytes += cx.keys.peek(cx.db, key).map_or(0, |item| item.value().len()) + AROUND;
        }
        cx.room.hold(cx.reply.out.len() + bytes)?;
        cx.reply.out.reserve_exact(bytes);
    }
    cx.take_room()
}

/// Whether the command's keys are wanted alone.
pub(super) fn mode_of(entry: &Entry) -> Mode {
    if entry.writes() { Mode::Exclusive } else { Mode::Shared }
}

/// Runs any keyed shape where all keys are on one shard.
fn run_shape(cx: &mut Cx<'_>, entry: &'static Entry, args: Args<'_>) -> Result<(), Refusal> {
    let command = entry.command;
    match &command.run {
        Run::Here(run) => run(cx, args),
        Run::Each(each) => run_each_whole(cx, each, &command.keys, args),
        Run::Carry(carry) => run_carry_whole(cx, carry, &command.keys, args),
        Run::All(all) => {
            (all.check)(args, cx.keys.db_count())?;
            let part: Part = (all.part)(cx, args)?;
            (all.join)(args, &[part], &mut cx.reply);
            Ok(())
        }
        Run::Walk(walk) => {
            let mut walked = (walk.start)(args)?;
            let mut bytes = Vec::new();
            let mut goes_on = true;
            while goes_on && walked.shard < cx.shards {
                let reply = ReplyWriter::new(&mut bytes, cx.reply.protocol);
                let (shard, shards) = (cx.shard, cx.shards);
                let (db, room, counted) = (cx.db, cx.room, reply.out.len());
                let mut inner = Cx { keys: &mut *cx.keys, db, reply, shard, shards, room, counted };
                goes_on = (walk.step)(&mut inner, args, &mut walked)?;
            }
            walked.bytes = bytes;
            (walk.finish)(&walked, cx.shards, &mut cx.reply);
            Ok(())
        }
        Run::Front => unreachable!("{} runs where the connection lives", command.name),
    }
}

fn run_each_whole(
    cx: &mut Cx<'_>,
    each: &Each,
    keys: &Keys,
    args: Args<'_>,
) -> Result<(), Refusal> {
    if (args.len() - keys.first) % each.stride != 0 {
        return Err(Refusal::Arity(String::from_utf8_lossy(args.get(0)).to_ascii_lowercase()));
    }
    if each.join == Join::Array {
        cx.reply.array((args.len() - keys.first) / each.stride);
    }
    let (mut sum, mut large) = (0, false);
    for index in keys.positions(&args) {
        let value = if each.stride > 1 { args.get(index + 1) } else { b"" };
        sum += (each.one)(cx, args.get(index), value)?;
        if each.join == Join::Array {
            let rest = keys.positions(&args).filter(|other| *other > index);
            take_room_among(cx, &mut large, rest.map(|other| args.get(other)))?;
        }
    }
    match each.join {
        Join::Ok => cx.reply.ok(),
        Join::Sum => cx.reply.integer(sum),
        Join::Array => {}
    }
    Ok(())
}

fn run_carry_whole(
    cx: &mut Cx<'_>,
    carry: &Carry,
    keys: &Keys,
    args: Args<'_>,
) -> Result<(), Refusal> {
    (carry.check)(args)?;
    let mut carried: Vec<Carried> = Vec::new();
    for (index, position) in keys.positions(&args).enumerate() {
        carried.push((carry.gather)(cx, args.get(position), index, args)?);
    }
    let mut decision =
        Decision { db: cx.db, dbs: cx.keys.db_count(), now: cx.now(), reply: cx.reply.reborrow() };
    let writes = (carry.decide)(&mut decision, args, &carried)?;
    perform(cx.keys, writes);
    Ok(())
}

/// Makes changes that were decided on elsewhere.
fn perform(keys: &mut crate::db::Keyspace, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Put { db, key, value, deadline } => {
                let deadline = deadline.map_or(Deadline::None, Deadline::At);
                keys.put(db, &key, NewValue::Shared(value), deadline);
            }
            Write::Remove { db, key } => {
                keys.remove(db, &key);
            }
        }
    }
}

impl Found {
    /// The item's value by reference, with its deadline.
    pub fn of(item: &Item) -> Found {
        Found { value: item.share(), deadline: item.deadline() }
    }
}

/// The shard's journal position, for WAIT.
impl Shard {
    /// The head of this shard's journal, records of the running task included.
    pub fn head(&self) -> Lsn {
        self.log.lsn()
    }
}
