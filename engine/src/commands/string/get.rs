//! Reading strings.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run};

pub(super) const GET: Command = Command {
    name: "get",
    usage: "GET key",
    summary: "Returns the string at a key.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE,
    run: Run::Here(get),
    examples: r#"
        > SET greeting hello
        OK
        > GET greeting
        "hello"
        > GET nothing
        (nil)
    "#,
};

fn get(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    match cx.keys.string(cx.db, args.get(1))? {
        Some(value) => value.with_bytes(|bytes| cx.reply.bulk(bytes)),
        None => cx.reply.nil(),
    }
    Ok(())
}
