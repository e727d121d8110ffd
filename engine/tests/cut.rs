//! A cut and the log from it are the shard (J4), whatever happens meanwhile: writes, splits, swaps,
//! flushes, expiry, open keys. And the two planted bugs of this story are noticed.
//!
//! The tests of this file run one after the other, because planted bugs are switches of the process.

mod model_common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::cut::{CutId, CutPart, Labels};
use engine::journal::{
    Change, Decoder, Effect, FrameBuilder, FrameEntry, Global, Reader, Record, ShardSet,
    Transaction,
};
use engine::model::{ModelNode, World, drain};
use engine::shard::{Passed, Shard};
use engine::types::{DbIndex, Lsn, ShardId, TxId};
use engine::value::string;
use model_common::{Shaking, check_quiet, check_twin, follower, seed, seeds, words};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Switches a bug on for as long as this lives.
struct Planted(&'static AtomicBool);

impl Planted {
    fn new(bug: &'static AtomicBool) -> Planted {
        bug.store(true, Ordering::Relaxed);
        Planted(bug)
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Who receives one shard's cut: items and records merged by LSN.
struct Receiver {
    twin: Shard,
    log: Reader,
    /// Bytes of the log that have been read and not applied.
    ahead: Vec<u8>,
    at: Lsn,
    passed: Passed,
}

impl Receiver {
    fn new(node: &ModelNode, shard: u16, at: Lsn) -> Receiver {
        // Nothing has been sent yet: every record may concern an item that is still to come.
        let passed = Passed {
            seed: node.front(shard).node.seed(),
            boundaries: vec![vec![0; engine::model::DBS]],
        };
        let log = node.reader(shard, at);
        Receiver { twin: follower(shard, node.shards()), log, ahead: Vec::new(), at, passed }
    }

    /// Applies the log up to `lsn`.
    fn follow(&mut self, lsn: Lsn) -> Result<(), String> {
        self.ahead.extend_from_slice(&drain(&mut self.log));
        let mut used = 0;
        while self.at < lsn {
            let rest = &self.ahead[used..];
            let next = Decoder::new().next(rest).map_err(|error| error.to_string())?;
            let (frame, length) = next.ok_or("the log ends before the label")?;
            self.at = Lsn(self.at.0 + frame.lsn_count());
            self.twin.apply_frames(frame.as_bytes(), Some(&self.passed))?;
            for entry in frame.entries() {
                if let FrameEntry::Global(global) = entry {
                    self.passed.note_global(global);
                }
            }
            used += length;
        }
        self.ahead.drain(..used);
        if self.at == lsn { Ok(()) } else { Err(format!("no frame ends at {lsn}")) }
    }

    fn take(&mut self, part: CutPart) -> Result<(), String> {
        for group in part.groups {
            self.follow(group.label)?;
            if !group.items.is_empty() {
                self.twin.apply_frames(&group.items.to_wire(None), None)?;
            }
            for mut item in group.large {
                self.twin.apply_frames(&item.begin(), None)?;
                while !item.is_over() {
                    self.twin.apply_frames(&item.next(usize::MAX), None)?;
                }
            }
        }
        // What was found missing was missing as of then: the records before it are still tolerated.
        for &(_, lsn) in &part.read_at {
            self.follow(lsn)?;
        }
        if !part.boundaries.is_empty() {
            self.passed.boundaries[0].clone_from(&part.boundaries);
        }
        Ok(())
    }
}

#[test]
fn what_a_transaction_swaps_counts_as_swapped_for_what_it_changes_next() {
    let _alone = alone();
    let mut twin = follower(0, 1);
    let swap = FrameEntry::Global(Global::SwapDb(DbIndex(0), DbIndex(1)));
    let remove = Record { db: DbIndex(0), key: b"still to come", effect: Effect::Remove };
    let set = ShardSet::of([ShardId(0)]);
    let transaction = Transaction { id: TxId(1), shards: set.shards() };
    let mut frame = FrameBuilder::new();
    frame.push_entry(&swap);
    frame.push(&remove);
    let swapped = frame.to_wire(Some(transaction));
    frame.push_entry(&swap);
    frame.push(&remove);
    let swapped_back = frame.to_wire(Some(transaction));
    // All of database 0 was sent, and nothing of database 1.
    let mut boundaries = vec![0; engine::model::DBS];
    boundaries[0] = u64::MAX;
    let passed = Passed { seed: 1, boundaries: vec![boundaries] };
    assert_eq!(twin.apply_frames(&swapped, Some(&passed)), Ok(()));
    assert!(twin.apply_frames(&swapped_back, Some(&passed)).is_err());
}

/// The story: a part of a HyperLogLog was others now while a full sync had not brought the key yet. The record
/// did not fit the nothing that was there, the sync ended, and so did the next one, for as long as somebody
/// wrote.
#[test]
fn a_change_that_does_not_fit_is_a_fault_only_behind_the_item() {
    let _alone = alone();
    let mut twin = follower(0, 1);
    let passed =
        |boundary| Passed { seed: 1, boundaries: vec![vec![boundary; engine::model::DBS]] };
    let frame = |what, bytes: &[u8]| {
        let (mut frame, change) = (FrameBuilder::new(), Change::new(what, bytes));
        frame.push(&Record { db: DbIndex(0), key: b"visitors", effect: Effect::Change(change) });
        frame.to_wire(None)
    };
    // Of five bytes the last one is another: there is no key.
    let patch = frame(string::TYPE.change(2), &[4, 1, 1, b'x']);
    assert_eq!(twin.apply_frames(&patch, Some(&passed(0))), Ok(()));
    assert!(twin.apply_frames(&patch, Some(&passed(u64::MAX))).is_err());
    assert!(twin.apply_frames(&patch, None).is_err());
    // What no type knows fits nothing, whenever it comes.
    let unknown = frame(string::TYPE.change(15), &[]);
    assert!(twin.apply_frames(&unknown, Some(&passed(0))).is_err());
}

/// How a test shakes the shard.
#[derive(Clone, Copy)]
struct Plan {
    /// Keys that are there before the cut.
    populated: usize,
    /// Keys made while it runs.
    added: usize,
    /// Keys that clients write to.
    hot: usize,
    upheaval_every: usize,
    cuts: u64,
}

/// Cuts all shards of a shaken node at random moments; what was wrong, if anything.
fn shake(seed: u64, plan: Plan) -> Result<(), String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let node = ModelNode::in_world(&World::new(seed), dice.u16(1..4));
    if plan.populated > 0 {
        let mut client = node.client(0);
        let line = format!("DEBUG POPULATE {}", plan.populated);
        node.world().block_on(async move { client.words(&line).await });
    }
    let shaking =
        Shaking { rounds: 40, most: 4, hot: plan.hot, upheaval_every: plan.upheaval_every };
    shaking.start(&node, &mut dice, move |number, round, client| {
        (plan.added > 0 && round % 8 == 0).then(|| {
            client.db = DbIndex(0);
            words(&format!("DEBUG POPULATE {} more-{number}-{round}", plan.added))
        })
    });
    let mut finished = Vec::new();
    for number in 0..plan.cuts {
        for _ in 0..dice.usize(..60) {
            node.world().step();
        }
        finished.extend(cut(&node, &mut dice, CutId(number))?);
    }
    check_quiet(&node, &format!("SEED={seed}"));
    // The clients have ended: who followed from a cut on to the end holds what the shard holds.
    for mut receiver in finished {
        let id = receiver.twin.id.0;
        let (lsn, digest) = node.with_shard(id, |shard| (shard.log.lsn(), shard.keys.digest()));
        receiver.follow(lsn)?;
        if receiver.twin.keys.digest() != digest {
            return Err(format!("shard {id} and its receiver differ"));
        }
    }
    check_twin(&node, &format!("SEED={seed}"));
    Ok(())
}

/// One cut of all shards, while the world goes on.
fn cut(node: &ModelNode, dice: &mut fastrand::Rng, id: CutId) -> Result<Vec<Receiver>, String> {
    let front = node.outside().clone();
    let begun = node.world().block_on(async move {
        front.everywhere(false, move |shard| shard.cut_begin(id, Labels::Own)).await
    });
    let mut receivers: Vec<Receiver> =
        (0u16..).zip(begun).map(|(shard, lsn)| Receiver::new(node, shard, lsn)).collect();
    let mut running: Vec<u16> = (0..node.shards()).collect();
    while !running.is_empty() {
        let shard = running[dice.usize(..running.len())];
        let part = node.with_shard(shard, |shard| shard.cut_more(id)).expect("the cut is running");
        let done = part.done;
        receivers[usize::from(shard)].take(part)?;
        if done {
            running.retain(|&other| other != shard);
        }
        for _ in 0..dice.usize(..40) {
            node.world().step();
        }
        if dice.u8(..4) == 0 {
            node.heartbeat();
        }
    }
    Ok(receivers)
}

/// A table that takes many slices to walk, and grows meanwhile.
const GROWING: Plan = Plan { populated: 12_000, added: 1500, hot: 60, upheaval_every: 0, cuts: 1 };

/// Small tables in which everything is busy.
const BUSY: Plan = Plan { populated: 0, added: 0, hot: 12, upheaval_every: 0, cuts: 12 };

/// Databases that are swapped and emptied in the middle.
const UPHEAVED: Plan = Plan { populated: 3000, added: 200, hot: 60, upheaval_every: 10, cuts: 4 };

fn check(seed: u64, plan: Plan) {
    if let Err(wrong) = shake(seed, plan) {
        panic!("SEED={seed}: {wrong}");
    }
}

#[test]
fn a_cut_of_a_growing_table_is_whole() {
    let _alone = alone();
    seeds(12).into_iter().for_each(|seed| check(seed, GROWING));
}

#[test]
fn a_cut_waits_for_open_keys() {
    let _alone = alone();
    seeds(60).into_iter().for_each(|seed| check(seed, BUSY));
}

#[test]
fn swaps_and_flushes_do_not_disturb_a_cut() {
    let _alone = alone();
    seeds(25).into_iter().for_each(|seed| check(seed, UPHEAVED));
}

/// Whether a planted bug is noticed within so many seeds; a panic is a notice too.
fn is_noticed(bug: &'static AtomicBool, plan: Plan, seeds: u64) -> bool {
    let first = seed();
    let _planted = Planted::new(bug);
    (0..seeds).any(|index| {
        let run = || shake(first.wrapping_add(index), plan);
        !matches!(std::panic::catch_unwind(run), Ok(Ok(())))
    })
}

#[test]
fn a_walk_by_storage_is_noticed() {
    let _alone = alone();
    let bug = &engine::table::planted::WALK_GOES_BY_STORAGE;
    assert!(is_noticed(bug, GROWING, 150), "the planted bug was not noticed");
}

#[test]
fn a_cut_that_reads_open_keys_is_noticed() {
    let _alone = alone();
    let bug = &engine::cut::planted::CUT_READS_OPEN_KEYS;
    assert!(is_noticed(bug, BUSY, 300), "the planted bug was not noticed");
}
