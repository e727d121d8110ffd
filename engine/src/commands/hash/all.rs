//! All fields of a hash.

use super::access::{Seen, look, write};
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Uses, Whole};
use crate::resp::ReplyWriter;
use crate::types::Millis;
use crate::value::hash::{Field, Hash};
use crate::value::{Item, Object, SharedValue};

pub(super) const HGETALL: Command = Command {
    name: "hgetall",
    usage: "HGETALL key",
    summary: "Returns all fields and values of a hash; those of a large one are read in slices, as of \
              one moment.",
    since: "2.0.0",
    cost: "O(N) with N fields.",
    group: Group::Hash,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| all(cx, args, Want::Both)),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HGETALL ada
        1) "born"
        2) "1815"
        3) "name"
        4) "Lovelace"
        > HGETALL nobody
        (empty array)
    "#,
};

pub(super) const HKEYS: Command = Command {
    name: "hkeys",
    usage: "HKEYS key",
    summary: "Returns the names of all fields of a hash.",
    since: "2.0.0",
    cost: "O(N) with N fields.",
    group: Group::Hash,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| all(cx, args, Want::Names)),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HKEYS ada
        1) "born"
        2) "name"
    "#,
};

pub(super) const HVALS: Command = Command {
    name: "hvals",
    usage: "HVALS key",
    summary: "Returns the values of all fields of a hash.",
    since: "2.0.0",
    cost: "O(N) with N fields.",
    group: Group::Hash,
    flags: Flags::READONLY,
    keys: Keys::ONE.used(Uses::READ),
    run: Run::Sliced(|cx, args| all(cx, args, Want::Values)),
    examples: r#"
        > HSET ada born 1815 name Lovelace
        (integer) 2
        > HVALS ada
        1) "1815"
        2) "Lovelace"
    "#,
};

/// What of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Names,
    Values,
    Both,
    /// Each pair an array of its own, in RESP3.
    Pairs,
}

impl Want {
    pub(super) fn header(self, reply: &mut ReplyWriter<'_>, count: u64) {
        let count = count as usize;
        match self {
            Want::Names | Want::Values => reply.array(count),
            Want::Both => reply.map(count),
            Want::Pairs if is_resp3(reply) => reply.array(count),
            Want::Pairs => reply.array(count * 2),
        }
    }

    #[inline]
    pub(super) fn write(self, reply: &mut ReplyWriter<'_>, field: Field<'_>) {
        if self == Want::Pairs && is_resp3(reply) {
            reply.array(2);
        }
        if self != Want::Values {
            write(reply, field.name());
        }
        if self != Want::Names {
            write(reply, field.value());
        }
    }
}

fn is_resp3(reply: &ReplyWriter<'_>) -> bool {
    reply.protocol == crate::resp::Protocol::Resp3
}

/// Fields that are written in one piece, and up to how many at once: some 10 us each 128.
pub(super) const PIECE: usize = 128;
/// Bytes of them, and of a whole hash that is answered at once.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

fn all(cx: &mut Cx<'_>, args: Args<'_>, want: Want) -> Result<Whole, Refusal> {
    let key = args.get(1);
    let (seen, mut reply) = look(cx, key)?;
    let Some(seen) = seen else {
        want.header(&mut reply, 0);
        return Ok(Whole::Done);
    };
    if seen.hash.len() as usize <= PIECE * 4 && Object::encoded_len(seen.hash) <= PIECE_BYTES {
        want.header(&mut reply, seen.len());
        let fields = seen.hash.iter().filter(|field| !field.is_due(seen.now));
        fields.for_each(|field| want.write(&mut reply, field));
        return Ok(Whole::Done);
    }
    let (now, held) = (seen.now, share(cx, key));
    Ok(Whole::Later(large(held, now, want)))
}

/// The hash at a key, to be read in slices.
pub(super) fn share(cx: &mut Cx<'_>, key: &[u8]) -> SharedValue {
    cx.keys.peek(cx.db, key).map_or(SharedValue::Int(0), Item::share)
}

/// All fields of a held hash, piece by piece.
pub(super) fn large(held: SharedValue, now: Millis, want: Want) -> crate::command::shape::Slices {
    let mut index = None;
    Box::new(move |cx| {
        let Some(hash) = held.object::<Hash>() else { return Ok(true) };
        let Some(from) = index else {
            reserve(cx, hash, hash.len());
            want.header(&mut cx.reply, Seen { hash, now }.len());
            index = Some(0);
            return Ok(false);
        };
        let (mut next, end) = (from, cx.reply.out.len() + PIECE_BYTES);
        for field in hash.from(from).take(PIECE) {
            next += 1;
            if !field.is_due(now) {
                want.write(&mut cx.reply, field);
            }
            if cx.reply.out.len() >= end {
                break;
            }
        }
        cx.who.hold_room(cx.reply.whole())?;
        index = Some(next);
        Ok(next >= hash.len())
    })
}

/// Takes memory for a large reply at once: one that is copied while it grows holds everybody up.
pub(super) fn reserve(cx: &mut Cx<'_>, hash: &Hash, fields: u64) {
    /// Around each of two strings: `$`, its length and line ends, less what stands in the hash.
    const AROUND: u64 = 16;
    /// Large values are only referred to: no more is taken in advance.
    const MOST: u64 = 256 * 1024 * 1024;
    let each = Object::encoded_len(hash) as u64 / hash.len().max(1) + 1 + AROUND;
    cx.reply.reserve(each.saturating_mul(fields).min(MOST) as usize + 64, 0);
}
