//! One client connection: bytes in, requests, replies, bytes out.
//!
//! ```text
//!   read ─► parse ─► gates ─┬─ data command ─► pipeline: here, or in a batch ─┐
//!                           ├─ fence: flush, then alone (wide or front) ──────┤► replies in order ─► write
//!                           └─ refused ───────────────────────────────────────┘
//! ```
//!
//! The requests of one read buffer are handled in one visit to this executor's shard. Replies leave
//! when the buffer is exhausted or [`OUTPUT_FLUSH`] bytes have gathered; while a client does not read
//! them, nothing more is read from it, so its memory is bounded by one request and one reply more.

pub(crate) mod multi;
mod session;

pub use multi::Multi;
pub use session::{Handoff, ReplyMode, Session};

use crate::clients::Client;
use crate::commands::Handler;
use crate::server::{Counters, Server};
use engine::command::{Args, Entry, Refusal};
use engine::exec::{Added, Front};
use engine::resp::{Limits, Parsed, Parser, ProtocolError, ReplyWriter};
use engine::rt;
use engine::shard::Shard;
use replication::transport::Transport;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// First size of a read; doubled while reads fill it.
const READ_MIN: usize = 16 * 1024;
/// Largest single read.
const READ_MAX: usize = 1024 * 1024;
/// Replies are sent when so many bytes have gathered.
const OUTPUT_FLUSH: usize = 256 * 1024;
/// Buffers are given back above this size when they are empty.
const BUFFER_KEPT: usize = 64 * 1024;

/// What has been read and not yet understood.
struct Input {
    buffer: Vec<u8>,
    /// Everything before it has been handled.
    position: usize,
    parser: Parser,
    read_size: usize,
}

/// Why the visit to the shard ended.
enum Next {
    /// The buffer holds no further whole request.
    Read { want: usize },
    /// The request at the position (so many bytes) must run alone.
    Alone { consumed: usize },
    /// Flush the pipeline and go on.
    Flush,
    /// The client broke the protocol.
    Broken(ProtocolError),
}

/// Serves a connection until it ends. Its place in the map of clients is given back by the caller.
pub(crate) async fn serve(
    transport: Transport,
    front: Rc<Front>,
    server: Arc<Server>,
    client: Arc<Client>,
    unread: Vec<u8>,
) {
    let mut session = Session::new(front, server, client);
    let mut input =
        Input { buffer: unread, position: 0, parser: Parser::new(), read_size: READ_MIN };
    let outcome = converse(&transport, &mut session, &mut input).await;
    session.forget_watches().await;
    match (outcome, session.handoff.take()) {
        (Ok(()), Some(handoff)) => {
            let unread = input.buffer.split_off(input.position);
            if let Ok(parked) = transport.park(unread) {
                session.server.replication.take_over(handoff.0, parked);
            }
        }
        _ => transport.close().await,
    }
}

async fn converse(
    transport: &Transport,
    session: &mut Session,
    input: &mut Input,
) -> io::Result<()> {
    let mut out: Vec<u8> = Vec::new();
    loop {
        session.refresh();
        let next = visit_shard(session, input, &mut out);
        match next {
            Next::Alone { consumed } => {
                flush_pipeline(session, &mut out).await;
                run_alone(session, input, &mut out).await;
                input.position += consumed;
            }
            Next::Flush => flush_pipeline(session, &mut out).await,
            Next::Broken(error) => {
                flush_pipeline(session, &mut out).await;
                error.write(&mut out);
                session.close = true;
            }
            Next::Read { want } => {
                flush_pipeline(session, &mut out).await;
                send(transport, session, &mut out).await?;
                if session.handoff.is_some() {
                    return Ok(());
                }
                if session.close || !read_more(transport, session, input, want).await? {
                    return Ok(());
                }
            }
        }
        if session.close || session.handoff.is_some() || out.len() >= OUTPUT_FLUSH {
            flush_pipeline(session, &mut out).await;
            send(transport, session, &mut out).await?;
            if session.close || session.handoff.is_some() {
                return Ok(());
            }
        }
    }
}

/// Handles the buffered requests that can be handled without waiting.
fn visit_shard(session: &mut Session, input: &mut Input, out: &mut Vec<u8>) -> Next {
    let front = session.front.clone();
    let request_bytes = usize::try_from(session.config.client_query_buffer_limit);
    let mut limits =
        Limits { request_bytes: request_bytes.unwrap_or(usize::MAX), ..Limits::STANDARD };
    front.with_shard(|shard| {
        loop {
            limits.authenticated = session.authenticated;
            let rest = &input.buffer[input.position..];
            let consumed = match input.parser.next(rest, &limits) {
                Ok(Parsed::Request { consumed }) => consumed,
                Ok(Parsed::Empty { consumed }) => {
                    input.position += consumed;
                    continue;
                }
                Ok(Parsed::Incomplete { want }) => return Next::Read { want },
                Err(error) => return Next::Broken(error),
            };
            let args = Args::of(input.parser.args(rest));
            match handle(session, shard, args, out) {
                Handled::Done => input.position += consumed,
                Handled::Alone => return Next::Alone { consumed },
                Handled::Full => {
                    // The request is parsed again after the flush.
                    input.parser = Parser::new();
                    return Next::Flush;
                }
            }
            if out.len() >= OUTPUT_FLUSH || session.close {
                return Next::Flush;
            }
        }
    })
}

