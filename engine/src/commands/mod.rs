//! The commands that touch keys: one folder a group, one file a family of verbs.
//!
//! A command is one constant and the function under it; the constant's line in its family's list is all
//! that the rest of the program needs. What follows from a declaration stands in `crate::command`.

mod bitmap;
#[cfg(test)]
mod event_tests;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod list;
mod pubsub;
mod set;
#[cfg(test)]
mod slice_tests;
mod sorted_set;
mod stream;
mod string;
#[cfg(test)]
mod testing;

use crate::command::Command;

/// All families, in the order of the manual.
pub fn families() -> [&'static [&'static Command]; 11] {
    [
        string::COMMANDS,
        list::COMMANDS,
        hash::COMMANDS,
        set::COMMANDS,
        sorted_set::COMMANDS,
        bitmap::COMMANDS,
        hyperloglog::COMMANDS,
        geo::COMMANDS,
        stream::COMMANDS,
        pubsub::COMMANDS,
        generic::COMMANDS,
    ]
}
