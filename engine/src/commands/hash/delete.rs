//! Removing fields.

use super::access::{in_pieces, look_to_change, remove};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};

pub(super) const HDEL: Command = Command {
    name: "hdel",
    usage: "HDEL key field [field ...]",
    summary: "Removes fields of a hash, and the hash with the last one; returns how many there were.",
    since: "2.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(hdel),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HDEL ada name name died
        (integer) 1
        > HDEL ada born
        (integer) 1
        > EXISTS ada
        (integer) 0
        > HDEL ada born
        (integer) 0
    "#,
};

fn hdel(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.get(1))?;
    let mut removed = 0;
    in_pieces(cx, args, 2, 1, move |cx, args, range, is_last| {
        let names: Vec<&[u8]> = range.map(|at| args.get(at)).collect();
        removed += remove(cx, cx.db, args.get(1), &names)?;
        if is_last {
            cx.reply.count(removed);
        }
        Ok(())
    })
}
