//! Trees beside models of the standard library, with holders who must see what they took.

use super::*;
use crate::value::rope::Rope;
use crate::value::test_seed;
use std::collections::BTreeMap;
use std::marker::PhantomData;

/// All bytes of an element.
fn bytes_of<K>(element: &Element<'_, K>) -> Vec<u8> {
    let mut bytes = element.head.to_vec();
    if let Some(tail) = element.tail {
        tail.stretches(0..tail.len()).for_each(|stretch| bytes.extend_from_slice(stretch));
    }
    bytes
}

/// In the order of a key and of bytes that fill the element up to a zero, or to its end; with small pages.
struct Keyed<K, const LEAF: usize, const NODE: usize>(PhantomData<K>);

impl<K: Key, const L: usize, const N: usize> Order for Keyed<K, L, N> {
    type Key = K;
    const LEAF: usize = L;
    const NODE: usize = N;

    fn identity(element: Element<'_, K>) -> Identity<'_> {
        let upto = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0);
        match element.tail {
            Some(tail) if element.head.is_empty() => {
                let whole = tail.to_vec();
                Identity::Rope(tail, 0, upto(&whole).unwrap_or(whole.len()))
            }
            _ => Identity::Bytes(&element.head[..upto(element.head).unwrap_or(element.head.len())]),
        }
    }
}

/// In the order in which they were put.
struct Placed<const LEAF: usize, const NODE: usize>;

impl<const L: usize, const N: usize> Order for Placed<L, N> {
    type Key = ();
    const LEAF: usize = L;
    const NODE: usize = N;

    fn identity(_: Element<'_, ()>) -> Identity<'_> {
        Identity::Bytes(b"")
    }
}

fn random_bytes(random: &mut fastrand::Rng, most: usize) -> Vec<u8> {
    let most = random.usize(0..=most);
    let length = random.usize(0..=most);
    (0..length).map(|_| random.u8(1..=3)).collect()
}

fn encoded(bytes: &[u8]) -> u64 {
    (bytes.len() + crate::varint::length(bytes.len() as u64)) as u64
}

type Model<K> = BTreeMap<(K, Vec<u8>), Vec<u8>>;

fn whole(identity: &[u8], value: &[u8]) -> Vec<u8> {
    [identity, &[0], value].concat()
}

fn assert_keyed<K: Key + std::fmt::Debug, const L: usize, const N: usize>(
    tree: &Tree<Keyed<K, L, N>>,
    model: &Model<K>,
) {
    tree.check();
    assert_eq!(tree.len(), model.len() as u64);
    let mut sum = 0;
    for (element, ((key, identity), value)) in tree.iter().zip(model) {
        let expected = whole(identity, value);
        sum += encoded(&expected);
        assert_eq!((element.key, bytes_of(&element)), (*key, expected));
    }
    assert_eq!(tree.encoded_len(), sum);
}

/// One random change, and what is asked of the tree by the way.
fn keyed_step<K: Key + std::fmt::Debug, const L: usize, const N: usize>(
    tree: &mut Tree<Keyed<K, L, N>>,
    model: &mut Model<K>,
    random: &mut fastrand::Rng,
    is_growing: bool,
    key: K,
    identity: Vec<u8>,
) {
    let (place, found) = tree.find(key, &identity);
    let there = model.get(&(key, identity.clone()));
    assert_eq!(found.map(|element| bytes_of(&element)), there.map(|value| whole(&identity, value)));
    let rank = tree.rank(&place);
    assert_eq!(rank, model.range(..(key, identity.clone())).count() as u64);
    let is_there = found.is_some();
    if is_there && random.u8(..) < if is_growing { 60 } else { 180 } {
        tree.remove(&place);
        model.remove(&(key, identity));
    } else if is_there || is_growing || random.u8(..) < 40 {
        let most = if random.u8(..) < 20 { 3 * L } else { 12 };
        let value = random_bytes(random, most);
        // A long value may come as a tail, or with the rest.
        let tail =
            (value.len() > 30 && identity.len() < 30 && random.bool()).then(|| Rope::of(&value));
        let rest = if tail.is_some() { &[][..] } else { &value };
        let parts = [&identity[..], &[0], rest];
        let new = NewElement { key, head: &parts, tail };
        if is_there {
            tree.replace(&place, new)
        } else {
            tree.insert(&place, new)
        }
        model.insert((key, identity), value);
    }
}

fn keyed_run<K: Key + std::fmt::Debug, const L: usize, const N: usize>(
    seed: u64,
    steps: usize,
    keys: impl Fn(&mut fastrand::Rng) -> (K, Vec<u8>),
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut tree, mut model) = (Tree::<Keyed<K, L, N>>::new(), Model::new());
    let mut held: Vec<(Tree<Keyed<K, L, N>>, Model<K>)> = Vec::new();
    let mut is_growing = true;
    for step in 0..steps {
        if random.usize(0..steps / 6) == 0 {
            is_growing = !is_growing;
        }
        if random.usize(0..steps / 20) == 0 {
            held.push((tree.clone(), model.clone()));
        }
        if random.usize(0..steps / 10) == 0 {
            let length = tree.len();
            let from = random.u64(0..=length);
            let most = random.u64(0..=length / 3);
            let to = random.u64(from..=length.min(from + most));
            tree.remove_range(from..to);
            let gone: Vec<_> =
                model.keys().skip(from as usize).take((to - from) as usize).cloned().collect();
            gone.iter().for_each(|key| drop(model.remove(key)));
            tree.check();
        }
        if random.usize(0..steps / 20) == 0 && !held.is_empty() {
            let (tree, model) = held.swap_remove(random.usize(0..held.len()));
            assert_keyed(&tree, &model);
        }
        let (key, identity) = keys(&mut random);
        keyed_step(&mut tree, &mut model, &mut random, is_growing, key, identity);
        if step % (steps / 50) == 0 {
            assert_keyed(&tree, &model);
            let (key, identity) = keys(&mut random);
            assert_bounds(&tree, &model, key, &identity);
        }
    }
    for (tree, model) in held {
        assert_keyed(&tree, &model);
    }
    assert_keyed(&tree, &model);
}

