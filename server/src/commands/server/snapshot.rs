//! SAVE and its kin.

use super::common::{ALWAYS, FrontCommand, Handler, declare};
use crate::connection::Session;
use crate::saver::{self, Wait};
use engine::command::{Command, Flags, Outcome, Refusal};
use engine::resp::{Output, ReplyWriter};

pub(super) const COMMANDS: &[&FrontCommand] = &[&SAVE, &BGSAVE, &LASTSAVE, &BGREWRITEAOF];

/// Writing is an operator's matter, and not while there is nothing whole to be written.
const WRITES: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);

const fn command(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    flags: Flags,
) -> Command {
    declare(name, usage, summary, "1.0.0", flags, "")
}

static SAVE: FrontCommand = FrontCommand {
    command: command(
        "save",
        "SAVE",
        "Writes a snapshot and waits for it; others go on.",
        WRITES.union(Flags::NO_MULTI),
    ),
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            ask(session, Wait::Written).await?;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static BGSAVE: FrontCommand = FrontCommand {
    command: command("bgsave", "BGSAVE [SCHEDULE]", "Writes a snapshot in the background.", WRITES),
    handler: Handler::Later(|session, args, out| {
        let is_schedule = args.len() == 2 && args.get(1).eq_ignore_ascii_case(b"schedule");
        let is_right = args.len() == 1 || is_schedule;
        Box::pin(async move {
            match is_right {
                true => begin(session, out).await,
                false => Err(Refusal::Syntax),
            }
        })
    }),
};

async fn begin(session: &mut Session, out: &mut Output) -> Outcome {
    ask(session, Wait::Begun).await?;
    ReplyWriter::new(out, session.protocol).simple("Background saving started");
    Ok(())
}

async fn ask(session: &mut Session, wait: Wait) -> Outcome {
    let (front, server) = (session.front.clone(), session.server.clone());
    match session.unless_gone(saver::order(&front, &server, wait)).await {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Refusal::quoting("ERR ", error.as_bytes(), "")),
        None => {
            session.close = true;
            Ok(())
        }
    }
}

static LASTSAVE: FrontCommand = FrontCommand {
    command: command(
        "lastsave",
        "LASTSAVE",
        "Returns when the last snapshot was written, in seconds since 1970; the start before there is any.",
        ALWAYS.union(Flags::FAST).union(Flags::ADMIN_CATEGORY).union(Flags::DANGEROUS),
    ),
    handler: Handler::Now(|session, _, reply| {
        reply.integer(session.server.snapshots.last().unix_seconds() as i64);
        Ok(())
    }),
};

static BGREWRITEAOF: FrontCommand = FrontCommand {
    command: command(
        "bgrewriteaof",
        "BGREWRITEAOF",
        "Would rewrite the append-only file; refused, there is none.",
        WRITES,
    ),
    handler: Handler::Now(|_, _, _| {
        Err(Refusal::fixed("ERR there is no append-only file: see BGSAVE for a snapshot"))
    }),
};
