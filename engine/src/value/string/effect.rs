//! What happens inside a string.
//!
//! ```text
//!   op  effect      bytes
//!    0  append      what was appended
//!    1  set range   offset (number), what was written there
//!    2  patch       parts that are others now (`patch`), none of them longer or shorter
//!    3  become      all of it, where a part is: no command of Redis says less
//! ```
//!
//! All else that commands do to strings ends in another string, which is put as a whole: INCR puts a number.

use super::patch::{self, Patches};
use crate::limits::STRING_MAX;
use crate::value::effect::{ChangeHead, Reading, Told, TypeEffect};
use crate::value::types::{Type, Unfit};
use crate::value::{Item, NewValue, Rope, Value};

const OP_APPEND: u8 = 0;
const OP_SET_RANGE: u8 = 1;
const OP_PATCH: u8 = 2;
const OP_BECOME: u8 = 3;

/// The type.
pub static TYPE: Type = Type {
    number: 0,
    name: "string",
    empty: || NewValue::Bytes(b""),
    decode: |bytes| Some(NewValue::Bytes(bytes)),
    perform,
    wakes: None,
};

/// One effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect<'a> {
    /// These bytes were appended.
    Append(&'a [u8]),
    /// The bytes from an offset on are now these, with zeros before them where the string was shorter.
    SetRange {
        /// Where the first byte was written.
        offset: u64,
        /// What was written.
        bytes: &'a [u8],
    },
    /// Parts are others now: what [`Patches`](super::Patches) says.
    Patch(&'a [u8]),
    /// All of it is another one now; its deadline stays.
    Become(&'a [u8]),
}

impl<'a> Effect<'a> {
    pub(super) fn decode(op: u8, bytes: &'a [u8]) -> Result<Effect<'a>, Unfit> {
        match op {
            OP_APPEND => Ok(Effect::Append(bytes)),
            OP_SET_RANGE => {
                let mut reading = Reading(bytes);
                let offset = reading.number().ok_or(Unfit::Malformed)?;
                Ok(Effect::SetRange { offset, bytes: reading.0 })
            }
            OP_PATCH => Ok(Effect::Patch(bytes)),
            OP_BECOME => Ok(Effect::Become(bytes)),
            _ => Err(Unfit::Unknown),
        }
    }
}

impl Patches {
    /// What happened to the string, which is now `whole`.
    pub fn effect<'a>(&'a self, whole: &'a [u8]) -> Effect<'a> {
        if self.resizes() { Effect::Become(whole) } else { Effect::Patch(self.as_bytes()) }
    }
}

/// Performs an effect that was told.
fn perform(item: &mut Item, op: u8, bytes: &[u8]) -> Result<(), Unfit> {
    Effect::decode(op, bytes)?.perform(item).map(drop)
}

impl TypeEffect for Effect<'_> {
    const TYPE: &'static Type = &TYPE;

    /// The string's length afterwards.
    type Done = usize;

    fn told<'a>(&'a self, _: &'a mut Vec<u8>) -> Told<'a> {
        match *self {
            Effect::Append(bytes) => Told { op: OP_APPEND, head: ChangeHead::default(), bytes },
            Effect::SetRange { offset, bytes } => {
                Told { op: OP_SET_RANGE, head: ChangeHead::number(offset), bytes }
            }
            Effect::Patch(bytes) => Told { op: OP_PATCH, head: ChangeHead::default(), bytes },
            Effect::Become(bytes) => Told { op: OP_BECOME, head: ChangeHead::default(), bytes },
        }
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        let fits = |end: u64| if end > STRING_MAX as u64 { Err(Unfit::TooLong) } else { Ok(()) };
        match *self {
            Effect::Append(bytes) => {
                fits(item.string().map_or(0, Value::len) as u64 + bytes.len() as u64)?;
                Ok(item.append(bytes))
            }
            Effect::SetRange { offset, bytes } => {
                fits(offset.saturating_add(bytes.len() as u64))?;
                Ok(item.set_range(offset as usize, bytes))
            }
            Effect::Patch(told) => patch::perform(item, told),
            Effect::Become(bytes) => {
                fits(bytes.len() as u64)?;
                Ok(item.rewrite(bytes))
            }
        }
    }
}

/// Many bytes, appended or written into a string: what becomes of it was made aside, a piece at a time, and
/// shares with it what stays.
#[derive(Debug)]
pub struct Written {
    /// What the string is then.
    pub whole: Rope,
    /// Where the bytes were written; none where they were appended.
    pub offset: Option<u64>,
    /// The bytes.
    pub bytes: Rope,
}

impl TypeEffect for Written {
    const TYPE: &'static Type = &TYPE;

    /// The string's length afterwards.
    type Done = usize;

    fn told<'a>(&'a self, _: &'a mut Vec<u8>) -> Told<'a> {
        let (op, head) = match self.offset {
            None => (OP_APPEND, ChangeHead::default()),
            Some(offset) => (OP_SET_RANGE, ChangeHead::number(offset)),
        };
        Told { op, head, bytes: b"" }
    }

    fn told_pieces(&self) -> Option<&Rope> {
        Some(&self.bytes)
    }

    fn perform(&self, item: &mut Item) -> Result<usize, Unfit> {
        match self.whole.len() {
            ..=STRING_MAX => Ok(item.become_rope(self.whole.clone())),
            _ => Err(Unfit::TooLong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::NewValue;

    /// Does the same by an effect and by its told form.
    fn check(before: &[u8], effect: Effect<'_>, after: Result<&[u8], Unfit>) {
        let item = || Item::new(b"key", NewValue::from_bytes(before), None);
        let (mut own, mut told) = (item(), item());
        let mut room = Vec::new();
        let Told { op, head, bytes } = effect.told(&mut room);
        let bytes = [head.as_bytes(), bytes].concat();
        assert_eq!(Effect::decode(op, &bytes), Ok(effect));
        let outcome = perform(&mut told, op, &bytes);
        assert_eq!(effect.perform(&mut own), outcome.map(|()| own_len(&told)), "{effect:?}");
        let is = |item: &Item| item.string().map(|value| value.with_bytes(<[u8]>::to_vec));
        assert_eq!((is(&own), is(&told)), (Some(after.unwrap_or(before).into()), is(&own)));
        assert_eq!(outcome.err(), after.err());
    }

    #[test]
    fn what_was_written_aside_is_what_a_replica_writes() {
        let bytes = vec![b'y'; 200_000];
        for (before, offset) in [(1usize, None), (100_000, None), (300_000, Some(7)), (5, Some(90))]
        {
            let item = || Item::new(b"key", NewValue::Owned(vec![b'x'; before]), None);
            let (mut own, mut told_item) = (item(), item());
            let mut whole = Rope::of(&vec![b'x'; before]);
            whole.write(offset.map_or(before, |offset| offset as usize), &bytes);
            let written = Written { whole, offset, bytes: Rope::of(&bytes) };
            let mut room = Vec::new();
            let Told { op, head, .. } = written.told(&mut room);
            let told =
                [head.as_bytes(), &written.told_pieces().unwrap().borrow().to_vec()].concat();
            let length = written.perform(&mut own).unwrap();
            perform(&mut told_item, op, &told).unwrap();
            assert_eq!((length, own.string()), (own_len(&told_item), told_item.string()));
            assert_eq!(own.heap_bytes(), told_item.heap_bytes());
        }
    }

    fn own_len(item: &Item) -> usize {
        item.string().map_or(0, Value::len)
    }

    #[test]
    fn an_effect_and_what_is_told_of_it_do_the_same() {
        check(b"12", Effect::Append(b"3"), Ok(b"123"));
        check(b"", Effect::Append(b""), Ok(b""));
        check(b"abc", Effect::SetRange { offset: 5, bytes: b"x" }, Ok(b"abc\0\0x"));
        check(b"abc", Effect::SetRange { offset: 1, bytes: b"x" }, Ok(b"axc"));
        let far = Effect::SetRange { offset: STRING_MAX as u64, bytes: b"x" };
        check(b"abc", far, Err(Unfit::TooLong));
        let beyond = Effect::SetRange { offset: u64::MAX, bytes: b"x" };
        check(b"abc", beyond, Err(Unfit::TooLong));
        check(b"abc", Effect::Patch(&[1, 1, 2, b'x', b'y']), Ok(b"axyc"));
        check(b"abc", Effect::Patch(&[1, 1, 1, b'x', 1, 0, 0]), Ok(b"axc"));
        check(b"abc", Effect::Patch(&[1, 3, 0]), Err(Unfit::Malformed));
        check(b"", Effect::Patch(&[]), Ok(b""));
        check(b"abc", Effect::Become(b"12"), Ok(b"12"));
    }

    #[test]
    fn what_is_no_effect_is_refused() {
        let mut item = Item::new(b"key", NewValue::Int(1), None);
        assert_eq!(perform(&mut item, 4, b""), Err(Unfit::Unknown));
        assert_eq!(perform(&mut item, OP_SET_RANGE, &[0x80]), Err(Unfit::Malformed));
        assert_eq!(item.string(), Some(Value::Int(1)));
    }
}
