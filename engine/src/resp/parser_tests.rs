//! Tables of requests, each also cut at every byte, and of everything a peer can do wrong.

use super::*;

/// One request as it should be understood: the arguments (none: an empty request), and what follows
/// it.
fn check(bytes: &[u8], expected: &[&[u8]], rest: usize) {
    let consumed = bytes.len() - rest;
    let whole =
        if expected.is_empty() { Parsed::Empty { consumed } } else { Parsed::Request { consumed } };
    let mut parser = Parser::new();
    for cut in 0..=consumed {
        // In two pieces: what comes before the cut, then everything.
        match parser.next(&bytes[..cut], &Limits::STANDARD).unwrap() {
            Parsed::Incomplete { want } => {
                assert!(cut < consumed, "cut at {cut}");
                assert!(want >= 1 && cut + want <= consumed, "cut at {cut} wants {want}");
                assert_eq!(parser.is_inside(), cut > 0);
                assert_eq!(parser.next(bytes, &Limits::STANDARD), Ok(whole), "cut at {cut}");
            }
            parsed => assert_eq!((cut, parsed), (consumed, whole)),
        }
        assert_eq!(parser.args(bytes).iter().collect::<Vec<_>>(), expected, "cut at {cut}");
        assert!(!parser.is_inside());
    }
    // Byte by byte.
    for cut in 0..consumed {
        let parsed = parser.next(&bytes[..cut], &Limits::STANDARD).unwrap();
        assert!(matches!(parsed, Parsed::Incomplete { .. }), "{cut}: {parsed:?}");
    }
    assert_eq!(parser.next(&bytes[..consumed], &Limits::STANDARD), Ok(whole));
    assert_eq!(parser.args(bytes).iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_request_is_the_same_wherever_it_was_cut() {
    check(b"*1\r\n$4\r\nPING\r\n", &[b"PING"], 0);
    check(
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n",
        &[b"SET", b"k", b"hello\r\nworld"],
        0,
    );
    check(b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[b"GET", b""], 0);
    check(b"*2\r\n$3\r\nGET\r\n$1\r\n*\r\n*1\r\n$4\r\nPING\r\n", &[b"GET", b"*"], 14);
    check(b"*0\r\nPING\r\n", &[], 6);
    check(b"*-1\r\n", &[], 0);
    check(b"*-123456\r\n", &[], 0);
    let many: Vec<&[u8]> = vec![b"abcdefghijklmno"; 12];
    let mut request = Vec::new();
    crate::resp::encode_command(&mut request, &many);
    check(&request, &many, 0);
}

#[test]
fn line_ends_are_skipped_unseen_as_redis_does() {
    check(b"*1\rX$4\rYPING??", &[b"PING"], 0);
}

#[test]
fn an_inline_request_is_the_same_wherever_it_was_cut() {
    // Each was sent to a redis-server; the words are what it understood.
    check(b"PING\r\n", &[b"PING"], 0);
    check(b"PING\n", &[b"PING"], 0);
    check(b"\r\nPING\r\n", &[], 6);
    check(b"\n", &[], 0);
    check(b" \t \r\n", &[], 0);
    check(b"  SET  k\tv \r\nX", &[b"SET", b"k", b"v"], 1);
    check(b"PING\rx\n", &[b"PING", b"x"], 0);
    check(b"ECHO a\x0bb\n", &[b"ECHO", b"a\x0bb"], 0);
    check(b"\x0bPING\n", &[b"PING"], 0);
    check(b"ECHO \"\\x41\\n\\\"q\"\r\n", &[b"ECHO", b"A\n\"q"], 0);
    check(b"ECHO \"\\xzz\\r\\t\\b\\a\\\\\" x\n", &[b"ECHO", b"xzz\r\t\x08\x07\\", b"x"], 0);
    check(b"ECHO 'a\\'b\\n'\n", &[b"ECHO", b"a'b\\n"], 0);
    check(b"ECHO a\"b c\"\n", &[b"ECHO", b"ab c"], 0);
    check(b"ECHO \"\"\n", &[b"ECHO", b""], 0);
    // A NUL ends the line: the rest is not even looked at.
    check(b"\x00\x01\r\n", &[], 0);
    check(b"ECHO a\x00b c\n", &[b"ECHO", b"a"], 0);
    check(b"ECHO 'a b' \x00'\nX", &[b"ECHO", b"a b"], 1);
    check(b"ECHO \"a\"\x0bb\n", &[b"ECHO", b"a", b"b"], 0);
    check(b"ECHO \"\\xfF\" plain\n", &[b"ECHO", b"\xff", b"plain"], 0);
}

#[test]
fn a_quoted_request_does_not_spoil_the_one_after_it() {
    let mut parser = Parser::new();
    let first = b"ECHO \"a b\"\n";
    parser.next(first, &Limits::STANDARD).unwrap();
    assert_eq!(parser.args(first).get(1), b"a b");
    let second = b"ECHO ab\n";
    parser.next(second, &Limits::STANDARD).unwrap();
    assert_eq!(parser.args(second).get(1), b"ab");
}

fn check_error(bytes: &[u8], limits: &Limits, expected: ProtocolError) {
    let shown = bytes[..bytes.len().min(40)].escape_ascii();
    assert_eq!(Parser::new().next(bytes, limits), Err(expected), "{shown}");
    // In pieces, until the error: it may come earlier, but never another one.
    let mut parser = Parser::new();
    let step = if bytes.len() > 1000 { 997 } else { 1 };
    let mut cut = 0;
    loop {
        match parser.next(&bytes[..cut], limits) {
            Err(error) => {
                assert_eq!(error, expected, "{shown} cut at {cut}");
                break;
            }
            Ok(parsed) => assert!(matches!(parsed, Parsed::Incomplete { .. }), "{shown}"),
        }
        assert!(cut < bytes.len(), "{shown}: no error");
        cut = (cut + step).min(bytes.len());
    }
}

#[test]
fn protocol_errors_are_those_of_redis() {
    use ProtocolError::*;
    let table: &[(&[u8], ProtocolError)] = &[
        (b"*x\r\n", InvalidMultibulkLength),
        (b"*1x\r\n", InvalidMultibulkLength),
        (b"*01\r\n", InvalidMultibulkLength),
        (b"*+1\r\n", InvalidMultibulkLength),
        (b"*-0\r\n", InvalidMultibulkLength),
        (b"*\r\n", InvalidMultibulkLength),
        (b"* 1\r\n", InvalidMultibulkLength),
        (b"*1048577\r\n", InvalidMultibulkLength),
        (b"*2147483648\r\n", InvalidMultibulkLength),
        (b"*99999999999999999999\r\n", InvalidMultibulkLength),
        (b"*1\r\nxabc\r\n", ExpectedBulk(b'x')),
        (b"*1\r\n\r\n", ExpectedBulk(b'\r')),
        (b"*1\r\n\xff\r\n", ExpectedBulk(0xff)),
        (b"*1\r\n*1\r\n", ExpectedBulk(b'*')),
        (b"*2\r\n$1\r\na\r\n:1\r\n", ExpectedBulk(b':')),
        (b"*1\r\n$x\r\n", InvalidBulkLength),
        (b"*1\r\n$\r\n", InvalidBulkLength),
        (b"*1\r\n$-1\r\n", InvalidBulkLength),
        (b"*1\r\n$04\r\n", InvalidBulkLength),
        (b"*1\r\n$00000000000004\r\n", InvalidBulkLength),
        (b"*1\r\n$536870913\r\n", InvalidBulkLength),
        (b"*1\r\n$9223372036854775807\r\n", InvalidBulkLength),
        (b"PING \"a\n", UnbalancedQuotes),
        (b"PING 'a\n", UnbalancedQuotes),
        (b"PING \"a\"b\n", UnbalancedQuotes),
        (b"PING 'a'b\n", UnbalancedQuotes),
        (b"ECHO \"abc\\\n", UnbalancedQuotes),
    ];
    for (bytes, expected) in table {
        check_error(bytes, &Limits::STANDARD, *expected);
    }
}

#[test]
fn a_line_without_an_end_is_refused_after_64_kilobytes() {
    let line = |start: &str, length: usize| [start.as_bytes(), &vec![b'1'; length]].concat();
    for (bytes, expected) in [
        (line("", LINE_BYTES_MAX + 1), ProtocolError::TooBigInline),
        (line("*", LINE_BYTES_MAX), ProtocolError::TooBigMultibulkCount),
        (line("*1\r\n$", LINE_BYTES_MAX), ProtocolError::TooBigBulkCount),
        (line("*1\r\nx", LINE_BYTES_MAX), ProtocolError::TooBigBulkCount),
    ] {
        check_error(&bytes, &Limits::STANDARD, expected);
        let shorter = &bytes[..bytes.len() - 1];
        assert_eq!(
            Parser::new().next(shorter, &Limits::STANDARD),
            Ok(Parsed::Incomplete { want: 1 })
        );
    }
    let longest = [vec![b'a'; LINE_BYTES_MAX], b"\n".to_vec()].concat();
    assert_eq!(
        Parser::new().next(&longest, &Limits::STANDARD),
        Ok(Parsed::Request { consumed: LINE_BYTES_MAX + 1 })
    );
}

#[test]
fn before_authentication_requests_are_small() {
    let limits = Limits { authenticated: false, ..Limits::STANDARD };
    check_error(b"*11\r\n", &limits, ProtocolError::UnauthenticatedMultibulkLength);
    check_error(b"*1\r\n$16385\r\n", &limits, ProtocolError::UnauthenticatedBulkLength);
    // What nobody may send is named as such.
    check_error(b"*2147483648\r\n", &limits, ProtocolError::InvalidMultibulkLength);
    check_error(b"*1\r\n$536870913\r\n", &limits, ProtocolError::InvalidBulkLength);
    assert_eq!(
        Parser::new().next(b"*10\r\n$16384\r\n", &limits),
        Ok(Parsed::Incomplete { want: 16386 })
    );
}

#[test]
fn limits_are_reached_but_not_exceeded() {
    let limits = Limits {
        bulk_bytes: 20,
        arguments: 3,
        request_bytes: 50,
        long_bytes: usize::MAX,
        authenticated: true,
    };
    assert_eq!(Parser::new().next(b"*3\r\n$20\r\n", &limits), Ok(Parsed::Incomplete { want: 22 }));
    check_error(b"*4\r\n", &limits, ProtocolError::InvalidMultibulkLength);
    check_error(b"*1\r\n$21\r\n", &limits, ProtocolError::InvalidBulkLength);
    let twice = [b"*2\r\n".as_slice(), b"$20\r\naaaaaaaaaaaaaaaaaaaa\r\n", b"$20\r\n"].concat();
    check_error(&twice, &limits, ProtocolError::TooBigRequest);
    let million = [b"*1048576\r\n".as_slice(), &b"$1\r\na\r\n".repeat(1 << 20)].concat();
    let mut parser = Parser::new();
    assert_eq!(
        parser.next(&million, &Limits::STANDARD),
        Ok(Parsed::Request { consumed: million.len() })
    );
    assert_eq!(parser.args(&million).len(), 1 << 20);
    parser.next(b"PING\r\n", &Limits::STANDARD).unwrap();
    assert!(parser.memory() <= 16 * 1024, "{} bytes are kept", parser.memory());
}

#[test]
fn an_announced_count_or_length_reserves_nothing() {
    let mut parser = Parser::new();
    parser.next(b"*1048576\r\n$536870912\r\n", &Limits::STANDARD).unwrap();
    assert_eq!(parser.memory(), 0);
}

#[test]
fn errors_are_written_as_redis_writes_them() {
    for (error, text) in [
        (ProtocolError::InvalidMultibulkLength, "invalid multibulk length"),
        (ProtocolError::InvalidBulkLength, "invalid bulk length"),
        (ProtocolError::ExpectedBulk(b'x'), "expected '$', got 'x'"),
        (ProtocolError::ExpectedBulk(b'\r'), "expected '$', got ' '"),
        (ProtocolError::ExpectedBulk(b'\n'), "expected '$', got ' '"),
        (ProtocolError::UnauthenticatedMultibulkLength, "unauthenticated multibulk length"),
        (ProtocolError::UnauthenticatedBulkLength, "unauthenticated bulk length"),
        (ProtocolError::TooBigInline, "too big inline request"),
        (ProtocolError::TooBigMultibulkCount, "too big mbulk count string"),
        (ProtocolError::TooBigBulkCount, "too big bulk count string"),
        (ProtocolError::UnbalancedQuotes, "unbalanced quotes in request"),
    ] {
        let mut out = Vec::new();
        error.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("-ERR Protocol error: {text}\r\n"));
    }
    let mut out = Vec::new();
    ProtocolError::ExpectedBulk(0xff).write(&mut out);
    assert_eq!(out, b"-ERR Protocol error: expected '$', got '\xff'\r\n");
}
