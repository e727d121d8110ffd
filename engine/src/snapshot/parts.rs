//! A snapshot of several files: one part for each shard, and a summary that names them.
//!
//! ```text
//!   dump-0123456789abcdef-0000.rdb   the keys of shard 0   damselfly-part   0123456789abcdef 0 2
//!   dump-0123456789abcdef-0001.rdb   the keys of shard 1   damselfly-part   0123456789abcdef 1 2
//!   dump.rdb                         the summary           damselfly-parts  0123456789abcdef 1048576,1048577
//! ```
//!
//! Each part is a file as any Redis loads it. What all of the data is (its place in its history, libraries of functions)
//! stands in the summary, which has the snapshot's name and no keys, and is put in place last, when all parts are on the disk: so
//! that one renaming is what takes the place of the snapshot before, whichever form that has. A Redis would take the
//! summary for an empty data set; so it has something of a module's that no Redis has, which none loads.
//!
//! It promises that no part is taken for another one's, or for whole where it is not, before anything is loaded.

use super::name::{self, SaveId};
use crate::limits::SHARDS_MAX;
use crate::rdb::file::{Event, FileError, HEAD, Reader};
use crate::rt::{self, File};
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What a summary says about its parts.
pub(super) const SUMMARY: &str = "damselfly-parts";

/// What a part says about itself.
pub(super) const PART: &str = "damselfly-part";

/// No Redis has a module of this name.
pub(super) const MODULE: &[u8; 9] = b"dfly-part";

/// Which part of which save a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The save.
    pub id: SaveId,
    /// Counts from 0.
    pub number: usize,
    /// How many parts there are.
    pub count: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.number, self.count)
    }
}

impl Place {
    /// As a fact of its file.
    pub(super) fn fact(&self) -> (String, String) {
        (PART.to_owned(), self.to_string())
    }

    /// What the facts of a file say; nothing where it is no part.
    pub fn of_facts(facts: &BTreeMap<String, Vec<u8>>) -> Option<Place> {
        let text = std::str::from_utf8(facts.get(PART)?).ok()?;
        let mut words = text.split(' ');
        let place = Place {
            id: SaveId::read(words.next()?)?,
            number: words.next()?.parse().ok()?,
            count: words.next()?.parse().ok()?,
        };
        (place.to_string() == text).then_some(place)
    }
}

/// What a summary says: how long each part is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The save.
    pub id: SaveId,
    /// Bytes of each part.
    pub bytes: Vec<u64>,
}

impl Summary {
    /// As a fact of its file.
    pub(super) fn fact(&self) -> (String, String) {
        let bytes: Vec<String> = self.bytes.iter().map(u64::to_string).collect();
        (SUMMARY.to_owned(), format!("{} {}", self.id, bytes.join(",")))
    }

    /// What the facts of a file say; nothing where it is a snapshot by itself.
    pub fn of_facts(facts: &BTreeMap<String, Vec<u8>>) -> Result<Option<Summary>, String> {
        let Some(value) = facts.get(SUMMARY) else { return Ok(None) };
        let text = String::from_utf8_lossy(value);
        let read = || {
            let (id, bytes) = text.split_once(' ')?;
            let bytes: Option<Vec<u64>> =
                bytes.split(',').map(|bytes| bytes.parse().ok()).collect();
            let bytes = bytes.filter(|bytes| bytes.len() <= usize::from(SHARDS_MAX))?;
            Some(Summary { id: SaveId::read(id)?, bytes })
        };
        let summary = read().ok_or("what it says of its parts cannot be understood")?;
        Ok(Some(summary))
    }

    /// Bytes of all parts.
    pub fn total(&self) -> u64 {
        self.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Where the parts stand, beside their summary.
    pub fn paths(&self, summary: &Path) -> Vec<PathBuf> {
        (0..self.bytes.len()).map(|number| name::part(summary, self.id, number)).collect()
    }
}

/// A snapshot that can be loaded, as far as can be told before.
pub struct Looked {
    /// Bytes of all its files.
    pub bytes: u64,
    /// What it says of its parts, if it has some.
    pub summary: Option<Summary>,
}

/// Looks at a snapshot before it is loaded: whether it can be read at all and, where it is a summary, whether all parts
/// that it names are there, of its own save, and as long as they were.
pub async fn look(path: &Path) -> Result<Looked, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let whole = file.size().await.map_err(|error| error.to_string())?;
    let Some(summary) = Summary::of_facts(&facts_of(&file).await?)? else {
        return Ok(Looked { bytes: whole, summary: None });
    };
    let count = summary.bytes.len();
    for (number, (part, bytes)) in summary.paths(path).iter().zip(&summary.bytes).enumerate() {
        let place = Place { id: summary.id, number, count };
        look_at_part(part, *bytes, place).await.map_err(|why| {
            format!(
                "part {number} of the {count} that it names, {}, {why}: bring all of its parts back beside it",
                part.display()
            )
        })?;
    }
    Ok(Looked { bytes: whole.saturating_add(summary.total()), summary: Some(summary) })
}

/// A summary without libraries of functions is shorter.
const SUMMARY_BYTES: u64 = 1024 * 1024;

/// The same for whom loading comes too late to find that a summary is damaged, as data goes for it.
pub async fn look_closely(path: &Path) -> Result<(), String> {
    let looked = look(path).await?;
    // Who does not say that it is a summary may be a damaged one.
    if looked.summary.is_some() || looked.bytes <= SUMMARY_BYTES {
        look_through(path).await?;
    }
    Ok(())
}

