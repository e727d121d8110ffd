//! Bounds of the scanner; what it finds is tested through the reader in `client`.

use super::*;

#[test]
fn replies_are_counted_up_to_the_one_that_has_not_ended() {
    let mut scanner = ReplyScanner::new(ReplyLimits::default());
    let bytes = b"+OK\r\n$3\r\nabc\r\n$-1\r\n:5\r\n*2\r\n:1\r\n:2\r\n$3\r\nab";
    let whole = bytes.len() - 6;
    assert_eq!(scanner.count(bytes), Ok((5, whole)));
    assert_eq!(scanner.count(b"$3\r\nabc\r\n"), Ok((1, 9)));
}

#[test]
fn what_is_no_reply_is_refused() {
    for (bytes, expected) in [
        (b"hello\r\n".as_slice(), ReplyError::UnknownType(b'h')),
        (b"*1\r\nhello\r\n", ReplyError::UnknownType(b'h')),
        (b"$x\r\n", ReplyError::Malformed(b'$')),
        (b"$-2\r\n", ReplyError::Malformed(b'$')),
        (b"$?\r\n", ReplyError::Malformed(b'$')),
        (b"*-2\r\n", ReplyError::Malformed(b'*')),
        (b"~-1\r\n", ReplyError::Malformed(b'~')),
        (b"$1\rXa\r\n", ReplyError::Malformed(b'$')),
        (b"$1\r\nab\r\n", ReplyError::Malformed(b'$')),
        (b"$1\r\na\rX", ReplyError::Malformed(b'$')),
        (b"+OK\rX", ReplyError::Malformed(b'+')),
        (b"$9223372036854775807\r\n", ReplyError::TooBig),
        (b"*9223372036854775807\r\n", ReplyError::TooBig),
        (b"%9223372036854775807\r\n", ReplyError::TooBig),
    ] {
        let mut scanner = ReplyScanner::new(ReplyLimits::default());
        assert_eq!(scanner.next(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let limits = ReplyLimits { bytes: 30, depth: 3 };
    let next = |bytes: &[u8]| ReplyScanner::new(limits).next(bytes);
    assert_eq!(next(b"*1\r\n*1\r\n*1\r\n:1\r\n"), Ok(Some(16)));
    assert_eq!(next(b"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), Err(ReplyError::TooDeep));
    assert_eq!(next(b"$23\r\n01234567890123456789012\r\n"), Ok(Some(30)));
    assert_eq!(next(b"$24\r\n"), Err(ReplyError::TooBig));
    assert_eq!(next(&[b'+'; 31]), Err(ReplyError::TooBig));
    assert_eq!(next(b"+123456789012345678901234567890\r\n"), Err(ReplyError::TooBig));
    assert_eq!(next(b"*11\r\n"), Err(ReplyError::TooBig));
}
