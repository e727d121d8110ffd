//! A stream's effects in Redis's words.
//!
//! When a consumer was last seen and active no command says. Entries that are pending and not there any more are
//! said as they came about: they are added, claimed and deleted.

use super::Stream;
use super::effect::{
    ADD, CONFIRM, DELETE, DELIVER, DISMISS, Deliver, GROUP, Ids, PutGroup, RECRUIT, REGROUP, SET,
    Set, TRIM, UNGROUP, deliver_of, put_group_of,
};
use super::group::Group;
use super::id::Id;
use super::text::Text;
use crate::value::effect::Reading;
use crate::value::saying::{Elements, Peers, Saying, Words};
use crate::value::types::Unfit;
use std::collections::BTreeSet;

/// How a stream is said.
pub const WORDS: Words = Words { effect, whole };

fn effect(saying: &mut Saying<'_>, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    said(saying, op, &mut Reading(bytes)).unwrap_or(Err(Unfit::Malformed))
}

fn said(saying: &mut Saying<'_>, op: u8, reading: &mut Reading<'_>) -> Option<Result<(), Unfit>> {
    match op {
        ADD => {
            let id = Id::new(reading.number()?, reading.number()?);
            let count = reading.number()? >> 1;
            let texts = (0..count.checked_mul(2)?).map_while(|_| Text::read(reading));
            add(saying, id, texts);
        }
        TRIM => {
            let (_, _, left) = (reading.number()?, reading.number()?, reading.number()?);
            trim_to(saying, left);
        }
        DELETE => delete(saying, Ids::read_all(reading)?),
        SET => {
            let mut ids = Ids::default();
            let (last, added) = (ids.read(reading)?, reading.number()?);
            set(saying, Set { last, added, max_deleted: ids.read(reading)? }, true);
        }
        GROUP => group(saying, put_group_of(reading)?, true),
        REGROUP => group(saying, put_group_of(reading)?, false),
        UNGROUP => saying.words(&[b"XGROUP", b"DESTROY", saying.key, reading.0]),
        DELIVER | RECRUIT => deliver(saying, &deliver_of(reading)?, op == RECRUIT),
        DISMISS => {
            let group = reading.bytes()?;
            saying.words(&[b"XGROUP", b"DELCONSUMER", saying.key, group, reading.0]);
        }
        CONFIRM => {
            let mut ids = Elements::of("XACK", &[reading.bytes()?]);
            for id in Ids::read_all(reading)? {
                ids.push(saying, &[id.to_string().as_bytes()]);
            }
            ids.end(saying);
        }
        _ => return Some(Err(Unfit::Unknown)),
    }
    Some(Ok(()))
}

fn add<'t>(saying: &mut Saying<'_>, id: Id, texts: impl Iterator<Item = Text<'t>>) {
    let texts: Vec<Vec<u8>> =
        texts.map(|text| text.bytes(&mut itoa::Buffer::new()).to_vec()).collect();
    let id = id.to_string();
    let mut rest = vec![id.as_bytes()];
    rest.extend(texts.iter().map(Vec::as_slice));
    saying.of_key("XADD", &rest);
}

fn trim_to(saying: &mut Saying<'_>, left: u64) {
    saying.of_key("XTRIM", &[b"MAXLEN", b"=", left.to_string().as_bytes()]);
}

fn delete(saying: &mut Saying<'_>, ids: impl IntoIterator<Item = Id>) {
    let mut deleted = Elements::of("XDEL", &[]);
    for id in ids {
        deleted.push(saying, &[id.to_string().as_bytes()]);
    }
    deleted.end(saying);
}

/// What a stream knows of itself; the counts where they fit each other, as none takes others.
fn set(saying: &mut Saying<'_>, Set { last, added, max_deleted }: Set, fits: bool) {
    let (last_text, added) = (last.to_string(), added.to_string());
    if saying.peers < Peers::From70 || !fits || max_deleted > last {
        saying.of_key("XSETID", &[last_text.as_bytes()]);
        return;
    }
    let deleted = max_deleted.to_string();
    let (last, added, deleted) = (last_text.as_bytes(), added.as_bytes(), deleted.as_bytes());
    saying.of_key("XSETID", &[last, b"ENTRIESADDED", added, b"MAXDELETEDID", deleted]);
}

/// A group is made, with the stream where there is none; or it is at another place.
fn group(saying: &mut Saying<'_>, PutGroup { name, last, read, .. }: PutGroup<'_>, is_made: bool) {
    let (last, read) = (last.to_string(), read.max(-1).to_string());
    let word: &[u8] = if is_made { b"CREATE" } else { b"SETID" };
    let mut words = vec![b"XGROUP", word, saying.key, name, last.as_bytes()];
    if is_made {
        words.push(b"MKSTREAM");
    }
    if saying.peers >= Peers::From70 {
        words.extend([b"ENTRIESREAD", read.as_bytes()]);
    }
    saying.words(&words);
}