/// Whether a file is whole, by its checksum: all of it is read.
async fn look_through(path: &Path) -> Result<(), String> {
    /// Summed at once, which takes some 20 us.
    const BYTES: usize = 32 * 1024;
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    let (mut reader, mut at) = (Reader::default(), 0);
    loop {
        let mut block = Vec::new();
        let read = file.read_at(at, BYTES, &mut block).await;
        at += read.map_err(|error| error.to_string())? as u64;
        reader.push(&block);
        rt::yield_now().await;
        loop {
            match reader.next().map_err(|error| error.to_string())? {
                Event::End => return Ok(()),
                Event::More if block.is_empty() => {
                    return reader.end().map_err(|error| error.to_string());
                }
                Event::More => break,
                _ => {}
            }
        }
    }
}

/// The save that a snapshot's parts are of, if it has parts.
pub async fn save_of(path: &Path) -> Result<Option<SaveId>, String> {
    let file = File::open(path).await.map_err(|error| error.to_string())?;
    Ok(Summary::of_facts(&facts_of(&file).await?)?.map(|summary| summary.id))
}

/// Whether a file is this part, and so long; else what is wrong with it.
async fn look_at_part(path: &Path, bytes: u64, place: Place) -> Result<(), String> {
    let unread = |error: String| format!("cannot be read ({error})");
    let file = match File::open(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("is not there".to_owned()),
        file => file.map_err(|error| unread(error.to_string()))?,
    };
    let found = file.size().await.map_err(|error| unread(error.to_string()))?;
    if found != bytes {
        return Err(format!("has {found} bytes, and {bytes} were written"));
    }
    let facts = facts_of(&file).await.map_err(unread)?;
    match Place::of_facts(&facts) == Some(place) {
        true => Ok(()),
        false => Err("is of another snapshot".to_owned()),
    }
}

/// What a file says about itself: what stands before all else in it, which is at its very beginning.
async fn facts_of(file: &File) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut begins = Vec::new();
    let read = file.read_at(0, rt::file::BLOCK, &mut begins).await;
    read.map_err(|error| error.to_string())?;
    facts_in(&begins).map_err(|error| error.to_string())
}

/// The facts that a file begins with, of so many bytes of it.
fn facts_in(begins: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, FileError> {
    let mut reader = Reader::default();
    reader.push(begins);
    if begins.len() < HEAD {
        reader.end()?;
    }
    let mut facts = BTreeMap::new();
    while let Event::Aux(name, value) = reader.next()? {
        facts.insert(String::from_utf8_lossy(&name).into_owned(), value.into_owned());
    }
    Ok(facts)
}

/// Removes parts that belong to no snapshot, where `newest` is the newest: those of the one before, and of such as never
/// came to be. `kept` is the save whose parts are its own, if it has some.
pub async fn remove_left(setting: &str, newest: &Path, kept: Option<SaveId>) {
    let (Some(directory), Some(newest)) = (newest.parent(), newest.file_name()) else { return };
    let names = match rt::file::names_in(directory).await {
        Ok(names) => names,
        Err(error) => return log::warn!("snapshot: {error}: parts of former ones may be left"),
    };
    for left in name::left_over(setting, &names, &newest.to_string_lossy(), kept) {
        if let Err(error) = rt::file::remove(&directory.join(left)).await {
            log::warn!("snapshot: {error}, which no snapshot needs any more");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::file_write;

    fn facts(rows: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let rows = rows.iter();
        rows.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn what_is_said_of_parts_is_understood_as_it_was_written_and_in_no_other_way() {
        let id = SaveId(0xab);
        let place = Place { id, number: 3, count: 8 };
        let summary = Summary { id, bytes: vec![1, u64::MAX, 0] };
        let (name, value) = place.fact();
        assert_eq!(Place::of_facts(&facts(&[(&name, &value)])), Some(place));
        let (name, value) = summary.fact();
        assert_eq!(Summary::of_facts(&facts(&[(&name, &value)])), Ok(Some(summary)));
        assert_eq!(Summary::of_facts(&facts(&[(PART, "x")])), Ok(None));
        for wrong in ["", "00000000000000ab", "00000000000000ab x", "ab 1", "00000000000000ab 1,"] {
            assert!(Summary::of_facts(&facts(&[(SUMMARY, wrong)])).is_err(), "{wrong}");
        }
        let many = format!("00000000000000ab 1{}", ",1".repeat(usize::from(SHARDS_MAX)));
        assert!(Summary::of_facts(&facts(&[(SUMMARY, &many)])).is_err(), "one too many");
        for wrong in
            ["", "ab 3 8", "00000000000000ab 3", "00000000000000ab 3 8 9", "00000000000000ab +3 8"]
        {
            assert_eq!(Place::of_facts(&facts(&[(PART, wrong)])), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_says_what_it_is_before_all_else() {
        let mut bytes = Vec::new();
        file_write::begin(file_write::VERSION, &mut bytes);
        file_write::fact("a", "1", &mut bytes);
        file_write::fact("b", "text", &mut bytes);
        let expected = facts(&[("a", "1"), ("b", "text")]);
        assert_eq!(facts_in(&bytes), Ok(expected.clone()));
        file_write::module(MODULE, &mut bytes);
        file_write::fact("c", "behind", &mut bytes);
        assert_eq!(facts_in(&bytes), Ok(expected));
        for wrong in [&b""[..], b"REDIS", b"nothing of the sort", b"REDIS0042"] {
            assert!(facts_in(wrong).is_err(), "{wrong:?}");
        }
    }
}
