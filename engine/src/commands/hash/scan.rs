//! HSCAN: the fields of a hash, a few at a time. A cursor is a hash of a field, and no field's hash changes: a
//! field that is there from the first call to the last is returned, whatever happens meanwhile.

use super::access::{Seen, look, write};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::commands::generic::{asked, cursor_of, in_steps};
use crate::limits::SCAN_COST_MAX;

pub(super) const HSCAN: Command = Command {
    name: "hscan",
    usage: "HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
    summary: "Returns some fields of a hash and a cursor for the next call; the cursor 0 begins and ends \
              a scan.",
    since: "2.8.0",
    cost: "O(COUNT) for each call, O(N) for all of N fields.",
    group: Group::Hash,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(hscan),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HSCAN ada 0
        1) "0"
        2) 1) "born"
           2) "1815"
           3) "name"
           4) "Lovelace"
        > HSCAN ada 0 MATCH n* NOVALUES
        1) "0"
        2) 1) "name"
        > HSCAN nobody 0
        1) "0"
        2) (empty array)
        > HSCAN ada x
        (error) ERR invalid cursor
        > HSCAN ada 0 COUNT 0
        (error) ERR syntax error
    "#,
};

/// Fields visited in one call at the most, whatever COUNT says: some hundred microseconds.
const VISITED_MAX: u64 = 2048;

fn hscan(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor_of(args.get(2)).ok_or(Refusal::fixed("ERR invalid cursor"))?;
    let (seen, mut reply) = look(cx, args.get(1))?;
    let Some(Seen { hash, now }) = seen else {
        reply.array(2);
        reply.bulk(b"0");
        reply.array(0);
        return Ok(());
    };
    let mut values = true;
    let asked = asked(args, 3, |args| {
        let is_novalues = args.word("NOVALUES");
        values &= !is_novalues;
        Ok(is_novalues)
    })?;
    let (pattern, most) = (asked.pattern()?, asked.count.min(VISITED_MAX));
    let mut found = Vec::new();
    let cursor = in_steps(cursor, most, SCAN_COST_MAX, |cursor, step, cost| {
        hash.scan(cursor, step, |field| {
            let name = field.name();
            *cost += (name.len() + if values { field.value().len() } else { 0 }) as u64;
            let fits = |p: &crate::glob::Pattern| p.fits_counted(&name.to_bytes(), cost);
            if !field.is_due(now) && pattern.as_deref().is_none_or(fits) {
                found.push(field);
            }
        })
    });
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor));
    reply.array(found.len() * if values { 2 } else { 1 });
    for field in found {
        write(&mut reply, field.name());
        if values {
            write(&mut reply, field.value());
        }
    }
    Ok(())
}
