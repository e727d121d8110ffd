use super::*;
use crate::value::effect::TypeEffect;
use crate::value::{Item, test_seed};
use std::collections::BTreeMap;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream as a map, and the groups as maps.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<u128, Fields>,
    groups: BTreeMap<Vec<u8>, (Id, BTreeMap<u128, (Vec<u8>, u64, u64)>)>,
}

const LIMITS: NodeLimits = NodeLimits { bytes: 300, entries: 7 };

fn stream_in(item: &Item) -> &Stream {
    let object: &dyn std::any::Any = item.object().expect("a stream");
    object.downcast_ref().expect("a stream")
}

fn owned(fields: super::Fields<'_>) -> Fields {
    let owned = |text: Text<'_>| text.bytes(&mut itoa::Buffer::new()).to_vec();
    fields.map(|(name, value)| (owned(name), owned(value))).collect()
}

fn assert_is(stream: &Stream, model: &Model, random: &mut fastrand::Rng) {
    assert_eq!(stream.len(), model.entries.len() as u64);
    assert_eq!(stream.first().0, model.entries.keys().next().copied().unwrap_or(0));
    assert_eq!(stream.top().0, model.entries.keys().next_back().copied().unwrap_or(0));
    let some = Id::new(random.u64(..200), random.u64(..3));
    let other = Id(some.0.saturating_add(random.u128(..1 << 70)));
    for (from, to) in [(Id::ZERO, Id::MAX), (some, Id::MAX), (Id::ZERO, some), (some, other)] {
        let expected = || model.entries.range(from.0..=to.0).map(|(id, it)| (Id(*id), it.clone()));
        let mut seen = Vec::new();
        stream.visit(from, to, |id, fields| {
            seen.push((id, owned(fields)));
            true
        });
        assert!(seen.iter().cloned().eq(expected()), "{from}..{to} {seen:?}");
        seen.clear();
        stream.visit_back(from, to, |id, fields| {
            seen.push((id, owned(fields)));
            true
        });
        assert!(seen.iter().rev().cloned().eq(expected()), "{from}..{to} back {seen:?}");
        assert_eq!(stream.has(from), model.entries.contains_key(&from.0));
    }
    assert!(stream.groups().map(|(name, _)| name).eq(model.groups.keys().map(Vec::as_slice)));
    for (name, (last, pending)) in &model.groups {
        let group = stream.group(name).expect("it is there");
        assert_eq!((group.last, group.pending_count()), (*last, pending.len() as u64));
        for (seen, (id, (consumer, at, times))) in group.pending_from(Id::ZERO).zip(pending) {
            assert_eq!((seen.id.0, seen.at, seen.times), (*id, *at, *times));
            assert_eq!(group.name_of(seen.consumer).as_deref(), Some(&consumer[..]));
        }
        let names: Vec<_> = group.consumers().map(|it| it.name().to_vec()).collect();
        assert!(
            names.is_sorted_by(|one, next| one < next) && names.len() == group.consumer_count()
        );
        for (place, consumer) in group.consumers().enumerate() {
            let same = group.consumers_from(place as u64).next().expect("it is there");
            let named = group.consumer_named(consumer.name()).expect("it has a name");
            assert_eq!([same.number, named.number], [consumer.number; 2]);
            assert_eq!(group.name_of(consumer.number).as_deref(), Some(consumer.name()));
            let count = consumer.pending_from(some).count();
            assert_eq!(consumer.pending_count_from(some), count as u64);
            let own = pending.iter().filter(|(_, (owner, ..))| owner == consumer.name());
            assert!(consumer.pending_from(Id::ZERO).map(|id| id.0).eq(own.map(|(id, _)| *id)));
        }
    }
    let mut whole = Vec::new();
    stream.encode(&mut whole);
    assert_eq!(whole.len(), stream.encoded_len());
    let Some(NewValue::Object(read)) = decode(&whole) else { panic!("{} bytes", whole.len()) };
    assert!(*read == *(stream as &dyn Object));
    assert_eq!(digest(&*read), digest(stream));
    // Written and read in slices it is the same.
    let (mut slices, mut built, mut at) = (Vec::new(), Stream::default(), 0);
    while slices.len() < whole.len() {
        let from = slices.len();
        stream.encode_range(from..(from + random.usize(1..500)).min(whole.len()), &mut slices);
        at += built.decode_slice(at as u64, &slices[at..]).expect("parts");
    }
    assert!(slices == whole && at == whole.len());
    let built: &dyn Object = &built;
    assert!(*built == *(stream as &dyn Object));
    assert!(stream.heap_bytes() >= stream.entries.open.bytes.len());
}

