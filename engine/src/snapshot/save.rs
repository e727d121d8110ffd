//! Writes a snapshot: one RDB file of all shards' data of one moment.
//!
//! ```text
//!   shard 0   frozen_more ──part──┐                                     temp-PID-N.rdb
//!   shard 1   frozen_more ──part──┼─► in turn; all of a value together ─► Appender ─► sync ─► rename
//!   shard 2   frozen_more ──part──┘   CRC-64                                              sync of the directory
//! ```
//!
//! Each shard encodes its own keys and has one part under way, while another is written: so much is held, however slow the
//! disk. Where a part ends within a value, the parts of others wait until it is whole.
//!
//! The file is written beside the one it replaces, which stays as it is until the new one is on the disk.
//! Whoever asks for it runs on an executor that may be busy for some 100 us at a time.

use super::name;
use crate::cut::{CutId, FrozenPart};
use crate::exec::Front;
use crate::rdb::{Crc, file_write, functions};
use crate::rt::{self, Appender};
use crate::shard::{FrozenBeginning, Shard};
use crate::types::{DbIndex, Lsn, ShardId};
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

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

/// How far a snapshot has come, for whoever wants to know.
#[derive(Debug, Default)]
pub struct SaveProgress {
    /// Keys that are written.
    pub keys: AtomicU64,
    /// Keys that there were at its moment.
    pub keys_total: AtomicU64,
    /// Bytes of the file so far.
    pub bytes: AtomicU64,
    /// Whoever raises it ends the work.
    pub cancelled: AtomicBool,
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

static CUTS: AtomicU64 = AtomicU64::new(1);

/// Writes a snapshot. `begun` is called once it cannot be refused any more: the file is made and the moment fixed.
pub async fn save(
    front: &Rc<Front>,
    plan: &SavePlan,
    progress: &SaveProgress,
    begun: impl FnOnce(),
) -> Result<Saved, String> {
    let number = CUTS.fetch_add(1, Ordering::Relaxed);
    let temp = name::temporary(&plan.path, number);
    // Of a process that had this number before, and was killed.
    let _ = rt::file::remove(&temp).await;
    let out = Appender::create_new(&temp).await.map_err(|error| error.to_string())?;
    let id = CutId(number);
    let outcome = match begin(front, id, plan.held_max).await {
        Ok(beginnings) => {
            begun();
            write(front, id, plan, progress, out, beginnings).await
        }
        Err(error) => Err(error),
    };
    end_cuts(front, id).await;
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

/// Fixes the moment, on all shards at once.
async fn begin(
    front: &Rc<Front>,
    id: CutId,
    held_max: u64,
) -> Result<Vec<FrozenBeginning>, String> {
    let bound = held_max / u64::from(front.node.shards().max(1));
    let begin = move |shard: &mut Shard| shard.frozen_begin(id, bound);
    let begun = front.everywhere(false, begin).await;
    begun
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| "another snapshot is under way".to_owned())
}

async fn end_cuts(front: &Rc<Front>, id: CutId) {
    for shard in front.node.all_shards() {
        while !front.call(shard, move |shard| shard.frozen_end(id)).await {
            rt::yield_now().await;
        }
    }
}

/// The file under way.
struct Writer<'a> {
    out: Appender,
    crc: Crc,
    progress: &'a SaveProgress,
}

