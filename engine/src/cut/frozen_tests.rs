use super::*;
use crate::journal::Deadline;
use crate::value::NewValue;

/// What one value or one name counts for at the most, in these tests.
const SHARE: u64 = 1000;
const BOUND: u64 = SHARE * VALUE_SHARE;

/// A key space with one value of each of these lengths, and its cut.
fn begun(values: &[usize]) -> (Keyspace, FrozenCut) {
    let mut keys = Keyspace::new(1, 7);
    for (number, length) in values.iter().enumerate() {
        put(&mut keys, &format!("key:{number}"), *length);
    }
    let cut = FrozenCut::begin(CutId(1), &keys, BOUND);
    keys.set_before(Some(Box::new(cut.clone())));
    (keys, cut)
}

fn put(keys: &mut Keyspace, key: &str, length: usize) {
    let value = NewValue::Owned(vec![b'v'; length]);
    let put = keys.apply_put(DbIndex(0), key.as_bytes(), Some(value), Deadline::None);
    put.expect("it fits");
}

/// What it counts is what it has: to the byte, at any moment.
fn assert_counted(cut: &FrozenCut) {
    let cut = cut.0.borrow();
    let names = cut.tables.iter().flat_map(|walked| walked.taken.values());
    let names = names.map(|taken| taken.bytes(SHARE));
    let values = cut.held.iter().map(|held| held.counts).chain([cut.rest_counts]);
    let values = values.map(|bytes| (bytes, bytes.min(SHARE)));
    let sums = names.chain(values).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((cut.held_bytes, cut.charged), sums);
}

/// Keys with names so long are written during a cut; what their names count for, and what they are charged.
fn check(names: &[usize], expected: (u64, u64), fails: bool) {
    let (mut keys, cut) = begun(&[]);
    for (number, length) in names.iter().enumerate() {
        let name = format!("{number:0length$}");
        // The second time it is known.
        (0..2).for_each(|_| put(&mut keys, &name, 1));
    }
    let failed = fails.then_some(FrozenFailure::TooMuchHeld);
    let held = (cut.0.borrow().held_bytes, cut.0.borrow().charged);
    assert_eq!((held, cut.0.borrow().failed), (expected, failed), "{names:?}");
    assert_eq!(cut.pressure(), expected.1 * 100 / BOUND);
    while !cut.clear_some() {}
    assert_eq!(cut.0.borrow().held_bytes, 0);
}

#[test]
fn each_name_is_charged_as_a_value_is_and_counted_whole() {
    const TAKEN: u64 = TAKEN_BYTES as u64;
    for (names, expected, fails) in [
        (&[][..], (0, 0), false),
        (&[10], (10 + TAKEN, 10 + TAKEN), false),
        (&[SHARE as usize - TAKEN_BYTES], (SHARE, SHARE), false),
        (&[5000], (5000 + TAKEN, SHARE), false),
        (&[5000, 10, 5001], (10_011 + 3 * TAKEN, 2 * SHARE + 10 + TAKEN), false),
        // The story: one name of several MB filled the bound of a small node, whose snapshots failed.
        (&[5000; 8], (8 * (5000 + TAKEN), BOUND), false),
        (&[5000; 9], (9 * (5000 + TAKEN), BOUND + SHARE), true),
    ] {
        check(names, expected, fails);
    }
}

/// Some names and values are longer than their share, some are not, and all are given back for what they were charged.
#[test]
fn what_was_charged_is_given_back_to_the_byte_however_it_is_read() {
    for (first, step) in [(0, 1), (1, 2), (5, 7)] {
        let values: Vec<usize> = (0..20).map(|number| number * 300).collect();
        let (mut keys, cut) = begun(&values);
        let mut read = 0;
        let mut more = |keys: &Keyspace| {
            let mut part = FrozenPart::default();
            cut.more(keys, &mut part, &mut || true);
            assert_eq!(part.failed, None);
            assert_counted(&cut);
            read += part.keys;
            part.is_done
        };
        for number in (first..20).step_by(step) {
            put(&mut keys, &format!("key:{number}"), 3);
            assert_counted(&cut);
            // New ones, of which the names alone are taken.
            let length = if number % 10 == 0 { 2 * SHARE as usize } else { 20 };
            put(&mut keys, &format!("{number:0length$}"), 3);
            assert_counted(&cut);
            for _ in 0..3 {
                more(&keys);
            }
        }
        while !more(&keys) {}
        assert_eq!(read, 20, "from {first} by {step}");
        let cut = cut.0.borrow();
        assert_eq!((cut.held_bytes, cut.charged, cut.rest_counts), (0, 0, 0));
    }
}
