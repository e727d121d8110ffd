//! What an item costs, in bytes and in time. Not a test of anything: ignored, and run by hand with
//! `cargo test --release -p engine --test figures -- --ignored --nocapture`; `ITEMS=n` sets the number.
#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use engine::table::{Cursor, Table};
use engine::value::{Item, NewValue};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The key of `number`: 16 bytes, as benchmarks write them.
fn key_of(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Runs `work` and prints its time per item.
fn timed<R>(what: &str, items: u64, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    println!("{what:<34} {:7.1} ns", start.elapsed().as_nanos() as f64 / items as f64);
    result
}

#[test]
#[ignore = "prints figures"]
fn figures_of_a_million_and_of_many() {
    let items = std::env::var("ITEMS").ok().and_then(|items| items.parse().ok());
    figures(1_000_000);
    figures(items.unwrap_or(5_000_000));
}

fn figures(items: u64) {
    println!("--- {items} items, 16 + 32 bytes");
    let before = resident();
    let mut table = Table::new(7);
    let mut slowest = std::time::Duration::ZERO;
    timed("insert, growing", items, || {
        for number in 0..items {
            let key = key_of(number);
            let item = Item::new(&key, NewValue::from_bytes(&[b'v'; 32]), None);
            let start = (number % 4 == 0).then(Instant::now);
            table.insert_unique(table.hash(&key), item);
            if let Some(start) = start {
                slowest = slowest.max(start.elapsed());
            }
        }
    });
    println!("{:<34} {:7.1} us", "slowest insert (of every 4th)", slowest.as_nanos() as f64 / 1e3);
    println!("{:<34} {:7.1} B", "resident per item", (resident() - before) as f64 / items as f64);
    println!("{:<34} {:7.1} B", "table per item", table.heap_bytes() as f64 / items as f64);
    looks(&table, items);
    passes(&mut table, items);
    let mut table = timed("remove all, shrinking", items, || {
        for number in 0..items {
            let key = key_of(number);
            black_box(table.remove(table.hash(&key), &key));
        }
        table
    });
    assert!(table.is_empty());
    table.insert_unique(table.hash(b"k"), Item::new(b"k", NewValue::Int(1), None));
    println!("{:<34} {:7.1} MB", "resident after that", resident() as f64 / 1e6);
}

fn looks(table: &Table<Item>, items: u64) {
    const LOOKS: u64 = 2_000_000;
    let mut random = fastrand::Rng::with_seed(1);
    let first_byte = |item: &Item| item.value().with_bytes(|bytes| bytes[0]);
    timed("get, random", LOOKS, || {
        for _ in 0..LOOKS {
            let key = key_of(random.u64(..items));
            black_box(table.get(table.hash(&key), &key).map(first_byte).unwrap());
        }
    });
    timed("get, random, prefetched by 16", LOOKS, || {
        for _ in 0..LOOKS / 16 {
            let keys: [_; 16] = std::array::from_fn(|_| key_of(random.u64(..items)));
            let hashes = keys.map(|key| table.hash(&key));
            hashes.iter().for_each(|hash| table.prefetch(*hash));
            hashes.iter().for_each(|hash| table.prefetch_entry(*hash));
            for (hash, key) in hashes.iter().zip(&keys) {
                black_box(table.get(*hash, key).map(first_byte).unwrap());
            }
        }
    });
    timed("get, absent", LOOKS, || {
        for _ in 0..LOOKS {
            let key = key_of(items + random.u64(..items));
            assert!(table.get(table.hash(&key), &key).is_none());
        }
    });
    timed("sample one", 100_000, || {
        table.sample(&mut random, 100_000, &mut |_, item| drop(black_box(item.clock())));
    });
}

fn passes(table: &mut Table<Item>, items: u64) {
    timed("walk", items, || {
        let mut seen = 0;
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            cursor = table.walk(at, &mut |_, item| seen += 1 + u64::from(item.clock()));
        }
        assert_eq!(seen, items);
    });
    timed("sweep, nothing due (per item)", items, || {
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            cursor = table.sweep_due(at, 1, 16, &mut |_, _| true).next;
        }
    });
    let mut random = fastrand::Rng::with_seed(2);
    timed("overwrite, random", 1_000_000, || {
        for number in 0..1_000_000u64 {
            let key = key_of(random.u64(..items));
            let value = [b'a' + (number % 26) as u8; 32];
            let hash = table.hash(&key);
            table.get_mut(hash, &key).unwrap().set(NewValue::from_bytes(&value));
        }
    });
}
