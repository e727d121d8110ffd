//! Parts of a list.

use super::super::string::reply_value;
use super::common::{PIECE, limit, range_of};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::list::{List, Trim};

pub(super) const LRANGE: Command = Command {
    name: "lrange",
    usage: "LRANGE key start stop",
    summary: "Returns the elements from one number to another; negative numbers count from the end.",
    since: "1.0.0",
    cost: "O(log N + M) for M of N elements",
    group: Group::List,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(lrange),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > LRANGE line 0 1
        1) "ann"
        2) "bob"
        > LRANGE line -2 -1
        1) "bob"
        2) "carl"
        > LRANGE line -100 100
        1) "ann"
        2) "bob"
        3) "carl"
        > LRANGE line 2 1
        (empty array)
        > LRANGE nothing 0 -1
        (empty array)
    "#,
};

fn lrange(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.required()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    let Some(list) = cx.keys.object::<List>(cx.db, key)? else {
        cx.reply.array(0);
        return Ok(Whole::Done);
    };
    let range = range_of(start, stop, list.len());
    let count = range.end - range.start;
    if count <= 2 * PIECE {
        cx.reply.array(count as usize);
        list.range(range).for_each(|element| reply_value(&mut cx.reply, element));
        return Ok(Whole::Done);
    }
    let (list, mut at) = (list.clone(), range.start);
    Ok(Whole::Later(Box::new(move |cx| {
        if at == range.start {
            cx.reply.array(count as usize);
        }
        let end = range.end.min(at + PIECE);
        list.range(at..end).for_each(|element| reply_value(&mut cx.reply, element));
        at = end;
        cx.hold_room()?;
        Ok(at == range.end)
    })))
}

pub(super) const LTRIM: Command = Command {
    name: "ltrim",
    usage: "LTRIM key start stop",
    summary: "Removes all but the elements from one number to another.",
    since: "1.0.0",
    cost: "O(log N) for a list of N elements; what they took is freed later",
    group: Group::List,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Here(ltrim),
    examples: r#"
        > RPUSH line ann bob carl dora
        (integer) 4
        > LTRIM line 1 -2
        OK
        > LRANGE line 0 -1
        1) "bob"
        2) "carl"
        > LTRIM line 5 10
        OK
        > EXISTS line
        (integer) 0
    "#,
};

fn ltrim(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let (db, limit) = (cx.db, limit(cx.keys));
    let key = args.required()?;
    let (start, stop) = (args.integer()?, args.integer()?);
    if let Some(list) = cx.keys.object_to_change::<List>(db, key)? {
        let length = list.len();
        let kept = range_of(start, stop, length);
        let (front, back) =
            if kept.is_empty() { (length, 0) } else { (kept.start, length - kept.end) };
        // Also where nothing goes: as in Redis, who watches the key or hears its events is told.
        let form = list.form_trimmed(front, back, limit);
        cx.keys.change(db, key, &Trim { front, back, form });
    }
    cx.reply.ok();
    Ok(())
}
