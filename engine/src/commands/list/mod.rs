//! Lists.

mod blocking;
mod common;
mod edit;
mod get;
mod moving;
mod pop;
mod position;
mod push;
mod range;
mod several;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &push::LPUSH,
    &push::RPUSH,
    &push::LPUSHX,
    &push::RPUSHX,
    &pop::LPOP,
    &pop::RPOP,
    &get::LLEN,
    &get::LINDEX,
    &edit::LSET,
    &edit::LINSERT,
    &range::LRANGE,
    &range::LTRIM,
    &edit::LREM,
    &position::LPOS,
    &moving::LMOVE,
    &moving::RPOPLPUSH,
    &several::LMPOP,
    &blocking::BLPOP,
    &blocking::BRPOP,
    &blocking::BLMOVE,
    &blocking::BRPOPLPUSH,
    &blocking::BLMPOP,
];

#[cfg(test)]
mod tests;
