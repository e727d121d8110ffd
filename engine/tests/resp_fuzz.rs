//! Random and mutated bytes for both parsers: whole and in pieces they must say the same, and never
//! panic.
//!
//! Every run draws a fresh seed and prints it; `SEED=n cargo test -p engine --test resp_fuzz`
//! repeats one, and `ROUNDS=n` sets how long it runs.

use engine::resp::{
    Limits, Parsed, Parser, ProtocolError, Reply, ReplyError, ReplyLimits, ReplyReader,
    encode_command,
};
use fastrand::Rng;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn random(name: &str) -> (Rng, u64) {
    let seed = from_environment("SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{name}: SEED={seed}");
    (Rng::with_seed(seed), from_environment("ROUNDS").unwrap_or(20_000))
}

/// Small limits, so that random input reaches them.
fn limits(random: &mut Rng) -> Limits {
    let authenticated = random.bool();
    Limits {
        bulk_bytes: 1000,
        arguments: 20,
        request_bytes: 3000,
        long_bytes: usize::MAX,
        authenticated,
    }
}

/// Pieces of the grammar, whole and broken.
fn token(random: &mut Rng, out: &mut Vec<u8>, pieces: &[&[u8]]) {
    match random.u8(..10) {
        0 => out.push(random.u8(..)),
        1 => out.extend_from_slice(random.i64(-3..2000).to_string().as_bytes()),
        _ => out.extend_from_slice(pieces[random.usize(..pieces.len())]),
    }
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(..3) {
        let at = random.usize(..=bytes.len());
        match random.u8(..4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, random.u8(..)),
            _ => bytes.truncate(at.max(1)),
        }
    }
}

fn requests(random: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..6) {
        match random.u8(..4) {
            0 => {
                let pieces: &[&[u8]] = &[
                    b"*1\r\n", b"$3\r\n", b"\r\n", b"abc", b" ", b"\"", b"'", b"\\", b"\n", b"*",
                    b"$",
                ];
                (0..random.usize(1..20)).for_each(|_| token(random, &mut bytes, pieces));
            }
            1 => bytes.extend_from_slice(b"SET key \"a \\x41 'b\" 'c'\r\n"),
            _ => {
                let arguments: Vec<Vec<u8>> = (0..random.usize(1..8))
                    .map(|_| (0..random.usize(..30)).map(|_| random.u8(..)).collect())
                    .collect();
                let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
                encode_command(&mut bytes, &arguments);
            }
        }
    }
    mutate(random, &mut bytes);
    bytes
}

type Requests = (Vec<Vec<Vec<u8>>>, usize, Option<ProtocolError>);

/// Everything that `bytes` says when it arrives in pieces of the sizes that `piece` returns. Long arguments
/// are taken out of the buffer while they come.
fn parse(bytes: &[u8], limits: &Limits, mut piece: impl FnMut() -> usize) -> Requests {
    let (mut parser, mut found, mut start, mut arrived) = (Parser::new(), Vec::new(), 0, 0);
    // The buffer, what was taken out, and how much is missing of the last one.
    let (mut buffer, mut long, mut missing) = (Vec::new(), Vec::<Vec<u8>>::new(), 0);
    loop {
        if missing > 0 {
            let end = (arrived + piece().min(missing)).min(bytes.len());
            if end == arrived {
                return (found, start, None);
            }
            long.last_mut().unwrap().extend_from_slice(&bytes[arrived..end]);
            missing -= end - arrived;
            arrived = end;
            if missing == 0 {
                parser.taken();
            }
            continue;
        }
        match parser.next(&buffer, limits) {
            Err(error) => return (found, start, Some(error)),
            Ok(Parsed::Long { at, length }) => {
                assert!(length >= limits.long_bytes && at <= buffer.len());
                let end = buffer.len().min(at + length);
                long.push(buffer.drain(at..end).collect());
                missing = length - long.last().unwrap().len();
                if missing == 0 {
                    parser.taken();
                }
            }
            Ok(Parsed::Incomplete { want }) => {
                assert!(want >= 1);
                if arrived == bytes.len() {
                    return (found, start, None);
                }
                let end = arrived.saturating_add(piece()).min(bytes.len());
                buffer.extend_from_slice(&bytes[arrived..end]);
                arrived = end;
            }
            Ok(Parsed::Request { consumed }) => {
                let arguments = parser.args(&buffer);
                assert!(!arguments.is_empty() && arguments.len() <= limits.arguments.max(1500));
                let argument = |index: usize| match arguments.standing(index) {
                    Some(bytes) => bytes.to_vec(),
                    None => long[arguments.spans()[index].aside_index().unwrap()].clone(),
                };
                found.push((0..arguments.len()).map(argument).collect());
                start += consumed + long.drain(..).map(|long| long.len()).sum::<usize>();
                buffer.drain(..consumed);
            }
            Ok(Parsed::Empty { consumed }) => {
                assert!(consumed > 0);
                found.push(Vec::new());
                start += consumed;
                buffer.drain(..consumed);
            }
        }
    }
}

