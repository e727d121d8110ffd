//! Files and streams of Redis's form, of every version and encoding, become the data set of a node; what is no
//! such file is one error and no panic.

mod load_made;
mod model_common;

use engine::db::Digest;
use engine::model::{ModelNode, World};
use engine::rdb::file::FileError;
use engine::snapshot::{Loaded, Loader, Options};
use load_made::{As, Made, cases, length, number, text, text_as};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The largest piece of memory that this thread asked for.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

struct Watched;

// SAFETY: all that is asked for is passed on.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static MEMORY: Watched = Watched;

const OPTIONS: Options = Options { keeps_expired: false, adds: false, replaces: false };

/// Loads a file that comes in pieces of this size into a node.
fn load_into(
    node: &ModelNode,
    bytes: &[u8],
    piece: usize,
    options: Options,
) -> Result<Loaded, FileError> {
    let (front, bytes) = (node.outside().clone(), bytes.to_vec());
    node.world().block_on(async move {
        let mut loader = Loader::new(&front, options).await;
        for piece in bytes.chunks(piece) {
            loader.push(piece).await?;
        }
        loader.end().await
    })
}

fn load(bytes: &[u8], shards: u16, piece: usize) -> (Result<Loaded, FileError>, Digest) {
    let node = ModelNode::in_world(&World::new(1), shards);
    let loaded = load_into(&node, bytes, piece, OPTIONS);
    (loaded, node.digest())
}

#[test]
fn an_empty_file_is_an_empty_data_set() {
    for version in (1..=13).chain([80, 89]) {
        let (loaded, digest) = load(&Made::new(version).end(), 2, 1);
        assert_eq!(loaded.map(|loaded| (loaded.version, loaded.keys)), Ok((version, 0)));
        assert_eq!(digest, Digest::default());
    }
}

#[test]
fn strings_in_every_form_are_what_they_say() {
    let mut made = Made::new(9);
    let long = "long ".repeat(100_000).into_bytes();
    let even = vec![b'e'; 1_000_000];
    let strings: [(&[u8], As); 9] = [
        (b"plain", As::Plain),
        (b"two", As::Two),
        (b"four", As::Four),
        (b"eight", As::Eight),
        (b"-12", As::Integer),
        (b"70000", As::Integer),
        (b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", As::Lzf),
        (&even, As::Lzf),
        (&long, As::Plain),
    ];
    let twin = ModelNode::in_world(&World::new(2), 1);
    for (index, (bytes, how)) in strings.iter().enumerate() {
        made.key(0, &format!("key{index}"), &text_as(bytes, *how));
        let mut client = twin.client(0);
        let key = format!("key{index}").into_bytes();
        let bytes = bytes.to_vec();
        twin.world().block_on(async move { client.run(&[b"SET", &key, &bytes]).await });
    }
    let bytes = made.end();
    for (shards, piece) in [(1, usize::MAX), (3, 1000), (2, 70_000)] {
        let (loaded, digest) = load(&bytes, shards, piece);
        assert_eq!(loaded.map(|loaded| loaded.keys), Ok(strings.len() as u64));
        assert_eq!(digest, twin.digest());
    }
}

/// A node on which these commands ran.
fn made_by<'a>(commands: impl IntoIterator<Item = &'a Vec<Vec<u8>>>) -> ModelNode {
    let node = ModelNode::in_world(&World::new(2), 1);
    let mut client = node.client(0);
    let commands: Vec<Vec<Vec<u8>>> = commands.into_iter().cloned().collect();
    node.world().block_on(async move {
        for command in commands {
            let words: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let reply = client.run(&words).await;
            let shown: Vec<_> =
                words.iter().take(9).map(|it| String::from_utf8_lossy(it)).collect();
            assert!(reply.error().is_none(), "{shown:?}: {reply:?}");
        }
    });
    node
}

#[test]
fn values_of_every_version_and_encoding_are_what_their_commands_make() {
    for case in cases::all() {
        let twin = made_by(&case.commands).digest();
        let bytes = Made::new(case.version).key(case.kind, "k", &case.value).end();
        let small = if bytes.len() < 6000 { 1 } else { 7777 };
        for (shards, piece) in [(1, usize::MAX), (2, small), (3, 4096)] {
            let (loaded, digest) = load(&bytes, shards, piece);
            let what = format!("{} in pieces of {piece}", case.what);
            assert_eq!(loaded.map(|loaded| loaded.keys), Ok(1), "{what}");
            assert_eq!(digest, twin, "{what}");
        }
    }
}

/// What a module wrote: integers, numbers and a string, each behind its kind.
fn of_a_module() -> Vec<u8> {
    let id = length(0x1234_5678_9abc_def0, As::Eight);
    let single = [vec![3], vec![0; 4]].concat();
    let double = [vec![4], vec![0; 8]].concat();
    let string = [vec![5], text(b"\x00 anything")].concat();
    [id, vec![1], number(70_000), vec![2, 3], single, double, string, vec![0]].concat()
}

