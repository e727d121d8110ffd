//! How long the parser takes for one `SET`, and for one `GET`, that stand whole in the buffer.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use engine::resp::{Limits, Parsed, Parser, ReplyLimits, ReplyScanner, encode_command};

const REQUESTS: usize = 200;
const ROUNDS: usize = 20_000;
const REPEATS: usize = 5;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let value = [b'v'; 32];
    for (name, arguments) in [
        ("SET key(16) value(32)", vec![b"SET".as_slice(), b"key:000000000001", &value]),
        ("GET key(16)", vec![b"GET".as_slice(), b"key:000000000001"]),
    ] {
        let mut buffer = Vec::new();
        (0..REQUESTS).for_each(|_| encode_command(&mut buffer, &arguments));
        let nanoseconds = median(|| parse_all(&buffer));
        writeln!(out, "{name}: {nanoseconds:.1} ns per request")?;
    }
    let replies = b"$32\r\nvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\r\n".repeat(REQUESTS);
    let nanoseconds = median(|| {
        let mut scanner = ReplyScanner::new(ReplyLimits::default());
        scanner.count(black_box(&replies)).map_or(0, |(replies, _)| replies)
    });
    writeln!(out, "reply of 32 bytes, delimited: {nanoseconds:.1} ns")
}

/// The median over the repeats of nanoseconds per item of `run`, which says how many items it did.
fn median(mut run: impl FnMut() -> usize) -> f64 {
    let mut figures = [0.0; REPEATS];
    for figure in &mut figures {
        let start = Instant::now();
        let items: usize = (0..ROUNDS).map(|_| run()).sum();
        *figure = start.elapsed().as_nanos() as f64 / items as f64;
    }
    figures.sort_by(f64::total_cmp);
    figures[REPEATS / 2]
}

fn parse_all(buffer: &[u8]) -> usize {
    let mut parser = Parser::new();
    let (mut start, mut requests) = (0, 0);
    while let Ok(Parsed::Request { consumed }) =
        parser.next(black_box(&buffer[start..]), &Limits::STANDARD)
    {
        requests += 1;
        black_box(parser.args(&buffer[start..]).get(1));
        start += consumed;
    }
    requests
}
