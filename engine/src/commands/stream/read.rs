//! Reading several streams from a number on: XREAD, and for consumers of a group XREADGROUP.
//!
//! What is read is decided on in one place, of streams that all shards of the request hold meanwhile. Of a
//! group the decision is what is delivered to whom, and the shards note it.

use super::deliver::{Delivery, Reader, Told};
use super::walk::{Range, Walk};
use super::words::{begin_stream, begin_streams, naming, strict_id};
use crate::command::shape::{Awaited, Patience, Take, Wait};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Outcome,
    Refusal, Run, Spec, Uses,
};
use crate::resp::number::parse_i64;
use crate::types::DbIndex;
use crate::value::SharedValue;
use crate::value::stream::{Id, Stream, TYPE};
use std::time::Duration;

pub(super) const XREAD: Command = Command {
    name: "xread",
    usage: "XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
    summary: "Returns the entries of streams behind a number each; `$` is the last number that was given, \
              `+` asks for the last entry.",
    since: "5.0.0",
    cost: "O(N) with N returned entries.",
    group: Group::Stream,
    flags: Flags::READONLY.union(Flags::BLOCKING),
    keys: Keys::of([Spec::half("STREAMS", 1)
        .skipping(&[("COUNT", 1), ("BLOCK", 1)])
        .used(Uses::READ)]),
    run: Run::Wait(Wait {
        patience: |args| patience(args, false),
        awaits: Awaited::Type(&TYPE),
        look: has_entries,
        take: Take::Each { open: begin_streams, take: take_entries },
        nothing: Wait::no_array,
        settle,
        at_once: Some(Carry { check: check_read, gather: look, decide: read }),
        takes_many: |_| false,
    }),
    examples: r#"
        > XADD a 1-1 n 1
        "1-1"
        > XADD a 1-2 n 2
        "1-2"
        > XREAD COUNT 5 STREAMS a nothing 1-2 $
        (nil)
        > XREAD STREAMS a >
        (error) ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.
        > XREAD STREAMS a b 0
        (error) ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.
    "#,
};

pub(super) const XREADGROUP: Command = Command {
    name: "xreadgroup",
    usage: "XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key \
            [key ...] id [id ...]",
    summary: "Returns entries that were delivered to no consumer of a group (`>`), and notes that they are \
              pending with this one; or those that are pending with it, behind a number.",
    since: "5.0.0",
    cost: "O(N) with N returned entries.",
    group: Group::Stream,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: Keys::of([Spec::half("STREAMS", 1)
        .skipping(&[("COUNT", 1), ("BLOCK", 1), ("GROUP", 2)])
        .told_from(4)
        .used(Uses::READ.union(Uses::ALONE))]),
    run: Run::Wait(Wait {
        patience: |args| patience(args, true),
        // Also that the group goes.
        awaits: Awaited::Anything,
        look: has_delivery,
        take: Take::Each { open: begin_streams, take: take_delivery },
        nothing: Wait::no_array,
        settle: note_asked,
        at_once: Some(Carry { check: check_read_group, gather: look, decide: read_group }),
        takes_many: |_| false,
    }),
    examples: r#"
        > XADD jobs 1-1 do this
        "1-1"
        > XGROUP CREATE jobs team 0
        OK
        > XGROUP SETID jobs team 1-1
        OK
        > XREADGROUP GROUP team bob STREAMS jobs >
        (nil)
        > XREADGROUP GROUP team bob STREAMS jobs x
        (error) ERR Invalid stream ID specified as stream command argument
        > XREADGROUP GROUP other ann STREAMS jobs >
        (error) NOGROUP No such key 'jobs' or consumer group 'other' in XREADGROUP with GROUP option
    "#,
};

/// What a request says before its streams.
#[derive(Default)]
pub(super) struct Options<'a> {
    pub(super) count: u64,
    /// Milliseconds that it would wait, 0 being for ever.
    pub(super) block: Option<u64>,
    /// Who reads: group and consumer.
    reader: Option<(&'a [u8], &'a [u8])>,
    noack: bool,
    /// The first key, and how many there are.
    first: usize,
    streams: usize,
}

