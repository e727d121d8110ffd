use super::*;
use crate::value::chunk::{free_slice, waiting_here};

#[test]
fn random_writes_agree_with_a_plain_vec_and_what_is_held_stays() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let lengths = [0, 1, 20, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 3 * LEAF_BYTES, 500_000];
    for _ in 0..30 {
        let mut value = vec![random.u8(..); *random.choice(&lengths).unwrap()];
        let mut rope = Rope::of(&value);
        let mut held: Vec<(Rope, Vec<u8>)> = Vec::new();
        for _ in 0..40 {
            let longest = *random.choice(&lengths).unwrap();
            let bytes = vec![random.u8(..); random.usize(..=longest)];
            match random.u8(..6) {
                0 => {
                    rope.write(rope.len(), &bytes);
                    value.extend_from_slice(&bytes);
                }
                1..4 => {
                    let reach = if random.u8(..8) == 0 { 5_000_000 } else { value.len() + 1 };
                    let offset = random.usize(..reach);
                    value.resize(value.len().max(offset + bytes.len()), 0);
                    value[offset..offset + bytes.len()].copy_from_slice(&bytes);
                    rope.write(offset, &bytes);
                }
                4 => held.push((rope.clone(), value.clone())),
                _ if !held.is_empty() => {
                    let place = random.usize(..held.len());
                    (rope, value) = held.swap_remove(place);
                }
                _ => {}
            }
            assert_eq!(rope.len(), value.len(), "SEED={seed}");
            let start = random.usize(..=value.len());
            let end = random.usize(start..=value.len());
            let read = rope.borrow().stretches(start..end).collect::<Vec<_>>().concat();
            assert!(read == value[start..end], "SEED={seed} {start}..{end}");
            assert!(rope.borrow().heap_bytes() >= value.len(), "SEED={seed}");
        }
        held.push((rope, value));
        for (rope, was) in &held {
            assert!(rope.borrow().to_vec() == *was, "SEED={seed}");
            assert_eq!(*rope, Rope::of(was), "SEED={seed}");
        }
    }
}

/// The addresses of all leaves.
fn leaves(rope: &Rope) -> Vec<usize> {
    let starts = (0..rope.len()).step_by(LEAF_BYTES);
    starts.map(|start| rope.borrow().leaf_at(start).0.address()).collect()
}

#[test]
fn the_first_write_to_what_is_held_copies_one_leaf() {
    let mut rope = Rope::of(&vec![7; 16 << 20]);
    let before = leaves(&rope);
    rope.write(9 << 20, b"x");
    assert_eq!(leaves(&rope), before, "nobody else holds it");
    let held = rope.clone();
    rope.write(5 << 20, b"x");
    let after = leaves(&rope);
    assert_eq!(before.iter().zip(&after).filter(|(one, other)| one != other).count(), 1);
    assert_eq!(leaves(&held), before);
    assert_eq!(held.borrow().stretch(5 << 20)[0], 7);
}

/// A replica took hundreds of times the memory of its master: it was sent zeros that the master shares.
#[test]
fn zeros_that_come_in_pieces_are_one_leaf_as_those_before_a_far_write() {
    let length = 40 * LEAF_BYTES + 5;
    let mut far = Rope::of(b"");
    far.write(length - 1, b"x");
    for piece in [1000, LEAF_BYTES - 1, LEAF_BYTES, 64 << 10, 1 << 20, length] {
        let (bytes, mut rope) = (far.borrow().to_vec(), Rope::of(b""));
        bytes.chunks(piece).for_each(|piece| rope.write(rope.len(), piece));
        assert_eq!(rope, far, "{piece}");
        let mut all = leaves(&rope);
        assert_eq!(all.len(), 41);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2, "zeros, and the last of them, in pieces of {piece}");
    }
    let mut rope = Rope::of(&vec![7; length]);
    rope.write(LEAF_BYTES / 2, &vec![0; 3 * LEAF_BYTES]);
    let all = leaves(&rope);
    assert!(
        all[1] == all[2] && all[1] == leaves(&far)[0],
        "zeros that others were overwritten with"
    );
    let held = rope.clone();
    rope.write(2 * LEAF_BYTES, b"y");
    assert_eq!(held.borrow().stretch(2 * LEAF_BYTES)[0], 0);
    assert_eq!(
        far.borrow().stretch(2 * LEAF_BYTES)[..2],
        *b"\0\0",
        "nobody else sees what is written"
    );
}

/// What it costs to look for zeros in what has none: `--ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn measure_ropes_of_ones_and_of_zeros() {
    for (what, byte) in [("ones", 1), ("zeros", 0)] {
        let bytes = vec![byte; 64 << 20];
        let begun = std::time::Instant::now();
        let ropes = (0..4).map(|_| Rope::of(&bytes)).collect::<Vec<_>>();
        println!("{what}: {:?} for {} MB", begun.elapsed() / 4, ropes[0].len() >> 20);
    }
}

