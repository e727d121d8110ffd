//! Moving an element from one list to another.

use super::super::string::reply_value;
use super::pop::trim_of;
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};
use crate::value::SentEffect;
use crate::value::list::{End, Limit, List, Push};

/// From one that is taken from to one that is added to.
pub(super) const FROM_TO: Keys =
    Keys::of([Spec::at(1).used(Uses::TAKE), Spec::at(2).used(Uses::ADD)]);

pub(super) const LMOVE: Command = Command {
    name: "lmove",
    usage: "LMOVE source destination <LEFT | RIGHT> <LEFT | RIGHT>",
    summary: "Takes an element from an end of a list and puts it at an end of another one.",
    since: "6.2.0",
    cost: "O(1)",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: FROM_TO,
    run: Run::Carry(Carry { check: |args| ends(args).map(drop), gather, decide: lmove }),
    examples: r#"
        > RPUSH line ann bob carl
        (integer) 3
        > LMOVE line other RIGHT LEFT
        "carl"
        > LMOVE line other LEFT LEFT
        "ann"
        > LRANGE other 0 -1
        1) "ann"
        2) "carl"
        > LMOVE other other LEFT RIGHT
        "ann"
        > LRANGE other 0 -1
        1) "carl"
        2) "ann"
        > LMOVE nothing other LEFT RIGHT
        (nil)
        > LMOVE line other UP DOWN
        (error) ERR syntax error
    "#,
};

pub(super) const RPOPLPUSH: Command = Command {
    name: "rpoplpush",
    usage: "RPOPLPUSH source destination",
    summary: "Takes the last element of a list and puts it before the first of another one.",
    since: "1.2.0",
    cost: "O(1)",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: FROM_TO,
    run: Run::Carry(Carry { check: Carry::any, gather, decide: rpoplpush }),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > RPOPLPUSH line other
        "bob"
        > LRANGE other 0 -1
        1) "bob"
        > SET text hello
        OK
        > RPOPLPUSH line text
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
};

/// The two ends that a request names.
pub(super) fn ends(mut args: Args<'_>) -> Result<(End, End), Refusal> {
    args.seek(3);
    Ok((end(&mut args)?, end(&mut args)?))
}

/// An end by its name.
pub(super) fn end(args: &mut Args<'_>) -> Result<End, Refusal> {
    match () {
        () if args.word("LEFT") => Ok(End::Left),
        () if args.word("RIGHT") => Ok(End::Right),
        () => Err(Refusal::Syntax),
    }
}

/// A list by reference. What is no list at the destination matters only if there is something to move.
pub(super) fn gather(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    _: Args<'_>,
) -> Result<Carried, Refusal> {
    if index == 0 {
        cx.keys.object_to_change::<List>(cx.db, key)?;
    }
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

fn lmove(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let (from, to) = ends(args)?;
    move_one(decision, args, carried, from, to)
}

fn rpoplpush(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    move_one(decision, args, carried, End::Right, End::Left)
}

/// Moves an element, or replies with nil where there is none.
pub(super) fn move_one(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
    from: End,
    to: End,
) -> Result<Decided, Refusal> {
    let limit = Limit::of(decision.encodings.list_max_listpack_size);
    let Some(source) = carried[0].as_ref().and_then(|found| found.value.object::<List>()) else {
        decision.reply.nil();
        return Ok(Vec::new().into());
    };
    let empty = List::default();
    let destination = match &carried[1] {
        Some(found) => found.value.object::<List>().ok_or(Refusal::WrongType)?,
        None => &empty,
    };
    let index = if from == End::Left { 0 } else { source.len() - 1 };
    let Some(element) = source.get(index) else { return Err(Refusal::WrongType) };
    reply_value(&mut decision.reply, element);
    let element = &*element.to_bytes();
    let form = destination.form_with([element], limit);
    let push = SentEffect::of(&Push { end: to, elements: &[element], form });
    let trim = match args.get(1) == args.get(2) {
        false => trim_of(source, from, 1, limit),
        // What came at the other end, before this goes.
        true => {
            let (front, back) = if from == End::Left { (1, 0) } else { (0, 1) };
            crate::value::list::Trim { front, back, form: source.form() }
        }
    };
    let change = |position: usize, effect| Write::Change {
        db: decision.db,
        key: args.get(position).to_vec(),
        effect,
    };
    // A list that is both is never empty meanwhile.
    Ok(vec![change(2, push), change(1, SentEffect::of(&trim))].into())
}
