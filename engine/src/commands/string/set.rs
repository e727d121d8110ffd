//! Writing strings.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Run};
use crate::journal::Deadline;
use crate::value::NewValue;

pub(super) const SET: Command = Command {
    name: "set",
    usage: "SET key value",
    summary: "Sets the string at a key, whatever it held.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::String,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE,
    run: Run::Here(set),
    examples: r#"
        > SET greeting hello
        OK
    "#,
};

fn set(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    cx.keys.put(cx.db, args.get(1), NewValue::from_bytes(args.get(2)), Deadline::None);
    cx.reply.ok();
    Ok(())
}
