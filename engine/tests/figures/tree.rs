//! What collections cost, by the sizes of their leaves and what stands with each element: the figures of
//! docs/decisions/collections.md, in ns of processor time and bytes for each element of 16. `ELEMENTS=n` sets the
//! number, `LEAVES=512` the size of leaves. What is resident is right if one of them runs by itself, with one size.

use super::{processor_time, resident};
use engine::table::hash_with;
use engine::value::tree::{Bound, Element, Identity, Key, NewElement, Order, Tree};
use std::hint::black_box;
use std::marker::PhantomData;

/// How often each thing is done.
const TIMES: u64 = 1_000_000;

/// In the order of a key and the element's bytes.
struct Members<K, const LEAF: usize>(PhantomData<K>);

impl<K: Key, const L: usize> Order for Members<K, L> {
    type Key = K;
    const LEAF: usize = L;

    fn identity(element: Element<'_, K>) -> Identity<'_> {
        Identity::Bytes(element.head)
    }
}

/// In the order of a key alone, or in that in which they were put.
struct Loose<K, const LEAF: usize>(PhantomData<K>);

impl<K: Key, const L: usize> Order for Loose<K, L> {
    type Key = K;
    const LEAF: usize = L;

    fn identity(_: Element<'_, K>) -> Identity<'_> {
        Identity::Bytes(b"")
    }
}

fn mixed(number: u64) -> u64 {
    hash_with(1, &number.to_le_bytes())
}

/// A member of 16 bytes, of no order.
fn member(number: u64) -> [u8; 16] {
    let mut member = [0; 16];
    member[..8].copy_from_slice(&mixed(number).to_le_bytes());
    member[8..].copy_from_slice(&number.to_le_bytes());
    member
}

fn hash(member: &[u8]) -> u32 {
    (hash_with(7, member) >> 32) as u32
}

fn new<'n, K>(key: K, head: &'n [&'n [u8]]) -> NewElement<'n, K> {
    NewElement { key, head, tail: None }
}

/// Processor time of each of so many calls, in ns.
fn each(times: u64, mut work: impl FnMut(u64)) -> f64 {
    let start = processor_time();
    (0..times).for_each(&mut work);
    (processor_time() - start) as f64 / times as f64
}

macro_rules! with_leaves {
    ($work:ident, $($arguments:tt)*) => {
        for leaf in std::env::var("LEAVES").as_deref().unwrap_or("2048").split(',') {
            print!("leaves of {leaf:4}: ");
            match leaf {
                "512" => $work::<512>($($arguments)*),
                "1024" => $work::<1024>($($arguments)*),
                "2048" => $work::<2048>($($arguments)*),
                "4096" => $work::<4096>($($arguments)*),
                other => panic!("a leaf of {other} bytes"),
            }
        }
    };
}

fn elements() -> u64 {
    std::env::var("ELEMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_set() {
    with_leaves!(hashed_set, elements());
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_set_without_hashes() {
    with_leaves!(plain_set, elements());
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_sorted_set_of_random_scores() {
    with_leaves!(sorted_set, elements(), |number| f64::from_bits(mixed(number) >> 2));
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_sorted_set_of_whole_scores() {
    with_leaves!(sorted_set, elements(), |number| (mixed(number) % 1_000_000) as f64);
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_list() {
    with_leaves!(list, elements());
}

fn plain_set<const LEAF: usize>(elements: u64) {
    set::<(), LEAF>(elements, |_| ());
}

fn hashed_set<const LEAF: usize>(elements: u64) {
    set::<u32, LEAF>(elements, hash);
}

/// A score of 0 or more as a number of the same order.
fn ordered(score: f64) -> u64 {
    score.to_bits()
}

/// The number's bytes but the zeros at its end.
fn trimmed(bytes: &[u8; 8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

fn untrimmed(bytes: &[u8]) -> u64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(whole)
}

fn set<K: Key, const LEAF: usize>(elements: u64, key: impl Fn(&[u8]) -> K) {
    let before = resident();
    let mut set = Tree::<Members<K, LEAF>>::new();
    let put = |set: &mut Tree<Members<K, LEAF>>, number: u64| {
        let member = member(number);
        let (place, found) = set.find(key(&member), &member);
        if found.is_none() {
            set.insert(&place, new(key(&member), &[&member]));
        }
    };
    let insert = each(elements, |number| put(&mut set, number));
    let heap = set.heap_bytes() as f64 / elements as f64;
    let rss = (resident() - before) as f64 / elements as f64;
    let mut random = fastrand::Rng::with_seed(1);
    let mut find = |from: u64| {
        each(TIMES, |_| {
            let member = member(from + random.u64(0..elements));
            black_box(set.find(key(&member), &member).1.is_some());
        })
    };
    let (hit, miss) = (find(0), find(elements));
    let walk = each(TIMES / 20, |_| {
        let range = random.u64(0..elements)..u64::MAX;
        black_box(set.range(range).take(100).map(|element| element.head.len()).sum::<usize>());
    });
    let churn = each(TIMES, |number| {
        put(&mut set, elements + number);
        let member = member(number);
        let (place, found) = set.find(key(&member), &member);
        if found.is_some() {
            set.remove(&place);
        }
    });
    while set.len() > elements / 4 {
        set.remove(&set.at(random.u64(0..set.len())));
    }
    let after = set.heap_bytes() as f64 / set.len() as f64;
    println!(
        "set, key {} insert {insert:5.0} hit {hit:5.0} miss {miss:5.0} walk 100 {walk:5.0} \
         insert and remove {churn:5.0} | heap {heap:4.1} resident {rss:4.1} of a quarter {after:4.1}",
        size_of::<K>()
    );
}

fn sorted_set<const LEAF: usize>(elements: u64, score_of: impl Fn(u64) -> f64) {
    type Scores<const LEAF: usize> = Tree<Members<u64, LEAF>>;
    type Index<const LEAF: usize> = Tree<Loose<u32, LEAF>>;
    let before = resident();
    let (mut scores, mut index) = (Scores::<LEAF>::new(), Index::<LEAF>::new());
    let add = each(elements, |number| {
        let (member, score) = (member(number), ordered(score_of(number)));
        let (place, _) = index.find(hash(&member), b"");
        index.insert(&place, new(hash(&member), &[trimmed(&score.to_be_bytes())]));
        let (place, _) = scores.find(score, &member);
        scores.insert(&place, new(score, &[&member]));
    });
    let heap = (scores.heap_bytes() + index.heap_bytes()) as f64 / elements as f64;
    let rss = (resident() - before) as f64 / elements as f64;
    let place_of = |member: &[u8]| {
        let key = hash(member);
        let same = index.from(&Bound::Before(key, b"")).take_while(|element| element.key == key);
        same.filter_map(|element| {
            let (place, found) = scores.find(untrimmed(element.head), member);
            found.map(|_| place)
        })
        .next()
        .expect("it is there")
    };
    let mut random = fastrand::Rng::with_seed(1);
    let score = each(TIMES, |_| {
        black_box(place_of(&member(random.u64(0..elements))));
    });
    let rank = each(TIMES, |_| {
        black_box(scores.rank(&place_of(&member(random.u64(0..elements)))));
    });
    println!(
        "sorted set: add {add:5.0} score {score:5.0} rank {rank:5.0} | heap {heap:4.1} resident {rss:4.1}"
    );
}

fn list<const LEAF: usize>(elements: u64) {
    let before = resident();
    let mut list = Tree::<Loose<(), LEAF>>::new();
    let push = each(elements, |number| list.push(new((), &[&member(number)])));
    let heap = list.heap_bytes() as f64 / elements as f64;
    let rss = (resident() - before) as f64 / elements as f64;
    let mut random = fastrand::Rng::with_seed(1);
    let index = each(TIMES, |_| {
        black_box(list.get(&list.at(random.u64(0..elements))).map(|element| element.head[0]));
    });
    let queue = each(TIMES, |number| {
        list.remove(&list.start());
        list.push(new((), &[&member(number)]));
    });
    let insert = each(TIMES, |number| {
        let place = list.at(random.u64(0..elements));
        list.insert(&place, new((), &[&member(number)]));
    });
    println!(
        "list: push {push:5.0} by index {index:5.0} insert inside {insert:5.0} \
         pop and push {queue:5.0} | heap {heap:4.1} resident {rss:4.1}"
    );
}
