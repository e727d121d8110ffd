//! The log: what readers get, when they end, what is counted.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use engine::{
    journal::{
        Bounds, CHUNK_BYTES, Change, Deadline, Decoder, Effect, FRAME_ENTRIES_MAX, FrameBuilder,
        FrameEntry, Global, GoneReason, INLINE_PAYLOAD_BYTES_MAX, LogHandle, LogWriter, Payload,
        Read, Reader, Record, ShardSet, Transaction,
    },
    types::{DbIndex, Lsn, Millis, ShardId, TxId},
    value::{
        ChangeHead, Item, NewValue, Rope, SharedValue, Type, TypeEffect, hash, list, set as sets,
        sorted_set, string,
    },
};

const UNBOUNDED: Bounds = Bounds { bytes: u64::MAX, age: None };

fn seeded(name: &str) -> fastrand::Rng {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{name}: SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

fn set<'a>(key: &'a [u8], value: Payload<'a>) -> Record<'a> {
    Record { db: DbIndex(0), key, effect: Effect::Put { value, deadline: Deadline::None } }
}

fn append(log: &mut LogWriter, value: &[u8]) -> Lsn {
    log.append_one(&set(b"key", Payload::Bytes(value)))
}

fn large(bytes: usize) -> Payload<'static> {
    Payload::Shared(Rope::of(&vec![b'x'; bytes]))
}

/// Everything that is there to read, and the position after it; none if the reader is gone.
fn drain(reader: &mut Reader, max: usize) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match reader.next(max) {
            Read::Bytes(span) => {
                assert!(!span.is_empty() && span.len() <= max, "{} of {max}", span.len());
                assert_eq!(span.lsn_after(), reader.lsn());
                assert_eq!(span.bytes_after(), reader.bytes());
                all.extend_from_slice(&span);
            }
            Read::Empty => return Some(all),
            Read::Gone(_) => return None,
        }
    }
}

/// How many LSNs the frames in `bytes` count, which must end with a whole frame.
fn lsns(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((frame, length)) = Decoder::new().next(bytes).expect("frames") {
        count += frame.lsn_count();
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "half a frame");
    count
}

/// The frames in `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some((_, length)) = Decoder::new().next(bytes).expect("frames") {
        let (frame, rest) = bytes.split_at(length);
        all.push(frame);
        bytes = rest;
    }
    all
}

/// Appends frames as they came.
fn relay(log: &mut LogWriter, bytes: &[u8]) {
    for frame in frames(bytes) {
        log.append_encoded(&Decoder::new().next(frame).unwrap().unwrap().0);
    }
}

/// The same where keys hold the values of [`long`] when they have been put.
fn relay_put(log: &mut LogWriter, bytes: &[u8], length: usize, fill: u8) {
    for frame in frames(bytes) {
        log.append_relayed(&Decoder::new().next(frame).unwrap().unwrap().0, &mut |_, key| {
            Some(match key {
                b"before" => Rope::of(&vec![b'x'; 2 * INLINE_PAYLOAD_BYTES_MAX]),
                _ => Rope::of(&vec![fill; length]),
            })
        });
    }
}

/// A frame with two values, of which one is so long that it goes ahead in pieces.
fn long(length: usize, fill: u8) -> FrameBuilder {
    let mut frame = FrameBuilder::new();
    frame.push(&set(b"before", large(2 * INLINE_PAYLOAD_BYTES_MAX)));
    let value = Payload::Shared(Rope::of(&vec![fill; length]));
    frame.push_put(DbIndex(3), b"long", value, Deadline::None);
    frame
}

/// Appends a random frame; returns its bytes on the wire.
fn append_random(log: &mut LogWriter, rng: &mut fastrand::Rng) -> Vec<u8> {
    let shards = ShardSet::of([ShardId(0), ShardId(rng.u16(1..200))]);
    let transaction = Transaction { id: TxId(rng.u64(1..)), shards: shards.shards() };
    let transaction = (rng.u32(..4) == 0).then_some(transaction);
    if rng.u32(..300) == 0 {
        let (length, fill) = (rng.usize(..3 << 20), rng.u8(..));
        let frame = long(length, fill);
        let wire = frame.to_wire(transaction);
        match rng.u8(..3) {
            0 => relay(log, &wire),
            1 => relay_put(log, &wire, length, fill),
            _ => drop(log.append_frame(&frame, transaction)),
        }
        return wire;
    }
    let mut frame = FrameBuilder::new();
    let least = usize::from(transaction.is_none());
    for _ in 0..if rng.u32(..4) == 0 { rng.usize(least..20) } else { least } {
        let length = match rng.u32(..60) {
            0 => rng.usize(..3 * INLINE_PAYLOAD_BYTES_MAX),
            1..6 => rng.usize(..20_000),
            _ => rng.usize(..100),
        };
        let value: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
        frame.push(&set(b"some key", Payload::Shared(Rope::of(&value))));
    }
    let wire = frame.to_wire(transaction);
    let (decoded, _) = Decoder::new().next(&wire).unwrap().unwrap();
    match decoded.entries().next() {
        // A relay's way; the log then holds large payloads inline.
        Some(_) if rng.u32(..5) == 0 => log.append_encoded(&decoded),
        Some(FrameEntry::Record(record)) if frame.entry_count() == 1 && transaction.is_none() => {
            log.append_one(&record)
        }
        _ => log.append_frame(&frame, transaction),
    };
    wire
}

