//! One client connection: bytes in, requests, replies, bytes out.
//!
//! ```text
//!   read ─► parse ─► gates ─┬─ data command ─► pipeline: here, or in a batch ─┐
//!                           ├─ fence: flush, then alone (wide or front) ──────┤► replies in order ─► write
//!                           └─ refused ───────────────────────────────────────┘
//! ```
//!
//! The requests of one read buffer are handled in one visit to this executor's shard (of a connection that listens to
//! channels, up to one that may say something to itself on another shard). Replies leave
//! when the buffer is exhausted or [`OUTPUT_FLUSH`] bytes have gathered; while a client does not read
//! them, nothing more is read from it, so its memory is bounded by one request and one reply more.

mod closing;
mod input;
mod listening;
pub(crate) mod multi;
mod queue;
mod run;
mod sending;
mod session;
mod stopwatch;
mod subscriber;
mod unread;
mod waiting;

pub(crate) use session::breathe_after;
pub use session::{Handler, Handlers, Handoff, ReplyMode, Session};
pub(crate) use subscriber::{Kind, ring};

use input::{Fetch, Head, Input};
use run::{run_entry, run_now};
use sending::send;
use session::VISIT_MAX;

use crate::clients::Client;
use crate::meters::stats::TIMED_EVERY;
use crate::server::{Counters, Server};
use engine::command::shape::Patience;
use engine::command::{Args, Call, Entry, Flags, Refusal};
use engine::exec::{Added, Front};
use engine::resp::{Limits, Output, ProtocolError};
use engine::rt;
use engine::shard::{CommandStats, Shard};
use engine::types::{DbIndex, shard_of};
use futures_lite::future::or;
use replication::transport::Transport;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Replies are sent when so many bytes have gathered.
const OUTPUT_FLUSH: usize = 256 * 1024;
/// Requests between two looks at how long the visit takes.
const VISIT_LOOK: u32 = 16;
/// Keys of one request whose places are asked for ahead.
const PLACES_MAX: usize = 16;

/// Why the visit to the shard ended.
enum Next {
    /// The buffer holds no further whole request.
    Read { want: usize },
    /// The request at the head must run alone.
    Alone,
    /// Flush the pipeline and go on.
    Flush,
    /// The visit took long: the same, but others first.
    Long,
    /// The client broke the protocol.
    Broken(ProtocolError),
}

/// Serves a connection until it ends, and gives back its place in the map of clients before the socket
/// is closed or somebody else's.
pub(crate) async fn serve(
    transport: Transport,
    front: Rc<Front>,
    server: Arc<Server>,
    handlers: Handlers,
    client: Arc<Client>,
    unread: Vec<u8>,
) {
    let transport = Rc::new(transport);
    let mut session = Session::new(front, server, handlers, client, transport.clone());
    // What came before it was known whose connection this is.
    Counters::add(&session.server.counters.input_bytes, unread.len() as u64);
    let mut input = Input::new(unread);
    let outcome = converse(&transport, &mut session, &mut input).await;
    session.forget_watches().await;
    if session.subscriber.is_some() {
        session.forget_subscriptions().await;
    }
    let (handoff, server) = (session.handoff.take(), session.server.clone());
    let unread = session.unread.take();
    let client = session.client.clone();
    // The session's name of the transport goes with it: it may be handed on.
    drop(session);
    match (outcome, handoff, Rc::try_unwrap(transport)) {
        (Ok(()), Some(handoff), Ok(transport)) => {
            server.clients.leave(&client);
            let parked = transport.park([input.into_unread(), unread].concat());
            server.replication.take_over(handoff.0, parked);
        }
        (_, _, transport) => {
            let transport = transport.map_or_else(|shared| shared, Rc::new);
            transport.close().await;
            server.clients.leave(&client);
        }
    }
}

