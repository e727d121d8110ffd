//! What a HyperLogLog looks like inside.

use super::bytes::bytes_of;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::value::hyperloglog::{Edit, HyperLogLog, self_test};

pub(super) const PFDEBUG: Command = Command {
    name: "pfdebug",
    usage: "PFDEBUG subcommand key",
    summary: "Shows registers (GETREG), opcodes (DECODE), the ENCODING, or makes it dense (TODENSE).",
    since: "2.8.9",
    cost: "O(1)",
    group: Group::HyperLogLog,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN),
    keys: Keys::SECOND.used(Uses::RW.union(Uses::ACCESS)),
    run: Run::Here(pfdebug),
    examples: r#"
        > PFADD visitors ann
        (integer) 1
        > PFDEBUG DECODE visitors
        "Z:10757 v:1,1 Z:5626"
        > PFDEBUG ENCODING visitors
        sparse
        > PFDEBUG TODENSE visitors
        (integer) 1
        > PFDEBUG TODENSE visitors
        (integer) 0
        > PFDEBUG ENCODING visitors
        dense
        > PFDEBUG DECODE visitors
        (error) ERR HLL encoding is not sparse
        > PFDEBUG LOOK visitors
        (error) ERR Unknown PFDEBUG subcommand 'LOOK'
        > PFDEBUG ENCODING nothing
        (error) ERR The specified key does not exist
    "#,
};

fn pfdebug(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (word, key) = (args.get(1), args.get(2));
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    let value = cx.keys.string_to_change(cx.db, key)?;
    let value = value.ok_or(Refusal::fixed("ERR The specified key does not exist"))?;
    let bytes = bytes_of(value)?;
    let there = HyperLogLog::of(&bytes)?;
    if is("encoding") {
        cx.reply.simple(if there.is_dense() { "dense" } else { "sparse" });
    } else if is("decode") {
        let opcodes = there.opcodes().ok_or(Refusal::fixed("ERR HLL encoding is not sparse"))?;
        cx.reply.bulk(opcodes);
    } else if is("todense") || is("getreg") {
        let was_sparse = !there.is_dense();
        let mut edit = Edit::of(there);
        edit.make_dense()?;
        let (heights, patches) = (edit.heights()?, edit.patches(&bytes));
        drop(bytes);
        if was_sparse {
            cx.keys.change(cx.db, key, &patches.effect(&edit.to_bytes()));
        }
        if is("todense") {
            cx.reply.integer(i64::from(was_sparse));
        } else {
            cx.reply.array(heights.heights().len());
            heights.heights().iter().for_each(|height| cx.reply.integer(i64::from(*height)));
        }
    } else {
        return Err(Refusal::quoting("ERR Unknown PFDEBUG subcommand '", word, "'"));
    }
    Ok(())
}

pub(super) const PFSELFTEST: Command = Command {
    name: "pfselftest",
    usage: "PFSELFTEST",
    summary: "Tests registers and counts.",
    since: "2.8.9",
    cost: "O(1)",
    group: Group::HyperLogLog,
    flags: Flags::ADMIN,
    keys: Keys::NONE,
    run: Run::Sliced(pfselftest),
    examples: r#"
        > PFSELFTEST
        OK
    "#,
};

fn pfselftest(_: &mut Cx<'_>, _: Args<'_>) -> Result<Whole, Refusal> {
    let mut test = self_test();
    Ok(Whole::Later(Box::new(move |cx| match test() {
        None => Ok(false),
        Some(Ok(())) => {
            cx.reply.ok();
            Ok(true)
        }
        Some(Err(complaint)) => Err(Refusal::made(format!("TESTFAILED {complaint}"))),
    })))
}
