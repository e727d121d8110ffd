//! What is special about each bitmap command. The answers are those of a redis-server 7.

use crate::command::arity_of;
use crate::commands::testing::{Session, check};

const NOT_AN_OFFSET: &str = "-ERR bit offset is not an integer or out of range";

#[test]
fn arities_are_those_of_redis() {
    let expected = [
        ("setbit", 4),
        ("getbit", 3),
        ("bitcount", -2),
        ("bitpos", -3),
        ("bitop", -4),
        ("bitfield", -2),
        ("bitfield_ro", -2),
    ];
    let declared = super::COMMANDS.iter().map(|command| (command.name, arity_of(command.usage)));
    assert_eq!(declared.collect::<Vec<_>>(), expected);
}

#[test]
fn single_bits_are_set_and_read() {
    check(&[
        ("SETBIT k 7 1", ":0"),
        ("SETBIT k 7 1", ":1"),
        ("GETBIT k 7", ":1"),
        ("GETBIT k 6", ":0"),
        ("GETBIT k 4294967295", ":0"),
        ("GETBIT k 4294967296", NOT_AN_OFFSET),
        ("SETBIT k 4294967296 1", NOT_AN_OFFSET),
        ("SETBIT k -1 2", NOT_AN_OFFSET),
        ("SETBIT k x 1", NOT_AN_OFFSET),
        ("SETBIT k 1 2", "-ERR bit is not an integer or out of range"),
        ("SETBIT k 1 x", "-ERR bit is not an integer or out of range"),
        ("SETBIT k 17 0", ":0"),
        ("GET k", "$3 \\x01\\x00\\x00"),
        ("SET n 1", "+OK"),
        ("SETBIT n 6 1", ":0"),
        ("INCR n", ":4"),
    ]);
}

#[test]
fn what_changes_nothing_tells_nothing() {
    let mut session = Session::new();
    session.run("SET k abc");
    for request in [
        "GETBIT k 1",
        "SETBIT k 1 1",
        "BITCOUNT k",
        "BITPOS k 1",
        "BITFIELD k GET u8 0",
        "BITFIELD k SET u8 0 97",
        "BITFIELD k OVERFLOW FAIL SET u2 0 9",
        "BITFIELD nothing GET u8 0",
        "BITOP AND nothing void",
    ] {
        assert_eq!(session.told(request), 0, "{request}");
    }
    assert_eq!(session.told("SETBIT k 0 1"), 1);
    assert_eq!(session.told("SETBIT fresh 9 0"), 1);
    assert_eq!(session.told("BITFIELD new SET u8 8 0"), 1);
    assert_eq!(session.told("BITFIELD more OVERFLOW FAIL SET u2 8 9"), 1);
    session.check(&[("GET more", "$2 \\x00\\x00"), ("GET fresh", "$2 \\x00\\x00")]);
}

#[test]
fn hits_and_misses_are_counted_where_redis_counts_them() {
    for (request, hits, misses) in [
        ("GETBIT k 1", 1, 0),
        ("SETBIT k 1 1", 0, 0),
        ("BITCOUNT no", 0, 1),
        ("BITPOS k 1", 1, 0),
        ("BITOP AND k k no", 1, 1),
        ("BITFIELD k GET u8 0 GET u8 8", 1, 0),
        ("BITFIELD k GET u8 0 SET u8 8 1", 0, 0),
        ("BITFIELD_RO no GET u8 0", 0, 1),
    ] {
        let mut session = Session::new();
        session.run("SET k abc");
        session.run(request);
        let stats = session.shard.keys.stats;
        assert_eq!((stats.hits, stats.misses), (hits, misses), "{request}");
    }
}

#[test]
fn mistakes_are_told_before_the_key_is_looked_up() {
    const NOT_A_NUMBER: &str = "-ERR value is not an integer or out of range";
    const SYNTAX: &str = "-ERR syntax error";
    check(&[
        ("BITCOUNT no 1", SYNTAX),
        ("BITCOUNT no 1 x", NOT_A_NUMBER),
        ("BITCOUNT no 1 2 WORD", SYNTAX),
        ("BITCOUNT no 1 2 BIT 3", SYNTAX),
        ("BITPOS no 2", "-ERR The bit argument must be 1 or 0."),
        ("BITPOS no x", NOT_A_NUMBER),
        ("BITPOS no 1 x", NOT_A_NUMBER),
        ("BITPOS no 1 1 2 WORD", SYNTAX),
        ("BITPOS no 1 1 2 BIT 3", SYNTAX),
        ("BITPOS no 1 1 BIT", NOT_A_NUMBER),
        ("BITPOS no 1 1 x WORD", SYNTAX),
        ("BITPOS no 1 x 2 WORD", NOT_A_NUMBER),
        ("BITPOS no 1 x 2 BIT 3", SYNTAX),
        ("BITCOUNT no x", SYNTAX),
        ("BITCOUNT no x 2 BIT 3", SYNTAX),
        ("BITOP NAND d a", SYNTAX),
        ("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key."),
    ]);
}

