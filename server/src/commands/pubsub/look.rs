//! PUBSUB: which channels and patterns have subscribers.

use super::common::{FrontCommand, Handler, declare};
use crate::connection::{Session, breathe_after};
use engine::command::{Args, Flags, Outcome, Refusal};
use engine::glob::Pattern;
use engine::pubsub::{Hub, Scope};
use engine::resp::{Output, ReplyWriter};

const FLAGS: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);

pub(super) static PUBSUB: FrontCommand = declare(
    "pubsub",
    "PUBSUB <subcommand> [argument ...]",
    "Says who listens to what.",
    "2.8.0",
    "Depends on subcommand.",
    Flags::empty(),
    Handler::Now(|_, _, _| Err(Refusal::Syntax)),
);

pub(super) static CHANNELS: FrontCommand = declare(
    "pubsub|channels",
    "PUBSUB CHANNELS [pattern]",
    "Channels that have subscribers.",
    "2.8.0",
    "O(N) in the number of channels that have subscribers.",
    FLAGS,
    Handler::Later(|session, args, out| Box::pin(channels(session, args, out, Scope::Plain))),
);

pub(super) static SHARDCHANNELS: FrontCommand = declare(
    "pubsub|shardchannels",
    "PUBSUB SHARDCHANNELS [pattern]",
    "Channels of SSUBSCRIBE that have subscribers.",
    "7.0.0",
    "O(N) in the number of channels that have subscribers.",
    FLAGS,
    Handler::Later(|session, args, out| Box::pin(channels(session, args, out, Scope::Sharded))),
);

pub(super) static NUMPAT: FrontCommand = declare(
    "pubsub|numpat",
    "PUBSUB NUMPAT",
    "How many patterns have subscribers.",
    "2.8.0",
    "O(1)",
    FLAGS,
    Handler::Now(|session, _, reply| {
        reply.count(session.server.hub.counts().patterns);
        Ok(())
    }),
);

pub(super) static NUMSUB: FrontCommand = declare(
    "pubsub|numsub",
    "PUBSUB NUMSUB [channel [channel ...]]",
    "How many subscribers each channel has, patterns left out.",
    "2.8.0",
    "O(N) in the number of channels asked for.",
    FLAGS,
    Handler::Now(|session, args, reply| numbers(session, args, reply, Scope::Plain)),
);

pub(super) static SHARDNUMSUB: FrontCommand = declare(
    "pubsub|shardnumsub",
    "PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]]",
    "How many subscribers each channel of SSUBSCRIBE has.",
    "7.0.0",
    "O(N) in the number of channels asked for.",
    FLAGS,
    Handler::Now(|session, args, reply| numbers(session, args, reply, Scope::Sharded)),
);

const HELP_LINES: &[&str] = &[
    "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
    "HELP",
    "    Prints this help.",
];

pub(super) static HELP: FrontCommand = declare(
    "pubsub|help",
    "PUBSUB HELP",
    "What PUBSUB can do.",
    "6.2.0",
    "O(1)",
    Flags::LOADING.union(Flags::STALE),
    Handler::Now(|_, _, reply| {
        reply.array(HELP_LINES.len());
        HELP_LINES.iter().for_each(|line| reply.simple(line));
        Ok(())
    }),
);

async fn channels(
    session: &mut Session,
    args: Args<'_>,
    out: &mut Output,
    scope: Scope,
) -> Outcome {
    if args.len() > 3 {
        let before = "ERR unknown subcommand or wrong number of arguments for '";
        return Err(Refusal::quoting(before, args.get(1), "'. Try PUBSUB HELP."));
    }
    let pattern = match args.len() {
        3 => Some(Pattern::new(args.get(2)).ok_or(Refusal::LongPattern)?),
        _ => None,
    };
    let mut names = Vec::new();
    for part in 0..Hub::PARTS {
        names.extend(session.server.hub.names(scope, part, pattern.as_ref()));
        breathe_after(names.len() + part).await;
    }
    let mut reply = ReplyWriter::new(out, session.protocol);
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn numbers(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut ReplyWriter<'_>,
    scope: Scope,
) -> Outcome {
    // A flat list in both protocols, as Redis has it.
    reply.array(2 * (args.len() - 2));
    for name in args.from(2) {
        reply.bulk(name);
        reply.count(session.server.hub.subscribers(scope, name));
    }
    Ok(())
}
