//! What data of one moment is: which position of which history, and of which Redis's stream. A snapshot carries it as
//! facts of the file, and a start from it goes on from there (J6).
//!
//! ```text
//!   damselfly-history    40 hex digits                          the history whose position it is
//!   damselfly-lsns       <lsn>,<lsn>,...                        one for each of that history's journals
//!   damselfly-branches   <history>:<lsn>,...;<history>:...      what that history branched off, youngest first
//!   repl-id, repl-offset, repl-stream-db                        as Redis: where its stream is applied
//! ```
//!
//! Facts that do not fit each other are an error: whoever took half of them would continue from where it is not.

use engine::journal::{Lineage, Position};
use engine::types::{DbIndex, Lsn};
use std::collections::BTreeMap;

/// The last position of a stream: beyond any that was ever reached, and with room for what is added to them.
pub(crate) const OFFSET_MAX: u64 = 1 << 62;

/// Ancestors beyond so many bytes are left out, the oldest first: a reader keeps so much of all facts together.
const BRANCHES_BYTES_MAX: usize = 24 * 1024;

const HISTORY: &str = "damselfly-history";
const LSNS: &str = "damselfly-lsns";
const BRANCHES: &str = "damselfly-branches";
const STREAM_ID: &str = "repl-id";
const STREAM_OFFSET: &str = "repl-offset";
const STREAM_DB: &str = "repl-stream-db";

/// Where the stream of a master that speaks in commands is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPosition {
    /// Names the master's history.
    pub id: String,
    /// Bytes of its stream.
    pub offset: u64,
    /// The database that the commands behind them are about.
    pub db: DbIndex,
}

/// See the module's doc.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The history whose position it is, and those before.
    pub lineage: Option<Lineage>,
    /// The position, in that history; empty without one.
    pub lsns: Vec<Lsn>,
    /// Where a Redis's stream is applied.
    pub stream: Option<StreamPosition>,
}

impl Origin {
    /// Data of nobody's history.
    pub fn unknown() -> Origin {
        Origin { lineage: None, lsns: Vec::new(), stream: None }
    }

    /// The position, if it is known.
    pub fn position(&self) -> Option<Position> {
        let lineage = self.lineage.as_ref()?;
        Some(Position { history: lineage.current(), lsns: self.lsns.clone() })
    }

    /// As facts of a file.
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
        if let Some(stream) = &self.stream {
            fact(STREAM_DB, stream.db.0.to_string());
            fact(STREAM_ID, stream.id.clone());
            fact(STREAM_OFFSET, stream.offset.to_string());
        }
        if let Some(lineage) = &self.lineage {
            fact(HISTORY, lineage.current().to_string());
            let lsns: Vec<String> = self.lsns.iter().map(Lsn::to_string).collect();
            fact(LSNS, lsns.join(","));
            let mut branches = String::new();
            for branch in lineage.branches() {
                let text = format!("{}{branch}", if branches.is_empty() { "" } else { ";" });
                if branches.len() + text.len() > BRANCHES_BYTES_MAX {
                    break;
                }
                branches.push_str(&text);
            }
            if !branches.is_empty() {
                fact(BRANCHES, branches);
            }
        }
        facts
    }

    /// What a file says of itself.
    pub fn of_facts(facts: &BTreeMap<String, Vec<u8>>) -> Result<Origin, String> {
        let fact = |name: &str| facts.get(name).map(|value| String::from_utf8_lossy(value));
        let mut origin = Origin::unknown();
        if let (Some(history), Some(lsns)) = (fact(HISTORY), fact(LSNS)) {
            let fault =
                |error| format!("what it says of its history cannot be understood: {error}");
            let position: Position = format!("{history}:{lsns}").parse().map_err(fault)?;
            let shards = position.lsns.len();
            let branches = fact(BRANCHES).map(|text| format!(";{text}")).unwrap_or_default();
            let lineage = format!("{history}/{shards}{branches}");
            origin.lineage = Some(lineage.parse().map_err(fault)?);
            origin.lsns = position.lsns;
        }
        origin.stream = stream(fact(STREAM_ID), fact(STREAM_OFFSET), fact(STREAM_DB));
        Ok(origin)
    }
}

