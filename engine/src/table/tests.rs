//! The table against a plain model, and walks against everything that can happen between their steps.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::value::test_seed;

/// An entry that owns its key on the heap, so that a lost or doubled one shows in a memory checker.
#[derive(Debug)]
struct Word {
    key: Box<[u8]>,
    due: u64,
    content: u64,
}

impl TableEntry for Box<Word> {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn due(&self) -> u64 {
        self.due
    }
}

fn word(number: u64, due: u64) -> Box<Word> {
    Box::new(Word { key: number.to_le_bytes().into(), due, content: number })
}

/// How many steps random tests make: fewer under a memory checker.
fn scaled(steps: usize) -> usize {
    if std::env::var_os("FEW").is_some() { steps / 20 } else { steps }
}

impl<H: KeyHash> Table<Box<Word>, H> {
    fn put(&mut self, number: u64, due: u64) {
        let hash = self.hash(&number.to_le_bytes());
        self.insert_unique(hash, word(number, due));
    }

    fn cut(&mut self, number: u64) -> Option<Box<Word>> {
        let key = number.to_le_bytes();
        self.remove(self.hash(&key), &key)
    }

    fn has(&self, number: u64) -> bool {
        let key = number.to_le_bytes();
        self.get(self.hash(&key), &key).is_some_and(|word| word.content == number)
    }

    /// Checks what the table promises about itself.
    fn check(&self) {
        assert_eq!(self.directory.len(), 1 << self.depth());
        assert_eq!(self.segments.iter().map(Segment::len).sum::<usize>(), self.len);
        let buckets: usize = self.segments.iter().map(Segment::bucket_count).sum();
        assert_eq!(buckets, self.bucket_count);
        let mut base = Some(0);
        while let Some(at) = base {
            let segment = &self.segments[self.segment_of(at)];
            assert_eq!(segment.base(), at, "segments stand in the order of their hashes");
            base = segment.end();
            let last = base.map_or(u64::MAX, |end| end - 1);
            assert_eq!(self.segment_of(at), self.segment_of(last));
            for bucket in 0..segment.bucket_count() {
                let first = segment.boundary(bucket).unwrap();
                assert_eq!(segment.home(first), bucket);
                assert!(bucket == 0 || segment.home(first - 1) == bucket - 1);
            }
        }
        for depth in 0..self.segments_by_depth.len() {
            let count = self.segments.iter().filter(|s| usize::from(s.depth()) == depth).count();
            assert_eq!(count, self.segments_by_depth[depth] as usize);
        }
    }
}

#[test]
fn a_table_agrees_with_a_plain_model_while_it_grows_and_shrinks() {
    let seed = test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut table = Table::new(seed);
    let mut model = HashSet::new();
    for (steps, removals) in [(30_000, 10), (20_000, 50), (60_000, 90), (30_000, 20), (60_000, 85)]
    {
        let range = 40_000;
        for _ in 0..scaled(steps) {
            let number = random.u64(..range);
            if random.u32(..100) < removals {
                assert_eq!(table.cut(number).is_some(), model.remove(&number), "SEED={seed}");
            } else if model.insert(number) {
                table.put(number, u64::MAX);
            }
            assert_eq!(table.len(), model.len());
        }
        table.check();
        for number in 0..range {
            assert_eq!(table.has(number), model.contains(&number), "SEED={seed}");
        }
    }
    for number in model {
        assert!(table.cut(number).is_some(), "SEED={seed}");
    }
    table.check();
    assert_eq!((table.depth(), table.bucket_count), (0, 1), "an empty table is small again");
}

/// What a test does to a table between two steps of a walk.
struct Disturbance {
    steps: std::ops::Range<usize>,
    /// Of 100 changes, how many are removals.
    removals: u32,
}

/// Walks over a table of `initial` entries, disturbing it after each step, and checks after each step
/// that exactly the entries behind the cursor have been seen.
fn check_walk(seed: u64, initial: u64, disturbance: &Disturbance) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut table = Table::new(seed);
    (0..initial).for_each(|number| table.put(number, u64::MAX));
    let mut steadfast: HashSet<u64> = (0..initial).collect();
    let mut added = HashSet::new();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let (mut cursor, mut next_number) = (Some(Cursor::START), initial);
    while let Some(at) = cursor {
        cursor = table.walk(at, &mut |hash, word| {
            assert!(!at.has_passed(hash), "SEED={seed}: visited behind the cursor");
            assert_eq!(hash, table.hash(word.key()));
            assert_eq!(seen.insert(word.content, hash), None, "SEED={seed}: visited twice");
        });
        if let Some(next) = cursor {
            assert!(next > at, "SEED={seed}");
            assert!(seen.values().all(|hash| next.has_passed(*hash)), "SEED={seed}");
        }
        for _ in 0..random.usize(disturbance.steps.clone()) {
            if random.u32(..100) < disturbance.removals {
                let number = random.u64(..next_number);
                if table.cut(number).is_some() && !steadfast.remove(&number) {
                    added.remove(&number);
                }
            } else {
                table.put(next_number, u64::MAX);
                added.insert(next_number);
                next_number += 1;
            }
        }
    }
    let missed: Vec<_> = steadfast.iter().filter(|number| !seen.contains_key(number)).collect();
    assert!(missed.is_empty(), "SEED={seed}: {missed:?} were there all the time and not visited");
    assert_eq!(table.len(), steadfast.len() + added.len());
    table.check();
}