#[test]
fn readers_anywhere_get_exactly_what_was_written_after_their_position() {
    let mut rng = seeded("readers_anywhere_get_exactly_what_was_written_after_their_position");
    for _ in 0..12 {
        let mut log = LogWriter::starting_at(Lsn(rng.u64(..1000)));
        let handle = log.handle();
        let start = log.lsn();
        let (mut wire, mut ends) = (Vec::new(), vec![(start, 0)]);
        let mut live = handle.reader_at(start).unwrap();
        let mut seen = Vec::new();
        for task in 0..rng.u64(1..80) {
            for _ in 0..rng.usize(1..20) {
                let mut lsn = log.lsn().0;
                let appended = append_random(&mut log, &mut rng);
                for frame in frames(&appended) {
                    lsn += lsns(frame);
                    wire.extend_from_slice(frame);
                    ends.push((Lsn(lsn), wire.len()));
                }
                assert_eq!(log.lsn().0, lsn);
            }
            log.publish(Millis(task));
            if rng.bool() {
                seen.extend(drain(&mut live, 1 << rng.u32(..20)).unwrap());
            }
        }
        seen.extend(drain(&mut live, usize::MAX).unwrap());
        assert_eq!(handle.total_bytes(), wire.len() as u64);
        assert_eq!(handle.head(), log.lsn());
        assert!(seen == wire, "the reader that was there all the time");
        for _ in 0..60 {
            let (lsn, offset) = *rng.choice(&ends).unwrap();
            let mut reader = handle.reader_at(lsn).unwrap();
            assert_eq!(reader.bytes(), offset as u64, "bytes at {lsn}");
            let rest = drain(&mut reader, 1 << rng.u32(6..22)).unwrap();
            assert!(rest == wire[offset..], "from {lsn}");
            assert_eq!(reader.lsn(), log.lsn());
            assert_eq!(reader.bytes(), wire.len() as u64);
        }
        let head = log.lsn().0;
        for lsn in start.0..head {
            let boundary = ends.iter().any(|(end, _)| end.0 == lsn);
            let asked = handle.reader_at(Lsn(lsn)).map_err(|gone| gone.reason);
            assert_eq!(asked.err(), (!boundary).then_some(GoneReason::InsideFrame), "at {lsn}");
        }
        let ahead = handle.reader_at(Lsn(head + 1)).unwrap_err();
        assert_eq!((ahead.reason, ahead.head), (GoneReason::Ahead, Lsn(head)));
    }
}

#[test]
fn nothing_is_visible_before_it_is_published_and_all_of_it_after() {
    let mut log = LogWriter::new();
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    append(&mut log, b"one");
    append(&mut log, b"two");
    assert_eq!(log.lsn(), Lsn(2));
    assert_eq!(log.handle().head(), Lsn(0));
    assert_eq!(drain(&mut reader, 100), Some(Vec::new()));
    log.publish(Millis(1));
    assert_eq!(log.handle().head(), Lsn(2));
    assert_eq!(drain(&mut reader, 100), Some(b"\x01\x03\x03keyone\x01\x03\x03keytwo".to_vec()));
}

#[test]
fn a_large_value_is_the_same_memory_from_the_writer_to_the_socket() {
    let value = Rope::of(&vec![7u8; 3 * INLINE_PAYLOAD_BYTES_MAX]);
    let mut log = LogWriter::new();
    append(&mut log, b"before");
    log.append_one(&set(b"key", Payload::Shared(value.clone())));
    append(&mut log, b"after");
    log.publish(Millis(1));
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    let mut spans = Vec::new();
    while let Read::Bytes(span) = reader.next(usize::MAX) {
        spans.push(span);
    }
    let after: Vec<u64> = spans.iter().map(|span| span.lsn_after().0).collect();
    // Whole frames, the large one's head, its value by leaves, whole frames.
    assert_eq!(after, [1, 1, 1, 1, 1, 2, 3]);
    let mut at = 0;
    for span in &spans[2..6] {
        assert_eq!(span.as_ptr(), value.borrow().stretch(at).as_ptr());
        at += span.len();
    }
    assert_eq!(at, value.len());
    let wire: Vec<u8> = spans.iter().flat_map(|span| span.to_vec()).collect();
    assert_eq!(lsns(&wire), 3);
}

#[test]
fn a_frame_longer_than_asked_for_comes_in_pieces_and_moves_the_position_at_its_end() {
    let mut log = LogWriter::new();
    append(&mut log, &[1; 50]);
    append(&mut log, &[2; 500]);
    append(&mut log, &[3; 50]);
    log.publish(Millis(1));
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    let mut got = Vec::new();
    while let Read::Bytes(span) = reader.next(200) {
        got.push((span.len(), span.lsn_after().0));
    }
    // 6 or 7 bytes beside each value.
    assert_eq!(got, [(56, 1), (200, 1), (200, 1), (107, 2), (56, 3)]);
}

#[test]
fn lsns_count_while_nobody_reads() {
    // J3: no reader for a while, writes uncounted, the replica returns at "head".
    let mut log = LogWriter::new();
    append(&mut log, b"seen");
    log.publish(Millis(1));
    log.set_keeping(false);
    append(&mut log, b"unseen");
    let mut frame = FrameBuilder::new();
    frame.push(&set(b"a", Payload::Int(1)));
    frame.push(&set(b"b", large(INLINE_PAYLOAD_BYTES_MAX + 1)));
    log.append_frame(&frame, None);
    log.publish(Millis(2));
    let handle = log.handle();
    assert_eq!((handle.first(), handle.head(), handle.bytes()), (Lsn(4), Lsn(4), 0));
    let gone = handle.reader_at(Lsn(1)).unwrap_err();
    assert_eq!((gone.reason, gone.oldest), (GoneReason::Trimmed, Lsn(4)));

    log.set_keeping(true);
    let mut reader = handle.reader_at(Lsn(4)).unwrap();
    append(&mut log, b"kept");
    log.publish(Millis(3));
    assert_eq!((handle.first(), handle.head()), (Lsn(4), Lsn(5)));
    assert_eq!(drain(&mut reader, 100), Some(b"\x01\x03\x04keykept".to_vec()));
}

