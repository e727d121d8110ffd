//! Payloads as the servers wrote them, and bytes that nobody wrote.

use super::forms::Limits;
use super::{Assembly, Crc, Decoder, Part, Text, dump, lzf};
use crate::value::stream::NodeLimits;
use crate::value::{Small, Value, list, set};

/// Who wrote it, its version, the value, and what that is. What no server at hand writes any more was
/// made after the description of the format.
const PAYLOADS: &[(&str, u16, &str, &str)] = &[
    (
        "6.2",
        9,
        "0e050e0e0000000a0000000100000161ff0d0d0000000a00000001000000ff0d0d0000000a000000010000fdff0f0f0000000a000000010000c060f0ffc315405404540000000a200305010000404662e03b000162ff",
        "list a  12 -4000 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    ),
    ("6.2", 9, "02020279790178", "set yy x"),
    ("6.2", 9, "0402016ec00101660176", "hash n:1 f:v"),
    (
        "6.2",
        9,
        "0503016300000000000008400161000000000000f83f0162000000000000f0ff",
        "zset c=3 a=1.5 b=-inf",
    ),
    (
        "6.2",
        9,
        "0c21210000001e000000060000016203042d696e660601610303312e3505016303f4ff",
        "zset b=-inf a=1.5 c=3",
    ),
    (
        "6.2",
        9,
        "0f0210000000000000000100000000000000014042420000001900020101010201816602816702000102010001000101010201050103010001010103010401050100010401dfff020101856f74686572068178020601ff10000000000000000600000000000000001d1d0000000a0001010001010181660200010201000100018179020401ff03060001036772700101010000000000000001000000000000000107ba2723a20100000101026d6507ba2723a20100000100000000000000010000000000000001",
        "stream 1-1(2) f:1 g:2 5-0(1) other:x 6-0(1) f:y [3 to 6, 3] grp<1>None 1*1 me !1",
    ),
    (
        "7.0",
        10,
        "1205020a0a0000000100816102ff02090900000001008001ff02090900000001000c01ff020a0a0000000100d06002ff02c310405008500000000100e04662e03c000148ff",
        "list a  12 -4000 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    ),
    ("7.0", 10, "000568656c6c6f", "string hello"),
    ("7.0", 10, "00c00c", "string 12"),
    ("7.0", 10, "00c1d4fe", "string -300"),
    ("7.0", 10, "00c2a0860100", "string 100000"),
    ("7.0", 10, "00c30928016161e01b00016161", "string aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("7.0", 10, "1012120000000400816602817602816e020101ff", "hash f:v n:1"),
    (
        "7.0",
        10,
        "111d1d0000000600816202842d696e660581610283312e35048163020301ff",
        "zset b=-inf a=1.5 c=3",
    ),
    (
        "7.0",
        10,
        "130210000000000000000100000000000000014042420000001900020101010201816602816702000102010001000101010201050103010001010103010401050100010401dfff020101856f74686572068178020601ff10000000000000000600000000000000001d1d0000000a0001010001010181660200010201000100018179020401ff03060001010102040103677270010181ffffffffffffffff010000000000000001000000000000000108ba2723a20100000101026d6508ba2723a20100000100000000000000010000000000000001",
        "stream 1-1(2) f:1 g:2 5-0(1) other:x 6-0(1) f:y [3 to 6, 4] grp<1>None 1*1 me !1",
    ),
    ("8.2", 12, "1800204aa9d101000002000166017601016ec001", "hash f:v n:1@2000000000000"),
    ("8.2", 12, "140e0e000000020081780282797903ff", "set x yy"),
    (
        "8.2",
        12,
        "1900204aa9d10100001e1e0000000600816e020101f400204aa9d1010000098166028176020001ff",
        "hash n:1@2000000000000 f:v",
    ),
    (
        "8.2",
        12,
        "150210000000000000000100000000000000014042420000001900020101010201816602816702000102010001000101010201050103010001010103010401050100010401dfff020101856f74686572068178020601ff10000000000000000600000000000000001d1d0000000a0001010001010181660200010201000100018179020401ff03060001010102040103677270010181ffffffffffffffff010000000000000001000000000000000109ba2723a20100000101026d6509ba2723a201000009ba2723a20100000100000000000000010000000000000001",
        "stream 1-1(2) f:1 g:2 5-0(1) other:x 6-0(1) f:y [3 to 6, 4] grp<1>None 1*1 me !1",
    ),
    (
        "valkey9",
        80,
        "160201660176ffffffffffffffff016ec00100204aa9d1010000",
        "hash f:v n:1@2000000000000",
    ),
    ("description", 1, "01020161c0ff", "list a -1"),
    ("description", 1, "0302016103332e350162ff", "zset a=3.5 b=-inf"),
    ("description", 1, "09150203666f6f03006261720571756f746102006869ff", "hash foo:bar quota:hi"),
    ("description", 9, "0a11110000000d000000020000016103fe7bff", "list a 123"),
    ("description", 9, "0d10100000000d000000020000016103f3ff", "hash a:2"),
    ("description", 11, "16010a01660176", "hash f:v@10"),
    ("description", 11, "170f0f00000003008166028176020501ff", "hash f:v@5"),
    ("description", 9, "0781800000000000000002050502686900", "module skipped skipped"),
];

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn shown(value: Value<'_>) -> String {
    value.with_bytes(|bytes| bytes.escape_ascii().to_string())
}

fn shown_part(part: &Part<'_>) -> String {
    match *part {
        Part::Element(value) => shown(value),
        Part::Member { member, score } => format!("{}={score}", shown(member)),
        Part::Field { field, value, expires: None } => {
            format!("{}:{}", shown(field), shown(value))
        }
        Part::Field { field, value, expires: Some(at) } => {
            format!("{}:{}@{}", shown(field), shown(value), at.0)
        }
        Part::Entry { id, fields } => format!("{}-{}({fields})", id.ms, id.seq),
        Part::Facts(facts) => format!("[{} to {}, {}]", facts.length, facts.last.ms, facts.added),
        Part::Group { name, last, read } => format!("{}<{}>{read:?}", shown(name), last.ms),
        Part::Pending { id, times, .. } => format!("{}*{times}", id.ms),
        Part::Consumer { name, .. } => shown(name),
        Part::Claimed(id) => format!("!{}", id.ms),
        Part::Skipped => "skipped".to_owned(),
    }
}

fn limits() -> Limits {
    let small = Small { entries: 128, value: 64 };
    let stream = NodeLimits { bytes: 4096, entries: 100 };
    let (set, list) = (set::Limits::default(), list::Limit::of(-2));
    Limits { set, list, hash: small, sorted_set: small, stream }
}

/// The value in words, or why it is none.
fn read(bytes: &[u8], version: u16) -> Result<String, String> {
    let why = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let mut decoder = Decoder::begin(bytes, version).map_err(|error| why(&error))?;
    let form = bytes.first().copied().unwrap_or_default();
    let mut assembly = Assembly::new(decoder.kind(), form, &limits());
    let mut words = vec![decoder.kind().name().to_owned()];
    words.extend(match decoder.string() {
        None => None,
        Some(Text::Int(number)) => Some(number.to_string()),
        Some(Text::Raw(range)) => Some(shown(Value::Bytes(&bytes[range.clone()]))),
        Some(Text::Packed(range, length)) => {
            let unpacked = lzf::unpack(&bytes[range.clone()], *length).ok_or("LZF")?;
            Some(shown(Value::Bytes(&unpacked)))
        }
    });
    while let Some(part) = decoder.next(bytes).map_err(|error| why(&error))? {
        assembly.add(&part)?;
        words.push(shown_part(&part));
    }
    assembly.end()?;
    Ok(words.join(" "))
}

#[test]
fn every_form_is_read_into_the_same_parts() {
    for (from, version, hex, expected) in PAYLOADS {
        let read = read(&bytes_of(hex), *version);
        assert_eq!(read.as_deref(), Ok(*expected), "of {from}: {hex}");
    }
}

#[test]
fn every_changed_byte_and_every_end_is_read_or_refused() {
    let mut refused = 0;
    for (_, version, hex, _) in PAYLOADS {
        let whole = bytes_of(hex);
        for at in 0..whole.len() {
            assert!(read(&whole[..at], *version).is_err(), "{hex} up to {at}");
            let mut changed = whole.clone();
            for byte in 0..=255 {
                changed[at] = byte;
                refused += usize::from(read(&changed, *version).is_err());
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn random_bytes_are_read_or_refused() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..100_000 {
        let length = random.usize(1..60);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        bytes[0] = random.u8(..26);
        let _ = read(&bytes, if random.bool() { 12 } else { 80 });
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (hex, why) in [
        ("0202016101 61", "the same twice"),
        ("04020161017801610179", "the same twice"),
        ("0200", "without elements"),
        ("0100", "without elements"),
        ("0501016100000000 0000f87f", "no number"),
        ("0b0c02000000020000000200 0100", "not in order"),
        ("100a0a00000001008161 03ff", "lies"),
        ("1009090000000100 0101ff", "uneven"),
        ("81", "no such type"),
        ("06", "no such type"),
    ] {
        let error = read(&bytes_of(&hex.replace(' ', "")), 9).expect_err(hex);
        assert!(error.contains(why), "{hex}: {error}");
    }
}

#[test]
fn strings_are_read_as_they_were_dumped() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut values: Vec<Vec<u8>> = vec![Vec::new(), b"abc".repeat(4000)];
    for number in [0, 127, -128, 128, 32_767, -32_769, 1 << 31, i64::MIN] {
        values.push(number.to_string().into_bytes());
    }
    for length in [20, 21, 63, 64, 16_383, 16_384] {
        values.push((0..length).map(|_| random.u8(..3)).collect());
        values.push((0..length).map(|_| random.u8(..)).collect());
    }
    for value in values {
        let payload = dump::string(Value::Bytes(&value));
        assert!(dump::fits(&payload, Crc::of(&payload[..payload.len() - 8])));
        assert_eq!(dump::version(&payload), Some(9));
        let read = read(&payload[..payload.len() - dump::FOOTER], 9);
        assert_eq!(read, Ok(format!("string {}", value.escape_ascii())));
    }
    let payload = dump::string(Value::Int(12));
    assert_eq!(payload, bytes_of("00c00c0900ecd8a99d0882df64"));
}

#[test]
fn a_field_lives_until_a_time_that_can_be_asked_for() {
    // A hash whose times are counted from a least one: that one, one field, two behind it less one.
    let payload = |least: u64| {
        let mut bytes = vec![24];
        bytes.extend_from_slice(&least.to_le_bytes());
        bytes.extend_from_slice(b"\x01\x02\x01f\x01v");
        read(&bytes, 12)
    };
    let last = i64::MAX as u64;
    assert_eq!(payload(last - 1), Ok(format!("hash f:v@{last}")));
    assert!(payload(last).is_err_and(|why| why.contains("a time that is none")));
    assert!(payload(u64::MAX).is_err_and(|why| why.contains("a time that is none")));
}

#[test]
fn times_of_fields_are_written_for_a_redis_and_for_a_valkey() {
    use super::forms::{Recipient, writing_for};
    let mut hash = crate::value::hash::Builder::new(128, 64);
    assert!(
        hash.add(b"f", b"v", None)
            && hash.add(b"n", b"1", Some(crate::types::Millis(2_000_000_000_000)))
    );
    let crate::value::NewValue::Object(object) = hash.end() else { panic!("no hash") };
    let expected = "hash n:1@2000000000000 f:v";
    for (recipient, version, form) in [(Recipient::Newest, 12, 24), (Recipient::Valkey9, 80, 22)] {
        let (mut writing, mut bytes) =
            (writing_for(&*object, recipient).expect("a form"), Vec::new());
        while !writing.more(&mut bytes) {}
        assert_eq!(bytes[0], form);
        assert_eq!(read(&bytes, version), Ok(expected.to_owned()));
    }
}
