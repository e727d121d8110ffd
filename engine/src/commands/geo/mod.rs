//! Commands for places on the globe: members of sorted sets, whose scores say where they are.
//!
//! The arithmetic is `value::geo`; what a request asks for is read in `asked`; `searching` goes along the
//! ranges of scores in which the answer lies.

mod add;
mod asked;
mod look;
mod search;
mod searching;
#[cfg(test)]
mod tests;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &add::GEOADD,
    &look::GEOPOS,
    &look::GEODIST,
    &look::GEOHASH,
    &search::GEOSEARCH,
    &search::GEOSEARCHSTORE,
    &search::GEORADIUS,
    &search::GEORADIUS_RO,
    &search::GEORADIUSBYMEMBER,
    &search::GEORADIUSBYMEMBER_RO,
];
