//! DEBUG: the subcommands that are not about keys.

use super::super::replication::next_lsn;
use super::common::{ADMIN, ALWAYS, FrontCommand, HELP, Handler, declare};
use crate::connection::Session;
use engine::command::{Args, Outcome, Refusal};
use engine::resp::{Output, ReplyWriter};
use engine::rt;
use replication::Request;
use std::time::Duration;

pub(super) const COMMANDS: &[&FrontCommand] = &[&DEBUG_SLEEP, &DEBUG_REPLICA, &DEBUG_HELP];

static DEBUG_SLEEP: FrontCommand = FrontCommand {
    command: declare(
        "debug|sleep",
        "DEBUG SLEEP seconds",
        "Lets this connection wait. Others go on: no shard sleeps.",
        "1.0.0",
        // In a transaction it waits when the keys are free again.
        ADMIN,
        r#"
            > DEBUG SLEEP 0.01
            OK
        "#,
    ),
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            let length = duration(args.get(2))?;
            if session.unless_gone(rt::sleep(length)).await.is_none() {
                session.close = true;
                return Ok(());
            }
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

/// A number of seconds, with a fraction. As in Redis, what is no number or negative is none at all; what is
/// too long to be meant is refused.
fn duration(text: &[u8]) -> Result<Duration, Refusal> {
    let seconds = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = seconds.unwrap_or(0.0).max(0.0);
    Duration::try_from_secs_f64(seconds).map_err(|_| Refusal::NotFloat)
}

static DEBUG_REPLICA: FrontCommand = FrontCommand {
    command: declare(
        "debug|replica",
        "DEBUG REPLICA <OFFSET | PAUSE | RESUME>",
        "On a replica: what it has applied; or it stops reading from its master, or goes on.",
        "7.2.0",
        ADMIN,
        r#"
            > DEBUG REPLICA OFFSET
            (error) ERR I am master
        "#,
    ),
    handler: Handler::Later(|session, args, out| Box::pin(replica(session, args, out))),
};

const I_AM_MASTER: Refusal = Refusal::fixed("ERR I am master");

async fn replica(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let (front, replication) = (session.front.clone(), &session.server.replication);
    let word = args.get(2).to_ascii_uppercase();
    let pause = match word.as_slice() {
        b"OFFSET" => {
            let upstream = replication.info(&front).await.upstream.ok_or(I_AM_MASTER)?;
            let mut reply = ReplyWriter::new(out, session.protocol);
            reply.array(2);
            reply.bulk(format!("SYNC{}", upstream.session));
            reply.array(upstream.applied.len());
            // As DFLY REPLICAOFFSET counts, so that a barrier can compare the two.
            upstream.applied.iter().for_each(|lsn| reply.integer(next_lsn(*lsn)));
            return Ok(());
        }
        b"PAUSE" => true,
        b"RESUME" => false,
        _ => return Err(Refusal::Syntax),
    };
    let is_replica: bool = replication.ask(&front, Request::Pause(pause)).await;
    if !is_replica {
        return Err(I_AM_MASTER);
    }
    ReplyWriter::new(out, session.protocol).ok();
    Ok(())
}

static DEBUG_HELP: FrontCommand = FrontCommand {
    command: declare("debug|help", "DEBUG HELP", "Prints this help.", "1.0.0", ALWAYS, ""),
    handler: HELP,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_a_finite_number_of_seconds() {
        assert_eq!(duration(b"0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "-1", "nan", "one"] {
            assert_eq!(duration(text.as_bytes()), Ok(Duration::ZERO), "{text}");
        }
        for text in ["inf", "1e300"] {
            assert_eq!(duration(text.as_bytes()), Err(Refusal::NotFloat), "{text}");
        }
    }
}
