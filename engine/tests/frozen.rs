//! A frozen cut is the data of one moment over all shards, whatever is written, flushed and swapped meanwhile;
//! what it holds is counted, and at the bound it fails and nobody else. And the planted bugs of this story are
//! noticed.
//!
//! The tests of this file run one after the other, because planted bugs are switches of the process.

mod model_common;
#[path = "model_common/rdb_file.rs"]
mod rdb_file;

use engine::cut::{CutId, FrozenFailure, FrozenPart, frozen_planted, held_total};
use engine::db::Digest;
use engine::model::{DBS, ModelNode, World};
use engine::rdb::forms;
use engine::shard::Shard;
use engine::table::Cursor;
use engine::types::DbIndex;
use model_common::{Shaking, check_quiet, check_twin, seed, seeds, words};
use rdb_file::{Contents, read_keys};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that a shard holds and a file can have.
fn contents(shard: &Shard) -> Contents {
    let mut contents = Contents::new();
    for db in (0..DBS as u16).map(DbIndex) {
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            cursor = shard.keys.table(db).walk(at, &mut |_, item| {
                if item.object().is_none_or(|object| forms::writing(object).is_some()) {
                    contents.insert((db.0, item.key().to_vec()), Digest::of(db, item));
                }
            });
        }
    }
    contents
}

/// A part of one slice.
fn slice(shard: &mut Shard, id: CutId) -> Option<FrozenPart> {
    let mut part = FrozenPart::default();
    shard.frozen_more(id, &mut part).map(|_| part)
}

#[derive(Clone, Copy)]
struct Plan {
    populated: usize,
    hot: usize,
    upheaval_every: usize,
    /// Steps of the world between two slices, at most.
    haste: usize,
}

/// Everything is busy, and databases are swapped and flushed.
const UPHEAVED: Plan = Plan { populated: 400, hot: 60, upheaval_every: 12, haste: 12 };

/// Tables that grow and shrink while they are walked.
const GROWING: Plan = Plan { populated: 4000, hot: 600, upheaval_every: 0, haste: 6 };

/// A frozen cut of a node that is shaken meanwhile; what was wrong, if anything.
fn shake(seed: u64, plan: Plan) -> Result<(), String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let node = ModelNode::in_world(&World::new(seed), dice.u16(1..4));
    if plan.populated > 0 {
        let mut client = node.client(0);
        let line = format!("DEBUG POPULATE {} key 20", plan.populated);
        node.world().block_on(async move { client.words(&line).await });
    }
    let shaking =
        Shaking { rounds: 120, most: 5, hot: plan.hot, upheaval_every: plan.upheaval_every };
    shaking.start(&node, &mut dice, move |number, round, _| {
        let more = plan.upheaval_every == 0 && round % 16 == 0;
        more.then(|| words(&format!("DEBUG POPULATE 500 more-{number}-{round}")))
    });
    for number in 0..3 {
        for _ in 0..dice.usize(..200) {
            node.world().step();
        }
        cut(&node, &mut dice, plan, CutId(number))?;
    }
    check_quiet(&node, &format!("SEED={seed}"));
    check_twin(&node, &format!("SEED={seed}"));
    while (0..node.shards()).any(|shard| node.with_shard(shard, |shard| shard.keys.free_slice(64)))
    {
    }
    Ok(())
}

fn cut(node: &ModelNode, dice: &mut fastrand::Rng, plan: Plan, id: CutId) -> Result<(), String> {
    let front = node.outside().clone();
    let begun = node.world().block_on(async move {
        let begin = move |shard: &mut Shard| {
            let beginning = shard.frozen_begin(id, u64::MAX).expect("there is no other");
            assert_eq!(shard.frozen_begin(CutId(99), u64::MAX), None, "one at a time");
            let keys: usize = beginning.sizes.iter().map(|(keys, _)| *keys as usize).sum();
            assert_eq!(keys, shard.keys.total_len());
            contents(shard)
        };
        front.everywhere(false, begin).await
    });
    let mut found: Vec<Vec<u8>> = vec![Vec::new(); begun.len()];
    let mut parts: Vec<FrozenPart> = begun.iter().map(|_| FrozenPart::default()).collect();
    let mut running: Vec<u16> = (0..node.shards()).collect();
    while !running.is_empty() {
        let number = running[dice.usize(..running.len())];
        let part = &mut parts[usize::from(number)];
        let is_running = node.with_shard(number, |shard| shard.frozen_more(id, part).is_some());
        assert!(is_running, "it is running");
        // A part has several slices, of different moments.
        if part.is_full() || dice.bool() {
            let part = std::mem::take(part);
            if let Some(failed) = part.failed {
                return Err(failed.to_string());
            }
            found[usize::from(number)].extend_from_slice(&part.bytes);
            if part.is_done {
                while !node.with_shard(number, |shard| shard.frozen_end(id)) {}
                assert!(node.with_shard(number, |shard| slice(shard, id)).is_none());
                running.retain(|&other| other != number);
            }
        }
        for _ in 0..dice.usize(..plan.haste) {
            node.world().step();
        }
        if dice.u8(..4) == 0 {
            node.heartbeat();
        }
    }
    if held_total() != 0 {
        return Err(format!("{} bytes are held by nobody", held_total()));
    }
    for (shard, (expected, bytes)) in begun.into_iter().zip(found).enumerate() {
        let mut read = Contents::new();
        read_keys(&bytes, &mut read)?;
        compare(&expected, &read).map_err(|wrong| format!("shard {shard}: {wrong}"))?;
    }
    Ok(())
}