#[test]
fn a_reader_that_is_there_when_keeping_stops_is_ended_by_the_next_write() {
    let mut log = LogWriter::new();
    append(&mut log, b"seen");
    log.publish(Millis(1));
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    assert!(drain(&mut reader, 100).is_some());
    log.set_keeping(false);
    assert_eq!(drain(&mut reader, 100), Some(Vec::new()));
    append(&mut log, b"unseen");
    log.publish(Millis(2));
    assert_eq!(drain(&mut reader, 100), None);
}

/// A thousandth of: values of 600 MB in a log of 64 MB.
const SMALL: Bounds = Bounds { bytes: 64_000, age: None };
const LARGE: usize = 600_000;

/// Appends one record in a task of its own, as a shard does.
fn task(log: &mut LogWriter, value: Payload<'_>, now: u64) {
    log.append_one(&set(b"key", value));
    log.publish(Millis(now));
    log.trim(&SMALL, Millis(now));
}

#[test]
fn one_value_larger_than_the_whole_bound_is_counted_and_trimmed_past_a_frozen_reader() {
    // J5: one 600 MB value in a 64 MB log behind a frozen reader.
    let mut log = LogWriter::new();
    task(&mut log, Payload::Bytes(b"first"), 1);
    let mut frozen = log.handle().reader_at(Lsn(0)).unwrap();
    let Read::Bytes(span) = frozen.next(1 << 20) else { panic!("nothing to read") };
    let value = Rope::of(&vec![7u8; LARGE]);
    let kept = value.clone();
    task(&mut log, Payload::Shared(value), 2);
    // It takes the first piece, and no more.
    let Read::Bytes(piece) = frozen.next(100) else { panic!("nothing to read") };
    task(&mut log, Payload::Int(1), 3);
    assert!(log.handle().bytes() >= LARGE as u64);
    for second in 1..=9 {
        log.trim(&SMALL, Millis(3 + second * 1_000));
    }
    assert!(!frozen.is_gone(), "it may be a slow link");
    log.trim(&SMALL, Millis(10_003));
    assert!(log.handle().bytes() <= SMALL.bytes);
    assert!(frozen.is_gone());
    assert_eq!(&span[..], b"\x01\x03\x05keyfirst");
    assert!(matches!(frozen.next(100), Read::Gone(gone) if gone.oldest == Lsn(2)));
    drop((frozen, piece));
    assert_eq!(kept.borrow().holders(), 1);
}

#[test]
fn a_value_above_the_bound_costs_no_healthy_reader_its_place() {
    // SET k <40 MB> in a log of 25, RENAME, COPY: whoever reads on gets it all, also byte by byte late.
    let mut log = LogWriter::new();
    let handle = log.handle();
    task(&mut log, Payload::Bytes(b"first"), 1);
    let mut reader = handle.reader_at(Lsn(1)).unwrap();
    let (mut got, mut now) = (Vec::new(), 2);
    for round in 0..4u64 {
        for _ in 0..10 {
            task(&mut log, Payload::Bytes(&[7; 100]), now);
        }
        // A value of its own each time: nobody but the log and its readers holds it.
        task(&mut log, Payload::Shared(Rope::of(&vec![round as u8; LARGE])), now);
        for _ in 0..10 {
            task(&mut log, Payload::Bytes(&[8; 100]), now);
            let Read::Bytes(span) = reader.next(40_000) else { panic!("round {round}: lost") };
            got.extend_from_slice(&span);
            now += 9_000;
            log.trim(&SMALL, Millis(now));
            let held = handle.bytes();
            assert!(held <= SMALL.bytes + LARGE as u64 + 10_000, "round {round}: {held}");
        }
        got.extend(drain(&mut reader, 40_000).expect("the rest"));
        assert_eq!(reader.lsn(), handle.head());
    }
    assert_eq!(lsns(&got), 4 * 21);
    // All have come to the end: what is beyond the bound goes.
    log.trim(&SMALL, Millis(now + 20_000));
    assert!(handle.bytes() <= SMALL.bytes);
}

#[test]
fn a_value_that_one_frame_refers_to_many_times_is_one_value() {
    // SET big, then MULTI, COPY big c1, COPY big c2 ..., EXEC: the log grew by forty times the value,
    // for as long as one of the keys lived.
    let (mut log, value) = (LogWriter::new(), Rope::of(&vec![1; LARGE]));
    let handle = log.handle();
    let mut frame = FrameBuilder::default();
    for key in 0..40u8 {
        frame.push(&set(&[key], Payload::Shared(value.clone())));
    }
    log.append_frame(&frame, None);
    log.publish(Millis(1));
    let mut reader = handle.reader_at(Lsn(0)).unwrap();
    for now in 2..3000 {
        task(&mut log, Payload::Bytes(&[7; 100]), now);
        assert!(drain(&mut reader, 1 << 20).is_some(), "{now}");
        let held = handle.bytes();
        assert!(held <= SMALL.bytes + LARGE as u64 + 10_000, "{now}: {held}");
    }
    drop(value);
}

#[test]
fn a_reader_in_the_middle_of_a_frame_finishes_it_although_a_larger_one_follows() {
    let mut log = LogWriter::new();
    log.trim(&SMALL, Millis(0));
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    task(&mut log, large(LARGE), 1);
    let Read::Bytes(begun) = reader.next(1000) else { panic!("nothing to read") };
    task(&mut log, large(2 * LARGE), 2);
    assert_eq!(log.handle().first(), Lsn(1), "the first one is out of the log");
    let mut got = begun.to_vec();
    got.extend(drain(&mut reader, 1000).expect("both"));
    assert_eq!(lsns(&got), 2);
}

