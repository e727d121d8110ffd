//! Records and frames as bytes: what is written is read, and nothing else is accepted.

use std::sync::Arc;

use engine::{
    journal::{
        Change, Deadline, DecodeError, Decoder, Effect, FRAME_ENTRIES_MAX, FrameBuilder,
        FrameEntry, Global, INLINE_PAYLOAD_BYTES_MAX, Payload, Record, ShardSet, Transaction,
    },
    pubsub::Scope,
    types::{DbIndex, Millis, ShardId, TxId},
    value::{ChangeHead, Rope},
};

/// A seed of this run: from the environment (`SEED=...`), or drawn; printed for the next time.
fn seeded(name: &str) -> fastrand::Rng {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{name}: SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

fn number(rng: &mut fastrand::Rng) -> u64 {
    rng.u64(..) >> rng.u32(..64)
}

fn bytes(rng: &mut fastrand::Rng) -> Vec<u8> {
    let length = match rng.u32(..200) {
        0 => INLINE_PAYLOAD_BYTES_MAX + rng.usize(..3),
        1..10 => rng.usize(..3000),
        _ => rng.usize(..40),
    };
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn payload(rng: &mut fastrand::Rng) -> Payload<'static> {
    match rng.u32(..3) {
        0 => Payload::Int(number(rng) as i64 ^ -i64::from(rng.bool())),
        1 => Payload::Shared(Rope::of(&bytes(rng))),
        _ => Payload::Typed(rng.u8(1..), Arc::new(bytes(rng))),
    }
}

fn effect(rng: &mut fastrand::Rng) -> Effect<'static> {
    let value = payload(rng);
    match rng.u32(..12) {
        8 => Effect::PutBegin { kind: rng.u8(1..), length: number(rng) },
        9 => Effect::PutPart(Payload::Shared(Rope::of(&bytes(rng)))),
        10 => Effect::PutEnd {
            deadline: match rng.u32(..3) {
                0 => Deadline::None,
                1 => Deadline::Keep,
                _ => Deadline::At(Millis(number(rng))),
            },
        },
        11 => Effect::Message(
            if rng.bool() { Scope::Plain } else { Scope::Sharded },
            Payload::Shared(Rope::of(&bytes(rng))),
        ),
        0 => Effect::Put { value, deadline: Deadline::At(Millis(number(rng))) },
        1 => Effect::Put { value, deadline: Deadline::Keep },
        2 => Effect::Remove,
        3 => Effect::SetDeadline(rng.bool().then(|| Millis(number(rng)))),
        4 | 5 => {
            let numbers = [(); 2].map(|()| number(rng));
            let head = match rng.u32(..3) {
                0 => ChangeHead::default(),
                1 => ChangeHead::number(numbers[0]),
                _ => ChangeHead::number(numbers[0]).and(numbers[1]),
            };
            let body = Payload::Shared(Rope::of(&bytes(rng)));
            Effect::Change(Change { what: rng.u16(..), head, body })
        }
        _ => Effect::Put { value, deadline: Deadline::None },
    }
}

/// An entry and its key, which it borrows when it is used.
fn entry(rng: &mut fastrand::Rng, transaction: bool) -> (Vec<u8>, FrameEntry<'static>) {
    let db = DbIndex(if rng.bool() { 0 } else { rng.u16(..) });
    if transaction && rng.u32(..5) == 0 {
        let global = match rng.u32(..3) {
            0 => Global::FlushAll,
            1 => Global::FlushDb(db),
            _ => Global::SwapDb(db, DbIndex(rng.u16(..))),
        };
        return (Vec::new(), FrameEntry::Global(global));
    }
    (bytes(rng), FrameEntry::Record(Record { db, key: b"", effect: effect(rng) }))
}

