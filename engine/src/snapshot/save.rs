//! Writes a snapshot: one RDB file of all shards' data of one moment, or one for each shard.
//!
//! ```text
//!   a moment's bytes (`moment`) ─► temp-PID-N.rdb, in the background ─► sync ─► rename ─► sync of the directory
//!
//!   of each shard, on its executor ─► dump-ID-0000.rdb ... ─► sync of all, and of the directory
//!                                                                 └─► the summary, as one file above (`parts`)
//! ```
//!
//! [`Save::prepare`] makes the file, [`Save::fix`] the moment, [`Save::write`] does the rest. Whoever fixes the moment says
//! what it is of: this knows no histories.
//!
//! The file is written beside the one it replaces, which stays as it is until the new one is on the disk.
//! Whoever asks for it runs on an executor that may be busy for some 100 us at a time.

use super::background::Out;
use super::moment::{Journals, Made, Moment, SaveProgress, Share, Sink, Terms, head, next_cut};
use super::name::{self, SaveId};
use super::parts::{MODULE, Place, Summary};
use crate::db::Changes;
use crate::exec::Front;
use crate::libraries::Set;
use crate::rdb::forms::Recipient;
use crate::rdb::{file_write, functions};
use crate::rt;
use crate::rt::file::Placed;
use crate::shard::ExecutorId;
use crate::types::Lsn;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// How many files a snapshot has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One, which any Redis loads.
    One,
    /// One for each shard, written by it, and a summary: see [`parts`](super::parts).
    Parts,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct SavePlan {
    /// Where the file is in the end.
    pub path: PathBuf,
    /// One file, or several.
    pub form: Form,
    /// What each file says about itself, by name, in their order.
    pub facts: Vec<(String, String)>,
    /// What all of the data is; parts do not say it.
    pub of_data: Vec<(String, String)>,
    /// What may be held back of changed keys, in bytes, over all shards.
    pub held_max: u64,
    /// It is not written behind what else this machine has to do.
    pub is_urgent: bool,
}

/// A snapshot that was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saved {
    /// Keys in it.
    pub keys: u64,
    /// Bytes of it, over all files.
    pub bytes: u64,
    /// The form's version: above 9 where the data needs it, which Redis 6.2 does not load then.
    pub version: u16,
    /// Where each shard's journal stood.
    pub lsns: Vec<Lsn>,
    /// Changes that it shows, over all shards.
    pub changes: Changes,
    /// The save that its parts are of, if it has parts.
    pub parts: Option<SaveId>,
}

/// A snapshot that is about to be written: the file is made, and a moment is fixed, or fixed anew.
pub struct Save {
    front: Rc<Front>,
    plan: SavePlan,
    temp: PathBuf,
    out: Out,
    moment: Option<Moment>,
}

impl Save {
    /// Makes the file.
    pub async fn prepare(front: &Rc<Front>, plan: SavePlan) -> Result<Save, String> {
        let temp = name::temporary(&plan.path, next_cut().0);
        // Of a process that had this number before, and was killed.
        let _ = rt::file::remove(&temp).await;
        let out = Out::create_new(front, &temp, plan.is_urgent).await;
        let out = out.map_err(|error| error.to_string())?;
        Ok(Save { front: front.clone(), plan, temp, out, moment: None })
    }

    /// Fixes the moment, on all shards at once; where each shard's journal stood. Asked for again it is another one.
    /// [`ANOTHER`](super::ANOTHER) is refused: who takes a copy of this node comes to an end by itself.
    pub async fn fix(&mut self) -> Result<Vec<Lsn>, String> {
        self.forget().await;
        let (held_max, journals) = (self.plan.held_max, Journals::Leave);
        let (recipient, is_at_leisure) = (Recipient::Newest, !self.plan.is_urgent);
        let terms = Terms { held_max, journals, recipient, is_at_leisure };
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

    /// What the data is, beside what the plan says of it.
    pub fn add_facts(&mut self, facts: impl IntoIterator<Item = (String, String)>) {
        self.plan.of_data.extend(facts);
    }

    /// Writes the file of the moment that was fixed, in the place of the one before.
    pub async fn write(self, progress: &Arc<SaveProgress>) -> Result<Saved, String> {
        let Save { front, plan, temp, out, moment } = self;
        let Some(moment) = moment else { return Err("no moment was fixed".to_owned()) };
        let id = SaveId(rt::random_u64().max(1));
        let written = match plan.form {
            Form::One => write(&front, &moment, &plan, progress, out).await,
            Form::Parts => {
                name::parts_begin(Some(id));
                write_parts(&front, &moment, &plan, progress, (id, out)).await
            }
        };
        moment.end(&front).await;
        // From here on whoever ends at once leaves them to the summary, or to the next snapshot.
        name::parts_begin(None);
        let Placed { outcome, is_taken_back } =
            rt::file::put_in_place(&temp, &plan.path, written).await;
        // Where the summary has its place, and only the directory could not be synced, it needs them.
        if is_taken_back && plan.form == Form::Parts {
            remove_parts(&front, &plan.path, id).await;
        }
        outcome
    }

    /// Nothing is written: the file that was made goes.
    pub async fn give_up(mut self) {
        self.forget().await;
        drop(self.out);
        let _ = rt::file::remove(&self.temp).await;
    }
}

/// A file under way.
struct Writer {
    out: Out,
    progress: Arc<SaveProgress>,
    /// Why another part of the snapshot could not be written: then this one need not be.
    failed: Arc<OnceLock<String>>,
}

impl Sink for Writer {
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        if self.failed.get().is_some() {
            return Err("another part of the snapshot could not be written".to_owned());
        }
        let length = bytes.len() as u64;
        self.out.append(bytes).await.map_err(|error| error.to_string())?;
        self.progress.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    async fn end(&mut self) -> Result<(), String> {
        let length = self.out.append_end().await.map_err(|error| error.to_string())?;
        self.progress.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }
}

impl Writer {
    fn new(out: Out, progress: &Arc<SaveProgress>, failed: &Arc<OnceLock<String>>) -> Writer {
        Writer { out, progress: progress.clone(), failed: failed.clone() }
    }

