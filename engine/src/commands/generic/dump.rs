//! DUMP: a value as Redis writes it.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Whole};
use crate::rdb::{Crc, Writing, dump, forms};
use crate::resp::Held;
use crate::value::{Rope, SharedValue};
use std::sync::Arc;

pub(super) const DUMP: Command = Command {
    name: "dump",
    usage: "DUMP key",
    summary: "Returns a value in the form that RESTORE takes, here and in Redis 6.2 and later.",
    since: "2.6.0",
    cost: "O(N) with a value of N bytes.",
    group: Group::Generic,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    run: Run::Sliced(run),
    examples: r#"
        > SET visits 12
        OK
        > DUMP visits
        "\x00\xc0\x0c\t\x00\xec\xd8\xa9\x9d\b\x82\xdfd"
        > DUMP nothing
        (nil)
    "#,
};

fn run(cx: &mut Cx<'_>, args: Args<'_>) -> Result<Whole, Refusal> {
    let Some(item) = cx.keys.find(cx.db, args.get(1)) else {
        cx.reply.nil();
        return Ok(Whole::Done);
    };
    if let Some(object) = item.object() {
        let refusal = Refusal::fixed("ERR DUMP does not know this type yet");
        return parts(forms::writing(object).ok_or(refusal)?, cx);
    }
    let Some(value) = item.string() else {
        cx.reply.nil();
        return Ok(Whole::Done);
    };
    if value.len() > dump::PACKED_MAX
        && let SharedValue::Large(rope) = item.share()
    {
        return Ok(large(rope));
    }
    let payload = dump::string(value);
    cx.reply.bulk(&payload);
    Ok(Whole::Done)
}

/// A value of several parts is written in slices; a long payload is then only referred to.
fn parts(mut writing: Box<dyn Writing>, cx: &mut Cx<'_>) -> Result<Whole, Refusal> {
    let mut payload = Vec::new();
    let is_done = (0..SHORT).any(|_| writing.more(&mut payload));
    if is_done {
        payload.extend_from_slice(&dump::footer(Crc::of(&payload)));
        cx.reply.bulk(&payload);
        return Ok(Whole::Done);
    }
    let (mut crc, mut rope) = (Crc::of(&payload), Rope::of(&payload));
    Ok(Whole::Later(Box::new(move |cx| {
        payload.clear();
        let is_done = writing.more(&mut payload);
        crc.add(&payload);
        rope.write(rope.len(), &payload);
        if is_done {
            let foot = dump::footer(crc);
            cx.reply.bulk_held(Arc::new(Payload { head: Vec::new(), rope: rope.clone(), foot }));
        }
        Ok(is_done)
    })))
}

/// Pieces of a payload that are written at once.
const SHORT: usize = 2;

/// The checksum is made in slices; what is sent then refers to the value.
fn large(rope: Rope) -> Whole {
    let head = dump::string_head(rope.len());
    let (mut crc, mut at) = (Crc::of(&head), 0);
    Whole::Later(Box::new(move |cx| {
        let stretch = rope.borrow().stretch(at);
        crc.add(stretch);
        at += stretch.len();
        if at < rope.len() {
            return Ok(false);
        }
        let (head, rope, foot) = (head.clone(), rope.clone(), dump::footer(crc));
        cx.reply.bulk_held(Arc::new(Payload { head, rope, foot }));
        Ok(true)
    }))
}

/// A payload whose value is only referred to.
struct Payload {
    head: Vec<u8>,
    rope: Rope,
    foot: [u8; dump::FOOTER],
}

impl Held for Payload {
    fn length(&self) -> usize {
        self.head.len() + self.rope.len() + self.foot.len()
    }

    fn stretch(&self, from: usize) -> &[u8] {
        let Some(from) = from.checked_sub(self.head.len()) else { return &self.head[from..] };
        match from.checked_sub(self.rope.len()) {
            None => self.rope.borrow().stretch(from),
            Some(from) => self.foot.get(from..).unwrap_or_default(),
        }
    }

    fn kept(&self, looks: &mut usize) -> usize {
        self.head.len() + self.rope.borrow().kept_bytes(looks) + self.foot.len()
    }
}
