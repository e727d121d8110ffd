//! INFO and TIME.

use super::common::{ALWAYS, FrontCommand, Handler, declare};
use crate::observe::Picture;
use crate::observe::info::{View, render};
use engine::command::Flags;
use engine::resp::ReplyWriter;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const COMMANDS: &[&FrontCommand] = &[&INFO, &TIME];

static INFO: FrontCommand = FrontCommand {
    command: declare(
        "info",
        "INFO [section [section ...]]",
        "Says how the node is: default, all, everything, or sections by name.",
        "1.0.0",
        ALWAYS.union(Flags::DANGEROUS),
        "",
    ),
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            let picture = Picture::take(&session.front, &session.server).await;
            let names: Vec<&[u8]> = args.from(1).collect();
            let admin = session.client.admin;
            let view = View { picture: &picture, server: &session.server, admin };
            let text = render(&view, &names);
            ReplyWriter::new(out, session.protocol).verbatim(*b"txt", text);
            Ok(())
        })
    }),
};

static TIME: FrontCommand = FrontCommand {
    command: declare(
        "time",
        "TIME",
        "Says what time it is: seconds since 1970, and microseconds.",
        "2.6.0",
        ALWAYS.union(Flags::FAST),
        "",
    ),
    handler: Handler::Now(|_, _, reply| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        reply.array(2);
        reply.bulk_integer(now.as_secs() as i64);
        reply.bulk_integer(i64::from(now.subsec_micros()));
        Ok(())
    }),
};
