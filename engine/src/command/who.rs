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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `who` may hold so many bytes, and whether its connection is to end for them.
    fn check(who: &Who, bytes: usize, may: Result<(), Refusal>, is_over: bool) {
        let held = who.hold_room(bytes);
        assert_eq!(held.is_ok(), may.is_ok(), "{bytes} bytes");
        assert_eq!(held.err() == Some(Refusal::Unwanted), may.err() == Some(Refusal::Unwanted));
        assert_eq!(who.room.is_over(), is_over, "{bytes} bytes");
    }

    #[test]
    fn what_is_held_at_a_time_has_the_bound_of_replies_and_takes_nothing_of_it() {
        let of = |most| Who { room: ReplyRoom::of(most), ..Who::default() };
        let refused = || Err(Refusal::fixed("of the room"));
        let who = of(100);
        for (bytes, may, is_over) in
            [(0, Ok(()), false), (100, Ok(()), false), (101, refused(), true)]
        {
            check(&who, bytes, may, is_over);
        }
        // Held time and again it is not added up.
        let who = of(100);
        (0..5).for_each(|_| check(&who, 100, Ok(()), false));
        assert!(who.take_room(100).is_ok() && who.take_room(1).is_err());
        // The refusal ends the connection: nothing is held after it.
        check(&who, 1, refused(), true);
        check(&of(0), usize::MAX, Ok(()), false);
        check(&Who::default(), usize::MAX, Ok(()), false);
    }

    #[test]
    fn a_reply_that_nobody_wants_is_not_made_to_its_end_and_costs_the_client_nothing() {
        let who = Who { silent: true, room: ReplyRoom::of(100), ..Who::default() };
        let unwanted = || Err(Refusal::Unwanted);
        for (bytes, may) in [
            (0, Ok(())),
            // Above its bound, but too little to be counted.
            (UNCOUNTED_MAX - 1, Ok(())),
            (UNCOUNTED_MAX, unwanted()),
            (usize::MAX, unwanted()),
            (1, Ok(())),
        ] {
            check(&who, bytes, may, false);
        }
        assert_eq!(who.take_room(1), unwanted());
        assert!(who.room.is_open_to(100), "it still has all of its room");
    }
}