enum Handled {
    Done,
    Alone,
    Full,
}

/// Handles one request as far as that needs no waiting.
fn handle(session: &mut Session, shard: &mut Shard, args: Args<'_>, out: &mut Vec<u8>) -> Handled {
    let admitted = session.admit(&args);
    let entry = match admitted {
        Ok(entry) => entry,
        // A refusal stands in the order of the replies, like a command of the front.
        Err(_) if !session.pipeline.is_empty() => return Handled::Alone,
        Err(refusal) => {
            session.reject(&args, &refusal, out);
            return Handled::Done;
        }
    };
    if session.must_run_alone(entry) {
        return Handled::Alone;
    }
    if let Some(Handler::Now(function)) = session.handler(entry) {
        if !session.pipeline.is_empty() {
            return Handled::Alone;
        }
        run_now(session, entry, function, args, out);
        session.ran(entry);
        return Handled::Done;
    }
    let (db, protocol, front) = (session.db, session.protocol, session.front.clone());
    match session.pipeline.add(&front, shard, entry, db, protocol, args, out) {
        Added::Yes => {
            session.ran(entry);
            Handled::Done
        }
        Added::Fence => Handled::Alone,
        Added::Full => Handled::Full,
    }
}

fn run_now(
    session: &mut Session,
    entry: &'static Entry,
    function: crate::commands::Now,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let protocol = session.protocol;
    let began = session.server.front_stats.began(entry.id);
    let outcome = function(session, args, &mut ReplyWriter::new(out, protocol));
    session.server.front_stats.ended(entry.id, began, outcome.is_err());
    if let Err(refusal) = outcome {
        out.truncate(start);
        session.refuse(&refusal, out);
    }
}

/// Runs the request at the input's position by itself. The pipeline is empty.
async fn run_alone(session: &mut Session, input: &Input, out: &mut Vec<u8>) {
    let args = Args::of(input.parser.args(&input.buffer[input.position..]));
    let entry = match session.admit(&args) {
        Ok(entry) => entry,
        Err(refusal) => return session.reject(&args, &refusal, out),
    };
    session.wait_for_pause(entry).await;
    if session.multi.is_some() && !multi::runs_inside(entry) {
        return multi::queue(session, entry, args, out);
    }
    run_entry(session, entry, args, out).await;
    session.ran(entry);
}

/// Runs one admitted command, whatever its shape, and waits for it.
pub(crate) async fn run_entry(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    match session.handler(entry) {
        Some(Handler::Now(function)) => run_now(session, entry, function, args, out),
        Some(Handler::Later(function)) => {
            let (start, began) = (out.len(), rt::monotonic());
            let outcome: Result<(), Refusal> = function(session, args, out).await;
            session.server.front_stats.waited(entry.id, began, outcome.is_err());
            if let Err(refusal) = outcome {
                out.truncate(start);
                session.refuse(&refusal, out);
            }
        }
        None => {
            let front = session.front.clone();
            front.run_wide(entry, session.db, session.protocol, args, out).await;
            if entry.writes() {
                session.note_wide_write().await;
            }
        }
    }
}

async fn flush_pipeline(session: &mut Session, out: &mut Vec<u8>) {
    let front = session.front.clone();
    session.pipeline.flush(&front, out).await;
}

async fn send(transport: &Transport, session: &Session, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        session.client.output_bytes.store(out.len() as u64, Ordering::Relaxed);
        transport.write_all(out).await?;
        session.client.output_bytes.store(0, Ordering::Relaxed);
        Counters::add(&session.server.counters.output_bytes, out.len() as u64);
        out.clear();
        if out.capacity() > BUFFER_KEPT {
            out.shrink_to(BUFFER_KEPT);
        }
    }
    Ok(())
}

/// Reads more; `false` at the end of the connection.
async fn read_more(
    transport: &Transport,
    session: &mut Session,
    input: &mut Input,
    want: usize,
) -> io::Result<bool> {
    if input.position == input.buffer.len() {
        input.buffer.clear();
        if input.buffer.capacity() > BUFFER_KEPT {
            input.buffer.shrink_to(READ_MIN);
        }
    } else {
        input.buffer.drain(..input.position);
    }
    input.position = 0;
    let size = want.clamp(input.read_size, READ_MAX);
    let reading = transport.read(&mut input.buffer, size);
    let read = match idle_limit(session) {
        Some(limit) => match rt::timeout(limit, reading).await {
            Ok(read) => read?,
            Err(_) => return Ok(false),
        },
        None => reading.await?,
    };
    input.read_size = if read == size {
        (input.read_size * 2).min(READ_MAX)
    } else if read < READ_MIN / 2 {
        READ_MIN
    } else {
        input.read_size
    };
    session.client.input_bytes.store(input.buffer.len() as u64, Ordering::Relaxed);
    Counters::add(&session.server.counters.input_bytes, read as u64);
    Ok(read > 0 && !session.client.killed.load(Ordering::Acquire))
}

fn idle_limit(session: &Session) -> Option<Duration> {
    let limit = session.config.timeout;
    (!limit.is_zero() && !session.client.admin).then_some(limit)
}
