use super::*;
use engine::journal::{Deadline, Effect, FrameBuilder, Payload, Record, ShardSet, Transaction};
use std::collections::BTreeMap;

/// `key=value`, `2/key=value` in database 2, `-key` is gone, `!0,1` swaps databases, `!all` empties them.
fn entry(builder: &mut FrameBuilder, text: &str) {
    if let Some(global) = text.strip_prefix('!') {
        let global = match global.split_once(',') {
            None => Global::FlushAll,
            Some((one, other)) => {
                let db = |text: &str| DbIndex(text.parse().expect("a database"));
                Global::SwapDb(db(one), db(other))
            }
        };
        return builder.push_entry(&FrameEntry::Global(global));
    }
    let (db, rest) = text.split_once('/').unwrap_or(("0", text));
    let db = DbIndex(db.parse().expect("a database"));
    let (key, effect) = match rest.strip_prefix('-') {
        Some(key) => (key, Effect::Remove),
        None => {
            let (key, value) = rest.split_once('=').expect("key=value");
            let value = Payload::Bytes(value.as_bytes());
            (key, Effect::Put { value, deadline: Deadline::None })
        }
    };
    builder.push(&Record { db, key: key.as_bytes(), effect });
}

/// The bytes of a frame: entries by spaces, behind `T7:0,2:` those of a part of transaction 7 of shards 0 and 2.
fn frame(text: &str) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    let Some(rest) = text.strip_prefix('T') else {
        text.split(' ').for_each(|text| entry(&mut builder, text));
        return builder.to_wire(None);
    };
    let mut parts = rest.splitn(3, ':');
    let id = TxId(parts.next().and_then(|id| id.parse().ok()).expect("an id"));
    let shards = parts.next().expect("shards").split(',');
    let set = ShardSet::of(shards.map(|shard| ShardId(shard.parse().expect("a shard"))));
    let entries = parts.next().expect("entries");
    entries.split(' ').filter(|it| !it.is_empty()).for_each(|text| entry(&mut builder, text));
    builder.to_wire(Some(Transaction { id, shards: set.shards() }))
}

/// The commands of a stream, one in words.
fn words(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream).into_owned();
    let mut lines = text.split("\r\n");
    let mut commands = Vec::new();
    while let Some(count) = lines.next().and_then(|line| line.strip_prefix('*')) {
        let count: usize = count.parse().expect("a count");
        let words: Vec<&str> = (0..count).filter_map(|_| lines.nth(1)).collect();
        commands.push(words.join(" "));
    }
    commands
}

fn check(journals: &[&[&str]], expected: &[&str]) {
    let starts = vec![Lsn(10); journals.len()];
    let mut merge = Merge::new(&starts, Peers::From62, 1 << 20);
    let mut out = Vec::new();
    for (shard, frames) in journals.iter().enumerate() {
        for text in *frames {
            // However the bytes come.
            let bytes = frame(text);
            let (one, other) = bytes.split_at(bytes.len() / 2);
            merge.add(shard, one);
            merge.say(&mut out, usize::MAX).expect("the journals are good");
            merge.add(shard, other);
        }
    }
    merge.say(&mut out, usize::MAX).expect("the journals are good");
    assert_eq!(words(&out), expected, "{journals:?}");
}

#[test]
fn frames_of_one_shard_are_said_as_they_come() {
    check(&[&["a=1", "b=2", "-a"]], &["SELECT 0", "SET a 1", "SET b 2", "UNLINK a"]);
    check(&[&["a=1 b=2"]], &["SELECT 0", "MULTI", "SET a 1", "SET b 2", "EXEC"]);
    check(
        &[&["a=1", "3/b=2 c=1", "c=2"]],
        &[
            "SELECT 0", "SET a 1", "SELECT 3", "MULTI", "SET b 2", "SELECT 0", "SET c 1", "EXEC",
            "SET c 2",
        ],
    );
}

#[test]
fn frames_of_several_shards_are_said_as_one_once_all_parts_are_here() {
    check(
        &[&["a=1", "T5:0,1:x=1", "b=2"], &["c=3", "T5:0,1:y=2", "d=4"]],
        &[
            "SELECT 0", "SET a 1", "SET c 3", "MULTI", "SET x 1", "SET y 2", "EXEC", "SET b 2",
            "SET d 4",
        ],
    );
    // The other part is not here: what stands behind waits, what others say does not.
    check(&[&["T5:0,1:x=1", "b=2"], &["c=3"]], &["SELECT 0", "SET c 3"]);
    // A part that says nothing.
    check(&[&["T5:0,1:x=1"], &["T5:0,1:"]], &["SELECT 0", "SET x 1"]);
    // Three transactions that overlap.
    check(
        &[
            &["T1:0,1:a=1", "T3:0,2:b=1"],
            &["T1:0,1:c=1", "T2:1,2:d=1"],
            &["T2:1,2:e=1", "T3:0,2:f=1"],
        ],
        &[
            "SELECT 0", "MULTI", "SET a 1", "SET c 1", "EXEC", "MULTI", "SET d 1", "SET e 1",
            "EXEC", "MULTI", "SET b 1", "SET f 1", "EXEC",
        ],
    );
}

