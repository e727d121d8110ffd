use super::*;
use crate::value::effect::TypeEffect;
use crate::value::{Item, test_seed};
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn hash_in(item: &Item) -> &Hash {
    let object: &dyn std::any::Any = item.object().expect("a hash");
    object.downcast_ref().expect("a hash")
}

fn assert_is(hash: &Hash, model: &Model) {
    assert_eq!(hash.len(), model.len() as u64);
    let fields = hash
        .iter()
        .map(|field| (field.name().into_owned(), (field.value().into_owned(), field.deadline())));
    assert_eq!(&fields.collect::<Model>(), model);
    let mut deadlines: Vec<Millis> = model.values().filter_map(|(_, deadline)| *deadline).collect();
    deadlines.sort_unstable();
    assert_eq!(hash.next_deadline(), deadlines.first().copied());
    let middle = deadlines.get(deadlines.len() / 2).copied().unwrap_or(Millis(5));
    let mut due = hash.due(middle, usize::MAX);
    due.sort_unstable();
    let expected =
        model.iter().filter(|(_, (_, deadline))| deadline.is_some_and(|at| at <= middle));
    assert!(due.iter().eq(expected.map(|(name, _)| name)));
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

#[test]
fn effects_do_to_a_hash_what_they_do_to_a_map_and_a_second_one_that_is_told_of_them_is_equal() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let new = || Item::new(b"key", (TYPE.empty)(), None);
    let (mut item, mut told, mut model) = (new(), new(), Model::new());
    let mut held = Vec::new();
    for step in 0..4000 {
        let bytes = |random: &mut fastrand::Rng, most: usize| {
            let most = if random.u8(..) < 8 { 700 } else { most };
            let length = random.usize(0..=most);
            (0..length).map(|_| random.u8(..2)).collect::<Vec<u8>>()
        };
        let names: Vec<Vec<u8>> = (0..random.usize(1..4)).map(|_| bytes(&mut random, 9)).collect();
        let mut room = Vec::new();
        let names = names.iter().map(|name| &name[..]);
        let effect = match random.u8(..10) {
            0..7 => {
                let fields: Vec<_> = names
                    .map(|name| {
                        let deadline = random.bool().then(|| Millis(random.u64(..20)));
                        (name, bytes(&mut random, 12), deadline)
                    })
                    .collect();
                let set =
                    Set(fields.iter().map(|(name, value, at)| (*name, &value[..], *at)).collect());
                let before = model.len();
                let fields =
                    fields.iter().map(|(name, value, at)| (name.to_vec(), (value.clone(), *at)));
                model.extend(fields);
                assert_eq!(set.perform(&mut item), Ok(model.len() - before));
                let told = set.told(&mut room);
                (told.op, told.bytes.to_vec())
            }
            7..9 => {
                let remove = Remove(names.collect());
                let gone = remove.0.iter().filter(|name| model.remove(**name).is_some()).count();
                assert_eq!(remove.perform(&mut item), Ok(gone));
                let told = remove.told(&mut room);
                (told.op, told.bytes.to_vec())
            }
            _ => {
                let persist = Persist(names.collect());
                let mut count = 0;
                for name in &persist.0 {
                    let there = model.get_mut(*name);
                    count += usize::from(there.is_some_and(|(_, at)| at.take().is_some()));
                }
                assert_eq!(persist.perform(&mut item), Ok(count));
                let told = persist.told(&mut room);
                (told.op, told.bytes.to_vec())
            }
        };
        assert_eq!((TYPE.perform)(&mut told, effect.0, &effect.1), Ok(()));
        if step % 200 == 0 {
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
fn odd_bytes_are_no_hash() {
    // Shorter than it says, a field longer than its element, a deadline cut off, a field twice.
    for bytes in [&[3, 2, b'a'][..], &[2, 4, b'a'], &[3, 1, 0, 0], &[2, 2, b'a', 2, 2, b'a'], &[0]]
    {
        assert!(decode(bytes).is_none(), "{bytes:?}");
    }
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    assert_eq!((TYPE.perform)(&mut item, 1, &[2, 1]), Err(super::super::Unfit::Malformed));
    assert_eq!((TYPE.perform)(&mut item, 3, &[]), Err(super::super::Unfit::Unknown));
}
