//! RENAME: a value under another name.
//!
//! The journal never sees "rename": it is told what became of each of the two keys (J1), so that shards
//! of any number can apply it.

use crate::command::{
    Args, Carried, Carry, Command, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses, Write,
};

pub(super) const RENAME: Command = Command {
    name: "rename",
    usage: "RENAME key newkey",
    summary: "Gives a key another name, replacing what is there.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE,
    keys: Keys::of([Spec::at(1).used(Uses::TAKE), Spec::at(2).used(Uses::REPLACE)]),
    run: Run::Carry(Carry { check: Carry::any, gather: Carry::whatever, decide: rename }),
    examples: r#"
        > SET old 1
        OK
        > EXPIRE old 100
        (integer) 1
        > RENAME old new
        OK
        > GET new
        "1"
        > TTL new
        (integer) 100
        > EXISTS old
        (integer) 0
        > RENAME old new
        (error) ERR no such key
    "#,
};

pub(super) const RENAMENX: Command = Command {
    name: "renamenx",
    usage: "RENAMENX key newkey",
    summary: "Gives a key another name if that is free.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::of([Spec::at(1).used(Uses::TAKE), Spec::at(2).used(Uses::CREATE)]),
    run: Run::Carry(Carry { check: Carry::any, gather: Carry::whatever, decide: rename_if_free }),
    examples: r#"
        > SET one 1
        OK
        > SET two 2
        OK
        > RENAMENX one two
        (integer) 0
        > RENAMENX one three
        (integer) 1
        > RENAMENX three three
        (integer) 0
        > RENAMENX nothing two
        (error) ERR no such key
    "#,
};

fn rename(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let found = carried[0].clone().ok_or(Refusal::NoSuchKey)?;
    decision.reply.ok();
    Ok(moved(decision, args, found).into())
}

fn rename_if_free(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let found = carried[0].clone().ok_or(Refusal::NoSuchKey)?;
    // A key's own name is not free either.
    let free = carried[1].is_none();
    decision.reply.integer(i64::from(free));
    Ok(if free { moved(decision, args, found) } else { Vec::new() }.into())
}

fn moved(decision: &Decision<'_>, args: Args<'_>, found: Found) -> Vec<Write> {
    let (db, Found { value, deadline, clock }) = (decision.db, found);
    let (old, new) = (args.get(1).to_vec(), args.get(2).to_vec());
    if old == new {
        return Vec::new();
    }
    let put = Write::Put { db, key: new, value, deadline, clock };
    vec![Write::Remove { db, key: old }, put]
}
