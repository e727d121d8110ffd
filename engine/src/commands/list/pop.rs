//! Taking elements from an end.

use super::super::string::reply_value;
use super::common::{PIECE, limit};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::resp::{ReplyWriter, number};
use crate::types::DbIndex;
use crate::value::list::{End, List, Trim};

pub(super) const LPOP: Command = Command {
    name: "lpop",
    usage: "LPOP key [count]",
    summary: "Takes the first element of a list, or the first ones.",
    since: "1.0.0",
    cost: "O(N) for N elements",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(|cx, args| pop(cx, args, End::Left)),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > LPOP line
        "ann"
        > LPOP line 5
        1) "bob"
        2) "carl"
        > EXISTS line
        (integer) 0
        > LPOP line
        (nil)
        > LPOP line 1
        (nil)
        > LPOP line -1
        (error) ERR value is out of range, must be positive
        > LPOP line 1 2
        (error) ERR wrong number of arguments for 'lpop' command
    "#,
};

pub(super) const RPOP: Command = Command {
    name: "rpop",
    usage: "RPOP key [count]",
    summary: "Takes the last element of a list, or the last ones.",
    since: "1.0.0",
    cost: "O(N) for N elements",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(|cx, args| pop(cx, args, End::Right)),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > RPOP line
        "carl"
        > RPOP line 0
        (empty array)
        > RPOP line 2
        1) "bob"
        2) "ann"
        > EXISTS line
        (integer) 0
    "#,
};

/// A count that is not negative.
pub(super) fn positive(arg: &[u8], refused: &'static str) -> Result<u64, Refusal> {
    let count = number::parse_i64(arg).and_then(|count| u64::try_from(count).ok());
    count.ok_or(Refusal::fixed(refused))
}

fn pop(cx: &mut Cx<'_>, args: Args<'_>, end: End) -> Result<Whole, Refusal> {
    if args.len() > 3 {
        let name = if end == End::Left { LPOP.name } else { RPOP.name };
        return Err(Refusal::Arity(name.to_owned()));
    }
    let (db, key) = (cx.db, args.get(1));
    if args.len() == 2 {
        return pop_one(cx, key, end).map(|()| Whole::Done);
    }
    let count = positive(args.get(2), "ERR value is out of range, must be positive")?;
    let Some(list) = cx.keys.object_to_change::<List>(db, key)? else {
        cx.reply.nil_array();
        return Ok(Whole::Done);
    };
    let count = count.min(list.len());
    if count <= PIECE {
        reply_taken(cx, db, key, end, count);
        return Ok(Whole::Done);
    }
    let (key, list) = (key.to_vec(), list.clone());
    let (mut list, mut written) = (Some(list), 0);
    Ok(Whole::Later(Box::new(move |cx| {
        if written == 0 {
            cx.reply.array(count as usize);
        }
        if let Some(list) = &list {
            let piece = PIECE.min(count - written);
            reply_some(&mut cx.reply, list, end, written, piece);
            written += piece;
        }
        // What nobody wants, or has room for, is taken all the same.
        let room = cx.hold_room();
        if written < count && room.is_ok() {
            return Ok(false);
        }
        // Nobody else holds it when it is changed.
        list = None;
        take(cx, db, &key, end, count);
        room.map(|()| true)
    })))
}

fn pop_one(cx: &mut Cx<'_>, key: &[u8], end: End) -> Outcome {
    let limit = limit(cx.keys);
    let Cx { keys, db, reply, .. } = cx;
    let taken = keys.decide(*db, key, |list: Option<&List>| {
        let list = list?;
        let element = list.get(if end == End::Left { 0 } else { list.len() - 1 })?;
        reply_value(reply, element);
        Some(trim_of(list, end, 1, limit))
    })?;
    if taken.is_none() {
        reply.nil();
    }
    Ok(())
}

/// Replies with so many elements, which there are, as an array, and takes them.
pub(super) fn reply_taken(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], end: End, count: u64) {
    cx.reply.array(count as usize);
    if let Ok(Some(list)) = cx.keys.object_to_change::<List>(db, key) {
        reply_some(&mut cx.reply, list, end, 0, count);
    }
    take(cx, db, key, end, count);
}

/// Writes so many elements, behind the first ones from an end.
pub(super) fn reply_some(
    reply: &mut ReplyWriter<'_>,
    list: &List,
    end: End,
    from: u64,
    count: u64,
) {
    let length = list.len();
    let elements = match end {
        End::Left => list.range(from..from + count),
        End::Right => list.range_back(length - from - count..length - from),
    };
    elements.for_each(|element| reply_value(reply, element));
}

/// Takes so many elements, which there are.
pub(super) fn take(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], end: End, count: u64) {
    let limit = limit(cx.keys);
    let trim = |list: &List| trim_of(list, end, count, limit);
    let decide = |list: Option<&List>| list.filter(|_| count > 0).map(trim);
    // What is of another type is left alone.
    let _ = cx.keys.decide(db, key, decide);
}

/// The effect that takes so many elements, which there are.
pub(super) fn trim_of(list: &List, end: End, count: u64, limit: crate::value::list::Limit) -> Trim {
    let (front, back) = if end == End::Left { (count, 0) } else { (0, count) };
    Trim { front, back, form: list.form_trimmed(front, back, limit) }
}