#[test]
fn searches_end_where_redis_ends_them() {
    check(&[
        ("SET k \\xff\\xff", "+OK"),
        ("BITPOS k 0", ":16"),
        ("BITPOS k 0 1", ":16"),
        ("BITPOS k 0 0 -1", ":-1"),
        ("BITPOS k 0 2", ":-1"),
        ("BITPOS k 1 -1", ":8"),
        ("BITPOS k 1 3 9 BIT", ":3"),
        ("BITPOS k 1 -8 -9", ":0"),
        ("BITCOUNT k -8 -9", ":0"),
        ("BITCOUNT k -9 -8", ":8"),
        ("BITPOS no 0", ":0"),
        ("BITPOS no 0 5 6", ":0"),
        ("BITPOS no 1", ":-1"),
        ("SET k ''", "+OK"),
        ("BITPOS k 0", ":-1"),
        ("BITCOUNT k", ":0"),
    ]);
}

/// The bits of `bytes` from `start` to `end` as a request means them, counted one by one.
fn naive_bits(bytes: &[u8], start: i64, end: i64, in_bits: bool) -> Vec<(usize, bool)> {
    let scale = if in_bits { 1 } else { 8 };
    let length = (bytes.len() * 8 / scale) as i64;
    let place = |at: i64| if at < 0 { (at + length).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(length - 1));
    let unit = |unit: i64| unit as usize * scale..(unit as usize + 1) * scale;
    let bits = (start..=end).flat_map(unit);
    bits.map(|bit| (bit, bytes[bit / 8] >> (7 - bit % 8) & 1 == 1)).collect()
}

#[test]
fn random_counts_and_searches_equal_those_bit_by_bit() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut session = Session::new();
    for _ in 0..2000 {
        let length = random.usize(1..60);
        let common = [0, 0xff][random.usize(..2)];
        let mut bytes = vec![common; length];
        for _ in 0..random.usize(..4) {
            bytes[random.usize(..length)] = random.u8(..);
        }
        session.run_args(&[b"SET", b"k", &bytes]);
        let in_bits = random.bool();
        let far = if in_bits { 500 } else { 70 };
        let (start, end) = (random.i64(-far..far), random.i64(-far..far));
        let bits = naive_bits(&bytes, start, end, in_bits);
        let unit = if in_bits { "BIT" } else { "BYTE" };
        let is_backwards = start < 0 && end < 0 && start > end;
        let ones = bits.iter().filter(|(_, bit)| *bit && !is_backwards).count();
        let counted = session.run(&format!("BITCOUNT k {start} {end} {unit}"));
        assert_eq!(counted, format!(":{ones}"), "SEED={seed} {bytes:x?} {start} {end} {unit}");
        for wanted in [0, 1] {
            let first = bits.iter().find(|(_, bit)| i32::from(*bit) == wanted);
            let first = first.map_or(-1, |(at, _)| *at as i64);
            let found = session.run(&format!("BITPOS k {wanted} {start} {end} {unit}"));
            assert_eq!(found, format!(":{first}"), "SEED={seed} {bytes:x?} {start} {end} {unit}");
        }
    }
}

