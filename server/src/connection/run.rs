//! One admitted command, run where it belongs.

use super::session::{Handler, Now, READ_FAREWELL, Session};
use super::waiting;
use engine::command::shape::Patience;
use engine::command::{Args, Call, Entry, Refusal, Run, Walk};
use engine::resp::{Output, ReplyWriter};
use engine::rt;

/// Runs a command that answers at once.
pub(super) fn run_now(
    session: &mut Session,
    entry: &'static Entry,
    function: Now,
    args: Args<'_>,
    out: &mut Output,
) {
    let start = out.len();
    let protocol = session.protocol;
    let began = session.server.front_stats.began(entry.id);
    let outcome = function(session, args, &mut ReplyWriter::new(out, protocol));
    if let Some(took) = session.server.front_stats.ended(entry.id, began, outcome.is_err()) {
        session.note_latency(entry, took);
    }
    if let Err(refusal) = outcome {
        out.truncate(start);
        session.refuse(&refusal, out);
    }
}

/// Runs one admitted command, whatever its shape, and waits for it.
pub(super) async fn run_entry(
    session: &mut Session,
    entry: &'static Entry,
    args: Args<'_>,
    out: &mut Output,
) {
    match session.handler(entry) {
        Some(Handler::Now(function)) => run_now(session, entry, function, args, out),
        Some(Handler::Later(function)) => {
            let (start, began) = (out.len(), rt::monotonic());
            let outcome: Result<(), Refusal> = function(session, args, out).await;
            let took = began.elapsed();
            session.server.front_stats.waited(entry.id, took, outcome.is_err());
            session.note_latency(entry, took);
            if let Err(refusal) = outcome {
                out.truncate(start);
                session.refuse(&refusal, out);
            }
        }
        None if waiting::patience(entry, args) != Patience::None && !session.in_exec => {
            let patience = waiting::patience(entry, args);
            waiting::run(session, entry, args, patience, out).await;
        }
        None => {
            let (front, who) = (session.front.clone(), session.who.clone());
            let began = rt::monotonic();
            let (db, protocol) = (session.db, session.protocol);
            let call = Call { entry, db, protocol, who: &who, args };
            let start = out.len();
            let wide = front.run_wide(&call, out);
            match entry.command.run {
                // Nobody wants the rest of a long walk when its client has left.
                Run::Walk(Walk { long: true, alone: false, .. }) => {
                    session.close |= session.unless_gone_for(READ_FAREWELL, wide).await.is_none();
                }
                Run::Sliced(_) | Run::Carry(_) if call.only_reads() => {
                    session.or_leave(wide).await;
                    if session.who.room.is_left() {
                        session.close = true;
                        out.truncate(start);
                    }
                }
                _ => wide.await,
            }
            session.note_latency(entry, began.elapsed());
            if entry.writes() {
                session.wrote_wide = true;
            }
        }
    }
}
