//! DEBUG POPULATE: many keys at once, for tests and measurements; Dragonfly's options included.

use super::debug::FLAGS;
use crate::command::{Args, Command, Cx, Flags, Group, Keys, Refusal, Run, Walk, Walked};
use crate::journal::Deadline;
use crate::limits::{POPULATE_LOOKED_AT_MAX, POPULATE_MADE_MAX, STRING_MAX};
use crate::rdb::{Building, Kind, Part, forms};
use crate::resp::ReplyWriter;
use crate::resp::number::parse_i64;
use crate::types::{Millis, SLOTS, Slot, hash_tag, shard_of, slot_of};
use crate::value::{NewValue, Value};
use std::any::Any;
use std::ops::RangeInclusive;

pub(super) const POPULATE: Command = Command {
    name: "debug|populate",
    usage: "DEBUG POPULATE count [prefix] [size] [RAND] [TYPE type] [ELEMENTS count] \
            [SLOTS first last] [EXPIRE min-seconds max-seconds]",
    summary: "Makes keys prefix:0, prefix:1 and so on, where there are none yet. RAND makes the values \
              random hexadecimal digits, SLOTS makes keys of these slots only, EXPIRE gives each key a \
              time to live between two bounds. TYPE is string, list, set, zset or hash; of all but strings each value \
              has so many ELEMENTS (1 where it is not said), each of the size.",
    since: "1.0.0",
    cost: "O(N) with N keys.",
    group: Group::Server,
    flags: FLAGS.union(Flags::WRITE).union(Flags::DENYOOM).union(Flags::NO_MULTI),
    keys: Keys::NONE,
    run: Run::Walk(Walk {
        start: begin,
        step: populate,
        finish: populated,
        alone: true,
        long: false,
    }),
    examples: r#"
        > DEBUG POPULATE 20
        OK
        > DBSIZE
        (integer) 20
        > GET key:7
        "value:7"
        > DEBUG POPULATE 20 short 3
        OK
        > GET short:7
        "val"
        > DBSIZE
        (integer) 40
        > DEBUG POPULATE 5 slot 8 RAND TYPE string ELEMENTS 1 SLOTS 0 8191 EXPIRE 100 100
        OK
        > DBSIZE
        (integer) 45
        > DEBUG POPULATE -1
        (error) ERR value is out of range, must be positive
        > DEBUG POPULATE 3 team 8 TYPE set ELEMENTS 5
        OK
        > SCARD team:2
        (integer) 5
        > DEBUG POPULATE 1 key 8 TYPE module
        (error) ERR no keys of this type can be made
        > DEBUG POPULATE 1 key 8 SLOTS 7 3
        (error) ERR Invalid slot or out of range
        > DEBUG POPULATE 1 {tag} 8 SLOTS 0 0
        (error) ERR no key with this prefix lies in these slots
        > DEBUG POPULATE 1 key 8 EXPIRE 7 3
        (error) ERR EXPIRE needs the shorter time first
        > DEBUG POPULATE 1 key 8 nonsense
        (error) ERR syntax error
    "#,
};

/// The length of random values where none is named.
const RANDOM_SIZE: usize = 16;

/// What a POPULATE asks for.
struct Population<'a> {
    count: u64,
    prefix: &'a [u8],
    /// The length of each value; 0 lets it be as long as its text.
    size: usize,
    random: bool,
    kind: Kind,
    elements: u64,
    slots: RangeInclusive<u16>,
    /// Seconds.
    lifetime: Option<RangeInclusive<u64>>,
}

fn positive(text: &[u8]) -> Result<u64, Refusal> {
    let number = parse_i64(text).and_then(|number| u64::try_from(number).ok());
    number.ok_or(Refusal::fixed("ERR value is out of range, must be positive"))
}

