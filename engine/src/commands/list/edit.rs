//! Changing a list in the middle.

use super::common::{PIECE, index_of, limit};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses, Whole};
use crate::resp::number;
use crate::types::DbIndex;
use crate::value::Value;
use crate::value::list::{End, Form, Insert, List, Remove, Set, Trim};

pub(super) const LSET: Command = Command {
    name: "lset",
    usage: "LSET key index element",
    summary: "Puts another element in place of one; negative numbers count from the end.",
    since: "1.0.0",
    cost: "O(log N) for a list of N elements",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::CHANGE),
    run: Run::Here(lset),
    examples: r#"
        > RPUSH line ann bob
        (integer) 2
        > LSET line -1 carl
        OK
        > LRANGE line 0 -1
        1) "ann"
        2) "carl"
        > LSET line 2 dora
        (error) ERR index out of range
        > LSET nothing 0 dora
        (error) ERR no such key
    "#,
};

fn lset(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (db, key, element, limit) = (cx.db, args.get(1), args.get(3), limit(cx.keys));
    let list: &List = cx.keys.object_to_change(db, key)?.ok_or(Refusal::NoSuchKey)?;
    let index = number::parse_i64(args.get(2)).ok_or(Refusal::NotInteger)?;
    let index = index_of(index, list.len());
    let index = index.ok_or(Refusal::fixed("ERR index out of range"))?;
    let form = list.form_set(index, element, limit);
    cx.keys.change(db, key, &Set { index, element, form });
    cx.reply.ok();
    Ok(())
}

pub(super) const LINSERT: Command = Command {
    name: "linsert",
    usage: "LINSERT key <BEFORE | AFTER> pivot element",
    summary: "Puts an element before or behind another one.",
    since: "2.2.0",
    cost: "O(N) for N elements before the other one",
    group: Group::List,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::ADD),
    run: Run::Sliced(linsert),
    examples: r#"
        > RPUSH line ann carl
        (integer) 2
        > LINSERT line BEFORE carl bob
        (integer) 3
        > LINSERT line AFTER carl dora
        (integer) 4
        > LRANGE line 0 -1
        1) "ann"
        2) "bob"
        3) "carl"
        4) "dora"
        > LINSERT line AFTER nobody eve
        (integer) -1
        > LINSERT nothing AFTER ann eve
        (integer) 0
        > LINSERT line BEHIND ann eve
        (error) ERR syntax error
    "#,
};

fn linsert(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let (db, key) = (cx.db, args.required()?);
    let is_after = match () {
        () if args.word("AFTER") => true,
        () if args.word("BEFORE") => false,
        () => return Err(Refusal::Syntax),
    };
    let (pivot, element) = (args.required()?, args.required()?);
    let Some(list) = cx.keys.object_to_change::<List>(db, key)? else {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    };
    let is_short = list.len() <= PIECE;
    let (key, pivot, element) = (key.to_vec(), pivot.to_vec(), element.to_vec());
    let mut at = 0;
    let slices = move |cx: &mut Cx<'_>| {
        let limit = limit(cx.keys);
        let Some(list) = cx.keys.object_to_change::<List>(db, &key)? else {
            cx.reply.integer(0);
            return Ok(true);
        };
        let end = at + PIECE;
        let found = list.range(at..end).position(|value| is(value, &pivot));
        let Some(found) = found else {
            at = end;
            let is_over = end >= list.len();
            if is_over {
                cx.reply.integer(-1);
            }
            return Ok(is_over);
        };
        let form = list.form_with([&element[..]], limit);
        let index = at + found as u64 + u64::from(is_after);
        let (element, pivot) = (&element[..], &pivot[..]);
        let count = cx.keys.change(db, &key, &Insert { index, element, pivot, is_after, form });
        cx.reply.integer(count as i64);
        Ok(true)
    };
    Whole::of(Box::new(slices), is_short, cx)
}

/// Whether an element has these bytes.
#[inline]
pub(super) fn is(value: Value<'_>, bytes: &[u8]) -> bool {
    match value {
        Value::Bytes(own) => own == bytes,
        value => value.len() == bytes.len() && value.with_bytes(|own| own == bytes),
    }
}

