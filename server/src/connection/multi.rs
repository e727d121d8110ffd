//! MULTI, EXEC, DISCARD: a queue of requests, run as one transaction.
//!
//! All keys of the queue, and the watched ones, are taken before anything runs; then the watch is
//! judged; then the commands run in order, each on its shards; then the transaction concludes with one
//! frame. Commands without keys run where the connection lives, at their place in the order.

use super::{Session, run_entry};
use engine::command::{Args, Entry, OwnedArgs, Refusal};
use engine::exec::{Tx, TxKeys};
use engine::resp::ReplyWriter;
use engine::shard::Mode;
use engine::types::{Lsn, shard_of};
use std::sync::atomic::Ordering;

/// Requests that MULTI has queued.
#[derive(Default)]
pub struct Multi {
    queue: Vec<(&'static Entry, OwnedArgs)>,
    /// A request was refused: EXEC refuses the whole.
    pub spoiled: bool,
}

/// Whether the command runs at once inside MULTI instead of being queued.
pub(super) fn runs_inside(entry: &Entry) -> bool {
    matches!(entry.name(), "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Queues a request.
pub(super) fn queue(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    let protocol = session.protocol;
    if let Some(multi) = &mut session.multi {
        multi.queue.push((entry, OwnedArgs::copy(args)));
        session.client.queued.store(multi.queue.len() as u32, Ordering::Relaxed);
        ReplyWriter::new(out, protocol).simple("QUEUED");
    }
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
    if session.multi.take().is_none() {
        return Err(Refusal::fixed("ERR DISCARD without MULTI"));
    }
    session.client.queued.store(u32::MAX, Ordering::Relaxed);
    session.forget_watches().await;
    Ok(())
}

/// EXEC.
pub(crate) async fn exec(session: &mut Session, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Some(multi) = session.multi.take() else {
        return Err(Refusal::fixed("ERR EXEC without MULTI"));
    };
    session.client.queued.store(u32::MAX, Ordering::Relaxed);
    if multi.spoiled {
        session.forget_watches().await;
        return Err(Refusal::fixed("EXECABORT Transaction discarded because of previous errors."));
    }
    if let Some(refusal) = refused_meanwhile(session, &multi) {
        session.forget_watches().await;
        return Err(refusal);
    }
    let mut keys = TxKeys::default();
    for (entry, args) in &multi.queue {
        keys.add(&session.front, entry, &args.view());
    }
    for (_, key) in &session.watched {
        keys.add_key(&session.front, key, Mode::Shared);
    }
    let front = session.front.clone();
    let mut tx = Tx::begin(&front, keys).await;
    if is_touched(session).await {
        tx.conclude().await;
        session.forget_watches().await;
        ReplyWriter::new(out, session.protocol).nil_array();
        return Ok(());
    }
    ReplyWriter::new(out, session.protocol).array(multi.queue.len());
    for (entry, args) in &multi.queue {
        if entry.command.is_front() {
            session.in_exec = true;
            Box::pin(run_entry(session, entry, args.view(), out)).await;
            session.in_exec = false;
        } else {
            tx.run(entry, session.db, session.protocol, args.view(), out).await;
        }
    }
    for (shard, lsn) in tx.conclude().await {
        if lsn != Lsn(0) {
            session.pipeline.wrote(shard, lsn);
        }
    }
    session.forget_watches().await;
    Ok(())
}

/// A gate may have closed since the commands were queued (the node became a replica).
fn refused_meanwhile(session: &Session, multi: &Multi) -> Option<Refusal> {
    let refusal =
        multi.queue.iter().find_map(|(entry, _)| crate::gates::pass(session, entry).err())?;
    Some(Refusal::made(format!("EXECABORT Transaction discarded because of: {}", refusal.text())))
}

/// Whether a watched key was touched. Their shards hold the keys for us, so the answer stays true
/// until the transaction concludes.
async fn is_touched(session: &Session) -> bool {
    let Some(flag) = &session.watch_flag else { return false };
    for (db, key) in &session.watched {
        let shard = shard_of(key, session.front.node.shards());
        let (db, key, flag) = (*db, key.clone(), flag.clone());
        session.front.call(shard, move |shard| shard.keys.look_at_watched(db, &key, &flag)).await;
    }
    flag.load(Ordering::Acquire)
}
