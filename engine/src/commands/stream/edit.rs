//! Deleting entries, and what a stream knows of itself: XDEL, XSETID.

use super::words::{ids_from, strict_id};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::stream::{Delete, Id, Set, Stream};

pub(super) const XDEL: Command = Command {
    name: "xdel",
    usage: "XDEL key id [id ...]",
    summary: "Deletes entries and returns how many there were.",
    since: "5.0.0",
    cost: "O(N) with N numbers.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(xdel),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XADD sensor 1-2 t 21
        "1-2"
        > XDEL sensor 1-1 5-5
        (integer) 1
        > XDEL nothing 1-1
        (integer) 0
        > XDEL sensor x
        (error) ERR Invalid stream ID specified as stream command argument
    "#,
};

fn xdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    /// Numbers that are looked for at once: some 100 us.
    const FEW: usize = 64;
    let (db, key) = (cx.db, args.get(1));
    if cx.keys.object_to_change::<Stream>(db, key)?.is_none() {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    }
    let ids = ids_from(args, 2)?;
    let (key, is_short) = (key.to_vec(), ids.len() <= FEW);
    let (mut ids, mut deleted) = (ids.into_iter(), 0);
    let slices = move |cx: &mut Cx<'_>| {
        let some = ids.by_ref().take(FEW).collect::<Vec<Id>>().into_iter();
        if let Some(stream) = cx.keys.object_to_change::<Stream>(db, &key)? {
            let mut there: Vec<Id> = some.filter(|id| stream.has(*id)).collect();
            there.sort_unstable();
            there.dedup();
            if !there.is_empty() {
                deleted += cx.keys.change(db, &key, &Delete(there));
            }
        }
        let is_done = ids.len() == 0;
        if is_done {
            cx.reply.count(deleted);
        }
        Ok(is_done)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

pub(super) const XSETID: Command = Command {
    name: "xsetid",
    usage: "XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
    summary: "Sets what a stream knows of itself: the last number that was given, how many entries there \
              ever were, and the greatest number that was deleted.",
    since: "5.0.0",
    cost: "O(1)",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(xsetid),
    examples: r#"
        > XADD sensor 1-1 t 20
        "1-1"
        > XSETID sensor 5-0 ENTRIESADDED 7 MAXDELETEDID 3-0
        OK
        > XADD sensor 4-0 t 21
        (error) ERR The ID specified in XADD is equal or smaller than the target stream top item
        > XSETID sensor 2-0
        (error) ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
        > XSETID nothing 1-0
        (error) ERR no such key
    "#,
};

fn xsetid(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let id = strict_id(args.get(2))?;
    let (mut added, mut max_deleted) = (None, Id::ZERO);
    args.seek(3);
    while args.left() > 0 {
        let has_more = args.left() > 1;
        if has_more && args.word("ENTRIESADDED") {
            const NEGATIVE: Refusal = Refusal::fixed("ERR entries_added must be positive");
            added = Some(u64::try_from(args.integer()?).map_err(|_| NEGATIVE)?);
        } else if has_more && args.word("MAXDELETEDID") {
            max_deleted = strict_id(args.required()?)?;
            if id < max_deleted {
                return Err(Refusal::fixed(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Refusal::Syntax);
        }
    }
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, args.get(1))?;
    let stream = stream.ok_or(Refusal::NoSuchKey)?;
    let refused = if id < stream.max_deleted() {
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
    } else if !stream.is_empty() && id < stream.top() {
        "ERR The ID specified in XSETID is smaller than the target stream top item"
    } else if added.is_some_and(|added| stream.len() > added) {
        "ERR The entries_added specified in XSETID is smaller than the target stream length"
    } else {
        ""
    };
    if !refused.is_empty() {
        return Err(Refusal::fixed(refused));
    }
    let added = added.unwrap_or(stream.added());
    let max_deleted = if max_deleted == Id::ZERO { stream.max_deleted() } else { max_deleted };
    cx.keys.change(cx.db, args.get(1), &Set { last: id, added, max_deleted });
    cx.reply.ok();
    Ok(())
}
