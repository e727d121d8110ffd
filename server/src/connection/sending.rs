//! Replies on their way to the client, within its limits.

use super::closing::{self, Limit};
use super::session::Session;
use crate::server::Counters;
use engine::resp::{Output, Piece};
use engine::rt::{self, Patience};
use replication::transport::Transport;
use std::io;
use std::sync::Arc;

/// Bytes written in one go, within which the limits of waiting output are not looked at.
const WRITE_MAX: usize = 1024 * 1024;
/// And where its patience with the client counts for each write.
const PATIENT_WRITE_MAX: usize = 64 * 1024;
/// The output buffer is given back above this size when it is empty: a connection that once pipelined may
/// be idle from now on, and making it anew costs next to nothing beside a pipeline that long.
const BUFFER_KEPT: usize = 8 * 1024;
/// Bytes of large values that are copied and written in one go: as of replies that hold theirs, so that the
/// soft limit is asked at the same places.
const STAGE: usize = WRITE_MAX;

pub(super) async fn send(
    transport: &Transport,
    session: &mut Session,
    out: &mut Output,
) -> io::Result<()> {
    if let Some(asked) = session.who.room.over_by() {
        let hard = session.output_limit().hard_bytes;
        return Err(closing::over_output(session, asked, Limit::Hard(hard)));
    }
    let parts = std::mem::take(&mut session.parts);
    if !out.is_empty() || !parts.is_empty() {
        let written = write_within_limits(transport, session, parts, out).await?;
        end_waiting(session);
        Counters::add(&session.server.counters.output_bytes, written);
    }
    // Also where nothing was left to write, because CLIENT REPLY OFF wants none of it.
    session.who.room.give_back();
    Ok(())
}

/// Nothing waits any more.
fn end_waiting(session: &Session) {
    session.client.note_output(0, 0, 0);
    session.client.note_values(Vec::new());
}

/// Writes a large message as it is.
pub(super) async fn send_apart(
    transport: &Transport,
    session: &Session,
    bytes: &[u8],
) -> io::Result<()> {
    let soft = Patience::of(session.output_limit().soft_time);
    let mut going = Going { soft, left: bytes.len() as u64, pieces: 1, buffers: 0 };
    write_part(transport, session, bytes, &mut going).await?;
    Counters::add(&session.server.counters.output_bytes, bytes.len() as u64);
    Ok(())
}

/// Writes, as long as the client takes it: a client that leaves more than the soft limit waiting for the
/// soft time, or more than the hard limit at all, is closed, as is one that takes nothing for `timeout`.
async fn write_within_limits(
    transport: &Transport,
    session: &Session,
    mut parts: Vec<Output>,
    out: &mut Output,
) -> io::Result<u64> {
    let limit = session.output_limit();
    let whole = parts.iter().chain([&*out]).map(Output::whole).sum::<usize>() as u64;
    let mut going = Going::of(Patience::of(limit.soft_time), parts.iter().chain([&*out]));
    going.note(session);
    if limit.hard_bytes != 0 && whole > limit.hard_bytes {
        return Err(closing::over_output(session, whole, Limit::Hard(limit.hard_bytes)));
    }
    let values = parts.iter().chain([&*out]).flat_map(Output::values);
    let values = values.map(Arc::downgrade).collect::<Vec<_>>();
    if !values.is_empty() {
        session.client.note_values(values);
    }
    for part in parts.iter_mut().chain([out]) {
        let (buffer, pieces) = (part.len() as u64, pieces_of(part));
        let left = going.pieces - pieces;
        match part.held() {
            0 => write_part(transport, session, part, &mut going).await?,
            _ => write_held(transport, session, part, &mut going).await?,
        }
        // Given back as soon as it is gone.
        part.clear();
        (going.pieces, going.buffers) = (left, going.buffers.saturating_sub(buffer));
        if part.capacity() > BUFFER_KEPT {
            part.shrink_to(BUFFER_KEPT);
        }
    }
    Ok(whole)
}

/// In how many pieces it waits: a buffer, and values.
fn pieces_of(output: &Output) -> u64 {
    u64::from(!output.is_empty()) + output.held() as u64
}

/// Replies as they go.
struct Going {
    /// How long more than the soft limit may still wait.
    soft: Patience,
    /// All that waits.
    left: u64,
    /// In how many pieces.
    pieces: u64,
    /// Buffers that are not given back yet.
    buffers: u64,
}

impl Going {
    fn of<'a>(soft: Patience, outputs: impl Iterator<Item = &'a Output>) -> Going {
        let mut going = Going { soft, left: 0, pieces: 0, buffers: 0 };
        for output in outputs {
            going.left += output.whole() as u64;
            going.pieces += pieces_of(output);
            going.buffers += output.len() as u64;
        }
        going
    }

    /// Others see what waits. Messages count where they wait for their subscriber.
    fn note(&self, session: &Session) {
        if !session.delivers {
            session.client.note_output(self.left, self.pieces, self.buffers);
        }
    }
}

/// Writes what refers to values, by way of a buffer: they are encoded as the client reads, and given back
/// one by one.
async fn write_held(
    transport: &Transport,
    session: &Session,
    output: &mut Output,
    going: &mut Going,
) -> io::Result<()> {
    let (mut stage, mut taken) = (Vec::new(), 0);
    loop {
        let piece = output.next_piece(taken);
        if let Piece::Bytes(bytes) = &piece {
            taken += bytes.len();
        }
        let mut from = 0;
        loop {
            let stretch = match &piece {
                Piece::Bytes(bytes) => &bytes[from..bytes.len().min(from + STAGE)],
                Piece::Held(value) => value.stretch(from),
            };
            if stretch.is_empty() {
                break;
            }
            let stretch = &stretch[..stretch.len().min(STAGE - stage.len())];
            from += stretch.len();
            stage.extend_from_slice(stretch);
            if stage.len() == STAGE {
                write_part(transport, session, &stage, going).await?;
                stage.clear();
                rt::yield_if_needed().await;
            }
        }
        if matches!(piece, Piece::Bytes(_)) && from == 0 {
            return write_part(transport, session, &stage, going).await;
        }
        if matches!(piece, Piece::Held(_)) {
            going.pieces = going.pieces.saturating_sub(1);
        }
    }
}

/// Writes one part of what waits.
async fn write_part(
    transport: &Transport,
    session: &Session,
    part: &[u8],
    going: &mut Going,
) -> io::Result<()> {
    let limit = session.output_limit();
    let idle = session.client.idle_limit(&session.config);
    // `timeout` is for a client that takes nothing, not for one that takes it slowly.
    let size = if idle.is_some() { PATIENT_WRITE_MAX } else { WRITE_MAX };
    for chunk in part.chunks(size) {
        going.note(session);
        let is_soft = limit.soft_bytes != 0 && going.left > limit.soft_bytes;
        let writing = async {
            match idle {
                None => Ok(transport.write_all(chunk).await),
                Some(idle) => Patience::of(idle).within(transport.write_all(chunk)).await,
            }
        };
        match if is_soft { going.soft.within(writing).await } else { Ok(writing.await) } {
            Ok(Ok(written)) => written?,
            Ok(Err(_)) => return Err(closing::took_nothing(session)),
            Err(_) => {
                let limit = Limit::Soft(limit.soft_bytes, limit.soft_time);
                return Err(closing::over_output(session, going.left, limit));
            }
        }
        going.left -= chunk.len() as u64;
    }
    Ok(())
}