/// What is appended as one and is longer than any frame: as its writer has it, or as a relay.
fn append_long(log: &mut LogWriter, is_relay: bool, frame: &FrameBuilder, now: u64) {
    match is_relay {
        false => drop(log.append_frame(frame, None)),
        true => {
            // Piece by piece, each within the bound when it comes.
            let wire = frame.to_wire(None);
            for frame in self::frames(&wire) {
                relay(log, frame);
                log.publish(Millis(now));
                log.trim(&SMALL, Millis(now));
            }
        }
    }
    log.publish(Millis(now));
    log.trim(&SMALL, Millis(now));
}

#[test]
fn a_value_in_pieces_is_as_one_frame_to_who_reads_it() {
    const LONG: usize = 3 << 20;
    for is_relay in [false, true] {
        let mut log = LogWriter::new();
        let handle = log.handle();
        log.trim(&SMALL, Millis(0));
        let (first, second) = (long(LONG, 1), long(2 * LONG, 2));
        let (bytes, whole) = (first.to_wire(None), first.to_wire(None).len());
        let count = lsns(&bytes);
        assert!(count > 10, "{count}");
        let mut healthy = handle.reader_at(Lsn(0)).unwrap();
        append_long(&mut log, is_relay, &first, 1);
        // Beyond the bound, and held for whoever makes progress; also from any of its pieces on.
        assert_eq!(handle.first(), Lsn(0), "relay: {is_relay}");
        let mut middle = handle.reader_at(Lsn(3)).expect("a position");
        let Read::Bytes(begun) = middle.next(1000) else { panic!("nothing to read") };
        let mut got = Vec::new();
        while healthy.lsn() == Lsn(0) {
            let Read::Bytes(span) = healthy.next(1000) else { panic!("nothing to read") };
            got.extend_from_slice(&span);
        }
        // Another one follows: it takes the first one's place.
        append_long(&mut log, is_relay, &second, 2);
        assert!(handle.first() >= Lsn(count), "relay {is_relay}: {handle:?}");
        assert!(handle.reader_at(Lsn(0)).is_err() && handle.reader_at(Lsn(3)).is_err());
        got.extend(drain(&mut healthy, 1000).expect("both"));
        assert_eq!(got, [bytes.clone(), second.to_wire(None)].concat(), "relay {is_relay}");
        let mut rest = begun.to_vec();
        rest.extend(drain(&mut middle, 1000).expect("the rest of both"));
        assert!(got.ends_with(&rest) && rest.len() > got.len() - whole, "relay {is_relay}");
        // A reader that takes nothing does not make it hold more than the bound.
        append_long(&mut log, is_relay, &first, 3);
        let mut frozen = handle.reader_at(Lsn(2 * count + 3)).ok();
        let Some(frozen) = &mut frozen else { continue };
        assert!(matches!(frozen.next(10), Read::Bytes(_)));
        task(&mut log, Payload::Int(1), 4);
        for second in 1..=20 {
            log.trim(&SMALL, Millis(4 + second * 1_000));
        }
        assert!(handle.bytes() <= SMALL.bytes && frozen.is_gone(), "relay {is_relay}");
    }
}

#[test]
fn whoever_begins_at_a_relay_gets_no_value_without_its_beginning() {
    let mut log = LogWriter::new();
    let wire = long(3 << 20, 1).to_wire(None);
    let all = frames(&wire);
    relay(&mut log, &set_frame(b"x"));
    for (index, frame) in all.iter().enumerate() {
        relay(&mut log, frame);
        log.publish(Millis(1));
        let is_last = index + 1 == all.len();
        let expected = if is_last { log.lsn() } else { Lsn(1) };
        assert_eq!(log.handle().head_outside_values(), expected, "{index}");
    }
}

fn set_frame(value: &[u8]) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    frame.push(&set(b"key", Payload::Bytes(value)));
    frame.to_wire(None)
}

#[test]
fn whoever_missed_nothing_but_one_large_value_gets_it() {
    for (age, asked, expected) in [(5, 1, true), (9_000, 1, true), (11_000, 1, false), (5, 0, true)]
    {
        let mut log = LogWriter::new();
        task(&mut log, Payload::Bytes(b"first"), 1);
        task(&mut log, large(LARGE), 2);
        log.trim(&SMALL, Millis(2 + age));
        let reader = log.handle().reader_at(Lsn(asked));
        let found = reader.map(|mut reader| drain(&mut reader, 1 << 20).map(|got| lsns(&got)));
        assert_eq!(found.ok(), expected.then_some(Some(2 - asked)), "after {age} ms, from {asked}");
    }
}

/// A key with a value, and the value as records refer to it.
fn data(length: usize) -> (Item, Payload<'static>) {
    let item = Item::new(b"key", NewValue::Owned(vec![7; length]), None);
    let SharedValue::Large(rope) = item.share() else { panic!("a large value") };
    (item, Payload::Shared(rope))
}

/// More than the bound by itself, in many chunks.
const HUGE: usize = 1_000_000;

#[test]
fn what_is_the_data_costs_the_log_nothing_and_ends_no_reader() {
    let mut log = LogWriter::new();
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    let mut items = Vec::new();
    for now in 1..20 {
        let (item, value) = data(HUGE);
        items.push(item);
        // SET, RENAME, COPY.
        (0..3).for_each(|_| task(&mut log, value.clone(), now));
    }
    let held = log.handle().bytes();
    assert!(held <= SMALL.bytes, "{held}");
    // The data is there: whoever comes back, however late, finds its place.
    log.trim(&SMALL, Millis(100_000));
    assert_eq!(log.handle().first(), Lsn(0));
    assert!(drain(&mut reader, 1 << 20).is_some());
    // FLUSHALL: all of it is the log's now.
    drop(items);
    log.trim(&SMALL, Millis(100_001));
    assert!(log.handle().bytes() <= SMALL.bytes);
    assert!(log.handle().first() >= Lsn(54), "{}", log.handle().first());
}

