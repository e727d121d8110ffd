use super::*;
use crate::value::effect::TypeEffect;
use crate::value::{Item, test_seed};
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;
type Owned = (Vec<u8>, Vec<u8>, Option<Millis>);

fn hash_in(item: &Item) -> &Hash {
    let object: &dyn std::any::Any = item.object().expect("a hash");
    object.downcast_ref().expect("a hash")
}

fn owned(field: Field<'_>) -> Owned {
    let (name, value) = (field.name().to_bytes(), field.value().to_bytes());
    (name.into_owned(), value.into_owned(), field.deadline())
}

fn assert_is(hash: &Hash, model: &Model) {
    assert_eq!(hash.len(), model.len() as u64);
    let fields = hash.iter().map(owned).map(|(name, value, at)| (name, (value, at)));
    assert_eq!(&fields.collect::<Model>(), model);
    for (name, (value, at)) in model.iter().take(20) {
        assert_eq!(hash.get(name).map(owned), Some((name.clone(), value.clone(), *at)));
    }
    let mut deadlines: Vec<Millis> = model.values().filter_map(|(_, deadline)| *deadline).collect();
    deadlines.sort_unstable();
    assert_eq!(hash.next_deadline(), deadlines.first().copied());
    let middle = deadlines.get(deadlines.len() / 2).copied().unwrap_or(Millis(5));
    let mut due = hash.due(middle, usize::MAX);
    due.sort_unstable();
    let expected =
        model.iter().filter(|(_, (_, deadline))| deadline.is_some_and(|at| at <= middle));
    assert!(due.iter().eq(expected.map(|(name, _)| name)));
    assert_eq!(hash.due_count(middle), due.len() as u64);
    let mut whole = Vec::new();
    hash.encode(&mut whole);
    assert_eq!(whole.len(), hash.encoded_len());
    let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{} bytes", whole.len()) };
    assert!(*read == *(hash as &dyn Object));
    let read = in_slices(&whole);
    assert!(*(&read as &dyn Object) == *(hash as &dyn Object));
}

/// What is read of a whole value that comes in pieces.
fn in_slices(whole: &[u8]) -> Hash {
    let (mut hash, mut taken, mut arrived) = (Hash::default(), 0, 0);
    while arrived < whole.len() {
        arrived = (arrived + fastrand::usize(1..200)).min(whole.len());
        taken += hash.decode_slice(taken as u64, &whole[taken..arrived]).expect("a hash");
    }
    assert_eq!(taken, whole.len());
    hash
}

/// A random effect, which is performed on `item` and on `model`; what the log gets of it.
fn step(random: &mut fastrand::Rng, item: &mut Item, model: &mut Model) -> (u8, Vec<u8>) {
    let bytes = |random: &mut fastrand::Rng, most: usize| {
        let most = if random.u8(..) < 8 { 700 } else { most };
        let length = random.usize(0..=most);
        (0..length).map(|_| random.u8(..2)).collect::<Vec<u8>>()
    };
    let names: Vec<Vec<u8>> = (0..random.usize(1..4)).map(|_| bytes(random, 9)).collect();
    let mut room = Vec::new();
    let named: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
    let at = random.bool().then(|| Millis(random.u64(..20)));
    match random.u8(..12) {
        0..7 => {
            let values: Vec<Vec<u8>> = named.iter().map(|_| bytes(random, 12)).collect();
            let fields: Vec<_> =
                named.iter().zip(&values).map(|(name, value)| (*name, &value[..], at)).collect();
            let set = Set { fields: &fields, is_large: random.u16(..1000) == 0, seen: None };
            let before = model.len();
            model.extend(
                fields.iter().map(|(name, value, at)| (name.to_vec(), (value.to_vec(), *at))),
            );
            assert_eq!(set.perform(item), Ok(model.len() - before));
            let told = set.told(&mut room);
            (told.op, [told.head.as_bytes(), told.bytes].concat())
        }
        7..9 => {
            let remove = Remove(&named);
            let gone = named.iter().filter(|name| model.remove(**name).is_some()).count();
            assert_eq!(remove.perform(item), Ok(gone));
            let told = remove.told(&mut room);
            (told.op, [told.head.as_bytes(), told.bytes].concat())
        }
        _ => {
            let date = Date { names: &named, deadline: at };
            let mut count = 0;
            for name in &named {
                let Some((_, there)) = model.get_mut(*name) else { continue };
                count += usize::from(there.is_some() || at.is_some());
                *there = at;
            }
            assert_eq!(date.perform(item), Ok(count));
            let told = date.told(&mut room);
            (told.op, [told.head.as_bytes(), told.bytes].concat())
        }
    }
}

