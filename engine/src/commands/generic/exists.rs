//! Whether keys are there, and what they hold.

use crate::command::{
    Args, Command, Cx, Each, Flags, Group, Join, Keys, Outcome, Refusal, Run, Uses,
};
use crate::value::NewValue;

pub(super) const EXISTS: Command = Command {
    name: "exists",
    usage: "EXISTS key [key ...]",
    summary: "Says how many of the keys exist; one that is named twice counts twice.",
    since: "1.0.0",
    cost: "O(N) with N keys.",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ALL.used(Uses::RO),
    run: Run::Each(Each { stride: 1, one: exists, join: Join::Sum }),
    examples: r#"
        > SET one 1
        OK
        > SET two 2
        OK
        > EXISTS one two three one
        (integer) 3
    "#,
};

fn exists(cx: &mut Cx<'_>, key: &[u8], _: NewValue<'_>) -> Result<i64, Refusal> {
    Ok(i64::from(cx.keys.look(cx.db, key).is_some()))
}

pub(super) const TOUCH: Command = Command {
    name: "touch",
    usage: "TOUCH key [key ...]",
    summary: "Marks keys as used just now and says how many there were.",
    since: "3.2.1",
    cost: "O(N) with N keys.",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ALL.used(Uses::RO),
    run: Run::Each(Each { stride: 1, one: touch, join: Join::Sum }),
    examples: r#"
        > SET one 1
        OK
        > TOUCH one two one
        (integer) 2
    "#,
};

fn touch(cx: &mut Cx<'_>, key: &[u8], _: NewValue<'_>) -> Result<i64, Refusal> {
    Ok(i64::from(cx.keys.find(cx.db, key).is_some()))
}

pub(super) const TYPE: Command = Command {
    name: "type",
    usage: "TYPE key",
    summary: "Names the type of what a key holds.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Generic,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RO),
    run: Run::Here(type_of),
    examples: r#"
        > SET one 1
        OK
        > TYPE one
        string
        > TYPE two
        none
    "#,
};

fn type_of(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let name = cx.keys.look(cx.db, args.get(1)).map_or("none", |item| item.kind().name);
    cx.reply.simple(name);
    Ok(())
}
