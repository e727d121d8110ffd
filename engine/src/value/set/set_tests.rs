use super::*;
use crate::value::effect::TypeEffect;
use crate::value::{Item, Unfit, test_seed};
use std::collections::BTreeSet;

type Model = BTreeSet<Vec<u8>>;

fn set_in(item: &Item) -> &Set {
    item.object().and_then(Set::of).expect("a set")
}

fn members(set: &Set) -> Vec<Vec<u8>> {
    set.iter().map(|member| member.value.to_bytes().into_owned()).collect()
}

fn assert_is(set: &Set, model: &Model) {
    assert_eq!(set.len(), model.len() as u64);
    let all = members(set);
    assert_eq!(&all.iter().cloned().collect::<Model>(), model);
    for (index, member) in all.iter().enumerate().step_by(7) {
        assert!(set.has(member));
        assert_eq!(&*set.at(index as u64).expect("a member").value.to_bytes(), &member[..]);
    }
    let mut whole = Vec::new();
    set.encode(&mut whole);
    assert_eq!(whole.len(), set.encoded_len());
    let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{set:?}: {whole:?}") };
    assert!(*read == *(set as &dyn Object));
    let read = in_slices(set, &whole);
    assert!(*(&read as &dyn Object) == *(set as &dyn Object));
}

/// What is read of a whole value that is written in pieces and comes in others.
fn in_slices(set: &Set, whole: &[u8]) -> Set {
    let (mut read, mut taken, mut written) = (Set::default(), 0, Vec::new());
    while written.len() < whole.len() {
        let to = (written.len() + fastrand::usize(1..200)).min(whole.len());
        set.encode_range(written.len()..to, &mut written);
        taken += read.decode_slice(taken as u64, &written[taken..]).expect("a set");
    }
    assert!(written == whole && taken == whole.len());
    read
}

fn random_member(random: &mut fastrand::Rng, are_integers: bool) -> Vec<u8> {
    if are_integers || random.u8(..3) == 0 {
        return random.i64(-40..1000).to_string().into_bytes();
    }
    let most = if random.u8(..) < 6 { 700 } else { 9 };
    let length = random.usize(0..=most);
    (0..length).map(|_| random.u8(..3)).collect()
}

#[test]
fn effects_do_to_a_set_what_they_do_to_a_model_and_a_second_one_that_is_told_of_them_is_equal() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    for round in 0..12 {
        let new = || Item::new(b"key", (TYPE.empty)(), None);
        let (mut item, mut told, mut model) = (new(), new(), Model::new());
        let (mut held, mut form) = (Vec::new(), Form::Integers);
        for step in 0..700 {
            let names: Vec<Vec<u8>> = (0..random.usize(1..6))
                .map(|_| random_member(&mut random, form == Form::Integers))
                .collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let (mut room, before) = (Vec::new(), model.len());
            let told_effect = if random.u8(..10) < 6 {
                model.extend(names.iter().map(|name| name.to_vec()));
                let add = Add { form, members: &names };
                assert_eq!(add.perform(&mut item), Ok(model.len() - before));
                let told = add.told(&mut room);
                (told.op, told.bytes.to_vec())
            } else {
                names.iter().for_each(|name| {
                    model.remove(*name);
                });
                let is_listed = random.u8(..100) == 0;
                let remove = Remove { members: &names, is_listed, seen: None };
                assert_eq!(remove.perform(&mut item), Ok(before - model.len()));
                let told = remove.told(&mut room);
                (told.op, told.bytes.to_vec())
            };
            assert_eq!((TYPE.perform)(&mut told, told_effect.0, &told_effect.1), Ok(()));
            if step % 50 == 0 {
                assert_is(set_in(&item), &model);
                assert!(*item.object().unwrap() == *told.object().unwrap());
                held.push((item.share(), model.clone()));
            }
            form = match random.u16(..200 + round * 40) {
                0 => Form::Listed,
                1 => Form::Hashed,
                _ => form,
            };
            form = form.max(set_in(&item).form());
        }
        for (value, model) in held {
            assert_is(value.object().expect("a set"), &model);
        }
    }
}

#[test]
fn a_set_has_the_form_and_order_that_redis_gives_it() {
    let words = |text: &str| -> Vec<Vec<u8>> {
        text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    };
    let long = "x".repeat(65);
    for (put, form, order) in [
        ("3 1 2", Form::Integers, "1 2 3"),
        ("3 1 b 2 a", Form::Listed, "1 3 b 2 a"),
        ("b 3 1", Form::Listed, "b 3 1"),
        ("-5 10 9 -40 -5", Form::Integers, "-40 -5 9 10"),
        ("1 01", Form::Listed, "1 01"),
        (&format!("1 {long}"), Form::Hashed, ""),
    ] {
        let mut set = Set::default();
        for word in words(put) {
            set.put(&word, &Limits::default());
        }
        assert_eq!(set.form(), form, "{put}");
        if form != Form::Hashed {
            assert_eq!(members(&set), words(order), "{put}");
        }
    }
    for (count, prefix, form) in [
        (512, "", Form::Integers),
        (513, "", Form::Hashed),
        (128, "m", Form::Listed),
        (129, "m", Form::Hashed),
    ] {
        let mut set = Set::default();
        for number in 0..count {
            set.put(format!("{prefix}{number}").as_bytes(), &Limits::default());
        }
        assert_eq!(set.form(), form, "{count} {prefix}");
    }
}

