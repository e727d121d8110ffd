//! Who asks: what a connection says about all of its requests.

use super::room::UNCOUNTED_MAX;
use super::{Refusal, ReplyRoom};

/// What the asker's connection says about all of its requests.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// CLIENT NO-TOUCH: the access times of keys are left alone.
    pub no_touch: bool,
    /// CLIENT REPLY: nobody wants the replies. They take no room, and no large one is made to its end.
    pub silent: bool,
    /// A master that speaks in commands: it may write on a replica, finds what has expired as well, asks for no
    /// memory, and is told errors alone.
    pub is_master: bool,
    /// What the replies may take.
    pub room: ReplyRoom,
}

impl Who {
    /// Takes room for bytes of a reply that were made ([`ReplyRoom::take`]). Where nobody wants them, making
    /// more of them ends here, and the client has done nothing wrong.
    pub fn take_room(&self, bytes: usize) -> Result<(), Refusal> {
        if self.silent { Err(Refusal::Unwanted) } else { self.room.take(bytes) }
    }

    /// Whether so many bytes of a reply could be held at a time ([`ReplyRoom::hold`]).
    pub fn hold_room(&self, bytes: usize) -> Result<(), Refusal> {
        match self.silent {
            true if bytes < UNCOUNTED_MAX => Ok(()),
            true => Err(Refusal::Unwanted),
            false => self.room.hold(bytes),
        }
    }
}
