use super::*;
use crate::value::effect::TypeEffect;
use crate::value::{Item, test_seed};
use std::collections::BTreeMap;

/// Members and what their scores are; the order comes of sorting.
type Model = BTreeMap<Vec<u8>, f64>;

fn set_in(item: &Item) -> &SortedSet {
    let object: &dyn std::any::Any = item.object().expect("a sorted set");
    object.downcast_ref().expect("a sorted set")
}

fn sorted(model: &Model) -> Vec<(f64, Vec<u8>)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
    all
}

fn shown(set: &SortedSet, range: Range<u64>, is_backwards: bool) -> Vec<(f64, Vec<u8>)> {
    let mut shown = Vec::new();
    set.visit(range, is_backwards, |entry| {
        shown.push((entry.score, entry.member.to_bytes().into_owned()));
        true
    });
    shown
}

fn assert_is(set: &SortedSet, model: &Model, random: &mut fastrand::Rng) {
    let all = sorted(model);
    assert_eq!(set.len(), all.len() as u64);
    assert_eq!(shown(set, 0..u64::MAX, false), all);
    let (from, to) = (random.usize(0..=all.len()), random.usize(0..=all.len()));
    if from <= to {
        let mut part = all[from..to].to_vec();
        assert_eq!(shown(set, from as u64..to as u64, false), part);
        part.reverse();
        assert_eq!(shown(set, from as u64..to as u64, true), part);
    }
    for (index, (score, member)) in all.iter().enumerate() {
        assert_eq!(set.score(member), Some(*score));
        assert_eq!(set.rank(member), Some((index as u64, *score)));
        if random.u8(..) < 30 {
            let below = all.iter().filter(|other| other.0 < *score).count() as u64;
            let upto = all.iter().filter(|other| other.0 <= *score).count() as u64;
            assert_eq!(set.rank_of_score(*score, false), below);
            assert_eq!(set.rank_of_score(*score, true), upto);
        }
    }
    let (mut cursor, mut seen) = (0, BTreeMap::new());
    loop {
        cursor = set.scan(cursor, 10, |entry| {
            let before = seen.insert(entry.member.to_bytes().into_owned(), entry.score);
            assert_eq!(before, None);
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&seen, model);
    let mut whole = Vec::new();
    set.encode(&mut whole);
    assert_eq!(whole.len(), set.encoded_len());
    let in_slices = in_slices(set, &whole);
    assert!(*(&in_slices as &dyn Object) == *(set as &dyn Object));
    let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{} bytes", whole.len()) };
    assert!(*read == *(set as &dyn Object));
}

#[test]
fn effects_do_to_a_sorted_set_what_they_do_to_a_map_and_a_second_one_that_is_told_of_them_is_equal()
{
    let seed = test_seed();
    for round in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(round));
        // Few scores, so that many members have one; or any.
        let scores = [1, 3, 100, 1_000_000][round as usize % 4];
        let new = || Item::new(b"key", (TYPE.empty)(), None);
        let (mut item, mut told, mut model) = (new(), new(), Model::new());
        let mut held = Vec::new();
        let steps = 2000;
        for step in 0..steps {
            let is_growing = step % 700 < 500;
            let member = |random: &mut fastrand::Rng| {
                let most = if random.u8(..) < 2 { 700 } else { 4 };
                (0..random.usize(0..=most)).map(|_| random.u8(..6)).collect::<Vec<u8>>()
            };
            let members: Vec<Vec<u8>> =
                (0..random.usize(1..5)).map(|_| member(&mut random)).collect();
            let mut room = Vec::new();
            let effect = match random.u8(..10) {
                0..8 if is_growing || random.bool() => {
                    let members: Vec<_> = members
                        .iter()
                        .map(|member| {
                            let score = f64::from(random.i32(0..scores)) / 2.0 - 0.5;
                            let score = if random.u8(..) < 3 { f64::INFINITY } else { score };
                            (score, &member[..])
                        })
                        .collect();
                    let before = model.len();
                    model.extend(members.iter().map(|(score, member)| (member.to_vec(), *score)));
                    let set = Set { members, is_large: random.u8(..) == 0, seen: None };
                    assert_eq!(set.perform(&mut item), Ok(model.len() - before));
                    let told = set.told(&mut room);
                    (told.op, [told.head.as_bytes(), told.bytes].concat())
                }
                0..9 => {
                    let remove = Remove(members.iter().map(|member| &member[..]).collect());
                    let gone =
                        remove.0.iter().filter(|member| model.remove(**member).is_some()).count();
                    assert_eq!(remove.perform(&mut item), Ok(gone));
                    let told = remove.told(&mut room);
                    (told.op, [told.head.as_bytes(), told.bytes].concat())
                }
                _ => {
                    let from = random.usize(0..=model.len());
                    let most = if random.u8(..) < 5 { 2000 } else { 4 };
                    let to = from + random.usize(0..most);
                    for (_, member) in sorted(&model).drain(from..to.min(model.len()).max(from)) {
                        model.remove(&member);
                    }
                    let remove = RemoveRange(from as u64..to as u64);
                    assert!(remove.perform(&mut item).is_ok());
                    let told = remove.told(&mut room);
                    (told.op, [told.head.as_bytes(), told.bytes].concat())
                }
            };
            assert_eq!((TYPE.perform)(&mut told, effect.0, &effect.1), Ok(()));
            if step % 97 == 0 {
                assert_is(set_in(&item), &model, &mut random);
                let own: &dyn Object = set_in(&item);
                assert!(own == told.object().expect("a sorted set"));
                held.push((item.share(), model.clone()));
            }
            if held.len() > 3 {
                let (value, model) = held.swap_remove(random.usize(0..held.len()));
                assert_is(value.object().expect("a sorted set"), &model, &mut random);
            }
        }
    }
}

#[test]
fn one_fits_the_block_of_its_item() {
    assert_eq!(size_of::<SortedSet>(), 16);
}

/// Written and read by pieces of any length.
fn in_slices(set: &SortedSet, whole: &[u8]) -> SortedSet {
    let (mut read, mut written, mut taken) = (SortedSet::default(), Vec::new(), 0);
    let mut random = fastrand::Rng::with_seed(whole.len() as u64);
    while written.len() < whole.len() {
        let to = (written.len() + random.usize(1..300)).min(whole.len());
        set.encode_range(written.len()..to, &mut written);
        taken += read.decode_slice(taken as u64, &written[taken..]).expect("a sorted set");
    }
    assert_eq!((&written[..], taken), (whole, whole.len()));
    let (mut at, mut kept) = (Some(0), 0);
    while let Some(part) = at {
        let (own, next, _) = set.kept_from(part);
        assert!(next.is_none_or(|next| next > part));
        (at, kept) = (next, kept + own);
    }
    assert!(kept <= set.heap_bytes() as u64);
    read
}
