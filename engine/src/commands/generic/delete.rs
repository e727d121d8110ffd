//! Deleting keys.

use crate::command::{Command, Cx, Each, Flags, Group, Join, Keys, Refusal, Run, Uses};
use crate::value::NewValue;

pub(super) const DEL: Command = Command {
    name: "del",
    usage: "DEL key [key ...]",
    summary: "Deletes keys and says how many there were.",
    since: "1.0.0",
    cost: "O(N) with N keys.",
    group: Group::Generic,
    flags: Flags::WRITE,
    keys: Keys::ALL.used(Uses::REMOVE),
    run: Run::Each(Each { stride: 1, one: delete, join: Join::Sum }),
    examples: r#"
        > SET one 1
        OK
        > SET two 2
        OK
        > DEL one two three
        (integer) 2
        > DEL one one
        (integer) 0
    "#,
};

pub(super) const UNLINK: Command = Command {
    name: "unlink",
    usage: "UNLINK key [key ...]",
    summary: "Deletes keys; here the same as DEL.",
    since: "4.0.0",
    cost: "O(N) with N keys.",
    group: Group::Generic,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ALL.used(Uses::REMOVE),
    run: Run::Each(Each { stride: 1, one: delete, join: Join::Sum }),
    examples: r#"
        > SET one 1
        OK
        > UNLINK one two one
        (integer) 1
        > GET one
        (nil)
    "#,
};

fn delete(cx: &mut Cx<'_>, key: &[u8], _: NewValue<'_>) -> Result<i64, Refusal> {
    Ok(i64::from(cx.keys.remove(cx.db, key)))
}
