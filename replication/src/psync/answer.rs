//! What a Redis answers to PSYNC.

use crate::origin::OFFSET_MAX;
use crate::replica::reason::Reason;
use crate::wire;

/// How the stream begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// With an RDB, as of this position.
    Full {
        /// Names the master's history.
        id: String,
        /// Bytes of its stream before the first that follows.
        offset: u64,
    },
    /// Where we are; the history may have another name from there on.
    Continue(Option<String>),
}

/// The longest line that is waited for: a refusal.
const LINE_MAX: usize = 4096;

/// A name of a history.
const ID_BYTES: usize = 40;

/// The first line of `bytes` and how many bytes it takes with those before it: empty lines are signs of life.
/// Nothing while it has not ended.
pub(super) fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Reason> {
    let begin = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let rest = &bytes[begin..];
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            Ok(Some((line, begin + end + 1)))
        }
        None if rest.len() > LINE_MAX => {
            Err(Reason::Words("the master answers with an endless line".to_owned()))
        }
        None => Ok(None),
    }
}

/// Lets the signs of life go with which `bytes` begin: however many come, they are not kept.
pub(super) fn drop_signs(bytes: &mut Vec<u8>) {
    let signs = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    bytes.drain(..signs);
}

/// The same of its own.
pub(super) fn line_of(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Reason> {
    Ok(line(bytes)?.map(|(line, used)| (line.to_vec(), used)))
}

/// What a line says.
pub(super) fn answer(line: &[u8]) -> Result<Answer, Reason> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    let unclear = || Reason::Words(format!("the master answers PSYNC with {}", wire::words(line)));
    let id = |word: &str| {
        let is_id = word.len() == ID_BYTES && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| word.to_owned())
    };
    match words.next().unwrap_or_default() {
        "+FULLRESYNC" => {
            let (name, offset) = (words.next().and_then(id), words.next());
            let offset = offset.and_then(|offset| offset.parse().ok());
            // What follows is counted from there.
            let offset = offset.filter(|offset: &u64| *offset <= OFFSET_MAX);
            match (name, offset) {
                (Some(id), Some(offset)) => Ok(Answer::Full { id, offset }),
                _ => Err(unclear()),
            }
        }
        "+CONTINUE" => match words.next() {
            None => Ok(Answer::Continue(None)),
            Some(word) => id(word).map(|id| Answer::Continue(Some(id))).ok_or_else(unclear),
        },
        word if word.starts_with('-') => Err(refusal(&text[1..])),
        _ => Err(unclear()),
    }
}

/// Why the master does not let us follow it.
fn refusal(text: &str) -> Reason {
    let said = wire::words(text.as_bytes());
    if text.starts_with("ERR unknown command") {
        return Reason::Senseless(format!(
            "the master does not know PSYNC ({said}): it is no Redis or Valkey that can be followed, or its provider \
             has turned that off"
        ));
    }
    if text.starts_with("NOPERM") {
        return Reason::Words(format!(
            "the master refuses PSYNC ({said}): give --masteruser the permissions +psync +replconf +ping there"
        ));
    }
    Reason::Words(format!("the master refuses PSYNC: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A master that only says that it lives filled the memory with it.
    #[test]
    fn signs_of_life_are_not_kept() {
        for (came, left) in [("", ""), ("\n\n\r\n", ""), ("\n+CON", "+CON"), ("a\n\n", "a\n\n")] {
            let mut bytes = came.as_bytes().to_vec();
            drop_signs(&mut bytes);
            assert_eq!(bytes, left.as_bytes(), "{came:?}");
        }
    }

    #[test]
    fn answers_are_understood_and_refusals_named() {
        let said = |line: &str| answer(line.as_bytes());
        let full = Answer::Full { id: ID.to_owned(), offset: 17 };
        assert_eq!(said(&format!("+FULLRESYNC {ID} 17")), Ok(full));
        assert_eq!(said("+CONTINUE"), Ok(Answer::Continue(None)));
        assert_eq!(said(&format!("+CONTINUE {ID}")), Ok(Answer::Continue(Some(ID.to_owned()))));
        for (line, words, is_senseless) in [
            ("-NOMASTERLINK Can't SYNC while not connected with my master", "NOMASTERLINK", false),
            ("-LOADING Redis is loading the dataset in memory", "LOADING", false),
            ("-NOAUTH Authentication required.", "NOAUTH", false),
            ("-NOPERM this user has no permissions to run the 'psync' command", "+psync", false),
            ("-ERR unknown command 'PSYNC'", "does not know PSYNC", true),
            ("-ERR Can't SYNC while not connected with my master", "refuses PSYNC", false),
            ("+FULLRESYNC 12 0", "answers PSYNC with", false),
            (&format!("+FULLRESYNC {ID} -1"), "answers PSYNC with", false),
            (&format!("+FULLRESYNC {ID} {}", u64::MAX), "answers PSYNC with", false),
            (&format!("+FULLRESYNC {ID}"), "answers PSYNC with", false),
            ("+CONTINUE abc", "answers PSYNC with", false),
            ("+OK", "answers PSYNC with", false),
            ("$5", "answers PSYNC with", false),
        ] {
            let reason = said(line).expect_err(line);
            assert!(reason.to_string().contains(words), "{line}: {reason}");
            assert_eq!(matches!(reason, Reason::Senseless(_)), is_senseless, "{line}");
        }
    }

    #[test]
    fn empty_lines_are_signs_of_life() {
        assert_eq!(line(b"\n\n\n"), Ok(None));
        assert_eq!(line(b"\n\n+CONT"), Ok(None));
        assert_eq!(line(b"\n+CONTINUE\r\n*1"), Ok(Some((&b"+CONTINUE"[..], 12))));
        assert!(line(&vec![b'x'; LINE_MAX + 1]).is_err());
    }
}
