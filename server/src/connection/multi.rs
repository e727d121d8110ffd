//! MULTI, EXEC, DISCARD: a queue of requests, run as one transaction.
//!
//! All keys of the queue, and the watched ones, are taken before anything runs; then the watch is
//! judged; then the commands run in order, each on its shards; then the transaction concludes with one
//! frame. Where one shard has all keys that is one task there; else commands in a row each of which is on one
//! shard are one hop to all of those. Commands without keys run where the connection lives, at their place in
//! the order.
//!
//! ```text
//!   queue    SET a  REPLICAOF  GET b  CONFIG SET      SELECT 1
//!   runs     1      4 ......   2      5 ........      3           (concluded, keys free, between 3 and 4)
//!   replies  in the order of the queue
//! ```
//!
//! What changes the node (REPLICAOF, CONFIG, CLIENT KILL and PAUSE ...) is performed when the transaction
//! has concluded: it may have to wait for the very keys that the transaction holds. So the role at EXEC
//! judges all of its writes.

use super::closing;
use super::queue::Multi;
use super::run::run_entry;
use super::session::{ReplyMode, Session, VISIT_MAX, breathe_after};
use engine::command::{Args, Call, Entry, Flags, Group, Refusal};
use engine::db::{Pressure, WatchKey};
use engine::exec::{Home, Queue, Row, Setting, Tx};
use engine::resp::{Output, Protocol, ReplyWriter};
use engine::rt;
use engine::shard::{Batch, Shard};
use engine::types::{ShardId, shard_of};
use std::iter::Peekable;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Replies of a transaction above this size are set aside as they are: one buffer for all of them would be
/// copied again and again while it grows, and hold everybody up.
const PART: usize = 4 * 1024 * 1024;

const TOO_LARGE: &str =
    "ERR the commands queued by MULTI are larger than client-query-buffer-limit allows";

