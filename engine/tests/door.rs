//! The one door: nothing changes a table or an item beside it, whoever must know what is there before a
//! change is asked each time, and whoever listens is served when the log holds the change, not earlier.

mod model_common;

use engine::db::{
    Before, Digest, FlushedTable, Keyspace, Policy, PolicyKind, Pressure, Role, TableId, WatchFlag,
};
use engine::journal::{Deadline, Effect, Payload, Record};
use engine::model::{DBS, ModelNode, World};
use engine::shard::Shard;
use engine::table::{Cursor, Table};
use engine::types::{DbIndex, Lsn, Millis, ShardId};
use engine::value::{Item, NewValue, SentEffect, hash, string};
use model_common::{Requests, borrowed, check_quiet, check_twin, seeds};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// What only the door may do, as it is written: without a table of one's own or an exclusive reference there
/// is nothing to change. The table's own room and that of values are below the door.
const CHANGES: [&str; 8] = [
    "&mut Item",
    "&mut Table",
    ".insert_unique(",
    ".note_due(",
    ".sweep_due(",
    ".into_drain(",
    ".set_clock(",
    ": Table<Item>",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_place_beside_the_door_changes_a_table_or_an_item() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for room in ["engine/src", "replication/src", "server/src"] {
        sources(&root.join(room), &mut files);
    }
    let (mut at_the_door, mut beside) = (0, Vec::new());
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // What somebody lets the door call is not a place of his own.
        let code = code.map(|line| line.replace("FnOnce(&mut Item)", ""));
        let places = code.filter(|line| CHANGES.iter().any(|change| line.contains(change))).count();
        match name.as_str() {
            "engine/src/db/door.rs" => at_the_door = places,
            _ if name.starts_with("engine/src/table/") => {}
            _ if name.starts_with("engine/src/value/") => {}
            _ if places > 0 => beside.push(format!("{name}: {places}")),
            _ => {}
        }
    }
    assert!(at_the_door > 3, "the door was found: {at_the_door}");
    assert_eq!(beside, Vec::<String>::new(), "changes beside the door");
}

/// Items by the identity of their table, whatever its number is.
type Images = HashMap<(TableId, Vec<u8>), Option<Digest>>;

/// Keeps what was there before the first change of each key.
#[derive(Clone, Default)]
struct Keeper(Rc<RefCell<Images>>);

fn image(item: &Item) -> Digest {
    Digest::of(DbIndex(0), item)
}

fn walk(table: &Table<Item>, visit: &mut dyn FnMut(&Item)) {
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        cursor = table.walk(at, &mut |_, item| visit(item));
    }
}

impl Before for Keeper {
    fn key(&mut self, table: TableId, hash: u64, key: &[u8], item: Option<&Item>) {
        assert!(item.is_none_or(|item| item.key() == key), "the item is the key's");
        let _ = hash;
        let mut images = self.0.borrow_mut();
        images.entry((table, key.to_vec())).or_insert_with(|| item.map(image));
    }

    fn table(&mut self, table: TableId, items: FlushedTable) -> Option<FlushedTable> {
        let mut images = self.0.borrow_mut();
        walk(items.items(), &mut |item| {
            images.entry((table, item.key().to_vec())).or_insert_with(|| Some(image(item)));
        });
        Some(items)
    }
}

fn images_of(keys: &Keyspace) -> Images {
    let mut images = Images::new();
    for index in 0..DBS as u16 {
        let (id, table) = (keys.table_id(DbIndex(index)), keys.table(DbIndex(index)));
        walk(table, &mut |item| {
            images.insert((id, item.key().to_vec()), Some(image(item)));
        });
    }
    images
}

#[test]
fn who_asks_before_changes_can_tell_what_was_there_at_one_moment() {
    for seed in seeds(30) {
        let node = ModelNode::in_world(&World::new(seed), 1);
        let world = node.world().clone();
        let mut requests = Requests::new(fastrand::Rng::with_seed(seed), 30, 25);
        let mut run = |count: usize| {
            for _ in 0..count {
                let (request, pause) = (requests.next(), requests.random.u64(..4));
                let (mut client, world_of_task) = (node.client(0), world.clone());
                world.block_on(async move {
                    client.pipeline(&[borrowed(&request)]).await;
                    world_of_task.sleep(pause).await;
                });
                if requests.random.u8(..8) == 0 {
                    node.heartbeat();
                }
            }
        };
        run(100);
        let before = node.with_shard(0, |shard| images_of(&shard.keys));
        let keeper = Keeper::default();
        let nobody =
            node.with_shard(0, |shard| shard.keys.set_before(Some(Box::new(keeper.clone()))));
        assert!(nobody.is_none());
        run(200);
        node.with_shard(0, |shard| shard.keys.set_before(None));
        let after = node.with_shard(0, |shard| images_of(&shard.keys));
        let kept = keeper.0.borrow();
        for (place, was) in &before {
            let told = kept.get(place).or_else(|| after.get(place));
            assert_eq!(told, Some(was), "SEED={seed} {place:?}");
        }
        for place in after.keys().filter(|place| !before.contains_key(place)) {
            assert_eq!(kept.get(place), Some(&None), "SEED={seed} {place:?} came unasked");
        }
        assert!(!kept.is_empty());
        check_quiet(&node, &format!("SEED={seed}"));
        check_twin(&node, &format!("SEED={seed}"));
    }
}

fn shard(role: Role) -> Shard {
    let mut shard = Shard::new(ShardId(0), 1, Keyspace::new(DBS, 7), 1);
    shard.keys.set_role(role);
    shard.set_now(Millis(1000));
    shard
}

const DB: DbIndex = DbIndex(0);