async fn converse(
    transport: &Transport,
    session: &mut Session,
    input: &mut Input,
) -> io::Result<()> {
    let mut out = Output::default();
    loop {
        if session.client.killed.load(Ordering::Acquire) {
            return Ok(());
        }
        if session.subscriber.is_some() {
            // What was said before a request comes before its reply. In a box, as most connections listen to nothing.
            Box::pin(listening::deliver(transport, session, &mut out)).await?;
        }
        session.refresh();
        let next = visit_shard(session, input, &mut out);
        session.look_at_clock(input);
        session.note_visit();
        match next {
            Next::Alone => {
                flush_pipeline(transport, session, input, &mut out).await?;
                if input.entry().is_ok_and(|entry| session.may_wait_long(entry)) {
                    send(transport, session, &mut out).await?;
                }
                // In a box, because it is the largest part of a connection and seldom there.
                Box::pin(run_alone(session, input, &mut out)).await;
                input.handled();
            }
            Next::Flush => flush_pipeline(transport, session, input, &mut out).await?,
            Next::Long => {
                flush_pipeline(transport, session, input, &mut out).await?;
                rt::yield_now().await;
            }
            Next::Broken(error) => {
                if error == ProtocolError::TooBigRequest {
                    closing::over_query(session);
                }
                flush_pipeline(transport, session, input, &mut out).await?;
                if session.reply_mode() == ReplyMode::On {
                    error.write(&mut out);
                }
                session.close = true;
            }
            Next::Read { want } => {
                flush_pipeline(transport, session, input, &mut out).await?;
                send(transport, session, &mut out).await?;
                if session.handoff.is_some() {
                    return Ok(());
                }
                if session.subscriber.is_some() && !session.close {
                    Box::pin(listening::deliver(transport, session, &mut out)).await?;
                }
                if session.close || !read_more(transport, session, input, want).await? {
                    return Ok(());
                }
            }
        }
        let large = out.whole() >= OUTPUT_FLUSH || !session.parts.is_empty();
        if session.close || session.handoff.is_some() || large {
            flush_pipeline(transport, session, input, &mut out).await?;
            send(transport, session, &mut out).await?;
            if session.close || session.handoff.is_some() {
                return Ok(());
            }
        }
    }
}

/// What requests parsed ahead will need of this executor's shard.
struct Fetching<'a> {
    shard: &'a Shard,
    db: DbIndex,
}

impl Fetch for Fetching<'_> {
    fn places(&self, entry: &'static Entry, args: &Args<'_>) -> Option<u64> {
        let Fetching { shard, db } = self;
        let mut first = None;
        // Of very many keys the first would be gone from the cache again when they are wanted.
        for position in entry.command.keys.positions(args).take(PLACES_MAX) {
            let key = args.get(position);
            if shard_of(key, shard.shards) == shard.id {
                let hash = shard.keys.hash(key);
                shard.keys.prefetch_at(*db, hash);
                first = first.or(Some(hash));
            }
        }
        first
    }

    #[inline]
    fn item(&self, hash: u64) {
        self.shard.keys.prefetch_item_at(self.db, hash);
    }

    #[inline]
    fn value(&self, hash: u64) {
        self.shard.keys.prefetch_value_at(self.db, hash);
    }

    #[inline]
    fn elements<'a>(&self, wanted: impl Iterator<Item = (u64, &'a [u8])>) {
        self.shard.keys.fetch_elements::<{ input::AHEAD_MAX }>(self.db, wanted);
    }
}

