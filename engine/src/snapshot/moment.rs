//! All data of one moment as bytes of a file, for whoever takes them: a file (`save`), or who follows this node.
//!
//! ```text
//!   shard 0   slice, slice, slice ──part──┐
//!   shard 1   slice, slice, slice ──part──┼─► in turn; all of a value together ─► Sink
//!   shard 2   slice, slice, slice ──part──┘
//!                  └─ sockets are looked at, and who wants something is served
//! ```
//!
//! Each shard encodes its own keys and has one part under way while its last one is taken by the sink: two of each shard are
//! held, and what the sink holds, however slow it is. Where a part ends within a value, the parts of others wait until it is whole.

use crate::cut::{CutId, FrozenPart};
use crate::db::Changes;
use crate::exec::Front;
use crate::libraries::Set;
use crate::rdb::forms::Recipient;
use crate::rdb::{file_write, functions};
use crate::rt::{self, Nap};
use crate::shard::{ExecutorId, FrozenBeginning, Piece, Shard};
use crate::types::{DbIndex, Lsn, ShardId};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

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

/// Takes the bytes, in order.
pub trait Sink {
    /// More of them; an error ends the work.
    fn take(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), String>>;

    /// There are no more: what a file ends with ([`file_write::end`]) is to follow, with the sum of all that was taken.
    fn end(&mut self) -> impl Future<Output = Result<(), String>>;
}

/// What becomes of the journals at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Journals {
    /// They stay as they are.
    Leave,
    /// They are kept from there on: somebody will read what follows.
    Keep,
}

/// What is fixed besides the data.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What is changed from there on may take so many bytes, over all shards.
    pub held_max: u64,
    /// What becomes of the journals.
    pub journals: Journals,
    /// For whom it is written.
    pub recipient: Recipient,
    /// Nobody waits for it: where somebody is served, shards take breaks.
    pub is_at_leisure: bool,
}

/// Why no moment can be fixed: there is one already.
pub const ANOTHER: &str = "another snapshot is under way";

/// A moment that is fixed. To be given back by [`end`](Moment::end), whatever became of it.
pub struct Moment {
    id: CutId,
    beginnings: Vec<FrozenBeginning>,
    libraries: Arc<Set>,
    /// As of which count of changes these are all that there were.
    libraries_as_of: Option<u64>,
    recipient: Recipient,
}

/// What was made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Keys in it.
    pub keys: u64,
    /// The form's version.
    pub version: u16,
}

static CUTS: AtomicU64 = AtomicU64::new(1);

/// A number that no cut of this program has had.
pub(super) fn next_cut() -> CutId {
    CutId(CUTS.fetch_add(1, Ordering::Relaxed))
}

impl Moment {
    /// Whether there is one already. Who would wait for its end asks this before [`begin`](Moment::begin): it stops nobody.
    pub async fn is_taken(front: &Rc<Front>) -> bool {
        front.call(ShardId(0), |shard| shard.has_frozen()).await
    }

    /// Fixes the moment, on all shards at once; [`ANOTHER`] is refused.
    pub async fn begin(front: &Rc<Front>, terms: Terms) -> Result<Moment, String> {
        let Terms { held_max, journals, recipient, is_at_leisure } = terms;
        let id = next_cut();
        let bound = held_max / u64::from(front.node.shards().max(1));
        let begin = move |shard: &mut Shard| {
            if journals == Journals::Keep {
                shard.set_keeping(true);
            }
            let beginning = shard.frozen_begin(id, bound);
            shard.frozen_for(id, recipient, is_at_leisure);
            beginning
        };
        let begun: Option<Vec<_>> = front.everywhere(false, begin).await.into_iter().collect();
        match begun {
            Some(beginnings) => {
                // A Redis 6.2 knows none, and reads no file that has some.
                let libraries_as_of = match recipient {
                    Recipient::Newest | Recipient::Valkey9 => {
                        Some(front.node.libraries().changes())
                    }
                    Recipient::Redis62 => None,
                };
                let libraries =
                    libraries_as_of.map(|_| front.node.libraries().all()).unwrap_or_default();
                Ok(Moment { id, beginnings, libraries, libraries_as_of, recipient })
            }
            // Shards that had begun, where others had not, if that can be.
            None => {
                end_cuts(front, id).await;
                Err(ANOTHER.to_owned())
            }
        }
    }

