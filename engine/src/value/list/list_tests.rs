use super::*;
use crate::value::effect::TypeEffect;
use crate::value::types::Unfit;
use crate::value::{Item, test_seed};
use std::collections::VecDeque;

type Model = VecDeque<Vec<u8>>;

fn list_in(item: &Item) -> &List {
    let object: &dyn std::any::Any = item.object().expect("a list");
    object.downcast_ref().expect("a list")
}

fn assert_is(list: &List, model: &Model) {
    assert_eq!(list.len(), model.len() as u64);
    assert!(
        list.range(0..u64::MAX)
            .map(|value| value.to_bytes().into_owned())
            .eq(model.iter().cloned())
    );
    let (from, to) = (model.len() / 3, model.len() * 3 / 4);
    let part = list.range_back(from as u64..to as u64).map(|value| value.to_bytes().into_owned());
    assert!(part.eq(model.range(from..to).rev().cloned()));
    let mut counted = list.clone();
    counted.count_packed();
    assert_eq!(list.packed, counted.packed);
    let mut whole = Vec::new();
    list.encode(&mut whole);
    assert_eq!(whole.len(), list.encoded_len());
    let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{} bytes", whole.len()) };
    assert!(*read == *(list as &dyn Object));
    assert_eq!(read.encoding(), list.encoding());
    let read = in_slices(list, &whole);
    assert!(*(&read as &dyn Object) == *(list as &dyn Object));
    assert_eq!(read.packed, list.packed);
}

/// What is read of a whole value that is written in pieces and comes in others.
fn in_slices(list: &List, whole: &[u8]) -> List {
    let (mut read, mut taken, mut written) = (List::default(), 0, Vec::new());
    while written.len() < whole.len() {
        let to = (written.len() + fastrand::usize(1..200)).min(whole.len());
        list.encode_range(written.len()..to, &mut written);
        taken += read.decode_slice(taken as u64, &written[taken..]).expect("a list");
    }
    assert!(written == whole && taken == whole.len());
    let (mut part, mut parts) = (Some(0), 0);
    while let Some(from) = part {
        part = list.kept_from(from).1;
        parts += 1;
    }
    assert!(parts <= 1 + list.len() / 500, "{parts} parts of {}", list.len());
    read
}

/// Performs an effect, and what is told of it on another list.
fn have<E: TypeEffect>(effect: &E, item: &mut Item, other: &mut Item) -> E::Done
where
    E::Done: std::fmt::Debug,
{
    let done = effect.perform(item).expect("it fits");
    let mut room = Vec::new();
    let told = effect.told(&mut room);
    let bytes = [told.head.as_bytes(), told.bytes].concat();
    assert_eq!((TYPE.perform)(other, told.op, &bytes), Ok(()));
    done
}

#[test]
fn effects_do_to_a_list_what_they_do_to_a_deque_and_a_second_one_that_is_told_of_them_is_equal() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let new = || Item::new(b"key", (TYPE.empty)(), None);
    let (mut item, mut told, mut model) = (new(), new(), Model::new());
    let (limit, mut held) = (Limit::of(-1), Vec::new());
    let mut weight = 128;
    for step in 0..6000 {
        if step % 500 == 0 {
            weight = random.u8(60..200);
        }
        let bytes = |random: &mut fastrand::Rng| {
            let most = if random.u8(..) < 8 { 700 } else { 12 };
            (0..random.usize(0..=most)).map(|_| random.u8(b'0'..b'4')).collect::<Vec<u8>>()
        };
        let (item, told, length) = (&mut item, &mut told, model.len() as u64);
        if random.u8(..) < weight || length == 0 {
            let elements: Vec<_> = (0..random.usize(1..4)).map(|_| bytes(&mut random)).collect();
            let elements: Vec<&[u8]> = elements.iter().map(|element| &element[..]).collect();
            let form = list_in(item).form_with(elements.iter().copied(), limit);
            if random.u8(..) < 40 {
                let (index, element) = (random.u64(0..=length), elements[0]);
                have(&Insert { index, element, pivot: b"p", is_after: true, form }, item, told);
                model.insert(index as usize, element.to_vec());
                continue;
            }
            let end = if random.bool() { End::Left } else { End::Right };
            for element in &elements {
                match end {
                    End::Left => model.push_front(element.to_vec()),
                    End::Right => model.push_back(element.to_vec()),
                }
            }
            let count = have(&Push { end, elements: &elements, form }, item, told);
            assert_eq!(count, model.len() as u64);
        } else {
            match random.u8(..4) {
                0 => {
                    let index = random.u64(0..length);
                    let element = bytes(&mut random);
                    let form = list_in(item).form_set(index, &element, limit);
                    have(&Set { index, element: &element, form }, item, told);
                    model[index as usize] = element;
                }
                1 => {
                    let indexes: Vec<u64> = (0..length).filter(|_| random.u8(..) < 10).collect();
                    let form = list_in(item).form();
                    let (of, end) = (indexes.clone(), End::Right);
                    have(&Remove { indexes: of, element: b"e", end, form }, item, told);
                    indexes.iter().rev().for_each(|index| drop(model.remove(*index as usize)));
                }
                _ => {
                    let most = if random.u8(..) < 20 { length } else { 2.min(length) };
                    let front = random.u64(0..=most);
                    let back = random.u64(0..=most.min(length - front));
                    let left = length - front - back;
                    let form = list_in(item).form_trimmed(front, back, limit);
                    have(&Trim { front, back, form }, item, told);
                    model.drain(..front as usize);
                    model.truncate(left as usize);
                }
            }
        }
        if step % 100 == 0 {
            assert_is(list_in(item), &model);
            assert!(*item.object().unwrap() == *told.object().unwrap());
            held.push((item.share(), model.clone()));
        }
    }
    for (value, model) in held {
        assert_is(value.object().expect("a list"), &model);
    }
}

