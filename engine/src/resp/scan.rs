//! Where replies end: the cheap half of reading them.
//!
//! A reply is a tree written in preorder, so its end is where no element is missing any more. The
//! scanner keeps how many are missing per level and looks at no byte twice; it neither copies nor
//! builds anything. The load generator counts replies with it; `ReplyReader` decodes what it has
//! delimited.

use super::error::ReplyError;
use super::number::parse_i64;
use super::parser::short_number;

/// What a reply may be, at most. It comes from a peer who was believed to be a server, which it may
/// not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyLimits {
    /// Longest reply in bytes.
    pub bytes: usize,
    /// Deepest nesting: an array of arrays is 2 deep.
    pub depth: usize,
}

impl Default for ReplyLimits {
    /// One value of the largest size and its frame; the depth of Redis's deepest replies (COMMAND
    /// DOCS) doubled.
    fn default() -> ReplyLimits {
        ReplyLimits { bytes: (512 << 20) + 64, depth: 32 }
    }
}

/// Finds the end of the reply that a buffer begins with, however the bytes arrive.
#[derive(Debug)]
pub struct ReplyScanner {
    limits: ReplyLimits,
    /// Everything before it belongs to the reply and is understood.
    position: usize,
    /// How many bytes from `position` on hold no line end.
    searched: usize,
    /// Elements that are missing, outermost level first. Empty between replies.
    missing: Vec<u64>,
    is_inside: bool,
}

/// One element, or the header of an aggregate, ends here and opens so many elements.
struct Step {
    end: usize,
    opens: u64,
    /// An attribute says something about the reply after it and is none itself.
    is_reply: bool,
}

impl ReplyScanner {
    /// A scanner before its first reply.
    pub fn new(limits: ReplyLimits) -> ReplyScanner {
        ReplyScanner { limits, position: 0, searched: 0, missing: Vec::new(), is_inside: false }
    }

    /// The length of the reply that `buffer` begins with; nothing if it has not ended yet: then the
    /// next call must bring the same bytes and more. After a reply the caller cuts it off. After an
    /// error nothing can be read.
    #[inline]
    pub fn next(&mut self, buffer: &[u8]) -> Result<Option<usize>, ReplyError> {
        if !self.is_inside
            && let Some(length) = self.short_reply(buffer)
        {
            return Ok(Some(length));
        }
        self.any_reply(buffer)
    }

    /// Counts whole replies from the beginning of `buffer`: how many, and how many bytes they are.
    pub fn count(&mut self, buffer: &[u8]) -> Result<(usize, usize), ReplyError> {
        let (mut replies, mut consumed) = (0, 0);
        while let Some(length) = self.next(&buffer[consumed..])? {
            replies += 1;
            consumed += length;
        }
        Ok((replies, consumed))
    }

    /// A status or a short string: what nearly all replies of a load are.
    #[inline]
    fn short_reply(&self, buffer: &[u8]) -> Option<usize> {
        match *buffer {
            [b'+', b'O', b'K', b'\r', b'\n', ..] => Some(5),
            [b'$', b'0'..=b'9', ..] => {
                let (length, body) = short_number(buffer, 0, b'$')?;
                let end = body + length + 2;
                // The line ends are looked at here as strictly as on the slow path: how the bytes
                // were cut must not decide what is malformed.
                (end <= self.limits.bytes
                    && buffer[body - 1] == b'\n'
                    && buffer.get(end - 2..end) == Some(b"\r\n"))
                .then_some(end)
            }
            _ => None,
        }
    }

    fn any_reply(&mut self, buffer: &[u8]) -> Result<Option<usize>, ReplyError> {
        self.is_inside = true;
        loop {
            let Some(step) = self.step(buffer)? else {
                if buffer.len() > self.limits.bytes {
                    return Err(ReplyError::TooBig);
                }
                return Ok(None);
            };
            if step.end > self.limits.bytes {
                return Err(ReplyError::TooBig);
            }
            self.position = step.end;
            self.searched = 0;
            if self.settle(&step)? {
                self.position = 0;
                self.is_inside = false;
                return Ok(Some(step.end));
            }
        }
    }

    /// Enters what `step` has found into the levels; true if the reply is whole.
    fn settle(&mut self, step: &Step) -> Result<bool, ReplyError> {
        if step.is_reply {
            // The element fills one place of its level. (At the top there is one place, and no
            // level for it.)
            if let Some(missing) = self.missing.last_mut() {
                *missing -= 1;
            }
        } else if self.missing.is_empty() {
            // An attribute at the top: the reply that it speaks of is still to come.
            self.missing.push(1);
        }
        if step.opens > 0 {
            if self.missing.len() >= self.limits.depth {
                return Err(ReplyError::TooDeep);
            }
            self.missing.push(step.opens);
        }
        while self.missing.last() == Some(&0) {
            self.missing.pop();
        }
        Ok(self.missing.is_empty())
    }

    /// Looks at the element at `position`; nothing if it has not ended.
    fn step(&mut self, buffer: &[u8]) -> Result<Option<Step>, ReplyError> {
        let Some(&marker) = buffer.get(self.position) else { return Ok(None) };
        let malformed = ReplyError::Malformed(marker);
        if !b"+-:$*_#,(=!%~>|".contains(&marker) {
            return Err(ReplyError::UnknownType(marker));
        }
        let Some((text, after_line)) = self.line(buffer, malformed)? else { return Ok(None) };
        let leaf = |end| Ok(Some(Step { end, opens: 0, is_reply: true }));
        match marker {
            b'$' | b'=' | b'!' => match parse_i64(text).ok_or(malformed)? {
                -1 if marker == b'$' => leaf(after_line),
                length => {
                    let length = usize::try_from(length).map_err(|_| malformed)?;
                    let end = after_line.saturating_add(length).saturating_add(2);
                    if end > self.limits.bytes {
                        return Err(ReplyError::TooBig);
                    }
                    match buffer.get(end - 2..end) {
                        None => Ok(None),
                        Some(b"\r\n") => leaf(end),
                        Some(_) => Err(malformed),
                    }
                }
            },
            b'*' | b'~' | b'>' | b'%' | b'|' => match parse_i64(text).ok_or(malformed)? {
                -1 if marker == b'*' => leaf(after_line),
                count => {
                    let count = u64::try_from(count).map_err(|_| malformed)?;
                    let elements = if matches!(marker, b'%' | b'|') { 2 } else { 1 };
                    // Twice an i64 fits an u64.
                    let opens = count * elements;
                    // An element has at least three bytes, so more cannot fit.
                    if opens > self.limits.bytes as u64 / 3 {
                        return Err(ReplyError::TooBig);
                    }
                    Ok(Some(Step { end: after_line, opens, is_reply: marker != b'|' }))
                }
            },
            _ => leaf(after_line),
        }
    }

    /// The line at `position` without marker and end, and where the next one begins.
    fn line<'a>(
        &mut self,
        buffer: &'a [u8],
        malformed: ReplyError,
    ) -> Result<Option<(&'a [u8], usize)>, ReplyError> {
        let line = &buffer[self.position..];
        let Some(found) = memchr::memchr(b'\r', &line[self.searched..]) else {
            self.searched = line.len();
            return Ok(None);
        };
        self.searched += found;
        match line.get(self.searched + 1) {
            None => Ok(None),
            Some(b'\n') if self.searched > 0 => {
                Ok(Some((&line[1..self.searched], self.position + self.searched + 2)))
            }
            Some(_) => Err(malformed),
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
