//! Fields that are set together with how long they live.

use super::access::{PIECE, look_to_change, make_way, remove, set};
use super::getex::until;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, OwnedArgs, Refusal, Run, Uses, Whole};
use crate::db::{Events, WrongType};
use crate::resp::number::parse_i64;
use crate::types::Millis;
use crate::value::hash::Given;
use std::ops::Range;

pub(super) const HSETEX: Command = Command {
    name: "hsetex",
    usage: "HSETEX key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
            PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
    summary: "Sets fields of a hash for a time: all of them, or none where a condition does not hold.",
    since: "8.0.0",
    cost: "O(N) for N fields",
    group: Group::Hash,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: Keys::ONE.used(Uses::RW.union(Uses::UPDATE)),
    run: Run::Sliced(hsetex),
    examples: r#"
        > HSETEX session EX 100 FIELDS 2 token abc user ada
        (integer) 1
        > HTTL session FIELDS 2 token user
        1) (integer) 100
        2) (integer) 100
        > HSETEX session FNX FIELDS 2 token def other 1
        (integer) 0
        > HSETEX session FXX KEEPTTL FIELDS 1 token def
        (integer) 1
        > HGET session token
        "def"
        > HSETEX session FIELDS 1 user bob
        (integer) 1
        > HTTL session FIELDS 2 token user
        1) (integer) 100
        2) (integer) -1
        > HSETEX session EXAT 1 FIELDS 2 token 1 user 1
        (integer) 1
        > EXISTS session
        (integer) 0
        > HSETEX session FNX FXX FIELDS 1 token abc
        (error) ERR Only one of FXX or FNX arguments can be specified
        > HSETEX session EX 10 KEEPTTL FIELDS 1 token abc
        (error) ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
        > HSETEX session FIELDS 2 token abc
        (error) ERR wrong number of arguments for 'hsetex' command
        > HSETEX session FIELDS 0 token abc
        (error) ERR invalid number of fields
        > HSETEX session SOON FIELDS 1 token abc
        (error) ERR unknown argument: SOON
    "#,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    Unsaid,
    Keep,
    Until(Millis),
}

#[derive(Clone, Copy)]
struct Options {
    /// Whether all fields must be missing (`false`) or there (`true`).
    condition: Option<bool>,
    lifetime: Lifetime,
    /// The place of the first field.
    first: usize,
}