#[test]
fn what_is_evicted_is_not_kept_where_nobody_is_to_read_it() {
    // A cache of large values, full, with a replica: a fifth of its memory went to what it had evicted.
    let bounds = Bounds { bytes: 1_000_000, age: None };
    let mut log = LogWriter::new();
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    let mut cache = VecDeque::new();
    for now in 1..200 {
        let (item, value) = data(100_000);
        cache.push_back(item);
        log.append_one(&set(b"key", value));
        if cache.len() > 50 {
            cache.pop_front();
            log.append_one(&Record { db: DbIndex(0), key: b"old", effect: Effect::Remove });
        }
        log.settle(Millis(now));
        log.publish(Millis(now));
        log.trim(&bounds, Millis(now));
        if now % 10 == 0 && now != 100 {
            assert!(drain(&mut reader, 1 << 20).is_some(), "whoever reads on gets all, at {now}");
        }
        let (held, behind) = (log.handle().bytes(), now > 90 && now < 110);
        assert!(held < if behind { bounds.bytes } else { 400_000 }, "{held} at {now}");
        // What the log may hold anyway is there for whoever comes back.
        let oldest = log.handle().first().0 + 18;
        assert!(oldest <= log.lsn().0 || now < 30, "{oldest} at {now}");
    }
}

#[test]
fn of_a_value_that_went_on_the_log_is_charged_for_what_was_changed() {
    let mut log = LogWriter::new();
    let (mut item, value) = data(HUGE);
    let roomy = Bounds { bytes: 10_000_000, age: None };
    log.trim(&roomy, Millis(0));
    log.append_one(&set(b"key", value));
    log.publish(Millis(1));
    let before = log.handle().bytes();
    let set_bytes = |item: &mut Item, offset| {
        string::Effect::SetRange { offset, bytes: b"x" }.perform(item).expect("a string")
    };
    set_bytes(&mut item, 500_000);
    set_bytes(&mut item, 500_010);
    log.settle(Millis(2));
    let leaf = log.handle().bytes() - before;
    assert!((60_000..66_000).contains(&leaf), "{leaf}");
    set_bytes(&mut item, 10);
    log.trim(&roomy, Millis(3));
    assert_eq!(log.handle().bytes() - before, 2 * leaf);
    drop(item);
    log.settle(Millis(4));
    log.trim(&roomy, Millis(4));
    assert_eq!(log.handle().bytes() - before, HUGE as u64);
}

#[test]
fn a_value_that_is_the_data_no_more_goes_with_the_task_that_deleted_it() {
    // SET k <40 MB>, DEL k, SET: refused, until the next heartbeat had looked at the log.
    let (item, value) = data(HUGE);
    let mut log = LogWriter::new();
    task(&mut log, Payload::Bytes(b"first"), 1);
    task(&mut log, value.clone(), 2);
    log.trim(&SMALL, Millis(20_000));
    log.settle(Millis(20_000));
    assert_eq!(log.handle().first(), Lsn(0), "it is the data");
    drop(item);
    log.append_one(&Record { db: DbIndex(0), key: b"key", effect: Effect::Remove });
    log.settle(Millis(20_001));
    assert!(log.handle().bytes() <= SMALL.bytes);
    assert_eq!(log.handle().first(), Lsn(2));
}

#[test]
fn a_clock_that_jumps_ends_no_reader() {
    let mut log = LogWriter::new();
    task(&mut log, Payload::Bytes(b"first"), 1);
    let mut reader = log.handle().reader_at(Lsn(1)).unwrap();
    task(&mut log, large(LARGE), 2);
    task(&mut log, Payload::Int(1), 3);
    let Read::Bytes(_) = reader.next(100) else { panic!("nothing to read") };
    // The process was stopped for an hour, or its clock was set; then it is set back.
    for now in [3_600_000, 5_000, 7_200_000] {
        log.trim(&SMALL, Millis(now));
    }
    assert!(!reader.is_gone());
    assert!(drain(&mut reader, 1 << 20).is_some());
}

#[test]
fn a_log_is_within_its_bound_after_every_task_also_between_two_heartbeats() {
    let mut log = LogWriter::new();
    log.trim(&SMALL, Millis(0));
    for now in 0..2_000 {
        append(&mut log, &[0; 3000]);
        log.publish(Millis(now));
        assert!(log.handle().bytes() <= SMALL.bytes, "{} at {now}", log.handle().bytes());
    }
    assert!(log.handle().bytes() >= SMALL.bytes / 2);
}

#[test]
fn values_of_up_to_half_of_the_bound_are_never_held_beyond_it() {
    // 64 MB of log, values of 5 MB: 70 to 78 MB were held.
    let mut log = LogWriter::new();
    log.trim(&SMALL, Millis(0));
    let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
    for now in 0..200 {
        let size = [5_000, 10_000, 30_000][now as usize % 3];
        log.append_one(&set(b"key", large(size)));
        log.publish(Millis(now));
        assert!(log.handle().bytes() <= SMALL.bytes, "{} at {now}", log.handle().bytes());
        assert!(log.handle().bytes() >= SMALL.bytes / 4 || now < 5);
        assert!(drain(&mut reader, 1 << 20).is_some(), "a reader that is well, at {now}");
    }
}

#[test]
fn a_log_whose_writer_is_gone_ends_its_readers_and_holds_nothing() {
    let mut log = LogWriter::new();
    task(&mut log, Payload::Bytes(b"first"), 1);
    let handle = log.handle();
    let mut reader = handle.reader_at(Lsn(0)).unwrap();
    drop(log);
    assert_eq!(handle.bytes(), 0);
    assert_eq!(drain(&mut reader, 100), None);
}

