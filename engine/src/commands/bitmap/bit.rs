//! Single bits.

use crate::command::{Args, Command, Cx, Flags, Group, Keys, Outcome, Refusal, Run, Uses};
use crate::limits::STRING_MAX;
use crate::resp::number::parse_i64;
use crate::value::string::Effect;

/// One more than the highest offset of a bit.
pub(super) const BITS_MAX: u64 = STRING_MAX as u64 * 8;

pub(super) const SETBIT: Command = Command {
    name: "setbit",
    usage: "SETBIT key offset value",
    summary: "Sets or clears the bit at an offset and returns the one that was there.",
    since: "2.2.0",
    cost: "O(1)",
    group: Group::Bitmap,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: Keys::ONE.used(Uses::READ_CHANGE),
    run: Run::Here(setbit),
    examples: r#"
        > SETBIT seen 7 1
        (integer) 0
        > SETBIT seen 7 0
        (integer) 1
        > GET seen
        "\x00"
        > SETBIT seen 7 2
        (error) ERR bit is not an integer or out of range
    "#,
};

fn setbit(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let offset = offset_of(args.required()?)?;
    let bit = match args.required()? {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(Refusal::BitValue),
    };
    let (at, shift) = (offset as usize / 8, 7 - offset % 8);
    let value = cx.keys.string_to_change(cx.db, key)?;
    let there = value.and_then(|value| value.byte(at));
    let byte = there.unwrap_or(0);
    let changed = byte & !(1 << shift) | bit << shift;
    if there != Some(changed) {
        let effect = Effect::SetRange { offset: at as u64, bytes: &[changed] };
        cx.keys.change(cx.db, key, &effect);
    }
    cx.reply.integer(i64::from(byte >> shift & 1));
    Ok(())
}

pub(super) const GETBIT: Command = Command {
    name: "getbit",
    usage: "GETBIT key offset",
    summary: "Returns the bit at an offset, 0 behind the end.",
    since: "2.2.0",
    cost: "O(1)",
    group: Group::Bitmap,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: Keys::ONE,
    run: Run::Here(getbit),
    examples: r#"
        > SET letter a
        OK
        > GETBIT letter 1
        (integer) 1
        > GETBIT letter 100
        (integer) 0
        > GETBIT letter -1
        (error) ERR bit offset is not an integer or out of range
    "#,
};

fn getbit(cx: &mut Cx<'_>, mut args: Args<'_>) -> Outcome {
    let key = args.required()?;
    let offset = offset_of(args.required()?)?;
    let value = cx.keys.string(cx.db, key)?;
    let byte = value.and_then(|value| value.byte(offset as usize / 8)).unwrap_or(0);
    cx.reply.integer(i64::from(byte >> (7 - offset % 8) & 1));
    Ok(())
}

fn offset_of(text: &[u8]) -> Result<u64, Refusal> {
    let offset = parse_i64(text).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| *offset < BITS_MAX).ok_or(Refusal::BitOffset)
}