#[test]
fn effects_do_to_a_hash_what_they_do_to_a_map_and_a_second_one_that_is_told_of_them_is_equal() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let new = || Item::new(b"key", (TYPE.empty)(), None);
    let (mut item, mut told, mut model) = (new(), new(), Model::new());
    let mut held = Vec::new();
    for round in 0..6000 {
        let (op, bytes) = step(&mut random, &mut item, &mut model);
        assert_eq!((TYPE.perform)(&mut told, op, &bytes), Ok(()));
        if round % 200 == 0 {
            assert_is(hash_in(&item), &model);
            assert!(*item.object().unwrap() == *told.object().unwrap());
            held.push((item.share(), model.clone()));
        }
    }
    for (value, model) in held {
        assert_is(value.object().expect("a hash"), &model);
    }
}

#[test]
fn a_small_hash_is_in_the_order_in_which_it_was_put_with_deadlines_before() {
    let mut hash = Hash::default();
    for name in ["a", "b", "c", "d"] {
        hash.set(name.as_bytes(), b"1", None);
    }
    let order = |hash: &Hash| {
        let names = hash.iter().map(|field| field.name().to_bytes().into_owned());
        String::from_utf8(names.collect::<Vec<_>>().concat()).expect("letters")
    };
    assert_eq!((order(&hash), hash.encoding()), ("abcd".to_owned(), "listpack"));
    hash.date(b"c", Some(Millis(100)));
    assert_eq!((order(&hash), hash.encoding()), ("cabd".to_owned(), "listpackex"));
    // Before what ends with it.
    hash.date(b"d", Some(Millis(50)));
    hash.date(b"a", Some(Millis(100)));
    assert_eq!(order(&hash), "dacb");
    hash.date(b"d", None);
    hash.set(b"e", b"1", Some(Millis(70)));
    assert_eq!(order(&hash), "eacbd");
    // A value that is set anew has no deadline; one that keeps it stays where it is.
    hash.set(b"a", b"2", None);
    hash.set(b"c", b"2", Some(Millis(100)));
    assert_eq!(order(&hash), "ecbda");
    hash.grow();
    assert_eq!((hash.len(), hash.encoding()), (5, "hashtable"));
    assert_eq!(hash.next_deadline(), Some(Millis(70)));
}

#[test]
fn odd_bytes_are_no_hash() {
    // Shorter than it says, a field longer than its element, a deadline cut off, a field twice.
    for bytes in [&[3, 2, b'a'][..], &[2, 4, b'a'], &[3, 1, 0, 0], &[2, 2, b'a', 2, 2, b'a'], &[0]]
    {
        for mark in 0..3 {
            let bytes = [&[mark], bytes].concat();
            assert!(decode(&bytes).is_none(), "{bytes:?}");
        }
    }
    // No such form; a deadline where there is none, or out of order.
    let dated = |at: u8| [10, 3, at, 0, 0, 0, 0, 0, 0, 0, at];
    for bytes in [
        vec![],
        vec![3],
        [&[0][..], &dated(1)].concat(),
        [&[1][..], &dated(2), &dated(1)].concat(),
        [&[1][..], &[2, 2, b'a'], &dated(1)].concat(),
    ] {
        assert!(decode(&bytes).is_none(), "{bytes:?}");
    }
    assert!(decode(&[&[1][..], &dated(1), &dated(2)].concat()).is_some());
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    assert_eq!((TYPE.perform)(&mut item, 1, &[2, 1]), Err(super::super::Unfit::Malformed));
    assert_eq!((TYPE.perform)(&mut item, 9, &[]), Err(super::super::Unfit::Unknown));
}