#[test]
fn a_log_stays_within_its_bound_and_keeps_most_of_it() {
    for bytes in [16 * 1024u64, 64 * 1024, 1 << 20, 16 << 20] {
        let bounds = Bounds { bytes, age: None };
        let mut log = LogWriter::new();
        let (handle, mut lowest) = (log.handle(), u64::MAX);
        for task in 0..10_000 {
            append(&mut log, &[0; 3000]);
            log.publish(Millis(task));
            log.trim(&bounds, Millis(task));
            assert!(handle.bytes() <= bytes, "{} of {bytes} at {task}", handle.bytes());
            if task > 9_000 {
                lowest = lowest.min(handle.bytes());
            }
        }
        assert!(lowest >= bytes / 2, "{lowest} of {bytes} held");
        assert_eq!(
            lsns(&drain(&mut handle.reader_at(handle.first()).unwrap(), 1 << 20).unwrap()),
            handle.head().0 - handle.first().0
        );
    }
}

#[test]
fn old_records_are_trimmed_by_age_and_an_idle_log_is_empty() {
    let bounds = Bounds { bytes: u64::MAX, age: Some(Duration::from_millis(100)) };
    let mut log = LogWriter::new();
    let handle = log.handle();
    assert_eq!(handle.oldest(), None);
    append(&mut log, &[0; 3 * 1024]);
    log.publish(Millis(1000));
    // Does not fit the first chunk any more.
    append(&mut log, &[0; 3 * 1024]);
    log.publish(Millis(1050));
    assert_eq!(handle.oldest(), Some(Millis(1000)));
    for (now, first, oldest) in [
        (0, 0, Some(1000)),
        (1100, 0, Some(1000)),
        (1101, 1, Some(1050)),
        (1150, 1, Some(1050)),
        (1151, 2, None),
    ] {
        log.trim(&bounds, Millis(now));
        assert_eq!(handle.first(), Lsn(first), "at {now}");
        assert_eq!(handle.oldest(), oldest.map(Millis), "at {now}");
    }
    assert_eq!((handle.bytes(), handle.head()), (0, Lsn(2)));
    append(&mut log, b"on");
    log.publish(Millis(2000));
    assert_eq!(handle.oldest(), Some(Millis(2000)));
    assert!(handle.bytes() < CHUNK_BYTES as u64 / 8);
}

#[test]
fn a_reader_at_the_end_of_what_is_trimmed_goes_on() {
    let mut log = LogWriter::new();
    append(&mut log, b"one");
    log.publish(Millis(1));
    let handle = log.handle();
    let mut reader = handle.reader_at(Lsn(0)).unwrap();
    assert!(drain(&mut reader, 100).is_some());
    log.trim(&Bounds { bytes: 0, age: None }, Millis(2));
    assert_eq!((handle.first(), handle.head(), handle.bytes()), (Lsn(1), Lsn(1), 0));
    assert_eq!(drain(&mut reader, 100), Some(Vec::new()));
    append(&mut log, b"two");
    log.publish(Millis(3));
    assert_eq!(drain(&mut reader, 100), Some(b"\x01\x03\x03keytwo".to_vec()));
    assert_eq!(drain(&mut handle.reader_at(Lsn(1)).unwrap(), 100).map(|all| all.len()), Some(9));
}

#[test]
fn a_frame_that_no_wire_carries_is_counted_and_ends_readers() {
    let mut log = LogWriter::new();
    append(&mut log, b"one");
    log.publish(Millis(1));
    let handle = log.handle();
    let mut reader = handle.reader_at(Lsn(0)).unwrap();
    let value = Rope::of(&vec![0; 64 << 20]);
    let mut frame = FrameBuilder::new();
    for _ in 0..32 {
        assert!(frame.fits());
        frame.push(&set(b"key", Payload::Shared(value.clone())));
    }
    assert!(!frame.fits() && frame.entry_count() < FRAME_ENTRIES_MAX);
    assert_eq!(log.append_frame(&frame, None), Lsn(33));
    log.publish(Millis(2));
    assert_eq!((handle.first(), handle.head(), log.frames_lost()), (Lsn(33), Lsn(33), 1));
    assert_eq!(drain(&mut reader, 100), None);
    // A whole string may be written by a change inside it, which says where.
    for (bytes, lost) in [(512 << 20, 1), ((512 << 20) + 1, 2)] {
        let body = Payload::Shared(Rope::of(&vec![0; bytes]));
        let change = Change { what: 1, head: ChangeHead::number(0), body };
        log.append_one(&Record { db: DbIndex(0), key: b"key", effect: Effect::Change(change) });
        assert_eq!(log.frames_lost(), lost);
    }
}

#[test]
fn an_empty_part_of_a_transaction_counts_and_an_empty_task_does_not() {
    let mut log = LogWriter::new();
    let shards = ShardSet::of([ShardId(0), ShardId(1)]);
    let transaction = Transaction { id: TxId(9), shards: shards.shards() };
    let mut frame = FrameBuilder::new();
    assert_eq!(log.append_frame(&frame, None), Lsn(0));
    assert_eq!(log.append_frame(&frame, Some(transaction)), Lsn(1));
    frame.push_entry(&FrameEntry::Global(Global::FlushAll));
    assert_eq!(log.append_frame(&frame, Some(transaction)), Lsn(2));
    log.publish(Millis(1));
    let all = drain(&mut log.handle().reader_at(Lsn(0)).unwrap(), 1000).unwrap();
    assert_eq!(lsns(&all), 2);
}

#[test]
fn a_relay_keeps_the_bytes_and_the_positions_of_its_upstream() {
    let mut rng = seeded("a_relay_keeps_the_bytes_and_the_positions_of_its_upstream");
    let mut upstream = LogWriter::new();
    (0..300).for_each(|_| drop(append_random(&mut upstream, &mut rng)));
    upstream.publish(Millis(1));
    let mut relay = LogWriter::new();
    let received = drain(&mut upstream.handle().reader_at(Lsn(0)).unwrap(), 1 << 20).unwrap();
    self::relay(&mut relay, &received);
    relay.publish(Millis(2));
    assert_eq!(relay.lsn(), upstream.lsn());
    assert!(drain(&mut relay.handle().reader_at(Lsn(0)).unwrap(), 1 << 20).unwrap() == received);
}

