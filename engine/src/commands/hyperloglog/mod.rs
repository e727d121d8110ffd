//! Counts of different elements, about right and small: strings of Redis's own bytes.
//!
//! A change is told as the bytes that are others than before: of a dense one a byte or two for a register.

mod add;
mod bytes;
mod count;
mod debug;
mod merge;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] =
    &[&add::PFADD, &count::PFCOUNT, &merge::PFMERGE, &debug::PFDEBUG, &debug::PFSELFTEST];

#[cfg(test)]
mod tests;