fn deliver(saying: &mut Saying<'_>, deliver: &Deliver<'_>, is_new: bool) {
    let (name, consumer) = (deliver.group.name, deliver.consumer);
    if is_new {
        saying.words(&[b"XGROUP", b"CREATECONSUMER", saying.key, name, consumer]);
    }
    claim(saying, name, consumer, &deliver.entries);
    group(saying, deliver.group, false);
}

/// Entries are pending with a consumer: which, since when, how often.
fn claim(saying: &mut Saying<'_>, group: &[u8], consumer: &[u8], entries: &[(Id, u64, u64)]) {
    for same in entries.chunk_by(|one, next| (one.1, one.2) == (next.1, next.2)) {
        let (_, at, times) = same[0];
        let (at, times) = (at.to_string(), times.to_string());
        let after: &[&[u8]] =
            &[b"TIME", at.as_bytes(), b"RETRYCOUNT", times.as_bytes(), b"FORCE", b"JUSTID"];
        let mut claimed = Elements::between("XCLAIM", &[group, consumer, b"0"], after);
        for (id, ..) in same {
            claimed.push(saying, &[id.to_string().as_bytes()]);
        }
        claimed.end(saying);
    }
}

fn whole(saying: &mut Saying<'_>, bytes: &[u8]) -> Result<(), Unfit> {
    let mut stream = Stream::default();
    if bytes.is_empty() || stream.add_parts(0, bytes) != Some(bytes.len()) {
        return Err(Unfit::Malformed);
    }
    let gone = gone(&stream);
    entries(saying, &stream, &gone);
    if stream.is_empty() && gone.is_empty() {
        // It is there all the same.
        let made = PutGroup { name: b"made", last: Id::ZERO, read: 0, is_new: true };
        group(saying, made, true);
        saying.words(&[b"XGROUP", b"DESTROY", saying.key, b"made"]);
    }
    for (name, there) in stream.groups() {
        group_as_is(saying, name, there);
    }
    let (deleted, trimmed): (Vec<Id>, Vec<Id>) =
        gone.into_iter().partition(|id| *id > stream.first() && !stream.is_empty());
    delete(saying, deleted);
    if !trimmed.is_empty() {
        trim_to(saying, stream.len());
    }
    let (last, added, max_deleted) = (stream.last, stream.added, stream.max_deleted);
    set(saying, Set { last, added, max_deleted }, added >= stream.len());
    if saying.peers >= Peers::From70 {
        // Only now: a group has read no more than there ever were, says Redis 8.
        for (name, there) in stream.groups() {
            group(saying, place_of(name, there), false);
        }
    }
    Ok(())
}

/// What is pending in any group and not there any more.
fn gone(stream: &Stream) -> BTreeSet<Id> {
    let pending = stream.groups().flat_map(|(_, group)| group.pending_from(Id::ZERO));
    pending.map(|pending| pending.id).filter(|id| *id != Id::ZERO && !stream.has(*id)).collect()
}

/// All entries, and in their places those that are gone.
fn entries(saying: &mut Saying<'_>, stream: &Stream, gone: &BTreeSet<Id>) {
    let add_gone = |saying: &mut Saying<'_>, id: &Id| {
        add(saying, *id, [Text::Bytes(b"gone"), Text::Bytes(b"")].into_iter());
    };
    let mut gone = gone.iter().peekable();
    stream.visit(Id::ZERO, Id::MAX, |id, fields| {
        while let Some(before) = gone.next_if(|before| **before < id) {
            add_gone(saying, before);
        }
        add(saying, id, fields.flat_map(|(name, value)| [name, value]));
        true
    });
    gone.for_each(|id| add_gone(saying, id));
}

fn place_of<'n>(name: &'n [u8], there: &Group) -> PutGroup<'n> {
    PutGroup { name, last: there.last, read: there.read, is_new: false }
}

fn group_as_is(saying: &mut Saying<'_>, name: &[u8], there: &Group) {
    group(saying, place_of(name, there), true);
    for consumer in there.consumers() {
        saying.words(&[b"XGROUP", b"CREATECONSUMER", saying.key, name, consumer.name()]);
        let pending = consumer.pending_from(Id::ZERO).filter_map(|id| there.pending(id));
        let entries: Vec<_> = pending.map(|it| (it.id, it.at, it.times)).collect();
        claim(saying, name, consumer.name(), &entries);
    }
}