fn assert_bounds<K: Key + std::fmt::Debug, const L: usize, const N: usize>(
    tree: &Tree<Keyed<K, L, N>>,
    model: &Model<K>,
    key: K,
    identity: &[u8],
) {
    let below = model.range(..(key, identity.to_vec())).count();
    let upto = model.range(..=(key, identity.to_vec())).count();
    let same = model.keys().filter(|(other, _)| *other <= key).count();
    for (bound, count) in [
        (Bound::Before(key, identity), below),
        (Bound::After(key, identity), upto),
        (Bound::AfterKey(key), same),
    ] {
        let place = tree.seek(&bound);
        assert_eq!(tree.rank(&place), count as u64, "{bound:?}");
        let behind = tree.from(&bound).map(|element| bytes_of(&element));
        let expected =
            model.iter().skip(count).map(|((_, identity), value)| whole(identity, value));
        assert!(behind.eq(expected), "{bound:?}");
        let mut before: Vec<_> =
            tree.back_from(count as u64).map(|element| bytes_of(&element)).collect();
        before.reverse();
        let expected =
            model.iter().take(count).map(|((_, identity), value)| whole(identity, value));
        assert!(before.into_iter().eq(expected), "{bound:?}");
    }
}

#[test]
fn keyed_elements_are_as_in_a_map_and_holders_see_what_they_took() {
    let seed = test_seed();
    for round in 0..6 {
        let seed = seed.wrapping_add(round);
        // Most keys differ, as hashes do.
        keyed_run::<u32, 512, 512>(seed, 6000, |random| {
            (random.u32(0..3000) << 8, random_bytes(random, 3))
        });
        // Few keys, as scores may be: identities decide.
        keyed_run::<u64, 512, 1024>(seed, 3000, |random| {
            (random.u64(0..3), random_bytes(random, 8))
        });
        // Identities that have a long beginning in common, and some that lie outside of leaves: nodes as small as the
        // longest ties allow, which a join of leaves can make too long.
        keyed_run::<u64, 2048, 1280>(seed, 3000, |random| {
            let mut identity = vec![2; 200];
            identity.extend(random_bytes(random, 6));
            if random.u8(..) < 8 {
                identity.truncate(random.usize(100..200));
            }
            if random.u8(..) < 20 {
                identity.extend([3; 300]);
                identity.extend(random_bytes(random, 3));
            }
            (random.u64(0..2), identity)
        });
        keyed_run::<u128, 512, 512>(seed, 2000, |random| {
            (random.u128(0..300) << 64, random_bytes(random, 3))
        });
    }
}

fn assert_list<const L: usize, const N: usize>(tree: &Tree<Placed<L, N>>, model: &[Vec<u8>]) {
    tree.check();
    assert!(tree.iter().map(|element| bytes_of(&element)).eq(model.iter().cloned()));
    assert_eq!(tree.encoded_len(), model.iter().map(|bytes| encoded(bytes)).sum::<u64>());
}

#[test]
fn elements_by_place_are_as_in_a_list_and_holders_see_what_they_took() {
    let seed = test_seed();
    for round in 0..10 {
        list_run::<256, 512>(seed.wrapping_add(round), 8000);
        list_run::<2048, 2048>(seed.wrapping_add(round), 3000);
    }
}

