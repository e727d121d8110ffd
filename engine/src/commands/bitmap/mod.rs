//! Strings as arrays of bits.
//!
//! Bit 0 is the highest bit of the first byte, as everywhere in Redis; what lies behind a string's end
//! is 0. Single bits and bit fields change the few bytes that they touch and tell just those; counting,
//! searching and combining go by words of 64 bits.

mod bit;
mod count;
mod field;
mod integer;
mod op;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[
    &bit::SETBIT,
    &bit::GETBIT,
    &count::BITCOUNT,
    &count::BITPOS,
    &op::BITOP,
    &field::BITFIELD,
    &field::BITFIELD_RO,
];

#[cfg(test)]
mod tests;
