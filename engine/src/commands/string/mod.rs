//! Strings and counters.

mod get;
mod set;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[&get::GET, &set::SET];
