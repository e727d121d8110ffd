//! A request on its way to be run: what was asked, by whom, in which words the answer is wanted.
//!
//! [`Call`] borrows and is handed from plan to run as it is; [`OwnedCall`] is the same for requests that
//! go to other shards or wait.

use super::room::UNCOUNTED_MAX;
use super::{Args, Entry, OwnedArgs, Refusal, ReplyRoom};
use crate::resp::Protocol;
use crate::types::DbIndex;
use std::sync::Arc;

/// What the asker's connection says about all of its requests.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// CLIENT NO-TOUCH: the access times of keys are left alone.
    pub no_touch: bool,
    /// CLIENT REPLY: nobody wants the replies. They take no room, and no large one is made to its end.
    pub silent: bool,
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

/// One request.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The command.
    pub entry: &'static Entry,
    /// The connection's database.
    pub db: DbIndex,
    /// The words of the reply.
    pub protocol: Protocol,
    /// Who asks.
    pub who: &'a Who,
    /// The whole request.
    pub args: Args<'a>,
}

impl Call<'_> {
    /// Whether this request leaves access times alone: TOUCH touches whoever asks.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.who.no_touch && self.entry.name() != "touch"
    }

    /// The same, for another shard or for later.
    pub fn to_owned(&self) -> OwnedCall {
        self.with_args(OwnedArgs::copy(self.args))
    }

    /// The same with arguments that were copied already.
    pub fn with_args(&self, args: OwnedArgs) -> OwnedCall {
        let (who, args) = (self.who.clone(), Arc::new(args));
        OwnedCall { entry: self.entry, db: self.db, protocol: self.protocol, who, args }
    }
}

/// A request that outlives its read buffer. Clones share the arguments.
#[derive(Clone)]
pub struct OwnedCall {
    entry: &'static Entry,
    db: DbIndex,
    protocol: Protocol,
    who: Who,
    args: Arc<OwnedArgs>,
}

impl OwnedCall {
    /// The view.
    pub fn view(&self) -> Call<'_> {
        let OwnedCall { entry, db, protocol, ref who, ref args } = *self;
        Call { entry, db, protocol, who, args: args.view() }
    }
}
