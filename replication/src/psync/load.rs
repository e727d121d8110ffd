//! The RDB of a full sync goes to the shards.

use super::command::no_database;
use super::payload::{self, Extent};
use super::session::Session;
use crate::info::Progress;
use crate::origin;
use crate::replica::reason::Reason;
use engine::snapshot::{Loaded, Loader, Options};
use engine::types::DbIndex;

/// Loads what comes, of which `buffer` has come already, and leaves in it what stands behind.
pub(super) async fn load(
    session: &Session,
    extent: Extent,
    buffer: &mut Vec<u8>,
) -> Result<(), Reason> {
    // What has expired goes when the master says so.
    let mut loader =
        Loader::new(&session.front, Options { keeps_expired: true, ..Options::default() }).await;
    let mut pushed = 0;
    loop {
        let left = match &extent {
            Extent::Bytes(length) => usize::try_from(length - pushed).unwrap_or(usize::MAX),
            Extent::Mark(_) => usize::MAX,
        };
        let count = buffer.len().min(left);
        loader.push(&buffer[..count]).await.map_err(|error| payload::damaged(&error))?;
        pushed += count as u64;
        session.progress.set(Some(progress(session, &loader)));
        if loader.is_at_end() {
            let behind = pushed - loader.so_far().bytes;
            buffer.drain(..count - behind as usize);
            break;
        }
        buffer.drain(..count);
        if count == left {
            // It is shorter than what it says it holds.
            return loader.end().await.map(drop).map_err(|error| payload::damaged(&error));
        }
        if session.is_broken() {
            return Err(Reason::LinkEnded);
        }
        session.read(buffer).await?;
    }
    leave(session, &extent, loader.so_far().bytes, buffer).await?;
    let loaded = loader.end().await.map_err(|error| payload::damaged(&error))?;
    select(session, &loaded)?;
    tracing::info!(
        "replication: {} keys are loaded out of {} bytes of RDB version {} in {:.1} s",
        loaded.keys,
        loaded.bytes,
        loaded.version,
        session.began.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// The stream goes on in the database that the data says.
fn select(session: &Session, loaded: &Loaded) -> Result<(), Reason> {
    let Some(index) = origin::stream_db(&loaded.aux) else { return Ok(()) };
    let dbs = session.front.node.dbs();
    let db = u16::try_from(index).ok().filter(|index| usize::from(*index) < dbs);
    let db = db.ok_or_else(|| no_database(&index.to_string(), dbs))?;
    session.position.borrow_mut().db = DbIndex(db);
    Ok(())
}

fn progress(session: &Session, loader: &Loader) -> Progress {
    let loaded = loader.so_far();
    Progress::of(loaded.keys, loaded.announced, session.began.elapsed().as_secs_f64())
}

/// Leaves what says where the RDB ends, of which so many bytes were read.
async fn leave(
    session: &Session,
    extent: &Extent,
    bytes: u64,
    buffer: &mut Vec<u8>,
) -> Result<(), Reason> {
    let ends_elsewhere = || {
        Reason::Damaged(format!(
            "the master's RDB ends elsewhere than it said: after {bytes} bytes"
        ))
    };
    let mark = match extent {
        Extent::Bytes(length) if *length == bytes => return Ok(()),
        Extent::Bytes(_) => return Err(ends_elsewhere()),
        Extent::Mark(mark) => mark,
    };
    while buffer.len() < mark.len() {
        session.read(buffer).await?;
    }
    match buffer.starts_with(mark) {
        true => drop(buffer.drain(..mark.len())),
        false => return Err(ends_elsewhere()),
    }
    Ok(())
}
