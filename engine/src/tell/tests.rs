use super::*;
use crate::value::Item;

fn said(peers: Peers, entries: &[FrameEntry<'_>]) -> Result<Vec<String>, Unsayable> {
    let (mut teller, mut out) = (Teller::new(peers, 100), Sayings::default());
    entries.iter().try_for_each(|entry| teller.say(entry, &mut out))?;
    let words = |(_, bytes): (_, &[u8])| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let words = text.split("\r\n").skip(1).filter(|word| !word.starts_with('$'));
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    Ok(out.iter().map(words).collect())
}

fn record<'a>(key: &'a [u8], effect: Effect<'a>) -> FrameEntry<'a> {
    FrameEntry::Record(Record { db: DbIndex(2), key, effect })
}

fn check(peers: Peers, effect: Effect<'_>, wanted: Result<&[&str], Unsayable>) {
    let told = said(peers, &[record(b"k", effect)]);
    let wanted = wanted.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(told, wanted);
}

#[test]
fn a_string_is_said_with_its_deadline_in_one_command() {
    let put = |deadline| Effect::Put { value: Payload::Bytes(b"v"), deadline };
    check(Peers::From62, put(Deadline::None), Ok(&["SET k v"]));
    check(Peers::From62, put(Deadline::Keep), Ok(&["SET k v KEEPTTL"]));
    check(Peers::From62, put(Deadline::At(Millis(7))), Ok(&["SET k v PXAT 7"]));
    check(Peers::From62, put(Deadline::At(Millis(0))), Ok(&["SET k v PXAT 1"]));
    let number = Effect::Put { value: Payload::Int(-12), deadline: Deadline::None };
    check(Peers::From62, number, Ok(&["SET k -12"]));
    check(Peers::From62, Effect::Remove, Ok(&["UNLINK k"]));
    check(Peers::From62, Effect::SetDeadline(None), Ok(&["PERSIST k"]));
    check(Peers::From62, Effect::SetDeadline(Some(Millis(9))), Ok(&["PEXPIREAT k 9"]));
}

#[test]
fn a_collection_takes_the_place_of_what_was_there() {
    let set = Payload::TypedBytes(2, b"\x01\x01a\x01b");
    let put = |deadline| Effect::Put { value: set.clone(), deadline };
    check(Peers::From62, put(Deadline::None), Ok(&["UNLINK k", "SADD k a b"]));
    let dated = ["UNLINK k", "SADD k a b", "PEXPIREAT k 9"];
    check(Peers::From62, put(Deadline::At(Millis(9))), Ok(&dated));
    check(Peers::From62, put(Deadline::Keep), Err(Unsayable::KeptDeadline));
    let unknown = Effect::Put { value: Payload::TypedBytes(99, b""), deadline: Deadline::None };
    check(Peers::From62, unknown, Err(Unsayable::UnknownType(99)));
}

#[test]
fn a_message_is_said_in_the_words_that_all_know() {
    let message = |scope| Effect::Message(scope, Payload::Bytes(b"m"));
    check(Peers::From62, message(Scope::Plain), Ok(&["PUBLISH k m"]));
    check(Peers::From62, message(Scope::Sharded), Ok(&["PUBLISH k m"]));
    check(Peers::From70, message(Scope::Sharded), Ok(&["SPUBLISH k m"]));
}

#[test]
fn fields_keep_their_deadlines_from_those_who_know_none() {
    let mut item = Item::new(b"k", (crate::value::hash::TYPE.empty)(), None);
    let fields: &[_] = &[(&b"f"[..], &b"v"[..], Some(Millis(5))), (b"g", b"w", None)];
    let set = crate::value::hash::Set { fields, is_large: false, seen: None };
    crate::value::TypeEffect::perform(&set, &mut item).expect("it fits");
    let mut bytes = Vec::new();
    item.object().expect("a hash").encode(&mut bytes);
    let put = || Effect::Put { value: Payload::TypedBytes(4, &bytes), deadline: Deadline::None };
    check(Peers::From70, put(), Ok(&["UNLINK k", "HSET k f v g w"]));
    let dated = ["UNLINK k", "HSET k f v g w", "HPEXPIREAT k 5 FIELDS 1 f"];
    check(Peers::From74, put(), Ok(&dated));
}

#[test]
fn a_value_in_pieces_is_said_at_its_end_or_is_too_long() {
    let part = |bytes| record(b"k", Effect::PutPart(Payload::Bytes(bytes)));
    let begin = |length| record(b"k", Effect::PutBegin { kind: 0, length });
    let end = || record(b"k", Effect::PutEnd { deadline: Deadline::At(Millis(3)) });
    let other = || record(b"other", Effect::Remove);
    let whole = [begin(4), part(b"ab"), other(), part(b"cd"), end()];
    let wanted = ["UNLINK other", "SET k abcd PXAT 3"].map(str::to_owned).to_vec();
    assert_eq!(said(Peers::From62, &whole), Ok(wanted));
    let too_long = Unsayable::TooLong { length: 101, longest: 100 };
    assert_eq!(said(Peers::From62, &[begin(101)]), Err(too_long));
    assert_eq!(said(Peers::From62, &[part(b"ab")]), Err(Unsayable::NoBeginning));
    assert_eq!(said(Peers::From62, &[end()]), Err(Unsayable::NoBeginning));
    assert_eq!(said(Peers::From62, &[begin(4), part(b"ab"), end()]), Err(Unsayable::Malformed));
    assert_eq!(said(Peers::From62, &[begin(1), part(b"ab")]), Err(Unsayable::Malformed));
}

#[test]
fn a_global_is_said_for_itself() {
    let mut out = Sayings::default();
    say_global(Global::FlushAll, &mut out);
    say_global(Global::FlushDb(DbIndex(3)), &mut out);
    say_global(Global::SwapDb(DbIndex(0), DbIndex(3)), &mut out);
    let dbs: Vec<_> = out.iter().map(|(db, _)| db).collect();
    assert_eq!(dbs, [None, Some(DbIndex(3)), None]);
    assert_eq!(said(Peers::From62, &[FrameEntry::Global(Global::FlushAll)]), Ok(Vec::new()));
}

#[test]
fn random_bytes_are_refused_and_do_no_harm() {
    let mut dice = fastrand::Rng::with_seed(7);
    for _ in 0..200_000 {
        let bytes: Vec<u8> = (0..dice.usize(..24)).map(|_| dice.u8(..6)).collect();
        let (mut teller, mut out) = (Teller::new(Peers::From74, 100), Sayings::default());
        let effect = match dice.bool() {
            true => Effect::Change(Change::new(dice.u16(..100), &bytes)),
            false => Effect::Put {
                value: Payload::TypedBytes(dice.u8(..7), &bytes),
                deadline: Deadline::None,
            },
        };
        teller.say(&record(b"k", effect), &mut out).ok();
        assert!(out.byte_count() < 4096, "{bytes:?}");
    }
}