    /// All of it is on the disk; how many bytes these are.
    async fn finish(self) -> Result<u64, String> {
        self.out.finish().await.map_err(|error| error.to_string())
    }
}

async fn write(
    front: &Rc<Front>,
    moment: &Moment,
    plan: &SavePlan,
    progress: &Arc<SaveProgress>,
    out: Out,
) -> Result<Saved, String> {
    let facts = [&plan.facts[..], &plan.of_data[..]].concat();
    let mut writer = Writer::new(out, progress, &Arc::default());
    let Made { keys, version } = moment.write(front, &facts, progress, &mut writer).await?;
    let bytes = writer.finish().await?;
    let (lsns, changes) = (moment.lsns(), moment.changes());
    Ok(Saved { keys, bytes, version, lsns, changes, parts: None })
}

/// Writes the parts, each on its shard's executor, and then the summary, which is not in its place yet.
async fn write_parts(
    front: &Rc<Front>,
    moment: &Moment,
    plan: &SavePlan,
    progress: &Arc<SaveProgress>,
    (id, out): (SaveId, Out),
) -> Result<Saved, String> {
    progress.keys_total.store(moment.keys(), Ordering::Relaxed);
    let shares = moment.shares(front);
    let (count, failed) = (shares.len(), Arc::<OnceLock<String>>::default());
    let begin = |(number, share): (usize, Share)| {
        let path = name::part(&plan.path, id, number);
        let facts = [&plan.facts[..], &[Place { id, number, count }.fact()]].concat();
        let (progress, failed) = (progress.clone(), failed.clone());
        let on = ExecutorId::from(share.shard());
        front.have_run(on, async move |front: Rc<Front>| {
            let written = write_part(&front, &share, &path, &facts, (&progress, &failed)).await;
            written.map_err(|error| failed.get_or_init(|| error).clone())
        })
    };
    let under_way: Vec<_> = shares.into_iter().enumerate().map(begin).collect();
    let mut parts = Vec::with_capacity(count);
    for part in under_way {
        // All of them come to an end before the first error is told.
        parts.push(part.await);
    }
    let parts = parts.into_iter().collect::<Result<Vec<(Made, u64)>, String>>()?;
    rt::file::sync_directory(&plan.path).await.map_err(|error| error.to_string())?;
    let summary = Summary { id, bytes: parts.iter().map(|(_, bytes)| *bytes).collect() };
    let saved = Saved {
        keys: parts.iter().map(|(made, _)| made.keys).sum(),
        bytes: summary.total(),
        version: parts.iter().map(|(made, _)| made.version).max().unwrap_or(file_write::VERSION),
        lsns: moment.lsns(),
        changes: moment.changes(),
        parts: Some(id),
    };
    let mut writer = Writer::new(out, progress, &failed);
    writer.take(summary_bytes(moment, plan, &summary)).await?;
    writer.end().await?;
    let bytes = writer.finish().await?;
    Ok(Saved { bytes: saved.bytes + bytes, ..saved })
}

/// On the executor of its shard.
async fn write_part(
    front: &Rc<Front>,
    share: &Share,
    path: &Path,
    facts: &[(String, String)],
    (progress, failed): (&Arc<SaveProgress>, &Arc<OnceLock<String>>),
) -> Result<(Made, u64), String> {
    let out = Out::here(path).await.map_err(|error| error.to_string())?;
    let mut writer = Writer::new(out, progress, failed);
    let made = share.write(front, facts, progress, &mut writer).await?;
    Ok((made, writer.finish().await?))
}

/// All of the summary but its end. The parts stand before what the data is, of which a reader leaves out what is too much.
fn summary_bytes(moment: &Moment, plan: &SavePlan, summary: &Summary) -> Vec<u8> {
    let version = if moment.has_libraries() { functions::VERSION } else { file_write::VERSION };
    let of_parts = [summary.fact()];
    let facts = plan.facts.iter().chain(&of_parts).chain(&plan.of_data);
    let mut bytes = head(version, facts, &Set::new());
    file_write::module(MODULE, &mut bytes);
    moment.libraries().values().for_each(|library| functions::write(&library.code, &mut bytes));
    bytes
}

/// What was written of a save that came to nothing goes.
async fn remove_parts(front: &Front, path: &Path, id: SaveId) {
    for number in 0..usize::from(front.node.shards()) {
        let _ = rt::file::remove(&name::part(path, id, number)).await;
    }
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