/// Handles the buffered requests that can be handled without waiting.
fn visit_shard(session: &mut Session, input: &mut Input, out: &mut Output) -> Next {
    let front = session.front.clone();
    let registry = session.server.registry;
    let mut limits = Limits::STANDARD;
    limits.request_bytes = session.request_limit() as usize;
    limits.long_bytes = input::LONG_ARGUMENT;
    let mut handled = 0;
    front.with_shard(|shard| {
        loop {
            if session.is_over_output(out) {
                return Next::Flush;
            }
            if handled == VISIT_LOOK {
                handled = 0;
                if session.visit_began.elapsed() >= VISIT_MAX {
                    return Next::Long;
                }
            }
            handled += 1;
            limits.authenticated = session.may_ask();
            match input.head(registry, &limits, &Fetching { shard, db: session.db }) {
                Head::Request => {}
                Head::Empty => {
                    session.skip_nothing();
                    continue;
                }
                Head::Incomplete { want } => return Next::Read { want },
                Head::Broken(error) => return Next::Broken(error),
            }
            let (entry, place, start) = (input.entry(), input.place(), out.len());
            let known = entry.ok();
            if let Some(entry) = known
                && session.stopwatch.must_look_before(entry, place)
            {
                session.look_at_clock(input);
            }
            match handle(session, shard, entry, input.args(), out) {
                Handled::Done => {
                    input.handled();
                    let pending = !session.pipeline.is_empty();
                    if let Some(entry) = known
                        && session.stopwatch.ran(entry, place, out.len() - start, pending)
                    {
                        session.look_at_clock(input);
                    }
                    if input.had_long() {
                        // Whoever looks once more at the request finds it until the next is looked for.
                        return Next::Flush;
                    }
                    if session.subscriber.is_some() && known.is_some_and(speaks) {
                        if !session.pipeline.is_empty() {
                            return Next::Flush;
                        }
                        session.tell_itself(out, OUTPUT_FLUSH);
                    }
                }
                Handled::Queued => {
                    input.handled();
                    if input.had_long() {
                        return Next::Flush;
                    }
                }
                Handled::Alone => return Next::Alone,
                Handled::Full => return Next::Flush,
            }
            if out.whole() >= OUTPUT_FLUSH || session.close || session.handoff.is_some() {
                return Next::Flush;
            }
        }
    })
}

/// Whether a command may have something to say in channels: by itself, or of what it changes.
fn speaks(entry: &Entry) -> bool {
    entry.writes() || entry.command.flags.contains(Flags::PUBSUB)
}

enum Handled {
    Done,
    /// MULTI has taken it: nothing ran.
    Queued,
    Alone,
    Full,
}

/// Handles one request as far as that needs no waiting.
fn handle(
    session: &mut Session,
    shard: &mut Shard,
    entry: Result<&'static Entry, &Refusal>,
    args: Args<'_>,
    out: &mut Output,
) -> Handled {
    let entry = match session.admit_in_visit(entry) {
        Ok(entry) => entry,
        Err(_) if is_http(args.get(0)) => {
            tracing::warn!(
                "client {} speaks HTTP among commands, it is closed",
                session.client.peer
            );
            session.close = true;
            return Handled::Done;
        }
        // A refusal stands in the order of the replies, like a command of the front.
        Err(_) if session.refuses_alone() || multi::is_exec(args.get(0)) => return Handled::Alone,
        Err(refusal) => {
            session.reject(&args, &refusal, out);
            return Handled::Done;
        }
    };
    if session.multi.is_some() && multi::queue_at_once(session, shard, entry, args, out) {
        return Handled::Queued;
    }
    if session.must_run_alone(entry)
        || entry.command.flags.contains(Flags::BLOCKING)
            && waiting::patience(entry, args) != Patience::None
    {
        return Handled::Alone;
    }
    if let Some(Handler::Now(function)) = session.handler(entry) {
        if !session.pipeline.is_empty() {
            return Handled::Alone;
        }
        run_now(session, entry, function, args, out);
        session.ran();
        return Handled::Done;
    }
    let before = shard.stats[usize::from(entry.id)];
    let start = out.len();
    let Session { front, pipeline, db, protocol, who, .. } = session;
    let call = Call { entry, db: *db, protocol: *protocol, who, args };
    match pipeline.add(front, shard, &call, out) {
        Added::Yes => {
            if session.is_silent() {
                session.drop_reply(start, out);
            }
            session.ran();
            let after = shard.stats[usize::from(entry.id)];
            if after.nanos != before.nanos {
                session.note_latency(entry, timed_call(&before, &after));
            }
            Handled::Done
        }
        Added::Fence => Handled::Alone,
        Added::Full => Handled::Full,
    }
}

/// What one call took, of which the shard's counters say that it was timed.
fn timed_call(before: &CommandStats, after: &CommandStats) -> Duration {
    let stands_for = if before.calls == 0 { 1 } else { TIMED_EVERY };
    Duration::from_nanos((after.nanos - before.nanos) / stands_for)
}