impl<'a> Options<'a> {
    fn parse(mut args: Args<'a>, is_group: bool, now: u64) -> Result<Options<'a>, Refusal> {
        let mut options = Options::default();
        while args.left() > 0 {
            let more = args.left() - 1;
            if more > 0 && args.word("BLOCK") {
                options.block = Some(timeout(args.required()?, now)?);
            } else if more > 0 && args.word("COUNT") {
                options.count = args.integer()?.max(0) as u64;
            } else if more > 0 && args.word("STREAMS") {
                options.first = args.len() - args.left();
                options.streams = args.left() / 2;
                if args.left() % 2 != 0 {
                    return Err(Refusal::fixed(if is_group {
                        UNBALANCED_GROUP
                    } else {
                        UNBALANCED
                    }));
                }
                break;
            } else if more > 1 && args.word("GROUP") {
                only_of_groups(is_group, "GROUP")?;
                options.reader = Some((args.required()?, args.required()?));
            } else if args.word("NOACK") {
                only_of_groups(is_group, "NOACK")?;
                options.noack = true;
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if options.first == 0 {
            return Err(Refusal::Syntax);
        }
        if is_group && options.reader.is_none() {
            return Err(Refusal::fixed("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(options)
    }

    fn key(&self, args: Args<'a>, index: usize) -> &'a [u8] {
        args.get(self.first + index)
    }

    fn id(&self, args: Args<'a>, index: usize) -> &'a [u8] {
        // C strings.
        let text = args.get(self.first + self.streams + index);
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

const UNBALANCED: &str = "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must \
                          be specified.";
const UNBALANCED_GROUP: &str = "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or \
                                '>' must be specified.";

fn only_of_groups(is_group: bool, option: &str) -> Result<(), Refusal> {
    if is_group {
        return Ok(());
    }
    Err(Refusal::made(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

/// Milliseconds to wait.
fn timeout(text: &[u8], now: u64) -> Result<u64, Refusal> {
    const NONE: Refusal = Refusal::fixed("ERR timeout is not an integer or out of range");
    const NEGATIVE: Refusal = Refusal::fixed("ERR timeout is negative");
    let time = u64::try_from(parse_i64(text).ok_or(NONE)?).map_err(|_| NEGATIVE)?;
    if time > (i64::MAX as u64).saturating_sub(now) {
        return Err(Refusal::fixed("ERR timeout is out of range"));
    }
    Ok(time)
}

/// The latest that it may be: a wait that ends later than time itself is refused.
const LATE: u64 = 1 << 42;

fn check_read(args: Args<'_>) -> Result<(), Refusal> {
    Options::parse(args, false, LATE).map(drop)
}

fn check_read_group(args: Args<'_>) -> Result<(), Refusal> {
    Options::parse(args, true, LATE).map(drop)
}

/// What is of another type is refused in the order of the keys.
fn look(cx: &mut Cx<'_>, key: &[u8], _: usize, _: Args<'_>) -> Result<Carried, Refusal> {
    Ok(cx.keys.find(cx.db, key).map(Found::of))
}

/// The stream that was found at a key.
fn stream_in(carried: Option<&Carried>) -> Result<Option<&Stream>, Refusal> {
    let Some(Some(found)) = carried else { return Ok(None) };
    found.value.object().map(Some).ok_or(Refusal::WrongType)
}

fn value_in(carried: Option<&Carried>) -> Option<SharedValue> {
    carried?.as_ref().map(|found| found.value.clone())
}

/// Where XREAD goes on in a stream: behind this.
fn start(
    options: &Options<'_>,
    args: Args<'_>,
    index: usize,
    stream: Option<&Stream>,
) -> Result<Id, Refusal> {
    Ok(match options.id(args, index) {
        b"$" => stream.map_or(Id::ZERO, Stream::last_id),
        b"+" => stream.and_then(|stream| stream.top().before()).unwrap_or(Id::ZERO),
        b">" => {
            return Err(Refusal::fixed(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                 <consumer> option.",
            ));
        }
        text => strict_id(text)?,
    })
}

/// What is behind a number.
fn behind(start: Id, count: u64) -> Range {
    let from = start.after().unwrap_or(Id::MAX);
    Range { from, to: Id::MAX, most: count, is_back: false }
}

/// How long a request waits.
fn patience(args: Args<'_>, is_group: bool) -> Result<Patience, Refusal> {
    Ok(match Options::parse(args, is_group, LATE)?.block {
        None => Patience::None,
        Some(0) => Patience::Endless,
        Some(millis) => Patience::For(Duration::from_millis(millis)),
    })
}

/// Whether a stream has something for an XREAD that waits.
fn has_entries(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Result<bool, Refusal> {
    let options = Options::parse(args, false, LATE)?;
    let stream: Option<&Stream> = cx.keys.object(cx.db, key)?;
    let start = start(&options, args, index, stream)?;
    Ok(stream.is_some_and(|stream| stream.top() > start))
}

/// What an XREAD that waits gets of a stream: in one piece.
fn take_entries(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Outcome {
    let options = Options::parse(args, false, LATE)?;
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, key)?;
    let start = start(&options, args, index, stream)?;
    if let Some(stream) = stream.filter(|stream| stream.top() > start) {
        begin_stream(&mut cx.reply, key);
        behind(start, options.count).write(stream, &mut cx.reply, |_| ());
    }
    Ok(())
}

/// What `$` means once the request sleeps.
fn settle(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Option<(usize, Vec<u8>)> {
    let options = Options::parse(args, false, LATE).ok()?;
    if options.id(args, index) != b"$" {
        return None;
    }
    let stream: Option<&Stream> = cx.keys.object_to_change(cx.db, key).ok()?;
    let last = stream.map_or(Id::ZERO, Stream::last_id);
    Some((options.first + options.streams + index, last.to_string().into_bytes()))
}

fn read(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = Options::parse(args, false, decision.now.0)?;
    let start = |index| start(&options, args, index, stream_in(carried.get(index))?);
    let starts = (0..options.streams).map(start).collect::<Result<Vec<Id>, Refusal>>()?;
    let mut served = Vec::new();
    for (index, start) in starts.into_iter().enumerate() {
        let Some(stream) = stream_in(carried.get(index))? else { continue };
        if stream.top() > start {
            let range = behind(start, options.count);
            served.push((index, range, range.is_short(stream)));
        }
    }
    if served.is_empty() {
        decision.reply.nil_array();
        return Ok(Vec::new().into());
    }
    let reply = &mut decision.reply;
    if served.iter().all(|(.., is_short)| *is_short) && served.len() <= FEW_STREAMS {
        begin_streams(reply, served.len());
        for (index, range, _) in served {
            let Some(stream) = stream_in(carried.get(index))? else { continue };
            begin_stream(reply, options.key(args, index));
            range.write(stream, reply, |_| ());
        }
        return Ok(Vec::new().into());
    }
    let walks = served.into_iter().filter_map(|(index, range, _)| {
        let value = value_in(carried.get(index))?;
        Some((options.key(args, index).to_vec(), Walk::of(value, range)))
    });
    let mut walks = walks.collect::<Vec<_>>().into_iter();
    let (count, mut is_begun) = (walks.len(), None);
    Ok(Decided::Later(Box::new(move |decision| {
        let reply = &mut decision.reply;
        if is_begun.is_none() {
            begin_streams(reply, count);
        }
        let is_stream_begun = is_begun.replace(true).unwrap_or(false);
        let Some((key, walk)) = walks.as_mut_slice().first_mut() else {
            return Ok(Some(Vec::new()));
        };
        if !is_stream_begun {
            begin_stream(reply, key);
        }
        if walk.more(reply, |_| ()) {
            walks.next();
            is_begun = Some(false);
        }
        Ok((walks.len() == 0).then(Vec::new))
    })))
}

/// Streams that are answered at once.
const FEW_STREAMS: usize = 8;

const NO_SENSE: &str = "is meaningless in the context of XREADGROUP: you want to read the history of this \
                        consumer by specifying a proper ID, or use the > ID to get new messages. The";

/// What a request of a consumer asks for of one stream.
fn delivery(
    options: &Options<'_>,
    args: Args<'_>,
    (index, db): (usize, DbIndex),
    carried: Option<&Carried>,
) -> Result<Delivery, Refusal> {
    let Some((group, consumer)) = options.reader else { return Err(Refusal::Syntax) };
    let key = options.key(args, index);
    let found = stream_in(carried)?.and_then(|stream| stream.group(group));
    let (Some(found), Some(value)) = (found, value_in(carried)) else {
        let parts =
            ["NOGROUP No such key '", "' or consumer group '", "' in XREADGROUP with GROUP option"];
        return Err(naming(parts, key, group));
    };
    let history = match options.id(args, index) {
        sign @ (b"$" | b"+") => {
            let sign = char::from(sign[0]);
            return Err(Refusal::made(format!(
                "ERR The {sign} ID {NO_SENSE} {sign} ID would just return an empty result set."
            )));
        }
        b">" => None,
        text => Some(strict_id(text)?),
    };
    // An id that is all ones is how Redis writes `>`.
    let history = history.filter(|id| *id != Id::MAX);
    let told = Told { db, key: key.to_vec() };
    let reader = Reader {
        group: group.to_vec(),
        consumer: consumer.to_vec(),
        noack: options.noack,
        at: (found.last, found.read),
    };
    Ok(Delivery::of(told, value, reader, history, options.count))
}

fn read_group(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = Options::parse(args, true, decision.now.0)?;
    let db = decision.db;
    let of = |index| delivery(&options, args, (index, db), carried.get(index));
    let deliveries = (0..options.streams).map(of).collect::<Result<Vec<Delivery>, Refusal>>()?;
    super::deliver::all(decision, deliveries)
}

/// What a stream has for a consumer that waits.
fn delivery_here(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    args: Args<'_>,
) -> Result<Delivery, Refusal> {
    let options = Options::parse(args, true, LATE)?;
    let carried = cx.keys.peek(cx.db, key).map(Found::of);
    delivery(&options, args, (index, cx.db), Some(&carried))
}

/// Whether there is something for it.
fn has_delivery(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    args: Args<'_>,
) -> Result<bool, Refusal> {
    Ok(delivery_here(cx, key, index, args)?.is_served())
}

/// What a consumer that waits gets of a stream: in one piece. Where that is nothing, it has asked all the same.
fn take_delivery(cx: &mut Cx<'_>, key: &[u8], index: usize, args: Args<'_>) -> Outcome {
    delivery_here(cx, key, index, args)?.have(cx);
    Ok(())
}

/// A consumer that begins to wait has asked: it is there from now on, and was seen now.
fn note_asked(
    cx: &mut Cx<'_>,
    key: &[u8],
    index: usize,
    args: Args<'_>,
) -> Option<(usize, Vec<u8>)> {
    // Every key was looked at just now.
    take_delivery(cx, key, index, args).ok();
    None
}
