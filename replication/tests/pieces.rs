//! The decision-makers between journals and shards, by tables: what a flow sends next, in which order
//! received frames are handed out, and whom a node would have as its replica.

use engine::cut::CutGroup;
use engine::db::Role;
use engine::journal::{
    Bounds, Deadline, Decoder, Effect, FrameBuilder, FrameEntry, Global, ItemInPieces, LogWriter,
    Payload, Record, ShardSet, Transaction,
};
use engine::model::ModelNode;
use engine::shard::Passed;
use engine::types::{DbIndex, Lsn, Millis, ShardId, TxId, shard_of};
use engine::value::Rope;
use replication::handshake;
use replication::master::flow::{FlowSender, Step};
use replication::relay::Relay;
use replication::replica::gather::{Dispatch, Gather};
use replication::wire;
use std::collections::BTreeMap;
use std::task::{Context, Waker};

fn set(key: &str) -> Record<'_> {
    let effect = Effect::Put { value: Payload::Int(1), deadline: Deadline::None };
    Record { db: DbIndex(0), key: key.as_bytes(), effect }
}

/// What happens to a flow, and what it must say.
enum Op {
    /// The shard writes so many records.
    Write(usize),
    /// A walker asks its shard for a part.
    Ask(u16),
    /// The part arrives, read as of this LSN, with an item or without.
    Part { walk: u16, read_at: u64, item: bool, done: bool },
    /// What the flow sends next.
    Says(&'static str),
}
use Op::{Ask, Part, Says, Write};

fn words(step: Step) -> String {
    match step {
        Step::Log(span) => format!("log to {}", span.lsn_after()),
        Step::Messages(bytes) => {
            let (mut at, mut kinds) = (0, Vec::new());
            while let Some((kind, _, used)) = wire::next(&bytes[at..]).unwrap() {
                kinds.push(format!("{kind:?}"));
                at += used;
            }
            kinds.join(" ")
        }
        Step::Wait => "wait".to_owned(),
        Step::Gone(_) => "gone".to_owned(),
    }
}

fn check_flow(walks: &[u16], script: &[Op]) {
    let mut log = LogWriter::new();
    let reader = log.handle().reader_at(Lsn(0)).unwrap();
    let mut flow = FlowSender::full(reader, walks.to_vec());
    for (number, op) in script.iter().enumerate() {
        match *op {
            Write(count) => {
                for _ in 0..count {
                    log.append_one(&set("key"));
                }
                log.publish(Millis(1));
            }
            Ask(walk) => flow.ask(walk),
            Part { walk, read_at, item, done } => {
                let mut items = FrameBuilder::new();
                items.push(&set("item"));
                let large = Vec::new();
                let group = CutGroup { flow: 0, label: Lsn(read_at), items, large };
                let group = item.then_some(group);
                // Each part comes further than the one before.
                let boundaries = [number as u64; 16];
                let brings = flow.arrived(walk, Some(Lsn(read_at)), group, &boundaries, done);
                assert!(brings, "line {number}");
            }
            Says(expected) => assert_eq!(words(flow.next(1 << 20)), expected, "line {number}"),
        }
    }
}

#[test]
fn an_item_follows_the_journal_up_to_its_label_and_precedes_the_rest() {
    check_flow(
        &[0],
        &[
            Write(7),
            Ask(0),
            Write(2),
            Says("log to 7"),
            Says("wait"),
            Write(3),
            Part { walk: 0, read_at: 9, item: true, done: true },
            Says("log to 9"),
            Says("Items Passed"),
            Says("CutDone"),
            Says("log to 12"),
            Says("wait"),
        ],
    );
}

#[test]
fn boundaries_wait_for_the_journal_too() {
    check_flow(
        &[0],
        &[
            Ask(0),
            Write(4),
            Part { walk: 0, read_at: 4, item: false, done: false },
            Says("log to 4"),
            Says("Passed"),
            Says("wait"),
            Ask(0),
            Part { walk: 0, read_at: 4, item: true, done: true },
            Says("Items Passed"),
            Says("CutDone"),
        ],
    );
}

#[test]
fn a_walk_that_paused_says_nothing_of_boundaries() {
    let mut log = LogWriter::new();
    let mut flow = FlowSender::full(log.handle().reader_at(Lsn(0)).unwrap(), vec![0]);
    flow.ask(0);
    log.append_one(&set("key"));
    log.publish(Millis(1));
    assert!(!flow.arrived(0, Some(Lsn(1)), None, &[], false), "there is nothing to send");
    assert!(flow.has_log(), "but for the journal, which was held up");
    assert_eq!(words(flow.next(1 << 20)), "log to 1");
    assert!(!flow.has_log());
    assert_eq!(words(flow.next(1 << 20)), "wait");
    assert!(flow.is_full_sync());
}

#[test]
fn of_several_walkers_the_smallest_bound_decides() {
    check_flow(
        &[0, 1],
        &[
            Write(3),
            Ask(0),
            Write(3),
            Ask(1),
            Says("log to 3"),
            Part { walk: 1, read_at: 6, item: true, done: true },
            Says("wait"),
            Part { walk: 0, read_at: 5, item: true, done: true },
            Says("log to 5"),
            Says("Items Passed"),
            Says("log to 6"),
            Says("Items Passed"),
            Says("CutDone"),
        ],
    );
}

#[test]
fn a_label_below_what_was_sent_already_counts_as_of_the_question() {
    // A shard that had nothing to apply for long has reached less than the relay's head.
    check_flow(
        &[0],
        &[
            Write(5),
            Says("log to 5"),
            Ask(0),
            Part { walk: 0, read_at: 2, item: true, done: true },
            Says("Items Passed"),
            Says("CutDone"),
            Says("wait"),
        ],
    );
}

#[test]
fn a_walk_that_waits_for_an_open_key_says_nothing_and_wakes_nobody() {
    let log = LogWriter::new();
    let mut flow = FlowSender::full(log.handle().reader_at(Lsn(0)).unwrap(), vec![0]);
    for (boundary, expected) in [(5, "Passed"), (5, "wait"), (5, "wait"), (6, "Passed")] {
        flow.ask(0);
        let brings = flow.arrived(0, Some(Lsn(0)), None, &[boundary; 16], false);
        assert_eq!(brings, expected != "wait");
        assert!(!flow.has_log());
        assert_eq!(words(flow.next(1 << 20)), expected);
    }
    flow.ask(0);
    assert!(flow.arrived(0, Some(Lsn(0)), None, &[6; 16], true), "the end is something to say");
    assert_eq!(words(flow.next(1 << 20)), "CutDone");
}

fn is_readable(flow: &mut FlowSender) -> bool {
    flow.poll_log(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The writer was told at once that there is something to say, and said nothing, over and over: nobody else on its
/// executor had a turn, nor who would have ended the session.
#[test]
fn who_fell_out_of_the_journal_in_the_middle_of_a_slowed_part_is_not_looked_at_without_end() {
    let mut log = LogWriter::new();
    let mut flow = FlowSender::full(log.handle().reader_at(Lsn(0)).unwrap(), vec![0]);
    flow.ask(0);
    let value = vec![b'v'; 60_000];
    let put = Effect::Put { value: Payload::Bytes(&value), deadline: Deadline::None };
    let mut items = FrameBuilder::new();
    items.push(&Record { db: DbIndex(0), key: b"item", effect: put.clone() });
    let group = CutGroup { flow: 0, label: Lsn(0), items, large: Vec::new() };
    flow.arrived(0, Some(Lsn(0)), Some(group), &[1; 16], true);
    assert_eq!(words(flow.next_within(1 << 20, 1)), "Items");
    for _ in 0..20 {
        log.append_one(&Record { db: DbIndex(0), key: b"key", effect: put.clone() });
        log.publish(Millis(1));
    }
    log.trim(&Bounds { bytes: 1, age: None }, Millis(2));
    assert!(flow.reader().is_gone());
    assert_eq!(words(flow.next_within(1 << 20, 0)), "wait");
    assert!(!is_readable(&mut flow), "the part's rest goes first, or the session ends");
    assert!(words(flow.next_within(1 << 20, 1 << 20)).contains("Passed"));
    assert_eq!(words(flow.next_within(1 << 20, 0)), "CutDone");
    assert!(matches!(flow.next_within(1 << 20, 0), Step::Gone(_)));
}

#[test]
fn items_that_have_to_wait_hold_up_the_journal_no_longer_than_their_order_needs() {
    let mut log = LogWriter::new();
    let mut flow = FlowSender::full(log.handle().reader_at(Lsn(0)).unwrap(), vec![0]);
    let mut write = || {
        log.append_one(&set("key"));
        log.publish(Millis(1));
    };
    write();
    flow.ask(0);
    let value = vec![b'v'; 60_000];
    let mut items = FrameBuilder::new();
    let effect = Effect::Put { value: Payload::Bytes(&value), deadline: Deadline::None };
    items.push(&Record { db: DbIndex(0), key: b"item", effect });
    let large = vec![large_item("big", 300 * 1024)];
    let group = CutGroup { flow: 0, label: Lsn(1), items, large };
    flow.arrived(0, Some(Lsn(1)), Some(group), &[0; 16], true);
    write();
    let mut next = |items: usize| {
        let said = words(flow.next_within(1 << 20, items));
        // A writer that waits, and is told that there is something to read, never sleeps.
        assert!(said != "wait" || !is_readable(&mut flow));
        said
    };
    assert_eq!(next(0), "log to 1");
    assert_eq!(next(0), "wait", "the item comes before the second record");
    assert_eq!(next(1), "Items", "one message at least");
    assert_eq!(next(0), "wait", "nothing comes between the messages of a part");
    assert_eq!(next(30_000), "Items Items");
    assert_eq!(next(30_000), "Items Items Passed");
    assert_eq!(next(0), "log to 2");
    assert_eq!(next(0), "wait");
    let mut pieces = 0;
    loop {
        match next(50_000).as_str() {
            "Items" => pieces += 1,
            "CutDone" => break,
            other => panic!("{other}"),
        }
        assert_eq!(next(0), if pieces < 7 { "wait" } else { "CutDone" });
        if pieces == 7 {
            break;
        }
    }
    assert_eq!(pieces, 7, "300 KB in pieces of 50");
}

fn large_item(key: &str, length: usize) -> ItemInPieces {
    let value = Payload::Shared(Rope::of(&vec![b'v'; length]));
    ItemInPieces::new(DbIndex(0), key.as_bytes(), &value, Deadline::None)
}

/// What the entries of some frames are.
fn kinds_of(frames: &[u8]) -> String {
    let (mut rest, mut decoder, mut kinds) = (frames, Decoder::new(), Vec::new());
    while let Some((frame, used)) = decoder.next(rest).unwrap() {
        for entry in frame.entries() {
            let FrameEntry::Record(record) = entry else { panic!("a global") };
            kinds.push(match record.effect {
                Effect::PutBegin { .. } => "begins",
                Effect::PutPart(_) => "part",
                Effect::PutEnd { .. } => "ends",
                _ => "key",
            });
        }
        rest = &rest[used..];
    }
    kinds.join(" ")
}

#[test]
fn the_journal_goes_on_between_the_pieces_of_a_large_item() {
    let mut log = LogWriter::new();
    let mut flow = FlowSender::full(log.handle().reader_at(Lsn(0)).unwrap(), vec![0]);
    let mut write = |count: usize| {
        for _ in 0..count {
            log.append_one(&set("key"));
        }
        log.publish(Millis(1));
    };
    flow.ask(0);
    write(2);
    let item = large_item("big", 600 * 1024);
    let items = FrameBuilder::new();
    let group = CutGroup { flow: 0, label: Lsn(2), items, large: vec![item] };
    flow.arrived(0, Some(Lsn(2)), Some(group), &[0; 16], true);
    write(1);
    let mut gather = Gather::new(&[Lsn(0)], 1, 1, 1, 16);
    let (mut said, mut handed) = (Vec::new(), Vec::new());
    loop {
        let step = flow.next(1 << 20);
        let mut bytes = match &step {
            Step::Log(span) => {
                let mut message = Vec::new();
                wire::put_bytes(&mut message, wire::Kind::Log, span);
                message
            }
            Step::Messages(messages) => messages.clone(),
            Step::Wait => break,
            Step::Gone(gone) => panic!("{gone}"),
        };
        said.push(words(step));
        gather.receive(0, &mut bytes).unwrap();
        while let Some(Dispatch::Batch(batch)) = gather.next().unwrap() {
            handed.push(kinds_of(&batch.frames));
            assert_eq!(batch.are_items, !handed[handed.len() - 1].contains("key"));
            gather.completed(batch.unit, &mut Relay::starting_at(&[Lsn(0)]), Millis(1));
        }
        if said.len() < 6 {
            write(1);
        }
    }
    let expected =
        ["log to 2", "Items Passed", "Items", "log to 6", "Items", "log to 8", "Items", "CutDone"];
    assert_eq!(said, expected);
    let expected =
        ["key key", "begins", "part", "key key key key", "part", "key key", "part", "ends"];
    assert_eq!(handed, expected);
    assert!(gather.is_complete());
}

/// A frame of a flow: keys, and the transaction if it has parts elsewhere.
type Parts = &'static [(&'static [&'static str], Option<(u64, &'static [u16])>)];

/// A key named so that belongs to flow `flow` of `flows`.
fn owned(name: &str, flow: usize, flows: usize) -> String {
    if flows == 1 {
        return name.to_owned();
    }
    let mut keys = (0..).map(|number| format!("{name}:{number}"));
    let fits = |key: &String| shard_of(key.as_bytes(), flows as u16).index() == flow;
    keys.find(fits).expect("some key fits")
}

/// The frames of one of `flows` flows.
fn encoded(parts: Parts, flow: usize, flows: usize) -> Vec<Vec<u8>> {
    let frame = |(keys, tx): &(&[&str], Option<(u64, &[u16])>)| {
        let mut frame = FrameBuilder::new();
        keys.iter().for_each(|key| frame.push(&set(&owned(key, flow, flows))));
        match tx {
            None => frame.to_wire(None),
            Some((id, shards)) => {
                let set = ShardSet::of(shards.iter().map(|shard| ShardId(*shard)));
                frame.to_wire(Some(Transaction { id: TxId(*id), shards: set.shards() }))
            }
        }
    };
    parts.iter().map(frame).collect()
}

/// All ways to merge so many frames of each flow, as sequences of flows.
fn merges(left: &mut Vec<usize>, so_far: &mut Vec<u16>, all: &mut Vec<Vec<u16>>) {
    if left.iter().all(|count| *count == 0) {
        return all.push(so_far.clone());
    }
    for flow in 0..left.len() {
        if left[flow] > 0 {
            left[flow] -= 1;
            so_far.push(flow as u16);
            merges(left, so_far, all);
            so_far.pop();
            left[flow] += 1;
        }
    }
}

fn keys_of(frames: &[u8]) -> Vec<String> {
    let (mut rest, mut decoder, mut keys) = (frames, Decoder::new(), Vec::new());
    while let Some((frame, used)) = decoder.next(rest).unwrap() {
        for entry in frame.entries() {
            if let FrameEntry::Record(record) = entry {
                let key = String::from_utf8(record.key.to_vec()).unwrap();
                keys.push(key);
            }
        }
        rest = &rest[used..];
    }
    keys
}

/// Hands out all that may be, and reports it done; answers with the keys of each dispatch, sorted.
fn drain(gather: &mut Gather, relay: &mut Relay, shards: u16) -> Vec<Vec<String>> {
    let mut handed = Vec::new();
    while let Some(dispatch) = gather.next().unwrap() {
        let (unit, parts) = match dispatch {
            Dispatch::Batch(batch) => (batch.unit, BTreeMap::from([(batch.shard, batch.frames)])),
            Dispatch::AsOne(as_one) => (as_one.unit, as_one.parts),
        };
        let mut keys = Vec::new();
        for (shard, frames) in &parts {
            for key in keys_of(frames) {
                assert_eq!(shard_of(key.as_bytes(), shards), *shard, "{key}");
                keys.push(key.split(':').next().unwrap_or_default().to_owned());
            }
        }
        keys.sort();
        handed.push(keys);
        for _ in parts {
            gather.completed(unit, relay, Millis(1));
        }
    }
    handed
}

/// Whatever the order in which frames arrive, and however their bytes are cut: each of `whole` is
/// handed out as one, each flow in its order, and positions and relays come to the same end.
fn check_gather(flows: &[Parts], shards: u16, whole: &[&[&str]]) {
    let frames: Vec<Vec<Vec<u8>>> =
        flows.iter().enumerate().map(|(flow, parts)| encoded(parts, flow, flows.len())).collect();
    let (mut left, mut all) = (frames.iter().map(Vec::len).collect(), Vec::new());
    merges(&mut left, &mut Vec::new(), &mut all);
    assert!(all.len() > 1);
    for order in all {
        let starts = vec![Lsn(10); flows.len()];
        let mut gather = Gather::new(&starts, shards, 1, 0, 16);
        let mut relay = Relay::starting_at(&starts);
        let (mut next, mut handed) = (vec![0; flows.len()], Vec::new());
        for &flow in &order {
            let bytes = &frames[usize::from(flow)][next[usize::from(flow)]];
            next[usize::from(flow)] += 1;
            let (front, back) = bytes.split_at(bytes.len() / 2);
            gather.receive_log(flow, front);
            handed.extend(drain(&mut gather, &mut relay, shards));
            gather.receive_log(flow, back);
            handed.extend(drain(&mut gather, &mut relay, shards));
        }
        for keys in whole {
            assert!(handed.iter().any(|one| one == keys), "{keys:?} torn in {order:?}: {handed:?}");
        }
        let handed: Vec<&String> = handed.iter().flatten().collect();
        for parts in flows {
            let place = |key: &str| handed.iter().position(|one| *one == key).expect("handed out");
            let places: Vec<usize> = parts
                .iter()
                .filter(|(keys, _)| !keys.is_empty())
                .map(|(keys, _)| keys.iter().map(|key| place(key)).min().unwrap_or_default())
                .collect();
            assert!(places.is_sorted(), "out of order in {order:?}: {handed:?}");
        }
        let count =
            |parts: &Parts| parts.iter().map(|(keys, _)| keys.len().max(1) as u64).sum::<u64>();
        let ends: Vec<Lsn> = flows.iter().map(|parts| Lsn(10 + count(parts))).collect();
        assert_eq!((gather.applied(), relay.positions()), (ends.clone(), ends), "{order:?}");
    }
}

#[test]
fn a_transaction_goes_as_one_once_all_its_parts_are_there() {
    let flow_0: Parts = &[(&["a1"], None), (&["x1"], Some((1, &[0, 1]))), (&["c1"], None)];
    let flow_1: Parts = &[(&["d1"], None), (&["y1"], Some((1, &[0, 1]))), (&["e1"], None)];
    (1..=4).for_each(|shards| check_gather(&[flow_0, flow_1], shards, &[&["x1", "y1"]]));
}

#[test]
fn transactions_in_one_order_never_wait_for_each_other() {
    let flow_0: Parts = &[(&["a1"], Some((1, &[0, 1]))), (&["b1"], Some((3, &[0, 2])))];
    let flow_1: Parts = &[(&["a2"], Some((1, &[0, 1]))), (&["c1"], Some((2, &[1, 2])))];
    let flow_2: Parts = &[(&["c2"], Some((2, &[1, 2]))), (&["b2"], Some((3, &[0, 2])))];
    let whole: &[&[&str]] = &[&["a1", "a2"], &["b1", "b2"], &["c1", "c2"]];
    (1..=4).for_each(|shards| check_gather(&[flow_0, flow_1, flow_2], shards, whole));
}

#[test]
fn a_frame_of_one_flow_is_whole_also_where_it_needs_several_shards() {
    let flow_0: Parts = &[(&["k1", "k2", "k3", "k4"], None), (&["z1"], None)];
    let flow_1: Parts = &[(&["m1"], None), (&[], Some((1, &[1])))];
    (3..=4).for_each(|shards| {
        check_gather(&[flow_0, flow_1], shards, &[&["k1", "k2", "k3", "k4"]]);
    });
}

#[test]
fn transactions_in_two_orders_are_refused() {
    let flow_0: Parts = &[(&["a1"], Some((1, &[0, 1]))), (&["b1"], Some((2, &[0, 1])))];
    let flow_1: Parts = &[(&["b2"], Some((2, &[0, 1]))), (&["a2"], Some((1, &[0, 1])))];
    let starts = [Lsn(0), Lsn(0)];
    let mut gather = Gather::new(&starts, 2, 1, 0, 16);
    encoded(flow_0, 0, 2).iter().for_each(|frame| gather.receive_log(0, frame));
    encoded(flow_1, 1, 2).iter().for_each(|frame| gather.receive_log(1, frame));
    assert!((0..4).any(|_| gather.next().is_err()));
}

/// Whatever the order in which these frames arrive, the session ends with a reason, nobody waits for what
/// was never handed out, and positions are what was applied.
fn check_broken(flows: &[Vec<Vec<u8>>], shards: u16, why: &str) {
    let (mut left, mut all) = (flows.iter().map(Vec::len).collect(), Vec::new());
    merges(&mut left, &mut Vec::new(), &mut all);
    for order in all {
        let starts = vec![Lsn(0); flows.len()];
        let mut gather = Gather::new(&starts, shards, 1, 0, 16);
        let mut relay = Relay::starting_at(&starts);
        let (mut next, mut handed, mut error) = (vec![0; flows.len()], Vec::new(), None);
        for flow in order {
            gather.receive_log(flow, &flows[usize::from(flow)][next[usize::from(flow)]]);
            next[usize::from(flow)] += 1;
            // What two flows wait for is seen when they are looked at once more, at the latest.
            let mut idle = 0;
            while error.is_none() && idle < 2 {
                match gather.next() {
                    Ok(Some(Dispatch::Batch(batch))) => {
                        handed.push((batch.unit, 1, keys_of(&batch.frames).len()));
                    }
                    Ok(Some(Dispatch::AsOne(as_one))) => {
                        let keys = as_one.parts.values().map(|frames| keys_of(frames).len());
                        handed.push((as_one.unit, as_one.parts.len(), keys.sum()));
                    }
                    Ok(None) => idle += 1,
                    Err(text) => error = Some(text),
                }
            }
        }
        let error = error.expect("it cannot be gone on from");
        assert!(error.contains(why), "{error}");
        assert!(gather.next().is_ok_and(|next| next.is_none()), "nothing is handed out any more");
        let applied = handed.iter().map(|(_, _, keys)| *keys as u64).sum::<u64>();
        for (unit, parts, _) in handed {
            (0..parts).for_each(|_| _ = gather.completed(unit, &mut relay, Millis(1)));
        }
        assert!(gather.is_settled(), "somebody waits for ever: {error}");
        assert_eq!(gather.applied().iter().map(|lsn| lsn.0).sum::<u64>(), applied, "{error}");
        assert_eq!(gather.applied(), relay.positions());
    }
}

const BOTH: &[u16] = &[0, 1];
const WIDE: &[u16] = &[0, 1, 2];

#[test]
fn a_stream_out_of_order_ends_and_leaves_nothing_that_somebody_waits_for() {
    let check = |flow_0: Parts, flow_1: Parts, why: &str| {
        let flows = [encoded(flow_0, 0, 2), encoded(flow_1, 1, 2)];
        (1..=3).for_each(|shards| check_broken(&flows, shards, why));
    };
    // What comes before the transaction is ready when the error is seen.
    check(&[(&["a"], None), (&["x"], Some((1, BOTH)))], &[(&["y"], Some((2, BOTH)))], "cross");
    check(
        &[(&["a"], None), (&["b"], Some((2, BOTH)))],
        &[(&["c"], None), (&["y"], Some((1, BOTH))), (&["z"], Some((3, BOTH)))],
        "cross",
    );
    // A part that is left out: the flow goes on without it.
    check(
        &[(&["a"], None), (&["b"], Some((1, BOTH))), (&["d"], Some((2, BOTH)))],
        &[(&["c"], None), (&["e"], Some((2, BOTH)))],
        "cross",
    );
    check(
        &[(&["a"], None), (&["b"], Some((2, BOTH))), (&["x"], Some((1, BOTH)))],
        &[(&["c"], None), (&["d"], Some((2, BOTH))), (&["y"], Some((1, BOTH)))],
        "transaction 1 comes after 2",
    );
    check(
        &[(&["a"], None), (&["b"], Some((2, BOTH)))],
        &[(&["c"], None), (&["d"], Some((2, &[0]))), (&["e"], None)],
        "does not belong to its flow",
    );
    check(&[(&["a"], None), (&["b"], Some((2, &[0, 7])))], &[(&["c"], None)], "does not belong");
    // Parts that do not agree.
    let third = encoded(&[(&["e"], None), (&["f"], Some((4, WIDE)))], 2, 3);
    let flows = [
        encoded(&[(&["a"], None), (&["b"], Some((4, BOTH)))], 0, 3),
        encoded(&[(&["c"], None), (&["d"], Some((4, WIDE)))], 1, 3),
        third,
    ];
    (1..=4).for_each(|shards| check_broken(&flows, shards, "name different flows"));
    // A key of another flow.
    let mut flows = [encoded(&[(&["a"], None)], 0, 2), encoded(&[(&["b"], None)], 1, 2)];
    flows[0].push(flows[1][0].clone());
    (1..=3).for_each(|shards| check_broken(&flows, shards, "belongs to another flow"));
}

#[test]
fn parts_that_change_whole_databases_differently_end_the_session() {
    let part = |globals: &[Global], flow: usize, shards: &[u16]| {
        let mut frame = FrameBuilder::new();
        frame.push(&set(&owned("k", flow, 2)));
        globals.iter().for_each(|global| frame.push_entry(&FrameEntry::Global(*global)));
        let set = ShardSet::of(shards.iter().map(|shard| ShardId(*shard)));
        frame.to_wire(Some(Transaction { id: TxId(9), shards: set.shards() }))
    };
    let (all, one) = (Global::FlushAll, Global::FlushDb(DbIndex(1)));
    let pairs: [(&[Global], &[Global]); 4] =
        [(&[all], &[one]), (&[all], &[]), (&[], &[all]), (&[all, one], &[all])];
    for (left, right) in pairs {
        let before = |flow| encoded(&[(&["a"], None)], flow, 2).remove(0);
        let flows =
            [vec![before(0), part(left, 0, &[0, 1])], vec![before(1), part(right, 1, &[0, 1])]];
        (1..=3).for_each(|shards| check_broken(&flows, shards, "differently"));
    }
    let flows = [vec![part(&[all], 0, &[0])], vec![part(&[], 1, &[1])]];
    (1..=3).for_each(|shards| check_broken(&flows, shards, "not on all flows"));
}

#[test]
fn what_is_not_complete_on_all_flows_does_not_count() {
    let flow_0: Parts = &[(&["a1"], None), (&["x1"], Some((1, &[0, 1])))];
    let starts = [Lsn(0), Lsn(0)];
    let mut gather = Gather::new(&starts, 2, 1, 0, 16);
    let mut relay = Relay::starting_at(&starts);
    encoded(flow_0, 0, 2).iter().for_each(|frame| gather.receive_log(0, frame));
    while let Some(Dispatch::Batch(batch)) = gather.next().unwrap() {
        gather.completed(batch.unit, &mut relay, Millis(1));
    }
    assert!(gather.is_settled());
    assert_eq!(gather.applied(), [Lsn(1), Lsn(0)]);
    assert_eq!(relay.positions(), [Lsn(1), Lsn(0)]);
}

#[test]
fn what_could_not_be_applied_is_neither_acknowledged_nor_handed_on() {
    let flow_0: Parts = &[(&["a1"], None), (&["a2"], None)];
    let mut gather = Gather::new(&[Lsn(0)], 1, 1, 0, 16);
    let mut relay = Relay::starting_at(&[Lsn(0)]);
    let frames = encoded(flow_0, 0, 1);
    gather.receive_log(0, &frames[0]);
    let Some(Dispatch::Batch(first)) = gather.next().unwrap() else { panic!("a1 is there") };
    gather.receive_log(0, &frames[1]);
    let Some(Dispatch::Batch(second)) = gather.next().unwrap() else { panic!("a2 is there") };
    gather.failed(first.unit);
    assert!(!gather.is_settled(), "the second is under way");
    gather.completed(second.unit, &mut relay, Millis(1));
    assert!(gather.is_settled());
    assert_eq!((gather.applied(), relay.positions()), (vec![Lsn(0)], vec![Lsn(0)]));
}

#[test]
fn a_transaction_passes_all_its_flows_at_once() {
    let flow_0: Parts = &[(&["a1"], None), (&["x1"], Some((1, &[0, 1])))];
    let flow_1: Parts = &[(&["y1"], Some((1, &[0, 1])))];
    let starts = [Lsn(0), Lsn(0)];
    let mut gather = Gather::new(&starts, 2, 1, 0, 16);
    let mut relay = Relay::starting_at(&starts);
    encoded(flow_0, 0, 2).iter().for_each(|frame| gather.receive_log(0, frame));
    encoded(flow_1, 1, 2).iter().for_each(|frame| gather.receive_log(1, frame));
    let Some(Dispatch::Batch(first)) = gather.next().unwrap() else { panic!("a1 is alone") };
    let (unit, parts) = match gather.next().unwrap() {
        Some(Dispatch::AsOne(as_one)) => (as_one.unit, as_one.parts.len()),
        Some(Dispatch::Batch(batch)) => (batch.unit, 1),
        None => panic!("the transaction is complete"),
    };
    for _ in 0..parts {
        gather.completed(unit, &mut relay, Millis(1));
    }
    assert_eq!(relay.positions(), starts, "what is before one of its parts is not applied yet");
    gather.completed(first.unit, &mut relay, Millis(1));
    assert_eq!(relay.positions(), [Lsn(2), Lsn(1)]);
}

#[test]
fn a_flow_is_not_read_beyond_its_credit_but_for_the_rest_of_a_frame() {
    let mut gather = Gather::new(&[Lsn(0), Lsn(0)], 2, 1, 0, 16);
    let part: Parts = &[(&["x1"], Some((1, &[0, 1])))];
    gather.receive_log(0, &encoded(part, 0, 2)[0]);
    assert!(gather.next().unwrap().is_none());
    let one: Parts = &[(&["b1"], None)];
    let frame = &encoded(one, 0, 2)[0];
    let many = frame.repeat(replication::replica::gather::FLOW_CREDIT / frame.len() + 1);
    gather.receive_log(0, &many);
    assert!(!gather.wants_more(0) && gather.wants_more(1));
    let mut large = FrameBuilder::new();
    let value = vec![b'v'; 60_000];
    let effect = Effect::Put { value: Payload::Bytes(&value), deadline: Deadline::None };
    (0..100)
        .for_each(|_| large.push(&Record { db: DbIndex(0), key: b"big", effect: effect.clone() }));
    let large = large.to_wire(None);
    gather.receive_log(1, &large[..large.len() - 1]);
    assert!(gather.next().unwrap().is_none());
    assert!(gather.wants_more(1), "the rest of a frame is always read");
}

/// The story: it was complete only where nothing at all was under way, which under load is never.
#[test]
fn a_full_sync_is_complete_also_where_there_is_always_something_newer_under_way() {
    let mut gather = Gather::new(&[Lsn(0)], 1, 1, 1, 16);
    let mut relay = Relay::starting_at(&[Lsn(0)]);
    let parts: Parts = &[(&["a"], None), (&["b"], None), (&["c"], None)];
    let mut frames = encoded(parts, 0, 1).into_iter();
    let mut next = |gather: &mut Gather| {
        let mut message = Vec::new();
        wire::put_bytes(&mut message, wire::Kind::Log, &frames.next().expect("one more"));
        gather.receive(0, &mut message).expect("a frame");
        match gather.next() {
            Ok(Some(Dispatch::Batch(batch))) => batch.unit,
            _ => panic!("it can be applied"),
        }
    };
    let before = next(&mut gather);
    let mut end = Vec::new();
    wire::put_bytes(&mut end, wire::Kind::CutDone, &[]);
    gather.receive(0, &mut end).expect("the end");
    assert!(gather.next().expect("nothing is wrong").is_none());
    let mut newer = next(&mut gather);
    assert!(!gather.is_complete(), "what came before the end is under way");
    gather.completed(before, &mut relay, Millis(1));
    assert!(gather.is_complete());
    let one_more = next(&mut gather);
    gather.completed(newer, &mut relay, Millis(1));
    newer = one_more;
    assert!(gather.is_complete());
    gather.completed(newer, &mut relay, Millis(1));
    assert!(gather.is_complete());
}

/// What a gather of a full sync says to these messages on its only flow.
fn check_refused(walks: usize, messages: &[(wire::Kind, &[u8])], why: &str) {
    let mut gather = Gather::new(&[Lsn(0)], 1, 1, walks, 1);
    let mut bytes = Vec::new();
    messages.iter().for_each(|(kind, payload)| wire::put_bytes(&mut bytes, *kind, payload));
    let outcome = gather.receive(0, &mut bytes).and_then(|_| {
        loop {
            match gather.next() {
                Ok(Some(_)) => {}
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        }
    });
    match outcome {
        Ok(()) => assert_eq!(why, "", "taken"),
        Err(error) => assert!(!why.is_empty() && error.contains(why), "{error}"),
    }
}

#[test]
fn one_huge_item_that_arrives_slowly_is_progress() {
    let mut gather = Gather::new(&[Lsn(0); 2], 1, 1, 2, 16);
    let parts: [Parts; 2] = [&[(&["a"], Some((1, &[0, 1])))], &[(&["b"], Some((1, &[0, 1])))]];
    let log = |flow: usize| {
        let mut message = Vec::new();
        wire::put_bytes(&mut message, wire::Kind::Log, &encoded(parts[flow], flow, 2).concat());
        message
    };
    gather.receive(0, &mut log(0)).unwrap();
    assert!(gather.next().unwrap().is_none());
    let (tx, mut known) = gather.waits_for().expect("the other part is not there");
    assert_eq!(tx, TxId(1));
    // Signs of life alone are none, whole or not.
    let (mut ping, mut arrived) = (Vec::new(), Vec::new());
    wire::put_numbers(&mut ping, wire::Kind::Ping, &[0, 0]);
    for part in ping.chunks(7) {
        arrived.extend_from_slice(part);
        gather.receive(1, &mut arrived).unwrap();
        assert_eq!(gather.waits_for(), Some((tx, known)));
    }
    // An item of 2 MB stands before it; it comes in steps that are smaller than its pieces.
    let key = owned("big", 1, 2);
    let mut item = large_item(&key, 2_000_000);
    let mut road = Vec::new();
    let mut send = |records: Vec<u8>| {
        for piece in records.chunks(200_000) {
            wire::put_bytes(&mut road, wire::Kind::Items, piece);
        }
    };
    send(item.begin());
    while !item.is_over() {
        send(item.next(256 * 1024));
    }
    road.extend(log(1));
    let mut handed = Vec::new();
    let steps: Vec<&[u8]> = road.chunks(10_000).collect();
    for (number, step) in steps.iter().enumerate() {
        arrived.extend_from_slice(step);
        gather.receive(1, &mut arrived).unwrap();
        while let Some(dispatch) = gather.next().unwrap() {
            let unit = match dispatch {
                Dispatch::Batch(batch) => batch.unit,
                Dispatch::AsOne(as_one) => as_one.unit,
            };
            gather.completed(unit, &mut Relay::starting_at(&[Lsn(0); 2]), Millis(1));
            handed.push(unit);
        }
        match gather.waits_for() {
            Some((_, came)) => assert!(came > known, "step {number} is progress"),
            None => assert_eq!(number + 1, steps.len(), "the last brings the other part"),
        }
        known = gather.waits_for().map_or(known, |(_, came)| came);
    }
    assert!(handed.len() > 8, "it begins, its pieces, its end, and the transaction: {handed:?}");
}

#[test]
fn what_a_flow_cannot_go_on_from_is_an_error() {
    use wire::Kind::{CutDone, Items, Log, Passed, Ping};
    let one: Parts = &[(&["key"], None)];
    let frame = encoded(one, 0, 1).remove(0);
    let (front, back) = frame.split_at(3);
    let part: Parts = &[(&["key"], Some((1, &[0])))];
    let part = encoded(part, 0, 1).remove(0);
    let passed = [0u8; 16];
    check_refused(1, &[(Items, &frame), (Passed, &passed), (CutDone, b""), (Log, &frame)], "");
    // A frame that is never whole: it would stop its flow for ever.
    check_refused(1, &[(Log, front), (Items, &frame), (Log, back)], "where other messages begin");
    check_refused(1, &[(Items, front), (CutDone, b"")], "where other messages begin");
    check_refused(1, &[(Log, &frame), (Log, front), (Passed, &passed)], "where other messages");
    check_refused(1, &[(Log, front), (Items, b""), (Log, back)], "");
    // Items where there are none.
    check_refused(0, &[(Items, &frame)], "none are left");
    check_refused(0, &[(CutDone, b"")], "none are left");
    check_refused(1, &[(CutDone, b""), (Items, &frame)], "none are left");
    check_refused(1, &[(CutDone, b""), (CutDone, b"")], "none are left");
    check_refused(1, &[(Items, &part)], "part of a transaction");
    let mut removal = FrameBuilder::new();
    removal.push(&Record { db: DbIndex(0), key: b"key", effect: Effect::Remove });
    check_refused(1, &[(Items, &removal.to_wire(None))], "no items");
    let mut kept = FrameBuilder::new();
    let effect = Effect::Put { value: Payload::Bytes(b"v"), deadline: Deadline::Keep };
    kept.push(&Record { db: DbIndex(0), key: b"key", effect });
    check_refused(1, &[(Items, &kept.to_wire(None))], "no items");
    check_refused(1, &[(Passed, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])], "of walk 9");
    check_refused(1, &[(Passed, b"")], "without a walk");
    // Items in pieces.
    let mut item = large_item("key", 100);
    let (begins, part) = (item.begin(), item.next(60));
    let last = item.next(60);
    let all = [(Items, &begins[..]), (Items, &part), (Log, &frame), (Items, &last), (CutDone, b"")];
    check_refused(1, &all, "");
    check_refused(1, &[(Items, &begins), (Items, &part), (CutDone, b"")], "on its way");
    check_refused(1, &[(Items, &part)], "did not begin");
    check_refused(1, &[(Items, &last)], "did not begin");
    check_refused(1, &[(Items, &begins), (Items, &last), (Items, &last)], "did not begin");
    check_refused(0, &[(Items, &begins)], "none are left");
    check_refused(1, &[(Ping, &[0xff; 16])], "beyond what can be counted");
}

#[test]
fn a_flow_that_waits_is_not_fed_small_messages_without_end() {
    let mut gather = Gather::new(&[Lsn(0), Lsn(0)], 2, 1, 1, 1);
    let part: Parts = &[(&["x1"], Some((1, &[0, 1])))];
    gather.receive_log(0, &encoded(part, 0, 2)[0]);
    assert!(gather.next().unwrap().is_none());
    let one: Parts = &[(&["b1"], None)];
    let frame = encoded(one, 0, 2).remove(0);
    let mut rounds = 0;
    while gather.wants_more(0) {
        gather.receive_passed(0, &[0, 1]).unwrap();
        gather.receive_items(0, &frame).unwrap();
        gather.receive_log(0, &frame);
        rounds += 1;
        assert!(rounds < 100_000, "more and more is kept");
    }
    let (held, _) = gather.held();
    assert!(held >= replication::replica::gather::FLOW_CREDIT);
    gather.receive_log(1, &encoded(part, 1, 2)[0]);
    let mut relay = Relay::starting_at(&[Lsn(0), Lsn(0)]);
    drain(&mut gather, &mut relay, 2);
    assert!(gather.held().0 < 1000 && gather.wants_more(0), "all of it is taken, and counted so");
    assert_eq!(gather.applied()[0], Lsn(1 + rounds));
}

#[test]
fn a_node_refuses_versions_itself_and_cycles() {
    let chain = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rows = [
        (wire::VERSION, "b", "a", ""),
        (wire::VERSION, "c b", "a", ""),
        (wire::VERSION, "b x", "a x", ""),
        (wire::VERSION + 1, "b", "a", "version"),
        (wire::VERSION, "a", "a", "itself"),
        (wire::VERSION, "b", "a b", "cycle"),
        (wire::VERSION, "c", "a b c", "cycle"),
    ];
    for (version, asker, own, refusal) in rows {
        match handshake::check(version, &chain(asker), &chain(own)) {
            Ok(()) => assert_eq!(refusal, "", "{asker} asks {own}"),
            Err(text) => assert!(!refusal.is_empty() && text.contains(refusal), "{text}"),
        }
    }
    for (asker, own, has_room) in
        [(Some(16), 16, true), (Some(17), 16, true), (Some(15), 16, false)]
    {
        assert_eq!(handshake::has_room(asker, own).is_ok(), has_room, "{asker:?} {own}");
    }
    assert!(handshake::has_room(None, 16).is_ok(), "its terms will tell it");
    for (is_changing, is_stable) in [(false, true), (false, false), (true, true), (true, false)] {
        let may = handshake::may_feed(is_changing, is_stable, &[], &[]).is_ok();
        assert_eq!(may, is_stable && !is_changing);
    }
}

#[test]
fn a_record_after_a_swap_in_its_own_frame_is_judged_by_what_was_swapped() {
    let touch = || {
        let effect = Effect::SetDeadline(None);
        FrameEntry::Record(Record { db: DbIndex(0), key: b"key", effect })
    };
    let swap = Global::SwapDb(DbIndex(0), DbIndex(1));
    // The items of database 0 have all come, those of database 1 are still to come.
    let passed = Passed { seed: 1, boundaries: vec![vec![u64::MAX, 0]] };
    let cases: [(&[FrameEntry<'_>], bool); 4] = [
        (&[touch()], false),
        (&[FrameEntry::Global(swap), touch()], true),
        (&[FrameEntry::Global(swap), FrameEntry::Global(swap), touch()], false),
        (&[FrameEntry::Global(swap), FrameEntry::Global(Global::FlushAll), touch()], false),
    ];
    for (entries, fits) in cases {
        let mut frame = FrameBuilder::new();
        entries.iter().for_each(|entry| frame.push_entry(entry));
        let shards = ShardSet::of([ShardId(0)]);
        let transaction = Transaction { id: TxId(1), shards: shards.shards() };
        let frames = frame.to_wire(Some(transaction));
        let node = ModelNode::new(1, 1);
        let applied = node.with_shard(0, |shard| {
            shard.keys.set_role(Role::Replica);
            shard.apply_frames(&frames, Some(&passed))
        });
        assert_eq!(applied.is_ok(), fits, "{entries:?}: {applied:?}");
    }
}