fn list_run<const L: usize, const N: usize>(seed: u64, steps: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut tree, mut model) = (Tree::<Placed<L, N>>::new(), Vec::<Vec<u8>>::new());
    let mut held: Vec<(Tree<Placed<L, N>>, Vec<Vec<u8>>)> = Vec::new();
    let mut weight = 200;
    for step in 0..steps {
        match random.usize(0..steps / 4) {
            0 => weight = random.u8(80..220),
            1..3 => held.push((tree.clone(), model.clone())),
            3..7 if !held.is_empty() => {
                let (tree, model) = held.swap_remove(random.usize(0..held.len()));
                assert_list(&tree, &model);
            }
            _ => {}
        }
        // At an end, or anywhere.
        let index = match random.u8(0..4) {
            0 => 0,
            1 => model.len(),
            _ => random.usize(0..=model.len()),
        };
        let place = tree.at(index as u64);
        assert_eq!(tree.rank(&place), index as u64);
        let there = tree.get(&place).map(|element| bytes_of(&element));
        assert_eq!(there, model.get(index).cloned());
        let most = if random.u8(..) < 10 { 2 * L } else { 20 };
        let bytes = random_bytes(&mut random, most);
        let new = NewElement { key: (), head: &[&bytes], tail: None };
        if random.u8(..) < weight {
            tree.insert(&place, new);
            model.insert(index, bytes);
        } else if index < model.len() && random.u8(..) < 100 {
            tree.replace(&place, new);
            model[index] = bytes;
        } else if index < model.len() && random.u8(..) < 250 {
            tree.remove(&place);
            model.remove(index);
        } else if index < model.len() {
            let to = random.usize(index..=model.len());
            let to = if random.u8(..) < 250 { to.min(index + 60) } else { to };
            tree.remove_range(index as u64..to as u64);
            model.drain(index..to);
            tree.check();
        }
        if step % (steps / 40) == 0 {
            assert_list(&tree, &model);
            let to = random.usize(index..=model.len());
            let range = tree.range(index as u64..to as u64);
            assert!(range.map(|element| bytes_of(&element)).eq(model[index.min(to)..to].to_vec()));
        }
    }
    assert_list(&tree, &model);
    held.iter().for_each(|(tree, model)| assert_list(tree, model));
}

#[test]
fn what_is_put_at_an_end_fills_its_pages() {
    let mut list = Tree::<Placed<2048, 2048>>::new();
    for index in 0..20_000u64 {
        let place = if index % 2 == 0 { list.end() } else { list.start() };
        let bytes = [&index.to_le_bytes()[..], b"12345678"];
        list.insert(&place, NewElement { key: (), head: &bytes, tail: None });
    }
    list.check();
    let each = list.heap_bytes() as f64 / 20_000.0;
    assert!(each < 19.0, "{each} bytes for each element of 16");
    for _ in 0..19_000 {
        list.remove(&list.start());
    }
    list.check();
    let each = list.heap_bytes() as f64 / 1000.0;
    assert!(each < 23.0, "{each} bytes for each element of 16");
}

#[test]
fn a_small_collection_is_one_block() {
    let mut tree = Tree::<Keyed<(), 2048, 2048>>::new();
    assert_eq!(tree.heap_bytes(), 0);
    for index in 0..5u8 {
        let identity = [b'a' + index; 8];
        let (place, _) = tree.find((), &identity);
        tree.insert(
            &place,
            NewElement { key: (), head: &[&identity, b"\x000123456789"], tail: None },
        );
    }
    tree.check();
    // A header of 16, and each element with a byte that says where it ends.
    assert_eq!(
        tree.heap_bytes(),
        16u64.next_multiple_of(16) + (5u64 * (19 + 1)).next_multiple_of(16)
    );
    while !tree.is_empty() {
        tree.remove(&tree.start());
    }
    assert_eq!((tree.heap_bytes(), tree.encoded_len()), (0, 0));
}

#[test]
fn a_change_copies_what_is_on_its_way_and_a_lone_holder_copies_nothing() {
    let mut tree = Tree::<Placed<2048, 2048>>::new();
    for index in 0..100_000u32 {
        tree.push(NewElement {
            key: (),
            head: &[&index.to_be_bytes(), b"0123456789ab"],
            tail: None,
        });
    }
    let kept = |tree: &Tree<Placed<2048, 2048>>| {
        let (mut at, mut sum) = (0, 0);
        while at < tree.len() {
            let (own, next, looked) = tree.kept_from(at);
            assert!(next > at && looked < 150, "{next} {looked}");
            (at, sum) = (next, sum + own);
        }
        sum
    };
    let all = kept(&tree);
    assert!(all > tree.heap_bytes() * 9 / 10 && all < tree.heap_bytes());
    let before = tree.clone();
    assert_eq!((tree.holders(), tree.address()), (2, before.address()));
    tree.remove(&tree.at(50_000));
    assert_eq!((tree.holders(), before.holders()), (1, 1));
    assert!(tree.address() != before.address());
    let own = kept(&tree);
    assert!((1..5000).contains(&own), "{own} bytes copied");
    tree.remove(&tree.at(50_001));
    assert_eq!(kept(&tree), own, "the same leaf once more");
    assert_eq!((before.len(), tree.len()), (100_000, 99_998));
    drop(before);
    assert!(kept(&tree) > all * 99 / 100);
    let address = tree.address();
    tree.remove(&tree.at(7));
    assert_eq!(tree.address(), address);
    tree.check();
}

