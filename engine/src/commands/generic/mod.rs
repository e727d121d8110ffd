//! The generic commands: about keys, whatever they hold.

mod container;
mod copy;
mod database;
mod debug;
mod delete;
mod dump;
mod exists;
mod expire;
mod keys;
mod memory;
mod object;
mod populate;
mod rename;
mod restore;
mod scan;
mod sort;
mod sort_job;
mod ttl;

pub(super) use scan::{asked, cursor_of, in_steps};

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &delete::DEL,
    &delete::UNLINK,
    &exists::EXISTS,
    &exists::TOUCH,
    &exists::TYPE,
    &keys::KEYS,
    &keys::RANDOMKEY,
    &scan::SCAN,
    &sort::SORT,
    &sort::SORT_RO,
    &rename::RENAME,
    &rename::RENAMENX,
    &copy::COPY,
    &copy::MOVE,
    &database::DBSIZE,
    &database::SWAPDB,
    &database::FLUSHDB,
    &database::FLUSHALL,
    &expire::EXPIRE,
    &expire::PEXPIRE,
    &expire::EXPIREAT,
    &expire::PEXPIREAT,
    &ttl::TTL,
    &ttl::PTTL,
    &ttl::EXPIRETIME,
    &ttl::PEXPIRETIME,
    &ttl::PERSIST,
    &dump::DUMP,
    &restore::RESTORE,
    &object::OBJECT,
    &object::ENCODING,
    &object::FREQ,
    &object::IDLETIME,
    &object::REFCOUNT,
    &object::HELP,
    &memory::MEMORY,
    &memory::USAGE,
    &debug::DEBUG,
    &debug::DIGEST,
    &debug::DIGEST_VALUE,
    &debug::OBJECT,
    &populate::POPULATE,
];

#[cfg(test)]
mod dump_tests;
#[cfg(test)]
mod object_tests;
#[cfg(test)]
mod sort_tests;
