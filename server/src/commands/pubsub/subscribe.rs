//! To begin and to end listening.

use super::common::{FrontCommand, Handler, declare};
use crate::connection::{Kind, Session};
use engine::command::{Args, Command, Flags, Keys, Outcome, Refusal, Uses};
use engine::resp::ReplyWriter;

const FLAGS: Flags = Flags::PUBSUB.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

const CHANNELS: &str = "O(N) in the number of channels.";

/// Channels of shards stand where keys do, and are none.
const fn of_shards(declared: FrontCommand) -> FrontCommand {
    let FrontCommand { command, handler } = declared;
    FrontCommand { command: Command { keys: Keys::ALL.used(Uses::NOT_KEY), ..command }, handler }
}

pub(super) static SUBSCRIBE: FrontCommand = declare(
    "subscribe",
    "SUBSCRIBE channel [channel ...]",
    "Begins to listen to channels.",
    "2.0.0",
    CHANNELS,
    FLAGS,
    Handler::Now(|session, args, reply| begin(session, args, reply, Kind::Channel)),
);

pub(super) static PSUBSCRIBE: FrontCommand = declare(
    "psubscribe",
    "PSUBSCRIBE pattern [pattern ...]",
    "Begins to listen to all channels whose names fit the patterns.",
    "2.0.0",
    "O(N) in the number of patterns.",
    FLAGS,
    Handler::Now(|session, args, reply| begin(session, args, reply, Kind::Pattern)),
);

pub(super) static SSUBSCRIBE: FrontCommand = of_shards(declare(
    "ssubscribe",
    "SSUBSCRIBE shardchannel [shardchannel ...]",
    "Begins to listen to channels of SPUBLISH.",
    "7.0.0",
    CHANNELS,
    FLAGS,
    Handler::Now(|session, args, reply| begin(session, args, reply, Kind::Shard)),
));

pub(super) static UNSUBSCRIBE: FrontCommand = declare(
    "unsubscribe",
    "UNSUBSCRIBE [channel [channel ...]]",
    "Ends listening to these channels, or to all.",
    "2.0.0",
    CHANNELS,
    FLAGS,
    Handler::Now(|session, args, reply| end(session, args, reply, Kind::Channel)),
);

pub(super) static PUNSUBSCRIBE: FrontCommand = declare(
    "punsubscribe",
    "PUNSUBSCRIBE [pattern [pattern ...]]",
    "Ends listening to these patterns, or to all.",
    "2.0.0",
    "O(N) in the number of patterns.",
    FLAGS,
    Handler::Now(|session, args, reply| end(session, args, reply, Kind::Pattern)),
);

pub(super) static SUNSUBSCRIBE: FrontCommand = of_shards(declare(
    "sunsubscribe",
    "SUNSUBSCRIBE [shardchannel [shardchannel ...]]",
    "Ends listening to these channels of SPUBLISH, or to all.",
    "7.0.0",
    CHANNELS,
    FLAGS,
    Handler::Now(|session, args, reply| end(session, args, reply, Kind::Shard)),
));

fn begin(
    session: &mut Session,
    args: Args<'_>,
    reply: &mut ReplyWriter<'_>,
    kind: Kind,
) -> Outcome {
    if kind == Kind::Shard && session.in_exec {
        let text = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
        return Err(Refusal::fixed(text));
    }
    session.speaks_up();
    args.from(1).try_for_each(|name| session.subscribe(kind, name, reply))
}

fn end(session: &mut Session, args: Args<'_>, reply: &mut ReplyWriter<'_>, kind: Kind) -> Outcome {
    session.speaks_up();
    if args.len() == 1 {
        session.unsubscribe(kind, None, reply);
    }
    args.from(1).for_each(|name| session.unsubscribe(kind, Some(name), reply));
    Ok(())
}
