//! Requests as a person types them: words between spaces, with quotes.
//!
//! ```text
//!   SET greeting "two words\r\n" 'it\'s'
//! ```
//!
//! In double quotes `\n \r \t \b \a \xHH` mean what they mean in C and any other `\c` means `c`; in
//! single quotes only `\'` is special. After a closing quote a space or the end must follow; an
//! opening one may stand within a word.

use super::args::Span;

/// How a line was split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// No quotes: the spans point into the line.
    Plain,
    /// Quotes: the spans point into the separate bytes.
    Unquoted,
    /// A quote is not closed, or closed in the middle of a word.
    Unbalanced,
}

/// Splits `line` (without its end) and appends a span per word. `unquoted` is empty before, and
/// stays so if there are no quotes.
///
/// A NUL ends the line: Redis looks for the end of the line up to it, and waits for ever.
pub(super) fn split(line: &[u8], spans: &mut Vec<Span>, unquoted: &mut Vec<u8>) -> Line {
    let line = &line[..memchr::memchr(0, line).unwrap_or(line.len())];
    let mut position = 0;
    loop {
        while line.get(position).is_some_and(|byte| is_space(*byte)) {
            position += 1;
        }
        let start = position;
        loop {
            match line.get(position) {
                Some(b'"' | b'\'') => {
                    spans.clear();
                    return split_quoted(line, spans, unquoted);
                }
                Some(byte) if !ends_word(*byte) => position += 1,
                _ => break,
            }
        }
        if position == start {
            return Line::Plain;
        }
        // A line has at most 64 KB.
        spans.push(Span { start: start as u32, length: (position - start) as u32 });
    }
}

fn split_quoted(line: &[u8], spans: &mut Vec<Span>, unquoted: &mut Vec<u8>) -> Line {
    unquoted.clear();
    let mut rest = line;
    loop {
        while let [byte, tail @ ..] = rest
            && is_space(*byte)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Line::Unquoted;
        }
        let start = unquoted.len();
        match word(rest, unquoted) {
            Some(tail) => rest = tail,
            None => return Line::Unbalanced,
        }
        let length = (unquoted.len() - start) as u32;
        spans.push(Span { start: start as u32, length });
    }
}

/// Appends the word that `rest` begins with and returns what follows it.
fn word<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let [byte, tail @ ..] = rest {
        match byte {
            b'"' => return closed(double_quoted(tail, unquoted)?),
            b'\'' => return closed(single_quoted(tail, unquoted)?),
            byte if ends_word(*byte) => break,
            byte => unquoted.push(*byte),
        }
        rest = tail;
    }
    Some(rest)
}

/// What follows a closing quote, if it may.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|byte| is_space(*byte)).then_some(rest)
}

fn double_quoted<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                unquoted.push(hex(*high) << 4 | hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                unquoted.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                unquoted.push(*byte);
                tail
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                unquoted.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                unquoted.push(*byte);
                tail
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// C's `isspace`, without the line feed, which ends the request.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// What ends an unquoted word: fewer bytes than separate words, as in Redis.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}