fn population(mut args: Args<'_>) -> Result<Population<'_>, Refusal> {
    let at = |index: usize| (index < args.len()).then(|| args.get(index));
    let size = at(4).map_or(Ok(0), positive)?;
    if size > STRING_MAX as u64 {
        return Err(Refusal::TooLong);
    }
    let mut asked = Population {
        count: positive(args.get(2))?,
        prefix: at(3).unwrap_or(b"key"),
        size: size as usize,
        random: false,
        kind: Kind::String,
        elements: 1,
        slots: 0..=SLOTS - 1,
        lifetime: None,
    };
    args.seek(args.len().min(5));
    while args.left() > 0 {
        if args.word("RAND") {
            asked.random = true;
        } else if args.word("TYPE") {
            asked.kind = kind(args.required()?)?;
        } else if args.word("ELEMENTS") {
            asked.elements = positive(args.required()?)?.max(1);
        } else if args.word("SLOTS") {
            asked.slots = slots(args.required()?, args.required()?)?;
        } else if args.word("EXPIRE") {
            asked.lifetime = Some(lifetime(args.required()?, args.required()?)?);
        } else {
            return Err(Refusal::Syntax);
        }
    }
    // The keys of a prefix with a tag lie in one slot: in others they would be looked for without end.
    let key = [asked.prefix, b":0"].concat();
    if hash_tag(&key).len() < key.len() && !asked.slots.contains(&slot_of(&key).0) {
        return Err(Refusal::fixed("ERR no key with this prefix lies in these slots"));
    }
    Ok(asked)
}

/// A type by its name; Dragonfly calls hashes so as well.
fn kind(name: &[u8]) -> Result<Kind, Refusal> {
    let made = [Kind::String, Kind::List, Kind::Set, Kind::SortedSet, Kind::Hash];
    let is_it = |kind: &Kind| name.eq_ignore_ascii_case(kind.name().as_bytes());
    let refusal = Refusal::fixed("ERR no keys of this type can be made");
    made.into_iter().find(is_it).ok_or(refusal)
}

fn slots(first: &[u8], last: &[u8]) -> Result<RangeInclusive<u16>, Refusal> {
    let slot = |text| {
        let number = parse_i64(text).and_then(|number| u16::try_from(number).ok());
        number.filter(|number| *number < SLOTS)
    };
    let range = slot(first).zip(slot(last)).map(|(first, last)| first..=last);
    let refusal = Refusal::fixed("ERR Invalid slot or out of range");
    range.filter(|range| !range.is_empty()).ok_or(refusal)
}

/// Dragonfly counts these in 32 bits, which keeps all sums far from their ends.
fn lifetime(shortest: &[u8], longest: &[u8]) -> Result<RangeInclusive<u64>, Refusal> {
    let range = positive(shortest)?..=positive(longest)?;
    if *range.end() > u64::from(u32::MAX) || *range.start() == 0 {
        return Err(Refusal::ExpireTime("debug populate"));
    }
    if range.is_empty() {
        return Err(Refusal::fixed("ERR EXPIRE needs the shorter time first"));
    }
    Ok(range)
}

fn begin(args: Args<'_>) -> Result<Walked, Refusal> {
    population(args)?;
    Ok(Walked::default())
}

/// One step: every shard goes over all numbers, and makes those that are its own. `left` counts the keys
/// of the wanted slots that were passed on this shard, whoever's they are: all shards end at the same.
fn populate(cx: &mut Cx<'_>, args: Args<'_>, walked: &mut Walked) -> Result<bool, Refusal> {
    let asked = population(args)?;
    if let Some(making) = walked.making.take().and_then(|making| making.downcast().ok()) {
        walked.making = go_on(cx, &asked, making);
        return Ok(true);
    }
    let (mut looked_at, mut made) = (0, 0);
    while looked_at < POPULATE_LOOKED_AT_MAX && made < POPULATE_MADE_MAX {
        if walked.left >= asked.count {
            walked.next_shard();
            walked.left = 0;
            break;
        }
        let number = walked.position;
        walked.position += 1;
        looked_at += 1;
        let key = [asked.prefix, b":", number.to_string().as_bytes()].concat();
        let Slot(slot) = slot_of(&key);
        if !asked.slots.contains(&slot) {
            continue;
        }
        walked.left += 1;
        if shard_of(&key, cx.shards) != cx.shard || cx.keys.exists(cx.db, &key) {
            continue;
        }
        if asked.kind != Kind::String {
            made += 1 + (asked.elements / 16) as usize;
            walked.making = go_on(cx, &asked, Box::new(Making::of(cx, &asked, number, key)?));
            if walked.making.is_some() {
                return Ok(true);
            }
            continue;
        }
        let value = text_of(cx, &asked, format!("value:{number}"));
        // Large values are few in a step: they fill a frame by bytes instead of by count.
        made += 1 + value.len() / 1024;
        let deadline = deadline_of(cx, &asked);
        cx.keys.put(cx.db, &key, NewValue::Owned(value), deadline);
    }
    Ok(true)
}

/// What a key or an element of it holds: by chance, or this text.
fn text_of(cx: &mut Cx<'_>, asked: &Population<'_>, text: String) -> Vec<u8> {
    if asked.random {
        let size = if asked.size == 0 { RANDOM_SIZE } else { asked.size };
        let random = &mut cx.keys.random;
        return (0..size).map(|_| b"0123456789abcdef"[random.usize(..16)]).collect();
    }
    let mut value = text.into_bytes();
    if asked.size > 0 {
        value.resize(asked.size, 0);
    }
    value
}

fn deadline_of(cx: &mut Cx<'_>, asked: &Population<'_>) -> Deadline {
    asked.lifetime.as_ref().map_or(Deadline::None, |range| {
        Deadline::At(Millis(cx.now().0 + cx.keys.random.u64(range.clone()) * 1000))
    })
}

/// A value of several elements, put together as a RESTORE does it.
struct Making {
    number: u64,
    key: Vec<u8>,
    done: u64,
    building: Box<dyn Building>,
}

impl Making {
    fn of(
        cx: &Cx<'_>,
        asked: &Population<'_>,
        number: u64,
        key: Vec<u8>,
    ) -> Result<Making, Refusal> {
        let limits = cx.keys.encodings().of_forms();
        let refusal = Refusal::fixed("ERR no keys of this type can be made");
        let building = forms::building(asked.kind, 0, &limits).ok_or(refusal)?;
        Ok(Making { number, key, done: 0, building })
    }

    /// Adds an element. They begin with their number, so that they differ where the size allows it.
    fn add(&mut self, cx: &mut Cx<'_>, asked: &Population<'_>) {
        let (number, index) = (self.number, self.done);
        let element = text_of(cx, asked, format!("{index}:value:{number}"));
        let element = Value::Bytes(&element);
        match asked.kind {
            Kind::Hash => {
                let value = text_of(cx, asked, format!("value:{number}:{index}"));
                let value = Value::Bytes(&value);
                self.building.add(&Part::Field { field: element, value, expires: None });
            }
            Kind::SortedSet => {
                self.building.add(&Part::Member { member: element, score: index as f64 });
            }
            _ => {
                self.building.add(&Part::Element(element));
            }
        }
        self.done += 1;
    }
}

/// Makes some more of a value, and puts it there when it is whole; what is still to be made.
fn go_on(
    cx: &mut Cx<'_>,
    asked: &Population<'_>,
    mut making: Box<Making>,
) -> Option<Box<dyn Any + Send>> {
    /// Elements in one step: some 100 us.
    const ELEMENTS: u64 = 256;
    for _ in 0..ELEMENTS.min(asked.elements - making.done) {
        making.add(cx, asked);
    }
    if making.done < asked.elements {
        return Some(making);
    }
    if !cx.keys.exists(cx.db, &making.key) {
        let deadline = deadline_of(cx, asked);
        cx.keys.put(cx.db, &making.key, making.building.end(), deadline);
    }
    None
}

fn populated(_: &Walked, _: u16, reply: &mut ReplyWriter<'_>) {
    reply.ok();
}
