//! Elements of the first list of several that there is: LMPOP, and what those that wait have in common with it.

use super::common::PIECE;
use super::moving::end;
use super::pop::{reply_some, reply_taken, trim_of};
use crate::command::shape::{Patience, Wait};
use crate::command::{
    Args, Carried, Carry, Command, Counted, Cx, Decided, Decision, Flags, Found, Group, Keys,
    Outcome, Refusal, Run, Spec, Uses, Write,
};
use crate::resp::number;
use crate::value::SentEffect;
use crate::value::list::{End, Limit, List, TYPE};

pub(super) const LMPOP: Command = Command {
    name: "lmpop",
    usage: "LMPOP numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    summary: "Takes elements of the first list of several that there is.",
    since: "7.0.0",
    cost: "O(N + M) for N keys and M elements",
    group: Group::List,
    flags: Flags::WRITE,
    keys: Keys::of([Spec::counted(1).used(Uses::TAKE)]),
    run: Run::Carry(Carry {
        check: |args| Asked::read(args, 1).map(drop),
        gather: Carry::whatever,
        decide: |decision, args, carried| take(decision, args, carried, 1),
    }),
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

/// Takes from the first key that is there as many elements as a request says from its number of keys on; many
/// are shown in pieces.
pub(super) fn take(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
    position: usize,
) -> Result<Decided, Refusal> {
    let Asked { end, count } = Asked::read(args, position)?;
    // Keys of other types behind it are not looked at.
    let Some((index, found)) = Found::first(carried) else {
        decision.reply.nil_array();
        return Ok(Vec::new().into());
    };
    let found = found.clone();
    let list = found.value.object::<List>().ok_or(Refusal::WrongType)?;
    let count = count.min(list.len());
    let limit = Limit::of(decision.encodings.list_max_listpack_size);
    let effect = SentEffect::of(&trim_of(list, end, count, limit));
    let (db, key) = (decision.db, args.get(position + 1 + index).to_vec());
    let mut shown = 0;
    let pondering = move |decision: &mut Decision<'_>| {
        let reply = &mut decision.reply;
        if shown == 0 {
            reply.array(2);
            reply.bulk(&key);
            reply.array(count as usize);
        }
        let piece = PIECE.min(count - shown);
        if let Some(list) = found.value.object::<List>() {
            reply_some(reply, list, end, shown, piece);
        }
        shown += piece;
        if shown < count {
            return Ok(None);
        }
        let change = Write::Change { db, key: key.clone(), effect: effect.clone() };
        Ok(Some(vec![change]))
    };
    Decided::of(Box::new(pondering), count <= PIECE, decision)
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