#[test]
fn what_is_to_come_decides_on_the_form() {
    let limits = Limits { integers: 4, listed: 3, listed_bytes: 4 };
    let of = |there: &str, new: &str| {
        let mut set = Set::default();
        for word in there.split_whitespace() {
            set.put(word.as_bytes(), &limits);
        }
        let new: Vec<&[u8]> = new.split_whitespace().map(str::as_bytes).collect();
        let there = (!set.is_empty()).then_some(&set);
        let Growth { integers, form } = Growth::of(there, &new, new.len(), &limits);
        (integers, form)
    };
    assert_eq!(of("", "1 2 3 4"), (0, Form::Integers));
    assert_eq!(of("", "1 2 3 4 5"), (0, Form::Hashed));
    assert_eq!(of("", "1 2 a"), (2, Form::Listed));
    assert_eq!(of("", "a 1 2"), (0, Form::Listed));
    assert_eq!(of("", "a 1 2 3"), (0, Form::Hashed));
    assert_eq!(of("7", "1 a"), (1, Form::Listed));
    assert_eq!(of("7 8", "1 a"), (0, Form::Hashed));
    assert_eq!(of("7", "12345"), (0, Form::Integers));
    // A number that would be too long for a list.
    assert_eq!(of("7 12345", "a"), (0, Form::Hashed));
    assert_eq!(of("a", "abcde"), (0, Form::Hashed));
    assert_eq!(of("", "abcde"), (0, Form::Hashed));
}

#[test]
fn sets_are_combined_as_a_model_does_it_in_pieces_of_any_length() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    for _ in 0..400 {
        let limits = Limits { integers: 20, listed: 10, listed_bytes: 64 };
        let (count, are_integers) = (random.usize(1..5), random.bool());
        let mut sets = Vec::new();
        for _ in 0..count {
            let mut set = Set::default();
            let most = [3, 15, 60, 400][random.usize(..4)];
            for _ in 0..random.usize(0..most) {
                set.put(&random_member(&mut random, are_integers), &limits);
            }
            sets.push((!set.is_empty()).then_some(set));
        }
        let models: Vec<Model> =
            sets.iter().map(|set| set.iter().flat_map(members).collect()).collect();
        for operation in [Operation::Intersect, Operation::Union, Operation::Subtract] {
            let mut expected = models[0].clone();
            for model in &models[1..] {
                expected = match operation {
                    Operation::Intersect => &expected & model,
                    Operation::Union => &expected | model,
                    Operation::Subtract => &expected - model,
                };
            }
            let mut combining = Combining::of(operation, sets.clone(), limits);
            let (looks, mut pieces) = (random.usize(1..40), 0);
            while !combining.more(looks) {
                pieces += 1;
                assert!(pieces < 100_000, "{operation:?} comes to no end");
            }
            let outcome = combining.outcome();
            assert_is(&outcome, &expected);
            let has_form = match outcome.form() {
                Form::Integers => expected.len() <= 20,
                Form::Listed => expected.len() <= 10,
                Form::Hashed => true,
            };
            assert!(has_form, "{outcome:?}");
            if operation == Operation::Intersect {
                let most = random.u64(..4);
                let mut counting = Combining::counting(sets.clone(), most);
                while !counting.more(looks) {}
                let bound = if most == 0 { u64::MAX } else { most };
                assert_eq!(counting.count(), bound.min(expected.len() as u64));
            }
        }
    }
}

#[test]
fn odd_bytes_are_no_set() {
    // No form; one that is none; shorter than it says; a member twice, in each form; no number; not ascending.
    for bytes in [
        &[][..],
        &[3],
        &[1, 2, b'a'],
        &[0, 1, b'1', 1, b'1'],
        &[1, 1, b'a', 1, b'a'],
        &[2, 1, b'a', 1, b'b', 1, b'a'],
        &[0, 1, b'a'],
        &[0, 1, b'2', 1, b'1'],
    ] {
        assert!(decode(bytes).is_none(), "{bytes:?}");
    }
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    assert_eq!((TYPE.perform)(&mut item, 1, &[2, 1]), Err(Unfit::Malformed));
    assert_eq!((TYPE.perform)(&mut item, 0, &[1, b'a']), Err(Unfit::Malformed));
    assert_eq!((TYPE.perform)(&mut item, 5, &[]), Err(Unfit::Unknown));
}