struct Woken(AtomicUsize, thread::Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

fn woken() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken(AtomicUsize::new(0), thread::current()));
    (Arc::clone(&woken), Waker::from(woken))
}

#[test]
fn a_sleeper_is_woken_once_by_the_next_publication() {
    let mut log = LogWriter::new();
    let reader = log.handle().reader_at(Lsn(0)).unwrap();
    let gone = log.handle().reader_at(Lsn(0)).unwrap();
    let ((count, waker), (dropped, dropped_waker)) = (woken(), woken());
    assert!(!reader.register(&waker) && !reader.register(&waker) && !gone.register(&dropped_waker));
    drop(gone);
    log.publish(Millis(1));
    assert_eq!(count.0.load(Ordering::SeqCst), 0, "nothing was published");
    append(&mut log, b"one");
    log.publish(Millis(1));
    append(&mut log, b"two");
    log.publish(Millis(1));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(dropped.0.load(Ordering::SeqCst), 0);
    assert!(reader.register(&waker), "there is something to read");
}

/// Reads on a thread of its own until `end`, asleep whenever there is nothing.
fn follow(handle: &LogHandle, end: Lsn, mut rng: fastrand::Rng) -> Option<Vec<u8>> {
    let mut reader = handle.reader_at(Lsn(0)).ok()?;
    let (_, waker) = woken();
    let mut all = Vec::new();
    while reader.lsn() < end {
        match reader.next(rng.usize(1..100_000)) {
            Read::Bytes(span) => {
                // A frame that has arrived is whole, and the head may lag behind it only just.
                all.extend_from_slice(&span);
            }
            Read::Empty => match reader.poll_readable(&mut Context::from_waker(&waker)) {
                Poll::Ready(()) => {}
                Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
            },
            Read::Gone(_) => return None,
        }
    }
    Some(all)
}

fn write_tasks(rng: &mut fastrand::Rng, tasks: u64) -> VecDeque<Vec<Vec<u8>>> {
    let value = |rng: &mut fastrand::Rng| {
        let length = if rng.u32(..300) == 0 { 70_000 } else { rng.usize(..300) };
        vec![rng.u8(..); length]
    };
    (0..tasks).map(|_| (0..rng.usize(1..10)).map(|_| value(rng)).collect()).collect()
}

#[test]
fn readers_on_other_threads_follow_a_writer_and_miss_nothing() {
    let mut rng = seeded("readers_on_other_threads_follow_a_writer_and_miss_nothing");
    let tasks = write_tasks(&mut rng, 20_000);
    let end = Lsn(tasks.iter().map(|task| task.len() as u64).sum());
    let mut log = LogWriter::new();
    let handle = log.handle();
    let mut expected = Vec::new();
    let followed: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (handle, rng) = (handle.clone(), rng.fork());
                scope.spawn(move || follow(&handle, end, rng))
            })
            .collect();
        for (time, task) in tasks.iter().enumerate() {
            for value in task {
                append(&mut log, value);
            }
            log.publish(Millis(time as u64));
            log.trim(&UNBOUNDED, Millis(time as u64));
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    for value in tasks.iter().flatten() {
        let mut frame = FrameBuilder::new();
        frame.push(&set(b"key", Payload::Bytes(value)));
        expected.extend(frame.to_wire(None));
    }
    for all in followed {
        assert!(all.is_some_and(|all| all == expected), "a reader missed something");
    }
}

#[test]
fn readers_of_a_log_that_is_trimmed_meanwhile_get_a_prefix_and_end() {
    let mut rng = seeded("readers_of_a_log_that_is_trimmed_meanwhile_get_a_prefix_and_end");
    let tasks = write_tasks(&mut rng, 20_000);
    let bounds = Bounds { bytes: 300_000, age: None };
    let mut log = LogWriter::new();
    let handle = log.handle();
    let end = Lsn(tasks.iter().map(|task| task.len() as u64).sum());
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (handle, mut rng) = (handle.clone(), rng.fork());
                scope.spawn(move || restart_until(&handle, end, &mut rng))
            })
            .collect();
        for (time, task) in tasks.iter().enumerate() {
            for value in task {
                append(&mut log, value);
            }
            log.publish(Millis(time as u64));
            log.trim(&bounds, Millis(time as u64));
            // Values of 70 kB stand alone: one may be beyond the bound.
            assert!(handle.bytes() <= bounds.bytes + 75_000);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert!(handle.first() > Lsn(0), "nothing was trimmed");
}

/// Reads from the oldest position again and again until one pass reaches `end`; each pass reads
/// whole frames without a hole.
fn restart_until(handle: &LogHandle, end: Lsn, rng: &mut fastrand::Rng) {
    'passes: loop {
        let first = handle.first();
        let Ok(mut reader) = handle.reader_at(first) else { continue };
        let mut unread: Vec<u8> = Vec::new();
        let (mut counted, mut decoder) = (first.0, Decoder::new());
        while counted < end.0 {
            match reader.next(rng.usize(1..50_000)) {
                Read::Bytes(span) => unread.extend_from_slice(&span),
                Read::Empty => thread::yield_now(),
                Read::Gone(gone) => {
                    assert!(gone.oldest.0 > counted, "{gone:?} at {counted}");
                    continue 'passes;
                }
            }
            while let Some((frame, length)) = decoder.next(&unread).expect("frames") {
                counted += frame.lsn_count();
                unread.drain(..length);
            }
            assert_eq!(counted, reader.lsn().0);
        }
        return;
    }
}

