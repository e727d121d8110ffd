//! Elements of the first list of several that there is: LMPOP, and what those that wait have in common with it.

use super::moving::end;
use super::pop::reply_taken;
use crate::command::shape::{Patience, Wait};
use crate::command::{
    Args, Command, Counted, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Spec, Uses,
};
use crate::resp::number;
use crate::value::list::{End, List, TYPE};

pub(super) const LMPOP: Command = Command {
    name: "lmpop",
    usage: "LMPOP numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    summary: "Takes elements of the first list of several that there is.",
    since: "7.0.0",
    cost: "O(N + M) for N keys and M elements",
    group: Group::List,
    flags: Flags::WRITE,
    keys: Keys::of([Spec::counted(1).used(Uses::TAKE)]),
    run: first(
        |args| Asked::read(args, 1).map(|_| Patience::None),
        |cx, key, args| pop_several(cx, key, args, 1),
    ),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > LMPOP 2 nothing line LEFT
        1) "line"
        2) 1) "ann"
        > LMPOP 2 nothing line RIGHT COUNT 5
        1) "line"
        2) 1) "carl"
           2) "bob"
        > LMPOP 2 nothing line LEFT
        (nil)
        > LMPOP 0 line LEFT
        (error) ERR numkeys should be greater than 0
        > LMPOP 1 line LEFT COUNT 0
        (error) ERR count should be greater than 0
        > LMPOP 1 line UP
        (error) ERR syntax error
    "#,
};

/// What is asked for behind the keys.
pub(super) struct Asked {
    pub(super) end: End,
    pub(super) count: u64,
}

impl Asked {
    /// From the number of keys on, which is this argument.
    pub(super) fn read(mut args: Args<'_>, position: usize) -> Result<Asked, Refusal> {
        args.seek(position);
        let keys = args.key_count(Counted::Pops, LMPOP.name)?;
        args.seek(position + 1 + keys);
        let (end, mut count) = (end(&mut args)?, None);
        while args.left() > 0 {
            if count.is_some() || args.left() < 2 || !args.word("COUNT") {
                return Err(Refusal::Syntax);
            }
            let said = number::parse_i64(args.required()?).filter(|count| *count > 0);
            let said = said.ok_or(Refusal::fixed("ERR count should be greater than 0"))?;
            count = Some(said as u64);
        }
        Ok(Asked { end, count: count.unwrap_or(1) })
    }
}

/// Of those that take from the first list there is.
pub(super) const fn first(
    patience: fn(Args<'_>) -> Result<Patience, Refusal>,
    take: fn(&mut Cx<'_>, &[u8], Args<'_>) -> Outcome,
) -> Run {
    Run::Wait(Wait::first::<List>(&TYPE, patience, take))
}

/// Takes as many elements as a request says from its number of keys on.
pub(super) fn pop_several(cx: &mut Cx<'_>, key: &[u8], args: Args<'_>, position: usize) -> Outcome {
    let Asked { end, count } = Asked::read(args, position)?;
    let there = cx.keys.object_to_change::<List>(cx.db, key)?;
    let count = there.map_or(0, |list| count.min(list.len()));
    cx.reply.array(2);
    cx.reply.bulk(key);
    reply_taken(cx, cx.db, key, end, count);
    Ok(())
}