fn digest(object: &dyn Object) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    object.digest(&mut |part| parts.push(part.to_vec()));
    parts.sort_unstable();
    parts
}

/// Has an effect on one, and tells another one of it.
fn have<E: TypeEffect>(items: &mut [Item; 2], effect: &E) -> E::Done {
    let mut room = Vec::new();
    let told = effect.told(&mut room);
    let bytes = [told.head.as_bytes(), told.bytes].concat();
    perform_told(&mut items[1], told.op, &bytes);
    effect.perform(&mut items[0]).unwrap_or_else(|unfit| panic!("{unfit:?}"))
}

fn perform_told(item: &mut Item, op: u8, bytes: &[u8]) {
    (TYPE.perform)(item, op, bytes).unwrap_or_else(|unfit| panic!("{unfit:?} {bytes:?}"));
}

fn add(items: &mut [Item; 2], model: &mut Model, random: &mut fastrand::Rng) {
    let last = stream_in(&items[0]).last_id();
    let id = match random.u8(..10) {
        0..5 => Id::new(last.ms(), last.seq() + 1),
        5..8 => Id::new(last.ms() + 1, 0),
        8 => Id::new(last.ms() + random.u64(1..5), random.u64(..4)),
        _ => Id::new(last.ms(), last.seq() + random.u64(2..200)),
    };
    let id = if id == Id::ZERO { Id::new(0, 1) } else { id };
    let names: &[&[u8]] = match random.u8(..6) {
        0..4 => &[b"a", b"b"],
        4 => &[b"a", b"12"],
        _ => &[b"c"],
    };
    let mut fields = Fields::new();
    for name in names {
        let value = match random.u8(..5) {
            0 => random.i64(-300..300).to_string().into_bytes(),
            1 => random.i64(..).to_string().into_bytes(),
            2 => b"0012".to_vec(),
            3 if random.u8(..20) == 0 => vec![b'x'; 700],
            _ => vec![b'x'; random.usize(..20)],
        };
        fields.push((name.to_vec(), value));
    }
    let texts = || fields.iter().flat_map(|(name, value)| [&name[..], &value[..]]);
    let bytes = texts().map(<[u8]>::len).sum::<usize>() as u64;
    let begins = stream_in(&items[0]).begins_pack(bytes, LIMITS);
    let entry = NewEntry::of(fields.len(), begins, texts());
    have(items, &Add { id, entry: &entry });
    model.entries.insert(id.0, fields);
}

fn trim(items: &mut [Item; 2], model: &mut Model, random: &mut fastrand::Rng) {
    let stream = stream_in(&items[0]);
    let leave = match random.bool() {
        true => Leave::Count(random.u64(..=stream.len())),
        false => Leave::From(Id::new(random.u64(..=stream.last_id().ms()), 1)),
    };
    let (whole, limit) = (random.bool(), random.u64(..20));
    let (front, _) = stream.front(leave, whole, limit, random.u64(1..10));
    let left = stream.len() - front.total;
    let gone = have(items, &Trim { packs: front.packs, entries: front.entries, left });
    assert_eq!(gone, front.total);
    for _ in 0..gone {
        model.entries.pop_first();
    }
    match leave {
        Leave::Count(count) => assert!(model.entries.len() as u64 >= count),
        Leave::From(id) if !whole && front.packs == 0 => {
            assert!(model.entries.keys().next().is_none_or(|first| *first >= id.0));
        }
        Leave::From(_) => {}
    }
}

/// Some that begin alike, some that lie outside of their leaf, and one of many.
fn consumer_name(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.usize(..12) {
        0 => Vec::new(),
        1 => b"ann".to_vec(),
        2 => b"ann\0".to_vec(),
        3 => b"anna".to_vec(),
        4 => vec![b'n'; 300],
        5 => vec![b'n'; 301],
        6 => vec![b'n'; 5000],
        _ => format!("consumer-{}", random.u8(..)).into_bytes(),
    }
}

