//! What an item costs, in bytes and in time. Not a test of anything: ignored, and run by hand with
//! `cargo test --profile tests -p engine --test figures -- --ignored --nocapture`; `ITEMS=n` sets the number.
#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

#[path = "figures/tree.rs"]
mod tree;

use std::hint::black_box;

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

/// Processor time of this thread, in ns: the machine may have other things to do.
fn processor_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on Linux, and `time` outlives the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(answer, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs `work` and prints its processor time per item.
fn timed<R>(what: &str, items: u64, work: impl FnOnce() -> R) -> R {
    let start = processor_time();
    let result = work();
    println!("{what:<34} {:7.1} ns", (processor_time() - start) as f64 / items as f64);
    result
}

#[test]
#[ignore = "prints figures"]
fn figures_of_many_items() {
    let items = std::env::var("ITEMS").ok().and_then(|items| items.parse().ok());
    figures(items.unwrap_or(5_000_000));
}

fn figures(items: u64) {
    println!("--- {items} items, 16 + 32 bytes");
    let before = resident();
    let mut table = Table::new(7);
    let insert = |table: &mut Table<Item>, number: u64| {
        let key = key_of(number);
        let item = Item::new(&key, NewValue::from_bytes(&[b'v'; 32]), None);
        table.insert_unique(table.hash(&key), item);
    };
    timed("insert, growing", items, || (0..items).for_each(|number| insert(&mut table, number)));
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
    let slowest = (items..items + items / 5)
        .map(|number| {
            let start = processor_time();
            insert(&mut table, number);
            processor_time() - start
        })
        .max();
    println!("{:<34} {:7.1} us", "slowest insert", slowest.unwrap_or(0) as f64 / 1e3);
}

fn looks(table: &Table<Item>, items: u64) {
    const LOOKS: u64 = 2_000_000;
    let mut random = fastrand::Rng::with_seed(1);
    let first_byte = |item: &Item| item.string().unwrap().with_bytes(|bytes| bytes[0]);
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
        table.sample(&mut random, 100_000, &mut |_, item| {
            black_box(item.clock());
        });
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
