//! The RDB of a full sync goes to the shards.

use super::payload::{self, Extent};
use super::session::Session;
use crate::info::Progress;
use crate::replica::reason::Reason;
use engine::snapshot::{Loader, Options};

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
    tracing::info!(
        "replication: {} keys are loaded out of {} bytes of RDB version {} in {:.1} s",
        loaded.keys,
        loaded.bytes,
        loaded.version,
        session.began.elapsed().as_secs_f64(),
    );
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
        Reason::Words(format!("the master's RDB ends elsewhere than it said: after {bytes} bytes"))
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