/// Everything that can stand between keys, and keys of which nothing is kept.
fn with_everything() -> Made {
    let mut made = Made::new(12);
    made.aux("redis-ver", b"7.4.0").aux("ctime", b"1780000000").aux("damselfly-test", b"kept");
    made.add(&[245]).add(&text(b"#!lua name=mylib\n..."));
    made.add(&[246]).add(&text(b"lib")).add(&text(b"LUA")).add(&number(1));
    made.add(&text(b"what it does")).add(&text(b"code"));
    made.add(&[246]).add(&text(b"lib")).add(&text(b"LUA")).add(&number(0)).add(&text(b"code"));
    made.add(&[247]).add(&of_a_module());
    made.database(0).add(&[251]).add(&number(7)).add(&number(2));
    made.add(&[244]).add(&number(16_383)).add(&number(1)).add(&number(0));
    made.key(0, "plain", &text(b"1"));
    made.add(&[252]).add(&4_000_000_000_000_u64.to_le_bytes()).key(0, "ms", &text(b"2"));
    made.add(&[253]).add(&2_000_000_000_u32.to_le_bytes()).key(0, "s", &text(b"3"));
    made.add(&[252]).add(&7_u64.to_le_bytes()).key(0, "expired", &text(b"4"));
    made.add(&[253]).add(&(-1_i32).to_le_bytes()).key(1, "long expired", &[1, 1, b'e']);
    made.add(&[248]).add(&number(100)).key(0, "idle", &text(b"5"));
    made.add(&[249]).add(&[200]).key(0, "often", &text(b"6"));
    for kind in [1, 2, 3, 4, 5, 14, 18] {
        made.key(kind, &format!("empty {kind}"), &number(0));
    }
    for kind in [10, 12, 13] {
        made.key(kind, &format!("empty {kind}"), &text(&load_made::ziplist(&[])));
    }
    made.key(7, "a module's", &of_a_module());
    made.database(3).key(1, "list", &[&number(1)[..], &text(b"x")].concat());
    made.database(15).key(0, "plain", &text_as(b"-7", As::Integer));
    made
}

#[test]
fn what_stands_between_keys_is_understood_or_left_out_and_counted() {
    let bytes = with_everything().end();
    let lines = [
        "SET plain 1",
        "SET ms 2 PXAT 4000000000000",
        "SET s 3 EXAT 2000000000",
        "SET idle 5",
        "SET often 6",
        "SELECT 3",
        "RPUSH list x",
        "SELECT 15",
        "SET plain -7",
    ];
    let twin = made_by(&lines.map(model_common::words));
    for (shards, piece) in [(1, usize::MAX), (3, 1), (2, 100)] {
        let (loaded, digest) = load(&bytes, shards, piece);
        let loaded = loaded.expect("it can be loaded");
        assert_eq!(digest, twin.digest());
        let Loaded { keys, expired, empty, modules, module_data, announced, .. } = loaded;
        assert_eq!((keys, expired, empty, modules), (7, 2, 10, 1));
        assert_eq!((module_data, announced), (1, 7));
        assert_eq!((loaded.libraries, loaded.libraries_left_out), (1, 2));
        assert_eq!(loaded.aux["damselfly-test"], b"kept");
        assert_eq!(loaded.bytes, bytes.len() as u64);
    }
    // Whoever follows a master leaves it to that what has expired.
    let node = ModelNode::in_world(&World::new(1), 2);
    let loaded = load_into(&node, &bytes, 1000, Options { keeps_expired: true, ..OPTIONS });
    assert_eq!(loaded.map(|loaded| (loaded.keys, loaded.expired)), Ok((9, 0)));
}

/// The error of a file, with its place and its key.
fn check_refused(bytes: &[u8], parts: &[&str]) {
    for piece in [1, 100_000] {
        let (loaded, _) = load(bytes, 2, piece);
        let error = loaded.expect_err(parts[0]).to_string();
        for part in parts {
            assert!(error.contains(part), "'{part}' is missing in: {error}");
        }
    }
}

