//! DEBUG: for tests and for people who look for differences.

use super::container::container_of;
use crate::command::{
    All, Args, Command, Cx, Each, Flags, Group, Join, Keys, Outcome, Part, Refusal, Run, Spec,
};
use crate::db::Digest;
use crate::resp::ReplyWriter;
use crate::value::NewValue;
use crate::value::Value;

pub(super) const FLAGS: Flags =
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

pub(super) const DEBUG: Command = container_of(
    "debug",
    "DEBUG <subcommand> [argument ...]",
    "Helps to look for mistakes.",
    "1.0.0",
    FLAGS,
);

pub(super) const DIGEST: Command = Command {
    name: "debug|digest",
    usage: "DEBUG DIGEST",
    summary: "Returns a digest of all databases: nodes with equal digests hold equal data.",
    since: "1.0.0",
    cost: "O(N) with N keys.",
    group: Group::Server,
    flags: FLAGS,
    keys: Keys::NONE,
    run: Run::All(All { check: any, part: digest, join: join_digests, barrier: true }),
    examples: r#"
        > DEBUG DIGEST
        0000000000000000000000000000000000000000
    "#,
};

fn any(_: Args<'_>, _: usize) -> Result<(), Refusal> {
    Ok(())
}

fn digest(cx: &mut Cx<'_>, _: Args<'_>, part: &mut Part) -> Result<bool, Refusal> {
    let mut whole = digest_in(part);
    let next = cx.keys.digest_piece(part.position, &mut whole);
    part.bytes = whole.to_bytes().to_vec();
    part.position = next.unwrap_or_default();
    Ok(next.is_none())
}

/// What a part has found so far: a digest's 20 bytes, because `digest` made it.
fn digest_in(part: &Part) -> Digest {
    part.bytes.as_slice().try_into().map_or(Digest::default(), Digest::from_bytes)
}

fn join_digests(_: Args<'_>, parts: &[Part], reply: &mut ReplyWriter<'_>) {
    let mut whole = Digest::default();
    for part in parts {
        whole.add(digest_in(part));
    }
    reply.simple(whole.to_string());
}

pub(super) const DIGEST_VALUE: Command = Command {
    name: "debug|digest-value",
    usage: "DEBUG DIGEST-VALUE key [key ...]",
    summary: "Returns a digest of each key: zero for one that does not exist.",
    since: "5.0.0",
    cost: "O(N) with N keys.",
    group: Group::Server,
    flags: FLAGS,
    keys: Keys::of([Spec::range(2, -1, 1)]),
    run: Run::Each(Each { stride: 1, one: digest_value, join: Join::Array }),
    examples: r#"
        > DEBUG DIGEST-VALUE nothing
        1) 0000000000000000000000000000000000000000
    "#,
};

fn digest_value(cx: &mut Cx<'_>, key: &[u8], _: NewValue<'_>) -> Result<i64, Refusal> {
    let digest = cx.keys.digest_of(cx.db, key);
    cx.reply.simple(digest.to_string());
    Ok(0)
}

pub(super) const OBJECT: Command = Command {
    name: "debug|object",
    usage: "DEBUG OBJECT key",
    summary: "Describes how a value is kept.",
    since: "1.0.0",
    cost: "O(1)",
    group: Group::Server,
    flags: FLAGS,
    keys: Keys::SECOND,
    run: Run::Here(object),
    examples: r#"
        > DEBUG OBJECT nothing
        (error) ERR no such key
    "#,
};

/// In Redis's words. Where the value lies in memory is nobody's business: the address is always 0.
fn object(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (policy, now) = (cx.keys.policy(), cx.now());
    let item = cx.keys.peek(cx.db, args.get(2)).ok_or(Refusal::NoSuchKey)?;
    let (encoding, lru) = (item.encoding(), item.clock());
    let length = item.string().map_or_else(|| item.encoded_len(), serialized_length);
    let idle = policy.idle_seconds(item, now);
    cx.reply.simple(format!(
        "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{length} lru:{lru} \
         lru_seconds_idle:{idle}"
    ));
    Ok(())
}

/// The bytes of a string in an RDB file, uncompressed.
fn serialized_length(value: Value<'_>) -> usize {
    match value {
        Value::Int(number) if i8::try_from(number).is_ok() => 2,
        Value::Int(number) if i16::try_from(number).is_ok() => 3,
        Value::Int(number) if i32::try_from(number).is_ok() => 5,
        value => {
            let length = value.len();
            length
                + match length {
                    0..=63 => 1,
                    64..=16383 => 2,
                    _ => 5,
                }
        }
    }
}
