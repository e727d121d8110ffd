//! The journal in Redis's words: what a shard's log says, as commands that a Redis or Valkey which follows
//! this node performs.
//!
//! ```text
//!   shard's log --> frame --> entry --> Teller::say --> Sayings: (database, RESP) (database, RESP) ...
//!                                                          |
//!             the caller: SELECT, MULTI .. EXEC, merges shards, counts bytes
//! ```
//!
//! What it promises: no clock, no chance: the same entries become the same bytes. Who performs them, and had what
//! the log began with, has what the log ends with: equal values (`DEBUG DIGEST-VALUE`) and deadlines. A
//! collection comes in commands of bounded length; a string in one, as it does between Redis and Redis.
//!
//! What the caller does:
//! - one `Teller` for each shard's log, given each entry of it from a frame's beginning on;
//! - sayings of one frame belong into one MULTI .. EXEC where they are more than one;
//! - a global stands in every shard's log: it is said by [`say_global`] once for all of them, and
//!   [`Teller::say`] says nothing of it;
//! - after [`Unsayable`] the stream has no next command: those who follow take a full copy.
//!
//! A value of any length comes in pieces ahead of the frame that it belongs to. They are kept until its end, up to
//! a bound that the caller sets: who cannot keep so many bytes for its followers cannot send them either.
//!
//! What it does not say: when a stream's consumer was last seen and active, which no command sets; to Redis 6.2
//! how many entries a stream ever had and a group has read; to all before 7.4 the deadlines of a hash's fields
//! (that they went is told when they go).

mod unsayable;

pub use crate::value::saying::{Peers, Sayings};
pub use unsayable::Unsayable;

use crate::journal::{Change, Deadline, Effect, FrameEntry, Global, Payload, Record};
use crate::pubsub::Scope;
use crate::types::{DbIndex, Millis};
use crate::value::Type;
use crate::value::saying::Saying;

/// Says what one shard's log says.
#[derive(Debug)]
pub struct Teller {
    peers: Peers,
    /// All values together that come in pieces.
    longest: u64,
    /// Values that come in pieces: a transaction may have several, also of one key, whose ends stand in its frame in the
    /// same order.
    under_way: Vec<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    db: DbIndex,
    key: Vec<u8>,
    kind: u8,
    length: u64,
    bytes: Vec<u8>,
}

impl Teller {
    /// Of a log, from the beginning of a frame on. Values that come in pieces may be so long, together.
    pub fn new(peers: Peers, longest: u64) -> Teller {
        Teller { peers, longest, under_way: Vec::new() }
    }

