//! Commands of streams.

mod add;
mod claim;
mod deliver;
mod edit;
mod group;
mod info;
mod pending;
mod range;
mod read;
#[cfg(test)]
mod tests;
mod trim;
mod walk;
mod words;

use crate::command::Command;

/// All commands of this family.
pub(super) const COMMANDS: &[&Command] = &[
    &add::XADD,
    &range::XLEN,
    &range::XRANGE,
    &range::XREVRANGE,
    &edit::XDEL,
    &trim::XTRIM,
    &edit::XSETID,
    &read::XREAD,
    &group::XGROUP,
    &group::CREATE,
    &group::SETID,
    &group::DESTROY,
    &group::CREATECONSUMER,
    &group::DELCONSUMER,
    &group::HELP,
    &read::XREADGROUP,
    &pending::XACK,
    &pending::XPENDING,
    &claim::XCLAIM,
    &claim::XAUTOCLAIM,
    &info::XINFO,
    &info::CONSUMERS,
    &info::GROUPS,
    &info::STREAM,
    &info::HELP,
];
