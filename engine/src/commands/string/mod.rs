//! Strings and counters.
//!
//! Every file is a family of verbs: its declarations, then the functions under them. What SET and GETEX
//! say about time stands in `expiry`. Nothing here knows shards, journals or connections: keys are
//! looked up and changed through the context, which tells whoever has to know.

mod count;
mod expiry;
mod get;
mod lcs;
mod many;
mod range;
mod reply;
mod set;

pub(super) use self::count::float_of;
pub(super) use self::reply::reply_value;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &get::GETSET,
    &set::SET,
    &set::SETNX,
    &set::SETEX,
    &set::PSETEX,
    &range::STRLEN,
    &range::APPEND,
    &range::GETRANGE,
    &range::SUBSTR,
    &range::SETRANGE,
    &count::INCR,
    &count::DECR,
    &count::INCRBY,
    &count::DECRBY,
    &count::INCRBYFLOAT,
    &many::MGET,
    &many::MSET,
    &many::MSETNX,
    &lcs::LCS,
];

#[cfg(test)]
mod tests;