fn compare(expected: &Contents, found: &Contents) -> Result<(), String> {
    for (place, digest) in expected {
        match found.get(place) {
            None => return Err(format!("{place:?} is missing")),
            Some(other) if other != digest => return Err(format!("{place:?} is another")),
            Some(_) => {}
        }
    }
    match found.keys().find(|place| !expected.contains_key(*place)) {
        Some(place) => Err(format!("{place:?} was not there")),
        None => Ok(()),
    }
}

fn check(seed: u64, plan: Plan) {
    if let Err(wrong) = shake(seed, plan) {
        panic!("SEED={seed}: {wrong}");
    }
}

#[test]
fn a_frozen_cut_shows_one_moment_while_databases_are_swapped_and_flushed() {
    let _alone = alone();
    seeds(40).into_iter().for_each(|seed| check(seed, UPHEAVED));
}

#[test]
fn a_frozen_cut_shows_one_moment_while_tables_grow_and_shrink() {
    let _alone = alone();
    seeds(10).into_iter().for_each(|seed| check(seed, GROWING));
}

fn is_noticed(bug: &'static AtomicBool, plan: Plan) -> bool {
    let first = seed();
    bug.store(true, Ordering::Relaxed);
    let noticed = (0..60).any(|index| {
        let run = || shake(first.wrapping_add(index), plan);
        !matches!(std::panic::catch_unwind(run), Ok(Ok(())))
    });
    bug.store(false, Ordering::Relaxed);
    noticed
}

#[test]
fn a_cut_that_holds_what_it_has_written_is_noticed() {
    let _alone = alone();
    assert!(is_noticed(&frozen_planted::HOLDS_WHAT_WAS_PASSED, GROWING));
}

#[test]
fn a_cut_that_lets_flushed_tables_go_is_noticed() {
    let _alone = alone();
    assert!(is_noticed(&frozen_planted::LETS_FLUSHED_TABLES_GO, UPHEAVED));
}

/// A node with as many keys as said, and its cut begun.
fn begun(keys: usize, bound: u64) -> ModelNode {
    let node = ModelNode::in_world(&World::new(7), 1);
    say(&node, &format!("DEBUG POPULATE {keys} key 100"));
    node.with_shard(0, |shard| shard.frozen_begin(CutId(1), bound)).expect("there is no other");
    node
}

fn say(node: &ModelNode, line: &str) {
    let (mut client, line) = (node.client(0), line.to_owned());
    node.world().block_on(async move { client.words(&line).await });
}

#[test]
fn at_the_bound_the_cut_fails_and_not_the_writer() {
    let _alone = alone();
    let node = begun(1000, 20_000);
    let more = || node.with_shard(0, |shard| slice(shard, CutId(1))).expect("it is there");
    assert_eq!(more().failed, None);
    for key in 0..300 {
        say(&node, &format!("SET key:{key} other"));
    }
    assert_eq!(more().failed, Some(FrozenFailure::TooMuchHeld));
    assert!(held_total() > 0);
    while !node.with_shard(0, |shard| shard.frozen_end(CutId(1))) {}
    assert_eq!(held_total(), 0);
    assert_eq!(node.with_shard(0, |shard| shard.keys.total_len()), 1000);
    // Nothing stands in the way of the next one.
    assert!(node.with_shard(0, |shard| shard.frozen_begin(CutId(2), 1)).is_some());
    while !node.with_shard(0, |shard| shard.frozen_end(CutId(2))) {}
}

/// The story: memory was short, what was flushed was kept for a snapshot, and writes were refused.
#[test]
fn what_was_flushed_is_given_up_where_memory_is_short() {
    let _alone = alone();
    let node = begun(1000, u64::MAX);
    say(&node, "FLUSHALL");
    node.with_shard(0, |shard| {
        assert!(!shard.keys.going().any(), "the cut has it");
        shard.gate.pressure = Some(Box::new(|| engine::db::Pressure::Refuse));
        // It is freed as well: nobody else has anything to do meanwhile.
        shard.make_room();
        let part = slice(shard, CutId(1)).expect("it is there");
        assert_eq!(part.failed, Some(FrozenFailure::MemoryWanted));
        while !shard.frozen_end(CutId(1)) {}
    });
}

#[test]
fn a_value_that_is_deleted_is_in_the_cut_in_pieces() {
    let _alone = alone();
    let node = begun(10, u64::MAX);
    while !node.with_shard(0, |shard| shard.frozen_end(CutId(1))) {}
    let elements: String = (0..3000).map(|number| format!(" element-{number}")).collect();
    for line in [format!("RPUSH list{elements}"), format!("SADD set{elements}")] {
        say(&node, &line);
    }
    let expected = node.with_shard(0, |shard| {
        shard.frozen_begin(CutId(2), u64::MAX).expect("there is no other");
        contents(shard)
    });
    say(&node, "DEL set key:1");
    say(&node, "LPOP list");
    let (mut bytes, mut is_open) = (Vec::new(), 0);
    loop {
        let part = node.with_shard(0, |shard| slice(shard, CutId(2))).expect("it is there");
        bytes.extend_from_slice(&part.bytes);
        is_open += usize::from(part.is_open);
        if part.is_done {
            break;
        }
    }
    assert!(is_open > 20, "{is_open} parts ended within a value");
    let mut read = Contents::new();
    read_keys(&bytes, &mut read).expect("it can be read");
    compare(&expected, &read).expect("it is that of the moment");
    while !node.with_shard(0, |shard| shard.frozen_end(CutId(2))) {}
}
