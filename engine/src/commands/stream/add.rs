//! XADD.

use super::trim::{Options, Trimming, node_limits};
use super::words::{WrittenId, write_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::types::{DbIndex, Millis};
use crate::value::stream::{Add, Id, NewEntry, Stream};

pub(super) const XADD: Command = Command {
    name: "xadd",
    usage: "XADD key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> \
            field value [field value ...]",
    summary: "Adds an entry and returns its number, creating the stream.",
    since: "5.0.0",
    cost: "O(1) when adding, O(N) when trimming with N deleted entries.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::of([crate::command::Spec::at(1)
        .used(Uses::CHANGE)
        .noted("UPDATE instead of INSERT because of the optional trimming feature")]),
    run: Run::Sliced(xadd),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 1-* t 21
        "1-2"
        > XADD sensor MAXLEN = 2 7 t 22 place roof
        "7-0"
        > XLEN sensor
        (integer) 2
        > XADD nothing NOMKSTREAM * t 20
        (nil)
        > XADD sensor 7-0 t 23
        (error) ERR The ID specified in XADD is equal or smaller than the target stream top item
        > XADD sensor 0-0 t 23
        (error) ERR The ID specified in XADD must be greater than 0-0
        > XADD sensor x t 23
        (error) ERR Invalid stream ID specified as stream command argument
        > XADD sensor * t
        (error) ERR wrong number of arguments for 'xadd' command
    "#,
};

/// Redis's bound of a listpack.
const ENTRY_MAX: u64 = 1 << 30;

/// The number of a new entry.
fn number(written: Option<WrittenId>, last: Id, Millis(now): Millis) -> Result<Id, Refusal> {
    const SMALL: Refusal = Refusal::fixed(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    if last == Id::MAX {
        return Err(Refusal::fixed(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = match written {
        None if now > last.ms() => Id::new(now, 0),
        None => last.after().unwrap_or(Id::MAX),
        Some(WrittenId::Whole(id)) => id,
        Some(WrittenId::Open(ms)) if ms == last.ms() => {
            Id::new(ms, last.seq().checked_add(1).ok_or(SMALL)?)
        }
        Some(WrittenId::Open(ms)) => Id::new(ms, 0),
    };
    if id > last { Ok(id) } else { Err(SMALL) }
}

fn xadd(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let nodes = node_limits(cx);
    let options = Options::parse(&mut args, true, (nodes, cx.who.is_master))?;
    if args.left() < 2 || args.left() % 2 == 1 {
        return Err(Refusal::Arity(XADD.name.to_owned()));
    }
    if options.id == Some(WrittenId::Whole(Id::ZERO)) {
        return Err(Refusal::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let there: Option<&Stream> = cx.keys.object_to_change(cx.db, args.get(1))?;
    if there.is_none() && options.must_exist {
        cx.reply.nil();
        return Ok(Whole::Done);
    }
    let trimming = options.trim.map(Trimming::of);
    let is_long = |trimming: &Trimming| there.is_some_and(|there| !trimming.is_short(there));
    if let Some(trimming) = trimming.filter(is_long) {
        return Ok(add_and_trim(cx.db, args, options, trimming));
    }
    let id = add(cx, args, options)?;
    if let Some(asked) = options.trim {
        let mut trimming = Trimming::of(asked);
        while trimming.more(cx, cx.db, args.get(1))?.is_none() {}
    }
    write_id(&mut cx.reply, id);
    Ok(Whole::Done)
}

/// Adds the entry whose fields stand from where `args` is.
fn add(cx: &mut Cx<'_>, args: Args<'_>, options: Options) -> Result<Id, Refusal> {
    let (nodes, now) = (node_limits(cx), cx.now());
    let (db, key, first) = (cx.db, args.get(1), args.len() - args.left());
    let there: Option<&Stream> = cx.keys.object_to_change(db, key)?;
    let id = number(options.id, there.map_or(Id::ZERO, Stream::last_id), now)?;
    let bytes = args.from(first).map(|text| text.len() as u64).sum();
    if bytes > ENTRY_MAX {
        return Err(Refusal::fixed("ERR Elements are too large to be stored"));
    }
    let begins_pack = there.is_none_or(|there| there.begins_pack(bytes, nodes));
    let entry = NewEntry::of(args.left() / 2, begins_pack, args.from(first));
    cx.keys.change(db, key, &Add { id, entry: &entry });
    Ok(id)
}

/// Where so much is to go that it takes several pieces: the entry is there with the first of them.
fn add_and_trim(db: DbIndex, args: Args<'_>, options: Options, mut trimming: Trimming) -> Whole {
    let (first, mut added) = (args.len() - args.left(), None);
    let args = OwnedArgs::copy(args);
    Whole::Later(Box::new(move |cx| {
        let mut args = args.view();
        let id = match added {
            Some(id) => id,
            None => {
                args.seek(first);
                *added.insert(add(cx, args, options)?)
            }
        };
        let is_done = trimming.more(cx, db, args.get(1))?.is_some();
        if is_done {
            write_id(&mut cx.reply, id);
        }
        Ok(is_done)
    }))
}