/// A line of an HTTP request where a command is expected: somebody's browser was talked into sending
/// commands to us (as in Redis, it gets no answer). A connection that begins with HTTP is no client's.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Runs the request at the input's position by itself. The pipeline is empty.
async fn run_alone(session: &mut Session, input: &Input, out: &mut Output) {
    let args = input.args();
    let start = out.len();
    session.begin_command();
    match admit_unpaused(session, input).await {
        Err(refusal) => {
            session.note_rejected(&args);
            multi::refuse(session, args.get(0), refusal, out).await;
        }
        Ok(_) if session.close || session.client.killed.load(Ordering::Acquire) => {
            session.close = true;
        }
        Ok(entry) if session.multi.is_some() && !multi::runs_inside(entry) => {
            multi::queue(session, entry, args, out).await;
        }
        Ok(entry) => {
            let began = rt::monotonic();
            run_entry(session, entry, args, out).await;
            let slept = std::mem::take(&mut session.slept);
            session.took(entry, &args, began.elapsed().saturating_sub(slept));
            session.ran();
            if std::mem::take(&mut session.replies_apart) {
                // Of EXEC, which has judged each of them by itself.
                return session.end_command(out.len(), out);
            }
        }
    }
    session.end_command(start, out);
}

/// Admits a request once no pause holds it up. What the gates said before a pause says nothing about
/// after it: a node is paused so that it can become a replica.
async fn admit_unpaused(session: &mut Session, input: &Input) -> Result<&'static Entry, Refusal> {
    loop {
        let entry = session.admit(input.entry())?;
        if !session.wait_for_pause(entry).await || session.close {
            return Ok(entry);
        }
        session.refresh();
    }
}

/// Waits for the pipeline's replies. Where they are too many to hold at a time, they are sent as they
/// come.
async fn flush_pipeline(
    transport: &Transport,
    session: &mut Session,
    input: &Input,
    out: &mut Output,
) -> io::Result<()> {
    let front = session.front.clone();
    session.stopwatch.before_flush();
    loop {
        let start = out.len();
        if session.who.room.is_over() {
            // The client is closed: what has not gone out to other shards is not done.
            session.pipeline.forget_unsent();
        }
        let more = session.flush_or_leave(&front, out).await?;
        if session.is_silent() {
            // CLIENT REPLY OFF: it is no part of a pipeline itself, so this holds for all of it.
            session.drop_reply(start, out);
        }
        if !more {
            break;
        }
        session.look_after_flush(input);
        send(transport, session, out).await?;
        session.stopwatch.before_flush();
    }
    session.look_after_flush(input);
    Ok(())
}

/// Reads more; `false` at the end of the connection.
async fn read_more(
    transport: &Transport,
    session: &mut Session,
    input: &mut Input,
    want: usize,
) -> io::Result<bool> {
    if !session.unread.is_empty() {
        input.make_room(want);
        let unread = session.unread.take();
        Counters::add(&session.server.counters.input_bytes, unread.len() as u64);
        input.take_all(unread);
        session.client.input_bytes.store(input.waiting() as u64, Ordering::Relaxed);
        return Ok(!session.client.killed.load(Ordering::Acquire));
    }
    if input.waiting() > 0 {
        // A request that arrives in many pieces, each of which may be there already.
        rt::yield_if_needed().await;
    }
    session.client.input_bytes.store(input.waiting() as u64, Ordering::Relaxed);
    if input.should_breathe() {
        rt::yield_now().await;
    }
    let size = input.make_room(want);
    let (client, idle) = (&session.client, session.client.idle_limit(&session.config));
    let reading = client.read(transport, &session.server.settings, idle, input, size);
    let read = match &session.subscriber {
        None => reading.await?,
        Some(subscriber) => {
            let rung = async {
                subscriber.rung().await;
                None
            };
            // A wait to read that is dropped loses nothing.
            match Box::pin(or(async { Some(reading.await) }, rung)).await {
                Some(read) => read?,
                None => return Ok(!session.client.killed.load(Ordering::Acquire)),
            }
        }
    };
    let Some(read) = read else {
        Counters::add(&session.server.counters.timed_out, 1);
        return Ok(false);
    };
    input.note_read(read, size);
    session.client.input_bytes.store(input.waiting() as u64, Ordering::Relaxed);
    Counters::add(&session.server.counters.input_bytes, read as u64);
    Ok(read > 0 && !session.client.killed.load(Ordering::Acquire))
}
