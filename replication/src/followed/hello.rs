//! What a follower says: how it asks, and later how far it is.
//!
//! ```text
//!   REPLCONF listening-port .. capa eof capa psync2 | SYNC, PSYNC ? -1, PSYNC id offset      (read as requests)
//!   "\n", REPLCONF ACK offset [FACK offset]                                                  (read here)
//! ```
//!
//! It owns bytes and nothing else.

use crate::handshake::Able;
use engine::command::Args;
use engine::resp::{Limits, Parsed, Parser};

/// Where a follower wants to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// SYNC: a copy, and it says nothing later.
    Sync,
    /// PSYNC ? -1: a copy.
    Nothing,
    /// PSYNC id offset: from the byte of this number on, counted from 1.
    Offset {
        /// Names the stream.
        id: String,
        /// The first byte that it lacks.
        next: u64,
    },
}

impl From {
    /// As PSYNC's two arguments say it.
    pub fn read(id: &[u8], offset: i64) -> From {
        let id = String::from_utf8_lossy(id);
        match u64::try_from(offset) {
            Ok(next) if id != "?" && next > 0 => From::Offset { id: id.into_owned(), next },
            _ => From::Nothing,
        }
    }
}

/// How a follower asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asking {
    /// Where it goes on.
    pub from: From,
    /// What it can do.
    pub able: Able,
    /// Where it says, or shows, that it is reached.
    pub ip: String,
    /// On which port.
    pub port: u16,
}

impl Asking {
    /// Whether the end of its copy may be a mark. What follows one is not sent before the follower has acknowledged the
    /// copy, since it would take it for a part of that; and who says SYNC acknowledges nothing.
    pub(super) fn takes_mark(&self) -> bool {
        self.able.eof && (self.from != From::Sync || self.able.rdb_only)
    }
}

/// What is read and not understood yet: nobody who follows says anything as long.
const UNREAD_MAX: usize = 64 * 1024;

const LIMITS: Limits = Limits {
    bulk_bytes: 1024,
    arguments: 16,
    request_bytes: UNREAD_MAX,
    long_bytes: usize::MAX,
    authenticated: true,
};

/// Reads what a follower says.
pub struct Words {
    parser: Parser,
    unread: Vec<u8>,
}

impl Default for Words {
    fn default() -> Words {
        Words { parser: Parser::new(), unread: Vec::new() }
    }
}

impl Words {
    /// Takes what came. Answers with the last acknowledgement in it, if there is one; an error where it cannot be read.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<u64>, String> {
        self.unread.extend_from_slice(bytes);
        let (mut at, mut acked) = (0, None);
        loop {
            let rest = &self.unread[at..];
            match self.parser.next(rest, &LIMITS) {
                Err(error) => return Err(format!("what it says cannot be read: {error}")),
                Ok(Parsed::Incomplete { .. } | Parsed::Long { .. }) => break,
                Ok(Parsed::Empty { consumed }) => at += consumed,
                Ok(Parsed::Request { consumed }) => {
                    acked = ack(Args::of(self.parser.args(rest))).or(acked);
                    at += consumed;
                }
            }
        }
        self.unread.drain(..at);
        match self.unread.len() > UNREAD_MAX {
            true => Err("what it says does not end".to_owned()),
            false => Ok(acked),
        }
    }
}

/// The offset of `REPLCONF ACK offset ...`; everything else that a follower says asks for nothing.
fn ack(words: Args<'_>) -> Option<u64> {
    let is = |place: usize, word: &[u8]| words.get(place).eq_ignore_ascii_case(word);
    if words.len() < 3 || !is(0, b"replconf") || !is(1, b"ack") {
        return None;
    }
    std::str::from_utf8(words.get(2)).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_found_however_they_come() {
        let said = b"\n\n*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n120\r\n\n*5\r\n$8\r\nreplconf\r\n$3\r\nack\r\n$3\r\n\
            140\r\n$4\r\nFACK\r\n$1\r\n0\r\n*1\r\n$4\r\nPING\r\n";
        assert_eq!(Words::default().take(said), Ok(Some(140)));
        let mut words = Words::default();
        let found: Vec<u64> =
            said.iter().filter_map(|byte| words.take(&[*byte]).expect("it is good")).collect();
        assert_eq!(found, [120, 140]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_what_is_no_acknowledgement_is_none() {
        assert_eq!(Words::default().take(b"REPLCONF ACK x\r\n"), Ok(None));
        assert_eq!(Words::default().take(b"REPLCONF ACK -1\r\n"), Ok(None));
        assert_eq!(Words::default().take(b"REPLCONF GETACK 5\r\n"), Ok(None));
        assert!(Words::default().take(b"*9999\r\n").is_err());
        assert!(Words::default().take(&[b'a'; 100_000]).is_err());
    }

    #[test]
    fn psync_asks_for_a_copy_or_for_what_follows() {
        assert_eq!(From::read(b"?", -1), From::Nothing);
        assert_eq!(From::read(b"abc", 0), From::Nothing);
        assert_eq!(From::read(b"abc", 8), From::Offset { id: "abc".to_owned(), next: 8 });
    }
}
