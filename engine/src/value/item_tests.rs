use super::*;

fn bytes_of(item: &Item) -> Vec<u8> {
    item.string().unwrap().with_bytes(<[u8]>::to_vec)
}

#[test]
fn a_small_item_fills_one_cache_line() {
    let item = Item::new(&[b'k'; 16], NewValue::from_bytes(&[b'v'; 32]), None);
    assert_eq!(item.heap_bytes(), 64);
    assert_eq!(size_of::<Option<Item>>(), 8);
}

#[test]
fn a_key_with_a_word_takes_half_a_line() {
    for value in [NewValue::Int(7), (crate::value::hash::TYPE.empty)()] {
        let item = Item::new(&[b'k'; 16], value, None);
        assert_eq!(item.heap_bytes(), 32, "{item:?}");
    }
}

/// Whatever a value becomes, whatever it was, and with or without a deadline, the key stays, and so does the deadline.
#[test]
fn a_value_of_any_kind_becomes_one_of_any_other() {
    type Make = fn() -> NewValue<'static>;
    let kinds: [Make; 9] = [
        || NewValue::Int(-7),
        || NewValue::Bytes(b""),
        || NewValue::Bytes(b"inline"),
        || NewValue::Bytes(&[b'x'; 1024]),
        || NewValue::Owned(vec![b'y'; 5000]),
        crate::value::hash::TYPE.empty,
        crate::value::set::TYPE.empty,
        crate::value::list::TYPE.empty,
        crate::value::stream::TYPE.empty,
    ];
    let seen = |item: &Item| match item.object() {
        None => (String::new(), bytes_of(item)),
        Some(object) => (format!("{object:?}"), Vec::new()),
    };
    for (key_len, (before, after)) in (0..40).flat_map(|key_len| {
        kinds
            .iter()
            .flat_map(|one| kinds.map(|other| (*one, other)))
            .map(move |pair| (key_len, pair))
    }) {
        let key: Vec<u8> = (0..key_len).collect();
        for deadline in [None, Some(Millis(0x0102_0304_0506_0708))] {
            let mut item = Item::new(&key, before(), deadline);
            item.set(after());
            let expected = Item::new(&key, after(), deadline);
            assert_eq!((item.key(), item.deadline()), (&key[..], deadline));
            assert_eq!((seen(&item), item.heap_bytes()), (seen(&expected), expected.heap_bytes()));
            let other = if deadline.is_some() { None } else { Some(Millis(9)) };
            item.set_deadline(other);
            let expected = Item::new(&key, after(), other);
            assert_eq!((item.key(), item.deadline()), (&key[..], other));
            assert_eq!((seen(&item), item.heap_bytes()), (seen(&expected), expected.heap_bytes()));
        }
    }
}

#[test]
fn encodings_are_those_of_redis() {
    let value = |bytes: &[u8]| Item::new(b"k", NewValue::from_bytes(bytes), None);
    for (item, encoding) in [
        (value(b"12"), "int"),
        (value(b"012"), "embstr"),
        (value(&[b'x'; 44]), "embstr"),
        (value(&[b'x'; 45]), "raw"),
        (value(&[b'x'; 5000]), "raw"),
    ] {
        assert_eq!(item.encoding(), encoding, "{item:?}");
    }
    let mut item = value(b"12");
    assert_eq!(item.append(b"3"), 3);
    assert_eq!((item.encoding(), bytes_of(&item).as_slice()), ("raw", b"123".as_slice()));
    item.set(NewValue::from_bytes(b"123"));
    assert_eq!(item.encoding(), "int");
    item.set_range(1, b"x");
    assert_eq!((item.encoding(), bytes_of(&item).as_slice()), ("raw", b"1x3".as_slice()));
}

#[test]
fn a_shared_large_value_stays_as_it_was() {
    let before = vec![b'a'; 3000];
    let mut item = Item::new(b"key", NewValue::Bytes(&before), Some(Millis(5)));
    let held = item.share();
    assert_eq!(item.append(b"tail"), 3004);
    item.set_range(0, b"head");
    assert_eq!(held.string().to_bytes(), before);
    let copy = Item::new(b"other", held.into(), None);
    drop(item);
    assert_eq!(bytes_of(&copy), before);
}

