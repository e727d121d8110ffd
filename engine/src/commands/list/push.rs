//! Putting elements at an end.

use super::common::limit;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::value::list::{End, Form, Limit, List, Push};

/// What the four have in common.
const fn declare(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    since: &'static str,
    run: fn(&mut Cx<'_>, Args<'_>) -> Result<Whole, Refusal>,
    examples: &'static str,
) -> Command {
    Command {
        name,
        usage,
        summary,
        since,
        cost: "O(N) for N elements",
        group: Group::List,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        keys: Keys::ONE.used(Uses::ADD),
        run: Run::Sliced(run),
        examples,
    }
}

pub(super) const LPUSH: Command = declare(
    "lpush",
    "LPUSH key element [element ...]",
    "Puts elements before the first of a list, one after the other, creating it.",
    "1.0.0",
    |cx, args| push(cx, args, End::Left, false),
    r#"
        > LPUSH line ann
        (integer) 1
        > LPUSH line bob carl
        (integer) 3
        > LRANGE line 0 -1
        1) "carl"
        2) "bob"
        3) "ann"
        > SET text hello
        OK
        > LPUSH text ann
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
    "#,
);

pub(super) const RPUSH: Command = declare(
    "rpush",
    "RPUSH key element [element ...]",
    "Puts elements behind the last of a list, one after the other, creating it.",
    "1.0.0",
    |cx, args| push(cx, args, End::Right, false),
    r#"
        > RPUSH line ann
        (integer) 1
        > RPUSH line bob carl
        (integer) 3
        > LRANGE line 0 -1
        1) "ann"
        2) "bob"
        3) "carl"
        > OBJECT ENCODING line
        "listpack"
        > TYPE line
        list
    "#,
);

pub(super) const LPUSHX: Command = declare(
    "lpushx",
    "LPUSHX key element [element ...]",
    "Puts elements before the first of a list, if there is one.",
    "2.2.0",
    |cx, args| push(cx, args, End::Left, true),
    r#"
        > LPUSHX line ann
        (integer) 0
        > EXISTS line
        (integer) 0
        > LPUSH line ann
        (integer) 1
        > LPUSHX line bob
        (integer) 2
        > LINDEX line 0
        "bob"
    "#,
);

pub(super) const RPUSHX: Command = declare(
    "rpushx",
    "RPUSHX key element [element ...]",
    "Puts elements behind the last of a list, if there is one.",
    "2.2.0",
    |cx, args| push(cx, args, End::Right, true),
    r#"
        > RPUSHX line ann
        (integer) 0
        > RPUSH line ann
        (integer) 1
        > RPUSHX line bob carl
        (integer) 3
        > LINDEX line -1
        "carl"
    "#,
);

/// Elements that are put in one piece: some 50 us.
const FEW: usize = 512;

fn push(cx: &mut Cx<'_>, args: Args<'_>, end: End, wants_list: bool) -> Result<Whole, Refusal> {
    let (db, key, limit) = (cx.db, args.get(1), limit(cx.keys));
    if args.len() <= 2 + FEW {
        let (one, several): (_, Vec<&[u8]>);
        let elements = if args.len() == 3 {
            // Nearly all are such.
            one = [args.get(2)];
            &one[..]
        } else {
            several = args.from(2).collect();
            &several[..]
        };
        let count = cx.keys.decide(db, key, |list: Option<&List>| {
            let form = form_with(list, elements, limit);
            (list.is_some() || !wants_list).then_some(Push { end, elements, form })
        })?;
        cx.reply.integer(count.unwrap_or(0) as i64);
        return Ok(Whole::Done);
    }
    let there: Option<&List> = cx.keys.object_to_change(db, key)?;
    if wants_list && there.is_none() {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    }
    let (args, mut at) = (OwnedArgs::copy(args), 2);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        let elements: Vec<&[u8]> = args.from(at).take(FEW).collect();
        at += elements.len();
        let key = args.get(1);
        // The type was looked at, and the key is held since.
        let there = cx.keys.object_to_change(db, key).unwrap_or_default();
        let form = form_with(there, &elements, limit);
        let count = cx.keys.change(db, key, &Push { end, elements: &elements, form });
        let is_done = at == args.len();
        if is_done {
            cx.reply.integer(count as i64);
        }
        Ok(is_done)
    })))
}

/// The form that a list, or one that is made for them, has with these elements.
fn form_with(there: Option<&List>, elements: &[&[u8]], limit: Limit) -> Form {
    let new = elements.iter().copied();
    match there {
        Some(list) => list.form_with(new, limit),
        None => List::default().form_with(new, limit),
    }
}
