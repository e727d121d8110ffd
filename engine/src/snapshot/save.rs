//! Writes a snapshot: one RDB file of all shards' data of one moment.
//!
//! ```text
//!   a moment's bytes (`moment`) ─► temp-PID-N.rdb, by an Appender ─► sync ─► rename ─► sync of the directory
//! ```
//!
//! The file is written beside the one it replaces, which stays as it is until the new one is on the disk.
//! Whoever asks for it runs on an executor that may be busy for some 100 us at a time.

use super::moment::{ANOTHER, Journals, Made, Moment, SaveProgress, Sink, Terms, next_cut};
use super::name;
use crate::exec::Front;
use crate::rdb::forms::Reader;
use crate::rt::{self, Appender};
use crate::types::Lsn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is to be written.
#[derive(Clone, Debug)]
pub struct SavePlan {
    /// Where the file is in the end.
    pub path: PathBuf,
    /// What the file says about itself, by name, in their order.
    pub facts: Vec<(String, String)>,
    /// What may be held back of changed keys, in bytes, over all shards.
    pub held_max: u64,
}

/// A snapshot that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// Keys in it.
    pub keys: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// The form's version: above 9 where the data needs it, which Redis 6.2 does not load then.
    pub version: u16,
    /// Where each shard's journal stood.
    pub lsns: Vec<Lsn>,
}

/// Between two attempts to fix a moment, while there is another one.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Writes a snapshot. `begun` is called once it cannot be refused any more: the file is made and the moment fixed.
pub async fn save(
    front: &Rc<Front>,
    plan: &SavePlan,
    progress: &SaveProgress,
    begun: impl FnOnce(),
) -> Result<Saved, String> {
    let id = next_cut();
    let temp = name::temporary(&plan.path, id.0);
    // Of a process that had this number before, and was killed.
    let _ = rt::file::remove(&temp).await;
    let out = Appender::create_new(&temp).await.map_err(|error| error.to_string())?;
    let terms =
        Terms { held_max: plan.held_max, journals: Journals::Leave, reader: Reader::Newest };
    let fixed = loop {
        match Moment::named(front, id, terms).await {
            // Somebody takes a copy of this node, which comes to its end by itself.
            Err(why) if why == ANOTHER && !progress.cancelled.load(Ordering::Relaxed) => {
                rt::sleep(AGAIN_AFTER).await;
            }
            fixed => break fixed,
        }
    };
    let outcome = match fixed {
        Ok(moment) => {
            begun();
            let outcome = write(front, &moment, plan, progress, out).await;
            moment.end(front).await;
            outcome
        }
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        Ok(saved) => {
            let replaced = rt::file::replace(&temp, &plan.path).await;
            replaced.map(|()| saved).map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        let _ = rt::file::remove(&temp).await;
    }
    outcome
}

/// The file under way.
struct Writer<'a> {
    out: Appender,
    progress: &'a SaveProgress,
}

impl Sink for Writer<'_> {
    async fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.out.append(bytes).await.map_err(|error| error.to_string())?;
        self.progress.bytes.store(self.out.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn write(
    front: &Rc<Front>,
    moment: &Moment,
    plan: &SavePlan,
    progress: &SaveProgress,
    out: Appender,
) -> Result<Saved, String> {
    let lsns = moment.lsns();
    let positions: Vec<String> = lsns.iter().map(|lsn| lsn.0.to_string()).collect();
    let mut facts = plan.facts.clone();
    facts.push(("damselfly-lsns".to_owned(), positions.join(",")));
    let mut writer = Writer { out, progress };
    let Made { keys, version } = moment.write(front, &facts, progress, &mut writer).await?;
    let bytes = writer.out.finish().await.map_err(|error| error.to_string())?;
    progress.bytes.store(bytes, Ordering::Relaxed);
    Ok(Saved { keys, bytes, version, lsns })
}

/// Whether a snapshot could be put there, as far as can be told before: in a directory that is there.
pub fn check_place(path: &Path) -> Result<(), String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(format!("{} is no directory", directory.display())),
        Err(error) => Err(format!("cannot examine {}: {error}", directory.display())),
    }
}
