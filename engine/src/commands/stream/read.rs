//! Reading several streams from a number on: XREAD, and for consumers of a group XREADGROUP.
//!
//! What is read is decided on in one place, of streams that all shards of the request hold meanwhile. Of a
//! group the decision is what is delivered to whom, and the shards note it.

use super::deliver::{Delivery, Reader, Told};
use super::walk::{Range, Walk};
use super::words::{begin_stream, begin_streams, naming, strict_id};
use crate::command::{
    Args, Carried, Carry, Command, Cx, Decided, Decision, Flags, Found, Group, Keys, Refusal, Run,
    Spec, Uses,
};
use crate::resp::number::parse_i64;
use crate::value::SharedValue;
use crate::value::stream::{Id, Stream};

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
    run: Run::Carry(Carry { check: check_read, gather: look, decide: read }),
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
    run: Run::Carry(Carry { check: check_read_group, gather: look, decide: read_group }),
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

/// When it is does not matter here.
const NO_TIME: u64 = 0;

fn check_read(args: Args<'_>) -> Result<(), Refusal> {
    Options::parse(args, false, NO_TIME).map(drop)
}

fn check_read_group(args: Args<'_>) -> Result<(), Refusal> {
    Options::parse(args, true, NO_TIME).map(drop)
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

/// Where XREAD goes on in each stream: behind this.
fn starts(options: &Options<'_>, args: Args<'_>, carried: &[Carried]) -> Result<Vec<Id>, Refusal> {
    let start = |index: usize| {
        let stream = stream_in(carried.get(index))?;
        Ok(match options.id(args, index) {
            b"$" => stream.map_or(Id::ZERO, Stream::last_id),
            b"+" => stream.and_then(|stream| stream.top().before()).unwrap_or(Id::ZERO),
            b">" => {
                return Err(Refusal::fixed(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP \
                     <group> <consumer> option.",
                ));
            }
            text => strict_id(text)?,
        })
    };
    (0..options.streams).map(start).collect()
}

fn read(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = Options::parse(args, false, decision.now.0)?;
    let starts = starts(&options, args, carried)?;
    let mut served = Vec::new();
    for (index, start) in starts.into_iter().enumerate() {
        let Some(stream) = stream_in(carried.get(index))? else { continue };
        if stream.top() > start {
            let from = start.after().unwrap_or(Id::MAX);
            let range = Range { from, to: Id::MAX, most: options.count, is_back: false };
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

fn read_group(
    decision: &mut Decision<'_>,
    args: Args<'_>,
    carried: &[Carried],
) -> Result<Decided, Refusal> {
    let options = Options::parse(args, true, decision.now.0)?;
    let Some((group, consumer)) = options.reader else { return Err(Refusal::Syntax) };
    let mut deliveries = Vec::new();
    for index in 0..options.streams {
        let key = options.key(args, index);
        let Some(found) = stream_in(carried.get(index))?.and_then(|stream| stream.group(group))
        else {
            let parts = [
                "NOGROUP No such key '",
                "' or consumer group '",
                "' in XREADGROUP with GROUP option",
            ];
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
        let Some(value) = value_in(carried.get(index)) else { continue };
        let told = Told { db: decision.db, key: key.to_vec() };
        let reader = Reader {
            group: group.to_vec(),
            consumer: consumer.to_vec(),
            noack: options.noack,
            at: (found.last, found.read),
        };
        deliveries.push(Delivery::of(told, value, reader, history, options.count));
    }
    super::deliver::all(decision, deliveries)
}