fn options(cx: &Cx<'_>, mut args: Args<'_>) -> Result<Options, Refusal> {
    args.seek(2);
    let mut options = Options { condition: None, lifetime: Lifetime::Unsaid, first: 0 };
    while !args.word("FIELDS") {
        let condition = match () {
            () if args.word("FNX") => Some(false),
            () if args.word("FXX") => Some(true),
            () => None,
        };
        if condition.is_some() {
            if options.condition.is_some() {
                let text = "ERR Only one of FXX or FNX arguments can be specified";
                return Err(Refusal::fixed(text));
            }
            options.condition = condition;
            continue;
        }
        let is_timed = super::getex::WORDS.iter().any(|(word, ..)| is_next(&args, word));
        if is_timed || is_next(&args, "KEEPTTL") {
            if options.lifetime != Lifetime::Unsaid {
                return Err(Refusal::fixed(
                    "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                ));
            }
            options.lifetime = match until(cx, &mut args, "hsetex")? {
                Some(at) => Lifetime::Until(at),
                None => {
                    args.word("KEEPTTL");
                    Lifetime::Keep
                }
            };
            continue;
        }
        let Some(word) = args.next() else {
            return Err(Refusal::Arity("hsetex".to_owned()));
        };
        return Err(Refusal::quoting("ERR unknown argument: ", word, ""));
    }
    let count = args.next().and_then(parse_i64).filter(|count| *count > 0);
    let count = count.ok_or(Refusal::fixed("ERR invalid number of fields"))?;
    if count.checked_mul(2) != Some(args.left() as i64) {
        return Err(Refusal::Arity("hsetex".to_owned()));
    }
    options.first = args.len() - args.left();
    Ok(options)
}

fn is_next(args: &Args<'_>, word: &str) -> bool {
    args.peek().is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}

fn hsetex(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let options = options(cx, args)?;
    look_to_change(cx, cx.db, args.get(1))?;
    let (first, end) = (options.first, args.len());
    if end - first <= PIECE * 2 {
        let holds = options.allows(cx, args, first..end)?;
        if holds {
            options.set(cx, args, first..end)?;
        }
        cx.reply.integer(i64::from(holds));
        return Ok(Whole::Done);
    }
    let args = OwnedArgs::copy(args);
    let (mut looked, mut done) = (first, first);
    Ok(Whole::Later(Box::new(move |cx| {
        let args = args.view();
        if options.condition.is_some() && looked < end {
            let until = end.min(looked + PIECE * 2);
            if !options.allows(cx, args, looked..until)? {
                cx.reply.integer(0);
                return Ok(true);
            }
            looked = until;
            return Ok(false);
        }
        let until = end.min(done + PIECE * 2);
        options.set(cx, args, done..until)?;
        done = until;
        if done == end {
            cx.reply.integer(1);
        }
        Ok(done == end)
    })))
}

impl Options {
    /// Whether the condition holds for fields.
    fn allows(
        self,
        cx: &mut Cx<'_>,
        args: Args<'_>,
        range: Range<usize>,
    ) -> Result<bool, WrongType> {
        let Some(is_there) = self.condition else { return Ok(true) };
        let seen = look_to_change(cx, cx.db, args.get(1))?;
        let has = |name: &[u8]| seen.is_some_and(|seen| seen.get(name).is_some());
        Ok(range.step_by(2).all(|at| has(args.get(at)) == is_there))
    }

    fn set(self, cx: &mut Cx<'_>, args: Args<'_>, range: Range<usize>) -> Result<(), WrongType> {
        let (db, key, now) = (cx.db, args.get(1), cx.ends_as_of());
        let names: Vec<&[u8]> = range.clone().step_by(2).map(|at| args.get(at)).collect();
        let (is_first, is_last) = (range.start == self.first, range.end == args.len());
        if matches!(self.lifetime, Lifetime::Until(at) if at <= now) {
            return set_for_no_time(cx, key, &names, is_first);
        }
        make_way(cx, db, key, names.iter().copied())?;
        let seen = look_to_change(cx, db, key)?;
        let deadline = |name: &[u8]| match self.lifetime {
            Lifetime::Unsaid => None,
            Lifetime::Until(at) => Some(at),
            Lifetime::Keep => {
                seen.and_then(|seen| seen.get(name)).and_then(|field| field.deadline())
            }
        };
        let given = |at: usize| (args.get(at), args.get(at + 1), deadline(args.get(at)));
        let fields: Vec<Given<'_>> = range.step_by(2).map(given).collect();
        set(cx, db, key, &fields, (args.len() - self.first) / 2)?;
        if is_last && matches!(self.lifetime, Lifetime::Until(_)) {
            cx.keys.say_also(db, key, Events::HASH, "hexpire");
        }
        Ok(())
    }
}

/// What is set until an instant that has passed is gone at once; Redis says what it did nevertheless.
fn set_for_no_time(
    cx: &mut Cx<'_>,
    key: &[u8],
    names: &[&[u8]],
    is_first: bool,
) -> Result<(), WrongType> {
    let (db, was_there) = (cx.db, cx.keys.exists(cx.db, key));
    if is_first && !was_there {
        cx.keys.say_also(db, key, Events::NEW, "new");
    }
    if is_first {
        cx.keys.say_also(db, key, Events::HASH, "hset");
    }
    cx.keys.call_it("hdel");
    let removed = remove(cx, db, key, names)?;
    if removed == 0 && (is_first || was_there) {
        cx.keys.say_also(db, key, Events::HASH, "hdel");
    }
    if is_first && !was_there {
        cx.keys.say_also(db, key, Events::GENERIC, "del");
    }
    Ok(())
}
