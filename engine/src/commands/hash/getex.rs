//! Fields that are returned and given another time to live, or taken out.

use super::access::{in_pieces, look_to_change, make_way, remove, write_value};
use super::expire::{date, fields, instant};
use super::ttl::FEW;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Spec, Uses, Whole};
use crate::types::Millis;
use crate::value::hash::Date;

const FLAGS: Flags = Flags::WRITE.union(Flags::FAST);

pub(super) const HGETEX: Command = Command {
    name: "hgetex",
    usage: "HGETEX key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
            PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
    summary: "Returns the values of fields of a hash and sets, changes or drops their time to live.",
    since: "8.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::of([Spec::at(1)
        .used(Uses::READ_CHANGE)
        .noted("RW and UPDATE because it changes the TTL")]),
    run: Run::Sliced(hgetex),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HGETEX session EX 100 FIELDS 2 token nothing
        1) "abc"
        2) (nil)
        > HTTL session FIELDS 2 token user
        1) (integer) 100
        2) (integer) -1
        > HGETEX session PERSIST FIELDS 1 token
        1) "abc"
        > HTTL session FIELDS 1 token
        1) (integer) -1
        > HGETEX session EXAT 1 FIELDS 1 token
        1) "abc"
        > HGETEX session FIELDS 2 token user
        1) (nil)
        2) "ada"
        > HGETEX session EX 10 PERSIST FIELDS 1 user
        (error) ERR Mandatory argument FIELDS is missing or not at the right position
    "#,
};

/// What a number behind a word counts in, in milliseconds, and whether from now on.
pub(super) const WORDS: [(&str, i64, bool); 4] =
    [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];

/// Takes in the words at the cursor if they name an instant.
pub(super) fn until(
    cx: &Cx<'_>,
    args: &mut Args<'_>,
    command: &'static str,
) -> Result<Option<Millis>, Refusal> {
    let Some((_, unit, is_relative)) = WORDS.into_iter().find(|(word, ..)| args.word(word)) else {
        return Ok(None);
    };
    let base = if is_relative { cx.now() } else { Millis(0) };
    instant(args.required()?, unit, base, command).map(Some)
}

fn hgetex(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.required()?)?;
    let until = until(cx, &mut args, "hgetex")?;
    let persists = until.is_none() && args.word("PERSIST");
    if args.left() < 2 {
        return Err(Refusal::Arity("hgetex".to_owned()));
    }
    let first = fields(&mut args, FEW)?;
    in_pieces(cx, args, first, 1, move |cx, args, range, _| {
        let (db, key) = (cx.db, args.get(1));
        let names: Vec<&[u8]> = range.clone().map(|place| args.get(place)).collect();
        make_way(cx, db, key, names.iter().copied())?;
        if range.start == first {
            cx.reply.array(args.len() - first);
        }
        // One that is named twice is gone the second time, where it goes.
        let goes = until.is_some_and(|at| at <= cx.ends_as_of());
        let (mut pending, mut kept): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
        let mut reply = cx.reply.reborrow();
        let seen = cx.keys.object_to_change(db, key)?;
        for name in names {
            let field = seen.and_then(|hash: &crate::value::hash::Hash| hash.get(name));
            if goes && pending.contains(&name) {
                reply.nil();
                continue;
            }
            write_value(&mut reply, field);
            let Some(field) = field else { continue };
            if !pending.contains(&name) {
                pending.push(name);
                if field.deadline().is_some() {
                    kept.push(name);
                }
            }
        }
        match until {
            Some(at) => date(cx, db, key, &mut pending, at),
            None if persists && !kept.is_empty() => {
                cx.keys.call_it("hpersist");
                cx.keys.change(db, key, &Date { names: &kept, deadline: None });
            }
            None => {}
        }
        Ok(())
    })
}

pub(super) const HGETDEL: Command = Command {
    name: "hgetdel",
    usage: "HGETDEL key FIELDS numfields field [field ...]",
    summary: "Returns the values of fields of a hash and removes the fields, and the hash with the last.",
    since: "8.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: FLAGS,
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(hgetdel),
    examples: r#"
        > HSET session token abc user ada
        (integer) 2
        > HGETDEL session FIELDS 3 token nothing token
        1) "abc"
        2) (nil)
        3) (nil)
        > HGETDEL session FIELDS 1 user
        1) "ada"
        > EXISTS session
        (integer) 0
        > HGETDEL session FIELDS 2 user
        (error) ERR The `numfields` parameter must match the number of arguments
    "#,
};

fn hgetdel(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    look_to_change(cx, cx.db, args.required()?)?;
    let first = fields(&mut args, FEW)?;
    in_pieces(cx, args, first, 1, move |cx, args, range, _| {
        let (db, key) = (cx.db, args.get(1));
        let names: Vec<&[u8]> = range.clone().map(|place| args.get(place)).collect();
        make_way(cx, db, key, names.iter().copied())?;
        if range.start == first {
            cx.reply.array(args.len() - first);
        }
        let mut reply = cx.reply.reborrow();
        let hash: Option<&crate::value::hash::Hash> = cx.keys.object_to_change(db, key)?;
        for (index, name) in names.iter().enumerate() {
            let is_first = !names[..index].contains(name);
            let field = hash.and_then(|hash| hash.get(name));
            write_value(&mut reply, field.filter(|_| is_first));
        }
        remove(cx, db, key, &names)?;
        Ok(())
    })
}
