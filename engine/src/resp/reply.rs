//! Replies, written straight into a connection's output buffer.
//!
//! One method per type of RESP3; each knows what Redis makes of it for a client of RESP2.
//! Aggregates are a header only: `array(n)` is followed by n replies, `map(n)` by n pairs. That the
//! count is kept is the command's promise.

use super::held::Holdings;
use super::number::{self, DOUBLE_TEXT_MAX};

/// Which protocol a client speaks (`HELLO 2`, `HELLO 3`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// RESP2, what a connection begins with.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// Appends replies to `out` in the words of `protocol`.
pub struct ReplyWriter<'a> {
    /// Where replies go.
    pub out: &'a mut Vec<u8>,
    /// Where large values are referred to, if they may be.
    pub(super) held: Option<&'a mut Holdings>,
    /// Whose words are used.
    pub protocol: Protocol,
}

impl<'a> ReplyWriter<'a> {
    /// A writer at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> ReplyWriter<'a> {
        ReplyWriter { out, held: None, protocol }
    }

    #[inline]
    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// A writer that ends before this one goes on.
    pub fn reborrow(&mut self) -> ReplyWriter<'_> {
        let held = self.held.as_deref_mut();
        ReplyWriter { out: &mut *self.out, held, protocol: self.protocol }
    }

    /// Elements that were written elsewhere, in the same protocol.
    pub fn raw(&mut self, elements: &[u8]) {
        self.out.extend_from_slice(elements);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status. Line breaks become spaces, those at the ends vanish.
    pub fn simple(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', text.as_ref());
    }

    /// An error: `text` begins with its code (`ERR`, `WRONGTYPE`) and carries no `-`. Line breaks
    /// become spaces, those at the ends vanish.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    fn line(&mut self, marker: u8, text: &[u8]) {
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = text.iter().position(|byte| !is_break(byte)).unwrap_or(text.len());
        let end = text.iter().rposition(|byte| !is_break(byte)).map_or(start, |last| last + 1);
        self.out.reserve(end - start + 3);
        self.out.push(marker);
        let at = self.out.len();
        self.out.extend_from_slice(&text[start..end]);
        for byte in &mut self.out[at..] {
            if is_break(byte) {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// `marker`, a number, the line's end.
    #[inline]
    pub(super) fn header(&mut self, marker: u8, number: usize) {
        let ones = b'0' + (number % 10) as u8;
        if number < 10 {
            self.out.extend_from_slice(&[marker, ones, b'\r', b'\n']);
        } else if number < 100 {
            let tens = b'0' + (number / 10) as u8;
            self.out.extend_from_slice(&[marker, tens, ones, b'\r', b'\n']);
        } else {
            self.long_header(marker, number);
        }
    }

    fn long_header(&mut self, marker: u8, number: usize) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        self.out.reserve(digits.len() + 3);
        self.out.push(marker);
        self.out.extend_from_slice(digits);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match usize::try_from(value) {
            Ok(value) => self.header(b':', value),
            Err(_) => {
                self.out.push(b':');
                number::write_i64(self.out, value);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A count as an integer.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.header(b':', value);
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        // Room for `$`, twenty digits and two line ends: one check instead of three.
        self.out.reserve(bytes.len() + 25);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string of `length` bytes, which `put` appends.
    pub fn bulk_with(&mut self, length: usize, put: impl FnOnce(&mut Vec<u8>)) {
        self.out.reserve(length + 25);
        self.header(b'$', length);
        put(self.out);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string if there is one, else nil.
    #[inline]
    pub fn bulk_or_nil(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.nil(),
        }
    }

    /// An integer as a string.
    #[inline]
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value));
    }

    /// No value: `$-1`, or RESP3's `_`.
    #[inline]
    pub fn nil(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n".as_slice() } else { b"$-1\r\n" });
    }

    /// No array: `*-1`, or RESP3's `_`.
    #[inline]
    pub fn nil_array(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n".as_slice() } else { b"*-1\r\n" });
    }

    /// An array; `count` replies must follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// A map; `pairs` times two replies must follow. RESP2: an array of them all.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp3 => self.header(b'%', pairs),
            Protocol::Resp2 => self.header(b'*', pairs * 2),
        }
    }

    /// A set; `count` replies must follow. RESP2: an array.
    pub fn set(&mut self, count: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, count);
    }

    /// A message nobody asked for; `count` replies must follow. RESP2: an array.
    pub fn push(&mut self, count: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, count);
    }

    /// A floating-point number. RESP2: a string.
    pub fn double(&mut self, value: f64) {
        let at = self.out.len();
        if self.is_resp3() {
            self.out.push(b',');
            number::write_double(self.out, value);
            self.out.extend_from_slice(b"\r\n");
            return;
        }
        // The length stands before the digits: leave room for its two digits and close up.
        const _: () = assert!(DOUBLE_TEXT_MAX < 100, "the length has two digits");
        self.out.extend_from_slice(b"$00\r\n");
        let start = self.out.len();
        number::write_double(self.out, value);
        let length = self.out.len() - start;
        self.out.extend_from_slice(b"\r\n");
        self.out[at + 1] = b'0' + (length / 10) as u8;
        self.out[at + 2] = b'0' + (length % 10) as u8;
        if length < 10 {
            self.out.remove(at + 1);
        }
    }

    /// True or false. RESP2: 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
        });
    }

    /// A text for people, with its format (`txt`, `mkd`). RESP2: a string without the format.
    pub fn verbatim(&mut self, format: [u8; 3], text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if !self.is_resp3() {
            return self.bulk(text);
        }
        self.header(b'=', text.len() + 4);
        self.out.extend_from_slice(&format);
        self.out.push(b':');
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut ReplyWriter<'_>), resp2: &str, resp3: &str) {
        for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
            let mut out = b"before".to_vec();
            write(&mut ReplyWriter::new(&mut out, protocol));
            let written = out.strip_prefix(b"before").expect("what stood before stays");
            assert_eq!(
                written.escape_ascii().to_string(),
                expected.as_bytes().escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn replies_of_both_protocols_are_the_same_where_redis_makes_no_difference() {
        let same = |write: &dyn Fn(&mut ReplyWriter<'_>), text: &str| check(write, text, text);
        same(&|r| r.ok(), "+OK\r\n");
        same(&|r| r.simple("PONG"), "+PONG\r\n");
        same(&|r| r.integer(0), ":0\r\n");
        same(&|r| r.integer(9), ":9\r\n");
        same(&|r| r.integer(10), ":10\r\n");
        same(&|r| r.integer(-1), ":-1\r\n");
        same(&|r| r.integer(i64::MIN), ":-9223372036854775808\r\n");
        same(&|r| r.count(usize::MAX), ":18446744073709551615\r\n");
        same(&|r| r.bulk(""), "$0\r\n\r\n");
        same(&|r| r.bulk("a\r\nb"), "$4\r\na\r\nb\r\n");
        same(&|r| r.bulk("0123456789"), "$10\r\n0123456789\r\n");
        same(&|r| r.bulk_or_nil(Some(b"x")), "$1\r\nx\r\n");
        same(&|r| r.bulk_integer(-120), "$4\r\n-120\r\n");
        same(&|r| r.array(0), "*0\r\n");
        same(&|r| r.array(1000), "*1000\r\n");
    }

    #[test]
    fn replies_of_resp3_become_what_redis_makes_of_them_in_resp2() {
        check(|r| r.nil(), "$-1\r\n", "_\r\n");
        check(|r| r.bulk_or_nil(None), "$-1\r\n", "_\r\n");
        check(|r| r.nil_array(), "*-1\r\n", "_\r\n");
        check(|r| r.map(3), "*6\r\n", "%3\r\n");
        check(|r| r.set(3), "*3\r\n", "~3\r\n");
        check(|r| r.push(3), "*3\r\n", ">3\r\n");
        check(|r| r.boolean(true), ":1\r\n", "#t\r\n");
        check(|r| r.boolean(false), ":0\r\n", "#f\r\n");
        check(|r| r.double(3.5), "$3\r\n3.5\r\n", ",3.5\r\n");
        check(|r| r.double(-1.25e-300), "$10\r\n-1.25e-300\r\n", ",-1.25e-300\r\n");
        check(|r| r.double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        check(|r| r.verbatim(*b"txt", "a b"), "$3\r\na b\r\n", "=7\r\ntxt:a b\r\n");
    }

    #[test]
    fn a_line_break_in_an_error_cannot_begin_another_reply() {
        check(|r| r.error("ERR a\r\n+OK\n"), "-ERR a  +OK\r\n", "-ERR a  +OK\r\n");
        check(|r| r.simple("\r\n"), "+\r\n", "+\r\n");
    }
}