#[test]
fn requests_in_pieces_are_the_requests_as_a_whole() {
    let (mut random, rounds) = random("requests");
    for _ in 0..rounds {
        let bytes = requests(&mut random);
        let limits = limits(&mut random);
        let whole = parse(&bytes, &limits, || usize::MAX / 2);
        let single = parse(&bytes, &limits, || 1);
        assert_eq!(single, whole, "byte by byte: {}", bytes.escape_ascii());
        let pieces = parse(&bytes, &limits, || random.usize(1..40));
        assert_eq!(pieces, whole, "in pieces: {}", bytes.escape_ascii());
        let taking = Limits { long_bytes: random.usize(..30), ..limits };
        let taken = parse(&bytes, &taking, || random.usize(1..40));
        assert_eq!(taken, whole, "long ones taken out: {}", bytes.escape_ascii());
    }
}

fn replies(random: &mut Rng) -> Vec<u8> {
    let pieces: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR x\r\n",
        b":12\r\n",
        b"$3\r\nabc\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*2\r\n",
        b"*0\r\n",
        b"%1\r\n",
        b"~2\r\n",
        b">1\r\n",
        b"|1\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(99\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"!3\r\nERR\r\n",
        b"\r",
        b"\n",
        b"*",
        b"$",
    ];
    let mut bytes = Vec::new();
    (0..random.usize(1..40)).for_each(|_| {
        let piece = if random.u8(..20) == 0 { pieces.len() } else { pieces.len() - 4 };
        token(random, &mut bytes, &pieces[..piece]);
    });
    if random.bool() {
        mutate(random, &mut bytes);
    }
    bytes
}

type Replies = (Vec<Reply>, usize, Option<ReplyError>);

fn read(bytes: &[u8], limits: ReplyLimits, mut piece: impl FnMut() -> usize) -> Replies {
    let (mut reader, mut found) = (ReplyReader::new(limits), Vec::new());
    let (mut start, mut arrived) = (0, 0);
    loop {
        match reader.next(&bytes[start..arrived]) {
            Err(error) => return (found, start, Some(error)),
            Ok(Some((reply, length))) => {
                assert!(length > 0);
                found.push(reply);
                start += length;
            }
            Ok(None) if arrived == bytes.len() => return (found, start, None),
            Ok(None) => arrived = (arrived + piece()).min(bytes.len()),
        }
    }
}

#[test]
fn replies_in_pieces_are_the_replies_as_a_whole() {
    let (mut random, rounds) = random("replies");
    let limits = ReplyLimits { bytes: 2000, depth: 4 };
    for _ in 0..rounds {
        let bytes = replies(&mut random);
        let whole = read(&bytes, limits, || usize::MAX / 2);
        let single = read(&bytes, limits, || 1);
        assert_eq!(single, whole, "byte by byte: {}", bytes.escape_ascii());
        let pieces = read(&bytes, limits, || random.usize(1..40));
        assert_eq!(pieces, whole, "in pieces: {}", bytes.escape_ascii());
    }
}
