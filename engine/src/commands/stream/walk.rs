//! Entries of a range, answered at once or piece by piece.

use super::words::write_entry;
use crate::resp::ReplyWriter;
use crate::value::SharedValue;
use crate::value::stream::{Id, Stream};

/// Entries of a stream, from one number to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) from: Id,
    pub(super) to: Id,
    /// So many at the most; 0 is any number.
    pub(super) most: u64,
    pub(super) is_back: bool,
}

/// Entries that are answered at once, and their bytes: some 50 us.
const FEW: u64 = 512;
const FEW_BYTES: u64 = 256 * 1024;
/// Entries and bytes of a piece.
const PIECE: u64 = 128;
const PIECE_BYTES: usize = 64 * 1024;

impl Range {
    /// The most entries that it can have.
    fn bound(&self, stream: &Stream) -> u64 {
        let most = if self.most == 0 { u64::MAX } else { self.most };
        stream.len().min(most)
    }

    /// Whether all of it is answered at once.
    pub(super) fn is_short(&self, stream: &Stream) -> bool {
        let bound = self.bound(stream);
        bound <= FEW && stream.bytes_of(bound) <= FEW_BYTES
    }

    /// Answers with all of it; how many there were, `each` being told of them.
    #[inline]
    pub(super) fn write(
        &self,
        stream: &Stream,
        reply: &mut ReplyWriter<'_>,
        mut each: impl FnMut(Id),
    ) -> u64 {
        let (expected, at) = (self.bound(stream), reply.out.len());
        reply.array(expected as usize);
        let body = reply.out.len();
        let (mut count, most) = (0, self.most);
        let mut see = |id: Id, fields: crate::value::stream::Fields<'_>| {
            write_entry(reply, id, fields);
            each(id);
            count += 1;
            count != most
        };
        if most == 0 || expected > 0 {
            match self.is_back {
                false => stream.visit(self.from, self.to, &mut see),
                true => stream.visit_back(self.from, self.to, &mut see),
            }
        }
        if count != expected {
            let mut header = Vec::new();
            ReplyWriter::new(&mut header, reply.protocol).array(count as usize);
            reply.out.splice(at..body, header);
        }
        count
    }
}

/// A long range under way: it is counted, then answered.
pub(super) struct Walk {
    stream: SharedValue,
    range: Range,
    /// What is left of it in this round.
    rest: Option<Range>,
    count: u64,
    bytes: usize,
    is_counted: bool,
}

impl Walk {
    pub(super) fn of(stream: SharedValue, range: Range) -> Walk {
        Walk { stream, range, rest: Some(range), count: 0, bytes: 0, is_counted: false }
    }

    /// Does a piece; whether that was the last one. `each` is told once of each entry.
    pub(super) fn more(&mut self, reply: &mut ReplyWriter<'_>, mut each: impl FnMut(Id)) -> bool {
        let Some(stream) = self.stream.object::<Stream>() else { return true };
        if let Some(rest) = &mut self.rest {
            let is_counted = self.is_counted;
            let (count, bytes, is_end) = piece(stream, rest, |id, fields| {
                if is_counted {
                    write_entry(reply, id, fields);
                } else {
                    each(id);
                }
            });
            if is_end {
                self.rest = None;
            }
            if !is_counted {
                self.count += count;
                self.bytes += bytes;
            }
            return is_end && is_counted;
        }
        (self.is_counted, self.rest) = (true, Some(self.range));
        reply.reserve(self.bytes, 0);
        reply.array(self.count as usize);
        self.count == 0
    }
}

/// Looks at some entries of a range: how many, about how long they are in a reply, and whether there are no
/// more. What is left stays.
fn piece(
    stream: &Stream,
    rest: &mut Range,
    mut see: impl FnMut(Id, crate::value::stream::Fields<'_>),
) -> (u64, usize, bool) {
    /// Around an entry, and around a text of it.
    const AROUND: usize = 70;
    const TEXT: usize = 10;
    let (mut count, mut bytes, mut last) = (0, 0, None);
    let (most, is_back) = (rest.most, rest.is_back);
    let mut visit = |id: Id, fields: crate::value::stream::Fields<'_>| {
        bytes += AROUND + fields.bytes() + fields.count() * 2 * TEXT;
        see(id, fields);
        (count, last) = (count + 1, Some(id));
        count != most && count < PIECE && bytes < PIECE_BYTES
    };
    match is_back {
        false => stream.visit(rest.from, rest.to, &mut visit),
        true => stream.visit_back(rest.from, rest.to, &mut visit),
    }
    if most > 0 {
        rest.most -= count;
    }
    let is_full = count == PIECE || bytes >= PIECE_BYTES;
    let next = last.and_then(|last| if is_back { last.before() } else { last.after() });
    let is_end = !is_full || most > 0 && rest.most == 0 || next.is_none();
    if let Some(next) = next {
        *(if is_back { &mut rest.to } else { &mut rest.from }) = next;
    }
    (count, bytes, is_end || rest.from > rest.to)
}
