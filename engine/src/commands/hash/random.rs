//! Fields by chance.

use super::access::{Seen, look};
use super::all::{PIECE, Want, large, reserve, share};
use crate::command::shape::Slices;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::types::Millis;
use crate::value::SharedValue;
use crate::value::hash::{Field, Hash};
use std::collections::HashSet;

pub(super) const HRANDFIELD: Command = Command {
    name: "hrandfield",
    usage: "HRANDFIELD key [count [WITHVALUES]]",
    summary: "Returns fields of a hash by chance: so many different ones, or with a negative count any.",
    since: "6.2.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(hrandfield),
    examples: r#"
        > HSET ada born 1815
        (integer) 1
        > HRANDFIELD ada
        "born"
        > HRANDFIELD ada -2
        1) "born"
        2) "born"
        > HRANDFIELD ada 5
        1) "born"
        > HRANDFIELD nobody
        (nil)
        > HRANDFIELD nobody 5
        (empty array)
        > HRANDFIELD ada many
        (error) ERR value is not an integer or out of range
        > HRANDFIELD ada -9223372036854775808
        (error) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        > HRANDFIELD ada 5 VALUES
        (error) ERR syntax error
    "#,
};

fn hrandfield(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.get(1);
    if args.len() == 2 {
        let mut chance = cx.keys.random.fork();
        let (seen, mut reply) = look(cx, key)?;
        match seen.and_then(|seen| any(seen, &mut chance)) {
            Some(field) => Want::Names.write(&mut reply, field),
            None => reply.nil(),
        }
        return Ok(Whole::Done);
    }
    args.seek(2);
    let count = args.negatable()?;
    let mut want = Want::Names;
    if args.len() > 3 {
        if args.len() > 4 || !args.get(3).eq_ignore_ascii_case(b"WITHVALUES") {
            return Err(Refusal::Syntax);
        }
        if count.unsigned_abs() > i64::MAX as u64 / 2 {
            return Err(Refusal::fixed("ERR value is out of range"));
        }
        want = Want::Pairs;
    }
    let chance = cx.keys.random.fork();
    let (seen, mut reply) = look(cx, key)?;
    let Some(seen) = seen.filter(|seen| count != 0 && seen.len() > 0) else {
        want.header(&mut reply, 0);
        return Ok(Whole::Done);
    };
    let (now, there, asked) = (seen.now, seen.len(), count.unsigned_abs());
    // What is looked at besides the fields that are answered.
    let visited = if count < 0 { asked } else { seen.hash.len() };
    let held = share(cx, key);
    let slices = match count {
        ..0 => repeating(held, now, want, asked, chance),
        _ if asked >= there => large(held, now, want),
        _ => different(held, now, want, asked, chance),
    };
    Whole::of(slices, visited as usize <= PIECE * 4, cx)
}

/// Any field that is there, if there is one.
fn any<'a>(seen: Seen<'a>, chance: &mut fastrand::Rng) -> Option<Field<'a>> {
    /// Where most are due that many looks suffice nearly always.
    const LOOKS: usize = 64;
    let length = seen.hash.len();
    if length == seen.hash.due_count(seen.now) {
        return None;
    }
    let mut looks = (0..LOOKS).filter_map(|_| seen.hash.at(chance.u64(..length)));
    let found = looks.find(|field| !field.is_due(seen.now));
    found.or_else(|| seen.hash.iter().find(|field| !field.is_due(seen.now)))
}

/// So many fields, the same one again and again if it comes so.
fn repeating(
    held: SharedValue,
    now: Millis,
    want: Want,
    asked: u64,
    mut chance: fastrand::Rng,
) -> Slices {
    let mut left = None;
    Box::new(move |cx| {
        let Some(hash) = held.object::<Hash>() else { return Ok(true) };
        let left = match &mut left {
            Some(left) => left,
            none => {
                reserve(cx, hash, asked);
                want.header(&mut cx.reply, asked);
                none.insert(asked)
            }
        };
        for _ in 0..(*left).min(PIECE as u64) {
            if let Some(field) = any(Seen { hash, now }, &mut chance) {
                want.write(&mut cx.reply, field);
            }
        }
        cx.who.hold_room(cx.reply.whole())?;
        *left = left.saturating_sub(PIECE as u64);
        Ok(*left == 0)
    })
}

/// Fields that are chosen by their numbers: above it, a set of these takes longer than going along all.
const CHOSEN_MAX: u64 = 64 * 1024;

/// So many different fields, fewer than there are.
fn different(
    held: SharedValue,
    now: Millis,
    want: Want,
    asked: u64,
    mut chance: fastrand::Rng,
) -> Slices {
    // How many were gone past, and of these how many that are there.
    let (mut begun, mut index, mut passed, mut left) = (false, 0, 0, asked);
    let mut chosen = HashSet::new();
    Box::new(move |cx| {
        let Some(hash) = held.object::<Hash>() else { return Ok(true) };
        if !std::mem::replace(&mut begun, true) {
            reserve(cx, hash, asked);
            want.header(&mut cx.reply, asked);
        }
        let due = hash.due_count(now);
        if due == 0 && asked <= CHOSEN_MAX && asked * 3 <= hash.len() {
            // Few of many: chosen by their numbers.
            chosen.reserve(left.min(CHOSEN_MAX) as usize);
            for _ in 0..PIECE {
                if left == 0 {
                    break;
                }
                let at = chance.u64(..hash.len());
                if chosen.insert(at) {
                    hash.at(at).into_iter().for_each(|field| want.write(&mut cx.reply, field));
                    left -= 1;
                }
            }
            cx.who.hold_room(cx.reply.whole())?;
            return Ok(left == 0);
        }
        // Each is taken with the chance that as many are still wanted of those still to come.
        for field in hash.from(index).take(PIECE) {
            index += 1;
            if field.is_due(now) {
                continue;
            }
            let to_come = hash.len() - due - passed;
            passed += 1;
            if chance.u64(..to_come) < left {
                want.write(&mut cx.reply, field);
                left -= 1;
            }
        }
        cx.who.hold_room(cx.reply.whole())?;
        Ok(left == 0)
    })
}
