//! Writes a snapshot: one RDB file of all shards' data of one moment.
//!
//! ```text
//!   a moment's bytes (`moment`) ─► temp-PID-N.rdb, by an Appender ─► sync ─► rename ─► sync of the directory
//! ```
//!
//! [`Save::prepare`] makes the file, [`Save::fix`] the moment, [`Save::write`] does the rest. Whoever fixes the moment says
//! what it is of: this knows no histories.
//!
//! The file is written beside the one it replaces, which stays as it is until the new one is on the disk.
//! Whoever asks for it runs on an executor that may be busy for some 100 us at a time.

use super::moment::{Journals, Made, Moment, SaveProgress, Sink, Terms, next_cut};
use super::name;
use crate::exec::Front;
use crate::rdb::forms::Recipient;
use crate::rt::{self, Appender};
use crate::types::Lsn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;

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

/// A snapshot that is about to be written: the file is made, and a moment is fixed, or fixed anew.
pub struct Save {
    front: Rc<Front>,
    plan: SavePlan,
    temp: PathBuf,
    out: Appender,
    moment: Option<Moment>,
}

impl Save {
    /// Makes the file.
    pub async fn prepare(front: &Rc<Front>, plan: SavePlan) -> Result<Save, String> {
        let temp = name::temporary(&plan.path, next_cut().0);
        // Of a process that had this number before, and was killed.
        let _ = rt::file::remove(&temp).await;
        let out = Appender::create_new(&temp).await.map_err(|error| error.to_string())?;
        Ok(Save { front: front.clone(), plan, temp, out, moment: None })
    }

    /// Fixes the moment, on all shards at once; where each shard's journal stood. Asked for again it is another one.
    /// [`ANOTHER`](super::ANOTHER) is refused: who takes a copy of this node comes to an end by itself.
    pub async fn fix(&mut self) -> Result<Vec<Lsn>, String> {
        self.forget().await;
        let (held_max, journals) = (self.plan.held_max, Journals::Leave);
        let terms = Terms { held_max, journals, recipient: Recipient::Newest };
        let moment = Moment::begin(&self.front, terms).await?;
        let lsns = moment.lsns();
        self.moment = Some(moment);
        Ok(lsns)
    }

    async fn forget(&mut self) {
        if let Some(moment) = self.moment.take() {
            moment.end(&self.front).await;
        }
    }

    /// What the file says about itself, beside what the plan says.
    pub fn add_facts(&mut self, facts: impl IntoIterator<Item = (String, String)>) {
        self.plan.facts.extend(facts);
    }

    /// Writes the file of the moment that was fixed, in the place of the one before.
    pub async fn write(self, progress: &SaveProgress) -> Result<Saved, String> {
        let Save { front, plan, temp, out, moment } = self;
        let written = match moment {
            Some(moment) => {
                let written = write(&front, &moment, &plan, progress, out).await;
                moment.end(&front).await;
                written
            }
            None => Err("no moment was fixed".to_owned()),
        };
        rt::file::put_in_place(&temp, &plan.path, written).await
    }

    /// Nothing is written: the file that was made goes.
    pub async fn give_up(mut self) {
        self.forget().await;
        drop(self.out);
        let _ = rt::file::remove(&self.temp).await;
    }
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
    let mut writer = Writer { out, progress };
    let Made { keys, version } = moment.write(front, &plan.facts, progress, &mut writer).await?;
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
