//! A hash's effects in Redis's words.

use super::effect::{OP_DATE, OP_PERSIST, OP_REMOVE, OP_SET, OP_SET_LARGE};
use super::for_each;
use crate::types::Millis;
use crate::value::effect::Reading;
use crate::value::saying::{Elements, Peers, Saying, Words};
use crate::value::types::Unfit;

/// How a hash is said.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    match op {
        OP_SET | OP_SET_LARGE => fields(saying, bytes),
        OP_REMOVE => names(saying, Elements::of("HDEL", &[]), bytes),
        // Who knows no deadlines of fields has dropped none.
        OP_PERSIST if saying.peers < Peers::From74 => Ok(()),
        OP_PERSIST => names(saying, Elements::counted("HPERSIST", &[b"FIELDS"]), bytes),
        OP_DATE => {
            let mut reading = Reading(bytes);
            let at = reading.number().ok_or(Unfit::Malformed)?;
            match saying.leaves_out(Peers::From74) {
                false => names(saying, dating(Millis(at)), reading.0),
                true => Ok(()),
            }
        }
        _ => Err(Unfit::Unknown),
    }
}

/// Fields that have this deadline now. It may have passed: the one who follows keeps them until told.
fn dating(Millis(at): Millis) -> Elements<'static> {
    let at = at.max(1).to_string();
    Elements::counted("HPEXPIREAT", &[at.as_bytes(), b"FIELDS"])
}

fn names(saying: &mut Saying<'_>, mut names: Elements<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let mut reading = Reading(bytes);
    while !reading.is_done() {
        names.push(saying, &[reading.bytes().ok_or(Unfit::Malformed)?]);
    }
    names.end(saying);
    Ok(())
}

/// Fields with their values, which takes their deadlines from them; then those that they have.
fn fields(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let mut set = Elements::of("HSET", &[]);
    let mut dated: Vec<(Millis, &[u8])> = Vec::new();
    let mut each = |name, value, deadline: Option<Millis>| {
        set.push(saying, &[name, value]);
        dated.extend(deadline.map(|at| (at, name)));
        true
    };
    for_each(bytes, &mut each).ok_or(Unfit::Malformed)?;
    set.end(saying);
    if !dated.is_empty() && saying.leaves_out(Peers::From74) {
        return Ok(());
    }
    for same in dated.chunk_by(|one, next| one.0 == next.0) {
        let mut names = dating(same[0].0);
        same.iter().for_each(|(_, name)| names.push(saying, &[name]));
        names.end(saying);
    }
    Ok(())
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let (_, all) = bytes.split_first().ok_or(Unfit::Malformed)?;
    fields(saying, all)
}