/// Whether the command runs at once inside MULTI instead of being queued.
pub(super) fn runs_inside(entry: &Entry) -> bool {
    matches!(entry.name(), "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Queues a request. A queue above `client_query_buffer_limit` is refused and spoils the transaction, whose
/// queue is given back; in a spoiled one nothing is kept, as in Redis. Without memory nothing is queued,
/// whatever it is, as in Redis.
pub(super) async fn queue(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Output,
) {
    if !session.server.status.is_replica() && !session.front.make_room().await {
        session.note_rejected(&args);
        return refuse(session, args.get(0), Refusal::OutOfMemory, out).await;
    }
    queue_in_room(session, entry, args, out);
}

/// Queues a request during a visit to the shard, where nothing is to be waited for; else `false`.
pub(super) fn queue_at_once(
    session: &mut Session,
    shard: &Shard,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Output,
) -> bool {
    let is_now = session.multi.is_some()
        && session.pipeline.is_empty()
        && session.reply_mode() == ReplyMode::On
        && !runs_inside(entry)
        && session.server.clients.pause().is_none()
        && (shard.pressure() == Pressure::None || session.server.status.is_replica());
    if is_now {
        queue_in_room(session, entry, args, out);
    }
    is_now
}

/// Queues a request for which there is memory.
fn queue_in_room(session: &mut Session, entry: &'static Entry, args: Args<'_>, out: &mut Output) {
    let (protocol, limit) = (session.protocol, session.request_limit());
    let Session { multi, front, db, who, .. } = &mut *session;
    let Some(multi) = multi else { return };
    if multi.spoiled {
        return ReplyWriter::new(out, protocol).simple("QUEUED");
    }
    multi.queue.push(front, &Call { entry, db: *db, protocol, who, args });
    let (count, bytes) = (multi.queue.len(), multi.queue.heap_bytes() as u64);
    if bytes > limit {
        *multi = Multi { spoiled: true, ..Multi::default() };
        session.client.queued.store(0, Ordering::Relaxed);
        session.client.queued_bytes.store(0, Ordering::Relaxed);
        closing::over_queue(session);
        let refusal = Refusal::fixed(TOO_LARGE);
        return session.reject(&args, &refusal, out);
    }
    session.client.queued.store(count as u32, Ordering::Relaxed);
    session.client.queued_bytes.store(bytes, Ordering::Relaxed);
    ReplyWriter::new(out, protocol).simple("QUEUED");
}

/// Whether a request that may be malformed names EXEC.
pub(super) fn is_exec(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"exec")
}

/// A request was refused before it could be queued or run. It spoils the transaction; if it was EXEC,
/// it ends it, and says so even where there is none.
pub(super) async fn refuse(session: &mut Session, name: &[u8], refusal: Refusal, out: &mut Output) {
    if is_exec(name) {
        forget(session).await;
        return session.refuse(&aborted(&refusal), out);
    }
    if let Some(multi) = &mut session.multi {
        multi.spoiled = true;
    }
    session.refuse(&refusal, out);
}

/// EXEC's refusal because of another one; of the codes only ERR is left out.
fn aborted(because: &Refusal) -> Refusal {
    let text = because.bytes();
    let text = text.strip_prefix(b"ERR ").unwrap_or(&text);
    Refusal::quoting("EXECABORT Transaction discarded because of: ", text, "")
}

/// Forgets the queue and the watched keys.
pub(crate) async fn forget(session: &mut Session) {
    session.multi = None;
    session.client.queued.store(u32::MAX, Ordering::Relaxed);
    session.client.queued_bytes.store(0, Ordering::Relaxed);
    session.forget_watches().await;
}

/// MULTI.
pub(crate) fn begin(session: &mut Session) -> Result<(), Refusal> {
    if session.multi.is_some() {
        return Err(Refusal::fixed("ERR MULTI calls can not be nested"));
    }
    session.multi = Some(Multi::default());
    session.client.queued.store(0, Ordering::Relaxed);
    Ok(())
}

/// DISCARD.
pub(crate) async fn discard(session: &mut Session) -> Result<(), Refusal> {
    if session.multi.is_none() {
        return Err(Refusal::fixed("ERR DISCARD without MULTI"));
    }
    forget(session).await;
    Ok(())
}

/// EXEC.
pub(crate) async fn exec(session: &mut Session, out: &mut Output) -> Result<(), Refusal> {
    let Some(multi) = session.multi.take() else {
        return Err(Refusal::fixed("ERR EXEC without MULTI"));
    };
    let outcome = run_queue(session, multi, out).await;
    forget(session).await;
    outcome
}

async fn run_queue(
    session: &mut Session,
    mut multi: Multi,
    out: &mut Output,
) -> Result<(), Refusal> {
    if multi.spoiled {
        return Err(Refusal::fixed("EXECABORT Transaction discarded because of previous errors."));
    }
    // A gate may have closed since the commands were queued (the node became a replica).
    pass_gates(session, &multi)?;
    // Memory for all of it, before any of it: what must be evicted is, and stands in the log.
    if multi.queue.needs_memory() && !session.front.make_room().await {
        return Err(aborted(&Refusal::OutOfMemory));
    }
    let front = session.front.clone();
    for (_, key) in &session.watched {
        multi.queue.watch(&front, key);
    }
    if let Some(shard) = multi.queue.only_shard() {
        return run_at_once(session, multi, shard, out).await;
    }
    let mut tx = multi.queue.begin(&front).await;
    // Or while the keys were waited for. From here on it stays so: changing it needs them all.
    if let Err(refusal) = pass_gates(session, &multi) {
        tx.conclude().await;
        return Err(refusal);
    }
    if is_touched(session).await {
        tx.conclude().await;
        ReplyWriter::new(out, session.protocol).nil_array();
        return Ok(());
    }
    write_header(session, multi.queue.len(), out);
    let later = run_in_order(session, &multi.queue, &mut tx, out).await;
    session.wrote_wide |= tx.conclude().await;
    session.leave_behind_exec();
    run_deferred(session, &later, out).await;
    Ok(())
}

fn write_header(session: &mut Session, count: usize, out: &mut Output) {
    let start = out.len();
    session.replies_apart = true;
    ReplyWriter::new(out, session.protocol).array(count);
    drop_unread(session, session.is_silent(), start, out);
}

/// All of it is one task of the shard that has all keys: one message there, one frame, one back.
async fn run_at_once(
    session: &mut Session,
    multi: Multi,
    shard: ShardId,
    out: &mut Output,
) -> Result<(), Refusal> {
    let (who, watched) = (session.who.clone(), std::mem::take(&mut session.watched));
    let (db, protocol, slow_from) = (session.db, session.protocol, session.stopwatch.slow_from());
    let setting = Setting { db, protocol, who: &who, slow_from, replied: 0 };
    let (flag, writes) = (session.watch_flag.clone(), multi.queue.writes());
    // Asked once more when the keys are in hand: whether writes are refused by now, and whether a watched key was touched.
    let closed = Arc::new(OnceLock::new());
    let closed_for = closed.clone();
    let keys: Vec<WatchKey> = watched.iter().cloned().collect();
    let unless = move |shard: &mut Shard| {
        let refusal = shard.closed_to_writes().filter(|_| writes);
        let is_closed = refusal.is_some_and(|refusal| closed_for.set(refusal).is_ok());
        let Some(flag) = &flag else { return is_closed };
        for (db, key) in &keys {
            shard.keys.look_at_watched(*db, key, flag);
        }
        is_closed || flag.load(Ordering::Acquire)
    };
    let (front, count) = (session.front.clone(), multi.queue.len());
    let done = multi.queue.run_at_once(&front, shard, &setting, Some(Box::new(unless))).await;
    session.watched = watched;
    let Some((batches, wrote)) = done else {
        if let Some(refusal) = closed.get() {
            return Err(aborted(refusal));
        }
        ReplyWriter::new(out, session.protocol).nil_array();
        return Ok(());
    };
    session.wrote_wide |= wrote;
    write_header(session, count, out);
    for mut batch in batches {
        note_slow(session, &batch);
        take_replies(session, &mut batch, true, out);
    }
    Ok(())
}

/// What was slow among commands that have come home.
fn note_slow(session: &mut Session, batch: &Batch) {
    for (index, took) in &batch.slow {
        if let Some((entry, args)) = batch.iter().nth(*index as usize) {
            session.took(entry, &args, *took);
        }
    }
}

/// Takes the replies of commands that have come home over; large ones as they are, where what is in `out` may
/// be set aside (`is_movable`).
fn take_replies(session: &mut Session, batch: &mut Batch, is_movable: bool, out: &mut Output) {
    if session.is_silent() || session.who.room.is_over() {
        return;
    }
    if is_movable && out.whole() + batch.replies.whole() >= PART {
        session.parts.push(std::mem::take(out));
        session.parts.push(std::mem::take(&mut batch.replies));
    } else {
        let whole = 0..batch.replies.len();
        out.take_from(&mut batch.replies, whole);
    }
}

/// Runs the queue, commands in a row that are each on one shard in one hop; answers with what is to be
/// performed when the transaction has concluded.
async fn run_in_order<'q>(
    session: &mut Session,
    queue: &'q Queue,
    tx: &mut Tx,
    out: &mut Output,
) -> Vec<Deferred<'q>> {
    let (mut later, mut rest) = (Vec::new(), queue.iter().peekable());
    loop {
        let began = rt::monotonic();
        let is_over = session.who.room.hold(session.parts_bytes() + out.whole()).is_err();
        // Places of what is deferred are places in `out`.
        let is_movable = later.is_empty();
        if out.whole() >= PART && is_movable {
            session.parts.push(std::mem::take(out));
        }
        let row = next_row(session, &mut rest, out);
        if !row.is_empty() {
            let home = row.run(tx).await;
            take_home(session, home, is_movable, began, out).await;
            continue;
        }
        let Some((entry, args)) = rest.next() else { return later };
        let start = out.len();
        if waits_for_the_end(entry, !later.is_empty()) {
            let (protocol, silent) = (session.protocol, session.is_silent());
            later.push(Deferred { entry, args, at: start, protocol, silent });
            continue;
        }
        if is_over && !entry.writes() && !entry.command.is_front() {
            continue;
        }
        if entry.command.is_front() {
            run_in_front(session, entry, args, out).await;
        } else {
            let (db, protocol, who) = (session.db, session.protocol, &session.who);
            tx.run(&Call { entry, db, protocol, who, args }, out).await;
        }
        session.took(entry, &args, began.elapsed());
        drop_unread(session, is_over || session.is_silent(), start, out);
        breathe(session, began).await;
    }
}