    /// Where each shard's journal stood.
    pub fn lsns(&self) -> Vec<Lsn> {
        self.beginnings.iter().map(|beginning| beginning.lsn).collect()
    }

    /// Changes so far, over all shards.
    pub fn changes(&self) -> Changes {
        self.beginnings.iter().map(|beginning| beginning.changes).sum()
    }

    /// As of which count of their changes libraries of functions are in it; none where they are left out.
    pub fn libraries_as_of(&self) -> Option<u64> {
        self.libraries_as_of
    }

    /// Keys that there were.
    pub fn keys(&self) -> u64 {
        let sizes = self.beginnings.iter().flat_map(|beginning| &beginning.sizes);
        sizes.map(|(keys, _)| keys).sum()
    }

    /// Whether fields of hashes have a time of their own.
    pub fn has_dated(&self) -> bool {
        self.beginnings.iter().any(|beginning| beginning.has_dated)
    }

    /// Whether there are libraries of functions in it.
    pub fn has_libraries(&self) -> bool {
        !self.libraries.is_empty()
    }

    /// The form's version: above 9 where the data needs it.
    pub fn version(&self) -> u16 {
        version(self.has_dated(), self.has_libraries(), self.recipient)
    }

    /// Makes all bytes of a file of all of it.
    pub async fn write(
        &self,
        front: &Rc<Front>,
        facts: &[(String, String)],
        progress: &SaveProgress,
        sink: &mut impl Sink,
    ) -> Result<Made, String> {
        progress.keys_total.store(self.keys(), Ordering::Relaxed);
        let beginnings = front.node.all_shards().zip(self.beginnings.iter().cloned()).collect();
        let libraries = self.libraries.clone();
        let all = Share { id: self.id, version: self.version(), beginnings, libraries };
        all.write(front, facts, progress, sink).await
    }

    /// What each shard has of it, without libraries of functions.
    pub(super) fn shares(&self, front: &Front) -> Vec<Share> {
        let share = |(shard, beginning): (ShardId, &FrozenBeginning)| Share {
            id: self.id,
            version: version(beginning.has_dated, false, self.recipient),
            beginnings: vec![(shard, beginning.clone())],
            libraries: Arc::default(),
        };
        front.node.all_shards().zip(&self.beginnings).map(share).collect()
    }

    /// Libraries of functions in it.
    pub(super) fn libraries(&self) -> &Set {
        &self.libraries
    }

    /// Gives back what is held for it.
    pub async fn end(self, front: &Rc<Front>) {
        end_cuts(front, self.id).await;
    }
}

/// The form's version that data needs: whether it has fields that expire, and libraries of functions.
fn version(has_dated: bool, has_libraries: bool, recipient: Recipient) -> u16 {
    match (has_dated, recipient) {
        (true, Recipient::Valkey9) => file_write::VERSION_OF_VALKEY,
        (true, _) => file_write::VERSION_OF_TIMED_FIELDS,
        _ if has_libraries => functions::VERSION,
        _ => file_write::VERSION,
    }
}

/// What goes into one file: the data of some shards.
pub(super) struct Share {
    id: CutId,
    /// The form's version.
    version: u16,
    /// Of at least one shard.
    beginnings: Vec<(ShardId, FrozenBeginning)>,
    libraries: Arc<Set>,
}

/// The beginning of a file: what it says about itself, and libraries of functions.
pub(super) fn head<'a>(
    version: u16,
    facts: impl IntoIterator<Item = &'a (String, String)>,
    libraries: &Set,
) -> Vec<u8> {
    let mut head = Vec::new();
    file_write::begin(version, &mut head);
    facts.into_iter().for_each(|(name, value)| file_write::fact(name, value, &mut head));
    libraries.values().for_each(|library| functions::write(&library.code, &mut head));
    head
}

impl Share {
    /// The first shard whose data it is.
    pub(super) fn shard(&self) -> ShardId {
        self.beginnings.first().map_or(ShardId(0), |(shard, _)| *shard)
    }

