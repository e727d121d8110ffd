//! How many different elements there are, in one or in several together.

use super::bytes::{add, bytes_of};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses,
};
use crate::db::Role;
use crate::value::hyperloglog::{HyperLogLog, NOTE_AT, Union};
use crate::value::string::Effect;

pub(super) const PFCOUNT: Command = Command {
    name: "pfcount",
    usage: "PFCOUNT key [key ...]",
    summary: "Returns about how many different elements were added to HyperLogLogs, together.",
    since: "2.8.9",
    cost: "O(N) for N keys",
    group: Group::HyperLogLog,
    // It notes the count of a single key in its value.
    flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
    keys: Keys::of([Spec::range(1, -1, 1).used(Uses::RW.union(Uses::ACCESS)).noted(
        "RW because it may change the internal representation of the key, and propagate to replicas",
    )]),
    run: Run::Carry(Carry { check: Carry::any, gather: look, decide: count }),
    examples: r#"
        > PFADD one a b c
        (integer) 1
        > PFADD other b c d
        (integer) 1
        > PFCOUNT one
        (integer) 3
        > PFCOUNT one other nothing
        (integer) 4
        > PFCOUNT nothing
        (integer) 0
    "#,
};

/// Of a single key the count is noted, as in Redis, unless this node's data are not to change.
fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, args: Args<'_>) -> Result<Carried, Refusal> {
    if args.len() > 2 {
        // What is wrong with a key is said in the order of the keys.
        return Ok(cx.keys.peek(cx.db, key).map(Found::of));
    }
    let Some(value) = cx.keys.string(cx.db, key)? else { return Ok(None) };
    {
        let bytes = bytes_of(value)?;
        let there = HyperLogLog::of(&bytes)?;
        if there.noted().is_none() {
            let count = there.count()?;
            drop(bytes);
            if cx.keys.role() == Role::Master && !cx.keys.is_paused() {
                let note = HyperLogLog::note(count);
                let effect = Effect::SetRange { offset: NOTE_AT, bytes: &note };
                cx.keys.change(cx.db, key, &effect);
            }
        }
    }
    Ok(cx.keys.peek(cx.db, key).map(Found::of))
}

/// Counts of up to so many keys are made at once: some 10 us each.
const FEW: usize = 4;

fn count(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    if args.len() == 2 {
        let count = carried.first().and_then(Option::as_ref).map_or(Ok(0), count_of)?;
        decision.reply.count(count as usize);
        return Ok(Vec::new().into());
    }
    let found: Vec<Found> = carried.iter().flatten().cloned().collect();
    let is_short = found.len() <= FEW;
    let (mut left, mut union) = (found.into_iter(), Union::default());
    let pondering = move |decision: &mut Decision<'_>| {
        if let Some(found) = left.next() {
            add(&mut union, &found)?;
            return Ok(None);
        }
        decision.reply.count(union.count() as usize);
        Ok(Some(Vec::new()))
    };
    Decided::of(Box::new(pondering), is_short, decision)
}

fn count_of(found: &Found) -> Result<u64, Refusal> {
    let bytes = bytes_of(found.value.string())?;
    let there = HyperLogLog::of(&bytes)?;
    Ok(there.noted().map_or_else(|| there.count(), Ok)?)
}