#[test]
fn what_changes_whole_databases_is_said_once_and_in_its_place() {
    check(&[&["T1:0:!all"]], &["FLUSHALL"]);
    check(&[&["T1:0,1:!all"], &["T1:0,1:!all"]], &["FLUSHALL"]);
    check(
        &[&["T1:0,1:a=1 !0,1 b=2"], &["T1:0,1:!0,1 c=3"]],
        &["SELECT 0", "MULTI", "SET a 1", "SWAPDB 0 1", "SET b 2", "SET c 3", "EXEC"],
    );
}

#[test]
fn what_does_not_fit_is_an_error() {
    for journals in [
        [vec!["T1:0,1:!all"], vec!["T1:0,1:!0,1"]],
        [vec!["T1:0,1:!all"], vec!["T1:0,1:a=1"]],
        [vec!["T2:0,1:a=1"], vec!["T3:0,1:a=1"]],
        [vec!["T2:1:a=1"], vec![]],
        [vec!["T2:0,5:a=1"], vec![]],
    ] {
        let mut merge = Merge::new(&[Lsn(0); 2], Peers::From62, 1 << 20);
        for (shard, frames) in journals.iter().enumerate() {
            frames.iter().for_each(|text| merge.add(shard, &frame(text)));
        }
        let mut say = || merge.say(&mut Vec::new(), usize::MAX);
        // All heads are known once each was looked at.
        assert!(say().and_then(|_| say()).is_err(), "{journals:?}");
    }
}

/// Keys of each shard in their order, transactions whole, positions as counted.
#[test]
fn a_random_order_of_arrival_changes_neither_the_order_of_a_key_nor_what_is_one() {
    const SHARDS: usize = 3;
    let seed = std::env::var("SEED").map_or(11, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut journals = vec![Vec::new(); SHARDS];
    for number in 1..2000 {
        if random.u8(..3) > 0 {
            let shard = random.usize(..SHARDS);
            journals[shard].extend(frame(&format!("s{shard}={number}")));
            continue;
        }
        let mut members: Vec<usize> = (0..SHARDS).filter(|_| random.bool()).collect();
        if members.is_empty() {
            members.push(1);
        }
        let list = members.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        for shard in members {
            journals[shard]
                .extend(frame(&format!("T{number}:{list}:s{shard}={number} t{shard}={number}")));
        }
    }
    let mut merge = Merge::new(&[Lsn(0); SHARDS], Peers::From62, 1 << 20);
    let (mut sent, mut out) = ([0; SHARDS], Vec::new());
    while (0..SHARDS).any(|shard| sent[shard] < journals[shard].len()) {
        let shard = random.usize(..SHARDS);
        let end = (sent[shard] + random.usize(1..900)).min(journals[shard].len());
        merge.add(shard, &journals[shard][sent[shard]..end]);
        let most = out.len() + random.usize(1..500);
        sent[shard] = end;
        merge.say(&mut out, most).expect("the journals are good");
    }
    merge.say(&mut out, usize::MAX).expect("the journals are good");
    let (mut last, mut inside) = (BTreeMap::new(), None);
    for command in words(&out) {
        let parts: Vec<&str> = command.split(' ').collect();
        match parts[..] {
            ["MULTI"] => inside = Some(Vec::new()),
            ["EXEC"] => {
                let numbers: Vec<u64> = inside.take().expect("MULTI");
                assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
            }
            ["SET", key, value] => {
                let number: u64 = value.parse().expect("a number");
                inside.iter_mut().for_each(|numbers| numbers.push(number));
                let before = last.insert(key.to_owned(), number).unwrap_or(0);
                assert!(before < number, "{key}: {before} {number}");
            }
            ["SELECT", "0"] => {}
            _ => panic!("{command}"),
        }
    }
    let total: u64 = merge.lsns().iter().map(|lsn| lsn.0).sum();
    let sets = words(&out).iter().filter(|command| command.starts_with("SET ")).count();
    assert_eq!(total, sets as u64);
}
