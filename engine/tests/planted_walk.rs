//! The story of the walk, with its bug planted: "inserting A displaces B from a bucket that the walk has
//! not reached into one that it has passed: B is never sent". Alone in its process, because the switch is.
#![cfg(feature = "planted-bugs")]

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use engine::table::{Cursor, Table, TableEntry, planted};

struct Key([u8; 8]);

impl TableEntry for Box<Key> {
    fn key(&self) -> &[u8] {
        &self.0
    }

    fn due(&self) -> u64 {
        u64::MAX
    }
}

/// How many of the entries that are there from beginning to end a walk misses while others are added.
fn missed(seed: u64) -> usize {
    let mut table = Table::new(seed);
    let put = |table: &mut Table<Box<Key>>, number: u64| {
        let key = number.to_le_bytes();
        table.insert_unique(table.hash(&key), Box::new(Key(key)));
    };
    (0..3000).for_each(|number| put(&mut table, number));
    let mut added = 3000..;
    let mut seen = HashSet::new();
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        cursor = table.walk(at, &mut |_, entry| {
            seen.insert(entry.0);
        });
        added.by_ref().take(20).for_each(|number| put(&mut table, number));
    }
    (0..3000u64).filter(|number| !seen.contains(&number.to_le_bytes())).count()
}

#[test]
fn a_walk_by_storage_misses_what_was_displaced_and_a_walk_by_home_does_not() {
    let misses = || (0..20).map(missed).sum::<usize>();
    assert_eq!(misses(), 0);
    planted::WALK_GOES_BY_STORAGE.store(true, Ordering::Relaxed);
    assert!(misses() > 0, "the planted bug was not noticed");
}
