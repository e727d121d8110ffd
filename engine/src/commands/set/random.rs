//! Members by chance, each with the same one.

use super::members::{PIECE, Showing, is_short, write};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::number::parse_i64;
use crate::types::DbIndex;
use crate::value::set::{Form, Remove, Set};
use std::collections::HashSet;

pub(super) const SPOP: Command = Command {
    name: "spop",
    usage: "SPOP key [count]",
    summary: "Takes members by chance out of a set and returns them.",
    since: "1.0.0",
    cost: "O(N) for N members",
    group: Group::Set,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: Keys::ONE.used(Uses::TAKE),
    run: Run::Sliced(spop),
    examples: r#"
        > SADD team ann
        (integer) 1
        > SPOP team
        "ann"
        > SPOP team
        (nil)
        > SADD team ann bob
        (integer) 2
        > SPOP team 5
        1) "ann"
        2) "bob"
        > EXISTS team
        (integer) 0
        > SPOP team -1
        (error) ERR value is out of range, must be positive
        > SPOP team 1 2
        (error) ERR syntax error
    "#,
};

fn spop(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.get(1);
    match args.len() {
        2 => pop_one(cx, key).map(|()| Whole::Done),
        3 => {
            let count = parse_i64(args.get(2)).and_then(|count| u64::try_from(count).ok());
            let refusal = Refusal::fixed("ERR value is out of range, must be positive");
            pop_some(cx, key, count.ok_or(refusal)?)
        }
        _ => Err(Refusal::Syntax),
    }
}

fn pop_one(cx: &mut Cx<'_>, key: &[u8]) -> Result<(), Refusal> {
    // As good as a draw below the length, which is far below 2^64.
    let drawn = u128::from(cx.keys.random.u64(..));
    let chosen = |set: &Set| ((drawn * u128::from(set.len())) >> 64) as u64;
    let (mut room, mut members) = (Room::new(), [&[][..]]);
    let (of_room, of_members, reply) = (&mut room, &mut members, &mut cx.reply);
    let popped = cx.keys.decide(cx.db, key, move |there: Option<&Set>| {
        let (member, seen) = there.and_then(|set| set.look_at(chosen(set)))?;
        write(reply, member);
        of_members[0] = member.value.with_bytes(|bytes| of_room.copy(bytes));
        Some(Remove { members: of_members, is_listed: false, seen })
    })?;
    if popped.is_none() {
        cx.reply.nil();
    }
    Ok(())
}

/// Where a member is copied to: on the heap only a longer one.
struct Room {
    short: [u8; 64],
    long: Vec<u8>,
}

impl Room {
    fn new() -> Room {
        Room { short: [0; 64], long: Vec::new() }
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8]) -> &[u8] {
        if let Some(short) = self.short.get_mut(..bytes.len()) {
            short.copy_from_slice(bytes);
            return short;
        }
        self.long.extend_from_slice(bytes);
        &self.long
    }
}

fn pop_some(cx: &mut Cx<'_>, key: &[u8], count: u64) -> Result<Whole, Refusal> {
    let limits = cx.keys.encodings().set_limits();
    let there: Option<&Set> = cx.keys.object_to_change(cx.db, key)?;
    let Some(set) = there.filter(|_| count > 0) else {
        cx.reply.set(0);
        return Ok(Whole::Done);
    };
    if count >= set.len() {
        return Ok(pop_all(set.clone(), cx, key));
    }
    let left = set.len() - count;
    // Redis makes a new set of what is left where that is little, and with it decides anew on the form.
    let is_listed = set.form() == Form::Hashed
        && left.saturating_mul(5) <= count
        && limits.left_over(set, left) == Form::Listed;
    let mut popping = Popping { db: cx.db, key: key.to_vec(), left: count, is_listed };
    let is_short = count <= PIECE as u64;
    let mut is_begun = false;
    let slices = Box::new(move |cx: &mut Cx<'_>| {
        if !std::mem::replace(&mut is_begun, true) {
            cx.reply.set(count as usize);
        }
        popping.more(cx)
    });
    Whole::of(slices, is_short, cx)
}