    /// Whether a value is in the middle of its pieces.
    pub fn is_in_value(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Appends what says the next entry: often one command, none for the pieces of a value, or many.
    pub fn say(&mut self, entry: &FrameEntry<'_>, out: &mut Sayings) -> Result<(), Unsayable> {
        let FrameEntry::Record(Record { db, key, effect }) = entry else { return Ok(()) };
        let mut saying = Saying::new(*db, key, self.peers, out);
        match effect {
            Effect::Put { value, deadline } => say_put(&mut saying, value, *deadline),
            Effect::Remove => {
                // It may be long; who follows frees it beside its other work.
                saying.of_key("UNLINK", &[]);
                Ok(())
            }
            Effect::SetDeadline(at) => {
                saying.deadline(*at);
                Ok(())
            }
            Effect::Change(change) => say_change(&mut saying, change),
            Effect::PutBegin { kind, length } => self.begin(*db, key, *kind, *length),
            Effect::PutPart(part) => self.part(*db, key, part),
            Effect::PutEnd { deadline } => {
                let value = self.end(*db, key)?;
                let value = match value.kind {
                    0 => Payload::Bytes(&value.bytes),
                    kind => Payload::TypedBytes(kind, &value.bytes),
                };
                say_put(&mut saying, &value, *deadline)
            }
            Effect::Message(scope, payload) => {
                let name = match scope {
                    Scope::Sharded if self.peers >= Peers::From70 => "SPUBLISH",
                    _ => "PUBLISH",
                };
                let payload = payload.bytes().ok_or(Unsayable::Malformed)?;
                out.push(None, &[name.as_bytes(), key, &payload]);
                Ok(())
            }
        }
    }

    fn begin(&mut self, db: DbIndex, key: &[u8], kind: u8, length: u64) -> Result<(), Unsayable> {
        let together = self.under_way.iter().fold(length, |sum, it| sum.saturating_add(it.length));
        if together > self.longest {
            return Err(Unsayable::TooLong { length: together, longest: self.longest });
        }
        let bytes = Vec::new();
        self.under_way.push(UnderWay { db, key: key.to_vec(), kind, length, bytes });
        Ok(())
    }

    fn part(&mut self, db: DbIndex, key: &[u8], part: &Payload<'_>) -> Result<(), Unsayable> {
        let value = self.under_way.iter_mut().rfind(|value| value.is_at(db, key));
        let value = value.ok_or(Unsayable::NoBeginning)?;
        value.bytes.extend_from_slice(&part.bytes().ok_or(Unsayable::Malformed)?);
        if value.bytes.len() as u64 > value.length { Err(Unsayable::Malformed) } else { Ok(()) }
    }

    fn end(&mut self, db: DbIndex, key: &[u8]) -> Result<UnderWay, Unsayable> {
        let place = self.under_way.iter().position(|value| value.is_at(db, key));
        let value = self.under_way.remove(place.ok_or(Unsayable::NoBeginning)?);
        if value.bytes.len() as u64 == value.length { Ok(value) } else { Err(Unsayable::Malformed) }
    }
}

impl UnderWay {
    fn is_at(&self, db: DbIndex, key: &[u8]) -> bool {
        self.db == db && self.key == key
    }
}

fn say_put(
    saying: &mut Saying<'_>,
    value: &Payload<'_>,
    deadline: Deadline,
) -> Result<(), Unsayable> {
    let Some(kind) = value.kind() else {
        let mut digits = itoa::Buffer::new();
        let at;
        let text = value.bytes();
        let text = match (value, &text) {
            (Payload::Int(number), _) => digits.format(*number).as_bytes(),
            (_, Some(text)) => text,
            (_, None) => return Err(Unsayable::Malformed),
        };
        match deadline {
            Deadline::None => saying.of_key("SET", &[text]),
            Deadline::Keep => saying.of_key("SET", &[text, b"KEEPTTL"]),
            Deadline::At(Millis(millis)) => {
                at = millis.max(1).to_string();
                saying.of_key("SET", &[text, b"PXAT", at.as_bytes()]);
            }
        }
        return Ok(());
    };
    let kind = Type::numbered(kind).ok_or(Unsayable::UnknownType(kind))?;
    let words = kind.words().ok_or(Unsayable::UnknownType(kind.number))?;
    let bytes = value.bytes().ok_or(Unsayable::Malformed)?;
    saying.of_key("UNLINK", &[]);
    (words.whole)(saying, &bytes)?;
    match deadline {
        Deadline::None => Ok(()),
        Deadline::At(at) => {
            saying.deadline(Some(at));
            Ok(())
        }
        // Which one that is nobody here knows, and the value that has it is to go.
        Deadline::Keep => Err(Unsayable::KeptDeadline),
    }
}

fn say_change(saying: &mut Saying<'_>, change: &Change<'_>) -> Result<(), Unsayable> {
    let (kind, op) = Type::of_change(change.what).ok_or(Unsayable::UnknownChange(change.what))?;
    let words = kind.words().ok_or(Unsayable::UnknownType(kind.number))?;
    let body = change.body.bytes().ok_or(Unsayable::Malformed)?;
    match change.head.as_bytes() {
        [] => (words.effect)(saying, op, &body)?,
        head => (words.effect)(saying, op, &[head, &body].concat())?,
    }
    Ok(())
}

/// Says what happened to whole databases. It stands in the log of every shard, and is said once.
pub fn say_global(global: Global, out: &mut Sayings) {
    match global {
        Global::FlushAll => out.push(None, &[b"FLUSHALL"]),
        Global::FlushDb(db) => out.push(Some(db), &[b"FLUSHDB"]),
        Global::SwapDb(one, other) => {
            let (one, other) = (one.0.to_string(), other.0.to_string());
            out.push(None, &[b"SWAPDB", one.as_bytes(), other.as_bytes()]);
        }
    }
}

#[cfg(test)]
mod tests;
