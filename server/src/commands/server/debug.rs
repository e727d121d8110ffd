//! DEBUG: the subcommands that are not about keys.

use super::super::replication::next_lsn;
use super::common::{ADMIN, ALWAYS, FrontCommand, HELP, Handler, declare};
use crate::connection::Session;
use crate::loader::{self, Reload};
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::glob::Pattern;
use engine::resp::number::parse_i64;
use engine::resp::{Output, Protocol, ReplyWriter};
use engine::rt;
use replication::Request;
use std::time::Duration;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &DEBUG_ERROR,
    &DEBUG_HELP,
    &DEBUG_LOG,
    &DEBUG_PROTOCOL,
    &DEBUG_RELOAD,
    &DEBUG_REPLICA,
    &DEBUG_SET_ACTIVE_EXPIRE,
    &DEBUG_SLEEP,
    &DEBUG_STRINGMATCH_LEN,
];

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

static DEBUG_RELOAD: FrontCommand = FrontCommand {
    command: declare(
        "debug|reload",
        "DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
        "Writes the data to its file, drops it and loads it again; replicas begin anew.",
        "1.0.0",
        ADMIN.union(Flags::NO_MULTI),
        "",
    ),
    handler: Handler::Later(|session, args, out| Box::pin(reload(session, args, out))),
};

async fn reload(session: &mut Session, args: Args<'_>, out: &mut Output) -> Outcome {
    let mut how = Reload { saves: true, flushes: true, merges: false };
    for word in args.from(2) {
        match word.to_ascii_uppercase().as_slice() {
            b"MERGE" => how.merges = true,
            b"NOFLUSH" => how.flushes = false,
            b"NOSAVE" => how.saves = false,
            _ => {
                return Err(Refusal::fixed(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let (front, server) = (session.front.clone(), session.server.clone());
    // It goes on when whoever asked has gone: half of a data set is none.
    let reloaded = loader::reload(&front, &server, how).await;
    reloaded.map_err(|error| Refusal::quoting("ERR ", error.as_bytes(), ""))?;
    ReplyWriter::new(out, session.protocol).ok();
    Ok(())
}

static DEBUG_ERROR: FrontCommand = FrontCommand {
    command: declare(
        "debug|error",
        "DEBUG ERROR message",
        "Answers with this error.",
        "1.0.0",
        ADMIN,
        r#"
            > DEBUG ERROR "ERR as asked for"
            (error) ERR as asked for
        "#,
    ),
    handler: Handler::Now(|_, args, _| Err(Refusal::quoting("", args.get(2), ""))),
};

static DEBUG_LOG: FrontCommand = FrontCommand {
    command: declare(
        "debug|log",
        "DEBUG LOG message",
        "Writes a message to the log.",
        "1.0.0",
        ADMIN,
        r#"
            > DEBUG LOG "here the test begins"
            OK
        "#,
    ),
    handler: Handler::Now(|_, args, reply| {
        let message = String::from_utf8_lossy(args.get(2)).into_owned();
        tracing::warn!("DEBUG LOG: {message}");
        reply.ok();
        Ok(())
    }),
};

static DEBUG_SET_ACTIVE_EXPIRE: FrontCommand = FrontCommand {
    command: declare(
        "debug|set-active-expire",
        "DEBUG SET-ACTIVE-EXPIRE <0 | 1>",
        "Whether what has expired is deleted though nobody looks for it.",
        "2.8.13",
        ADMIN,
        r#"
            > DEBUG SET-ACTIVE-EXPIRE 1
            OK
        "#,
    ),
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            // As in Redis, what is no number is 0.
            let is_on = parse_i64(args.get(2)).is_some_and(|number| number != 0);
            let front = session.front.clone();
            front.call_all(move |shard| shard.keys.set_active_expire(is_on)).await;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static DEBUG_STRINGMATCH_LEN: FrontCommand = FrontCommand {
    command: declare(
        "debug|stringmatch-len",
        "DEBUG STRINGMATCH-LEN length pattern",
        "Whether a text of so many letters a fits a pattern.",
        "1.0.0",
        ADMIN,
        r#"
            > DEBUG STRINGMATCH-LEN 3 a?*
            (integer) 1
            > DEBUG STRINGMATCH-LEN 3 a?
            (integer) 0
        "#,
    ),
    handler: Handler::Now(|_, args, reply| {
        /// A text that takes no time to speak of.
        const LENGTH_MAX: usize = 1 << 20;
        let length = parse_i64(args.get(2)).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= LENGTH_MAX).ok_or(Refusal::NotInteger)?;
        let pattern = Pattern::new(args.get(3)).ok_or(Refusal::LongPattern)?;
        reply.integer(i64::from(pattern.fits(&vec![b'a'; length])));
        Ok(())
    }),
};

static DEBUG_PROTOCOL: FrontCommand = FrontCommand {
    command: declare(
        "debug|protocol",
        "DEBUG PROTOCOL <STRING | INTEGER | DOUBLE | BIGNUM | NULL | ARRAY | SET | MAP | ATTRIB | PUSH | VERBATIM | TRUE | FALSE>",
        "Answers with a value of this type.",
        "6.0.0",
        ADMIN,
        r#"
            > DEBUG PROTOCOL integer
            (integer) 12345
        "#,
    ),
    handler: Handler::Now(|_, args, reply| protocol(args.get(2), reply)),
};

/// The values are Redis's.
fn protocol(kind: &[u8], reply: &mut ReplyWriter<'_>) -> Outcome {
    let is_third = reply.protocol == Protocol::Resp3;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk("Hello World"),
        b"integer" => reply.integer(12345),
        // 3.141, which is not meant to be pi.
        b"double" => reply.double(3141.0 / 1000.0),
        b"null" => reply.nil(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if is_third {
                // Nothing else says attributes.
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk("Some real reply following the attribute");
        }
        b"push" if is_third => {
            reply.push(2);
            reply.bulk("server-cpu-usage");
            reply.integer(42);
            reply.bulk("Some real reply following the push reply");
        }
        b"push" => return Err(Refusal::fixed("ERR RESP2 is not supported by this command")),
        b"verbatim" => reply.verbatim(*b"txt", "This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" if is_third => reply.raw(b"(1234567999999999999999999999999999999\r\n"),
        b"bignum" => reply.bulk("1234567999999999999999999999999999999"),
        _ => {
            return Err(Refusal::fixed(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
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