impl Writer<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.crc.add(bytes);
        self.out.append(bytes).await.map_err(|error| error.to_string())?;
        self.progress.bytes.store(self.out.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn write(
    front: &Rc<Front>,
    id: CutId,
    plan: &SavePlan,
    progress: &SaveProgress,
    out: Appender,
    beginnings: Vec<FrozenBeginning>,
) -> Result<Saved, String> {
    let has_dated = beginnings.iter().any(|beginning| beginning.has_dated);
    let libraries = front.node.libraries().all();
    let version = match (has_dated, libraries.is_empty()) {
        (true, _) => file_write::VERSION_OF_TIMED_FIELDS,
        (false, false) => functions::VERSION,
        (false, true) => file_write::VERSION,
    };
    let lsns: Vec<Lsn> = beginnings.iter().map(|beginning| beginning.lsn).collect();
    let mut head = Vec::new();
    file_write::begin(version, &mut head);
    plan.facts.iter().for_each(|(name, value)| file_write::fact(name, value, &mut head));
    let positions: Vec<String> = lsns.iter().map(|lsn| lsn.0.to_string()).collect();
    file_write::fact("damselfly-lsns", &positions.join(","), &mut head);
    libraries.values().for_each(|library| functions::write(&library.code, &mut head));
    let keys_total = sizes(&beginnings, &mut head);
    progress.keys_total.store(keys_total, Ordering::Relaxed);
    let mut writer = Writer { out, crc: Crc::default(), progress };
    writer.write(&head).await?;
    let keys = write_parts(front, id, &mut writer).await?;
    let mut end = Vec::new();
    file_write::end(writer.crc, &mut end);
    writer.out.append(&end).await.map_err(|error| error.to_string())?;
    if keys != keys_total {
        return Err(format!("{keys} keys were written of {keys_total}: the file is given up"));
    }
    let bytes = writer.out.finish().await.map_err(|error| error.to_string())?;
    progress.bytes.store(bytes, Ordering::Relaxed);
    Ok(Saved { keys, bytes, version, lsns })
}

/// Says of each database that is not empty how large it is; how many keys there are.
fn sizes(beginnings: &[FrozenBeginning], out: &mut Vec<u8>) -> u64 {
    let count = beginnings.first().map_or(0, |first| first.sizes.len());
    let mut total = 0;
    for db in 0..count {
        let of_db = beginnings.iter().filter_map(|beginning| beginning.sizes.get(db));
        let (keys, expire) = of_db.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        if keys > 0 {
            file_write::database(DbIndex(db as u16), out);
            file_write::sizes(keys, expire, out);
        }
        total += keys;
    }
    total
}

type Asked<'a> = Pin<Box<dyn Future<Output = Option<FrozenPart>> + 'a>>;

/// Writes all parts of all shards; how many keys these were.
async fn write_parts(front: &Rc<Front>, id: CutId, out: &mut Writer<'_>) -> Result<u64, String> {
    let ask = |shard: ShardId| -> Asked<'_> {
        Box::pin(front.call(shard, move |shard| shard.frozen_more(id)))
    };
    let shards: Vec<ShardId> = front.node.all_shards().collect();
    let mut asked: Vec<Option<Asked<'_>>> = shards.iter().map(|shard| Some(ask(*shard))).collect();
    let (mut keys, mut open, mut turn) = (0, None, 0);
    while asked.iter().any(Option::is_some) {
        let (place, part) = next_part(&mut asked, open, turn).await;
        let part = part.ok_or("the cut is gone")?;
        if let Some(failed) = part.failed {
            return Err(failed.to_string());
        }
        if out.progress.cancelled.load(Ordering::Relaxed) {
            return Err("it was given up, as the node ends".to_owned());
        }
        // It goes on encoding while this is written.
        asked[place] = (!part.is_done).then(|| ask(shards[place]));
        open = part.is_open.then_some(place);
        turn = place + 1;
        keys += part.keys;
        out.write(&part.bytes).await?;
        out.progress.keys.store(keys, Ordering::Relaxed);
        rt::yield_if_needed().await;
    }
    Ok(keys)
}

/// The next part that has come, and whose it is: of `only` one of them, or from `turn` on of whichever has one.
async fn next_part(
    asked: &mut [Option<Asked<'_>>],
    only: Option<usize>,
    turn: usize,
) -> (usize, Option<FrozenPart>) {
    let count = asked.len();
    poll_fn(|cx| {
        for place in (0..count).map(|step| (turn + step) % count) {
            if only.is_some_and(|only| only != place) {
                continue;
            }
            let Some(one) = &mut asked[place] else { continue };
            if let Poll::Ready(part) = one.as_mut().poll(cx) {
                asked[place] = None;
                return Poll::Ready((place, part));
            }
        }
        Poll::Pending
    })
    .await
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