#[test]
fn an_unshared_large_value_grows_where_it_is() {
    let mut item = Item::new(b"key", NewValue::Owned(vec![b'a'; 3000]), None);
    item.append(&[b'1'; 100]);
    let (before, bytes) = (item.borrow_large().address(), item.heap_bytes());
    for length in 3101..4101 {
        assert_eq!(item.append(b"2"), length);
    }
    assert_eq!((item.borrow_large().address(), item.heap_bytes()), (before, bytes));
}

#[test]
fn a_long_string_that_is_held_is_copied_by_the_chunk() {
    // SETBIT on a string that the log held copied all of it.
    let mut item = Item::new(b"key", NewValue::Owned(vec![b'a'; 8 << 20]), None);
    let held = item.share();
    assert_eq!(item.set_range(5 << 20, b"x"), 8 << 20);
    let SharedValue::Large(held) = held else { panic!("{held:?}") };
    let (own, held) = (item.borrow_large(), held.borrow());
    let is_own = |at: &usize| own.stretch(*at).as_ptr() != held.stretch(*at).as_ptr();
    let copied = (0..8 << 20).step_by(10_000).filter(is_own).count();
    assert!((6..=7).contains(&copied), "one leaf of 64 KiB, seen every 10 kB: {copied}");
    assert_eq!((own.stretch(5 << 20)[0], held.stretch(5 << 20)[0]), (b'x', b'a'));
    assert_eq!(item.encoding(), "raw");
}

#[test]
fn random_changes_agree_with_a_plain_model() {
    let seed = crate::value::test_seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..if cfg!(debug_assertions) { 300 } else { 3000 } {
        let key = vec![random.u8(..); random.usize(..40)];
        let mut item = Item::new(&key, NewValue::Int(7), None);
        let (mut value, mut deadline, mut clock) = (b"7".to_vec(), None, 0);
        let mut held: Vec<(SharedValue, Vec<u8>)> = Vec::new();
        for _ in 0..60 {
            let length =
                *random.choice(&[0usize, 1, 20, 44, 45, 500, 1024, 1025, 5000, 70_000]).unwrap();
            let bytes = vec![random.u8(..); random.usize(..=length)];
            match random.u8(..9) {
                0 => {
                    item.set(NewValue::from_bytes(&bytes));
                    value = bytes;
                }
                1 => {
                    let number = random.i64(..) >> random.u8(..64);
                    item.set(number.into());
                    value = number.to_string().into_bytes();
                }
                2 => {
                    value.extend_from_slice(&bytes);
                    assert_eq!(item.append(&bytes), value.len(), "SEED={seed}");
                }
                3 => {
                    let offset = random.usize(..2000);
                    if !bytes.is_empty() {
                        value.resize(value.len().max(offset + bytes.len()), 0);
                        value[offset..offset + bytes.len()].copy_from_slice(&bytes);
                    }
                    assert_eq!(item.set_range(offset, &bytes), value.len(), "SEED={seed}");
                }
                4 => {
                    deadline = random.bool().then(|| Millis(random.u64(..)));
                    item.set_deadline(deadline);
                }
                5 => {
                    clock = random.u32(..1 << 24);
                    item.set_clock(clock);
                }
                6 => held.push((item.share(), value.clone())),
                7 if !held.is_empty() => {
                    let (shared, was) = held.swap_remove(random.usize(..held.len()));
                    item.set(shared.into());
                    value = was;
                }
                _ => {
                    item.set(NewValue::from_vec(bytes.clone()));
                    value = bytes;
                }
            }
            assert_eq!(item.key(), key, "SEED={seed}");
            assert_eq!(bytes_of(&item), value, "SEED={seed}");
            assert_eq!((item.deadline(), item.clock()), (deadline, clock), "SEED={seed}");
            assert_eq!((item.value().len(), item.share().len()), (value.len(), value.len()));
        }
        for (shared, was) in &held {
            assert_eq!(shared.string().to_bytes(), *was, "SEED={seed}");
        }
    }
}
