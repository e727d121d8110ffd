//! Commands about the client's own connection.

use super::{FrontCommand, Handler};
use engine::command::{Command, Flags, Group, Keys, Refusal, Run};
use engine::types::DbIndex;
use engine::value::number::parse_i64_strict;
use std::sync::atomic::Ordering;

pub(super) const COMMANDS: &[&FrontCommand] = &[&PING, &SELECT];

static PING: FrontCommand = FrontCommand {
    command: Command {
        name: "ping",
        usage: "PING [message]",
        summary: "Answers PONG, or the message.",
        since: "1.0.0",
        cost: "O(1)",
        group: Group::Connection,
        flags: Flags::FAST,
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > PING
            PONG
            > PING hello
            "hello"
        "#,
    },
    handler: Handler::Now(|_, args, reply| {
        match args.len() {
            1 => reply.simple("PONG"),
            2 => reply.bulk(args.get(1)),
            _ => return Err(Refusal::Arity("ping".to_owned())),
        }
        Ok(())
    }),
};

static SELECT: FrontCommand = FrontCommand {
    command: Command {
        name: "select",
        usage: "SELECT index",
        summary: "Changes the connection's database.",
        since: "1.0.0",
        cost: "O(1)",
        group: Group::Connection,
        flags: Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > SELECT 1
            OK
        "#,
    },
    handler: Handler::Now(|session, args, reply| {
        let index = parse_i64_strict(args.get(1)).ok_or(Refusal::fixed("ERR invalid DB index"))?;
        let count = session.front.node.dbs();
        let index = usize::try_from(index).ok().filter(|&index| index < count);
        session.db = DbIndex(index.ok_or(Refusal::DbIndex)? as u16);
        session.client.db.store(session.db.0, Ordering::Relaxed);
        reply.ok();
        Ok(())
    }),
};