/// The database that the stream behind a full sync is about: a Redis that is a replica itself hands its master's on as
/// it comes, and says here what the last SELECT in it was. Old versions said -1 for none.
pub fn stream_db(facts: &BTreeMap<String, Vec<u8>>) -> Option<u64> {
    std::str::from_utf8(facts.get(STREAM_DB)?).ok()?.parse().ok()
}

/// As Redis: only where all is there, and a database is chosen in the stream (old versions said -1).
fn stream(
    id: Option<impl AsRef<str>>,
    offset: Option<impl AsRef<str>>,
    db: Option<impl AsRef<str>>,
) -> Option<StreamPosition> {
    let id = id?.as_ref().to_owned();
    let is_id = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // No file is believed more than a master is.
    let offset = offset?.as_ref().parse().ok().filter(|offset| *offset <= OFFSET_MAX)?;
    let db = DbIndex(db?.as_ref().parse().ok()?);
    is_id.then_some(StreamPosition { id, offset, db })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::journal::{HistoryId, LSN_MAX};

    fn read_back(origin: &Origin) -> Result<Origin, String> {
        let facts = origin.facts().into_iter();
        Origin::of_facts(&facts.map(|(name, value)| (name, value.into_bytes())).collect())
    }

    fn lineage() -> Lineage {
        let first = Lineage::unrelated(HistoryId([1; 20]), 2);
        first.branch_off(HistoryId([2; 20]), 3, vec![Lsn(7), Lsn(0)])
    }

    fn stream_at(offset: u64) -> StreamPosition {
        StreamPosition {
            id: "0123456789abcdef0123456789abcdef01234567".into(),
            offset,
            db: DbIndex(3),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let lsns = vec![Lsn(1), Lsn(LSN_MAX), Lsn(0)];
        let rows = [
            Origin::unknown(),
            Origin { lineage: Some(lineage()), lsns: lsns.clone(), stream: None },
            Origin { lineage: Some(lineage()), lsns, stream: Some(stream_at(1 << 40)) },
            Origin { stream: Some(stream_at(0)), ..Origin::unknown() },
        ];
        for origin in rows {
            assert_eq!(read_back(&origin), Ok(origin.clone()));
        }
    }

    #[test]
    fn a_position_that_no_master_has_is_none() {
        for (offset, expected) in [(OFFSET_MAX, true), (OFFSET_MAX + 1, false), (u64::MAX, false)] {
            let origin = Origin { stream: Some(stream_at(offset)), ..Origin::unknown() };
            let read = read_back(&origin).expect("the rest is in order");
            assert_eq!(read.stream.is_some(), expected, "{offset}");
        }
    }

    #[test]
    fn ancestors_without_end_do_not_make_a_file_that_is_not_understood() {
        let many = |number: u8| (HistoryId([number; 20]), vec![Lsn(LSN_MAX); 1024]);
        let lineage =
            (2..12).fold(Lineage::unrelated(HistoryId([1; 20]), 1024), |lineage, number| {
                let (history, at) = many(number);
                lineage.branch_off(history, 1024, at)
            });
        let origin = Origin { lineage: Some(lineage), lsns: vec![Lsn(1); 1024], stream: None };
        let read = read_back(&origin).unwrap();
        assert_eq!(read.position(), origin.position());
        let bytes: usize =
            origin.facts().iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes < 64 * 1024, "{bytes}");
    }

    #[test]
    fn what_does_not_fit_is_refused_or_nothing() {
        let facts = |rows: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            let rows = rows.iter();
            rows.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
        };
        let id = "0123456789abcdef0123456789abcdef01234567";
        for rows in [
            &[(HISTORY, "12"), (LSNS, "1")][..],
            &[(HISTORY, id), (LSNS, "1,x")],
            &[(HISTORY, id), (LSNS, "")],
            &[(HISTORY, id), (LSNS, "1"), (BRANCHES, "nonsense")],
        ] {
            assert!(Origin::of_facts(&facts(rows)).is_err(), "{rows:?}");
        }
        for rows in [
            &[(HISTORY, id)][..],
            &[(STREAM_ID, id), (STREAM_OFFSET, "5"), (STREAM_DB, "-1")],
            &[(STREAM_ID, "short"), (STREAM_OFFSET, "5"), (STREAM_DB, "0")],
            &[(STREAM_ID, id), (STREAM_DB, "0")],
        ] {
            assert_eq!(Origin::of_facts(&facts(rows)), Ok(Origin::unknown()), "{rows:?}");
        }
    }
}