/// The commands that one hop can run, as the connection stands now.
fn next_row<'q>(
    session: &Session,
    rest: &mut Peekable<impl Iterator<Item = (&'static Entry, Args<'q>)>>,
    out: &Output,
) -> Row {
    let Session { front, db, protocol, who, .. } = session;
    let (slow_from, replied) = (session.stopwatch.slow_from(), session.parts_bytes() + out.whole());
    let setting = Setting { db: *db, protocol: *protocol, who, slow_from, replied };
    Row::take(front, &setting, rest)
}

/// Takes the replies of commands that have come home over.
async fn take_home(
    session: &mut Session,
    mut home: Home,
    is_movable: bool,
    began: Instant,
    out: &mut Output,
) {
    home.batches().for_each(|batch| note_slow(session, batch));
    if !session.is_silent() && !session.who.room.is_over() {
        let is_large = is_movable && out.whole() + home.whole() >= PART;
        match if is_large { home.take_as_one() } else { None } {
            Some(replies) => {
                session.parts.push(std::mem::take(out));
                session.parts.push(replies);
            }
            None => {
                while !home.take_some(out) {
                    breathe(session, rt::monotonic()).await;
                }
            }
        }
    }
    breathe(session, began).await;
}

fn pass_gates(session: &Session, multi: &Multi) -> Result<(), Refusal> {
    let kinds = multi.queue.kinds().iter();
    let mut refused = kinds.filter_map(|entry| session.pass_gates(entry).err());
    refused.next().map_or(Ok(()), |refusal| Err(aborted(&refusal)))
}