#[test]
fn strings_of_different_lengths_are_combined() {
    check(&[
        ("MSET a \\x0f\\xff b \\xf5 n 12", "+OK"),
        ("BITOP AND d a b", ":2"),
        ("GET d", "$2 \\x05\\x00"),
        ("BITOP OR d a b", ":2"),
        ("GET d", "$2 \\xff\\xff"),
        ("BITOP xor d a b no", ":2"),
        ("GET d", "$2 \\xfa\\xff"),
        ("BITOP NOT d n", ":2"),
        ("GET d", "$2 \\xce\\xcd"),
        ("BITOP AND d no a", ":2"),
        ("GET d", "$2 \\x00\\x00"),
        ("BITOP OR a a b", ":2"),
        ("GET a", "$2 \\xff\\xff"),
        ("BITOP OR d no", ":0"),
        ("GET d", "$-1"),
    ]);
    let mut session = Session::new();
    session.run_args(&[b"SET", b"a", &vec![0x55; 100_000]]);
    session.check(&[("BITOP NOT d a", ":100000"), ("BITCOUNT d", ":400000")]);
    session.check(&[("BITPOS d 0", ":1"), ("BITPOS d 1 99999", ":799992")]);
}

#[test]
fn fields_overflow_as_they_are_told() {
    check(&[
        ("BITFIELD k SET u8 0 255 INCRBY u8 0 1", "*2 :0 :0"),
        ("BITFIELD k SET i8 0 127 INCRBY i8 0 1", "*2 :0 :-128"),
        ("BITFIELD k OVERFLOW SAT INCRBY i8 0 -1 INCRBY i8 0 300", "*2 :-128 :127"),
        ("BITFIELD k OVERFLOW FAIL INCRBY i8 0 1 GET i8 0", "*2 $-1 :127"),
        ("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0", "*2 :127 :255"),
        ("BITFIELD k OVERFLOW SAT SET i8 0 -300 GET i8 0", "*2 :-1 :-128"),
        ("BITFIELD k SET u4 4 -1 GET u8 0", "*2 :0 :143"),
        ("BITFIELD k SET i64 #0 9223372036854775807", "*1 :-8142508126285856768"),
        ("BITFIELD k INCRBY i64 #0 1", "*1 :-9223372036854775808"),
        // Redis's own arithmetic, beyond its 64 bits.
        ("BITFIELD far OVERFLOW SAT SET i31 0 -9223372036854775808 GET i31 0", "*2 :0 :1073741823"),
        ("BITFIELD k OVERFLOW SAT INCRBY i64 #0 -1", "*1 :-9223372036854775808"),
        ("BITFIELD k SET u63 1 -1 GET u63 1", "*2 :0 :9223372036854775807"),
        ("BITFIELD k", "*0"),
        ("BITFIELD k OVERFLOW WRAP", "*0"),
    ]);
}

#[test]
fn fields_are_refused_as_redis_refuses_them() {
    const TYPE: &str = "-ERR Invalid bitfield type. Use something like i16 u8. \
                        Note that u64 is not supported but i64 is.";
    const SYNTAX: &str = "-ERR syntax error";
    for (words, reply) in [
        ("GET u64 0", TYPE),
        ("GET i65 0", TYPE),
        ("GET u0 0", TYPE),
        ("GET U8 0", TYPE),
        ("GET 8 0", TYPE),
        ("GET i+8 0", TYPE),
        ("GET u8", SYNTAX),
        ("SET u8 0", SYNTAX),
        ("INCR u8 0 1", SYNTAX),
        ("OVERFLOW", SYNTAX),
        ("OVERFLOW TRAP", "-ERR Invalid OVERFLOW type specified"),
        ("GET u8 -1", NOT_AN_OFFSET),
        ("GET u8 #-1", NOT_AN_OFFSET),
        ("GET u8 #9223372036854775807", NOT_AN_OFFSET),
        ("GET u8 4294967296", NOT_AN_OFFSET),
        ("SET u8 4294967289 1", NOT_AN_OFFSET),
        ("SET u8 0 x", "-ERR value is not an integer or out of range"),
        ("SET u8 0 1 GET u8 x", NOT_AN_OFFSET),
    ] {
        check(&[(&format!("BITFIELD k {words}"), reply), ("GET k", "$-1")]);
    }
    const ONLY_GET: &str = "-ERR BITFIELD_RO only supports the GET subcommand";
    check(&[
        ("BITFIELD_RO k GET u8 0", "*1 :0"),
        ("BITFIELD_RO k SET u8 0 1", ONLY_GET),
        ("BITFIELD_RO k INCRBY u8 0 1", ONLY_GET),
    ]);
}

/// Runs a request that is too long for text.
fn ask(session: &mut Session, words: &[&[u8]]) -> String {
    String::from_utf8_lossy(&session.run_args(words)).trim_end().to_owned()
}

