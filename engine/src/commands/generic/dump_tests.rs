//! DUMP and RESTORE of what is long, and of what is not here. Payloads are those of real servers.

use crate::commands::testing::{Session, check};
use crate::rdb::dump::FOOTER;
use crate::rdb::forms;
use crate::types::DbIndex;

const TWELVE: &str = "\\x00\\xc0\\x0c\\x09\\x00\\xec\\xd8\\xa9\\x9d\\x08\\x82\\xdf\\x64";

/// What DUMP answers, without the length and the line's end.
fn dumped(session: &mut Session, key: &[u8]) -> Vec<u8> {
    let reply = session.run_args(&[b"DUMP", key]);
    let start = reply.iter().position(|byte| *byte == b'\n').expect("a string") + 1;
    reply[start..reply.len() - 2].to_vec()
}

#[test]
fn long_strings_are_dumped_and_restored_in_slices_and_stay_what_they_are() {
    let mut session = Session::new();
    for length in [1025, 16_384, 16_385, 65_536, 65_537, 300_000, 5_000_000] {
        let value: Vec<u8> = (0..length).map(|at: u64| (at * at / 7 % 251) as u8).collect();
        session.run_args(&[b"SET", b"long", &value]);
        let payload = dumped(&mut session, b"long");
        let reply = session.run_args(&[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n", "{length}");
        assert_eq!(session.run_args(&[b"GET", b"copy"]), session.run_args(&[b"GET", b"long"]));
        // The checksum looks at all of it.
        let mut changed = payload.clone();
        changed[payload.len() / 2] ^= 1;
        let reply = session.run_args(&[b"RESTORE", b"copy", b"0", &changed, b"REPLACE"]);
        assert!(reply.starts_with(b"-ERR DUMP payload"), "{length}");
    }
}

#[test]
fn a_long_string_that_is_packed_is_restored_in_slices() {
    // 100 KB of one letter, packed: 1 letter, then 264 at a time.
    let mut packed = vec![0, b'a'];
    for _ in 0..500 {
        packed.extend_from_slice(&[0xe0, 255, 0]);
    }
    let length = 1 + 500 * 264_u32;
    let mut payload = vec![0, 0xc3, 0x80];
    payload.extend_from_slice(&(packed.len() as u32).to_be_bytes());
    payload.push(0x80);
    payload.extend_from_slice(&length.to_be_bytes());
    payload.extend_from_slice(&packed);
    let foot = crate::rdb::dump::footer(crate::rdb::Crc::of(&payload));
    payload.extend_from_slice(&foot);
    let mut session = Session::new();
    assert_eq!(session.run_args(&[b"RESTORE", b"k", b"0", &payload]), b"+OK\r\n");
    let value = session.run_args(&[b"GET", b"k"]);
    assert_eq!(value.iter().filter(|byte| **byte == b'a').count(), length as usize);
}

#[test]
fn refusals_come_in_redis_s_order_and_change_nothing() {
    let restore = |rest: &str| format!("RESTORE k {rest}");
    let bad_sum = "-ERR DUMP payload version or checksum are wrong";
    check(&[
        ("SET k 1", "+OK"),
        (&restore("x junk"), "-BUSYKEY Target key name already exists."),
        (&restore("x junk REPLACE"), "-ERR value is not an integer or out of range"),
        (&restore("-1 junk REPLACE"), "-ERR Invalid TTL value, must be >= 0"),
        (&restore("0 junk REPLACE"), bad_sum),
        (&restore("0 '' REPLACE"), bad_sum),
        (&restore("0 junk REPLACE IDLETIME"), "-ERR syntax error"),
        (&restore("0 junk IDLETIME -1"), "-ERR Invalid IDLETIME value, must be >= 0"),
        (&restore("0 junk FREQ -1"), "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        (&restore("0 junk FREQ 1 IDLETIME 1"), "-ERR syntax error"),
        ("GET k", "$1 1"),
    ]);
}

#[test]
fn a_time_that_has_passed_deletes_and_is_told_as_that() {
    let mut session = Session::new();
    assert_eq!(session.told(&format!("RESTORE k 1 {TWELVE} ABSTTL")), 0);
    assert_eq!(session.told(&format!("RESTORE k 0 {TWELVE}")), 1);
    assert_eq!(session.run("EXISTS k"), ":1");
    assert_eq!(session.told(&format!("RESTORE k 1 {TWELVE} ABSTTL REPLACE")), 1);
    assert_eq!(session.run("EXISTS k"), ":0");
    assert_eq!(session.told(&format!("RESTORE k 7 {TWELVE} IDLETIME 100")), 1);
    assert_eq!(session.run("PTTL k"), ":7");
    assert_eq!(session.run("OBJECT IDLETIME k"), ":100");
}

#[test]
fn a_value_whose_parts_do_not_go_together_is_refused() {
    let payload = |value: &[u8]| {
        let foot = crate::rdb::dump::footer(crate::rdb::Crc::of(value));
        [value, &foot].concat()
    };
    let mut session = Session::new();
    let mut refused = |value: &[u8]| {
        let reply = session.run_args(&[b"RESTORE", b"k", b"0", &payload(value)]);
        String::from_utf8_lossy(&reply).trim_end().to_owned()
    };
    assert_eq!(refused(b"\x02\x02\x01a\x01a"), "-ERR Bad data format");
    assert_eq!(refused(b"\x02\x00"), "-ERR Bad data format");
    // A node with nothing in it, and a zipmap that tells no count where it has one.
    assert_eq!(refused(b"\x12\x01\x01\x00"), "-ERR Bad data format");
    assert_eq!(refused(b"\x09\x0c\xff\x01a\x01\x00b\x01c\x01\x00c\xff"), "-ERR Bad data format");
    assert_eq!(refused(b"\x00\x40"), "-ERR Bad data format");
    assert_eq!(refused(b"\x63"), "-ERR Bad data format");
    assert_eq!(refused(b"\x07\x01\x00"), "-ERR Bad data format");
}

/// Values of few and of many elements, among them long ones.
fn values_of_long_elements() -> Vec<Vec<Vec<u8>>> {
    let text =
        |length: usize| -> Vec<u8> { (0..length).map(|at| (at * at / 11 % 253) as u8).collect() };
    let words = |command: &str, rest: Vec<Vec<u8>>| {
        let start = command.split(' ').map(|word| word.as_bytes().to_vec());
        start.chain(rest).collect::<Vec<_>>()
    };
    let lengths = [3, 40, 300, 5000, 16_384, 16_385, 65_536, 100_000, 700_000, 3];
    let long = || lengths.iter().map(|length| text(*length)).collect::<Vec<_>>();
    let paired = |before: &dyn Fn(usize) -> Vec<u8>| {
        long().into_iter().enumerate().flat_map(|(at, long)| [before(at), long]).collect::<Vec<_>>()
    };
    let numbered = |at: usize| at.to_string().into_bytes();
    let mut hash = paired(&|at| [text(lengths[at]), numbered(at)].concat());
    hash.extend((0..600).flat_map(|at| [numbered(at), text(30)]));
    let members = paired(&|at| numbered(at))
        .into_iter()
        .chain((0..600).flat_map(|at| [numbered(at), numbered(at)]));
    vec![
        words("RPUSH k", long()),
        words("RPUSH k", vec![text(9000); 500]),
        words("SADD k", long()),
        words("HSET k", hash),
        words("ZADD k", members.collect()),
        words("XADD k 5-1", paired(&numbered)),
        words("XADD k 5-1", vec![text(70_000), text(80), text(20), text(200_000)]),
        words("XADD k 5-1", vec![text(3), text(4)]),
    ]
}

#[test]
fn long_elements_are_written_in_pieces_and_restored_as_they_were() {
    const PIECE_MAX: usize = 64 * 1024 + 2 * 16 * 1024 + 1024;
    for made in values_of_long_elements() {
        let (mut session, name) = (Session::new(), String::from_utf8_lossy(&made[0]).into_owned());
        let words: Vec<&[u8]> = made.iter().map(Vec::as_slice).collect();
        session.run_args(&words);
        if name == "XADD" {
            // Another of the same names, one that is gone, and a group.
            let mut more = words.clone();
            more[2] = b"5-2";
            session.run_args(&more);
            more[2] = b"6-1";
            session.run_args(&more);
            session.run("XDEL k 5-2");
            session.run("XGROUP CREATE k g 0");
            session.run("XREADGROUP GROUP g ann STREAMS k >");
        }
        let item = session.shard.keys.find(DbIndex(0), b"k").expect("it was made");
        let object = item.object().expect("no string");
        let mut writing = forms::writing(object).expect("every type has a form");
        let mut whole = Vec::new();
        loop {
            let mut piece = Vec::new();
            let is_done = writing.more(&mut piece);
            assert!(piece.len() <= PIECE_MAX, "{name}: {}", piece.len());
            whole.extend_from_slice(&piece);
            if is_done {
                break;
            }
        }
        let payload = dumped(&mut session, b"k");
        assert_eq!(payload[..payload.len() - FOOTER], whole, "{name}");
        let before = session.shard.keys.digest();
        assert_eq!(session.run_args(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]), b"+OK\r\n");
        assert_eq!(session.shard.keys.digest(), before, "{name}");
    }
}