#[test]
fn a_walk_visits_once_what_stays_while_the_table_grows() {
    let seed = test_seed();
    for (round, initial) in [(0, 10), (1, 700), (2, 3000), (3, 20_000)] {
        let disturbance = Disturbance { steps: 0..60, removals: 10 };
        check_walk(seed.wrapping_add(round), initial, &disturbance);
    }
}

#[test]
fn a_walk_visits_once_what_stays_while_the_table_shrinks() {
    let seed = test_seed();
    for (round, initial) in [(0, 700), (1, 3000), (2, scaled(40_000) as u64)] {
        let disturbance = Disturbance { steps: 0..60, removals: 95 };
        check_walk(seed.wrapping_add(round), initial, &disturbance);
    }
}

/// The numbers that a sweep over the whole table reports as due, in order, without removing them.
fn due_by(table: &mut Table<Box<Word>>, now: u64) -> Vec<u64> {
    let mut due = Vec::new();
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        let sweep = table.sweep_due(at, now, 3, &mut |_, word| {
            due.push(word.content);
            false
        });
        cursor = sweep.next;
    }
    due.sort_unstable();
    due
}

#[test]
fn sweeps_report_what_is_due_and_nothing_else() {
    let seed = test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut table = Table::new(seed);
    let mut model: HashMap<u64, u64> = HashMap::new();
    let mut next = 0;
    for now in 0..40 {
        for _ in 0..scaled(1000) {
            let due = if random.bool() { u64::MAX } else { now + random.u64(1..20) };
            table.put(next, due);
            model.insert(next, due);
            next += 1;
        }
        for _ in 0..scaled(100) {
            let number = random.u64(..next);
            let key = number.to_le_bytes();
            let hash = table.hash(&key);
            if let Some(word) = table.get_mut(hash, &key) {
                word.due = now + 1;
                table.note_due(hash, now + 1);
                model.insert(number, now + 1);
            }
        }
        let mut expected: Vec<u64> =
            model.iter().filter(|(_, due)| **due <= now).map(|(number, _)| *number).collect();
        expected.sort_unstable();
        // What is left alone is reported again by the next sweep.
        assert_eq!(due_by(&mut table, now), expected, "SEED={seed}");
        assert_eq!(due_by(&mut table, now), expected, "SEED={seed}");
        remove_due(&mut table, now);
        for number in expected {
            model.remove(&number);
        }
        assert_eq!(table.len(), model.len(), "SEED={seed}");
    }
    let mut searched = 0;
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        let sweep = table.sweep_due(at, 39, 1000, &mut |_, _| true);
        searched += sweep.searched;
        cursor = sweep.next;
    }
    assert_eq!(searched, 0, "SEED={seed}: segments with nothing due are not searched");
}

fn remove_due(table: &mut Table<Box<Word>>, now: u64) {
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        let mut due = Vec::new();
        let sweep = table.sweep_due(at, now, 2, &mut |_, word| {
            due.push(word.content);
            true
        });
        cursor = sweep.next;
        for number in due {
            assert!(table.cut(number).is_some());
        }
    }
}

#[test]
fn samples_come_from_everywhere_alike() {
    let mut random = fastrand::Rng::with_seed(17);
    let mut table = Table::new(5);
    table.sample(&mut random, 3, &mut |_, _| panic!("an empty table has no entry"));
    table.put(0, u64::MAX);
    // The story: of three keys in a table's first bucket, one was drawn in three draws of four.
    for count in [1u64, 2, 3, 5, 14, 15, 16, 40, 200, 3000] {
        (table.len() as u64..count).for_each(|number| table.put(number, u64::MAX));
        let mut hits = vec![0u32; count as usize];
        table.sample(&mut random, 100 * count as usize, &mut |_, word| {
            hits[word.content as usize] += 1
        });
        // Each entry is hit 100 times on average with a deviation of 10: six of these are rare.
        let (least, most) = (hits.iter().min().unwrap(), hits.iter().max().unwrap());
        assert!((40..=100).contains(least) && (100..=160).contains(most), "{least} {most}");
    }
    // Nearly empty for its size, it still answers, and as fairly: of segments that cannot merge with each
    // other, as their sisters have more.
    for left in [700, 30, 3, 1] {
        (left..3000).for_each(|number| drop(table.cut(number)));
        let mut hits = vec![0u32; left as usize];
        table.sample(&mut random, 400 * left as usize, &mut |_, word| {
            hits[word.content as usize] += 1
        });
        // 400 on average, with a deviation of 20.
        let (least, most) = (hits.iter().min().unwrap(), hits.iter().max().unwrap());
        assert!(*least >= 280 && *most <= 520, "{left} left: {least} {most}");
    }
}

