//! What waits to be sent to a client: bytes, and between them large values that are only referred to. Those
//! are encoded as the client reads, so that no large reply is ever built whole.
//!
//! ```text
//!   bytes   $1048576\r\n│\r\n$3\r\nabc\r\n$2097152\r\n│\r\n
//!   held                value, at 10                   value, at 32
//! ```
//!
//! Shorter or longer it behaves like its bytes, a `Vec`, which it lends to whoever only appends.

use super::held::{Held, Holdings, copy};
use super::reply::{Protocol, ReplyWriter};
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// See the module's doc.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// In order; before each stand its length, behind it a line's end, so that it is never at an edge.
    held: Holdings,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {} values", self.bytes.escape_ascii(), self.held.len())
    }
}

impl Deref for Output {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Output {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Output {
    /// A writer at the end, which refers to large values.
    #[inline]
    pub fn writer(&mut self, protocol: Protocol) -> ReplyWriter<'_> {
        ReplyWriter { out: &mut self.bytes, held: Some(&mut self.held), protocol }
    }

    /// How many bytes a client gets, those of values included.
    #[inline]
    pub fn whole(&self) -> usize {
        self.bytes.len() + self.held.bytes()
    }

    /// Lets go of all from `length` on.
    #[inline]
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
        while self.held.back().is_some_and(|(at, _)| *at > length) {
            self.held.take_last();
        }
    }

    /// Lets go of all.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Takes over the `range` of another one, whose values move.
    pub fn take_from(&mut self, other: &mut Output, range: Range<usize>) {
        self.writer(Protocol::Resp2).take_from(other, range);
    }

    /// Cuts off all from `at` on.
    pub fn split_off(&mut self, at: usize) -> Output {
        let mut values = Vec::new();
        while self.held.back().is_some_and(|(place, _)| *place > at) {
            values.extend(self.held.take_last());
        }
        let mut rest = Output { bytes: self.bytes.split_off(at), held: Holdings::default() };
        for (place, value) in values.into_iter().rev() {
            rest.held.push(place - at, value);
        }
        rest
    }

    /// Others stand before it: refers to large values from its beginning on.
    pub fn hold_readily(&mut self) {
        self.held.is_ready = true;
    }

    /// How many values are referred to.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The values that are referred to.
    pub fn values(&self) -> impl Iterator<Item = &Arc<dyn Held>> {
        self.held.iter().map(|(_, value)| value)
    }

    /// The next piece to send: bytes up to a value, or that value. `sent`: how many bytes are gone.
    pub fn next_piece(&mut self, sent: usize) -> Piece<'_> {
        match self.held.front() {
            Some((at, _)) if *at > sent => Piece::Bytes(&self.bytes[sent..*at]),
            Some(_) => self.held.take_first().map_or(Piece::Bytes(b""), |(_, it)| Piece::Held(it)),
            None => Piece::Bytes(&self.bytes[sent..]),
        }
    }

    /// All of it as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut all, mut done) = (Vec::new(), 0);
        for (at, value) in self.held.iter() {
            all.extend_from_slice(&self.bytes[done..*at]);
            copy(&**value, &mut all);
            done = *at;
        }
        all.extend_from_slice(&self.bytes[done..]);
        all
    }
}

/// A piece to send.
pub enum Piece<'a> {
    /// Bytes; none at the end.
    Bytes(&'a [u8]),
    /// A value, which is no longer the output's.
    Held(Arc<dyn Held>),
}

