//! Replies of every type, written by the one end and read by the other.

use super::*;
use crate::resp::{Protocol, ReplyWriter};

fn check(bytes: &[u8], expected: &Reply) {
    for cut in 0..bytes.len() {
        let mut reader = ReplyReader::new(ReplyLimits::default());
        assert_eq!(reader.next(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        let (reply, length) = reader.next(bytes).unwrap().expect("the reply is whole");
        assert_eq!((&reply, length), (expected, bytes.len()), "cut at {cut}");
    }
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.into())
}

#[test]
fn a_reply_is_the_same_wherever_it_was_cut() {
    check(b"+OK\r\n", &Reply::Simple(b"OK".to_vec()));
    check(b"-ERR no\r\n", &Reply::Error(b"ERR no".to_vec()));
    check(b"!6\r\nERR no\r\n", &Reply::Error(b"ERR no".to_vec()));
    check(b":-12\r\n", &Reply::Integer(-12));
    check(b"$5\r\na\r\nbc\r\n", &bulk("a\r\nbc"));
    check(b"$0\r\n\r\n", &bulk(""));
    check(b"$-1\r\n", &Reply::Nil);
    check(b"*-1\r\n", &Reply::Nil);
    check(b"_\r\n", &Reply::Nil);
    check(b"*0\r\n", &Reply::Array(vec![]));
    check(
        b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
        &Reply::Array(vec![Reply::Array(vec![Reply::Integer(1)]), bulk("x")]),
    );
    check(b"%1\r\n$1\r\nk\r\n*0\r\n", &Reply::Map(vec![(bulk("k"), Reply::Array(vec![]))]));
    check(b"~1\r\n#t\r\n", &Reply::Set(vec![Reply::Boolean(true)]));
    check(b">1\r\n#f\r\n", &Reply::Push(vec![Reply::Boolean(false)]));
    check(b",-1.5e3\r\n", &Reply::Double(-1500.0));
    check(b",-inf\r\n", &Reply::Double(f64::NEG_INFINITY));
    check(b"=5\r\ntxt:a\r\n", &Reply::Verbatim { format: *b"txt", text: b"a".to_vec() });
    check(b"(123456789012345678901\r\n", &Reply::BigNumber(b"123456789012345678901".to_vec()));
    check(b"|1\r\n+a\r\n*1\r\n:1\r\n:7\r\n", &Reply::Integer(7));
    check(b"*1\r\n|1\r\n+a\r\n:1\r\n:7\r\n", &Reply::Array(vec![Reply::Integer(7)]));
    check(
        b"*2\r\n|0\r\n:7\r\n|0\r\n:8\r\n",
        &Reply::Array(vec![Reply::Integer(7), Reply::Integer(8)]),
    );
}

#[test]
fn what_one_end_writes_the_other_end_reads() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Vec::new();
        let mut writer = ReplyWriter::new(&mut out, protocol);
        writer.map(1);
        writer.bulk("key");
        writer.array(3);
        writer.double(0.25);
        writer.nil();
        writer.boolean(true);
        let values = match protocol {
            Protocol::Resp2 => vec![bulk("0.25"), Reply::Nil, Reply::Integer(1)],
            Protocol::Resp3 => vec![Reply::Double(0.25), Reply::Nil, Reply::Boolean(true)],
        };
        check(
            &out,
            &match protocol {
                Protocol::Resp2 => Reply::Array(vec![bulk("key"), Reply::Array(values)]),
                Protocol::Resp3 => Reply::Map(vec![(bulk("key"), Reply::Array(values))]),
            },
        );
    }
}

#[test]
fn an_encoded_command_is_the_request_that_was_meant() {
    let arguments: [&[u8]; 4] = [b"SET", b"", b"a\r\nb", b"0123456789ab"];
    let mut out = Vec::new();
    encode_command(&mut out, &arguments);
    let mut parser = crate::resp::Parser::new();
    parser.next(&out, &crate::resp::Limits::STANDARD).unwrap();
    assert_eq!(parser.args(&out).iter().collect::<Vec<_>>(), arguments);
}

#[test]
fn malformed_values_are_refused() {
    for (bytes, marker) in [
        (b"#x\r\n".as_slice(), b'#'),
        (b",x\r\n", b','),
        (b":1x\r\n", b':'),
        (b"_x\r\n", b'_'),
        (b"=3\r\ntxt\r\n", b'='),
    ] {
        let mut reader = ReplyReader::new(ReplyLimits::default());
        assert_eq!(reader.next(bytes), Err(ReplyError::Malformed(marker)));
    }
}
