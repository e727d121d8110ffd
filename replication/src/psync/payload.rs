//! How an RDB comes over the connection, and whether it can be read at all.
//!
//! ```text
//!   \n \n \n           the master prepares
//!   $1234567\r\n       so many bytes follow                      (it has written a file)
//!   $EOF:<40>\r\n      bytes follow, and these forty at the end  (it writes straight to us)
//!   REDIS0011          the beginning of an RDB, and its version
//! ```

use super::answer;
use crate::replica::reason::Reason;
use crate::wire;
use engine::rdb::file::{self, FileError};

/// How the end of an RDB is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// It has so many bytes.
    Bytes(u64),
    /// These bytes follow.
    Mark(Vec<u8>),
}

/// Bytes of a mark.
const MARK_BYTES: usize = 40;

/// The first line of a payload and the bytes that it takes, with all signs of life before it. Nothing while it
/// has not come.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(Extent, usize)>, Reason> {
    let Some((line, used)) = answer::line(bytes)? else { return Ok(None) };
    let unclear = || format!("the master begins an RDB with {}", wire::words(line));
    if let Some(text) = line.strip_prefix(b"-") {
        let text = wire::words(text);
        return Err(Reason::Words(format!("the master does not send its data: {text}")));
    }
    let length = line.strip_prefix(b"$").ok_or_else(unclear)?;
    if let Some(mark) = length.strip_prefix(b"EOF:") {
        return match mark.len() {
            MARK_BYTES => Ok(Some((Extent::Mark(mark.to_vec()), used))),
            _ => Err(unclear().into()),
        };
    }
    let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
    Ok(Some((Extent::Bytes(length.ok_or_else(unclear)?), used)))
}

/// Whether what begins here is an RDB that can be read. Nothing while too little of it has come. One of a version that
/// is not known will be the same the next time; what is no RDB was damaged on its way.
pub(super) fn can_be_read(bytes: &[u8]) -> Result<Option<u16>, Reason> {
    file::version(bytes).map_err(|error| match file::says_version(bytes) {
        true => Reason::Senseless(unreadable(&error)),
        false => damaged(&error),
    })
}

/// What has come cannot be read on. Whether it was so where it comes from is not known.
pub(super) fn damaged(error: &FileError) -> Reason {
    Reason::Damaged(unreadable(error))
}

fn unreadable(error: &FileError) -> String {
    format!("the master's data cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_transfer_are_understood() {
        assert_eq!(head(b"$12\r\nREDIS"), Ok(Some((Extent::Bytes(12), 5))));
        let mark = vec![b'a'; MARK_BYTES];
        let line = [b"\n\n$EOF:".as_slice(), &mark, b"\r\nREDIS"].concat();
        assert_eq!(head(&line), Ok(Some((Extent::Mark(mark), 49))));
        assert_eq!(head(b"\n\n"), Ok(None));
        assert_eq!(head(b"$12"), Ok(None));
        assert_eq!(can_be_read(b"REDIS001"), Ok(None));
        assert_eq!(can_be_read(b"REDIS0011..."), Ok(Some(11)));
        assert!(matches!(can_be_read(b"REDIS9999"), Err(Reason::Senseless(_))));
        for damaged in [b"REDIS0\x00\x30\x30", b"RADIS0011", b"REDIS00x1"] {
            assert!(matches!(can_be_read(damaged), Err(Reason::Damaged(_))), "{damaged:?}");
        }
        for line in ["$EOF:abc\r\n", "$-1\r\n", "$x\r\n", "+OK\r\n", "-ERR no\r\n"] {
            assert!(head(line.as_bytes()).is_err(), "{line}");
        }
    }
}
