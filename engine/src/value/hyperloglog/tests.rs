//! What is promised of HyperLogLogs, whatever was added in whatever order.

use super::*;
use crate::value::{Item, NewValue, TypeEffect};

fn mark(dice: &mut fastrand::Rng) -> Mark {
    // Heights as hashes give them, and now and then great ones.
    let hash = if dice.u8(..20) == 0 {
        dice.u64(..) & dice.u64(..) << dice.u8(..60)
    } else {
        dice.u64(..)
    };
    Mark::of(hash)
}

/// Registers in the simplest way.
fn check(edit: &Edit, want: &[u8; REGISTERS]) {
    let bytes = edit.to_bytes();
    let there = HyperLogLog::of(&bytes).expect("it is one");
    let mut union = Union::default();
    union.add(there).expect("it is whole");
    assert_eq!(union.heights(), want);
    assert_eq!(there.count(), Ok(union.count()));
    assert_eq!(edit.heights().expect("it is whole").heights(), want);
}

#[test]
fn sparse_and_dense_hold_the_same_registers_at_every_step() {
    let mut dice = fastrand::Rng::with_seed(crate::value::test_seed());
    for _ in 0..12 {
        let most = [0, 40, 3000, 100_000][dice.usize(..4)];
        let (mut sparse, mut dense, mut want) = (Edit::default(), Edit::default(), [0; REGISTERS]);
        dense.make_dense().expect("it is whole");
        let range = 1 + dice.usize(..REGISTERS);
        for step in 0..4000 {
            let Mark { index, height } = mark(&mut dice);
            let mark = Mark { index: (usize::from(index) % range) as u16, height };
            let there = &mut want[usize::from(mark.index)];
            let is_higher = mark.height > *there;
            *there = mark.height.max(*there);
            let before = dense.to_bytes();
            assert_eq!(HyperLogLog::of(&before).map(|there| there.has(mark)), Ok(!is_higher));
            let before = sparse.to_bytes();
            assert_eq!(sparse.add(mark, most), Ok(is_higher));
            assert_eq!(dense.add(mark, most), Ok(is_higher));
            let after = sparse.to_bytes();
            assert!(sparse.is_dense() || after.len() <= most.max(18));
            let mut item = Item::new(b"key", NewValue::Bytes(&before), None);
            let patches = sparse.patches(&before);
            patches.effect(&after).perform(&mut item).expect("it fits");
            let patched = item.string().expect("a string").to_bytes().into_owned();
            assert_eq!(patched, after);
            if sparse.is_dense() && before.len() == after.len() {
                assert!(patches.as_bytes().len() <= 8, "{patches:?}");
            }
            if step % 500 == 0 {
                check(&sparse, &want);
                check(&dense, &want);
            }
        }
    }
}

#[test]
fn a_union_is_told_by_opcodes_as_if_each_register_were_looked_for_from_the_beginning() {
    let mut dice = fastrand::Rng::with_seed(crate::value::test_seed());
    for _ in 0..200 {
        let (mut one, mut union) = (Edit::default(), Union::default());
        for _ in 0..dice.usize(..400) {
            one.add(mark(&mut dice), 100_000).expect("it is whole");
        }
        let mut other = one.clone();
        for _ in 0..dice.usize(..600) {
            // Neighbours, so that there is something to join.
            let first = dice.usize(..REGISTERS - 6);
            let height = dice.u8(1..4);
            union.heights[first..first + dice.usize(1..6)].fill(height);
        }
        let most = dice.usize(..3000);
        one.raise_to(&union, 0, 5000, most).expect("it is whole");
        one.raise_to(&union, 5000, REGISTERS, most).expect("it is whole");
        for (index, &height) in union.heights.iter().enumerate().filter(|(_, height)| **height > 0)
        {
            other.add(Mark { index: index as u16, height }, most).expect("it is whole");
        }
        assert_eq!(one.to_bytes(), other.to_bytes());
    }
}

#[test]
fn elements_are_hashed_alike_in_pieces() {
    let element: Vec<u8> = (0..=255).collect();
    for length in 0..element.len() {
        let element = &element[..length];
        let (first, rest) = element.split_at(length / 3 / 8 * 8);
        assert_eq!(Hashing::begin(length).and(first).end(rest), Hashing::of(element));
    }
    // What Redis makes of them: register and height.
    for (element, index, height) in [("a", 12_711, 2), ("b", 15_780, 1), ("ann", 10_757, 1)] {
        assert_eq!(Mark::of(Hashing::of(element.as_bytes())), Mark { index, height }, "{element}");
    }
}

#[test]
fn the_own_test_of_a_hyperloglog_passes() {
    let mut test = self_test();
    let outcome = std::iter::from_fn(|| Some(test())).flatten().next();
    assert_eq!(outcome, Some(Ok(())));
}

#[test]
fn bytes_of_anybody_are_refused_or_counted_and_never_stop_the_program() {
    let mut dice = fastrand::Rng::with_seed(crate::value::test_seed());
    for _ in 0..3000 {
        let mut edit = Edit::default();
        for _ in 0..dice.usize(..40) {
            edit.add(mark(&mut dice), if dice.u8(..8) == 0 { 0 } else { 3000 })
                .expect("it is whole");
        }
        let mut bytes = edit.to_bytes();
        for _ in 0..dice.usize(1..5) {
            let at = dice.usize(..bytes.len());
            match dice.u8(..3) {
                0 => bytes[at] = dice.u8(..),
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, dice.u8(..)),
            }
        }
        let Ok(there) = HyperLogLog::of(&bytes) else { continue };
        let (count, mut union) = (there.count(), Union::default());
        assert_eq!(union.add(there).is_ok(), count.is_ok());
        let _ = (there.opcodes(), there.noted());
        let mut edit = Edit::of(there);
        assert_eq!(edit.clone().make_dense().is_ok(), count.is_ok() || there.is_dense());
        for _ in 0..20 {
            let outcome = edit.add(mark(&mut dice), dice.usize(..200));
            if count.is_ok() {
                assert!(outcome.is_ok());
            }
        }
        let patches = edit.patches(&bytes);
        let mut item = Item::new(b"key", NewValue::Bytes(&bytes), None);
        patches.effect(&edit.to_bytes()).perform(&mut item).expect("it fits");
        let patched = item.string().expect("a string").to_bytes().into_owned();
        assert_eq!(patched, edit.to_bytes());
    }
}