fn with_key<'a>((key, entry): &'a (Vec<u8>, FrameEntry<'static>)) -> FrameEntry<'a> {
    match entry {
        FrameEntry::Record(record) => {
            FrameEntry::Record(Record { db: record.db, key, effect: record.effect.clone() })
        }
        FrameEntry::Global(global) => FrameEntry::Global(*global),
    }
}

/// A random frame: its transaction, its entries, its bytes.
struct Sample {
    transaction: Option<(TxId, ShardSet)>,
    entries: Vec<(Vec<u8>, FrameEntry<'static>)>,
    wire: Vec<u8>,
}

fn sample(rng: &mut fastrand::Rng) -> Sample {
    let transaction = (rng.u32(..3) == 0).then(|| {
        let highest = 1 << rng.u32(..11);
        let shards: Vec<_> = (0..rng.usize(1..20)).map(|_| ShardId(rng.u16(..highest))).collect();
        (TxId(number(rng).max(1)), ShardSet::of(shards))
    });
    let least = usize::from(transaction.is_none());
    let most = if rng.u32(..3) == 0 { 30 } else { 2 };
    let entries: Vec<_> =
        (0..rng.usize(least..most)).map(|_| entry(rng, transaction.is_some())).collect();
    let mut builder = FrameBuilder::new();
    for entry in &entries {
        builder.push_entry(&with_key(entry));
    }
    assert!(builder.fits());
    let wire = builder.to_wire(transaction.as_ref().map(borrowed));
    Sample { transaction, entries, wire }
}

fn borrowed((id, shards): &(TxId, ShardSet)) -> Transaction<'_> {
    Transaction { id: *id, shards: shards.shards() }
}

#[test]
fn every_frame_is_read_as_it_was_written() {
    let mut rng = seeded("every_frame_is_read_as_it_was_written");
    for _ in 0..3000 {
        let sample = sample(&mut rng);
        let (frame, length) = Decoder::new().next(&sample.wire).unwrap().unwrap();
        assert_eq!(length, sample.wire.len());
        assert_eq!(frame.as_bytes(), sample.wire);
        assert_eq!(frame.transaction(), sample.transaction.as_ref().map(borrowed));
        assert_eq!(frame.entry_count(), sample.entries.len());
        assert_eq!(frame.lsn_count(), sample.entries.len().max(1) as u64);
        let entries: Vec<_> = frame.entries().collect();
        let expected: Vec<_> = sample.entries.iter().map(with_key).collect();
        assert_eq!(entries, expected);
    }
}

#[test]
fn frames_arrive_in_pieces_of_any_size() {
    let mut rng = seeded("frames_arrive_in_pieces_of_any_size");
    for _ in 0..60 {
        let frames: Vec<Vec<u8>> = (0..20).map(|_| sample(&mut rng).wire).collect();
        let stream = frames.concat();
        let (mut decoder, mut start, mut end, mut got) = (Decoder::new(), 0, 0, Vec::new());
        let step = 1 << rng.u32(..14);
        while got.len() < frames.len() {
            match decoder.next(&stream[start..end]).unwrap() {
                Some((frame, length)) => {
                    got.push(frame.as_bytes().to_vec());
                    start += length;
                }
                None => {
                    assert!(decoder.needed() <= stream.len() - start, "waits for too much");
                    assert!(end < stream.len(), "waits for more than there is");
                    end = (end + rng.usize(1..=step)).min(stream.len());
                }
            }
        }
        assert_eq!(got, frames);
        assert_eq!(start, stream.len());
    }
}

/// Whatever `bytes` are: no panic, and a frame that is accepted is one that the encoder makes.
fn check_any(bytes: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    let mut start = 0;
    loop {
        match decoder.next(&bytes[start..]) {
            Ok(Some((frame, length))) => {
                let mut builder = FrameBuilder::new();
                let entries: Vec<_> = frame.entries().collect();
                assert_eq!(entries.len(), frame.entry_count());
                entries.iter().for_each(|entry| builder.push_entry(entry));
                assert!(builder.fits());
                assert_eq!(builder.to_wire(frame.transaction()), &bytes[start..start + length]);
                if let Some(transaction) = frame.transaction() {
                    let shards: Vec<_> = transaction.shards.iter().collect();
                    assert_eq!(shards.len(), transaction.shards.count());
                    assert_eq!(shards.last(), Some(&transaction.shards.highest()));
                    assert!(shards.iter().all(|shard| transaction.shards.contains(*shard)));
                }
                start += length;
            }
            Ok(None) => return true,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return false;
            }
        }
    }
}