/// A hash function of an adversary's dreams: it keeps only some bits of the key.
struct Weak(u64);

impl KeyHash for Weak {
    fn hash(&self, key: &[u8]) -> u64 {
        hash_with(1, key) & self.0
    }
}

#[test]
fn hashes_that_agree_in_all_their_top_bits_cost_time_but_no_memory() {
    for mask in [0, 0xff, 0xffff, u64::MAX >> 20, 0xf000_0000_0000_00ff, 1 << 63] {
        let mut table = Table::with_hash(Weak(mask));
        let count = scaled(6000) as u64;
        (0..count).for_each(|number| table.put(number, u64::MAX));
        assert!((0..count).all(|number| table.has(number)), "mask {mask:x}");
        assert!(!table.has(count));
        table.check();
        assert!(table.heap_bytes() < 100_000 + 60 * count as usize, "mask {mask:x}");
        let mut seen = HashSet::new();
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            cursor = table.walk(at, &mut |_, word| assert!(seen.insert(word.content)));
        }
        assert_eq!(seen.len(), count as usize, "mask {mask:x}");
        let mut random = fastrand::Rng::with_seed(1);
        table.sample(&mut random, 5, &mut |_, word| assert!(word.content < count));
        (0..count).for_each(|number| assert!(table.cut(number).is_some()));
        table.check();
        assert_eq!(table.bucket_count, 1, "mask {mask:x}");
    }
}

#[test]
fn a_drain_frees_everything_in_slices() {
    let mut table = Table::new(3);
    let kept = std::rc::Rc::new(());
    struct Counted {
        key: [u8; 1],
        _token: std::rc::Rc<()>,
    }
    impl TableEntry for Counted {
        fn key(&self) -> &[u8] {
            &self.key
        }
        fn due(&self) -> u64 {
            u64::MAX
        }
    }
    for number in 0..=255 {
        let key = [number];
        let hash = table.hash(&key);
        table.insert_unique(hash, Counted { key, _token: kept.clone() });
    }
    assert_eq!(std::rc::Rc::strong_count(&kept), 257);
    let mut drain = table.into_drain();
    let mut steps = 1;
    while !drain.step(20) {
        steps += 1;
        assert!(std::rc::Rc::strong_count(&kept) > 1);
    }
    assert!((8..=20).contains(&steps), "{steps}");
    assert_eq!(std::rc::Rc::strong_count(&kept), 1);
}

#[test]
fn a_table_that_expects_entries_is_as_good_as_one_that_does_not() {
    let many = scaled(40_000);
    for (count, expected) in [
        (many, many),
        (many, usize::MAX),
        (many, 1 << 24),
        (many, many / 30),
        (many, many * 2),
        (3000, 3000),
        (1000, 1000),
        (15, 15),
        (5, 6),
    ] {
        let mut table = Table::new(test_seed());
        // What was there before.
        (0..count as u64 / 3).for_each(|number| table.put(number, number));
        table.expect(expected);
        for number in count as u64 / 3..count as u64 {
            table.put(number, number);
            if number % 1009 == 0 {
                table.check();
            }
        }
        table.check();
        let (mut seen, mut cursor) = (HashSet::new(), Some(Cursor::START));
        while let Some(at) = cursor {
            cursor = table.walk(at, &mut |_, word| assert!(seen.insert(word.content)));
        }
        assert_eq!(seen.len(), count, "{expected} expected");
        let each = table.heap_bytes() / count;
        // What never comes takes no more than so many times what is there.
        let most = if expected > count { 16 * 15 } else { 17 };
        assert!(count < 1000 || each <= most, "{each} bytes each, {expected} expected of {count}");
        table.expect(0);
        (0..count as u64).for_each(|number| assert!(table.cut(number).is_some()));
        table.check();
        assert_eq!(table.bucket_count, 1, "{expected} expected");
    }
}

#[test]
fn hashes_that_agree_in_their_top_bits_are_stored_where_many_are_expected() {
    for mask in [0xffff, u64::MAX >> 20, 0xf000_0000_0000_00ff] {
        let mut table = Table::with_hash(Weak(mask));
        let count = scaled(6000) as u64;
        table.expect(1 << 20);
        (0..count).for_each(|number| table.put(number, number));
        table.check();
        assert!((0..count).all(|number| table.has(number)), "mask {mask:x}");
        assert!(table.heap_bytes() < 1_000_000 + 240 * count as usize, "mask {mask:x}");
    }
}
