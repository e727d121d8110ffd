//! A connection whose request waits for keys (BLPOP): until it is served, its time is up, its client leaves, or
//! somebody ends the wait.

use super::session::Session;
use crate::clients::{UNBLOCKED, UNBLOCKED_BY_CLIENT, Unblocked};
use crate::server::Counters;
use engine::command::shape::Patience;
use engine::command::{Args, Call, Entry, Refusal, Run};
use engine::exec::{Asleep, Slept};
use engine::resp::Output;
use engine::rt;
use std::time::{Duration, Instant};

/// How long a request may wait; nothing where it is none that waits, or is not as it should be.
pub(super) fn patience(entry: &Entry, args: Args<'_>) -> Patience {
    match &entry.command.run {
        Run::Wait(wait) => (wait.patience)(args).unwrap_or(Patience::None),
        _ => Patience::None,
    }
}

/// Runs a request that may wait so long.
pub(super) async fn run(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    patience: Patience,
    out: &mut Output,
) {
    let (front, who) = (session.front.clone(), session.who.clone());
    let (db, protocol) = (session.db, session.protocol);
    let call = Call { entry, db, protocol, who: &who, args };
    let began = rt::monotonic();
    let asleep = front.try_or_sleep(&call, out).await;
    session.note_latency(entry, began.elapsed());
    // On which shards it has written is asked when somebody wants to know.
    session.wrote_wide |= entry.writes() && asleep.is_none();
    let Some(asleep) = asleep else { return };
    let began = rt::monotonic();
    let until = match patience {
        Patience::For(time) => began.checked_add(time),
        Patience::Endless | Patience::None => None,
    };
    Counters::add(&session.server.counters.blocked, 1);
    session.client.begin_wait_for_keys(asleep.reply_to());
    sleep(session, asleep, until, out).await;
    session.client.end_wait();
    Counters::take(&session.server.counters.blocked, 1);
    session.slept += began.elapsed();
    if entry.writes() {
        session.wrote_wide = true;
    }
}

async fn sleep(
    session: &mut Session,
    mut asleep: Asleep,
    mut until: Option<Instant>,
    out: &mut Output,
) {
    loop {
        let woken = async {
            match until {
                None => Some(asleep.woken().await),
                Some(until) => {
                    let left = until.saturating_duration_since(rt::monotonic());
                    rt::timeout(left, asleep.woken()).await.ok()
                }
            }
        };
        // One that has gone takes nothing, from the moment on when that is known.
        let ended = match session.unless_gone_for(Duration::ZERO, woken).await {
            None => {
                session.close = true;
                return;
            }
            // Time is up.
            Some(None) => Ok(()),
            Some(Some(woken)) => match asleep.answer(woken, out).await {
                Slept::Replied(written) => {
                    if let Some((shard, lsn)) = written {
                        session.pipeline.wrote(shard, lsn);
                    }
                    return;
                }
                Slept::On => continue,
                Slept::RoleChanged => {
                    // As Redis does: what the client knows of this node is not true any more.
                    session.close = true;
                    return asleep.end(Err(Refusal::fixed(UNBLOCKED)), out);
                }
                Slept::Called => match session.client.unblocked() {
                    None => continue,
                    Some(Unblocked::ByTimeout) => Ok(()),
                    Some(Unblocked::ByError) => Err(Refusal::fixed(UNBLOCKED_BY_CLIENT)),
                },
            },
        };
        if asleep.give_up() {
            return asleep.end(ended, out);
        }
        // Too late: it has been served meanwhile.
        until = None;
    }
}