fn groups(items: &mut [Item; 2], model: &mut Model, random: &mut fastrand::Rng) {
    let name = [&b"g"[..], b"h"][random.usize(..2)];
    let consumer = &consumer_name(random)[..];
    let Some((last, pending)) = model.groups.get_mut(name) else {
        have(items, &PutGroup { name, last: Id::new(3, 4), read: -1, is_new: true });
        model.groups.insert(name.to_vec(), (Id::new(3, 4), BTreeMap::new()));
        return;
    };
    match random.u8(..10) {
        0 => {
            have(items, &RemoveGroup(name));
            model.groups.remove(name);
        }
        1 => {
            have(items, &Dismiss { group: name, consumer });
            pending.retain(|_, (owner, ..)| owner != consumer);
        }
        2..5 => {
            let some = pending.keys().filter(|_| random.bool()).map(|id| Id(*id));
            let ids: Vec<Id> = some.chain([Id::new(7, 7)]).collect();
            let gone = ids.iter().filter(|id| pending.remove(&id.0).is_some()).count();
            assert_eq!(have(items, &Confirm { group: name, ids }), gone);
        }
        _ => {
            *last = Id::new(random.u64(..9), 0);
            let count = random.usize(..20);
            let entries = (0..count).map(|_| {
                let id = Id::new(random.u64(..100), random.u64(..3));
                (id, random.u64(..1 << 45), random.u64(..200))
            });
            let entries: Vec<_> = entries.collect();
            for (id, at, times) in &entries {
                pending.insert(id.0, (consumer.to_vec(), *at, *times));
            }
            let group = PutGroup { name, last: *last, read: random.i64(..), is_new: false };
            let (seen, active) = (random.i64(..1 << 45), -1);
            let is_new = random.bool();
            have(items, &Deliver { group, consumer, is_new, seen, active, entries });
        }
    }
}

#[test]
fn effects_do_to_a_stream_what_they_do_to_maps_and_a_second_one_that_is_told_of_them_is_equal() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let new = || Item::new(b"key", (TYPE.empty)(), None);
    let (mut items, mut model) = ([new(), new()], Model::default());
    let mut held: Vec<(crate::value::SharedValue, Model)> = Vec::new();
    for step in 0..4000 {
        match random.u8(..40) {
            0..26 => add(&mut items, &mut model, &mut random),
            26 if random.bool() => trim(&mut items, &mut model, &mut random),
            27..31 => {
                let some = model.entries.keys().filter(|_| random.u8(..30) == 0);
                let mut ids: Vec<Id> = some.map(|id| Id(*id)).collect();
                ids.push(Id::new(random.u64(..100), random.u64(..3)));
                let gone = ids.iter().filter(|id| model.entries.remove(&id.0).is_some()).count();
                assert_eq!(have(&mut items, &Delete(ids)), gone);
            }
            31 => {
                // Back behind what was deleted, which a stream can be told to forget.
                let top = stream_in(&items[0]).top();
                let set = Set { last: top.max(Id::new(0, 1)), added: 5, max_deleted: Id::ZERO };
                have(&mut items, &set);
            }
            _ => groups(&mut items, &mut model, &mut random),
        }
        if random.u8(..) == 0 {
            held.push((items[0].share(), model.clone()));
        }
        if step % 10 == 0 {
            assert_is(stream_in(&items[0]), &model, &mut random);
            let [one, other] = &items;
            assert!(*one.object().expect("one") == *other.object().expect("another"));
        }
    }
    for (stream, model) in held {
        assert_is(stream.object().expect("a stream"), &model, &mut random);
    }
}

#[test]
fn entries_of_any_size_and_number_are_kept() {
    let mut item = Item::new(b"key", (TYPE.empty)(), None);
    let sizes = [0, 1, 63, 64, 127, 128, 300, 5000, 70_000, 70_000, 10, 200_000, 3, 1];
    let mut ids = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let value = vec![b'v'; size];
        let limits = NodeLimits { bytes: 0, entries: 0 };
        let begins = stream_in(&item).begins_pack(size as u64, limits);
        let far = 1u64 << (number * 5).min(63);
        let id = Id::new(far, u64::MAX - number as u64);
        ids.push((id, size));
        let entry = NewEntry::of(1, begins, [&b"f"[..], &value].into_iter());
        Add { id, entry: &entry }.perform(&mut item).expect("it fits");
    }
    let stream = stream_in(&item);
    let mut seen = Vec::new();
    stream.visit(Id::ZERO, Id::MAX, |id, mut fields| {
        let value = fields.next().map(|(_, value)| value.bytes(&mut itoa::Buffer::new()).len());
        seen.push((id, value.unwrap_or(usize::MAX)));
        true
    });
    assert_eq!(seen, ids);
    let mut whole = Vec::new();
    stream.encode(&mut whole);
    assert_eq!(whole.len(), stream.encoded_len());
    assert!(decode(&whole).is_some());
}

