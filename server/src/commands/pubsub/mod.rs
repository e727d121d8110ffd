//! Who listens to what: (P|S)SUBSCRIBE and their ends, and PUBSUB. What is said is said on shards
//! (`engine::commands`).

mod common;
mod look;
mod subscribe;

use super::declare::FrontCommand;

pub(super) const COMMANDS: &[&FrontCommand] = &[
    &subscribe::SUBSCRIBE,
    &subscribe::PSUBSCRIBE,
    &subscribe::SSUBSCRIBE,
    &subscribe::UNSUBSCRIBE,
    &subscribe::PUNSUBSCRIBE,
    &subscribe::SUNSUBSCRIBE,
    &look::PUBSUB,
    &look::CHANNELS,
    &look::NUMPAT,
    &look::NUMSUB,
    &look::SHARDCHANNELS,
    &look::SHARDNUMSUB,
    &look::HELP,
];
