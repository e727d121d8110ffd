//! MULTI and its kin.

use super::declare::FrontCommand;
use crate::connection::{Handler, breathe_after, multi};
use engine::command::{Command, Flags, Group, Keys, Refusal, Run, Uses};
use engine::resp::ReplyWriter;

pub(super) const COMMANDS: &[&FrontCommand] = &[&MULTI, &EXEC, &DISCARD, &WATCH, &UNWATCH];

const ALWAYS: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::ALLOW_BUSY);

static MULTI: FrontCommand = FrontCommand {
    command: Command {
        name: "multi",
        usage: "MULTI",
        summary: "Begins a transaction: what follows is queued until EXEC.",
        since: "1.2.0",
        cost: "O(1)",
        group: Group::Transactions,
        flags: ALWAYS.union(Flags::FAST),
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > MULTI
            OK
        "#,
    },
    handler: Handler::Now(|session, _, reply| {
        multi::begin(session)?;
        reply.ok();
        Ok(())
    }),
};

static EXEC: FrontCommand = FrontCommand {
    command: Command {
        name: "exec",
        usage: "EXEC",
        summary: "Runs the queued commands as one transaction.",
        since: "1.2.0",
        cost: "Depends on the commands",
        group: Group::Transactions,
        flags: Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::SKIP_SLOWLOG),
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > MULTI
            OK
            > INCR counter
            QUEUED
            > EXEC
            1) (integer) 1
        "#,
    },
    handler: Handler::Later(|session, _, out| Box::pin(multi::exec(session, out))),
};

static DISCARD: FrontCommand = FrontCommand {
    command: Command {
        name: "discard",
        usage: "DISCARD",
        summary: "Forgets the queued commands.",
        since: "2.0.0",
        cost: "O(N) in the number of queued commands",
        group: Group::Transactions,
        flags: ALWAYS.union(Flags::FAST),
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > MULTI
            OK
            > DISCARD
            OK
        "#,
    },
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            multi::discard(session).await?;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static WATCH: FrontCommand = FrontCommand {
    command: Command {
        name: "watch",
        usage: "WATCH key [key ...]",
        summary: "Makes EXEC do nothing if one of the keys changes before it.",
        since: "2.2.0",
        cost: "O(1) for every key",
        group: Group::Transactions,
        flags: ALWAYS.union(Flags::FAST),
        keys: Keys::ALL.used(Uses::RO),
        run: Run::Front,
        examples: r#"
            > WATCH counter
            OK
        "#,
    },
    handler: Handler::Later(|session, args, out| {
        Box::pin(async move {
            if session.multi.is_some() {
                return Err(Refusal::fixed("ERR WATCH inside MULTI is not allowed"));
            }
            for (index, key) in args.from(1).enumerate() {
                breathe_after(index).await;
                session.watch(key).await;
            }
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};

static UNWATCH: FrontCommand = FrontCommand {
    command: Command {
        name: "unwatch",
        usage: "UNWATCH",
        summary: "Forgets all watched keys.",
        since: "2.2.0",
        cost: "O(1)",
        group: Group::Transactions,
        flags: ALWAYS.union(Flags::FAST),
        keys: Keys::NONE,
        run: Run::Front,
        examples: r#"
            > UNWATCH
            OK
        "#,
    },
    handler: Handler::Later(|session, _, out| {
        Box::pin(async move {
            session.forget_watches().await;
            ReplyWriter::new(out, session.protocol).ok();
            Ok(())
        })
    }),
};
