//! PING, ECHO, SELECT, QUIT, RESET.

use super::common::{ALWAYS, FrontCommand, Handler, declare};
use crate::connection::{ReplyMode, Session, multi};
use engine::command::{Flags, Outcome, Refusal};
use engine::resp::{Output, Protocol, ReplyWriter};
use engine::types::DbIndex;
use std::sync::atomic::Ordering;

pub(super) static PING: FrontCommand = declare(
    "ping",
    "PING [message]",
    "Answers PONG, or the message.",
    "1.0.0",
    Flags::FAST,
    r#"
        > PING
        PONG
        > PING hello
        "hello"
    "#,
    Handler::Now(|session, args, reply| {
        // To those who listen it is answered as a message is.
        let as_message = session.client.is_subscriber() && reply.protocol == Protocol::Resp2;
        match args.len() {
            1 | 2 if as_message => {
                reply.array(2);
                reply.bulk("pong");
                reply.bulk(if args.len() == 2 { args.get(1) } else { b"" });
            }
            1 => reply.simple("PONG"),
            2 => reply.bulk(args.get(1)),
            _ => return Err(Refusal::Arity("ping".to_owned())),
        }
        Ok(())
    }),
);

pub(super) static ECHO: FrontCommand = declare(
    "echo",
    "ECHO message",
    "Answers the message.",
    "1.0.0",
    Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    r#"
        > ECHO "Hello World!"
        "Hello World!"
    "#,
    Handler::Now(|_, args, reply| {
        reply.bulk(args.get(1));
        Ok(())
    }),
);

pub(super) static SELECT: FrontCommand = declare(
    "select",
    "SELECT index",
    "Changes the connection's database.",
    "1.0.0",
    Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
    r#"
        > SELECT 1
        OK
    "#,
    Handler::Now(|session, mut args, reply| {
        let index = args.small_integer()?;
        let count = session.front.node.dbs();
        let index = usize::try_from(index).ok().filter(|&index| index < count);
        session.select(DbIndex(index.ok_or(Refusal::DbIndex)? as u16));
        reply.ok();
        Ok(())
    }),
);

pub(super) static QUIT: FrontCommand = declare(
    "quit",
    "QUIT [argument ...]",
    "Ends the connection once all replies are sent.",
    "1.0.0",
    ALWAYS,
    r#"
        > QUIT
        OK
    "#,
    Handler::Now(|session, _, reply| {
        session.close = true;
        reply.ok();
        Ok(())
    }),
);

pub(super) static RESET: FrontCommand = declare(
    "reset",
    "RESET",
    "Makes the connection as it was when it began.",
    "6.2.0",
    ALWAYS,
    r#"
        > RESET
        RESET
    "#,
    Handler::Later(|session, _, out| Box::pin(reset(session, out))),
);

async fn reset(session: &mut Session, out: &mut Output) -> Outcome {
    multi::forget(session).await;
    session.forget_subscriptions().await;
    session.select(DbIndex(0));
    session.speak(Default::default());
    session.authenticated = session.needs_no_password();
    // A reply that is skipped already stays skipped: this command's own.
    if session.reply_mode() != ReplyMode::Skip {
        session.set_reply_mode(ReplyMode::On);
    }
    session.set_no_touch(false);
    session.client.no_evict.store(false, Ordering::Relaxed);
    // The library stays the same library.
    session.client.words().name.clear();
    ReplyWriter::new(out, session.protocol).simple("RESET");
    Ok(())
}