#[test]
fn counts_and_searches_in_slices_equal_those_in_one_go() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..12 {
        let mut session = Session::new();
        // From here on strings are looked at in slices.
        let length = 256 * 1024 + [0, 1, 65_535, 65_536, random.usize(..200_000)][round % 5];
        let mut bytes = vec![[0, 0xff][round % 2]; length];
        for _ in 0..random.usize(..6) {
            bytes[random.usize(..length)] = random.u8(..);
        }
        session.run_args(&[b"SET", b"k", &bytes]);
        for _ in 0..20 {
            let in_bits = random.bool();
            let far = (length * if in_bits { 8 } else { 1 }) as i64 + 9;
            let (start, end) = (random.i64(-far..far), random.i64(-far..far));
            let bits = naive_bits(&bytes, start, end, in_bits);
            let unit: &[u8] = if in_bits { b"BIT" } else { b"BYTE" };
            let (first, last) = (start.to_string(), end.to_string());
            let span = [first.as_bytes(), last.as_bytes(), unit];
            let is_backwards = start < 0 && end < 0 && start > end;
            let ones = bits.iter().filter(|(_, bit)| *bit && !is_backwards).count();
            let count = ask(&mut session, &[b"BITCOUNT", b"k", span[0], span[1], span[2]]);
            assert_eq!(count, format!(":{ones}"), "SEED={seed} {length} {start} {end} {unit:?}");
            for (wanted, word) in [(false, b"0"), (true, b"1")] {
                let first = bits.iter().find(|(_, bit)| *bit == wanted);
                let first = first.map_or(-1, |(at, _)| *at as i64);
                let found = ask(&mut session, &[b"BITPOS", b"k", word, span[0], span[1], span[2]]);
                assert_eq!(found, format!(":{first}"), "SEED={seed} {length} {start} {end}");
            }
        }
    }
}

#[test]
fn combinations_in_slices_equal_those_in_one_go() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..24 {
        let mut session = Session::new();
        let operation = ["AND", "OR", "XOR", "NOT", "DIFF", "DIFF1", "ANDOR", "ONE"][round % 8];
        let count = match operation {
            "NOT" => 1,
            "AND" | "OR" | "XOR" | "ONE" => random.usize(1..20),
            _ => random.usize(2..20),
        };
        // Of one length, of a block's, and of any.
        let longest = [150_000, 163_840, random.usize(131_073..200_000)][round % 3];
        let mut sources: Vec<Vec<u8>> = Vec::new();
        for index in 0..count {
            let length = if index == 0 { longest } else { random.usize(..=longest) };
            sources.push((0..length).map(|_| random.u8(..)).collect());
        }
        let names: Vec<String> = (0..count).map(|index| format!("s{index}")).collect();
        for (name, source) in names.iter().zip(&sources) {
            session.run_args(&[b"SET", name.as_bytes(), source]);
        }
        let mut words: Vec<&[u8]> = vec![b"BITOP", operation.as_bytes(), b"d"];
        words.extend(names.iter().map(String::as_bytes));
        assert_eq!(ask(&mut session, &words), format!(":{longest}"), "SEED={seed}");
        let byte =
            |at: usize| sources.iter().map(move |source| source.get(at).copied().unwrap_or(0));
        let combine = |at: usize| match operation {
            "AND" => byte(at).fold(0xff, |one, other| one & other),
            "OR" => byte(at).fold(0, |one, other| one | other),
            "XOR" => byte(at).fold(0, |one, other| one ^ other),
            "DIFF" => byte(at).skip(1).fold(sources[0][at], |one, other| one & !other),
            "DIFF1" => byte(at).skip(1).fold(0, |one, other| one | other) & !sources[0][at],
            "ANDOR" => byte(at).skip(1).fold(0, |one, other| one | other) & sources[0][at],
            "ONE" => (0..8).fold(0, |all, bit| {
                let have = byte(at).filter(|byte| byte & (1 << bit) != 0).count();
                all | u8::from(have == 1) << bit
            }),
            _ => !sources[0][at],
        };
        let expected: Vec<u8> = (0..longest).map(combine).collect();
        let mut reply = format!("${longest}\r\n").into_bytes();
        reply.extend_from_slice(&expected);
        reply.extend_from_slice(b"\r\n");
        let found = session.run_args(&[b"GET", b"d"]);
        assert!(found == reply, "SEED={seed} {operation} of {count} strings up to {longest}");
    }
}