#[test]
fn odd_bytes_are_no_list_and_no_effect() {
    // No form, an odd one, an element cut off.
    for bytes in [&[][..], &[2], &[0, 2, b'a'], &[1, 0x80]] {
        assert!(decode(bytes).is_none(), "{bytes:?}");
    }
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    assert_eq!((TYPE.perform)(&mut item, 0, &[0, 1, b'a', 1, b'b', 0]), Ok(()));
    // Nothing, odd forms, elements cut off, too many, elements that are not there, not in order.
    for (op, bytes) in [
        (0, &[][..]),
        (0, &[2, 1, b'a']),
        (1, &[0, 2, b'a']),
        (2, &[8]),
        (3, &[8]),
        (4, &[4]),
        (4, &[4, 2]),
        (4, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]),
        (5, &[6, 1, b'a']),
        (6, &[8, 0, 1, b'a', 1, b'b']),
        (6, &[0, 2, 1, b'a', 1, b'b']),
        (6, &[0, 0, 1, b'a']),
        (7, &[0, 0, 1, b'a', 3]),
        (7, &[0, 0, 1, b'a', 0, 0, 1]),
        (7, &[0, 2, 1, b'a', 0]),
        (7, &[2, 0, 1, b'a', 0]),
        (7, &[0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]),
    ] {
        assert_eq!((TYPE.perform)(&mut item, op, bytes), Err(Unfit::Malformed), "{op} {bytes:?}");
    }
    assert_eq!((TYPE.perform)(&mut item, 8, &[0]), Err(Unfit::Unknown));
    assert_eq!(list_in(&item).len(), 3);
    assert_eq!((TYPE.perform)(&mut item, 6, &[6, 1, 1, b'z', 1, b'c']), Ok(()));
    assert_eq!(list_in(&item).get(3).unwrap().to_bytes(), &b"z"[..]);
}

#[test]
fn a_list_becomes_a_quicklist_at_the_limit_and_a_listpack_at_half_of_it() {
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    let limit = Limit::of(4);
    let mut forms = Vec::new();
    for _ in 0..6 {
        let form = list_in(&item).form_with([&b"a"[..]], limit);
        let push = Push { end: End::Right, elements: &[b"a"], form };
        push.perform(&mut item).expect("it fits");
        forms.push(list_in(&item).form());
    }
    for _ in 0..6 {
        let form = list_in(&item).form_trimmed(0, 1, limit);
        Trim { front: 0, back: 1, form }.perform(&mut item).expect("it fits");
        forms.push(list_in(&item).form());
    }
    use Form::{Pack, Quick};
    let grown = [Pack, Pack, Pack, Pack, Quick, Quick];
    let shrunk = [Quick, Quick, Quick, Pack, Pack, Pack];
    assert_eq!(forms, [grown, shrunk].concat());
}