#[test]
fn what_nobody_holds_is_freed_in_slices_where_somebody_asks_for_it() {
    // In a thread of its own: what it puts aside is its own.
    let work = || {
        let make = |count: u32| {
            let mut tree = Tree::<Placed<512, 512>>::new();
            for index in 0..count {
                let bytes = index.to_be_bytes();
                let tail = (index % 1000 == 0).then(|| Rope::of(&[7; 100_000]));
                tree.push(NewElement { key: (), head: &[&bytes, b"0123456789ab"], tail });
            }
            tree
        };
        drop(make(3000));
        assert!(!free_slice(1), "freed at once");
        let tree = make(30_000);
        let held = tree.clone();
        drop(tree);
        assert!(!free_slice(1), "somebody holds it");
        assert_eq!(held.len(), 30_000);
        held.check();
        drop(held);
        let slices = std::iter::from_fn(|| free_slice(10).then_some(())).count();
        assert!(slices > 90, "{slices} slices");
        // And whoever makes leaves frees meanwhile, three for each.
        drop(make(30_000));
        let other = make(7_000);
        let slices = std::iter::from_fn(|| free_slice(10).then_some(())).count();
        assert!((20..50).contains(&slices), "{slices} slices");
        other.check();
    };
    std::thread::spawn(work).join().expect("it asserts nothing else");
}

#[test]
fn a_scan_sees_what_is_there_all_the_time() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let mut tree = Tree::<Keyed<u32, 512, 512>>::new();
    let key =
        |identity: &[u8]| u32::from_be_bytes([identity[0], identity[1], identity[2] & 0xf0, 0]);
    let mut stay = std::collections::BTreeSet::new();
    let put = |tree: &mut Tree<Keyed<u32, 512, 512>>, identity: [u8; 4]| {
        let identity = identity.map(|byte| byte | 1);
        let (place, found) = tree.find(key(&identity), &identity);
        if found.is_none() {
            let new = NewElement { key: key(&identity), head: &[&identity], tail: None };
            tree.insert(&place, new);
        }
        identity
    };
    for _ in 0..3000 {
        stay.insert(put(&mut tree, random.u32(..).to_be_bytes()).to_vec());
    }
    let (mut cursor, mut seen) = (0, std::collections::BTreeSet::new());
    loop {
        cursor = tree.scan(cursor, 10, |element| {
            seen.insert(bytes_of(&element));
        });
        if cursor == 0 {
            break;
        }
        assert!(cursor < 1 << 53);
        for _ in 0..20 {
            put(&mut tree, random.u32(..).to_be_bytes());
            let place = tree.at(random.u64(0..tree.len()));
            if tree.get(&place).is_some_and(|element| !stay.contains(&bytes_of(&element))) {
                tree.remove(&place);
            }
        }
    }
    assert!(stay.is_subset(&seen));
    assert_eq!(tree.scan(u64::MAX, 10, |_| ()), 0);
}

#[test]
fn room_that_is_made_ahead_is_what_the_elements_take() {
    for (count, bytes) in [(1, 0), (1, 40), (5, 13), (20, 20), (100, 15), (30, 300), (0, 9)] {
        let element = vec![b'e'; bytes];
        let put = |tree: &mut Tree<AsPut>| {
            (0..count).for_each(|_| {
                tree.push(NewElement { key: (), head: &[&element], tail: None });
            });
        };
        let (mut made, mut grown) = (Tree::<AsPut>::new(), Tree::<AsPut>::new());
        made.make_room(count, count * bytes);
        put(&mut made);
        put(&mut grown);
        made.check();
        assert_eq!((made.len(), made.is_empty()), (count as u64, count == 0));
        assert_eq!(made.heap_bytes(), grown.heap_bytes(), "{count} of {bytes}");
        // What was made for more goes with those that go.
        let mut held = Tree::<AsPut>::new();
        held.make_room(8, 800);
        held.push(NewElement { key: (), head: &[b"alone"], tail: None });
        held.push(NewElement { key: (), head: &[b"gone"], tail: None });
        held.remove(&held.at(1));
        assert_eq!(held.heap_bytes(), 32);
    }
}