#[test]
fn what_cannot_be_loaded_is_one_error_that_names_place_and_key() {
    for head in ["REDIS0000", "REDIS0014", "REDIS0090", "REDIS00x1", "VALKEY090", "REDIS-001"] {
        let version = head.trim_start_matches("REDIS").trim_start_matches("VALKEY");
        check_refused(
            head.as_bytes(),
            &[&format!("RDB version '{version}' is not known"), "byte 0"],
        );
    }
    check_refused(b"DAMSELFLY", &["this is no RDB file"]);
    check_refused(b"RX", &["this is no RDB file"]);
    let mut made = Made::new(11);
    made.database(16).key(0, "k", &text(b"v"));
    check_refused(&made.end(), &["a database 16, and this node has 16", "--dbnum", "byte 11"]);
    let twice = Made::new(11).key(0, "one", &text(b"v")).key(0, "one", &text(b"w")).end();
    check_refused(&twice, &["the same key twice", "key 'one' of database 0", "byte 21"]);
    let list = [number(40_000), [1, b'x'].repeat(40_000)].concat();
    let far = Made::new(11).database(2).key(2, "many", &list).end();
    check_refused(&far, &["the same twice in one value", "key 'many' of database 2"]);
    let short = Made::new(11).key(2, "set", &[2, 1, b'x', 1, b'x']).end();
    check_refused(&short, &["the same twice in one value", "key 'set' of database 0"]);
    let score = [vec![1, 1, b'm'], f64::NAN.to_le_bytes().to_vec()].concat();
    check_refused(&Made::new(8).key(5, "nan", &score).end(), &["no number", "key 'nan'"]);
    check_refused(&Made::new(11).key(99, "odd", &[]).end(), &["no such type", "key 'odd'"]);
    check_refused(&Made::new(1).key(6, "old module", &[1]).end(), &["no such type"]);
    check_refused(&Made::new(11).key(18, "q", &[1, 7, 0]).end(), &["no such node", "key 'q'"]);
    let mut flipped = Made::new(11).key(0, "k", &text(b"value")).end();
    flipped[14] ^= 1;
    check_refused(&flipped, &["the checksum is not that of the bytes before it"]);
    let unsummed = Made::new(11).key(0, "k", &text(b"value")).end_unsummed();
    assert_eq!(load(&unsummed, 1, 5).0.map(|loaded| loaded.keys), Ok(1));
    let mut ours = Made::new(11);
    ours.add(&[250]).add(&text(b"damselfly-ver")).add(&text(b"0.1.0"));
    let zeroed = ours.key(0, "k", &text(b"value")).end_unsummed();
    check_refused(&zeroed, &["the checksum is not that of the bytes before it"]);
}

#[test]
fn a_file_that_is_cut_at_any_byte_says_so_and_a_cut_version_before_five_too() {
    let mut old = Made::new(3);
    old.key(0, "a", &text(b"1")).key(1, "b", &[2, 1, b'x', 1, b'y']);
    for bytes in [with_everything().end(), old.end()] {
        for cut in 0..bytes.len() {
            let (loaded, _) = load(&bytes[..cut], 2, 64);
            let error = loaded.expect_err("not all of it is there");
            assert_eq!(error.at, cut as u64, "{error}");
            assert!(error.to_string().contains("the file ends here"), "{error}");
        }
    }
}

#[test]
fn bytes_behind_the_end_are_left_alone() {
    let mut bytes = Made::new(11).key(0, "k", &text(b"v")).end();
    let length = bytes.len() as u64;
    bytes.extend_from_slice(&[7; 100_000]);
    let (loaded, _) = load(&bytes, 1, 50);
    assert_eq!(loaded.map(|loaded| (loaded.keys, loaded.bytes)), Ok((1, length)));
}

/// Whatever the bytes say: no panic, no endless loop, and no memory but for what is there.
#[test]
fn bytes_that_were_changed_at_random_do_no_harm() {
    let seed = model_common::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let small: Vec<cases::Case> =
        cases::all().into_iter().filter(|case| case.value.len() < 140_000).collect();
    for round in 0..600 {
        let case = &small[random.usize(..small.len())];
        let mut bytes = if round % 10 == 0 {
            with_everything().end_unsummed()
        } else {
            Made::new(case.version).key(case.kind, "k", &case.value).end_unsummed()
        };
        for _ in 0..random.usize(1..6) {
            // Most of what decides stands at the beginning.
            let reach = if random.bool() { bytes.len() } else { bytes.len().min(64) };
            let at = random.usize(9..reach.max(10));
            match random.u8(..4) {
                0 => bytes[at] ^= 1 << random.u8(..8),
                1 => bytes[at] = random.u8(..),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, [0x80, 0x81, 0xc3, 0xff][random.usize(..4)]),
            }
        }
        let piece =
            if bytes.len() < 2000 { random.usize(1..600) } else { random.usize(500..99_999) };
        let node = ModelNode::in_world(&World::new(seed), 1);
        LARGEST.set(0);
        let outcome = load_into(&node, &bytes, piece, OPTIONS);
        let taken = LARGEST.get();
        // What is packed may be 88 times as long as it was written.
        let most = (1 << 20).max(bytes.len() * 90);
        assert!(taken <= most, "SEED={seed} round {round}: {taken} bytes at once: {outcome:?}");
    }
}
