//! Fields with values behind one key, and how long each field lives.
//!
//! A field whose time has come is seen by nobody here, whether it is still there or not. A master removes those
//! that it meets, and tells; a replica waits for that.

mod access;
mod all;
mod count;
mod delete;
mod expire;
mod get;
mod getex;
mod random;
mod scan;
mod set;
mod setex;
mod ttl;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &set::HSET,
    &set::HSETNX,
    &set::HMSET,
    &get::HGET,
    &get::HMGET,
    &get::HEXISTS,
    &get::HLEN,
    &get::HSTRLEN,
    &all::HGETALL,
    &all::HKEYS,
    &all::HVALS,
    &delete::HDEL,
    &count::HINCRBY,
    &count::HINCRBYFLOAT,
    &random::HRANDFIELD,
    &scan::HSCAN,
    &expire::HEXPIRE,
    &expire::HPEXPIRE,
    &expire::HEXPIREAT,
    &expire::HPEXPIREAT,
    &ttl::HTTL,
    &ttl::HPTTL,
    &ttl::HEXPIRETIME,
    &ttl::HPEXPIRETIME,
    &ttl::HPERSIST,
    &getex::HGETEX,
    &getex::HGETDEL,
    &setex::HSETEX,
];

#[cfg(test)]
mod tests;