#[test]
fn whole_values_that_no_stream_wrote_are_refused_or_read_and_never_end_the_program() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let new = || Item::new(b"key", (TYPE.empty)(), None);
    let (mut items, mut model) = ([new(), new()], Model::default());
    for _ in 0..60 {
        add(&mut items, &mut model, &mut random);
        groups(&mut items, &mut model, &mut random);
    }
    let mut whole = Vec::new();
    stream_in(&items[0]).encode(&mut whole);
    for cut in 0..whole.len() {
        // What ends behind a part is a value of fewer parts.
        if let Some(NewValue::Object(read)) = decode(&whole[..cut]) {
            assert_eq!(read.encoded_len(), cut);
        }
    }
    for _ in 0..4_000 {
        let mut changed = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..changed.len());
            changed[at] = if random.bool() { random.u8(..) } else { changed[at] ^ 1 };
        }
        let Some(NewValue::Object(read)) = decode(&changed) else { continue };
        let mut item = Item::new(b"key", NewValue::Object(read), None);
        let stream = stream_in(&item);
        stream.visit_back(Id::ZERO, Id::MAX, |_, fields| fields.count() < usize::MAX);
        let front = stream.front(Leave::Count(3), false, 0, 100).0;
        Trim { packs: front.packs, entries: front.entries, left: 0 }.perform(&mut item).ok();
        let op = random.u8(..11);
        let bytes: Vec<u8> = (0..random.usize(..20)).map(|_| random.u8(..8)).collect();
        (TYPE.perform)(&mut item, op, &bytes).ok();
        digest(item.object().expect("a stream"));
    }
}

/// The story: a trim was told in packs alone. Who had the stream from a file, where deleted entries are no more, has others: it
/// kept 20 entries where its master kept 50.
#[test]
fn a_trim_leaves_the_same_entries_whatever_the_packs_are() {
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    let of = |numbers: std::ops::RangeInclusive<u64>| {
        let mut item = Item::new(b"key", (TYPE.empty)(), None);
        for number in numbers {
            let begins = stream_in(&item).begins_pack(2, limits);
            let entry = NewEntry::of(1, begins, [&b"f"[..], b"v"].into_iter());
            Add { id: Id::new(number, 1), entry: &entry }.perform(&mut item).expect("it fits");
        }
        item
    };
    let numbers = |item: &Item| {
        let mut numbers = Vec::new();
        stream_in(item).visit_back(Id::ZERO, Id::MAX, |id, _| {
            numbers.insert(0, id.ms());
            true
        });
        numbers
    };
    let trimmed = |item: &Item, count| {
        let (front, _) = stream_in(item).front(Leave::Count(count), false, 0, 100);
        let left = stream_in(item).len() - front.total;
        Trim { packs: front.packs, entries: front.entries, left }
    };
    let (mut master, mut loaded) = (of(1..=150), of(31..=150));
    trimmed(&master, 120).perform(&mut master).expect("they are there");
    for left in [119, 100, 50, 49, 20, 1, 0] {
        let trim = trimmed(&master, left);
        let gone = trim.perform(&mut master).expect("they are there");
        assert_eq!(trim.perform(&mut loaded), Ok(gone), "down to {left}");
        let expected: Vec<u64> = (151 - left..=150).collect();
        assert_eq!((numbers(&master), numbers(&loaded)), (expected.clone(), expected));
    }
    assert!(Trim { packs: 0, entries: 1, left: 1 }.perform(&mut loaded).is_err(), "fewer");
}

#[test]
fn packs_begin_where_redis_begins_nodes() {
    // As many as a redis-server says that its radix tree has keys.
    let limits = NodeLimits { bytes: 4096, entries: 100 };
    for (size, packs) in [(3, 3), (40, 4), (400, 28), (5000, 250)] {
        let mut item = Item::new(b"key", (TYPE.empty)(), None);
        for number in 1..=250 {
            let value = vec![b'v'; size];
            let begins = stream_in(&item).begins_pack(5 + size as u64, limits);
            let entry = NewEntry::of(1, begins, [&b"field"[..], &value].into_iter());
            Add { id: Id::new(1, number), entry: &entry }.perform(&mut item).expect("it fits");
        }
        assert_eq!(stream_in(&item).pack_count(), packs, "{size}");
    }
}

/// The story: four bytes of a number, and room for all numbers before it was made: 670 MB.
#[test]
fn a_consumer_with_any_number_takes_no_more_than_others() {
    let mut group = Group::default();
    for number in [3, u32::MAX, 1 << 23, 0] {
        group.add_consumer(number, &number.to_le_bytes(), 1, 2).expect("a free number and name");
        let name = group.name_of(number).expect("it has a name");
        assert_eq!(group.consumer_named(&name).map(|it| (it.number, it.seen)), Some((number, 1)));
    }
    assert_eq!(group.add_consumer(3, b"another", 1, 2), None);
    assert_eq!(group.add_consumer(5, &3u32.to_le_bytes(), 1, 2), None);
    assert_eq!(group.consumer_count(), 4);
    // The lowest that is free.
    assert_eq!([b"a", b"b", b"c"].map(|name| group.meet(name, 0, -1)), [1, 2, 4]);
    assert!(group.drop_consumer(b"b"));
    assert_eq!(group.meet(b"d", 0, -1), 2);
}

