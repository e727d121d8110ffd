//! What a command that reads in several places decides: at once, or in pieces where that takes long.

use crate::command::{Refusal, Who};
use crate::db::Encodings;
use crate::resp::{Output, ReplyWriter};
use crate::types::{DbIndex, Millis};
use crate::value::{SentEffect, SharedValue};

/// What a shape has to know about the node.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts {
    /// How many shards there are.
    pub shards: u16,
    /// How many databases.
    pub dbs: usize,
    /// The time of a decision.
    pub now: Millis,
    /// Up to when values are kept in their small forms.
    pub encodings: Encodings,
}

impl NodeFacts {
    /// What a decision gets to see.
    pub fn decision<'a>(&self, db: DbIndex, reply: &'a mut ReplyWriter<'_>) -> Decision<'a> {
        let NodeFacts { dbs, now, encodings, .. } = *self;
        Decision { db, dbs, now, encodings, reply: reply.reborrow() }
    }
}

/// A piece of a decision that writes a part of a reply, which may grow from piece to piece. Where there is no room
/// for more, a command that writes goes on all the same: what is taken is taken, whoever reads, and the rest of the
/// reply goes nowhere.
pub(crate) fn within_room<T>(
    who: &Who,
    writes: bool,
    reply: &mut ReplyWriter<'_>,
    piece: impl FnOnce(&mut ReplyWriter<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    if !writes {
        who.room.unless_left()?;
    }
    match who.hold_room(reply.whole()) {
        Err(_) if writes => piece(&mut Output::default().writer(reply.protocol)),
        room => {
            room?;
            piece(reply)
        }
    }
}

/// What a [`Carry`](super::Carry)'s decision can see and say.
pub struct Decision<'a> {
    /// The connection's database.
    pub db: DbIndex,
    /// How many databases there are.
    pub dbs: usize,
    /// The time of the decision.
    pub now: Millis,
    /// Up to when values are kept in their small forms.
    pub encodings: Encodings,
    /// Where the reply goes.
    pub reply: ReplyWriter<'a>,
}

/// One change that a [`Carry`](super::Carry)'s decision asks a shard to make.
#[derive(Clone, Debug)]
pub enum Write {
    /// Create or replace.
    Put {
        /// In which database.
        db: DbIndex,
        /// Under which key.
        key: Vec<u8>,
        /// What.
        value: SharedValue,
        /// Until when.
        deadline: Option<Millis>,
        /// When it was used under another name, as [`Found`](super::Found) says.
        clock: u32,
    },
    /// Delete.
    Remove {
        /// In which database.
        db: DbIndex,
        /// Which key.
        key: Vec<u8>,
    },
    /// Change the value inside: of a large one only what changes is sent and told.
    Change {
        /// In which database.
        db: DbIndex,
        /// Of which key, which was found to hold the effect's type or nothing.
        key: Vec<u8>,
        /// What happens.
        effect: SentEffect,
    },
}

impl Write {
    /// What was made now and stays until somebody takes it away.
    pub fn put(db: DbIndex, key: Vec<u8>, value: SharedValue) -> Write {
        Write::Put { db, key, value, deadline: None, clock: 0 }
    }

    /// The key that this changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Write::Put { key, .. } | Write::Remove { key, .. } | Write::Change { key, .. } => key,
        }
    }
}

/// Does one piece of a decision, of some microseconds; with the last one comes what is to be written.
pub type Pondering =
    Box<dyn FnMut(&mut Decision<'_>) -> Result<Option<Vec<Write>>, Refusal> + Send>;

/// What came of a [`Carry`](super::Carry)'s decision.
pub enum Decided {
    /// What is to be written.
    Writes(Vec<Write>),
    /// It takes long. Nothing is written to the reply yet.
    Later(Pondering),
    /// It takes long, and something of it may be written to the reply already: the next piece.
    More(Going),
    /// Further keys are to be looked at, which only values name. Nothing is written to the reply yet.
    Ask(Asking),
}

/// The next piece of a decision, of some microseconds.
pub type Going = Box<dyn FnOnce(&mut Decision<'_>) -> Result<Decided, Refusal> + Send>;

/// Keys that only values name, and how the decision goes on when they are known.
pub struct Asking {
    /// What is asked for, of any shard.
    pub wanted: Vec<Wanted>,
    /// Decides, given what stands there, in the same order.
    pub then: Then,
}

/// See [`Asking`].
pub type Then =
    Box<dyn FnOnce(&mut Decision<'_>, Vec<Option<Vec<u8>>>) -> Result<Decided, Refusal> + Send>;

/// A string, or one field of a hash.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The key.
    pub key: Vec<u8>,
    /// The field, where it is not the whole string that is wanted.
    pub field: Option<Vec<u8>>,
}

impl From<Vec<Write>> for Decided {
    fn from(writes: Vec<Write>) -> Decided {
        Decided::Writes(writes)
    }
}

impl Decided {
    /// A decision that is made at once where it is short.
    pub fn of(
        mut pondering: Pondering,
        is_short: bool,
        decision: &mut Decision<'_>,
    ) -> Result<Decided, Refusal> {
        if !is_short {
            return Ok(Decided::Later(pondering));
        }
        loop {
            if let Some(writes) = pondering(decision)? {
                return Ok(Decided::Writes(writes));
            }
        }
    }
}