    /// Makes all bytes of its file.
    pub(super) async fn write(
        &self,
        front: &Rc<Front>,
        facts: &[(String, String)],
        progress: &SaveProgress,
        sink: &mut impl Sink,
    ) -> Result<Made, String> {
        let version = self.version;
        let mut head = head(version, facts, &self.libraries);
        let keys_total = sizes(&self.beginnings, &mut head);
        sink.take(head).await?;
        let keys = self.write_parts(front, progress, sink).await?;
        if keys != keys_total {
            return Err(format!("{keys} keys were written of {keys_total}: the file is given up"));
        }
        sink.end().await?;
        Ok(Made { keys, version })
    }

    /// Writes all parts of its shards; how many keys these were.
    async fn write_parts(
        &self,
        front: &Rc<Front>,
        progress: &SaveProgress,
        sink: &mut impl Sink,
    ) -> Result<u64, String> {
        let id = self.id;
        let ask = |shard: ShardId| -> Asked<'_> {
            Box::pin(front.have_run(ExecutorId::from(shard), async move |front: Rc<Front>| {
                gather(&front, id).await
            }))
        };
        let shards: Vec<ShardId> = self.beginnings.iter().map(|(shard, _)| *shard).collect();
        let mut asked: Vec<Option<Asked<'_>>> =
            shards.iter().map(|shard| Some(ask(*shard))).collect();
        let (mut keys, mut open, mut turn) = (0, None, 0);
        while asked.iter().any(Option::is_some) {
            let (place, part) = next_part(&mut asked, open, turn).await;
            let part = part.ok_or("the cut is gone")?;
            if let Some(failed) = part.failed {
                return Err(failed.to_string());
            }
            if progress.cancelled.load(Ordering::Relaxed) {
                return Err("it was given up, as the node ends".to_owned());
            }
            // It begins with the next one at once, while this is written.
            asked[place] = (!part.is_done).then(|| ask(shards[place]));
            open = part.is_open.then_some(place);
            turn = place + 1;
            keys += part.keys;
            sink.take(part.bytes).await?;
            progress.keys.fetch_add(part.keys, Ordering::Relaxed);
            // Where parts have come already and the sink takes all at once, nothing else has waited.
            rt::yield_now().await;
        }
        Ok(keys)
    }
}

/// On a shard's executor: a part as long as it may be. Others are served between its slices.
async fn gather(front: &Front, id: CutId) -> Option<FrozenPart> {
    let (mut whole, mut breaks) = (FrozenPart::default(), Breaks::default());
    loop {
        let began = Instant::now();
        let may_rest = front.with_shard(|shard| shard.frozen_more(id, &mut whole))?;
        let took = began.elapsed();
        front.note_piece(Piece::Slice, took);
        let has_rested = may_rest && breaks.after(took).await;
        if whole.is_full() {
            return Some(whole);
        }
        if !has_rested {
            rt::glance().await;
        }
    }
}

/// While somebody is served a shard rests about half as long as it works at a snapshot: else it would keep a CPU, which
/// clients, the executor that writes the file, or another shard would have to wait for where there are not many.
#[derive(Default)]
struct Breaks {
    /// Work since the last one.
    worked: Duration,
    nap: Option<Nap>,
}

impl Breaks {
    /// Some slices: that a timer is set and goes off costs a tenth of it.
    const WORK: Duration = Duration::from_micros(100);
    const BREAK: Duration = Duration::from_micros(50);

    /// After so much more work takes a break if it is time to; whether it was.
    async fn after(&mut self, took: Duration) -> bool {
        self.worked += took;
        if self.worked < Breaks::WORK {
            return false;
        }
        self.worked = Duration::ZERO;
        if self.nap.is_none() {
            // Where there is no descriptor left, it goes on.
            self.nap = Nap::new().ok();
        }
        let Some(nap) = &self.nap else { return false };
        nap.until(Instant::now() + Breaks::BREAK).await;
        true
    }
}

async fn end_cuts(front: &Rc<Front>, id: CutId) {
    for shard in front.node.all_shards() {
        while !front.call(shard, move |shard| shard.frozen_end(id)).await {
            rt::yield_now().await;
        }
    }
}

/// Says of each database that is not empty how large it is; how many keys there are.
fn sizes(beginnings: &[(ShardId, FrozenBeginning)], out: &mut Vec<u8>) -> u64 {
    let count = beginnings.first().map_or(0, |(_, first)| first.sizes.len());
    let mut total = 0;
    for db in 0..count {
        let of_db = beginnings.iter().filter_map(|(_, beginning)| beginning.sizes.get(db));
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
