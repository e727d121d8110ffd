//! Looking at a list.

use super::super::string::reply_value;
use super::common::index_of;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run, Uses};
use crate::value::list::List;

pub(super) const LLEN: Command = Command {
    name: "llen",
    usage: "LLEN key",
    summary: "Returns how many elements a list has.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::List,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(llen),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > LLEN line
        (integer) 2
        > LLEN nothing
        (integer) 0
    "#,
};

fn llen(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let list: Option<&List> = cx.keys.object(cx.db, args.get(1))?;
    cx.reply.integer(list.map_or(0, List::len) as i64);
    Ok(())
}

pub(super) const LINDEX: Command = Command {
    name: "lindex",
    usage: "LINDEX key index",
    summary: "Returns an element by its number; negative numbers count from the end.",
    since: "1.0.0",
    cost: "O(log N) for a list of N elements",
    group: Group::List,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(lindex),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > LINDEX line 0
        "ann"
        > LINDEX line -1
        "carl"
        > LINDEX line 3
        (nil)
        > LINDEX line first
        (error) ERR value is not an integer or out of range
    "#,
};

fn lindex(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let Some(list) = cx.keys.object::<List>(cx.db, args.required()?)? else {
        cx.reply.nil();
        return Ok(());
    };
    let index = index_of(args.integer()?, list.len());
    match index.and_then(|index| list.get(index)) {
        Some(element) => reply_value(&mut cx.reply, element),
        None => cx.reply.nil(),
    }
    Ok(())
}
