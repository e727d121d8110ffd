//! PUBLISH and SPUBLISH.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run, Uses};
use crate::pubsub::Scope;

/// A message has no key. It runs on the shard of its channel's slot (`exec::plan`), which alone speaks in that
/// channel: so messages keep their order.
const FLAGS: Flags = Flags::PUBSUB
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::MAY_REPLICATE);

pub(super) const PUBLISH: Command = Command {
    name: "publish",
    usage: "PUBLISH channel message",
    summary: "Says something in a channel and answers how many heard it on this node.",
    since: "2.0.0",
    cost: "O(N+M) with N subscribers of the channel and M patterns of the node.",
    group: Group::PubSub,
    flags: FLAGS,
    keys: Keys::NONE,
    run: Run::Here(|cx, args| say(cx, args, Scope::Plain)),
    examples: r#"
        > PUBLISH news "nobody listens"
        (integer) 0
    "#,
};

pub(super) const SPUBLISH: Command = Command {
    name: "spublish",
    usage: "SPUBLISH shardchannel message",
    summary: "Says something in a channel of SSUBSCRIBE and answers how many heard it on this node.",
    since: "7.0.0",
    cost: "O(N) with N subscribers of the channel.",
    group: Group::PubSub,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::NOT_KEY),
    run: Run::Here(|cx, args| say(cx, args, Scope::Sharded)),
    examples: r#"
        > SPUBLISH news "nobody listens"
        (integer) 0
    "#,
};

fn say(cx: &mut Cx<'_>, args: Args<'_>, scope: Scope) -> Outcome {
    let listeners = cx.keys.publish(scope, args.get(1), args.get(2));
    cx.reply.integer(listeners as i64);
    Ok(())
}