/// The key is deleted as a whole: of a large set not every member is told.
fn pop_all(set: Set, cx: &mut Cx<'_>, key: &[u8]) -> Whole {
    if is_short(&set) {
        cx.reply.set(set.len() as usize);
        set.iter().for_each(|member| write(&mut cx.reply, member));
        delete(cx, cx.db, key, &set);
        return Whole::Done;
    }
    let (db, key, mut showing) = (cx.db, key.to_vec(), Showing::of(set));
    Whole::Later(Box::new(move |cx| {
        if !showing.is_begun() {
            if let Err(refusal) = cx.who.hold_room(showing.bytes()) {
                // What nobody wants, or has room for, is taken all the same.
                delete(cx, db, &key, &showing.set);
                return Err(refusal);
            }
            cx.reply.set(showing.set.len() as usize);
        }
        let is_done = showing.more(&mut cx.reply);
        if is_done {
            delete(cx, db, &key, &showing.set);
        }
        Ok(is_done)
    }))
}

/// First one member goes, so that it is said that some were taken.
fn delete(cx: &mut Cx<'_>, db: DbIndex, key: &[u8], set: &Set) {
    let first = set.at(0).map(|member| member.value.to_bytes().into_owned()).unwrap_or_default();
    cx.keys.change(db, key, &Remove { members: &[&first], is_listed: false, seen: None });
    cx.keys.remove(db, key);
}

/// Members that are taken out one after the other.
struct Popping {
    db: DbIndex,
    key: Vec<u8>,
    left: u64,
    is_listed: bool,
}

impl Popping {
    fn more(&mut self, cx: &mut Cx<'_>) -> Result<bool, Refusal> {
        let Popping { db, ref key, .. } = *self;
        let taken = self.left.min(PIECE as u64);
        let there: Option<&Set> = cx.keys.object_to_change(db, key)?;
        let length = there.map_or(0, Set::len);
        let chosen = some_of(length, taken, &mut cx.keys.random);
        let there: Option<&Set> = cx.keys.object_to_change(db, key)?;
        let members = there.into_iter().flat_map(|set| chosen.iter().filter_map(|at| set.at(*at)));
        let members: Vec<Vec<u8>> =
            members.map(|member| member.value.to_bytes().into_owned()).collect();
        // What nobody wants, or has room for, is taken all the same.
        let room = cx.who.hold_room(cx.reply.whole());
        if room.is_ok() {
            members.iter().for_each(|member| cx.reply.bulk(member));
        }
        let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
        self.left -= taken;
        let is_done = self.left == 0;
        let is_listed = self.is_listed && is_done;
        if !members.is_empty() {
            cx.keys.change(db, key, &Remove { members: &members, is_listed, seen: None });
        }
        if is_done { room.map(|()| true) } else { Ok(false) }
    }
}

/// So many different numbers below a length, which is at least that, ascending.
fn some_of(length: u64, count: u64, random: &mut fastrand::Rng) -> Vec<u64> {
    // Robert Floyd's way: each choice is as likely as any other.
    let mut chosen = HashSet::with_capacity(count as usize);
    for most in length.saturating_sub(count)..length {
        let one = random.u64(..=most);
        if !chosen.insert(one) {
            chosen.insert(most);
        }
    }
    let mut chosen: Vec<u64> = chosen.into_iter().collect();
    chosen.sort_unstable();
    chosen
}

pub(super) const SRANDMEMBER: Command = Command {
    name: "srandmember",
    usage: "SRANDMEMBER key [count]",
    summary: "Returns members of a set by chance: with a count different ones, with a negative one any.",
    since: "1.0.0",
    cost: "O(N) for N members",
    group: Group::Set,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(srandmember),
    examples: r#"
        > SADD team ann
        (integer) 1
        > SRANDMEMBER team
        "ann"
        > SRANDMEMBER team 3
        1) "ann"
        > SRANDMEMBER team -3
        1) "ann"
        2) "ann"
        3) "ann"
        > SRANDMEMBER nobody
        (nil)
        > SRANDMEMBER nobody 3
        (empty array)
        > SRANDMEMBER team x
        (error) ERR value is not an integer or out of range
        > SRANDMEMBER team 1 2
        (error) ERR syntax error
    "#,
};