#[test]
fn mutated_frames_are_refused_or_are_other_frames() {
    let mut rng = seeded("mutated_frames_are_refused_or_are_other_frames");
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut wire = sample(&mut rng).wire;
        wire.truncate(4000);
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..wire.len().min(64));
            match rng.u32(..4) {
                0 => wire[at] ^= 1 << rng.u32(..8),
                1 => wire[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0xff, 0x70, 0x71]).unwrap(),
                2 => wire.insert(at, rng.u8(..)),
                _ if wire.len() > 1 => drop(wire.remove(at)),
                _ => {}
            }
        }
        match check_any(&wire) {
            true => accepted += 1,
            false => refused += 1,
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn random_bytes_do_no_harm() {
    let mut rng = seeded("random_bytes_do_no_harm");
    for _ in 0..50_000 {
        let small = rng.bool();
        let bytes: Vec<u8> =
            (0..rng.usize(..60)).map(|_| if small { rng.u8(..16) } else { rng.u8(..) }).collect();
        check_any(&bytes);
        // A caller that breaks the contract and shows other bytes gets nonsense, not a panic.
        let mut confused = Decoder::new();
        let _ = confused.next(&bytes);
        let _ = confused.next(&bytes[bytes.len() / 2..]);
    }
}

#[test]
fn a_small_set_costs_three_bytes_beside_key_and_value() {
    let put = |deadline, value| Effect::Put { value, deadline };
    let k = Payload::Bytes(b"v");
    for (db, effect, expected) in [
        (0, put(Deadline::None, k.clone()), &b"\x01\x01\x01kv"[..]),
        (0, put(Deadline::None, Payload::Int(-1)), b"\x02\x01\x01k"),
        (0, put(Deadline::At(Millis(300)), k.clone()), b"\x03\x01\xac\x02\x01kv"),
        (0, put(Deadline::Keep, k.clone()), b"\x05\x01\x01kv"),
        (0, put(Deadline::None, Payload::TypedBytes(4, b"v")), b"\x0b\x01\x04\x01kv"),
        (0, put(Deadline::At(Millis(1)), Payload::TypedBytes(4, b"v")), b"\x0c\x01\x01\x04\x01kv"),
        (0, put(Deadline::Keep, Payload::TypedBytes(200, b"v")), b"\x0d\x01\xc8\x01\x01kv"),
        (0, Effect::Remove, b"\x07\x01k"),
        (0, Effect::SetDeadline(Some(Millis(1))), b"\x08\x01\x01k"),
        (0, Effect::SetDeadline(None), b"\x09\x01k"),
        (0, Effect::Change(Change::new(0, b"v")), b"\x0a\x01\x00\x01kv"),
        (
            0,
            Effect::Change(Change { what: 300, head: ChangeHead::number(2), body: k.clone() }),
            b"\x0a\x01\xac\x02\x02k\x02v",
        ),
        (3, Effect::Remove, b"\x87\x03\x01k"),
        (0, Effect::PutBegin { kind: 4, length: 300 }, b"\x0e\x01\x04\xac\x02k"),
        (3, Effect::PutPart(k.clone()), b"\x8f\x03\x01\x01kv"),
        (0, Effect::PutEnd { deadline: Deadline::None }, b"\x10\x01\x00k"),
        (0, Effect::PutEnd { deadline: Deadline::Keep }, b"\x10\x01\x01k"),
        (0, Effect::PutEnd { deadline: Deadline::At(Millis(300)) }, b"\x10\x01\x02\xac\x02k"),
        (0, Effect::Message(Scope::Plain, k.clone()), b"\x18\x01\x01kv"),
        (0, Effect::Message(Scope::Sharded, k.clone()), b"\x19\x01\x01kv"),
    ] {
        let mut builder = FrameBuilder::new();
        builder.push(&Record { db: DbIndex(db), key: b"k", effect });
        assert_eq!(builder.to_wire(None), expected);
    }
    let mut empty = FrameBuilder::new();
    let shards = ShardSet::of([ShardId(0), ShardId(9)]);
    let transaction = Transaction { id: TxId(5), shards: shards.shards() };
    assert_eq!(empty.to_wire(Some(transaction)), b"\x71\x05\x02\x01\x02\x00");
    empty.push_entry(&FrameEntry::Global(Global::FlushAll));
    assert_eq!(empty.to_wire(Some(transaction)), b"\x71\x05\x02\x01\x02\x01\x60");
}

#[test]
fn what_no_encoder_writes_is_refused() {
    use DecodeError as E;
    let too_long = (512u64 << 20) + 1;
    for (bytes, expected) in [
        (&b"\x00"[..], E::UnknownOp(0)),
        (b"\x11", E::UnknownOp(0x11)),
        (b"\x0e\x01\x80\x02", E::BadType(256)),
        (b"\x0e\x01\x00\x81\x80\x80\x80\x02", E::ValueTooLong(too_long)),
        (b"\x0f\x01\x81\x80\x80\x80\x02", E::ValueTooLong(too_long)),
        (b"\x10\x01\x03", E::BadDeadline(3)),
        (b"\x72", E::UnknownOp(0x72)),
        (b"\xff\x01", E::UnknownOp(0xff)),
        (b"\x60", E::GlobalOutsideTransaction),
        (b"\x70\x02\x60", E::GlobalOutsideTransaction),
        (b"\x70\x00", E::BadEntryCount(0)),
        (b"\x70\x01", E::BadEntryCount(1)),
        (b"\x70\x81\x80\x80\x08", E::BadEntryCount(FRAME_ENTRIES_MAX + 1)),
        (b"\x71\x00", E::ZeroTransaction),
        (b"\x71\x01\x00", E::BadShards(0)),
        (b"\x71\x01\x81\x01", E::BadShards(129)),
        (b"\x71\x01\x02\x01\x00", E::BadShards(2)),
        (b"\x87\x00", E::BadDatabase(0)),
        (b"\x87\x80\x80\x04", E::BadDatabase(65536)),
        (b"\x07\x80\x00", E::BadNumber),
        (b"\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", E::BadNumber),
        (b"\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", E::BadNumber),
        (b"\x07\x81\x80\x80\x80\x02", E::KeyTooLong(too_long)),
        (b"\x01\x01\x81\x80\x80\x80\x02", E::ValueTooLong(too_long)),
        (b"\x0a\x01\x80\x80\x04", E::BadChange(65536)),
        (b"\x0b\x01\x00", E::BadType(0)),
        (b"\x0c\x01\x07\x80\x02", E::BadType(256)),
        (b"\x0a\x01\x00\x95\x80\x80\x80\x02", E::ValueTooLong(too_long + 20)),
    ] {
        assert_eq!(Decoder::new().next(bytes).err(), Some(expected), "{bytes:02x?}");
    }
}

#[test]
fn a_decoder_says_how_much_it_waits_for() {
    let mut decoder = Decoder::new();
    // A put with a key of 5 and a value of 300 bytes.
    assert_eq!(decoder.next(b"\x01\x05\xac\x02ke").unwrap().map(|found| found.1), None);
    assert_eq!(decoder.needed(), 4 + 5 + 300);
}
