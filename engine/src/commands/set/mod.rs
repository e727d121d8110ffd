//! Sets.
//!
//! A change is told as the members that came or went. What goes over many members goes on in slices, over a set that is
//! held as it was.

mod add;
mod ask;
mod combine;
mod members;
mod moving;
mod random;
mod remove;
mod scan;
#[cfg(test)]
mod tests;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &add::SADD,
    &remove::SREM,
    &moving::SMOVE,
    &ask::SISMEMBER,
    &ask::SMISMEMBER,
    &ask::SCARD,
    &members::SMEMBERS,
    &random::SPOP,
    &random::SRANDMEMBER,
    &scan::SSCAN,
    &combine::SINTER,
    &combine::SINTERCARD,
    &combine::SINTERSTORE,
    &combine::SUNION,
    &combine::SUNIONSTORE,
    &combine::SDIFF,
    &combine::SDIFFSTORE,
];