impl ReplyWriter<'_> {
    /// Whether large values need only be referred to.
    #[inline]
    pub fn may_hold(&self) -> bool {
        self.held.is_some()
    }

    /// How many bytes stand in the output, those of values included.
    #[inline]
    pub fn whole(&self) -> usize {
        self.out.len() + self.held.as_ref().map_or(0, |held| held.bytes())
    }

    /// Whether large values are referred to from here on, however short what stands before them is.
    #[inline]
    pub fn holds_readily(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_ready)
    }

    /// Takes memory for so many more bytes, and for references to so many values.
    pub fn reserve(&mut self, bytes: usize, values: usize) {
        self.out.reserve_exact(bytes);
        if let Some(held) = &mut self.held {
            held.reserve(values);
        }
    }

    /// Takes over all that was written elsewhere, without copying it; `false` where something stands here
    /// already.
    pub fn take_all(&mut self, other: &mut Output) -> bool {
        let Some(held) = self.held.as_mut().filter(|_| self.out.is_empty()) else { return false };
        std::mem::swap(self.out, &mut other.bytes);
        std::mem::swap(*held, &mut other.held);
        true
    }

    /// A string that is referred to where that is possible.
    pub fn bulk_held(&mut self, value: Arc<dyn Held>) {
        self.header(b'$', value.length());
        match &mut self.held {
            Some(held) => held.push(self.out.len(), value),
            None => copy(&*value, self.out),
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Takes over the `range` of what was written elsewhere; the values before it are gone already.
    pub fn take_from(&mut self, other: &mut Output, range: Range<usize>) {
        let mut done = range.start;
        while other.held.front().is_some_and(|(at, _)| *at < range.end) {
            let Some((at, value)) = other.held.take_first() else { break };
            self.out.extend_from_slice(&other.bytes[done..at]);
            match &mut self.held {
                Some(held) => held.push(self.out.len(), value),
                None => copy(&*value, self.out),
            }
            done = at;
        }
        self.out.extend_from_slice(&other.bytes[done..range.end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Value(Vec<u8>);

    impl Held for Value {
        fn length(&self) -> usize {
            self.0.len()
        }
        fn stretch(&self, from: usize) -> &[u8] {
            &self.0[from..self.0.len().min(from + 3)]
        }
        fn kept(&self, _: &mut usize) -> usize {
            self.0.len()
        }
    }

    /// Replies `first..end`, every third one a value that is referred to, and where each ends.
    fn replies(range: Range<usize>) -> (Output, Vec<usize>) {
        let (mut output, mut ends) = (Output::default(), Vec::new());
        for number in range {
            let text = number.to_string().repeat(5);
            let mut writer = output.writer(Protocol::Resp2);
            match number % 3 {
                0 => writer.bulk_held(Arc::new(Value(text.into_bytes()))),
                _ => writer.bulk(&text),
            }
            ends.push(output.len());
        }
        (output, ends)
    }

    /// The same, written whole.
    fn plainly(range: Range<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        for number in range {
            ReplyWriter::new(&mut out, Protocol::Resp2).bulk(number.to_string().repeat(5));
        }
        out
    }

    fn sent(output: &mut Output) -> Vec<u8> {
        let (mut all, mut gone) = (Vec::new(), 0);
        loop {
            match output.next_piece(gone) {
                Piece::Bytes(b"") => return all,
                Piece::Bytes(bytes) => {
                    gone += bytes.len();
                    all.extend_from_slice(bytes);
                }
                Piece::Held(value) => copy(&*value, &mut all),
            }
        }
    }

    #[test]
    fn what_refers_to_values_reads_as_what_holds_them() {
        for count in 0..20 {
            let (mut output, _) = replies(0..count);
            assert_eq!(output.to_bytes(), plainly(0..count));
            assert_eq!(output.held(), count.div_ceil(3));
            assert_eq!(output.whole(), plainly(0..count).len());
            assert_eq!(sent(&mut output), plainly(0..count));
        }
    }

    #[test]
    fn cut_taken_over_and_split_at_any_reply_it_stays_what_it_is() {
        let count = 20;
        for cut in 0..count {
            let (mut output, ends) = replies(0..count);
            output.truncate(ends[cut]);
            assert_eq!(output.to_bytes(), plainly(0..cut + 1));
            let (mut output, ends) = replies(0..count);
            let rest = output.split_off(ends[cut]);
            assert_eq!(output.to_bytes(), plainly(0..cut + 1));
            assert_eq!(rest.to_bytes(), plainly(cut + 1..count));
            // Taken over one by one, behind others.
            let (mut from, ends) = replies(0..count);
            let (mut into, _) = replies(100..100 + cut);
            let mut start = 0;
            for end in ends {
                into.take_from(&mut from, start..end);
                start = end;
            }
            let mut expected = plainly(100..100 + cut);
            expected.extend(plainly(0..count));
            assert_eq!(into.to_bytes(), expected);
            assert_eq!((into.whole(), from.held()), (expected.len(), 0));
            // And where references cannot be held.
            let (mut from, _) = replies(0..cut);
            let (mut out, whole) = (Vec::new(), from.len());
            ReplyWriter::new(&mut out, Protocol::Resp2).take_from(&mut from, 0..whole);
            assert_eq!(out, plainly(0..cut));
        }
    }
}