fn is_raised(flag: &WatchFlag) -> bool {
    flag.swap(false, Ordering::AcqRel)
}

#[test]
fn a_watch_is_told_when_the_log_holds_the_change() {
    let mut shard = shard(Role::Master);
    let (flag, other) = (WatchFlag::default(), WatchFlag::default());
    shard.keys.watch(DB, b"key", &flag);
    shard.keys.watch(DB, b"other", &other);
    type Change = fn(&mut Keyspace);
    let changes: [(&str, Change); 7] = [
        ("put", |keys| keys.put(DB, b"key", NewValue::Int(1), Deadline::None)),
        ("change", |keys| assert_eq!(keys.change(DB, b"key", &string::Effect::Append(b"2")), 2)),
        ("deadline", |keys| assert!(keys.set_deadline(DB, b"key", Some(Millis(5000))))),
        ("removal", |keys| assert!(keys.remove(DB, b"key"))),
        ("put again", |keys| keys.put(DB, b"key", NewValue::Int(1), Deadline::None)),
        ("flush", Keyspace::flush_all),
        ("swap", |keys| {
            keys.put(DbIndex(1), b"key", NewValue::Int(1), Deadline::None);
            keys.swap_db(DB, DbIndex(1));
        }),
    ];
    for (what, change) in changes {
        let Lsn(before) = shard.head();
        change(&mut shard.keys);
        assert!(!is_raised(&flag), "{what}: told before the log holds it");
        assert_eq!(shard.head(), Lsn(before));
        shard.publish();
        assert!(shard.head() > Lsn(before), "{what} is logged");
        assert!(is_raised(&flag), "{what}: not told");
    }
    assert!(!is_raised(&other), "another key was touched");
    shard.keys.unwatch(DB, b"key", &flag);
    shard.keys.put(DB, b"key", NewValue::Int(1), Deadline::None);
    shard.publish();
    assert!(!is_raised(&flag));
}

#[test]
fn a_watch_on_a_replica_is_told_of_what_is_applied() {
    let mut shard = shard(Role::Replica);
    let flag = WatchFlag::default();
    shard.keys.watch(DB, b"key", &flag);
    for effect in [
        Effect::Put { value: Payload::Int(1), deadline: Deadline::None },
        Effect::SetDeadline(Some(Millis(1))),
        Effect::Remove,
    ] {
        shard.keys.apply(&Record { db: DB, key: b"key", effect }).unwrap();
        assert!(!is_raised(&flag));
        shard.publish();
        assert!(is_raised(&flag));
    }
}

#[test]
fn a_key_that_had_expired_when_it_was_watched_is_deleted_without_a_word() {
    let mut shard = shard(Role::Master);
    let flag = WatchFlag::default();
    shard.keys.put(DB, b"key", NewValue::Int(1), Deadline::At(Millis(1500)));
    shard.set_now(Millis(2000));
    shard.publish();
    shard.keys.watch(DB, b"key", &flag);
    assert!(!shard.keys.exists(DB, b"key"));
    shard.publish();
    assert_eq!(shard.head(), Lsn(2), "the deletion stands in the log");
    assert!(!is_raised(&flag));
    shard.keys.put(DB, b"key", NewValue::Int(2), Deadline::None);
    shard.publish();
    assert!(is_raised(&flag));
}

#[test]
fn a_value_that_has_become_empty_goes_and_that_is_told() {
    let mut shard = shard(Role::Master);
    shard.keys.change(
        DB,
        b"key",
        &hash::Set {
            fields: &[(b"a", b"1", None), (b"b", b"2", None)],
            is_large: false,
            seen: None,
        },
    );
    shard.keys.change(DB, b"key", &hash::Remove(&[b"a"]));
    shard.publish();
    assert!(shard.keys.exists(DB, b"key"));
    let Lsn(before) = shard.head();
    assert_eq!(shard.keys.change(DB, b"key", &hash::Remove(&[b"b"])), 1);
    shard.publish();
    assert!(!shard.keys.exists(DB, b"key"));
    assert_eq!(shard.head(), Lsn(before + 2), "the effect and the deletion");
    let sent = SentEffect::of(&hash::Remove(&[b"x"]));
    shard.keys.change(
        DB,
        b"key",
        &hash::Set { fields: &[(b"x", b"1", None)], is_large: false, seen: None },
    );
    shard.keys.change_as_sent(DB, b"key", &sent);
    shard.publish();
    assert!(!shard.keys.exists(DB, b"key"));
}

/// The story: the heartbeat behind a FLUSHALL of a full node evicted what had been written since, for memory
/// that it was about to give back itself.
#[test]
fn no_key_is_evicted_for_memory_that_a_flush_gives_back() {
    type Ask = fn(&mut Shard) -> bool;
    let asks: [(&str, Ask); 2] =
        [("command", Shard::make_room), ("heartbeat", Shard::heartbeat_once)];
    for (who, ask) in asks {
        // It stops being short in the middle of what was flushed, or only at the end of it.
        for short in 1..=2 {
            let mut shard = shard(Role::Master);
            shard.keys.set_policy(Policy { kind: PolicyKind::AllKeysLru, ..Policy::default() });
            shard.keys.put(DB, b"flushed", NewValue::Int(1), Deadline::None);
            shard.keys.flush_all();
            shard.keys.put(DB, b"new", NewValue::Int(1), Deadline::None);
            shard.publish();
            let looks = Cell::new(0);
            shard.gate.pressure = Some(Box::new(move || {
                looks.set(looks.get() + 1);
                if looks.get() <= short { Pressure::Evict } else { Pressure::None }
            }));
            ask(&mut shard);
            assert!(shard.keys.exists(DB, b"new"), "{who} {short}: evicted");
        }
    }
}
