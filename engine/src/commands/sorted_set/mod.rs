//! Commands for sorted sets.
//!
//! What a request asks for is read first (`asked`), what it means of a value are numbers of members from the
//! start on (`span`): ranges by rank, score and bytes are shown, stored and removed by the same functions.

mod add;
mod asked;
mod blocking;
mod combine;
mod combining;
mod count;
mod pop;
mod random;
mod range;
mod remove;
mod scan;
mod score;
mod source;
mod span;
mod store;
#[cfg(test)]
mod tests;
mod write;

pub(super) use self::add::{Adding, Ways};
pub(super) use self::write::{Making, write_member};

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &add::ZADD,
    &add::ZINCRBY,
    &remove::ZREM,
    &remove::ZREMRANGEBYRANK,
    &remove::ZREMRANGEBYSCORE,
    &remove::ZREMRANGEBYLEX,
    &score::ZSCORE,
    &score::ZMSCORE,
    &score::ZRANK,
    &score::ZREVRANK,
    &count::ZCARD,
    &count::ZCOUNT,
    &count::ZLEXCOUNT,
    &range::ZRANGE,
    &range::ZREVRANGE,
    &range::ZRANGEBYSCORE,
    &range::ZREVRANGEBYSCORE,
    &range::ZRANGEBYLEX,
    &range::ZREVRANGEBYLEX,
    &store::ZRANGESTORE,
    &pop::ZPOPMIN,
    &pop::ZPOPMAX,
    &pop::ZMPOP,
    &blocking::BZPOPMIN,
    &blocking::BZPOPMAX,
    &blocking::BZMPOP,
    &random::ZRANDMEMBER,
    &scan::ZSCAN,
    &combine::ZUNION,
    &combine::ZINTER,
    &combine::ZDIFF,
    &combine::ZINTERCARD,
    &combine::ZUNIONSTORE,
    &combine::ZINTERSTORE,
    &combine::ZDIFFSTORE,
];