/// A collection, and what puts elements with these numbers into it.
type Collection = (&'static Type, fn(&mut Item, Range<usize>));

const COLLECTIONS: [Collection; 4] = [
    (&hash::TYPE, |item, numbers| {
        let names = named(numbers);
        let fields: Vec<hash::Given<'_>> =
            names.iter().map(|name| (&name[..], &[b'v'; 40][..], None)).collect();
        hash::Set { fields: &fields, is_large: true, seen: None }.perform(item).expect("a hash");
    }),
    (&sorted_set::TYPE, |item, numbers| {
        let names = named(numbers);
        let members = names.iter().map(|name| (name.len() as f64, &name[..])).collect();
        sorted_set::Set { members, is_large: true, seen: None }
            .perform(item)
            .expect("a sorted set");
        let last = (1e9, &names[0][..]);
        let again = sorted_set::Set { members: vec![last], is_large: true, seen: None };
        again.perform(item).expect("a sorted set");
    }),
    (&sets::TYPE, |item, numbers| {
        let names = named(numbers);
        let members: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
        let form = sets::Form::Hashed;
        sets::Add { form, members: &members }.perform(item).expect("a set");
    }),
    (&list::TYPE, |item, numbers| {
        let names = named(numbers);
        let elements: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
        let (end, form) = (list::End::Right, list::Form::Quick);
        list::Push { end, elements: &elements, form }.perform(item).expect("a list");
    }),
];

fn named(numbers: Range<usize>) -> Vec<Vec<u8>> {
    numbers.map(|number| format!("some element {number:040}").into_bytes()).collect()
}

/// The stories: a set or a list was written into the log as a whole, in one piece of work; and a sorted set that had
/// been copied and copied again was counted each time, though all of it was the data.
#[test]
fn large_collections_are_told_by_references_and_cost_what_nobody_else_keeps() {
    for (kind, put) in COLLECTIONS {
        let mut item = Item::new(b"key", (kind.empty)(), None);
        put(&mut item, 0..60_000);
        let bytes = item.encoded_len() as u64;
        assert!(bytes > 2 << 20, "{kind:?}: {bytes}");
        let mut log = LogWriter::new();
        let mut reader = log.handle().reader_at(Lsn(0)).unwrap();
        let frame_of = |item: &Item| {
            let mut frame = FrameBuilder::new();
            frame.push_put(DbIndex(0), b"key", Payload::of(item), Deadline::None);
            frame
        };
        for now in 1..4 {
            // As of another key that holds the same.
            let copy = Item::new(b"copy", NewValue::Shared(item.share()), None);
            log.append_frame(&frame_of(&copy), None);
            log.publish(Millis(now));
        }
        let wire = frame_of(&item).to_wire(None);
        let held = |log: &mut LogWriter, now| {
            (0..100u64).for_each(|turn| log.trim(&UNBOUNDED, Millis(now + turn)));
            log.held_bytes()
        };
        let free = held(&mut log, 10);
        assert!(free < 300_000, "{kind:?}: it is the data: {free}");
        put(&mut item, 60_000..60_002);
        let changed = held(&mut log, 200) - free;
        assert!((1..200_000).contains(&changed), "{kind:?}: some pages are the log's: {changed}");
        assert_eq!(drain(&mut reader, 1000).expect("all of it"), wire.repeat(3), "{kind:?}");
        drop(item);
        let all = held(&mut log, 400);
        assert!(all > bytes && all < 3 * bytes, "{kind:?}: once, however often told: {all}");
    }
}

#[test]
fn a_relay_refers_to_what_came_of_a_value_whoever_reads_it_meanwhile() {
    const LONG: usize = 3 << 20;
    let items = [("before", b'x', 2 * INLINE_PAYLOAD_BYTES_MAX), ("long", 1, LONG)];
    let item = |(key, fill, length): (&str, u8, usize)| {
        Item::new(key.as_bytes(), NewValue::Owned(vec![fill; length]), None)
    };
    let items = items.map(item);
    let mut log = LogWriter::new();
    let wire = long(LONG, 1).to_wire(None);
    let mut readers: Vec<(Reader, Vec<u8>)> = Vec::new();
    let (mut came, mut done) = (0, 0);
    let all = frames(&wire);
    for (index, frame) in all.iter().enumerate() {
        readers.push((log.handle().reader_at(log.lsn()).expect("a position"), Vec::new()));
        log.append_relayed(&Decoder::new().next(frame).unwrap().unwrap().0, &mut |_, key| {
            let item = items.iter().find(|item| item.key() == key).expect("a key");
            let SharedValue::Large(rope) = item.share() else { panic!("a large value") };
            Some(rope)
        });
        log.publish(Millis(index as u64 + 1));
        came += frame.len();
        // Each has read another part when the value is whole.
        for (number, (reader, got)) in readers.iter_mut().enumerate() {
            if number % 3 != index % 3
                && let Read::Bytes(span) = reader.next(100_000)
            {
                got.extend_from_slice(&span);
            }
        }
    }
    log.trim(&SMALL, Millis(99));
    assert_eq!(log.handle().first(), Lsn(0), "it costs next to nothing");
    assert!(log.held_bytes() < 50_000, "{}", log.held_bytes());
    for ((reader, got), frame) in readers.iter_mut().zip(&all) {
        got.extend(drain(reader, 1 << 20).expect("the rest"));
        assert!(wire[done..] == got[..], "from {done} of {came}");
        done += frame.len();
    }
    let mut fresh = log.handle().reader_at(Lsn(4)).expect("a position in the middle");
    assert!(wire.ends_with(&drain(&mut fresh, 1 << 20).expect("the rest")));
    drop(items);
    log.trim(&SMALL, Millis(100_000));
    assert!(log.held_bytes() <= SMALL.bytes, "the data is gone, and the log alone has it");
}
