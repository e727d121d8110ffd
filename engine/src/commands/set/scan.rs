//! SSCAN: all members, a few at a time. A cursor is a hash of a member, and no member's hash changes: a member that is
//! there from the first call to the last is returned, whatever happens meanwhile.

use super::members::write;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::commands::generic::{asked, cursor_of, in_steps};
use crate::glob::Pattern;
use crate::limits::SCAN_COST_MAX;
use crate::value::set::{Member, Set};

pub(super) const SSCAN: Command = Command {
    name: "sscan",
    usage: "SSCAN key cursor [MATCH pattern] [COUNT count]",
    summary: "Returns some members of a set and a cursor for the next call; the cursor 0 begins and ends a scan.",
    since: "2.8.0",
    cost: "O(COUNT) for each call, O(N) for all of N members.",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Here(sscan),
    examples: r#"
        > SADD team ann bob
        (integer) 2
        > SSCAN team 0
        1) "0"
        2) 1) "ann"
           2) "bob"
        > SSCAN team 0 MATCH b* COUNT 5
        1) "0"
        2) 1) "bob"
        > SSCAN nobody 0
        1) "0"
        2) (empty array)
        > SSCAN team x
        (error) ERR invalid cursor
        > SSCAN team 0 COUNT 0
        (error) ERR syntax error
    "#,
};

/// The most that one call visits, whatever COUNT says: some 200 us.
const COUNT_MAX: u64 = 2048;

fn sscan(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor_of(args.get(2)).ok_or(Refusal::fixed("ERR invalid cursor"))?;
    let set: Option<&Set> = cx.keys.object(cx.db, args.get(1))?;
    let Some(set) = set else {
        cx.reply.array(2);
        cx.reply.bulk("0");
        cx.reply.array(0);
        return Ok(());
    };
    let asked = asked(args, 3, |_| Ok(false))?;
    let (wanted, most) = (asked.pattern()?, asked.count.min(COUNT_MAX));
    let mut found = Vec::new();
    let cursor = in_steps(cursor, most, SCAN_COST_MAX / 4, |cursor, step, cost| {
        set.scan(cursor, step, |member: Member<'_>| {
            *cost += member.value.len() as u64;
            let mut fits = |wanted: &Pattern| {
                member.value.with_bytes(|member| wanted.fits_counted(member, cost))
            };
            if wanted.as_deref().is_none_or(&mut fits) {
                found.push(member);
            }
        })
    });
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(cursor));
    cx.reply.array(found.len());
    found.into_iter().for_each(|member| write(&mut cx.reply, member));
    Ok(())
}
