//! What is said in channels. Who listens is a matter of connections, and so are the commands about that.

mod publish;

use crate::command::Command;

pub(super) const COMMANDS: &[&Command] = &[&publish::PUBLISH, &publish::SPUBLISH];
