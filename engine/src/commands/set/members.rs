//! All members, and members in replies.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::commands::string::reply_value;
use crate::resp::ReplyWriter;
use crate::value::Object;
use crate::value::set::{Member, Set};

pub(super) const SMEMBERS: Command = Command {
    name: "smembers",
    usage: "SMEMBERS key",
    summary: "Returns all members of a set, as of one moment.",
    since: "1.0.0",
    cost: "O(N) for N members; those of a large set are written in slices.",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(smembers),
    examples: r#"
        > SADD years 1999 1815
        (integer) 2
        > SMEMBERS years
        1) "1815"
        2) "1999"
        > SMEMBERS nobody
        (empty array)
    "#,
};

fn smembers(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let set: Option<&Set> = cx.keys.object(cx.db, args.get(1))?;
    let Some(set) = set else {
        cx.reply.set(0);
        return Ok(Whole::Done);
    };
    if is_short(set) {
        cx.reply.set(set.len() as usize);
        set.iter().for_each(|member| write(&mut cx.reply, member));
        return Ok(Whole::Done);
    }
    let mut showing = Showing::of(set.clone());
    Ok(Whole::Later(Box::new(move |cx| {
        if !showing.is_begun() {
            cx.who.hold_room(showing.bytes())?;
            cx.reply.set(showing.set.len() as usize);
        }
        Ok(showing.more(&mut cx.reply))
    })))
}

/// A member.
#[inline]
pub(super) fn write(reply: &mut ReplyWriter<'_>, member: Member<'_>) {
    reply_value(reply, member.value);
}

/// Members that are looked for, put or removed in one piece: some 30 us where none of it is in the cache.
pub(super) const PIECE: usize = 64;

/// Members that are written in one piece: some 10 us.
pub(super) const SHOWN: u64 = 512;

/// Whether a set's members are written in one piece.
pub(super) fn is_short(set: &Set) -> bool {
    set.len() <= SHOWN && set.encoded_len() <= 64 * 1024
}

/// All members of a set that is held, a piece at a time.
pub(super) struct Showing {
    pub(super) set: Set,
    at: Option<u64>,
}

impl Showing {
    pub(super) fn of(set: Set) -> Showing {
        Showing { set, at: None }
    }

    pub(super) fn is_begun(&self) -> bool {
        self.at.is_some()
    }

    /// What the reply takes, about.
    pub(super) fn bytes(&self) -> usize {
        /// Around each member: `$`, two digits and two line ends, less what stands in the set.
        const AROUND: usize = 6;
        self.set.encoded_len() + AROUND * self.set.len() as usize
    }

    /// Writes some more, behind the header; whether those were the last.
    pub(super) fn more(&mut self, reply: &mut ReplyWriter<'_>) -> bool {
        /// Long members are only referred to: no more is taken in advance.
        const RESERVED_MAX: usize = 512 * 1024 * 1024;
        let at = match self.at {
            Some(at) => at,
            None => {
                // A large reply that is copied while it grows holds everybody up.
                reply.reserve(self.bytes().min(RESERVED_MAX), 0);
                0
            }
        };
        // Long members are written by the bytes.
        let most =
            1 + SHOWN.min((64 * 1024 * self.set.len()) / self.set.encoded_len().max(1) as u64);
        self.set.range(at..at + most).for_each(|member| write(reply, member));
        self.at = Some(at + most);
        at + most >= self.set.len()
    }
}