fn srandmember(cx: &mut Cx<'_>, mut args: Args<'_>) -> Result<Whole, Refusal> {
    let key = args.get(1);
    if args.len() > 3 {
        return Err(Refusal::Syntax);
    }
    if args.len() == 2 {
        let there: Option<&Set> = cx.keys.object(cx.db, key)?;
        let Some(length) = there.map(Set::len) else {
            cx.reply.nil();
            return Ok(Whole::Done);
        };
        let chosen = cx.keys.random.u64(..length);
        let there: Option<&Set> = cx.keys.object_to_change(cx.db, key)?;
        match there.and_then(|set| set.at(chosen)) {
            Some(member) => write(&mut cx.reply, member),
            None => cx.reply.nil(),
        }
        return Ok(Whole::Done);
    }
    args.seek(2);
    let count = args.negatable()?;
    let there: Option<&Set> = cx.keys.object(cx.db, key)?;
    let Some(set) = there.filter(|_| count != 0).cloned() else {
        cx.reply.array(0);
        return Ok(Whole::Done);
    };
    let asked = count.unsigned_abs();
    if count > 0 && asked >= set.len() {
        return Ok(show_all(set, cx));
    }
    if count < 0 { show_any(set, asked, cx) } else { show_some(set, asked, cx) }
}

fn show_all(set: Set, cx: &mut Cx<'_>) -> Whole {
    if is_short(&set) {
        cx.reply.array(set.len() as usize);
        set.iter().for_each(|member| write(&mut cx.reply, member));
        return Whole::Done;
    }
    let mut showing = Showing::of(set);
    Whole::Later(Box::new(move |cx| {
        if !showing.is_begun() {
            cx.who.hold_room(showing.bytes())?;
            cx.reply.array(showing.set.len() as usize);
        }
        Ok(showing.more(&mut cx.reply))
    }))
}

/// Any members, also the same again.
fn show_any(set: Set, count: u64, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
    let (is_short, mut left, mut is_begun) = (count <= PIECE as u64, count, false);
    let slices = Box::new(move |cx: &mut Cx<'_>| {
        if !std::mem::replace(&mut is_begun, true) {
            // Each takes at least this much: more than fits is not begun.
            cx.who.hold_room(usize::try_from(count.saturating_mul(5)).unwrap_or(usize::MAX))?;
            cx.reply.array(count as usize);
        }
        let piece = left.min(PIECE as u64);
        for _ in 0..piece {
            let chosen = cx.keys.random.u64(..set.len());
            set.at(chosen).into_iter().for_each(|member| write(&mut cx.reply, member));
        }
        cx.who.hold_room(cx.reply.whole())?;
        left -= piece;
        Ok(left == 0)
    });
    Whole::of(slices, is_short, cx)
}

/// Different members, fewer than there are: along the set, each of them is taken with the chance that makes the
/// number right at its end; of a large set with few of them, they are chosen first.
fn show_some(set: Set, count: u64, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
    if count <= PIECE as u64 {
        let chosen = some_of(set.len(), count, &mut cx.keys.random);
        cx.reply.array(count as usize);
        let members = chosen.iter().filter_map(|at| set.at(*at));
        members.for_each(|member| write(&mut cx.reply, member));
        return Ok(Whole::Done);
    }
    /// Numbers that are drawn in one piece.
    const DRAWN: u64 = 1024;
    let (mut at, mut left, mut is_begun) = (0, count, false);
    Ok(Whole::Later(Box::new(move |cx| {
        if !std::mem::replace(&mut is_begun, true) {
            cx.reply.array(count as usize);
        }
        let end = set.len().min(at + DRAWN);
        let mut chosen = Vec::new();
        while at < end && left > chosen.len() as u64 && chosen.len() < PIECE * 4 {
            if cx.keys.random.u64(..set.len() - at) < left - chosen.len() as u64 {
                chosen.push(at);
            }
            at += 1;
        }
        left -= chosen.len() as u64;
        for at in chosen {
            set.at(at).into_iter().for_each(|member| write(&mut cx.reply, member));
        }
        cx.who.hold_room(cx.reply.whole())?;
        Ok(left == 0)
    })))
}