async fn run_in_front(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Output,
) {
    session.in_exec = true;
    Box::pin(run_entry(session, entry, args, out)).await;
    session.in_exec = false;
}

/// A command of the queue that is performed when the transaction has concluded.
struct Deferred<'a> {
    entry: &'static Entry,
    args: Args<'a>,
    /// Where its reply stands among those of the others.
    at: usize,
    /// How the connection wanted the reply at this place of the queue.
    protocol: Protocol,
    silent: bool,
}

/// Whether a command is performed when the transaction has concluded: it changes the node, or looks at
/// it behind one that does. What changes the connection alone (SELECT, HELLO) stays at its place.
fn waits_for_the_end(entry: &Entry, behind_another: bool) -> bool {
    let changes_node = entry.command.flags.contains(Flags::ADMIN);
    let looks_at_node = behind_another && entry.command.group == Group::Server;
    entry.command.is_front() && (changes_node || looks_at_node)
}

/// Performs what was deferred, in the order of the queue, and puts the replies at their places.
async fn run_deferred(session: &mut Session, later: &[Deferred<'_>], out: &mut Output) {
    let Some(first) = later.first() else { return };
    let mut others = out.split_off(first.at);
    let (end, made_after) = (others.len(), others.whole());
    let end_of = |index: usize| later.get(index).map_or(end, |next| next.at - first.at);
    for (index, deferred) in later.iter().enumerate() {
        let (start, began) = (out.len(), rt::monotonic());
        let protocol = std::mem::replace(&mut session.protocol, deferred.protocol);
        run_in_front(session, deferred.entry, deferred.args, out).await;
        session.protocol = protocol;
        session.took(deferred.entry, &deferred.args, began.elapsed());
        let made = session.parts_bytes() + out.whole() + made_after;
        drop_unread(session, deferred.silent || session.who.room.hold(made).is_err(), start, out);
        breathe(session, began).await;
        out.take_from(&mut others, deferred.at - first.at..end_of(index + 1));
    }
}

/// Lets go of a reply that nobody will read: CLIENT REPLY, which may stand in the queue, said so, or there
/// are so many replies that the client is to be closed. What is to be done is done all the same.
fn drop_unread(session: &Session, is_unread: bool, start: usize, out: &mut Output) {
    if is_unread {
        session.drop_reply(start, out);
    }
}

/// Lets others have their turn where a queue is long.
async fn breathe(session: &mut Session, now: Instant) {
    if now.duration_since(session.visit_began) >= VISIT_MAX {
        rt::yield_now().await;
        session.visit_began = rt::monotonic();
    }
}

/// Whether a watched key was touched. Their shards hold the keys for us, so the answer stays true
/// until the transaction concludes.
async fn is_touched(session: &Session) -> bool {
    let Some(flag) = &session.watch_flag else { return false };
    for (index, (db, key)) in session.watched.iter().enumerate() {
        breathe_after(index).await;
        let shard = shard_of(key, session.front.node.shards());
        let (db, key, flag) = (*db, key.clone(), flag.clone());
        session.front.call(shard, move |shard| shard.keys.look_at_watched(db, &key, &flag)).await;
    }
    flag.load(Ordering::Acquire)
}