/// The story: a group of 100,000 consumers was copied whole by the first change behind each cut, and its head was written once
/// more for every slice of a full sync: 14 s.
#[test]
fn a_group_with_many_consumers_that_is_held_is_changed_and_written_by_the_page() {
    let mut group = Group::default();
    for number in 0..20_000 {
        group.meet(format!("consumer-{number}").as_bytes(), 1, -1);
    }
    let held = group.clone();
    group.meet(b"consumer-7", 5, 6);
    group.own(Pending { id: Id::new(1, 1), consumer: 7, at: 5, times: 1 });
    assert_eq!(held.consumer_named(b"consumer-7").map(|it| (it.seen, it.active)), Some((1, -1)));
    assert_eq!(group.consumer_named(b"consumer-7").map(|it| (it.seen, it.active)), Some((5, 6)));
    let alone = held.consumers_held_alone();
    assert!((1..32 * 1024).contains(&alone), "{alone} bytes");
}

/// The story: a hundred thousand groups were one map, copied whole by the first change behind each cut, and all of them
/// were passed for every slice of a full sync.
#[test]
fn many_groups_are_a_map_whose_copies_share_all_pages_but_the_changed_ones() {
    let mut random = fastrand::Rng::with_seed(test_seed());
    let (mut groups, mut model) = (Groups::default(), BTreeMap::new());
    let mut is_growing = true;
    for step in 0..6_000u64 {
        is_growing = (is_growing || groups.len() < 20) && groups.len() < 900;
        let name = format!("group-{}", random.u32(..1_000));
        let name = if random.u8(..8) > 0 { name } else { format!("h{step:06}") };
        let mut group = Group::default();
        group.last = Id::new(step, 0);
        match random.u8(..4) {
            0 => {
                let edited = groups.edit(name.as_bytes(), |group| group.meet(b"one", 1, 1));
                assert_eq!(edited.is_some(), model.contains_key(&name));
            }
            kind if (kind == 1) == is_growing => {
                assert_eq!(groups.remove(name.as_bytes()), model.remove(&name).is_some());
            }
            _ => {
                groups.put(name.as_bytes(), group);
                model.insert(name.clone(), step);
            }
        }
        assert_eq!(groups.get(name.as_bytes()).map(|it| it.last.ms()), model.get(&name).copied());
        if step % 100 == 0 {
            have_groups(&groups, &model, &name, &mut random);
        }
    }
    let held = groups.clone();
    let before = held.pages_held_alone();
    groups.edit(b"group-7", |group| group.meet(b"two", 1, 1));
    groups.put(b"group-7x", Group::default());
    let alone = held.pages_held_alone() - before;
    assert!(alone <= 2, "{alone} pages of {} groups", held.len());
}

fn have_groups(
    groups: &Groups,
    model: &BTreeMap<String, u64>,
    name: &str,
    random: &mut fastrand::Rng,
) {
    let seen = groups.iter().map(|(name, group)| (name.to_vec(), group.last.ms()));
    assert!(seen.eq(model.iter().map(|(name, last)| (name.clone().into_bytes(), *last))));
    assert_eq!((groups.len(), groups.last_name().is_some()), (model.len(), !model.is_empty()));
    let behind = groups.behind(Some(name.as_bytes())).map(|(name, _)| name.to_vec());
    let expected =
        model.range::<str, _>((std::ops::Bound::Excluded(name), std::ops::Bound::Unbounded));
    assert!(behind.eq(expected.map(|(name, _)| name.clone().into_bytes())), "behind {name}");
    let mut whole = Vec::new();
    groups.encode(&mut whole);
    assert_eq!(whole.len(), groups.encoded_len());
    let from = random.usize(..=whole.len());
    let to = random.usize(from..=whole.len());
    let mut out = Vec::new();
    let mut cutting = Cutting { range: from as u64..to as u64, at: 0, out: &mut out };
    groups.encode_range(&mut cutting);
    assert_eq!((cutting.at, &*out), (whole.len() as u64, &whole[from..to]));
    let heap: usize = groups.iter().map(|(name, group)| 64 + name.len() + group.heap_bytes()).sum();
    assert_eq!(groups.heap_bytes(), heap);
    groups.assert_pages();
}