#[test]
fn zeros_before_a_far_write_are_one_leaf() {
    let mut rope = Rope::of(b"head");
    rope.write((512 << 20) - 1, b"x");
    let mut leaves = leaves(&rope);
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), 3, "the first, the last and zeros");
    rope.write(256 << 20, b"y");
    assert_eq!(rope.borrow().stretch(256 << 20)[..2], *b"y\0");
    assert_eq!(rope.borrow().stretch(128 << 20)[0], 0);
}

#[test]
fn heap_bytes_are_those_of_all_chunks() {
    fn walked(chunk: ChunkRef<'_>) -> usize {
        let below = (0..chunk.entries()).map(|index| walked(chunk.entry(index)));
        chunk.block_bytes() + below.sum::<usize>()
    }
    for length in [0, 1, 2000, 100_000, 64 * LEAF_BYTES, 64 * LEAF_BYTES + 1, 20_000_000] {
        let mut rope = Rope::of(&vec![1; length]);
        assert_eq!(rope.borrow().heap_bytes(), walked(rope.0.borrow()));
        (0..2000).for_each(|_| rope.write(rope.len(), &[2; 100]));
        assert_eq!(rope.borrow().heap_bytes(), walked(rope.0.borrow()));
    }
}

#[test]
fn a_tree_is_freed_in_slices_where_that_is_done() {
    let rope = Rope::of(&vec![7; 100 * LEAF_BYTES]);
    let held = rope.borrow().leaf_at(0).0.hold();
    assert!(!free_slice(1), "nothing was put aside");
    drop(rope.clone());
    assert!(!free_slice(1), "somebody holds it");
    drop(rope);
    let slices = std::iter::from_fn(|| free_slice(10).then_some(())).count();
    assert!((10..=12).contains(&slices), "{slices}");
    assert_eq!((held.borrow().holders(), held.len()), (1, LEAF_BYTES));
    let other = Rope::of(&vec![7; 100 * LEAF_BYTES]);
    std::thread::spawn(move || drop(other)).join().unwrap();
}

#[test]
fn several_threads_hold_write_and_let_go() {
    let rope = Rope::of(&vec![1; 10 * LEAF_BYTES]);
    std::thread::scope(|scope| {
        for thread in 2..6u8 {
            let rope = rope.clone();
            scope.spawn(move || {
                for round in 0..200 {
                    let mut own = rope.clone();
                    own.write(round * 3000, &[thread]);
                    assert_eq!(own.borrow().stretch(round * 3000)[0], thread);
                    assert_eq!(rope.borrow().stretch(round * 3000)[0], 1);
                }
            });
        }
    });
    assert_eq!(rope, Rope::of(&vec![1; 10 * LEAF_BYTES]));
}

#[test]
fn whoever_makes_leaves_frees_what_waits() {
    assert!(!free_slice(1), "nothing was put aside");
    let bytes = vec![7; 100 * LEAF_BYTES];
    let mut rope = Rope::of(&bytes);
    for _ in 0..5 {
        rope = Rope::of(&bytes);
    }
    let waiting = std::iter::from_fn(|| free_slice(1).then_some(())).count();
    assert!(
        (100..=105).contains(&waiting),
        "the last one that was overwritten, not all: {waiting}"
    );
    assert_eq!(rope.len(), bytes.len());
}

/// The story: a string of 200 MB was copied and changed in one place, again and again. Each copy that was given
/// up counted in full, though hardly anything is freed with it; so 42,000 SETs passed at maxmemory.
#[test]
fn what_is_set_aside_counts_for_what_is_freed_with_it() {
    const SIZE: usize = 300 << 20;
    free_slice(1);
    let original = Rope::of(&vec![b'x'; SIZE]);
    let mut random = fastrand::Rng::with_seed(crate::value::test_seed());
    for round in 0..200 {
        let mut copy = original.clone();
        copy.write(random.usize(..SIZE), b"y");
        drop(copy);
        assert!(waiting_here() <= 8 * LEAF_BYTES as u64, "round {round}: {}", waiting_here());
    }
    while free_slice(1) {}
    assert_eq!(waiting_here(), 0);
    // One that is its own counts in full, and for less and less while it is freed.
    drop(Rope::of(&vec![b'z'; 20 << 20]));
    let mut before = waiting_here();
    assert_eq!(before, 20 << 20);
    while free_slice(1) {
        assert!(waiting_here() <= before);
        before = waiting_here();
    }
    assert_eq!(before, 0);
}

/// Two that share nearly all are given up, one after the other: neither is its own when it is put aside.
#[test]
fn what_becomes_its_own_while_it_waits_counts_from_then_on() {
    free_slice(1);
    let one = Rope::of(&vec![b'z'; 100 << 20]);
    let mut other = one.clone();
    other.write(50 << 20, b"y");
    drop(one);
    assert!(waiting_here() <= LEAF_BYTES as u64);
    drop(other);
    let (mut most, mut slices) = (0, 0);
    while free_slice(1) {
        most = most.max(waiting_here());
        slices += 1;
    }
    assert!(most >= (64 * LEAF_BYTES) as u64 / 2, "{most}");
    assert!(slices >= 100 << 4, "{slices} slices");
    assert_eq!(waiting_here(), 0);
}