pub(super) const LREM: Command = Command {
    name: "lrem",
    usage: "LREM key count element",
    summary: "Removes elements that equal one: so many from the start, from the end where the count is \
              negative, or all where it is 0.",
    since: "1.0.0",
    cost: "O(N) for a list of N elements",
    group: Group::List,
    flags: Flags::WRITE,
    keys: Keys::ONE.used(Uses::RW.union(Uses::DELETE)),
    run: Run::Sliced(lrem),
    examples: r#"
        > RPUSH line ann bob ann carl ann
        (integer) 5
        > LREM line -1 ann
        (integer) 1
        > LRANGE line 0 -1
        1) "ann"
        2) "bob"
        3) "ann"
        4) "carl"
        > LREM line 0 ann
        (integer) 2
        > LREM line 0 nobody
        (integer) 0
        > LRANGE line 0 -1
        1) "bob"
        2) "carl"
    "#,
};

fn lrem(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let (db, key) = (cx.db, args.required()?);
    let count = args.integer()?;
    let element = args.required()?;
    let Some(list) = cx.keys.object_to_change::<List>(db, key)? else {
        cx.reply.integer(0);
        return Ok(Whole::Done);
    };
    let (length, most) = (list.len(), if count == 0 { u64::MAX } else { count.unsigned_abs() });
    let (key, element) = (key.to_vec(), element.to_vec());
    let mut removing =
        Removing { db, key, element, most, is_back: count < 0, left: length, removed: 0 };
    Whole::of(Box::new(move |cx| removing.more(cx)), length <= PIECE, cx)
}

/// An LREM under way.
struct Removing {
    db: DbIndex,
    key: Vec<u8>,
    element: Vec<u8>,
    /// So many more at the most.
    most: u64,
    is_back: bool,
    /// Elements that have not been looked at.
    left: u64,
    removed: u64,
}

impl Removing {
    /// Elements that are removed in one piece: some 50 us.
    const MATCHES: usize = 64;

    /// Looks at some elements; whether that is all.
    fn more(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let limit = limit(cx.keys);
        let Removing { db, ref key, ref element, is_back, .. } = *self;
        let Some(list) = cx.keys.object_to_change::<List>(db, key)? else {
            cx.reply.integer(self.removed as i64);
            return Ok(true);
        };
        let (length, form) = (list.len(), list.form());
        let start = if is_back { self.left - self.left.min(PIECE) } else { length - self.left };
        let end = if is_back { self.left } else { length.min(start + PIECE) };
        let elements = if is_back { list.range_back(start..end) } else { list.range(start..end) };
        let wanted = usize::try_from(self.most).unwrap_or(usize::MAX).min(Self::MATCHES);
        let (mut indexes, mut seen) = (Vec::new(), 0);
        for value in elements {
            if is(value, element) {
                indexes.push(if is_back { end - 1 - seen } else { start + seen });
            }
            seen += 1;
            if indexes.len() == wanted {
                break;
            }
        }
        if is_back {
            indexes.reverse();
        }
        let found = indexes.len() as u64;
        if found > 0 {
            let end = if is_back { End::Right } else { End::Left };
            cx.keys.change(db, key, &Remove { indexes, element, end, form });
        }
        (self.removed, self.most, self.left) =
            (self.removed + found, self.most - found, self.left - seen);
        if self.most > 0 && self.left > 0 {
            return Ok(false);
        }
        if self.removed > 0 {
            shrink(cx, db, key, limit);
        }
        cx.reply.integer(self.removed as i64);
        Ok(true)
    }
}

/// Makes a listpack of a quicklist that has become so short.
fn shrink(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], limit: crate::value::list::Limit) {
    let Ok(Some(list)) = cx.keys.object_to_change::<List>(db, key) else { return };
    let form = list.form_trimmed(0, 0, limit);
    if (list.form(), form) == (Form::Quick, Form::Pack) {
        cx.keys.change(db, key, &Trim { front: 0, back: 0, form });
    }
}
