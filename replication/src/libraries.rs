//! Libraries of functions on their way to a replica: all of them, whenever they have changed, on the control
//! connection.
//!
//! ```text
//!   master   Telling ── what FUNCTION DUMP answers with, in pieces ──► replica   Hearing ── replaces its own
//! ```
//!
//! They are told when a session begins and looked at whenever a sign of life is due, so a change is there within
//! about a second. No order between them and the data is kept: nothing here runs them. Pieces are short, so that
//! both ends hear each other meanwhile.

use crate::wire;
use engine::libraries::{BYTES_MAX, Libraries, Set, named};
use engine::rdb::functions;

/// Bytes of one piece.
const PIECE: usize = 64 * 1024;

/// All pieces together: the libraries and what stands between them.
const ALL_MAX: usize = BYTES_MAX + 1024 * 1024;

/// A master's end.
#[derive(Debug, Default)]
pub struct Telling {
    /// As of which count of changes they were told.
    told: Option<u64>,
    payload: Vec<u8>,
    at: usize,
}

impl Telling {
    /// Whether pieces are left of what is being told.
    pub fn has_more(&self) -> bool {
        self.at < self.payload.len()
    }

    /// Appends the next piece, if there is something to be told.
    pub fn next(&mut self, libraries: &Libraries, out: &mut Vec<u8>) {
        if !self.has_more() {
            let changes = libraries.changes();
            if self.told == Some(changes) {
                return;
            }
            self.told = Some(changes);
            let all = libraries.all();
            self.payload = functions::payload(all.values().map(|library| &*library.code));
            self.at = 0;
        }
        let left = &self.payload[self.at..];
        let piece = &left[..left.len().min(PIECE)];
        wire::put_libraries(out, left.len(), piece);
        self.at += piece.len();
        if !self.has_more() {
            (self.payload, self.at) = (Vec::new(), 0);
        }
    }
}

/// A replica's end.
#[derive(Debug, Default)]
pub struct Hearing {
    payload: Vec<u8>,
    left: usize,
}

impl Hearing {
    /// Takes a piece, with which so many bytes are left; all of the libraries after the last one.
    pub fn take(&mut self, left: u64, piece: &[u8]) -> Result<Option<Set>, String> {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let is_first = self.payload.is_empty();
        if left > ALL_MAX || piece.is_empty() || piece.len() > left {
            return Err(format!("{} of {left} bytes of libraries of functions", piece.len()));
        }
        if !is_first && left != self.left {
            return Err("libraries of functions in the wrong order".to_owned());
        }
        self.payload.extend_from_slice(piece);
        self.left = left - piece.len();
        if self.left > 0 {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.payload);
        let codes = functions::parse(&payload, BYTES_MAX)?;
        codes.into_iter().map(named).collect::<Result<Set, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::News;

    /// All messages that are due.
    fn told(telling: &mut Telling, libraries: &Libraries) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = Vec::new();
        loop {
            let mut message = Vec::new();
            telling.next(libraries, &mut message);
            let Ok(Some((kind, payload, _))) = wire::next(&message) else { return pieces };
            let Ok(News::Libraries(left, piece)) = News::of(kind, payload) else {
                panic!("{kind:?}")
            };
            pieces.push((left, piece));
            if !telling.has_more() {
                return pieces;
            }
        }
    }

    #[test]
    fn a_replica_hears_all_libraries_whenever_they_change() {
        let (libraries, mut telling, mut hearing) =
            (Libraries::default(), Telling::default(), Hearing::default());
        let code = |name: &str, bytes: usize| {
            let mut code = format!("#!lua name={name}\n").into_bytes();
            code.resize(code.len() + bytes, b'x');
            code
        };
        let pieces = told(&mut telling, &libraries);
        assert_eq!(pieces.len(), 1, "also that there are none");
        assert_eq!(hearing.take(pieces[0].0, &pieces[0].1), Ok(Some(Set::new())));
        assert_eq!(told(&mut telling, &libraries).len(), 0, "nothing has changed");
        for (name, bytes, count) in [("a", 10, 1), ("b", 300_000, 5)] {
            libraries.load(code(name, bytes), false).expect("it fits");
            let pieces = told(&mut telling, &libraries);
            assert_eq!(pieces.len(), count);
            let heard: Vec<_> =
                pieces.iter().map(|(left, piece)| hearing.take(*left, piece)).collect();
            assert_eq!(heard.last(), Some(&Ok(Some(Set::clone(&libraries.all())))));
            assert!(heard[..count - 1].iter().all(|heard| *heard == Ok(None)));
        }
    }

    #[test]
    fn pieces_that_do_not_fit_are_refused() {
        for (left, piece) in [(0, &b""[..]), (1, b"ab"), (u64::MAX, b"a"), (3, b"")] {
            assert!(Hearing::default().take(left, piece).is_err());
        }
        let mut hearing = Hearing::default();
        assert_eq!(hearing.take(5, b"ab"), Ok(None));
        assert!(hearing.take(2, b"ab").is_err());
        assert!(Hearing::default().take(12, b"no payload..").is_err());
    }
}
